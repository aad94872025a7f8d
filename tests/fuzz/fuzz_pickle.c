/* Any bytes as a file of torch.save: what begins as a zip archive or a legacy file is read as one, and
 * everything else is the pickle of an archive whose every storage has 64 bytes. */
#include "fuzz_weights.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool find_any(const void *self, struct vox_str key, const uint8_t **data, uint64_t *size)
{
    *data = self;
    *size = 64;
    return key.size < 8;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool is_zip = size >= 2 && memcmp(data, "PK", 2) == 0;
    bool is_legacy = size >= sizeof(LEGACY_MAGIC) - 1 &&
                     memcmp(data, LEGACY_MAGIC, sizeof(LEGACY_MAGIC) - 1) == 0;
    if (is_zip || is_legacy) {
        check_file(data, size);
        return 0;
    }
    uint8_t *storage = calloc(64, 1); /* exact, so that a sanitizer sees its end */
    struct vox_weights *w = calloc(1, sizeof(*w));
    require(storage && w, "memory");
    const struct storages storages = {find_any, storage};
    struct vox_error error = {.size = sizeof(error)};
    w->size = size;
    w->file = strdup("f");
    require(w->file != NULL, "memory");
    int32_t code = checkpoint_read_pickle(w, data, size, &storages, &error);
    if (code != VOX_OK)
        require_reason(&error);
    for (uint64_t i = 0; code == VOX_OK && i < w->count; i++) {
        const struct vox_weight *weight = &w->at[i];
        const uint8_t *at = weight->data;
        require(weight->size <= 64 && at >= storage && at + weight->size <= storage + 64,
                "inside its storage");
        require(vox_weight_first_nonfinite(weight) == -1, "zeros are numbers");
    }
    vox_weights_close(w);
    free(storage);
    return 0;
}
