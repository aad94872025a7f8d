/* What the files of callback/ share: a callback, its record on disk, and one try at sending it. */
#ifndef CALLBACK_PRIVATE_H
#define CALLBACK_PRIVATE_H

#include "callback/callback.h"
#include "http/http.h"

struct callback {
    struct callback *next;
    char *id, *job_id, *url;
    struct str body;
    bool is_error;
    char created[CLOCK_TEXT_SIZE];
    int64_t attempts;
    char *last_error; /* NULL: none yet */
    bool kept;        /* its record is on disk */
    int64_t due;
};

void callback_destroy(struct callback *callback); /* takes NULL */

/* --- Records (spool.c) ------------------------------------------------------------------------ */

/* The directory of dead letters, and in it a private folder of this process with what is under way;
 * see spool.c. [any] */
struct spool;

/* Makes the directory and the folder; dead processes' records become dead letters, *adopted of
 * them. */
int spool_open(const char *dir, struct spool **spool, size_t *adopted, struct err *err);
/* Only the latter, without making anything. */
size_t spool_adopt(const char *dir);
void spool_close(struct spool *spool); /* takes NULL */

/* Writes the record of a callback under way, whole or not at all. */
int spool_keep(struct spool *spool, const struct callback *callback, struct err *err);
/* It was taken. */
void spool_drop(struct spool *spool, const struct callback *callback);
/* It becomes a dead letter. */
int spool_bury(struct spool *spool, const struct callback *callback, struct err *err);
/* Takes a dead letter under way again, so that no other process does. */
int spool_claim(struct spool *spool, const char *id, struct callback **callback, struct err *err);
/* Reads a dead letter and leaves it. */
int spool_read(const char *path, struct callback **callback, struct err *err);
/* Ids of all dead letters, in order; no directory: none. */
int spool_ids(const char *dir, struct text_list *ids, struct err *err);

/* --- One try (request.c) ---------------------------------------------------------------------- */

struct callback_answer {
    struct err err; /* of all but CALLBACK_TAKEN: the host and the reason, without path and query */
    double retry_after_s; /* -1: none */
};

/* Posts it, follows 307 and 308. ERR_CANCELLED in answer->err: *stop was set. Never
 * CALLBACK_FOLLOW. */
enum callback_fate callback_try(const struct callback_options *options, struct http_client *client,
                                const struct callback *callback, const atomic_int *stop,
                                struct callback_answer *answer);

#endif
