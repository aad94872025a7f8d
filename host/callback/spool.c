/* Callbacks on disk. DIR/ID.json is a dead letter. What is under way lies in DIR/.sending-XXXX/,
 * whose file `lock` its process holds for as long as it lives; whoever finds such a folder with a
 * free lock moves what is in it to DIR. So every callback is in exactly one place, and moves by
 * rename. Knows no network.
 */
#include "callback/callback_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define OWN_PREFIX ".sending-"
#define LOCK_NAME "lock"
#define ENDING ".json"
#define RECORD_BYTES_MAX (8u << 20) /* a body, with every character of it escaped */
#define RECORDS_MAX 1000000
#define FOLDER_TRIES_MAX 100

struct spool {
    char *dir, *own; /* own: the private folder */
    int lock_fd;
};

static bool is_id(const char *text)
{
    size_t len = strlen(text);
    return len > 0 && len <= CALLBACK_ID_SIZE_MAX && text[0] != '.' &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len;
}

static char *path_in(const char *dir, const char *id, const char *ending)
{
    return str_format("%s/%s%s", dir, id, ending);
}

static int fail(struct err *err, const char *path, const char *what)
{
    return err_set(err, ERR_STORAGE, NULL, "%s: cannot be %s: %s", path, what, strerror(errno));
}

/* --- Records ---------------------------------------------------------------------------------- */

static void put_text(struct str *out, const char *key, const char *text)
{
    str_printf(out, ",\"%s\":", key);
    json_write_string(out, text, strlen(text));
}

static void record_write(const struct callback *callback, struct str *out)
{
    str_puts(out, "{\"version\":1");
    put_text(out, "id", callback->id);
    put_text(out, "job_id", callback->job_id);
    put_text(out, "kind", callback->is_error ? "error" : "success");
    put_text(out, "url", callback->url);
    put_text(out, "created", callback->created);
    str_printf(out, ",\"attempts\":%lld", (long long)callback->attempts);
    if (callback->last_error)
        put_text(out, "last_error", callback->last_error);
    str_puts(out, ",\"body\":");
    json_write_string(out, str_text(&callback->body), callback->body.len);
    str_puts(out, "}\n");
}

static const char *text_of(const cJSON *json, const char *key)
{
    const cJSON *value = json_get(json, key);
    return cJSON_IsString(value) ? value->valuestring : NULL;
}

static struct callback *record_read(const cJSON *json, const char *id)
{
    int64_t version = 0, attempts = 0;
    const char *job_id = text_of(json, "job_id"), *url = text_of(json, "url"),
               *kind = text_of(json, "kind"), *body = text_of(json, "body"),
               *created = text_of(json, "created"), *last_error = text_of(json, "last_error");
    const cJSON *count = json_get(json, "attempts"), *number = json_get(json, "version");
    if (!job_id || !url || !kind || !body || !created || !count || !number ||
        !json_int64(number, &version) || version != 1 || !json_int64(count, &attempts) ||
        !manifest_callback_url_valid(url))
        return NULL;
    struct callback *callback = mem_alloc(sizeof(*callback));
    callback->id = mem_copy_string(id);
    callback->job_id = mem_copy_string(job_id);
    callback->url = mem_copy_string(url);
    str_puts(&callback->body, body);
    callback->is_error = strcmp(kind, "error") == 0;
    snprintf(callback->created, sizeof(callback->created), "%s", created);
    callback->attempts = attempts;
    callback->last_error = mem_copy_string(last_error);
    callback->kept = true;
    return callback;
}

int spool_read(const char *path, struct callback **callback, struct err *err)
{
    const struct json_limits limits = {RECORD_BYTES_MAX, 100, 4};
    struct str text = {0};
    cJSON *json = NULL;
    const char *name = fs_name_of(path);
    char *id = mem_copy_text(name, strlen(name) - strlen(ENDING));
    *callback = NULL;
    int result = fs_read_file(path, RECORD_BYTES_MAX, &text, err);
    if (result == 0) {
        json = json_parse(str_text(&text), text.len, &limits, err);
        *callback = cJSON_IsObject(json) ? record_read(json, id) : NULL;
        if (!json)
            err_prefix(err, "%s", path);
        else if (!*callback)
            err_set(err, ERR_INVALID, NULL, "%s: is no record of a callback", path);
        result = *callback ? 0 : ERR_INVALID;
    }
    cJSON_Delete(json);
    str_finish(&text);
    free(id);
    return result;
}

/* Under another name in our folder first. */
static int record_place(const struct spool *spool, const struct callback *callback,
                        const char *path, struct err *err)
{
    struct str text = {0};
    char *temp = path_in(spool->own, callback->id, ".part");
    record_write(callback, &text);
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int result = fd >= 0 && fs_write_all(fd, text.data, text.len) == 0 ? 0 : -1;
    if (result != 0)
        fail(err, temp, "written");
    if (fd >= 0 && close(fd) != 0 && result == 0)
        result = fail(err, temp, "written");
    if (result == 0 && rename(temp, path) != 0)
        result = fail(err, path, "written");
    if (result != 0)
        unlink(temp);
    free(temp);
    str_finish(&text);
    return result == 0 ? 0 : ERR_STORAGE;
}

/* --- Folders of processes --------------------------------------------------------------------- */

/* Moves every record of a dead process's folder. */
static size_t folder_empty(const char *dir, const char *own)
{
    size_t moved = 0, left = 0;
    DIR *folder = opendir(own);
    const struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        size_t len = strlen(entry->d_name);
        if (len <= strlen(ENDING) || strcmp(entry->d_name + len - strlen(ENDING), ENDING) != 0)
            continue;
        char *from = fs_join(own, entry->d_name), *to = fs_join(dir, entry->d_name);
        if (rename(from, to) == 0)
            moved++;
        else
            left++;
        free(from);
        free(to);
    }
    if (folder)
        closedir(folder);
    if (left == 0)
        fs_remove_flat_dir(own);
    return moved;
}

/* Its lock is free or was never made: its process is gone, or about to lock it and then finds that
 * it is away. */
static size_t folder_adopt(const char *dir, const char *name)
{
    char *own = fs_join(dir, name), *lock = fs_join(own, LOCK_NAME);
    size_t moved = 0;
    int fd = open(lock, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        rmdir(own); /* fails unless it is empty */
    else if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        moved = folder_empty(dir, own);
    if (fd >= 0)
        close(fd);
    free(lock);
    free(own);
    return moved;
}

size_t spool_adopt(const char *path)
{
    size_t moved = 0;
    DIR *dir = opendir(path);
    const struct dirent *entry;
    while (dir && (entry = readdir(dir)))
        if (strncmp(entry->d_name, OWN_PREFIX, strlen(OWN_PREFIX)) == 0)
            moved += folder_adopt(path, entry->d_name);
    if (dir)
        closedir(dir);
    return moved;
}

/* 1; 0 when another process took the folder for a dead one's before its lock was held; -1 with
 * errno. */
static int folder_lock(struct spool *spool)
{
    struct stat ours, named;
    char *lock = fs_join(spool->own, LOCK_NAME);
    int result = -1;
    if (mkdir(spool->own, 0700) == 0) {
        spool->lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (spool->lock_fd < 0)
            result = errno == ENOENT ? 0 : -1;
        else if (flock(spool->lock_fd, LOCK_EX | LOCK_NB) != 0)
            result = errno == EWOULDBLOCK ? 0 : -1;
        else
            result = fstat(spool->lock_fd, &ours) == 0 && stat(lock, &named) == 0 &&
                     ours.st_ino == named.st_ino;
    }
    free(lock);
    return result;
}

int spool_open(const char *dir, struct spool **out, size_t *adopted, struct err *err)
{
    struct spool *spool = mem_alloc(sizeof(*spool));
    int state = 0, result = fs_make_dirs(dir, 0700, err);
    spool->dir = mem_copy_string(dir);
    spool->lock_fd = -1;
    *adopted = result == 0 ? spool_adopt(dir) : 0;
    for (int i = 0; i < FOLDER_TRIES_MAX && result == 0 && state == 0; i++) {
        if (spool->lock_fd >= 0)
            close(spool->lock_fd);
        spool->lock_fd = -1;
        free(spool->own);
        spool->own = str_format("%s/" OWN_PREFIX "%016llx", dir, (unsigned long long)random_u64());
        state = folder_lock(spool);
    }
    if (result == 0 && state != 1) {
        result = fail(err, spool->own, "made and locked");
        fs_remove_flat_dir(spool->own);
        free(spool->own);
        spool->own = NULL;
    }
    if (result != 0) {
        spool_close(spool);
        spool = NULL;
    }
    *out = spool;
    return result;
}

void spool_close(struct spool *spool)
{
    if (!spool)
        return;
    if (spool->own)
        folder_empty(spool->dir, spool->own);
    if (spool->lock_fd >= 0)
        close(spool->lock_fd);
    free(spool->own);
    free(spool->dir);
    free(spool);
}

/* --- Callbacks -------------------------------------------------------------------------------- */

int spool_keep(struct spool *spool, const struct callback *callback, struct err *err)
{
    char *path = path_in(spool->own, callback->id, ENDING);
    int result = record_place(spool, callback, path, err);
    free(path);
    return result;
}

void spool_drop(struct spool *spool, const struct callback *callback)
{
    char *path = path_in(spool->own, callback->id, ENDING);
    char *letter = path_in(spool->dir, callback->id, ENDING);
    if (unlink(path) != 0)
        unlink(letter); /* a process that cannot see our lock took it for a dead one's */
    free(letter);
    free(path);
}

int spool_bury(struct spool *spool, const struct callback *callback, struct err *err)
{
    char *path = path_in(spool->own, callback->id, ENDING);
    char *letter = path_in(spool->dir, callback->id, ENDING);
    int result = record_place(spool, callback, letter, err);
    if (result == 0)
        unlink(path);
    else if (callback->kept && rename(path, letter) == 0)
        result = 0; /* as it was, without what went wrong */
    free(letter);
    free(path);
    return result;
}

int spool_claim(struct spool *spool, const char *id, struct callback **callback, struct err *err)
{
    if (!is_id(id))
        return err_set(err, ERR_INVALID, "id", "expected the id of a dead letter, got \"%.60s\"",
                       id);
    char *letter = path_in(spool->dir, id, ENDING), *path = path_in(spool->own, id, ENDING);
    int result = 0;
    if (rename(letter, path) != 0)
        result = errno == ENOENT ? err_set(err, ERR_INVALID, "id",
                                           "there is no dead letter \"%s\" in %s", id, spool->dir)
                                 : fail(err, letter, "taken");
    else if ((result = spool_read(path, callback, err)) != 0 && rename(path, letter) != 0)
        fail(err, path, "put back");
    free(path);
    free(letter);
    return result;
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

int spool_ids(const char *path, struct text_list *ids, struct err *err)
{
    const struct dirent *entry;
    DIR *dir = opendir(path);
    if (!dir)
        return errno == ENOENT ? 0 : fail(err, path, "read");
    while ((entry = readdir(dir)) && ids->count < RECORDS_MAX) {
        size_t len = strlen(entry->d_name);
        if (len <= strlen(ENDING) || strcmp(entry->d_name + len - strlen(ENDING), ENDING) != 0)
            continue;
        char *id = mem_copy_text(entry->d_name, len - strlen(ENDING));
        if (is_id(id))
            text_list_add(ids, id);
        else
            free(id);
    }
    closedir(dir);
    if (ids->count)
        qsort(ids->items, ids->count, sizeof(*ids->items), compare);
    return 0;
}

void callback_destroy(struct callback *callback)
{
    if (!callback)
        return;
    free(callback->id);
    free(callback->job_id);
    free(callback->url);
    free(callback->last_error);
    str_finish(&callback->body);
    free(callback);
}
