/* Webhooks of the local API server: bodies that are posted to a job's URL until somebody has taken
 * them. One thread, which takes whichever is due next, so that one that hangs delays the others by
 * its time-out at most.
 *
 * The URLs are strangers': unless the manifest allows it they lead to public addresses, or, while
 * the server itself is for this machine only, to this machine.
 */
#include "front/worker/local_private.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct webhook {
    struct webhook *next;
    char *url, *job_id;
    struct str body;
    unsigned tries;
    int64_t due;
};

struct webhooks {
    struct webhooks_options options;
    pthread_t thread;
    atomic_int stop; /* not 0: nothing is sent any more */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct webhook *list; /* guarded by lock; without the one that is being sent */
    size_t count, bytes;  /* likewise, with it */
};

static void webhook_destroy(struct webhook *hook)
{
    free(hook->url);
    free(hook->job_id);
    str_finish(&hook->body);
    free(hook);
}

static void warn(const struct webhooks *webhooks, const char *event, const char *job_id,
                 const char *reason)
{
    LOG_EVENT(webhooks->options.log, LOG_WARN, "worker", event, LOG_TEXT("job", job_id),
              LOG_TEXT("reason", reason));
}

/* --- May it be sent there --------------------------------------------------------------------- */

/* A URL of this machine, spelled so that no parser can read another host in it. */
static bool is_loopback(const char *url)
{
    static const char *const hosts[] = {"localhost", "127.0.0.1", "[::1]"};
    const char *host = strncmp(url, "https://", 8) == 0  ? url + 8
                       : strncmp(url, "http://", 7) == 0 ? url + 7
                                                         : "";
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        size_t len = strlen(hosts[i]);
        if (strncmp(host, hosts[i], len) != 0)
            continue;
        const char *end = host + len;
        if (*end == ':')
            end += 1 + strspn(end + 1, "0123456789");
        return strchr("/?#", *end); /* or the end */
    }
    return false;
}

static bool is_guarded(const struct webhooks_options *options, const char *url)
{
    return !options->private && !(options->loopback && is_loopback(url));
}

/* --- The thread ------------------------------------------------------------------------------- */

/* One try; true when this is the end of it. */
static bool try_once(struct webhooks *webhooks, struct webhook *hook)
{
    static const char *const headers[] = {"Content-Type: application/json", NULL};
    const struct http_request request = {
        .method = "POST",
        .url = hook->url,
        .headers = headers,
        .body = hook->body.data,
        .body_len = hook->body.len,
        .timeout_s = WEBHOOK_TIMEOUT_S,
        .public_only = is_guarded(&webhooks->options, hook->url),
    };
    struct http_response response = {0};
    char status[32];
    const char *reason = NULL;
    bool last = ++hook->tries == WEBHOOK_TRIES;
    int code = http_send(&request, webhooks->options.user_agent, &webhooks->stop, &response);
    if (code != 0) {
        reason = response.err.message;
        last = last || code == ERR_INVALID; /* no usable URL */
    } else if (response.status < 200 || response.status > 299) {
        snprintf(status, sizeof(status), "answered with status %d", response.status);
        reason = status;
    }
    if (reason)
        warn(webhooks, last ? "webhook given up" : "webhook failed", hook->job_id, reason);
    str_finish(&response.body);
    return !reason || last;
}

/* Takes the webhook that is due first off the list, once it is due; NULL at the end. With the lock.
 */
static struct webhook *take_due(struct webhooks *webhooks)
{
    while (!atomic_load(&webhooks->stop)) {
        struct webhook **first = &webhooks->list;
        for (struct webhook **link = first; *link; link = &(*link)->next)
            if ((*link)->due < (*first)->due)
                first = link;
        struct webhook *hook = *first;
        if (hook && hook->due <= clock_now()) {
            *first = hook->next;
            return hook;
        }
        sync_cond_wait(&webhooks->changed, &webhooks->lock, hook ? hook->due : CLOCK_NEVER);
    }
    return NULL;
}

static void *run(void *arg)
{
    struct webhooks *webhooks = arg;
    struct webhook *hook;
    pthread_mutex_lock(&webhooks->lock);
    while ((hook = take_due(webhooks))) {
        pthread_mutex_unlock(&webhooks->lock);
        bool over = try_once(webhooks, hook);
        pthread_mutex_lock(&webhooks->lock);
        if (over) {
            webhooks->count--;
            webhooks->bytes -= hook->body.len;
            webhook_destroy(hook);
        } else {
            hook->due = clock_now() + WEBHOOK_RETRY_S * CLOCK_S;
            hook->next = webhooks->list;
            webhooks->list = hook;
        }
        pthread_cond_broadcast(&webhooks->changed);
    }
    pthread_mutex_unlock(&webhooks->lock);
    return NULL;
}

/* --- Public ----------------------------------------------------------------------------------- */

struct webhooks *webhooks_create(const struct webhooks_options *options)
{
    struct webhooks *webhooks = mem_alloc(sizeof(*webhooks));
    webhooks->options = *options;
    pthread_mutex_init(&webhooks->lock, NULL);
    sync_cond_init(&webhooks->changed);
    if (sync_thread_start(&webhooks->thread, run, webhooks) == 0)
        return webhooks;
    pthread_cond_destroy(&webhooks->changed);
    pthread_mutex_destroy(&webhooks->lock);
    free(webhooks);
    return NULL;
}

void webhooks_send(struct webhooks *webhooks, const char *url, const char *job_id, struct str *body)
{
    pthread_mutex_lock(&webhooks->lock);
    bool room = webhooks->count < WEBHOOKS_MAX && webhooks->bytes + body->len <= WEBHOOKS_BYTES_MAX;
    if (room) {
        struct webhook *hook = mem_alloc(sizeof(*hook));
        hook->url = mem_copy_string(url);
        hook->job_id = mem_copy_string(job_id);
        hook->body = *body;
        hook->next = webhooks->list;
        hook->due = clock_now();
        webhooks->list = hook;
        webhooks->count++;
        webhooks->bytes += body->len;
        *body = (struct str){0};
        pthread_cond_broadcast(&webhooks->changed);
    }
    pthread_mutex_unlock(&webhooks->lock);
    if (!room)
        warn(webhooks, "webhook dropped", job_id, "too many wait already");
    str_finish(body);
}

/* Are there some that were never tried, or one that is being sent? With the lock. */
static bool has_fresh(const struct webhooks *webhooks)
{
    size_t tried = 0;
    for (const struct webhook *hook = webhooks->list; hook; hook = hook->next)
        tried += hook->tries > 0;
    return webhooks->count > tried;
}

void webhooks_destroy(struct webhooks *webhooks, int64_t deadline)
{
    if (!webhooks)
        return;
    pthread_mutex_lock(&webhooks->lock);
    while (has_fresh(webhooks) && clock_now() < deadline)
        sync_cond_wait(&webhooks->changed, &webhooks->lock, deadline);
    atomic_store(&webhooks->stop, 1);
    pthread_cond_broadcast(&webhooks->changed);
    pthread_mutex_unlock(&webhooks->lock);
    pthread_join(webhooks->thread, NULL);
    while (webhooks->list) {
        struct webhook *hook = webhooks->list;
        webhooks->list = hook->next;
        warn(webhooks, "webhook given up", hook->job_id, "the server is stopping");
        webhook_destroy(hook);
    }
    pthread_cond_destroy(&webhooks->changed);
    pthread_mutex_destroy(&webhooks->lock);
    free(webhooks);
}
