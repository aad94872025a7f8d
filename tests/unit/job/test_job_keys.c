/* Which files in a storage directory are results of ours: every key that is made, none that others
 * made (FM-66). Here, since the store does not know the names of formats and timing files. */
#include "job_test.h"

#include <time.h>

static void assert_ours(const char *template, const char *key)
{
    if (!storage_key_matches(template, key))
        fail_msg("\"%s\" makes \"%s\", which is not found to be of it", template, key);
}

/* Values of all kinds: plain, not ASCII, hostile, long, absent. */
static const char *value_of(unsigned number)
{
    static char longest[4096];
    static const char *const values[] = {
        "job-1",    "a.b.c",   "..",         "../../etc/passwd",
        "x y/z",    ".hidden", "",           "Zo\xc3\xab",
        "\xff\xfe", "srt",     "a.srt",      "1",
        NULL,       longest,   "2026-01-31", "0123456789abcdef0123456789abcdef",
        "none",     "~@+=,",   "wav"};
    memset(longest, 'x', sizeof(longest) - 1);
    return values[number % (sizeof(values) / sizeof(values[0]))];
}

static void every_key_that_is_made_is_ours(void **state)
{
    static const char *const templates[] = {
        "{random}/{job_id}.{ext}",
        "{job_id}",
        "{job_id}.{ext}",
        "{job_id}{ext}",
        "{date}/{language}/{voice}-{random}.{ext}",
        "audio/{user_id}/{story_id}/{model_type}_{job_id}_final.{ext}",
        "{job_id}.{ext}.bin",
        "{voice}{job_id}{user_id}.{ext}",
        "a.{job_id}/b",
        "latest.{ext}",
        "latest",
        "x{random}{date}{ext}y",
    };
    struct err err = {0};
    unsigned number = 0;
    (void)state;
    for (size_t t = 0; t < sizeof(templates) / sizeof(templates[0]); t++)
        for (unsigned round = 0; round < 200; round++) {
            const char *values[KEY_FIELD_COUNT];
            struct str key = {0};
            for (unsigned i = 0; i < KEY_FIELD_COUNT; i++)
                values[i] = value_of(number++ * 7919u);
            values[KEY_FIELD_EXT] = audio_format_names[round % AUDIO_FORMAT_COUNT];
            assert_int_equal(
                storage_key(NULL, templates[t], values, (int64_t)time(NULL), &key, &err), 0);
            assert_ours(templates[t], str_text(&key));
            for (unsigned f = 0; f < SUBTITLE_FORMAT_COUNT; f++) {
                char *timing = result_subtitle_name(str_text(&key), (enum subtitle_format)f);
                assert_ours(templates[t], timing);
                free(timing);
            }
            const char *dot = strrchr(fs_name_of(str_text(&key)), '.');
            char *words = str_format("%.*s.words.json",
                                     (int)(dot ? (size_t)(dot - key.data) : key.len), key.data);
            assert_ours(templates[t], words);
            free(words);
            str_finish(&key);
        }
    assert_ours("{job_id}.{ext}", "job.tar"); /* a voice that was exported */
    assert_ours("{job_id}.{ext}", "job.bin");
}

static void what_others_made_is_not_ours(void **state)
{
    static const struct {
        const char *template, *key;
    } foreign[] = {
        {"{random}/{job_id}.{ext}", "job.wav"},
        {"{random}/{job_id}.{ext}", "photos/summer.wav"},
        {"{random}/{job_id}.{ext}", "0123456789abcdef0123456789abcdef/a/b.wav"},
        {"{random}/{job_id}.{ext}", "0123456789abcdef0123456789abcdef/notes.txt"},
        {"{random}/{job_id}.{ext}", "0123456789abcdef0123456789abcdef/.hidden.wav"},
        {"{random}/{job_id}.{ext}", "0123456789abcdef0123456789abcdef"},
        {"{random}/{job_id}.{ext}", "0123456789abcdef0123456789abcdef/"},
        {"{random}/{job_id}.{ext}", "0123456789ABCDEF0123456789abcdef/a.wav"},
        {"{job_id}.{ext}", ".voxhost-salt"},
        {"{job_id}.{ext}", ".a.wav"},
        {"{job_id}.{ext}", "notes.txt"},
        {"{job_id}.{ext}", "a.safetensors"},
        {"{job_id}.{ext}", "my song (1).wav"},
        {"{job_id}.{ext}", "a.WAV"},
        {"{job_id}.{ext}", "a/b.wav"},
        {"{job_id}.{ext}", ".wav"},
        {"{job_id}.{ext}", ".srt"},
        {"{job_id}.{ext}", ""},
        {"audio/{date}/{job_id}.{ext}", "audio/2026-1-31/a.wav"},
        {"audio/{date}/{job_id}.{ext}", "voice/2026-01-31/a.wav"},
        {"audio/{date}/{job_id}.{ext}", "audio/2026-01-31/a.wav/b"},
        {"{job_id}-audio", "a-audio.txt"},
        {"{date}-audio", "a.srt"},
        {"latest.wav", "late.srt"},
        {".hidden/{job_id}", ".hidden/a"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
        if (storage_key_matches(foreign[i].template, foreign[i].key))
            fail_msg("\"%s\" cannot make \"%s\"", foreign[i].template, foreign[i].key);
}

static void a_name_of_many_fields_is_looked_at_in_time(void **state)
{
    struct str template = {0}, key = {0};
    (void)state;
    for (int i = 0; i < 100; i++)
        str_puts(&template, "{job_id}{voice}");
    for (int i = 0; i < 255; i++)
        str_putc(&key, 'a');
    assert_true(storage_key_matches(str_text(&template), str_text(&key)));
    str_puts(&template, "!");
    assert_false(storage_key_matches(str_text(&template), str_text(&key)));
    str_putc(&key, 'a'); /* longer than any name on disk */
    assert_false(storage_key_matches(str_text(&template), str_text(&key)));
    str_finish(&template);
    str_finish(&key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_that_is_made_is_ours),
        cmocka_unit_test(what_others_made_is_not_ours),
        cmocka_unit_test(a_name_of_many_fields_is_looked_at_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
