/* What the readers of weight files share: the open file, its table, and one way to refuse it.
 *
 * weights.c decides which reader a file goes to; safetensors.c and checkpoint.c (over zip.c and
 * pickle.c) fill the table; checklist.c and finite.c serve the model's loader and know no format.
 */
#ifndef WEIGHTS_FILE_H
#define WEIGHTS_FILE_H

#include "vox/helpers.h"
#include "vox/weights.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEIGHTS_COUNT_MAX (1u << 20)

struct name_block; /* names lie in blocks, which do not move */

struct vox_weights {
    const uint8_t *bytes; /* the whole file */
    uint64_t size;
    bool is_mapped; /* else `bytes` are the caller's */
    char *file;     /* its name without folders, for messages */
    struct vox_weight *at;
    uint64_t count, cap;
    struct name_block *names;

    uint8_t *marks; /* per weight; see checklist.c */
    char *prefix;
    char **findings; /* what takes ran into */
    uint64_t finding_count, finding_cap;
    bool is_out_of_memory; /* a finding was lost */
};

/* Reads a file that lies in memory, for tests; the bytes are borrowed until close. */
int32_t weights_open_bytes(const char *file, const uint8_t *bytes, uint64_t size,
                           struct vox_weights **out, struct vox_error *error);

/* Writes "FILE: ..." and returns VOX_EMODEL. */
VOX_PRINTF(3, 4)
int32_t weights_fail(const struct vox_weights *w, struct vox_error *error, const char *format, ...);
int32_t weights_fail_memory(const struct vox_weights *w, struct vox_error *error);

/* UTF-8 without control characters: what may stand in a message. */
bool weights_is_printable(struct vox_str text);
int32_t weights_check_name(const struct vox_weights *w, struct vox_str name,
                           struct vox_error *error);
/* Adds a row to the table; its name is checked and copied. Later: sorted, duplicates refused. */
int32_t weights_add(struct vox_weights *w, const struct vox_weight *weight,
                    struct vox_error *error);
/* Index of the first weight whose name is not below `name`. */
uint64_t weights_lower_bound(const struct vox_weights *w, const char *name, size_t size);

/* Makes room for `need` items in an array that doubles; false when memory runs out. */
bool weights_grow(void *array, uint64_t *cap, uint64_t need, size_t item_size);

/* "[100, 1024]"; a dimension of -1 is "?". Returns `text`. */
#define SHAPE_TEXT_SIZE (VOX_RANK_MAX * 22 + 8)
const char *weights_shape_text(char text[SHAPE_TEXT_SIZE], const int64_t *dims, uint32_t rank);

/* VOX_DTYPE_* by the names in files, or 0: "BF16", torch's "bfloat16" and "BFloat16Storage". */
uint32_t dtype_from_safetensors(struct vox_str name);
uint32_t dtype_from_torch(struct vox_str name);
uint32_t dtype_from_storage(struct vox_str name);

static inline uint64_t read_le(const uint8_t *bytes, size_t size)
{
    uint64_t value = 0;
    for (size_t i = size; i-- > 0;)
        value = value << 8 | bytes[i];
    return value;
}

/* --- Readers ---------------------------------------------------------------------------------- */

int32_t safetensors_read(struct vox_weights *w, struct vox_error *error);

/* The zip archive that torch.save writes, and the older row of pickles. */
int32_t checkpoint_read_zip(struct vox_weights *w, struct vox_error *error);
#define LEGACY_MAGIC "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
int32_t checkpoint_read_legacy(struct vox_weights *w, struct vox_error *error);

/* Finds the bytes of a storage by its key; false when there are none. */
struct storages {
    bool (*find)(const void *self, struct vox_str key, const uint8_t **data, uint64_t *size);
    const void *self;
};
/* Reads the pickle that begins at `bytes`, and adds the tensors of its dictionaries and lists. */
int32_t checkpoint_read_pickle(struct vox_weights *w, const uint8_t *bytes, uint64_t size,
                               const struct storages *storages, struct vox_error *error);

#endif
