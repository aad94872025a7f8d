/* What fails, how it reads, and that a context is as good as new after it. */
#include "tensor.h"

#include <string.h>

/* The message of the context's failure, which must have this code. */
static const char *status(vt_cx *cx, int32_t code)
{
    static struct vox_error error;
    error = (struct vox_error){.size = sizeof(error)};
    assert_false(vt_ok(cx));
    assert_int_equal(vt_status(cx, &error), code);
    assert_int_equal(error.code, code);
    return error.message;
}

static void restart(vt_cx *cx)
{
    vt_end(cx);
    assert_int_equal(vt_begin(cx, NULL), VOX_OK);
    assert_true(vt_ok(cx));
}

static void the_first_failure_is_kept_with_its_breadcrumb(void **state)
{
    vt_cx *cx = *state;
    vt *a = vt_zeros(cx, VT_DIMS(2, 128)), *b = vt_zeros(cx, VT_DIMS(2, 64));
    assert_true(vt_ok(cx));
    assert_int_equal(vt_status(cx, NULL), VOX_OK);
    vt_enter_i(cx, "step", 17);
    vt_enter_i(cx, "block", 3);
    vt_mark scope = vt_enter(cx, "attn");
    vt_mul(cx, a, b);
    vt_leave(cx, scope, NULL);
    vt_reshape(cx, a, VT_DIMS(5, 5)); /* fails as well, unheard */
    assert_string_equal(
        status(cx, VOX_EINTERNAL),
        "step[17].block[3].attn.mul: The size of tensor a (128) must match the size of "
        "tensor b (64) at non-singleton dimension 1 ([2, 128] [2, 64])");
}

static void after_a_failure_sizes_are_1_and_reads_are_zero(void **state)
{
    vt_cx *cx = *state;
    float values[3] = {1, 2, 3};
    int64_t ids[2] = {4, 5};
    vt *good = vt_arange(cx, 3);
    vt *poison = vt_reshape(cx, good, VT_DIMS(2, 2));
    assert_int_equal(vt_size(poison, 0), 1);
    assert_int_equal(vt_size(poison, 5), 1);
    assert_int_equal(vt_size(poison, -2), 1);
    assert_int_equal(vt_shape(poison).rank, 1);
    assert_int_equal(vt_shape(poison).size[0], 1);
    assert_int_equal(vt_type(poison), VT_F32);

    vt *next = vt_linear(cx, vt_add(cx, good, good), poison, NULL, VT_GELU);
    assert_int_equal(vt_size(next, 0), 1);
    assert_ptr_equal(vt_leave(cx, vt_enter(cx, "scope"), next), next);
    vt_read_f32(cx, good, values, 3);
    vt_read_i64(cx, poison, ids, 2);
    assert_true(values[0] == 0 && values[1] == 0 && values[2] == 0);
    assert_true(ids[0] == 0 && ids[1] == 0);
    assert_false(vt_all_finite(cx, good));
    vt_tap(cx, "name", poison);
    vt_drop(cx, vt_hold(cx, poison));
    assert_string_equal(status(cx, VOX_EINTERNAL),
                        "reshape: shape '[2, 2]' is invalid for input of size 3 ([3])");

    restart(cx);
    assert_int_equal(vt_live(cx), 0);
    CHECK(vt_arange(cx, 2), VT_DIMS(2), 0, 1);
}

static void an_operand_that_is_missing_fails(void **state)
{
    vt_cx *cx = *state;
    vt *x = vt_arange(cx, 3);
    vt_add(cx, x, NULL);
    assert_string_equal(status(cx, VOX_EINTERNAL), "add: an operand is NULL ([3])");
    vt *poison = vt_exp(cx, x);
    restart(cx);
    vt_sin(cx, poison);
    assert_string_equal(status(cx, VOX_EINTERNAL),
                        "sin: an operand is the result of something that failed");
    restart(cx);
    assert_int_equal(vt_size(vt_cat(cx, (const vt *[]){NULL}, 1, 0), 0), 1);
    status(cx, VOX_EINTERNAL);
    assert_int_equal(vt_size(NULL, 0), 1);
    assert_int_equal(vt_shape(NULL).rank, 1);
}

static void wrong_arguments_fail_and_do_not_crash(void **state)
{
    vt_cx *cx = *state;
    for (int i = 0; i < 14; i++) {
        vt *x = vt_zeros(cx, VT_DIMS(2, 3)), *w = vt_zeros(cx, VT_DIMS(4, 3));
        vt *cube = vt_zeros(cx, VT_DIMS(1, 2, 8)), *row = vt_arange(cx, 3);
        vt *ids = vt_from_i64(cx, (const int64_t[]){9}, VT_DIMS(1));
        float out[4];
        assert_true(vt_ok(cx));
        switch (i) {
        case 0:
            vt_linear(cx, x, x, row, 0);
            vt_linear(cx, w, vt_transpose(cx, x, 0, 1), NULL, 0);
            break;
        case 1:
            vt_linear(cx, x, w, row, 0);
            break;
        case 2:
            vt_linear(cx, x, w, NULL, 99);
            break;
        case 3:
            vt_attention(cx, cube, cube, cube, 3);
            break;
        case 4:
            vt_embedding(cx, w, ids);
            break;
        case 5:
            vt_to(cx, x, 77);
            break;
        case 6:
            vt_narrow(cx, x, 0, 1, 2);
            break;
        case 7:
            vt_transpose(cx, x, 0, 5);
            break;
        case 8:
            vt_read_f32(cx, x, out, 4);
            break;
        case 9:
            vt_read_f32(cx, ids, out, 1);
            break;
        case 10:
            vt_zeros(cx, (struct vt_dims){.rank = 9});
            break;
        case 11:
            vt_zeros(cx, VT_DIMS(2, -3));
            break;
        case 12:
            vt_gated_add_into(cx, x, row, w);
            break;
        case 13:
            vt_conv1d(cx, cube, w, NULL, (struct vt_conv){.stride = 1});
            break;
        }
        assert_int_equal(vt_status(cx, NULL), VOX_EINTERNAL);
        restart(cx);
    }
}

static void expect_states_both_shapes(void **state)
{
    vt_cx *cx = *state;
    vt *x = vt_zeros(cx, VT_DIMS(2, 80, 3));
    assert_ptr_equal(vt_expect(cx, x, VT_DIMS(-1, 80, 3)), x);
    vt_enter(cx, "mel");
    assert_int_equal(vt_size(vt_expect(cx, x, VT_DIMS(-1, 100, 3)), 1), 1);
    assert_string_equal(status(cx, VOX_EINTERNAL),
                        "mel.expect: shape is [2, 80, 3], expected [-1, 100, 3]");
    restart(cx);
    vt_expect(cx, vt_arange(cx, 3), VT_DIMS(3, 1));
    assert_false(vt_ok(cx));
}

static void running_out_of_memory_is_told_apart(void **state)
{
    vt_cx *cx = *state;
    vt_enter(cx, "big");
    vt_zeros(cx, VT_DIMS(1 << 20, 1 << 20, 64));
    const char *message = status(cx, VOX_ENOMEM);
    assert_ptr_equal(strstr(message, "big.zeros: out of memory: "), message);
    assert_null(strchr(message, '\n'));
    restart(cx);
    CHECK(vt_arange(cx, 2), VT_DIMS(2), 0, 1);
}

static void operations_outside_of_work_fail(void **state)
{
    vt_cx *cx = *state;
    struct vox_error error = {.size = sizeof(error)};
    assert_int_equal(vt_begin(cx, &error), VOX_EINTERNAL);
    assert_string_equal(error.message, "vt_begin: work has begun already");
    vt_end(cx);
    vt_end(cx);
    assert_int_equal(vt_size(vt_arange(cx, 4), 0), 1);
    assert_string_equal(status(cx, VOX_EINTERNAL), "arange: called outside vt_begin and vt_end");
    assert_int_equal(vt_live(cx), 0);
    assert_int_equal(vt_begin(cx, NULL), VOX_OK);
}

static int32_t open_on(const char *device, struct vox_error *error)
{
    struct vt_setup setup = {.size = sizeof(setup), .device = vox_text(device)};
    vt_cx *cx = NULL;
    int32_t rc = vt_open(&setup, &cx, error);
    assert_true((rc == VOX_OK) == (cx != NULL));
    vt_close(cx);
    return rc;
}

static void devices_are_found_by_name(void **state)
{
    (void)state;
    static const char *const nonsense[] = {"gpu",     "cuda:", "cuda:x",    "cudax",
                                           "cuda:-1", "cpu:0", "cuda:99999"};
    struct vox_error error = {.size = sizeof(error)};
    assert_int_equal(open_on("cpu", &error), VOX_OK);
    assert_int_equal(open_on("auto", &error), VOX_OK);
    assert_int_equal(open_on("", &error), VOX_OK);
    for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++)
        assert_int_equal(open_on(nonsense[i], &error), VOX_EINVAL);
    assert_string_equal(error.message, "device \"cuda:99999\": expected auto, cpu, cuda or cuda:N");
    assert_int_equal(open_on("cuda:999", &error), VOX_EUNSUPPORTED);
    assert_ptr_equal(strstr(error.message, "device \"cuda:999\": "), error.message);
    vt_close(NULL);
}

static void about_names_library_and_kernels(void **state)
{
    (void)state;
    assert_ptr_equal(strstr(vt_about(), "libtorch 2."), vt_about());
    assert_non_null(strstr(vt_about(), ", linear "));
    assert_non_null(strstr(vt_about(), ", attention "));
    assert_ptr_equal(vt_about(), vt_about());
    print_message("%s\n", vt_about());
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup_cx, teardown_cx)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_first_failure_is_kept_with_its_breadcrumb),
        TEST(after_a_failure_sizes_are_1_and_reads_are_zero),
        TEST(an_operand_that_is_missing_fails),
        TEST(wrong_arguments_fail_and_do_not_crash),
        TEST(expect_states_both_shapes),
        TEST(running_out_of_memory_is_told_apart),
        TEST(operations_outside_of_work_fail),
        TEST(devices_are_found_by_name),
        TEST(about_names_library_and_kernels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
