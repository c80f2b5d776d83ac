/*
 * What comes from the network, into the form used inside.
 *
 * Whether the sender is caller or callee of the dialog is told by the tag that we sealed
 * for it: it is authentic, and marked.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define _GNU_SOURCE /* memmem */
#include <string.h>
#include <strings.h>

#include "../../core/parser/parse_uri.h"
#include "hide.h"

/* What was opened of a received message; the texts live in `store`. */
struct opened {
	str callid;
	str from_tag;
	str to_tag;
	str uri;      /* request URI, empty when it was not a sealed one */
	str forth;    /* routes to the receiver of an in-dialog request */
	str back;     /* routes to its sender */
	str vias;     /* of a reply: those below ours */
	str recorded; /* and the Record-Routes of the request when we sent it */
	int in_dialog;
	str from_name; /* that the caller knows, when the message comes from the callee's side */
	str to_name;
	str other_from; /* that the other side knows, in this message's order */
	str other_to;
	struct text store;
};

static str keep(struct text *store, char mark, str value)
{
	str kept = {store->s + store->len, 0};

	if(mark)
		put(store, &mark, 1);
	put_str(store, value);
	kept.len = store->full ? 0 : (int)(store->s + store->len - kept.s);
	return kept;
}

/* Opens `sealed` into the store. The result is empty, without a pointer, when it is none of ours. */
static str open_sealed(struct text *store, enum seal_kind kind, str context, str sealed)
{
	char plain[PLAIN_MAX];
	str found = {plain, unseal(kind, context, sealed, plain)};

	if(found.len < 0)
		return (str){NULL, 0};
	return keep(store, 0, found);
}

static int is_marked(str tag, char mark)
{
	return tag.len > 0 && tag.s[0] == mark;
}

/* The Call-ID as the caller chose it, when the callee sends it: ours, or it is not of this dialog. */
static int open_callid(struct view *view, struct opened *opened)
{
	opened->callid = open_sealed(&opened->store, SEAL_CALLID, (str){"", 0}, view->callid);
	return opened->callid.s ? 0 : -1;
}

static void open_uri(struct view *view, struct opened *opened)
{
	sip_uri_t uri;
	str whole = view->msg.first_line.u.request.uri;
	str rest;

	if(parse_uri(whole.s, whole.len, &uri) < 0)
		return;
	rest = open_sealed(&opened->store, SEAL_CONTACT, view->callid, uri.user);
	if(rest.s == NULL)
		return;
	opened->uri = next_part(&rest, '\t');
	opened->forth = next_part(&rest, '\t');
	opened->back = next_part(&rest, '\t');
	opened->other_from = next_part(&rest, '\t');
	opened->other_to = rest;
}

/* Inside, From and To are the caller's: what the callee sends is changed, what it said is kept aside. */
static void name_request(struct view *view, struct opened *opened, char mark)
{
	if(view->to_tag.len == 0) {
		opened->other_from = view->from_name;
		opened->other_to = view->to_name;
	} else if(mark == CALLEE_MARK && opened->uri.len > 0) {
		opened->from_name = opened->other_from;
		opened->to_name = opened->other_to;
		opened->other_from = view->from_name;
		opened->other_to = view->to_name;
	}
}

static int open_request(struct view *view, struct opened *opened)
{
	char mark = CALLER_MARK;
	str tag;

	if(view->to_tag.len > 0) {
		tag = open_sealed(&opened->store, SEAL_TAG, view->callid, view->to_tag);
		if(is_marked(tag, CALLER_MARK)) {
			mark = CALLEE_MARK;
			if(open_callid(view, opened) < 0)
				return -1;
		}
		opened->to_tag = tag.s ? tag : keep(&opened->store, UNKNOWN_MARK, view->to_tag);
		if(tag.s)
			open_uri(view, opened);
	}
	if(view->from_tag.len > 0)
		opened->from_tag = keep(&opened->store, mark, view->from_tag);
	name_request(view, opened, mark);
	return 0;
}

static void open_via(struct view *view, struct opened *opened)
{
	str rest = via_param_text(view, VIA_PARAM);

	next_part(&rest, '=');
	rest = open_sealed(&opened->store, SEAL_VIA, view->callid, trimmed(rest));
	if(rest.s == NULL)
		return;
	opened->vias = next_part(&rest, '\t');
	opened->recorded = next_part(&rest, '\t');
	opened->forth = next_part(&rest, '\t');
	opened->back = rest;
	opened->in_dialog = opened->forth.len + opened->back.len > 0;
}

/* The names that the request's sender knows are in its Via, which we had sealed. */
static void name_reply(struct view *view, struct opened *opened, char mark)
{
	str rest = opened->vias;
	str first = next_part(&rest, ',');
	char *at = first.len > 0 ? memmem(first.s, first.len, ";" NAMES_PARAM "=", strlen(NAMES_PARAM) + 2) : NULL;
	str from;
	str to;

	if(at == NULL)
		return;
	rest = (str){at + 1, (int)(first.s + first.len - at - 1)};
	read_names(next_part(&rest, ';'), &opened->store, &from, &to);
	if(mark == CALLEE_MARK) {
		opened->from_name = from;
		opened->to_name = to;
		opened->other_from = view->from_name;
		opened->other_to = view->to_name;
	} else {
		opened->other_from = from;
		opened->other_to = to;
	}
}

/* A reply echoes the From tag that we sealed; one that does not answers nothing we sent. */
static int open_reply(struct view *view, struct opened *opened)
{
	char mark = CALLEE_MARK;
	str tag = open_sealed(&opened->store, SEAL_TAG, view->callid, view->from_tag);

	if(tag.s == NULL)
		return -1;
	opened->from_tag = tag;
	if(is_marked(tag, CALLEE_MARK))
		mark = CALLER_MARK;
	else if(open_callid(view, opened) < 0)
		return -1;
	if(view->to_tag.len > 0)
		opened->to_tag = keep(&opened->store, mark, view->to_tag);
	open_via(view, opened);
	name_reply(view, opened, mark);
	return 0;
}

static void put_first_line(struct text *to, struct view *view, struct opened *opened)
{
	str line = first_line(view);
	str uri = view->msg.first_line.type == SIP_REQUEST ? view->msg.first_line.u.request.uri : (str){NULL, 0};

	if(opened->uri.len == 0) {
		put_str(to, line);
		return;
	}
	put(to, line.s, (int)(uri.s - line.s));
	put_str(to, opened->uri);
	put(to, uri.s + uri.len, (int)(line.s + line.len - uri.s - uri.len));
	if(opened->forth.len > 0)
		put_header(to, "Route", opened->forth);
}

/* A request's top Via takes the names that its sender knows along, for the reply; a reply's gives
 * back what it hid. */
static void put_vias(struct text *to, struct view *view, struct opened *opened)
{
	hdr_field_t *hdr = view->msg.h_via1;
	struct change none = {{NULL, 0}, {NULL, 0}};
	struct change change = none;
	char buf[PLAIN_MAX];
	struct text names = {buf, 0, sizeof(buf), 0};
	str top = top_via(view);

	if(view->is_request) {
		put_names(&names, view->from_name, view->to_name);
		to->full |= names.full;
		change.was = (str){top.s + top.len, 0};
		change.with = (str){buf, names.len};
	} else if(opened->vias.len > 0) {
		change.was = via_param_text(view, VIA_PARAM);
		change.with = (str){"", 0};
	}
	put_changed(to, hdr, change, none);
	if(opened->vias.len > 0)
		put_header(to, "Via", opened->vias);
}

static struct change change_of(str was, str with)
{
	return (struct change){was.len > 0 ? was : (str){NULL, 0}, with.len > 0 ? with : (str){NULL, 0}};
}

static void put_one(struct text *to, struct view *view, struct opened *opened, hdr_field_t *hdr)
{
	switch(hdr->type) {
		case HDR_FROM_T:
			put_changed(to, hdr, change_of(view->from_name, opened->from_name),
					change_of(view->from_tag, opened->from_tag));
			return;
		case HDR_TO_T:
			put_changed(to, hdr, change_of(view->to_name, opened->to_name), change_of(view->to_tag, opened->to_tag));
			return;
		case HDR_CALLID_T:
			put_header(to, "Call-ID", opened->callid.len > 0 ? opened->callid : view->callid);
			return;
		case HDR_VIA_T:
			if(hdr == view->msg.h_via1)
				put_vias(to, view, opened);
			else if(view->is_request)
				put(to, hdr->name.s, hdr->len);
			return;
		case HDR_ROUTE_T: /* ours are in the sealed request URI; others only led here */
			if(opened->uri.len == 0)
				put(to, hdr->name.s, hdr->len);
			return;
		case HDR_RECORDROUTE_T: /* the route set does not change within a dialog */
			if(!opened->in_dialog)
				put(to, hdr->name.s, hdr->len);
			return;
		default:
			if(!starts_with(hdr->name, "hide-"))
				put(to, hdr->name.s, hdr->len);
	}
}

static void put_state(struct text *to, struct opened *opened)
{
	if(opened->other_from.len == 0)
		return;
	put_literal(to, STATE_HEADER ": is\t"); /* a word first: parsers strip leading blanks */
	put_str(to, opened->forth);
	put_literal(to, "\t");
	put_str(to, opened->back);
	put_literal(to, "\t");
	put_flat(to, opened->other_from);
	put_literal(to, "\t");
	put_flat(to, opened->other_to);
	put_literal(to, "\r\n");
}

static int rewrite(struct view *view, struct opened *opened, struct text *to)
{
	hdr_field_t *hdr;
	char *body = view->msg.eoh;

	put_first_line(to, view, opened);
	for(hdr = view->msg.headers; hdr; hdr = hdr->next)
		put_one(to, view, opened, hdr);
	if(opened->recorded.len > 0 && !opened->in_dialog)
		put_header(to, "Record-Route", opened->recorded);
	put_state(to, opened);
	put(to, body, (int)(view->msg.buf + view->msg.len - body));
	return to->full ? -1 : to->len;
}

int hide_inward(str in, char *out, int size)
{
	static char store[4 * PLAIN_MAX];
	struct view view;
	struct opened opened = {.store = {store, 0, sizeof(store), 0}};
	struct text to = {out, 0, size, 0};
	int result = view_open(&view, in);

	if(result == 0)
		result = view.is_request ? open_request(&view, &opened) : open_reply(&view, &opened);
	if(result == 0)
		result = opened.store.full ? -1 : rewrite(&view, &opened, &to);
	view_close(&view);
	return result;
}
