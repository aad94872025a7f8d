/* What the audio tests share: tones, and a sink run from open to finish. */
#ifndef AUDIO_TEST_H
#define AUDIO_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "audio/audio_private.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PI 3.14159265358979323846

/* One directory per test program, removed by remove_dir. */
static char test_dir[] = "/tmp/voxhost-audio-XXXXXX";

static inline int make_dir(void **state)
{
    (void)state;
    return mkdtemp(test_dir) ? 0 : -1;
}

static inline int remove_dir(void **state)
{
    (void)state;
    struct err err;
    return tree_remove(test_dir, &err);
}

/* Interleaved sine; channel c has c + 1 times the frequency. Owned by the caller. */
static inline float *make_tone(uint64_t frames, uint32_t rate, uint32_t channels, double hz,
                               double level)
{
    float *pcm = mem_alloc_array(frames * channels, sizeof(float));
    for (uint64_t i = 0; i < frames; i++)
        for (uint32_t c = 0; c < channels; c++)
            pcm[i * channels + c] = (float)(level * sin(2 * PI * hz * (c + 1) * (double)i / rate));
    return pcm;
}

/* Writes in blocks of `step` frames to a file of this name in test_dir; its path is the caller's. */
static inline char *write_file(const char *name, const struct audio_spec *spec, uint32_t rate,
                               uint32_t channels, const float *pcm, uint64_t frames, uint64_t step,
                               struct audio_info *info)
{
    struct err err = {0};
    struct sink *sink = NULL;
    char *path = fs_join(test_dir, name);
    assert_int_equal(sink_open_file(path, spec, &sink, &err), 0);
    assert_int_equal(sink_begin(sink, rate, channels, &err), 0);
    for (uint64_t at = 0; at < frames; at += step) {
        uint64_t n = frames - at < step ? frames - at : step;
        if (sink_write(sink, pcm + at * channels, n, &err) != 0)
            fail_msg("%s", err.message);
    }
    if (sink_finish(sink, info, &err) != 0)
        fail_msg("%s", err.message);
    sink_destroy(sink);
    return path;
}

static inline struct str read_file(const char *path)
{
    struct err err = {0};
    struct str data = {0};
    assert_int_equal(fs_read_file(path, (size_t)1 << 30, &data, &err), 0);
    return data;
}

/* Power of the sine of `hz` in the first channel over all the rest, in dB. */
static inline double tone_snr(const float *pcm, uint64_t frames, uint32_t channels, double rate,
                              double hz)
{
    double ss = 0, cc = 0, sc = 0, ys = 0, yc = 0, yy = 0;
    for (uint64_t i = 0; i < frames; i++) {
        double s = sin(2 * PI * hz * (double)i / rate), c = cos(2 * PI * hz * (double)i / rate);
        double y = pcm[i * channels];
        ss += s * s, cc += c * c, sc += s * c, ys += y * s, yc += y * c, yy += y * y;
    }
    double det = ss * cc - sc * sc;
    double a = (ys * cc - yc * sc) / det, b = (yc * ss - ys * sc) / det;
    double signal = a * ys + b * yc;
    return 10 * log10(signal / (yy - signal));
}

#endif
