/* Flash-style attention over one block of query rows of one head, for AVX-512. Included once by
 * attention_f32.c and once by attention_bf16.c, after they define what differs:
 *
 *   TILE_TARGET             instruction set of every function here
 *   TILE_PACK               elements in one 32-bit word of the products: 1 (f32) or 2 (bf16)
 *   TILE_MULADD(acc, a, b)  acc + the product of two vectors of words, pairs within a word summed
 *   pack_values, store_output, store_weights, declared below
 *
 *   pack Kᵀ and V of the head, unless the item before left them
 *   for each KEY_BLOCK of keys, for each GROUP_ROWS of query rows:
 *       S = Q Kᵀ            6 x 64 register tiles
 *       P = 2^(S - max)     running maximum and sum by row, as in "Online normalizer
 *                           calculation for softmax" (Milakov, Gimelshein, 2018)
 *       O = O · keep + P V  6 x 64 register tiles; keep = 2^(old max - new max)
 *   out = O / sum
 *
 * Packed, since rows a power of two apart fall into a few sets of the cache and one page each.
 * Both products are one micro-kernel over words. It must not know heads beyond struct
 * vk_attention, nor threads. */
#include "kernels/kernels.h"

#include <assert.h>
#include <float.h>
#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#define TILE_INLINE TILE_TARGET static inline __attribute__((always_inline))
#define LANES 16       /* words of one vector */
#define TILE_ROWS 6    /* with TILE_VECTORS: 24 accumulators of the 32 registers */
#define TILE_VECTORS 4 /* vectors side by side in a tile */
#define PANEL (LANES * TILE_VECTORS)
#define GROUP_ROWS 48 /* with KEY_BLOCK: scores of 48 KiB; 24 to 192 rows measure within 2 % */
#define KEY_BLOCK 256
#define QUERY_ROWS VK_ATTENTION_ROWS
#define SCRATCH_ALIGN 64

/* Scratch of one call; of every part the beginning that d needs is used. Sums are kept by lane and
 * added up at the end. */
struct tile_scratch {
    float query[QUERY_ROWS * VK_ATTENTION_D_MAX];  /* [QUERY_ROWS, d words] */
    float output[QUERY_ROWS * VK_ATTENTION_D_MAX]; /* [QUERY_ROWS, d] */
    float score[GROUP_ROWS * KEY_BLOCK];           /* the weights P replace the scores in place */
    float sum[QUERY_ROWS * LANES];
    float max[QUERY_ROWS]; /* of the scores in units of log2 */
    float keep[GROUP_ROWS];
    int64_t head;                           /* whose keys and values are packed, or -1 */
    float *key;                             /* [n / PANEL, d words, PANEL] */
    float *value;                           /* [n / TILE_PACK, d] */
    _Alignas(SCRATCH_ALIGN) float packed[]; /* memory of key and value */
};

/* What P multiplies: keys rows of d elements from v, `stride` bytes apart -> [keys / TILE_PACK, d]
 * words, zero where a row is missing. */
TILE_TARGET static void pack_values(const char *v, int64_t stride, int64_t keys, int64_t d,
                                    float *packed);
/* 16 weights of one row, as the second product reads them. */
TILE_TARGET static void store_weights(float *weights, int64_t index, __m512 p);
/* d words of f32 times factor to d elements of the output. */
TILE_TARGET static void store_output(char *out, const float *row, int64_t d, __m512 factor);

/* c [6, 16·vectors] = c · keep + a [6, depth] b [depth, 16·vectors];
 * without keep, c is not read. */
TILE_INLINE void tile_multiply(int vectors, int64_t depth, const float *a, int64_t a_stride,
                               const float *b, int64_t b_stride, const float *keep, float *c,
                               int64_t c_stride)
{
    __m512 acc[TILE_ROWS][TILE_VECTORS], right[TILE_VECTORS];
#pragma GCC unroll 6
    for (int r = 0; r < TILE_ROWS; r++) {
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++) {
            acc[r][j] = keep ? _mm512_mul_ps(_mm512_loadu_ps(c + r * c_stride + j * LANES),
                                             _mm512_set1_ps(keep[r]))
                             : _mm512_setzero_ps();
        }
    }
    for (int64_t i = 0; i < depth; i++) {
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++) {
            right[j] = _mm512_loadu_ps(b + i * b_stride + j * LANES);
        }
#pragma GCC unroll 6
        for (int r = 0; r < TILE_ROWS; r++) {
            __m512 left = _mm512_set1_ps(a[r * a_stride + i]);
#pragma GCC unroll 4
            for (int j = 0; j < vectors; j++) {
                acc[r][j] = TILE_MULADD(acc[r][j], left, right[j]);
            }
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < TILE_ROWS; r++) {
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++) {
            _mm512_storeu_ps(c + r * c_stride + j * LANES, acc[r][j]);
        }
    }
}

/* tile_multiply for every tile of rows x 16·vectors. */
TILE_TARGET static void rows_multiply(int vectors, int64_t rows, int64_t depth, const float *a,
                                      int64_t a_stride, const float *b, int64_t b_stride,
                                      const float *keep, float *c, int64_t c_stride)
{
    for (int64_t r = 0; r < rows; r += TILE_ROWS) {
        const float *left = a + r * a_stride, *factor = keep ? keep + r : NULL;
        float *to = c + r * c_stride;
        switch (vectors) { /* constants, so that the tile stays in registers */
        case 1:
            tile_multiply(1, depth, left, a_stride, b, b_stride, factor, to, c_stride);
            break;
        case 2:
            tile_multiply(2, depth, left, a_stride, b, b_stride, factor, to, c_stride);
            break;
        case 3:
            tile_multiply(3, depth, left, a_stride, b, b_stride, factor, to, c_stride);
            break;
        default:
            tile_multiply(4, depth, left, a_stride, b, b_stride, factor, to, c_stride);
        }
    }
}

/* 2^x: the fraction by a minimax polynomial of degree 5 on [0, 1) (relative error 7.5e-8, with
 * rounding 1.5e-7), the whole part by the exponent. */
TILE_INLINE __m512 exp2_vector(__m512 x)
{
    __m512 f = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    __m512 y = _mm512_set1_ps(0x1.ec320ap-10F);
    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(0x1.26900cp-7F));
    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(0x1.c95446p-5F));
    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(0x1.ebd5a8p-3F));
    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(0x1.62e4f6p-1F));
    y = _mm512_fmadd_ps(y, f, _mm512_set1_ps(0x1.fffffep-1F));
    return _mm512_scalef_ps(y, x);
}

/* Turns one row of scores into weights; renews its maximum and sum and returns the part of the old
 * output to keep. */
TILE_INLINE float row_softmax(float *score, int64_t keys, float scale_log2, float *row_max,
                              float *row_sum)
{
    int64_t whole = keys / LANES * LANES;
    __mmask16 rest = (__mmask16)((1U << (keys - whole)) - 1U);
    __m512 top = _mm512_set1_ps(-FLT_MAX);
    for (int64_t i = 0; i < whole; i += LANES) {
        top = _mm512_max_ps(top, _mm512_loadu_ps(score + i));
    }
    if (rest) {
        top = _mm512_mask_max_ps(top, rest, top, _mm512_loadu_ps(score + whole));
    }
    float keep = 1.0F;
    __m512 scale = _mm512_set1_ps(scale_log2), sum = _mm512_loadu_ps(row_sum);
    top = _mm512_mul_ps(top, scale);
    if (_mm512_cmp_ps_mask(top, _mm512_set1_ps(*row_max), _CMP_NLE_UQ)) {
        float max = _mm512_reduce_max_ps(top);
        keep = _mm512_cvtss_f32(exp2_vector(_mm512_set1_ps(*row_max - max)));
        sum = _mm512_mul_ps(sum, _mm512_set1_ps(keep));
        *row_max = max;
    }
    __m512 max = _mm512_set1_ps(*row_max);
    for (int64_t i = 0; i < whole; i += LANES) {
        __m512 p = exp2_vector(_mm512_fmsub_ps(_mm512_loadu_ps(score + i), scale, max));
        sum = _mm512_add_ps(sum, p);
        store_weights(score, i, p);
    }
    if (rest) {
        __m512 p = exp2_vector(_mm512_fmsub_ps(_mm512_loadu_ps(score + whole), scale, max));
        p = _mm512_maskz_mov_ps(rest, p);
        sum = _mm512_add_ps(sum, p);
        store_weights(score, whole, p);
    }
    _mm512_storeu_ps(row_sum, sum);
    return keep;
}

/* 16 x 16 words: row i of the result is column i of rows. */
TILE_INLINE void transpose(__m512 rows[LANES])
{
    __m512 t[LANES];
#pragma GCC unroll 8
    for (int i = 0; i < LANES; i += 2) {
        t[i] = _mm512_unpacklo_ps(rows[i], rows[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(rows[i], rows[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < LANES; i += 4) { /* rows[i + c]: column c of the 4 x 4 blocks of 4 rows */
        __m512d t0 = _mm512_castps_pd(t[i]), t1 = _mm512_castps_pd(t[i + 1]);
        __m512d t2 = _mm512_castps_pd(t[i + 2]), t3 = _mm512_castps_pd(t[i + 3]);
        rows[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(t0, t2));
        rows[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(t0, t2));
        rows[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(t1, t3));
        rows[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(t1, t3));
    }
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) { /* 4 x 4 blocks: the same with 128-bit quarters */
        __m512 even0 = _mm512_shuffle_f32x4(rows[c], rows[c + 4], 0x88);
        __m512 even1 = _mm512_shuffle_f32x4(rows[c + 8], rows[c + 12], 0x88);
        __m512 odd0 = _mm512_shuffle_f32x4(rows[c], rows[c + 4], 0xdd);
        __m512 odd1 = _mm512_shuffle_f32x4(rows[c + 8], rows[c + 12], 0xdd);
        t[c] = _mm512_shuffle_f32x4(even0, even1, 0x88);
        t[c + 4] = _mm512_shuffle_f32x4(odd0, odd1, 0x88);
        t[c + 8] = _mm512_shuffle_f32x4(even0, even1, 0xdd);
        t[c + 12] = _mm512_shuffle_f32x4(odd0, odd1, 0xdd);
    }
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) {
        rows[i] = t[i];
    }
}

/* keys rows of `words` words from k, `stride` bytes apart -> [keys / PANEL, words, PANEL]; zero up
 * to the next 16 keys. */
TILE_TARGET static void pack_keys(const char *k, int64_t stride, int64_t keys, int64_t words,
                                  float *packed)
{
    for (int64_t key = 0; key < keys; key += LANES) {
        float *panel = packed + key / PANEL * PANEL * words + key % PANEL;
        for (int64_t w = 0; w < words; w += LANES) {
            int64_t count = words - w < LANES ? words - w : LANES;
            __mmask16 mask = (__mmask16)((1U << count) - 1U);
            __m512 rows[LANES];
            for (int i = 0; i < LANES; i++) {
                rows[i] = key + i < keys
                              ? _mm512_maskz_loadu_ps(mask, k + (key + i) * stride + w * 4)
                              : _mm512_setzero_ps();
            }
            transpose(rows);
            for (int i = 0; i < count; i++) {
                _mm512_storeu_ps(panel + (w + i) * PANEL, rows[i]);
            }
        }
    }
}

/* One group of query rows against one block of packed keys and values. */
TILE_TARGET static void attend_group(const struct vk_attention *a, struct tile_scratch *s,
                                     int64_t row, int64_t rows, int64_t first_key)
{
    int64_t words = a->d / TILE_PACK;
    int64_t keys = a->n - first_key < KEY_BLOCK ? a->n - first_key : KEY_BLOCK;
    for (int64_t key = 0; key < keys; key += PANEL) {
        int64_t left = keys - key < PANEL ? keys - key : PANEL;
        rows_multiply((int)((left + LANES - 1) / LANES), rows, words, s->query + row * words, words,
                      s->key + (first_key + key) * words, PANEL, NULL, s->score + key, KEY_BLOCK);
    }
    float scale_log2 = a->scale * 0x1.715476p+0F; /* log2(e) */
    for (int64_t r = 0; r < rows; r++) {
        s->keep[r] = row_softmax(s->score + r * KEY_BLOCK, keys, scale_log2, s->max + row + r,
                                 s->sum + (row + r) * LANES);
    }
    for (int64_t c = 0; c < a->d; c += PANEL) {
        int64_t left = a->d - c < PANEL ? a->d - c : PANEL;
        rows_multiply((int)(left / LANES), rows, (keys + TILE_PACK - 1) / TILE_PACK, s->score,
                      KEY_BLOCK, s->value + first_key / TILE_PACK * a->d + c, a->d, s->keep,
                      s->output + row * a->d + c, a->d);
    }
}

/* Loads the query rows of an item and starts its sums; rows up to a whole tile are zero. Returns
 * their count. */
static int64_t query_load(const struct vk_attention *a, struct tile_scratch *s, const char *q,
                          int64_t rows)
{
    int64_t words = a->d / TILE_PACK, row_size = a->qkv_stride * 4 / TILE_PACK;
    int64_t padded = (rows + TILE_ROWS - 1) / TILE_ROWS * TILE_ROWS;
    for (int64_t r = 0; r < rows; r++) {
        memcpy(s->query + r * words, q + r * row_size, (size_t)words * 4);
    }
    memset(s->query + rows * words, 0, (size_t)((padded - rows) * words) * 4);
    memset(s->output, 0, (size_t)(padded * a->d) * 4);
    memset(s->sum, 0, (size_t)(padded * LANES) * 4);
    for (int64_t r = 0; r < padded; r++) {
        s->max[r] = -FLT_MAX;
    }
    return padded;
}

TILE_TARGET static void attend_item(const struct vk_attention *a, struct tile_scratch *s,
                                    int64_t item)
{
    int64_t blocks = (a->n + QUERY_ROWS - 1) / QUERY_ROWS, head = item / blocks;
    int64_t first = item % blocks * QUERY_ROWS;
    int64_t rows = a->n - first < QUERY_ROWS ? a->n - first : QUERY_ROWS;
    int64_t batch_row = head / a->heads * a->n, column = head % a->heads * a->d;
    int64_t size = 4 / TILE_PACK, row_size = a->qkv_stride * size;
    int64_t offset = batch_row * row_size + column * size;

    int64_t padded = query_load(a, s, (const char *)a->q + offset + first * row_size, rows);
    if (s->head != head) {
        pack_keys((const char *)a->k + offset, row_size, a->n, a->d / TILE_PACK, s->key);
        pack_values((const char *)a->v + offset, row_size, a->n, a->d, s->value);
        s->head = head;
    }
    for (int64_t key = 0; key < a->n; key += KEY_BLOCK) {
        for (int64_t r = 0; r < padded; r += GROUP_ROWS) {
            attend_group(a, s, r, padded - r < GROUP_ROWS ? padded - r : GROUP_ROWS, key);
        }
    }
    char *out = (char *)a->out + ((batch_row + first) * a->out_stride + column) * size;
    for (int64_t r = 0; r < rows; r++) {
        float sum = _mm512_reduce_add_ps(_mm512_loadu_ps(s->sum + r * LANES));
        store_output(out + r * a->out_stride * size, s->output + r * a->d, a->d,
                     _mm512_set1_ps(1.0F / sum));
    }
}

/* Words of the packed keys of a head; its values need no more. */
static int64_t packed_words(const struct vk_attention *a)
{
    return (a->n + PANEL - 1) / PANEL * PANEL * a->d / TILE_PACK;
}

static void attend_items(const struct vk_attention *a, int64_t begin, int64_t end, void *scratch)
{
    assert(a->d % LANES == 0 && a->d >= LANES && a->d <= VK_ATTENTION_D_MAX);
    uintptr_t aligned = ((uintptr_t)scratch + SCRATCH_ALIGN - 1) / SCRATCH_ALIGN * SCRATCH_ALIGN;
    struct tile_scratch *s = (struct tile_scratch *)aligned;
    s->head = -1;
    s->key = s->packed;
    s->value = s->packed + packed_words(a);
    for (int64_t item = begin; item < end; item++) {
        attend_item(a, s, item);
    }
}
