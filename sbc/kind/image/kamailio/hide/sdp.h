/*
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef HIDE_SDP_H
#define HIDE_SDP_H

#include "hide.h"

#define SDP_MAX 32768

/* The lines of a session description that a call needs. What an endpoint says about itself
 * in the others (names, phone numbers, candidates, tools, CNAMEs) is left out. Returns -1, with
 * the text unfinished, when the media is not relayed here: the description must not go out. */
int put_sdp(struct text *to, str sdp);

#endif
