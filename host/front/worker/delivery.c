/* What is sent about a job, in order, one request at a time: progress and chunks while it runs,
 * then the final result until it is acknowledged; see queue_private.h. What each answer means: the
 * `done` and `stream` endpoints as runpod 1.12.0 (PyPI: rp_http.py) meets them.
 */
#include "front/worker/queue_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_S 0.5
#define RETRY_MAX_S 30.0
#define RETRY_AFTER_MAX_S 300.0
#define DRAIN_RETRY_MAX_S 2.0 /* a worker that ends has no time to wait longer */
#define DENIED_TRIES_MAX 3    /* after 401 and 403 */
#define DENIED_PAUSE_S 10.0
#define CHUNK_TRIES_MAX 3
#define CHUNK_RETRY_MAX_S 3.0
#define BYTES_PER_S 262144.0 /* what a slow line still does: a large body has more time */

/* --- Requests --------------------------------------------------------------------------------- */

/* The id as a header can hold it. */
static void request_id_header(const char *id, struct str *header)
{
    str_puts(header, "X-Request-ID: ");
    for (const unsigned char *c = (const unsigned char *)id; *c; c++) {
        if (*c > ' ' && *c < 0x7f)
            str_putc(header, (char)*c);
        else
            str_printf(header, "%%%02X", *c);
    }
}

/* One that cannot even be started has failed like any other: `done` is called, which may remove
 * `held`. */
static void post(struct held *held, const char *template, bool is_stream, const struct str *body,
                 void (*done)(struct http_response *response, void *arg))
{
    struct queue *queue = held->queue;
    struct http_response none = {.retry_after_s = -1};
    struct str url = {0}, request_id = {0};
    url_of_job(template, held->id, is_stream, &url);
    request_id_header(held->id, &request_id);
    const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded",
                                   "charset: utf-8", request_id.data, NULL};
    struct http_request request = {
        .method = "POST",
        .url = url.data,
        .headers = headers,
        .body = body->data,
        .body_len = body->len,
        .timeout_s = queue->manifest->worker.request_s + (double)body->len / BYTES_PER_S,
    };
    held->call = queue_request(queue, &request, done, held, &none.err);
    str_finish(&url);
    str_finish(&request_id);
    if (!held->call)
        done(&none, held);
}

/* What the platform said to a body, also when the rest of its answer was lost: what it took or
 * refused is not sent again. 0: nothing. */
static int verdict_of(const struct http_response *response)
{
    int begun = response->begun_status;
    bool counts = (begun >= 200 && begun < 300) || (begun >= 400 && begun < 500);
    return !response->status && counts ? begun : response->status;
}

static bool is_transient(int status)
{
    return status == 0 || (status >= 300 && status < 400) || status == 408 || status == 425 ||
           status == 429 || status >= 500;
}

static void retry_after(struct held *held, const struct http_response *response, double first_s,
                        double max_s)
{
    struct queue *queue = held->queue;
    double wished_s = response->retry_after_s, wished_max_s = RETRY_AFTER_MAX_S;
    if (queue->phase == QUEUE_DRAINS) {
        wished_max_s = DRAIN_RETRY_MAX_S;
        max_s = max_s < DRAIN_RETRY_MAX_S ? max_s : DRAIN_RETRY_MAX_S;
        first_s = first_s < max_s ? first_s : max_s;
    }
    int64_t pause = backoff_ns(held->attempts, first_s, max_s);
    if (wished_s > wished_max_s)
        wished_s = wished_max_s;
    if (wished_s >= 0) /* 0 is no call for a hot loop */
        pause = (int64_t)((wished_s > RETRY_S ? wished_s : RETRY_S) * (double)CLOCK_S);
    held->next_at = queue->now + pause;
    metrics_count(queue->metrics, METRIC_DELIVERY_RETRIES);
}

/* What was being sent is done with, for better or worse. */
static void settle(struct held *held)
{
    held->sending = SENDING_NOTHING;
    held->attempts = 0;
    held->next_at = 0;
    str_finish(&held->body);
}

/* --- The final result ------------------------------------------------------------------------- */

static void undeliverable(struct held *held, const struct http_response *response,
                          enum metric metric, const char *what)
{
    char reason[256];
    struct queue *queue = held->queue;
    queue_reason(response, reason, sizeof(reason));
    LOG_EVENT(queue->log, LOG_ERROR, "delivery", what, LOG_TEXT("job", held->id),
              LOG_TEXT("reason", reason), LOG_NUMBER("tries", held->attempts),
              LOG_NUMBER("bytes", held->answer->body.len));
    metrics_count(queue->metrics, metric);
    queue->undelivered++;
    held_remove(held);
}

/* The platform takes this body never: it gets a short one, once, so that the job fails at once and
 * says why. */
static void answer_shortly(struct held *held, const struct http_response *response)
{
    struct err err = {0};
    struct queue *queue = held->queue;
    if (held->refused) {
        undeliverable(held, response, METRIC_RESULTS_REJECTED, "a result was refused for good");
        return;
    }
    bool is_size = verdict_of(response) == 400 || verdict_of(response) == 413;
    err_set(&err, is_size ? ERR_TOO_LARGE : ERR_INTERNAL, NULL,
            "the platform refused the result of %zu bytes with status %d%s", held->answer->body.len,
            verdict_of(response), is_size ? "; its limit is about 20 MB" : "");
    LOG_EVENT(queue->log, LOG_ERROR, "delivery", "a result was refused", LOG_TEXT("job", held->id),
              LOG_NUMBER("status", verdict_of(response)),
              LOG_NUMBER("bytes", held->answer->body.len),
              LOG_NUMBER("body_bytes_max", queue->manifest->worker.body_bytes_max));
    settle(held);
    reply_failure(queue->reply, &err, held->answer->refresh, &held->body);
    held->refused = true;
}

/* Or gives it up, when there is no time for that. */
static void retry_final(struct held *held, const struct http_response *response, double first_s,
                        double max_s)
{
    struct queue *queue = held->queue;
    retry_after(held, response, first_s, max_s);
    int64_t give_up_at = held->give_up_at;
    if (queue->cancelled && queue->phase_ends_at < give_up_at)
        give_up_at = queue->phase_ends_at;
    if (held->next_at > give_up_at)
        held->next_at = give_up_at; /* for a last try */
    if (queue->now >= give_up_at)
        undeliverable(held, response, METRIC_RESULTS_EXPIRED, "a result could not be delivered");
    else if (held->attempts == 1)
        LOG_EVENT(queue->log, LOG_WARN, "delivery", "a result is tried again",
                  LOG_TEXT("job", held->id), LOG_NUMBER("status", response->status),
                  LOG_TEXT("reason", response->status ? "" : response->err.message));
}

static void final_delivered(struct held *held)
{
    struct queue *queue = held->queue;
    bool refresh = held->answer->refresh;
    metrics_count(queue->metrics, METRIC_RESULTS_DELIVERED);
    LOG_EVENT(queue->log, LOG_DEBUG, "delivery", "result delivered", LOG_TEXT("job", held->id));
    held_remove(held);
    if (refresh)
        queue_drain(queue, "a fresh worker was asked for");
}

static void final_done(struct http_response *response, void *arg)
{
    struct held *held = arg;
    struct queue *queue = held->queue;
    int status = verdict_of(response);
    held->call = NULL;
    queue->now = clock_now();
    if (status >= 200 && status < 300) {
        final_delivered(held);
    } else if (is_transient(status)) {
        retry_final(held, response, RETRY_S, RETRY_MAX_S);
    } else if (status == 404 || status == 409 || status == 410) {
        LOG_EVENT(queue->log, LOG_INFO, "delivery", "the platform does not know the job any more",
                  LOG_TEXT("job", held->id), LOG_NUMBER("status", status));
        metrics_count(queue->metrics, METRIC_RESULTS_REJECTED);
        held_remove(held);
    } else if (status == 401 || status == 403) {
        if (held->attempts > DENIED_TRIES_MAX)
            undeliverable(held, response, METRIC_RESULTS_REJECTED,
                          "a result was refused: is RUNPOD_AI_API_KEY right?");
        else
            retry_final(held, response, DENIED_PAUSE_S, DENIED_PAUSE_S);
    } else {
        answer_shortly(held, response);
    }
}

static void send_final(struct held *held)
{
    struct queue *queue = held->queue;
    const struct str *body = held->refused ? &held->body : &held->answer->body;
    if (!held->attempts && !held->refused)
        held->give_up_at =
            queue->now + (int64_t)(queue->manifest->worker.delivery_s * (double)CLOCK_S);
    held->sending = SENDING_FINAL;
    held->attempts++;
    post(held, queue->settings->done_url, held->answer->is_stream, body, final_done);
}

/* --- Chunks ----------------------------------------------------------------------------------- */

static void chunk_done(struct http_response *response, void *arg)
{
    struct held *held = arg;
    struct queue *queue = held->queue;
    char reason[256];
    int status = verdict_of(response);
    held->call = NULL;
    queue->now = clock_now();
    if (status >= 200 && status < 300) {
        metrics_count(queue->metrics, METRIC_CHUNKS_SENT);
        held->moved_at = queue->now;
        settle(held);
        return;
    }
    if (is_transient(status) && held->attempts < CHUNK_TRIES_MAX) {
        retry_after(held, response, RETRY_S, CHUNK_RETRY_MAX_S);
        return;
    }
    queue_reason(response, reason, sizeof(reason));
    LOG_EVENT(queue->log, LOG_ERROR, "delivery", "a chunk of a stream is lost",
              LOG_TEXT("job", held->id), LOG_TEXT("reason", reason));
    settle(held);
}

static void send_chunk(struct held *held)
{
    held->sending = SENDING_CHUNK;
    held->attempts++;
    post(held, held->queue->settings->stream_url, false, &held->body, chunk_done);
}

/* Makes the next chunk the body that is to be sent, if there is one. */
static bool next_chunk(struct held *held)
{
    struct str chunk = {0};
    bool any;
    while ((any = held->stream && stream_next(held->stream, &chunk)) &&
           !held->queue->settings->stream_url) {
        str_finish(&chunk);
        if (!held->missing_stream_url)
            LOG_EVENT(held->queue->log, LOG_WARN, "delivery",
                      "RUNPOD_WEBHOOK_POST_STREAM is not set: chunks are not sent",
                      LOG_TEXT("job", held->id));
        held->missing_stream_url = true;
    }
    if (any)
        reply_stream_body(&chunk, &held->body);
    str_finish(&chunk);
    return any;
}

/* --- Progress --------------------------------------------------------------------------------- */

static void progress_done(struct http_response *response, void *arg)
{
    struct held *held = arg;
    (void)response; /* the next one says it again */
    held->call = NULL;
    held->queue->now = clock_now();
    settle(held);
}

static void send_progress(struct held *held)
{
    struct queue *queue = held->queue;
    int64_t every = (int64_t)(queue->manifest->worker.progress_s * (double)CLOCK_S);
    if (every == 0)
        return;
    if (queue->now >= held->progress_at) {
        double progress = dispatch_progress(queue->dispatch, held->ticket);
        held->progress_at = queue->now + every;
        if (progress > 0 && progress != held->progress) {
            held->progress = progress;
            held->sending = SENDING_PROGRESS;
            reply_progress(progress, &held->body);
            post(held, queue->settings->done_url, false, &held->body, progress_done);
        }
    }
    queue_wake_at(queue, held->progress_at);
}

/* --- What is left out ------------------------------------------------------------------------- */

/* What says no more than the final result must not keep it: once the job has ended and no chunk
 * has been taken for the time of a request, or once the worker has no time left. */
static bool is_time_for_final(const struct held *held)
{
    struct queue *queue = held->queue;
    if (queue->cancelled)
        return true;
    if (!held->answer || held->sending == SENDING_FINAL)
        return false;
    int64_t until = held->moved_at + (int64_t)(queue->manifest->worker.request_s * (double)CLOCK_S);
    if (queue->now >= until)
        return true;
    queue_wake_at(queue, until);
    return false;
}

static void drop_sending(struct held *held)
{
    if (held->sending == SENDING_CHUNK)
        LOG_EVENT(held->queue->log, LOG_ERROR, "delivery", "the last chunks of a stream are lost",
                  LOG_TEXT("job", held->id),
                  LOG_TEXT("reason", "the result could not wait longer"));
    if (held->call)
        http_call_cancel(held->call);
    held->call = NULL;
    settle(held);
}

/* --- Public ----------------------------------------------------------------------------------- */

void delivery_advance(struct held *held)
{
    struct queue *queue = held->queue;
    bool only_final = is_time_for_final(held);
    if (only_final && (held->sending == SENDING_CHUNK || held->sending == SENDING_PROGRESS))
        drop_sending(held);
    if (held->call)
        return;
    if (held->stopped) {
        if (held->answer)
            held_remove(held);
        return;
    }
    if (held->next_at > queue->now) {
        queue_wake_at(queue, held->next_at);
        return;
    }
    bool has_chunk = !only_final && (held->sending == SENDING_CHUNK ||
                                     (held->sending == SENDING_NOTHING && next_chunk(held)));
    if (has_chunk)
        send_chunk(held);
    else if (held->answer)
        send_final(held);
    else if (!only_final)
        send_progress(held);
}

void delivery_stop(struct held *held)
{
    struct queue *queue = held->queue;
    held->stopped = true;
    if (held->call)
        http_call_cancel(held->call);
    held->call = NULL;
    settle(held);
    if (held->answer)
        held_remove(held);
    else
        dispatch_cancel(queue->dispatch, held->ticket);
}
