/* The way of a job through the host, the same for the queue and the local modes: input -> job ->
 * runner -> body of the answer. Knows nothing of how jobs come and how answers go.
 */
#ifndef WORKER_DISPATCH_H
#define WORKER_DISPATCH_H

#include "front/app.h"
#include "front/worker/metrics.h"
#include "front/worker/reply.h"
#include "front/worker/stream.h"
#include "job/job.h"
#include "store/store.h"

struct dispatch;

/* How a job ended. */
struct answer {
    uint64_t ticket;
    struct str body;       /* of the final result, as reply_final makes it */
    enum err_code code;    /* ERR_NONE: all well */
    bool is_stream;        /* the job asked for a stream, also when it was refused */
    struct stream *stream; /* with the chunks that were not taken yet; NULL: there was none */
    bool refresh;          /* the body asks for a fresh worker */
};
void answer_destroy(struct answer *answer); /* takes NULL */

struct dispatch_options {
    struct app *app;
    const struct reply_context *reply;
    struct metrics *metrics;
    uint32_t concurrency;              /* jobs at the same time */
    struct callback_sender *callbacks; /* NULL: nobody is called back */
    struct storage *storage; /* where audio goes that is too large for an answer; NULL: nowhere */
    /* Takes the answer of a job, exactly once for every job submitted; from a thread of the runner,
     * or inside dispatch_submit and dispatch_cancel. */
    void (*answered)(struct answer *answer, void *arg);
    /* stream_next has something; from a thread of the runner. The stream lives until its
     * answer_destroy. */
    void (*chunk_ready)(struct stream *stream, uint64_t ticket, void *arg);
    void *arg;
};

/* NULL when no thread could be started. `options` is copied, what it points to borrowed. */
struct dispatch *dispatch_create(const struct dispatch_options *options);

/* One job. `ticket`: the caller's name for it, not 0, never used twice. `id`: as the platform has
 * it. `input`: the job, borrowed for the call; NULL: there was none that could be read, `why` says
 * it. A wrong job is answered with what is wrong. */
struct submission {
    uint64_t ticket;
    const char *id;
    const cJSON *input;
    const struct err *why;
    const cJSON *s3_config; /* the platform's s3Config: where this job's audio goes; NULL: none */
};
void dispatch_submit(struct dispatch *dispatch, const struct submission *submission);
/* Asks a job to end; it is answered with ERR_CANCELLED. One that is over is not. */
void dispatch_cancel(struct dispatch *dispatch, uint64_t ticket);
/* The same for all, also while they upload. */
void dispatch_cancel_all(struct dispatch *dispatch);
/* 0 to 1; negative when it does not run. */
double dispatch_progress(struct dispatch *dispatch, uint64_t ticket);

/* Cancels everything and waits until all is answered. False when a plugin hangs: end by _exit. */
bool dispatch_stop(struct dispatch *dispatch);
/* Frees; false likewise. */
bool dispatch_destroy(struct dispatch *dispatch);

#endif
