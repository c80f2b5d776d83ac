/*
 * Writes dialogs to Redis, in the rows that db_redis reads at a start: see store.c.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef NAAS_DIALOG_STORE_H
#define NAAS_DIALOG_STORE_H

#include "dlg_hash.h"

/* Redis: its socket, what opens it (NULL for nothing) and the database of the dialogs */
extern char *store_socket;
extern char *store_password;
extern int store_database;

/* whether dialogs are written by this file */
#define store_is_used() (store_socket != NULL)

/* writes what has changed of a dialog whose entry is locked; 0 when all of it was taken */
int store_write(struct dlg_cell *dlg);
/* takes a dialog's rows away, and waits for nothing; 0 when that was sent */
int store_remove(struct dlg_cell *dlg);

#endif
