/* Every operation on numbers that can be checked by hand. Layers stand in test_layers.c. */
#include "tensor.h"

#include <string.h>

static void tensors_come_in_and_go_out(void **state)
{
    vt_cx *cx = *state;
    float source[2] = {1.5f, -2};
    int64_t ids[3] = {7, -1, 3}, back[3] = {0};
    vt *x = vt_from_f32(cx, source, VT_DIMS(1, 2));
    source[0] = 9; /* was copied */
    CHECK(x, VT_DIMS(1, 2), 1.5f, -2);
    vt *i = vt_from_i64(cx, ids, VT_DIMS(3));
    assert_int_equal(vt_type(x), VT_F32);
    assert_int_equal(vt_type(i), VT_I64);
    vt_read_i64(cx, i, back, 3);
    assert_memory_equal(ids, back, sizeof(ids));
    CHECK(vt_zeros(cx, VT_DIMS(2, 1)), VT_DIMS(2, 1), 0, 0);
    CHECK(vt_arange(cx, 4), VT_DIMS(4), 0, 1, 2, 3);
    CHECK(vt_linspace(cx, -1, 1, 5), VT_DIMS(5), -1, -0.5f, 0, 0.5f, 1);
    assert_int_equal(vt_size(vt_zeros(cx, VT_DIMS(0, 3)), 0), 0);
    vt_read_f32(cx, vt_zeros(cx, VT_DIMS(0, 3)), NULL, 0);
    assert_int_equal(vt_size(x, -1), 2);
    assert_true(vt_ok(cx));
}

static void a_transposed_tensor_is_read_row_by_row(void **state)
{
    vt_cx *cx = *state;
    vt *x = FROM(VT_DIMS(2, 3), 1, 2, 3, 4, 5, 6);
    CHECK(vt_transpose(cx, x, 0, 1), VT_DIMS(3, 2), 1, 4, 2, 5, 3, 6);
    CHECK(vt_contiguous(cx, vt_transpose(cx, x, 0, -1)), VT_DIMS(3, 2), 1, 4, 2, 5, 3, 6);
}

static void shapes_change(void **state)
{
    vt_cx *cx = *state;
    vt *x = FROM(VT_DIMS(2, 3), 1, 2, 3, 4, 5, 6);
    CHECK(vt_reshape(cx, x, VT_DIMS(-1, 2)), VT_DIMS(3, 2), 1, 2, 3, 4, 5, 6);
    CHECK(vt_narrow(cx, x, 1, 1, 2), VT_DIMS(2, 2), 2, 3, 5, 6);
    CHECK(vt_narrow(cx, x, -2, 1, 1), VT_DIMS(1, 3), 4, 5, 6);
    CHECK(vt_cat(cx, (const vt *[]){x, vt_narrow(cx, x, 0, 0, 1)}, 2, 0), VT_DIMS(3, 3), 1, 2, 3, 4,
          5, 6, 1, 2, 3);
    CHECK(vt_cat(cx, (const vt *[]){x, x}, 2, -1), VT_DIMS(2, 6), 1, 2, 3, 1, 2, 3, 4, 5, 6, 4, 5,
          6);
    CHECK(x, VT_DIMS(2, 3), 1, 2, 3, 4, 5, 6);
}

static void types_convert(void **state)
{
    vt_cx *cx = *state;
    vt *x = FROM(VT_DIMS(3), 1, 1.00390625f, -3.5f);
    vt *half = vt_to(cx, x, VT_BF16);
    assert_int_equal(vt_type(half), VT_BF16);
    CHECK(half, VT_DIMS(3), 1, 1, -3.5f); /* 1 + 2^-8 rounds to even */
    CHECK(vt_to(cx, x, VT_F16), VT_DIMS(3), 1, 1.00390625f, -3.5f);
    CHECK(vt_to(cx, half, VT_F32), VT_DIMS(3), 1, 1, -3.5f);
    assert_int_equal(vt_type(vt_to(cx, x, VT_I64)), VT_I64);
}

static void arithmetic_broadcasts(void **state)
{
    vt_cx *cx = *state;
    vt *x = FROM(VT_DIMS(2, 2), 1, 2, 3, 4), *row = FROM(VT_DIMS(2), 10, 20);
    CHECK(vt_add(cx, x, row), VT_DIMS(2, 2), 11, 22, 13, 24);
    CHECK(vt_sub(cx, x, row), VT_DIMS(2, 2), -9, -18, -7, -16);
    CHECK(vt_mul(cx, x, row), VT_DIMS(2, 2), 10, 40, 30, 80);
    CHECK(vt_div(cx, x, row), VT_DIMS(2, 2), 0.1f, 0.1f, 0.3f, 0.2f);
    CHECK(vt_minimum(cx, x, vt_add_s(cx, row, -8)), VT_DIMS(2, 2), 1, 2, 2, 4);
    CHECK(vt_add_s(cx, row, 0.5), VT_DIMS(2), 10.5f, 20.5f);
    CHECK(vt_mul_s(cx, row, -2), VT_DIMS(2), -20, -40);
    CHECK(vt_maximum_s(cx, row, 15), VT_DIMS(2), 15, 20);
    CHECK(vt_minimum_s(cx, row, 15), VT_DIMS(2), 10, 15);
}

static void functions_of_one_element(void **state)
{
    vt_cx *cx = *state;
    vt *x = FROM(VT_DIMS(3), 0, 1, 2);
    CHECK(vt_exp(cx, x), VT_DIMS(3), 1, 2.71828183f, 7.3890561f);
    CHECK(vt_log(cx, vt_add_s(cx, x, 1)), VT_DIMS(3), 0, 0.693147181f, 1.09861229f);
    CHECK(vt_sin(cx, x), VT_DIMS(3), 0, 0.841470985f, 0.909297427f);
    CHECK(vt_cos(cx, x), VT_DIMS(3), 1, 0.540302306f, -0.416146837f);
    CHECK(vt_pow_base(cx, 10000, vt_mul_s(cx, x, -0.5)), VT_DIMS(3), 1, 0.01f, 0.0001f);
}

static void sums_over_a_dimension_keep_it(void **state)
{
    vt_cx *cx = *state;
    vt *x = FROM(VT_DIMS(2, 2), 3, 4, 6, 8);
    CHECK(vt_mean(cx, x, 1), VT_DIMS(2, 1), 3.5f, 7);
    CHECK(vt_mean(cx, x, 0), VT_DIMS(1, 2), 4.5f, 6);
    CHECK(vt_norm2(cx, x, -1), VT_DIMS(2, 1), 5, 10);
    CHECK(vt_matmul(cx, x, FROM(VT_DIMS(2, 1), 1, -1)), VT_DIMS(2, 1), -1, -2);
}

static void numbers_that_are_none_are_found(void **state)
{
    vt_cx *cx = *state;
    assert_true(vt_all_finite(cx, FROM(VT_DIMS(2), 1, -3e38f)));
    assert_false(vt_all_finite(cx, FROM(VT_DIMS(2), 1, NAN)));
    assert_false(vt_all_finite(cx, FROM(VT_DIMS(2), 1, -INFINITY)));
    assert_true(vt_ok(cx));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup_cx, teardown_cx)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(tensors_come_in_and_go_out),
        TEST(a_transposed_tensor_is_read_row_by_row),
        TEST(shapes_change),
        TEST(types_convert),
        TEST(arithmetic_broadcasts),
        TEST(functions_of_one_element),
        TEST(sums_over_a_dimension_keep_it),
        TEST(numbers_that_are_none_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
