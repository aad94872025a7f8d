/* Recordings inside text: which text is one, and what is refused of it. */
#include "voice_test.h"

static void decode(const char *text, const char *expected)
{
    struct str bytes = {0};
    assert_int_equal(reference_decode_base64(text, 1000, &bytes, &test_err), 0);
    assert_int_equal(bytes.len, strlen(expected));
    assert_memory_equal(bytes.data, expected, bytes.len);
    str_finish(&bytes);
}

static void every_way_of_writing_base64_is_read(void **state)
{
    (void)state;
    decode("QQ==", "A");
    decode("QUI=", "AB");
    decode("QUJD", "ABC");
    decode("QUJDRA", "ABCD"); /* without its padding */
    decode("QU\r\nJD\nRA==\n", "ABCD");
    decode(" QUJD RA= = ", "ABCD");
    decode("++//", "\xfb\xef\xff");
    decode("--__", "\xfb\xef\xff");
    decode("data:audio/wav;base64,QUJD", "ABC");
    decode("DATA:audio/webm;codecs=opus;base64,QUJD", "ABC");
}

static void what_is_no_base64_is_refused(void **state)
{
    static const char *const wrong[] = {"",
                                        "=",
                                        "====",
                                        "Q",
                                        "QQ=",
                                        "QQ===",
                                        "QUJDR",
                                        "Q=Q=",
                                        "QQ==Q",
                                        "QU!D",
                                        "Q\xc3\xa4==",
                                        "data:,QQ==",
                                        "data:audio/wav,QQ==",
                                        "data:;base64,"};
    struct str bytes = {0};
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(reference_decode_base64(wrong[i], 1000, &bytes, &test_err), ERR_INVALID);
        assert_int_equal(bytes.len, 0);
    }
}

static void its_size_is_limited(void **state)
{
    struct str text = {0}, bytes = {0}, blob = {0};
    (void)state;
    for (int i = 0; i < 1000; i++)
        str_putc(&blob, (char)i);
    str_append_base64(&text, blob.data, blob.len);
    assert_int_equal(reference_decode_base64(text.data, 1000, &bytes, &test_err), 0);
    assert_int_equal(bytes.len, 1000);
    assert_memory_equal(bytes.data, blob.data, 1000);
    str_clear(&bytes);
    assert_int_equal(reference_decode_base64(text.data, 999, &bytes, &test_err), ERR_INVALID);
    assert_non_null(strstr(test_err.message, "larger than 999 bytes"));
    assert_int_equal(reference_decode_base64(text.data, 10, &bytes, &test_err), ERR_INVALID);
    assert_int_equal(bytes.len, 0);
    str_finish(&text);
    str_finish(&bytes);
    str_finish(&blob);
}

static void long_text_is_a_recording_and_short_text_a_name(void **state)
{
    struct str lines = {0};
    (void)state;
    assert_true(reference_is_inline("data:audio/wav;base64,QUJD"));
    assert_false(reference_is_inline("anna"));
    assert_false(reference_is_inline("QUJD"));
    for (int i = 0; i < 80; i++) /* as a mail program writes it, of either alphabet */
        str_puts(&lines, i % 10 == 9 ? "Q-_D\r\n" : "QUJD");
    assert_true(reference_is_inline(lines.data));
    str_puts(&lines, "QQ==\n");
    assert_true(reference_is_inline(lines.data));
    str_putc(&lines, '!');
    assert_false(reference_is_inline(lines.data));
    str_finish(&lines);
}

/* Two channels of 16 bit, full scale and against each other: 1 s. */
static void make_stereo(struct str *out)
{
    make_wav(2, 0, 0, out);
    out->data[22] = 2; /* channels */
    out->data[32] = 4; /* bytes of a frame */
    for (size_t at = 44; at + 4 <= out->len; at += 4) {
        bool is_up = at / 4 % 2 == 0;
        memcpy(out->data + at, is_up ? "\xff\x7f\x00\x80" : "\x00\x80\xff\x7f", 4);
    }
}

/* FM-71: channels stay apart and in their places, and the loudest sample does not wrap round, on the
 * way in as in the decoded form that is kept. */
static void fm_71_channels_and_full_scale_survive(void **state)
{
    struct str wav = {0}, flac = {0};
    struct audio_clip clip, again;
    (void)state;
    make_stereo(&wav);
    assert_int_equal(reference_decode(&wav, NULL, &clip, NULL, &test_err), 0);
    assert_int_equal(clip.channels, 2);
    assert_int_equal(clip.frames, RATE);
    clip.pcm[0] = 1.0f; /* what 24 bits cannot hold by a hair, and what is louder than they know */
    clip.pcm[1] = -1.5f;
    assert_int_equal(reference_encode_flac(&clip, &flac, &test_err), 0);
    assert_int_equal(reference_decode(&flac, NULL, &again, NULL, &test_err), 0);
    assert_int_equal(again.channels, 2);
    assert_int_equal(again.frames, RATE);
    for (size_t i = 0; i < RATE; i++) {
        bool is_left_up = (44 / 4 + i) % 2 == 0;
        for (size_t channel = 0; channel < 2; channel++) {
            bool is_up = is_left_up == (channel == 0);
            const struct audio_clip *const clips[] = {&clip, &again};
            for (size_t k = i == 0 ? 1 : 0; k < 2; k++) {
                float sample = clips[k]->pcm[2 * i + channel];
                if (i == 0)
                    is_up = channel == 0;
                assert_true(is_up ? sample > 0.999f && sample <= 1
                                  : sample < -0.999f && sample >= -1);
            }
        }
    }
    audio_clip_finish(&clip);
    audio_clip_finish(&again);
    str_finish(&wav);
    str_finish(&flac);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way_of_writing_base64_is_read),
        cmocka_unit_test(what_is_no_base64_is_refused),
        cmocka_unit_test(its_size_is_limited),
        cmocka_unit_test(long_text_is_a_recording_and_short_text_a_name),
        cmocka_unit_test(fm_71_channels_and_full_scale_survive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
