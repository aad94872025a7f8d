/* What `voxhost config` shows: values with their sources, hidden secrets, a print that reads back as the
 * same manifest, and the generated reference.
 */
#include "manifest_helper.h"

static void print_shows_every_value_with_its_source(void **state)
{
    (void)state;
    const char *environment[] = {"VOXHOST_CACHE=/env", "BUCKET_ENDPOINT_URL=https://s3.example",
                                 "BUCKET_SECRET_ACCESS_KEY=sesame", NULL};
    const char *override = "host.log_level=debug";
    struct manifest *m = parse_with(
        MODEL "    options: {api_key: k1, list: [1, {Token: k2}], text: 'a ${HOMELESS:-b}\"'}\n",
        environment, &override, 1);
    struct str out = {0};
    manifest_print(m, false, &out);
    assert_string_equal(
        str_text(&out),
        "version: 1  # from manifest line 1\n"
        "# default_model: none\n"
        "paths:\n"
        "  models: /base/models  # default\n"
        "  cache: /env  # from environment variable VOXHOST_CACHE\n"
        "  voices: /base/voices  # default\n"
        "  model_tiers: []  # default\n"
        "  copy_up: false  # default\n"
        "host:\n"
        "  log_level: debug  # from the command line\n"
        "  log_format: auto  # default\n"
        "  concurrency: 0  # default\n"
        "  min_free_mb: 64  # default\n"
        "  cache_keep_days: 0  # default\n"
        "  cache_keep_mb: 0  # default\n"
        "  text_bytes_max: 1000000  # default\n"
        "  job_timeout_s: 0  # default\n"
        "  load_timeout_s: 600  # default\n"
        "  cancel_grace_s: 10  # default\n"
        "  drain_s: 30  # default\n"
        "  plugin_path: []  # default\n"
        "  fetch_private: false  # default\n"
        "  fetch_timeout_s: 30  # default\n"
        "  fetch_mb_max: 64  # default\n"
        "storage:\n"
        "  type: s3  # default\n"
        "  endpoint: \"https://s3.example\"  # from environment variable BUCKET_ENDPOINT_URL\n"
        "  secret_key: \"***\"  # from environment variable BUCKET_SECRET_ACCESS_KEY\n"
        "  key_template: \"{random}/{job_id}.{ext}\"  # default\n"
        "  voices_prefix: voices/  # default\n"
        "  keep_days: 0  # default\n"
        "  keep_mb: 0  # default\n"
        "  path_style: true  # default\n"
        "  presign_ttl_s: 3600  # default\n"
        "callbacks:\n"
        "  timestamp_header: \"X-Minstraly-Timestamp\"  # default\n"
        "  signature_header: \"X-Minstraly-Signature\"  # default\n"
        "  attempts: 4  # default\n"
        "  timeout_s: 15  # default\n"
        "  dead_letters: /base/failed_callbacks  # default\n"
        "  keep_days: 0  # default\n"
        "  keep_mb: 0  # default\n"
        "  rewrite: {}  # default\n"
        "worker:\n"
        "  inline_chars_max: 10000000  # default\n"
        "  body_bytes_max: 18000000  # default\n"
        "  audio_mb_max: 64  # default\n"
        "  legacy_fields: true  # default\n"
        "  request_s: 30  # default\n"
        "  delivery_s: 600  # default\n"
        "  progress_s: 1  # default\n"
        "  stream_chunk_bytes: 16384  # default\n"
        "  stream_aggregate: true  # default\n"
        "  refresh: false  # default\n"
        "  runpod_version: \"1.12.0\"  # default\n"
        "  health_port: 0  # default\n"
        "  health_host: \"0.0.0.0\"  # default\n"
        "models:\n"
        "  - model_type: flite  # from manifest line 3\n"
        "    aliases: []  # default\n"
        "    plugin: flite.so  # from manifest line 4\n"
        "    model_dir: /base/models/flite  # default\n"
        "    cache_dir: /env/flite  # default\n"
        "    device: auto  # default\n"
        "    preload: true  # default\n"
        "    required: true  # default\n"
        "    sessions: 1  # default\n"
        "    options: {\"api_key\": \"***\", \"list\": [1, {\"Token\": \"***\"}], \"text\": \"a "
        "b\\\"\"}  # from manifest line 5\n"
        "    defaults: {}  # default\n");
    str_finish(&out);
    manifest_destroy(m);
}

static void json_print_has_value_and_source_of_every_key(void **state)
{
    (void)state;
    const char *environment[] = {"VOXHOST_DRAIN_S=0.5", NULL};
    struct manifest *m =
        parse_with(MODEL "    options: {api_key: k1}\njobs: [1, 2]\n", environment, NULL, 0);
    struct str out = {0};
    manifest_print(m, true, &out);
    struct err err;
    cJSON *root = json_parse(out.data, out.len, &JSON_LIMITS_DEFAULT, &err);
    assert_non_null(root);
    const cJSON *drain = json_get(json_get(root, "host"), "drain_s");
    assert_true(json_get(drain, "value")->valuedouble == 0.5);
    assert_string_equal(json_get(drain, "source")->valuestring, "environment");
    assert_string_equal(json_get(drain, "variable")->valuestring, "VOXHOST_DRAIN_S");
    const cJSON *model = cJSON_GetArrayItem(json_get(root, "models"), 0);
    const cJSON *options = json_get(model, "options");
    assert_string_equal(json_get(json_get(options, "value"), "api_key")->valuestring, "***");
    assert_int_equal(json_get(options, "line")->valueint, 5);
    assert_true(cJSON_IsNull(json_get(json_get(root, "default_model"), "value")));
    assert_string_equal(json_get(json_get(root, "default_model"), "source")->valuestring,
                        "default");
    assert_int_equal(json_get(root, "job_count")->valueint, 2);
    cJSON_Delete(root);
    str_finish(&out);
    manifest_destroy(m);
}

static void printed_manifest_reads_back_the_same(void **state)
{
    (void)state;
    static const char *const names[] = {"full", "minimal", "anchors", "odd_text"};
    for (size_t i = 0; i < 4; i++) {
        char *path = str_format("%s/good/%s.yaml", CORPUS, names[i]);
        struct manifest_input input = input_of(NULL);
        input.file = path;
        struct manifest *m = NULL;
        struct str report = {0}, first = {0}, second = {0}, third = {0};
        assert_int_equal(manifest_load(&input, &m, &report), 0);
        m->jobs = NULL; /* not shown */
        manifest_print(m, false, &first);
        struct manifest *again = parse(str_text(&first));
        manifest_print(again, false, &second);
        struct manifest *last = parse(str_text(&second));
        manifest_print(last, false, &third);
        assert_string_equal(str_text(&second), str_text(&third));
        struct str left = {0}, right = {0};
        json_write_canonical(&left, m->models[m->model_count - 1].options);
        json_write_canonical(&right, last->models[m->model_count - 1].options);
        if (strcmp(names[i], "odd_text") != 0) /* its secrets are hidden */
            assert_string_equal(str_text(&left), str_text(&right));
        assert_string_equal(m->models[0].cache_dir, last->models[0].cache_dir);
        assert_int_equal(m->models[0].sessions, last->models[0].sessions);
        struct str *texts[] = {&report, &first, &second, &third, &left, &right};
        for (size_t k = 0; k < 6; k++)
            str_finish(texts[k]);
        manifest_destroy(m);
        manifest_destroy(again);
        manifest_destroy(last);
        free(path);
    }
}

static void options_of_any_text_survive_printing(void **state)
{
    (void)state;
    static const char *const texts[] = {"",
                                        "true",
                                        "null",
                                        "12",
                                        "-1.5e3",
                                        "${HOME}",
                                        "$${HOME}",
                                        "$$$",
                                        "${",
                                        " # x",
                                        "a: b",
                                        "line\nline\r\n\ttab",
                                        "\x01\x1f\x7f",
                                        "\xc2\x80\xc2\x85\xc2\x9f\xc2\xa0",
                                        "\xe2\x80\xa8\xe2\x80\xa9",
                                        "\xef\xbb\xbf\xef\xbf\xbd\xef\xbf\xbe\xef\xbf\xbf",
                                        "\xf0\x9f\x8e\x99 \xe6\xa8\xa1",
                                        "'\"\\/<<",
                                        "...",
                                        "---",
                                        "*a",
                                        "&a",
                                        "!!x"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct manifest *m = parse(MODEL);
        cJSON_AddStringToObject(m->models[0].options, "value", texts[i]);
        if (texts[i][0])
            cJSON_AddTrueToObject(m->models[0].options, texts[i]);
        struct str print = {0};
        manifest_print(m, false, &print);
        struct manifest *again = parse(str_text(&print));
        assert_string_equal(json_get(again->models[0].options, "value")->valuestring, texts[i]);
        if (texts[i][0] && !cJSON_IsTrue(json_get(again->models[0].options, texts[i])))
            fail_msg("lost as a key: %s", str_text(&print));
        str_finish(&print);
        manifest_destroy(m);
        manifest_destroy(again);
    }
}

static void reference_file_is_up_to_date(void **state)
{
    (void)state;
    struct str made = {0}, file = {0};
    struct err err;
    manifest_reference(&made);
    int code = fs_read_file(REPOSITORY "/configs/REFERENCE.md", 1 << 20, &file, &err);
    if (code != 0 || strcmp(str_text(&made), str_text(&file)) != 0)
        fail_msg("configs/REFERENCE.md is out of date; make it again:\n"
                 "    build/voxhost config --reference > configs/REFERENCE.md");
    str_finish(&made);
    str_finish(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(print_shows_every_value_with_its_source),
        cmocka_unit_test(json_print_has_value_and_source_of_every_key),
        cmocka_unit_test(printed_manifest_reads_back_the_same),
        cmocka_unit_test(options_of_any_text_survive_printing),
        cmocka_unit_test(reference_file_is_up_to_date),
    };
    return cmocka_run_group_tests_name("manifest_print", tests, NULL, NULL);
}
