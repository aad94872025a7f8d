/* Dead letters that are too old, or too many bytes together, are removed: on disk and in the
 * storage as if they lay in one place. Only what is named as we name letters counts. */
#include "callback/callback_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DAY_S 86400.0

/* Leaves those whose ids are ours; returns their bytes. */
static uint64_t keep_ours(struct found_list *list)
{
    size_t kept = 0;
    uint64_t bytes = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct found *found = &list->items[i];
        if (record_id_time(found->id) < 0) {
            free(found->id);
            continue;
        }
        bytes += found->len;
        list->items[kept++] = *found;
    }
    list->count = kept;
    return bytes;
}

static int remove_letter(const char *dir, const struct shelf *shelf, const struct found *found,
                         const atomic_int *stop, struct err *err)
{
    if (found->is_stored)
        return shelf_drop(shelf, found->id, stop, err);
    char *path = str_format("%s/%s.json", dir, found->id);
    int result = 0;
    if (unlink(path) != 0 && errno != ENOENT) /* another process may have swept, too */
        result =
            err_set(err, ERR_STORAGE, NULL, "%s: cannot be removed: %s", path, strerror(errno));
    free(path);
    return result;
}

int callback_letters_sweep(const struct manifest_callbacks *callbacks, struct storage *storage,
                           int64_t now_unix_s, const atomic_int *stop, struct callback_swept *swept,
                           struct err *err)
{
    const struct shelf shelf = shelf_of(callbacks, storage);
    struct found_list list = {.with_sizes = true};
    *swept = (struct callback_swept){0};
    if (callbacks->keep_days <= 0 && callbacks->keep_mb == 0)
        return 0;
    int result = spool_find(callbacks->letters_dir, &list, err);
    if (result == 0)
        result = shelf_find(&shelf, stop, &list, err);
    found_list_sort(&list);
    uint64_t left = keep_ours(&list), bytes_max = (uint64_t)callbacks->keep_mb << 20;
    for (size_t i = 0; i < list.count && result == 0; i++) {
        const struct found *found = &list.items[i];
        double age_s = (double)(now_unix_s - record_id_time(found->id));
        bool is_old = callbacks->keep_days > 0 && age_s > callbacks->keep_days * DAY_S;
        if (!is_old && (callbacks->keep_mb == 0 || left <= bytes_max))
            break; /* so are all that follow */
        result = stop && atomic_load(stop)
                     ? err_set(err, ERR_CANCELLED, NULL, "cancelled")
                     : remove_letter(callbacks->letters_dir, &shelf, found, stop, err);
        if (result != 0)
            break;
        left -= found->len;
        swept->count++;
        swept->bytes += found->len;
    }
    found_list_finish(&list);
    return result;
}
