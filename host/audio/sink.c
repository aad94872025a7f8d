/* The way of PCM from a model to its result:
 *
 *     sink_write -> finite? -> resample (soxr HQ, when the rates differ) -> encoder -> output
 *
 * Knows neither formats (formats.c), nor samples' encodings (encoder.c), nor files (output.c).
 */
#include "audio/audio_private.h"

#include <math.h>
#include <soxr.h>
#include <stdlib.h>

enum sink_state { SINK_OPEN, SINK_BEGUN, SINK_FINISHED, SINK_FAILED };

struct sink {
    enum sink_state state;
    struct audio_spec spec;
    bool stream;
    const struct sink_writer *writer; /* NULL: none */
    struct output *output;
    struct encoder *encoder;
    struct soxr *resampler; /* NULL: the rates are the same */
    uint32_t rate_in, rate_out, channels;
    uint64_t frames_in;
};

/* --- Opening ---------------------------------------------------------------------------------- */

static struct sink *sink_create(const struct audio_spec *spec, struct output *output, bool stream)
{
    struct sink *sink = mem_alloc(sizeof(*sink));
    sink->spec = *spec;
    sink->output = output;
    sink->stream = stream;
    return sink;
}

int sink_open_file(const char *path, const struct audio_spec *spec, struct sink **sink,
                   struct err *err)
{
    struct output *output = NULL;
    *sink = NULL;
    if (audio_spec_check(spec, err) != 0 || output_open_file(path, &output, err) != 0)
        return err->code;
    *sink = sink_create(spec, output, false);
    return 0;
}

int sink_open_stream(int fd, const struct audio_spec *spec, struct sink **sink, struct err *err)
{
    *sink = NULL;
    if (audio_spec_check(spec, err) != 0)
        return err->code;
    *sink = sink_create(spec, output_open_stream(fd), true);
    return 0;
}

int sink_open_writer(const struct sink_writer *writer, const struct audio_spec *spec,
                     struct sink **sink, struct err *err)
{
    *sink = NULL;
    if (audio_spec_check(spec, err) != 0)
        return err->code;
    *sink = sink_create(spec, output_open_writer(writer), true);
    (*sink)->writer = writer;
    return 0;
}

int sink_open_memory(size_t bytes_max, const struct audio_spec *spec, struct sink **sink,
                     struct err *err)
{
    *sink = NULL;
    if (audio_spec_check(spec, err) != 0)
        return err->code;
    *sink = sink_create(spec, output_open_memory(bytes_max), false);
    return 0;
}

static int resampler_create(struct sink *sink, struct err *err)
{
    soxr_error_t reason = NULL;
    soxr_io_spec_t io = soxr_io_spec(SOXR_FLOAT32_I, SOXR_FLOAT32_I);
    soxr_quality_spec_t quality = soxr_quality_spec(SOXR_HQ, 0);
    soxr_runtime_spec_t runtime = soxr_runtime_spec(1);
    sink->resampler = soxr_create(sink->rate_in, sink->rate_out, sink->channels, &reason, &io,
                                  &quality, &runtime);
    if (!sink->resampler)
        return err_set(err, ERR_INTERNAL, NULL, "resampling from %u to %u Hz: %s", sink->rate_in,
                       sink->rate_out, reason ? reason : "not possible");
    return 0;
}

/* What is known before the end. */
static struct audio_info info_of(const struct sink *sink)
{
    return (struct audio_info){
        .format = sink->spec.format,
        .encoding = sink->spec.encoding,
        .sample_rate = sink->rate_out,
        .channels = sink->channels,
    };
}

static int begin(struct sink *sink, struct err *err)
{
    if (sink->rate_in != sink->rate_out && resampler_create(sink, err) != 0)
        return err->code;
    struct encoder_spec spec = {.format = sink->spec.format,
                                .encoding = sink->spec.encoding,
                                .sample_rate = sink->rate_out,
                                .channels = sink->channels,
                                .stream = sink->stream};
    if (sink->writer) {
        struct audio_info info = info_of(sink);
        sink->writer->begin(&info, sink->writer->arg);
    }
    if (encoder_create(&spec, sink->output, &sink->encoder, err) != 0)
        return err->code;
    return output_flush(sink->output, err);
}

/* Keeps a failure, so that no later call can succeed. */
static int settle(struct sink *sink, int result, enum sink_state state)
{
    sink->state = result == 0 ? state : SINK_FAILED;
    return result;
}

static int refuse(struct sink *sink, const char *call, struct err *err)
{
    static const char *const states[] = {
        [SINK_OPEN] = "sink_begin was not called",
        [SINK_BEGUN] = "sink_begin was called before",
        [SINK_FINISHED] = "the audio is finished",
        [SINK_FAILED] = "an earlier call failed",
    };
    return err_set(err, ERR_INTERNAL, NULL, "%s: %s", call, states[sink->state]);
}

int sink_begin(struct sink *sink, uint32_t sample_rate, uint32_t channels, struct err *err)
{
    if (sink->state != SINK_OPEN)
        return refuse(sink, "sink_begin", err);
    if (sample_rate < AUDIO_RATE_MIN || sample_rate > AUDIO_RATE_MAX)
        return settle(sink,
                      err_set(err, ERR_UNSUPPORTED, NULL,
                              "the model writes %u Hz; expected %d..%d Hz", sample_rate,
                              AUDIO_RATE_MIN, AUDIO_RATE_MAX),
                      SINK_FAILED);
    if (channels < 1 || channels > AUDIO_CHANNELS_MAX)
        return settle(sink,
                      err_set(err, ERR_UNSUPPORTED, NULL,
                              "the model writes %u channels; expected 1..%d", channels,
                              AUDIO_CHANNELS_MAX),
                      SINK_FAILED);
    sink->rate_in = sample_rate;
    sink->rate_out = sink->spec.sample_rate ? sink->spec.sample_rate
                                            : audio_rate_for(sink->spec.format, sample_rate);
    sink->channels = channels;
    return settle(sink, begin(sink, err), SINK_BEGUN);
}

/* --- Writing ---------------------------------------------------------------------------------- */

static int check_finite(const struct sink *sink, const float *pcm, uint64_t frames, struct err *err)
{
    uint64_t count = frames * sink->channels, i = 0;
    while (i < count && isfinite(pcm[i]))
        i++;
    if (i == count)
        return 0;
    uint64_t frame = sink->frames_in + i / sink->channels;
    return err_set(err, ERR_INTERNAL, NULL,
                   "the model wrote a sample that is not finite (%s) at frame %llu, channel %u",
                   isnan(pcm[i]) ? "NaN" : "infinity", (unsigned long long)frame,
                   (unsigned)(i % sink->channels));
}

/* Passes `frames` through the resampler to the encoder. `pcm` NULL: the end, and what is held
 * back. */
static int resample(struct sink *sink, const float *pcm, size_t frames, struct err *err)
{
    float block[AUDIO_BLOCK_SAMPLES];
    size_t room = AUDIO_BLOCK_SAMPLES / sink->channels, taken = 0, made = 0;
    do {
        const float *from = pcm ? pcm + taken * sink->channels : NULL;
        size_t used = 0;
        soxr_error_t reason = soxr_process(sink->resampler, from, pcm ? frames - taken : 0, &used,
                                           block, room, &made);
        if (reason)
            return err_set(err, ERR_INTERNAL, NULL, "resampling from %u to %u Hz: %s",
                           sink->rate_in, sink->rate_out, reason);
        taken += used;
        if (encoder_write(sink->encoder, block, made, err) != 0)
            return err->code;
    } while (made == room || taken < frames);
    return 0;
}

static int write_frames(struct sink *sink, const float *pcm, uint64_t frames, struct err *err)
{
    if (check_finite(sink, pcm, frames, err) != 0)
        return err->code;
    sink->frames_in += frames;
    int result = sink->resampler ? resample(sink, pcm, (size_t)frames, err)
                                 : encoder_write(sink->encoder, pcm, frames, err);
    return result == 0 ? output_flush(sink->output, err) : result;
}

int sink_write(struct sink *sink, const float *pcm, uint64_t frames, struct err *err)
{
    if (sink->state != SINK_BEGUN)
        return refuse(sink, "sink_write", err);
    if (frames == 0)
        return 0;
    return settle(sink, write_frames(sink, pcm, frames, err), SINK_BEGUN);
}

/* --- The end ---------------------------------------------------------------------------------- */

static int finish(struct sink *sink, struct audio_info *info, struct err *err)
{
    if (sink->resampler && sink->frames_in && resample(sink, NULL, 0, err) != 0)
        return err->code;
    if (encoder_close(sink->encoder, err) != 0)
        return err->code;
    *info = info_of(sink);
    info->frames = encoder_frames(sink->encoder);
    info->clipped = encoder_clipped(sink->encoder);
    info->duration_s = (double)info->frames / info->sample_rate;
    return output_finish(sink->output, &info->bytes, info->sha256, err);
}

int sink_finish(struct sink *sink, struct audio_info *info, struct err *err)
{
    if (sink->state != SINK_BEGUN)
        return refuse(sink, "sink_finish", err);
    return settle(sink, finish(sink, info, err), SINK_FINISHED);
}

void sink_take(struct sink *sink, struct str *bytes)
{
    output_take(sink->output, bytes);
}

void sink_destroy(struct sink *sink)
{
    if (!sink)
        return;
    soxr_delete(sink->resampler);
    encoder_destroy(sink->encoder);
    output_destroy(sink->output);
    free(sink);
}

struct encoder *sink_encoder(struct sink *sink)
{
    return sink->encoder;
}
