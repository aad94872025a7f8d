/* An open weight file: its mapping, its table of tensors, and which reader fills that. See
 * vox/weights.h. Knows neither what a model wants of the file nor how any format looks beyond its
 * first bytes.
 */
#include "weights_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_BLOCK_SIZE 65536u

struct name_block {
    struct name_block *next;
    size_t used;
    char text[NAME_BLOCK_SIZE];
};

/* --- Shared by the readers -------------------------------------------------------------------- */

int32_t weights_fail(const struct vox_weights *w, struct vox_error *error, const char *format, ...)
{
    char text[sizeof(error->message)];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return vox_fail(error, VOX_EMODEL, "%s: %s", w->file, text);
}

int32_t weights_fail_memory(const struct vox_weights *w, struct vox_error *error)
{
    return vox_fail(error, VOX_ENOMEM, "%s: out of memory", w->file);
}

bool weights_grow(void *array, uint64_t *cap, uint64_t need, size_t item_size)
{
    void *items;
    uint64_t wanted = *cap < 8 ? 8 : *cap;
    if (need <= *cap)
        return true;
    while (wanted < need && wanted <= SIZE_MAX / 2)
        wanted *= 2;
    if (wanted < need || wanted > SIZE_MAX / item_size)
        return false;
    memcpy(&items, array, sizeof(items));
    items = realloc(items, (size_t)wanted * item_size);
    if (!items)
        return false;
    memcpy(array, &items, sizeof(items));
    *cap = wanted;
    return true;
}

const char *weights_shape_text(char text[SHAPE_TEXT_SIZE], const int64_t *dims, uint32_t rank)
{
    size_t used = 0;
    text[used++] = '[';
    for (uint32_t i = 0; i < rank; i++) {
        char number[24] = "?";
        if (dims[i] >= 0)
            snprintf(number, sizeof(number), "%" PRId64, dims[i]);
        used +=
            (size_t)snprintf(text + used, SHAPE_TEXT_SIZE - used, "%s%s", i ? ", " : "", number);
    }
    snprintf(text + used, SHAPE_TEXT_SIZE - used, "]");
    return text;
}

/* The length of the UTF-8 sequence at `at`, or 0 when it is none or a control character. */
static size_t printable_sequence(const uint8_t *at, const uint8_t *end)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t size = *at < 0x80 ? 1 : *at >= 0xf0 ? 4 : *at >= 0xe0 ? 3 : 2;
    uint32_t code = size == 1 ? *at : *at & (0x7fu >> size);
    if ((*at >= 0x80 && *at < 0xc0) || *at >= 0xf8 || (size_t)(end - at) < size)
        return 0;
    for (size_t i = 1; i < size; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (at[i] & 0x3fu);
    }
    bool is_control = code < 0x20 || (code >= 0x7f && code < 0xa0);
    bool is_surrogate = code >= 0xd800 && code < 0xe000;
    return is_control || is_surrogate || code < smallest[size] || code > 0x10ffff ? 0 : size;
}

bool weights_is_printable(struct vox_str text)
{
    const uint8_t *at = (const uint8_t *)text.data, *end = at + text.size;
    while (at < end) {
        size_t size = printable_sequence(at, end);
        if (!size)
            return false;
        at += size;
    }
    return true;
}

static const char *copy_name(struct vox_weights *w, struct vox_str name)
{
    size_t size = (size_t)name.size;
    struct name_block *block = w->names;
    if (!block || NAME_BLOCK_SIZE - block->used < size + 1) {
        block = malloc(sizeof(*block));
        if (!block)
            return NULL;
        block->next = w->names;
        block->used = 0;
        w->names = block;
    }
    char *copy = block->text + block->used;
    memcpy(copy, name.data, size);
    copy[size] = 0;
    block->used += size + 1;
    return copy;
}

int32_t weights_check_name(const struct vox_weights *w, struct vox_str name,
                           struct vox_error *error)
{
    if (name.size == 0 || name.size > VOX_WEIGHT_NAME_MAX)
        return weights_fail(w, error, "a tensor has a name of %" PRIu64 " bytes, expected 1 to %d",
                            name.size, VOX_WEIGHT_NAME_MAX);
    if (!weights_is_printable(name))
        return weights_fail(w, error, "the name of tensor %" PRIu64 " is not printable UTF-8",
                            w->count);
    return VOX_OK;
}

int32_t weights_add(struct vox_weights *w, const struct vox_weight *weight, struct vox_error *error)
{
    if (w->count >= WEIGHTS_COUNT_MAX)
        return weights_fail(w, error, "has more than %u tensors", WEIGHTS_COUNT_MAX);
    int32_t result = weights_check_name(w, weight->name, error);
    if (result != VOX_OK)
        return result;
    const char *name = copy_name(w, weight->name);
    if (!name || !weights_grow(&w->at, &w->cap, w->count + 1, sizeof(*w->at)))
        return weights_fail_memory(w, error);
    w->at[w->count] = *weight;
    w->at[w->count++].name.data = name;
    return VOX_OK;
}

/* --- The table -------------------------------------------------------------------------------- */

static int compare_text(struct vox_str a, const char *data, size_t size)
{
    size_t shorter = a.size < size ? (size_t)a.size : size;
    int order = shorter ? memcmp(a.data, data, shorter) : 0;
    return order ? order : (a.size > size) - (a.size < size);
}

static int compare_weights(const void *a, const void *b)
{
    const struct vox_weight *left = a, *right = b;
    return compare_text(left->name, right->name.data, (size_t)right->name.size);
}

static int32_t sort_table(struct vox_weights *w, struct vox_error *error)
{
    if (w->count)
        qsort(w->at, (size_t)w->count, sizeof(*w->at), compare_weights);
    for (uint64_t i = 1; i < w->count; i++)
        if (compare_weights(&w->at[i - 1], &w->at[i]) == 0)
            return weights_fail(w, error, "has two tensors named %s", w->at[i].name.data);
    w->marks = calloc((size_t)w->count + 1, 1);
    w->prefix = calloc(1, 1);
    return w->marks && w->prefix ? VOX_OK : weights_fail_memory(w, error);
}

uint64_t weights_lower_bound(const struct vox_weights *w, const char *name, size_t size)
{
    uint64_t low = 0, high = w->count;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (compare_text(w->at[middle].name, name, size) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint64_t vox_weights_count(const struct vox_weights *weights)
{
    return weights->count;
}

const struct vox_weight *vox_weights_at(const struct vox_weights *weights, uint64_t index)
{
    return &weights->at[index];
}

const struct vox_weight *vox_weights_find(const struct vox_weights *weights, const char *name)
{
    uint64_t i = weights_lower_bound(weights, name, strlen(name));
    return i < weights->count && vox_str_is(weights->at[i].name, name) ? &weights->at[i] : NULL;
}

/* --- Open and close --------------------------------------------------------------------------- */

static bool begins_with(const struct vox_weights *w, const char *text, size_t size)
{
    return w->size >= size && memcmp(w->bytes, text, size) == 0;
}

static int32_t read_any(struct vox_weights *w, struct vox_error *error)
{
    static const char pointer[] = "version https://git-lfs";
    if (w->size == 0)
        return weights_fail(w, error, "is empty");
    if (begins_with(w, "PK\3\4", 4))
        return checkpoint_read_zip(w, error);
    if (begins_with(w, LEGACY_MAGIC, sizeof(LEGACY_MAGIC) - 1))
        return checkpoint_read_legacy(w, error);
    if (begins_with(w, pointer, sizeof(pointer) - 1))
        return weights_fail(w, error,
                            "is a git-lfs pointer, not the weights: fetch the file itself");
    if (w->size > 8 && w->bytes[8] == '{')
        return safetensors_read(w, error);
    return weights_fail(w, error, "is neither a safetensors file nor one that torch.save wrote");
}

/* Takes over `w->bytes`, also when it fails. */
static int32_t open_table(struct vox_weights *w, struct vox_weights **out, struct vox_error *error)
{
    int32_t result = read_any(w, error);
    if (result == VOX_OK)
        result = sort_table(w, error);
    if (result == VOX_OK)
        *out = w;
    else
        vox_weights_close(w);
    return result;
}

static struct vox_weights *create(const char *path)
{
    const char *slash = strrchr(path, '/');
    struct vox_weights *w = calloc(1, sizeof(*w));
    if (w)
        w->file = strdup(slash ? slash + 1 : path);
    if (w && !w->file) {
        free(w);
        w = NULL;
    }
    return w;
}

int32_t weights_open_bytes(const char *file, const uint8_t *bytes, uint64_t size,
                           struct vox_weights **out, struct vox_error *error)
{
    struct vox_weights *w = create(file);
    *out = NULL;
    if (!w)
        return vox_fail(error, VOX_ENOMEM, "%s: out of memory", file);
    w->bytes = bytes;
    w->size = size;
    return open_table(w, out, error);
}

/* Maps the file behind `fd`; an empty one stays unmapped. */
static int32_t map_file(struct vox_weights *w, int fd, const char *path, struct vox_error *error)
{
    struct stat info;
    if (fstat(fd, &info) != 0)
        return vox_fail(error, VOX_EMODEL, "%s: %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode))
        return vox_fail(error, VOX_EMODEL, "%s: is not a file", path);
    if (info.st_size == 0)
        return VOX_OK;
    void *bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return vox_fail(error, errno == ENOMEM ? VOX_ENOMEM : VOX_EMODEL,
                        "%s: cannot be mapped: %s", path, strerror(errno));
    w->bytes = bytes;
    w->size = (uint64_t)info.st_size;
    w->is_mapped = true;
    return VOX_OK;
}

int32_t vox_weights_open(const char *path, struct vox_weights **out, struct vox_error *error)
{
    *out = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return vox_fail(error, VOX_EMODEL, "%s: %s", path, strerror(errno));
    struct vox_weights *w = create(path);
    int32_t result =
        w ? map_file(w, fd, path, error) : vox_fail(error, VOX_ENOMEM, "%s: out of memory", path);
    close(fd);
    if (result == VOX_OK)
        return open_table(w, out, error);
    vox_weights_close(w);
    return result;
}

void vox_weights_close(struct vox_weights *weights)
{
    struct vox_weights *w = weights;
    if (!w)
        return;
    if (w->is_mapped)
        munmap((void *)(uintptr_t)w->bytes, (size_t)w->size);
    while (w->names) {
        struct name_block *next = w->names->next;
        free(w->names);
        w->names = next;
    }
    for (uint64_t i = 0; i < w->finding_count; i++)
        free(w->findings[i]);
    free(w->findings);
    free(w->prefix);
    free(w->marks);
    free(w->at);
    free(w->file);
    free(w);
}

void vox_weights_release(const struct vox_weights *weights, const struct vox_weight *weight)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin = ((uintptr_t)weight->data + page - 1) / page * page;
    uintptr_t end = ((uintptr_t)weight->data + weight->size) / page * page;
    if (weights->is_mapped && begin < end)
        madvise((void *)begin, end - begin, MADV_DONTNEED);
}
