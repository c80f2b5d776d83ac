/*
 * guard: which sources are heard, how fast they may speak, and which are banned.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A table in shared memory has an entry for each address that was heard of lately: what it is to this SBC
 * (the routing script asks the store, at most twice a second for a source), when its next message is due, and how often
 * it failed. It is of fixed size: the least important entry of a place makes room for a new one, so that
 * no flood of invented sources takes memory or time.
 *
 * Of IPv6 a host has as many addresses as it likes, for what a site is given is a /64 at least (RFC 6177). So those of one
 * /64 have one rate, one count of failures and one ban, which is an entry of its own. What an address is, and that
 * it is vouched for, is its own matter: then it answers for itself alone.
 *
 * Times are in microseconds of the monotonic clock, except those of bans, which outlive this process and are
 * in Unix seconds.
 */
#ifndef GUARD_H
#define GUARD_H

#include "../../core/ip_addr.h"
#include "../../core/str.h"

/* What a source is to this SBC. */
enum standing {
	UNJUDGED,
	STRANGER,   /* nobody we know: it hears nothing of us */
	CHALLENGED, /* nobody we know, on a side where somebody may prove himself by password */
	TRUSTED,    /* the address of a trunk */
	DENIED      /* a source rule says so, or it is banned */
};

/* Why a source was banned: also what it can fail at. */
enum reason { RATE, STRANGE, MALFORMED, UNPROVED, PASSWORD, NOWHERE, SCANNER, REASONS };

/* What this SBC allows. A rate is in messages a second, `burst` how many may come at once. */
struct limits {
	int rate;
	int burst;
	int trusted_rate;
	int ban;      /* seconds; without any nobody is banned */
	int failures; /* that lead to a ban, when they happen */
	int within;   /* seconds */
};

/* What was done, since the start. */
struct counts {
	unsigned int denied;
	unsigned int banned;
	unsigned int too_fast;
	unsigned int too_many_new;
	unsigned int bans;
};

/* A ban as the world sees it; `until` 0 when it was lifted. `since` and `until` in Unix seconds. */
struct ban {
	ip_addr_t ip;
	enum reason reason;
	long long since;
	long long until;
};

/* Who has proved himself may fail so many times as often as others; and who has not may ask so many times as often
 * without a password as with a wrong one. */
#define PATIENCE 20
/* How long a proof by password, and a request of ours, vouch for a source: microseconds. */
#define PROOF_HOLDS (3600LL * 1000000)
#define ACQUAINTANCE_HOLDS (600LL * 1000000)
/* How long what the store said is good: microseconds. */
#define JUDGEMENT_HOLDS 500000LL
/* How often the store is asked about those who are not vouched for, in a second and at once. */
#define STRANGERS 2000
#define STRANGERS_AT_ONCE 500
/* Bytes of an address that is that of a whole IPv6 network: it has this `len`. */
#define NETWORK_LEN 8

extern struct limits *limits;
extern struct counts *counts;

int sources_init(void);
void sources_destroy(void);

/* A message of `ip` came, a request or not. Returns whether it is heard; sets `judge` when the routing script has
 * to ask the store what this source is before it does anything else. */
int source_is_heard(ip_addr_t *ip, int is_request, int *judge);
/* What the store said. Who is trusted now is not kept out for what he did before, who is challenged now not for having
 * been a stranger. */
void source_judged(ip_addr_t *ip, enum standing standing);
/* What the source is: DENIED also while it is banned. */
enum standing source_stands(ip_addr_t *ip);
/* The source failed at something; too often means a ban. Strangers and scanners, who have no business here, are banned at
 * once, a trunk's address never: over UDP anybody can speak in its name. */
void source_failed(ip_addr_t *ip, enum reason reason);
/* It did something right: what it failed at before is forgotten. */
void source_succeeded(ip_addr_t *ip);
/* It proved itself by password. */
void source_proved(ip_addr_t *ip);
/* We send it requests ourselves. */
void source_met(ip_addr_t *ip);
int source_has_proved(ip_addr_t *ip);

/* Ban as it was before a restart: nobody has to be told. */
void ban_restore(struct ban *ban);
/* Lift the ban of an address and of its network, when it was made before `before` (Unix seconds; 0: whenever). Returns
 * whether there was one. */
int ban_lift(ip_addr_t *ip, long long before);
/* The next ban, or lifting, that nobody has been told of. Returns 0 when there is none. */
int ban_news(struct ban *ban);
/* Calls `show` with every ban in force, at most `most` of them. */
void ban_each(void (*show)(struct ban *ban, void *context), void *context, int most);

const char *reason_text(enum reason reason);
/* REASONS for a text that is none. */
enum reason reason_of(str text);

#endif
