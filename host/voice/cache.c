/* Decoded recordings and profiles that many jobs share: made once, by the first thread that asks,
 * while the others wait. What nobody uses stays until there is too much of it; the longest unused
 * goes first. Knows not what it keeps.
 */
#include "voice/voice_private.h"

#include <stdlib.h>
#include <string.h>

#define ITEMS_MAX 1024 /* that nobody uses */
#define POLL_MS 50

struct voice_cache {
    size_t bytes_max;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* guarded by lock */
    struct voice_item *items;
    uint64_t clock; /* counts uses */
};

struct voice_cache *voice_cache_create(size_t bytes_max)
{
    struct voice_cache *cache = mem_alloc(sizeof(*cache));
    cache->bytes_max = bytes_max;
    pthread_mutex_init(&cache->lock, NULL);
    sync_cond_init(&cache->changed);
    return cache;
}

static void destroy_item(struct voice_item *item)
{
    audio_clip_finish(&item->clip);
    str_finish(&item->blob);
    free(item->key);
    free(item);
}

/* With the lock; nobody uses it. */
static void forget(struct voice_cache *cache, struct voice_item *item)
{
    struct voice_item **link = &cache->items;
    while (*link != item)
        link = &(*link)->next;
    *link = item->next;
    destroy_item(item);
}

/* With the lock: drops what is out of date, then what is too much. */
static void tidy(struct voice_cache *cache)
{
    int64_t now = clock_now();
    for (;;) {
        struct voice_item *victim = NULL;
        size_t bytes = 0, count = 0;
        for (struct voice_item *item = cache->items; item; item = item->next) {
            if (item->users)
                continue;
            bytes += item->size;
            count++;
            if (!victim || item->expires <= now || item->used_at < victim->used_at)
                victim = item;
            if (item->expires <= now)
                break;
        }
        if (!victim || (victim->expires > now && bytes <= cache->bytes_max && count <= ITEMS_MAX))
            return;
        forget(cache, victim);
    }
}

/* One whose maker was asked to stop is not waited for: it may hang in its plugin for ever. With the
 * lock. */
static struct voice_item *find(struct voice_cache *cache, const char *key)
{
    int64_t now = clock_now();
    for (struct voice_item *item = cache->items; item; item = item->next) {
        bool is_good =
            item->is_ready ? item->expires > now : !item->stop || !atomic_load(item->stop);
        if (is_good && strcmp(item->key, key) == 0)
            return item;
    }
    return NULL;
}

/* With the lock. */
static struct voice_item *add(struct voice_cache *cache, const char *key)
{
    struct voice_item *item = mem_alloc(sizeof(*item));
    item->key = mem_copy_string(key);
    item->expires = CLOCK_NEVER;
    item->next = cache->items;
    cache->items = item;
    return item;
}

struct voice_item *cache_get(struct voice_cache *cache, const char *key, const atomic_int *stop,
                             bool *must_make, struct err *err)
{
    pthread_mutex_lock(&cache->lock);
    struct voice_item *item = find(cache, key);
    bool is_stopped = false;
    while (item && !item->is_ready && !is_stopped) {
        sync_cond_wait(&cache->changed, &cache->lock, clock_now() + POLL_MS * CLOCK_MS);
        is_stopped = stop && atomic_load(stop);
        item = find(cache, key);
    }
    if (is_stopped) {
        item = NULL;
        err_set(err, ERR_CANCELLED, NULL, "cancelled while another job prepared the voice");
    } else {
        *must_make = item == NULL;
        if (!item) {
            item = add(cache, key);
            item->stop = stop;
        }
        item->users++;
        item->used_at = ++cache->clock;
    }
    pthread_mutex_unlock(&cache->lock);
    return item;
}

void cache_done(struct voice_cache *cache, struct voice_item *item, int64_t expires)
{
    pthread_mutex_lock(&cache->lock);
    item->size = sizeof(*item) + item->blob.len +
                 (size_t)item->clip.frames * item->clip.channels * sizeof(float);
    item->expires = expires;
    item->is_ready = true;
    item->stop = NULL;
    pthread_cond_broadcast(&cache->changed);
    pthread_mutex_unlock(&cache->lock);
}

void cache_failed(struct voice_cache *cache, struct voice_item *item)
{
    pthread_mutex_lock(&cache->lock);
    forget(cache, item);
    pthread_cond_broadcast(&cache->changed);
    pthread_mutex_unlock(&cache->lock);
}

void cache_unpin(struct voice_cache *cache, struct voice_item *item)
{
    pthread_mutex_lock(&cache->lock);
    item->users--;
    tidy(cache);
    pthread_mutex_unlock(&cache->lock);
}

void voice_cache_destroy(struct voice_cache *cache)
{
    if (!cache)
        return;
    while (cache->items)
        forget(cache, cache->items);
    pthread_cond_destroy(&cache->changed);
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}
