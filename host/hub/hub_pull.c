/* What a pull does before and after the download: which files are in place already, whether there
 * is room for the others, and the mark that says that the directory is not complete. Knows no
 * network.
 */
#include "hub/hub_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Whether an item is in place already: by the record of an earlier pull, else by its content. */
static int look_for(struct hub *hub, const char *dir, const cJSON *record, struct hub_item *item,
                    struct err *err)
{
    struct stat info;
    struct hub_digests digests = {0};
    const cJSON *known = hub_record_find(record, item->local);
    const char *sha256 = cJSON_GetStringValue(json_get(known, "sha256"));
    const char *git = cJSON_GetStringValue(json_get(known, "git_sha1"));
    char *path = fs_join(dir, item->local), *part = str_format("%s.part", path);
    char *state = str_format("%s.state", part);
    int result = 0;
    if (stat(path, &info) != 0 || (uint64_t)info.st_size != item->file->size)
        goto out;
    if (sha256 && strlen(sha256) == sizeof(digests.sha256) - 1) {
        memcpy(digests.sha256, sha256, sizeof(digests.sha256));
        if (git && strlen(git) < sizeof(digests.git))
            memcpy(digests.git, git, strlen(git) + 1);
    } else {
        result = hub_hash_file(path, item->file->digest, hub->options.stop, &digests, err);
    }
    if (result == 0 &&
        strcmp(hub_digest_like(&digests, item->file->digest), item->file->digest) == 0) {
        item->done = true;
        memcpy(item->sha256, digests.sha256, sizeof(digests.sha256));
        if (access(part, F_OK) != 0)
            unlink(state); /* of a run that was killed between its last two steps */
    }
out:
    free(path);
    free(part);
    free(state);
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
    const double gb = 1e9;
    uint64_t missing = 0, free_bytes, margin = hub->options.margin;
    for (size_t i = 0; i < count; i++)
        missing += items[i].done ? 0 : bytes_missing(dir, &items[i]);
    if (missing == 0)
        return 0;
    if (fs_free_bytes(dir, &free_bytes) != 0) {
        LOG_EVENT(hub->options.log, LOG_WARN, "pull", "free space is unknown", LOG_TEXT("dir", dir),
                  LOG_TEXT("reason", strerror(errno)));
        return 0;
    }
    if (free_bytes >= margin && free_bytes - margin >= missing)
        return 0;
    return err_set(
        err, ERR_STORAGE, NULL,
        "%s: its disk has %.3f GB free; %.3f GB are to be downloaded and %.3f GB have to stay free "
        "(host.min_free_mb): free some, or name another folder with --dir",
        dir, (double)free_bytes / gb, (double)missing / gb, (double)margin / gb);
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

int hub_pull(struct hub *hub, const char *dir, struct hub_item *items, size_t count,
             struct err *err)
{
    char *unfinished = fs_join(dir, HUB_UNFINISHED);
    size_t missing = 0;
    int result = fs_make_dirs(dir, 0777, err);
    if (result == 0)
        result = look_at_items(hub, dir, items, count, err);
    if (result == 0)
        result = check_space(hub, dir, items, count, err);
    for (size_t i = 0; i < count; i++)
        missing += items[i].done ? 0 : 1;
    if (result == 0 && missing > 0)
        result = fs_write_file(unfinished, "", 0, err);
    if (result == 0 && missing > 0)
        result = hub_download(hub, dir, items, count, err);
    if (result == 0)
        unlink(unfinished);
    free(unfinished);
    return result;
}

void hub_items_finish(struct hub_item *items, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(items[i].local);
    free(items);
}
