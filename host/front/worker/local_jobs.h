/* Inside the jobs of the local API server: local_jobs.c runs them, local_ask.c does what requests
 * ask for, local_view.c writes what is said of one.
 *
 *     QUEUED -> RUNNING -> COMPLETED, FAILED, CANCELLED       retry: FAILED -> QUEUED
 */
#ifndef WORKER_LOCAL_JOBS_H
#define WORKER_LOCAL_JOBS_H

#include "front/worker/local_private.h"

#define LOCAL_STOPPING "the server is stopping"

enum local_state { LOCAL_QUEUED, LOCAL_RUNNING, LOCAL_COMPLETED, LOCAL_FAILED, LOCAL_CANCELLED };
extern const char *const local_state_names[]; /* the platform's */

struct local_waiter {
    struct local_waiter *next;
    struct local_jobs *jobs;
    struct local_wait wait;
    struct local_entry *entry; /* guarded by lock; NULL: `body` is being sent */
    struct str body;
};

struct local_entry {
    struct local_entry *next; /* younger */
    struct local_request request;
    enum local_state state;
    uint64_t ticket;                          /* of the run; 0: it does not run */
    bool is_quick;                            /* job_op_is_quick */
    bool cancelled;                           /* somebody wants it to end */
    bool forgotten;                           /* a POST /status or /stream has had its end */
    bool overflown;                           /* chunks had to be thrown away */
    int64_t created_at, started_at, ended_at; /* clock_now; 0: not yet */
    struct str body;                          /* as the queue would get it; empty: there is none */
    struct str chunks; /* not taken yet: {"output":CHUNK}, parted by commas */
    struct local_waiter *waiters;
};

struct local_jobs {
    struct local_jobs_options options;
    struct dispatch *dispatch;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* guarded by lock, and the entries too */
    struct local_entry *entries; /* oldest first */
    uint64_t tickets, completed, failed, retried;
    bool refusing; /* no more jobs are taken */
};

struct local_tally {
    size_t queued, queued_bytes, running, over, over_bytes;
    size_t running_quick; /* of `running`: they take no place */
};

/* All but local_send_answers: with the lock. */

struct local_entry *local_jobs_find(const struct local_jobs *jobs, const char *id);
struct local_tally local_jobs_tally(const struct local_jobs *jobs);
bool local_entry_is_over(const struct local_entry *entry);
/* Asks for the end of a job, and puts those who wait for it into `answers` if that is now. The
 * result is for dispatch_cancel without the lock; 0: it does not run. */
uint64_t local_entry_cancel(struct local_jobs *jobs, struct local_entry *entry,
                            struct local_waiter **answers);
void local_entry_add_waiter(struct local_jobs *jobs, struct local_entry *entry,
                            const struct local_wait *wait);
/* Without the lock: the server may call back. Frees them. */
void local_send_answers(struct local_waiter *answers);

/* Begins an object: {"id":"...","status":"..." */
void local_write_id(const char *id, const char *status, struct str *out);
/* Appends what `view` says of the job. LOCAL_VIEW_STREAM takes its chunks. `progress`: negative
 * when it is not known. */
void local_entry_write(const struct local_jobs *jobs, struct local_entry *entry,
                       enum local_view view, double progress, struct str *out);

#endif
