/* What a worker counts, for GET /metrics (Prometheus text format 0.0.4) and GET /health. */
#ifndef WORKER_METRICS_H
#define WORKER_METRICS_H

#include "job/job.h"
#include "plugin/plugin.h"

/* X(constant, name, help): counters. */
#define METRIC_COUNTERS(X)                                                                         \
    X(METRIC_TAKES, "takes_total", "Requests for jobs")                                            \
    X(METRIC_TAKE_ERRORS, "take_errors_total", "Requests for jobs that failed")                    \
    X(METRIC_JOBS_ACCEPTED, "jobs_accepted_total", "Jobs accepted")                                \
    X(METRIC_JOBS_DUPLICATE, "jobs_duplicate_total", "Jobs that came again while they ran")        \
    X(METRIC_RESULTS_DELIVERED, "results_delivered_total", "Results that were acknowledged")       \
    X(METRIC_RESULTS_REJECTED, "results_rejected_total", "Results that the platform refused")      \
    X(METRIC_RESULTS_EXPIRED, "results_expired_total", "Results given up after worker.delivery_s") \
    X(METRIC_DELIVERY_RETRIES, "delivery_retries_total", "Deliveries that were tried again")       \
    X(METRIC_CHUNKS_SENT, "stream_chunks_total", "Stream chunks that were acknowledged")           \
    X(METRIC_PINGS, "pings_total", "Pings that were answered")                                     \
    X(METRIC_PING_ERRORS, "ping_errors_total", "Pings that failed")

enum metric {
#define X(constant, name, help) constant,
    METRIC_COUNTERS(X)
#undef X
        METRIC_COUNT
};

struct metrics;

/* `models` is borrowed. */
struct metrics *metrics_create(struct models *models);
void metrics_count(struct metrics *metrics, enum metric counter); /* [any] */
void metrics_job_begins(struct metrics *metrics);                 /* [any] */
/* A job ended: its model, code, times and audio. [any] */
void metrics_job_ends(struct metrics *metrics, const struct result *result);

struct metrics_jobs {
    uint64_t ok, failed, in_progress;
};
struct metrics_jobs metrics_jobs(struct metrics *metrics);

/* Appends all as Prometheus text, names beginning with "voxhost_". */
void metrics_write(struct metrics *metrics, struct str *out);
void metrics_destroy(struct metrics *metrics); /* takes NULL */

#endif
