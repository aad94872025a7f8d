/* The sender: its queue and its threads; see callback.h. Every thread takes the callback that is
 * due first, so a receiver that hangs holds up the others by one thread only, and never for longer
 * than a try may take.
 */
#include "callback/callback_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define USER_AGENT "voxhost/" VOXHOST_VERSION
#define STOP_LOOK_MS 100

struct callback_sender {
    struct callback_options options;
    atomic_int stop; /* not 0: nothing is sent any more */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* guarded by lock */
    struct spool *spool;
    bool spool_failed, unsigned_warned;
    bool no_client;        /* there is no HTTP here */
    struct callback *list; /* waiting, in no order */
    size_t count, bytes;   /* with those that are being sent */
    size_t sending;
    pthread_t threads[CALLBACK_THREADS];
    size_t thread_count;
};

/* --- The log ---------------------------------------------------------------------------------- */

static void log_callback(const struct callback_sender *sender, enum log_level level,
                         const char *event, const struct callback *callback, const char *reason)
{
    LOG_EVENT(sender->options.log, level, "callback", event, LOG_TEXT("job", callback->job_id),
              LOG_TEXT("kind", callback->is_error ? "error" : "success"),
              LOG_NUMBER("attempts", callback->attempts), LOG_TEXT("reason", reason),
              LOG_TEXT("id", callback->id));
}

/* --- The end of a callback -------------------------------------------------------------------- */

/* Nobody took it. */
static void bury(struct callback_sender *sender, struct callback *callback, const char *reason)
{
    struct err err = {0};
    if (!callback->last_error)
        callback->last_error = mem_copy_string(reason);
    if (!sender->spool)
        log_callback(sender, LOG_ERROR, "callback lost", callback, reason);
    else if (spool_bury(sender->spool, callback, &err) != 0)
        log_callback(sender, LOG_ERROR, "callback lost", callback, err.message);
    else
        log_callback(sender, LOG_WARN, "callback is a dead letter", callback, reason);
    callback_destroy(callback);
}

static void taken(struct callback_sender *sender, struct callback *callback)
{
    log_callback(sender, LOG_DEBUG, "callback taken", callback, "");
    if (callback->kept)
        spool_drop(sender->spool, callback);
    callback_destroy(callback);
}

/* --- The threads ------------------------------------------------------------------------------ */

/* Takes the callback that is due first off the list, once it is due; NULL at the end. With the
 * lock. */
static struct callback *take_due(struct callback_sender *sender)
{
    while (!atomic_load(&sender->stop)) {
        struct callback **first = &sender->list;
        for (struct callback **link = first; *link; link = &(*link)->next)
            if ((*link)->due < (*first)->due)
                first = link;
        struct callback *callback = *first;
        if (callback && callback->due <= clock_now()) {
            *first = callback->next;
            sender->sending++;
            return callback;
        }
        sync_cond_wait(&sender->changed, &sender->lock, callback ? callback->due : CLOCK_NEVER);
    }
    return NULL;
}

static int64_t pause_ns(const struct callback_sender *sender, const struct callback *callback,
                        double retry_after_s)
{
    double first_s =
        sender->options.retry_first_s > 0 ? sender->options.retry_first_s : CALLBACK_RETRY_FIRST_S;
    if (retry_after_s > CALLBACK_RETRY_AFTER_MAX_S)
        retry_after_s = CALLBACK_RETRY_AFTER_MAX_S;
    if (retry_after_s >= 0)
        return (int64_t)(retry_after_s * (double)CLOCK_S);
    return backoff_ns((unsigned)callback->attempts, first_s, CALLBACK_RETRY_MAX_S);
}

/* One try; false when it is to be tried again, at callback->due. Without the lock. */
static bool try_once(struct callback_sender *sender, struct http_client *client,
                     struct callback *callback)
{
    struct callback_answer answer;
    enum callback_fate fate =
        callback_try(&sender->options, client, callback, &sender->stop, &answer);
    if (fate == CALLBACK_TAKEN) {
        callback->attempts++;
        taken(sender, callback);
        return true;
    }
    if (atomic_load(&sender->stop)) {
        bury(sender, callback, "the process ended before it was taken");
        return true;
    }
    callback->attempts++;
    free(callback->last_error);
    callback->last_error = mem_copy_string(answer.err.message);
    if (fate == CALLBACK_REFUSED || callback->attempts >= sender->options.manifest->attempts) {
        bury(sender, callback, callback->last_error);
        return true;
    }
    log_callback(sender, LOG_INFO, "callback failed, is tried again", callback, answer.err.message);
    callback->due = clock_now() + pause_ns(sender, callback, answer.retry_after_s);
    return false;
}

static void *run(void *arg)
{
    struct callback_sender *sender = arg;
    struct http_client *client = http_client_create(USER_AGENT);
    struct callback *callback;
    pthread_mutex_lock(&sender->lock);
    if (!client && !sender->no_client)
        log_write(sender->options.log, LOG_ERROR, "callback",
                  "nothing can be sent: libcurl cannot be opened", NULL, 0);
    sender->no_client = !client;
    while (client && (callback = take_due(sender))) {
        size_t len = callback->body.len;
        pthread_mutex_unlock(&sender->lock);
        bool is_over = try_once(sender, client, callback);
        pthread_mutex_lock(&sender->lock);
        sender->sending--;
        if (is_over) {
            sender->count--;
            sender->bytes -= len;
        } else {
            callback->next = sender->list;
            sender->list = callback;
        }
        pthread_cond_broadcast(&sender->changed);
    }
    pthread_mutex_unlock(&sender->lock);
    http_client_destroy(client);
    return NULL;
}

/* --- Preparing -------------------------------------------------------------------------------- */

/* Once. With the lock. */
static void warn_unsigned(struct callback_sender *sender)
{
    if (!sender->options.manifest->secret && !sender->unsigned_warned)
        log_write(sender->options.log, LOG_WARN, "callback",
                  "callbacks are not signed: callbacks.secret is not set", NULL, 0);
    sender->unsigned_warned = true;
}

/* With the lock. */
static void open_spool(struct callback_sender *sender)
{
    size_t adopted = 0;
    struct err err = {0};
    if (sender->spool || sender->spool_failed)
        return;
    sender->spool_failed =
        spool_open(sender->options.manifest->dead_letters, &sender->spool, &adopted, &err) != 0;
    if (sender->spool_failed)
        LOG_EVENT(sender->options.log, LOG_ERROR, "callback",
                  "callbacks are not kept on disk: what nobody takes will be lost",
                  LOG_TEXT("reason", err.message));
    else if (adopted)
        LOG_EVENT(sender->options.log, LOG_WARN, "callback",
                  "callbacks of processes that died are dead letters now",
                  LOG_NUMBER("count", adopted));
    warn_unsigned(sender);
}

static char *new_id(const char *created)
{
    struct str id = {0};
    for (const char *c = created; *c && *c != '.'; c++)
        if (*c != '-' && *c != ':')
            str_putc(&id, *c);
    str_printf(&id, "-%016llx", (unsigned long long)random_u64());
    return str_take(&id);
}

struct callback *callback_prepare(struct callback_sender *sender, const struct callback_post *post)
{
    struct err err = {0};
    size_t bad;
    struct callback *callback = mem_alloc(sizeof(*callback));
    clock_text(callback->created);
    callback->id = new_id(callback->created);
    callback->job_id = mem_copy_string(post->job_id ? post->job_id : "");
    callback->url = mem_copy_string(post->url);
    callback->is_error = post->is_error;
    if (post->body_len == 0 || post->body_len > CALLBACK_BODY_BYTES_MAX ||
        memchr(post->body, '\0', post->body_len) || !utf8_valid(post->body, post->body_len, &bad)) {
        log_callback(sender, LOG_ERROR, "callback lost", callback,
                     "its body is too long, or is not UTF-8");
        callback_destroy(callback);
        return NULL;
    }
    str_append(&callback->body, post->body, post->body_len);
    pthread_mutex_lock(&sender->lock);
    open_spool(sender);
    struct spool *spool = sender->spool;
    pthread_mutex_unlock(&sender->lock);
    callback->kept = spool && spool_keep(spool, callback, &err) == 0;
    if (spool && !callback->kept)
        log_callback(sender, LOG_WARN, "callback is not kept on disk", callback, err.message);
    return callback;
}

struct callback *callback_prepare_job(struct callback_sender *sender, const struct result *result)
{
    struct str body = {0};
    struct callback *callback = NULL;
    const struct job_caller *caller = &result->caller;
    bool is_error = result->err.code != ERR_NONE;
    bool is_voice = caller->op == OP_VOICE_CREATE || caller->op == OP_UPLOAD;
    bool is_speech = caller->op == OP_TTS || caller->op == OP_COUNT; /* or nobody can tell */
    /* A voice's outcome goes to one URL, whatever it is. */
    bool is_elsewhere = is_error && (!is_voice || caller->error_callback_url);
    char *url = result->err.code == ERR_CANCELLED || !result->id || (!is_voice && !is_speech)
                    ? NULL
                    : callback_url_for(sender->options.manifest, caller, is_elsewhere);
    if (url) {
        if (is_voice)
            callback_voice_body(result, &body);
        else
            callback_body(result, &body);
        const struct callback_post post = {url, body.data, body.len, result->id, is_error};
        callback = callback_prepare(sender, &post);
    }
    str_finish(&body);
    free(url);
    return callback;
}

/* --- Releasing -------------------------------------------------------------------------------- */

/* As many threads as there are callbacks, within the limit; false without any. With the lock. */
static bool has_thread(struct callback_sender *sender)
{
    if (sender->thread_count < CALLBACK_THREADS && sender->thread_count < sender->count + 1 &&
        sync_thread_start(&sender->threads[sender->thread_count], run, sender) == 0)
        sender->thread_count++;
    return sender->thread_count > 0;
}

void callback_release(struct callback_sender *sender, struct callback *callback)
{
    if (!callback)
        return;
    pthread_mutex_lock(&sender->lock);
    bool room = sender->count < CALLBACK_QUEUE_MAX &&
                sender->bytes + callback->body.len <= CALLBACK_QUEUE_BYTES_MAX;
    bool queued = room && has_thread(sender);
    if (queued) {
        callback->due = clock_now();
        callback->next = sender->list;
        sender->list = callback;
        sender->count++;
        sender->bytes += callback->body.len;
        pthread_cond_broadcast(&sender->changed);
    }
    pthread_mutex_unlock(&sender->lock);
    if (!queued)
        bury(sender, callback,
             room ? "no thread could be started" : "too many callbacks wait already");
}

void callback_post(struct callback_sender *sender, const struct callback_post *post)
{
    callback_release(sender, callback_prepare(sender, post));
}

void callback_job_ended(struct callback_sender *sender, const struct result *result)
{
    callback_release(sender, callback_prepare_job(sender, result));
}

/* --- Life ------------------------------------------------------------------------------------- */

struct callback_sender *callback_sender_create(const struct callback_options *options)
{
    struct callback_sender *sender = mem_alloc(sizeof(*sender));
    sender->options = *options;
    sync_mutex_init(&sender->lock);
    sync_cond_init(&sender->changed);
    if (options->manifest->url || options->manifest->error_url)
        warn_unsigned(sender); /* while somebody looks */
    return sender;
}

/* Can anything still be taken before then? With the lock. */
static bool has_hope(const struct callback_sender *sender, int64_t deadline)
{
    for (const struct callback *callback = sender->list; callback && !sender->no_client;
         callback = callback->next)
        if (callback->due < deadline)
            return true;
    return sender->sending > 0;
}

static void flush(struct callback_sender *sender, int64_t deadline,
                  const volatile sig_atomic_t *stop)
{
    int64_t now;
    pthread_mutex_lock(&sender->lock);
    while ((now = clock_now()) < deadline && !(stop && *stop) && has_hope(sender, deadline)) {
        int64_t look = now + STOP_LOOK_MS * CLOCK_MS;
        sync_cond_wait(&sender->changed, &sender->lock, look < deadline ? look : deadline);
    }
    atomic_store(&sender->stop, 1);
    pthread_cond_broadcast(&sender->changed);
    pthread_mutex_unlock(&sender->lock);
}

size_t callback_sender_destroy(struct callback_sender *sender, int64_t deadline,
                               const volatile sig_atomic_t *stop)
{
    size_t left = 0;
    if (!sender)
        return 0;
    flush(sender, deadline, stop);
    for (size_t i = 0; i < sender->thread_count; i++)
        pthread_join(sender->threads[i], NULL);
    while (sender->list) {
        struct callback *callback = sender->list;
        sender->list = callback->next;
        bury(sender, callback, "the process ended before it was sent");
        left++;
    }
    spool_close(sender->spool);
    pthread_cond_destroy(&sender->changed);
    pthread_mutex_destroy(&sender->lock);
    free(sender);
    return left;
}
