/* Float PCM to encoded bytes by libsndfile, over our own output. Clips, and counts what it clipped.
 * Knows no files and does not resample.
 *
 * Integers are made here and not by libsndfile, whose scale of 32767 would not give back the int16
 * that a float came from. A streamed wav gets its header from here too: libsndfile would write it
 * into the stream a second time.
 */
#include "audio/audio_private.h"

#include <sndfile.h>
#include <stdlib.h>
#include <string.h>

/* The quality of the formats that lose something, chosen for speech: transparent for a voice, at
 * about 80 (ogg), 48 (opus) and 100 (mp3) kbit/s for one channel. */
#define VORBIS_QUALITY 0.6        /* of -0.1..1 */
#define OPUS_CHANNEL_BITRATE 48e3 /* of 6e3..256e3, variable */
#define MP3_QUALITY 0.8           /* of 0..1, variable: LAME's -V 2 */
#define MP3_STREAM_QUALITY 0.5    /* of 0..1, constant: 84 kbit/s to 24 kHz, 176 above */

/* How long an opus page may wait when somebody listens while it is made; libsndfile's own is 1
 * s. */
#define OPUS_STREAM_LATENCY_MS 100.0

#define WAV_HEADER_SIZE 44
#define WAV_HEADER_ROOM 1024 /* more than libsndfile puts around the samples */

struct encoder {
    struct encoder_spec spec;
    struct output *output;   /* borrowed */
    struct ogg_pages *pages; /* NULL: not Ogg */
    SNDFILE *file;
    float *pending; /* less than a block, for Vorbis; NULL: others */
    size_t pending_frames;
    uint64_t frames, clipped, bytes_max;
    double full_scale; /* of the integers that libsndfile gets; 0: float */
};

/* --- libsndfile's file ------------------------------------------------------------------------ */

static sf_count_t file_size(void *user)
{
    const struct encoder *encoder = user;
    return (sf_count_t)output_size(encoder->output);
}

static sf_count_t file_seek(sf_count_t offset, int whence, void *user)
{
    struct output *output = ((struct encoder *)user)->output;
    uint64_t from = whence == SEEK_SET   ? 0
                    : whence == SEEK_CUR ? output_position(output)
                                         : output_size(output);
    return (sf_count_t)output_seek(output, from + (uint64_t)offset);
}

static sf_count_t file_read(void *data, sf_count_t len, void *user)
{
    (void)data;
    (void)len;
    (void)user;
    return 0; /* nothing that is encoded is read back */
}

static sf_count_t file_write(const void *data, sf_count_t len, void *user)
{
    struct encoder *encoder = user;
    if (encoder->pages)
        return (sf_count_t)ogg_pages_write(encoder->pages, data, (size_t)len);
    return (sf_count_t)output_write(encoder->output, data, (size_t)len);
}

static sf_count_t file_position(void *user)
{
    const struct encoder *encoder = user;
    return (sf_count_t)output_position(encoder->output);
}

/* --- Formats ---------------------------------------------------------------------------------- */

static uint32_t sample_size(enum audio_encoding encoding)
{
    static const uint32_t sizes[AUDIO_ENCODING_COUNT] = {2, 3, 4};
    return sizes[encoding];
}

static int library_format(const struct encoder_spec *spec)
{
    static const int encodings[AUDIO_ENCODING_COUNT] = {SF_FORMAT_PCM_16, SF_FORMAT_PCM_24,
                                                        SF_FORMAT_FLOAT};
    switch (spec->format) {
    case AUDIO_WAV:
        if (!spec->stream)
            return SF_FORMAT_WAV | encodings[spec->encoding];
        break;
    case AUDIO_FLAC:
        return SF_FORMAT_FLAC | encodings[spec->encoding];
    case AUDIO_MP3:
        return SF_FORMAT_MPEG | SF_FORMAT_MPEG_LAYER_III;
    case AUDIO_OGG:
        return SF_FORMAT_OGG | SF_FORMAT_VORBIS;
    case AUDIO_OPUS:
        return SF_FORMAT_OGG | SF_FORMAT_OPUS;
    case AUDIO_PCM:
    case AUDIO_FORMAT_COUNT:
        break;
    }
    return SF_FORMAT_RAW | SF_ENDIAN_LITTLE | encodings[spec->encoding];
}

/* What integers the samples become on their way: none where libsndfile takes float. */
static double full_scale(const struct encoder_spec *spec)
{
    bool lossy =
        spec->format == AUDIO_MP3 || spec->format == AUDIO_OGG || spec->format == AUDIO_OPUS;
    if (lossy || spec->encoding == AUDIO_FLOAT32)
        return 0;
    return spec->encoding == AUDIO_PCM16 ? 32768.0 : 8388608.0;
}

static void set_quality(SNDFILE *file, const struct encoder_spec *spec)
{
    if (spec->format == AUDIO_OGG) {
        double quality = VORBIS_QUALITY;
        sf_command(file, SFC_SET_VBR_ENCODING_QUALITY, &quality, sizeof(quality));
    } else if (spec->format == AUDIO_OPUS) {
        double level = (256e3 - OPUS_CHANNEL_BITRATE) / (256e3 - 6e3); /* 1: the smallest rate */
        double latency_ms = OPUS_STREAM_LATENCY_MS;
        sf_command(file, SFC_SET_COMPRESSION_LEVEL, &level, sizeof(level));
        if (spec->stream)
            sf_command(file, SFC_SET_OGG_PAGE_LATENCY_MS, &latency_ms, sizeof(latency_ms));
    } else if (spec->format == AUDIO_MP3) {
        /* Without a header that tells the length, players take the first frame's rate for all. */
        int mode = spec->stream ? SF_BITRATE_MODE_CONSTANT : SF_BITRATE_MODE_VARIABLE;
        double quality = spec->stream ? MP3_STREAM_QUALITY : MP3_QUALITY;
        sf_command(file, SFC_SET_BITRATE_MODE, &mode, sizeof(mode));
        sf_command(file, SFC_SET_VBR_ENCODING_QUALITY, &quality, sizeof(quality));
    }
}

static void put_le(uint8_t *out, uint32_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

/* RIFF/WAVE with both sizes unknown (Multimedia Programming Interface 1.0, "fmt " and "data"). */
static void write_stream_wav_header(struct output *output, const struct encoder_spec *spec)
{
    uint8_t header[WAV_HEADER_SIZE] = {
        'R', 'I', 'F', 'F', 0xff,       0xff, 0xff, 0xff, 'W',  'A',  'V',  'E',  'f',
        'm', 't', ' ', 16,  [36] = 'd', 'a',  't',  'a',  0xff, 0xff, 0xff, 0xff,
    };
    uint32_t size = sample_size(spec->encoding);
    put_le(header + 20, spec->encoding == AUDIO_FLOAT32 ? 3 : 1, 2);
    put_le(header + 22, spec->channels, 2);
    put_le(header + 24, spec->sample_rate, 4);
    put_le(header + 28, spec->sample_rate * spec->channels * size, 4);
    put_le(header + 32, spec->channels * size, 2);
    put_le(header + 34, 8 * size, 2);
    output_write(output, header, sizeof(header));
}

static int open_library(struct encoder *encoder, struct err *err)
{
    const struct encoder_spec *spec = &encoder->spec;
    SF_VIRTUAL_IO io = {.get_filelen = file_size,
                        .seek = file_seek,
                        .read = file_read,
                        .write = file_write,
                        .tell = file_position};
    SF_INFO info = {.samplerate = (int)spec->sample_rate,
                    .channels = (int)spec->channels,
                    .format = library_format(spec)};
    const char *name = audio_format_names[spec->format];
    if (!sf_format_check(&info))
        return err_set(err, ERR_UNSUPPORTED, "format", "%s cannot hold %u channels at %u Hz", name,
                       spec->channels, spec->sample_rate);
    encoder->file = sf_open_virtual(&io, SFM_WRITE, &info, encoder);
    if (output_check(encoder->output, err) != 0)
        return err->code;
    if (!encoder->file)
        return err_set(err, ERR_UNSUPPORTED, "format", "%s at %u Hz: %s", name, spec->sample_rate,
                       sf_strerror(NULL));
    sf_command(encoder->file, SFC_SET_ADD_PEAK_CHUNK, NULL, SF_FALSE); /* holds the time of day */
    set_quality(encoder->file, spec);
    return 0;
}

int encoder_create(const struct encoder_spec *spec, struct output *output, struct encoder **encoder,
                   struct err *err)
{
    struct encoder *made = mem_alloc(sizeof(*made));
    *encoder = made;
    made->spec = *spec;
    made->output = output;
    made->bytes_max = UINT32_MAX;
    made->full_scale = full_scale(spec);
    if (spec->format == AUDIO_OGG || spec->format == AUDIO_OPUS)
        made->pages = ogg_pages_create(output);
    if (spec->format == AUDIO_OGG)
        made->pending = mem_alloc_array(AUDIO_BLOCK_SAMPLES, sizeof(float));
    if (open_library(made, err) != 0) {
        encoder_destroy(made);
        *encoder = NULL;
        return err->code;
    }
    if (spec->format == AUDIO_WAV && spec->stream)
        write_stream_wav_header(output, spec);
    return 0;
}

/* --- Samples ---------------------------------------------------------------------------------- */

static float clip(float sample)
{
    return sample > 1.0f ? 1.0f : sample < -1.0f ? -1.0f : sample;
}

/* To integers of `scale` full scale, shifted to the top of an int. */
static uint64_t convert_int(const float *pcm, size_t count, double scale, int *out)
{
    const double rounder =
        0x1.8p52; /* adding it leaves no bits for a fraction: lrint without a call */
    const int top = (int)(0x1p31 / scale), high = (int)scale - 1;
    uint64_t clipped = 0;
    for (size_t i = 0; i < count; i++) {
        clipped += pcm[i] > 1.0f || pcm[i] < -1.0f;
        int value = (int)(clip(pcm[i]) * scale + rounder - rounder);
        out[i] = (value > high ? high : value) * top;
    }
    return clipped;
}

static uint64_t clip_float(const float *pcm, size_t count, float *out)
{
    uint64_t clipped = 0;
    for (size_t i = 0; i < count; i++) {
        clipped += pcm[i] > 1.0f || pcm[i] < -1.0f;
        out[i] = clip(pcm[i]);
    }
    return clipped;
}

/* At most AUDIO_BLOCK_SAMPLES. True when libsndfile took them all. */
static bool write_block(struct encoder *encoder, const float *pcm, size_t frames)
{
    union {
        int integers[AUDIO_BLOCK_SAMPLES];
        float floats[AUDIO_BLOCK_SAMPLES];
    } block;
    size_t count = frames * encoder->spec.channels;
    sf_count_t want = (sf_count_t)frames, put;
    if (encoder->full_scale > 0) {
        encoder->clipped += convert_int(pcm, count, encoder->full_scale, block.integers);
        put = sf_writef_int(encoder->file, block.integers, want);
    } else if (encoder->spec.encoding == AUDIO_FLOAT32) {
        put = sf_writef_float(encoder->file, pcm, want);
    } else {
        encoder->clipped += clip_float(pcm, count, block.floats);
        put = sf_writef_float(encoder->file, block.floats, want);
    }
    encoder->frames += put > 0 ? (uint64_t)put : 0;
    return put == want;
}

static int check_wav_size(const struct encoder *encoder, uint64_t more_frames, struct err *err)
{
    const struct encoder_spec *spec = &encoder->spec;
    if (spec->format != AUDIO_WAV || spec->stream)
        return 0;
    uint64_t frame_size = (uint64_t)sample_size(spec->encoding) * spec->channels;
    uint64_t frames_max = (encoder->bytes_max - WAV_HEADER_ROOM) / frame_size;
    if (more_frames <= frames_max - encoder->frames)
        return 0;
    return err_set(err, ERR_UNSUPPORTED, "format",
                   "a wav file holds at most %llu bytes, which is %.0f s of %u channels at "
                   "%u Hz in %s; flac has no such limit",
                   (unsigned long long)encoder->bytes_max, (double)frames_max / spec->sample_rate,
                   spec->channels, spec->sample_rate, audio_encoding_names[spec->encoding]);
}

/* At most a block. */
static int write_checked(struct encoder *encoder, const float *pcm, size_t frames, struct err *err)
{
    bool taken = write_block(encoder, pcm, frames);
    if (output_check(encoder->output, err) != 0)
        return err->code;
    if (!taken)
        return err_set(err, ERR_INTERNAL, NULL, "%s encoder: %s",
                       audio_format_names[encoder->spec.format], sf_strerror(encoder->file));
    return 0;
}

/* libvorbis starts differently by how much it is given at first, so it always gets whole blocks. */
static int collect(struct encoder *encoder, const float *pcm, size_t frames, size_t block_frames,
                   struct err *err)
{
    uint32_t channels = encoder->spec.channels;
    while (frames) {
        size_t lack = block_frames - encoder->pending_frames;
        size_t step = frames < lack ? frames : lack;
        memcpy(encoder->pending + encoder->pending_frames * channels, pcm,
               step * channels * sizeof(float));
        encoder->pending_frames += step;
        pcm += step * channels;
        frames -= step;
        if (encoder->pending_frames == block_frames) {
            encoder->pending_frames = 0;
            if (write_checked(encoder, encoder->pending, block_frames, err) != 0)
                return err->code;
        }
    }
    return 0;
}

int encoder_write(struct encoder *encoder, const float *pcm, uint64_t frames, struct err *err)
{
    size_t block_frames = AUDIO_BLOCK_SAMPLES / encoder->spec.channels;
    if (check_wav_size(encoder, frames, err) != 0)
        return err->code;
    while (frames) {
        size_t step = frames < block_frames ? (size_t)frames : block_frames;
        int result = encoder->pending ? collect(encoder, pcm, step, block_frames, err)
                                      : write_checked(encoder, pcm, step, err);
        if (result != 0)
            return result;
        pcm += step * encoder->spec.channels;
        frames -= step;
    }
    return 0;
}

/* --- The end ---------------------------------------------------------------------------------- */

int encoder_close(struct encoder *encoder, struct err *err)
{
    if (encoder->pending_frames &&
        write_checked(encoder, encoder->pending, encoder->pending_frames, err) != 0)
        return err->code;
    int code = sf_close(encoder->file);
    encoder->file = NULL;
    if (output_check(encoder->output, err) != 0)
        return err->code;
    if (code != 0)
        return err_set(err, ERR_INTERNAL, NULL, "%s encoder: %s",
                       audio_format_names[encoder->spec.format], sf_error_number(code));
    return 0;
}

uint64_t encoder_frames(const struct encoder *encoder)
{
    return encoder->frames;
}

uint64_t encoder_clipped(const struct encoder *encoder)
{
    return encoder->clipped;
}

void encoder_limit_wav(struct encoder *encoder, uint64_t bytes_max)
{
    encoder->bytes_max = bytes_max;
}

void encoder_destroy(struct encoder *encoder)
{
    if (!encoder)
        return;
    if (encoder->file) {
        output_abandon(encoder->output);
        sf_close(encoder->file);
    }
    ogg_pages_destroy(encoder->pages);
    free(encoder->pending);
    free(encoder);
}
