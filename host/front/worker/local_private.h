/* What the files of the local API server share: local_api.c has the routes, local_request.c reads
 * their bodies, local_ask.c does what they ask for, local_jobs.c keeps and runs the jobs,
 * local_view.c says how they are, local_webhook.c tells others of their end.
 */
#ifndef WORKER_LOCAL_PRIVATE_H
#define WORKER_LOCAL_PRIVATE_H

#include "front/worker/health.h"
#include "front/worker/heartbeat.h"
#include "front/worker/local.h"

#define LOCAL_BODY_BYTES_MAX (20u << 20) /* of a request, as the platform's /runsync takes */

/* --- Jobs ------------------------------------------------------------------------------------- */

#define LOCAL_WAITING_MAX 1000 /* jobs that have not begun; then no more are taken */
#define LOCAL_WAITING_BYTES_MAX (256u << 20)
#define LOCAL_QUICK_MAX 64  /* of job_op_is_quick that have begun; then they wait too */
#define LOCAL_KEPT_MAX 1000 /* jobs that have ended; the oldest are forgotten first */
#define LOCAL_KEPT_BYTES_MAX (256u << 20)
#define LOCAL_KEPT_S 1800 /* as long as the platform keeps results */
#define LOCAL_KEPT_SYNC_S 60
#define LOCAL_STREAM_BYTES_MAX (64u << 20) /* chunks of a job that nobody takes */

struct local_jobs;

struct local_jobs_options {
    struct dispatch_options *dispatch; /* its `answered`, `chunk_ready` and `arg` are set here */
    const struct worker_settings *settings;
    struct metrics *metrics;
    struct webhooks *webhooks;
    struct heartbeat *heartbeat; /* NULL: no pings */
};

/* NULL when no thread could be started. `options` is copied, what it points to borrowed. */
struct local_jobs *local_jobs_create(const struct local_jobs_options *options);
/* Starts jobs that wait and forgets what is old, for 50 ms at most; for one thread, again and
 * again. */
void local_jobs_tick(struct local_jobs *jobs);
bool local_jobs_idle(struct local_jobs *jobs); /* nothing waits or runs */
/* Takes no more jobs: 503. */
void local_jobs_refuse(struct local_jobs *jobs);
/* Ends and answers whatever there is. */
void local_jobs_stop(struct local_jobs *jobs);
/* Frees; false when a plugin never came back: end by _exit. */
bool local_jobs_destroy(struct local_jobs *jobs);

/* A checked request for a job; owns its parts. */
struct local_request {
    char *id;
    cJSON *input;
    char *webhook; /* NULL: none */
    size_t bytes;  /* of the body that it came in */
    bool sync;
};
void local_request_finish(struct local_request *request);

/* What an answer says of a job. */
enum local_view {
    LOCAL_VIEW_STATUS, /* {"id","status","output" or "error",...} */
    LOCAL_VIEW_STREAM, /* {"id","status","stream":[...]}: the chunks that nobody took yet */
    LOCAL_VIEW_BODY,   /* the body alone, as the queue would get it */
};

/* A request that is answered when its job ends. */
struct local_wait {
    struct http_exchange *exchange;
    enum local_view view;
    int64_t deadline; /* answers with what there is by then; CLOCK_NEVER: none */
    bool owns;        /* its job is cancelled when the client leaves */
};

/* These append the answer to `out` and return its HTTP status, or 0: the exchange of `wait` is
 * answered by the jobs. All are [any]. */
int local_jobs_add(struct local_jobs *jobs, struct local_request *request, /* takes its parts */
                   const struct local_wait *wait, struct str *out);
int local_jobs_show(struct local_jobs *jobs, const char *id, enum local_view view, struct str *out);
/* As the Python SDK's POST /status and /stream: the job's end, once. */
int local_jobs_await(struct local_jobs *jobs, const char *id, const struct local_wait *wait,
                     struct str *out);
int local_jobs_cancel(struct local_jobs *jobs, const char *id, struct str *out);
int local_jobs_retry(struct local_jobs *jobs, const char *id, struct str *out);
int local_jobs_purge(struct local_jobs *jobs, struct str *out);
/* {"completed":0,"failed":0,"inProgress":0,"inQueue":0,"retried":0}; returns how many are in
 * progress. */
size_t local_jobs_count(struct local_jobs *jobs, struct str *out);

/* --- Requests --------------------------------------------------------------------------------- */

/* Reads {"input":{...},"webhook":"..."}, or with `realtime` {"id":"...","input":...}. False: `out`
 * is the body of a 422, in FastAPI's words. */
bool local_request_read(struct http_exchange *exchange, bool realtime,
                        struct local_request *request, struct str *out);
/* ?wait=MILLISECONDS as a deadline; likewise. */
bool local_request_wait(struct http_exchange *exchange, int64_t *deadline, struct str *out);

/* --- Webhooks --------------------------------------------------------------------------------- */

#define WEBHOOK_TRIES 3
#define WEBHOOK_RETRY_S 10
#define WEBHOOK_TIMEOUT_S 10.0
#define WEBHOOKS_MAX 256 /* that wait for a try; then further ones are dropped */
#define WEBHOOKS_BYTES_MAX (128u << 20)

struct webhooks;

struct webhooks_options {
    const struct log *log;
    const char *user_agent;
    bool private;  /* URLs may lead to private addresses */
    bool loopback; /* or to this machine, if nowhere else inside */
};

/* NULL when its thread could not be started. */
struct webhooks *webhooks_create(const struct webhooks_options *options);
/* Posts a body, which it takes over, until somebody answers with 2xx, WEBHOOK_TRIES times. [any] */
void webhooks_send(struct webhooks *webhooks, const char *url, const char *job_id,
                   struct str *body);
/* Ends once each had its first try, or at `deadline`. Takes NULL. */
void webhooks_destroy(struct webhooks *webhooks, int64_t deadline);

#endif
