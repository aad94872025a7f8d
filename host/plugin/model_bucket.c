/* A model that no directory holds, fetched from the bucket of a tier into paths.models, since a
 * plugin needs files. It comes whole or not at all: into ".NAME.copy", which is renamed when every
 * file is there, has its size and, where the record of `voxhost pull` lies among them, its SHA-256.
 * What a fetch that was killed left there is not fetched again. Knows no plugins.
 *
 *     find the bucket -> list -> lock -> keep what is here -> room? -> fetch, several at a time ->
 *     all that was recorded? -> rename
 */
#include "plugin/model_private.h"

#include "hub/hub.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX HUB_FILES_MAX
#define FETCHERS 4 /* files at a time; the ranges of a large one come side by side too */

struct object {
    char *path; /* below the model */
    uint64_t len;
    int64_t modified_unix_s;
    bool here; /* from an earlier try */
};

struct bucket {
    const struct model *model;
    struct storage *storage;
    char *name;        /* "s3://bucket/prefix/model", for messages */
    const char *below; /* the model's place, below paths.models and below the bucket's prefix */
    struct object *objects;
    size_t count, cap;
    const char *unfinished; /* an object that says that the model is not whole; borrowed */
    char *to, *fresh;       /* where it goes, and what becomes that */
    cJSON *record;          /* NULL: there is none */
    atomic_int stop;
    pthread_mutex_t lock;
    /* guarded by lock */
    size_t next;
    struct err err; /* the first failure */
};

/* --- What the bucket holds -------------------------------------------------------------------- */

static int open_storage(struct bucket *bucket, const char *tier, struct err *err)
{
    struct manifest_storage target = bucket->model->owner->manifest->storage;
    const char *name = tier + strlen(MANIFEST_BUCKET_TIER);
    size_t len = strcspn(name, "/");
    if (target.type != STORAGE_S3)
        return err_set(err, ERR_INVALID, NULL,
                       "the section storage names no S3 service: expected its endpoint, access_key "
                       "and secret_key");
    target.bucket = mem_copy_text(name, len);
    target.prefix = mem_copy_string(name[len] ? name + len + 1 : "");
    target.public_base_url = NULL;
    int result = storage_open(&target, &bucket->storage, err);
    free(target.bucket);
    free(target.prefix);
    return result;
}

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), cut = strlen(end);
    return len >= cut && strcmp(text + len - cut, end) == 0;
}

static int take_object(const struct storage_object *found, void *arg)
{
    struct bucket *bucket = arg;
    size_t len = strlen(bucket->below);
    const char *path = found->key + len + 1;
    int depth = 0;
    if (strncmp(found->key, bucket->below, len) != 0 || found->key[len] != '/')
        return 0; /* not what was asked for */
    for (const char *c = path; *c; c++)
        depth += *c == '/';
    if (depth >= MODEL_DEPTH_MAX || bucket->count == FILES_MAX)
        return err_set(&bucket->err, ERR_STORAGE, NULL,
                       "expected a model of at most %d objects, %d folders deep", FILES_MAX,
                       MODEL_DEPTH_MAX);
    if (bucket->count == bucket->cap) {
        bucket->cap = bucket->cap ? bucket->cap * 2 : 64;
        bucket->objects = mem_resize(bucket->objects, bucket->cap, sizeof(*bucket->objects));
    }
    struct object *object = &bucket->objects[bucket->count++];
    *object = (struct object){mem_copy_string(path), found->len, found->modified_unix_s, false};
    if (ends_with(path, ".part"))
        bucket->unfinished = object->path;
    return 0;
}

static void forget_objects(struct bucket *bucket)
{
    for (size_t i = 0; i < bucket->count; i++)
        free(bucket->objects[i].path);
    free(bucket->objects);
    bucket->objects = NULL;
    bucket->count = bucket->cap = 0;
    bucket->unfinished = NULL;
}

/* What the tier's bucket has of the model: *count. */
static int list_tier(struct bucket *bucket, const char *tier, struct err *err)
{
    char *prefix = str_format("%s/", bucket->below);
    free(bucket->name);
    bucket->name = str_format("%s/%s", tier, bucket->below);
    int result = open_storage(bucket, tier, err);
    if (result == 0)
        result = storage_list(bucket->storage, prefix, NULL, take_object, bucket, err);
    if (result != 0 && bucket->err.code != ERR_NONE)
        *err = bucket->err;
    free(prefix);
    return result;
}

/* The first bucket that holds the model; none is no error. */
static int find_bucket(struct bucket *bucket, struct err *err)
{
    const struct text_list *tiers = &bucket->model->owner->manifest->paths.model_tiers;
    int result = 0;
    for (size_t i = 0; i < tiers->count && bucket->count == 0 && result == 0; i++) {
        if (!manifest_tier_is_bucket(tiers->items[i]))
            continue;
        storage_close(bucket->storage);
        bucket->storage = NULL;
        result = list_tier(bucket, tiers->items[i], err);
        if (result != 0 || !bucket->unfinished)
            continue;
        LOG_EVENT(bucket->model->owner->log, LOG_WARN, bucket->model->config->model_type,
                  "a bucket's model is not whole: passed over", LOG_TEXT("bucket", bucket->name),
                  LOG_TEXT("object", bucket->unfinished));
        forget_objects(bucket);
    }
    return result;
}

/* --- What is here already --------------------------------------------------------------------- */

/* True when the file is the object: its size, and the time that is set when it is whole. */
static bool is_object(const char *path, const struct object *object)
{
    struct stat info;
    return lstat(path, &info) == 0 && S_ISREG(info.st_mode) && info.st_size >= 0 &&
           (uint64_t)info.st_size == object->len && object->modified_unix_s > 0 &&
           info.st_mtim.tv_sec == object->modified_unix_s;
}

static int make_dir_of(const char *path, struct err *err)
{
    char *dir = fs_dir_of(path);
    int result = fs_make_dirs(dir, 0777, err);
    free(dir);
    return result;
}

/* Is the record, by which what is here was checked, still the bucket's? */
static bool record_is_same(const struct bucket *bucket, const char *dir)
{
    bool same = true;
    for (size_t i = 0; i < bucket->count; i++) {
        char *path = fs_join(dir, bucket->objects[i].path);
        if (strcmp(bucket->objects[i].path, HUB_RECORD) == 0)
            same = is_object(path, &bucket->objects[i]);
        free(path);
    }
    return same;
}

/* Begins ".NAME.copy" with the whole files of an earlier one, and nothing else of it. */
static int keep_whole(struct bucket *bucket, struct err *err)
{
    char *old = str_format("%s.old", bucket->fresh);
    int result = 0;
    model_copy_remove(old);
    if (rename(bucket->fresh, old) != 0 && errno != ENOENT)
        result = err_set(err, ERR_STORAGE, NULL, "%s: cannot be moved away: %s", bucket->fresh,
                         strerror(errno));
    if (result == 0)
        result = fs_make_dirs(bucket->fresh, 0777, err);
    bool same = record_is_same(bucket, old);
    for (size_t i = 0; i < bucket->count && result == 0 && same; i++) {
        struct object *object = &bucket->objects[i];
        char *from = fs_join(old, object->path), *to = fs_join(bucket->fresh, object->path);
        if (is_object(from, object)) {
            result = make_dir_of(to, err);
            object->here = result == 0 && rename(from, to) == 0;
        }
        free(from);
        free(to);
    }
    model_copy_remove(old);
    free(old);
    return result;
}

/* --- Fetching --------------------------------------------------------------------------------- */

/* Says that the file is whole and on the disk: by its time, that of the object. */
static int seal(const char *path, const struct object *object, struct err *err)
{
    struct stat info;
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT},
                                      {.tv_sec = (time_t)object->modified_unix_s}};
    int result = 0, fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) != 0 || fsync(fd) != 0 ||
        (object->modified_unix_s > 0 && futimens(fd, times) != 0))
        result = err_set(err, ERR_STORAGE, NULL, "%s: %s", path, strerror(errno));
    else if (info.st_size < 0 || (uint64_t)info.st_size != object->len)
        result = err_set(err, ERR_STORAGE, NULL, "%s: has %lld bytes, the bucket's list says %llu",
                         object->path, (long long)info.st_size, (unsigned long long)object->len);
    if (fd >= 0)
        close(fd);
    return result;
}

static int fetch_object(struct bucket *bucket, struct object *object, struct err *err)
{
    char *key = str_format("%s/%s", bucket->below, object->path);
    char *path = fs_join(bucket->fresh, object->path);
    const struct storage_get get = {
        .key = key,
        .path = path,
        .bytes_max = object->len,
        .sha256 = hub_record_sha256(bucket->record, object->path),
        .stop = &bucket->stop,
    };
    int result = make_dir_of(path, err);
    if (result == 0 && storage_get(bucket->storage, &get, err) != 0) {
        err_prefix(err, "%s", object->path);
        result = err->code;
    }
    if (result == 0)
        result = seal(path, object, err);
    object->here = result == 0;
    free(path);
    free(key);
    return result;
}

static void *run_fetcher(void *arg)
{
    struct bucket *bucket = arg;
    pthread_mutex_lock(&bucket->lock);
    while (bucket->next < bucket->count && atomic_load(&bucket->stop) == 0) {
        struct object *object = &bucket->objects[bucket->next++];
        struct err err = {0};
        if (object->here)
            continue;
        pthread_mutex_unlock(&bucket->lock);
        int result = fetch_object(bucket, object, &err);
        pthread_mutex_lock(&bucket->lock);
        if (result != 0 && bucket->err.code == ERR_NONE)
            bucket->err = err;
        if (result != 0)
            atomic_store(&bucket->stop, 1);
    }
    pthread_mutex_unlock(&bucket->lock);
    return NULL;
}

/* The record first, since it says what the others have to be. */
static int fetch_record(struct bucket *bucket, struct err *err)
{
    int result = 0;
    for (size_t i = 0; i < bucket->count && result == 0; i++) {
        struct object *object = &bucket->objects[i];
        if (strcmp(object->path, HUB_RECORD) == 0 && !object->here)
            result = fetch_object(bucket, object, err);
    }
    return result == 0 ? hub_record_read(bucket->fresh, &bucket->record, err) : result;
}

static int fetch_objects(struct bucket *bucket, struct err *err)
{
    pthread_t threads[FETCHERS];
    size_t started = 0;
    int result = fetch_record(bucket, err);
    if (result != 0)
        return result;
    while (started < FETCHERS && started < bucket->count &&
           sync_thread_start(&threads[started], run_fetcher, bucket) == 0)
        started++;
    if (started == 0)
        run_fetcher(bucket);
    for (size_t i = 0; i < started; i++)
        pthread_join(threads[i], NULL);
    if (bucket->err.code != ERR_NONE)
        *err = bucket->err;
    return bucket->err.code;
}

/* --- The whole -------------------------------------------------------------------------------- */

/* Whoever put the model there may have forgotten a file: the record tells. */
static int check_complete(const struct bucket *bucket, struct err *err)
{
    struct str wrong = {0};
    int result = 0;
    model_dir_compare(bucket->fresh, &wrong);
    if (wrong.len > 0)
        result = err_set(err, ERR_STORAGE, NULL,
                         "%s, by its " HUB_RECORD ": put the whole model there", str_text(&wrong));
    str_finish(&wrong);
    return result;
}

static int check_place(const struct bucket *bucket, struct err *err)
{
    if (rmdir(bucket->to) == 0 || errno == ENOENT)
        return 0;
    return err_set(err, ERR_STORAGE, NULL,
                   "%s is in the way and holds no whole model: complete it (voxhost pull), or "
                   "remove it",
                   bucket->to);
}

/* With the directory of bucket->to locked, so that whoever else wants this model waits for it. */
static int fetch_locked(struct bucket *bucket, const char *dir, struct err *err)
{
    const struct models *all = bucket->model->owner;
    uint64_t missing = 0;
    if (manifest_dir_holds_model(bucket->to))
        return 0;
    int result = check_place(bucket, err);
    if (result == 0)
        result = keep_whole(bucket, err);
    for (size_t i = 0; i < bucket->count; i++)
        missing += bucket->objects[i].here ? 0 : bucket->objects[i].len;
    if (result == 0)
        result = fs_check_room(dir, missing, all->manifest->host.min_free_mb, all->log, err);
    if (result != 0)
        return result;
    LOG_EVENT(all->log, LOG_INFO, bucket->model->config->model_type,
              "fetching the model from its bucket", LOG_TEXT("from", bucket->name),
              LOG_NUMBER("files", bucket->count), LOG_NUMBER("bytes", missing));
    result = fetch_objects(bucket, err);
    if (result == 0)
        result = check_complete(bucket, err);
    if (result == 0 && rename(bucket->fresh, bucket->to) != 0)
        result = err_set(err, ERR_STORAGE, NULL, "%s: %s", bucket->to, strerror(errno));
    if (result == 0)
        LOG_EVENT(all->log, LOG_INFO, bucket->model->config->model_type,
                  "model fetched from its bucket", LOG_TEXT("from", bucket->name),
                  LOG_TEXT("model_dir", bucket->to), LOG_NUMBER("files", bucket->count),
                  LOG_NUMBER("bytes_fetched", missing));
    return result;
}

static int fetch(struct bucket *bucket, struct err *err)
{
    char *dir = fs_dir_of(bucket->to);
    int lock = -1, result = find_bucket(bucket, err);
    if (result != 0 || bucket->count == 0)
        goto out;
    if (!bucket->model->owner->manifest->paths.copy_up) {
        result = err_set(err, ERR_MODEL_FAILED, NULL,
                         "holds the model, and paths.copy_up is false: set it to true to have it "
                         "fetched to %s",
                         bucket->to);
        goto out;
    }
    lock = model_copy_lock(bucket->model, dir, err);
    result = lock < 0 ? lock : fetch_locked(bucket, dir, err);
out:
    if (result != 0)
        err_prefix(err, "%s", bucket->name);
    model_copy_unlock(dir, lock);
    free(dir);
    return result;
}

int model_bucket_fetch(struct model *model, struct err *err)
{
    const struct manifest_paths *paths = &model->owner->manifest->paths;
    const char *to = model->config->model_dir;
    size_t len = strlen(paths->models);
    bool any = false;
    for (size_t i = 0; i < paths->model_tiers.count; i++)
        any = any || manifest_tier_is_bucket(paths->model_tiers.items[i]);
    if (!any || strncmp(to, paths->models, len) != 0 || to[len] != '/' ||
        manifest_dir_holds_model(to))
        return 0;
    char *dir = fs_dir_of(to);
    struct bucket bucket = {.model = model, .below = to + len + 1, .to = mem_copy_string(to)};
    bucket.fresh = str_format("%s/.%s.copy", dir, fs_name_of(to));
    pthread_mutex_init(&bucket.lock, NULL);
    int result = fetch(&bucket, err);
    pthread_mutex_destroy(&bucket.lock);
    forget_objects(&bucket);
    storage_close(bucket.storage);
    cJSON_Delete(bucket.record);
    free(bucket.name);
    free(bucket.to);
    free(bucket.fresh);
    free(dir);
    return result;
}
