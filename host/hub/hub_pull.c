/* What a pull does before and after the download: which files are in place already, whether there
 * is room for the others, and the mark that says that the directory is not complete. Knows no
 * network.
 */
#include "hub/hub_private.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

void hub_item_done(struct hub_item *item, const struct hub_digests *digests,
                   const struct stat *info)
{
    memcpy(item->sha256, digests->sha256, sizeof(item->sha256));
    item->inode = (uint64_t)info->st_ino;
    item->mtime_ns = (int64_t)info->st_mtim.tv_sec * CLOCK_S + info->st_mtim.tv_nsec;
    item->done = true;
}

/* Whether an item is in place already: by the record of an earlier pull, else by its content. */
static int look_for(struct hub *hub, const char *dir, const cJSON *record, struct hub_item *item,
                    struct err *err)
{
    struct stat info;
    struct hub_digests digests = {0};
    char *path = fs_join(dir, item->local), *part = str_format("%s.part", path);
    char *state = str_format("%s.state", part), *fresh = str_format("%s.new", state);
    int result = 0;
    if (stat(path, &info) != 0)
        goto out;
    if (S_ISDIR(info.st_mode))
        result = err_set(err, ERR_STORAGE, NULL,
                         "%s: is a directory, where a file is to be put: move it away", path);
    if (!S_ISREG(info.st_mode) || (uint64_t)info.st_size != item->file->size)
        goto out;
    item->by_record = hub_record_believed(record, item->local, &info, &digests);
    if (!item->by_record)
        result = hub_hash_file(path, item->file->digest, hub->options.stop, &digests, err);
    if (result == 0 &&
        strcmp(hub_digest_like(&digests, item->file->digest), item->file->digest) == 0) {
        hub_item_done(item, &digests, &info);
        if (access(part, F_OK) != 0) {
            unlink(state); /* of a run that was killed between its last two steps */
            unlink(fresh);
        }
    }
    if (result == ERR_STORAGE)
        result = 0; /* what cannot be read is fetched */
    item->by_record = item->by_record && item->done;
out:
    free(path);
    free(part);
    free(state);
    free(fresh);
    return result;
}

/* Bytes of a file that are still to come; what an earlier run wrote of it is on the disk
 * already. */
static uint64_t bytes_missing(const char *dir, const struct hub_item *item)
{
    struct stat info;
    char *path = fs_join(dir, item->local), *part = str_format("%s.part", path);
    uint64_t size = item->file->size, here = 0;
    if (stat(part, &info) == 0)
        here = (uint64_t)info.st_blocks * 512;
    free(path);
    free(part);
    return here < size ? size - here : 0;
}

static int check_space(struct hub *hub, const char *dir, const struct hub_item *items, size_t count,
                       struct err *err)
{
    struct err why;
    uint64_t missing = 0;
    for (size_t i = 0; i < count; i++)
        missing += items[i].done ? 0 : bytes_missing(dir, &items[i]);
    if (missing == 0)
        return 0;
    if (fs_check_room(dir, missing, hub->options.min_free_mb, hub->options.log, &why) == 0)
        return 0;
    return err_set(err, ERR_STORAGE, NULL, "%s (another folder: --dir)", why.message);
}

static int look_at_items(struct hub *hub, const char *dir, struct hub_item *items, size_t count,
                         struct err *err)
{
    cJSON *record = NULL;
    int result = hub_record_read(dir, &record, err);
    for (size_t i = 0; i < count && result == 0; i++)
        result = look_for(hub, dir, record, &items[i], err);
    cJSON_Delete(record);
    return result;
}

/* --- Names ------------------------------------------------------------------------------------ */

static int compare_places(const void *a, const void *b)
{
    const struct hub_item *const *one = a, *const *other = b;
    int order = strcasecmp((*one)->local, (*other)->local);
    return order ? order : strcmp((*one)->local, (*other)->local);
}

/* A name that we make beside a file, the record's or the mark's. */
static bool is_ours(const char *path)
{
    static const char *const ends[] = {".part", ".part.state", ".part.state.new"};
    size_t len = strlen(path);
    bool ours = strcmp(fs_name_of(path), HUB_RECORD) == 0;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        size_t cut = strlen(ends[i]);
        ours = ours || (len >= cut && strcmp(path + len - cut, ends[i]) == 0);
    }
    return ours;
}

/* No two files may have one place. `ignores_case`: "A" and "a" are one. */
static int check_places(const struct hub_item *items, size_t count, bool ignores_case,
                        struct err *err)
{
    const struct hub_item **sorted = mem_alloc_array(count + 1, sizeof(*sorted));
    int result = 0;
    for (size_t i = 0; i < count; i++) {
        sorted[i] = &items[i];
        if (result == 0 && is_ours(items[i].local))
            result = err_set(err, ERR_STORAGE, NULL,
                             "%s: file \"%s\" has a name that voxhost keeps for itself: leave it "
                             "out by --exclude",
                             items[i].listing->repo, items[i].file->path);
    }
    qsort(sorted, count, sizeof(*sorted), compare_places);
    for (size_t i = 1; i < count && result == 0; i++) {
        const char *one = sorted[i - 1]->local, *other = sorted[i]->local;
        if (strcmp(one, other) == 0 || (ignores_case && strcasecmp(one, other) == 0))
            result = err_set(err, ERR_STORAGE, NULL,
                             "%s: files \"%s\" and \"%s\" have one place%s: leave one out by "
                             "--exclude",
                             sorted[i]->listing->repo, one, other,
                             strcmp(one, other) == 0 ? "" : " on this disk, which ignores case");
    }
    free(sorted);
    return result;
}

/* By the mark, which is there. */
static bool ignores_case(const char *dir)
{
    char *mark = fs_join(dir, HUB_UNFINISHED);
    for (char *c = mark + strlen(dir); *c; c++)
        *c = (char)toupper((unsigned char)*c);
    bool found = access(mark, F_OK) == 0;
    free(mark);
    return found;
}

/* --- The whole -------------------------------------------------------------------------------- */

static int pull_missing(struct hub *hub, const char *dir, struct hub_item *items, size_t count,
                        struct err *err)
{
    int result = hub_mark_add(dir, items, count, err);
    if (result == 0 && ignores_case(dir))
        result = check_places(items, count, true, err);
    return result == 0 ? hub_download(hub, dir, items, count, err) : result;
}

int hub_pull(struct hub *hub, const char *dir, struct hub_item *items, size_t count,
             struct err *err)
{
    size_t missing = 0;
    int result = check_places(items, count, false, err);
    if (result == 0)
        result = fs_make_dirs(dir, 0777, err);
    if (result == 0)
        result = look_at_items(hub, dir, items, count, err);
    if (result == 0)
        result = check_space(hub, dir, items, count, err);
    for (size_t i = 0; i < count; i++)
        missing += items[i].done ? 0 : 1;
    if (result == 0 && missing > 0)
        result = pull_missing(hub, dir, items, count, err);
    return result == 0 ? hub_mark_drop(dir, items, count, err) : result;
}

void hub_items_finish(struct hub_item *items, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(items[i].local);
    free(items);
}
