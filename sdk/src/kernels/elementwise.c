/* Kernels that touch each element a few times and so wait for memory: rotary embedding, LayerNorm
 * with modulation, gated residual, conversion to and from bf16. Each exists once for AVX-512 and
 * once in portable C, which is left alone with VK_PORTABLE (for tests); `half` says that the
 * untyped pointer leads to bf16, not f32. Arithmetic is in f32, the statistics of LayerNorm in
 * double. */
#include "kernels/kernels.h"

#include <math.h>
#include <string.h>

#if defined(__x86_64__) && !defined(VK_PORTABLE)
#include <immintrin.h>

#define LANES 16
#define WIDE __attribute__((target("avx512f,avx512bw,avx512vl")))
#define WIDE_INLINE WIDE static inline __attribute__((always_inline))

static bool wide_supported(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vl");
}

/* The first lanes of a row of which `left` elements are to come. */
WIDE_INLINE __mmask16 lanes(int64_t left)
{
    return (__mmask16)(left < LANES ? (1U << left) - 1U : 0xffffU);
}

WIDE_INLINE __m512 load(const void *x, int64_t index, __mmask16 mask, bool half)
{
    if (!half) {
        return _mm512_maskz_loadu_ps(mask, (const float *)x + index);
    }
    __m256i bits = _mm256_maskz_loadu_epi16(mask, (const uint16_t *)x + index);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

WIDE_INLINE void store(void *x, int64_t index, __mmask16 mask, __m512 value, bool half)
{
    if (!half) {
        _mm512_mask_storeu_ps((float *)x + index, mask, value);
        return;
    }
    __m512i bits = _mm512_castps_si512(value);
    __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
    __mmask16 nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
    rounded = _mm512_mask_set1_epi32(rounded, nan, 0x7fc00000);
    _mm256_mask_storeu_epi16((uint16_t *)x + index, mask,
                             _mm512_cvtepi32_epi16(_mm512_srli_epi32(rounded, 16)));
}

WIDE static void rope_wide(const struct vk_rope *r, void *x, int64_t begin, int64_t end, bool half)
{
    const __m512i twice = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
    for (int64_t row = begin; row < end; row++) {
        const float *cos = r->cos + row % r->n * (r->d / 2),
                    *sin = r->sin + row % r->n * (r->d / 2);
        for (int64_t h = 0; h < r->heads; h++) {
            for (int64_t c = 0; c < r->d; c += LANES) {
                __mmask16 mask = lanes(r->d - c), pairs = lanes((r->d - c) / 2);
                int64_t at = row * r->stride + h * r->d + c;
                __m512 v = load(x, at, mask, half), swapped = _mm512_permute_ps(v, 0xb1);
                __m512 a = _mm512_permutexvar_ps(twice, _mm512_maskz_loadu_ps(pairs, cos + c / 2));
                __m512 b = _mm512_permutexvar_ps(twice, _mm512_maskz_loadu_ps(pairs, sin + c / 2));
                store(x, at, mask, _mm512_fmaddsub_ps(v, a, _mm512_mul_ps(swapped, b)), half);
            }
        }
    }
}

WIDE_INLINE __m512d add_wide(__m512d sum, __m512 v)
{
    __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(v));
    __m512d high =
        _mm512_cvtps_pd(_mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(v), 1)));
    return _mm512_add_pd(sum, _mm512_add_pd(low, high));
}

WIDE static void layer_norm_wide(const struct vk_layer_norm *p, const float *x, void *y,
                                 int64_t begin, int64_t end, bool half)
{
    const __m512 one = _mm512_set1_ps(1.0F);
    for (int64_t row = begin; row < end; row++) {
        const float *from = x + row * p->d;
        __m512d sum = _mm512_setzero_pd(), squares = _mm512_setzero_pd();
        for (int64_t c = 0; c < p->d; c += LANES) {
            sum = add_wide(sum, _mm512_maskz_loadu_ps(lanes(p->d - c), from + c));
        }
        __m512 mean = _mm512_set1_ps((float)(_mm512_reduce_add_pd(sum) / (double)p->d));
        for (int64_t c = 0; c < p->d; c += LANES) {
            __mmask16 mask = lanes(p->d - c);
            __m512 v = _mm512_maskz_sub_ps(mask, _mm512_maskz_loadu_ps(mask, from + c), mean);
            squares = add_wide(squares, _mm512_mul_ps(v, v));
        }
        double variance = _mm512_reduce_add_pd(squares) / (double)p->d;
        __m512 factor = _mm512_set1_ps((float)(1.0 / sqrt(variance + (double)p->eps)));
        for (int64_t c = 0; c < p->d; c += LANES) {
            __mmask16 mask = lanes(p->d - c);
            __m512 v =
                _mm512_mul_ps(_mm512_sub_ps(_mm512_maskz_loadu_ps(mask, from + c), mean), factor);
            __m512 scale = _mm512_add_ps(one, _mm512_maskz_loadu_ps(mask, p->scale + c));
            v = _mm512_fmadd_ps(v, scale, _mm512_maskz_loadu_ps(mask, p->shift + c));
            store(y, row * p->d + c, mask, v, half);
        }
    }
}

WIDE static void gated_add_wide(float *x, const float *gate, const void *y, int64_t d,
                                int64_t begin, int64_t end, bool half)
{
    for (int64_t row = begin; row < end; row++) {
        for (int64_t c = 0; c < d; c += LANES) {
            __mmask16 mask = lanes(d - c);
            int64_t at = row * d + c;
            __m512 v = _mm512_maskz_loadu_ps(mask, gate + c);
            v = _mm512_fmadd_ps(v, load(y, at, mask, half), _mm512_maskz_loadu_ps(mask, x + at));
            _mm512_mask_storeu_ps(x + at, mask, v);
        }
    }
}

WIDE static void convert_wide(void *y, const void *x, int64_t begin, int64_t end, bool to_half)
{
    for (int64_t i = begin; i < end; i += LANES) {
        __mmask16 mask = lanes(end - i);
        store(y, i, mask, load(x, i, mask, !to_half), to_half);
    }
}

#define DISPATCH(name, ...) \
    (wide_supported() ? name##_wide(__VA_ARGS__) : name##_plain(__VA_ARGS__))

#else

#define DISPATCH(name, ...) name##_plain(__VA_ARGS__)

#endif

static float bf16_widen(uint16_t x)
{
    uint32_t bits = (uint32_t)x << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint16_t bf16_round(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return isnan(x) ? 0x7fc0 : (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static float get(const void *x, int64_t index, bool half)
{
    return half ? bf16_widen(((const uint16_t *)x)[index]) : ((const float *)x)[index];
}

static void set(void *x, int64_t index, float value, bool half)
{
    if (half) {
        ((uint16_t *)x)[index] = bf16_round(value);
    } else {
        ((float *)x)[index] = value;
    }
}

static void rope_plain(const struct vk_rope *r, void *x, int64_t begin, int64_t end, bool half)
{
    int64_t pairs = r->d / 2;
    for (int64_t row = begin; row < end; row++) {
        const float *cos = r->cos + row % r->n * pairs, *sin = r->sin + row % r->n * pairs;
        for (int64_t i = 0; i < r->heads * pairs; i++) {
            int64_t at = row * r->stride + 2 * i;
            float a = get(x, at, half), b = get(x, at + 1, half);
            set(x, at, a * cos[i % pairs] - b * sin[i % pairs], half);
            set(x, at + 1, b * cos[i % pairs] + a * sin[i % pairs], half);
        }
    }
}

static void layer_norm_plain(const struct vk_layer_norm *p, const float *x, void *y, int64_t begin,
                             int64_t end, bool half)
{
    for (int64_t row = begin; row < end; row++) {
        const float *from = x + row * p->d;
        double sum = 0, squares = 0;
        for (int64_t c = 0; c < p->d; c++) {
            sum += (double)from[c];
        }
        float mean = (float)(sum / (double)p->d);
        for (int64_t c = 0; c < p->d; c++) {
            squares += (double)(from[c] - mean) * (double)(from[c] - mean);
        }
        float factor = (float)(1.0 / sqrt(squares / (double)p->d + (double)p->eps));
        for (int64_t c = 0; c < p->d; c++) {
            set(y, row * p->d + c, (from[c] - mean) * factor * (1.0F + p->scale[c]) + p->shift[c],
                half);
        }
    }
}

static void gated_add_plain(float *x, const float *gate, const void *y, int64_t d, int64_t begin,
                            int64_t end, bool half)
{
    for (int64_t row = begin; row < end; row++) {
        for (int64_t c = 0; c < d; c++) {
            x[row * d + c] += gate[c] * get(y, row * d + c, half);
        }
    }
}

static void convert_plain(void *y, const void *x, int64_t begin, int64_t end, bool to_half)
{
    for (int64_t i = begin; i < end; i++) {
        set(y, i, get(x, i, !to_half), to_half);
    }
}

void vk_rope_f32(const struct vk_rope *r, float *x, int64_t begin, int64_t end)
{
    DISPATCH(rope, r, x, begin, end, false);
}

void vk_rope_bf16(const struct vk_rope *r, uint16_t *x, int64_t begin, int64_t end)
{
    DISPATCH(rope, r, x, begin, end, true);
}

void vk_layer_norm_modulate_f32(const struct vk_layer_norm *p, const float *x, float *y,
                                int64_t begin, int64_t end)
{
    DISPATCH(layer_norm, p, x, y, begin, end, false);
}

void vk_layer_norm_modulate_bf16(const struct vk_layer_norm *p, const float *x, uint16_t *y,
                                 int64_t begin, int64_t end)
{
    DISPATCH(layer_norm, p, x, y, begin, end, true);
}

void vk_gated_add_f32(float *x, const float *gate, const float *y, int64_t d, int64_t begin,
                      int64_t end)
{
    DISPATCH(gated_add, x, gate, y, d, begin, end, false);
}

void vk_gated_add_bf16(float *x, const float *gate, const uint16_t *y, int64_t d, int64_t begin,
                       int64_t end)
{
    DISPATCH(gated_add, x, gate, y, d, begin, end, true);
}

void vk_bf16_from_f32(uint16_t *y, const float *x, int64_t begin, int64_t end)
{
    DISPATCH(convert, y, x, begin, end, true);
}

void vk_f32_from_bf16(float *y, const uint16_t *x, int64_t begin, int64_t end)
{
    DISPATCH(convert, y, x, begin, end, false);
}
