/* The take loop: one long poll at a time, the next as soon as there is room for a job; see
 * queue_private.h. What each answer means: runpod 1.12.0 (PyPI: rp_job.py).
 */
#include "front/worker/queue_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EMPTY_FAST_S 1.0   /* an empty answer that comes sooner was no long poll */
#define EMPTY_PAUSE_S 0.25 /* after the first of those; doubled up to */
#define EMPTY_PAUSE_MAX_S 2.0
#define ERROR_PAUSE_S 0.5
#define ERROR_PAUSE_MAX_S 30.0
#define BUSY_PAUSE_S 5.0 /* after 429 without Retry-After */
#define RETRY_AFTER_MAX_S 300.0
#define ERROR_LOG_EVERY_S 30 /* while it goes on failing */
#define BEGUN_S 1            /* for the rest of an answer's first line, once the worker ends */
#define ANSWER_S 600.0       /* for an answer that has begun: who hangs up loses its jobs */
#define STALL_S (POLL_TIMEOUT_S + 20) /* but not when nothing more of it comes */
#define ANSWER_BYTES_MAX \
    (256u << 20) /* of a whole batch: what is longer is lost, since it is not handed out again */

static void pause_for(struct queue *queue, int64_t ns)
{
    queue->take.next_at = queue->now + ns;
}

/* --- Answers ---------------------------------------------------------------------------------- */

static void accept_job(const struct taken *taken, void *arg)
{
    struct queue *queue = arg;
    if (!taken->id) {
        LOG_EVENT(queue->log, LOG_ERROR, "take", "a job without a usable id is skipped",
                  LOG_TEXT("field", taken->err.field), LOG_TEXT("reason", taken->err.message));
        return;
    }
    if (held_find(queue, taken->id)) {
        metrics_count(queue->metrics, METRIC_JOBS_DUPLICATE);
        LOG_EVENT(queue->log, LOG_WARN, "take", "a job that is held already came again",
                  LOG_TEXT("job", taken->id));
        return;
    }
    struct err why = taken->err;
    if (queue->cancelled) /* its answer had begun before the end, and was long */
        err_set(&why, ERR_CANCELLED, NULL, "came when the worker had no time left for it");
    struct held *held = held_add(queue, taken->id);
    struct submission submission = {held->ticket, taken->id, queue->cancelled ? NULL : taken->input,
                                    &why, taken->json ? json_get(taken->json, "s3Config") : NULL};
    dispatch_submit(queue->dispatch, &submission);
}

static void take_failed(struct queue *queue, const struct http_response *response)
{
    char reason[256];
    queue->take.failures++;
    metrics_count(queue->metrics, METRIC_TAKE_ERRORS);
    pause_for(queue, backoff_ns(queue->take.failures, ERROR_PAUSE_S, ERROR_PAUSE_MAX_S));
    if (queue->take.failures > 1 &&
        queue->now - queue->take.logged_at < ERROR_LOG_EVERY_S * CLOCK_S)
        return;
    queue->take.logged_at = queue->now;
    queue_reason(response, reason, sizeof(reason));
    LOG_EVENT(queue->log, LOG_WARN, "take", "no job could be asked for", LOG_TEXT("reason", reason),
              LOG_NUMBER("times", queue->take.failures));
}

static void take_empty(struct queue *queue)
{
    if (queue->now - queue->take.begun_at >= (int64_t)(EMPTY_FAST_S * CLOCK_S)) {
        queue->take.empties = 0;
        return;
    }
    double pause_s = EMPTY_PAUSE_S;
    for (unsigned i = 0; i < queue->take.empties && pause_s < EMPTY_PAUSE_MAX_S; i++)
        pause_s *= 2;
    queue->take.empties++;
    pause_for(queue, (int64_t)(pause_s * CLOCK_S));
}

static void take_jobs(struct queue *queue, const struct http_response *response)
{
    uint64_t before = queue->accepted;
    bool is_json = strcmp(response->content_type, "application/json") == 0;
    if (!is_json || !take_parse(&response->body, accept_job, queue)) {
        if (!queue->take.logged_at ||
            queue->now - queue->take.logged_at >= ERROR_LOG_EVERY_S * CLOCK_S) {
            queue->take.logged_at = queue->now;
            LOG_EVENT(queue->log, LOG_WARN, "take", "the answer has no jobs that could be read",
                      LOG_TEXT("content_type", response->content_type),
                      LOG_NUMBER("bytes", response->body.len));
        }
        take_empty(queue);
    } else if (queue->accepted == before) {
        if (queue->now - queue->take.begun_at < CLOCK_S)
            pause_for(queue, CLOCK_S); /* what was skipped may come again at once */
    } else {
        queue->take.empties = 0;
    }
}

static void take_done(struct http_response *response, void *arg)
{
    struct queue *queue = arg;
    int status = response->status;
    bool has_jobs = status >= 200 && status < 300 && status != 204;
    queue->take.call = NULL;
    queue->now = clock_now();
    queue->take.next_at = queue->now;
    if (status == 429) {
        double pause_s = response->retry_after_s >= 0 ? response->retry_after_s : BUSY_PAUSE_S;
        if (pause_s > RETRY_AFTER_MAX_S)
            pause_s = RETRY_AFTER_MAX_S;
        pause_for(queue, (int64_t)(pause_s * CLOCK_S) + backoff_ns(1, 0.5, 0.5));
        return;
    }
    if (!has_jobs && status != 204 && status != 400) {
        take_failed(queue, response);
        return;
    }
    if (queue->take.failures > 1)
        LOG_EVENT(queue->log, LOG_INFO, "take", "jobs can be asked for again",
                  LOG_NUMBER("failures", queue->take.failures));
    queue->take.failures = 0;
    if (has_jobs)
        take_jobs(queue, response);
    else
        take_empty(queue); /* 400 is what a worker gets that was asleep */
}

/* --- Asking ----------------------------------------------------------------------------------- */

static size_t room(const struct queue *queue)
{
    if (queue->held_count >= QUEUE_HELD_MAX || queue->answer_bytes >= QUEUE_HELD_BYTES_MAX)
        return 0;
    return queue->running_count < queue->running_max ? queue->running_max - queue->running_count
                                                     : 0;
}

/* True while a result is on its way that ends this worker: a job that came now would die with
 * it. */
static bool refresh_is_pending(const struct queue *queue)
{
    const struct held *held = queue->manifest->worker.refresh ? queue->held : NULL;
    while (held && !(held->answer && held->answer->refresh))
        held = held->next;
    return held != NULL;
}

/* A long poll that nobody ends is hung up on. */
static void end_silent_poll(struct queue *queue)
{
    int64_t ends_at = queue->take.begun_at + (int64_t)(POLL_TIMEOUT_S * CLOCK_S);
    if (!queue->take.call || http_call_is_answered(queue->take.call))
        return;
    if (queue->now < ends_at) {
        queue_wake_at(queue, ends_at);
        return;
    }
    http_call_cancel(queue->take.call);
    queue->take.call = NULL;
    queue->take.next_at = queue->now;
}

void take_advance(struct queue *queue)
{
    end_silent_poll(queue);
    if (refresh_is_pending(queue)) {
        take_abandon(queue);
        return;
    }
    size_t free_count = queue->phase == QUEUE_DRAINS ? 0 : room(queue);
    if (queue->phase == QUEUE_FAILS)
        free_count = queue->accepted ? 0 : 1;
    if (queue->take.call || free_count == 0)
        return;
    if (queue->take.next_at > queue->now) {
        queue_wake_at(queue, queue->take.next_at);
        return;
    }
    struct str url = {0};
    bool batch = free_count > 1 && queue->settings->take_batch_url;
    str_puts(&url, batch ? queue->settings->take_batch_url : queue->settings->take_url);
    if (batch) {
        char size[24];
        snprintf(size, sizeof(size), "%zu", free_count);
        url_add_query(&url, "batch_size", size);
    }
    url_add_query(&url, "job_in_progress", queue->held ? "1" : "0");
    struct http_request request = {.method = "GET",
                                   .url = url.data,
                                   .timeout_s = POLL_TIMEOUT_S + ANSWER_S,
                                   .stall_timeout_s = STALL_S,
                                   .response_max = ANSWER_BYTES_MAX};
    struct http_response none = {.retry_after_s = -1};
    queue->take.begun_at = queue->now;
    metrics_count(queue->metrics, METRIC_TAKES);
    queue->take.call = queue_request(queue, &request, take_done, queue, &none.err);
    if (!queue->take.call)
        take_done(&none, queue);
    str_finish(&url);
}

void take_abandon(struct queue *queue)
{
    if (queue->take.call && !http_call_is_answered(queue->take.call))
        http_client_poll(queue->client, 0); /* what has come since */
    if (!queue->take.call || http_call_is_answered(queue->take.call))
        return;
    int64_t until = queue->take.abandon_at + BEGUN_S * CLOCK_S;
    if (queue->now < until && http_call_has_begun(queue->take.call)) {
        queue_wake_at(queue, until);
        return;
    }
    http_call_cancel(queue->take.call);
    queue->take.call = NULL;
}
