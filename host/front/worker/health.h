/* The optional port for those who watch a worker: GET /health, /ready, /ping and /metrics. */
#ifndef WORKER_HEALTH_H
#define WORKER_HEALTH_H

#include "front/disks.h"
#include "front/worker/metrics.h"
#include "http/http.h"

#include <stdatomic.h>

struct health;

struct health_options {
    const char *host;
    uint16_t port;            /* 0: any free one */
    struct disk_watch *disks; /* where the process writes */
    struct models *models;
    struct metrics *metrics;
    const char *worker_id;
    const atomic_int *stopping; /* not 0: not ready any more */
};

/* By the models that are required: one failed, or some of those that load at the start are not
 * there yet. */
enum health_state { HEALTH_STARTING, HEALTH_READY, HEALTH_FAILED, HEALTH_STOPPING };
enum health_state health_state(const struct health_options *options);

/* Serves until health_stop. ERR_INVALID when the address cannot be bound.
 *
 *   /health   200, JSON: version, worker, state (starting, ready, stopping, failed), jobs,
 *             models with state, load_ms, error, the disks that it writes to (disk_watch_write)
 *   /ready    200 when every model that is required is loaded and the worker is not stopping,
 *             else 503; the same JSON without the disks
 *   /ping     200 when ready, 204 while loading, 503 when stopping or when a required model
 *             failed: what RunPod's load balancer asks
 *   /metrics  200, metrics_write
 */
int health_start(const struct health_options *options, struct health **health, struct err *err);
void health_stop(struct health *health); /* takes NULL */

/* Answers those four paths; false: some other path. For servers that have more to serve. */
bool health_handle(const struct health_options *options, struct http_exchange *exchange);

#endif
