/* The bodies of a worker: their members, their limits, and that nothing makes them invalid. */
#include "front/worker/reply.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char version[] = "1.12.0";

static struct manifest_worker worker_of(int64_t body_bytes_max, bool legacy_fields)
{
    return (struct manifest_worker){.body_bytes_max = body_bytes_max,
                                    .legacy_fields = legacy_fields,
                                    .runpod_version = version};
}

static struct reply_context context_of(const struct manifest_worker *worker)
{
    return (struct reply_context){worker, "the-host", "pod7"};
}

/* A result of 1.5 s with `base64_size` characters of audio in it; 0: at a URL. */
static struct result *make_result(size_t base64_size)
{
    struct result *result = mem_alloc(sizeof(*result));
    result->id = mem_copy_string("job-1");
    result->model_type = mem_copy_string("tone");
    result->has_seed = true;
    result->seed = 5;
    result->audio = (struct audio_info){.format = AUDIO_MP3,
                                        .encoding = AUDIO_PCM16,
                                        .sample_rate = 24000,
                                        .channels = 1,
                                        .frames = 36000,
                                        .duration_s = 1.5,
                                        .bytes = base64_size / 4 * 3};
    if (base64_size == 0)
        result->url = mem_copy_string("https://s3.example.com/a.mp3?sig=1");
    for (size_t i = 0; i < base64_size; i++)
        str_putc(&result->base64, "QUJD"[i % 4]);
    return result;
}

static struct result *make_failure(enum err_code code, const char *field, const char *message)
{
    struct err err = {0};
    err_set(&err, code, field, "%s", message);
    return result_refused("job-1", 0, &err);
}

static cJSON *parse(const struct str *body)
{
    struct json_limits limits = {64u << 20, 1000000, 64};
    struct err err = {0};
    size_t bad;
    assert_true(utf8_valid(str_text(body), body->len, &bad));
    cJSON *json = json_parse(str_text(body), body->len, &limits, &err);
    if (!json)
        fail_msg("%s: %.500s", err.message, str_text(body));
    return json;
}

static const char *text_of(const cJSON *object, const char *name)
{
    const cJSON *node = json_get(object, name);
    if (!cJSON_IsString(node))
        fail_msg("%s is no string", name);
    return node->valuestring;
}

/* The report inside the string `error`. */
static cJSON *parse_error(const cJSON *body)
{
    struct str text = {0};
    str_puts(&text, text_of(body, "error"));
    cJSON *report = parse(&text);
    str_finish(&text);
    assert_true(cJSON_IsObject(report));
    return report;
}

static void assert_whole_report(const cJSON *report)
{
    static const char *const names[] = {"error_type", "error_message", "error_traceback",
                                        "hostname",   "worker_id",     "runpod_version",
                                        "error_code"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_true(text_of(report, names[i])[0] != '\0');
}

static cJSON *final_of(const struct manifest_worker *worker, struct result *result, bool refresh)
{
    struct reply_context context = context_of(worker);
    struct str body = {0};
    str_puts(&body, "#"); /* what was there stays */
    reply_final(&context, NULL, result, refresh, &body);
    assert_int_equal(body.data[0], '#');
    assert_true(body.len - 1 <= (size_t)worker->body_bytes_max);
    struct str appended = {body.data + 1, body.len - 1, body.cap};
    cJSON *json = parse(&appended);
    str_finish(&body);
    return json;
}

/* --- Final bodies ----------------------------------------------------------------------------- */

static void good_result_is_the_output(void **state)
{
    struct manifest_worker worker = worker_of(18000000, false);
    struct result *result = make_result(8);
    (void)state;
    cJSON *json = final_of(&worker, result, false);
    const cJSON *output = json_get(json, "output"), *audio = json_get(output, "audio");
    assert_int_equal(cJSON_GetArraySize(json), 1);
    assert_string_equal(text_of(output, "id"), "job-1");
    assert_string_equal(text_of(output, "status"), "ok");
    assert_string_equal(text_of(output, "model_type"), "tone");
    assert_string_equal(text_of(audio, "base64"), "QUJDQUJD");
    assert_string_equal(text_of(audio, "format"), "mp3");
    assert_null(json_get(output, "audio_base64"));
    assert_null(json_get(output, "job_id"));
    assert_null(json_get(output, "duration"));
    assert_null(json_get(output, "error_code"));
    cJSON_Delete(json);
    result_destroy(result);
}

static void older_clients_find_their_fields(void **state)
{
    struct manifest_worker worker = worker_of(18000000, true);
    struct result *result = make_result(8);
    (void)state;
    cJSON *json = final_of(&worker, result, false);
    const cJSON *output = json_get(json, "output");
    assert_string_equal(text_of(json_get(output, "audio"), "base64"), "QUJDQUJD");
    assert_string_equal(text_of(output, "audio_base64"), "QUJDQUJD");
    assert_string_equal(text_of(output, "job_id"), "job-1");
    assert_true(json_get(output, "duration")->valuedouble == 1.5);
    assert_int_equal(json_get(output, "sample_rate")->valueint, 24000);
    assert_null(json_get(output, "audio_url"));
    assert_null(json_get(output, "warnings"));
    cJSON_Delete(json);
    result_destroy(result);

    result = make_result(0);
    json = final_of(&worker, result, false);
    output = json_get(json, "output");
    assert_string_equal(text_of(output, "audio_url"), "https://s3.example.com/a.mp3?sig=1");
    assert_string_equal(text_of(json_get(output, "audio"), "url"),
                        "https://s3.example.com/a.mp3?sig=1");
    assert_null(json_get(output, "audio_base64"));
    cJSON_Delete(json);
    result_destroy(result);
}

static void failure_has_the_report_as_a_string_and_an_output(void **state)
{
    struct manifest_worker worker = worker_of(18000000, true);
    struct result *result =
        make_failure(ERR_INVALID, "options.nfe_step", "expected integer 1..256, got \"fast\"");
    (void)state;
    result->model_type = mem_copy_string("f5tts");
    cJSON *json = final_of(&worker, result, false);
    const cJSON *output = json_get(json, "output");
    assert_int_equal(cJSON_GetArraySize(json), 2);
    assert_string_equal(text_of(output, "status"), "error");
    assert_string_equal(text_of(output, "error_code"), "invalid_request");
    assert_string_equal(text_of(output, "error_field"), "options.nfe_step");
    assert_string_equal(text_of(output, "job_id"), "job-1");
    assert_string_equal(text_of(json_get(output, "error"), "message"),
                        "expected integer 1..256, got \"fast\"");
    assert_null(json_get(output, "audio"));
    assert_null(json_get(output, "duration"));
    cJSON *report = parse_error(json);
    assert_whole_report(report);
    assert_string_equal(text_of(report, "error_type"), "InvalidInput");
    assert_string_equal(text_of(report, "error_message"),
                        "options.nfe_step: expected integer 1..256, got \"fast\"");
    assert_non_null(strstr(text_of(report, "error_traceback"), "job job-1"));
    assert_non_null(strstr(text_of(report, "error_traceback"), "model f5tts"));
    assert_non_null(strstr(text_of(report, "error_traceback"), "field options.nfe_step"));
    assert_string_equal(text_of(report, "hostname"), "the-host");
    assert_string_equal(text_of(report, "worker_id"), "pod7");
    assert_string_equal(text_of(report, "runpod_version"), "1.12.0");
    assert_string_equal(text_of(report, "error_code"), "invalid_request");
    assert_string_equal(text_of(report, "error_field"), "options.nfe_step");
    cJSON_Delete(report);
    cJSON_Delete(json);
    result_destroy(result);
}

static void failure_about_no_field_names_none(void **state)
{
    struct manifest_worker worker = worker_of(18000000, false);
    struct result *result = make_failure(ERR_NO_MEMORY, NULL, "device is full");
    (void)state;
    cJSON *json = final_of(&worker, result, false), *report = parse_error(json);
    assert_null(json_get(json_get(json, "output"), "error_field"));
    assert_null(json_get(json_get(json, "output"), "job_id"));
    assert_null(json_get(report, "error_field"));
    assert_string_equal(text_of(report, "error_type"), "OutOfMemory");
    assert_string_equal(text_of(report, "error_message"), "device is full");
    cJSON_Delete(report);
    cJSON_Delete(json);
    result_destroy(result);
}

static void refresh_asks_for_another_worker(void **state)
{
    struct manifest_worker worker = worker_of(18000000, true);
    struct result *good = make_result(8), *bad = make_failure(ERR_INTERNAL, NULL, "x");
    (void)state;
    cJSON *json = final_of(&worker, good, true);
    assert_true(cJSON_IsTrue(json_get(json, "stopPod")));
    assert_null(json_get(json, "error"));
    cJSON_Delete(json);
    json = final_of(&worker, bad, true);
    assert_true(cJSON_IsTrue(json_get(json, "stopPod")));
    assert_non_null(json_get(json, "error"));
    cJSON_Delete(json);
    result_destroy(good);
    result_destroy(bad);
}

/* --- Sizes ------------------------------------------------------------------------------------ */

static void second_copy_is_left_out_exactly_when_it_does_not_fit(void **state)
{
    enum { AUDIO = 20000 };
    struct manifest_worker worker = worker_of(18000000, true);
    struct reply_context context = context_of(&worker);
    struct result *result = make_result(AUDIO);
    struct str body = {0};
    (void)state;
    reply_final(&context, NULL, result, true, &body);
    worker.body_bytes_max = (int64_t)body.len + 1; /* the estimate may be one byte off, not more */
    cJSON *json = final_of(&worker, result, true);
    assert_int_equal(strlen(text_of(json_get(json, "output"), "audio_base64")), AUDIO);
    assert_null(json_get(json_get(json, "output"), "warnings"));
    cJSON_Delete(json);

    worker.body_bytes_max = (int64_t)body.len - 1;
    json = final_of(&worker, result, true);
    const cJSON *output = json_get(json, "output");
    assert_null(json_get(output, "audio_base64"));
    assert_int_equal(strlen(text_of(json_get(output, "audio"), "base64")), AUDIO);
    assert_string_equal(text_of(output, "status"), "ok");
    assert_int_equal(cJSON_GetArraySize(json_get(output, "warnings")), 1);
    assert_non_null(strstr(json_get(output, "warnings")->child->valuestring, "audio_base64"));
    assert_int_equal(result->err.code, ERR_NONE);
    cJSON_Delete(json);
    str_finish(&body);
    result_destroy(result);
}

static void too_long_audio_becomes_a_failure(void **state)
{
    struct manifest_worker worker = worker_of(10000, true);
    struct result *result = make_result(10000);
    (void)state;
    str_puts(&result->data, "data");
    cJSON *json = final_of(&worker, result, false), *report = parse_error(json);
    const cJSON *output = json_get(json, "output");
    assert_int_equal(result->err.code, ERR_TOO_LARGE);
    assert_int_equal(result->data.len + result->base64.len, 0);
    assert_string_equal(text_of(output, "status"), "error");
    assert_string_equal(text_of(output, "error_code"), "too_large");
    assert_null(json_get(output, "audio"));
    assert_null(json_get(output, "audio_base64"));
    assert_string_equal(text_of(report, "error_type"), "PayloadTooLarge");
    assert_non_null(strstr(text_of(report, "error_message"), "10000"));
    assert_non_null(strstr(text_of(report, "error_message"), "worker.body_bytes_max"));
    assert_non_null(strstr(text_of(report, "error_message"), "mp3 or opus"));
    assert_non_null(strstr(text_of(report, "error_message"), "storage"));
    cJSON_Delete(report);
    cJSON_Delete(json);
    result_destroy(result);
}

static void add_words(struct result *result, size_t count)
{
    result->words = mem_alloc_array(count, sizeof(*result->words));
    for (size_t i = 0; i < count; i++)
        result->words[i].word = mem_copy_string("word");
    result->word_count = count;
}

static void words_and_subtitles_alone_may_be_too_long(void **state)
{
    struct manifest_worker worker = worker_of(100000, true);
    struct result *result = make_result(0);
    (void)state;
    add_words(result, 3000);
    cJSON *json = final_of(&worker, result, false);
    assert_string_equal(text_of(json_get(json, "output"), "error_code"), "too_large");
    assert_null(json_get(json_get(json, "output"), "words"));
    assert_int_equal(result->word_count, 0);
    cJSON_Delete(json);
    result_destroy(result);

    result = make_failure(ERR_TIMEOUT, NULL, "took over 5 s"); /* stays what it is */
    result->subtitle_texts[SUBTITLE_SRT] = mem_alloc(200001);
    memset(result->subtitle_texts[SUBTITLE_SRT], 'x', 200000);
    json = final_of(&worker, result, false);
    assert_string_equal(text_of(json_get(json, "output"), "error_code"), "timeout");
    assert_null(json_get(json_get(json, "output"), "subtitle_texts"));
    cJSON_Delete(json);
    result_destroy(result);
}

static void no_failure_is_over_the_least_limit(void **state)
{
    struct manifest_worker worker = worker_of(4096, true);
    char control[1024], name[201];
    (void)state;
    memset(control, 1, sizeof(control) - 1);
    memset(name, 2, sizeof(name) - 1);
    control[sizeof(control) - 1] = name[sizeof(name) - 1] = '\0';
    struct result *result = make_failure(ERR_MODEL_FAILED, name, control);
    struct err err = result->err;
    struct reply_context context = {&worker, control, control};
    struct str bodies[3] = {{0}, {0}, {0}};
    free(result->id);
    result->id = mem_copy_string(control);
    result->model_type = mem_copy_string(control);
    text_list_add(&result->warnings, mem_copy_string(control));
    worker.runpod_version = control;
    reply_final(&context, NULL, result, true, &bodies[0]);
    reply_final_stream(&context, result, NULL, true, &bodies[1]);
    reply_failure(&context, &err, false, &bodies[2]);
    for (int i = 0; i < 3; i++) {
        assert_true(bodies[i].len <= 4096);
        cJSON *json = parse(&bodies[i]), *report = parse_error(json);
        assert_whole_report(report);
        assert_string_equal(text_of(report, "error_code"), "model_failed");
        if (i < 2)
            assert_true(cJSON_IsTrue(json_get(json, "stopPod")));
        cJSON_Delete(report);
        cJSON_Delete(json);
        str_finish(&bodies[i]);
    }
    result_destroy(result);
}

static void ten_megabytes_are_written_fast(void **state)
{
    enum { AUDIO = 8000000 };
    struct manifest_worker worker = worker_of(18000000, true);
    struct reply_context context = context_of(&worker);
    struct result *result = make_result(AUDIO);
    struct str body = {0};
    (void)state;
    int64_t begun = clock_now();
    reply_final(&context, NULL, result, false, &body);
    assert_true(clock_now() - begun < CLOCK_S / 2); /* some ms; formatting by bytes takes seconds */
    assert_true(body.len > 16000000 && body.len <= 18000000);
    str_finish(&body);
    result_destroy(result);
}

/* --- Anything as text ------------------------------------------------------------------------- */

static void no_text_makes_a_body_invalid(void **state)
{
    static const char *const texts[] = {"\"},{\"\\",
                                        "\x01\x1f\x7f\n\r\t",
                                        "\xff\xfe\xc3(\xed\xa0\x80",
                                        "\xf0\x9f\x98\x80 \xc3\xa9",
                                        "%s%n%d",
                                        "</script>",
                                        "\\u0000",
                                        ""};
    struct manifest_worker worker = worker_of(18000000, true);
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct result *bad = make_failure(ERR_INVALID, texts[i], texts[i]), *good = make_result(0);
        struct reply_context context = {&worker, texts[i], texts[i]};
        struct str body = {0};
        free(good->url);
        free(good->id);
        good->url = mem_copy_string(texts[i]);
        good->id = mem_copy_string(texts[i]);
        bad->model_type = mem_copy_string(texts[i]);
        text_list_add(&bad->warnings, mem_copy_string(texts[i]));
        for (int which = 0; which < 5; which++) {
            str_clear(&body);
            switch (which) {
            case 0:
                reply_final(&context, NULL, bad, false, &body);
                break;
            case 1:
                reply_final(&context, NULL, good, false, &body);
                break;
            case 2:
                reply_stream_last(bad, &body);
                break;
            case 3:
                reply_final_stream(&context, bad, NULL, false, &body);
                break;
            default:
                reply_failure(&context, &bad->err, false, &body);
            }
            cJSON *json = parse(&body);
            if (which == 0 || which == 3 || which == 4)
                cJSON_Delete(parse_error(json));
            cJSON_Delete(json);
        }
        str_finish(&body);
        result_destroy(bad);
        result_destroy(good);
    }
}

static void long_texts_of_a_report_keep_head_and_tail(void **state)
{
    struct manifest_worker worker = worker_of(18000000, true);
    struct result *result = make_failure(ERR_INTERNAL, NULL, "message");
    struct str id = {0}, text = {0};
    struct reply_context context = context_of(&worker);
    (void)state;
    str_puts(&id, "HEAD");
    for (int i = 0; i < 30000; i++)
        str_puts(&id, "\xe2\x82\xac");
    str_puts(&id, "TAIL");
    context.hostname = id.data;
    reply_failure(&context, &result->err, false, &text);
    cJSON *body = parse(&text), *report = parse_error(body);
    const char *host = text_of(report, "hostname");
    assert_true(strlen(host) <= 16384 && strlen(host) > 16000);
    assert_int_equal(strncmp(host, "HEAD\xe2\x82\xac", 7), 0);
    assert_string_equal(host + strlen(host) - 4, "TAIL");
    assert_non_null(strstr(host, "\xe2\x82\xac ... \xe2\x82\xac"));
    assert_null(strstr(host, "\xef\xbf\xbd")); /* no character was cut */
    cJSON_Delete(report);
    cJSON_Delete(body);
    str_finish(&id);
    str_finish(&text);
    result_destroy(result);
}

static void report_without_a_job_is_whole(void **state)
{
    struct manifest_worker worker = worker_of(18000000, true);
    struct reply_context context = context_of(&worker);
    struct str body = {0};
    struct err err = {0};
    (void)state;
    err_set(&err, ERR_INVALID, "input", "missing");
    reply_failure(&context, &err, false, &body);
    cJSON *json = parse(&body), *report = parse_error(json);
    assert_int_equal(cJSON_GetArraySize(json), 1);
    assert_whole_report(report);
    assert_string_equal(text_of(report, "error_message"), "input: missing");
    assert_string_equal(text_of(report, "error_field"), "input");
    cJSON_Delete(report);
    cJSON_Delete(json);
    str_finish(&body);
}

static void every_code_has_a_name_of_its_own(void **state)
{
    static const struct {
        enum err_code code;
        const char *name;
    } names[] = {
        {ERR_INVALID, "InvalidInput"},
        {ERR_UNKNOWN_MODEL, "UnknownModel"},
        {ERR_MODEL_LOADING, "ModelLoading"},
        {ERR_MODEL_FAILED, "ModelFailed"},
        {ERR_VOICE_NOT_FOUND, "VoiceNotFound"},
        {ERR_UNSUPPORTED, "Unsupported"},
        {ERR_NO_MEMORY, "OutOfMemory"},
        {ERR_CANCELLED, "Cancelled"},
        {ERR_TIMEOUT, "Timeout"},
        {ERR_STORAGE, "StorageFailed"},
        {ERR_INTERNAL, "InternalError"},
        {ERR_TOO_LARGE, "PayloadTooLarge"},
    };
    size_t count = 0;
    (void)state;
#define X(constant, number, word, retryable) count++;
    ERR_CODES(X)
#undef X
    assert_int_equal(count, sizeof(names) / sizeof(names[0]));
    for (size_t i = 0; i < count; i++)
        assert_string_equal(reply_error_type(names[i].code), names[i].name);
}

/* --- Streams and progress --------------------------------------------------------------------- */

static void chunk_has_its_place_and_format(void **state)
{
    struct audio_info info = {
        .format = AUDIO_PCM, .encoding = AUDIO_FLOAT32, .sample_rate = 48000, .channels = 2};
    struct str chunk = {0}, body = {0};
    (void)state;
    reply_chunk(0, &info, "ABCD", 4, &chunk);
    assert_string_equal(chunk.data, "{\"index\":0,\"audio_base64\":\"QUJDRA==\",\"format\":\"pcm\","
                                    "\"encoding\":\"float32\",\"sample_rate\":48000,"
                                    "\"channels\":2}");
    reply_stream_body(&chunk, &body);
    cJSON *json = parse(&body);
    assert_string_equal(text_of(json_get(json, "output"), "audio_base64"), "QUJDRA==");
    cJSON_Delete(json);
    str_clear(&chunk);
    reply_chunk(UINT64_MAX, &info, NULL, 0, &chunk);
    json = parse(&chunk);
    assert_string_equal(text_of(json, "audio_base64"), "");
    assert_non_null(strstr(chunk.data, "\"index\":18446744073709551615,"));
    cJSON_Delete(json);
    str_finish(&chunk);
    str_finish(&body);
}

static void last_chunk_is_the_result_without_audio_bytes(void **state)
{
    struct result *good = make_result(8), *bad = make_failure(ERR_CANCELLED, "text", "stopped");
    struct str chunk = {0};
    (void)state;
    reply_stream_last(good, &chunk);
    cJSON *json = parse(&chunk);
    assert_string_equal(text_of(json, "status"), "ok");
    assert_null(json_get(json_get(json, "audio"), "base64"));
    assert_int_equal(json_get(json_get(json, "audio"), "sample_rate")->valueint, 24000);
    assert_null(json_get(json, "audio_base64"));
    assert_int_equal(good->base64.len, 8);
    cJSON_Delete(json);
    str_clear(&chunk);
    reply_stream_last(bad, &chunk);
    json = parse(&chunk);
    assert_string_equal(text_of(json, "error_code"), "cancelled");
    assert_string_equal(text_of(json, "error_field"), "text");
    cJSON_Delete(json);
    str_finish(&chunk);
    result_destroy(good);
    result_destroy(bad);
}

static void last_chunk_is_never_over_its_limit(void **state)
{
    struct result *result = make_result(0);
    struct str chunk = {0};
    (void)state;
    add_words(result, 20000);
    text_list_add(&result->warnings, mem_copy_string("first"));
    result->subtitle_texts[SUBTITLE_VTT] = mem_copy_string("WEBVTT");
    reply_stream_last(result, &chunk);
    assert_true(chunk.len <= 900000);
    cJSON *json = parse(&chunk);
    assert_null(json_get(json, "words"));
    assert_null(json_get(json, "subtitle_texts"));
    assert_int_equal(cJSON_GetArraySize(json_get(json, "warnings")), 2);
    assert_int_equal(result->word_count, 20000); /* the result itself is as it was */
    assert_int_equal(result->warnings.count, 1);
    assert_non_null(result->subtitle_texts[SUBTITLE_VTT]);
    cJSON_Delete(json);
    str_finish(&chunk);
    result_destroy(result);
}

static void end_of_a_stream_repeats_its_chunks_or_none(void **state)
{
    struct manifest_worker worker = worker_of(4096, true);
    struct reply_context context = context_of(&worker);
    struct result *good = make_result(0), *bad = make_failure(ERR_MODEL_FAILED, NULL, "broke");
    struct str chunks = {0}, none = {0}, body = {0};
    (void)state;
    reply_final_stream(&context, good, NULL, false, &body);
    assert_string_equal(body.data, "{\"output\":[]}");
    str_clear(&body);
    reply_final_stream(&context, good, &none, true, &body);
    assert_string_equal(body.data, "{\"output\":[],\"stopPod\":true}");
    str_clear(&body);
    str_puts(&chunks, "{\"index\":0},{\"index\":1}");
    reply_final_stream(&context, good, &chunks, false, &body);
    assert_string_equal(body.data, "{\"output\":[{\"index\":0},{\"index\":1}]}");
    str_clear(&body);
    reply_final_stream(&context, bad, &chunks, false, &body);
    cJSON *json = parse(&body), *report = parse_error(json);
    assert_int_equal(cJSON_GetArraySize(json_get(json, "output")), 2);
    assert_string_equal(text_of(report, "error_type"), "ModelFailed");
    cJSON_Delete(report);
    cJSON_Delete(json);
    str_clear(&body);
    for (int i = 0; i < 400; i++)
        str_puts(&chunks, ",{\"index\":2}");
    reply_final_stream(&context, good, &chunks, false, &body);
    assert_string_equal(body.data, "{\"output\":[]}");
    str_finish(&chunks);
    str_finish(&body);
    result_destroy(good);
    result_destroy(bad);
}

static void progress_is_a_number_between_0_and_1(void **state)
{
    static const struct {
        double progress;
        const char *text;
    } cases[] = {{0.25, "0.25"}, {0, "0"},       {1, "1"},           {-1, "0"},
                 {7e300, "1"},   {0.29, "0.29"}, {1.0 / 3, "0.333"}, {NAN, "0"}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct str body = {0};
        reply_progress(cases[i].progress, &body);
        char *expected =
            str_format("{\"status\":\"IN_PROGRESS\",\"output\":{\"progress\":%s}}", cases[i].text);
        assert_string_equal(body.data, expected);
        free(expected);
        str_finish(&body);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_result_is_the_output),
        cmocka_unit_test(older_clients_find_their_fields),
        cmocka_unit_test(failure_has_the_report_as_a_string_and_an_output),
        cmocka_unit_test(failure_about_no_field_names_none),
        cmocka_unit_test(refresh_asks_for_another_worker),
        cmocka_unit_test(second_copy_is_left_out_exactly_when_it_does_not_fit),
        cmocka_unit_test(too_long_audio_becomes_a_failure),
        cmocka_unit_test(words_and_subtitles_alone_may_be_too_long),
        cmocka_unit_test(no_failure_is_over_the_least_limit),
        cmocka_unit_test(ten_megabytes_are_written_fast),
        cmocka_unit_test(no_text_makes_a_body_invalid),
        cmocka_unit_test(long_texts_of_a_report_keep_head_and_tail),
        cmocka_unit_test(report_without_a_job_is_whole),
        cmocka_unit_test(every_code_has_a_name_of_its_own),
        cmocka_unit_test(chunk_has_its_place_and_format),
        cmocka_unit_test(last_chunk_is_the_result_without_audio_bytes),
        cmocka_unit_test(last_chunk_is_never_over_its_limit),
        cmocka_unit_test(end_of_a_stream_repeats_its_chunks_or_none),
        cmocka_unit_test(progress_is_a_number_between_0_and_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
