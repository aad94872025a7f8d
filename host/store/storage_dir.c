/* A directory as an object store: a key is a path below it. Writing is store.c's (temporary name,
 * rename, no way out through symbolic links); reading holds to the same. */
#include "store/store_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 64
#define ENTRIES_MAX 1000000 /* of one folder */

struct storage_dir {
    struct store *store;
    char *real_dir;        /* without symbolic links */
    char *prefix;          /* "" or "results/" */
    char *public_base_url; /* NULL: none */
    int64_t min_free_mb;
};

int storage_dir_open(const struct manifest_storage *manifest, struct storage_dir **out,
                     struct err *err)
{
    const char *prefix = manifest->prefix ? manifest->prefix : "";
    size_t len = strlen(prefix);
    *out = NULL;
    char *sample = str_format("%s%sx", prefix, len == 0 || prefix[len - 1] == '/' ? "" : "/");
    if (!fs_path_is_inside(sample)) {
        free(sample);
        return err_set(err, ERR_INVALID, "storage.prefix",
                       "expected a relative path without \".\", \"..\" and empty names");
    }
    struct storage_dir *dir = mem_alloc(sizeof(*dir));
    sample[strlen(sample) - 1] = '\0';
    dir->prefix = sample;
    dir->public_base_url = mem_copy_string(manifest->public_base_url);
    dir->min_free_mb = manifest->min_free_mb;
    int result = store_open(manifest->dir, &dir->store, err);
    if (result == 0 && !(dir->real_dir = realpath(store_dir(dir->store), NULL)))
        result = err_set(err, ERR_STORAGE, NULL, "%s: cannot be found: %s", manifest->dir,
                         strerror(errno));
    if (result != 0) {
        storage_dir_close(dir);
        return result;
    }
    *out = dir;
    return 0;
}

void storage_dir_close(struct storage_dir *dir)
{
    if (!dir)
        return;
    store_close(dir->store);
    free(dir->real_dir);
    free(dir->prefix);
    free(dir->public_base_url);
    free(dir);
}

const char *storage_dir_name(const struct storage_dir *dir)
{
    return store_dir(dir->store);
}

int storage_dir_secret(const struct storage_dir *dir, uint8_t out[DIGEST_SIZE], struct err *err)
{
    return storage_salt_read(dir->store, out, err);
}

/* --- Paths ------------------------------------------------------------------------------------ */

/* The path of a key below the directory; NULL when it is none. The caller's. */
static char *name_of(const struct storage_dir *dir, const char *key, struct err *err)
{
    size_t bad;
    char *name = str_format("%s%s", dir->prefix, key);
    /* What begins with ".voxhost-" is the folder of a run or the secret; some file systems know no
     * capitals. */
    if (fs_path_is_inside(name) && utf8_valid(name, strlen(name), &bad) &&
        strncasecmp(name, ".voxhost-", 9) != 0)
        return name;
    free(name);
    err_set(err, ERR_INVALID, NULL,
            "an object's key must be a relative path in UTF-8 of at most %d bytes, without \".\", "
            "\"..\", empty names and control characters",
            STORAGE_KEY_SIZE_MAX);
    return NULL;
}

static int say_missing(const struct storage_dir *dir, struct err *err)
{
    return err_set(err, ERR_INVALID, "key", "there is no such object in %s", store_dir(dir->store));
}

/* Of realpath or open; the last is a socket's. */
static bool means_missing(int reason)
{
    return reason == ENOENT || reason == ENOTDIR || reason == ELOOP || reason == ENXIO;
}

/* Opens the file of a key for reading. */
static int open_object(const struct storage_dir *dir, const char *key, int *fd, struct stat *info,
                       struct err *err)
{
    int result = 0;
    char *name = name_of(dir, key, err), *path = NULL, *real = NULL;
    *fd = -1;
    if (!name)
        return err->code;
    path = fs_join(store_dir(dir->store), name);
    real = realpath(path, NULL);
    bool is_outside = real && !fs_is_below(real, dir->real_dir);
    if (real && !is_outside)
        *fd = open(real, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (is_outside)
        result = err_set(err, ERR_INVALID, "key", "leads out of %s through a symbolic link",
                         store_dir(dir->store));
    else if (*fd < 0 && !means_missing(errno))
        result = err_set(err, ERR_STORAGE, NULL, "%s: cannot be read: %s", path, strerror(errno));
    else if (*fd < 0 || fstat(*fd, info) != 0 || !S_ISREG(info->st_mode))
        result = say_missing(dir, err);
    if (result != 0 && *fd >= 0)
        close(*fd);
    free(real);
    free(path);
    free(name);
    return result;
}

/* --- Put, get --------------------------------------------------------------------------------- */

static int copy_put(const struct storage_put *put, int fd, const char *path, struct err *err)
{
    char *buf = mem_alloc(S3_BUFFER_SIZE);
    uint64_t at = 0;
    int result = 0;
    while (result == 0 && at < put->len) {
        ssize_t got = storage_put_read(put, buf, S3_BUFFER_SIZE, at);
        if (storage_put_check(put, err) != 0)
            result = err->code;
        else if (got <= 0)
            result = err_set(err, ERR_STORAGE, NULL, "the file changed while it was stored");
        else if (fs_write_all(fd, buf, (size_t)got) != 0)
            result =
                err_set(err, ERR_STORAGE, NULL, "%s: cannot be written: %s", path, strerror(errno));
        else
            at += (uint64_t)got;
    }
    free(buf);
    return result;
}

int storage_dir_check_room(const struct storage_dir *dir, uint64_t len, const struct log *log,
                           struct err *err)
{
    return fs_check_room(store_dir(dir->store), len, dir->min_free_mb, log, err);
}

int storage_dir_put(struct storage_dir *dir, const struct storage_put *put, struct err *err)
{
    char *name = name_of(dir, put->key, err);
    if (!name)
        return err->code;
    if (storage_dir_check_room(dir, put->len, NULL, err) != 0) {
        free(name);
        return err->code;
    }
    char *temp = store_temp(dir->store);
    int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    int result =
        fd < 0 ? err_set(err, ERR_STORAGE, NULL, "%s: cannot be made: %s", temp, strerror(errno))
               : copy_put(put, fd, store_dir(dir->store), err);
    if (fd >= 0 && close(fd) != 0 && result == 0)
        result = err_set(err, ERR_STORAGE, NULL, "%s: cannot be written: %s", store_dir(dir->store),
                         strerror(errno));
    if (result == 0)
        result = store_commit(dir->store, temp, name, NULL, err);
    else
        unlink(temp);
    free(temp);
    free(name);
    return result;
}

static int copy_get(const struct storage_get *get, int from, struct storage_file *file,
                    struct err *err)
{
    struct digest *digest = digest_create();
    uint8_t bytes[DIGEST_SIZE];
    char *buf = mem_alloc(S3_BUFFER_SIZE);
    int result = 0;
    ssize_t got = 1;
    while (result == 0 && (got = read(from, buf, S3_BUFFER_SIZE)) > 0) {
        digest_update(digest, buf, (size_t)got);
        if (get->stop && atomic_load(get->stop) != 0)
            result = err_set(err, ERR_CANCELLED, NULL, "the download was stopped");
        else if (fs_write_all(file->fd, buf, (size_t)got) != 0)
            result = err_set(err, ERR_STORAGE, NULL, "%s: cannot be written: %s", get->path,
                             strerror(errno));
    }
    if (got < 0)
        result = err_set(err, ERR_STORAGE, NULL, "an object cannot be read: %s", strerror(errno));
    digest_final(digest, bytes);
    if (result == 0)
        result = storage_get_check(get, bytes, err);
    digest_destroy(digest);
    free(buf);
    return result;
}

static int check_len(const struct stat *info, uint64_t bytes_max, struct err *err)
{
    if ((uint64_t)info->st_size <= bytes_max)
        return 0;
    return err_set(err, ERR_TOO_LARGE, NULL, "the object has %llu bytes, more than %llu",
                   (unsigned long long)info->st_size, (unsigned long long)bytes_max);
}

int storage_dir_get(struct storage_dir *dir, const struct storage_get *get, struct err *err)
{
    struct storage_file file;
    struct stat info = {0};
    int fd;
    int result = open_object(dir, get->key, &fd, &info, err);
    if (result != 0)
        return result;
    result = check_len(&info, get->bytes_max, err);
    if (result == 0)
        result = storage_file_open(&file, get->path, err);
    if (result == 0) {
        result = copy_get(get, fd, &file, err);
        result = storage_file_finish(&file, result, err);
    }
    close(fd);
    return result;
}

int storage_dir_read(struct storage_dir *dir, const char *key, size_t bytes_max, struct str *out,
                     struct err *err)
{
    struct stat info = {0};
    int fd;
    int result = open_object(dir, key, &fd, &info, err);
    if (result != 0)
        return result;
    result = check_len(&info, bytes_max, err);
    if (result == 0)
        result = fs_read_fd(fd, "an object", bytes_max, NULL, out, err);
    close(fd);
    return result;
}

int storage_dir_head(struct storage_dir *dir, const char *key, struct storage_object *object,
                     struct err *err)
{
    struct stat info = {0};
    int fd;
    *object = (struct storage_object){.key = key};
    int result = open_object(dir, key, &fd, &info, err);
    if (result != 0)
        return result;
    close(fd);
    object->len = (uint64_t)info.st_size;
    object->modified_unix_s = (int64_t)info.st_mtime;
    const char *type = storage_content_type(key);
    memcpy(object->content_type, type, strcspn(type, ";"));
    return 0;
}

/* Folders are no objects: those that are empty now go. Whoever needs one at this moment makes it once
 * more (store_commit). */
static void remove_empty_above(const struct storage_dir *dir, char *path)
{
    size_t root = strlen(store_dir(dir->store));
    char *slash = strrchr(path, '/');
    while ((size_t)(slash - path) > root) {
        *slash = '\0';
        if (rmdir(path) != 0)
            return;
        slash = strrchr(path, '/');
    }
}

int storage_dir_delete(struct storage_dir *dir, const char *key, struct err *err)
{
    struct stat info = {0};
    int fd;
    int result = open_object(dir, key, &fd, &info, err);
    if (result == ERR_INVALID && strcmp(err->field, "key") == 0)
        return 0;
    if (result != 0)
        return result;
    close(fd);
    char *name = name_of(dir, key, err), *path = fs_join(store_dir(dir->store), name);
    if (unlink(path) != 0 && errno != ENOENT)
        result =
            err_set(err, ERR_STORAGE, NULL, "%s: cannot be removed: %s", path, strerror(errno));
    else
        remove_empty_above(dir, path);
    free(path);
    free(name);
    return result;
}

/* --- List ------------------------------------------------------------------------------------- */

struct walk {
    const struct storage_dir *dir;
    const char *prefix; /* of keys */
    const atomic_int *stop;
    int (*each)(const struct storage_object *object, void *arg);
    void *arg;
    struct err *err;
};

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Names in `path`, folders with "/" behind, so that sorting gives the order of keys. */
static int read_names(const char *path, struct text_list *names, struct err *err)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;
    struct stat info = {0};
    int result = 0;
    if (!dir)
        return errno == ENOENT ? 0
                               : err_set(err, ERR_STORAGE, NULL, "%s: cannot be read: %s", path,
                                         strerror(errno));
    while (result == 0 && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.' && (!entry->d_name[1] || strcmp(entry->d_name, "..") == 0 ||
                                        strncmp(entry->d_name, ".voxhost-", 9) == 0))
            continue;
        if (fstatat(dirfd(dir), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (names->count == ENTRIES_MAX)
            result =
                err_set(err, ERR_TOO_LARGE, NULL, "%s: has over %d entries", path, ENTRIES_MAX);
        else if (S_ISREG(info.st_mode) || S_ISDIR(info.st_mode))
            text_list_add(names,
                          str_format("%s%s", entry->d_name, S_ISDIR(info.st_mode) ? "/" : ""));
    }
    closedir(dir);
    if (names->count > 0)
        qsort(names->items, names->count, sizeof(char *), by_text);
    return result;
}

static int show_file(const struct walk *walk, const char *path, const char *key)
{
    struct stat info = {0};
    if (stat(path, &info) != 0)
        return 0; /* gone meanwhile */
    struct storage_object object = {
        .key = key, .len = (uint64_t)info.st_size, .modified_unix_s = (int64_t)info.st_mtime};
    return walk->each(&object, walk->arg);
}

/* `base`: the key of this folder, "" or with "/" at its end. */
static int walk_folder(const struct walk *walk, const char *base, int depth)
{
    struct text_list names = {0};
    char *path = str_format("%s/%s%s", store_dir(walk->dir->store), walk->dir->prefix, base);
    int result = depth < DEPTH_MAX ? read_names(path, &names, walk->err) : 0;
    for (size_t i = 0; i < names.count && result == 0; i++) {
        char *key = str_format("%s%s", base, names.items[i]);
        char *file = fs_join(path, names.items[i]);
        size_t len = strlen(key), prefix_len = strlen(walk->prefix);
        bool folder = key[len - 1] == '/';
        bool matches = strncmp(key, walk->prefix, len < prefix_len ? len : prefix_len) == 0;
        if (walk->stop && atomic_load(walk->stop) != 0)
            result = err_set(walk->err, ERR_CANCELLED, NULL, "the list of objects was stopped");
        else if (folder && matches)
            result = walk_folder(walk, key, depth + 1);
        else if (!folder && matches && len >= prefix_len)
            result = show_file(walk, file, key);
        free(file);
        free(key);
    }
    text_list_finish(&names);
    free(path);
    return result;
}

int storage_dir_list(struct storage_dir *dir, const char *prefix, const atomic_int *stop,
                     int (*each)(const struct storage_object *object, void *arg), void *arg,
                     struct err *err)
{
    const struct walk walk = {dir, prefix, stop, each, arg, err};
    return walk_folder(&walk, "", 0);
}

int storage_dir_url(const struct storage_dir *dir, const char *key, struct str *url,
                    struct err *err)
{
    char *name = name_of(dir, key, err);
    if (!name)
        return err->code;
    if (!dir->public_base_url) {
        str_printf(url, "%s/%s", store_dir(dir->store), name);
    } else {
        str_puts(url, dir->public_base_url);
        if (url->data[url->len - 1] != '/')
            str_putc(url, '/');
        s3_encode(url, name, true);
    }
    free(name);
    return 0;
}
