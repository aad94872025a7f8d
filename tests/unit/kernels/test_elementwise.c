/* The kernels of elementwise.c against loops in double, for f32 and bf16, at widths that are no
 * multiple of a vector. */
#include "kernels/kernels.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ROWS 5

static uint32_t random_state = 1;

/* count values around `centre`, exact in bf16. The caller frees. */
static float *random_new(int64_t count, float centre)
{
    float *x = malloc((size_t)count * sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < count; i++) {
        random_state = random_state * 1664525U + 1013904223U;
        x[i] = centre + (float)(random_state >> 25) / 64.0F - 1.0F;
    }
    return x;
}

static uint16_t *half_new(const float *x, int64_t count)
{
    uint16_t *y = malloc((size_t)count * sizeof *y);
    assert_non_null(y);
    vk_bf16_from_f32(y, x, 0, count);
    return y;
}

static void assert_near(float got, double want, double relative, double absolute)
{
    double allowed = fabs(want) * relative + absolute;
    if (!(fabs((double)got - want) <= allowed)) {
        fail_msg("%.9g, expected %.9g within %g", (double)got, want, allowed);
    }
}

static float half_value(uint16_t x)
{
    float value;
    vk_f32_from_bf16(&value, &x, 0, 1);
    return value;
}

static void rope_check(int64_t d, int64_t heads, int64_t rotated)
{
    const int64_t n = 3, stride = heads * d + 1,
                  count = (2 * n - 1) * stride + heads * d; /* two branches of n rows */
    float *x = random_new(count, 0), *cos = random_new(n * d / 2, 0),
          *sin = random_new(n * d / 2, 0);
    float *before = malloc((size_t)count * sizeof *before);
    assert_non_null(before);
    memcpy(before, x, (size_t)count * sizeof *x);
    uint16_t *half = half_new(x, count);
    struct vk_rope r = {cos, sin, n, d, rotated, stride};
    vk_rope_f32(&r, x, 1, 2 * n);
    vk_rope_bf16(&r, half, 1, 2 * n);
    for (int64_t i = 0; i < count; i++) {
        int64_t row = i / stride, c = i % stride;
        double want = (double)before[i];
        if (row >= 1 && c < rotated * d) {
            int64_t angle = row % n * (d / 2) + c % d / 2;
            int64_t other = c % 2 ? i - 1 : i + 1;
            double part = (double)before[other] * (double)sin[angle];
            want = want * (double)cos[angle] + (c % 2 ? part : -part);
        }
        assert_near(x[i], want, 0, 2e-7);
        assert_near(half_value(half[i]), want, 0x1p-8, 2e-7);
    }
    free(x);
    free(cos);
    free(sin);
    free(before);
    free(half);
}

static void rope_rotates_the_first_heads_only(void **state)
{
    (void)state;
    rope_check(64, 3, 1);
    rope_check(64, 2, 2);
    rope_check(16, 2, 1);
    rope_check(6, 4, 3);
    rope_check(50, 2, 2);
}

static void layer_norm_check(int64_t d, float centre)
{
    float *x = random_new(ROWS * d, centre), *scale = random_new(d, 0), *shift = random_new(d, 0);
    float *y = random_new(ROWS * d, 0);
    uint16_t *half = half_new(y, ROWS * d);
    struct vk_layer_norm p = {scale, shift, d, 1e-6F};
    float first = y[0];
    vk_layer_norm_modulate_f32(&p, x, y, 1, ROWS);
    vk_layer_norm_modulate_bf16(&p, x, half, 1, ROWS);
    assert_near(y[0], (double)first, 0, 0);
    for (int64_t row = 1; row < ROWS; row++) {
        double mean = 0, variance = 0;
        for (int64_t c = 0; c < d; c++) {
            mean += (double)x[row * d + c] / (double)d;
        }
        for (int64_t c = 0; c < d; c++) {
            variance += pow((double)x[row * d + c] - mean, 2) / (double)d;
        }
        for (int64_t c = 0; c < d; c++) {
            double want =
                ((double)x[row * d + c] - mean) / sqrt(variance + 1e-6) * (1.0 + (double)scale[c]) +
                (double)shift[c];
            /* The centre, which leaves, is rounded to f32 before. */
            double rounding = 1e-6 + fabs((double)centre) * 1e-6;
            assert_near(y[row * d + c], want, 1e-6, rounding);
            assert_near(half_value(half[row * d + c]), want, 0x1p-8, rounding);
        }
    }
    free(x);
    free(scale);
    free(shift);
    free(y);
    free(half);
}

static void layer_norm_equals_double(void **state)
{
    (void)state;
    layer_norm_check(1024, 0);
    layer_norm_check(1024, 100.0F);
    layer_norm_check(100, 0);
    layer_norm_check(17, 3.0F);
    layer_norm_check(2, 0);
}

static void layer_norm_of_a_constant_row_is_the_shift(void **state)
{
    (void)state;
    enum { D = 33 };
    float x[D], y[D], scale[D], shift[D];
    for (int c = 0; c < D; c++) {
        x[c] = 0.1F, scale[c] = 2.0F, shift[c] = (float)c;
    }
    struct vk_layer_norm p = {scale, shift, D, 1e-6F};
    vk_layer_norm_modulate_f32(&p, x, y, 0, 1);
    for (int c = 0; c < D; c++) {
        assert_near(y[c], (double)c, 0, 1e-6);
    }
}

static void gated_add_adds_to_its_rows(void **state)
{
    (void)state;
    static const int64_t widths[] = {1, 16, 100, 1024};
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++) {
        int64_t d = widths[i], count = ROWS * d;
        float *x = random_new(count, 0), *y = random_new(count, 0), *gate = random_new(d, 0);
        uint16_t *half = half_new(y, count);
        float *full = malloc((size_t)count * sizeof *full),
              *mixed = malloc((size_t)count * sizeof *mixed);
        assert_non_null(full);
        assert_non_null(mixed);
        memcpy(full, x, (size_t)count * sizeof *x);
        memcpy(mixed, x, (size_t)count * sizeof *x);
        vk_gated_add_f32(full, gate, y, d, 1, ROWS - 1);
        vk_gated_add_bf16(mixed, gate, half, d, 1, ROWS - 1);
        for (int64_t at = 0; at < count; at++) {
            bool inside = at >= d && at < count - d;
            double want = (double)x[at] + (inside ? (double)gate[at % d] * (double)y[at] : 0);
            assert_near(full[at], want, 1e-7, 1e-7);
            assert_near(mixed[at], want, 1e-7, 1e-7); /* y is exact in bf16 */
        }
        free(x);
        free(y);
        free(gate);
        free(half);
        free(full);
        free(mixed);
    }
}

/* The definition: the nearer neighbour, at a tie the even one. */
static uint16_t round_slowly(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint16_t low = (uint16_t)(bits >> 16), high = (uint16_t)(low + 1);
    uint32_t rest = bits & 0xffff;
    return rest > 0x8000 || (rest == 0x8000 && low % 2) ? high : low;
}

static void rounding_is_to_nearest_even(void **state)
{
    (void)state;
    enum { COUNT = 6 * 65536 };
    static const uint32_t rests[] = {0, 1, 0x7fff, 0x8000, 0x8001, 0xffff};
    float *x = malloc(COUNT * sizeof *x), *back = malloc(COUNT * sizeof *back);
    uint16_t *y = malloc(COUNT * sizeof *y);
    assert_non_null(x);
    assert_non_null(back);
    assert_non_null(y);
    for (uint32_t i = 0; i < COUNT; i++) {
        uint32_t bits = i / 6 << 16 | rests[i % 6];
        memcpy(&x[i], &bits, sizeof bits);
    }
    vk_bf16_from_f32(y, x, 0, COUNT - 1);
    vk_f32_from_bf16(back, y, 0, COUNT - 1);
    for (uint32_t i = 0; i < COUNT - 1; i++) {
        uint32_t bits;
        memcpy(&bits, &back[i], sizeof bits);
        if (isnan(x[i])) {
            assert_true(isnan(back[i]));
        } else {
            assert_int_equal(y[i], round_slowly(x[i]));
            assert_int_equal(bits, (uint32_t)y[i] << 16);
        }
    }
    free(x);
    free(back);
    free(y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rope_rotates_the_first_heads_only),
        cmocka_unit_test(layer_norm_equals_double),
        cmocka_unit_test(layer_norm_of_a_constant_row_is_the_shift),
        cmocka_unit_test(gated_add_adds_to_its_rows),
        cmocka_unit_test(rounding_is_to_nearest_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
