/* The disks that this process writes to; see disks.h. */
#include "front/disks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char *const disk_use_names[DISK_USE_COUNT] = {"results", "cache",     "voices",
                                                    "storage", "callbacks", "models"};

static struct disk *disk_of(struct disk_list *disks, dev_t device)
{
    for (size_t i = 0; i < disks->count; i++)
        if (disks->items[i].device == device)
            return &disks->items[i];
    return NULL;
}

/* --- Where we write --------------------------------------------------------------------------- */

struct place {
    enum disk_use use;
    char *dir;
};

struct places {
    struct place *items;
    size_t count;
    uint64_t min_free_mb;
};

static void add_place(struct places *places, enum disk_use use, const char *dir)
{
    if (!dir)
        return;
    places->items = mem_resize(places->items, places->count + 1, sizeof(*places->items));
    places->items[places->count++] = (struct place){use, mem_copy_string(dir)};
}

static struct places places_of(const struct manifest *manifest, const char *out)
{
    struct places places = {.min_free_mb = (uint64_t)manifest->host.min_free_mb};
    add_place(&places, DISK_RESULTS, out);
    for (size_t i = 0; i < manifest->model_count; i++)
        add_place(&places, DISK_CACHE, manifest->models[i].cache_dir);
    add_place(&places, DISK_VOICES, manifest->paths.voices);
    if (manifest->storage.type == STORAGE_FILE)
        add_place(&places, DISK_STORAGE, manifest->storage.dir);
    add_place(&places, DISK_CALLBACKS, manifest->callbacks.letters_dir);
    if (manifest->paths.copy_up)
        add_place(&places, DISK_MODELS, manifest->paths.models);
    return places;
}

static void places_finish(struct places *places)
{
    for (size_t i = 0; i < places->count; i++)
        free(places->items[i].dir);
    free(places->items);
}

/* --- Looking ---------------------------------------------------------------------------------- */

static void look_at(struct disk_list *disks, const struct place *place, uint64_t min_free_mb)
{
    struct stat info = {0};
    uint64_t free_bytes, total_bytes;
    char *there = fs_existing_above(place->dir);
    int reason = stat(there, &info) == 0 ? 0 : errno;
    struct disk *disk = reason == 0 ? disk_of(disks, info.st_dev) : NULL;
    if (!disk && disks->count < DISKS_MAX) {
        disk = &disks->items[disks->count++];
        *disk = (struct disk){.dir = mem_copy_string(place->dir), .device = info.st_dev};
        if (reason == 0 && fs_disk_bytes(there, &free_bytes, &total_bytes) != 0)
            reason = errno;
        disk->reason = reason;
        if (reason == 0) {
            disk->free_mb = free_bytes >> 20;
            disk->total_mb = total_bytes >> 20;
            disk->low = disk->free_mb < min_free_mb;
        }
    }
    if (disk)
        disk->uses |= 1u << place->use;
    free(there);
}

void disks_look(const struct manifest *manifest, const char *out, struct disk_list *disks)
{
    struct places places = places_of(manifest, out);
    *disks = (struct disk_list){0};
    for (size_t i = 0; i < places.count; i++)
        look_at(disks, &places.items[i], places.min_free_mb);
    places_finish(&places);
}

void disks_finish(struct disk_list *disks)
{
    for (size_t i = 0; i < disks->count; i++)
        free(disks->items[i].dir);
    disks->count = 0;
}

/* --- Telling ---------------------------------------------------------------------------------- */

void disk_write_uses(const struct disk *disk, const char *between, struct str *out)
{
    const char *before = "";
    for (unsigned i = 0; i < DISK_USE_COUNT; i++) {
        if (!(disk->uses & (1u << i)))
            continue;
        str_printf(out, "%s%s", before, disk_use_names[i]);
        before = between;
    }
}

static void log_disk(const struct disk *disk, const struct log *log, enum log_level level)
{
    struct str uses = {0};
    disk_write_uses(disk, ", ", &uses);
    if (disk->reason)
        LOG_EVENT(log, LOG_WARN, "disk", "free space is unknown", LOG_TEXT("dir", disk->dir),
                  LOG_TEXT("uses", str_text(&uses)), LOG_TEXT("reason", strerror(disk->reason)));
    else
        LOG_EVENT(log, disk->low ? LOG_WARN : level, "disk",
                  disk->low ? "has less free than host.min_free_mb wants" : "in use",
                  LOG_TEXT("dir", disk->dir), LOG_TEXT("uses", str_text(&uses)),
                  LOG_NUMBER("free_mb", disk->free_mb), LOG_NUMBER("total_mb", disk->total_mb));
    str_finish(&uses);
}

void disks_log(const struct disk_list *disks, const struct log *log, enum log_level level)
{
    for (size_t i = 0; i < disks->count; i++)
        log_disk(&disks->items[i], log, level);
}

static void write_disk(const struct disk *disk, struct str *out)
{
    str_puts(out, "{\"dir\":");
    json_write_string(out, disk->dir, strlen(disk->dir));
    str_puts(out, ",\"uses\":[\"");
    disk_write_uses(disk, "\",\"", out);
    str_puts(out, "\"]");
    if (disk->reason) {
        const char *reason = strerror(disk->reason);
        str_puts(out, ",\"error\":");
        json_write_string(out, reason, strlen(reason));
    } else {
        str_printf(out, ",\"free_mb\":%llu,\"total_mb\":%llu,\"low\":%s",
                   (unsigned long long)disk->free_mb, (unsigned long long)disk->total_mb,
                   disk->low ? "true" : "false");
    }
    str_putc(out, '}');
}

/* --- For those who must not wait --------------------------------------------------------------- */

struct disk_watch {
    struct places places;
    pthread_mutex_t lock;
    pthread_cond_t looked;     /* with the lock, when is_looking ends */
    bool is_looking;           /* there is a thread */
    bool is_left;              /* the thread is the last who knows the watch */
    int64_t begun;             /* when the thread began to ask; 0: it has not */
    const struct place *asked; /* by the thread */
    struct disk_list seen;     /* the last time */
};

static void watch_free(struct disk_watch *watch)
{
    disks_finish(&watch->seen);
    places_finish(&watch->places);
    pthread_cond_destroy(&watch->looked);
    pthread_mutex_destroy(&watch->lock);
    free(watch);
}

static void *watch_look(void *arg)
{
    struct disk_watch *watch = arg;
    struct disk_list disks = {0};
    for (size_t i = 0; i < watch->places.count; i++) {
        pthread_mutex_lock(&watch->lock);
        watch->asked = &watch->places.items[i];
        if (i == 0)
            watch->begun = clock_now();
        pthread_mutex_unlock(&watch->lock);
        look_at(&disks, &watch->places.items[i], watch->places.min_free_mb);
    }
    pthread_mutex_lock(&watch->lock);
    disks_finish(&watch->seen);
    watch->seen = disks;
    watch->is_looking = false;
    bool is_left = watch->is_left;
    pthread_cond_broadcast(&watch->looked);
    pthread_mutex_unlock(&watch->lock);
    if (is_left)
        watch_free(watch);
    return NULL;
}

/* With the lock: false when the thread is not ready in time. That a busy machine was late to run it
 * says nothing of the disks. */
static bool watch_wait(struct disk_watch *watch)
{
    const int64_t patience = DISKS_PATIENCE_MS * CLOCK_MS;
    int64_t now = clock_now();
    while (watch->is_looking && (!watch->begun || now < watch->begun + patience)) {
        sync_cond_wait(&watch->looked, &watch->lock,
                       (watch->begun ? watch->begun : now) + patience);
        now = clock_now();
    }
    return !watch->is_looking;
}

/* With the lock. Without a thread, what was seen last is all there is. */
static void watch_start(struct disk_watch *watch)
{
    pthread_t thread;
    watch->is_looking = true;
    watch->begun = 0;
    if (sync_thread_start(&thread, watch_look, watch) == 0)
        pthread_detach(thread);
    else
        watch->is_looking = false;
}

struct disk_watch *disk_watch_create(const struct manifest *manifest)
{
    struct disk_watch *watch = mem_alloc(sizeof(*watch));
    watch->places = places_of(manifest, NULL);
    pthread_mutex_init(&watch->lock, NULL);
    sync_cond_init(&watch->looked);
    return watch;
}

void disk_watch_destroy(struct disk_watch *watch)
{
    if (!watch)
        return;
    pthread_mutex_lock(&watch->lock);
    bool is_left = !watch_wait(watch);
    watch->is_left = is_left;
    pthread_mutex_unlock(&watch->lock);
    if (!is_left)
        watch_free(watch);
}

/* With the lock: the place that does not answer, or NULL; `seen` is as new as can be. */
static const struct place *watch_see(struct disk_watch *watch)
{
    if (!watch->is_looking)
        watch_start(watch);
    return watch_wait(watch) ? NULL : watch->asked;
}

void disk_watch_log(struct disk_watch *watch, const struct log *log, enum log_level level)
{
    pthread_mutex_lock(&watch->lock);
    const struct place *asked = watch_see(watch);
    disks_log(&watch->seen, log, level);
    if (asked)
        LOG_EVENT(log, LOG_WARN, "disk", "does not answer", LOG_TEXT("dir", asked->dir),
                  LOG_TEXT("uses", disk_use_names[asked->use]));
    pthread_mutex_unlock(&watch->lock);
}

void disk_watch_write(struct disk_watch *watch, struct str *out)
{
    pthread_mutex_lock(&watch->lock);
    const struct place *asked = watch_see(watch);
    const char *before = "";
    str_putc(out, '[');
    for (size_t i = 0; i < watch->seen.count; i++) {
        const struct disk *disk = &watch->seen.items[i];
        if (asked && strcmp(disk->dir, asked->dir) == 0)
            continue;
        str_puts(out, before);
        write_disk(disk, out);
        before = ",";
    }
    if (asked) {
        str_printf(out, "%s{\"dir\":", before);
        json_write_string(out, asked->dir, strlen(asked->dir));
        str_printf(out, ",\"uses\":[\"%s\"],\"error\":\"does not answer\"}",
                   disk_use_names[asked->use]);
    }
    str_putc(out, ']');
    pthread_mutex_unlock(&watch->lock);
}
