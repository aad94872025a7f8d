/* From a decoded recording to the wave that the model imitates; see reference.h. The way: check,
 * clip (clip.c), mean over the channels, loudness, 24 kHz (vox_resample). Source: f5_tts 1.1.22,
 * infer/utils_infer.py, preprocess_ref_audio_text and the begin of infer_batch_process. */
#include "reference.h"

#include "clip.h"

#include "vox/dsp.h"
#include "vox/helpers.h"

#include <math.h>
#include <stdlib.h>

#define CHANNELS_MAX 8
#define BLOCK_SAMPLES 1024
#define LANES 4                   /* that the compiler may compute together */
#define RMS_SILENT (1 / 32768.0f) /* below one step of 16 bits */

static const struct silence_rule pause_rule = {
    .window_ms = 1000, .keep_ms = 500, .level_db = -50}; /* remove_silence_for_generated_wav */

/* `count` when there is none. */
static uint64_t first_not_finite(const float *samples, uint64_t count)
{
    uint64_t i = 0;
    for (; i + BLOCK_SAMPLES <= count; i += BLOCK_SAMPLES) {
        float zero[LANES] = {0}; /* a sum of 0 · x is 0 as long as all are finite */
        for (uint64_t k = 0; k < BLOCK_SAMPLES; k += LANES)
            for (uint64_t lane = 0; lane < LANES; lane++)
                zero[lane] += 0 * samples[i + k + lane];
        if (zero[0] + zero[1] + zero[2] + zero[3] != 0)
            break;
    }
    while (i < count && isfinite(samples[i]))
        i++;
    return i;
}

static int32_t check_input(const struct f5_pcm *pcm, struct vox_error *error)
{
    if (pcm->frames == 0)
        return vox_fail(error, VOX_EINVAL, "the reference has no audio in it");
    if (pcm->rate_hz < VOX_RESAMPLE_HZ_MIN || pcm->rate_hz > VOX_RESAMPLE_HZ_MAX)
        return vox_fail(error, VOX_EINVAL,
                        "the reference has a sample rate of %u Hz; expected %d..%d", pcm->rate_hz,
                        VOX_RESAMPLE_HZ_MIN, VOX_RESAMPLE_HZ_MAX);
    if (pcm->channels < 1 || pcm->channels > CHANNELS_MAX)
        return vox_fail(error, VOX_EINVAL, "the reference has %u channels; expected 1..%d",
                        pcm->channels, CHANNELS_MAX);
    double seconds = (double)pcm->frames / pcm->rate_hz;
    if (seconds < F5_REFERENCE_SECONDS_MIN)
        return vox_fail(error, VOX_EINVAL,
                        "the reference is only %.2f s long; expected at least %.1f s", seconds,
                        F5_REFERENCE_SECONDS_MIN);
    if (seconds > F5_REFERENCE_INPUT_S_MAX)
        return vox_fail(error, VOX_EINVAL, "the reference is %.0f s long; expected at most %.0f s",
                        seconds, F5_REFERENCE_INPUT_S_MAX);
    uint64_t count = pcm->frames * pcm->channels, i = first_not_finite(pcm->samples, count);
    if (i < count)
        return vox_fail(error, VOX_EINVAL,
                        "the reference has a sample that is not finite at frame %llu",
                        (unsigned long long)(i / pcm->channels));
    return VOX_OK;
}

/* [frames, channels] -> [frames]: summed and divided in float, as torch.mean does. NULL: out of
 * memory. */
static float *mix(const float *samples, uint64_t frames, uint32_t channels)
{
    float *out = malloc(sizeof(float) * frames);
    for (uint64_t i = 0; out && i < frames; i++) {
        float sum = samples[i * channels];
        for (uint32_t c = 1; c < channels; c++)
            sum += samples[i * channels + c];
        out[i] = sum / (float)channels;
    }
    return out;
}

/* torch.sqrt(torch.mean(torch.square(x))), whose order of summation depends on its threads. */
static float loudness(const float *samples, uint64_t count)
{
    double sum = 0;
    for (uint64_t i = 0; i < count; i++)
        sum += (double)(samples[i] * samples[i]);
    return sqrtf((float)(sum / (double)count));
}

static int32_t fail_memory(struct vox_error *error)
{
    return vox_fail(error, VOX_ENOMEM, "out of memory while preparing the reference");
}

/* `clip` becomes the part of the recording that is used. */
static int32_t select_part(const struct f5_pcm *pcm, struct clip *clip, struct vox_error *error)
{
    struct sound sound = {.samples = pcm->samples,
                          .frames = pcm->frames,
                          .channels = pcm->channels,
                          .rate_hz = pcm->rate_hz,
                          .full_scale = clip_full_scale(pcm->samples, pcm->frames * pcm->channels)};
    if (clip_make(&sound, clip) != 0)
        return fail_memory(error);
    if (clip->frames_speech == 0)
        return vox_fail(error, VOX_EINVAL,
                        "the reference is silent: nothing in it is louder than -42 dBFS");
    double seconds = (double)clip->frames_total / clip->rate_hz;
    if (seconds < F5_REFERENCE_SECONDS_MIN)
        return vox_fail(error, VOX_EINVAL,
                        "the reference is only %.2f s long without its silence; expected at "
                        "least %.1f s",
                        seconds, F5_REFERENCE_SECONDS_MIN);
    return VOX_OK;
}

static int32_t check_whole(const struct f5_pcm *pcm, struct vox_error *error)
{
    double seconds = (double)pcm->frames / pcm->rate_hz;
    if (seconds > F5_REFERENCE_SECONDS_MAX)
        return vox_fail(error, VOX_EINVAL,
                        "the reference is %.1f s long; expected at most %.0f s without "
                        "silence_trim",
                        seconds, F5_REFERENCE_SECONDS_MAX);
    return VOX_OK;
}

/* Mixes, scales and resamples what was selected. */
static int32_t finish_wave(const struct f5_pcm *part, float target_rms, struct f5_reference *out,
                           struct vox_error *error)
{
    float *mono = mix(part->samples, part->frames, part->channels);
    if (!mono)
        return fail_memory(error);
    int32_t rc;
    out->seconds = (double)part->frames / part->rate_hz;
    out->rms = loudness(mono, part->frames);
    if (out->rms < RMS_SILENT) { /* also channels that cancel each other */
        rc = vox_fail(error, VOX_EINVAL, "the reference is silent when its channels are mixed");
        goto out;
    }
    if (out->rms < target_rms)
        for (uint64_t i = 0; i < part->frames; i++)
            mono[i] = mono[i] * target_rms / out->rms;
    rc = vox_resample(mono, part->frames,
                      (struct vox_rates){.from_hz = part->rate_hz, .to_hz = F5_RATE_HZ},
                      &out->samples, &out->count, error);

out:
    free(mono);
    return rc;
}

int32_t f5_reference_prepare(const struct f5_pcm *pcm, const struct f5_reference_options *options,
                             struct f5_reference *out, struct vox_error *error)
{
    struct clip clip = {0};
    struct f5_pcm part = *pcm;
    *out = (struct f5_reference){0};
    int32_t rc = check_input(pcm, error);
    if (rc == VOX_OK && options->silence_trim) {
        rc = select_part(pcm, &clip, error);
        part = (struct f5_pcm){.samples = clip.samples,
                               .frames = clip.frames_total,
                               .channels = clip.channels,
                               .rate_hz = clip.rate_hz};
    } else if (rc == VOX_OK) {
        rc = check_whole(pcm, error);
    }
    if (rc == VOX_OK)
        rc = finish_wave(&part, options->target_rms, out, error);
    out->clipped = clip.clipped;
    if (rc != VOX_OK)
        f5_reference_finish(out);
    clip_finish(&clip);
    return rc;
}

void f5_reference_finish(struct f5_reference *reference)
{
    free(reference->samples);
    *reference = (struct f5_reference){0};
}

/* --- Finished speech -------------------------------------------------------------------------- */

/* As libsndfile 1.2.2 writes float to 16 bits with clipping on (src/pcm.c), which soundfile asks
 * for: to 32 bits, rounded, and the lower half dropped. */
static float quantised(float x)
{
    float v = x * 2147483648.0f;
    if (!(v < 2147483648.0f))
        return 32767 / 32768.0f;
    if (v <= -2147483648.0f)
        return -1;
    return floorf(rintf(v) / 65536) / 32768;
}

int32_t f5_remove_silence(const float *samples, uint64_t count, float **out, uint64_t *out_count,
                          struct vox_error *error)
{
    size_t piece_count = 0;
    uint64_t frames = 0;
    struct span *pieces = NULL;
    struct levels *levels = NULL;
    float *written = malloc(sizeof(float) * (count ? count : 1));
    struct sound sound = {.samples = written,
                          .frames = count,
                          .channels = 1,
                          .rate_hz = F5_RATE_HZ,
                          .full_scale = SOUND_16_BIT};
    *out = NULL;
    *out_count = 0;
    if (!written)
        goto out;
    for (uint64_t i = 0; i < count; i++)
        written[i] = quantised(samples[i]);
    levels = sound_levels_create(&sound);
    pieces = levels ? sound_split(levels, &pause_rule, &piece_count) : NULL;
    if (!pieces)
        goto out;
    for (size_t i = 0; i < piece_count; i++)
        frames += pieces[i].end - pieces[i].begin;
    *out = clip_join(&sound, pieces, piece_count, F5_RATE_HZ, frames);
    if (*out)
        *out_count = frames;

out:
    free(pieces);
    sound_levels_destroy(levels);
    free(written);
    return *out ? VOX_OK : vox_fail(error, VOX_ENOMEM, "out of memory while removing silence");
}
