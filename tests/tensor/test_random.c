/* vt_randn gives the numbers of torch.manual_seed and torch.randn, in the order of the draws.
 *
 * Expected: torch 2.13.0 (CPU), torch.manual_seed(seed); torch.randn(n); torch.randn(3). From 16
 * elements on torch takes another way to its normal numbers, so both sides of that are here. */
#include "tensor.h"

static void numbers_are_those_of_torch(void **state)
{
    vt_cx *cx = *state;
    vt_seed(cx, 0);
    CHECK(vt_randn(cx, VT_DIMS(2, 3)), VT_DIMS(2, 3), 1.54099607f, -0.293428898f, -2.17878938f,
          0.568431258f, -1.08452237f, -1.39859545f);
    CHECK(vt_randn(cx, VT_DIMS(3)), VT_DIMS(3), 0.403346837f, 0.838026345f, -0.719257593f);
    vt_seed(cx, 1234);
    CHECK(vt_randn(cx, VT_DIMS(20)), VT_DIMS(20), -0.111718565f, -0.496590108f, 0.163073704f,
          -0.88168776f, 0.28909719f, 0.489870846f, -0.385274619f, -0.712034583f, 0.636912644f,
          -0.714080095f, -1.0831244f, -0.554724216f, -1.32481194f, 0.696980536f, -0.66305387f,
          1.21575689f, -2.52733517f, 1.47778428f, -0.169623628f, -0.99185735f);
    CHECK(vt_randn(cx, VT_DIMS(3)), VT_DIMS(3), -0.00984232128f, -1.44734037f, -0.203899279f);
}

static void a_generator_belongs_to_its_context(void **state)
{
    vt_cx *cx = *state;
    float first[4], again[4];
    vt_seed(cx, 42);
    vt_read_f32(cx, vt_randn(cx, VT_DIMS(4)), first, 4);
    vt_seed(cx, 42);
    vt_cx *other = cx_open(1);
    vt_seed(other, 7);
    vt_randn(other, VT_DIMS(100));
    cx_close(other);
    vt_read_f32(cx, vt_randn(cx, VT_DIMS(4)), again, 4);
    assert_memory_equal(first, again, sizeof(first));
}

static void the_seed_survives_the_begin_of_work(void **state)
{
    vt_cx *cx = *state;
    vt_end(cx);
    vt_seed(cx, 42);
    assert_int_equal(vt_begin(cx, NULL), VOX_OK);
    CHECK(vt_randn(cx, VT_DIMS(4)), VT_DIMS(4), 0.336690366f, 0.128809407f, 0.234462366f,
          0.23033303f);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup_cx, teardown_cx)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(numbers_are_those_of_torch),
        TEST(a_generator_belongs_to_its_context),
        TEST(the_seed_survives_the_begin_of_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
