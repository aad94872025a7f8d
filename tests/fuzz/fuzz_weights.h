/* What must hold of any weight file that was taken: each weight lies where it says, is found by its name,
 * can be checked, taken and settled. Included by the targets for weight files. */
#ifndef FUZZ_WEIGHTS_H
#define FUZZ_WEIGHTS_H

#include "weights/weights_file.h"

#include <stdio.h>
#include <stdlib.h>

static inline void require(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

/* One printable line that begins with the file's name. */
static inline void require_reason(const struct vox_error *error)
{
    require(strncmp(error->message, "f: ", 3) == 0, "a refusal has a reason");
    for (const char *c = error->message; *c; c++)
        require((uint8_t)*c >= ' ' && *c != 0x7f, "of one line");
}

static volatile uint8_t sum_of_bytes; /* so that every byte is read */

static inline void check_weights(struct vox_weights *w)
{
    uint64_t count = vox_weights_count(w);
    for (uint64_t i = 0; i < count; i++) {
        const struct vox_weight *weight = vox_weights_at(w, i);
        const uint8_t *data = weight->data;
        for (uint64_t k = 0; k < weight->size; k++)
            sum_of_bytes = (uint8_t)(sum_of_bytes + data[k]);
        require(vox_dtype_size(weight->dtype) > 0 && weight->rank <= VOX_RANK_MAX, "dtype, rank");
        require(strlen(weight->name.data) == weight->name.size, "a name without NUL");
        require(vox_weights_find(w, weight->name.data) == weight, "found by its name");
        if (i % 2)
            vox_weights_take(w, weight->dims, weight->rank, weight->name.data);
        int64_t bad = vox_weight_first_nonfinite(weight);
        require(bad >= -1, "an index");
    }
    struct vox_error error = {.size = sizeof(error)};
    int32_t code = vox_weights_settle(w, NULL, NULL, &error);
    require(code == (count ? VOX_EMODEL : VOX_OK), "the first weight is not used");
    if (code != VOX_OK)
        require_reason(&error);
    vox_weights_check_finite(w, &error);
    vox_weights_close(w);
}

/* Any file: refused with a reason, or all of the above. */
static inline void check_file(const uint8_t *data, size_t size)
{
    struct vox_error error = {.size = sizeof(error)};
    struct vox_weights *w = NULL;
    if (weights_open_bytes("f", data, size, &w, &error) == VOX_OK)
        check_weights(w);
    else
        require_reason(&error);
}

#endif
