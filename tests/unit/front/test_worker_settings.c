/* What a worker makes of its environment: URLs, defaults, and values that it has to refuse. */
#include "front/worker/settings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include <cmocka.h>

/* An environment: names and values in turn, ends with NULL. */
static const char *look_up(const char *name, void *arg)
{
    const char *const *env = arg;
    for (; *env; env += 2)
        if (strcmp(env[0], name) == 0)
            return env[1];
    return NULL;
}

static struct worker_settings read_ok(const char *const *env)
{
    struct worker_settings settings;
    struct str report = {0};
    int code = settings_read(look_up, (void *)env, &settings, &report);
    if (code != 0)
        fail_msg("refused: %s", str_text(&report));
    assert_int_equal(report.len, 0);
    return settings;
}

/* The report of an environment that must be refused. */
static char *read_refused(const char *const *env)
{
    struct worker_settings settings;
    struct str report = {0};
    assert_int_equal(settings_read(look_up, (void *)env, &settings, &report), ERR_INVALID);
    assert_null(settings.take_url);
    assert_null(settings.worker_id);
    assert_true(report.len > 0 && report.data[report.len - 1] == '\n');
    return str_take(&report);
}

#define ENV(...) ((const char *const[]){__VA_ARGS__, NULL})

static void platform_environment_is_expanded(void **state)
{
    (void)state;
    struct worker_settings s = read_ok(ENV(
        "RUNPOD_WEBHOOK_GET_JOB", "https://h/v2/e/job-take/$ID?gpu=NVIDIA+RTX+A5000",
        "RUNPOD_WEBHOOK_POST_OUTPUT",
        "https://h/v2/e/job-done/$RUNPOD_POD_ID/$ID?gpu=$RUNPOD_GPU_TYPE_ID",
        "RUNPOD_WEBHOOK_POST_STREAM", "https://h/v2/e/job-stream/$RUNPOD_POD_ID/$ID",
        "RUNPOD_WEBHOOK_PING", "https://h/v2/e/ping/$RUNPOD_POD_ID?w=$ID", "RUNPOD_PING_INTERVAL",
        "4000", "RUNPOD_AI_API_KEY", "rp_ABC def=", "RUNPOD_POD_ID", "pod7", "RUNPOD_ENDPOINT_ID",
        "ep1", "RUNPOD_POD_HOSTNAME", "pod7-host", "RUNPOD_GPU_TYPE_ID", "NVIDIA A100/80&GB",
        "HOSTNAME", "other", "RUNPOD_REALTIME_PORT", "8001"));
    assert_string_equal(s.take_url, "https://h/v2/e/job-take/pod7?gpu=NVIDIA+RTX+A5000");
    assert_string_equal(s.take_batch_url,
                        "https://h/v2/e/job-take-batch/pod7?gpu=NVIDIA+RTX+A5000");
    assert_string_equal(s.stop_url, "https://h/v2/e/job-stop/pod7?gpu=NVIDIA+RTX+A5000");
    assert_string_equal(s.done_url, "https://h/v2/e/job-done/pod7/$ID?gpu=NVIDIA+A100%2F80%26GB");
    assert_string_equal(s.stream_url, "https://h/v2/e/job-stream/pod7/$ID");
    assert_string_equal(s.ping_url, "https://h/v2/e/ping/pod7?w=pod7");
    assert_string_equal(s.key, "rp_ABC def=");
    assert_string_equal(s.worker_id, "pod7");
    assert_string_equal(s.endpoint_id, "ep1");
    assert_string_equal(s.hostname, "pod7-host");
    assert_string_equal(s.report_id, "pod7");
    assert_true(s.ping_interval_s == 4.0);
    assert_int_equal(s.realtime_port, 8001);
    settings_finish(&s);
}

static void pod_id_in_take_url_is_expanded(void **state)
{
    (void)state;
    struct worker_settings s =
        read_ok(ENV("RUNPOD_WEBHOOK_GET_JOB", "https://h/v2/e/job-take/$RUNPOD_POD_ID",
                    "RUNPOD_WEBHOOK_POST_OUTPUT", "https://h/v2/e/job-done/$RUNPOD_POD_ID/$ID",
                    "RUNPOD_POD_ID", "a/b c$ID#"));
    assert_string_equal(s.take_url, "https://h/v2/e/job-take/a%2Fb%20c%24ID%23");
    assert_string_equal(s.done_url, "https://h/v2/e/job-done/a%2Fb%20c%24ID%23/$ID");
    settings_finish(&s);
}

static void empty_environment_has_defaults_and_no_queue(void **state)
{
    (void)state;
    struct worker_settings s = read_ok(ENV("RUNPOD_AI_API_KEY", "")), other;
    assert_null(s.take_url);
    assert_null(s.take_batch_url);
    assert_null(s.stop_url);
    assert_null(s.done_url);
    assert_null(s.stream_url);
    assert_null(s.ping_url);
    assert_null(s.key);
    assert_null(s.endpoint_id);
    assert_string_equal(s.hostname, "unknown");
    assert_string_equal(s.report_id, "unknown");
    assert_true(s.ping_interval_s == 10.0);
    assert_int_equal(s.realtime_port, 0);
    assert_int_equal(strlen(s.worker_id), 36);
    assert_int_equal(s.worker_id[14], '4'); /* a random UUID */
    assert_int_equal(strspn(s.worker_id, "0123456789abcdef-"), 36);
    other = read_ok(ENV("RUNPOD_AI_API_KEY", ""));
    assert_string_not_equal(s.worker_id, other.worker_id);
    settings_finish(&s);
    settings_finish(&other);
}

static void hostname_stands_in_for_the_worker_id_but_pings_need_a_pod(void **state)
{
    (void)state;
    struct worker_settings s =
        read_ok(ENV("HOSTNAME", "box", "RUNPOD_AI_API_KEY", "k", "RUNPOD_WEBHOOK_PING",
                    "https://h/v2/e/ping/$RUNPOD_POD_ID"));
    assert_string_equal(s.worker_id, "box");
    assert_string_equal(s.report_id, "unknown");
    assert_null(s.ping_url);
    settings_finish(&s);
    s = read_ok(
        ENV("RUNPOD_POD_ID", "p", "RUNPOD_WEBHOOK_PING", "https://h/v2/e/ping/$RUNPOD_POD_ID"));
    assert_null(s.ping_url); /* without a key */
    settings_finish(&s);
    s = read_ok(ENV("RUNPOD_POD_ID", "p", "RUNPOD_AI_API_KEY", "k", "RUNPOD_WEBHOOK_PING",
                    "https://h/v2/e/ping/$RUNPOD_POD_ID"));
    assert_string_equal(s.ping_url, "https://h/v2/e/ping/p");
    settings_finish(&s);
    s = read_ok(
        ENV("RUNPOD_POD_ID", "p", "RUNPOD_AI_API_KEY", "k", "RUNPOD_WEBHOOK_PING", "PING_NOT_SET"));
    assert_null(s.ping_url);
    settings_finish(&s);
}

static void other_name_of_the_stream_url_is_taken(void **state)
{
    (void)state;
    struct worker_settings s =
        read_ok(ENV("RUNPOD_WEBHOOK_JOB_STREAM", "https://h/v2/e/s/$ID", "RUNPOD_POD_ID", "p"));
    assert_string_equal(s.stream_url, "https://h/v2/e/s/$ID");
    settings_finish(&s);
    s = read_ok(ENV("RUNPOD_WEBHOOK_JOB_STREAM", "https://h/v2/e/s/$ID",
                    "RUNPOD_WEBHOOK_POST_STREAM", "https://h/v2/e/t/$ID"));
    assert_string_equal(s.stream_url, "https://h/v2/e/t/$ID");
    settings_finish(&s);
}

static void only_a_piece_of_the_path_makes_the_other_urls(void **state)
{
    (void)state;
    struct worker_settings s =
        read_ok(ENV("RUNPOD_WEBHOOK_GET_JOB", "http://job-take/v2/next?from=/job-take/",
                    "RUNPOD_WEBHOOK_POST_OUTPUT", "http://job-take/done/$ID"));
    assert_null(s.take_batch_url);
    assert_null(s.stop_url);
    settings_finish(&s);
    s = read_ok(ENV("RUNPOD_WEBHOOK_GET_JOB", "http://job-take/job-take/w?from=/job-take/",
                    "RUNPOD_WEBHOOK_POST_OUTPUT", "http://job-take/done/$ID"));
    assert_string_equal(s.stop_url, "http://job-take/job-stop/w?from=/job-take/");
    settings_finish(&s);
}

static void fragments_are_cut_and_odd_bytes_encoded(void **state)
{
    (void)state;
    struct worker_settings s =
        read_ok(ENV("RUNPOD_WEBHOOK_GET_JOB", "HTTP://user:p%40w@[::1]:8080/t?gpu=A 100 \xc3\xa9#x",
                    "RUNPOD_WEBHOOK_POST_OUTPUT", "http://localhost:65535?$ID"));
    assert_string_equal(s.take_url, "HTTP://user:p%40w@[::1]:8080/t?gpu=A%20100%20%C3%A9");
    assert_string_equal(s.done_url, "http://localhost:65535?$ID");
    settings_finish(&s);
}

static void unknown_gpu_leaves_its_name(void **state)
{
    (void)state;
    struct worker_settings s =
        read_ok(ENV("RUNPOD_WEBHOOK_PING", "https://h/v2/e?g=$RUNPOD_GPU_TYPE_ID",
                    "RUNPOD_AI_API_KEY", "k", "RUNPOD_POD_ID", "p"));
    assert_string_equal(s.ping_url, "https://h/v2/e?g=$RUNPOD_GPU_TYPE_ID");
    settings_finish(&s);
}

static void ping_interval_is_in_milliseconds_with_a_floor(void **state)
{
    static const struct {
        const char *text;
        double seconds;
    } cases[] = {{"500", 0.5},    {"100", 0.1}, {"99", 0.1},           {"0", 0.1},
                 {"1234", 1.234}, {"", 10},     {"86400000", 86400.0}, {"0020000", 20}};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct worker_settings s = read_ok(ENV("RUNPOD_PING_INTERVAL", cases[i].text));
        assert_true(s.ping_interval_s == cases[i].seconds);
        settings_finish(&s);
    }
}

static void user_agent_names_the_host_and_the_system(void **state)
{
    struct utsname system;
    (void)state;
    assert_int_equal(uname(&system), 0);
    struct worker_settings s = read_ok(ENV("HOSTNAME", "h"));
    char *expected = str_format("voxhost/" VOXHOST_VERSION " (%s %s; %s) RunPod-Protocol/1.12",
                                system.sysname, system.release, system.machine);
    assert_string_equal(s.user_agent, expected);
    free(expected);
    settings_finish(&s);
}

/* --- Refused ---------------------------------------------------------------------------------- */

static void wrong_value_is_named_and_not_shown(void **state)
{
    static const struct {
        const char *name, *value, *report;
    } cases[] = {
        {"RUNPOD_WEBHOOK_POST_OUTPUT", "JOB_SECRET_URL", "begins with neither"},
        {"RUNPOD_WEBHOOK_PING", "ftp://h/SECRET", "begins with neither"},
        {"RUNPOD_WEBHOOK_PING", "https//h/SECRET", "begins with neither"},
        {"RUNPOD_WEBHOOK_PING", "file:///SECRET", "begins with neither"},
        {"RUNPOD_WEBHOOK_POST_OUTPUT", "http://", "without a host"},
        {"RUNPOD_WEBHOOK_POST_OUTPUT", "http:///x?k=SECRET", "without a host"},
        {"RUNPOD_WEBHOOK_POST_OUTPUT", "http://SECRET@/x", "without a host"},
        {"RUNPOD_WEBHOOK_POST_OUTPUT", "http://[::1/x", "without a host"},
        {"RUNPOD_WEBHOOK_POST_OUTPUT", "http://:80/x", "without a host"},
        {"RUNPOD_WEBHOOK_POST_STREAM", "http://h:0/SECRET", "port is not 1 to 65535"},
        {"RUNPOD_WEBHOOK_POST_STREAM", "http://h:65536/SECRET", "port is not 1 to 65535"},
        {"RUNPOD_WEBHOOK_POST_STREAM", "http://h:99999999999999999999/S", "port is not 1 to 65535"},
        {"RUNPOD_WEBHOOK_JOB_STREAM", "http://h:8o/SECRET", "port is not 1 to 65535"},
        {"RUNPOD_WEBHOOK_JOB_STREAM", "http://[::1]x/SECRET", "port is not 1 to 65535"},
        {"RUNPOD_WEBHOOK_JOB_STREAM", "http://SECRET host/", "no host has"},
        {"RUNPOD_WEBHOOK_POST_STREAM", "http://$HOST/SECRET", "no host has"},
        {"RUNPOD_WEBHOOK_PING", "http://a,b+c/SECRET", "no host has"},
        {"RUNPOD_WEBHOOK_JOB_STREAM", "http://h\xc3\xa9/SECRET", "no host has"},
        {"RUNPOD_WEBHOOK_JOB_STREAM", "http://h/SECRET\r\nX: y",
         "control character 0x0d at byte 16"},
        {"RUNPOD_AI_API_KEY", "SECRET\n", "control character 0x0a at byte 7 of 7"},
        {"RUNPOD_AI_API_KEY", "SECRET\x7f", "control character 0x7f"},
        {"RUNPOD_AI_API_KEY", "SECRET\xff\xfe", "not UTF-8 at byte 7"},
        {"RUNPOD_AI_API_KEY", "   ", "nothing but spaces"},
        {"RUNPOD_POD_ID", "SECRET\tpod", "control character 0x09"},
        {"HOSTNAME", "SECRET\xc3", "not UTF-8"},
        {"RUNPOD_POD_HOSTNAME", "\x1b[0mSECRET", "control character 0x1b"},
        {"RUNPOD_ENDPOINT_ID", "SECRET\xed\xa0\x80", "not UTF-8"},
        {"RUNPOD_GPU_TYPE_ID", "SECRET\x01", "control character 0x01"},
        {"RUNPOD_PING_INTERVAL", "10s", "milliseconds, a whole number 0..86400000, got \"10s\""},
        {"RUNPOD_PING_INTERVAL", "-1", "got \"-1\""},
        {"RUNPOD_PING_INTERVAL", "1e4", "got \"1e4\""},
        {"RUNPOD_PING_INTERVAL", "86400001", "got \"86400001\""},
        {"RUNPOD_PING_INTERVAL", "99999999999999999999", "got \"99999999999999999999\""},
        {"RUNPOD_PING_INTERVAL", "999999999999999999999SECRET", "27 bytes, which are more than 20"},
        {"RUNPOD_REALTIME_PORT", "65536", "a port, a whole number 0..65535, got \"65536\""},
        {"RUNPOD_REALTIME_PORT", "http", "got \"http\""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *report = read_refused(ENV(cases[i].name, cases[i].value));
        if (strncmp(report, cases[i].name, strlen(cases[i].name)) != 0 ||
            !strstr(report, cases[i].report) || strstr(report, "SECRET"))
            fail_msg("case %zu: %s", i, report);
        assert_ptr_equal(strchr(report, '\n'), report + strlen(report) - 1); /* one line */
        free(report);
    }
}

static void huge_value_of_any_variable_is_refused(void **state)
{
    static const char *const names[] = {"RUNPOD_WEBHOOK_GET_JOB",
                                        "RUNPOD_WEBHOOK_POST_OUTPUT",
                                        "RUNPOD_WEBHOOK_POST_STREAM",
                                        "RUNPOD_WEBHOOK_JOB_STREAM",
                                        "RUNPOD_WEBHOOK_PING",
                                        "RUNPOD_PING_INTERVAL",
                                        "RUNPOD_AI_API_KEY",
                                        "RUNPOD_POD_ID",
                                        "RUNPOD_ENDPOINT_ID",
                                        "RUNPOD_POD_HOSTNAME",
                                        "RUNPOD_GPU_TYPE_ID",
                                        "RUNPOD_REALTIME_PORT",
                                        "HOSTNAME"};
    struct str huge = {0};
    (void)state;
    str_puts(&huge, "http://h/");
    while (huge.len < 1 << 20)
        str_putc(&huge, '7');
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char *report = read_refused(ENV(names[i], huge.data));
        assert_int_equal(strncmp(report, names[i], strlen(names[i])), 0);
        assert_non_null(strstr(report, "1048576 bytes"));
        assert_true(strlen(report) < 300);
        free(report);
    }
    str_finish(&huge);
}

static void url_that_expansion_makes_huge_is_refused(void **state)
{
    struct str url = {0};
    char pod[201];
    (void)state;
    memset(pod, '/', sizeof(pod) - 1); /* three bytes each when encoded */
    pod[sizeof(pod) - 1] = '\0';
    str_puts(&url, "http://h/");
    for (int i = 0; i < 20; i++)
        str_puts(&url, "$RUNPOD_POD_ID");
    char *report = read_refused(ENV("RUNPOD_WEBHOOK_PING", url.data, "RUNPOD_POD_ID", pod));
    assert_non_null(strstr(report, "RUNPOD_WEBHOOK_PING: "));
    assert_non_null(strstr(report, "over 8192 bytes"));
    free(report);
    str_finish(&url);
}

static void all_wrong_variables_are_reported_together(void **state)
{
    (void)state;
    char *report = read_refused(ENV("RUNPOD_WEBHOOK_GET_JOB", "x", "RUNPOD_AI_API_KEY", "a\rb",
                                    "RUNPOD_PING_INTERVAL", "soon", "RUNPOD_REALTIME_PORT", "-"));
    int lines = 0;
    for (const char *p = report; *p; p++)
        lines += *p == '\n';
    assert_int_equal(lines, 5);
    assert_non_null(strstr(report, "RUNPOD_WEBHOOK_GET_JOB: expected"));
    assert_non_null(strstr(report, "RUNPOD_WEBHOOK_POST_OUTPUT: expected the URL that takes "
                                   "results, since RUNPOD_WEBHOOK_GET_JOB is set, got nothing\n"));
    assert_non_null(strstr(report, "RUNPOD_AI_API_KEY: expected"));
    assert_non_null(strstr(report, "RUNPOD_PING_INTERVAL: expected"));
    assert_non_null(strstr(report, "RUNPOD_REALTIME_PORT: expected"));
    free(report);
}

/* --- URLs ------------------------------------------------------------------------------------- */

static void parameters_are_added_to_any_query(void **state)
{
    static const struct {
        const char *before, *after;
    } cases[] = {
        {"http://h/p", "http://h/p?job_id=a%2Cb+c"},
        {"http://h/p?", "http://h/p?job_id=a%2Cb+c"},
        {"http://h/p?x=y", "http://h/p?x=y&job_id=a%2Cb+c"},
        {"http://h/p?x=y&", "http://h/p?x=y&job_id=a%2Cb+c"},
        {"http://h/p#f?g", "http://h/p?job_id=a%2Cb+c"},
        {"http://h/p?#f", "http://h/p?job_id=a%2Cb+c"},
        {"http://h/p?x=y#f&", "http://h/p?x=y&job_id=a%2Cb+c"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct str url = {0};
        str_puts(&url, cases[i].before);
        url_add_query(&url, "job_id", "a,b c");
        assert_string_equal(url.data, cases[i].after);
        assert_int_equal(url.len, strlen(url.data));
        str_finish(&url);
    }
}

static void values_are_encoded_byte_for_byte(void **state)
{
    struct str url = {0};
    (void)state;
    str_puts(&url, "http://h/");
    url_add_query(&url, "reason", "E: \xc3\xa9&=%+?#/\n~-._\xff");
    url_add_query(&url, "n", "");
    assert_string_equal(url.data, "http://h/?reason=E%3A+%C3%A9%26%3D%25%2B%3F%23%2F%0A~-._%FF&n=");
    str_finish(&url);
}

static void job_url_holds_the_id_as_one_segment(void **state)
{
    static const struct {
        const char *template, *id, *url;
        bool is_stream;
    } cases[] = {
        {"http://h/done/w/$ID?gpu=A+B", "4a5e-u1", "http://h/done/w/4a5e-u1?gpu=A+B&isStream=false",
         false},
        {"http://h/done/w/$ID", "sync-1", "http://h/done/w/sync-1?isStream=true", true},
        {"http://h/$ID?id=$ID", "a/b?c#d $ID",
         "http://h/a%2Fb%3Fc%23d%20%24ID?id=a%2Fb%3Fc%23d%20%24ID&isStream=false", false},
        {"http://h/$ID", "..", "http://h/%2E%2E?isStream=false", false},
        {"http://h/$ID", "a..", "http://h/a..?isStream=false", false},
        {"http://h/$ID", "\xc3\xa9\n", "http://h/%C3%A9%0A?isStream=false", false},
        {"http://h/done", "x", "http://h/done?isStream=false", false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct str url = {0};
        url_of_job(cases[i].template, cases[i].id, cases[i].is_stream, &url);
        assert_string_equal(url.data, cases[i].url);
        str_finish(&url);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(platform_environment_is_expanded),
        cmocka_unit_test(pod_id_in_take_url_is_expanded),
        cmocka_unit_test(empty_environment_has_defaults_and_no_queue),
        cmocka_unit_test(hostname_stands_in_for_the_worker_id_but_pings_need_a_pod),
        cmocka_unit_test(other_name_of_the_stream_url_is_taken),
        cmocka_unit_test(only_a_piece_of_the_path_makes_the_other_urls),
        cmocka_unit_test(fragments_are_cut_and_odd_bytes_encoded),
        cmocka_unit_test(unknown_gpu_leaves_its_name),
        cmocka_unit_test(ping_interval_is_in_milliseconds_with_a_floor),
        cmocka_unit_test(user_agent_names_the_host_and_the_system),
        cmocka_unit_test(wrong_value_is_named_and_not_shown),
        cmocka_unit_test(huge_value_of_any_variable_is_refused),
        cmocka_unit_test(url_that_expansion_makes_huge_is_refused),
        cmocka_unit_test(all_wrong_variables_are_reported_together),
        cmocka_unit_test(parameters_are_added_to_any_query),
        cmocka_unit_test(values_are_encoded_byte_for_byte),
        cmocka_unit_test(job_url_holds_the_id_as_one_segment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
