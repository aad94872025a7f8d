/* A model's private cache directory: made, checked, and never shared with another model. */
#include "plugin/model_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_NAME ".voxhost.lock"
#define DAY_S 86400.0

static int check_writable(const char *dir, struct err *err)
{
    char *probe = str_format("%s/.probe-%016llx", dir, (unsigned long long)random_u64());
    int fd = open(probe, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int result = 0;
    if (fd < 0)
        result = err_set(err, ERR_MODEL_FAILED, "cache_dir", "%s: cannot be written: %s", dir,
                         strerror(errno));
    else
        close(fd);
    unlink(probe);
    free(probe);
    return result;
}

/* --- What the cache keeps ---------------------------------------------------------------------- */

/* Not what is the host's. */
static bool may_go(const char *path, bool is_dir, void *arg)
{
    (void)is_dir;
    (void)arg;
    return strcmp(path, LOCK_NAME) != 0 && strcmp(path, SCRATCH_NAME) != 0;
}

static void sweep(struct model *model, const char *dir)
{
    const struct models *all = model->owner;
    const struct manifest_host *host = &all->manifest->host;
    struct text_list protected = {0};
    manifest_owned_dirs(all->manifest, &protected);
    if (all->manifest->storage.dir)
        text_list_add(&protected, mem_copy_string(all->manifest->storage.dir));
    const struct tree_sweep options = {
        .keep_s = host->cache_keep_days * DAY_S,
        .keep_bytes = (uint64_t)host->cache_keep_mb << 20,
        .by_use = true,
        .now_unix_s = (int64_t)time(NULL),
        .may_go = may_go,
        .protected_dirs = (const char *const *)protected.items,
        .protected_count = protected.count,
    };
    struct tree_swept swept;
    struct err err = {0};
    bool failed = tree_sweep(dir, &options, &swept, &err) != 0;
    if (failed || swept.failures)
        LOG_EVENT(all->log, LOG_WARN, model->config->model_type, "cache not swept",
                  LOG_TEXT("cache_dir", dir),
                  LOG_TEXT("reason", failed ? err.message : swept.failure.message));
    if (swept.removed_files)
        LOG_EVENT(all->log, LOG_INFO, model->config->model_type, "cache swept",
                  LOG_TEXT("cache_dir", dir), LOG_NUMBER("removed_files", swept.removed_files),
                  LOG_NUMBER("removed_bytes", swept.removed_bytes),
                  LOG_NUMBER("left_files", swept.left_files),
                  LOG_NUMBER("left_bytes", swept.left_bytes));
    text_list_finish(&protected);
}

/* Holds the cache for as long as the model lives, so that no other process sweeps it; sweeps it
 * when none has it loaded. The kernel gives the lock of a dead process back. */
static void hold_and_sweep(struct model *model, const char *dir)
{
    const struct models *all = model->owner;
    const struct manifest_host *host = &all->manifest->host;
    bool wanted = host->cache_keep_days > 0 || host->cache_keep_mb > 0;
    char *path = fs_join(dir, LOCK_NAME);
    int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    int reason = fd < 0 || (wanted && flock(fd, LOCK_EX | LOCK_NB) != 0) ? errno : 0;
    free(path);
    if (wanted && reason == 0)
        sweep(model, dir);
    else if (wanted)
        LOG_EVENT(all->log, reason == EWOULDBLOCK ? LOG_DEBUG : LOG_WARN, model->config->model_type,
                  "cache not swept", LOG_TEXT("cache_dir", dir),
                  LOG_TEXT("reason",
                           reason == EWOULDBLOCK ? "another process uses it" : strerror(reason)));
    while (fd >= 0 && flock(fd, LOCK_SH) != 0 && errno == EINTR)
        ;
    model->cache_lock_fd = fd;
}

void model_cache_release(struct model *model)
{
    if (model->cache_lock_fd >= 0)
        close(model->cache_lock_fd);
    model->cache_lock_fd = -1;
}

static int check_space(struct model *model, const char *dir, struct err *err)
{
    const struct models *all = model->owner;
    struct err why;
    if (fs_check_room(dir, 0, all->manifest->host.min_free_mb, all->log, &why) == 0)
        return 0;
    return err_set(err, ERR_MODEL_FAILED, "cache_dir", "%s", why.message);
}

/* The manifest compared names; only the disk knows links, mounts and file systems that ignore
 * case. */
static int claim(struct model *model, const char *dir, struct err *err)
{
    struct models *all = model->owner;
    struct stat info;
    int result = 0;
    if (stat(dir, &info) != 0)
        return err_set(err, ERR_MODEL_FAILED, "cache_dir", "%s: %s", dir, strerror(errno));
    pthread_mutex_lock(&all->cache_lock);
    for (size_t i = 0; i < all->count && result == 0; i++) {
        struct model *other = &all->items[i];
        if (other != model && other->cache_claimed && other->cache_device == info.st_dev &&
            other->cache_inode == info.st_ino)
            result = err_set(err, ERR_MODEL_FAILED, "cache_dir",
                             "%s: is the cache directory of model \"%s\" as well", dir,
                             other->config->model_type);
    }
    if (result == 0) {
        model->cache_claimed = true;
        model->cache_device = info.st_dev;
        model->cache_inode = info.st_ino;
    }
    pthread_mutex_unlock(&all->cache_lock);
    return result;
}

int model_cache_prepare(struct model *model, struct err *err)
{
    const char *dir = model->config->cache_dir;
    int result = fs_make_dirs(dir, 0700, err);
    if (result == 0 && chmod(dir, 0700) != 0 && errno != EPERM)
        result = err_set(err, ERR_MODEL_FAILED, "cache_dir", "%s: cannot be made private: %s", dir,
                         strerror(errno));
    if (result == 0)
        result = claim(model, dir, err);
    if (result == 0)
        scratch_remove_dead(dir);
    if (result == 0)
        result = check_writable(dir, err);
    if (result == 0)
        hold_and_sweep(model, dir); /* before the room on the disk is looked at */
    if (result == 0)
        result = check_space(model, dir, err);
    return result;
}
