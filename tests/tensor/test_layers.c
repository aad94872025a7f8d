/* Layers: small ones against numbers written out (torch 2.13.0's, where a hand cannot compute
 * them), large ones against the same layer composed of simple operations, because large shapes
 * take other kernels than small ones. */
#include "tensor.h"

/* n values between -1 and 1 that look random and are the same everywhere. */
static vt *noise(vt_cx *cx, struct vt_dims dims)
{
    uint64_t count = dims_count(dims);
    float *values = malloc(count * sizeof(*values));
    assert_non_null(values);
    uint32_t s = (uint32_t)count + 17;
    for (uint64_t i = 0; i < count; i++) {
        s = s * 1664525u + 1013904223u;
        values[i] = (float)(s >> 8) / (float)(1u << 23) - 1;
    }
    vt *x = vt_from_f32(cx, values, dims);
    free(values);
    return x;
}

static void linear_multiplies_adds_and_activates(void **state)
{
    vt_cx *cx = *state;
    vt *x = FROM(VT_DIMS(1, 2), 1, 2), *w = FROM(VT_DIMS(2, 2), 0.5f, -0.25f, -1, -0.5f);
    vt *bias = FROM(VT_DIMS(2), 0.5f, 0.5f);
    CHECK(vt_linear(cx, x, w, NULL, 0), VT_DIMS(1, 2), 0, -2);
    CHECK(vt_linear(cx, x, w, bias, 0), VT_DIMS(1, 2), 0.5f, -1.5f);
    CHECK(vt_linear(cx, x, w, bias, VT_GELU), VT_DIMS(1, 2), 0.345731229f, -0.10021086f);
    CHECK(vt_linear(cx, x, w, bias, VT_GELU_TANH), VT_DIMS(1, 2), 0.345714003f, -0.100428432f);
    CHECK(vt_linear(cx, x, w, bias, VT_SILU), VT_DIMS(1, 2), 0.311229676f, -0.273638278f);
    CHECK(vt_linear(cx, vt_reshape(cx, x, VT_DIMS(2)), w, bias, 0), VT_DIMS(2), 0.5f, -1.5f);
    CHECK(vt_linear(cx, vt_reshape(cx, x, VT_DIMS(1, 1, 1, 2)), w, bias, 0), VT_DIMS(1, 1, 1, 2),
          0.5f, -1.5f);
    assert_int_equal(vt_size(vt_linear(cx, vt_zeros(cx, VT_DIMS(0, 2)), w, bias, VT_GELU), 0), 0);
    assert_true(vt_ok(cx));
}

static void linear_takes_views(void **state)
{
    vt_cx *cx = *state;
    vt *x = noise(cx, VT_DIMS(2, 96, 70)), *w = noise(cx, VT_DIMS(80, 200)),
       *bias = noise(cx, VT_DIMS(80));
    vt *turned = vt_transpose(cx, x, 1, 2);     /* [2, 70, 96] */
    vt *columns = vt_narrow(cx, w, 1, 100, 96); /* [80, 96], rows 200 apart */
    vt *plain = vt_linear(cx, vt_contiguous(cx, turned), vt_contiguous(cx, columns), bias, VT_GELU);
    check_same(cx, vt_linear(cx, turned, columns, bias, VT_GELU), plain, 1e-5);
    vt *rows = vt_narrow(cx, plain, 2, 8, 16); /* rows 80 apart */
    vt *small = noise(cx, VT_DIMS(4, 16));
    check_same(cx, vt_linear(cx, rows, small, NULL, 0),
               vt_linear(cx, vt_contiguous(cx, rows), small, NULL, 0), 1e-5);
}

/* The exact GELU, on the host. */
static vt *gelu_of(vt_cx *cx, const vt *x)
{
    static float values[2 * 150 * 384];
    uint64_t count = sizeof(values) / sizeof(values[0]);
    vt_read_f32(cx, x, values, count);
    for (uint64_t i = 0; i < count; i++)
        values[i] = (float)(0.5 * values[i] * (1 + erf(values[i] / sqrt(2))));
    return vt_from_f32(cx, values, vt_shape(x));
}

static void a_large_linear_equals_its_composition(void **state)
{
    vt_cx *cx = *state;
    vt *x = noise(cx, VT_DIMS(2, 150, 256)), *w = noise(cx, VT_DIMS(384, 256)),
       *bias = noise(cx, VT_DIMS(384));
    vt *sum = vt_add(cx, vt_matmul(cx, x, vt_transpose(cx, w, 0, 1)), bias);
    check_same(cx, vt_linear(cx, x, w, bias, 0), sum, 1e-5);
    check_same(cx, vt_linear(cx, x, w, bias, VT_GELU), gelu_of(cx, sum), 1e-5);
    check_same(cx, vt_linear(cx, x, w, bias, VT_SILU), vt_silu(cx, sum), 1e-5);
}

/* BF16 keeps 8 bits: 2^-8 of the result, and as much again for its inputs, which are rounded in
 * the same way here. */
static void linear_takes_the_type_of_its_weight(void **state)
{
    vt_cx *cx = *state;
    static const uint32_t activations[] = {0, VT_GELU, VT_GELU_TANH, VT_SILU};
    vt *w = vt_to(cx, noise(cx, VT_DIMS(96, 64)), VT_BF16),
       *bias = vt_to(cx, noise(cx, VT_DIMS(96)), VT_BF16);
    vt *x = noise(cx, VT_DIMS(33, 64)), *rounded = vt_to(cx, vt_to(cx, x, VT_BF16), VT_F32);
    vt *w32 = vt_to(cx, w, VT_F32), *bias32 = vt_to(cx, bias, VT_F32);
    for (size_t i = 0; i < sizeof(activations) / sizeof(activations[0]); i++) {
        vt *y = vt_linear(cx, x, w, bias, activations[i]);
        assert_int_equal(vt_type(y), VT_BF16);
        check_same(cx, y, vt_linear(cx, rounded, w32, bias32, activations[i]), 0.01);
    }
}

static void activations_are_those_of_torch(void **state)
{
    vt_cx *cx = *state;
    vt *x = FROM(VT_DIMS(5), -2, -0.5f, 0, 1, 3);
    CHECK(vt_silu(cx, x), VT_DIMS(5), -0.238405839f, -0.188770339f, 0, 0.731058598f, 2.85772252f);
    CHECK(vt_mish(cx, x), VT_DIMS(5), -0.252501458f, -0.22074376f, 0, 0.865098357f, 2.98653507f);
}

static void convolution_slides_over_time(void **state)
{
    vt_cx *cx = *state;
    vt *x = FROM(VT_DIMS(1, 2, 4), 1, 2, 3, 4, 10, 20, 30, 40);
    vt *w = FROM(VT_DIMS(1, 2, 2), 1, -1, 0.5f, 0), *bias = FROM(VT_DIMS(1), 100);
    CHECK(vt_conv1d(cx, x, w, bias, (struct vt_conv){0}), VT_DIMS(1, 1, 3), 104, 109, 114);
    CHECK(vt_conv1d(cx, x, w, NULL, (struct vt_conv){.stride = 2, .padding = 1}), VT_DIMS(1, 1, 3),
          -1, 9, 24);
    CHECK(vt_conv1d(cx, x, w, NULL, (struct vt_conv){.dilation = 3}), VT_DIMS(1, 1, 1), 2);
    vt *each = FROM(VT_DIMS(2, 1, 1), 2, 3);
    CHECK(vt_conv1d(cx, x, each, NULL, (struct vt_conv){.groups = 2}), VT_DIMS(1, 2, 4), 2, 4, 6, 8,
          30, 60, 90, 120);
}

static void norms_scale_and_shift(void **state)
{
    vt_cx *cx = *state;
    vt *x = FROM(VT_DIMS(1, 4), 1, 2, 3, 6), *w = FROM(VT_DIMS(4), 1, 2, 1, 1),
       *bias = FROM(VT_DIMS(4), 0, 0, 1, 0);
    CHECK(vt_layer_norm(cx, x, w, bias, 1e-6), VT_DIMS(1, 4), -1.069044828f, -1.069044828f, 1,
          1.603567243f);
    CHECK(vt_layer_norm(cx, x, NULL, NULL, 1e-6), VT_DIMS(1, 4), -1.069044828f, -0.534522414f, 0,
          1.603567243f);
    CHECK(vt_rms_norm(cx, x, NULL, 1e-6), VT_DIMS(1, 4), 0.282842696f, 0.565685391f, 0.848528087f,
          1.697056174f);
    CHECK(vt_rms_norm(cx, x, w, 1e-6), VT_DIMS(1, 4), 0.282842696f, 1.131370783f, 0.848528087f,
          1.697056174f);
}

static void embedding_picks_rows(void **state)
{
    vt_cx *cx = *state;
    vt *w = FROM(VT_DIMS(3, 2), 1, 2, 3, 4, 5, 6);
    vt *ids = vt_from_i64(cx, (const int64_t[]){2, 0, 2}, VT_DIMS(1, 3));
    CHECK(vt_embedding(cx, w, ids), VT_DIMS(1, 3, 2), 5, 6, 1, 2, 5, 6);

    struct vox_error error = {.size = sizeof(error)};
    vt_embedding(cx, w, vt_from_i64(cx, (const int64_t[]){3, 0}, VT_DIMS(2)));
    vt_status(cx, &error);
    assert_string_equal(error.message, "embedding: ids are 0 to 3, expected 0 to 2 ([3, 2] [2])");
}

static void attention_weighs_values(void **state)
{
    vt_cx *cx = *state;
    vt *q = FROM(VT_DIMS(1, 2, 4), 1, 0, 2, 1, 0, 1, 1, -1),
       *k = FROM(VT_DIMS(1, 2, 4), 1, 1, 0, 1, 0.5f, -1, 1, 2);
    vt *v = FROM(VT_DIMS(1, 2, 4), 1, 2, 3, 4, 5, 6, 7, 8);
    CHECK(vt_attention(cx, q, k, v, 2), VT_DIMS(1, 2, 4), 2.650084019f, 3.650084019f, 6.571832657f,
          7.571832657f, 1.782281399f, 2.782281399f, 5, 6);
}

/* softmax(q kᵀ / sqrt(d)) v, head by head. */
static vt *attention_composed(vt_cx *cx, vt *q, vt *k, vt *v, int64_t heads)
{
    int64_t b = vt_size(q, 0), n = vt_size(q, 1), d = vt_size(q, 2) / heads;
    vt *split[3] = {q, k, v}; /* [b, heads, n, d] */
    for (int i = 0; i < 3; i++)
        split[i] = vt_transpose(
            cx, vt_reshape(cx, vt_to(cx, split[i], VT_F32), VT_DIMS(b, n, heads, d)), 1, 2);
    vt *scores = vt_matmul(cx, split[0], vt_transpose(cx, split[1], 2, 3));
    vt *raised = vt_exp(cx, vt_mul_s(cx, scores, 1 / sqrt((double)d)));
    vt *sums = vt_mul_s(cx, vt_mean(cx, raised, -1), (double)n);
    vt *y = vt_matmul(cx, vt_div(cx, raised, sums), split[2]);
    return vt_reshape(cx, vt_transpose(cx, y, 1, 2), VT_DIMS(b, n, heads * d));
}

static void large_attention_equals_its_composition(void **state)
{
    vt_cx *cx = *state;
    static const int64_t lengths[] = {1, 7, 193, 300};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        int64_t n = lengths[i];
        /* One projection for all three, as a plugin may do: rows are 3 * 128 apart. */
        vt *all = noise(cx, VT_DIMS(2, n, 3 * 128));
        vt *q = vt_narrow(cx, all, 2, 0, 128), *k = vt_narrow(cx, all, 2, 128, 128),
           *v = vt_narrow(cx, all, 2, 256, 128);
        vt *expected = attention_composed(cx, q, k, v, 2);
        check_same(cx, vt_attention(cx, q, k, v, 2), expected, 1e-5);
        check_same(cx, vt_attention(cx, vt_contiguous(cx, q), k, v, 2), expected, 1e-5);
        vt *q16 = vt_to(cx, q, VT_BF16), *k16 = vt_to(cx, k, VT_BF16), *v16 = vt_to(cx, v, VT_BF16);
        vt *y = vt_attention(cx, q16, k16, v16, 2);
        assert_int_equal(vt_type(y), VT_BF16);
        check_same(cx, y, attention_composed(cx, q16, k16, v16, 2), 0.01);
        y = vt_attention(cx, vt_to(cx, q, VT_F16), vt_to(cx, k, VT_F16), vt_to(cx, v, VT_F16), 2);
        check_same(cx, y, expected, 0.002);
    }
}

static void rope_turns_pairs_of_the_first_heads(void **state)
{
    vt_cx *cx = *state;
    vt *x = FROM(VT_DIMS(1, 2, 4), 1, 2, 3, 4, 5, 6, 7, 8);
    vt *cosine = FROM(VT_DIMS(2, 1), 1, 0), *sine = FROM(VT_DIMS(2, 1), 0, 1);
    assert_ptr_equal(vt_rope_into(cx, x, cosine, sine, 2, 1), x);
    CHECK(x, VT_DIMS(1, 2, 4), 1, 2, 3, 4, -6, 5, 7, 8);
    vt_rope_into(cx, x, cosine, sine, 2, 2);
    CHECK(x, VT_DIMS(1, 2, 4), 1, 2, 3, 4, -5, -6, -8, 7);
}

static void large_rope_equals_its_composition(void **state)
{
    vt_cx *cx = *state;
    enum { N = 37, D = 64, HEADS = 4 };
    vt *angle = vt_mul_s(cx, noise(cx, VT_DIMS(N, D / 2)), 3);
    vt *cosine = vt_cos(cx, angle), *sine = vt_sin(cx, angle);
    for (int64_t rotated = 1; rotated <= HEADS; rotated += HEADS - 1) {
        vt *x = noise(cx, VT_DIMS(2, N, HEADS * D));
        vt *pairs = vt_reshape(cx, x, VT_DIMS(2, N, HEADS, D / 2, 2));
        vt *a = vt_narrow(cx, pairs, 4, 0, 1),
           *b = vt_narrow(cx, pairs, 4, 1, 1); /* [2, N, HEADS, D / 2, 1] */
        vt *c = vt_reshape(cx, cosine, VT_DIMS(N, 1, D / 2, 1)),
           *s = vt_reshape(cx, sine, VT_DIMS(N, 1, D / 2, 1));
        vt *parts[2] = {vt_sub(cx, vt_mul(cx, a, c), vt_mul(cx, b, s)),
                        vt_add(cx, vt_mul(cx, b, c), vt_mul(cx, a, s))};
        vt *turned = vt_cat(cx, (const vt *const *)parts, 2, 4);
        vt *heads[2] = {vt_narrow(cx, turned, 2, 0, rotated), pairs};
        uint32_t count = 1;
        if (rotated < HEADS) {
            heads[1] = vt_narrow(cx, pairs, 2, rotated, HEADS - rotated);
            count = 2;
        }
        vt *expected = vt_reshape(cx, vt_cat(cx, (const vt *const *)heads, count, 2),
                                  VT_DIMS(2, N, HEADS * D));
        expected = vt_add_s(cx, expected, 0); /* a copy: x changes below */
        vt *half = vt_to(cx, x, VT_BF16),
           *f16 = vt_to(cx, x, VT_F16); /* F16 has no kernel of ours */
        check_same(cx, vt_rope_into(cx, f16, cosine, sine, HEADS, rotated), expected, 0.001);
        check_same(cx, vt_rope_into(cx, x, cosine, sine, HEADS, rotated), expected, 2e-6);
        check_same(cx, vt_rope_into(cx, half, cosine, sine, HEADS, rotated), expected, 0.01);
    }
}

static void modulate_equals_its_composition(void **state)
{
    vt_cx *cx = *state;
    vt *x = noise(cx, VT_DIMS(2, 5, 48)), *scale = noise(cx, VT_DIMS(48)),
       *shift = vt_mul_s(cx, scale, 0.3);
    vt *normal = vt_layer_norm(cx, x, NULL, NULL, 1e-6);
    vt *expected = vt_add(cx, vt_mul(cx, normal, vt_add_s(cx, scale, 1)), shift);
    check_same(cx, vt_modulate(cx, x, scale, shift, 1e-6, VT_F32), expected, 5e-6);
    vt *half = vt_modulate(cx, x, scale, shift, 1e-6, VT_BF16);
    assert_int_equal(vt_type(half), VT_BF16);
    check_same(cx, half, expected, 0.005);
    check_same(cx, vt_modulate(cx, x, scale, shift, 1e-6, VT_F16), expected, 0.001);
    vt *turned = vt_transpose(cx, x, 0, 1);
    check_same(cx, vt_modulate(cx, turned, scale, shift, 1e-6, VT_F32),
               vt_transpose(cx, expected, 0, 1), 5e-6);
}

static void gated_add_changes_x_in_place(void **state)
{
    vt_cx *cx = *state;
    vt *x = FROM(VT_DIMS(2, 2), 1, 2, 3, 4), *gate = FROM(VT_DIMS(2), 10, -1),
       *y = FROM(VT_DIMS(2, 2), 1, 2, 0.5f, 0);
    assert_ptr_equal(vt_gated_add_into(cx, x, gate, y), x);
    CHECK(x, VT_DIMS(2, 2), 11, 0, 8, 4);
    vt_gated_add_into(cx, x, gate, vt_to(cx, y, VT_BF16));
    CHECK(x, VT_DIMS(2, 2), 21, -2, 13, 4);

    vt *big = noise(cx, VT_DIMS(2, 9, 72)), *g = noise(cx, VT_DIMS(72)),
       *z = vt_mul_s(cx, big, -0.7);
    vt *expected = vt_add(cx, big, vt_mul(cx, g, z));
    check_same(cx, vt_gated_add_into(cx, big, g, z), expected, 2e-6);
    vt *views = vt_transpose(cx, big, 0, 1); /* of big, which changes with it */
    expected = vt_add(cx, big, vt_mul(cx, g, z));
    vt_gated_add_into(cx, views, g, vt_transpose(cx, z, 0, 1));
    check_same(cx, big, expected, 2e-6);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup_cx, teardown_cx)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(linear_multiplies_adds_and_activates),
        TEST(linear_takes_views),
        TEST(a_large_linear_equals_its_composition),
        TEST(linear_takes_the_type_of_its_weight),
        TEST(activations_are_those_of_torch),
        TEST(convolution_slides_over_time),
        TEST(norms_scale_and_shift),
        TEST(embedding_picks_rows),
        TEST(attention_weighs_values),
        TEST(large_attention_equals_its_composition),
        TEST(rope_turns_pairs_of_the_first_heads),
        TEST(large_rope_equals_its_composition),
        TEST(modulate_equals_its_composition),
        TEST(gated_add_changes_x_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
