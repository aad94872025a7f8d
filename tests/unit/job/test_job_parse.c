/* From JSON to a job: every field, right and wrong. */
#include "job_test.h"

#define TONE "{model_type: tone, aliases: [beep], plugin: %P/tone.so, defaults: {ms_per_char: 20}}"
#define TWO TONE ", {model_type: faulty, plugin: %P/faulty.so}"

static void all_fields_arrive(void **state)
{
    struct fixture f;
    struct job *job;
    struct err err = {0};
    (void)state;
    fixture_open(&f, TWO, "");
    assert_int_equal(
        parse_job(
            &f,
            "{\"id\":\"a\",\"op\":\"tts\",\"model_type\":\"BEEP\",\"text\":\"Hi\",\"voice\":"
            "\"HIGH\","
            "\"language\":\"en-GB\",\"seed\":9223372036854775807,\"speed\":2,\"format\":\"flac\","
            "\"encoding\":\"pcm24\",\"sample_rate\":48000,\"output\":\"x/y.flac\","
            "\"timestamps\":[\"srt\",\"ass\"],\"timeout_s\":5,\"options\":{\"channels\":2}}",
            false, &job, &err),
        0);
    assert_string_equal(job->id, "a");
    assert_string_equal(model_name(job->model), "tone");
    assert_string_equal(job->voice.id, "high");
    assert_true(job->voice.is_speaker);
    assert_true(job->has_seed && job->seed == INT64_MAX);
    assert_true(job->speed == 2 && job->timeout_s == 5);
    assert_int_equal(job->spec.format, AUDIO_FLAC);
    assert_int_equal(job->spec.encoding, AUDIO_PCM24);
    assert_int_equal(job->spec.sample_rate, 48000);
    assert_string_equal(job->output, "x/y.flac");
    assert_int_equal(job->subtitles, 1u << SUBTITLE_SRT | 1u << SUBTITLE_ASS);
    job_destroy(job);
    fixture_close(&f);
}

static void absent_fields_have_defaults(void **state)
{
    struct fixture f;
    struct job *job;
    struct err err = {0};
    (void)state;
    fixture_open(&f, TONE, "job_timeout_s: 9");
    assert_int_equal(parse_job(&f, "{\"text\":\"Hi\",\"voice\":null}", false, &job, &err), 0);
    assert_string_equal(job->id, "job-7");
    assert_string_equal(job->output, "job-7.wav");
    assert_false(job->has_seed || job->has_voice);
    assert_true(job->seed >= 0 && job->timeout_s == 9);
    assert_int_equal(job->options.values[0].integer, 20);
    job_destroy(job);
    fixture_close(&f);
}

static void wrong_field_is_named_with_what_was_expected(void **state)
{
    static const struct {
        const char *job, *field, *expected;
        enum err_code code;
    } cases[] = {
        {"[]", "", "expected an object", ERR_INVALID},
        {"{}", "text", "missing", ERR_INVALID},
        {"{\"text\":\"\"}", "text", "is empty", ERR_INVALID},
        {"{\"text\":\" \\n\\t\"}", "text", "is empty", ERR_INVALID},
        {"{\"text\":7}", "text", "expected string, got 7", ERR_INVALID},
        {"{\"text\":\"0123456789abcdef0\"}", "text", "17 bytes long, at most 16", ERR_INVALID},
        {"{\"text\":\"a\",\"text_file\":\"b\"}", "text_file", "together with", ERR_INVALID},
        {"{\"text_file\":\"nothing.txt\"}", "text_file", "cannot be read", ERR_INVALID},
        {"{\"text\":\"a\",\"id\":\"a/b\"}", "id", "without '/'", ERR_INVALID},
        {"{\"text\":\"a\",\"id\":\"\"}", "id", "1 to 200 bytes", ERR_INVALID},
        {"{\"text\":\"a\",\"id\":\".x\"}", "id", "leading '.'", ERR_INVALID},
        {"{\"text\":\"a\",\"id\":true}", "id", "expected string", ERR_INVALID},
        {"{\"text\":\"a\",\"op\":\"sing\"}", "op", "expected one of tts", ERR_INVALID},
        {"{\"text\":\"a\",\"model_type\":\"ton\"}", "model_type", "did you mean \"tone\"?",
         ERR_UNKNOWN_MODEL},
        {"{\"text\":\"a\",\"txet\":1}", "txet", "did you mean \"text\"?", ERR_INVALID},
        {"{\"text\":\"a\",\"nfe_step\":1}", "nfe_step", "under \"options\"", ERR_INVALID},
        {"{\"text\":\"a\",\"voice\":\"bob\"}", "voice", "low, high", ERR_VOICE_NOT_FOUND},
        {"{\"text\":\"a\",\"voice\":\"http://a:b@x/y.wav\"}", "voice", "user name", ERR_INVALID},
        {"{\"text\":\"a\",\"voice_text\":\"x\"}", "voice_text", "without a voice", ERR_INVALID},
        {"{\"text\":\"a\",\"language\":\"fr\"}", "language", "does not speak \"fr\"",
         ERR_UNSUPPORTED},
        {"{\"text\":\"a\",\"language\":\"e n\"}", "language", "BCP 47", ERR_INVALID},
        {"{\"text\":\"a\",\"seed\":-1}", "seed", "integer 0..9223372036854775807, got -1",
         ERR_INVALID},
        {"{\"text\":\"a\",\"seed\":9223372036854775808}", "seed", "integer 0..", ERR_INVALID},
        {"{\"text\":\"a\",\"seed\":1.0}", "seed", "got 1.0", ERR_INVALID},
        {"{\"text\":\"a\",\"seed\":\"1\"}", "seed", "got \"1\"", ERR_INVALID},
        {"{\"text\":\"a\",\"speed\":0.2}", "speed", "number 0.25..4, got 0.2", ERR_INVALID},
        {"{\"text\":\"a\",\"format\":\"wave\"}", "format", "did you mean \"wav\"?", ERR_INVALID},
        {"{\"text\":\"a\",\"format\":\"mp3\",\"encoding\":\"pcm24\"}", "encoding", "", ERR_INVALID},
        {"{\"text\":\"a\",\"format\":\"opus\",\"sample_rate\":44100}", "sample_rate", "",
         ERR_INVALID},
        {"{\"text\":\"a\",\"sample_rate\":7999}", "sample_rate", "integer 8000..192000",
         ERR_INVALID},
        {"{\"text\":\"a\",\"output\":\"../a.wav\"}", "output", "stays inside", ERR_INVALID},
        {"{\"text\":\"a\",\"output\":\"/a.wav\"}", "output", "stays inside", ERR_INVALID},
        {"{\"text\":\"a\",\"output\":\".a.wav\"}", "output", "stays inside", ERR_INVALID},
        {"{\"text\":\"a\",\"output\":\"results.jsonl\"}", "output", "ends in .wav", ERR_INVALID},
        {"{\"text\":\"a\",\"output\":\"a.wav\",\"format\":\"mp3\"}", "output", "ends in .mp3",
         ERR_INVALID},
        {"{\"text\":\"a\",\"timestamps\":\"srt\"}", "timestamps", "a list", ERR_INVALID},
        {"{\"text\":\"a\",\"timestamps\":[\"sub\"]}", "timestamps", "expected one of srt",
         ERR_INVALID},
        {"{\"text\":\"a\",\"options\":{\"ms_per_chr\":1}}", "options.ms_per_chr",
         "did you mean \"ms_per_char\"?", ERR_INVALID},
        {"{\"text\":\"a\",\"input\":\"b\"}", "input", "given twice", ERR_INVALID},
    };
    struct fixture f;
    (void)state;
    fixture_open(&f, TONE, "text_bytes_max: 16");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct job *job;
        struct err err = {0};
        int code = parse_job(&f, cases[i].job, false, &job, &err);
        bool code_fits = code == (int)cases[i].code || (cases[i].expected[0] == '\0' && code < 0);
        if (!code_fits || strcmp(err.field, cases[i].field) != 0 ||
            !strstr(err.message, cases[i].expected))
            fail_msg("%s: %s: %s: %s", cases[i].job, err_word(err.code), err.field, err.message);
        assert_null(job);
    }
    fixture_close(&f);
}

static void model_must_be_named_when_there_are_several(void **state)
{
    struct fixture f;
    struct job *job;
    struct err err = {0};
    (void)state;
    fixture_open(&f, TWO, "");
    assert_int_equal(parse_job(&f, "{\"text\":\"a\"}", false, &job, &err), ERR_INVALID);
    assert_string_equal(err.field, "model_type");
    assert_non_null(strstr(err.message, "tone, faulty"));
    fixture_close(&f);
}

static void failed_model_refuses_with_its_reason(void **state)
{
    struct fixture f;
    struct job *job;
    struct err err = {0};
    (void)state;
    fixture_open(&f,
                 "{model_type: a, plugin: nowhere.so}, {model_type: b, plugin: %P/tone.so, "
                 "options: {fial: true}}",
                 "");
    assert_int_equal(parse_job(&f, "{\"text\":\"x\",\"model_type\":\"a\"}", false, &job, &err),
                     ERR_MODEL_FAILED);
    assert_non_null(strstr(err.message, "nowhere.so"));
    assert_int_equal(parse_job(&f, "{\"text\":\"x\",\"model_type\":\"b\"}", false, &job, &err),
                     ERR_MODEL_FAILED);
    assert_non_null(strstr(err.message, "did you mean \"fail\"?"));
    fixture_close(&f);
}

static void older_names_are_taken_and_noted(void **state)
{
    struct fixture f;
    struct job *job;
    struct err err = {0};
    (void)state;
    fixture_open(&f, TONE, "");
    assert_int_equal(
        parse_job(
            &f, "{\"custom_id\":\"c\",\"model\":\"tone\",\"input\":\"Hi\",\"local_voice\":\"low\"}",
            false, &job, &err),
        0);
    assert_string_equal(job->id, "c");
    assert_string_equal(job->text, "Hi");
    assert_int_equal(job->warnings.count, 4);
    assert_string_equal(job->warnings.items[2], "\"input\" is taken as \"text\"");
    job_destroy(job);
    fixture_close(&f);
}

static void text_from_csv_is_typed_by_its_field(void **state)
{
    struct fixture f;
    struct job *job;
    struct err err = {0};
    (void)state;
    fixture_open(&f, TONE, "");
    assert_int_equal(
        parse_job(
            &f, "{\"text\":2024,\"seed\":\"5\",\"speed\":\"1.5\",\"options\":{\"rate\":\"16000\"}}",
            true, &job, &err),
        0);
    assert_string_equal(job->text, "2024");
    assert_true(job->seed == 5 && job->speed == 1.5);
    job_destroy(job);
    fixture_close(&f);
}

static void hash_follows_all_that_decides_the_audio(void **state)
{
    static const char *const others[] = {
        "{\"text\":\"Hj\"}",
        "{\"text\":\"Hi\",\"seed\":1}",
        "{\"text\":\"Hi\",\"speed\":2}",
        "{\"text\":\"Hi\",\"voice\":\"low\"}",
        "{\"text\":\"Hi\",\"format\":\"flac\"}",
        "{\"text\":\"Hi\",\"options\":{\"channels\":2}}",
        "{\"text\":\"Hi\",\"language\":\"en\"}",
        "{\"text\":\"Hi\",\"sample_rate\":8000}",
        "{\"text\":\"Hi\",\"timestamps\":[\"srt\"]}",
        "{\"text\":\"Hi\",\"encoding\":\"pcm24\"}",
    };
    struct fixture f;
    struct job *job, *same;
    struct err err = {0};
    (void)state;
    fixture_open(&f, TONE, "");
    assert_int_equal(parse_job(&f, "{\"text\":\"Hi\"}", false, &job, &err), 0);
    assert_int_equal(parse_job(&f,
                               "{\"timeout_s\":3,\"text\":\"Hi\",\"options\":{\"ms_per_char\":20}}",
                               false, &same, &err),
                     0);
    assert_string_equal(job->hash, same->hash); /* the default said out loud, and a limit */
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct job *other;
        assert_int_equal(parse_job(&f, others[i], false, &other, &err), 0);
        assert_string_not_equal(job->hash, other->hash);
        job_destroy(other);
    }
    job_destroy(job);
    job_destroy(same);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_fields_arrive),
        cmocka_unit_test(absent_fields_have_defaults),
        cmocka_unit_test(wrong_field_is_named_with_what_was_expected),
        cmocka_unit_test(model_must_be_named_when_there_are_several),
        cmocka_unit_test(failed_model_refuses_with_its_reason),
        cmocka_unit_test(older_names_are_taken_and_noted),
        cmocka_unit_test(text_from_csv_is_typed_by_its_field),
        cmocka_unit_test(hash_follows_all_that_decides_the_audio),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
