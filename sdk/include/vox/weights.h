/* Weight files: safetensors, and what torch.save writes (.pt, .pth, .bin), read without libtorch.
 *
 *     open ......... maps the file read-only and makes a table of its tensors, sorted by name
 *       find ....... looks at what is there (which prefix, which sizes)
 *       take ....... what the model uses, by name and exact shape; never fails on the spot
 *       ignore ..... what the model knows and has no use for
 *     settle ....... one error for everything missing, misshapen and unused
 *     check_finite . one error for the first NaN or infinity in what was taken
 *     close ........ when no tensor uses the memory any more
 *
 * Nothing is copied: `data` points into the mapping, so processes on one file share its pages. The file
 * must not be cut short while it is open. Nothing in a file is ever run: a pickle is read by a machine
 * that knows dictionaries, lists and tensors, and drops every other object.
 *
 * Link with vox_weights. Failing functions give VOX_EMODEL, or VOX_ENOMEM when memory runs out, and a
 * message that begins with the file's name. An open file belongs to one thread at a time; the table, the
 * bytes and the functions that take a const struct may be used from all threads.
 */
#ifndef VOX_WEIGHTS_H
#define VOX_WEIGHTS_H

#include "vox/plugin.h"

#ifdef __cplusplus
extern "C" {
#endif

#define VOX_RANK_MAX 8
#define VOX_WEIGHT_NAME_MAX 511 /* bytes */

#define VOX_DTYPE_F32 1u
#define VOX_DTYPE_F64 2u
#define VOX_DTYPE_F16 3u
#define VOX_DTYPE_BF16 4u
#define VOX_DTYPE_I64 5u
#define VOX_DTYPE_I32 6u
#define VOX_DTYPE_I16 7u
#define VOX_DTYPE_I8 8u
#define VOX_DTYPE_U8 9u
#define VOX_DTYPE_BOOL 10u
/* From here on: in the table, but refused by take. */
#define VOX_DTYPE_F8_E4M3 11u
#define VOX_DTYPE_F8_E5M2 12u
#define VOX_DTYPE_U16 13u
#define VOX_DTYPE_U32 14u
#define VOX_DTYPE_U64 15u
#define VOX_DTYPE_C64 16u

/* "F32", "BF16", ... as safetensors spells it, and bytes per element. NULL and 0 for an unknown one. */
const char *vox_dtype_name(uint32_t dtype);
uint64_t vox_dtype_size(uint32_t dtype);

/* One tensor of an open file; valid until close. */
struct vox_weight {
    struct vox_str name; /* terminated as well; no control characters */
    uint32_t dtype;      /* VOX_DTYPE_* */
    uint32_t rank;       /* 0: a scalar */
    int64_t dims[VOX_RANK_MAX];
    int64_t strides[VOX_RANK_MAX]; /* elements, >= 0; row-major from safetensors, any from torch */
    const void *data;              /* may be misaligned for its dtype; may be shared with others */
    uint64_t size;                 /* bytes reachable from `data`; 0 when a dimension is 0 */
};

struct vox_weights;

/* Opens a file, whose kind its content decides. */
int32_t vox_weights_open(const char *path, struct vox_weights **out, struct vox_error *error);
void vox_weights_close(struct vox_weights *weights);

uint64_t vox_weights_count(const struct vox_weights *weights);
/* In the order of names, bytewise. `index` is below the count. */
const struct vox_weight *vox_weights_at(const struct vox_weights *weights, uint64_t index);
/* By its whole name, whatever the prefix; NULL when there is none. */
const struct vox_weight *vox_weights_find(const struct vox_weights *weights, const char *name);

/* take and ignore look for prefix + name from now on ("ema_model."); "" at first. Copied.
 * In a torch file the keys of nested dictionaries and the indices of lists are joined by dots. */
void vox_weights_prefix(struct vox_weights *weights, const char *prefix);
/* The weight of that name and exactly that shape (a dimension of -1 fits any), now known as used. If it is
 * missing, misshapen or of a dtype that cannot be used: NULL, and settle will say so. */
const struct vox_weight *vox_weights_take(struct vox_weights *weights, const int64_t *dims,
                                          uint32_t rank, const char *name);
/* Not needed, and may be there; with ignore_all everything that begins with `start`. */
void vox_weights_ignore(struct vox_weights *weights, const char *name);
void vox_weights_ignore_all(struct vox_weights *weights, const char *start);

/* After all takes. Fails when one of them failed or a weight was neither taken nor ignored. The message
 * holds as many of the findings as fit; `line`, if not NULL, is told every one of them. */
int32_t vox_weights_settle(struct vox_weights *weights, void (*line)(void *arg, const char *text),
                           void *arg, struct vox_error *error);

/* Reads every floating-point weight that was taken, and names the first value that is no number. */
int32_t vox_weights_check_finite(const struct vox_weights *weights, struct vox_error *error);
/* The row-major index of the first NaN or infinity of one weight, or -1. */
int64_t vox_weight_first_nonfinite(const struct vox_weight *weight);

/* Tells the kernel that this weight's pages can leave memory; touching them reads the file again. */
void vox_weights_release(const struct vox_weights *weights, const struct vox_weight *weight);

#ifdef __cplusplus
}
#endif

#endif
