/* Attention in f32 for AVX-512; attention_tile.h holds the algorithm. Other CPUs leave attention to
 * libtorch. */
#include "kernels/kernels.h"

int64_t vk_attention_items(const struct vk_attention *a)
{
    return a->batch * a->heads * ((a->n + VK_ATTENTION_ROWS - 1) / VK_ATTENTION_ROWS);
}

#if defined(__x86_64__)

#define TILE_TARGET __attribute__((target("avx512f,avx512dq")))
#define TILE_PACK 1
#define TILE_MULADD(acc, a, b) _mm512_fmadd_ps(a, b, acc)
#include "kernels/attention_tile.h"

static void pack_values(const char *v, int64_t stride, int64_t keys, int64_t d, float *packed)
{
    for (int64_t key = 0; key < keys; key++) {
        memcpy(packed + key * d, v + key * stride, (size_t)d * sizeof(float));
    }
}

static void store_weights(float *weights, int64_t index, __m512 p)
{
    _mm512_storeu_ps(weights + index, p);
}

static void store_output(char *out, const float *row, int64_t d, __m512 factor)
{
    for (int64_t c = 0; c < d; c += LANES) {
        _mm512_storeu_ps(out + c * (int64_t)sizeof(float),
                         _mm512_mul_ps(_mm512_loadu_ps(row + c), factor));
    }
}

size_t vk_attention_scratch_size(const struct vk_attention *a)
{
    return sizeof(struct tile_scratch) + SCRATCH_ALIGN +
           2 * (size_t)packed_words(a) * sizeof(float);
}

bool vk_attention_f32_supported(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq");
}

void vk_attention_f32(const struct vk_attention *a, int64_t begin, int64_t end, void *scratch)
{
    assert(vk_attention_f32_supported());
    attend_items(a, begin, end, scratch);
}

#else

#include <assert.h>

size_t vk_attention_scratch_size(const struct vk_attention *a)
{
    (void)a;
    return 0;
}

bool vk_attention_f32_supported(void)
{
    return false;
}

void vk_attention_f32(const struct vk_attention *a, int64_t begin, int64_t end, void *scratch)
{
    (void)a, (void)begin, (void)end, (void)scratch;
    assert(vk_attention_f32_supported());
}

#endif
