/* What callbacks say and where they go, member by member as the reference documents it. */
#include "callback/callback.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static cJSON *parse(const char *text)
{
    struct err err = {0};
    cJSON *json = json_parse(text, strlen(text), &JSON_LIMITS_DEFAULT, &err);
    if (!json)
        fail_msg("%s: %s", text, err.message);
    return json;
}

static struct job_caller caller_of(const char *job)
{
    struct job_caller caller;
    struct err err = {0};
    cJSON *json = parse(job);
    assert_int_equal(job_caller_read(json, &caller, &err), 0);
    cJSON_Delete(json);
    return caller;
}

static const char job[] =
    "{\"text\":\"Gr\\u00fc\\u00df dich\",\"voice_id\":\"anna\",\"user_id\":\"u1\",\"story_id\":7,"
    "\"callback_url\":\"https://app.example/api/tts/callback\",\"language\":\"de\","
    "\"metadata\":{\"story_name\":\"Wald\",\"genre\":\"x\",\"generation_time\":9,"
    "\"deep\":[1,{\"a\":null}]}}";

static void expect_body(struct result *result, const char *expected)
{
    struct str body = {0};
    callback_body(result, &body);
    cJSON *made = parse(str_text(&body)), *wanted = parse(expected);
    if (!cJSON_Compare(made, wanted, true))
        assert_string_equal(str_text(&body), expected);
    cJSON_Delete(made);
    cJSON_Delete(wanted);
    str_finish(&body);
}

static struct result *new_result(const char *text)
{
    struct err none = {0};
    struct result *result = result_refused("j1", 0, &none);
    result->caller = caller_of(text);
    result->model_type = mem_copy_string("tone");
    result->ms.total = 1500;
    return result;
}

static void success_has_the_documented_members(void **state)
{
    struct result *result = new_result(job);
    (void)state;
    result->seed = 9007199254740993;
    result->url = mem_copy_string("https://cdn.example/a.mp3");
    result->key = mem_copy_string("u1/a.mp3");
    result->audio.duration_s = 2.25;
    result->audio.format = AUDIO_MP3;
    expect_body(result,
                "{\"story_id\":\"7\",\"user_id\":\"u1\",\"voice_id\":\"anna\",\"voice_name\":\"\","
                "\"audio_url\":\"https://cdn.example/a.mp3\",\"storage_path\":\"u1/a.mp3\","
                "\"r2_path\":\"u1/a.mp3\",\"language\":\"de\",\"job_id\":\"j1\",\"metadata\":{"
                "\"story_name\":\"Wald\",\"genre\":\"x\",\"deep\":[1,{\"a\":null}],"
                "\"generation_time\":1.5,\"duration_s\":2.25,\"format\":\"mp3\","
                "\"model_type\":\"tone\",\"seed\":9007199254740993}}");
    result_destroy(result);
}

static void what_a_job_does_not_say_is_empty_or_null(void **state)
{
    struct result *result = new_result("{\"text\":\"x\"}");
    (void)state;
    result->path = mem_copy_string("j1.wav");
    expect_body(result,
                "{\"story_id\":\"\",\"user_id\":\"\",\"voice_id\":\"\",\"voice_name\":\"\","
                "\"audio_url\":null,\"storage_path\":\"j1.wav\",\"r2_path\":null,\"language\":null,"
                "\"job_id\":\"j1\",\"metadata\":{\"generation_time\":1.5,\"duration_s\":0,"
                "\"format\":\"wav\",\"model_type\":\"tone\",\"seed\":0}}");
    result_destroy(result);
}

static void failure_has_the_documented_members(void **state)
{
    struct result *result = new_result(job);
    (void)state;
    err_set(&result->err, ERR_VOICE_NOT_FOUND, "voice", "there is no \"anna\"\n");
    expect_body(result,
                "{\"story_id\":\"7\",\"error\":\"voice: there is no \\\"anna\\\"\\n\","
                "\"error_details\":\"voice_not_found: voice\",\"user_id\":\"u1\","
                "\"voice_id\":\"anna\",\"job_id\":\"j1\",\"metadata\":{\"genre\":\"x\","
                "\"deep\":[1,{\"a\":null}],\"language\":\"de\",\"story_name\":\"Wald\","
                "\"text_length\":9,\"generation_time\":1.5,\"error_type\":\"invalid_payload\","
                "\"error_code\":\"voice_not_found\",\"error_field\":\"voice\","
                "\"retryable\":false}}");
    result_destroy(result);
}

static void error_types_are_those_of_the_old_receivers(void **state)
{
    static const struct {
        enum err_code code;
        const char *field, *type;
    } cases[] = {
        {ERR_UNKNOWN_MODEL, "model_type", "\"model_unavailable\""},
        {ERR_MODEL_LOADING, NULL, "\"model_unavailable\""},
        {ERR_INVALID, "text", "\"text_validation_error\""},
        {ERR_INVALID, "seed", "\"invalid_payload\""},
        {ERR_INTERNAL, NULL, "\"tts_model_error\""},
        {ERR_STORAGE, NULL, "\"storage_failed\""},
        {ERR_TIMEOUT, NULL, "\"timeout\""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct result *result = new_result("{}");
        struct str body = {0};
        char *expected = str_format("\"error_type\":%s", cases[i].type);
        err_set(&result->err, cases[i].code, cases[i].field, "it failed");
        callback_body(result, &body);
        assert_non_null(strstr(str_text(&body), expected));
        free(expected);
        str_finish(&body);
        result_destroy(result);
    }
}

static void expect_voice(const struct result *result, const char *expected)
{
    struct str body = {0};
    callback_voice_body(result, &body);
    assert_string_equal(str_text(&body), expected);
    str_finish(&body);
}

static void a_voice_has_the_documented_members(void **state)
{
    struct result *result = new_result(
        "{\"op\":\"voice_create\",\"user_id\":\"u1\",\"voice_id\":\"v1\",\"is_kids_voice\":true,"
        "\"metadata\":{\"a\":1,\"error_type\":\"theirs\"}}");
    (void)state;
    assert_int_equal(result->caller.op, OP_VOICE_CREATE);
    result->answer = parse("{\"voice\":{\"id\":\"anna\",\"name\":\"Anna\",\"language\":\"de\"}}");
    result->key = mem_copy_string("samples/anna.mp3");
    expect_voice(result, "{\"status\":\"success\",\"user_id\":\"u1\",\"voice_id\":\"anna\","
                         "\"voice_name\":\"Anna\",\"language\":\"de\",\"is_kids_voice\":true,"
                         "\"model_type\":\"tone\",\"profile_path\":null,"
                         "\"sample_path\":\"samples/anna.mp3\",\"r2_profile_path\":null,"
                         "\"r2_sample_path\":\"samples/anna.mp3\",\"recorded_path\":null,"
                         "\"job_id\":\"j1\",\"metadata\":{\"a\":1,\"generation_time\":1.5}}");
    cJSON_Delete(result->answer);
    result->answer =
        parse("{\"voice\":{\"id\":\"anna\"},\"profile_path\":\"voices/anna.vxp\","
              "\"recorded_path\":\"voices/anna.wav\",\"sample_path\":\"voices/s.mp3\"}");
    expect_voice(result, "{\"status\":\"success\",\"user_id\":\"u1\",\"voice_id\":\"anna\","
                         "\"voice_name\":\"\",\"language\":\"\",\"is_kids_voice\":true,"
                         "\"model_type\":\"tone\",\"profile_path\":\"voices/anna.vxp\","
                         "\"sample_path\":\"voices/s.mp3\",\"r2_profile_path\":\"voices/anna.vxp\","
                         "\"r2_sample_path\":\"voices/s.mp3\","
                         "\"recorded_path\":\"voices/anna.wav\","
                         "\"job_id\":\"j1\",\"metadata\":{\"a\":1,\"generation_time\":1.5}}");
    cJSON_Delete(result->answer);
    result->answer = NULL;
    err_set(&result->err, ERR_INVALID, "audio", "is silent");
    expect_voice(result, "{\"status\":\"error\",\"user_id\":\"u1\",\"voice_id\":\"v1\","
                         "\"voice_name\":\"\",\"language\":\"\",\"is_kids_voice\":true,"
                         "\"model_type\":\"tone\",\"profile_path\":null,"
                         "\"sample_path\":\"samples/anna.mp3\",\"r2_profile_path\":null,"
                         "\"r2_sample_path\":\"samples/anna.mp3\",\"recorded_path\":null,"
                         "\"job_id\":\"j1\",\"error\":\"audio: is silent\",\"metadata\":{\"a\":1,"
                         "\"generation_time\":1.5,\"error_type\":\"invalid_payload\","
                         "\"error_code\":\"invalid_request\"}}");
    result_destroy(result);
}

static void error_urls_are_derived(void **state)
{
    static const char *const cases[][2] = {
        {"https://a.example/api/tts/callback", "https://a.example/api/tts/error-callback"},
        {"https://a.example/api/tts/done?k=/api/x",
         "https://a.example/api/tts/error-callback?k=/api/x"},
        {"https://a.example/api/tts/x/y", "https://a.example/api/tts/x/error-callback"},
        {"https://a.example/api/tts/", "https://a.example/api/tts/error-callback"},
        {"https://a.example/hook", "https://a.example/hook/error-callback"},
        {"https://a.example/hook/", "https://a.example/hook/error-callback"},
        {"https://a.example", "https://a.example/error-callback"},
        {"http://a.example?x=1", "http://a.example/error-callback?x=1"},
        {"http://a.example/v1/api/tts/x", "http://a.example/v1/api/tts/x/error-callback"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *derived = callback_error_url(cases[i][0]);
        assert_string_equal(derived, cases[i][1]);
        free(derived);
    }
}

static void expect_url(const struct manifest_callbacks *manifest, const char *text, bool is_error,
                       const char *expected)
{
    struct job_caller caller = caller_of(text);
    char *url = callback_url_for(manifest, &caller, is_error);
    if (expected)
        assert_string_equal(url, expected);
    else
        assert_null(url);
    free(url);
    job_caller_finish(&caller);
}

static void a_job_says_where_to_and_else_the_manifest(void **state)
{
    static char url[] = "http://m/ok", error_url[] = "http://m/bad";
    struct manifest_callbacks none = {0}, one = {.url = url},
                              both = {.url = url, .error_url = error_url};
    (void)state;
    expect_url(&none, "{}", false, NULL);
    expect_url(&none, "{}", true, NULL);
    expect_url(&one, "{}", false, "http://m/ok");
    expect_url(&one, "{}", true, "http://m/ok/error-callback");
    expect_url(&both, "{}", true, "http://m/bad");
    expect_url(&both, "{\"callback_url\":\"http://j/a\"}", false, "http://j/a");
    expect_url(&both, "{\"callback_url\":\"http://j/a\"}", true, "http://j/a/error-callback");
    expect_url(&both, "{\"error_callback_url\":\"http://j/e\"}", true, "http://j/e");
    expect_url(&both, "{\"error_callback_url\":\"http://j/e\"}", false, "http://m/ok");
    expect_url(&none, "{\"error_callback_url\":\"http://j/e\"}", false, NULL);
    expect_url(&none, "{\"metadata\":{\"callback_url\":\"http://j/m\"}}", false, "http://j/m");
}

/* G.8 147: a bare domain, and localhost. */
static void urls_of_jobs_are_rewritten_by_rules(void **state)
{
    static char own[] = "https://shop.example/m";
    struct manifest_callbacks manifest = {.url = own};
    (void)state;
    manifest.rewrite = parse("{\"https://shop.example\":\"https://www.shop.example\","
                             "\"http://localhost:3000\":\"https://app.example/base\"}");
    expect_url(&manifest, "{\"callback_url\":\"https://shop.example/a?b\"}", false,
               "https://www.shop.example/a?b");
    expect_url(&manifest, "{\"callback_url\":\"https://shop.example?b\"}", true,
               "https://www.shop.example/error-callback?b");
    expect_url(&manifest, "{\"callback_url\":\"https://shop.example\"}", false,
               "https://www.shop.example");
    expect_url(&manifest, "{\"callback_url\":\"https://shop.example.evil/a\"}", false,
               "https://shop.example.evil/a");
    expect_url(&manifest, "{\"callback_url\":\"http://localhost:30001/a\"}", false,
               "http://localhost:30001/a");
    expect_url(&manifest, "{\"callback_url\":\"http://localhost:3000/api/tts/x\"}", false,
               "https://app.example/base/api/tts/x");
    expect_url(&manifest, "{\"error_callback_url\":\"http://localhost:3000/e\"}", true,
               "https://app.example/base/e");
    expect_url(&manifest, "{}", false, "https://shop.example/m"); /* the operator's own */
    cJSON_Delete(manifest.rewrite);
}

static void expect_refused(const char *text, const char *field)
{
    struct job_caller caller;
    struct err err = {0};
    cJSON *json = parse(text);
    assert_int_equal(job_caller_read(json, &caller, &err), ERR_INVALID);
    assert_string_equal(err.field, field);
    assert_null(strstr(err.message, "sesame"));
    job_caller_finish(&caller);
    cJSON_Delete(json);
}

static void wrong_members_name_the_field_and_spare_the_rest(void **state)
{
    struct job_caller caller;
    struct err err = {0};
    (void)state;
    expect_refused("{\"callback_url\":\"ftp://a/sesame\"}", "callback_url");
    expect_refused("{\"callback_url\":\"https://u:sesame@a/\"}", "callback_url");
    expect_refused("{\"callback_url\":\"https://a/ b\"}", "callback_url");
    expect_refused("{\"callback_url\":\"https://a/#sesame\"}", "callback_url");
    expect_refused("{\"callback_url\":\"https:///x\"}", "callback_url");
    expect_refused("{\"callback_url\":\"https://a/\\r\\nX: y\"}", "callback_url");
    expect_refused("{\"callback_url\":5}", "callback_url");
    expect_refused("{\"error_callback_url\":\"\"}", "error_callback_url");
    cJSON *json = parse("{\"callback_url\":\"nowhere\",\"error_callback_url\":\"http://a/e\","
                        "\"user_id\":\"u\"}");
    assert_int_equal(job_caller_read(json, &caller, &err), ERR_INVALID);
    assert_null(caller.callback_url);
    assert_string_equal(caller.error_callback_url, "http://a/e");
    assert_string_equal(json_get(caller.echo, "user_id")->valuestring, "u");
    job_caller_finish(&caller);
    cJSON_Delete(json);
}

static void a_huge_metadata_is_refused(void **state)
{
    struct str text = {0};
    (void)state;
    str_puts(&text, "{\"metadata\":{\"a\":\"");
    for (int i = 0; i < JOB_METADATA_BYTES_MAX; i++)
        str_putc(&text, 'x');
    str_puts(&text, "\"}}");
    expect_refused(str_text(&text), "metadata");
    str_finish(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(success_has_the_documented_members),
        cmocka_unit_test(what_a_job_does_not_say_is_empty_or_null),
        cmocka_unit_test(failure_has_the_documented_members),
        cmocka_unit_test(error_types_are_those_of_the_old_receivers),
        cmocka_unit_test(a_voice_has_the_documented_members),
        cmocka_unit_test(error_urls_are_derived),
        cmocka_unit_test(a_job_says_where_to_and_else_the_manifest),
        cmocka_unit_test(urls_of_jobs_are_rewritten_by_rules),
        cmocka_unit_test(wrong_members_name_the_field_and_spare_the_rest),
        cmocka_unit_test(a_huge_metadata_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
