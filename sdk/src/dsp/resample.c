/* The windowed-sinc resampler of torchaudio (torchaudio 2.11.0, functional/functional.py,
 * _get_sinc_resample_kernel and _apply_sinc_resample_kernel), whose result models were trained and are judged
 * with.
 *
 * With both rates divided by their common divisor (o = from, n = to), output j = s·n + p is the dot product of
 * the kernel of phase p with the input around s·o. torchaudio stores 2·width + o taps for each of the n phases, of
 * which all but 12·o/base lie outside of the window and are 0. Here only the others are kept: 44.1 kHz to
 * 24 kHz has 23 taps where torchaudio has 171, and coprime rates take megabytes where it takes gigabytes.
 */
#include "vox/dsp.h"

#include "vox/helpers.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#define ZERO_CROSSINGS 6 /* lowpass_filter_width */
#define ROLLOFF 0.99
#define PI 3.14159265358979323846
#define LANES 8 /* sums that are kept apart, so that the compiler may use vectors */

struct kernel {
    uint32_t from, to; /* o and n */
    double base;       /* cut-off, in the unit of o and n */
    uint32_t width;    /* of the padding before the first sample */
    uint32_t taps;     /* per phase; a multiple of LANES */
    uint32_t phases;   /* that are used: n, or less for a short input */
    float *weights;    /* [phases, taps] */
    uint32_t *first;   /* [phases]: where a phase's taps begin, from s·o - width */
};

static uint32_t common_divisor(uint32_t a, uint32_t b)
{
    while (b) {
        uint32_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* One tap, at `index` of torchaudio's 2·width + o. Its phase is an integer tensor divided by an integer, so it
 * is rounded to float; all else is double until the tap is stored. */
static float tap(const struct kernel *k, uint32_t phase, uint32_t index)
{
    if (index >= 2 * k->width + k->from)
        return 0;
    double t = -(double)((float)phase / (float)k->to) +
               ((double)index - (double)k->width) / (double)k->from;
    t = fmin(fmax(t * k->base, -ZERO_CROSSINGS), ZERO_CROSSINGS);
    double window = cos(t * PI / ZERO_CROSSINGS / 2);
    double scale = window * window * (k->base / (double)k->from);
    t *= PI;
    return (float)((t == 0 ? 1 : sin(t) / t) * scale);
}

static void kernel_finish(struct kernel *k)
{
    free(k->weights);
    free(k->first);
}

static int32_t kernel_init(struct kernel *k, struct vox_rates rates, uint64_t out_max)
{
    uint32_t divisor = common_divisor(rates.from_hz, rates.to_hz);
    *k = (struct kernel){.from = rates.from_hz / divisor, .to = rates.to_hz / divisor};
    k->base = (double)(k->from < k->to ? k->from : k->to) * ROLLOFF;
    double reach = ZERO_CROSSINGS * (double)k->from / k->base; /* of the window, in samples */
    k->width = (uint32_t)ceil(reach);
    k->taps = ((uint32_t)ceil(2 * reach) + 2 + LANES - 1) / LANES * LANES;
    k->phases = out_max < k->to ? (uint32_t)out_max : k->to;
    assert(k->phases > 0 && k->taps > 0);
    k->weights = calloc((size_t)k->taps * k->phases, sizeof(float));
    k->first = calloc(k->phases, sizeof(uint32_t));
    if (!k->weights || !k->first)
        return VOX_ENOMEM;
    for (uint32_t p = 0; p < k->phases; p++) {
        double centre = (double)p * (double)k->from / (double)k->to;
        k->first[p] = (uint32_t)floor((double)k->width + centre - reach);
        for (uint32_t i = 0; i < k->taps; i++)
            k->weights[(size_t)p * k->taps + i] = tap(k, p, k->first[p] + i);
    }
    return VOX_OK;
}

/* `count` is a multiple of LANES. */
static float dot(const float *restrict a, const float *restrict b, uint32_t count)
{
    float sums[LANES] = {0};
    for (uint32_t i = 0; i < count; i += LANES)
        for (uint32_t lane = 0; lane < LANES; lane++)
            sums[lane] += a[i + lane] * b[i + lane];
    return ((sums[0] + sums[4]) + (sums[1] + sums[5])) +
           ((sums[2] + sums[6]) + (sums[3] + sums[7]));
}

/* ceil(n·count/o) as torchaudio counts it, which rounds the quotient to float before: 12 s may be one sample
 * shorter than the arithmetic says. The convolution has whole blocks of n and no more. */
static uint64_t output_count(uint64_t count, uint32_t from, uint32_t to)
{
    uint64_t wanted = (uint64_t)ceilf((float)((double)(to * count) / (double)from));
    uint64_t made = (count / from + 1) * to;
    return wanted < made ? wanted : made;
}

/* `padded` has width zeros before the samples and enough behind them. */
static void convolve(const struct kernel *k, const float *padded, float *out, uint64_t out_count)
{
    uint64_t done = 0;
    for (uint64_t block = 0; done < out_count; block++) {
        const float *in = padded + block * k->from;
        for (uint32_t p = 0; p < k->phases && done < out_count; p++, done++)
            out[done] = dot(k->weights + (size_t)p * k->taps, in + k->first[p], k->taps);
    }
}

static int32_t check(uint64_t count, struct vox_rates rates, struct vox_error *error)
{
    const uint32_t hz[2] = {rates.from_hz, rates.to_hz};
    for (int i = 0; i < 2; i++)
        if (hz[i] < VOX_RESAMPLE_HZ_MIN || hz[i] > VOX_RESAMPLE_HZ_MAX)
            return vox_fail(error, VOX_EINVAL,
                            "cannot resample: expected rates of %d..%d Hz, got %u Hz",
                            VOX_RESAMPLE_HZ_MIN, VOX_RESAMPLE_HZ_MAX, hz[i]);
    if (count > VOX_RESAMPLE_SAMPLES_MAX)
        return vox_fail(error, VOX_EINVAL,
                        "cannot resample: expected at most %llu samples, got %llu",
                        (unsigned long long)VOX_RESAMPLE_SAMPLES_MAX, (unsigned long long)count);
    return VOX_OK;
}

int32_t vox_resample(const float *samples, uint64_t count, struct vox_rates rates, float **out,
                     uint64_t *out_count, struct vox_error *error)
{
    *out = NULL;
    *out_count = 0;
    if (check(count, rates, error) != VOX_OK)
        return VOX_EINVAL;
    uint32_t divisor = common_divisor(rates.from_hz, rates.to_hz);
    uint64_t result_count =
        rates.from_hz == rates.to_hz
            ? count
            : output_count(count, rates.from_hz / divisor, rates.to_hz / divisor);
    int32_t rc = VOX_OK;
    struct kernel kernel = {0};
    float *padded = NULL;
    float *result = malloc(sizeof(float) * (result_count ? result_count : 1));
    if (!result) {
        rc = VOX_ENOMEM;
        goto out;
    }
    if (count > 0 && rates.from_hz == rates.to_hz) {
        memcpy(result, samples, sizeof(float) * count);
    } else if (count > 0) {
        rc = kernel_init(&kernel, rates, result_count);
        /* The last block may begin at the last sample, and its last tap lies within width + o + taps. */
        padded =
            calloc(count + 2 * (uint64_t)kernel.width + kernel.from + kernel.taps, sizeof(float));
        if (rc != VOX_OK || !padded) {
            rc = VOX_ENOMEM;
            goto out;
        }
        memcpy(padded + kernel.width, samples, sizeof(float) * count);
        convolve(&kernel, padded, result, result_count);
    }
    *out = result;
    *out_count = result_count;
    result = NULL;

out:
    free(result);
    free(padded);
    kernel_finish(&kernel);
    return rc == VOX_OK ? rc
                        : vox_fail(error, rc, "out of memory while resampling %llu samples",
                                   (unsigned long long)count);
}
