/* The files of a library: one writer at a time by flock, readers without any lock.
 *
 * A new voice is made in a folder of another name, which is then renamed. A voice that is replaced
 * keeps its folder: its new files have names of their own (their digest is part of them), and the
 * rename of voice.json is the moment from which it is the new voice; then the old files go. So a
 * reader has one or the other: when a file that voice.json named is gone, it reads again. Whatever
 * a killed writer left is removed by the next one.
 */
#include "voice/voice_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define ENTRY_FILE "voice.json"
#define PROFILES_DIR "profiles"
#define LOCK_FILE ".voxhost.lock"
#define NEW_NAME ".voxhost-new" /* in the library and in a voice's folders: what is being written */
#define GONE_NAME ".voxhost-gone" /* what is being removed */
#define ENTRY_BYTES_MAX (1u << 20)
#define READ_TRIES_MAX 200
#define SHA_LEN 16 /* of a digest, in names */

/* --- The lock --------------------------------------------------------------------------------- */

static int lock_library(const char *dir, const atomic_int *stop, int *fd, struct err *err)
{
    const struct timespec pause = {0, 5000000};
    int64_t deadline = clock_now() + VOICE_LOCK_WAIT_S * CLOCK_S;
    char *path = fs_join(dir, LOCK_FILE);
    int result = fs_make_dirs(dir, 0777, err);
    *fd = result == 0 ? open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666) : -1;
    if (result == 0 && *fd < 0)
        result = err_set(err, ERR_STORAGE, NULL, "%s: cannot be opened: %s", path, strerror(errno));
    while (result == 0 && flock(*fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            result =
                err_set(err, ERR_STORAGE, NULL, "%s: cannot be locked: %s", path, strerror(errno));
        else if (stop && atomic_load(stop))
            result = err_set(err, ERR_CANCELLED, NULL,
                             "cancelled while another process writes to the library");
        else if (clock_now() >= deadline)
            result = err_set(err, ERR_STORAGE, NULL,
                             "%s: another process has been writing to the library for %d s", path,
                             VOICE_LOCK_WAIT_S);
        else
            nanosleep(&pause, NULL);
    }
    if (result != 0 && *fd >= 0)
        close(*fd);
    free(path);
    return result;
}

/* --- Removing --------------------------------------------------------------------------------- */

/* A folder with all that is in it, or what stands in its place; what a link leads to is not
 * ours. */
static int remove_whole(const char *path, struct err *err)
{
    return unlink(path) == 0 ? 0 : tree_remove(path, err);
}

/* What a writer that was killed left. With the lock. */
static void sweep(const char *dir)
{
    static const char *const names[] = {NEW_NAME, GONE_NAME};
    struct err none;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char *path = fs_join(dir, names[i]);
        remove_whole(path, &none);
        free(path);
    }
}

/* Removes the files of a folder for which `keep` is false; not through a link. */
static void remove_others(const char *path, bool (*keep)(const char *name, const void *arg),
                          const void *arg)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *item;
    while (dir && (item = readdir(dir)))
        if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0 &&
            !keep(item->d_name, arg))
            unlinkat(dirfd(dir), item->d_name, 0);
    if (dir)
        closedir(dir);
}

static bool is_of_entry(const char *name, const void *arg)
{
    const struct voice_entry *entry = arg;
    return strcmp(name, ENTRY_FILE) == 0 || strcmp(name, PROFILES_DIR) == 0 ||
           strcmp(name, entry->reference.name) == 0 ||
           (entry->decoded.name && strcmp(name, entry->decoded.name) == 0);
}

static bool is_of_parcel(const char *name, const void *arg)
{
    const struct voice_parcel *parcel = arg;
    for (size_t i = 0; i < parcel->profile_count; i++)
        if (strcmp(name, parcel->profiles[i].name) == 0)
            return true;
    return false;
}

int library_remove(const char *dir, const char *id, const atomic_int *stop, struct err *err)
{
    int lock, result = lock_library(dir, stop, &lock, err);
    if (result != 0)
        return result;
    sweep(dir);
    char *path = fs_join(dir, id), *gone = fs_join(dir, GONE_NAME);
    if (!library_has(dir, id))
        result = err_set(err, ERR_VOICE_NOT_FOUND, "id", "no voice \"%s\" in %s", id, dir);
    else
        result = remove_whole(gone, err); /* says why it is still there */
    if (result == 0 && rename(path, gone) != 0)
        result =
            err_set(err, ERR_STORAGE, NULL, "%s: cannot be removed: %s", path, strerror(errno));
    if (result == 0)
        result = remove_whole(gone, err);
    free(path);
    free(gone);
    close(lock);
    return result;
}

/* --- Reading ---------------------------------------------------------------------------------- */

bool library_has(const char *dir, const char *id)
{
    char *path = str_format("%s/%s/" ENTRY_FILE, dir, id);
    bool has = access(path, F_OK) == 0;
    free(path);
    return has;
}

void library_pause(int tries)
{
    enum { AT_ONCE = 3 };
    const struct timespec step = {0, CLOCK_MS};
    if (tries > AT_ONCE)
        nanosleep(&step, NULL);
}

/* Nothing is waited for that is no file: a pipe would never end. */
static int read_regular(const char *path, size_t bytes_max, struct str *bytes, struct err *err)
{
    struct stat info;
    if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
        return err_set(err, ERR_INVALID, NULL, "%s: is not a regular file", path);
    return fs_read_file(path, bytes_max, bytes, err);
}

int library_read_entry(const char *dir, const char *id, struct voice_entry *entry, struct err *err)
{
    struct str text = {0};
    char *path = str_format("%s/%s/" ENTRY_FILE, dir, id);
    *entry = (struct voice_entry){0};
    int result = read_regular(path, ENTRY_BYTES_MAX, &text, err);
    if (result != 0 && access(path, F_OK) != 0 && (errno == ENOENT || errno == ENOTDIR))
        result = err_set(err, ERR_VOICE_NOT_FOUND, "id", "no voice \"%s\" in %s", id, dir);
    if (result == 0)
        result = entry_parse(str_text(&text), text.len, path, entry, err);
    if (result == 0 && strcmp(entry->id, id) != 0) {
        result = err_set(err, ERR_INVALID, NULL, "%s: is of the voice \"%s\"", path, entry->id);
        voice_entry_finish(entry);
    }
    str_finish(&text);
    free(path);
    return result;
}

int library_read_file(const char *dir, const char *id, const struct voice_file *file,
                      struct str *bytes, struct err *err)
{
    char *path = str_format("%s/%s/%s", dir, id, file->name), hex[DIGEST_HEX_SIZE];
    int result = read_regular(path, VOICE_REFERENCE_BYTES_MAX, bytes, err);
    if (result != 0 && access(path, F_OK) != 0) {
        result = LIBRARY_GONE;
        err_set(err, ERR_STORAGE, NULL, "%s: is not there", path);
    }
    if (result == 0) {
        digest_of(str_text(bytes), bytes->len, hex);
        if (strcmp(hex, file->sha256) != 0)
            result = err_set(err, ERR_STORAGE, NULL,
                             "%s: is damaged: its SHA-256 is not the one in " ENTRY_FILE, path);
    }
    free(path);
    return result;
}

/* Appends to `parcel` what is whole. */
static void read_profiles(const char *dir, struct voice_parcel *parcel)
{
    char *path = str_format("%s/%s/" PROFILES_DIR, dir, parcel->entry.id);
    DIR *folder = opendir(path);
    struct dirent *item;
    while (folder && parcel->profile_count < VOICE_PROFILES_MAX && (item = readdir(folder))) {
        struct str *bytes = &parcel->profiles[parcel->profile_count].bytes;
        if (!profile_name_valid(item->d_name))
            continue;
        library_read_profile(dir, parcel->entry.id, item->d_name, bytes);
        if (bytes->len && profile_unpack(bytes, NULL, &(struct vox_str){0}))
            parcel->profiles[parcel->profile_count++].name = mem_copy_string(item->d_name);
        else
            str_finish(bytes);
    }
    if (folder)
        closedir(folder);
    free(path);
}

int library_read(const char *dir, const char *id, struct voice_parcel *parcel, struct err *err)
{
    int result = LIBRARY_GONE;
    for (int i = 0; i < READ_TRIES_MAX && result == LIBRARY_GONE; i++) {
        library_pause(i);
        *parcel = (struct voice_parcel){0};
        result = library_read_entry(dir, id, &parcel->entry, err);
        if (result == 0)
            result = library_read_file(dir, id, &parcel->entry.reference, &parcel->reference, err);
        if (result == 0 && parcel->entry.decoded.name)
            result = library_read_file(dir, id, &parcel->entry.decoded, &parcel->decoded, err);
        if (result == 0)
            read_profiles(dir, parcel);
        else
            parcel_finish(parcel);
    }
    if (result == 0)
        *err = (struct err){0}; /* of a try before */
    return result == LIBRARY_GONE ? (int)err->code : result;
}

/* --- Writing ---------------------------------------------------------------------------------- */

/* Under another name, then renamed. */
static int write_file(const char *dir, const char *name, const struct str *bytes, struct err *err)
{
    char *temp = fs_join(dir, NEW_NAME), *path = fs_join(dir, name);
    unlink(temp); /* what is there may be a link or a pipe, and is not written through */
    int result = fs_write_file(temp, str_text(bytes), bytes->len, err);
    if (result == 0 && rename(temp, path) != 0)
        result =
            err_set(err, ERR_STORAGE, NULL, "%s: cannot be written: %s", path, strerror(errno));
    if (result != 0)
        unlink(temp);
    free(temp);
    free(path);
    return result;
}

static int write_profiles(const char *voice_dir, const struct voice_parcel *parcel, struct err *err)
{
    char *dir = fs_join(voice_dir, PROFILES_DIR);
    int result = parcel->profile_count ? fs_make_dirs(dir, 0777, err) : 0;
    for (size_t i = 0; i < parcel->profile_count && result == 0; i++)
        result = write_file(dir, parcel->profiles[i].name, &parcel->profiles[i].bytes, err);
    free(dir);
    return result;
}

/* voice.json last. */
static int write_files(const char *voice_dir, const struct voice_parcel *parcel, struct err *err)
{
    struct str text = {0};
    int result = write_file(voice_dir, parcel->entry.reference.name, &parcel->reference, err);
    if (result == 0 && parcel->entry.decoded.name)
        result = write_file(voice_dir, parcel->entry.decoded.name, &parcel->decoded, err);
    if (result == 0)
        result = write_profiles(voice_dir, parcel, err);
    if (result == 0) {
        voice_entry_write(&parcel->entry, &text);
        str_putc(&text, '\n');
        result = write_file(voice_dir, ENTRY_FILE, &text, err);
    }
    str_finish(&text);
    return result;
}

static int write_new(const char *dir, const struct voice_parcel *parcel, struct err *err)
{
    char *temp = fs_join(dir, NEW_NAME), *path = fs_join(dir, parcel->entry.id);
    struct err none;
    int result = remove_whole(temp, err); /* says why it is still there */
    if (result == 0)
        result = fs_make_dirs(temp, 0777, err);
    if (result == 0)
        result = write_files(temp, parcel, err);
    if (result == 0 && rename(temp, path) != 0)
        result = err_set(err, ERR_STORAGE, NULL, "%s: cannot be made: %s", path,
                         errno == ENOTEMPTY || errno == EEXIST
                             ? "there is a folder of that name without a " ENTRY_FILE
                             : strerror(errno));
    if (result != 0)
        remove_whole(temp, &none);
    free(temp);
    free(path);
    return result;
}

/* What was written before it failed, where voice.json says what is not of it. */
static void undo_replace(const char *dir, const struct voice_parcel *parcel)
{
    char *path = fs_join(dir, parcel->entry.id);
    struct voice_entry old;
    struct err none;
    if (library_read_entry(dir, parcel->entry.id, &old, &none) == 0) {
        remove_others(path, is_of_entry, &old);
        voice_entry_finish(&old);
    }
    for (size_t i = 0; i < parcel->profile_count; i++) {
        char *profile = str_format("%s/" PROFILES_DIR "/%s", path, parcel->profiles[i].name);
        unlink(profile);
        free(profile);
    }
    free(path);
}

/* Also where its voice.json is damaged. */
static int replace_old(const char *dir, const struct voice_parcel *parcel, struct err *err)
{
    char *path = fs_join(dir, parcel->entry.id), *profiles = fs_join(path, PROFILES_DIR);
    int result = write_files(path, parcel, err);
    if (result == 0) {
        remove_others(path, is_of_entry, &parcel->entry);
        remove_others(profiles, is_of_parcel, parcel);
    } else {
        undo_replace(dir, parcel);
    }
    free(path);
    free(profiles);
    return result;
}

/* With the lock. */
static int check_old(const char *dir, struct voice_entry *entry, bool replace, bool is_derived,
                     struct err *err)
{
    struct voice_entry old;
    struct err none;
    int result = 0;
    if (!replace)
        return err_set(
            err, ERR_INVALID, "id",
            "there is a voice \"%s\" already; replace it (\"replace\": true, --replace) or "
            "choose another id",
            entry->id);
    if (library_read_entry(dir, entry->id, &old, &none) != 0)
        return 0;
    if (is_derived && strcmp(old.name, entry->name) != 0)
        result =
            err_set(err, ERR_INVALID, "name",
                    "\"%s\" leads to the id \"%s\", which is that of the voice \"%s\": give an id",
                    entry->name, entry->id, old.name);
    memcpy(entry->created, old.created, sizeof(entry->created));
    voice_entry_finish(&old);
    return result;
}

int library_write(const char *dir, struct voice_parcel *parcel, bool replace, bool is_derived,
                  const atomic_int *stop, struct err *err)
{
    struct voice_entry *entry = &parcel->entry;
    int lock, result = lock_library(dir, stop, &lock, err);
    if (result != 0)
        return result;
    sweep(dir);
    clock_text(entry->updated);
    if (!entry->created[0])
        memcpy(entry->created, entry->updated, sizeof(entry->created));
    if (library_has(dir, entry->id)) {
        result = check_old(dir, entry, replace, is_derived, err);
        if (result == 0)
            result = replace_old(dir, parcel, err);
    } else {
        result = write_new(dir, parcel, err);
    }
    close(lock);
    return result;
}

/* --- Profiles --------------------------------------------------------------------------------- */

void library_read_profile(const char *dir, const char *id, const char *name, struct str *bytes)
{
    struct err none;
    char *path = str_format("%s/%s/" PROFILES_DIR "/%s", dir, id, name);
    if (read_regular(path, VOX_PROFILE_SIZE_MAX + PROFILE_HEADER_MAX, bytes, &none) != 0)
        str_finish(bytes);
    free(path);
}

/* Makes room for one more: the oldest go. */
static void limit_profiles(const char *path)
{
    for (int round = 0; round < VOICE_PROFILES_MAX; round++) {
        DIR *dir = opendir(path);
        struct dirent *item;
        struct stat info;
        char oldest[NAME_MAX + 1] = "";
        struct timespec when = {0};
        size_t count = 0;
        while (dir && (item = readdir(dir))) {
            if (item->d_name[0] == '.' || fstatat(dirfd(dir), item->d_name, &info, 0) != 0)
                continue;
            count++;
            if (!oldest[0] || info.st_mtim.tv_sec < when.tv_sec ||
                (info.st_mtim.tv_sec == when.tv_sec && info.st_mtim.tv_nsec < when.tv_nsec)) {
                snprintf(oldest, sizeof(oldest), "%s", item->d_name);
                when = info.st_mtim;
            }
        }
        if (count >= VOICE_PROFILES_MAX)
            unlinkat(dirfd(dir), oldest, 0);
        if (dir)
            closedir(dir);
        if (count <= VOICE_PROFILES_MAX)
            return;
    }
}

int library_keep_profile(const char *dir, const char *id, const char *reference_sha256,
                         const char *name, const struct str *bytes, const atomic_int *stop,
                         struct err *err)
{
    struct voice_entry entry;
    int lock, result = lock_library(dir, stop, &lock, err);
    if (result != 0)
        return result;
    char *voice_dir = fs_join(dir, id), *path = fs_join(voice_dir, PROFILES_DIR);
    result = library_read_entry(dir, id, &entry, err);
    if (result == 0)
        remove_others(voice_dir, is_of_entry, &entry); /* what a killed writer left */
    if (result == 0 && strcmp(entry.reference.sha256, reference_sha256) == 0)
        result = fs_make_dirs(path, 0777, err);
    else if (result == 0)
        result = err_set(err, ERR_STORAGE, NULL, "the voice \"%s\" was replaced meanwhile", id);
    if (result == 0) {
        limit_profiles(path);
        result = write_file(path, name, bytes, err);
    }
    voice_entry_finish(&entry);
    free(voice_dir);
    free(path);
    close(lock);
    return result;
}

/* --- Parcels ---------------------------------------------------------------------------------- */

static void name_file(struct voice_file *file, const char *prefix, const char *format,
                      const struct str *bytes)
{
    free(file->name);
    file->name = NULL;
    if (!bytes->len)
        return;
    digest_of(bytes->data, bytes->len, file->sha256);
    file->bytes = bytes->len;
    file->name = str_format("%s-%.*s.%s", prefix, SHA_LEN, file->sha256, format);
}

void parcel_name_files(struct voice_parcel *parcel)
{
    snprintf(parcel->entry.format, sizeof(parcel->entry.format), "%s",
             reference_format(parcel->reference.data, parcel->reference.len));
    name_file(&parcel->entry.reference, "reference", parcel->entry.format, &parcel->reference);
    name_file(&parcel->entry.decoded, "decoded", "flac", &parcel->decoded);
}

void parcel_finish(struct voice_parcel *parcel)
{
    voice_entry_finish(&parcel->entry);
    str_finish(&parcel->reference);
    str_finish(&parcel->decoded);
    for (size_t i = 0; i < parcel->profile_count; i++) {
        free(parcel->profiles[i].name);
        str_finish(&parcel->profiles[i].bytes);
    }
    parcel->profile_count = 0;
}
