/*
 * hide: makes the two sides of a proxy opaque to each other, without state.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What one side says about itself (Call-ID, tags, Via, Record-Route, Contact) reaches the
 * other only sealed: encrypted and authenticated with a key of this VNF, bound to the
 * Call-ID under which that side knows the call. What a side echoes is opened again when it
 * comes back. Everything needed travels in the messages, so a restart forgets nothing.
 *
 * Inside Kamailio one form of each name is used, whichever way a message goes:
 *
 *   Call-ID        as the caller chose it
 *   tags           as their owner chose them, after a mark: '~' caller's, '!' callee's;
 *                  a tag made by Kamailio itself has no mark
 *   From and To    as the caller knows them; how the other side knows them travels in a header
 *                  of our own, `hide-state`, and how the sender of a request does in its Via
 *   request URI    the peer's Contact; Route and Via as at a plain proxy
 */
#ifndef HIDE_H
#define HIDE_H

#include "../../core/parser/msg_parser.h"
#include "../../core/ip_addr.h"

/* --- seal.c --- */

/* What a sealed value is; one kind cannot be passed off as another. */
enum seal_kind { SEAL_CALLID = 'C', SEAL_TAG = 'T', SEAL_CONTACT = 'U', SEAL_VIA = 'V' };

/* Longest value that is sealed, and what it becomes. */
#define PLAIN_MAX 6144
#define SEALED_MAX 8320

/* Reads 64 hex digits from the file `path`. Returns 0, or -1 when it cannot. */
int seal_init(const char *path);

/* Writes the sealed form of `plain` to `sealed` (SEALED_MAX bytes). The same input gives the
 * same output, so that retransmissions are alike. Returns its length, or -1 when it is too long. */
int seal(enum seal_kind kind, str context, str plain, char *sealed);

/* Opens what `seal` made with the same kind and context into `plain` (PLAIN_MAX bytes).
 * Returns its length, or -1 for anything else. */
int unseal(enum seal_kind kind, str context, str sealed, char *plain);

/* A number that stands for `value`, below 2^62. The same value gives the same number. */
unsigned long long seal_number(str value);

/* --- text.c --- */

/* A message under construction. `full` is set, and stays, when something did not fit. */
struct text {
	char *s;
	int len;
	int size;
	int full;
};

void put(struct text *to, const char *s, int len);
void put_str(struct text *to, str s);
void put_literal(struct text *to, const char *literal);
/* A header body on one line, without tabs: folding and separators become blanks. */
void put_flat(struct text *to, str s);
/* The value sealed, for the peer who knows the call as `context`. */
void put_sealed(struct text *to, enum seal_kind kind, str context, str plain);

/* The next part of `rest` up to `separator`, which is skipped. */
str next_part(str *rest, char separator);
int starts_with(str s, const char *prefix);
str trimmed(str s);

/* --- message.c --- */

#define CALLER_MARK '~'
#define CALLEE_MARK '!'
#define UNKNOWN_MARK '.'
#define VIA_PARAM "x"
#define NAMES_PARAM "hide-names"
#define STATE_HEADER "hide-state"
#define PASS_PREFIX "hide-pass-"

/* A parsed message and the pieces of it that are rewritten. */
struct view {
	sip_msg_t msg;
	int is_request;
	int method;    /* of the CSeq */
	str callid;
	str from_tag;
	str to_tag;
	str from_name; /* display name and URI, without parameters */
	str to_name;
};

/* Parses `buf`. Returns 0, or -1 when it is no complete SIP message; close it in either case. */
int view_open(struct view *view, str buf);
void view_close(struct view *view);

/* The first line with its end; blank lines may come before it. */
str first_line(struct view *view);

/* One replacement in a header; without a new text the old one stays. */
struct change {
	str was;
	str with;
};

/* The header with both changes, of which the first comes first in it. */
void put_changed(struct text *to, hdr_field_t *hdr, struct change first, struct change second);
/* The topmost Via as text, and a parameter of it with the semicolon before, or an empty string. */
str top_via(struct view *view);
str via_param_text(struct view *view, const char *name);
/* Two names as the value of a Via parameter, and back: `from` and `to` point into `store`. */
void put_names(struct text *to, str from, str to_name);
void read_names(str value, struct text *store, str *from, str *to_name);
void put_header(struct text *to, const char *name, str value);
/* Every Via but the topmost, or every Record-Route, as one comma-separated list. */
void put_other_vias(struct text *to, struct view *view);
void put_list(struct text *to, struct view *view, hdr_types_t type);

/* --- the two directions --- */

/* Rewrites a received message into the form used inside. Returns the new length, or -1 to drop
 * it: because it is malformed, or belongs to nothing. */
int hide_inward(str in, char *out, int size);

/* Rewrites a message about to be sent into what its receiver may see. Returns its length, or -1
 * to keep it back. */
int hide_outward(str in, dest_info_t *dst, char *out, int size);

#endif
