/* The loop of the queue mode; see queue.h and queue_private.h. Each turn: mail from the runner,
 * then whatever can be started (takes, the stop channel, deliveries), then transfers until
 * something happens.
 */
#include "front/worker/queue_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TURN_S 5            /* the loop looks around at least so often */
#define LOADING_TURN_MS 100 /* while models load, whose failure wakes nobody */
#define ASLEEP_S 5 /* a turn that is late by more: we were stopped, and connections may be dead */
#define REST_S 1   /* then, for the rest of an answer that lies in our socket */
#define CLAIM_S 5  /* for a job that can be told why the worker ends */
/* A job that was sent while the signal came is still taken: who gives up at once loses what is on
 * the wire. */
#define LINGER_MS 30
#define FLUSH_S 10 /* for results, after the drain's time is over */

/* --- Requests --------------------------------------------------------------------------------- */

struct http_call *queue_request(struct queue *queue, const struct http_request *request,
                                void (*done)(struct http_response *response, void *arg), void *arg,
                                struct err *err)
{
    const char *headers[QUEUE_HEADERS_MAX + 1] = {NULL};
    struct http_request complete = *request;
    size_t count = 0;
    if (queue->authorization)
        headers[count++] = queue->authorization;
    for (size_t i = 0; request->headers && request->headers[i] && count < QUEUE_HEADERS_MAX; i++)
        headers[count++] = request->headers[i];
    complete.headers = headers;
    struct http_call *call = http_client_start(queue->client, &complete, done, arg, err);
    if (!call)
        queue_wake_at(queue, queue->now); /* for the pause that is to come */
    return call;
}

void queue_reason(const struct http_response *response, char *text, size_t size)
{
    if (response->status)
        snprintf(text, size, "the platform answered with status %d", response->status);
    else
        snprintf(text, size, "%s", response->err.message);
}

static void wake_client(void *arg)
{
    http_client_wake(arg);
}

/* --- Phases ----------------------------------------------------------------------------------- */

/* What waits for another try has it now. */
static void retry_now(struct queue *queue)
{
    for (struct held *held = queue->held; held; held = held->next)
        held->next_at = 0;
}

void queue_drain(struct queue *queue, const char *why)
{
    double drain_s = queue->manifest->host.drain_s;
    if (queue->phase == QUEUE_DRAINS)
        return;
    queue->phase = QUEUE_DRAINS;
    queue->phase_ends_at = clock_now() + (int64_t)(drain_s * (double)CLOCK_S);
    atomic_store(queue->options->stopping, 1);
    queue->take.abandon_at = clock_now() + LINGER_MS * CLOCK_MS;
    stopper_abandon(queue);
    retry_now(queue); /* a pause may be longer than there is time */
    LOG_EVENT(queue->log, LOG_INFO, "worker", "no more jobs are taken", LOG_TEXT("reason", why),
              LOG_NUMBER("jobs_held", queue->held_count), LOG_NUMBER("drain_s", drain_s));
}

/* A required model that cannot be loaded makes the worker useless. */
static void watch_models(struct queue *queue)
{
    struct models *models = queue->app->models;
    bool loading = false;
    for (size_t i = 0; i < models_count(models) && queue->phase == QUEUE_SERVES; i++) {
        struct model *model = models_at(models, i);
        struct err why = {0};
        enum model_state state = model_state(model, &why);
        loading = loading || state == MODEL_LOADING;
        if (state != MODEL_FAILED || !model_manifest(model)->required)
            continue;
        queue->failure = why;
        err_prefix(&queue->failure, "required model \"%s\" failed", model_name(model));
        queue->phase = QUEUE_FAILS;
        queue->phase_ends_at = queue->now + CLAIM_S * CLOCK_S;
        LOG_EVENT(queue->log, LOG_ERROR, "worker", "this worker is of no use and ends",
                  LOG_TEXT("reason", queue->failure.message));
    }
    if (loading)
        queue_wake_at(queue, queue->now + LOADING_TURN_MS * CLOCK_MS);
    if (!loading && !queue->settled)
        mem_forget_start();
    queue->settled = queue->settled || !loading;
}

/* After the drain's time: what still runs is cancelled, and reported as such. */
static void end_drain(struct queue *queue)
{
    if (queue->cancelled)
        return;
    queue->cancelled = true;
    double grace_s = queue->running_count ? queue->manifest->host.cancel_grace_s : 0;
    queue->phase_ends_at = queue->now + (int64_t)((grace_s + FLUSH_S) * (double)CLOCK_S);
    retry_now(queue);
    dispatch_cancel_all(queue->dispatch);
}

/* True when all is done. */
static bool advance_phase(struct queue *queue)
{
    if (app_signal)
        queue_drain(queue, app_signal == SIGTERM ? "SIGTERM" : "SIGINT");
    if (queue->phase == QUEUE_SERVES)
        watch_models(queue);
    if (queue->phase == QUEUE_FAILS && (queue->accepted || queue->now >= queue->phase_ends_at))
        queue_drain(queue, "a required model failed");
    if (queue->phase != QUEUE_SERVES)
        queue_wake_at(queue, queue->phase_ends_at);
    if (queue->phase != QUEUE_DRAINS)
        return false;
    if (queue->now >= queue->take.abandon_at)
        take_abandon(queue);
    else if (queue->take.call)
        queue_wake_at(queue, queue->take.abandon_at);
    if (!queue->held && !queue->take.call)
        return true;
    if (queue->now < queue->phase_ends_at)
        return false;
    if (queue->cancelled)
        return true;
    end_drain(queue);
    queue_wake_at(queue, queue->phase_ends_at);
    return false;
}

/* --- The loop --------------------------------------------------------------------------------- */

static void wake_up(struct queue *queue)
{
    int64_t until = clock_now() + REST_S * CLOCK_S;
    /* What came meanwhile counts: it may have been our own thread that hung. */
    http_client_poll(queue->client, 0);
    while (queue->take.call && http_call_is_answered(queue->take.call) && clock_now() < until)
        http_client_poll(queue->client, until); /* jobs of which a part has come */
    log_write(queue->log, LOG_INFO, "worker", "this process was stopped for a while: reconnecting",
              NULL, 0);
    http_client_reconnect(queue->client);
    queue->take.next_at = queue->stopper.next_at = 0;
    queue->take.failures = queue->take.empties = queue->stopper.failures = 0;
    retry_now(queue);
}

static void serve(struct queue *queue)
{
    for (;;) {
        queue->now = clock_now();
        queue->wake_at = queue->now + TURN_S * CLOCK_S;
        mail_collect(queue);
        if (advance_phase(queue))
            return;
        take_advance(queue);
        stopper_advance(queue);
        for (struct held *held = queue->held, *next; held; held = next) {
            next = held->next;
            delivery_advance(held);
        }
        int64_t offset = clock_offset();
        http_client_poll(queue->client, queue->wake_at);
        if (clock_now() + clock_offset() - offset > queue->wake_at + ASLEEP_S * CLOCK_S)
            wake_up(queue);
    }
}

static void log_lost(struct queue *queue)
{
    for (struct held *held = queue->held; held; held = held->next) {
        queue->undelivered++;
        LOG_EVENT(queue->log, LOG_ERROR, "delivery", "ended before its result was delivered",
                  LOG_TEXT("job", held->id),
                  LOG_TEXT("state", held->answer ? "result" : "running"));
    }
}

/* --- Life ------------------------------------------------------------------------------------- */

static struct heartbeat_options heartbeat_of(const struct queue *queue)
{
    return (struct heartbeat_options){
        .settings = queue->settings,
        .runpod_version = queue->manifest->worker.runpod_version,
        .log = queue->log,
        .metrics = queue->metrics,
    };
}

static bool start(struct queue *queue, struct dispatch_options *dispatch)
{
    const struct heartbeat_options heartbeat = heartbeat_of(queue);
    queue->client = http_client_create(queue->settings->user_agent);
    if (!queue->client)
        return false;
    app_wake_on_signal(wake_client, queue->client);
    dispatch->answered = mail_answer;
    dispatch->chunk_ready = mail_chunk;
    dispatch->arg = queue;
    queue->dispatch = dispatch_create(dispatch);
    if (queue->settings->ping_url)
        queue->heartbeat = heartbeat_start(&heartbeat);
    else
        log_write(
            queue->log, LOG_WARN, "worker",
            "no pings: RUNPOD_WEBHOOK_PING, RUNPOD_AI_API_KEY and RUNPOD_POD_ID are not all set",
            NULL, 0);
    return queue->dispatch && (queue->heartbeat || !queue->settings->ping_url);
}

static void report_failure(struct queue *queue)
{
    const struct heartbeat_options options = heartbeat_of(queue);
    struct str reason = {0};
    str_printf(&reason, "%s: %s", reply_error_type(queue->failure.code), queue->failure.message);
    if (queue->settings->ping_url)
        heartbeat_unhealthy(&options, "model_load", reason.data);
    str_finish(&reason);
}

/* False when a plugin still runs: then the process has to end at once. */
static bool finish(struct queue *queue)
{
    bool all_back =
        !queue->dispatch || (dispatch_stop(queue->dispatch) && dispatch_destroy(queue->dispatch));
    app_wake_on_signal(NULL, NULL);
    if (!all_back)
        return false;
    mail_collect(queue);
    while (queue->held) /* tells the heartbeat */
        held_remove(queue->held);
    heartbeat_stop(queue->heartbeat);
    http_client_destroy(queue->client);
    pthread_mutex_destroy(&queue->lock);
    free(queue->authorization);
    free(queue);
    return true;
}

int queue_run(struct dispatch_options *dispatch, const struct queue_options *options)
{
    struct queue *queue = mem_alloc(sizeof(*queue));
    int exit_code = EXIT_JOBS_FAILED;
    queue->options = options;
    queue->settings = options->settings;
    queue->app = dispatch->app;
    queue->manifest = dispatch->app->manifest;
    queue->log = &dispatch->app->log;
    queue->reply = dispatch->reply;
    queue->metrics = options->metrics;
    queue->held_tail = &queue->held;
    queue->mail_tail = &queue->mail;
    queue->running_max =
        dispatch->concurrency < QUEUE_RUNNING_MAX ? dispatch->concurrency : QUEUE_RUNNING_MAX;
    if (queue->settings->key)
        queue->authorization = str_format("Authorization: %s", queue->settings->key);
    pthread_mutex_init(&queue->lock, NULL);
    if (start(queue, dispatch)) {
        serve(queue);
        log_lost(queue);
        if (queue->failure.code != ERR_NONE)
            report_failure(queue);
        exit_code = queue->failure.code != ERR_NONE || queue->undelivered ? EXIT_JOBS_FAILED
                                                                          : EXIT_ALL_WELL;
        log_write(queue->log, LOG_INFO, "worker", "ended", NULL, 0);
    } else {
        log_write(queue->log, LOG_ERROR, "worker", "no thread or connection could be started", NULL,
                  0);
    }
    if (!finish(queue)) {
        app_callbacks_end(dispatch->app, dispatch->callbacks, false);
        _exit(exit_code);
    }
    return exit_code;
}
