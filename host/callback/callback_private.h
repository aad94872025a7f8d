/* What the files of callback/ share: a callback, its record on disk and in the storage, and one try
 * at sending it. */
#ifndef CALLBACK_PRIVATE_H
#define CALLBACK_PRIVATE_H

#include "callback/callback.h"
#include "http/http.h"

struct callback {
    struct callback *next;
    char *id, *job_id, *url;
    char *host; /* of the URL, with its port; NULL: nobody asked yet */
    struct str body;
    bool is_error;
    char created[CLOCK_TEXT_SIZE];
    int64_t attempts;
    char *last_error; /* NULL: none yet */
    bool kept;        /* its record is on disk */
    int64_t due;
};

void callback_destroy(struct callback *callback); /* takes NULL */

/* --- Records (record.c) ----------------------------------------------------------------------- */

#define RECORD_BYTES_MAX (8u << 20) /* a body, with every character of it escaped */
#define RECORDS_MAX 1000000         /* that one look sees in one place */

/* The caller's. `created`: of clock_text. */
char *record_id_new(const char *created);
/* Could this be the name of a file of ours, and of no other place? */
bool record_id_valid(const char *id);
/* When it was made, as its id says; -1: it is not by record_id_new. */
int64_t record_id_time(const char *id);

void record_write(const struct callback *callback, struct str *out);
/* `name` stands in messages. *callback is NULL on failure: ERR_INVALID. */
int record_read(const struct str *text, const char *id, const char *name,
                struct callback **callback, struct err *err);

/* --- On disk (spool.c) ------------------------------------------------------------------------ */

/* The directory of dead letters, and in it a private folder of this process with what is under way;
 * see spool.c. [any] */
struct spool;

/* Makes the directory and the folder; dead processes' records become dead letters, *adopted of
 * them. */
int spool_open(const struct callback_options *options, struct spool **spool, size_t *adopted,
               struct err *err);
/* Only the latter, without making anything. */
size_t spool_adopt(const char *dir);
void spool_close(struct spool *spool); /* takes NULL */

/* Writes the record of a callback under way, whole or not at all. */
int spool_keep(struct spool *spool, struct callback *callback, struct err *err);
/* It was taken, or lies elsewhere now. */
void spool_drop(struct spool *spool, const struct callback *callback);
/* It becomes a dead letter. *dropped: so many of the oldest had to go for it. */
int spool_bury(struct spool *spool, const struct callback *callback, size_t *dropped,
               struct err *err);
/* Takes a dead letter under way again, so that no other process does. ERR_INVALID with the field
 * "id": there is none. */
int spool_claim(struct spool *spool, const char *id, struct callback **callback, struct err *err);
/* Puts a claimed one back as it was. */
void spool_return(struct spool *spool, const struct callback *callback);
/* Reads a dead letter and leaves it. */
int spool_read(const char *dir, const char *id, struct callback **callback, struct err *err);

/* --- In the storage (shelf.c) ----------------------------------------------------------------- */

/* Objects PREFIX/DATE/ID.json. There are no locks: of two who send the same letter again, both
 * do. */
struct shelf {
    struct storage *storage; /* NULL: letters stay on disk */
    const char *prefix;      /* ends with "/" */
};

struct shelf shelf_of(const struct manifest_callbacks *manifest, struct storage *storage);
int shelf_put(const struct shelf *shelf, const struct callback *callback, const atomic_int *stop,
              struct err *err);
/* ERR_INVALID with the field "id": there is none. */
int shelf_read(const struct shelf *shelf, const char *id, const atomic_int *stop,
               struct callback **callback, struct err *err);
int shelf_drop(const struct shelf *shelf, const char *id, const atomic_int *stop, struct err *err);

/* --- In both (letters.c) ---------------------------------------------------------------------- */

/* A dead letter in one of both places. */
struct found {
    char *id;
    uint64_t len;
    bool is_stored; /* in the storage, else on disk */
};

struct found_list {
    struct found *items;
    size_t count, cap;
    bool with_sizes; /* else `len` of those on disk may be 0 */
};

void found_list_finish(struct found_list *list);
/* Appends those on disk, in no order; no directory: none. */
int spool_find(const char *dir, struct found_list *list, struct err *err);
/* Appends those in the storage. */
int shelf_find(const struct shelf *shelf, const atomic_int *stop, struct found_list *list,
               struct err *err);
void found_list_add(struct found_list *list, char *id, uint64_t len, bool is_stored);
/* Oldest first; of one id, what is on disk first. */
void found_list_sort(struct found_list *list);

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
/* "host:port" of a URL, in lower case; the caller's. */
char *callback_host_of(const char *url);

#endif
