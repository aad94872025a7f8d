/* Sinks: what each format's file holds, exactness, resampling, clipping, streams, and failures. */
#include "audio_test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>

static const struct audio_spec all_specs[] = {
    {AUDIO_WAV, AUDIO_PCM16, 0},  {AUDIO_WAV, AUDIO_PCM24, 0},  {AUDIO_WAV, AUDIO_FLOAT32, 0},
    {AUDIO_PCM, AUDIO_PCM16, 0},  {AUDIO_PCM, AUDIO_PCM24, 0},  {AUDIO_PCM, AUDIO_FLOAT32, 0},
    {AUDIO_FLAC, AUDIO_PCM16, 0}, {AUDIO_FLAC, AUDIO_PCM24, 0}, {AUDIO_MP3, AUDIO_PCM16, 0},
    {AUDIO_OGG, AUDIO_PCM16, 0},  {AUDIO_OPUS, AUDIO_PCM16, 0},
};
#define SPEC_COUNT (sizeof(all_specs) / sizeof(all_specs[0]))

static bool is_lossy(enum audio_format format)
{
    return format == AUDIO_MP3 || format == AUDIO_OGG || format == AUDIO_OPUS;
}

static int32_t get_le(const char *data, size_t size)
{
    uint32_t value = 0;
    for (size_t i = 0; i < size; i++)
        value |= (uint32_t)(uint8_t)data[i] << (8 * (4 - size + i));
    return (int32_t)value >> (8 * (4 - size));
}

/* --- Files -------------------------------------------------------------------------------------------- */

static void check_magic(enum audio_format format, const struct str *data)
{
    const char *p = data->data;
    switch (format) {
    case AUDIO_WAV:
        assert_memory_equal(p, "RIFF", 4);
        assert_memory_equal(p + 8, "WAVEfmt ", 8);
        assert_int_equal(get_le(p + 4, 4), data->len - 8);
        break;
    case AUDIO_FLAC:
        assert_memory_equal(p, "fLaC", 4);
        break;
    case AUDIO_MP3:
        assert_true(memcmp(p, "ID3", 3) == 0 ||
                    ((uint8_t)p[0] == 0xff && ((uint8_t)p[1] & 0xe6) == 0xe2));
        break;
    case AUDIO_OGG:
        assert_memory_equal(p, "OggS", 4);
        assert_memory_equal(p + 28, "\x01vorbis", 7);
        break;
    case AUDIO_OPUS:
        assert_memory_equal(p, "OggS", 4);
        assert_memory_equal(p + 28, "OpusHead", 8);
        break;
    case AUDIO_PCM:
    case AUDIO_FORMAT_COUNT:
        break;
    }
}

static double difference_max(const float *a, const float *b, uint64_t count)
{
    double most = 0;
    for (uint64_t i = 0; i < count; i++)
        most = fmax(most, fabs((double)a[i] - b[i]));
    return most;
}

static void check_sound(const struct audio_spec *spec, const char *path, const float *pcm,
                        uint64_t frames, uint32_t channels)
{
    static const double tolerances[] = {0.6 / 32768, 0.6 / 8388608, 0};
    struct audio_clip clip;
    struct err err = {0};
    if (audio_decode_file(path, 10, &clip, &err) != 0)
        fail_msg("%s", err.message);
    assert_int_equal(clip.sample_rate, 24000);
    assert_int_equal(clip.channels, channels);
    if (is_lossy(spec->format)) { /* a stream of mp3 keeps what its codec puts before and after */
        assert_true(clip.frames >= frames && clip.frames < frames + 2400);
        double snr = tone_snr(clip.pcm + (size_t)4800 * channels, 14400, channels, 24000, 440);
        if (snr < 20)
            fail_msg("%s: %.1f dB", audio_format_names[spec->format], snr);
    } else {
        assert_int_equal(clip.frames, frames);
        assert_true(difference_max(clip.pcm, pcm, frames * channels) <= tolerances[spec->encoding]);
    }
    audio_clip_finish(&clip);
}

static void each_format_and_encoding_holds_the_sound(void **state)
{
    (void)state;
    for (uint32_t channels = 1; channels <= 2; channels++) {
        float *pcm = make_tone(24000, 24000, channels, 440, 0.5);
        for (size_t i = 0; i < SPEC_COUNT; i++) {
            const struct audio_spec *spec = &all_specs[i];
            struct audio_info info;
            char sha256[DIGEST_HEX_SIZE];
            char *path = write_file("sound", spec, 24000, channels, pcm, 24000, 1000, &info);
            struct str data = read_file(path);
            digest_of(data.data, data.len, sha256);
            assert_string_equal(info.sha256, sha256);
            assert_int_equal(info.bytes, data.len);
            assert_int_equal(info.format, spec->format);
            assert_int_equal(info.encoding, spec->encoding);
            assert_int_equal(info.sample_rate, 24000);
            assert_int_equal(info.channels, channels);
            assert_int_equal(info.frames, 24000);
            assert_true(fabs(info.duration_s - 1) < 1e-9);
            assert_int_equal(info.clipped, 0);
            check_magic(spec->format, &data);
            if (spec->format == AUDIO_PCM)
                assert_int_equal(data.len, 24000 * channels * (spec->encoding + 2));
            else
                check_sound(spec, path, pcm, 24000, channels);
            str_finish(&data);
            unlink(path);
            free(path);
        }
        free(pcm);
    }
}

/* Every 16-bit value, or 65,536 of the 24-bit ones, comes back as it was. */
static void check_exact(const struct audio_spec *spec, bool wide)
{
    enum { COUNT = 65536 };
    float *pcm = mem_alloc_array(COUNT, sizeof(float)), scale = wide ? 8388608.0f : 32768.0f;
    int step = wide ? 256 : 1, middle = COUNT / 2;
    for (int i = 0; i < COUNT; i++)
        pcm[i] = (float)((i - middle) * step + (wide ? i % 256 : 0)) / scale;
    struct audio_info info;
    struct audio_clip clip = {0};
    struct err err = {0};
    char *path = write_file("exact", spec, 24000, 1, pcm, COUNT, 700, &info);
    assert_int_equal(info.clipped, 0);
    if (spec->format == AUDIO_PCM) {
        struct str data = read_file(path);
        size_t size = wide ? 3 : 2;
        assert_int_equal(data.len, COUNT * size);
        for (size_t i = 0; i < COUNT; i++)
            assert_int_equal(get_le(data.data + i * size, size), lrintf(pcm[i] * scale));
        str_finish(&data);
    } else {
        assert_int_equal(audio_decode_file(path, 10, &clip, &err), 0);
        assert_int_equal(clip.frames, COUNT);
        assert_memory_equal(clip.pcm, pcm, COUNT * sizeof(float));
        audio_clip_finish(&clip);
    }
    unlink(path);
    free(path);
    free(pcm);
}

static void integers_come_back_exactly(void **state)
{
    (void)state;
    check_exact(&(struct audio_spec){AUDIO_WAV, AUDIO_PCM16, 0}, false);
    check_exact(&(struct audio_spec){AUDIO_FLAC, AUDIO_PCM16, 0}, false);
    check_exact(&(struct audio_spec){AUDIO_PCM, AUDIO_PCM16, 0}, false);
    check_exact(&(struct audio_spec){AUDIO_WAV, AUDIO_PCM24, 0}, true);
    check_exact(&(struct audio_spec){AUDIO_FLAC, AUDIO_PCM24, 0}, true);
    check_exact(&(struct audio_spec){AUDIO_PCM, AUDIO_PCM24, 0}, true);
}

static void blocks_and_repetition_do_not_change_the_bytes(void **state)
{
    (void)state;
    float *pcm = make_tone(12000, 24000, 1, 300, 0.5);
    for (size_t i = 0; i < SPEC_COUNT; i++) {
        struct audio_info once, again;
        free(write_file("same", &all_specs[i], 24000, 1, pcm, 12000, 12000, &once));
        char *path = write_file("same", &all_specs[i], 24000, 1, pcm, 12000, 777, &again);
        assert_int_equal(once.bytes, again.bytes);
        assert_string_equal(once.sha256, again.sha256);
        unlink(path);
        free(path);
    }
    free(pcm);
}

static void no_frames_make_an_empty_file(void **state)
{
    (void)state;
    for (size_t i = 0; i < SPEC_COUNT; i++) {
        struct audio_info info;
        char *path = write_file("empty", &all_specs[i], 24000, 1, NULL, 0, 1, &info);
        assert_int_equal(info.frames, 0);
        assert_true(info.duration_s == 0);
        unlink(path);
        free(path);
    }
}

static void more_channels_go_where_they_fit(void **state)
{
    (void)state;
    float *pcm = make_tone(2400, 24000, 8, 100, 0.5);
    for (size_t i = 0; i < SPEC_COUNT; i++) {
        struct sink *sink = NULL;
        struct err err = {0};
        struct audio_info info;
        char *path = fs_join(test_dir, "eight");
        assert_int_equal(sink_open_file(path, &all_specs[i], &sink, &err), 0);
        if (all_specs[i].format == AUDIO_MP3) {
            assert_int_equal(sink_begin(sink, 24000, 8, &err), ERR_UNSUPPORTED);
            assert_string_equal(err.field, "format");
            assert_non_null(strstr(err.message, "mp3 cannot hold 8 channels"));
        } else {
            assert_int_equal(sink_begin(sink, 24000, 8, &err), 0);
            assert_int_equal(sink_write(sink, pcm, 2400, &err), 0);
            assert_int_equal(sink_finish(sink, &info, &err), 0);
            assert_int_equal(info.channels, 8);
        }
        sink_destroy(sink);
        unlink(path);
        free(path);
    }
    free(pcm);
}

/* --- Rates -------------------------------------------------------------------------------------------- */

static void resampling_keeps_the_tone_and_the_length(void **state)
{
    (void)state;
    static const uint32_t rates[][2] = {
        {24000, 48000}, {16000, 44100}, {44100, 16000}, {22050, 192000}, {48000, 8000}};
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        uint32_t in = rates[i][0], out = rates[i][1];
        uint64_t frames = in + 123;
        float *pcm = make_tone(frames, in, 2, 997, 0.5);
        struct audio_spec spec = {AUDIO_WAV, AUDIO_FLOAT32, out};
        struct audio_info info;
        struct audio_clip clip;
        struct err err = {0};
        char *path = write_file("rate", &spec, in, 2, pcm, frames, 999, &info);
        assert_int_equal(info.frames, llround((double)frames * out / in));
        assert_int_equal(info.sample_rate, out);
        assert_int_equal(audio_decode_file(path, 10, &clip, &err), 0);
        assert_int_equal(clip.frames, info.frames);
        double snr = tone_snr(clip.pcm + clip.frames / 10 * 2, clip.frames * 8 / 10, 2, out, 997);
        if (snr < 90)
            fail_msg("%u to %u Hz: %.1f dB", in, out, snr);
        audio_clip_finish(&clip);
        unlink(path);
        free(path);
        free(pcm);
    }
}

static void rate_zero_is_the_nearest_that_the_format_has(void **state)
{
    (void)state;
    static const struct {
        enum audio_format format;
        uint32_t model, file;
    } cases[] = {
        {AUDIO_WAV, 22050, 22050},   {AUDIO_WAV, 16001, 16001},  {AUDIO_OPUS, 22050, 24000},
        {AUDIO_OPUS, 16000, 16000},  {AUDIO_OPUS, 44100, 48000}, {AUDIO_OPUS, 96000, 48000},
        {AUDIO_MP3, 44100, 44100},   {AUDIO_MP3, 45000, 48000},  {AUDIO_MP3, 96000, 48000},
        {AUDIO_OGG, 192000, 192000}, {AUDIO_OGG, 8000, 8000},    {AUDIO_FLAC, 192000, 192000}};
    float *pcm = make_tone(4000, 48000, 1, 500, 0.5);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct audio_spec spec = {cases[i].format, AUDIO_PCM16, 0};
        struct audio_info info;
        struct audio_clip clip;
        struct err err = {0};
        char *path = write_file("zero", &spec, cases[i].model, 1, pcm, 4000, 4000, &info);
        assert_int_equal(info.sample_rate, cases[i].file);
        assert_int_equal(audio_decode_file(path, 10, &clip, &err), 0);
        assert_int_equal(clip.sample_rate, cases[i].file);
        audio_clip_finish(&clip);
        unlink(path);
        free(path);
    }
    free(pcm);
}

/* All rates that mp3 and opus list, and a few of the rest, open and write. */
static void every_rate_that_is_promised_works(void **state)
{
    (void)state;
    static const uint32_t rates[] = {8000,  11025, 12000, 16000, 22050, 24000,
                                     32000, 44100, 48000, 96000, 192000};
    float *pcm = make_tone(4800, 48000, 1, 500, 0.5);
    for (size_t i = 0; i < SPEC_COUNT; i++)
        for (size_t k = 0; k < sizeof(rates) / sizeof(rates[0]); k++) {
            struct audio_spec spec = all_specs[i];
            struct audio_info info;
            struct err err = {0};
            spec.sample_rate = rates[k];
            if (audio_spec_check(&spec, &err) != 0)
                continue;
            char *path = write_file("each", &spec, 48000, 1, pcm, 4800, 4800, &info);
            assert_int_equal(info.frames, rates[k] / 10 + (rates[k] % 10 >= 5));
            if (spec.format == AUDIO_MP3) {
                struct audio_clip clip;
                assert_int_equal(audio_decode_file(path, 10, &clip, &err), 0);
                assert_int_equal(clip.sample_rate, rates[k]);
                audio_clip_finish(&clip);
            }
            unlink(path);
            free(path);
        }
    free(pcm);
}

static void check_refused(struct audio_spec spec, const char *field, const char *part)
{
    struct err err = {0};
    struct sink *sink = NULL;
    assert_int_equal(audio_spec_check(&spec, &err), ERR_INVALID);
    assert_string_equal(err.field, field);
    if (!strstr(err.message, part))
        fail_msg("\"%s\" lacks \"%s\"", err.message, part);
    assert_int_equal(sink_open_file("/nonexistent/a", &spec, &sink, &err), ERR_INVALID);
    assert_null(sink);
}

static void what_a_format_cannot_is_refused_by_field(void **state)
{
    (void)state;
    check_refused((struct audio_spec){AUDIO_FLAC, AUDIO_FLOAT32, 0}, "encoding",
                  "flac takes pcm16 or pcm24, not float32");
    check_refused((struct audio_spec){AUDIO_MP3, AUDIO_PCM24, 0}, "encoding", "mp3 takes pcm16");
    check_refused((struct audio_spec){AUDIO_OPUS, AUDIO_PCM16, 22050}, "sample_rate",
                  "opus has 8000, 12000, 16000, 24000, 48000 Hz, got 22050");
    check_refused((struct audio_spec){AUDIO_MP3, AUDIO_PCM16, 96000}, "sample_rate", "got 96000");
    check_refused((struct audio_spec){AUDIO_WAV, AUDIO_PCM16, 7999}, "sample_rate", "8000..192000");
    check_refused((struct audio_spec){AUDIO_WAV, AUDIO_PCM16, 192001}, "sample_rate", "got 192001");
}

static void names_go_both_ways(void **state)
{
    (void)state;
    for (int i = 0; i < AUDIO_FORMAT_COUNT; i++)
        assert_int_equal(audio_format_from(audio_format_names[i]), i);
    assert_int_equal(audio_format_from("aac"), -1);
    assert_int_equal(audio_format_from(""), -1);
}

/* --- Samples ------------------------------------------------------------------------------------------ */

static void clipping_is_counted_and_float_is_left_alone(void **state)
{
    (void)state;
    static const float pcm[] = {1.5f, -2.0f, 1.0f, -1.0f, 0.99999f, 0.0f, 1e30f, -1.0001f};
    enum { FRAMES = sizeof(pcm) / sizeof(pcm[0]) };
    for (size_t i = 0; i < SPEC_COUNT; i++) {
        struct audio_info info;
        char *path = write_file("clip", &all_specs[i], 24000, 1, pcm, FRAMES, FRAMES, &info);
        assert_int_equal(info.clipped, all_specs[i].encoding == AUDIO_FLOAT32 ? 0 : 4);
        if (all_specs[i].format == AUDIO_PCM && all_specs[i].encoding == AUDIO_PCM16) {
            static const int32_t want[FRAMES] = {32767, -32768, 32767, -32768,
                                                 32767, 0,      32767, -32768};
            struct str data = read_file(path);
            for (size_t k = 0; k < FRAMES; k++)
                assert_int_equal(get_le(data.data + 2 * k, 2), want[k]);
            str_finish(&data);
        } else if (all_specs[i].format == AUDIO_PCM && all_specs[i].encoding == AUDIO_FLOAT32) {
            struct str data = read_file(path);
            assert_memory_equal(data.data, pcm, sizeof(pcm));
            str_finish(&data);
        }
        unlink(path);
        free(path);
    }
}

static void check_not_finite(float bad)
{
    float *pcm = make_tone(2000, 24000, 2, 440, 0.5);
    struct err err = {0};
    struct sink *sink = NULL;
    struct audio_info info;
    char *path = fs_join(test_dir, "bad");
    pcm[2 * 700 + 1] = bad;
    assert_int_equal(
        sink_open_file(path, &(struct audio_spec){AUDIO_WAV, AUDIO_FLOAT32, 0}, &sink, &err), 0);
    assert_int_equal(sink_begin(sink, 24000, 2, &err), 0);
    assert_int_equal(sink_write(sink, pcm, 600, &err), 0);
    assert_int_equal(sink_write(sink, &pcm[1200], 1000, &err), ERR_INTERNAL);
    assert_non_null(strstr(err.message, "frame 700, channel 1"));
    assert_int_equal(sink_write(sink, pcm, 10, &err), ERR_INTERNAL);
    assert_int_equal(sink_finish(sink, &info, &err), ERR_INTERNAL);
    sink_destroy(sink);
    assert_int_equal(access(path, F_OK), -1);
    free(path);
    free(pcm);
}

static void samples_that_are_not_finite_are_refused(void **state)
{
    (void)state;
    check_not_finite(NAN);
    check_not_finite(INFINITY);
    check_not_finite(-INFINITY);
}

/* --- Streams ------------------------------------------------------------------------------------------ */

static void streamed_wav_goes_out_as_it_is_written(void **state)
{
    (void)state;
    int ends[2];
    char got[8192];
    float *pcm = make_tone(1000, 16000, 2, 440, 0.5);
    struct err err = {0};
    struct sink *sink = NULL;
    struct audio_info info;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(
        sink_open_stream(ends[1], &(struct audio_spec){AUDIO_WAV, AUDIO_PCM16, 0}, &sink, &err), 0);
    assert_int_equal(sink_begin(sink, 16000, 2, &err), 0);
    assert_int_equal(read(ends[0], got, sizeof(got)), 44);
    static const char header[] = "RIFF\xff\xff\xff\xffWAVEfmt \x10\0\0\0\x01\0\x02\0"
                                 "\x80\x3e\0\0\0\xfa\0\0\x04\0\x10\0data\xff\xff\xff\xff";
    assert_int_equal(sizeof(header), 45);
    assert_memory_equal(got, header, 44);
    assert_int_equal(sink_write(sink, pcm, 500, &err), 0);
    assert_int_equal(read(ends[0], got + 44, sizeof(got) - 44), 2000);
    assert_int_equal(sink_write(sink, &pcm[1000], 500, &err), 0);
    assert_int_equal(sink_finish(sink, &info, &err), 0);
    assert_int_equal(read(ends[0], got + 2044, sizeof(got) - 2044), 2000);
    assert_int_equal(info.bytes, 4044);
    char sha256[DIGEST_HEX_SIZE];
    digest_of(got, 4044, sha256);
    assert_string_equal(info.sha256, sha256);
    sink_destroy(sink);
    assert_int_equal(fcntl(ends[1], F_GETFD) >= 0, 1);
    close(ends[0]);
    close(ends[1]);
    free(pcm);
}

/* Into a file whose offset nobody may move: the same as a pipe, without its size. */
static void every_format_streams(void **state)
{
    (void)state;
    float *pcm = make_tone(24000, 24000, 1, 440, 0.5);
    char *path = fs_join(test_dir, "stream");
    for (size_t i = 0; i < SPEC_COUNT; i++) {
        struct err err = {0};
        struct sink *sink = NULL;
        struct audio_info info;
        int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);
        assert_true(fd >= 0);
        assert_int_equal(sink_open_stream(fd, &all_specs[i], &sink, &err), 0);
        assert_int_equal(sink_begin(sink, 24000, 1, &err), 0);
        for (size_t block = 0; block < 12; block++)
            assert_int_equal(sink_write(sink, pcm + 2000 * block, 2000, &err), 0);
        off_t before_the_end = lseek(fd, 0, SEEK_END);
        assert_int_equal(sink_finish(sink, &info, &err), 0);
        struct str data = read_file(path);
        char sha256[DIGEST_HEX_SIZE];
        digest_of(data.data, data.len, sha256);
        assert_int_equal(info.bytes, data.len);
        assert_string_equal(info.sha256, sha256);
        assert_true(before_the_end > (off_t)data.len / 4);
        if (all_specs[i].format != AUDIO_PCM)
            check_sound(&all_specs[i], path, pcm, 24000, 1);
        str_finish(&data);
        sink_destroy(sink);
        close(fd);
    }
    unlink(path);
    free(path);
    free(pcm);
}

static void a_closed_pipe_is_a_storage_error(void **state)
{
    (void)state;
    int ends[2];
    float pcm[100] = {0};
    struct err err = {0};
    struct sink *sink = NULL;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(
        sink_open_stream(ends[1], &(struct audio_spec){AUDIO_WAV, AUDIO_PCM16, 0}, &sink, &err), 0);
    assert_int_equal(sink_begin(sink, 16000, 1, &err), 0);
    close(ends[0]);
    assert_int_equal(sink_write(sink, pcm, 100, &err), ERR_STORAGE);
    assert_non_null(strstr(err.message, "was closed"));
    assert_non_null(strstr(err.message, "Broken pipe"));
    sink_destroy(sink);
    close(ends[1]);
}

/* --- Failures ----------------------------------------------------------------------------------------- */

static void a_full_disk_is_a_storage_error(void **state)
{
    (void)state;
    float *pcm = make_tone(240000, 24000, 1, 440, 0.5);
    for (size_t i = 0; i < SPEC_COUNT; i++)
        for (int long_one = 0; long_one < 2; long_one++) {
            struct err err = {0};
            struct sink *sink = NULL;
            struct audio_info info;
            int result = 0;
            assert_int_equal(sink_open_file("/dev/full", &all_specs[i], &sink, &err), 0);
            assert_int_equal(sink_begin(sink, 24000, 1, &err), 0);
            for (int block = 0; result == 0 && block < (long_one ? 4 : 1); block++)
                result = sink_write(sink, pcm, 240000, &err);
            if (result == 0)
                result = sink_finish(sink, &info, &err);
            assert_int_equal(result, ERR_STORAGE);
            assert_string_equal(err.message,
                                "/dev/full: cannot be written: No space left on device");
            sink_destroy(sink);
        }
    assert_int_equal(access("/dev/full", F_OK), 0);
    free(pcm);
}

static void a_path_that_cannot_be_made_is_named(void **state)
{
    (void)state;
    struct err err = {0};
    struct sink *sink = NULL;
    assert_int_equal(sink_open_file("/nonexistent/a.wav",
                                    &(struct audio_spec){AUDIO_WAV, AUDIO_PCM16, 0}, &sink, &err),
                     ERR_STORAGE);
    assert_string_equal(err.message,
                        "/nonexistent/a.wav: cannot be made: No such file or directory");
    assert_null(sink);
}

static void an_unfinished_file_is_removed(void **state)
{
    (void)state;
    float *pcm = make_tone(240000, 24000, 1, 440, 0.5);
    for (size_t i = 0; i < SPEC_COUNT; i++) {
        struct err err = {0};
        struct sink *sink = NULL;
        char *path = fs_join(test_dir, "unfinished");
        assert_int_equal(sink_open_file(path, &all_specs[i], &sink, &err), 0);
        assert_int_equal(sink_begin(sink, 24000, 1, &err), 0);
        for (int block = 0; block < (is_lossy(all_specs[i].format) ? 1 : 10); block++)
            assert_int_equal(sink_write(sink, pcm, 240000, &err), 0);
        assert_int_equal(access(path, F_OK), 0);
        sink_destroy(sink);
        assert_int_equal(access(path, F_OK), -1);
        free(path);
    }
    sink_destroy(NULL);
    free(pcm);
}

static void calls_out_of_order_are_refused(void **state)
{
    (void)state;
    float pcm[10] = {0};
    struct err err = {0};
    struct sink *sink = NULL;
    struct audio_info info;
    struct audio_spec spec = {AUDIO_WAV, AUDIO_PCM16, 0};
    char *path = fs_join(test_dir, "order");
    assert_int_equal(sink_open_file(path, &spec, &sink, &err), 0);
    assert_int_equal(sink_write(sink, pcm, 10, &err), ERR_INTERNAL);
    assert_int_equal(sink_finish(sink, &info, &err), ERR_INTERNAL);
    assert_int_equal(sink_begin(sink, 24000, 1, &err), 0);
    assert_int_equal(sink_begin(sink, 24000, 1, &err), ERR_INTERNAL);
    assert_int_equal(sink_finish(sink, &info, &err), 0);
    assert_int_equal(sink_write(sink, pcm, 10, &err), ERR_INTERNAL);
    assert_int_equal(sink_finish(sink, &info, &err), ERR_INTERNAL);
    sink_destroy(sink);
    assert_int_equal(sink_open_file(path, &spec, &sink, &err), 0);
    assert_int_equal(sink_begin(sink, 0, 1, &err), ERR_UNSUPPORTED);
    sink_destroy(sink);
    assert_int_equal(sink_open_file(path, &spec, &sink, &err), 0);
    assert_int_equal(sink_begin(sink, 24000, 9, &err), ERR_UNSUPPORTED);
    sink_destroy(sink);
    free(path);
}

static void a_wav_beyond_its_size_field_is_refused(void **state)
{
    (void)state;
    float *pcm = make_tone(10000, 24000, 1, 440, 0.5);
    struct err err = {0};
    struct sink *sink = NULL;
    char *path = fs_join(test_dir, "limit");
    assert_int_equal(
        sink_open_file(path, &(struct audio_spec){AUDIO_WAV, AUDIO_PCM16, 0}, &sink, &err), 0);
    assert_int_equal(sink_begin(sink, 24000, 1, &err), 0);
    encoder_limit_wav(sink_encoder(sink), 30000);
    assert_int_equal(sink_write(sink, pcm, 10000, &err), 0);
    assert_int_equal(sink_write(sink, pcm, 5000, &err), ERR_UNSUPPORTED);
    assert_non_null(strstr(err.message, "at most 30000 bytes"));
    sink_destroy(sink);
    free(path);
    free(pcm);
}

/* --- Memory ------------------------------------------------------------------------------------------- */

#ifndef __has_feature
#define __has_feature(x) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || \
    __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MEMORY_IS_INSTRUMENTED 1
#else
#define MEMORY_IS_INSTRUMENTED 0
#endif

static long peak_kb(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

/* After the first tenth the peak does not rise: 6 MB is what the first digest loads and the allocator rounds, a
 * small part of the 57 MB of an hour. */
static void check_flat(const struct audio_spec *spec, int seconds)
{
    enum { RATE = 8000 };
    float *pcm = make_tone(RATE, RATE, 1, 440, 0.5);
    struct err err = {0};
    struct sink *sink = NULL;
    struct audio_info info;
    char *path = fs_join(test_dir, "long"), sha256[DIGEST_HEX_SIZE];
    long early = 0;
    assert_int_equal(sink_open_file(path, spec, &sink, &err), 0);
    assert_int_equal(sink_begin(sink, RATE, 1, &err), 0);
    for (int second = 0; second < seconds; second++) {
        assert_int_equal(sink_write(sink, pcm, RATE, &err), 0);
        if (second == seconds / 10)
            early = peak_kb();
    }
    assert_int_equal(sink_finish(sink, &info, &err), 0);
    if (!MEMORY_IS_INSTRUMENTED && peak_kb() - early > 6144)
        fail_msg("%s: peak memory rose by %ld KB", audio_format_names[spec->format],
                 peak_kb() - early);
    assert_true(info.duration_s == seconds);
    assert_int_equal(digest_of_file(path, sha256), 0);
    assert_string_equal(info.sha256, sha256);
    if (spec->format == AUDIO_WAV) {
        int fd = open(path, O_RDONLY);
        char header[44];
        assert_int_equal(read(fd, header, 44), 44);
        assert_int_equal(get_le(header + 4, 4), info.bytes - 8);
        assert_int_equal(get_le(header + 40, 4), info.bytes - 44);
        close(fd);
    }
    sink_destroy(sink);
    unlink(path);
    free(path);
    free(pcm);
}

static void memory_does_not_grow_with_the_audio(void **state)
{
    (void)state;
    check_flat(&(struct audio_spec){AUDIO_WAV, AUDIO_PCM16, 0}, 3600);
    check_flat(&(struct audio_spec){AUDIO_PCM, AUDIO_FLOAT32, 0}, 1200);
    check_flat(&(struct audio_spec){AUDIO_FLAC, AUDIO_PCM16, 0}, 1200);
    check_flat(&(struct audio_spec){AUDIO_WAV, AUDIO_PCM16, 16000}, 300); /* resampled */
    check_flat(&(struct audio_spec){AUDIO_MP3, AUDIO_PCM16, 0}, 60);
    check_flat(&(struct audio_spec){AUDIO_OGG, AUDIO_PCM16, 0}, 60);
    check_flat(&(struct audio_spec){AUDIO_OPUS, AUDIO_PCM16, 0}, 60);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_does_not_grow_with_the_audio),
        cmocka_unit_test(each_format_and_encoding_holds_the_sound),
        cmocka_unit_test(integers_come_back_exactly),
        cmocka_unit_test(blocks_and_repetition_do_not_change_the_bytes),
        cmocka_unit_test(no_frames_make_an_empty_file),
        cmocka_unit_test(more_channels_go_where_they_fit),
        cmocka_unit_test(resampling_keeps_the_tone_and_the_length),
        cmocka_unit_test(rate_zero_is_the_nearest_that_the_format_has),
        cmocka_unit_test(every_rate_that_is_promised_works),
        cmocka_unit_test(what_a_format_cannot_is_refused_by_field),
        cmocka_unit_test(names_go_both_ways),
        cmocka_unit_test(clipping_is_counted_and_float_is_left_alone),
        cmocka_unit_test(samples_that_are_not_finite_are_refused),
        cmocka_unit_test(streamed_wav_goes_out_as_it_is_written),
        cmocka_unit_test(every_format_streams),
        cmocka_unit_test(a_closed_pipe_is_a_storage_error),
        cmocka_unit_test(a_full_disk_is_a_storage_error),
        cmocka_unit_test(a_path_that_cannot_be_made_is_named),
        cmocka_unit_test(an_unfinished_file_is_removed),
        cmocka_unit_test(calls_out_of_order_are_refused),
        cmocka_unit_test(a_wav_beyond_its_size_field_is_refused),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
