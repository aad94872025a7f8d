/* Short-time Fourier transforms, against torch 2.13.0 and against each other. */
#include "tensor.h"

static void the_window_is_periodic(void **state)
{
    vt_cx *cx = *state;
    CHECK(vt_hann(cx, 8), VT_DIMS(8), 0, 0.146446615f, 0.5f, 0.853553414f, 1, 0.853553295f, 0.5f,
          0.146446496f);
}

static void magnitudes_are_those_of_torch_stft(void **state)
{
    vt_cx *cx = *state;
    vt *wave = vt_reshape(cx, vt_mul_s(cx, vt_arange(cx, 16), 1.0 / 16), VT_DIMS(1, 16));
    CHECK(vt_stft_magnitude(cx, wave, vt_hann(cx, 8), 4), VT_DIMS(1, 5, 5), 0.286612f, 1, 2, 3,
          3.40089f, 0.0366117f, 0.554304f, 1.02823f, 1.51896f, 1.78229f, 0.125f, 0.0517767f,
          0.0517767f, 0.0517768f, 0.108253f, 0.0366117f, 0.0107234f, 0.0107234f, 0.0107234f,
          0.0366117f, 0.0366116f, 5.96046e-08f, 1.19209e-07f, 1.19209e-07f, 0.0258882f);
}

static void the_inverse_is_that_of_torch(void **state)
{
    vt_cx *cx = *state;
    vt *steps = vt_reshape(cx, vt_arange(cx, 15), VT_DIMS(1, 5, 3));
    vt *magnitude = vt_add_s(cx, vt_mul_s(cx, steps, 0.1), 0.1),
       *phase = vt_mul_s(cx, steps, 1.0 / 7);
    CHECK(vt_istft_polar(cx, magnitude, phase, vt_hann(cx, 8), 2), VT_DIMS(1, 4), -0.017207598f,
          -0.003952662f, -0.126272157f, 0.070258513f);
}

static void a_cosine_comes_back(void **state)
{
    vt_cx *cx = *state;
    vt *window = vt_hann(cx, 64);
    vt *wave =
        vt_reshape(cx, vt_cos(cx, vt_mul_s(cx, vt_arange(cx, 1024), 2 * 3.14159265358979 * 8 / 64)),
                   VT_DIMS(1, 1024));
    vt *magnitude = vt_stft_magnitude(cx, wave, window, 16); /* [1, 33, 65] */
    /* A cosine of 8 cycles a frame, 2 cycles a hop, begins every centred frame with the phase pi
     * * 8 at its bin. */
    vt *bins = vt_reshape(cx, vt_arange(cx, 33), VT_DIMS(1, 33, 1));
    vt *phase =
        vt_add(cx, vt_mul_s(cx, vt_arange(cx, 65), 0), vt_mul_s(cx, bins, 3.14159265358979));
    vt *back = vt_istft_polar(cx, magnitude, phase, window, 16);
    assert_int_equal(vt_size(back, 1), 1024);
    check_same(cx, vt_narrow(cx, back, 1, 64, 896), vt_narrow(cx, wave, 1, 64, 896), 1e-4);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup_cx, teardown_cx)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_window_is_periodic),
        TEST(magnitudes_are_those_of_torch_stft),
        TEST(the_inverse_is_that_of_torch),
        TEST(a_cosine_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
