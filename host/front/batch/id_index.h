/* A map from job ids to a number, kept in an unlinked temporary file once there are many, so that a
 * million ids cost no memory. Ids are known by 128 bits of their SHA-256. Used by one thread at a
 * time.
 */
#ifndef BATCH_ID_INDEX_H
#define BATCH_ID_INDEX_H

#include "base/base.h"

struct id_index;

/* `dir`: where the temporary file will lie until it is unlinked (at once). */
struct id_index *id_index_create(const char *dir);
/* Puts `value` (not 0) for `id`. *previous is the value that stood there, or 0; it is replaced only
 * when `replace`. */
int id_index_put(struct id_index *index, const char *id, uint64_t value, bool replace,
                 uint64_t *previous, struct err *err);
/* *value is 0 when the id is not there. */
int id_index_get(struct id_index *index, const char *id, uint64_t *value, struct err *err);
uint64_t id_index_count(const struct id_index *index);
void id_index_destroy(struct id_index *index);

#endif
