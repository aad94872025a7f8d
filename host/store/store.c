/* The output directory; see store.h. */
#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUN_DIR_PREFIX ".voxhost-"
#define LOCK_NAME "lock"

struct store {
    char *dir;     /* absolute */
    char *run_dir; /* absolute; ours alone */
    int lock_fd;   /* holds run_dir/lock for as long as we live */
    atomic_uint_least64_t next_temp;
};

/* --- The private folder ------------------------------------------------------------------------------ */

/* Removes the folder of a run whose lock is free or was never made: its process is gone, or about to lock it and
 * then finds that it is away. */
static void remove_if_dead(const char *dir, const char *name)
{
    char *run_dir = fs_join(dir, name);
    char *lock = fs_join(run_dir, LOCK_NAME);
    int fd = open(lock, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        rmdir(run_dir); /* fails unless it is empty */
    else if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        fs_remove_flat_dir(run_dir);
    if (fd >= 0)
        close(fd);
    free(lock);
    free(run_dir);
}

static void remove_dead_runs(const char *path)
{
    DIR *dir = opendir(path);
    if (!dir)
        return;
    struct dirent *entry;
    while ((entry = readdir(dir)))
        if (strncmp(entry->d_name, RUN_DIR_PREFIX, strlen(RUN_DIR_PREFIX)) == 0)
            remove_if_dead(path, entry->d_name);
    closedir(dir);
}

/* 1; 0 when another run took the folder for a dead one before its lock was held; -1 with errno. */
static int lock_run_dir(struct store *store)
{
    struct stat ours, named;
    int result = -1;
    char *lock = fs_join(store->run_dir, LOCK_NAME);
    if (mkdir(store->run_dir, 0700) != 0)
        goto out;
    store->lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (store->lock_fd < 0) {
        result = errno == ENOENT ? 0 : -1;
    } else if (flock(store->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        result = errno == EWOULDBLOCK ? 0 : -1;
    } else {
        result = stat(lock, &named) == 0 && fstat(store->lock_fd, &ours) == 0 &&
                 named.st_ino == ours.st_ino;
    }
out:
    free(lock);
    return result;
}

static int make_run_dir(struct store *store, struct err *err)
{
    enum { TRIES_MAX = 100 };
    int result = 0;
    for (int i = 0; i < TRIES_MAX && result == 0; i++) {
        if (store->lock_fd >= 0)
            close(store->lock_fd);
        store->lock_fd = -1;
        free(store->run_dir);
        store->run_dir = str_format("%s/" RUN_DIR_PREFIX "%016llx", store->dir,
                                    (unsigned long long)random_u64());
        result = lock_run_dir(store);
    }
    if (result == 1)
        return 0;
    result =
        err_set(err, ERR_STORAGE, NULL, "%s: cannot be written: %s", store->dir, strerror(errno));
    fs_remove_flat_dir(store->run_dir);
    return result;
}

/* --- Public ------------------------------------------------------------------------------------------- */

int store_open(const char *dir, struct store **out, struct err *err)
{
    *out = NULL;
    char *cwd = fs_current_dir();
    struct store *store = mem_alloc(sizeof(*store));
    store->lock_fd = -1;
    store->dir = fs_absolute(cwd, dir);
    free(cwd);
    int result = fs_make_dirs(store->dir, 0777, err);
    if (result == 0) {
        remove_dead_runs(store->dir);
        result = make_run_dir(store, err);
    }
    if (result != 0) {
        if (store->lock_fd >= 0)
            close(store->lock_fd);
        free(store->run_dir);
        free(store->dir);
        free(store);
        return result;
    }
    *out = store;
    return 0;
}

char *store_temp(struct store *store)
{
    return str_format("%s/%llu", store->run_dir,
                      (unsigned long long)atomic_fetch_add(&store->next_temp, 1));
}

int store_commit(struct store *store, const char *temp, const char *name, char **final,
                 struct err *err)
{
    int result = 0;
    char *path = fs_join(store->dir, name);
    if (!fs_path_is_inside(name)) {
        result = err_set(err, ERR_INVALID, "output",
                         "\"%s\": expected a relative path inside the output directory", name);
    } else if (rename(temp, path) != 0) {
        char *dir = fs_dir_of(path);
        if (errno == ENOENT && strchr(name, '/'))
            result = fs_make_dirs(dir, 0777, err);
        if (result == 0 && rename(temp, path) != 0)
            result =
                err_set(err, ERR_STORAGE, NULL, "%s: cannot be written: %s", path, strerror(errno));
        free(dir);
    }
    if (result != 0)
        unlink(temp);
    if (result == 0 && final)
        *final = path;
    else
        free(path);
    return result;
}

const char *store_dir(const struct store *store)
{
    return store->dir;
}

void store_close(struct store *store)
{
    if (!store)
        return;
    fs_remove_flat_dir(store->run_dir);
    close(store->lock_fd);
    free(store->run_dir);
    free(store->dir);
    free(store);
}
