/*
 * Session descriptions, by a list of what passes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "../../core/forward.h"
#include "sdp.h"

static const char *const attributes[] = {"rtpmap", "fmtp", "ptime", "maxptime", "sendrecv", "sendonly", "recvonly",
		"inactive", "rtcp", "rtcp-mux", "crypto", "fingerprint", "setup", "silenceSupp", NULL};

static int attribute_passes(str line)
{
	str rest = {line.s + 2, line.len - 2};
	str name = trimmed(next_part(&rest, ':'));
	int i;

	for(i = 0; attributes[i]; i++) {
		if(name.len == (int)strlen(attributes[i]) && strncasecmp(name.s, attributes[i], name.len) == 0)
			return 1;
	}
	return 0;
}

static int passes(str line)
{
	if(line.len < 2 || line.s[1] != '=')
		return 0;
	if(line.s[0] == 'a')
		return attribute_passes(line);
	return strchr("vctbm", line.s[0]) != NULL;
}

/* Media that is not relayed by this SBC would be described by an address of someone else. */
static int is_relayed(str connection)
{
	str rest = connection;
	str host;

	next_part(&rest, ' ');
	next_part(&rest, ' ');
	host = trimmed(next_part(&rest, '/'));
	if(host.len == 7 && memcmp(host.s, "0.0.0.0", 7) == 0)
		return 1; /* on hold, the old way */
	return check_self(&host, 0, 0) == 1;
}

/* Session id and version must stay recognisable to the receiver, the user name need not. */
static void put_origin(struct text *to, str origin)
{
	char id[32];
	str rest = {origin.s + 2, origin.len - 2};
	str part;

	next_part(&rest, ' ');
	part = next_part(&rest, ' ');
	snprintf(id, sizeof(id), "o=- %llu ", seal_number(part));
	put_literal(to, id);
	put_str(to, rest);
	put_literal(to, "\r\n");
}

int put_sdp(struct text *to, str sdp)
{
	while(sdp.len > 0) {
		str line = trimmed(next_part(&sdp, '\n'));

		if(starts_with(line, "c=") && !is_relayed(line))
			return -1;
		if(starts_with(line, "o=")) {
			put_origin(to, line);
		} else if(starts_with(line, "s=")) {
			put_literal(to, "s=-\r\n");
		} else if(passes(line)) {
			put_str(to, line);
			put_literal(to, "\r\n");
		}
	}
	return 0;
}
