/* The resampler against torchaudio's, and what it refuses. */
#include "vox/dsp.h"

#include "../../golden/f5tts_reference/golden.h"

#define TOLERANCE 1e-6 /* of float sums of up to 300 products, in another order */

static int32_t resample(const float *in, uint64_t count, uint32_t from, uint32_t to, float **out,
                        uint64_t *out_count, struct vox_error *error)
{
    return vox_resample(in, count, (struct vox_rates){.from_hz = from, .to_hz = to}, out, out_count,
                        error);
}

static void check_case(struct golden_case *c)
{
    float *out;
    uint64_t count;
    struct vox_error error = {.size = sizeof(error)};
    assert_int_equal(resample(c->samples, c->frames, c->rate, c->to, &out, &count, &error), VOX_OK);
    golden_compare(c, out, count, TOLERANCE);
    free(out);
}

static void equals_torchaudio(void **state)
{
    (void)state;
    golden_each("resample", check_case);
}

static void nothing_stays_nothing(void **state)
{
    (void)state;
    float *out;
    uint64_t count = 7;
    assert_int_equal(resample(NULL, 0, 44100, 24000, &out, &count, NULL), VOX_OK);
    assert_int_equal(count, 0);
    free(out);
}

static void coprime_rates_need_little_memory(void **state)
{
    (void)state;
    static float tone[19200];
    float *out;
    uint64_t count;
    for (size_t i = 0; i < 19200; i++)
        tone[i] = sinf(0.1f * (float)i);
    assert_int_equal(resample(tone, 19200, 191999, 192000, &out, &count, NULL), VOX_OK);
    assert_int_equal(count, 19201);
    for (size_t i = 100; i < 19100; i++) /* all but the same rate: all but the same tone */
        assert_float_equal(out[i], sinf(0.1f * (float)i * 191999 / 192000), 0.01);
    free(out);
}

static void rates_and_lengths_out_of_bounds_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint32_t from, to;
        uint64_t count;
        const char *got;
    } refused[] = {
        {7999, 24000, 1, "7999"}, {24000, 192001, 1, "192001"},
        {0, 24000, 1, "0 Hz"},    {24000, 0, 1, "0 Hz"},
        {UINT32_MAX, 1, 1, "Hz"}, {48000, 24000, VOX_RESAMPLE_SAMPLES_MAX + 1, "268435457"},
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        struct vox_error error = {.size = sizeof(error)};
        float sample = 0, *out = &sample;
        uint64_t count = 1;
        assert_int_equal(resample(&sample, refused[i].count, refused[i].from, refused[i].to, &out,
                                  &count, &error),
                         VOX_EINVAL);
        assert_null(out);
        assert_int_equal(count, 0);
        assert_non_null(strstr(error.message, refused[i].got));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_torchaudio),
        cmocka_unit_test(nothing_stays_nothing),
        cmocka_unit_test(coprime_rates_need_little_memory),
        cmocka_unit_test(rates_and_lengths_out_of_bounds_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
