/* Folders of one process each; see own_dir.h. */
#include "base/own_dir.h"

#include "base/clock.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIES_MAX 100
#define DIGITS 16

/* --- What dead processes left ----------------------------------------------------------------- */

/* A name that own_dir_make could have given: nothing else is ever touched. */
static bool is_ours(const char *name, const char *prefix)
{
    size_t len = strlen(prefix);
    return strncmp(name, prefix, len) == 0 && strlen(name) == len + DIGITS &&
           strspn(name + len, "0123456789abcdef") == DIGITS;
}

/* Locks a folder whose process is gone, or is about to lock it and then finds that it is not its
 * own any more; -1: it lives, or is gone. A folder without a lock file gets one, so that a removal
 * which was killed is gone on with. An empty one may be about to get its lock, which we would remove
 * without holding it: it goes at once, and who made it makes another. */
static int lock_dead(const char *path)
{
    if (rmdir(path) == 0)
        return -1;
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir < 0)
        return -1;
    int fd = openat(dir, OWN_DIR_LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0) {
        close(fd);
        fd = -1;
    }
    close(dir);
    return fd;
}

void own_dir_each_dead(const char *dir, const char *prefix,
                       void (*take)(const char *path, void *arg), void *arg)
{
    DIR *folder = opendir(dir);
    const struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        if (!is_ours(entry->d_name, prefix))
            continue;
        char *path = fs_join(dir, entry->d_name);
        int lock_fd = lock_dead(path);
        if (lock_fd >= 0) {
            take(path, arg);
            close(lock_fd);
        }
        free(path);
    }
    if (folder)
        closedir(folder);
}

static void remove_whole(const char *path, void *arg)
{
    struct err ignored = {0}; /* the next process tries again */
    (void)arg;
    tree_remove(path, &ignored);
}

void own_dir_remove_dead(const char *dir, const char *prefix)
{
    own_dir_each_dead(dir, prefix, remove_whole, NULL);
}

/* --- Ours ------------------------------------------------------------------------------------- */

/* 1; 0 when another process took the folder for a dead one's before its lock was held; -1 with
 * errno. */
static int make_locked(struct own_dir *own)
{
    struct stat ours, named;
    int result = -1;
    char *lock = fs_join(own->path, OWN_DIR_LOCK_NAME);
    if (mkdir(own->path, 0700) != 0)
        goto out;
    own->lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (own->lock_fd < 0) {
        result = errno == ENOENT ? 0 : -1;
    } else if (flock(own->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        result = errno == EWOULDBLOCK ? 0 : -1;
    } else {
        result = stat(lock, &named) == 0 && fstat(own->lock_fd, &ours) == 0 &&
                 named.st_ino == ours.st_ino;
    }
out:
    free(lock);
    return result;
}

int own_dir_make(const char *dir, const char *prefix, struct own_dir *own, struct err *err)
{
    int made = 0;
    *own = (struct own_dir){.lock_fd = -1};
    for (int i = 0; i < TRIES_MAX && made == 0; i++) {
        if (own->lock_fd >= 0)
            close(own->lock_fd);
        own->lock_fd = -1;
        free(own->path);
        own->path = str_format("%s/%s%016llx", dir, prefix, (unsigned long long)random_u64());
        made = make_locked(own);
    }
    if (made == 1)
        return 0;
    int reason = made < 0 ? errno : EAGAIN;
    struct err ignored = {0};
    own_dir_remove(own, &ignored);
    return err_set(err, ERR_STORAGE, NULL, "%s: cannot be written: %s", dir, strerror(reason));
}

int own_dir_remove(struct own_dir *own, struct err *err)
{
    if (!own->path)
        return 0;
    int result = tree_remove(own->path, err);
    own_dir_leave(own);
    return result;
}

void own_dir_leave(struct own_dir *own)
{
    if (own->path && own->lock_fd >= 0)
        close(own->lock_fd);
    free(own->path);
    *own = (struct own_dir){.lock_fd = -1};
}
