/* Files of torch.save into the table: finds the pickle and the storages, and walks what the pickle
 * machine built. Layouts: torch/serialization.py, _save (zip archive) and _legacy_save (a row of
 * pickles).
 *
 *   zip:    ROOT/data.pkl, ROOT/byteorder, ROOT/data/KEY ...
 *   legacy: pickle of a magic number, of 1001, of {little_endian: ..}, of the object, of the list of
 *           storage keys; then for each key 8 bytes element count and the elements
 */
#include "pickle.h"
#include "weights_file.h"
#include "zip.h"

#include <inttypes.h>
#include <stdlib.h>

#define NESTING_MAX 64u
#define VISITS_MAX (1u << 24) /* a dictionary that is used twice is walked twice */
#define LEGACY_PROTOCOL 1001

/* --- From nodes to rows of the table ---------------------------------------------------------- */

struct walk {
    struct vox_weights *w;
    struct vox_error *error;
    struct pickle *p;
    const struct storages *storages;
    uint64_t visits;
    uint32_t depth;
    size_t name_size;
    char name[VOX_WEIGHT_NAME_MAX + 1];
};

static int32_t fail_pickle(const struct vox_weights *w, const struct pickle *p,
                           struct vox_error *error)
{
    if (p->why == PICKLE_NO_MEMORY)
        return weights_fail_memory(w, error);
    return weights_fail(w, error, "its pickle cannot be read at byte %td: %s", p->at - p->begin,
                        p->why);
}

static int32_t fail_tensor(const struct walk *k, const char *what)
{
    return weights_fail(k->w, k->error, "%.*s %s", (int)k->name_size, k->name, what);
}

/* Copies dims and strides; false when they are not as many non-negative ints. */
static bool read_shape(const struct pickle *p, const struct pickle_node *tensor,
                       struct vox_weight *weight)
{
    const struct pickle_node *dims = &p->nodes[tensor->tensor.dims];
    const struct pickle_node *strides = &p->nodes[tensor->tensor.strides];
    if (dims->count != strides->count || dims->count > VOX_RANK_MAX)
        return false;
    weight->rank = (uint32_t)dims->count;
    for (uint32_t i = 0; i < weight->rank; i++) {
        const struct pickle_node *dim = &p->nodes[dims->items.at[i]];
        const struct pickle_node *stride = &p->nodes[strides->items.at[i]];
        if (dim->kind != PICKLE_INT || stride->kind != PICKLE_INT || dim->integer < 0 ||
            stride->integer < 0)
            return false;
        weight->dims[i] = dim->integer;
        weight->strides[i] = stride->integer;
    }
    return true;
}

/* How many elements the tensor has, and how many its storage must have beyond the offset. */
static bool measure(const struct vox_weight *weight, int64_t *count, int64_t *reach)
{
    bool is_empty = false, overflows = false;
    int64_t last = 0, step;
    *count = 1;
    for (uint32_t i = 0; i < weight->rank; i++) {
        if (weight->dims[i] == 0) {
            is_empty = true;
            continue;
        }
        overflows |= __builtin_mul_overflow(*count, weight->dims[i], count);
        overflows |= __builtin_mul_overflow(weight->dims[i] - 1, weight->strides[i], &step);
        overflows |= __builtin_add_overflow(last, step, &last);
    }
    *count = is_empty ? 0 : *count;
    *reach = is_empty ? 0 : last;
    if (!is_empty)
        overflows |= __builtin_add_overflow(last, (int64_t)1, reach);
    return !overflows;
}

/* The bytes of the storage, which holds at least what its record says. */
static int32_t find_storage(struct walk *k, const struct pickle_node *storage, const uint8_t **data,
                            uint64_t *size)
{
    const struct pickle_node *key = &k->p->nodes[storage->storage.key];
    int64_t count = k->p->nodes[storage->storage.count].integer;
    uint64_t found, wanted;
    uint64_t element = storage->dtype ? vox_dtype_size(storage->dtype) : 1;
    if (count < 0 || __builtin_mul_overflow((uint64_t)count, element, &wanted))
        return fail_tensor(k, "lies in a storage without a size");
    if (!k->storages->find(k->storages->self, (struct vox_str){key->text, key->count}, data,
                           &found))
        return fail_tensor(k, "lies in a storage that the file does not have, or has compressed");
    if (found < wanted)
        return weights_fail(k->w, k->error,
                            "%.*s lies in a storage of %" PRIu64 " bytes, expected %" PRIu64,
                            (int)k->name_size, k->name, found, wanted);
    *size = wanted;
    return VOX_OK;
}

static int32_t add_tensor(struct walk *k, const struct pickle_node *tensor)
{
    struct vox_weight weight = {.name = {k->name, k->name_size}, .dtype = tensor->dtype};
    const struct pickle_node *storage = &k->p->nodes[tensor->tensor.storage];
    int64_t offset = k->p->nodes[tensor->tensor.offset].integer, count, reach, end;
    const uint8_t *data = NULL;
    uint64_t size = 0, element = vox_dtype_size(weight.dtype);
    int32_t result = weights_check_name(k->w, weight.name, k->error);
    if (result != VOX_OK)
        return result;
    if (!element)
        return fail_tensor(k, "has a dtype that is not supported");
    if (offset < 0 || !read_shape(k->p, tensor, &weight) || !measure(&weight, &count, &reach))
        return fail_tensor(k, "has a shape that is none");
    result = find_storage(k, storage, &data, &size);
    if (result != VOX_OK)
        return result;
    if (__builtin_add_overflow(offset, reach, &end) || (reach && (uint64_t)end > size / element))
        return fail_tensor(k, "reaches beyond its storage");
    /* What repeats elements may be larger than the file; nobody should have to walk 2^62 of them.
     */
    if ((uint64_t)count > k->w->size)
        return fail_tensor(k, "has more elements than the file has bytes");
    weight.data = reach ? data + (uint64_t)offset * element : data;
    weight.size = (uint64_t)reach * element;
    return weights_add(k->w, &weight, k->error);
}

/* Appends ".KEY"; false when the key is no name: other than text or an int, too long, not
 * printable. What lies there cannot be asked for, and is left out. */
static bool append_key(struct walk *k, const struct pickle_node *key)
{
    const char *dot = k->name_size ? "." : "";
    char *end = k->name + k->name_size;
    size_t room = sizeof(k->name) - k->name_size;
    int size = -1;
    if (key->kind == PICKLE_INT)
        size = snprintf(end, room, "%s%" PRId64, dot, key->integer);
    else if (key->kind == PICKLE_TEXT && key->count < room - 1 &&
             weights_is_printable((struct vox_str){key->text, key->count}))
        size = snprintf(end, room, "%s%.*s", dot, (int)key->count, key->text);
    if (size < 0 || (size_t)size >= room)
        return false;
    k->name_size += (size_t)size;
    return true;
}

/* Adds every tensor at or below `node`, whose name stands in `k`. */
static int32_t walk_node(struct walk *k, uint32_t node)
{
    struct pickle_node *n = &k->p->nodes[node];
    if (n->kind == PICKLE_TENSOR)
        return add_tensor(k, n);
    bool is_dict = n->kind == PICKLE_DICT;
    if ((!is_dict && n->kind != PICKLE_LIST && n->kind != PICKLE_TUPLE) || n->is_open)
        return VOX_OK;
    if (k->depth == NESTING_MAX)
        return fail_tensor(k, "nests too deep");
    int32_t result = VOX_OK;
    size_t name_size = k->name_size;
    n->is_open = true;
    k->depth++;
    for (uint64_t i = 0; i < n->count && result == VOX_OK; i++) {
        struct pickle_node index = {.kind = PICKLE_INT, .integer = (int64_t)i};
        const struct pickle_node *key = is_dict ? &k->p->nodes[n->items.at[i++]] : &index;
        if (k->visits++ == VISITS_MAX)
            result = weights_fail(k->w, k->error, "nests its objects too often");
        else if (append_key(k, key))
            result = walk_node(k, n->items.at[i]);
        k->name_size = name_size;
    }
    k->depth--;
    n->is_open = false;
    return result;
}

static int32_t add_tensors(struct vox_weights *w, struct pickle *p, uint32_t root,
                           const struct storages *storages, struct vox_error *error)
{
    struct walk k = {.w = w, .error = error, .p = p, .storages = storages};
    int32_t result = walk_node(&k, root);
    if (result == VOX_OK && w->count == 0)
        return weights_fail(w, error,
                            "holds no tensors outside of objects, whose code is never "
                            "run: save the model's state_dict");
    return result;
}

int32_t checkpoint_read_pickle(struct vox_weights *w, const uint8_t *bytes, uint64_t size,
                               const struct storages *storages, struct vox_error *error)
{
    struct pickle p = {0};
    int32_t result = pickle_run(&p, bytes, bytes + size)
                         ? add_tensors(w, &p, p.root, storages, error)
                         : fail_pickle(w, &p, error);
    pickle_finish(&p);
    return result;
}

/* --- The zip archive -------------------------------------------------------------------------- */

struct archive {
    struct zip zip;
    const char *root; /* "NAME/" */
    uint32_t root_size;
};

/* An entry below the root, or NULL. */
static const struct zip_entry *find_entry(const struct archive *a, const char *folder,
                                          struct vox_str name)
{
    char path[512];
    int size = name.size < sizeof(path)
                   ? snprintf(path, sizeof(path), "%.*s%s%.*s", (int)a->root_size, a->root, folder,
                              (int)name.size, name.data)
                   : -1;
    if (size < 0 || (size_t)size >= sizeof(path))
        return NULL;
    return zip_find(&a->zip, path, (uint64_t)size);
}

static bool find_in_archive(const void *self, struct vox_str key, const uint8_t **data,
                            uint64_t *size)
{
    const struct zip_entry *entry = find_entry(self, "data/", key);
    if (!entry || !entry->is_stored)
        return false;
    *data = entry->data;
    *size = entry->size;
    return true;
}

/* The root is the folder of the one data.pkl that lies in a folder. */
static bool find_root(struct archive *a)
{
    static const char tail[] = "data.pkl";
    for (uint64_t i = 0; i < a->zip.count; i++) {
        const struct zip_entry *entry = &a->zip.entries[i];
        const char *slash = memchr(entry->name, '/', entry->name_size);
        uint32_t root_size = slash ? (uint32_t)(slash - entry->name) + 1 : 0;
        struct vox_str rest = {entry->name + root_size, entry->name_size - root_size};
        if (slash && vox_str_is(rest, tail)) {
            a->root = entry->name;
            a->root_size = root_size;
            return true;
        }
    }
    return false;
}

int32_t checkpoint_read_zip(struct vox_weights *w, struct vox_error *error)
{
    struct archive a = {0};
    const struct storages storages = {find_in_archive, &a};
    int32_t result = VOX_EMODEL;
    const char *why = zip_open(&a.zip, w->bytes, w->size);
    if (why) {
        result = why == ZIP_NO_MEMORY ? weights_fail_memory(w, error)
                                      : weights_fail(w, error, "%s", why);
        goto out;
    }
    if (!find_root(&a)) {
        weights_fail(w, error, "is a zip archive, but not one that torch.save wrote");
        goto out;
    }
    const struct zip_entry *pickle = find_entry(&a, "", vox_text("data.pkl"));
    const struct zip_entry *order = find_entry(&a, "", vox_text("byteorder"));
    if (!pickle || !pickle->is_stored)
        weights_fail(w, error, "is compressed, which is not supported: save it with torch.save");
    else if (order &&
             !vox_str_is((struct vox_str){(const char *)order->data, order->size}, "little"))
        weights_fail(w, error, "was written on a big-endian machine, which is not supported");
    else
        result = checkpoint_read_pickle(w, pickle->data, pickle->size, &storages, error);
out:
    zip_finish(&a.zip);
    return result;
}

/* --- The row of pickles ----------------------------------------------------------------------- */

struct place {
    struct vox_str key;
    uint64_t element_size;
    const uint8_t *data; /* NULL until it is found */
    uint64_t size;
};

struct places {
    struct place *at; /* by key */
    size_t count;
};

static int compare_places(const void *a, const void *b)
{
    const struct place *left = a, *right = b;
    if (left->key.size != right->key.size)
        return left->key.size < right->key.size ? -1 : 1;
    return left->key.size ? memcmp(left->key.data, right->key.data, (size_t)left->key.size) : 0;
}

static struct place *find_place(const struct places *places, struct vox_str key)
{
    const struct place wanted = {.key = key};
    return places->count
               ? bsearch(&wanted, places->at, places->count, sizeof(wanted), compare_places)
               : NULL;
}

static bool find_in_places(const void *self, struct vox_str key, const uint8_t **data,
                           uint64_t *size)
{
    const struct place *place = find_place(self, key);
    if (!place || !place->data)
        return false;
    *data = place->data;
    *size = place->size;
    return true;
}

/* One place per key that the object's pickle names. */
static bool list_places(const struct pickle *p, struct places *places)
{
    size_t kept = 0;
    places->at = calloc((size_t)p->node_count, sizeof(*places->at));
    if (!places->at)
        return false;
    for (uint64_t i = 0; i < p->node_count; i++) {
        const struct pickle_node *n = &p->nodes[i];
        if (n->kind != PICKLE_STORAGE)
            continue;
        const struct pickle_node *key = &p->nodes[n->storage.key];
        places->at[places->count++] =
            (struct place){.key = {key->text, key->count},
                           .element_size = n->dtype ? vox_dtype_size(n->dtype) : 1};
    }
    qsort(places->at, places->count, sizeof(*places->at), compare_places);
    for (size_t i = 0; i < places->count; i++)
        if (!kept || compare_places(&places->at[kept - 1], &places->at[i]) != 0)
            places->at[kept++] = places->at[i];
    places->count = kept;
    return true;
}

/* Walks the storages behind the pickles, in the order of the list of keys. */
static int32_t find_places(const struct vox_weights *w, const struct pickle *p,
                           const struct places *places, struct vox_error *error)
{
    const struct pickle_node *keys = &p->nodes[p->root];
    const uint8_t *at = p->at;
    if (keys->kind != PICKLE_LIST)
        return weights_fail(w, error, "has no list of storages behind its pickles");
    for (uint64_t i = 0; i < keys->count; i++) {
        const struct pickle_node *key = &p->nodes[keys->items.at[i]];
        struct place *place = key->kind == PICKLE_TEXT
                                  ? find_place(places, (struct vox_str){key->text, key->count})
                                  : NULL;
        uint64_t left = (uint64_t)(p->end - at), size;
        if (!place || place->data)
            return weights_fail(w, error, "lists a storage that no tensor names once");
        if (left < 8)
            return weights_fail(w, error, "is cut off: storage %" PRIu64 " is missing", i);
        if (__builtin_mul_overflow(read_le(at, 8), place->element_size, &size) || size > left - 8)
            return weights_fail(w, error, "is cut off: storage %" PRIu64 " lies beyond its end", i);
        place->data = at + 8;
        place->size = size;
        at += 8 + size;
    }
    return VOX_OK;
}

int32_t checkpoint_read_legacy(struct vox_weights *w, struct vox_error *error)
{
    struct pickle p = {0};
    struct places places = {0};
    const struct storages storages = {find_in_places, &places};
    const uint8_t *end = w->bytes + w->size;
    int32_t result = VOX_EMODEL;
    bool runs = pickle_run(&p, w->bytes + sizeof(LEGACY_MAGIC) - 1, end);
    if (runs && p.nodes[p.root].integer != LEGACY_PROTOCOL) {
        weights_fail(w, error, "was written by a torch that is not known");
        goto out;
    }
    runs = runs && pickle_run(&p, p.at, end);
    if (runs && p.nodes[pickle_get(&p, p.root, "little_endian")].integer != 1) {
        weights_fail(w, error, "was written on a big-endian machine, which is not supported");
        goto out;
    }
    runs = runs && pickle_run(&p, p.at, end);
    uint32_t root = p.root;
    runs = runs && pickle_run(&p, p.at, end);
    if (!runs)
        result = fail_pickle(w, &p, error);
    else if (!list_places(&p, &places))
        result = weights_fail_memory(w, error);
    else
        result = find_places(w, &p, &places, error);
    if (result == VOX_OK)
        result = add_tensors(w, &p, root, &storages, error);
out:
    free(places.at);
    pickle_finish(&p);
    return result;
}
