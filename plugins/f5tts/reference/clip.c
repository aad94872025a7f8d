/* The part of a recording that is used, as f5_tts 1.1.22 (infer/utils_infer.py:
 * preprocess_ref_audio_text and remove_silence_edges) selects it with pydub: at most 12 s, cut
 * where there is silence, without quiet ends, and 50 ms of silence behind.
 *
 * Which integers pydub sees depends on the file: wav, flac: those of the file (24-bit ones times
 * 256); float wav, vorbis, opus: 32-bit, through ffmpeg; mp3: 16-bit, through ffmpeg. Only loudness
 * depends on it, which pydub rounds down to a whole step, and an mp3's samples are then up to
 * 1.6e-5 away from here. The host hands over float whatever the file was; what is not 16-bit
 * through and through is taken as 32-bit. Not followed: pydub fills the low byte of negative 24-bit
 * wav samples with ones (1.2e-7), and lets an 8-bit or mu-law wav keep only 8 bits of loudness.
 */
#include "clip.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CLIP_ENOUGH_MS 6000
#define CLIP_MAX_MS 12000
#define EDGE_LEVEL_DB (-42)
#define PAD_FRAMES 551 /* int(0.05 * 11025) */
#define SILENCE_HZ \
    11025 /* the rate of pydub's AudioSegment.silent, below which all is converted to it */
#define BLOCK_SAMPLES 1024
#define LANES 4 /* that the compiler may compute together */

/* Tried in turn, until the clip is short enough. */
static const struct silence_rule rules[] = {
    {.window_ms = 1000, .keep_ms = 1000, .level_db = -50},
    {.window_ms = 100, .keep_ms = 1000, .level_db = -40},
};
#define RULE_COUNT (sizeof(rules) / sizeof(rules[0]))

/* How far a sample is from the nearest 16-bit value. */
static float distance_16_bit(float x)
{
    float v = x * 32768.0f;
    float nearest = (v + 12582912.0f) - 12582912.0f; /* 1.5 · 2^23: rounds what is below 2^22 */
    nearest = nearest > 32767.0f ? 32767.0f : nearest;
    nearest = nearest < -32768.0f ? -32768.0f : nearest;
    return fabsf(v - nearest);
}

double clip_full_scale(const float *samples, uint64_t count)
{
    uint64_t i = 0;
    for (; i + BLOCK_SAMPLES <= count; i += BLOCK_SAMPLES) {
        float off[LANES] = {0};
        for (uint64_t k = 0; k < BLOCK_SAMPLES; k += LANES)
            for (uint64_t lane = 0; lane < LANES; lane++)
                off[lane] += distance_16_bit(samples[i + k + lane]);
        if (off[0] + off[1] + off[2] + off[3] > 0)
            return SOUND_32_BIT;
    }
    for (; i < count; i++)
        if (distance_16_bit(samples[i]) > 0)
            return SOUND_32_BIT;
    return SOUND_16_BIT;
}

float *clip_join(const struct sound *sound, const struct span *pieces, size_t count,
                 uint32_t rate_hz, uint64_t frames)
{
    float *out = calloc(frames ? frames : 1, sizeof(float) * sound->channels);
    uint64_t done = 0;
    for (size_t i = 0; out && i < count; i++)
        done += sound_copy(sound, pieces[i], rate_hz, out + done * sound->channels, frames - done);
    return out;
}

/* Takes pieces while the whole stays short; returns how many, and the frames that they make at
 * `rate_hz`. */
static size_t take_pieces(const struct sound *sound, const struct span *pieces, size_t count,
                          uint32_t rate_hz, uint64_t *frames)
{
    size_t taken = 0;
    *frames = 0;
    for (; taken < count; taken++) {
        const struct span *piece = &pieces[taken];
        uint64_t more = sound_converted(piece->end - piece->begin, sound->rate_hz, rate_hz);
        if (sound_ms(*frames, rate_hz) > CLIP_ENOUGH_MS &&
            sound_ms(*frames + more, rate_hz) > CLIP_MAX_MS)
            break;
        *frames += more;
    }
    return taken;
}

/* The clip before its ends are trimmed: out->samples, and out->frames_total of it. */
static int cut(const struct sound *sound, struct clip *out)
{
    int rc = -1;
    size_t count = 0, taken = 0;
    uint64_t frames = 0;
    struct span *pieces = NULL;
    struct levels *levels = sound_levels_create(sound);
    if (!levels)
        goto out;
    for (size_t i = 0; i < RULE_COUNT; i++) {
        free(pieces);
        pieces = sound_split(levels, &rules[i], &count);
        if (!pieces)
            goto out;
        taken = take_pieces(sound, pieces, count, out->rate_hz, &frames);
        if (sound_ms(frames, out->rate_hz) <= CLIP_MAX_MS)
            break;
    }
    out->clipped = taken < count;
    if (sound_ms(frames, out->rate_hz) > CLIP_MAX_MS) {
        frames = sound_frame(CLIP_MAX_MS, out->rate_hz);
        out->clipped = true;
    }
    out->frames_total = frames;
    out->samples = clip_join(sound, pieces, taken, out->rate_hz, frames);
    rc = out->samples ? 0 : -1;

out:
    free(pieces);
    sound_levels_destroy(levels);
    return rc;
}

/* What is left of `frames` without quiet ends. pydub slices by the millisecond, so the end moves by
 * half of one, and may lie behind the last frame. */
static struct span trim(const struct sound *clip)
{
    struct span span = {0, clip->frames};
    uint64_t ms = sound_ms(clip->frames, clip->rate_hz);
    uint64_t quiet = sound_quiet_ms(clip, span, EDGE_LEVEL_DB, 0);
    span = (struct span){sound_frame(quiet, clip->rate_hz), sound_frame(ms, clip->rate_hz)};
    if (span.begin >= clip->frames)
        return (struct span){0, 0};
    quiet = sound_quiet_ms(clip, span, EDGE_LEVEL_DB, 1);
    ms = sound_ms(span.end - span.begin, clip->rate_hz);
    if (quiet > 0)
        span.end = span.begin + sound_frame(ms - quiet, clip->rate_hz);
    return span;
}

int clip_make(const struct sound *sound, struct clip *out)
{
    *out = (struct clip){.channels = sound->channels,
                         .rate_hz = sound->rate_hz > SILENCE_HZ ? sound->rate_hz : SILENCE_HZ};
    if (cut(sound, out) != 0)
        return -1;
    struct sound whole = {.samples = out->samples,
                          .frames = out->frames_total,
                          .channels = out->channels,
                          .rate_hz = out->rate_hz,
                          .full_scale = sound->full_scale};
    struct span kept = trim(&whole);
    out->frames_speech = kept.end - kept.begin;
    out->frames_total = out->frames_speech + sound_converted(PAD_FRAMES, SILENCE_HZ, out->rate_hz);
    float *samples = clip_join(&whole, &kept, 1, out->rate_hz, out->frames_total);
    free(out->samples);
    out->samples = samples;
    return samples ? 0 : -1;
}

void clip_finish(struct clip *clip)
{
    free(clip->samples);
    clip->samples = NULL;
}
