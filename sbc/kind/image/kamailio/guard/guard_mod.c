/*
 * guard as Kamailio sees it: a callback at the edge of the network, functions of the routing script, and RPC.
 *
 *   loadmodule "guard.so"                 first of all, before hide
 *   modparam("guard", "rate", 50)         and the other limits, see guard.h
 *
 *   guard_has_to_ask()                    ask the store what the source is, then
 *   guard_judge("trusted")                or challenged, stranger, denied
 *   guard_stands()                        1 trusted, 2 challenged, 3 stranger, -1 not to be answered
 *   guard_failed("password")              or stranger, malformed, unproved, nowhere, scanner
 *   guard_succeeded(), guard_proved()
 *   guard_has_proved()
 *   guard_restore("address", "reason since until")
 *   guard_news("$var(ban)")               true with "address reason since until", until 0 for a ban that was lifted
 *   guard_lift("address", "before")
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../core/dprint.h"
#include "../../core/events.h"
#include "../../core/lvalue.h"
#include "../../core/mod_fix.h"
#include "../../core/pt.h"
#include "../../core/resolve.h"
#include "../../core/rpc.h"
#include "../../core/rpc_lookup.h"
#include "../../core/sr_module.h"
#include "guard.h"

MODULE_VERSION

/* Bans in one answer: it is a datagram. */
#define SHOWN 1000
#define NETWORK_SUFFIX "/64"
/* Address, reason and two times. */
#define NEWS_MAX 128

static struct limits initial = {50, 100, 5000, 3600, 5, 60};
/* Whether the message in hand is to be judged: it is handled to its end by the process that received it. */
static int has_to_ask;

static int on_received(sr_event_param_t *evp)
{
	str *buf = evp->data;
	int is_reply = buf->len >= 4 && memcmp(buf->s, "SIP/", 4) == 0;

	has_to_ask = 0;
	if(!source_is_heard(&evp->rcv->src_ip, !is_reply, &has_to_ask)) {
		buf->len = 0;
		buf->s[0] = '\0';
	}
	return 0;
}

static int on_sent(sr_event_param_t *evp)
{
	str *buf = evp->data;
	ip_addr_t ip;

	if(buf->s == NULL || buf->len < 4 || memcmp(buf->s, "SIP/", 4) == 0)
		return 0;
	su2ip_addr(&ip, &evp->dst->to);
	source_met(&ip);
	return 0;
}

/* --- of the routing script --- */

static int param(sip_msg_t *msg, char *p, str *value)
{
	return get_str_fparam(value, msg, (fparam_t *)p);
}

static int w_has_to_ask(sip_msg_t *msg, char *p1, char *p2)
{
	return has_to_ask ? 1 : -1;
}

static int w_judge(sip_msg_t *msg, char *p1, char *p2)
{
	static const char *const names[] = {"", "stranger", "challenged", "trusted", "denied", NULL};
	str word;
	int i;

	if(param(msg, p1, &word) < 0)
		return -1;
	for(i = STRANGER; names[i]; i++) {
		if(word.len == (int)strlen(names[i]) && memcmp(word.s, names[i], word.len) == 0) {
			source_judged(&msg->rcv.src_ip, i);
			return 1;
		}
	}
	return -1;
}

static int w_stands(sip_msg_t *msg, char *p1, char *p2)
{
	switch(source_stands(&msg->rcv.src_ip)) {
		case TRUSTED:
			return 1;
		case CHALLENGED:
			return 2;
		case STRANGER:
		case UNJUDGED:
			return 3;
		default:
			return -1;
	}
}

static int w_failed(sip_msg_t *msg, char *p1, char *p2)
{
	str word;
	enum reason reason;

	if(param(msg, p1, &word) < 0 || (reason = reason_of(word)) == REASONS)
		return -1;
	source_failed(&msg->rcv.src_ip, reason);
	return 1;
}

static int w_succeeded(sip_msg_t *msg, char *p1, char *p2)
{
	source_succeeded(&msg->rcv.src_ip);
	return 1;
}

static int w_proved(sip_msg_t *msg, char *p1, char *p2)
{
	source_proved(&msg->rcv.src_ip);
	return 1;
}

static int w_has_proved(sip_msg_t *msg, char *p1, char *p2)
{
	return source_has_proved(&msg->rcv.src_ip) ? 1 : -1;
}

/* An address, or of a whole IPv6 network the first one and "/64". */
static int read_ip(str text, ip_addr_t *ip)
{
	str suffix = {NETWORK_SUFFIX, (int)strlen(NETWORK_SUFFIX)};
	int is_network = text.len > suffix.len && memcmp(text.s + text.len - suffix.len, suffix.s, suffix.len) == 0;

	if(!is_network)
		return str2ipbuf(&text, ip) == 0 || str2ip6buf(&text, ip) == 0 ? 0 : -1;
	text.len -= suffix.len;
	if(str2ip6buf(&text, ip) != 0)
		return -1;
	ip->len = NETWORK_LEN;
	return 0;
}

static const char *text_of(ip_addr_t *ip)
{
	static char text[INET6_ADDRSTRLEN + sizeof(NETWORK_SUFFIX)];

	/* The bytes after a network's are zero. */
	if(inet_ntop(ip->af, ip->u.addr, text, INET6_ADDRSTRLEN) == NULL)
		return "";
	if(ip->len == NETWORK_LEN)
		strcat(text, NETWORK_SUFFIX);
	return text;
}

static int w_restore(sip_msg_t *msg, char *p1, char *p2)
{
	struct ban ban = {.reason = REASONS};
	char name[NEWS_MAX];
	str address;
	str rest;

	if(param(msg, p1, &address) < 0 || param(msg, p2, &rest) < 0 || rest.len >= NEWS_MAX)
		return -1;
	if(sscanf(rest.s, "%s %lld %lld", name, &ban.since, &ban.until) == 3)
		ban.reason = reason_of((str){name, (int)strlen(name)});
	if(read_ip(address, &ban.ip) < 0 || ban.reason == REASONS)
		return -1;
	ban_restore(&ban);
	return 1;
}

static int w_news(sip_msg_t *msg, char *p1, char *p2)
{
	pv_spec_t *into = (pv_spec_t *)p1;
	pv_value_t value = {.flags = PV_VAL_STR};
	char text[NEWS_MAX];
	struct ban ban;

	if(!ban_news(&ban))
		return -1;
	value.rs.s = text;
	value.rs.len = snprintf(text, sizeof(text), "%s %s %lld %lld", text_of(&ban.ip), reason_text(ban.reason),
			ban.since, ban.until);
	return into->setf(msg, &into->pvp, EQ_T, &value) < 0 ? -1 : 1;
}

static int w_lift(sip_msg_t *msg, char *p1, char *p2)
{
	ip_addr_t ip;
	str address;
	str before;

	if(param(msg, p1, &address) < 0 || param(msg, p2, &before) < 0 || read_ip(address, &ip) < 0)
		return -1;
	return ban_lift(&ip, strtoll(before.s, NULL, 10)) ? 1 : -1;
}

/* For hide: a message that is none. */
static int malformed(struct sip_msg *msg, char *ip, char *unused)
{
	source_failed((ip_addr_t *)ip, MALFORMED);
	return 1;
}

static cmd_export_t commands[] = {
		{"guard_has_to_ask", (cmd_function)w_has_to_ask, 0, 0, 0, REQUEST_ROUTE},
		{"guard_judge", (cmd_function)w_judge, 1, fixup_spve_null, fixup_free_spve_null, REQUEST_ROUTE},
		{"guard_stands", (cmd_function)w_stands, 0, 0, 0, REQUEST_ROUTE},
		{"guard_failed", (cmd_function)w_failed, 1, fixup_spve_null, fixup_free_spve_null, REQUEST_ROUTE},
		{"guard_succeeded", (cmd_function)w_succeeded, 0, 0, 0, REQUEST_ROUTE},
		{"guard_proved", (cmd_function)w_proved, 0, 0, 0, REQUEST_ROUTE},
		{"guard_has_proved", (cmd_function)w_has_proved, 0, 0, 0, REQUEST_ROUTE},
		{"guard_restore", (cmd_function)w_restore, 2, fixup_spve_spve, fixup_free_spve_spve, ANY_ROUTE},
		{"guard_news", (cmd_function)w_news, 1, fixup_pvar_null, fixup_free_pvar_null, ANY_ROUTE},
		{"guard_lift", (cmd_function)w_lift, 2, fixup_spve_spve, fixup_free_spve_spve, ANY_ROUTE},
		{"guard_malformed", (cmd_function)malformed, 1, 0, 0, 0},
		{0, 0, 0, 0, 0, 0}};

/* --- RPC --- */

struct answer {
	rpc_t *rpc;
	void *context;
};

static void show(struct ban *ban, void *context)
{
	struct answer *to = context;
	void *item;

	if(to->rpc->add(to->context, "{", &item) < 0)
		return;
	to->rpc->struct_add(item, "ssdd", "address", text_of(&ban->ip), "reason", reason_text(ban->reason), "since",
			(int)ban->since, "until", (int)ban->until);
}

static const char *rpc_bans_doc[] = {"The bans in force, at most 1000: address, reason, since and until (Unix s)", 0};

static void rpc_bans(rpc_t *rpc, void *context)
{
	struct answer answer = {rpc, context};

	ban_each(show, &answer, SHOWN);
}

static const char *rpc_lift_doc[] = {"Lifts the ban of an address", 0};

static void rpc_lift(rpc_t *rpc, void *context)
{
	ip_addr_t ip;
	str address;

	if(rpc->scan(context, "S", &address) < 1 || read_ip(address, &ip) < 0)
		rpc->fault(context, 400, "an address is needed");
	else if(!ban_lift(&ip, 0))
		rpc->fault(context, 404, "it is not banned");
}

static const char *rpc_limits_doc[] = {"Sets rate, burst, trusted rate, ban, failures and within", 0};

static void rpc_limits(rpc_t *rpc, void *context)
{
	struct limits wanted;

	if(rpc->scan(context, "dddddd", &wanted.rate, &wanted.burst, &wanted.trusted_rate, &wanted.ban, &wanted.failures,
			   &wanted.within) < 6
			|| wanted.rate < 1 || wanted.burst < 1 || wanted.trusted_rate < 1 || wanted.failures < 1) {
		rpc->fault(context, 400, "six limits are needed");
		return;
	}
	*limits = wanted;
}

static const char *rpc_counts_doc[] = {"Messages that were dropped, by reason, and bans, since the start", 0};

static void rpc_counts(rpc_t *rpc, void *context)
{
	void *item;

	if(rpc->add(context, "{", &item) < 0)
		return;
	rpc->struct_add(item, "ddddd", "denied", (int)counts->denied, "banned", (int)counts->banned, "too_fast",
			(int)counts->too_fast, "too_many_new", (int)counts->too_many_new, "bans", (int)counts->bans);
}

static rpc_export_t rpcs[] = {{"guard.bans", rpc_bans, rpc_bans_doc, RET_ARRAY},
		{"guard.lift", rpc_lift, rpc_lift_doc, 0}, {"guard.limits", rpc_limits, rpc_limits_doc, 0},
		{"guard.counts", rpc_counts, rpc_counts_doc, 0}, {0, 0, 0, 0}};

/* --- module --- */

static int mod_init(void)
{
	if(sources_init() < 0)
		return -1;
	*limits = initial;
	if(rpc_register_array(rpcs) != 0)
		return -1;
	if(sr_event_register_cb(SREV_NET_DATA_IN, on_received) != 0
			|| sr_event_register_cb(SREV_NET_DATA_OUT, on_sent) != 0)
		return -1;
	return 0;
}

static param_export_t params[] = {{"rate", PARAM_INT, &initial.rate}, {"burst", PARAM_INT, &initial.burst},
		{"trusted_rate", PARAM_INT, &initial.trusted_rate}, {"ban", PARAM_INT, &initial.ban},
		{"failures", PARAM_INT, &initial.failures}, {"within", PARAM_INT, &initial.within}, {0, 0, 0}};

struct module_exports exports = {
		"guard", DEFAULT_DLFLAGS, commands, params, 0, 0, 0, mod_init, 0, sources_destroy};
