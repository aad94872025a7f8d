/* Operations and their fields: which one a job asks for, what its fields mean there, and what is refused. */
#include "job_test.h"

#define TONE "{model_type: tone, plugin: %P/tone.so}"

static struct job *parse(struct fixture *f, const char *text)
{
    struct job *job;
    struct err err = {0};
    if (parse_job(f, text, false, &job, &err) != 0)
        fail_msg("%s: %s: %s", text, err.field, err.message);
    return job;
}

static void operation_is_found_by_each_of_its_selectors(void **state)
{
    static const struct {
        const char *job;
        enum job_op op;
    } cases[] = {
        {"{\"text\":\"a\"}", OP_TTS},
        {"{\"endpoint\":\"tts\",\"text\":\"a\"}", OP_TTS},
        {"{\"op\":null,\"endpoint\":\"list_voices\"}", OP_LIST_VOICES},
        {"{\"op\":\"voice_list\",\"limit\":3,\"cursor\":\"x\"}", OP_VOICE_LIST},
        {"{\"op\":\"voice_delete\",\"voice\":\"a\"}", OP_VOICE_DELETE},
        {"{\"op\":\"voice_delete\",\"voice_id\":\"a\"}", OP_VOICE_DELETE},
        {"{\"op\":\"voice_export\",\"name\":\"a\"}", OP_VOICE_EXPORT},
        {"{\"endpoint\":\"upload\",\"voice_name\":\"a\",\"voice_file_url\":\"http://x/y\"}",
         OP_UPLOAD},
        {"{\"endpoint\":\"download\",\"job_id\":\"a\"}", OP_DOWNLOAD},
        {"{\"endpoint\":\"result\",\"job_id\":7}", OP_DOWNLOAD},
        {"{\"action\":\"status\",\"job_id\":\"a\"}", OP_STATUS},
        {"{\"op\":\"capabilities\"}", OP_CAPABILITIES},
        {"{\"name\":\"a\",\"audio_data\":\"x\"}", OP_VOICE_CREATE},
        {"{\"name\":\"a\",\"audio_path\":\"x\",\"text\":\"Hi\"}", OP_VOICE_CREATE},
    };
    struct fixture f;
    (void)state;
    fixture_open(&f, TONE, "");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct job *job = parse(&f, cases[i].job);
        assert_int_equal(job->op, cases[i].op);
        assert_true(job->model != NULL ? job->op == OP_TTS || job->op == OP_VOICE_CREATE : true);
        assert_int_equal(strlen(job->hash), DIGEST_HEX_SIZE - 1);
        job_destroy(job);
    }
    fixture_close(&f);
}

static void job_id_means_another_job_where_one_is_asked_about(void **state)
{
    struct fixture f;
    struct err err;
    (void)state;
    fixture_open(&f, TONE, "");
    struct job *job = parse(&f, "{\"op\":\"status\",\"job_id\":\"a\"}");
    assert_string_equal(job->id, "job-7");
    assert_string_equal(job->ask.job_id, "a");
    job_destroy(job);
    job = parse(&f, "{\"text\":\"x\",\"job_id\":\"a\"}");
    assert_string_equal(job->id, "a");
    job_destroy(job);
    static const char *const jobs[] = {"{\"op\":\"status\",\"job_id\":\"a\"}",
                                       "{\"text\":\"x\",\"job_id\":\"a\"}"};
    for (size_t i = 0; i < 2; i++) {
        cJSON *json = json_parse(jobs[i], strlen(jobs[i]), &JSON_LIMITS_DEFAULT, &err);
        char *id = job_id_of(json, "default");
        assert_string_equal(id, i == 0 ? "default" : "a");
        free(id);
        cJSON_Delete(json);
    }
    fixture_close(&f);
}

static void new_voice_has_its_fields_by_any_name(void **state)
{
    struct fixture f;
    (void)state;
    fixture_open(&f, TONE, "");
    struct job *job =
        parse(&f, "{\"name\":\"Anna.wav\",\"voice_id\":\"anna\",\"audio_data\":\"QQ==\","
                  "\"reference_text\":\"Hi\",\"audio_format\":\"webm\","
                  "\"is_kids_voice\":true,\"quality\":\"high\",\"language\":\"da\"}");
    assert_string_equal(job->ask.name, "Anna");
    assert_string_equal(job->ask.voice, "anna");
    assert_string_equal(job->ask.audio, "QQ==");
    assert_string_equal(job->ask.transcript, "Hi");
    assert_string_equal(job->ask.language, "da");
    assert_null(job->text); /* "da" is no language of the model: no sample, and no error for it */
    assert_true(cJSON_IsTrue(json_get(job->metadata, "is_kids_voice")));
    assert_string_equal(json_get(job->metadata, "quality")->valuestring, "high");
    assert_true(job_changes_voices(job));
    job_destroy(job);
    job = parse(&f, "{\"op\":\"voice_create\",\"name\":\"B\",\"audio\":\"QQ==\",\"sample_text\":\"{"
                    "name}! {name}?\"}");
    assert_string_equal(job->text, "B! B?");
    job_destroy(job);
    job = parse(&f, "{\"op\":\"voice_create\",\"name\":\"B\",\"audio\":\"QQ==\",\"sample\":false,"
                    "\"sample_text\":\"x\"}");
    assert_null(job->text);
    job_destroy(job);
    fixture_close(&f);
}

static void ids_are_found_in_metadata_and_in_the_job_first(void **state)
{
    struct fixture f;
    (void)state;
    fixture_open(&f, TONE, "");
    struct job *job = parse(&f, "{\"text\":\"a\",\"user_id\":\"u\",\"metadata\":{\"user_id\":\"v\","
                                "\"story_id\":\"s\",\"voice_id\":\"low\"}}");
    assert_string_equal(job->user_id, "u");
    assert_string_equal(job->story_id, "s");
    assert_string_equal(job->voice.id, "low");
    job_destroy(job);
    job = parse(&f,
                "{\"text\":\"a\",\"user_id\":7,\"metadata\":{\"story_id\":12345678901234567890}}");
    assert_string_equal(job->user_id, "7");
    assert_string_equal(job->story_id, "12345678901234567890");
    job_destroy(job);
    fixture_close(&f);
}

static void older_timings_become_timestamps(void **state)
{
    static const struct {
        const char *job;
        unsigned subtitles;
    } cases[] = {
        {"{\"text\":\"a\",\"return_word_timings\":true}", 1u << SUBTITLE_SRT},
        {"{\"text\":\"a\",\"return_word_timings\":true,\"timing_format\":\"ass\"}",
         1u << SUBTITLE_ASS},
        {"{\"text\":\"a\",\"return_word_timings\":true,\"timing_format\":\"compact\"}",
         1u << SUBTITLE_CSV},
        {"{\"text\":\"a\",\"return_word_timings\":true,\"timing_format\":\"all\"}",
         (1u << SUBTITLE_FORMAT_COUNT) - 1},
        {"{\"text\":\"a\",\"timing_format\":\"vtt\"}", 0},
    };
    struct fixture f;
    (void)state;
    fixture_open(&f, TONE, "");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct job *job = parse(&f, cases[i].job);
        assert_int_equal(job->subtitles, cases[i].subtitles);
        job_destroy(job);
    }
    fixture_close(&f);
}

static void wrong_fields_are_named(void **state)
{
    static const struct {
        const char *job, *field, *expected;
        enum err_code code;
    } cases[] = {
        {"{\"op\":\"voice_lst\"}", "op", "did you mean \"voice_list\"?", ERR_INVALID},
        {"{\"endpoint\":\"run\",\"text\":\"a\"}", "endpoint", "expected one of tts, voice_create",
         ERR_INVALID},
        {"{\"op\":[]}", "op", "expected string", ERR_INVALID},
        {"{\"op\":\"voice_list\",\"endpoint\":\"list_voices\"}", "endpoint", "given twice",
         ERR_INVALID},
        {"{\"op\":\"voice_list\",\"text\":\"a\"}", "text", "no field of the operation voice_list",
         ERR_INVALID},
        {"{\"op\":\"voice_list\",\"limit\":1.5}", "limit", "expected integer", ERR_INVALID},
        {"{\"op\":\"voice_delete\"}", "voice", "missing", ERR_INVALID},
        {"{\"op\":\"voice_delete\",\"voice\":\"../a\"}", "voice", "expected an id", ERR_INVALID},
        {"{\"op\":\"voice_create\",\"audio\":\"QQ==\"}", "name", "missing", ERR_INVALID},
        {"{\"op\":\"voice_create\",\"name\":\"a\"}", "audio", "missing", ERR_INVALID},
        {"{\"op\":\"voice_create\",\"name\":\"a/b\",\"audio\":\"QQ==\"}", "name", "without '/'",
         ERR_INVALID},
        {"{\"op\":\"voice_create\",\"voice\":\".a\",\"audio\":\"QQ==\"}", "voice", "expected an id",
         ERR_INVALID},
        {"{\"op\":\"voice_create\",\"name\":\"a\",\"audio\":\"QQ==\",\"model_type\":\"x\"}",
         "model_type", "", ERR_UNKNOWN_MODEL},
        {"{\"op\":\"voice_create\",\"name\":\"a\",\"audio\":\"s3://b/voices/x\"}", "audio",
         "no storage", ERR_UNSUPPORTED},
        {"{\"text\":\"a\",\"voice\":\"s3://b/voices/x\"}", "voice", "no storage", ERR_UNSUPPORTED},
        {"{\"op\":\"download\"}", "job_id", "missing", ERR_INVALID},
        {"{\"op\":\"download\",\"job_id\":\"../a\"}", "job_id", "the id of a job", ERR_INVALID},
        {"{\"op\":\"download\",\"job_id\":\"a\",\"type\":\"text\"}", "type", "audio, timing",
         ERR_INVALID},
        {"{\"op\":\"download\",\"job_id\":\"a\",\"type\":\"timing\",\"format\":\"wav\"}", "format",
         "one of srt", ERR_INVALID},
        {"{\"op\":\"download\",\"job_id\":\"a\",\"format\":\"srt\"}", "format", "one of wav",
         ERR_INVALID},
        {"{\"action\":\"download_file\",\"file_path\":\"/x\"}", "action",
         "unsupported: ", ERR_UNSUPPORTED},
        {"{\"text\":\"a\",\"profile_path\":\"x\"}", "profile_path",
         "unsupported: ", ERR_UNSUPPORTED},
        {"{\"text\":\"a\",\"response\":\"base64\"}", "response", "auto, inline, url", ERR_INVALID},
        {"{\"text\":\"a\",\"metadata\":[]}", "metadata", "an object", ERR_INVALID},
        {"{\"text\":\"a\",\"return_word_timings\":1}", "return_word_timings", "true or false",
         ERR_INVALID},
    };
    struct fixture f;
    struct job *job;
    (void)state;
    fixture_open(&f, TONE, "");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err = {0};
        int code = parse_job(&f, cases[i].job, false, &job, &err);
        if (code != (int)cases[i].code || strcmp(err.field, cases[i].field) != 0 ||
            !strstr(err.message, cases[i].expected))
            fail_msg("%s: %d %s: %s", cases[i].job, code, err.field, err.message);
        assert_null(job);
    }
    fixture_close(&f);
}

static void older_response_formats_are_auto(void **state)
{
    struct fixture f;
    (void)state;
    fixture_open(&f, TONE, "");
    static const char *const names[] = {"base64", "binary", "auto", "url"};
    for (size_t i = 0; i < 4; i++) {
        char *text = str_format("{\"text\":\"a\",\"responseFormat\":\"%s\"}", names[i]);
        struct job *job = parse(&f, text);
        assert_int_equal(job->response, i == 3 ? RESPONSE_URL : RESPONSE_AUTO);
        job_destroy(job);
        free(text);
    }
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operation_is_found_by_each_of_its_selectors),
        cmocka_unit_test(job_id_means_another_job_where_one_is_asked_about),
        cmocka_unit_test(new_voice_has_its_fields_by_any_name),
        cmocka_unit_test(ids_are_found_in_metadata_and_in_the_job_first),
        cmocka_unit_test(older_timings_become_timestamps),
        cmocka_unit_test(wrong_fields_are_named),
        cmocka_unit_test(older_response_formats_are_auto),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
