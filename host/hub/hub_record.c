/* voxhost-pull.json: what was pulled into a directory, from where, under which licence, with the
 * size, SHA-256 and time of change of each file, and the comparison of the directory with it, which
 * notes `"wrong": true` at a file whose content is another. Asks no hub. */
#include "hub/hub_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RECORD_BYTES_MAX (32u << 20)
#define RECORD_VERSION 1

static const cJSON *sources_of(const cJSON *record)
{
    const cJSON *sources = json_get(record, "sources");
    return sources ? sources->child : NULL;
}

/* --- Reading ---------------------------------------------------------------------------------- */

static bool file_good(const cJSON *file)
{
    int64_t size;
    const char *path = json_text(file, "path"), *sha256 = json_text(file, "sha256");
    return path && fs_path_is_inside(path) && json_text(file, "from") && sha256 &&
           strlen(sha256) == HUB_DIGEST_SIZE - 1 && hub_digest_valid(sha256) &&
           json_int64(json_get(file, "size"), &size) && size >= 0;
}

static bool record_good(const cJSON *record)
{
    const cJSON *source, *file;
    int64_t version;
    if (!json_int64(json_get(record, "version"), &version) || version != RECORD_VERSION ||
        !cJSON_IsArray(json_get(record, "sources")))
        return false;
    cJSON_ArrayForEach(source, json_get(record, "sources"))
    {
        if (!json_text(source, "repo") || !json_text(source, "commit") ||
            !cJSON_IsArray(json_get(source, "files")))
            return false;
        cJSON_ArrayForEach(file, json_get(source, "files")) if (!file_good(file)) return false;
    }
    return true;
}

int hub_record_read(const char *dir, cJSON **record, struct err *err)
{
    const struct json_limits limits = {RECORD_BYTES_MAX, (size_t)16 * HUB_FILES_MAX, 16};
    struct str text = {0};
    char *path = fs_join(dir, HUB_RECORD);
    int result = 0;
    *record = NULL;
    if (access(path, F_OK) != 0 && errno == ENOENT)
        goto out;
    result = fs_read_file(path, RECORD_BYTES_MAX, &text, err);
    if (result != 0)
        goto out;
    *record = json_parse(str_text(&text), text.len, &limits, err);
    if (*record && record_good(*record))
        goto out;
    result = err_set(
        err, ERR_STORAGE, NULL,
        "%s: is no record of a pull (damaged?): remove it, and pull again to have the files "
        "checked and recorded",
        path);
    cJSON_Delete(*record);
    *record = NULL;
out:
    str_finish(&text);
    free(path);
    return result;
}

static cJSON *find_file(const cJSON *record, const char *local)
{
    for (const cJSON *source = sources_of(record); source; source = source->next) {
        cJSON *file;
        cJSON_ArrayForEach(file, json_get(source, "files"))
        {
            if (strcmp(json_text(file, "path"), local) == 0)
                return file;
        }
    }
    return NULL;
}

const char *hub_record_sha256(const cJSON *record, const char *local)
{
    return json_text(find_file(record, local), "sha256");
}

static bool noted_wrong(const cJSON *file)
{
    return cJSON_IsTrue(json_get(file, "wrong"));
}

/* Is it the time in the record, or what archives keep of it: whole seconds? */
static bool has_time(const cJSON *file, int64_t mtime_ns)
{
    int64_t recorded;
    return json_int64(json_get(file, "mtime_unix_ns"), &recorded) &&
           (recorded == mtime_ns ||
            (mtime_ns % CLOCK_S == 0 && recorded / CLOCK_S == mtime_ns / CLOCK_S));
}

bool hub_record_believed(const cJSON *record, const char *local, const struct stat *info,
                         struct hub_digests *digests)
{
    const cJSON *file = find_file(record, local);
    const char *git = json_text(file, "git_sha1");
    int64_t size;
    if (!file || noted_wrong(file) || !json_int64(json_get(file, "size"), &size) ||
        size != info->st_size ||
        !has_time(file, (int64_t)info->st_mtim.tv_sec * CLOCK_S + info->st_mtim.tv_nsec))
        return false;
    memcpy(digests->sha256, json_text(file, "sha256"), sizeof(digests->sha256));
    if (git && strlen(git) < sizeof(digests->git))
        memcpy(digests->git, git, strlen(git) + 1);
    return true;
}

/* --- Writing ---------------------------------------------------------------------------------- */

/* Forgets a file, and its source when that has no other. */
static void forget_file(cJSON *sources, const char *local)
{
    for (cJSON *source = sources->child, *next; source; source = next) {
        cJSON *files = cJSON_GetObjectItemCaseSensitive(source, "files");
        next = source->next;
        for (cJSON *file = files->child, *after; file; file = after) {
            after = file->next;
            if (strcmp(json_text(file, "path"), local) == 0)
                cJSON_Delete(cJSON_DetachItemViaPointer(files, file));
        }
        if (!files->child)
            cJSON_Delete(cJSON_DetachItemViaPointer(sources, source));
    }
}

static cJSON *source_of(cJSON *sources, const char *endpoint, const struct hub_item *item)
{
    const struct hub_listing *listing = item->listing;
    char date[CLOCK_TEXT_SIZE];
    cJSON *source;
    cJSON_ArrayForEach(source, sources)
    {
        if (strcmp(json_text(source, "repo"), listing->repo) == 0 &&
            strcmp(json_text(source, "commit"), listing->commit) == 0)
            return source;
    }
    clock_text(date);
    source = cJSON_CreateObject();
    cJSON_AddStringToObject(source, "repo", listing->repo);
    cJSON_AddStringToObject(source, "revision", listing->revision);
    cJSON_AddStringToObject(source, "commit", listing->commit);
    cJSON_AddStringToObject(source, "endpoint", endpoint);
    cJSON_AddStringToObject(source, "licence", item->licence);
    cJSON_AddStringToObject(source, "date", date);
    cJSON_AddArrayToObject(source, "files");
    cJSON_AddItemToArray(sources, source);
    return source;
}

static void add_item(cJSON *sources, const char *endpoint, const struct hub_item *item)
{
    cJSON *entry = cJSON_CreateObject();
    forget_file(sources, item->local);
    cJSON *source = source_of(sources, endpoint, item);
    cJSON_AddStringToObject(entry, "path", item->local);
    cJSON_AddStringToObject(entry, "from", item->file->path);
    cJSON_AddItemToObject(entry, "size", json_create_int64((int64_t)item->file->size));
    cJSON_AddStringToObject(entry, "sha256", item->sha256);
    cJSON_AddItemToObject(entry, "mtime_unix_ns", json_create_int64(item->mtime_ns));
    if (strlen(item->file->digest) != HUB_DIGEST_SIZE - 1)
        cJSON_AddStringToObject(entry, "git_sha1", item->file->digest);
    cJSON_AddItemToArray(cJSON_GetObjectItemCaseSensitive(source, "files"), entry);
}

/* Are these still the files that were checked? */
static int check_inodes(const char *dir, const struct hub_item *items, size_t count,
                        struct err *err)
{
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++) {
        struct stat info;
        char *path = fs_join(dir, items[i].local);
        if (stat(path, &info) != 0 || (uint64_t)info.st_ino != items[i].inode)
            result = err_set(err, ERR_STORAGE, NULL,
                             "%s: was replaced meanwhile: does another pull bring another revision "
                             "here? Pull again",
                             path);
        free(path);
    }
    return result;
}

/* Is this what the record says already? Then it is not written: the disk may not take it. *times:
 * are the times of change, too? */
static bool holds_all(const cJSON *record, const struct hub_item *items, size_t count, bool *times)
{
    bool all = record;
    *times = true;
    for (size_t i = 0; i < count && all; i++) {
        const cJSON *source, *file, *found = NULL;
        cJSON_ArrayForEach(source, json_get(record, "sources"))
        {
            if (strcmp(json_text(source, "repo"), items[i].listing->repo) != 0 ||
                strcmp(json_text(source, "commit"), items[i].listing->commit) != 0)
                continue;
            cJSON_ArrayForEach(file, json_get(source, "files")) if (strcmp(json_text(file, "path"),
                                                                           items[i].local) == 0)
                found = file;
        }
        all = found && !noted_wrong(found) &&
              strcmp(json_text(found, "sha256"), items[i].sha256) == 0;
        *times = *times && has_time(found, items[i].mtime_ns);
    }
    return all;
}

/* Locks the record of `dir`, reads it, lets `edit` change it (NULL: there is none yet) and puts it
 * in place. */
static int edit_record(const char *dir,
                       int (*edit)(cJSON **record, const void *arg, struct err *err),
                       const void *arg, struct err *err)
{
    struct str text = {0};
    cJSON *record = NULL;
    char *path = fs_join(dir, HUB_RECORD), *fresh = str_format("%s.part", path);
    int fd = -1, result = hub_lock_wait(fresh, &fd, err);
    if (result > 0)
        result = hub_record_read(dir, &record, err);
    if (result == 0)
        result = edit(&record, arg, err);
    if (result != 0)
        goto out;
    json_write(&text, record);
    str_putc(&text, '\n');
    if (ftruncate(fd, 0) != 0 || fs_write_all(fd, text.data, text.len) != 0 || fsync(fd) != 0 ||
        rename(fresh, path) != 0)
        result =
            err_set(err, ERR_STORAGE, NULL, "%s: cannot be written: %s", path, strerror(errno));
out:
    if (fd >= 0 && result != 0)
        unlink(fresh);
    if (fd >= 0)
        close(fd);
    cJSON_Delete(record);
    str_finish(&text);
    free(path);
    free(fresh);
    return result;
}

struct addition {
    const char *dir, *endpoint;
    const struct hub_item *items;
    size_t count;
};

static int add_items(cJSON **record, const void *arg, struct err *err)
{
    const struct addition *addition = arg;
    int result = check_inodes(addition->dir, addition->items, addition->count, err);
    if (result != 0)
        return result;
    if (!*record) {
        *record = cJSON_CreateObject();
        cJSON_AddItemToObject(*record, "version", json_create_int64(RECORD_VERSION));
        cJSON_AddArrayToObject(*record, "sources");
    }
    for (size_t i = 0; i < addition->count; i++)
        add_item(cJSON_GetObjectItemCaseSensitive(*record, "sources"), addition->endpoint,
                 &addition->items[i]);
    return 0;
}

int hub_record_write(const char *dir, const char *endpoint, const struct hub_item *items,
                     size_t count, struct err *err)
{
    const struct addition addition = {dir, endpoint, items, count};
    cJSON *record = NULL;
    bool times;
    int result = hub_record_read(dir, &record, err);
    bool all = holds_all(record, items, count, &times);
    cJSON_Delete(record);
    if (result == 0 && !(all && times))
        result = edit_record(dir, add_items, &addition, err);
    return all ? 0 : result; /* without the times the files are read again, no more */
}

/* --- Verifying -------------------------------------------------------------------------------- */

/* *wrong: what is wrong with a file, in `buf`, or NULL. 1: it was read. */
static int check_file(const char *dir, const struct hub_check *check, const cJSON *file, char *buf,
                      size_t buf_size, const char **wrong, struct err *err)
{
    struct stat info;
    struct hub_digests digests;
    int64_t size = 0;
    int result = 0;
    char *path = fs_join(dir, json_text(file, "path"));
    json_int64(json_get(file, "size"), &size);
    buf[0] = '\0';
    if (stat(path, &info) != 0) {
        snprintf(buf, buf_size, "%s", errno == ENOENT ? "is missing" : strerror(errno));
    } else if (!S_ISREG(info.st_mode)) {
        snprintf(buf, buf_size, "is no file");
    } else if (info.st_size != size) {
        snprintf(buf, buf_size, "has %lld bytes, expected %lld", (long long)info.st_size,
                 (long long)size);
    } else if (check->sizes_only && noted_wrong(file)) {
        snprintf(buf, buf_size, "is not as recorded, as voxhost pull --verify found");
    } else if (!check->sizes_only) {
        result = hub_hash_file(path, "", check->stop, &digests, err);
        if (result == 0 && strcmp(digests.sha256, json_text(file, "sha256")) != 0)
            snprintf(buf, buf_size, "has the SHA-256 %s, expected %s", digests.sha256,
                     json_text(file, "sha256"));
        if (result == ERR_STORAGE) { /* says it all, and others are still to be looked at */
            snprintf(buf, buf_size, "cannot be read: %s", err->message);
            result = 0;
        }
        result = result == 0 ? 1 : result;
    }
    *wrong = buf[0] ? buf : NULL;
    free(path);
    return result;
}

static bool source_asked(const struct hub_check *check, const cJSON *source)
{
    const char *revision = json_text(source, "revision");
    if (check->repo && strcmp(check->repo, json_text(source, "repo")) != 0)
        return false;
    return !check->revision || strcmp(check->revision, json_text(source, "commit")) == 0 ||
           (revision && strcmp(check->revision, revision) == 0);
}

struct notes { /* entries of the record as it was read, in which "wrong" changed */
    cJSON **files;
    size_t count;
};

static void set_wrong(cJSON *file, bool wrong)
{
    cJSON_DeleteItemFromObjectCaseSensitive(file, "wrong");
    if (wrong)
        cJSON_AddTrueToObject(file, "wrong");
}

static void add_note(struct notes *notes, cJSON *file, bool wrong)
{
    if (noted_wrong(file) == wrong)
        return;
    set_wrong(file, wrong);
    notes->files = mem_resize(notes->files, notes->count + 1, sizeof(*notes->files));
    notes->files[notes->count++] = file;
}

/* What another pull has recorded anew meanwhile is left alone. */
static int write_notes(cJSON **record, const void *arg, struct err *err)
{
    const struct notes *notes = arg;
    for (size_t i = 0; i < notes->count && *record; i++) {
        const cJSON *note = notes->files[i];
        cJSON *file = find_file(*record, json_text(note, "path"));
        if (file && strcmp(json_text(file, "sha256"), json_text(note, "sha256")) == 0)
            set_wrong(file, noted_wrong(note));
    }
    return *record ? 0 : err_set(err, ERR_STORAGE, NULL, HUB_RECORD " was removed meanwhile");
}

int hub_verify(const char *dir, const struct hub_check *check, size_t *checked, size_t *bad,
               struct err *err)
{
    cJSON *record = NULL;
    struct notes notes = {0};
    struct err why = {0};
    char buf[sizeof(err->message) + 64];
    int result = hub_record_read(dir, &record, err);
    *checked = *bad = 0;
    if (result == 0 && !record)
        result = err_set(
            err, ERR_STORAGE, NULL,
            "%s: has no " HUB_RECORD ", which `voxhost pull` writes: nothing to compare with", dir);
    for (const cJSON *source = sources_of(record); source && result >= 0; source = source->next) {
        const cJSON *files = json_get(source, "files");
        cJSON *file;
        if (!source_asked(check, source))
            continue;
        for (file = files->child; file && result >= 0; file = file->next) {
            const char *wrong = NULL;
            int64_t size = 0;
            if (!hub_path_wanted(json_text(file, "from"), check->include, check->exclude))
                continue;
            result = check_file(dir, check, file, buf, sizeof(buf), &wrong, err);
            if (result < 0)
                break;
            json_int64(json_get(file, "size"), &size);
            ++*checked;
            *bad += wrong ? 1 : 0;
            if (check->note && result > 0)
                add_note(&notes, file, wrong);
            if (check->found)
                check->found(json_text(file, "path"), (uint64_t)size, wrong, check->arg);
        }
    }
    if (notes.count > 0 && edit_record(dir, write_notes, &notes, &why) != 0 && result >= 0)
        result = err_set(err, ERR_STORAGE, NULL,
                         "%zu of %zu files are missing or wrong, which cannot be noted: %s", *bad,
                         *checked, why.message);
    free(notes.files);
    cJSON_Delete(record);
    return result < 0 ? result : 0;
}
