/* SHA-256 of two messages side by side; see digest.h. One message keeps the SHA instructions of x86
 * busy half of the time only, since each round waits for the one before. Elsewhere OpenSSL does one
 * after the other. Source: FIPS 180-4; the instructions in the Intel Software Developer's Manual. */
#include "base/digest.h"

#include "base/mem.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define WORDS 8 /* of a state */

struct digest_pair {
    bool side_by_side;
    uint32_t state[2][WORDS];
    uint64_t len;             /* so far, of each message */
    struct digest *single[2]; /* where it is not side by side */
};

#ifdef __x86_64__

#include <cpuid.h>
#include <immintrin.h>

#define SHA_TARGET __attribute__((target("sha,sse4.1,ssse3")))
#define QUADS 16 /* of rounds, for a block */

static const uint32_t round_constants[4 * QUADS] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

/* One message: the state in the order of the instructions, and the last 16 words of the schedule. */
struct lane {
    __m128i abef, cdgh, words[4];
};

static bool has_instructions(void)
{
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSSE3) || !(c & bit_SSE4_1))
        return false;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA);
}

SHA_TARGET static inline __m128i load(const void *at)
{
    return _mm_loadu_si128((const __m128i *)at);
}

/* The words of a state are a b c d, e f g h. */
SHA_TARGET static void lane_begin(struct lane *lane, const uint32_t state[WORDS])
{
    __m128i badc = _mm_shuffle_epi32(load(state), 0xb1);
    __m128i hgfe = _mm_shuffle_epi32(load(state + 4), 0x1b);
    lane->abef = _mm_alignr_epi8(badc, hgfe, 8);
    lane->cdgh = _mm_blend_epi16(hgfe, badc, 0xf0);
}

SHA_TARGET static void lane_end(const struct lane *lane, uint32_t state[WORDS])
{
    __m128i feba = _mm_shuffle_epi32(lane->abef, 0x1b);
    __m128i dchg = _mm_shuffle_epi32(lane->cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)(void *)state, _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128((__m128i *)(void *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

/* Four rounds, with the words that the block has for them or that follow from the 16 before. */
SHA_TARGET static inline void lane_quad(struct lane *lane, const uint8_t *block, int quad)
{
    const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i *words = &lane->words[quad & 3];
    if (quad < 4) {
        *words = _mm_shuffle_epi8(load(block + sizeof(__m128i) * (size_t)quad), big_endian);
    } else {
        __m128i last = lane->words[(quad + 3) & 3];
        __m128i sum = _mm_add_epi32(_mm_sha256msg1_epu32(*words, lane->words[(quad + 1) & 3]),
                                    _mm_alignr_epi8(last, lane->words[(quad + 2) & 3], 4));
        *words = _mm_sha256msg2_epu32(sum, last);
    }
    __m128i keyed = _mm_add_epi32(*words, load(round_constants + (size_t)4 * (size_t)quad));
    lane->cdgh = _mm_sha256rnds2_epu32(lane->cdgh, lane->abef, keyed);
    lane->abef = _mm_sha256rnds2_epu32(lane->abef, lane->cdgh, _mm_shuffle_epi32(keyed, 0x0e));
}

SHA_TARGET static void add_blocks(uint32_t state[2][WORDS], const uint8_t *one, const uint8_t *two,
                                  size_t len)
{
    struct lane a, b;
    lane_begin(&a, state[0]);
    lane_begin(&b, state[1]);
    for (size_t at = 0; at < len; at += DIGEST_BLOCK_SIZE) {
        const struct lane old_a = a, old_b = b;
#pragma GCC unroll 16
        for (int quad = 0; quad < QUADS; quad++) {
            lane_quad(&a, one + at, quad);
            lane_quad(&b, two + at, quad);
        }
        a.abef = _mm_add_epi32(a.abef, old_a.abef);
        a.cdgh = _mm_add_epi32(a.cdgh, old_a.cdgh);
        b.abef = _mm_add_epi32(b.abef, old_b.abef);
        b.cdgh = _mm_add_epi32(b.cdgh, old_b.cdgh);
    }
    lane_end(&a, state[0]);
    lane_end(&b, state[1]);
}

#else

static bool has_instructions(void)
{
    return false;
}

static void add_blocks(uint32_t state[2][WORDS], const uint8_t *one, const uint8_t *two, size_t len)
{
    (void)state, (void)one, (void)two, (void)len;
    abort(); /* nobody comes here without the instructions */
}

#endif

struct digest_pair *digest_pair_create(void)
{
    static const uint32_t start[WORDS] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                          0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    struct digest_pair *pair = mem_alloc(sizeof(*pair));
    pair->side_by_side = has_instructions();
    for (int i = 0; i < 2; i++) {
        memcpy(pair->state[i], start, sizeof(start));
        pair->single[i] = pair->side_by_side ? NULL : digest_create();
    }
    return pair;
}

void digest_pair_update(struct digest_pair *pair, const void *one, const void *two, size_t len)
{
    assert(len % DIGEST_BLOCK_SIZE == 0);
    pair->len += len;
    if (pair->side_by_side) {
        add_blocks(pair->state, one, two, len);
    } else {
        digest_update(pair->single[0], one, len);
        digest_update(pair->single[1], two, len);
    }
}

void digest_pair_final(struct digest_pair *pair, uint8_t out[2][DIGEST_SIZE])
{
    uint8_t end[DIGEST_BLOCK_SIZE] = {0x80}; /* all of the padding, since blocks are whole */
    for (int i = 0; i < 8; i++)
        end[DIGEST_BLOCK_SIZE - 1 - i] = (uint8_t)(pair->len * 8 >> 8 * i);
    if (pair->side_by_side)
        add_blocks(pair->state, end, end, sizeof(end));
    for (int i = 0; i < 2; i++) {
        if (!pair->side_by_side)
            digest_final(pair->single[i], out[i]);
        else
            for (int byte = 0; byte < DIGEST_SIZE; byte++)
                out[i][byte] = (uint8_t)(pair->state[i][byte / 4] >> (24 - 8 * (byte % 4)));
    }
}

void digest_pair_destroy(struct digest_pair *pair)
{
    if (!pair)
        return;
    digest_destroy(pair->single[0]);
    digest_destroy(pair->single[1]);
    free(pair);
}
