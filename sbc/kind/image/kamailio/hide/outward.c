/*
 * What is about to be sent, into what its receiver may see.
 *
 * Headers pass by a list of allowed ones; everything else is left out, unless the routing
 * script says `hide-pass-<Name>`. The receiver of a message is told by its From tag: a
 * request goes away from the tag's owner, a reply to it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "../../core/dprint.h"
#include "../../core/forward.h"
#include "../../core/parser/contact/parse_contact.h"
#include "../../core/parser/parse_from.h"
#include "../../core/parser/parse_rr.h"
#include "../../core/parser/parse_uri.h"
#include "hide.h"
#include "sdp.h"

#define F(name) HDR_T2F(HDR_##name##_T)

static const hdr_flags_t passed_types =
		F(CSEQ) | F(MAXFORWARDS) | F(ROUTE) | F(CONTENTTYPE) | F(AUTHORIZATION) | F(EXPIRES) | F(MIN_EXPIRES)
		| F(PROXYAUTH) | F(SUPPORTED) | F(REQUIRE) | F(PROXYREQUIRE) | F(UNSUPPORTED) | F(ALLOW) | F(EVENT)
		| F(ACCEPT) | F(ACCEPTLANGUAGE) | F(CONTENTDISPOSITION) | F(SESSIONEXPIRES) | F(MIN_SE)
		| F(WWW_AUTHENTICATE) | F(PROXY_AUTHENTICATE) | F(RETRY_AFTER);

static const char *const passed_names[] = {"RAck", "RSeq", "Accept-Encoding", "Info-Package", "Recv-Info", NULL};

struct phrase {
	int code;
	const char *text;
};

/* Reason phrases are free text, and a gateway likes to name itself there. */
static const struct phrase phrases[] = {{100, "Trying"}, {180, "Ringing"}, {181, "Call Is Being Forwarded"},
		{182, "Queued"}, {183, "Session Progress"}, {200, "OK"}, {202, "Accepted"}, {400, "Bad Request"},
		{401, "Unauthorized"}, {403, "Forbidden"}, {404, "Not Found"}, {405, "Method Not Allowed"},
		{407, "Proxy Authentication Required"}, {408, "Request Timeout"}, {410, "Gone"},
		{413, "Request Entity Too Large"}, {415, "Unsupported Media Type"}, {420, "Bad Extension"},
		{421, "Extension Required"}, {422, "Session Interval Too Small"}, {480, "Temporarily Unavailable"},
		{481, "Call/Transaction Does Not Exist"}, {482, "Loop Detected"}, {483, "Too Many Hops"},
		{484, "Address Incomplete"}, {486, "Busy Here"}, {487, "Request Terminated"}, {488, "Not Acceptable Here"},
		{491, "Request Pending"}, {500, "Server Internal Error"}, {501, "Not Implemented"}, {502, "Bad Gateway"},
		{503, "Service Unavailable"}, {504, "Server Time-out"}, {600, "Busy Everywhere"}, {603, "Decline"},
		{604, "Does Not Exist Anywhere"}, {606, "Not Acceptable"}, {0, NULL}};

/* A message on its way out: what its receiver calls the dialog, and the routes of both sides. */
struct leaving {
	struct view *view;
	dest_info_t *dst;
	str callid;   /* as the receiver knows it */
	str forth;    /* routes the receiver's requests take through us to the other side */
	str back;     /* routes that lead to the receiver */
	str returned; /* Record-Routes that are the receiver's own */
	int to_caller;
	hdr_field_t *state; /* see inward.c; its four parts are: */
	str sender_forth;   /* the routes, as seen by the request's sender */
	str sender_back;
	str other_from; /* the names that the callee knows, or in an initial request the caller */
	str other_to;
	str from_name; /* what is shown, when it is not what the message says */
	str to_name;
	char sealed_callid[SEALED_MAX];
	struct text store;
};

static char mark_of(str tag)
{
	return tag.len > 0 ? tag.s[0] : 0;
}

static str unmarked(str tag)
{
	if(tag.len > 0 && strchr("~!.", tag.s[0]) != NULL)
		return (str){tag.s + 1, tag.len - 1};
	return tag;
}

/* The caller knows the call by its own Call-ID, everyone else by the sealed one. */
static int name_call(struct leaving *leaving)
{
	struct view *view = leaving->view;

	leaving->to_caller = (mark_of(view->from_tag) == CALLEE_MARK) == view->is_request;
	leaving->callid = view->callid;
	if(leaving->to_caller)
		return 0;
	leaving->callid.s = leaving->sealed_callid;
	leaving->callid.len = seal(SEAL_CALLID, (str){"", 0}, view->callid, leaving->sealed_callid);
	return leaving->callid.len < 0 ? -1 : 0;
}

/* --- routes --- */

#define RR_MAX 32

static int is_ours(rr_t *rr)
{
	sip_uri_t uri;

	if(parse_uri(rr->nameaddr.uri.s, rr->nameaddr.uri.len, &uri) < 0)
		return 0;
	return check_self(&uri.host, uri.port_no, 0) == 1;
}

static str put_routes(struct text *store, rr_t **rr, int from, int to)
{
	str kept = {store->s + store->len, 0};
	int step = from <= to ? 1 : -1;

	for(; from != to; from += step) {
		if(store->s + store->len > kept.s)
			put_literal(store, ", ");
		put(store, rr[from]->nameaddr.name.s, rr[from]->len);
	}
	kept.len = store->full ? 0 : (int)(store->s + store->len - kept.s);
	return kept;
}

/* Splits the Record-Routes at ours: above are those of the other side when this is a reply,
 * below those of the requester. */
static void split_routes(struct leaving *leaving, rr_t **rr, int count)
{
	struct text *store = &leaving->store;
	int first = 0;
	int behind;

	while(first < count && !is_ours(rr[first]))
		first++;
	behind = first;
	while(behind < count && is_ours(rr[behind]))
		behind++;
	if(behind == first)
		return;
	if(leaving->view->is_request) {
		leaving->forth = put_routes(store, rr, 0, count);
		leaving->back = put_routes(store, rr, behind - 1, first - 1);
	} else {
		leaving->forth = put_routes(store, rr, behind - 1, -1);
		leaving->back = put_routes(store, rr, first, count);
		leaving->returned = put_routes(store, rr, behind, count);
	}
}

static int parse_routes(str list, rr_t **head, rr_t **rr)
{
	rr_t *each;
	int count = 0;

	if(list.len == 0 || parse_rr_body(list.s, list.len, head) < 0)
		return 0;
	for(each = *head; each && count < RR_MAX; each = each->next)
		rr[count++] = each;
	return count;
}

static void learn_recorded(struct leaving *leaving, str list)
{
	rr_t *rr[RR_MAX];
	rr_t *head = NULL;
	int count = parse_routes(list, &head, rr);

	split_routes(leaving, rr, count);
	free_rr(&head);
}

/* The way back through us, which is what `list` begins with, turned round. */
static str own_reversed(struct leaving *leaving, str list)
{
	rr_t *rr[RR_MAX];
	rr_t *head = NULL;
	int count = parse_routes(list, &head, rr);
	int own = 0;
	str found;

	while(own < count && is_ours(rr[own]))
		own++;
	found = put_routes(&leaving->store, rr, own - 1, -1);
	free_rr(&head);
	return found;
}

/* Within a dialog the routes come with the message, as seen by the request's sender; a request's
 * receiver sees them the other way round. */
static void learn_routes(struct leaving *leaving, str recorded)
{
	str forth = leaving->sender_forth;
	str back = leaving->sender_back;

	if(forth.len == 0) {
		learn_recorded(leaving, recorded);
		return;
	}
	if(back.len == 0)
		back = own_reversed(leaving, forth);
	leaving->forth = leaving->view->is_request ? back : forth;
	leaving->back = leaving->view->is_request ? forth : back;
}

static hdr_field_t *find_state(struct view *view)
{
	hdr_field_t *hdr;

	for(hdr = view->msg.headers; hdr; hdr = hdr->next) {
		if(hdr->type == HDR_OTHER_T && hdr->name.len == (int)strlen(STATE_HEADER)
				&& strncasecmp(hdr->name.s, STATE_HEADER, hdr->name.len) == 0)
			return hdr;
	}
	return NULL;
}

static void read_state(struct leaving *leaving)
{
	str rest;

	leaving->state = find_state(leaving->view);
	if(leaving->state == NULL)
		return;
	rest = leaving->state->body;
	next_part(&rest, '\t');
	leaving->sender_forth = trimmed(next_part(&rest, '\t'));
	leaving->sender_back = next_part(&rest, '\t');
	leaving->other_from = next_part(&rest, '\t');
	leaving->other_to = trimmed(rest);
}

/* --- headers --- */

static void put_own_address(struct text *to, dest_info_t *dst)
{
	struct socket_info *sock = dst->send_sock ? dst->send_sock : get_send_socket(NULL, &dst->to, dst->proto);
	str host;

	if(sock == NULL) {
		to->full = 1;
		return;
	}
	host = sock->useinfo.name.len > 0 ? sock->useinfo.name : sock->address_str;
	if(memchr(host.s, ':', host.len) != NULL && host.s[0] != '[') {
		put_literal(to, "[");
		put_str(to, host);
		put_literal(to, "]");
	} else {
		put_str(to, host);
	}
	put_literal(to, ":");
	put_str(to, sock->useinfo.port_no > 0 ? sock->useinfo.port_no_str : sock->port_no_str);
	if(dst->proto == PROTO_TCP)
		put_literal(to, ";transport=tcp");
	else if(dst->proto == PROTO_TLS)
		put_literal(to, ";transport=tls");
}

static int says_our_name(struct view *view)
{
	sip_uri_t *uri = parse_from_uri(&view->msg);
	static const char anonymous[] = "anonymous.invalid";

	if(uri == NULL)
		return 0;
	if(uri->host.len == (int)strlen(anonymous) && memcmp(uri->host.s, anonymous, uri->host.len) == 0)
		return 1;
	return check_self(&uri->host, 0, 0) == 1;
}

/* Requests made by Kamailio itself (CANCEL, ACK to a refusal, the end of a lapsed call) carry the
 * caller's names where they were not replaced: the callee gets nobody's name then. */
static void name_nobody(struct leaving *leaving)
{
	struct text *store = &leaving->store;
	int start = store->len;

	if(!says_our_name(leaving->view)) {
		put_literal(store, "<sip:");
		put_own_address(store, leaving->dst);
		put_literal(store, ">");
		leaving->from_name = (str){store->s + start, store->len - start};
	}
	start = store->len;
	put_literal(store, "<");
	put_str(store, leaving->view->msg.first_line.u.request.uri);
	put_literal(store, ">");
	leaving->to_name = (str){store->s + start, store->len - start};
}

/* Whom the receiver sees in From and To. In an initial request the routing script has named them;
 * one that did not come from a caller with names to replace is not for others' eyes. */
static int name_people(struct leaving *leaving)
{
	struct view *view = leaving->view;
	str names;

	if(!view->is_request) {
		names = via_param_text(view, NAMES_PARAM);
		if(names.len > 0)
			read_names(names, &leaving->store, &leaving->from_name, &leaving->to_name);
		return 0;
	}
	if(leaving->to_caller || mark_of(view->from_tag) != CALLER_MARK)
		return 0;
	if(leaving->state == NULL) {
		name_nobody(leaving);
		return view->to_tag.len == 0 && view->method != METHOD_CANCEL ? -1 : 0;
	}
	if(view->to_tag.len > 0) {
		leaving->from_name = leaving->other_from;
		leaving->to_name = leaving->other_to;
	}
	return 0;
}

/* The names the other side knows, in the order of the requests that the receiver will send. */
static void put_names_of_others(struct text *to, struct leaving *leaving)
{
	struct view *view = leaving->view;
	int from_state = leaving->to_caller || (view->is_request && view->to_tag.len == 0);
	str from = from_state ? leaving->other_from : view->from_name;
	str to_name = from_state ? leaving->other_to : view->to_name;

	put_flat(to, view->is_request ? to_name : from);
	put_literal(to, "\t");
	put_flat(to, view->is_request ? from : to_name);
}

static str unless_implied(struct leaving *leaving)
{
	str implied = own_reversed(leaving, leaving->forth);

	if(implied.len == leaving->back.len && memcmp(implied.s, leaving->back.s, implied.len) == 0)
		return (str){"", 0};
	return leaving->back;
}

/* The other side's Contact, sealed together with the routes to both sides. */
static void put_contact(struct text *to, struct leaving *leaving, hdr_field_t *hdr)
{
	char plain[PLAIN_MAX];
	struct text sealed = {plain, 0, sizeof(plain), 0};
	contact_body_t *body;

	if(parse_contact(hdr) < 0 || (body = hdr->parsed) == NULL || body->star || body->contacts == NULL)
		return;
	put_flat(&sealed, body->contacts->uri);
	put_literal(&sealed, "\t");
	put_str(&sealed, leaving->forth);
	put_literal(&sealed, "\t");
	put_str(&sealed, unless_implied(leaving));
	put_literal(&sealed, "\t");
	put_names_of_others(&sealed, leaving);
	to->full |= sealed.full;
	put_literal(to, "Contact: <sip:");
	put_sealed(to, SEAL_CONTACT, leaving->callid, (str){plain, sealed.len});
	put_literal(to, "@");
	put_own_address(to, leaving->dst);
	put_literal(to, ">\r\n");
}

static void put_contact_if_shown(struct text *to, struct leaving *leaving, hdr_field_t *hdr)
{
	struct view *view = leaving->view;

	if(hdr != view->msg.contact)
		return;
	if(view->is_request && view->method == METHOD_REGISTER)
		put(to, hdr->name.s, hdr->len); /* made by us: nobody else's REGISTER is ever sent */
	else if(view->is_request || view->msg.first_line.u.reply.statuscode < 300)
		put_contact(to, leaving, hdr);
}

/* Our Via; those below it, what the request's Record-Routes were and the routes of its dialog
 * are sealed into a parameter, which the reply brings back. */
static void put_request_via(struct text *to, struct leaving *leaving, str recorded)
{
	char plain[PLAIN_MAX];
	struct text sealed = {plain, 0, sizeof(plain), 0};
	struct view *view = leaving->view;

	put_literal(to, "Via: ");
	put_str(to, top_via(view));
	put_other_vias(&sealed, view);
	if(sealed.len > 0 && view->method != METHOD_ACK) {
		put_literal(&sealed, "\t");
		put_str(&sealed, recorded);
		put_literal(&sealed, "\t");
		put_str(&sealed, leaving->sender_forth);
		put_literal(&sealed, "\t");
		put_str(&sealed, leaving->sender_back);
		to->full |= sealed.full;
		put_literal(to, ";" VIA_PARAM "=");
		put_sealed(to, SEAL_VIA, leaving->callid, (str){plain, sealed.len});
	}
	put_literal(to, "\r\n");
}

/* The requester's own Vias; what we put into the topmost stays here. */
static void put_reply_via(struct text *to, struct view *view, hdr_field_t *hdr)
{
	struct change none = {{NULL, 0}, {NULL, 0}};
	struct change names = {via_param_text(view, NAMES_PARAM), {"", 0}};

	put_changed(to, hdr, hdr == view->msg.h_via1 ? names : none, none);
}

static void put_person(struct text *to, struct leaving *leaving, hdr_field_t *hdr, struct change name, str tag, int sealed)
{
	char buf[SEALED_MAX];
	struct change own = {tag, unmarked(tag)};

	if(tag.len == 0)
		own.was.s = NULL;
	else if(sealed && mark_of(tag) != UNKNOWN_MARK)
		own.with = (str){buf, seal(SEAL_TAG, leaving->callid, tag, buf)};
	put_changed(to, hdr, name, own);
}

static int is_passed(hdr_field_t *hdr)
{
	int i;

	if(hdr->type != HDR_OTHER_T)
		return (passed_types & HDR_T2F(hdr->type)) != 0;
	for(i = 0; passed_names[i]; i++) {
		if(hdr->name.len == (int)strlen(passed_names[i])
				&& strncasecmp(hdr->name.s, passed_names[i], hdr->name.len) == 0)
			return 1;
	}
	return 0;
}

/* The protocol and cause pass, their free text does not. */
static void put_reason(struct text *to, hdr_field_t *hdr)
{
	str rest = hdr->body;
	str part = next_part(&rest, ';');

	put_literal(to, "Reason: ");
	put_flat(to, part);
	while(rest.len > 0) {
		part = trimmed(next_part(&rest, ';'));
		if(starts_with(part, "cause=")) {
			put_literal(to, ";");
			put(to, part.s, 6 + (int)strspn(part.s + 6, "0123456789"));
		}
	}
	put_literal(to, "\r\n");
}

static void put_other(struct text *to, hdr_field_t *hdr)
{
	int prefix = (int)strlen(PASS_PREFIX);

	if(starts_with(hdr->name, PASS_PREFIX))
		put(to, hdr->name.s + prefix, hdr->len - prefix);
	else if(hdr->type == HDR_REASON_T)
		put_reason(to, hdr);
	else if(is_passed(hdr))
		put(to, hdr->name.s, hdr->len);
}

static void put_one(struct text *to, struct leaving *leaving, hdr_field_t *hdr, str recorded)
{
	struct view *view = leaving->view;
	struct change from = {view->from_name, leaving->from_name};
	struct change to_change = {view->to_name, leaving->to_name};

	switch(hdr->type) {
		case HDR_VIA_T:
			if(!view->is_request)
				put_reply_via(to, view, hdr);
			else if(hdr == view->msg.h_via1)
				put_request_via(to, leaving, recorded);
			return;
		case HDR_FROM_T:
			put_person(to, leaving, hdr, from, view->from_tag, view->is_request);
			return;
		case HDR_TO_T:
			put_person(to, leaving, hdr, to_change, view->to_tag, !view->is_request);
			return;
		case HDR_CALLID_T:
			put_header(to, "Call-ID", leaving->callid);
			return;
		case HDR_CONTACT_T:
			put_contact_if_shown(to, leaving, hdr);
			return;
		case HDR_RECORDROUTE_T:
		case HDR_CONTENTLENGTH_T:
			return;
		default:
			put_other(to, hdr);
	}
}

static void put_first_line(struct text *to, struct view *view)
{
	int code = view->msg.first_line.u.reply.statuscode;
	const struct phrase *phrase = phrases;

	if(view->is_request) {
		put_str(to, first_line(view));
		return;
	}
	while(phrase->code != 0 && phrase->code != code)
		phrase++;
	put_literal(to, "SIP/2.0 ");
	put_str(to, view->msg.first_line.u.reply.status);
	put_literal(to, " ");
	put_literal(to, phrase->text ? phrase->text : "Unspecified");
	put_literal(to, "\r\n");
}

/* A body passes when it is a session description, of which only what the call needs, or a digit. */
static void put_body(struct text *to, struct view *view)
{
	char buf[SDP_MAX];
	char length[32];
	struct text body = {buf, 0, sizeof(buf), 0};
	str was = {view->msg.eoh, (int)(view->msg.buf + view->msg.len - view->msg.eoh)};
	str type = view->msg.content_type ? trimmed(view->msg.content_type->body) : (str){"", 0};
	int line_end = was.len >= 2 && was.s[0] == '\r' ? 2 : 1;

	was.s += line_end;
	was.len -= line_end;
	if(starts_with(type, "application/sdp")) {
		if(put_sdp(&body, was) < 0) {
			LM_ERR("left out a session description whose media is not relayed here\n");
			body.len = 0;
		}
	} else if(starts_with(type, "application/dtmf")) {
		put_str(&body, was);
	}
	to->full |= body.full;
	snprintf(length, sizeof(length), "Content-Length: %d\r\n\r\n", body.len);
	put_literal(to, length);
	put(to, buf, body.len);
}

static int rewrite(struct leaving *leaving, struct text *to)
{
	char recorded[PLAIN_MAX];
	struct text list = {recorded, 0, sizeof(recorded), 0};
	struct view *view = leaving->view;
	hdr_field_t *hdr;

	read_state(leaving);
	if(name_call(leaving) < 0 || name_people(leaving) < 0)
		return -1;
	put_list(&list, view, HDR_RECORDROUTE_T);
	learn_routes(leaving, (str){recorded, list.len});
	put_first_line(to, view);
	for(hdr = view->msg.headers; hdr; hdr = hdr->next)
		put_one(to, leaving, hdr, (str){recorded, list.len});
	if(leaving->returned.len > 0)
		put_header(to, "Record-Route", leaving->returned);
	put_body(to, view);
	return to->full || list.full || leaving->store.full ? -1 : to->len;
}

int hide_outward(str in, dest_info_t *dst, char *out, int size)
{
	static char store[3 * PLAIN_MAX];
	struct view view;
	struct leaving leaving = {.view = &view, .dst = dst, .store = {store, 0, sizeof(store), 0}};
	struct text to = {out, 0, size, 0};
	int result = -1;

	if(view_open(&view, in) == 0)
		result = rewrite(&leaving, &to);
	view_close(&view);
	return result;
}
