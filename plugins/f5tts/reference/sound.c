/* Loudness and silence as pydub 0.25.1 (silence.py, audio_segment.py) and audioop find them; see
 * sound.h.
 *
 * pydub measures a window at every 10 ms anew. All windows begin and end on whole milliseconds, so
 * here the sum of squares up to each millisecond is made once and a window is a difference of two:
 * exact, since the sums are integers.
 */
#include "sound.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#define SEEK_MS 10
#define LANES 4

__extension__ typedef unsigned __int128 u128;

struct levels {
    const struct sound *sound;
    int64_t ms; /* of the sound */
    u128 sum[]; /* [ms + 1]: of the squares of all samples before each millisecond */
};

struct range {
    int64_t begin, end; /* ms */
};

uint64_t sound_ms(uint64_t frames, uint32_t rate_hz)
{
    return (uint64_t)rint(1000 * ((double)frames / rate_hz)); /* half to even, as Python's round */
}

uint64_t sound_frame(uint64_t ms, uint32_t rate_hz)
{
    return (uint64_t)((double)ms * (rate_hz / 1000.0));
}

/* --- Loudness --------------------------------------------------------------------------------- */

static float clamped(float x)
{
    x = x > 1 ? 1 : x;
    return x < -1 ? -1 : x;
}

/* Sum of squares. Of 16-bit samples it is an integer, exact in any order. */
static double energy(const struct sound *sound, struct span span)
{
    uint64_t end = span.end < sound->frames ? span.end : sound->frames;
    if (span.begin >= end)
        return 0;
    const float *x = sound->samples + span.begin * sound->channels;
    uint64_t count = (end - span.begin) * sound->channels, i = 0;
    double sums[LANES] = {0}, scale = sound->full_scale;
    for (; i + LANES <= count; i += LANES) {
        float v[LANES];
        for (int lane = 0; lane < LANES; lane++)
            v[lane] = clamped(x[i + (uint64_t)lane]);
        for (int lane = 0; lane < LANES; lane++)
            sums[lane] += (double)v[lane] * (double)v[lane];
    }
    for (; i < count; i++)
        sums[0] += (double)clamped(x[i]) * (double)clamped(x[i]);
    return (sums[0] + sums[1] + sums[2] + sums[3]) * scale * scale; /* a power of 2: exact */
}

/* audioop.rms: the integer part. */
static double rms(double sum, uint64_t count)
{
    return count ? floor(sqrt(sum / (double)count)) : 0;
}

struct levels *sound_levels_create(const struct sound *sound)
{
    uint64_t ms = sound_ms(sound->frames, sound->rate_hz);
    struct levels *levels = malloc(sizeof(*levels) + sizeof(u128) * (ms + 1));
    if (!levels)
        return NULL;
    levels->sound = sound;
    levels->ms = (int64_t)ms;
    levels->sum[0] = 0;
    for (uint64_t i = 0; i < ms; i++) {
        struct span span = {sound_frame(i, sound->rate_hz), sound_frame(i + 1, sound->rate_hz)};
        levels->sum[i + 1] = levels->sum[i] + (u128)energy(sound, span);
    }
    return levels;
}

void sound_levels_destroy(struct levels *levels)
{
    free(levels);
}

static double window_rms(const struct levels *levels, struct range window)
{
    uint32_t rate_hz = levels->sound->rate_hz;
    uint64_t frames =
        sound_frame((uint64_t)window.end, rate_hz) - sound_frame((uint64_t)window.begin, rate_hz);
    return rms((double)(levels->sum[window.end] - levels->sum[window.begin]),
               frames * levels->sound->channels);
}

uint64_t sound_quiet_ms(const struct sound *sound, struct span span, double level_db, int from_end)
{
    uint64_t frames = span.end - span.begin, length = sound_ms(frames, sound->rate_hz), ms = 0;
    for (; ms < length; ms += SEEK_MS) {
        uint64_t next = ms + SEEK_MS < length ? ms + SEEK_MS : length;
        uint64_t a = sound_frame(ms, sound->rate_hz), b = sound_frame(next, sound->rate_hz);
        uint64_t inside = b < frames ? b : frames;
        struct span part = {span.begin + a, span.begin + inside};
        if (from_end)
            part = (struct span){span.end - inside, span.end - a};
        double loudness = rms(energy(sound, part), (b - a) * sound->channels);
        if (loudness > 0 && 20 * (log(loudness / sound->full_scale) / log(10)) >= level_db)
            break;
    }
    return ms < length ? ms : length;
}

/* --- Splitting -------------------------------------------------------------------------------- */

/* Runs of silent windows, merged where the next one begins before the last one ends. `out` has room
 * for one per window. A sound shorter than the window has none. */
static size_t find_silence(const struct levels *levels, const struct silence_rule *rule,
                           struct range *out)
{
    size_t count = 0;
    double limit = pow(10, rule->level_db / 20) * levels->sound->full_scale;
    int64_t last = levels->ms - rule->window_ms; /* is looked at, on the grid of SEEK_MS or not */
    for (int64_t at = 0; at <= last; at = at < last && at + SEEK_MS > last ? last : at + SEEK_MS) {
        struct range window = {at, at + rule->window_ms};
        if (window_rms(levels, window) > limit)
            continue;
        if (count > 0 && at <= out[count - 1].end)
            out[count - 1].end = window.end;
        else
            out[count++] = window;
    }
    return count;
}

/* What is between the silences. `out` has room for one more than there are silences. */
static size_t find_sound(const struct range *silent, size_t silent_count, int64_t length_ms,
                         struct range *out)
{
    size_t count = 0;
    int64_t begin = 0;
    for (size_t i = 0; i < silent_count; i++) {
        if (silent[i].begin > 0)
            out[count++] = (struct range){begin, silent[i].begin};
        begin = silent[i].end;
    }
    if (silent_count == 0 || begin != length_ms)
        out[count++] = (struct range){begin, length_ms};
    return count;
}

/* Pieces grow by `keep_ms` on both sides; neighbours that would overlap meet halfway. */
static void keep_silence(struct range *pieces, size_t count, int64_t keep_ms, int64_t length_ms)
{
    for (size_t i = 0; i < count; i++) {
        pieces[i].begin -= keep_ms;
        pieces[i].end += keep_ms;
        if (i > 0 && pieces[i].begin < pieces[i - 1].end)
            pieces[i].begin = pieces[i - 1].end = (pieces[i - 1].end + pieces[i].begin) / 2;
    }
    for (size_t i = 0; i < count; i++) {
        pieces[i].begin = pieces[i].begin > 0 ? pieces[i].begin : 0;
        pieces[i].end = pieces[i].end < length_ms ? pieces[i].end : length_ms;
    }
}

struct span *sound_split(const struct levels *levels, const struct silence_rule *rule,
                         size_t *count)
{
    uint32_t rate_hz = levels->sound->rate_hz;
    size_t cap = (size_t)levels->ms / SEEK_MS + 3;
    struct range *silent = malloc(sizeof(*silent) * cap), *pieces = malloc(sizeof(*pieces) * cap);
    struct span *out = malloc(sizeof(*out) * cap);
    *count = 0;
    if (silent && pieces && out) {
        size_t silent_count = find_silence(levels, rule, silent);
        *count = find_sound(silent, silent_count, levels->ms, pieces);
        keep_silence(pieces, *count, rule->keep_ms, levels->ms);
        for (size_t i = 0; i < *count; i++)
            out[i] = (struct span){sound_frame((uint64_t)pieces[i].begin, rate_hz),
                                   sound_frame((uint64_t)pieces[i].end, rate_hz)};
    } else {
        free(out);
        out = NULL;
    }
    free(silent);
    free(pieces);
    return out;
}

/* --- Copying ---------------------------------------------------------------------------------- */

uint64_t sound_converted(uint64_t frames, uint32_t from_hz, uint32_t to_hz)
{
    return frames ? (frames - 1) * to_hz / from_hz + 1 : 0;
}

static float sample_at(const struct sound *sound, uint64_t frame, uint32_t channel)
{
    return frame < sound->frames ? clamped(sound->samples[frame * sound->channels + channel]) : 0;
}

uint64_t sound_copy(const struct sound *sound, struct span span, uint32_t rate_hz, float *out,
                    uint64_t frames_max)
{
    double step =
        SOUND_32_BIT / sound->full_scale; /* audioop computes in 32 bits, then drops some */
    uint64_t count = sound_converted(span.end - span.begin, sound->rate_hz, rate_hz);
    count = count < frames_max ? count : frames_max;
    for (uint64_t i = 0; i < count; i++) {
        /* Between frames at - 1 and at; `before` is the weight of the first, of rate_hz in all. */
        uint64_t at = (i * sound->rate_hz + rate_hz - 1) / rate_hz;
        uint64_t before = at * rate_hz - i * sound->rate_hz;
        for (uint32_t c = 0; c < sound->channels; c++) {
            float value = sample_at(sound, span.begin + at, c);
            if (before > 0) {
                double sum =
                    sample_at(sound, span.begin + at - 1, c) * SOUND_32_BIT * (double)before +
                    value * SOUND_32_BIT * (double)(rate_hz - before);
                value = (float)(floor(trunc(sum / rate_hz) / step) / sound->full_scale);
            }
            *out++ = value;
        }
    }
    return count;
}
