/* Decoding what users hand in: by content, bounded, and nothing broken accepted. */
#include "audio_test.h"

#include <fcntl.h>

static const struct audio_spec wav = {AUDIO_WAV, AUDIO_PCM16, 0};

static char *write_tone(const char *name, const struct audio_spec *spec, uint64_t frames)
{
    struct audio_info info;
    float *pcm = make_tone(frames, 24000, 1, 440, 0.5);
    char *path = write_file(name, spec, 24000, 1, pcm, frames, 4000, &info);
    free(pcm);
    return path;
}

static void write_bytes(const char *path, const void *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fs_write_all(fd, data, len), 0);
    close(fd);
}

/* From the file and from memory alike. */
static void check_refused(const char *path, double seconds_max, const char *part)
{
    struct audio_clip clip;
    struct err err = {0};
    struct str data = read_file(path);
    assert_int_equal(audio_decode_file(path, seconds_max, &clip, &err), ERR_INVALID);
    assert_memory_equal(err.message, path, strlen(path));
    if (!strstr(err.message, part))
        fail_msg("\"%s\" lacks \"%s\"", err.message, part);
    assert_null(clip.pcm);
    assert_int_equal(audio_decode_memory(data.data, data.len, seconds_max, &clip, &err),
                     ERR_INVALID);
    assert_memory_equal(err.message, "audio: ", 7);
    assert_null(clip.pcm);
    str_finish(&data);
}

static void every_format_is_known_by_its_content(void **state)
{
    (void)state;
    for (int format = 0; format < AUDIO_PCM; format++) {
        struct audio_clip from_file, from_memory;
        struct err err = {0};
        struct audio_spec spec = {(enum audio_format)format, AUDIO_PCM16, 0};
        char *path = write_tone("voice.vox", &spec, 24000); /* a name that means another codec */
        struct str data = read_file(path);
        assert_int_equal(audio_decode_file(path, 1.2, &from_file, &err), 0);
        assert_int_equal(audio_decode_memory(data.data, data.len, 1.2, &from_memory, &err), 0);
        assert_int_equal(from_file.frames, 24000);
        assert_int_equal(from_file.sample_rate, 24000);
        assert_int_equal(from_file.channels, 1);
        assert_int_equal(from_memory.frames, from_file.frames);
        assert_memory_equal(from_memory.pcm, from_file.pcm, 24000 * sizeof(float));
        assert_true(tone_snr(from_file.pcm + 4800, 14400, 1, 24000, 440) > 20);
        audio_clip_finish(&from_file);
        audio_clip_finish(&from_memory);
        str_finish(&data);
        unlink(path);
        free(path);
    }
}

static void longer_than_allowed_is_refused(void **state)
{
    (void)state;
    struct audio_clip clip;
    struct err err = {0};
    char *path = write_tone("long", &wav, 24001);
    check_refused(path, 1, "is longer than 1 s");
    assert_int_equal(audio_decode_file(path, 1.1, &clip, &err), 0);
    audio_clip_finish(&clip);
    unlink(path);
    free(path);
}

static void what_is_no_audio_is_refused(void **state)
{
    (void)state;
    char *path = fs_join(test_dir, "none.wav");
    char text[4096];
    memset(text, 'a', sizeof(text));
    write_bytes(path, text, sizeof(text));
    check_refused(path, 10, "is no audio");
    write_bytes(path, text, 5);
    check_refused(path, 10, "is no audio");
    write_bytes(path, "", 0);
    check_refused(path, 10, "is no audio");
    unlink(path);
    free(path);
    struct audio_clip clip;
    struct err err = {0};
    assert_int_equal(audio_decode_file(test_dir, 10, &clip, &err), ERR_INVALID);
    assert_non_null(strstr(err.message, "is not a regular file"));
    assert_int_equal(audio_decode_file("/nonexistent/a.wav", 10, &clip, &err), ERR_INVALID);
    assert_non_null(strstr(err.message, "/nonexistent/a.wav: cannot be read: No such file"));
}

static void an_empty_wav_is_refused(void **state)
{
    (void)state;
    char *path = write_tone("empty", &wav, 0);
    check_refused(path, 10, "has no audio in it");
    unlink(path);
    free(path);
}

static void a_file_that_was_cut_off_is_refused(void **state)
{
    (void)state;
    static const struct {
        enum audio_format format;
        const char *message;
    } cases[] = {{AUDIO_WAV, "is cut off: has"},
                 {AUDIO_FLAC, ""},
                 {AUDIO_MP3, "is cut off or damaged: has "},
                 {AUDIO_OPUS, "is cut off: has "}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct audio_spec spec = {cases[i].format, AUDIO_PCM16, 0};
        char *path = write_tone("cut", &spec, 96000);
        struct str data = read_file(path);
        write_bytes(path, data.data, data.len * 3 / 4);
        check_refused(path, 10, cases[i].message);
        str_finish(&data);
        unlink(path);
        free(path);
    }
}

static void a_damaged_flac_is_refused(void **state)
{
    (void)state;
    char *path = write_tone("damaged", &(struct audio_spec){AUDIO_FLAC, AUDIO_PCM16, 0}, 48000);
    struct str data = read_file(path);
    memset(data.data + data.len / 2, 0x5a, 200);
    write_bytes(path, data.data, data.len);
    check_refused(path, 10, "");
    str_finish(&data);
    unlink(path);
    free(path);
}

static void a_wav_of_unknown_length_is_read_to_its_end(void **state)
{
    (void)state;
    struct err err = {0};
    struct sink *sink = NULL;
    struct audio_info info;
    struct audio_clip clip;
    float *pcm = make_tone(5000, 16000, 2, 440, 0.5);
    char *path = fs_join(test_dir, "streamed");
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(sink_open_stream(fd, &wav, &sink, &err), 0);
    assert_int_equal(sink_begin(sink, 16000, 2, &err), 0);
    assert_int_equal(sink_write(sink, pcm, 5000, &err), 0);
    assert_int_equal(sink_finish(sink, &info, &err), 0);
    sink_destroy(sink);
    close(fd);
    assert_int_equal(audio_decode_file(path, 10, &clip, &err), 0);
    assert_int_equal(clip.frames, 5000);
    assert_int_equal(clip.channels, 2);
    audio_clip_finish(&clip);
    unlink(path);
    free(path);
    free(pcm);
}

static void a_sample_that_is_not_finite_is_refused(void **state)
{
    (void)state;
    char *path = write_tone("nan", &(struct audio_spec){AUDIO_WAV, AUDIO_FLOAT32, 0}, 1000);
    struct str data = read_file(path);
    float bad = NAN;
    memcpy(data.data + data.len - 4000 + 321 * sizeof(bad), &bad, sizeof(bad));
    write_bytes(path, data.data, data.len);
    check_refused(path, 10, "not finite at frame 321");
    str_finish(&data);
    unlink(path);
    free(path);
}

/* A header may ask for anything. */
static void a_header_beyond_the_limits_is_refused(void **state)
{
    (void)state;
    char *path = write_tone("header", &wav, 1000);
    struct str data = read_file(path);
    memcpy(data.data + 24, "\xff\xff\xff\x7f", 4);
    write_bytes(path, data.data, data.len);
    check_refused(path, 10, "sample rate of 2147483647 Hz");
    memcpy(data.data + 24, "\xc0\x5d\0\0", 4);
    memcpy(data.data + 22, "\x09\0", 2);
    memcpy(data.data + 32, "\x12\0", 2);
    write_bytes(path, data.data, data.len);
    check_refused(path, 10, "has 9 channels");
    str_finish(&data);
    unlink(path);
    free(path);
}

/* Without the header in its first frame, the length of an mp3 of variable rate is guessed, too short for
 * a tone, and libsndfile stops there. */
static void an_mp3_of_which_only_a_part_could_be_read_is_refused(void **state)
{
    (void)state;
    char *path = write_tone("vbr", &(struct audio_spec){AUDIO_MP3, AUDIO_PCM16, 0}, 480000);
    struct str data = read_file(path);
    char *header = memmem(data.data, 200, "Xing", 4);
    assert_non_null(header);
    memset(header, 0, 4);
    write_bytes(path, data.data, data.len);
    check_refused(path, 60, "variable rate without a length header");
    str_finish(&data);
    unlink(path);
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_is_known_by_its_content),
        cmocka_unit_test(longer_than_allowed_is_refused),
        cmocka_unit_test(what_is_no_audio_is_refused),
        cmocka_unit_test(an_empty_wav_is_refused),
        cmocka_unit_test(a_file_that_was_cut_off_is_refused),
        cmocka_unit_test(a_damaged_flac_is_refused),
        cmocka_unit_test(a_wav_of_unknown_length_is_read_to_its_end),
        cmocka_unit_test(a_sample_that_is_not_finite_is_refused),
        cmocka_unit_test(a_header_beyond_the_limits_is_refused),
        cmocka_unit_test(an_mp3_of_which_only_a_part_could_be_read_is_refused),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
