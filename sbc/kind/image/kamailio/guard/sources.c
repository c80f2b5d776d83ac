/*
 * The table of sources. See guard.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>
#include <time.h>

#include "../../core/dprint.h"
#include "../../core/hashes.h"
#include "../../core/locking.h"
#include "../../core/mem/shm_mem.h"
#include "guard.h"

/* The table: places chosen by a hash, each with room for some sources. */
#define PLACES 8192
#define ROOM 8
#define LOCKS 256

struct source {
	long long due;      /* when its next message would be in time */
	long long judged;   /* when the store was asked last */
	long long proved;   /* until when a proof holds */
	long long met;      /* until when it is someone we send to */
	long long failing;  /* since when it has had points for failures */
	long long heard;    /* when its last message came */
	long long banned;   /* until when, in Unix seconds */
	long long since;    /* since when */
	int points;
	unsigned char address[16];
	unsigned char length; /* of the address; 0 for an entry that is not in use */
	unsigned char standing;
	unsigned char reason;
	unsigned char untold;      /* its ban, or its lifting */
};

struct limits *limits;
struct counts *counts;

static struct source *sources;
static gen_lock_set_t *locks;
static int *untold;
static long long *strangers_due;

static const char *const reasons[REASONS] = {
		"rate", "stranger", "malformed", "unproved", "password", "nowhere", "scanner"};

const char *reason_text(enum reason reason)
{
	return reasons[reason];
}

enum reason reason_of(str text)
{
	int i;

	for(i = 0; i < REASONS; i++) {
		if(text.len == (int)strlen(reasons[i]) && memcmp(text.s, reasons[i], text.len) == 0)
			break;
	}
	return i;
}

static void *shared(size_t size)
{
	void *found = shm_malloc(size);

	if(found)
		memset(found, 0, size);
	return found;
}

int sources_init(void)
{
	sources = shared(sizeof(*sources) * PLACES * ROOM);
	limits = shared(sizeof(*limits));
	counts = shared(sizeof(*counts));
	untold = shared(sizeof(*untold));
	strangers_due = shared(sizeof(*strangers_due));
	locks = lock_set_alloc(LOCKS);
	if(!sources || !limits || !counts || !untold || !strangers_due || !locks || !lock_set_init(locks)) {
		LM_ERR("no shared memory for the table of sources\n");
		return -1;
	}
	return 0;
}

void sources_destroy(void)
{
	void *parts[] = {sources, limits, counts, untold, strangers_due};
	size_t i;

	for(i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		if(parts[i])
			shm_free(parts[i]);
	}
	if(locks) {
		lock_set_destroy(locks);
		lock_set_dealloc(locks);
	}
}

static long long now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* Whether one more is in time when `rate` a second may come and `burst` at once; then it is counted (GCRA, the
 * virtual scheduling algorithm of ITU-T I.371). */
static int in_time(long long *due, long long now, int rate, int burst)
{
	long long gap = 1000000 / rate;

	if(*due > now + (burst - 1) * gap)
		return 0;
	*due = (*due > now ? *due : now) + gap;
	return 1;
}

/* --- finding and making room --- */

static unsigned int place_of(ip_addr_t *ip)
{
	str address = {(char *)ip->u.addr, ip->len};

	return get_hash1_raw(address.s, address.len) % PLACES;
}

static int is_of(struct source *source, ip_addr_t *ip)
{
	return source->length == ip->len && memcmp(source->address, ip->u.addr, ip->len) == 0;
}

static int is_banned(struct source *source, long long clock)
{
	return source->banned > clock;
}

static int vouched_for(struct source *source, long long now)
{
	return source->standing == TRUSTED || source->proved > now || source->met > now;
}

/* What is lost when a source is forgotten, from nothing to most. */
static int importance(struct source *source, long long now, long long clock)
{
	if(source->length == 0)
		return 0;
	if(is_banned(source, clock))
		return 2;
	return vouched_for(source, now) ? 3 : 1;
}

static struct source *find(unsigned int place, ip_addr_t *ip)
{
	struct source *source = sources + place * ROOM;
	struct source *end = source + ROOM;

	for(; source < end; source++) {
		if(is_of(source, ip))
			return source;
	}
	return NULL;
}

/* The entry of least importance, of those the one that was silent longest, becomes the new source's. */
static struct source *take(unsigned int place, ip_addr_t *ip, long long now)
{
	struct source *least = sources + place * ROOM;
	long long clock = time(NULL);
	int i;

	for(i = 1; i < ROOM; i++) {
		struct source *other = sources + place * ROOM + i;
		int more = importance(other, now, clock) - importance(least, now, clock);

		if(more < 0 || (more == 0 && other->heard < least->heard))
			least = other;
	}
	if(least->untold)
		__sync_fetch_and_sub(untold, 1);
	memset(least, 0, sizeof(*least));
	memcpy(least->address, ip->u.addr, ip->len);
	least->length = ip->len;
	least->judged = now - JUDGEMENT_HOLDS;
	least->heard = now;
	return least;
}

/* Locks the place of `ip` and gives its entry, a new one when there was none. */
static struct source *enter(ip_addr_t *ip, long long now)
{
	unsigned int place = place_of(ip);
	struct source *source;

	lock_set_get(locks, place % LOCKS);
	source = find(place, ip);
	return source ? source : take(place, ip, now);
}

static void leave(ip_addr_t *ip)
{
	lock_set_release(locks, place_of(ip) % LOCKS);
}

/* Says whether `ip` has a network that may answer for it, and which. */
static int network_of(ip_addr_t *ip, ip_addr_t *network)
{
	if(ip->len != 16)
		return 0;
	memset(network, 0, sizeof(*network));
	network->af = AF_INET6;
	network->len = NETWORK_LEN;
	memcpy(network->u.addr, ip->u.addr, NETWORK_LEN);
	return 1;
}

/* The entry of `ip` as it is, without making one; all zero when there is none. */
static struct source glance(ip_addr_t *ip)
{
	unsigned int place = place_of(ip);
	struct source found = {0};
	struct source *source;

	lock_set_get(locks, place % LOCKS);
	source = find(place, ip);
	if(source)
		found = *source;
	lock_set_release(locks, place % LOCKS);
	return found;
}

/* Who answers for what `ip` does: itself when it is vouched for, otherwise its network if it has one. */
static ip_addr_t account_of(ip_addr_t *ip, long long now)
{
	ip_addr_t network;
	struct source own;

	if(!network_of(ip, &network))
		return *ip;
	own = glance(ip);
	return vouched_for(&own, now) ? *ip : network;
}

static int is_network(ip_addr_t *ip)
{
	return ip->len == NETWORK_LEN;
}

/* --- bans --- */

static void tell(struct source *source)
{
	if(!source->untold)
		__sync_fetch_and_add(untold, 1);
	source->untold = 1;
}

static void ban(struct source *source, enum reason reason)
{
	long long clock = time(NULL);

	if(limits->ban <= 0 || is_banned(source, clock))
		return;
	source->reason = reason;
	source->since = clock;
	source->banned = clock + limits->ban;
	source->points = 0;
	__sync_fetch_and_add(&counts->bans, 1);
	tell(source);
}

static void lift(struct source *source)
{
	source->banned = 0;
	source->points = 0;
	tell(source);
}

static void describe(struct source *source, struct ban *ban)
{
	memset(ban, 0, sizeof(*ban));
	ban->ip.af = source->length == 4 ? AF_INET : AF_INET6;
	ban->ip.len = source->length;
	memcpy(ban->ip.u.addr, source->address, source->length);
	ban->reason = source->reason;
	ban->since = source->since;
	ban->until = source->banned;
}

void ban_restore(struct ban *kept)
{
	struct source *source = enter(&kept->ip, now_us());

	source->reason = kept->reason;
	source->since = kept->since;
	source->banned = kept->until;
	leave(&kept->ip);
}

static int lift_one(ip_addr_t *ip, long long before)
{
	struct source *source;
	int found = 0;

	lock_set_get(locks, place_of(ip) % LOCKS);
	source = find(place_of(ip), ip);
	if(source && is_banned(source, time(NULL)) && (before == 0 || source->since < before)) {
		lift(source);
		found = 1;
	}
	leave(ip);
	return found;
}

int ban_lift(ip_addr_t *ip, long long before)
{
	ip_addr_t network;
	int found = lift_one(ip, before);

	if(network_of(ip, &network))
		found |= lift_one(&network, before);
	return found;
}

int ban_news(struct ban *news)
{
	static int next = 0;
	int looked;

	for(looked = 0; *untold > 0 && looked < PLACES * ROOM; looked++, next = (next + 1) % (PLACES * ROOM)) {
		struct source *source = sources + next;
		int place = next / ROOM;

		if(!source->untold)
			continue;
		lock_set_get(locks, place % LOCKS);
		if(source->untold) {
			source->untold = 0;
			__sync_fetch_and_sub(untold, 1);
			describe(source, news);
			lock_set_release(locks, place % LOCKS);
			return 1;
		}
		lock_set_release(locks, place % LOCKS);
	}
	return 0;
}

void ban_each(void (*show)(struct ban *ban, void *context), void *context, int most)
{
	long long clock = time(NULL);
	struct ban shown;
	int i;

	for(i = 0; i < PLACES * ROOM && most > 0; i++) {
		int found;

		if(!is_banned(sources + i, clock))
			continue;
		lock_set_get(locks, i / ROOM % LOCKS);
		found = is_banned(sources + i, clock);
		describe(sources + i, &shown);
		lock_set_release(locks, i / ROOM % LOCKS);
		if(found) {
			show(&shown, context);
			most--;
		}
	}
}

/* --- what sources do --- */

/* Whether the store is to be asked about the source now. For those who are not vouched for, of whom there may be any
 * number, it is asked so often in a second and no more. */
static int is_to_be_judged(struct source *source, long long now)
{
	if(source->standing != UNJUDGED && now - source->judged < JUDGEMENT_HOLDS)
		return 0;
	/* Two processes at once may count one for two: this guards our time, it is no limit that was sold. */
	return vouched_for(source, now) || in_time(strangers_due, now, STRANGERS, STRANGERS_AT_ONCE);
}

static int is_too_fast(struct source *source, long long now)
{
	int known = vouched_for(source, now);
	int rate = known ? limits->trusted_rate : limits->rate;

	if(in_time(&source->due, now, rate, known ? rate : limits->burst))
		return 0;
	if(!known)
		ban(source, RATE);
	return 1;
}

/* Whether a message of `source` is heard; `is_counted` when its rate is counted elsewhere. */
static int is_heard(struct source *source, int is_counted, int is_request, int *judge, long long now)
{
	int banned = is_banned(source, time(NULL));
	int shut = banned || source->standing == DENIED;

	source->heard = now;
	if(!shut && !is_counted && is_too_fast(source, now)) {
		__sync_fetch_and_add(&counts->too_fast, 1);
		return 0;
	}
	if(is_request && is_to_be_judged(source, now)) {
		source->judged = now;
		*judge = 1;
		return 1; /* also a message of one who is shut out: that may have changed */
	}
	if(is_request && source->standing == UNJUDGED) {
		__sync_fetch_and_add(&counts->too_many_new, 1);
		return 0;
	}
	if(shut)
		__sync_fetch_and_add(banned ? &counts->banned : &counts->denied, 1);
	return !shut;
}

/* Whether a message from this network is heard. A banned one is listened to at the pace of anyone's messages, and only to
 * ask the store: one of its addresses may be a trunk's, of whom nothing was heard since the start. */
static int is_network_heard(ip_addr_t *network, int *is_banned_network, long long now)
{
	struct source *source = enter(network, now);
	int heard;

	source->heard = now;
	*is_banned_network = is_banned(source, time(NULL));
	heard = *is_banned_network ? in_time(&source->due, now, limits->rate, limits->burst) : !is_too_fast(source, now);
	leave(network);
	if(!heard)
		__sync_fetch_and_add(*is_banned_network ? &counts->banned : &counts->too_fast, 1);
	return heard;
}

int source_is_heard(ip_addr_t *ip, int is_request, int *judge)
{
	long long now = now_us();
	ip_addr_t account = account_of(ip, now);
	int is_banned_network = 0;
	struct source *source;
	int heard;

	if(is_network(&account) && !is_network_heard(&account, &is_banned_network, now))
		return 0;
	source = enter(ip, now);
	heard = is_heard(source, is_network(&account), is_request, judge, now);
	leave(ip);
	if(heard && is_banned_network && !*judge) {
		__sync_fetch_and_add(&counts->banned, 1);
		return 0;
	}
	return heard;
}

void source_judged(ip_addr_t *ip, enum standing standing)
{
	ip_addr_t network;
	struct source *source = enter(ip, now_us());
	int is_welcome = standing == TRUSTED || (standing == CHALLENGED && source->reason == STRANGE);

	source->standing = standing;
	if(is_welcome && is_banned(source, time(NULL)))
		lift(source);
	leave(ip);
	if(standing == CHALLENGED && network_of(ip, &network) && glance(&network).reason == STRANGE)
		lift_one(&network, 0);
}

enum standing source_stands(ip_addr_t *ip)
{
	ip_addr_t account = account_of(ip, now_us());
	struct source own = glance(ip);
	struct source responsible = is_network(&account) ? glance(&account) : own;
	long long clock = time(NULL);

	return is_banned(&own, clock) || is_banned(&responsible, clock) ? DENIED : own.standing;
}

/* At how many points the source is banned for failing at this; 0 is never. Who is vouched for is blamed only for what
 * takes an answer of ours to do, because anything else could have been sent in his name. */
static int points_to_ban(struct source *source, enum reason reason, long long now)
{
	if(!vouched_for(source, now))
		return reason == SCANNER || reason == STRANGE ? 1 : limits->failures * PATIENCE;
	if(source->standing == TRUSTED || source->proved <= now || (reason != PASSWORD && reason != NOWHERE))
		return 0;
	return limits->failures * PATIENCE * PATIENCE;
}

void source_failed(ip_addr_t *ip, enum reason reason)
{
	long long now = now_us();
	ip_addr_t account = account_of(ip, now);
	struct source *source = enter(&account, now);
	int most = points_to_ban(source, reason, now);

	if(source->points == 0 || now - source->failing > limits->within * 1000000LL) {
		source->failing = now;
		source->points = 0;
	}
	/* To ask without a password is how one learns that there must be one: it weighs little. */
	source->points += reason == UNPROVED ? 1 : PATIENCE;
	if(most > 0 && source->points >= most)
		ban(source, reason);
	leave(&account);
}

void source_succeeded(ip_addr_t *ip)
{
	struct source *source = enter(ip, now_us());

	source->points = 0;
	leave(ip);
}

void source_proved(ip_addr_t *ip)
{
	long long now = now_us();
	ip_addr_t account = account_of(ip, now);
	struct source *source = enter(ip, now);
	int is_first = source->proved <= now;

	source->proved = now + PROOF_HOLDS;
	leave(ip);
	if(is_first)
		source_succeeded(&account); /* it asked, and guessed perhaps, before it was anybody */
}

void source_met(ip_addr_t *ip)
{
	long long now = now_us();
	struct source *source = enter(ip, now);

	source->met = now + ACQUAINTANCE_HOLDS;
	leave(ip);
}

int source_has_proved(ip_addr_t *ip)
{
	long long now = now_us();
	struct source *source = enter(ip, now);
	int found = source->proved > now;

	leave(ip);
	return found;
}
