/* Reads reference.txt for the tests: makes a case's signal anew and compares a wave with what was stored of upstream's.
 * See make_reference.py, which writes it. */
#ifndef F5TTS_REFERENCE_GOLDEN_H
#define F5TTS_REFERENCE_GOLDEN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GOLDEN_FILE TEST_DATA "/../../golden/f5tts_reference/reference.txt"
#define SEGMENTS_MAX 64
#define KIND_SIZE 16
#define NAME_SIZE 64

struct golden_case {
    FILE *file; /* stands behind the case's first line */
    char kind[KIND_SIZE], name[NAME_SIZE];
    unsigned to, seed, rate, channels, depth, trim, segment_count; /* `to`: of kind resample */
    float target_rms, gain;
    unsigned frames_of[SEGMENTS_MAX];
    long amplitude_of[SEGMENTS_MAX];
    uint64_t frames;
    float *samples; /* [frames, channels] */
};

static uint32_t golden_noise(uint32_t index, uint32_t seed)
{
    uint32_t x = (index + seed * 7919u) * 2654435761u;
    x = (x ^ x >> 15) * 2246822519u;
    x = (x ^ x >> 13) * 3266489917u;
    return x ^ x >> 16;
}

static void golden_make_samples(struct golden_case *c)
{
    c->frames = 0;
    for (unsigned i = 0; i < c->segment_count; i++)
        c->frames += c->frames_of[i];
    c->samples = malloc(sizeof(float) * c->frames * c->channels);
    assert_non_null(c->samples);
    float unit = 1 / (float)(UINT64_C(1) << (c->depth - 1));
    uint32_t at = 0;
    for (unsigned s = 0; s < c->segment_count; s++) {
        int64_t amplitude = (int64_t)c->amplitude_of[s] << (c->depth - 16);
        for (uint64_t i = 0; i < (uint64_t)c->frames_of[s] * c->channels; i++, at++) {
            uint64_t scaled = (uint64_t)golden_noise(at, c->seed) * (uint64_t)(2 * amplitude) >> 32;
            c->samples[at] = (float)((int64_t)scaled - amplitude) * unit * c->gain;
        }
    }
}

/* Calls `check` for every case of a kind and fails when there is none. `check` reads what belongs to the case. */
static inline void golden_each(const char *kind, void (*check)(struct golden_case *))
{
    struct golden_case c = {0};
    char line[1 << 16];
    unsigned seen = 0;
    c.file = fopen(GOLDEN_FILE, "r");
    assert_non_null(c.file);
    while (fgets(line, sizeof(line), c.file)) {
        int used = 0, more = 0;
        if (sscanf(line, "%15s%n", c.kind, &used) != 1 || strcmp(c.kind, kind) != 0)
            continue;
        c.to = 0;
        if (strcmp(kind, "resample") == 0) {
            assert_int_equal(sscanf(line + used, "%u%n", &c.to, &more), 1);
            used += more;
        }
        assert_int_equal(sscanf(line + used, "%63s %u %u %u %u %u %f %f %u%n", c.name, &c.seed,
                                &c.rate, &c.channels, &c.depth, &c.trim, &c.target_rms, &c.gain,
                                &c.segment_count, &more),
                         9);
        assert_true(c.segment_count <= SEGMENTS_MAX);
        for (unsigned i = 0; i < c.segment_count; i++) {
            used += more;
            assert_int_equal(
                sscanf(line + used, "%u %ld%n", &c.frames_of[i], &c.amplitude_of[i], &more), 2);
        }
        golden_make_samples(&c);
        check(&c);
        free(c.samples);
        seen++;
    }
    fclose(c.file);
    assert_true(seen > 0);
}

/* Compares with the two lines that follow in the file: the count, two sums, every stride-th sample. */
static inline void golden_compare(struct golden_case *c, const float *samples, uint64_t count,
                                  double tolerance)
{
    unsigned long expected_count, stride;
    double expected_sum, expected_weighted, sum = 0, weighted = 0, worst = 0;
    assert_int_equal(fscanf(c->file, "%lu %lu %lf %lf", &expected_count, &stride, &expected_sum,
                            &expected_weighted),
                     4);
    if (count != expected_count)
        fail_msg("%s: %lu samples, expected %lu", c->name, (unsigned long)count, expected_count);
    for (uint64_t i = 0; i < count; i++) {
        sum += (double)samples[i];
        weighted += (double)samples[i] * (double)(i % 251);
        if (i % stride == 0) {
            float expected; /* nine digits give a float back exactly */
            assert_int_equal(fscanf(c->file, "%f", &expected), 1);
            worst = fmax(worst, fabs((double)samples[i] - (double)expected));
        }
    }
    double sum_error = fabs(sum - expected_sum),
           weighted_error = fabs(weighted - expected_weighted);
    if (!(worst <= tolerance) || !(sum_error <= (tolerance + 1e-12) * (double)count) ||
        !(weighted_error <= 250 * (tolerance + 1e-12) * (double)count))
        fail_msg("%s: samples differ by up to %g (at most %g), sum by %g, weighted sum by %g",
                 c->name, worst, tolerance, sum_error, weighted_error);
}

#endif
