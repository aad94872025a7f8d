/* A model's private cache directory: made, checked, and never shared with another model. */
#include "plugin/model_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* A disk that cannot be asked is not a disk that is full: that is only logged. */
static int check_space(struct model *model, const char *dir, struct err *err)
{
    uint64_t free_bytes;
    int64_t wanted_mb = model->owner->manifest->host.min_free_mb;
    if (fs_free_bytes(dir, &free_bytes) != 0) {
        LOG_EVENT(model->owner->log, LOG_WARN, model->config->model_type, "free space is unknown",
                  LOG_TEXT("cache_dir", dir), LOG_TEXT("reason", strerror(errno)));
        return 0;
    }
    if (free_bytes / (1u << 20) < (uint64_t)wanted_mb)
        return err_set(err, ERR_MODEL_FAILED, "cache_dir",
                       "%s: its disk has %llu MB free, host.min_free_mb wants %lld: free some or "
                       "lower the limit",
                       dir, (unsigned long long)(free_bytes / (1u << 20)), (long long)wanted_mb);
    return 0;
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
        result = check_writable(dir, err);
    if (result == 0)
        result = check_space(model, dir, err);
    return result;
}
