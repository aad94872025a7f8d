/* Copying a model from the directory of a tier to paths.models: for disks that are faster than a
 * network volume, and only where the manifest asks for it. A copy that cannot be made is no error,
 * since the tier itself is as good; nor is one made of a model that is not as `voxhost pull`
 * recorded it, since it would hide the tier once that is mended. The original stays. Knows no
 * plugins; buckets are in model_bucket.c.
 */
#include "plugin/model_private.h"

#include "hub/hub.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define FILES_MAX 100000
#define BLOCK_SIZE (1u << 20)
#define LOCK_PAUSE_MS 50

struct copy {
    uint64_t bytes;
    size_t files;
    char *block;
    struct err *err;
};

static int fail(struct copy *copy, const char *path)
{
    return err_set(copy->err, ERR_STORAGE, NULL, "%s: %s", path, strerror(errno));
}

/* Calls `file` and `enter` (may be NULL) for what lies below `from`; `to` is the same place in
 * the copy. */
static int walk(struct copy *copy, const char *from, const char *to, int depth,
                int (*file)(struct copy *copy, const char *from, const char *to,
                            const struct stat *info),
                int (*enter)(struct copy *copy, const char *to))
{
    struct dirent *entry;
    struct stat info;
    int result = 0;
    if (depth > MODEL_DEPTH_MAX)
        return err_set(copy->err, ERR_STORAGE, NULL, "%s: is deeper than %d directories", from,
                       MODEL_DEPTH_MAX);
    DIR *dir = opendir(from);
    if (!dir)
        return fail(copy, from);
    if (enter)
        result = enter(copy, to);
    while (result == 0 && (entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        char *below = fs_join(from, entry->d_name), *below_to = fs_join(to, entry->d_name);
        if (stat(below, &info) != 0)
            result = fail(copy, below);
        else if (S_ISDIR(info.st_mode))
            result = walk(copy, below, below_to, depth + 1, file, enter);
        else if (S_ISREG(info.st_mode) && ++copy->files <= FILES_MAX)
            result = file(copy, below, below_to, &info);
        else
            result =
                err_set(copy->err, ERR_STORAGE, NULL, "%s: is no file, or one too many", below);
        free(below);
        free(below_to);
    }
    closedir(dir);
    return result;
}

static int add_size(struct copy *copy, const char *from, const char *to, const struct stat *info)
{
    (void)from;
    (void)to;
    copy->bytes += (uint64_t)info->st_size;
    return 0;
}

static int make_dir(struct copy *copy, const char *to)
{
    return mkdir(to, 0777) == 0 ? 0 : fail(copy, to);
}

static int copy_file(struct copy *copy, const char *from, const char *to, const struct stat *info)
{
    const struct timespec times[2] = {info->st_atim, info->st_mtim};
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    off_t copied = 0;
    ssize_t got = -1;
    if (in < 0 || out < 0)
        goto out;
    while ((got = read(in, copy->block, BLOCK_SIZE)) > 0 || (got < 0 && errno == EINTR)) {
        if (got > 0 && fs_write_all(out, copy->block, (size_t)got) != 0) {
            got = -1;
            break;
        }
        copied += got > 0 ? got : 0;
    }
    if (got == 0 && (fsync(out) != 0 || futimens(out, times) != 0))
        got = -1;
    if (got == 0 && copied != info->st_size) {
        errno = ESTALE; /* it changed meanwhile */
        got = -1;
    }
out:
    if (got != 0)
        fail(copy, in < 0 || out >= 0 ? from : to);
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    return got == 0 ? 0 : ERR_STORAGE;
}

void model_copy_remove(const char *dir)
{
    struct err ignored = {0}; /* who needs the place says what is in the way */
    tree_remove(dir, &ignored);
}

/* A file: many network disks lock no directories, or not for other machines. */
static char *lock_of(const char *dir)
{
    return fs_join(dir, ".copy.lock");
}

int model_copy_lock(const struct model *model, const char *dir, struct err *err)
{
    const struct timespec pause = {0, LOCK_PAUSE_MS * CLOCK_MS};
    char *path = lock_of(dir);
    int fd = -1, result = fs_make_dirs(dir, 0777, err);
    bool said = false;
    while (result == 0 && (result = hub_lock_try(path, &fd, err)) == 0) {
        if (!said)
            LOG_EVENT(model->owner->log, LOG_INFO, model->config->model_type,
                      "a model is being copied into this directory: waiting", LOG_TEXT("dir", dir));
        said = true;
        nanosleep(&pause, NULL);
    }
    free(path);
    return result > 0 ? fd : result;
}

void model_copy_unlock(const char *dir, int lock)
{
    char *path = lock_of(dir);
    if (lock >= 0) {
        unlink(path); /* first: whoever opens it now makes another */
        close(lock);
    }
    free(path);
}

static int check_whole(const char *from, struct err *err)
{
    struct str wrong = {0};
    int result = 0;
    model_dir_compare(from, &wrong);
    if (wrong.len > 0)
        result = err_set(err, ERR_STORAGE, NULL,
                         "%s, by its " HUB_RECORD ": a copy would hide the tier when that is "
                         "mended: pull it there again",
                         str_text(&wrong));
    str_finish(&wrong);
    return result;
}

/* With the directory of `to` locked, so that whoever else wants this copy waits for it. */
static int copy_locked(const char *from, const char *to, const struct models *all, struct err *err)
{
    struct copy copy = {.block = mem_alloc(BLOCK_SIZE), .err = err};
    char *dir = fs_dir_of(to), *fresh = str_format("%s/.%s.copy", dir, fs_name_of(to));
    int result = 0;
    if (manifest_dir_holds_model(to))
        goto out;
    model_copy_remove(fresh);
    result = check_whole(from, err);
    if (result == 0)
        result = walk(&copy, from, fresh, 0, add_size, NULL);
    if (result == 0)
        result = fs_check_room(dir, copy.bytes, all->manifest->host.min_free_mb, all->log, err);
    copy.files = 0;
    if (result == 0)
        result = walk(&copy, from, fresh, 0, copy_file, make_dir);
    if (result == 0 && rename(fresh, to) != 0)
        result = fail(&copy, to);
    if (result != 0)
        model_copy_remove(fresh);
out:
    free(copy.block);
    free(fresh);
    free(dir);
    return result;
}

/* The part of `path` below the tier that it lies in; NULL when it lies in none. */
static const char *below_tier(const struct manifest_paths *paths, const char *path)
{
    for (size_t i = 0; i < paths->model_tiers.count; i++) {
        const char *tier = paths->model_tiers.items[i];
        size_t len = strlen(tier);
        if (strncmp(path, tier, len) == 0 && path[len] == '/')
            return path + len + 1;
    }
    return NULL;
}

void model_copy_up(struct model *model)
{
    const struct manifest *manifest = model->owner->manifest;
    const char *from = model->config->model_dir, *below = below_tier(&manifest->paths, from);
    struct err err = {0};
    int64_t begun = clock_now();
    if (!manifest->paths.copy_up || !below || !manifest_dir_holds_model(from))
        return;
    char *to = fs_join(manifest->paths.models, below), *dir = fs_dir_of(to);
    int lock = model_copy_lock(model, dir, &err), result = lock < 0 ? lock : 0;
    if (result == 0)
        result = copy_locked(from, to, model->owner, &err);
    if (result == 0) {
        model->copied_dir = to;
        to = NULL;
        LOG_EVENT(model->owner->log, LOG_INFO, model->config->model_type, "model copied up",
                  LOG_TEXT("from", from), LOG_TEXT("model_dir", model->copied_dir),
                  LOG_NUMBER("copy_ms", (double)(clock_now() - begun) / CLOCK_MS));
    } else {
        LOG_EVENT(model->owner->log, LOG_WARN, model->config->model_type,
                  "model not copied up: loaded from its tier", LOG_TEXT("model_dir", from),
                  LOG_TEXT("reason", err.message));
    }
    model_copy_unlock(dir, lock);
    free(to);
    free(dir);
}
