/* The inside of the queue mode. One thread, the loop of queue.c, does all that is sent and received
 * but for the pings; threads of the runner hand it answers and chunks through the mailbox.
 *
 *     take.c      GET job-take -> take_parse.c -> dispatch            one at a time, as soon as there is room
 *     held.c      the jobs that this worker answers for, and the mailbox
 *     delivery.c  held job -> progress, chunks, final result          one request at a time for each job
 *     stopper.c   GET job-stop -> dispatch_cancel
 *     heartbeat.c GET ping, from a thread of its own
 */
#ifndef WORKER_QUEUE_PRIVATE_H
#define WORKER_QUEUE_PRIVATE_H

#include "front/worker/heartbeat.h"
#include "front/worker/queue.h"
#include "http/http.h"

#define QUEUE_HELD_MAX 1024 /* jobs in all; with more, no further ones are asked for */
#define QUEUE_HELD_BYTES_MAX (256u << 20) /* of results on their way; over it nothing is taken */
#define QUEUE_RUNNING_MAX RUNNER_QUEUE_MAX
#define POLL_TIMEOUT_S \
    100.0 /* of a long poll: the platform ends it after 90 at the latest, so it always speaks first */

enum sending { SENDING_NOTHING, SENDING_PROGRESS, SENDING_CHUNK, SENDING_FINAL };

/* A job that this worker answers for, from acceptance to the acknowledged result. Of the loop's
 * thread. */
struct held {
    struct held *next;
    struct queue *queue;
    uint64_t ticket;
    char *id;
    bool stopped;          /* by the platform: nothing is sent about it any more */
    struct stream *stream; /* once it had a chunk; of the job, then of the answer */
    struct answer *answer; /* NULL: it runs */

    enum sending sending;
    struct http_call *call;
    struct str body;         /* of a chunk or progress that is sent; kept for another try */
    unsigned attempts;       /* at what is sent now */
    int64_t next_at;         /* not before */
    int64_t give_up_at;      /* the final result, set at its first try */
    int64_t moved_at;        /* the answer came, or a chunk after it was taken */
    bool refused;            /* the final result was: `body` is sent in its place */
    int64_t progress_at;     /* the next update */
    double progress;         /* of the last one */
    bool missing_stream_url; /* said so */
};

struct mail {
    struct mail *next;
    uint64_t ticket;
    struct answer *answer; /* NULL: a chunk is ready */
    struct stream *stream;
};

enum queue_phase {
    QUEUE_SERVES,
    QUEUE_FAILS,  /* a required model is lost: one more job may come, to be told why */
    QUEUE_DRAINS, /* takes nothing more */
};

struct queue {
    const struct queue_options *options;
    const struct worker_settings *settings;
    const struct manifest *manifest;
    struct app *app;
    const struct log *log;
    const struct reply_context *reply;
    struct metrics *metrics;
    struct dispatch *dispatch;
    struct http_client *client;
    struct heartbeat *heartbeat; /* NULL: no pings */
    char *authorization;         /* the header, or NULL */
    int64_t now;                 /* of this turn of the loop */
    int64_t wake_at;             /* the loop's next turn at the latest */

    enum queue_phase phase;
    int64_t phase_ends_at; /* FAILS and DRAINS */
    bool cancelled;        /* the drain's time is over */
    struct err failure;    /* of the required model */
    bool settled;          /* the models have been loaded */
    size_t undelivered;    /* results given up */

    struct held *held, **held_tail;
    size_t held_count, running_count, running_max;
    size_t answer_bytes; /* of results on their way */
    uint64_t last_ticket;
    uint64_t accepted; /* jobs */

    struct {
        struct http_call *call;
        int64_t begun_at, next_at;
        int64_t abandon_at;         /* once it drains */
        unsigned failures, empties; /* in a row */
        int64_t logged_at;
    } take;
    struct {
        struct http_call *call;
        int64_t next_at;
        unsigned failures;
        bool off;
    } stopper;

    pthread_mutex_t lock;
    /* guarded by lock */
    struct mail *mail, **mail_tail;
};

/* "Never later than this" for the loop. */
static inline void queue_wake_at(struct queue *queue, int64_t at)
{
    if (at < queue->wake_at)
        queue->wake_at = at;
}

/* --- take.c ----------------------------------------------------------------------------------- */

/* Starts a take when there is room and none is in flight. */
void take_advance(struct queue *queue);
/* Gives the take up, unless its answer has begun to arrive. */
void take_abandon(struct queue *queue);

/* --- take_parse.c ----------------------------------------------------------------------------- */

/* One job of an answer to a take. */
struct taken {
    char *id;           /* NULL: there is none, `err` says why */
    cJSON *json;        /* the whole job; NULL: it cannot be read, `err` says why */
    const cJSON *input; /* of it; NULL: missing, `err` says so */
    struct err err;
};

/* Calls `take` for each job in the text: an object, or the elements of an array, each read by
 * itself, so that a bad one spoils no other. `taken` is the callee's for the call. False when the
 * text is neither. */
bool take_parse(const struct str *text, void (*take)(const struct taken *taken, void *arg),
                void *arg);

/* --- held.c ----------------------------------------------------------------------------------- */

/* Accepts a job: from now on it is in the pings. */
struct held *held_add(struct queue *queue, const char *id);
/* The job of that id that is not stopped, or NULL. */
struct held *held_find(struct queue *queue, const char *id);
/* Nothing more is sent about it. */
void held_remove(struct held *held);
/* dispatch_options. [any] */
void mail_answer(struct answer *answer, void *arg);
void mail_chunk(struct stream *stream, uint64_t ticket, void *arg);
/* Takes all mail to the jobs that it is for. */
void mail_collect(struct queue *queue);

/* --- delivery.c ------------------------------------------------------------------------------- */

/* Sends what is to be sent next about a job, if anything is and nothing is in flight. May remove
 * it. */
void delivery_advance(struct held *held);
/* The platform does not want to hear of the job any more. */
void delivery_stop(struct held *held);

/* --- stopper.c -------------------------------------------------------------------------------- */

void stopper_advance(struct queue *queue);
void stopper_abandon(struct queue *queue);

/* --- queue.c ---------------------------------------------------------------------------------- */

#define QUEUE_HEADERS_MAX 8

/* Starts a request to the platform, with its Authorization before the request's own headers. NULL
 * with `err`: `done` was not and will not be called. */
struct http_call *queue_request(struct queue *queue, const struct http_request *request,
                                void (*done)(struct http_response *response, void *arg), void *arg,
                                struct err *err);
/* From now on no more jobs are taken; those that run have host.drain_s. */
void queue_drain(struct queue *queue, const char *why);
/* "503 (Service Unavailable)", or why there was no answer. */
void queue_reason(const struct http_response *response, char *text, size_t size);

#endif
