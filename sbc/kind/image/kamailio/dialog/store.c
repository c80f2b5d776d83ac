/*
 * Writes dialogs to Redis, each at once and over its Unix socket. What db_redis writes and reads for the tables
 * `dialog` and `dialog_vars` is the same, but it keeps sets beside them, which nobody here reads, and waits for the
 * answer to each of six commands.
 *
 * A dialog's entry is locked until Redis has answered: who ends the call takes the lock first, so that what is
 * told of its end comes after what is written of it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../../core/counters.h"
#include "../../core/dprint.h"
#include "../../core/timer.h"
#include "dlg_var.h"
#include "store.h"

#define MOST_ARGUMENTS 64
#define NUMBER_LEN 16
#define KEY_LEN 256
/* a connection, and an answer */
#define PATIENCE_US 500000

char *store_socket = NULL;
char *store_password = NULL;
int store_database = 0;

static redisContext *redis = NULL;
/* a process that was forked with a connection makes its own */
static pid_t opened_by = 0;
/* the second in which Redis did not answer: nobody waits again in it */
static time_t failed_at = 0;

/* a command in the making; numbers are written where they stay until it is sent */
struct command {
	int count;
	const char *parts[MOST_ARGUMENTS];
	size_t lens[MOST_ARGUMENTS];
	int numbers;
	char number[8][NUMBER_LEN];
};

static void put(struct command *command, const char *text, size_t len)
{
	command->parts[command->count] = text;
	command->lens[command->count++] = len;
}

static void put_text(struct command *command, const char *text)
{
	put(command, text, strlen(text));
}

static void put_field(struct command *command, const char *name, str value)
{
	put_text(command, name);
	put(command, value.s ? value.s : "", value.s ? value.len : 0);
}

static void put_number(struct command *command, const char *name, unsigned int value)
{
	char *text = command->number[command->numbers++];

	put_text(command, name);
	put(command, text, snprintf(text, NUMBER_LEN, "%u", value));
}

static void put_socket(struct command *command, const char *name, struct socket_info *socket)
{
	str none = STR_NULL;

	put_field(command, name, socket ? socket->sock_str : none);
}

/* -- the connection -- */

static void close_store(void)
{
	if(redis)
		redisFree(redis);
	redis = NULL;
}

static int is_taken(redisReply *reply)
{
	int taken = reply && reply->type != REDIS_REPLY_ERROR;

	if(reply && !taken)
		LM_ERR("the store takes no dialogs: %s\n", reply->str);
	if(reply)
		freeReplyObject(reply);
	return taken;
}

static int fail(void)
{
	close_store();
	failed_at = time(NULL);
	return -1;
}

static int open_store(void)
{
	struct timeval patience = {0, PATIENCE_US};

	if(redis && opened_by == getpid())
		return 0;
	if(failed_at == time(NULL))
		return -1;
	close_store();
	redis = redisConnectUnixWithTimeout(store_socket, patience);
	if(redis == NULL || redis->err || redisSetTimeout(redis, patience) != REDIS_OK
			|| (store_password && !is_taken(redisCommand(redis, "AUTH %s", store_password)))
			|| !is_taken(redisCommand(redis, "SELECT %d", store_database))) {
		LM_ERR("the store of dialogs does not answer at %s\n", store_socket);
		return fail();
	}
	opened_by = getpid();
	return 0;
}

static int append(struct command *command)
{
	return redisAppendCommandArgv(redis, command->count, command->parts, command->lens) == REDIS_OK ? 0 : -1;
}

static int send_all(void)
{
	int done = 0;

	while(!done)
		if(redisBufferWrite(redis, &done) != REDIS_OK)
			return -1;
	return 0;
}

/* -- rows -- */

static int row_key(struct dlg_cell *dlg, char *key)
{
	return snprintf(key, KEY_LEN, "dialog:entry::%u:%u", dlg->h_entry, dlg->h_id);
}

static int var_key(struct dlg_cell *dlg, struct dlg_var *var, char *key)
{
	int len = snprintf(key, KEY_LEN, "dialog_vars:entry::%u:%u:%.*s", dlg->h_entry, dlg->h_id, var->key.len, var->key.s);

	return len < KEY_LEN ? len : KEY_LEN - 1;
}

static int append_row(struct dlg_cell *dlg)
{
	static char key[KEY_LEN];
	str none = STR_NULL;
	struct command row = {0};

	put_text(&row, "HSET");
	put(&row, key, row_key(dlg, key));
	put_number(&row, "hash_entry", dlg->h_entry);
	put_number(&row, "hash_id", dlg->h_id);
	put_field(&row, "callid", dlg->callid);
	put_field(&row, "from_uri", dlg->from_uri);
	put_field(&row, "from_tag", dlg->tag[DLG_CALLER_LEG]);
	put_field(&row, "to_uri", dlg->to_uri);
	put_field(&row, "to_tag", dlg->tag[DLG_CALLEE_LEG]);
	put_socket(&row, "caller_sock", dlg->bind_addr[DLG_CALLER_LEG]);
	put_socket(&row, "callee_sock", dlg->bind_addr[DLG_CALLEE_LEG]);
	put_number(&row, "start_time", dlg->start_ts);
	put_number(&row, "state", dlg->state);
	put_number(&row, "timeout", (unsigned int)time(NULL) + dlg->tl.timeout - get_ticks());
	put_field(&row, "caller_cseq", dlg->cseq[DLG_CALLER_LEG]);
	put_field(&row, "callee_cseq", dlg->cseq[DLG_CALLEE_LEG]);
	put_field(&row, "caller_contact", dlg->contact[DLG_CALLER_LEG]);
	put_field(&row, "callee_contact", dlg->contact[DLG_CALLEE_LEG]);
	put_field(&row, "caller_route_set", dlg->route_set[DLG_CALLER_LEG]);
	put_field(&row, "callee_route_set", dlg->route_set[DLG_CALLEE_LEG]);
	put_number(&row, "sflags", dlg->sflags);
	put_field(&row, "toroute_name", dlg->toroute_name);
	put_field(&row, "req_uri", dlg->req_uri);
	put_field(&row, "xdata", none);
	put_number(&row, "iflags", dlg->iflags);
	return append(&row);
}

static int append_var(struct dlg_cell *dlg, struct dlg_var *var)
{
	static char key[KEY_LEN];
	struct command row = {0};

	put_text(&row, var->vflags & DLG_FLAG_DEL ? "UNLINK" : "HSET");
	put(&row, key, var_key(dlg, var, key));
	if(!(var->vflags & DLG_FLAG_DEL)) {
		put_number(&row, "hash_entry", dlg->h_entry);
		put_number(&row, "hash_id", dlg->h_id);
		put_field(&row, "dialog_key", var->key);
		put_field(&row, "dialog_value", var->value);
	}
	return append(&row);
}

/* how many commands were appended; -1 when one could not be */
static int append_changes(struct dlg_cell *dlg)
{
	struct dlg_var *var;
	int count = 0;

	for(var = dlg->vars; var; var = var->next) {
		if(!(var->vflags & (DLG_FLAG_NEW | DLG_FLAG_CHANGED | DLG_FLAG_DEL)))
			continue;
		if(append_var(dlg, var) < 0)
			return -1;
		count++;
	}
	if(dlg->dflags & (DLG_FLAG_NEW | DLG_FLAG_CHANGED)) {
		if(append_row(dlg) < 0)
			return -1;
		count++;
	}
	return count;
}

static void note_written(struct dlg_cell *dlg)
{
	struct dlg_var *var;

	for(var = dlg->vars; var; var = var->next)
		var->vflags &= ~(DLG_FLAG_NEW | DLG_FLAG_CHANGED);
	dlg->dflags &= ~(DLG_FLAG_NEW | DLG_FLAG_CHANGED | DLG_FLAG_CHANGED_VARS);
}

static int write_once(struct dlg_cell *dlg)
{
	redisReply *reply;
	int count, taken = 1;

	if(open_store() < 0)
		return -1;
	for(count = append_changes(dlg); count > 0; count--) {
		reply = NULL;
		if(redisGetReply(redis, (void **)&reply) != REDIS_OK)
			return fail();
		taken &= is_taken(reply);
	}
	if(count < 0)
		return fail();
	if(taken)
		note_written(dlg);
	return taken ? 0 : -1;
}

int store_write(struct dlg_cell *dlg)
{
	int was_open = redis != NULL;

	if(!(dlg->dflags & (DLG_FLAG_NEW | DLG_FLAG_CHANGED | DLG_FLAG_CHANGED_VARS)))
		return 0;
	if(write_once(dlg) == 0)
		return 0;
	if(redis || !was_open)
		return -1;
	/* the connection was one to a Redis that is no more: there may be another */
	failed_at = 0;
	return write_once(dlg);
}

int store_remove(struct dlg_cell *dlg)
{
	static char key[KEY_LEN], keys[4][KEY_LEN];
	struct command skip = {0}, removal = {0};
	struct dlg_var *var;
	int count = 0;

	if(open_store() < 0)
		return -1;
	put_text(&skip, "CLIENT");
	put_text(&skip, "REPLY");
	put_text(&skip, "SKIP");
	put_text(&removal, "UNLINK");
	put(&removal, key, row_key(dlg, key));
	for(var = dlg->vars; var && count < 4; var = var->next, count++)
		put(&removal, keys[count], var_key(dlg, var, keys[count]));
	if(append(&skip) < 0 || append(&removal) < 0 || send_all() < 0) {
		close_store();
		return -1;
	}
	return 0;
}
