/* Attention in bf16 with sums in f32 for AVX512-BF16; attention_tile.h holds the algorithm. A word
 * is a pair of channels in q kᵀ and a pair of keys in P v; P is rounded to bf16, its sum is not.
 * Other CPUs leave attention to libtorch. */
#include "kernels/kernels.h"

#if defined(__x86_64__)

#define TILE_TARGET __attribute__((target("avx512f,avx512dq,avx512bw,avx512vl,avx512bf16")))
#define TILE_PACK 2
#define TILE_MULADD(acc, a, b) _mm512_dpbf16_ps(acc, (__m512bh)(a), (__m512bh)(b))
#include "kernels/attention_tile.h"

/* Word c of packed row i: channel c of key 2i below that of key 2i + 1. */
static void pack_values(const char *v, int64_t stride, int64_t keys, int64_t d, float *packed)
{
    for (int64_t key = 0; key < keys; key += 2) {
        const char *row = v + key * stride;
        for (int64_t c = 0; c < d; c += LANES) {
            __m512i low = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(row + c * 2)));
            __m512i high = _mm512_setzero_si512();
            if (key + 1 < keys) {
                high = _mm512_cvtepu16_epi32(
                    _mm256_loadu_si256((const __m256i *)(row + stride + c * 2)));
            }
            _mm512_storeu_si512(packed + key / 2 * d + c,
                                _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
        }
    }
}

static void store_weights(float *weights, int64_t index, __m512 p)
{
    _mm256_storeu_si256((__m256i *)(void *)((char *)weights + index * 2),
                        (__m256i)_mm512_cvtneps_pbh(p));
}

static void store_output(char *out, const float *row, int64_t d, __m512 factor)
{
    for (int64_t c = 0; c < d; c += LANES) {
        __m512 value = _mm512_mul_ps(_mm512_loadu_ps(row + c), factor);
        _mm256_storeu_si256((__m256i *)(void *)(out + c * 2), (__m256i)_mm512_cvtneps_pbh(value));
    }
}

bool vk_attention_bf16_supported(void)
{
    return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}

void vk_attention_bf16(const struct vk_attention *a, int64_t begin, int64_t end, void *scratch)
{
    assert(vk_attention_bf16_supported());
    attend_items(a, begin, end, scratch);
}

#else

#include <assert.h>

bool vk_attention_bf16_supported(void)
{
    return false;
}

void vk_attention_bf16(const struct vk_attention *a, int64_t begin, int64_t end, void *scratch)
{
    (void)a, (void)begin, (void)end, (void)scratch;
    assert(vk_attention_bf16_supported());
}

#endif
