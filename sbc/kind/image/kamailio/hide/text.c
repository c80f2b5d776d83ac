/*
 * Text put together in a buffer of fixed size. An overflow is remembered, never written.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>
#include <strings.h>

#include "hide.h"

void put(struct text *to, const char *s, int len)
{
	if(to->full || len < 0 || len > to->size - to->len) {
		to->full = 1;
		return;
	}
	memcpy(to->s + to->len, s, len);
	to->len += len;
}

void put_str(struct text *to, str s)
{
	put(to, s.s, s.len);
}

void put_literal(struct text *to, const char *literal)
{
	put(to, literal, (int)strlen(literal));
}

void put_flat(struct text *to, str s)
{
	int start = to->len;
	int i;

	put_str(to, trimmed(s));
	if(to->full)
		return;
	for(i = start; i < to->len; i++) {
		if(to->s[i] == '\r' || to->s[i] == '\n' || to->s[i] == '\t')
			to->s[i] = ' ';
	}
}

void put_sealed(struct text *to, enum seal_kind kind, str context, str plain)
{
	char sealed[SEALED_MAX];
	int len = seal(kind, context, plain, sealed);

	put(to, sealed, len); /* -1, too long, makes the text full */
}

str next_part(str *rest, char separator)
{
	str part = *rest;
	char *end = rest->len > 0 ? memchr(rest->s, separator, rest->len) : NULL;

	if(end == NULL) {
		rest->s += rest->len;
		rest->len = 0;
		return part;
	}
	part.len = (int)(end - part.s);
	rest->s = end + 1;
	rest->len -= part.len + 1;
	return part;
}

int starts_with(str s, const char *prefix)
{
	int len = (int)strlen(prefix);

	return s.len >= len && strncasecmp(s.s, prefix, len) == 0;
}

str trimmed(str s)
{
	while(s.len > 0 && strchr(" \t\r\n", s.s[0]) != NULL) {
		s.s++;
		s.len--;
	}
	while(s.len > 0 && strchr(" \t\r\n", s.s[s.len - 1]) != NULL)
		s.len--;
	return s;
}
