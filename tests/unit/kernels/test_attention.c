/* The attention kernels against a softmax in double, at ragged lengths, all head sizes, hard logits
 * and odd layouts. Buffers have exactly the size of their contents, so that a sanitizer sees every
 * read beyond. */
#include "kernels/kernels.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SENTINEL 77.0F /* exact in bf16 */
#define ROWS_CHECKED 80
#define GAP 3 /* elements between the rows, so that they stand at odd places */

struct problem {
    struct vk_attention a; /* over q, k, v, out below, or their bf16 twins */
    bool half;
    float *values[3]; /* q, k, v as the kernel sees them */
    uint16_t *half_values[3];
    float *out;
    uint16_t *half_out;
    void *scratch;
};

static uint32_t random_state = 1;

static float random_uniform(float limit)
{
    random_state = random_state * 1664525U + 1013904223U;
    return ((float)(random_state >> 8) / 8388608.0F - 1.0F) * limit;
}

static void *new (size_t count, size_t size)
{
    void *memory = malloc(count * size);
    assert_non_null(memory);
    return memory;
}

static size_t input_size(const struct problem *p)
{
    return (size_t)((p->a.batch * p->a.n - 1) * p->a.qkv_stride + p->a.heads * p->a.d);
}

static size_t output_size(const struct problem *p)
{
    return (size_t)((p->a.batch * p->a.n - 1) * p->a.out_stride + p->a.heads * p->a.d);
}

static struct problem problem_new(bool half, int64_t batch, int64_t n, int64_t heads, int64_t d)
{
    struct problem p = {.half = half};
    p.a = (struct vk_attention){.batch = batch, .n = n, .heads = heads, .d = d};
    p.a.qkv_stride = heads * d + GAP;
    p.a.out_stride = heads * d + 2 * GAP;
    p.a.scale = 1.0F / sqrtf((float)d);
    for (int i = 0; i < 3; i++) {
        p.values[i] = new (input_size(&p), sizeof(float));
        p.half_values[i] = new (input_size(&p), sizeof(uint16_t));
    }
    p.out = new (output_size(&p), sizeof(float));
    p.half_out = new (output_size(&p), sizeof(uint16_t));
    p.scratch = new (vk_attention_scratch_size(&p.a), 1);
    return p;
}

static void problem_free(struct problem *p)
{
    for (int i = 0; i < 3; i++) {
        free(p->values[i]);
        free(p->half_values[i]);
    }
    free(p->out);
    free(p->half_out);
    free(p->scratch);
}

static void fill(const struct problem *p, float limit_q, float limit_k)
{
    float limits[] = {limit_q, limit_k, 1.0F};
    for (int t = 0; t < 3; t++) {
        for (size_t i = 0; i < input_size(p); i++) {
            p->values[t][i] = random_uniform(limits[t]);
        }
    }
}

/* Brings the inputs to bf16 where the problem asks for it, and runs items [begin, end). */
static void run(struct problem *p, int64_t begin, int64_t end)
{
    const void *inputs[3];
    for (int t = 0; t < 3; t++) {
        vk_bf16_from_f32(p->half_values[t], p->values[t], 0, p->half ? (int64_t)input_size(p) : 0);
        vk_f32_from_bf16(p->values[t], p->half_values[t], 0, p->half ? (int64_t)input_size(p) : 0);
        inputs[t] = p->half ? (const void *)p->half_values[t] : p->values[t];
    }
    p->a.q = inputs[0], p->a.k = inputs[1], p->a.v = inputs[2];
    p->a.out = p->half ? (void *)p->half_out : p->out;
    memset(p->scratch, 0xff, vk_attention_scratch_size(&p->a)); /* NaN everywhere */
    if (p->half) {
        vk_attention_bf16(&p->a, begin, end, p->scratch);
        vk_f32_from_bf16(p->out, p->half_out, 0, (int64_t)output_size(p));
    } else {
        vk_attention_f32(&p->a, begin, end, p->scratch);
    }
}

static void run_all(struct problem *p)
{
    for (size_t i = 0; i < output_size(p); i++) {
        p->out[i] = SENTINEL;
    }
    vk_bf16_from_f32(p->half_out, p->out, 0, (int64_t)output_size(p));
    run(p, 0, vk_attention_items(&p->a));
}

/* Row i of head h of batch b, in double. */
static void reference_row(const struct problem *p, int64_t b, int64_t i, int64_t h, double *out)
{
    const struct vk_attention *a = &p->a;
    const float *q = p->values[0] + (b * a->n + i) * a->qkv_stride + h * a->d;
    double *score = new ((size_t)a->n, sizeof *score), max = -INFINITY, sum = 0;
    for (int64_t j = 0; j < a->n; j++) {
        const float *k = p->values[1] + (b * a->n + j) * a->qkv_stride + h * a->d;
        score[j] = 0;
        for (int64_t c = 0; c < a->d; c++) {
            score[j] += (double)q[c] * (double)k[c];
        }
        score[j] *= (double)a->scale;
        max = fmax(max, score[j]);
    }
    memset(out, 0, (size_t)a->d * sizeof *out);
    for (int64_t j = 0; j < a->n; j++) {
        const float *v = p->values[2] + (b * a->n + j) * a->qkv_stride + h * a->d;
        double weight = exp(score[j] - max);
        sum += weight;
        for (int64_t c = 0; c < a->d; c++) {
            out[c] += weight * (double)v[c];
        }
    }
    for (int64_t c = 0; c < a->d; c++) {
        out[c] /= sum;
    }
    free(score);
}

/* Largest difference from the reference over up to ROWS_CHECKED rows of every head, the last one
 * always among them; NaN when there is one. */
static double difference(const struct problem *p)
{
    const struct vk_attention *a = &p->a;
    int64_t step = (a->n + ROWS_CHECKED - 1) / ROWS_CHECKED;
    double worst = 0, row[VK_ATTENTION_D_MAX];
    for (int64_t bh = 0; bh < a->batch * a->heads; bh++) {
        int64_t b = bh / a->heads, h = bh % a->heads;
        for (int64_t i = a->n - 1; i >= 0; i -= step) {
            reference_row(p, b, i, h, row);
            for (int64_t c = 0; c < a->d; c++) {
                double got = (double)p->out[(b * a->n + i) * a->out_stride + h * a->d + c];
                worst = isnan(worst) || fabs(got - row[c]) <= worst ? worst : fabs(got - row[c]);
            }
        }
    }
    return worst;
}

static void assert_gaps_untouched(const struct problem *p)
{
    int64_t width = p->a.heads * p->a.d;
    for (int64_t row = 0; row < p->a.batch * p->a.n - 1; row++) {
        for (int64_t c = width; c < p->a.out_stride; c++) {
            assert_float_equal(p->out[row * p->a.out_stride + c], SENTINEL, 0);
        }
    }
}

static void check(bool half, int64_t batch, int64_t n, int64_t heads, int64_t d, float limit,
                  double tolerance)
{
    struct problem p = problem_new(half, batch, n, heads, d);
    fill(&p, limit, limit);
    run_all(&p);
    double worst = difference(&p);
    if (!(worst <= tolerance)) {
        fail_msg("%s [%d, %d, %d, %d]: differs by %g, allowed %g", half ? "bf16" : "f32",
                 (int)batch, (int)n, (int)heads, (int)d, worst, tolerance);
    }
    assert_gaps_untouched(&p);
    problem_free(&p);
}

static void need(bool half)
{
    if (!(half ? vk_attention_bf16_supported() : vk_attention_f32_supported())) {
        print_message("skipped: this CPU lacks AVX512%s\n", half ? "-BF16" : "F");
        skip();
    }
}

/* v is within ±1. f32: a few roundings of sums of order 1. bf16: P and the output are rounded to
 * within 2^-9. */
static const double tolerances[] = {1e-6, 0x1p-8};

static void every_shape_is_exact(void **state)
{
    bool half = *(bool *)*state;
    need(half);
    static const int64_t lengths[] = {1, 2, 7, 16, 63, 64, 65, 193, 257},
                         sizes[] = {16, 32, 48, 64, 80, 128};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        for (size_t j = 0; j < sizeof sizes / sizeof sizes[0]; j++) {
            check(half, 1, lengths[i], 1, sizes[j], 1.5F, tolerances[half]);
            check(half, 2, lengths[i], 3, sizes[j], 1.5F, tolerances[half]);
        }
    }
    check(half, 2, 65, 16, 64, 1.5F, tolerances[half]);
    check(half, 1, 1407, 2, 64, 1.5F, tolerances[half]);
}

static void random_hard_logits_stay_exact(void **state)
{
    bool half = *(bool *)*state;
    need(half);
    /* Logits up to about ±80: their rounding in f32 is 80 · 2^-24 and more, that of the weights as
     * much. */
    check(half, 1, 300, 2, 64, 8.0F, half ? 0x1p-8 : 2e-5);
}

/* Half of the logits are 80, half -80, so that the result is the mean of v over the first half. */
static void logits_of_80_do_not_overflow(void **state)
{
    bool half = *(bool *)*state;
    need(half);
    struct problem p = problem_new(half, 1, 321, 1, 64);
    fill(&p, 1.0F, 1.0F);
    for (int64_t i = 0; i < p.a.n; i++) {
        for (int64_t c = 0; c < p.a.d; c++) {
            p.values[0][i * p.a.qkv_stride + c] = i % 3 ? 4.0F : -4.0F;
            p.values[1][i * p.a.qkv_stride + c] = i % 2 ? 2.5F : -2.5F;
        }
    }
    run_all(&p);
    assert_true(difference(&p) <= tolerances[half]);
    problem_free(&p);
}

static void equal_logits_give_the_mean(void **state)
{
    bool half = *(bool *)*state;
    need(half);
    struct problem p = problem_new(half, 1, 1407, 1, 64);
    fill(&p, 0.0F, 1.0F);
    run_all(&p);
    assert_true(difference(&p) <= (half ? 0x1p-8 : 2e-7));
    problem_free(&p);
}

/* Every item on its own, in scratch full of NaN, gives the bits of the whole run. */
static void splits_do_not_change_a_bit(void **state)
{
    bool half = *(bool *)*state;
    need(half);
    struct problem p = problem_new(half, 2, 400, 2, 64);
    fill(&p, 1.5F, 1.5F);
    run_all(&p);
    float *whole = new (output_size(&p), sizeof(float));
    memcpy(whole, p.out, output_size(&p) * sizeof(float));
    assert_int_equal(vk_attention_items(&p.a), 12);
    for (int64_t item = vk_attention_items(&p.a) - 1; item >= 0; item--) {
        run(&p, item, item + 1);
    }
    assert_memory_equal(whole, p.out, output_size(&p) * sizeof(float));
    run(&p, 5, 5);
    assert_memory_equal(whole, p.out, output_size(&p) * sizeof(float));
    free(whole);
    problem_free(&p);
}

static void nan_stays_in_its_row(void **state)
{
    bool half = *(bool *)*state;
    need(half);
    struct problem p = problem_new(half, 1, 70, 1, 32);
    fill(&p, 1.0F, 1.0F);
    p.values[0][9 * p.a.qkv_stride + 5] = NAN;
    run_all(&p);
    for (int64_t i = 0; i < p.a.n; i++) {
        for (int64_t c = 0; c < p.a.d; c++) {
            assert_int_equal(isnan(p.out[i * p.a.out_stride + c]) != 0, i == 9);
        }
    }
    problem_free(&p);
}

int main(void)
{
    static bool f32 = false, bf16 = true;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_prestate(every_shape_is_exact, &f32),
        cmocka_unit_test_prestate(every_shape_is_exact, &bf16),
        cmocka_unit_test_prestate(random_hard_logits_stay_exact, &f32),
        cmocka_unit_test_prestate(random_hard_logits_stay_exact, &bf16),
        cmocka_unit_test_prestate(logits_of_80_do_not_overflow, &f32),
        cmocka_unit_test_prestate(logits_of_80_do_not_overflow, &bf16),
        cmocka_unit_test_prestate(equal_logits_give_the_mean, &f32),
        cmocka_unit_test_prestate(equal_logits_give_the_mean, &bf16),
        cmocka_unit_test_prestate(splits_do_not_change_a_bit, &f32),
        cmocka_unit_test_prestate(splits_do_not_change_a_bit, &bf16),
        cmocka_unit_test_prestate(nan_stays_in_its_row, &f32),
        cmocka_unit_test_prestate(nan_stays_in_its_row, &bf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
