/* The inside of the hub: requests at it, digests, the part of a file that is being fetched. */
#ifndef HUB_PRIVATE_H
#define HUB_PRIVATE_H

#include "http/http.h"
#include "hub/hub.h"

#include <sys/stat.h>

#define HUB_HOPS_MAX 5
#define HUB_AGENT "voxhost/" VOXHOST_VERSION

struct hub {
    char *endpoint;     /* no "/" at its end */
    char *token_header; /* "Authorization: Bearer ..."; NULL: no token */
    struct hub_options options;
    struct http_client *client;
    bool is_public; /* the endpoint answered from a public address: it leads to no private one */
};

static inline bool hub_stopped(const struct hub *hub)
{
    return hub->options.stop && *hub->options.stop;
}

/* --- Requests (hub_request.c) ----------------------------------------------------------------- */

/* Appends `text` percent-encoded, but for "/" where `slashes`. */
void hub_url_append(struct str *url, const char *text, bool slashes);
bool hub_is_redirect(int status);
#define HUB_RETRY_AFTER_MAX_S 330.0 /* the hub counts over five minutes */
/* How long the server wants us to wait; -1: it does not say. */
double hub_retry_after_s(const struct http_response *response);
/* Worth another try by itself. */
bool hub_is_transient(int status);
/* The error for an answer that refuses; `what` is what was asked for. */
int hub_refused(const struct hub *hub, const struct http_response *response, const char *repo,
                const char *what, struct err *err);
/* The body of a URL at the endpoint; waits, and tries again where that helps. */
int hub_get(struct hub *hub, const char *url, const char *repo, const char *what, struct str *body,
            struct err *err);

/* --- Digests (hub_digest.c) ------------------------------------------------------------------- */

struct hub_digests {
    char sha256[HUB_DIGEST_SIZE];
    char git[HUB_DIGEST_SIZE]; /* SHA-1 of the git blob; "" where it was not asked for */
};

struct hub_hash;
/* For a file of `size` bytes that is to have `digest`. */
struct hub_hash *hub_hash_create(const char *digest, uint64_t size);
void hub_hash_update(struct hub_hash *hash, const void *data, size_t len);
void hub_hash_final(struct hub_hash *hash, struct hub_digests *digests);
void hub_hash_destroy(struct hub_hash *hash);
bool hub_digest_valid(const char *text); /* 40 or 64 lower-case hex digits */
/* Which of `digests` is to be compared with `digest`. */
const char *hub_digest_like(const struct hub_digests *digests, const char *digest);
/* Hashes a whole file. ERR_CANCELLED once *stop is set. */
int hub_hash_file(const char *path, const char *digest, const volatile sig_atomic_t *stop,
                  struct hub_digests *digests, struct err *err);

/* --- Locks (hub_lock.c) ----------------------------------------------------------------------- */

/* hub_lock_try, waiting while somebody else has it, a minute at most. */
int hub_lock_wait(const char *path, int *fd, struct err *err);

/* --- The mark of a pull that is not complete (hub_mark.c) -------------------------------------- */

/* Notes the items that are not done. */
int hub_mark_add(const char *dir, const struct hub_item *items, size_t count, struct err *err);
/* Takes the items off, which are done; the mark goes when nobody misses a file any more. */
int hub_mark_drop(const char *dir, const struct hub_item *items, size_t count, struct err *err);

/* --- The part of one file (hub_part.c) -------------------------------------------------------- */

#define HUB_CHUNK_SIZE (UINT64_C(16) << 20)
#define HUB_CHUNKS_MAX 65536

struct hub_chunk {
    uint64_t begin, end, at; /* [begin, at) is here */
    bool taken;              /* somebody fetches it */
};

struct hub_part {
    struct hub_item *item;
    char *path, *part, *state;
    int fd; /* -1: not open */
    struct hub_chunk *chunks;
    size_t count, front; /* chunks before `front` are whole */
    char *etag;          /* of who sends the bytes, strong; NULL: unknown */
    bool changed;        /* since the state was saved */

    struct http_client *client; /* woken when the hash is done */
    pthread_t thread;
    bool hashing; /* the thread was started */
    pthread_mutex_t lock;
    pthread_cond_t more;
    /* guarded by lock */
    uint64_t whole; /* bytes from the start that are here */
    bool end;       /* the thread is to end */
    bool hashed;
    int failed; /* errno of the thread */
    struct hub_digests digests;
};

void hub_part_init(struct hub_part *part, const char *dir, struct hub_item *item,
                   struct http_client *client);
enum hub_part_found { PART_OPEN, PART_BUSY, PART_DONE };
/* Locks the part and reads how far it is. PART_BUSY: another process has it; PART_DONE: another
 * one has made the file. */
int hub_part_open(struct hub_part *part, const volatile sig_atomic_t *stop, struct err *err);
/* Bytes that are here. */
uint64_t hub_part_bytes(const struct hub_part *part);
/* To be called when a chunk has grown: hands what is whole to the hash. */
void hub_part_grown(struct hub_part *part);
/* Forgets all bytes. `undivided`: one chunk from now on. */
int hub_part_restart(struct hub_part *part, bool undivided, struct err *err);
/* True when everything is here and hashed, or the hash failed. */
bool hub_part_ready(struct hub_part *part);
/* After that: 0 when the file is in place; 1 when its digest is another one. */
int hub_part_finish(struct hub_part *part, struct err *err);
void hub_part_save(struct hub_part *part);
/* Saves what is here, unlocks. */
void hub_part_close(struct hub_part *part);
void hub_part_destroy(struct hub_part *part);

/* --- The download (hub_download.c) ------------------------------------------------------------ */

/* Brings all items that are not done into `dir`, as hub_pull. */
int hub_download(struct hub *hub, const char *dir, struct hub_item *items, size_t count,
                 struct err *err);

/* --- The record (hub_record.c) ---------------------------------------------------------------- */

/* The record's entry (NULL: none) of a file of this size and time of change that may be believed
 * without reading it: its digests. Not of one that was noted as wrong. */
bool hub_record_believed(const cJSON *record, const char *local, const struct stat *info,
                         struct hub_digests *digests);
/* The item is in place: what was found there. */
void hub_item_done(struct hub_item *item, const struct hub_digests *digests,
                   const struct stat *info);

#endif
