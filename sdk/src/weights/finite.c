/* Looks for NaN and infinities in a weight, at the speed of memory: a floating-point number is one
 * of them when all bits of its exponent are set. Knows nothing of files.
 */
#include "weights_file.h"

#define BLOCK_SIZE 4096u /* bytes; fixed, so that gcc -O2 turns the loops into vectors */

/* Each tells whether some number of a whole block is not finite. The copy costs nothing beside the
 * read, and lets `bytes` be misaligned. */
static bool block_is_bad_32(const uint8_t *bytes, uint32_t exponent)
{
    uint32_t numbers[BLOCK_SIZE / 4], bad = 0;
    memcpy(numbers, bytes, BLOCK_SIZE);
    for (size_t i = 0; i < BLOCK_SIZE / 4; i++)
        bad |= (numbers[i] & exponent) == exponent ? UINT32_MAX : 0;
    return bad != 0;
}

static bool block_is_bad_16(const uint8_t *bytes, uint16_t exponent)
{
    uint16_t numbers[BLOCK_SIZE / 2], bad = 0;
    memcpy(numbers, bytes, BLOCK_SIZE);
    for (size_t i = 0; i < BLOCK_SIZE / 2; i++)
        bad |= (numbers[i] & exponent) == exponent ? UINT16_MAX : 0;
    return bad != 0;
}

static bool is_bad(const uint8_t *bytes, size_t size, uint64_t exponent)
{
    return (read_le(bytes, size) & exponent) == exponent;
}

/* The index of the first bad one of `count` numbers in a row, or -1. */
static int64_t first_bad_in_row(const uint8_t *bytes, uint64_t count, size_t size,
                                uint64_t exponent)
{
    uint64_t per_block = BLOCK_SIZE / size, i = 0;
    for (; size < 8 && count - i >= per_block; i += per_block) {
        const uint8_t *block = bytes + i * size;
        if (size == 4 ? block_is_bad_32(block, (uint32_t)exponent)
                      : block_is_bad_16(block, (uint16_t)exponent))
            break;
    }
    for (; i < count; i++)
        if (is_bad(bytes + i * size, size, exponent))
            return (int64_t)i;
    return -1;
}

static uint64_t exponent_bits(uint32_t dtype)
{
    switch (dtype) {
    case VOX_DTYPE_F32:
        return 0x7f800000u;
    case VOX_DTYPE_F64:
        return 0x7ff0000000000000u;
    case VOX_DTYPE_F16:
        return 0x7c00u;
    case VOX_DTYPE_BF16:
        return 0x7f80u;
    default:
        return 0;
    }
}

int64_t vox_weight_first_nonfinite(const struct vox_weight *weight)
{
    uint64_t exponent = exponent_bits(weight->dtype), row = 1;
    size_t size = (size_t)vox_dtype_size(weight->dtype);
    int64_t place[VOX_RANK_MAX] = {0};
    uint32_t outer = weight->rank; /* dimensions that are not part of a dense row */
    if (!exponent || !weight->size)
        return -1;
    while (outer > 0 &&
           ((uint64_t)weight->strides[outer - 1] == row || weight->dims[outer - 1] == 1))
        row *= (uint64_t)weight->dims[--outer];
    for (int64_t before = 0;; before += (int64_t)row) {
        int64_t offset = 0;
        for (uint32_t i = 0; i < outer; i++)
            offset += place[i] * weight->strides[i];
        int64_t bad = first_bad_in_row((const uint8_t *)weight->data + (uint64_t)offset * size, row,
                                       size, exponent);
        if (bad >= 0)
            return before + bad;
        uint32_t i = outer;
        while (i > 0 && ++place[i - 1] == weight->dims[i - 1])
            place[--i] = 0;
        if (i == 0)
            return -1;
    }
}
