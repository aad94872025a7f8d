/* What goes by itself; see housekeeping.h. Knows when and where, not what may go: that is for the
 * modules that made it. */
#include "front/housekeeping.h"

#include <stdlib.h>
#include <time.h>

struct housekeeping {
    struct housekeeping_options options;
    pthread_t thread;
    atomic_int stop;
    pthread_mutex_t lock;
    pthread_cond_t stopped; /* with the lock, after `stop` is set */
};

static bool keeps_letters(const struct manifest_callbacks *callbacks)
{
    return callbacks->keep_days <= 0 && callbacks->keep_mb <= 0;
}

static bool keeps_all(const struct manifest *manifest)
{
    return storage_keeps_all(&manifest->storage) && keeps_letters(&manifest->callbacks);
}

static void sweep_storage(const struct housekeeping_options *options, const atomic_int *stop)
{
    const struct manifest *manifest = options->app->manifest;
    const struct log *log = &options->app->log;
    struct text_list protected = {0};
    struct tree_swept swept;
    struct err err = {0};
    manifest_owned_dirs(manifest, &protected);
    text_list_add(&protected, mem_copy_string(manifest->paths.cache));
    for (size_t i = 0; i < manifest->model_count; i++)
        text_list_add(&protected, mem_copy_string(manifest->models[i].cache_dir));
    if (options->out)
        text_list_add(&protected, mem_copy_string(options->out));
    const struct storage_sweep sweep = {
        .manifest = &manifest->storage,
        .now_unix_s = (int64_t)time(NULL),
        .protected_dirs = (const char *const *)protected.items,
        .protected_count = protected.count,
        .stop = stop,
    };
    if (storage_sweep(&sweep, &swept, &err) != 0)
        swept = (struct tree_swept){.failures = 1, .failure = err};
    if (swept.failures)
        LOG_EVENT(log, LOG_WARN, "storage", "not all could be swept",
                  LOG_NUMBER("failures", swept.failures),
                  LOG_TEXT("reason", swept.failure.message));
    if (swept.removed_files)
        LOG_EVENT(log, LOG_INFO, "storage", "old results removed",
                  LOG_NUMBER("removed_files", swept.removed_files),
                  LOG_NUMBER("removed_bytes", swept.removed_bytes),
                  LOG_NUMBER("left_files", swept.left_files),
                  LOG_NUMBER("left_bytes", swept.left_bytes));
    text_list_finish(&protected);
}

static void sweep_letters(const struct housekeeping_options *options, const atomic_int *stop)
{
    const struct manifest_callbacks *manifest = &options->app->manifest->callbacks;
    struct storage *storage = manifest_letters_prefix(manifest) ? options->storage : NULL;
    struct callback_swept swept = {0};
    struct err err = {0};
    int result = callback_letters_sweep(manifest, storage, (int64_t)time(NULL), stop, &swept, &err);
    if (result != 0 && result != ERR_CANCELLED)
        LOG_EVENT(&options->app->log, LOG_WARN, "callback", "dead letters could not be swept",
                  LOG_TEXT("reason", err.message));
    if (swept.count)
        LOG_EVENT(&options->app->log, LOG_INFO, "callback", "old dead letters removed",
                  LOG_NUMBER("removed", swept.count), LOG_NUMBER("removed_bytes", swept.bytes));
}

void housekeeping_run(const struct housekeeping_options *options, const atomic_int *stop)
{
    if (!storage_keeps_all(&options->app->manifest->storage))
        sweep_storage(options, stop);
    if (!keeps_letters(&options->app->manifest->callbacks) && !(stop && atomic_load(stop)))
        sweep_letters(options, stop);
}

static void *run(void *arg)
{
    struct housekeeping *housekeeping = arg;
    while (!atomic_load(&housekeeping->stop)) {
        housekeeping_run(&housekeeping->options, &housekeeping->stop);
        int64_t next = clock_now() + HOUSEKEEPING_PERIOD_S * CLOCK_S;
        pthread_mutex_lock(&housekeeping->lock);
        while (!atomic_load(&housekeeping->stop) && clock_now() < next)
            sync_cond_wait(&housekeeping->stopped, &housekeeping->lock, next);
        pthread_mutex_unlock(&housekeeping->lock);
    }
    return NULL;
}

struct housekeeping *housekeeping_start(const struct housekeeping_options *options)
{
    if (keeps_all(options->app->manifest))
        return NULL;
    struct housekeeping *housekeeping = mem_alloc(sizeof(*housekeeping));
    housekeeping->options = *options;
    pthread_mutex_init(&housekeeping->lock, NULL);
    sync_cond_init(&housekeeping->stopped);
    int reason = sync_thread_start(&housekeeping->thread, run, housekeeping);
    if (reason == 0)
        return housekeeping;
    LOG_EVENT(&options->app->log, LOG_WARN, "worker", "old results are not removed",
              LOG_TEXT("reason", "no thread could be started"));
    pthread_cond_destroy(&housekeeping->stopped);
    pthread_mutex_destroy(&housekeeping->lock);
    free(housekeeping);
    return NULL;
}

void housekeeping_stop(struct housekeeping *housekeeping)
{
    if (!housekeeping)
        return;
    pthread_mutex_lock(&housekeeping->lock);
    atomic_store(&housekeeping->stop, 1);
    pthread_cond_signal(&housekeeping->stopped);
    pthread_mutex_unlock(&housekeeping->lock);
    pthread_join(housekeeping->thread, NULL);
    pthread_cond_destroy(&housekeeping->stopped);
    pthread_mutex_destroy(&housekeeping->lock);
    free(housekeeping);
}
