/* What a worker's counters become in Prometheus text. */
#include "front/worker/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    struct manifest *manifest;
    struct log log;
    struct models *models;
    struct metrics *metrics;
    struct str text;
};

static const char *no_variable(const char *name, void *arg)
{
    (void)name;
    (void)arg;
    return NULL;
}

static int open_fixture(void **state)
{
    static const char manifest[] =
        "version: 1\nmodels: [{model_type: tone, plugin: " BUILD_DIR "/tests/plugins/tone.so}, "
        "{model_type: Other.1, plugin: " BUILD_DIR "/tests/plugins/tone.so}]\n";
    static struct fixture f;
    struct manifest_input input = {.getenv = no_variable, .cpu_count = 1};
    struct str report = {0};
    f = (struct fixture){.log = {.fd = STDERR_FILENO, .level = LOG_ERROR}};
    if (manifest_parse(manifest, strlen(manifest), "test.yaml", "/nowhere", &input, &f.manifest,
                       &report) != 0)
        fail_msg("%s", str_text(&report));
    f.models = models_create(f.manifest, &f.log);
    f.metrics = metrics_create(f.models);
    *state = &f;
    return 0;
}

static int close_fixture(void **state)
{
    struct fixture *f = *state;
    str_finish(&f->text);
    metrics_destroy(f->metrics);
    assert_true(models_destroy(f->models));
    manifest_destroy(f->manifest);
    return 0;
}

static void end_job(struct fixture *f, char *model_type, enum err_code code, double ms)
{
    struct result result = {.model_type = model_type};
    result.err.code = code;
    result.ms.total = ms;
    result.ms.synth = ms / 2;
    result.audio.duration_s = 3;
    metrics_job_begins(f->metrics);
    metrics_job_ends(f->metrics, &result);
}

static void assert_has(struct fixture *f, const char *line)
{
    struct str whole = {0};
    str_clear(&f->text);
    metrics_write(f->metrics, &f->text);
    str_printf(&whole, "\n%s\n", line);
    if (!strstr(f->text.data, whole.data))
        fail_msg("no line \"%s\" in\n%s", line, f->text.data);
    str_finish(&whole);
}

static void counters_count(void **state)
{
    struct fixture *f = *state;
    assert_has(f, "voxhost_pings_total 0");
    metrics_count(f->metrics, METRIC_PINGS);
    metrics_count(f->metrics, METRIC_PINGS);
    assert_has(f, "voxhost_pings_total 2");
    assert_has(f, "# TYPE voxhost_pings_total counter");
}

static void jobs_are_counted_by_model_and_outcome(void **state)
{
    struct fixture *f = *state;
    char tone[] = "tone", other[] = "Other.1";
    metrics_job_begins(f->metrics);
    end_job(f, tone, ERR_NONE, 400);
    end_job(f, tone, ERR_NONE, 600);
    end_job(f, tone, ERR_TIMEOUT, 1000);
    end_job(f, other, ERR_TOO_LARGE, 1000);
    struct metrics_jobs jobs = metrics_jobs(f->metrics);
    assert_int_equal(jobs.ok, 2);
    assert_int_equal(jobs.failed, 2);
    assert_int_equal(jobs.in_progress, 1);
    assert_has(f, "voxhost_jobs_in_progress 1");
    assert_has(f, "voxhost_jobs_total{model_type=\"tone\",code=\"ok\"} 2");
    assert_has(f, "voxhost_jobs_total{model_type=\"tone\",code=\"timeout\"} 1");
    assert_has(f, "voxhost_jobs_total{model_type=\"Other.1\",code=\"ok\"} 0");
    assert_has(f, "voxhost_jobs_total{model_type=\"Other.1\",code=\"too_large\"} 1");
    assert_has(f,
               "voxhost_audio_seconds_total{model_type=\"tone\"} 6"); /* of those that went well */
    assert_has(f, "voxhost_synth_seconds_total{model_type=\"tone\"} 1");
}

static void times_fall_into_cumulative_buckets(void **state)
{
    struct fixture *f = *state;
    char tone[] = "tone";
    end_job(f, tone, ERR_NONE, 100); /* a limit is inclusive */
    end_job(f, tone, ERR_NONE, 101);
    end_job(f, tone, ERR_NONE, 1e6);
    assert_has(f, "voxhost_job_seconds_bucket{model_type=\"tone\",le=\"0.01\"} 0");
    assert_has(f, "voxhost_job_seconds_bucket{model_type=\"tone\",le=\"0.1\"} 1");
    assert_has(f, "voxhost_job_seconds_bucket{model_type=\"tone\",le=\"0.5\"} 2");
    assert_has(f, "voxhost_job_seconds_bucket{model_type=\"tone\",le=\"300\"} 2");
    assert_has(f, "voxhost_job_seconds_bucket{model_type=\"tone\",le=\"+Inf\"} 3");
    assert_has(f, "voxhost_job_seconds_count{model_type=\"tone\"} 3");
    assert_has(f, "voxhost_job_seconds_sum{model_type=\"tone\"} 1000.201");
}

static void what_a_job_calls_its_model_makes_no_label(void **state)
{
    struct fixture *f = *state;
    char stranger[] = "x\"} 1\nevil{a=\"";
    end_job(f, stranger, ERR_UNKNOWN_MODEL, 1);
    end_job(f, NULL, ERR_INVALID, 1);
    assert_has(f, "voxhost_jobs_total{model_type=\"\",code=\"unknown_model\"} 1");
    assert_has(f, "voxhost_jobs_total{model_type=\"\",code=\"invalid_request\"} 1");
    assert_null(strstr(f->text.data, "evil"));
}

static void models_are_ready_once_loaded(void **state)
{
    struct fixture *f = *state;
    assert_has(f, "voxhost_model_ready{model_type=\"tone\"} 0");
    assert_has(f, "voxhost_model_ready{model_type=\"Other.1\"} 0");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, open_fixture, close_fixture)
    const struct CMUnitTest tests[] = {
        TEST(counters_count),
        TEST(jobs_are_counted_by_model_and_outcome),
        TEST(times_fall_into_cumulative_buckets),
        TEST(what_a_job_calls_its_model_makes_no_label),
        TEST(models_are_ready_once_loaded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
