/* The tensor API: what a plugin computes with. Implemented by libvoxtensor, a C shim over libtorch.
 *
 * A plugin that uses it declares VOX_CAP_TENSORS and links VoxSdk::voxtensor. Two handles:
 *
 *   vt_cx   a context: device, scopes, random generator, first error. One for loading a model, one per
 *           session; used by one thread at a time.
 *   vt      a tensor. Never changed by an operation, but by those that end in _into.
 *
 * Ownership is scopes. Every result belongs to the innermost open scope of its context and is freed
 * when that is left; nothing is freed by hand. What must live longer is held (vt_hold, vt_weight)
 * until vt_drop or vt_close. A held tensor may be read through any context, from several threads.
 *
 * Errors are sticky. The first failure of a context is kept with its breadcrumb of labels; every
 * later operation returns a poison tensor at once, whose sizes are all 1. Model code checks vt_ok
 * once a step and returns vt_status.
 *
 *     vt_mark scope = vt_enter(cx, "ff");
 *     vt *h = vt_linear(cx, x, w->in, w->in_bias, VT_GELU_TANH);            [b, n, f]
 *     return vt_leave(cx, scope, vt_linear(cx, h, w->out, w->out_bias, 0)); [b, n, d]
 *
 * Shapes in comments are in brackets, outermost dimension first; dimensions count from 0, negative
 * ones from the end. Operations take float tensors (F32, BF16, F16) of one type unless they say
 * otherwise, and broadcast as torch does. Never put two random draws into one expression: C leaves
 * their order open.
 *
 * Thread tags: [cx] by one thread at a time per context; [any] from any thread.
 */
#ifndef VOX_TENSOR_H
#define VOX_TENSOR_H

#include "vox/plugin.h"
#include "vox/weights.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vt vt;
typedef struct vt_cx vt_cx;

#define VT_RANK_MAX 8

/* A shape. Where a shape is expected, -1 stands for any size. */
struct vt_dims {
    uint32_t rank;
    int64_t size[VT_RANK_MAX];
};
#define VT_DIMS(...)                                                                  \
    ((struct vt_dims){(uint32_t)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), \
                      {__VA_ARGS__}})

/* Element types. */
#define VT_F32 1u
#define VT_BF16 2u
#define VT_F16 3u
#define VT_I64 4u

/* --- Context ---------------------------------------------------------------------------------- */

struct vt_setup {
    uint32_t size;
    uint32_t threads;      /* for one operation; 0: one per core that this process may use */
    struct vox_str device; /* as in vox_load: auto | cpu | cuda | cuda:N */
};

/* Makes a context. The first one of a process on a CPU measures which of the available matrix and
 * attention kernels is fastest (about 0.1 s). VOX_EUNSUPPORTED: no such device in this libtorch.
 * [any] */
VOX_EXPORT int32_t vt_open(const struct vt_setup *setup, vt_cx **cx, struct vox_error *error);

/* Frees the context and all that it holds. NULL is fine. [cx] */
VOX_EXPORT void vt_close(vt_cx *cx);

/* Begins work on the calling thread: inference mode, device, thread count; clears the error of the
 * work before. Ends it: leaves scopes that an early return left open. Pairs on one thread; work
 * does not nest. [cx] */
VOX_EXPORT int32_t vt_begin(vt_cx *cx, struct vox_error *error);
VOX_EXPORT void vt_end(vt_cx *cx);

/* 1 while nothing has failed. [cx] */
VOX_EXPORT int32_t vt_ok(const vt_cx *cx);

/* VOX_OK, or the first failure: its code (VOX_ENOMEM, VOX_EDEVICE, VOX_EINTERNAL) and
 * "step[17].block[3].attn: ...". [cx] */
VOX_EXPORT int32_t vt_status(const vt_cx *cx, struct vox_error *error);

/* 1 when the device multiplies BF16 in hardware, so that BF16 is the faster type. [cx] */
VOX_EXPORT int32_t vt_has_fast_bf16(const vt_cx *cx);

/* One line about the library: libtorch's version, CPU capability, chosen kernels. Valid for ever.
 * [any] */
VOX_EXPORT const char *vt_about(void);

/* Tensors alive, in open scopes and held. After vt_end only held ones are left. [cx] */
VOX_EXPORT uint64_t vt_live(const vt_cx *cx);

/* --- Scopes ----------------------------------------------------------------------------------- */

typedef uint32_t vt_mark;

/* Opens a scope. `label` must be a literal; it is part of breadcrumbs and tap names. vt_enter_i
 * adds "[i]". [cx] */
VOX_EXPORT vt_mark vt_enter(vt_cx *cx, const char *label);
VOX_EXPORT vt_mark vt_enter_i(vt_cx *cx, const char *label, int64_t i);

/* Frees the scope's tensors but `result` (may be NULL), which moves to the scope outside. Returns
 * it. [cx] */
VOX_EXPORT vt *vt_leave(vt_cx *cx, vt_mark mark, vt *result);

/* Takes a tensor out of its scope, so that it lives until vt_drop or vt_close. Returns the handle
 * to use. [cx] */
VOX_EXPORT vt *vt_hold(vt_cx *cx, vt *x);
VOX_EXPORT void vt_drop(vt_cx *cx, vt *x); /* NULL is fine */

/* --- Taps: intermediates, for golden tests ---------------------------------------------------- */

/* Called by vt_tap with the breadcrumb and the tap's name: "chunk[0].step[3].block[1].out". */
typedef void vt_tap_function(void *arg, const char *name, vt_cx *cx, const vt *x);
VOX_EXPORT void vt_tap_set(vt_cx *cx, vt_tap_function *function, void *arg); /* NULL: none [cx] */
VOX_EXPORT void vt_tap(vt_cx *cx, const char *name, const vt *x);            /* [cx] */

/* --- In and out ------------------------------------------------------------------------------- */

/* Copies of host memory, on the context's device. [cx] */
VOX_EXPORT vt *vt_from_f32(vt_cx *cx, const float *data, struct vt_dims dims);
VOX_EXPORT vt *vt_from_i64(vt_cx *cx, const int64_t *data, struct vt_dims dims);
VOX_EXPORT vt *vt_zeros(vt_cx *cx, struct vt_dims dims); /* F32 */
/* F32: 0, 1, ... count-1; and `count` values evenly from `first` to `last` inclusive, as
 * torch.linspace. [cx] */
VOX_EXPORT vt *vt_arange(vt_cx *cx, int64_t count);
VOX_EXPORT vt *vt_linspace(vt_cx *cx, double first, double last, int64_t count);

/* Copies a float tensor of exactly `count` elements to the host as F32, row-major; waits for the
 * device. When the context has failed, fills with zeros. [cx] */
VOX_EXPORT void vt_read_f32(vt_cx *cx, const vt *x, float *out, uint64_t count);
VOX_EXPORT void vt_read_i64(vt_cx *cx, const vt *x, int64_t *out, uint64_t count);
VOX_EXPORT int32_t vt_all_finite(vt_cx *cx,
                                 const vt *x); /* 1 when no element is NaN or infinite [cx] */

VOX_EXPORT struct vt_dims vt_shape(const vt *x);      /* [any] */
VOX_EXPORT int64_t vt_size(const vt *x, int32_t dim); /* [any] */
VOX_EXPORT uint32_t vt_type(const vt *x);             /* VT_F32 ... [any] */
/* Fails the context, unless it has, when x has not this shape. Returns x. [cx] */
VOX_EXPORT const vt *vt_expect(vt_cx *cx, const vt *x, struct vt_dims dims);

/* --- Random ----------------------------------------------------------------------------------- */

/* Seeds the context's own generator, as torch.manual_seed does the global one. [cx] */
VOX_EXPORT void vt_seed(vt_cx *cx, uint64_t seed);
/* Standard normal F32, the numbers of torch.randn on the CPU whatever the device. [cx] */
VOX_EXPORT vt *vt_randn(vt_cx *cx, struct vt_dims dims);

/* --- Weights ---------------------------------------------------------------------------------- */

/* The weight of that name (a printf format) and shape, held, in `type`. F32 on a CPU is used from
 * the file's mapping without a copy: `weights` stays open until the context is closed. A missing or
 * misshapen one is noted in `weights`, which vox_weights_settle reports, and gives a poison tensor.
 * [cx] */
VOX_EXPORT vt *vt_weight(vt_cx *cx, struct vox_weights *weights, uint32_t type, struct vt_dims dims,
                         const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 5, 6)))
#endif
    ;

/* --- Shape ------------------------------------------------------------------------------------ */

VOX_EXPORT vt *vt_reshape(vt_cx *cx, const vt *x, struct vt_dims dims); /* one -1: the rest [cx] */
VOX_EXPORT vt *vt_transpose(vt_cx *cx, const vt *x, int32_t a, int32_t b);
VOX_EXPORT vt *vt_narrow(vt_cx *cx, const vt *x, int32_t dim, int64_t start, int64_t length);
VOX_EXPORT vt *vt_cat(vt_cx *cx, const vt *const *list, uint32_t count, int32_t dim);
VOX_EXPORT vt *vt_contiguous(vt_cx *cx, const vt *x); /* row-major in memory; may be x itself */
VOX_EXPORT vt *vt_to(vt_cx *cx, const vt *x, uint32_t type);

/* --- Arithmetic ------------------------------------------------------------------------------- */

VOX_EXPORT vt *vt_add(vt_cx *cx, const vt *a, const vt *b);
VOX_EXPORT vt *vt_sub(vt_cx *cx, const vt *a, const vt *b);
VOX_EXPORT vt *vt_mul(vt_cx *cx, const vt *a, const vt *b);
VOX_EXPORT vt *vt_div(vt_cx *cx, const vt *a, const vt *b);
VOX_EXPORT vt *vt_add_s(vt_cx *cx, const vt *x, double s);
VOX_EXPORT vt *vt_mul_s(vt_cx *cx, const vt *x, double s);
VOX_EXPORT vt *vt_exp(vt_cx *cx, const vt *x);
VOX_EXPORT vt *vt_log(vt_cx *cx, const vt *x);
VOX_EXPORT vt *vt_sin(vt_cx *cx, const vt *x);
VOX_EXPORT vt *vt_cos(vt_cx *cx, const vt *x);
VOX_EXPORT vt *vt_pow_base(vt_cx *cx, double base, const vt *exponent);
VOX_EXPORT vt *vt_maximum_s(vt_cx *cx, const vt *x, double least);
VOX_EXPORT vt *vt_minimum_s(vt_cx *cx, const vt *x, double most);
VOX_EXPORT vt *vt_minimum(vt_cx *cx, const vt *a, const vt *b);
VOX_EXPORT vt *vt_matmul(vt_cx *cx, const vt *a, const vt *b);
VOX_EXPORT vt *vt_mean(vt_cx *cx, const vt *x, int32_t dim);  /* keeps the dimension, with size 1 */
VOX_EXPORT vt *vt_norm2(vt_cx *cx, const vt *x, int32_t dim); /* Euclidean; keeps the dimension */

/* --- Layers ----------------------------------------------------------------------------------- */

/* Activations that vt_linear applies to its result; 0: none. */
#define VT_GELU 1u      /* exact, by erf */
#define VT_GELU_TANH 2u /* the tanh approximation */
#define VT_SILU 3u

/* x [..., i], w [o, i], bias [o] or NULL -> [..., o]. x is brought to the type of w; the result has
 * it. [cx] */
VOX_EXPORT vt *vt_linear(vt_cx *cx, const vt *x, const vt *w, const vt *bias, uint32_t activation);

struct vt_conv {
    int64_t stride, padding, dilation, groups; /* 0: 1, 0, 1, 1 */
};
/* x [b, i, n], w [o, i / groups, k], bias [o] or NULL -> [b, o, m]. [cx] */
VOX_EXPORT vt *vt_conv1d(vt_cx *cx, const vt *x, const vt *w, const vt *bias, struct vt_conv conv);

/* Over the last dimension; w and bias [d] or NULL. [cx] */
VOX_EXPORT vt *vt_layer_norm(vt_cx *cx, const vt *x, const vt *w, const vt *bias, double eps);
VOX_EXPORT vt *vt_rms_norm(vt_cx *cx, const vt *x, const vt *w, double eps);
VOX_EXPORT vt *vt_silu(vt_cx *cx, const vt *x);
VOX_EXPORT vt *vt_mish(vt_cx *cx, const vt *x);
/* Rows of w [v, d] at ids I64 [...] -> [..., d]. An id outside 0..v-1 fails. [cx] */
VOX_EXPORT vt *vt_embedding(vt_cx *cx, const vt *w, const vt *ids);

/* Softmax attention without a mask, scale 1/sqrt(d): q, k, v [b, n, heads * d] -> [b, n, heads *
 * d]. [cx] */
VOX_EXPORT vt *vt_attention(vt_cx *cx, const vt *q, const vt *k, const vt *v, int64_t heads);

/* Rotates the pairs (2i, 2i+1) of the first `rotated` of `heads` heads of x [b, n, heads * d], in
 * place, by the angles whose cosine and sine are given, F32 [n, d / 2]. Returns x. [cx] */
VOX_EXPORT vt *vt_rope_into(vt_cx *cx, vt *x, const vt *cos, const vt *sin, int64_t heads,
                            int64_t rotated);

/* Adaptive layer norm: LN(x) * (1 + scale) + shift over the last dimension; x F32 [..., d], scale
 * and shift F32 [d]; the result has `type`. [cx] */
VOX_EXPORT vt *vt_modulate(vt_cx *cx, const vt *x, const vt *scale, const vt *shift, double eps,
                           uint32_t type);

/* x += gate * y, in place: x F32 [..., d], gate F32 [d], y of any float type and x's shape. Returns
 * x. [cx] */
VOX_EXPORT vt *vt_gated_add_into(vt_cx *cx, vt *x, const vt *gate, const vt *y);

/* --- Signal ----------------------------------------------------------------------------------- */

/* The periodic Hann window. [cx] */
VOX_EXPORT vt *vt_hann(vt_cx *cx, int64_t size);
/* Magnitudes of the centred (reflecting) short-time Fourier transform, as torch.stft: wave [b,
 * samples], window [size] -> [b, size / 2 + 1, 1 + samples / hop]. [cx] */
VOX_EXPORT vt *vt_stft_magnitude(vt_cx *cx, const vt *wave, const vt *window, int64_t hop);
/* The centred inverse, as torch.istft: magnitude and phase [b, size / 2 + 1, n] -> [b, (n - 1) *
 * hop]. [cx] */
VOX_EXPORT vt *vt_istft_polar(vt_cx *cx, const vt *magnitude, const vt *phase, const vt *window,
                              int64_t hop);

#ifdef __cplusplus
}
#endif

#endif
