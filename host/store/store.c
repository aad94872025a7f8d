/* The output directory; see store.h. */
#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RUN_DIR_PREFIX ".voxhost-"
#define COMMIT_TRIES_MAX 3
#define CLAIM_SIZE 64 /* "index/count\n" and its end, with room */

struct store {
    char *dir;      /* absolute */
    char *real_dir; /* the same without symbolic links */
    pthread_mutex_t lock;
    /* guarded by lock */
    struct own_dir run;     /* ours alone; what we claim stands in its lock file */
    char claim[CLAIM_SIZE]; /* "": none */
    uint64_t next_temp;
};

static bool is_run_dir(const char *name)
{
    return strncmp(name, RUN_DIR_PREFIX, strlen(RUN_DIR_PREFIX)) == 0;
}

/* Keeps other runs from coming or claiming while we look who lives here: looking takes the locks
 * for a moment. Close what it returns; -1 is fine too. Where it cannot be had (NFS locks no
 * directory; the user may run us under flock(1)) the worst is that a run is refused or tries
 * another name without need. */
static int lock_dir(const char *dir)
{
    enum { TRIES_MAX = 2000 };
    const struct timespec pause = {0, 1000000};
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; fd >= 0 && i < TRIES_MAX; i++) {
        if (flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
            break;
        nanosleep(&pause, NULL);
    }
    return fd;
}

static void unlock_dir(int fd)
{
    if (fd >= 0)
        close(fd);
}

/* --- Claims ----------------------------------------------------------------------------------- */

struct claim {
    uint64_t index, count;
};

/* False when the run in this folder is dead or claims nothing. */
static bool read_claim(const char *run_dir, struct claim *claim)
{
    char text[CLAIM_SIZE] = "";
    char *lock = fs_join(run_dir, OWN_DIR_LOCK_NAME);
    int fd = open(lock, O_RDWR | O_CLOEXEC);
    free(lock);
    if (fd < 0)
        return false;
    bool lives = flock(fd, LOCK_SH | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    ssize_t len = lives ? read(fd, text, sizeof(text) - 1) : 0;
    close(fd);
    if (len <= 0)
        return false;
    char *slash, *end = text;
    claim->index = strtoull(text, &slash, 10);
    claim->count = *slash == '/' ? strtoull(slash + 1, &end, 10) : 0;
    if (*end != '\n' || claim->index >= claim->count)
        *claim = (struct claim){0, 1}; /* of a version that we do not know: all of it */
    return true;
}

static int write_claim(struct store *store, struct err *err)
{
    size_t len = strlen(store->claim);
    if (ftruncate(store->run.lock_fd, 0) == 0 &&
        pwrite(store->run.lock_fd, store->claim, len, 0) == (ssize_t)len &&
        fsync(store->run.lock_fd) == 0) /* other machines shall see it too */
        return 0;
    return err_set(err, ERR_STORAGE, NULL, "%s: cannot be written: %s", store->dir,
                   strerror(errno));
}

static int check_claim(struct store *store, struct claim ours, struct err *err)
{
    int result = 0;
    struct claim other;
    struct dirent *entry;
    DIR *dir = opendir(store->dir);
    if (!dir)
        return err_set(err, ERR_STORAGE, NULL, "%s: cannot be read: %s", store->dir,
                       strerror(errno));
    while (result == 0 && (entry = readdir(dir))) {
        if (!is_run_dir(entry->d_name) || strcmp(entry->d_name, fs_name_of(store->run.path)) == 0)
            continue;
        char *run_dir = fs_join(store->dir, entry->d_name);
        if (read_claim(run_dir, &other) && (other.count != ours.count || other.index == ours.index))
            result = err_set(err, ERR_INVALID, NULL,
                             "%s: another run (shard %" PRIu64 " of %" PRIu64
                             ") is writing into this folder; wait for it to end, or stop it",
                             store->dir, other.index, other.count);
        free(run_dir);
    }
    closedir(dir);
    return result;
}

/* --- Symbolic links --------------------------------------------------------------------------- */

/* Looks where the longest part of `dir` (in the store) that exists really is. What is missing may
 * be made by another thread meanwhile; only a link that leads to nothing is refused for not being
 * there. */
static int check_links(const struct store *store, const char *dir, const char *name,
                       struct err *err)
{
    int result = 0;
    struct stat info;
    bool dangling = false;
    char *real, *path = mem_copy_string(dir);
    while (!(real = realpath(path, NULL)) && (errno == ENOENT || errno == ENOTDIR) &&
           strlen(path) > strlen(store->dir)) {
        dangling = lstat(path, &info) == 0 && S_ISLNK(info.st_mode);
        if (dangling)
            break;
        char *above = fs_dir_of(path);
        free(path);
        path = above;
    }
    if (dangling || (real && !fs_is_below(real, store->real_dir)))
        result = err_set(err, ERR_INVALID, "output",
                         "\"%s\": leads out of the output directory through a symbolic link", name);
    else if (!real)
        result =
            err_set(err, ERR_STORAGE, NULL, "%s: cannot be written: %s", path, strerror(errno));
    free(real);
    free(path);
    return result;
}

/* --- Public ----------------------------------------------------------------------------------- */

int store_open(const char *dir, struct store **out, struct err *err)
{
    *out = NULL;
    char *cwd = fs_current_dir();
    struct store *store = mem_alloc(sizeof(*store));
    store->dir = fs_absolute(cwd, dir);
    sync_mutex_init(&store->lock);
    free(cwd);
    int result = fs_make_dirs(store->dir, 0777, err);
    if (result == 0 && !(store->real_dir = realpath(store->dir, NULL)))
        result =
            err_set(err, ERR_STORAGE, NULL, "%s: cannot be found: %s", store->dir, strerror(errno));
    if (result == 0) {
        int dir_fd = lock_dir(store->dir);
        own_dir_remove_dead(store->dir, RUN_DIR_PREFIX);
        result = own_dir_make(store->dir, RUN_DIR_PREFIX, &store->run, err);
        unlock_dir(dir_fd);
    }
    if (result == 0)
        *out = store;
    else
        store_close(store);
    return result;
}

/* Ours is written before others are looked at, so that of two at once, unseen by lock_dir, at least
 * one is refused. */
int store_claim(struct store *store, uint64_t index, uint64_t count, struct err *err)
{
    struct err ignored = {0};
    int dir_fd = lock_dir(store->dir);
    pthread_mutex_lock(&store->lock);
    snprintf(store->claim, sizeof(store->claim), "%" PRIu64 "/%" PRIu64 "\n", index, count);
    int result = write_claim(store, err);
    if (result == 0)
        result = check_claim(store, (struct claim){index, count}, err);
    if (result != 0) {
        store->claim[0] = '\0';
        write_claim(store, &ignored);
    }
    pthread_mutex_unlock(&store->lock);
    unlock_dir(dir_fd);
    return result;
}

/* Somebody swept our folder away, as cleaners of temporary files do. */
static void make_run_again(struct store *store)
{
    struct err ignored = {0}; /* who writes there says it */
    struct own_dir fresh;
    if (fs_make_dirs(store->dir, 0777, &ignored) != 0 ||
        own_dir_make(store->dir, RUN_DIR_PREFIX, &fresh, &ignored) != 0)
        return;
    own_dir_leave(&store->run);
    store->run = fresh;
    write_claim(store, &ignored);
}

char *store_temp(struct store *store)
{
    pthread_mutex_lock(&store->lock);
    if (access(store->run.path, F_OK) != 0 && errno == ENOENT)
        make_run_again(store);
    char *path = str_format("%s/%llu", store->run.path, (unsigned long long)store->next_temp++);
    pthread_mutex_unlock(&store->lock);
    return path;
}

int store_commit(struct store *store, const char *temp, const char *name, char **final,
                 struct err *err)
{
    int result = 0;
    char *path = fs_join(store->dir, name);
    char *dir = strchr(name, '/') ? fs_dir_of(path) : NULL;
    if (!fs_path_is_inside(name))
        result = err_set(err, ERR_INVALID, "output",
                         "\"%s\": expected a relative path inside the output directory", name);
    else if (dir)
        result = check_links(store, dir, name, err);
    /* A sweep may remove the folder, which is empty, once more. */
    for (int i = 0; result == 0 && rename(temp, path) != 0; i++)
        result = errno == ENOENT && dir && i < COMMIT_TRIES_MAX
                     ? fs_make_dirs(dir, 0777, err)
                     : err_set(err, ERR_STORAGE, NULL, "%s: cannot be written: %s", path,
                               strerror(errno));
    free(dir);
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
    struct err ignored = {0}; /* the next run tries again */
    if (!store)
        return;
    own_dir_remove(&store->run, &ignored);
    pthread_mutex_destroy(&store->lock);
    free(store->real_dir);
    free(store->dir);
    free(store);
}
