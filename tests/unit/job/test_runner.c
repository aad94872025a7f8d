/* The runner with real plugins: routing, concurrency, time limits, plugins that do not come back. */
#include "job_test.h"

#define RESULTS_MAX 64

struct run {
    struct fixture f;
    struct store *store;
    struct runner *runner;
    pthread_mutex_t lock;
    struct result *results[RESULTS_MAX]; /* in the order in which they came */
    size_t count;
};

static const volatile sig_atomic_t never;

static void take(struct result *result, void *arg)
{
    struct run *run = arg;
    pthread_mutex_lock(&run->lock);
    if (run->count < RESULTS_MAX)
        run->results[run->count++] = result;
    pthread_mutex_unlock(&run->lock);
}

static void run_open(struct run *run, const char *models, const char *host, uint32_t concurrency)
{
    struct err err = {0};
    *run = (struct run){0};
    fixture_open(&run->f, models, host);
    pthread_mutex_init(&run->lock, NULL);
    char *out = fs_join(run->f.dir, "out");
    assert_int_equal(store_open(out, &run->store, &err), 0);
    free(out);
    struct runner_options options = {
        .models = run->f.models,
        .host = &run->f.manifest->host,
        .log = &run->f.log,
        .store = run->store,
        .stream_fd = -1,
        .concurrency = concurrency,
        .done = take,
        .arg = run,
    };
    run->f.log.level = LOG_ERROR + 1;
    run->runner = runner_create(&options);
    assert_non_null(run->runner);
}

static void submit(struct run *run, const char *text)
{
    struct job *job;
    struct err err = {0};
    if (parse_job(&run->f, text, false, &job, &err) != 0)
        fail_msg("%s: %s", text, err.message);
    assert_int_equal(runner_submit(run->runner, job, 0, &never), 0);
}

static const struct result *result_of(const struct run *run, const char *id)
{
    for (size_t i = 0; i < run->count; i++)
        if (strcmp(run->results[i]->id, id) == 0)
            return run->results[i];
    fail_msg("no result \"%s\"", id);
    return NULL;
}

static void wait_for_all(struct run *run)
{
    assert_true(runner_wait(run->runner, clock_now() + 60 * CLOCK_S));
}

static void run_close(struct run *run)
{
    assert_true(runner_destroy(run->runner));
    store_close(run->store);
    for (size_t i = 0; i < run->count; i++)
        result_destroy(run->results[i]);
    pthread_mutex_destroy(&run->lock);
    fixture_close(&run->f);
}

static void slow_model_does_not_hold_up_another(void **state)
{
    struct run run;
    (void)state;
    run_open(&run, "{model_type: slow, plugin: %P/tone.so}, {model_type: tone, plugin: %P/tone.so}",
             "", 2);
    submit(&run,
           "{\"id\":\"s1\",\"model_type\":\"slow\",\"text\":\"a\",\"options\":{\"sleep_ms\":400}}");
    submit(&run,
           "{\"id\":\"s2\",\"model_type\":\"slow\",\"text\":\"a\",\"options\":{\"sleep_ms\":1}}");
    submit(&run, "{\"id\":\"t\",\"model_type\":\"tone\",\"text\":\"a\"}");
    wait_for_all(&run);
    assert_int_equal(run.count, 3);
    assert_string_equal(run.results[0]->id, "t");
    assert_string_equal(run.results[1]->id, "s1");
    for (size_t i = 0; i < run.count; i++)
        assert_int_equal(run.results[i]->err.code, ERR_NONE);
    run_close(&run);
}

static void same_seed_gives_the_same_file(void **state)
{
    struct run run;
    (void)state;
    run_open(&run, "{model_type: tone, plugin: %P/tone.so, sessions: 4}", "", 4);
    submit(&run, "{\"id\":\"a\",\"text\":\"hello\",\"seed\":5}");
    submit(&run, "{\"id\":\"b\",\"text\":\"hello\",\"seed\":5}");
    submit(&run, "{\"id\":\"c\",\"text\":\"hello\",\"seed\":6}");
    wait_for_all(&run);
    assert_string_equal(result_of(&run, "a")->audio.sha256, result_of(&run, "b")->audio.sha256);
    assert_string_not_equal(result_of(&run, "a")->audio.sha256, result_of(&run, "c")->audio.sha256);
    assert_true(result_of(&run, "a")->ms.total > 0);
    run_close(&run);
}

static void job_over_its_time_is_a_timeout(void **state)
{
    struct run run;
    (void)state;
    run_open(&run, "{model_type: tone, plugin: %P/tone.so}", "", 1);
    submit(&run,
           "{\"id\":\"a\",\"text\":\"hello\",\"timeout_s\":0.05,\"options\":{\"sleep_ms\":60000}}");
    submit(&run, "{\"id\":\"b\",\"text\":\"hello\"}");
    wait_for_all(&run);
    assert_int_equal(result_of(&run, "a")->err.code, ERR_TIMEOUT);
    assert_null(result_of(&run, "a")->path);
    assert_int_equal(result_of(&run, "b")->err.code, ERR_NONE);
    run_close(&run);
}

static void part_of_the_audio_is_no_success_when_the_plugin_saw_the_stop(void **state)
{
    struct run run;
    (void)state;
    run_open(&run, "{model_type: faulty, plugin: %P/faulty.so}", "", 1);
    submit(&run, "{\"id\":\"a\",\"text\":\"hello\",\"timeout_s\":0.1,\"options\":{\"fault\":"
                 "\"cancel_is_ok\",\"hang_ms\":20000}}");
    wait_for_all(&run);
    assert_int_equal(result_of(&run, "a")->err.code, ERR_TIMEOUT);
    run_close(&run);
}

static void plugin_that_hangs_is_given_up_and_taken_back(void **state)
{
    struct run run;
    (void)state;
    run_open(&run, "{model_type: faulty, plugin: %P/faulty.so, sessions: 2}", "cancel_grace_s: 0.1",
             1);
    submit(&run, "{\"id\":\"a\",\"text\":\"hello\",\"timeout_s\":0.1,\"options\":{\"fault\":"
                 "\"hangs\",\"hang_ms\":1500}}");
    submit(&run, "{\"id\":\"b\",\"text\":\"hello\"}");
    wait_for_all(&run);
    assert_int_equal(result_of(&run, "a")->err.code, ERR_TIMEOUT);
    assert_non_null(strstr(result_of(&run, "a")->err.message, "given up"));
    assert_int_equal(result_of(&run, "b")->err.code,
                     ERR_NONE); /* on the other session, by a new worker */
    usleep(2000000);            /* it comes back: then all can be freed */
    run_close(&run);
}

static void model_whose_every_session_hangs_fails(void **state)
{
    struct run run;
    (void)state;
    run_open(&run, "{model_type: faulty, plugin: %P/faulty.so}", "cancel_grace_s: 0.1", 1);
    submit(&run, "{\"id\":\"a\",\"text\":\"hello\",\"timeout_s\":0.1,\"options\":{\"fault\":"
                 "\"hangs\",\"hang_ms\":1500}}");
    submit(&run, "{\"id\":\"b\",\"text\":\"hello\"}");
    wait_for_all(&run);
    assert_int_equal(result_of(&run, "b")->err.code, ERR_MODEL_FAILED);
    assert_non_null(strstr(result_of(&run, "b")->err.message, "every session"));
    usleep(2000000);
    run_close(&run);
}

static void loading_longer_than_the_limit_is_model_loading(void **state)
{
    struct run run;
    (void)state;
    run_open(&run, "{model_type: slow, plugin: %P/tone.so, options: {load_ms: 800}}",
             "load_timeout_s: 0.1", 1);
    submit(&run, "{\"id\":\"a\",\"text\":\"hello\"}");
    wait_for_all(&run);
    assert_int_equal(result_of(&run, "a")->err.code, ERR_MODEL_LOADING);
    usleep(1000000);
    submit(&run, "{\"id\":\"b\",\"text\":\"hello\"}");
    wait_for_all(&run);
    assert_int_equal(result_of(&run, "b")->err.code, ERR_NONE);
    run_close(&run);
}

static void failure_to_load_is_every_jobs_reason(void **state)
{
    struct run run;
    (void)state;
    run_open(&run, "{model_type: a, plugin: %P/tone.so, options: {fail: true}}", "", 1);
    submit(&run, "{\"id\":\"a\",\"text\":\"hello\"}");
    wait_for_all(&run);
    assert_int_equal(result_of(&run, "a")->err.code, ERR_MODEL_FAILED);
    run_close(&run);
}

static void cancelled_and_dropped_jobs_are_all_accounted_for(void **state)
{
    struct run run;
    (void)state;
    run_open(&run, "{model_type: tone, plugin: %P/tone.so}", "", 1);
    submit(&run, "{\"id\":\"a\",\"text\":\"hello\",\"options\":{\"sleep_ms\":60000}}");
    submit(&run, "{\"id\":\"b\",\"text\":\"hello\"}");
    submit(&run, "{\"id\":\"c\",\"text\":\"hello\"}");
    while (runner_progress(run.runner) == 0 &&
           !runner_wait(run.runner, clock_now() + 10 * CLOCK_MS))
        ;
    assert_int_equal(runner_drop_queued(run.runner), 2);
    runner_cancel(run.runner);
    wait_for_all(&run);
    assert_int_equal(run.count, 1);
    assert_int_equal(run.results[0]->err.code, ERR_CANCELLED);
    run_close(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slow_model_does_not_hold_up_another),
        cmocka_unit_test(same_seed_gives_the_same_file),
        cmocka_unit_test(job_over_its_time_is_a_timeout),
        cmocka_unit_test(part_of_the_audio_is_no_success_when_the_plugin_saw_the_stop),
        cmocka_unit_test(plugin_that_hangs_is_given_up_and_taken_back),
        cmocka_unit_test(model_whose_every_session_hangs_fails),
        cmocka_unit_test(loading_longer_than_the_limit_is_model_loading),
        cmocka_unit_test(failure_to_load_is_every_jobs_reason),
        cmocka_unit_test(cancelled_and_dropped_jobs_are_all_accounted_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
