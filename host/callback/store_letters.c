/* How dead letters get from the sender and its disk into the storage; see callback.h. */
#include "callback/sender_private.h"

#include <stdlib.h>
#include <string.h>

#define STORE_AGAIN_AFTER_S 30 /* when the storage did not take one */
#define STORE_THREADS 8

/* --- One letter ------------------------------------------------------------------------------- */

static int store(struct callback_sender *sender, const struct callback *callback,
                 const atomic_int *stop, struct err *err)
{
    int result = shelf_put(&sender->shelf, callback, stop, err);
    if (result == 0)
        sender_log(sender, LOG_WARN, "callback is a dead letter in the storage", callback,
                   callback->last_error ? callback->last_error : "");
    return result;
}

int sender_store(struct callback_sender *sender, const struct callback *callback,
                 const atomic_int *stop)
{
    struct err ignored = {0};
    return store(sender, callback, stop, &ignored);
}

/* Of the disk. ERR_INVALID: it is none of ours, or another process has it. */
static int move_letter(struct callback_sender *sender, const char *id, const atomic_int *stop,
                       struct err *err)
{
    struct callback *callback = NULL;
    if (record_id_time(id) < 0)
        return ERR_INVALID;
    int result = spool_claim(sender->spool, id, &callback, err);
    if (result != 0)
        return result;
    result = store(sender, callback, stop, err);
    if (result == 0)
        spool_drop(sender->spool, callback);
    else
        spool_return(sender->spool, callback);
    callback_destroy(callback);
    return result;
}

/* --- While the sender works ------------------------------------------------------------------- */

/* Moves all there are; stops at the first that the storage does not take. */
static int move_letters(struct callback_sender *sender, struct err *err)
{
    struct found_list list = {0};
    int result = spool_find(sender->options.manifest->letters_dir, &list, err);
    found_list_sort(&list);
    for (size_t i = 0; i < list.count && result == 0 && !atomic_load(&sender->stop); i++) {
        result = move_letter(sender, list.items[i].id, &sender->stop, err);
        if (result == ERR_INVALID)
            result = 0;
    }
    found_list_finish(&list);
    return result;
}

void sender_store_letters(struct callback_sender *sender)
{
    struct err err = {0};
    sender->letters_wait = false;
    if (!sender->spool)
        return;
    sender->storing = true;
    pthread_mutex_unlock(&sender->lock);
    int result = move_letters(sender, &err);
    if (result != 0 && !atomic_load(&sender->stop))
        LOG_EVENT(sender->options.log, LOG_WARN, "callback",
                  "dead letters stay on disk for now: the storage does not take them",
                  LOG_TEXT("reason", err.message));
    pthread_mutex_lock(&sender->lock);
    sender->storing = false;
    if (result != 0) {
        sender->letters_wait = true;
        sender->store_at = clock_now() + STORE_AGAIN_AFTER_S * CLOCK_S;
    }
    pthread_cond_broadcast(&sender->changed);
}

/* --- At the end ------------------------------------------------------------------------------- */

struct rest {
    struct callback_sender *sender;
    const char *why;
    struct found_list letters;
    atomic_int stop;
    /* guarded by the sender's lock */
    struct callback *failed; /* goes back to the list */
    size_t next_letter, running;
    struct err err; /* the first */
};

static void note(struct rest *rest, int result, const struct err *err)
{
    if (result != 0 && result != ERR_INVALID && rest->err.code == ERR_NONE)
        rest->err = *err;
}

/* The next of the list; false: there is none. With the lock, but while it stores. */
static bool store_callback(struct rest *rest)
{
    struct callback_sender *sender = rest->sender;
    struct callback *callback = sender->list;
    struct err err = {0};
    if (!callback)
        return false;
    sender->list = callback->next;
    pthread_mutex_unlock(&sender->lock);
    if (!callback->last_error)
        callback->last_error = mem_copy_string(rest->why);
    int result = store(sender, callback, &rest->stop, &err);
    if (result == 0 && callback->kept)
        spool_drop(sender->spool, callback);
    pthread_mutex_lock(&sender->lock);
    note(rest, result, &err);
    if (result == 0) {
        callback_destroy(callback);
    } else {
        callback->next = rest->failed;
        rest->failed = callback;
    }
    return true;
}

/* Likewise of those on disk. */
static bool store_letter(struct rest *rest)
{
    struct callback_sender *sender = rest->sender;
    struct err err = {0};
    if (rest->next_letter == rest->letters.count)
        return false;
    const char *id = rest->letters.items[rest->next_letter++].id;
    pthread_mutex_unlock(&sender->lock);
    int result = move_letter(sender, id, &rest->stop, &err);
    pthread_mutex_lock(&sender->lock);
    note(rest, result, &err);
    return true;
}

/* Each thread stops at the first failure of any: it stands for the storage. */
static void *run(void *arg)
{
    struct rest *rest = arg;
    struct callback_sender *sender = rest->sender;
    pthread_mutex_lock(&sender->lock);
    while (!atomic_load(&rest->stop) && rest->err.code == ERR_NONE &&
           (store_callback(rest) || store_letter(rest)))
        continue;
    rest->running--;
    pthread_cond_broadcast(&sender->changed);
    pthread_mutex_unlock(&sender->lock);
    return NULL;
}

static size_t start_threads(struct rest *rest, pthread_t threads[STORE_THREADS], size_t work)
{
    size_t started = 0;
    pthread_mutex_lock(&rest->sender->lock);
    while (started < STORE_THREADS && started < work &&
           sync_thread_start(&threads[started], run, rest) == 0) {
        rest->running++;
        started++;
    }
    pthread_mutex_unlock(&rest->sender->lock);
    return started;
}

void sender_store_rest(struct callback_sender *sender, int64_t deadline, const char *why)
{
    struct rest rest = {.sender = sender, .why = why};
    struct err ignored = {0};
    pthread_t threads[STORE_THREADS];
    size_t work = 0;
    if (sender->spool)
        spool_find(sender->options.manifest->letters_dir, &rest.letters, &ignored);
    found_list_sort(&rest.letters);
    for (const struct callback *callback = sender->list; callback; callback = callback->next)
        work++;
    size_t started = start_threads(&rest, threads, work + rest.letters.count);
    pthread_mutex_lock(&sender->lock);
    while (rest.running > 0 && clock_now() < deadline)
        sync_cond_wait(&sender->changed, &sender->lock, deadline);
    pthread_mutex_unlock(&sender->lock);
    atomic_store(&rest.stop, 1);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    while (rest.failed) {
        struct callback *callback = rest.failed;
        rest.failed = callback->next;
        callback->next = sender->list;
        sender->list = callback;
    }
    if (rest.err.code != ERR_NONE)
        LOG_EVENT(sender->options.log, LOG_WARN, "callback",
                  "dead letters stay on disk: the storage does not take them",
                  LOG_TEXT("reason", rest.err.message));
    found_list_finish(&rest.letters);
}
