/* Dead letters as objects of the storage; see callback_private.h. Knows no disk and no receiver. */
#include "callback/callback_private.h"

#include <stdlib.h>
#include <string.h>

#define ENDING ".json"

struct shelf shelf_of(const struct manifest_callbacks *manifest, struct storage *storage)
{
    const char *prefix = manifest_letters_prefix(manifest);
    return (struct shelf){prefix ? storage : NULL, prefix};
}

/* PREFIX/2026-01-31/ID.json; the caller's. NULL: an id that is not ours is no object's. */
static char *key_of(const struct shelf *shelf, const char *id)
{
    if (record_id_time(id) < 0)
        return NULL;
    return str_format("%s%.4s-%.2s-%.2s/%s" ENDING, shelf->prefix, id, id + 4, id + 6, id);
}

static int none(const struct shelf *shelf, const char *id, struct err *err)
{
    return err_set(err, ERR_INVALID, "id", "there is no dead letter \"%.60s\" in the %s", id,
                   storage_name(shelf->storage));
}

int shelf_put(const struct shelf *shelf, const struct callback *callback, const atomic_int *stop,
              struct err *err)
{
    struct str text = {0};
    char *key = key_of(shelf, callback->id);
    if (!key)
        return err_set(err, ERR_INVALID, "id", "is not one of ours");
    record_write(callback, &text);
    const struct storage_put put = {
        .key = key,
        .content_type = storage_content_type(key),
        .data = text.data,
        .len = text.len,
        .stop = stop,
    };
    int result = storage_put(shelf->storage, &put, err);
    str_finish(&text);
    free(key);
    return result;
}

int shelf_read(const struct shelf *shelf, const char *id, const atomic_int *stop,
               struct callback **callback, struct err *err)
{
    struct str text = {0};
    char *key = key_of(shelf, id);
    *callback = NULL;
    if (!key)
        return none(shelf, id, err);
    int result = storage_read(shelf->storage, key, RECORD_BYTES_MAX, stop, &text, err);
    if (result == 0)
        result = record_read(&text, id, key, callback, err);
    else if (strcmp(err->field, "key") == 0)
        result = none(shelf, id, err);
    str_finish(&text);
    free(key);
    return result;
}

int shelf_drop(const struct shelf *shelf, const char *id, const atomic_int *stop, struct err *err)
{
    char *key = key_of(shelf, id);
    int result = key ? storage_delete(shelf->storage, key, stop, err) : 0;
    free(key);
    return result;
}

struct search {
    const struct shelf *shelf;
    struct found_list *list;
    size_t count;
};

static int take_object(const struct storage_object *object, void *arg)
{
    struct search *search = arg;
    const char *name = fs_name_of(object->key);
    size_t len = strlen(name);
    if (len <= strlen(ENDING))
        return 0;
    char *id = mem_copy_text(name, len - strlen(ENDING));
    char *key = key_of(search->shelf, id);
    if (key && strcmp(key, object->key) == 0 && search->count++ < RECORDS_MAX) {
        found_list_add(search->list, id, object->len, true);
        id = NULL;
    }
    free(key);
    free(id);
    return search->count > RECORDS_MAX;
}

int shelf_find(const struct shelf *shelf, const atomic_int *stop, struct found_list *list,
               struct err *err)
{
    struct search search = {shelf, list, 0};
    if (!shelf->storage)
        return 0;
    int result = storage_list(shelf->storage, shelf->prefix, stop, take_object, &search, err);
    return result > 0 ? 0 : result;
}
