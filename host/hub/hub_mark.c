/* The mark of a directory into which a pull is not complete: the places of the files that it still
 * misses, a line each. Several pulls share it, so that the one that is done first, or wanted less,
 * does not pass a directory off as whole that another is still filling, or was killed over. */
#include "hub/hub_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MARK_BYTES_MAX (16u << 20)

static int compare_texts(const void *a, const void *b)
{
    const char *const *one = a, *const *other = b;
    return strcmp(*one, *other);
}

/* Appends the lines of `text` that name none of the sorted places. */
static void keep_others(struct str *out, const char *text, const char **places, size_t count)
{
    while (*text) {
        size_t len = strcspn(text, "\n");
        char *line = mem_copy_text(text, len);
        const char *key = line;
        if (len > 0 && !bsearch(&key, places, count, sizeof(*places), compare_texts))
            str_printf(out, "%s\n", line);
        free(line);
        text += len + (text[len] == '\n');
    }
}

/* With the mark locked. One that is cut short, by whoever was killed over it, still marks. */
static int rewrite(const char *path, int fd, const struct hub_item *items, size_t count, bool add,
                   struct err *err)
{
    struct str before = {0}, after = {0};
    const char **places = mem_alloc_array(count + 1, sizeof(*places));
    int result = fs_read_fd(fd, path, MARK_BYTES_MAX, NULL, &before, err);
    for (size_t i = 0; i < count; i++)
        places[i] = items[i].local;
    qsort(places, count, sizeof(*places), compare_texts);
    keep_others(&after, str_text(&before), places, count);
    for (size_t i = 0; i < count; i++)
        if (add && !items[i].done)
            str_printf(&after, "%s\n", items[i].local);
    if (result == 0 && (after.len == 0 ? unlink(path) != 0
                                       : ftruncate(fd, 0) != 0 || lseek(fd, 0, SEEK_SET) != 0 ||
                                             fs_write_all(fd, after.data, after.len) != 0))
        result =
            err_set(err, ERR_STORAGE, NULL, "%s: cannot be written: %s", path, strerror(errno));
    free(places);
    str_finish(&before);
    str_finish(&after);
    return result;
}

static int edit(const char *dir, const struct hub_item *items, size_t count, bool add,
                struct err *err)
{
    char *path = fs_join(dir, HUB_UNFINISHED);
    int fd = -1, result = 0;
    if (add || access(path, F_OK) == 0)
        result = hub_lock_wait(path, &fd, err);
    if (result > 0)
        result = rewrite(path, fd, items, count, add, err);
    if (fd >= 0)
        close(fd);
    free(path);
    return result;
}

int hub_mark_add(const char *dir, const struct hub_item *items, size_t count, struct err *err)
{
    return edit(dir, items, count, true, err);
}

int hub_mark_drop(const char *dir, const struct hub_item *items, size_t count, struct err *err)
{
    return edit(dir, items, count, false, err);
}

bool hub_unfinished(const char *dir)
{
    char *mark = fs_join(dir, HUB_UNFINISHED);
    bool there = access(mark, F_OK) == 0;
    free(mark);
    return there;
}
