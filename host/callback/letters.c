/* Dead letters for people: what there is on disk and in the storage, and sending it again. Knows no
 * queue. */
#include "callback/callback_private.h"

#include <stdlib.h>
#include <string.h>

/* --- Finding ---------------------------------------------------------------------------------- */

void found_list_add(struct found_list *list, char *id, uint64_t len, bool is_stored)
{
    if (list->count == list->cap) {
        list->cap = list->cap ? list->cap * 2 : 64;
        list->items = mem_resize(list->items, list->cap, sizeof(*list->items));
    }
    list->items[list->count++] = (struct found){id, len, is_stored};
}

void found_list_finish(struct found_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i].id);
    free(list->items);
    *list = (struct found_list){0};
}

static int compare(const void *a, const void *b)
{
    const struct found *one = a, *other = b;
    int order = strcmp(one->id, other->id);
    return order ? order : one->is_stored - other->is_stored;
}

void found_list_sort(struct found_list *list)
{
    if (list->count)
        qsort(list->items, list->count, sizeof(*list->items), compare);
}

/* Both places, sorted. On failure it has what was found. */
static int find_all(const struct callback_options *options, const struct shelf *shelf,
                    const atomic_int *stop, struct found_list *list, struct err *err)
{
    struct err of_storage;
    int result = spool_find(options->manifest->letters_dir, list, err);
    int stored = shelf_find(shelf, stop, list, &of_storage);
    if (result == 0 && stored != 0) {
        *err = of_storage;
        result = stored;
    }
    found_list_sort(list);
    return result;
}

/* One letter may lie in both places, when a process died while it moved it. */
static bool is_double(const struct found_list *list, size_t i)
{
    return i > 0 && strcmp(list->items[i].id, list->items[i - 1].id) == 0;
}

/* --- Showing ---------------------------------------------------------------------------------- */

static void show(const struct callback *callback, bool is_stored,
                 const struct callback_visitor *visitor)
{
    char *url = mem_copy_text(callback->url, strcspn(callback->url, "?"));
    const struct callback_letter letter = {
        .id = callback->id,
        .job_id = callback->job_id,
        .url = url,
        .created = callback->created,
        .last_error = callback->last_error,
        .attempts = callback->attempts,
        .is_error = callback->is_error,
        .is_stored = is_stored,
    };
    visitor->each(&letter, visitor->arg);
    free(url);
}

int callback_letters(const struct callback_options *options, const struct callback_visitor *visitor,
                     struct err *err)
{
    struct found_list list = {0};
    const char *dir = options->manifest->letters_dir;
    const struct shelf shelf = shelf_of(options->manifest, options->storage);
    spool_adopt(dir);
    int result = find_all(options, &shelf, NULL, &list, err);
    for (size_t i = 0; i < list.count; i++) {
        const struct found *found = &list.items[i];
        struct callback *callback = NULL;
        struct err why = {0};
        if (is_double(&list, i))
            continue;
        int code = found->is_stored ? shelf_read(&shelf, found->id, NULL, &callback, &why)
                                    : spool_read(dir, found->id, &callback, &why);
        if (code == 0)
            show(callback, found->is_stored, visitor);
        else
            visitor->wrong(&why, visitor->arg);
        callback_destroy(callback);
    }
    found_list_finish(&list);
    return result;
}

/* --- Sending again ---------------------------------------------------------------------------- */

struct replayer {
    const struct callback_options *options;
    const struct callback_replay *replay;
    struct shelf shelf;
    struct spool *spool; /* NULL: there is no directory, but a storage */
    struct http_client *client;
};

/* Sends it and notes what came of it; 0: it was taken. */
static int try_again(const struct replayer *replayer, struct callback *callback, struct err *err)
{
    struct callback_answer answer;
    if (callback_try(replayer->options, replayer->client, callback, replayer->replay->stop,
                     &answer) == CALLBACK_TAKEN)
        return 0;
    *err = answer.err;
    if (err->code != ERR_CANCELLED) {
        callback->attempts++;
        free(callback->last_error);
        callback->last_error = mem_copy_string(err->message);
    }
    return err->code;
}

static int replay_local(const struct replayer *replayer, struct callback *callback, struct err *err)
{
    struct err ignored;
    size_t dropped;
    int result = try_again(replayer, callback, err);
    if (result == 0)
        spool_drop(replayer->spool, callback);
    else
        spool_bury(replayer->spool, callback, &dropped, &ignored); /* else spool_close does */
    if (result == 0 && replayer->shelf.storage)                    /* where it may lie too */
        shelf_drop(&replayer->shelf, callback->id, NULL, &ignored);
    return result;
}

static int replay_stored(const struct replayer *replayer, const char *id, struct err *err)
{
    const struct shelf *shelf = &replayer->shelf;
    struct err why;
    struct callback *callback = NULL;
    int result = shelf_read(shelf, id, replayer->replay->stop, &callback, err);
    if (callback && (result = try_again(replayer, callback, err)) == 0) {
        result = shelf_drop(shelf, id, NULL, err);
        if (result != 0)
            err_prefix(err, "was taken, and is still in the storage");
    } else if (callback && result != ERR_CANCELLED) {
        shelf_put(shelf, callback, replayer->replay->stop, &why); /* else it stays as it was */
    }
    callback_destroy(callback);
    return result;
}

static int replay_one(const struct replayer *replayer, const char *id, struct err *err)
{
    struct callback *callback = NULL;
    int result = replayer->spool ? spool_claim(replayer->spool, id, &callback, err)
                                 : err_set(err, ERR_INVALID, "id",
                                           "there is no dead letter "
                                           "\"%.60s\"",
                                           id);
    if (callback)
        result = replay_local(replayer, callback, err);
    else if (replayer->shelf.storage && strcmp(err->field, "id") == 0 && record_id_time(id) >= 0)
        result = replay_stored(replayer, id, err);
    callback_destroy(callback);
    return result;
}

static void replay_list(const struct replayer *replayer, const struct text_list *ids)
{
    const struct callback_replay *replay = replayer->replay;
    for (size_t i = 0; i < ids->count && !(replay->stop && atomic_load(replay->stop)); i++) {
        struct err why = {0};
        bool taken = replay_one(replayer, ids->items[i], &why) == 0;
        replay->each(ids->items[i], taken ? NULL : &why, replay->arg);
    }
}

static int replay_all(const struct replayer *replayer, struct err *err)
{
    struct found_list list = {0};
    struct text_list ids = {0};
    int result = find_all(replayer->options, &replayer->shelf, replayer->replay->stop, &list, err);
    for (size_t i = 0; i < list.count; i++)
        if (!is_double(&list, i))
            text_list_add(&ids, mem_copy_string(list.items[i].id));
    found_list_finish(&list);
    replay_list(replayer, &ids);
    text_list_finish(&ids);
    return result;
}

int callback_replay(const struct callback_options *options, const struct callback_replay *replay,
                    struct err *err)
{
    struct replayer replayer = {options, replay, shelf_of(options->manifest, options->storage),
                                NULL, http_client_create("voxhost/" VOXHOST_VERSION)};
    size_t adopted;
    int result = 0;
    if (!replayer.client)
        return err_set(err, ERR_INTERNAL, NULL, "libcurl cannot be opened");
    if (spool_open(options, &replayer.spool, &adopted, err) != 0 && !replayer.shelf.storage)
        result = err->code;
    else if (replay->ids)
        replay_list(&replayer, replay->ids);
    else
        result = replay_all(&replayer, err);
    spool_close(replayer.spool);
    http_client_destroy(replayer.client);
    return result;
}
