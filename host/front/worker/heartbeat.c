/* Pings; see heartbeat.h. Their times stand on a schedule, so they do not drift; one that is not
 * answered yet when the next is due holds nobody up. The list of jobs is sent as it is when a ping
 * begins.
 */
#include "front/worker/heartbeat.h"

#include "http/http.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define URL_SIZE_MAX 8000    /* what servers take; then the newest jobs are named */
#define REPORT_TIMEOUT_S 2.0 /* of an unhealthy worker: it is about to end */
#define REASON_SIZE_MAX 256
#define TIMEOUT_MIN_S 5.0 /* a new connection may take its time, whatever the interval */
#define IN_FLIGHT_MAX 8
#define ASLEEP_INTERVALS \
    2 /* a thread that is late by more was stopped: its connection may be dead */

struct pinged {
    struct pinged *next;
    uint64_t ticket;
    char *id;
};

struct heartbeat {
    struct heartbeat_options options;
    struct http_client *client;
    pthread_t thread;
    int64_t interval;
    /* of the thread */
    unsigned in_flight;
    char *authorization;
    bool failing;
    int64_t last_at, next_at;
    pthread_mutex_t lock;
    /* guarded by lock */
    struct pinged *jobs, **jobs_tail;
    size_t job_count;
    bool filled; /* the list is not empty any more */
    bool ending;
};

/* --- A ping ----------------------------------------------------------------------------------- */

/* Ids from the newest back while they fit, in the order of acceptance. With the lock. Returns how
 * many are left out. */
static size_t list_ids(const struct heartbeat *heartbeat, size_t room, struct str *ids)
{
    size_t total = 0, left_out = 0;
    for (const struct pinged *job = heartbeat->jobs; job; job = job->next)
        total += 3 * strlen(job->id) + 3; /* each byte and the comma may be percent-encoded */
    for (const struct pinged *job = heartbeat->jobs; job; job = job->next) {
        if (total > room) {
            total -= 3 * strlen(job->id) + 3;
            left_out++;
            continue;
        }
        if (ids->len)
            str_putc(ids, ',');
        str_puts(ids, job->id);
    }
    return left_out;
}

static void log_change(struct heartbeat *heartbeat, const struct http_response *response)
{
    bool failed = response->status == 0 || response->status >= 500;
    metrics_count(heartbeat->options.metrics, failed ? METRIC_PING_ERRORS : METRIC_PINGS);
    if (failed == heartbeat->failing)
        return;
    heartbeat->failing = failed;
    if (failed)
        LOG_EVENT(heartbeat->options.log, LOG_WARN, "ping", "pings fail",
                  LOG_NUMBER("status", response->status),
                  LOG_TEXT("reason", response->status ? "" : response->err.message));
    else
        log_write(heartbeat->options.log, LOG_INFO, "ping", "pings are answered again", NULL, 0);
}

static void ping_done(struct http_response *response, void *arg)
{
    struct heartbeat *heartbeat = arg;
    heartbeat->in_flight--;
    log_change(heartbeat, response);
}

static void ping(struct heartbeat *heartbeat)
{
    const struct worker_settings *settings = heartbeat->options.settings;
    struct str url = {0}, ids = {0};
    struct http_response none = {0};
    str_puts(&url, settings->ping_url);
    size_t used = url.len + 64;
    pthread_mutex_lock(&heartbeat->lock);
    size_t left_out = list_ids(heartbeat, used < URL_SIZE_MAX ? URL_SIZE_MAX - used : 0, &ids);
    heartbeat->filled = false;
    pthread_mutex_unlock(&heartbeat->lock);
    if (left_out)
        LOG_EVENT(heartbeat->options.log, LOG_WARN, "ping", "too many jobs for one ping",
                  LOG_NUMBER("not_named", left_out));
    if (ids.len)
        url_add_query(&url, "job_id", ids.data);
    url_add_query(&url, "runpod_version", heartbeat->options.runpod_version);
    const char *const headers[] = {heartbeat->authorization, NULL};
    struct http_request request = {
        .method = "GET",
        .url = url.data,
        .headers = headers,
        .timeout_s = fmax(2 * (double)heartbeat->interval / CLOCK_S, TIMEOUT_MIN_S),
    };
    if (http_client_start(heartbeat->client, &request, ping_done, heartbeat, &none.err))
        heartbeat->in_flight++;
    else
        log_change(heartbeat, &none);
    str_finish(&url);
    str_finish(&ids);
}

/* --- The thread ------------------------------------------------------------------------------- */

/* When the next ping is due: on schedule, or at once when jobs came after a while without any. */
static int64_t due_at(struct heartbeat *heartbeat, int64_t now, bool *ending)
{
    pthread_mutex_lock(&heartbeat->lock);
    bool early = heartbeat->filled && now - heartbeat->last_at > heartbeat->interval / 2;
    *ending = heartbeat->ending;
    pthread_mutex_unlock(&heartbeat->lock);
    return early ? now : heartbeat->next_at;
}

static void *beat(void *arg)
{
    struct heartbeat *heartbeat = arg;
    bool ending;
    int64_t offset = clock_offset();
    for (;;) {
        int64_t now = clock_now(), due = due_at(heartbeat, now, &ending);
        if (ending)
            return NULL;
        int64_t slept = clock_offset() - offset;
        offset += slept;
        if (now + slept - heartbeat->next_at > ASLEEP_INTERVALS * heartbeat->interval)
            http_client_reconnect(heartbeat->client);
        if (now >= due || slept > heartbeat->interval) {
            heartbeat->last_at = now;
            while (heartbeat->next_at <= now)
                heartbeat->next_at += heartbeat->interval;
            if (heartbeat->in_flight < IN_FLIGHT_MAX)
                ping(heartbeat);
        }
        http_client_poll(heartbeat->client, heartbeat->next_at);
    }
}

/* --- Public ----------------------------------------------------------------------------------- */

struct heartbeat *heartbeat_start(const struct heartbeat_options *options)
{
    struct heartbeat *heartbeat = mem_alloc(sizeof(*heartbeat));
    heartbeat->options = *options;
    heartbeat->interval = (int64_t)(options->settings->ping_interval_s * CLOCK_S);
    heartbeat->authorization = str_format("Authorization: %s", options->settings->key);
    heartbeat->next_at = clock_now();
    heartbeat->jobs_tail = &heartbeat->jobs;
    pthread_mutex_init(&heartbeat->lock, NULL);
    heartbeat->client = http_client_create(options->settings->user_agent);
    if (heartbeat->client && sync_thread_start(&heartbeat->thread, beat, heartbeat) == 0)
        return heartbeat;
    http_client_destroy(heartbeat->client);
    pthread_mutex_destroy(&heartbeat->lock);
    free(heartbeat->authorization);
    free(heartbeat);
    return NULL;
}

void heartbeat_add(struct heartbeat *heartbeat, uint64_t ticket, const char *id)
{
    struct pinged *job = mem_alloc(sizeof(*job));
    *job = (struct pinged){NULL, ticket, mem_copy_string(id)};
    pthread_mutex_lock(&heartbeat->lock);
    bool first = heartbeat->job_count++ == 0;
    *heartbeat->jobs_tail = job;
    heartbeat->jobs_tail = &job->next;
    heartbeat->filled |= first;
    pthread_mutex_unlock(&heartbeat->lock);
    if (first)
        http_client_wake(heartbeat->client);
}

void heartbeat_remove(struct heartbeat *heartbeat, uint64_t ticket)
{
    struct pinged *found = NULL;
    pthread_mutex_lock(&heartbeat->lock);
    for (struct pinged **link = &heartbeat->jobs; *link; link = &(*link)->next) {
        if ((*link)->ticket != ticket)
            continue;
        found = *link;
        *link = found->next;
        if (!*link)
            heartbeat->jobs_tail = link;
        heartbeat->job_count--;
        break;
    }
    pthread_mutex_unlock(&heartbeat->lock);
    if (found)
        free(found->id);
    free(found);
}

void heartbeat_stop(struct heartbeat *heartbeat)
{
    if (!heartbeat)
        return;
    pthread_mutex_lock(&heartbeat->lock);
    heartbeat->ending = true;
    pthread_mutex_unlock(&heartbeat->lock);
    http_client_wake(heartbeat->client);
    pthread_join(heartbeat->thread, NULL);
    http_client_destroy(heartbeat->client);
    for (struct pinged *job = heartbeat->jobs; job;) {
        struct pinged *next = job->next;
        free(job->id);
        free(job);
        job = next;
    }
    pthread_mutex_destroy(&heartbeat->lock);
    free(heartbeat->authorization);
    free(heartbeat);
}

void heartbeat_unhealthy(const struct heartbeat_options *options, const char *check,
                         const char *reason)
{
    const struct worker_settings *settings = options->settings;
    struct str url = {0}, cut = {0};
    char *authorization = str_format("Authorization: %s", settings->key);
    const char *const headers[] = {authorization, NULL};
    struct http_response response = {0};
    str_append(&cut, reason, utf8_cut(reason, strlen(reason), REASON_SIZE_MAX));
    str_puts(&url, settings->ping_url);
    url_add_query(&url, "status", "unhealthy");
    url_add_query(&url, "check", check);
    url_add_query(&url, "reason", str_text(&cut));
    url_add_query(&url, "runpod_version", options->runpod_version);
    struct http_request request = {
        .method = "GET",
        .url = url.data,
        .headers = headers,
        .connect_timeout_s = REPORT_TIMEOUT_S,
        .timeout_s = REPORT_TIMEOUT_S,
    };
    if (http_send(&request, settings->user_agent, NULL, &response) != 0)
        LOG_EVENT(options->log, LOG_WARN, "ping", "the platform could not be told",
                  LOG_TEXT("reason", response.err.message));
    str_finish(&response.body);
    str_finish(&url);
    str_finish(&cut);
    free(authorization);
}
