/*
 * A SIP message as the two directions see it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "../../core/parser/parse_cseq.h"
#include "../../core/parser/parse_from.h"
#include "../../core/parser/parse_to.h"
#include "hide.h"

static int parse(sip_msg_t *msg)
{
	if(parse_msg(msg->buf, msg->len, msg) != 0 || parse_headers(msg, HDR_EOH_F, 0) < 0)
		return -1;
	if(msg->first_line.type != SIP_REQUEST && msg->first_line.type != SIP_REPLY)
		return -1;
	if(msg->via1 == NULL || msg->via1->error != PARSE_OK || msg->callid == NULL || msg->cseq == NULL)
		return -1;
	if(msg->from == NULL || parse_from_header(msg) < 0 || msg->to == NULL || parse_to_header(msg) < 0)
		return -1;
	return msg->cseq->parsed == NULL || msg->eoh == NULL ? -1 : 0;
}

int view_open(struct view *view, str buf)
{
	sip_msg_t *msg = &view->msg;

	memset(view, 0, sizeof(*view));
	msg->buf = buf.s;
	msg->len = buf.len;
	if(parse(msg) < 0)
		return -1;
	view->is_request = msg->first_line.type == SIP_REQUEST;
	view->method = get_cseq(msg)->method_id;
	view->callid = msg->callid->body;
	view->from_tag = get_from(msg)->tag_value;
	view->to_tag = get_to(msg)->tag_value;
	return 0;
}

void view_close(struct view *view)
{
	free_sip_msg(&view->msg);
}

void put_header_with(struct text *to, hdr_field_t *hdr, str was, str with)
{
	int before = (int)(was.s - hdr->name.s);

	put(to, hdr->name.s, before);
	put_str(to, with);
	put(to, was.s + was.len, hdr->len - before - was.len);
}

void put_header(struct text *to, const char *name, str value)
{
	put_literal(to, name);
	put_literal(to, ": ");
	put_str(to, value);
	put_literal(to, "\r\n");
}

static void put_item(struct text *to, int start, str value)
{
	if(trimmed(value).len == 0)
		return;
	if(to->len > start)
		put_literal(to, ", ");
	put_flat(to, value);
}

void put_list(struct text *to, struct view *view, hdr_types_t type)
{
	hdr_field_t *hdr;
	int start = to->len;

	for(hdr = view->msg.headers; hdr; hdr = hdr->next) {
		if(hdr->type == type)
			put_item(to, start, hdr->body);
	}
}

void put_other_vias(struct text *to, struct view *view)
{
	via_body_t *second = view->msg.via1->next;
	hdr_field_t *hdr;
	int start = to->len;
	str rest;

	for(hdr = view->msg.headers; hdr; hdr = hdr->next) {
		if(hdr->type != HDR_VIA_T)
			continue;
		rest = hdr->body;
		if(hdr == view->msg.h_via1) {
			if(second == NULL)
				continue;
			rest.len -= (int)(second->name.s - rest.s);
			rest.s = second->name.s;
		}
		put_item(to, start, rest);
	}
}
