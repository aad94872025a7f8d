/* CPU kernels of libvoxtensor, in plain C with intrinsics: attention, rotary embedding,
 * normalisation and residual of a transformer block. Private to libvoxtensor, which calls them
 * where they beat libtorch's own.
 *
 * A kernel works on the items [begin, end) of its work and starts no thread: the caller splits the
 * range. Items are independent, so every split gives the same bits. All pointers are borrowed for
 * the call, need the alignment of one element only, and bf16 values are uint16_t.
 *
 * The kernels must not know tensors, modules or checkpoints. */
#ifndef VOX_KERNELS_H
#define VOX_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* softmax(q kᵀ · scale) v, not causal, no mask. Element (b, i, h, c) of q, k, v stands at
 * (b·n + i)·qkv_stride + h·d + c, as a Linear leaves it; of out, which may not overlap them,
 * likewise with out_stride. */
struct vk_attention {
    const void *q, *k, *v; /* [batch, n, heads, d] */
    void *out;             /* [batch, n, heads, d] */
    int64_t batch, n, heads;
    int64_t d; /* a multiple of 16 up to VK_ATTENTION_D_MAX */
    int64_t qkv_stride, out_stride;
    float scale; /* above zero */
};

#define VK_ATTENTION_D_MAX 128
#define VK_ATTENTION_ROWS 192 /* of one item */

/* Whether this CPU runs the kernel; where not, the two kernels may not be called. */
bool vk_attention_f32_supported(void);
bool vk_attention_bf16_supported(void);

/* One item is a block of query rows of one head. */
int64_t vk_attention_items(const struct vk_attention *a);
/* Bytes of scratch, at any alignment, that one call needs; calls that run at the same time need one
 * each. Items of one head that follow each other in a call share its packing. */
size_t vk_attention_scratch_size(const struct vk_attention *a);
void vk_attention_f32(const struct vk_attention *a, int64_t begin, int64_t end, void *scratch);
void vk_attention_bf16(const struct vk_attention *a, int64_t begin, int64_t end, void *scratch);

/* Rotary embedding over interleaved pairs (2i, 2i+1), in place, of the first `heads` heads. An item
 * is a row; row r has position r mod n. */
struct vk_rope {
    const float *cos, *sin; /* [n, d/2]; d is even */
    int64_t n, d, heads;
    int64_t stride; /* elements from row to row of x, at least heads·d */
};

void vk_rope_f32(const struct vk_rope *r, float *x, int64_t begin, int64_t end);
void vk_rope_bf16(const struct vk_rope *r, uint16_t *x, int64_t begin, int64_t end);

/* y = (x - mean) / sqrt(variance + eps) · (1 + scale) + shift for every row of x, y [rows, d]. An
 * item is a row. */
struct vk_layer_norm {
    const float *scale, *shift; /* [d] */
    int64_t d;
    float eps;
};

void vk_layer_norm_modulate_f32(const struct vk_layer_norm *p, const float *x, float *y,
                                int64_t begin, int64_t end);
void vk_layer_norm_modulate_bf16(const struct vk_layer_norm *p, const float *x, uint16_t *y,
                                 int64_t begin, int64_t end);

/* x += gate · y for every row of x, y [rows, d]; gate [d]. An item is a row. */
void vk_gated_add_f32(float *x, const float *gate, const float *y, int64_t d, int64_t begin,
                      int64_t end);
void vk_gated_add_bf16(float *x, const float *gate, const uint16_t *y, int64_t d, int64_t begin,
                       int64_t end);

/* Conversion, to nearest even; NaN stays NaN. An item is an element. */
void vk_bf16_from_f32(uint16_t *y, const float *x, int64_t begin, int64_t end);
void vk_f32_from_bf16(float *y, const uint16_t *x, int64_t begin, int64_t end);

#ifdef __cplusplus
}
#endif

#endif
