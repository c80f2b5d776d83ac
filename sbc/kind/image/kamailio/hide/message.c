/*
 * A SIP message as the two directions see it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <ctype.h>
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

static str name_of(hdr_field_t *hdr, str uri)
{
	str name = trimmed(hdr->body);
	int in_brackets = uri.s > name.s && uri.s[-1] == '<';

	name.len = (int)(uri.s + uri.len - name.s) + in_brackets;
	return name;
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
	view->from_name = name_of(msg->from, get_from(msg)->uri);
	view->to_name = name_of(msg->to, get_to(msg)->uri);
	return 0;
}

void view_close(struct view *view)
{
	free_sip_msg(&view->msg);
}

str first_line(struct view *view)
{
	struct msg_start *line = &view->msg.first_line;
	char *start = line->type == SIP_REQUEST ? line->u.request.method.s : line->u.reply.version.s;

	return (str){start, line->len};
}

void put_changed(struct text *to, hdr_field_t *hdr, struct change first, struct change second)
{
	struct change changes[2] = {first, second};
	const char *at = hdr->name.s;
	int i;

	for(i = 0; i < 2; i++) {
		if(changes[i].with.s == NULL || changes[i].was.s == NULL)
			continue;
		put(to, at, (int)(changes[i].was.s - at));
		put_str(to, changes[i].with);
		at = changes[i].was.s + changes[i].was.len;
	}
	put(to, at, (int)(hdr->name.s + hdr->len - at));
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

str top_via(struct view *view)
{
	via_body_t *second = view->msg.via1->next;
	str top = view->msg.h_via1->body;

	if(second) {
		top.len = (int)(second->name.s - top.s);
		while(top.len > 0 && strchr(", \t\r\n", top.s[top.len - 1]) != NULL)
			top.len--;
	}
	return trimmed(top);
}

str via_param_text(struct view *view, const char *name)
{
	via_param_t *param;

	for(param = view->msg.via1->param_lst; param; param = param->next) {
		if(param->name.len == (int)strlen(name) && strncmp(param->name.s, name, param->name.len) == 0)
			return (str){param->start - 1, param->size + 1};
	}
	return (str){NULL, 0};
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

static void put_escaped(struct text *to, str s)
{
	static const char digits[] = "0123456789abcdef";
	char escaped[3] = {'%', 0, 0};
	int i;

	for(i = 0; i < s.len; i++) {
		unsigned char c = (unsigned char)s.s[i];

		if(isalnum(c) || c == '.' || c == '-' || c == '+') {
			put(to, s.s + i, 1);
			continue;
		}
		escaped[1] = digits[c >> 4];
		escaped[2] = digits[c & 15];
		put(to, escaped, 3);
	}
}

void put_names(struct text *to, str from, str to_name)
{
	put_literal(to, ";" NAMES_PARAM "=");
	put_escaped(to, from);
	put_literal(to, "!");
	put_escaped(to, to_name);
}

static int digit_of(char c)
{
	return c >= 'a' ? c - 'a' + 10 : c - '0';
}

static str unescaped(struct text *store, str s)
{
	str found = {store->s + store->len, 0};
	char c;
	int i;

	for(i = 0; i < s.len; i++) {
		if(s.s[i] == '%' && i + 2 < s.len && isxdigit((unsigned char)s.s[i + 1]) && isxdigit((unsigned char)s.s[i + 2])) {
			c = (char)(digit_of(s.s[i + 1]) << 4 | digit_of(s.s[i + 2]));
			i += 2;
		} else {
			c = s.s[i];
		}
		put(store, &c, 1);
	}
	found.len = store->full ? 0 : (int)(store->s + store->len - found.s);
	return found;
}

void read_names(str value, struct text *store, str *from, str *to_name)
{
	str rest = value;
	str first;

	next_part(&rest, '=');
	first = next_part(&rest, '!');
	*from = unescaped(store, first);
	*to_name = unescaped(store, trimmed(rest));
}
