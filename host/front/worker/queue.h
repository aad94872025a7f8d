/* The RunPod queue: takes jobs, sends what becomes of them, hears which to stop, and shows that it
 * lives. The protocol is that of runpod 1.12.0 (PyPI: rp_scale.py, rp_job.py, rp_http.py, rp_ping.py).
 */
#ifndef WORKER_QUEUE_H
#define WORKER_QUEUE_H

#include "front/worker/dispatch.h"
#include "front/worker/settings.h"

#include <stdatomic.h>

struct queue_options {
    const struct worker_settings *settings;
    struct metrics *metrics;
    atomic_int *stopping; /* set once no more jobs are taken */
};

/* Serves until a signal, a refresh, or a required model that cannot be loaded; then lets jobs end
 * within host.drain_s and delivers every result. `dispatch` gets its callbacks from here. Returns
 * the exit code: 0; 1 when a required model failed (which the platform was told) or a result could
 * not be delivered. */
int queue_run(struct dispatch_options *dispatch, const struct queue_options *options);

#endif
