/* Callbacks: the outcome of a job, posted to who asked. A sender has a bounded queue and threads of
 * its own, so that no receiver ever holds up the making of audio, and a record on disk of
 * everything that is still to be sent, so that nothing is lost when the process dies.
 *
 *     callback_prepare (the record is on disk) -> the outcome is safe -> callback_release -> threads: try, wait, try again
 *                                                 taken: the record goes; given up: it becomes a dead letter
 *
 * Dead letters lie on disk; where the manifest says so, they are moved to the storage, and those
 * that it does not take wait on disk until it does.
 *
 * A receiver can get a callback twice, when we died between its answer and our removing the record.
 */
#ifndef CALLBACK_H
#define CALLBACK_H

#include "base/base.h"
#include "job/job.h"
#include "manifest/manifest.h"

#include <stdatomic.h>

#define CALLBACK_THREADS 12
#define CALLBACK_PER_HOST \
    4 /* tries at one receiver at the same time: one that hangs holds up no other */
#define CALLBACK_QUEUE_MAX \
    1024 /* callbacks that wait or are sent; further ones become dead letters */
#define CALLBACK_QUEUE_BYTES_MAX (64u << 20) /* of their bodies; likewise */
#define CALLBACK_BODY_BYTES_MAX (1u << 20)
#define CALLBACK_RETRY_FIRST_S 5.0 /* the first pause at most, each is twice the one before */
#define CALLBACK_RETRY_MAX_S 60.0
#define CALLBACK_RETRY_AFTER_MAX_S 300.0 /* of what Retry-After says */
#define CALLBACK_LETTERS_MAX 100000      /* on disk; then the oldest go */

/* --- Sending ---------------------------------------------------------------------------------- */

struct callback_sender;
struct callback; /* one that is prepared */

struct callback_options {
    const struct manifest_callbacks *manifest;
    bool fetch_private; /* URLs of jobs may lead to any address */
    const struct log *log;
    double retry_first_s; /* 0: CALLBACK_RETRY_FIRST_S */
    /* Where dead letters go when the manifest says so; NULL: they stay on disk. */
    struct storage *storage;
    int64_t min_free_mb; /* host.min_free_mb: records leave half of it free. 0: any */
    size_t letters_max;  /* 0: CALLBACK_LETTERS_MAX */
};

struct callback_post {
    const char *url;
    const void *body; /* UTF-8 without NUL; sent as it is */
    size_t body_len;
    const char *job_id;
    bool is_error;
};

/* Starts nothing and makes nothing until there is a callback. What `options` points to is borrowed.
 * [main] */
struct callback_sender *callback_sender_create(const struct callback_options *options);

/* Writes the record of a callback; it is sent after callback_release. NULL, logged, when its body
 * cannot be sent. Where no record can be written the callback is sent all the same. [any] */
struct callback *callback_prepare(struct callback_sender *sender, const struct callback_post *post);
/* The callback of a job that ended; NULL when nobody wants one, the job has no id, or it was
 * cancelled: who did that knows. */
struct callback *callback_prepare_job(struct callback_sender *sender, const struct result *result);
/* Hands it over; waits for nobody. Takes NULL. [any] */
void callback_release(struct callback_sender *sender, struct callback *callback);
/* Both in one, for outcomes that are safe already. */
void callback_post(struct callback_sender *sender, const struct callback_post *post);
void callback_job_ended(struct callback_sender *sender, const struct result *result);

/* Lets what is under way be sent until `deadline`, or until *stop is set (NULL: never); the rest
 * become dead letters. Where those go to the storage, the second half of that time, at most
 * CALLBACK_STORE_S, is for it; after *stop so much is taken. What is released later becomes a dead
 * letter on disk. Takes NULL. Returns how many are left. [main] */
#define CALLBACK_STORE_S 5.0
size_t callback_sender_end(struct callback_sender *sender, int64_t deadline,
                           const volatile sig_atomic_t *stop);
/* The same, and frees: all that was prepared was released, and nobody uses it any more. */
size_t callback_sender_destroy(struct callback_sender *sender, int64_t deadline,
                               const volatile sig_atomic_t *stop);

/* --- Dead letters ----------------------------------------------------------------------------- */

/* On disk, and in the storage when options->storage is there. Of the options below only the
 * manifest, fetch_private and the storage count. */

#define CALLBACK_ID_SIZE_MAX 100

struct callback_letter {
    const char *id; /* names the file: DIR/ID.json, PREFIX/DATE/ID.json */
    const char *job_id;
    const char *url;                  /* without its query, which may hold a token */
    const char *created, *last_error; /* last_error NULL: the process died before it was tried */
    int64_t attempts;
    bool is_error;
    bool is_stored; /* it lies in the storage */
};

/* Calls `each` for every dead letter, oldest first, after making dead letters of what dead
 * processes left; one that cannot be read is said by `wrong`. No directory is no error. When the
 * storage cannot be listed, those on disk are shown all the same. Returns 0 or a negative code. */
struct callback_visitor {
    void (*each)(const struct callback_letter *letter, void *arg);
    void (*wrong)(const struct err *err, void *arg);
    void *arg;
};
int callback_letters(const struct callback_options *options, const struct callback_visitor *visitor,
                     struct err *err);

/* Tries dead letters once more, one after the other, and removes those that were taken; the others
 * stay dead letters. `ids` NULL: all. `each` is told what became of each, `why` NULL: it was taken.
 * ERR_INVALID: there is no such letter (field "id"), or it can never be sent; ERR_TIMEOUT,
 * ERR_INTERNAL: not now; ERR_CANCELLED: *stop, and the rest is left as it is. Processes on one
 * directory send each letter once; those that share only a storage may send it twice. Returns a
 * negative code when the letters cannot be found at all. */
struct callback_replay {
    const struct text_list *ids;
    void (*each)(const char *id, const struct err *why, void *arg);
    void *arg;
    const atomic_int *stop;
};
int callback_replay(const struct callback_options *options, const struct callback_replay *replay,
                    struct err *err);

/* Removes the oldest dead letters, on disk and in `storage`, that callbacks.keep_days and
 * callbacks.keep_mb do not allow; without both (0) nothing. Leaves alone what is still to be sent,
 * and files and objects that are no letters of ours. `storage`: of the manifest, not used when
 * callbacks.dead_letters does not name it; NULL: none. Stops at the first failure, and with
 * ERR_CANCELLED once *stop is not 0 (NULL: never). [any] */
struct callback_swept {
    size_t count;
    uint64_t bytes;
};
int callback_letters_sweep(const struct manifest_callbacks *callbacks, struct storage *storage,
                           int64_t now_unix_s, const atomic_int *stop, struct callback_swept *swept,
                           struct err *err);

/* --- What is sent ----------------------------------------------------------------------------- */

/* Where the outcome of a job goes, the caller's; NULL: nowhere. First what the job says, rewritten
 * as callbacks.rewrite has it, then the manifest; the URL for errors is derived where only the
 * other is named. */
char *callback_url_for(const struct manifest_callbacks *manifest, const struct job_caller *caller,
                       bool is_error);
/* ".../api/tts/NAME" -> ".../api/tts/error-callback", else "/error-callback" is appended to the
 * path; the caller's. */
char *callback_error_url(const char *url);

/* Appends the JSON body for a job, as receivers of older systems know it (README.md, "Callbacks").
 * Without audio. */
void callback_body(const struct result *result, struct str *out);

/* The same for a new voice. */
void callback_voice_body(const struct result *result, struct str *out);

/* The HMAC-SHA256, in hex, of METHOD\nPATH\nTIMESTAMP\n and the body. */
struct callback_signing {
    const char *secret, *method;
    const char *path;      /* of the URL as it is sent, percent-encoded, without query */
    const char *timestamp; /* milliseconds since 1970 */
    const void *body;
    size_t body_len;
};
void callback_sign(const struct callback_signing *signing, char signature[DIGEST_HEX_SIZE]);

/* What an answer means. `code`: of the exchange, 0 when there is a whole answer with this
 * status. */
enum callback_fate { CALLBACK_TAKEN, CALLBACK_FOLLOW, CALLBACK_RETRY, CALLBACK_REFUSED };
enum callback_fate callback_judge(int code, int status);

#endif
