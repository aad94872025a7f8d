/* Callbacks on disk. DIR/ID.json is a dead letter. What is under way lies in DIR/.sending-XXXX/,
 * the folder of one process (own_dir); whoever finds such a folder of a dead one moves what is in
 * it to DIR. So every callback is in exactly one place, and moves by rename. Knows no network.
 */
#include "callback/callback_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define OWN_PREFIX ".sending-"
#define ENDING ".json"
#define COUNT_AGAIN_AFTER 1000 /* letters of ours; others bury there too */

struct spool {
    char *dir;
    size_t letters_max;
    int64_t keep_free_mb;
    pthread_mutex_t lock;
    /* guarded by lock */
    struct own_dir own;
    size_t count, buried; /* letters when they were last counted, and ours since then */
};

static char *path_in(const char *dir, const char *id, const char *ending)
{
    return str_format("%s/%s%s", dir, id, ending);
}

static char *letter_path(const struct spool *spool, const char *id)
{
    return path_in(spool->dir, id, ENDING);
}

static char *own_path(struct spool *spool, const char *id, const char *ending)
{
    pthread_mutex_lock(&spool->lock);
    char *path = path_in(spool->own.path, id, ending);
    pthread_mutex_unlock(&spool->lock);
    return path;
}

static int fail(struct err *err, const char *path, const char *what)
{
    return err_set(err, ERR_STORAGE, NULL, "%s: cannot be %s: %s", path, what, strerror(errno));
}

/* --- Records ---------------------------------------------------------------------------------- */

int spool_read(const char *dir, const char *id, struct callback **callback, struct err *err)
{
    struct str text = {0};
    char *path = path_in(dir, id, ENDING);
    *callback = NULL;
    int result = fs_read_file(path, RECORD_BYTES_MAX, &text, err);
    if (result == 0)
        result = record_read(&text, id, path, callback, err);
    if (result == 0)
        (*callback)->kept = true;
    str_finish(&text);
    free(path);
    return result;
}

static int write_new(const char *path, const struct str *text, struct err *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int result = fd >= 0 && fs_write_all(fd, text->data, text->len) == 0 ? 0 : -1;
    if (result != 0)
        fail(err, path, "written");
    if (fd >= 0 && close(fd) != 0 && result == 0)
        result = fail(err, path, "written");
    return result == 0 ? 0 : ERR_STORAGE;
}

/* Somebody swept our folder away, as cleaners of temporary files do. */
static bool make_own_again(struct spool *spool, const char *path)
{
    struct err ignored = {0};
    pthread_mutex_lock(&spool->lock);
    bool is_ours = strncmp(path, spool->own.path, strlen(spool->own.path)) == 0;
    if (is_ours && access(spool->own.path, F_OK) != 0 && errno == ENOENT &&
        fs_make_dirs(spool->dir, 0700, &ignored) == 0) {
        struct own_dir fresh;
        if (own_dir_make(spool->dir, OWN_PREFIX, &fresh, &ignored) == 0) {
            own_dir_leave(&spool->own);
            spool->own = fresh;
        }
    }
    bool is_there = access(spool->own.path, F_OK) == 0;
    pthread_mutex_unlock(&spool->lock);
    return is_there;
}

/* In our folder, under another name first. */
static int record_place(struct spool *spool, const struct callback *callback, struct err *err)
{
    struct str text = {0};
    char *temp = own_path(spool, callback->id, ".part");
    record_write(callback, &text);
    int result = fs_check_room(spool->dir, text.len, spool->keep_free_mb, NULL, err);
    if (result == 0 && (result = write_new(temp, &text, err)) != 0 && make_own_again(spool, temp)) {
        free(temp);
        temp = own_path(spool, callback->id, ".part");
        result = write_new(temp, &text, err);
    }
    char *path = own_path(spool, callback->id, ENDING);
    if (result == 0 && rename(temp, path) != 0)
        result = fail(err, path, "written");
    if (result != 0)
        unlink(temp);
    free(path);
    free(temp);
    str_finish(&text);
    return result;
}

/* --- Folders of processes --------------------------------------------------------------------- */

struct adoption {
    const char *dir;
    size_t moved;
};

static bool has_ending(const char *name)
{
    size_t len = strlen(name);
    return len > strlen(ENDING) && strcmp(name + len - strlen(ENDING), ENDING) == 0;
}

/* Moves every record of a folder that nobody uses, and removes the folder. */
static void folder_empty(const char *own, void *arg)
{
    struct adoption *adoption = arg;
    struct err ignored = {0};
    size_t left = 0;
    DIR *folder = opendir(own);
    const struct dirent *entry;
    while (folder && (entry = readdir(folder))) {
        if (!has_ending(entry->d_name))
            continue;
        char *from = fs_join(own, entry->d_name), *to = fs_join(adoption->dir, entry->d_name);
        if (rename(from, to) == 0)
            adoption->moved++;
        else
            left++;
        free(from);
        free(to);
    }
    if (folder && left == 0)
        tree_remove(own, &ignored); /* else the next process tries again */
    if (folder)
        closedir(folder);
}

size_t spool_adopt(const char *dir)
{
    struct adoption adoption = {dir, 0};
    own_dir_each_dead(dir, OWN_PREFIX, folder_empty, &adoption);
    return adoption.moved;
}

int spool_open(const struct callback_options *options, struct spool **out, size_t *adopted,
               struct err *err)
{
    struct spool *spool = mem_alloc(sizeof(*spool));
    const char *dir = options->manifest->letters_dir;
    struct found_list letters = {0};
    *out = NULL;
    *adopted = 0;
    spool->dir = mem_copy_string(dir);
    spool->letters_max = options->letters_max ? options->letters_max : CALLBACK_LETTERS_MAX;
    spool->keep_free_mb = options->min_free_mb / 2;
    sync_mutex_init(&spool->lock);
    int result = fs_make_dirs(dir, 0700, err);
    if (result == 0)
        *adopted = spool_adopt(dir);
    if (result == 0)
        result = own_dir_make(dir, OWN_PREFIX, &spool->own, err);
    if (result == 0)
        result = spool_find(dir, &letters, err);
    spool->count = letters.count;
    found_list_finish(&letters);
    if (result == 0)
        *out = spool;
    else
        spool_close(spool);
    return result;
}

void spool_close(struct spool *spool)
{
    if (!spool)
        return;
    struct adoption rest = {spool->dir, 0};
    if (spool->own.path)
        folder_empty(spool->own.path, &rest);
    own_dir_leave(&spool->own); /* with what could not be moved */
    pthread_mutex_destroy(&spool->lock);
    free(spool->dir);
    free(spool);
}

/* --- Callbacks -------------------------------------------------------------------------------- */

int spool_keep(struct spool *spool, struct callback *callback, struct err *err)
{
    int result = record_place(spool, callback, err);
    callback->kept = result == 0;
    return result;
}

void spool_drop(struct spool *spool, const struct callback *callback)
{
    char *path = own_path(spool, callback->id, ENDING);
    char *letter = letter_path(spool, callback->id);
    if (unlink(path) != 0)
        unlink(letter); /* a process that cannot see our lock took it for a dead one's */
    free(letter);
    free(path);
}

/* Removes the oldest letters when there are too many: a tenth at a time, so that not every new one
 * counts all others. */
static size_t remove_oldest(struct spool *spool, struct found_list *letters)
{
    size_t removed = 0, excess = 0;
    found_list_sort(letters);
    if (letters->count > spool->letters_max)
        excess = letters->count - spool->letters_max + spool->letters_max / 10;
    for (size_t i = 0; i < letters->count && removed < excess; i++) {
        if (record_id_time(letters->items[i].id) < 0)
            continue; /* somebody put it there */
        char *path = letter_path(spool, letters->items[i].id);
        removed += unlink(path) == 0;
        free(path);
    }
    return removed;
}

static size_t make_room(struct spool *spool)
{
    struct found_list letters = {0};
    struct err ignored = {0};
    size_t removed = 0;
    pthread_mutex_lock(&spool->lock);
    bool is_time =
        ++spool->buried >= COUNT_AGAIN_AFTER || spool->count + spool->buried > spool->letters_max;
    if (is_time && spool_find(spool->dir, &letters, &ignored) == 0) {
        removed = remove_oldest(spool, &letters);
        spool->count = letters.count - removed;
        spool->buried = 0;
    }
    pthread_mutex_unlock(&spool->lock);
    found_list_finish(&letters);
    return removed;
}

int spool_bury(struct spool *spool, const struct callback *callback, size_t *dropped,
               struct err *err)
{
    int result = record_place(spool, callback, err);
    char *path = own_path(spool, callback->id, ENDING);
    char *letter = letter_path(spool, callback->id);
    bool is_here = result == 0 || callback->kept; /* perhaps without what went wrong */
    if (is_here && (rename(path, letter) == 0 || access(letter, F_OK) == 0))
        result = 0;
    else if (result == 0)
        result = fail(err, letter, "written");
    *dropped = result == 0 ? make_room(spool) : 0;
    free(letter);
    free(path);
    return result;
}

int spool_claim(struct spool *spool, const char *id, struct callback **callback, struct err *err)
{
    *callback = NULL;
    if (!record_id_valid(id))
        return err_set(err, ERR_INVALID, "id", "expected the id of a dead letter, got \"%.60s\"",
                       id);
    char *letter = letter_path(spool, id), *path = own_path(spool, id, ENDING);
    char *own = fs_dir_of(path);
    int result = 0;
    if (rename(letter, path) != 0)
        result = errno == ENOENT ? err_set(err, ERR_INVALID, "id",
                                           "there is no dead letter \"%s\" in %s", id, spool->dir)
                                 : fail(err, letter, "taken");
    else if ((result = spool_read(own, id, callback, err)) != 0 && rename(path, letter) != 0)
        fail(err, path, "put back");
    free(own);
    free(path);
    free(letter);
    return result;
}

void spool_return(struct spool *spool, const struct callback *callback)
{
    char *letter = letter_path(spool, callback->id);
    char *path = own_path(spool, callback->id, ENDING);
    rename(path, letter); /* else spool_close or the next process does */
    free(path);
    free(letter);
}

int spool_find(const char *dir, struct found_list *list, struct err *err)
{
    const struct dirent *entry;
    struct stat info;
    DIR *folder = opendir(dir);
    if (!folder)
        return errno == ENOENT ? 0 : fail(err, dir, "read");
    while ((entry = readdir(folder)) && list->count < RECORDS_MAX) {
        bool is_file = entry->d_type == DT_REG && !list->with_sizes;
        info.st_size = 0;
        if (!has_ending(entry->d_name) ||
            (!is_file && (fstatat(dirfd(folder), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 ||
                          !S_ISREG(info.st_mode))))
            continue;
        char *id = mem_copy_text(entry->d_name, strlen(entry->d_name) - strlen(ENDING));
        if (record_id_valid(id))
            found_list_add(list, id, (uint64_t)info.st_size, false);
        else
            free(id);
    }
    closedir(folder);
    return 0;
}
