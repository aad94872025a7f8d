/* The pings, from a thread of their own that no job and no other request can starve. */
#ifndef WORKER_HEARTBEAT_H
#define WORKER_HEARTBEAT_H

#include "front/worker/metrics.h"
#include "front/worker/settings.h"

struct heartbeat;

struct heartbeat_options {
    const struct worker_settings *settings; /* ping_url is not NULL */
    const char *runpod_version;
    const struct log *log;
    struct metrics *metrics;
};

/* Pings at once, then every ping_interval_s. NULL when no thread can be started. */
struct heartbeat *heartbeat_start(const struct heartbeat_options *options);
/* The jobs that the next pings name, in order, from the first to the last accepted. [any] */
void heartbeat_add(struct heartbeat *heartbeat, uint64_t ticket, const char *id);
void heartbeat_remove(struct heartbeat *heartbeat, uint64_t ticket);
/* Takes NULL. */
void heartbeat_stop(struct heartbeat *heartbeat);

/* Tells the platform, once and without waiting long, that this worker is of no use. */
void heartbeat_unhealthy(const struct heartbeat_options *options, const char *check,
                         const char *reason);

#endif
