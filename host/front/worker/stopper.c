/* The stop channel: a long poll that names jobs which the platform no longer wants; see
 * queue_private.h.
 */
#include "front/worker/queue_private.h"

#include <string.h>

#define PAUSE_S 1.0      /* after an answer without ids */
#define BUSY_PAUSE_S 5.0 /* after 429 */
#define PAUSE_MAX_S 30.0

static void stop_job(struct queue *queue, const cJSON *id)
{
    struct held *held = cJSON_IsString(id) ? held_find(queue, id->valuestring) : NULL;
    if (!cJSON_IsString(id)) {
        LOG_EVENT(queue->log, LOG_WARN, "stop", "a job to stop has no text for an id",
                  LOG_TEXT("got", json_kind(id)));
        return;
    }
    if (!held)
        return;
    LOG_EVENT(queue->log, LOG_INFO, "stop", "job stopped by the platform",
              LOG_TEXT("job", held->id));
    delivery_stop(held);
}

/* True when there were ids. */
static bool stop_jobs(struct queue *queue, const struct http_response *response)
{
    struct err err = {0};
    bool is_json = strcmp(response->content_type, "application/json") == 0;
    cJSON *json = is_json ? json_parse(str_text(&response->body), response->body.len,
                                       &JSON_LIMITS_DEFAULT, &err)
                          : NULL;
    const cJSON *ids = cJSON_IsObject(json) ? json_get(json, "jobsToStop") : NULL, *id;
    bool is_list = ids && cJSON_IsArray(ids), any = is_list && ids->child;
    if (!is_list)
        log_write(queue->log, LOG_WARN, "stop",
                  "an answer could not be read: expected "
                  "{\"jobsToStop\": [...]}",
                  NULL, 0);
    if (any)
        cJSON_ArrayForEach(id, ids) stop_job(queue, id);
    cJSON_Delete(json);
    return any;
}

static void stopper_failed(struct queue *queue, const struct http_response *response)
{
    char reason[256];
    int64_t pause = backoff_ns(++queue->stopper.failures, PAUSE_S, PAUSE_MAX_S);
    queue->stopper.next_at = queue->now + pause;
    if (queue->stopper.failures > 1)
        return;
    queue_reason(response, reason, sizeof(reason));
    LOG_EVENT(queue->log, LOG_WARN, "stop", "the platform cannot be asked which jobs to stop",
              LOG_TEXT("reason", reason));
}

static void stopper_done(struct http_response *response, void *arg)
{
    struct queue *queue = arg;
    int status = response->status;
    queue->stopper.call = NULL;
    queue->now = clock_now();
    queue->stopper.next_at = queue->now + (int64_t)(PAUSE_S * CLOCK_S);
    if (status == 429) {
        queue->stopper.next_at = queue->now + (int64_t)(BUSY_PAUSE_S * CLOCK_S);
    } else if (status == 200 || status == 204) {
        queue->stopper.failures = 0;
        if (status == 200 && stop_jobs(queue, response))
            queue->stopper.next_at = queue->now;
    } else if (!(status == 0 && response->err.code == ERR_TIMEOUT)) {
        stopper_failed(queue, response);
    }
}

void stopper_advance(struct queue *queue)
{
    if (queue->stopper.call || queue->stopper.off)
        return;
    if (!queue->settings->stop_url) {
        queue->stopper.off = true;
        log_write(queue->log, LOG_WARN, "stop",
                  "RUNPOD_WEBHOOK_GET_JOB has no /job-take/: jobs cannot be stopped", NULL, 0);
        return;
    }
    if (queue->stopper.next_at > queue->now) {
        queue_wake_at(queue, queue->stopper.next_at);
        return;
    }
    struct http_request request = {
        .method = "GET", .url = queue->settings->stop_url, .timeout_s = POLL_TIMEOUT_S};
    struct http_response none = {.retry_after_s = -1};
    queue->stopper.call = queue_request(queue, &request, stopper_done, queue, &none.err);
    if (!queue->stopper.call)
        stopper_done(&none, queue);
}

void stopper_abandon(struct queue *queue)
{
    queue->stopper.off = true;
    if (queue->stopper.call)
        http_call_cancel(queue->stopper.call);
    queue->stopper.call = NULL;
}
