/*
 * hide as Kamailio sees it: two callbacks at the edge of the network, one parameter, one function.
 *
 *   loadmodule "hide.so"
 *   modparam("hide", "key_file", "/etc/naas/hide.key")
 *   hide_callid("$ci", "$var(theirs)");   # as which the callee's side knows the call of a caller's Call-ID
 *
 * It must be loaded before every other module that looks at messages there: then it is the first to
 * see what arrives, and what is malformed reaches none of them (dialog's CSeq tracking in 5.6.3 crashes
 * on a reply without a mandatory header), and the last to see what leaves.
 * What cannot be rewritten is not let through.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "../../core/config.h"
#include "../../core/dprint.h"
#include "../../core/events.h"
#include "../../core/lvalue.h"
#include "../../core/mem/mem.h"
#include "../../core/mod_fix.h"
#include "../../core/sr_module.h"
#include "../../core/tcp_server.h"
#include "hide.h"

MODULE_VERSION

/* Shorter ones are keep-alives. */
#define SHORTEST_MESSAGE 24

int tcp_set_clone_rcvbuf(int v);

static char *key_file = "/etc/naas/hide.key";
static char rewritten[BUF_SIZE + 1];
static cmd_function guard_malformed; /* of the module guard, where it is loaded */

static int on_received(sr_event_param_t *evp)
{
	str *buf = evp->data;
	int len;

	if(buf->len < SHORTEST_MESSAGE)
		return 0;
	len = hide_inward(*buf, rewritten, BUF_SIZE - 1);
	if(len < 0) {
		LM_INFO("dropped a message that is malformed or belongs to nothing\n");
		len = 0;
		if(guard_malformed)
			guard_malformed(NULL, (char *)&evp->rcv->src_ip, NULL);
	}
	memcpy(buf->s, rewritten, len);
	buf->len = len;
	buf->s[len] = '\0';
	return 0;
}

static void replace(str *buf, int len)
{
	char *s = len > 0 ? pkg_malloc(len + 1) : NULL;

	if(s) {
		memcpy(s, rewritten, len);
		s[len] = '\0';
	}
	pkg_free(buf->s);
	buf->s = s; /* without one, the core refuses to send */
	buf->len = s ? len : 0;
}

static int on_sent(sr_event_param_t *evp)
{
	str *buf = evp->data;
	int len;

	if(buf->s == NULL || buf->len < SHORTEST_MESSAGE)
		return 0;
	len = hide_outward(*buf, evp->dst, rewritten, BUF_SIZE - 1);
	if(len < 0)
		LM_ERR("kept back a message that could not be hidden (%d bytes)\n", buf->len);
	replace(buf, len);
	return 0;
}

static int hide_callid(sip_msg_t *msg, char *callid, char *result)
{
	pv_spec_t *to = (pv_spec_t *)result;
	pv_value_t value = {.flags = PV_VAL_STR};
	str plain;

	if(fixup_get_svalue(msg, (gparam_t *)callid, &plain) != 0)
		return -1;
	value.rs.s = rewritten;
	value.rs.len = seal(SEAL_CALLID, (str){"", 0}, plain, rewritten);
	if(value.rs.len < 0)
		return -1;
	return pv_set_spec_value(msg, to, EQ_T, &value) == 0 ? 1 : -1;
}

static int fixup_hide_callid(void **param, int number)
{
	return number == 1 ? fixup_spve_null(param, 1) : fixup_pvar_null(param, 1);
}

static int mod_init(void)
{
	if(seal_init(key_file) < 0)
		return -1;
	guard_malformed = find_export("guard_malformed", 1, 0);
	if(sr_event_register_cb(SREV_NET_DATA_IN, on_received) != 0
			|| sr_event_register_cb(SREV_NET_DATA_OUT, on_sent) != 0)
		return -1;
	tcp_set_clone_rcvbuf(1);
	return 0;
}

static cmd_export_t cmds[] = {
		{"hide_callid", (cmd_function)hide_callid, 2, fixup_hide_callid, 0, ANY_ROUTE}, {0, 0, 0, 0, 0, 0}};
static param_export_t params[] = {{"key_file", PARAM_STRING, &key_file}, {0, 0, 0}};

struct module_exports exports = {"hide", DEFAULT_DLFLAGS, cmds, params, 0, 0, 0, mod_init, 0, 0};
