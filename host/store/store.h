/* Where results go: a directory. A result is written under a temporary name in a private folder of this
 * run and renamed when it is whole, so a final name never shows half a file, whatever kills us.
 *
 *     store_open(dir) -> store_temp -> (write the file) -> store_commit(temp, "a/b.wav") -> store_close
 *
 * Knows nothing of audio or jobs. All functions are [any].
 */
#ifndef STORE_H
#define STORE_H

#include "base/base.h"

struct store;

/* Opens `dir`, made when missing, and checks that it can be written. Removes what dead runs left of their
 * temporary folders (".voxhost-XXXXXX", known by the lock that died with them). */
int store_open(const char *dir, struct store **store, struct err *err);

/* Says which part of the work of this folder this run does, until store_close or its death: part `index` of
 * `count`, {0, 1} being all of it. ERR_INVALID when a living run claims a part that overlaps: with the same
 * count, the same index; with another count, any. A run that claims nothing is in nobody's way. */
int store_claim(struct store *store, uint64_t index, uint64_t count, struct err *err);

/* A new temporary path; the file is not made. The caller's. */
char *store_temp(struct store *store);

/* Renames `temp` to `name`, a path inside the directory (fs_path_is_inside) that no symbolic link leads out
 * of; folders are made. Replaces what was there. On failure `temp` is removed. `final`: the absolute path, the
 * caller's; NULL: not wanted. */
int store_commit(struct store *store, const char *temp, const char *name, char **final,
                 struct err *err);

const char *store_dir(const struct store *store); /* absolute; borrowed */

/* Removes the temporary folder and frees; takes NULL. */
void store_close(struct store *store);

#endif
