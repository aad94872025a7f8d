/* The sender: its queue and its threads; see callback.h. Every thread takes the callback that is
 * due first and whose receiver is not busy with CALLBACK_PER_HOST tries already: so receivers that
 * hang hold up the others only when there are many of them, and never for longer than a try may
 * take. A thread that has nothing to send moves dead letters to the storage.
 */
#include "callback/sender_private.h"

#include <stdlib.h>
#include <string.h>

#define USER_AGENT "voxhost/" VOXHOST_VERSION
#define STOP_LOOK_MS 100
#define ENDED "the process ended before it was taken"
#define SPOOL_AGAIN_AFTER_S 60 /* a directory that could not be made */

/* --- The log ---------------------------------------------------------------------------------- */

void sender_log(const struct callback_sender *sender, enum log_level level, const char *event,
                const struct callback *callback, const char *reason)
{
    LOG_EVENT(sender->options.log, level, "callback", event, LOG_TEXT("job", callback->job_id),
              LOG_TEXT("kind", callback->is_error ? "error" : "success"),
              LOG_NUMBER("attempts", callback->attempts), LOG_TEXT("reason", reason),
              LOG_TEXT("id", callback->id));
}

/* --- The end of a callback -------------------------------------------------------------------- */

/* Nobody took it. Waits for the disk alone, unless `may_store`. */
static void bury(struct callback_sender *sender, struct callback *callback, const char *reason,
                 bool may_store)
{
    struct err err = {0};
    size_t dropped = 0;
    if (!callback->last_error)
        callback->last_error = mem_copy_string(reason);
    pthread_mutex_lock(&sender->lock);
    struct spool *spool = sender->spool;
    pthread_mutex_unlock(&sender->lock);
    int result = spool ? spool_bury(spool, callback, &dropped, &err) : ERR_STORAGE;
    if (result == 0 && sender->shelf.storage) {
        pthread_mutex_lock(&sender->lock);
        sender->letters_wait = true;
        pthread_cond_broadcast(&sender->changed);
        pthread_mutex_unlock(&sender->lock);
    }
    if (result == 0)
        sender_log(sender, LOG_WARN, "callback is a dead letter", callback, reason);
    else if (may_store && sender->shelf.storage)
        result = sender_store(sender, callback, &sender->stop);
    if (result != 0)
        sender_log(sender, LOG_ERROR,
                   callback->kept ? "callback waits for the next start" : "callback lost", callback,
                   spool ? err.message : reason);
    if (dropped)
        LOG_EVENT(sender->options.log, LOG_ERROR, "callback",
                  "the oldest dead letters are lost: there are too many",
                  LOG_NUMBER("count", dropped), LOG_NUMBER("most", CALLBACK_LETTERS_MAX));
    callback_destroy(callback);
}

static void taken(struct callback_sender *sender, struct callback *callback)
{
    sender_log(sender, LOG_DEBUG, "callback taken", callback, "");
    if (callback->kept)
        spool_drop(sender->spool, callback);
    callback_destroy(callback);
}

/* --- The threads ------------------------------------------------------------------------------ */

/* With the lock. */
static bool is_busy(const struct callback_sender *sender, const char *host)
{
    size_t count = 0;
    for (size_t i = 0; i < CALLBACK_THREADS; i++)
        count += sender->hosts[i] && strcmp(sender->hosts[i], host) == 0;
    return count >= CALLBACK_PER_HOST;
}

/* Where the callback hangs in the list that is to be sent first; NULL: none can be. With the
 * lock. */
static struct callback **find_first(struct callback_sender *sender)
{
    struct callback **first = NULL;
    for (struct callback **link = &sender->list; *link; link = &(*link)->next)
        if ((!first || (*link)->due < (*first)->due) && !is_busy(sender, (*link)->host))
            first = link;
    return first;
}

enum work { WORK_NONE, WORK_SEND, WORK_STORE };

/* Waits for something to do: a callback that is due, off the list, or else letters that may be
 * moved to the storage. WORK_NONE at the end. With the lock. */
static enum work find_work(struct callback_sender *sender, struct callback **callback)
{
    while (!atomic_load(&sender->stop)) {
        struct callback **first = find_first(sender);
        int64_t now = clock_now(), wake_at = first ? (*first)->due : CLOCK_NEVER;
        if (first && wake_at <= now) {
            *callback = *first;
            *first = (*first)->next;
            return WORK_SEND;
        }
        if (sender->letters_wait && !sender->storing && sender->store_at <= now)
            return WORK_STORE;
        if (sender->letters_wait && !sender->storing && sender->store_at < wake_at)
            wake_at = sender->store_at;
        sync_cond_wait(&sender->changed, &sender->lock, wake_at);
    }
    return WORK_NONE;
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

/* One try; false when it goes back to the list: it is tried again at callback->due, or we stop.
 * Without the lock. */
static bool try_once(struct callback_sender *sender, struct http_client *client,
                     struct callback *callback)
{
    struct callback_answer answer;
    enum callback_fate fate =
        callback_try(&sender->options, client, callback, &sender->stop, &answer);
    if (fate != CALLBACK_TAKEN && atomic_load(&sender->stop))
        return false;
    callback->attempts++;
    if (fate == CALLBACK_TAKEN) {
        taken(sender, callback);
        return true;
    }
    free(callback->last_error);
    callback->last_error = mem_copy_string(answer.err.message);
    if (fate == CALLBACK_REFUSED || callback->attempts >= sender->options.manifest->attempts) {
        bury(sender, callback, callback->last_error, true);
        return true;
    }
    sender_log(sender, LOG_INFO, "callback failed, is tried again", callback, answer.err.message);
    callback->due = clock_now() + pause_ns(sender, callback, answer.retry_after_s);
    return false;
}

/* With the lock, but while it sends. */
static void send_one(struct callback_sender *sender, struct http_client *client,
                     struct callback *callback)
{
    size_t len = callback->body.len, place = 0;
    while (sender->hosts[place])
        place++;
    char *host = mem_copy_string(callback->host);
    sender->hosts[place] = host;
    sender->sending++;
    pthread_mutex_unlock(&sender->lock);
    bool is_over = try_once(sender, client, callback);
    pthread_mutex_lock(&sender->lock);
    sender->hosts[place] = NULL;
    free(host);
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

static void *run(void *arg)
{
    struct callback_sender *sender = arg;
    struct http_client *client = http_client_create(USER_AGENT);
    struct callback *callback;
    enum work work;
    pthread_mutex_lock(&sender->lock);
    if (!client && !sender->no_client)
        log_write(sender->options.log, LOG_ERROR, "callback",
                  "nothing can be sent: libcurl cannot be opened", NULL, 0);
    sender->no_client = !client;
    while (client && (work = find_work(sender, &callback)) != WORK_NONE)
        if (work == WORK_SEND)
            send_one(sender, client, callback);
        else
            sender_store_letters(sender);
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
    warn_unsigned(sender);
    if (sender->spool || clock_now() < sender->spool_at)
        return;
    if (spool_open(&sender->options, &sender->spool, &adopted, &err) != 0) {
        sender->spool_at = clock_now() + SPOOL_AGAIN_AFTER_S * CLOCK_S;
        LOG_EVENT(sender->options.log, LOG_ERROR, "callback",
                  "callbacks are not kept on disk: what nobody takes will be lost",
                  LOG_TEXT("reason", err.message));
    } else if (adopted) {
        LOG_EVENT(sender->options.log, LOG_WARN, "callback",
                  "callbacks of processes that died are dead letters now",
                  LOG_NUMBER("count", adopted));
    }
    sender->letters_wait = sender->shelf.storage; /* of earlier runs */
}

struct callback *callback_prepare(struct callback_sender *sender, const struct callback_post *post)
{
    struct err err = {0};
    size_t bad;
    struct callback *callback = mem_alloc(sizeof(*callback));
    clock_text(callback->created);
    callback->id = record_id_new(callback->created);
    callback->job_id = mem_copy_string(post->job_id ? post->job_id : "");
    callback->url = mem_copy_string(post->url);
    callback->host = callback_host_of(post->url);
    callback->is_error = post->is_error;
    if (post->body_len == 0 || post->body_len > CALLBACK_BODY_BYTES_MAX ||
        memchr(post->body, '\0', post->body_len) || !utf8_valid(post->body, post->body_len, &bad)) {
        sender_log(sender, LOG_ERROR, "callback lost", callback,
                   "its body is too long, or is not UTF-8");
        callback_destroy(callback);
        return NULL;
    }
    str_append(&callback->body, post->body, post->body_len);
    pthread_mutex_lock(&sender->lock);
    open_spool(sender);
    struct spool *spool = sender->spool;
    pthread_mutex_unlock(&sender->lock);
    if (spool && spool_keep(spool, callback, &err) != 0)
        sender_log(sender, LOG_WARN, "callback is not kept on disk", callback, err.message);
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
    /* A voice's outcome goes to one URL, unless the job names another for failures. */
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
    bool ended = atomic_load(&sender->stop) != 0;
    bool queued = room && !ended && has_thread(sender);
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
             ended  ? ENDED
             : room ? "no thread could be started"
                    : "too many callbacks wait already",
             false);
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
    sender->shelf = shelf_of(options->manifest, options->storage);
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

size_t callback_sender_end(struct callback_sender *sender, int64_t deadline,
                           const volatile sig_atomic_t *stop)
{
    size_t left = 0;
    if (!sender)
        return 0;
    int64_t now = clock_now(), store_ns = (int64_t)(CALLBACK_STORE_S * (double)CLOCK_S);
    if (store_ns > (deadline - now) / 2)
        store_ns = (deadline - now) / 2;
    if (!sender->shelf.storage || store_ns < 0)
        store_ns = 0;
    flush(sender, deadline - store_ns, stop);
    for (size_t i = 0; i < sender->thread_count; i++)
        pthread_join(sender->threads[i], NULL);
    sender->thread_count = 0;
    for (struct callback *callback = sender->list; callback; callback = callback->next)
        left++;
    if (store_ns > 0)
        sender_store_rest(sender, clock_now() + store_ns, ENDED);
    while (sender->list) {
        struct callback *callback = sender->list;
        sender->list = callback->next;
        bury(sender, callback, ENDED, false);
    }
    return left;
}

size_t callback_sender_destroy(struct callback_sender *sender, int64_t deadline,
                               const volatile sig_atomic_t *stop)
{
    size_t left = callback_sender_end(sender, deadline, stop);
    if (!sender)
        return 0;
    spool_close(sender->spool);
    pthread_cond_destroy(&sender->changed);
    pthread_mutex_destroy(&sender->lock);
    free(sender);
    return left;
}
