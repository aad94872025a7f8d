/* Which older client sent a request, and what it is told. */
#include "front/worker/legacy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct legacy *recognise(const char *text)
{
    struct err err;
    cJSON *json = json_parse(text, strlen(text), &JSON_LIMITS_DEFAULT, &err);
    assert_non_null(json);
    struct legacy *legacy = legacy_recognise(json);
    cJSON_Delete(json);
    return legacy;
}

static void only_older_clients_are_recognised(void **state)
{
    static const char *const ours[] = {"{}",
                                       "[]",
                                       "{\"text\":\"a\",\"voice\":\"x\",\"model_type\":\"y\"}",
                                       "{\"op\":\"tts\",\"local_voice\":\"x\"}",
                                       "{\"op\":\"voice_list\",\"voice_id\":\"x\"}",
                                       "{\"text\":\"a\",\"endpoint\":null}"};
    static const char *const older[] = {
        "{\"text\":\"a\",\"local_voice\":\"x\"}", "{\"endpoint\":\"tts\"}",
        "{\"text\":\"a\",\"voice_id\":\"x\"}", "{\"name\":\"a\",\"audio_data\":\"x\"}",
        "{\"endpoint\":7}"};
    (void)state;
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++)
        assert_null(recognise(ours[i]));
    for (size_t i = 0; i < sizeof(older) / sizeof(older[0]); i++) {
        struct legacy *legacy = recognise(older[i]);
        assert_non_null(legacy);
        legacy_destroy(legacy);
    }
    assert_null(legacy_recognise(NULL));
}

static void failures_have_their_words(void **state)
{
    static const struct {
        const char *input;
        enum err_code code;
        const char *field, *message, *said;
    } cases[] = {
        {"{\"endpoint\":\"tts\"}", ERR_INVALID, "text", "missing", "Text input is required"},
        {"{\"text\":\"a\",\"local_voice\":\"v\"}", ERR_VOICE_NOT_FOUND, "voice", "no",
         "Failed to download voice file: v"},
        {"{\"endpoint\":\"tts\"}", ERR_MODEL_FAILED, "model_type", "why",
         "Model not available: model_type: why"},
        {"{\"endpoint\":\"tts\"}", ERR_STORAGE, "", "503",
         "Failed to upload generated audio to S3"},
        {"{\"endpoint\":\"tts\"}", ERR_INTERNAL, "", "x", "F5-TTS inference failed: x"},
        {"{\"endpoint\":\"tts\"}", ERR_TIMEOUT, "", "late", "late"},
        {"{\"endpoint\":\"upload\"}", ERR_STORAGE, "", "x", "Failed to upload voice file to S3"},
        {"{\"endpoint\":\"list_voices\"}", ERR_STORAGE, "", "x", "Failed to list voices: x"},
        {"{\"endpoint\":\"download\",\"job_id\":\"j\"}", ERR_STORAGE, "", "x",
         "Failed to download file: x"},
        {"{\"endpoint\":\"result\",\"job_id\":\"j\"}", ERR_INVALID, "job_id",
         "there is no audio of job \"j\" in the storage", "Invalid job_id."},
        {"{\"endpoint\":\"result\"}", ERR_INVALID, "job_id", "missing", "Invalid job_id."},
        {"{\"endpoint\":\"result\",\"job_id\":\"j\"}", ERR_UNSUPPORTED, "job_id",
         "unsupported: there is no storage that results are kept in", "Invalid job_id."},
        {"{\"endpoint\":\"result\",\"job_id\":\"j\"}", ERR_INVALID, "job_id",
         "job \"j\" has failed: why", "Job is not complete. Status: ERROR"},
        {"{\"endpoint\":\"result\",\"job_id\":\"j\"}", ERR_STORAGE, "", "503",
         "Failed to download file: 503"},
        {"{\"text\":\"a\",\"voice_id\":\"v\",\"model_type\":\"Higgs_Audio\"}", ERR_INVALID, "voice",
         "missing", "voice_id, text, and profile_base64 are required"},
        {"{\"text\":\"a\",\"voice_id\":\"v\"}", ERR_INTERNAL, "", "x", "Failed to generate TTS: x"},
        {"{\"name\":\"a\",\"audio_data\":\"x\"}", ERR_INVALID, "audio", "missing",
         "name and either audio_data or audio_path are required"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct legacy *legacy = recognise(cases[i].input);
        struct err err = {0};
        struct str said = {0};
        err_set(&err, cases[i].code, cases[i].field, "%s", cases[i].message);
        legacy_error(legacy, &err, &said);
        assert_string_equal(str_text(&said), cases[i].said);
        str_finish(&said);
        legacy_destroy(legacy);
    }
}

static void speech_without_a_voice_is_refused_where_it_was(void **state)
{
    static const struct {
        const char *input;
        int code;
    } cases[] = {
        {"{\"text\":\"a\",\"story_type\":\"user\"}", ERR_INVALID},
        {"{\"text\":\"a\",\"voice_id\":\"v\"}", 0},
        {"{\"text\":\"a\",\"story_type\":\"user\",\"metadata\":{\"voice_id\":\"v\"}}", 0},
        {"{\"text\":\"a\",\"profile_base64\":\"AA==\"}", 0},
        {"{\"text\":\"a\",\"endpoint\":\"tts\"}", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct legacy *legacy = recognise(cases[i].input);
        struct err err = {0};
        assert_int_equal(legacy_check(legacy, &err), cases[i].code);
        legacy_destroy(legacy);
    }
}

/* What is added must be JSON, whatever the caller sent. */
static void members_are_json_and_none_stands_twice(void **state)
{
    static const char *const inputs[] = {
        "{\"endpoint\":\"tts\",\"text\":\"a\\\"b\\u0001\",\"timing_format\":\"\\\"\"}",
        "{\"text\":\"a\\\"b\",\"voice_id\":\"\\\"\",\"metadata\":{\"format\":7}}",
        "{\"text\":\"a\",\"voice_id\":\"x\"}",
        "{\"name\":\"\\\"\",\"audio_data\":\"x\"}",
        "{\"endpoint\":\"download\",\"job_id\":\"j\"}",
        "{\"endpoint\":\"upload\"}"};
    (void)state;
    for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++) {
        struct legacy *legacy = recognise(inputs[i]);
        struct result *result = mem_alloc(sizeof(*result));
        struct str out = {0};
        struct err err;
        result->audio = (struct audio_info){.frames = 24000, .channels = 1, .sample_rate = 24000};
        result->id = mem_copy_string("id");
        result->model_type = mem_copy_string("tone");
        result->url = mem_copy_string("https://x.example/\"");
        result->key = mem_copy_string("a/b.wav");
        result->subtitle_urls[SUBTITLE_SRT] = mem_copy_string("https://x.example/b.srt");
        legacy_prepare(legacy, result);
        str_putc(&out, '{');
        result_write_members(result, &out);
        legacy_write(legacy, result, &out);
        str_putc(&out, '}');
        cJSON *json = json_parse(out.data, out.len, &JSON_LIMITS_DEFAULT, &err);
        if (!json)
            fail_msg("%s: %s\n%s", inputs[i], err.message, out.data);
        cJSON_Delete(json);
        str_finish(&out);
        result_destroy(result);
        legacy_destroy(legacy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_older_clients_are_recognised),
        cmocka_unit_test(failures_have_their_words),
        cmocka_unit_test(speech_without_a_voice_is_refused_where_it_was),
        cmocka_unit_test(members_are_json_and_none_stands_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
