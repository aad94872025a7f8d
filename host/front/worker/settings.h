/* What the platform tells a worker by its environment, checked once, and the URLs that follow from
 * it. Pure: no network. Names, defaults and rules: runpod 1.12.0 (PyPI).
 */
#ifndef WORKER_SETTINGS_H
#define WORKER_SETTINGS_H

#include "base/base.h"

/* Owns its parts. URLs are templates in which only a job's $ID is left. */
struct worker_settings {
    char *take_url;       /* RUNPOD_WEBHOOK_GET_JOB; NULL: there is no queue (local modes) */
    char *take_batch_url; /* with /job-take-batch/; NULL when take_url has no /job-take/ */
    char *stop_url;       /* with /job-stop/; NULL likewise */
    char *done_url;       /* RUNPOD_WEBHOOK_POST_OUTPUT; not NULL when take_url is not */
    char *stream_url;     /* RUNPOD_WEBHOOK_POST_STREAM, or RUNPOD_WEBHOOK_JOB_STREAM; NULL: none */
    char *ping_url;    /* RUNPOD_WEBHOOK_PING; NULL: no pings, as without a key or RUNPOD_POD_ID */
    char *key;         /* RUNPOD_AI_API_KEY, sent as it is; NULL: none */
    char *worker_id;   /* RUNPOD_POD_ID, else HOSTNAME, else random */
    char *endpoint_id; /* RUNPOD_ENDPOINT_ID, or NULL */
    char *hostname;    /* RUNPOD_POD_HOSTNAME, else "unknown" */
    char *report_id;   /* RUNPOD_POD_ID, else "unknown": the worker_id of error reports */
    char *user_agent;
    double ping_interval_s; /* RUNPOD_PING_INTERVAL, milliseconds; 0.1 at least, 10 by default */
    int64_t realtime_port;  /* RUNPOD_REALTIME_PORT; 0: off */
};

/* Reads the environment. Every wrong variable is named in `report`, a line each, and the result is
 * ERR_INVALID: URLs that are not http or https, a key with control characters, a missing
 * RUNPOD_WEBHOOK_POST_OUTPUT beside RUNPOD_WEBHOOK_GET_JOB, numbers that are none, and any value
 * that is too long, not UTF-8 or has control characters. Only numbers are shown. An empty variable
 * is an absent one. On failure `settings` is empty. */
int settings_read(yaml_lookup getenv, void *getenv_arg, struct worker_settings *settings,
                  struct str *report);
void settings_finish(struct worker_settings *settings);

/* Appends "name=value" to the query of `url`, which may have none, an empty one or one already, and
 * cuts a fragment. The value is encoded as forms do, a space as '+'. */
void url_add_query(struct str *url, const char *name, const char *value);
/* A job's URL into `url`, which is empty: $ID of the template replaced by the id as one path
 * segment, and isStream. For an id of dots to arrive, the client must leave the path as it is (it
 * is "%2E%2E" here). */
void url_of_job(const char *template, const char *job_id, bool is_stream, struct str *url);

#endif
