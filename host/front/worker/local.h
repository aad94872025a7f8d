/* The local modes: one job from the command line, and an HTTP server with the routes of the Python
 * SDK's development server (runpod 1.12.0: rp_fastapi.py) and of the platform. Jobs take the same
 * way as those of a queue.
 */
#ifndef WORKER_LOCAL_H
#define WORKER_LOCAL_H

#include "front/worker/dispatch.h"
#include "front/worker/settings.h"

/* Runs the one job of `text` (--test_input) or, when NULL, of test_input.json in the working
 * directory, prints its body to `out_fd` and returns the exit code: 0, or 1 when there is no job,
 * it is wrong, or failed. `id` is "local_test" unless the job has one. */
int local_test(struct dispatch_options *options, const char *text, int out_fd);

struct local_api_options {
    const char *host;
    uint16_t port; /* 0: any free one, which the log names */
    const struct worker_settings *settings;
    struct metrics *metrics;
    struct disk_watch *disks;
};

/* Serves until app_signal; then answers what runs within host.drain_s. Returns the exit code. */
int local_api(struct dispatch_options *options, const struct local_api_options *api);

#endif
