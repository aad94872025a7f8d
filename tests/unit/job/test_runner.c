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
    uint64_t submitted; /* the ticket of the last job */
    const char *held;   /* the id of a result that is not taken until this is NULL */
    pthread_cond_t let_go;
};

static const volatile sig_atomic_t never;

static void take(struct result *result, void *arg)
{
    struct run *run = arg;
    pthread_mutex_lock(&run->lock);
    while (run->held && strcmp(run->held, result->id) == 0)
        pthread_cond_wait(&run->let_go, &run->lock);
    if (run->count < RESULTS_MAX)
        run->results[run->count++] = result;
    else
        result_destroy(result);
    pthread_mutex_unlock(&run->lock);
}

static void let_go(struct run *run)
{
    pthread_mutex_lock(&run->lock);
    run->held = NULL;
    pthread_cond_broadcast(&run->let_go);
    pthread_mutex_unlock(&run->lock);
}

static void run_open(struct run *run, const char *models, const char *host, uint32_t concurrency)
{
    struct err err = {0};
    *run = (struct run){0};
    fixture_open(&run->f, models, host);
    pthread_mutex_init(&run->lock, NULL);
    pthread_cond_init(&run->let_go, NULL);
    char *out = fs_join(run->f.dir, "out");
    assert_int_equal(store_open(out, &run->store, &err), 0);
    free(out);
    struct runner_options options = {
        .models = run->f.models,
        .manifest = run->f.manifest,
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

/* Another runner on the same models, whose audio stays in memory. */
static void run_without_store(struct run *run)
{
    struct runner_options options = {
        .models = run->f.models,
        .manifest = run->f.manifest,
        .log = &run->f.log,
        .stream_fd = -1,
        .concurrency = 1,
        .done = take,
        .arg = run,
    };
    assert_true(runner_destroy(run->runner));
    run->runner = runner_create(&options);
    assert_non_null(run->runner);
}

static void submit(struct run *run, const char *text)
{
    struct job *job;
    struct err err = {0};
    if (parse_job(&run->f, text, false, &job, &err) != 0)
        fail_msg("%s: %s", text, err.message);
    job->ticket = ++run->submitted;
    job->memory_max = 3000;
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

/* Until so many sessions of the model can be had at once: it is loaded, and none hangs. */
static void wait_for_sessions(struct run *run, size_t count)
{
    struct model *model = models_at(run->f.models, 0);
    size_t got = 0;
    while (got < count) {
        struct err err;
        usleep(1000);
        for (got = 0; got < count && model_reserve(model, &err) == MODEL_RESERVED;)
            got++;
        for (size_t i = 0; i < got; i++)
            session_give(&(struct session){model, NULL}, SESSION_DISCARD);
    }
}

static void run_close(struct run *run)
{
    for (size_t i = 0; i < models_count(run->f.models); i++)
        while (model_state(models_at(run->f.models, i), NULL) == MODEL_LOADING)
            usleep(1000); /* where jobs were cancelled before */
    assert_true(runner_destroy(run->runner));
    store_close(run->store);
    for (size_t i = 0; i < run->count; i++)
        result_destroy(run->results[i]);
    pthread_cond_destroy(&run->let_go);
    pthread_mutex_destroy(&run->lock);
    fixture_close(&run->f);
}

static void slow_model_does_not_hold_up_another(void **state)
{
    struct run run;
    bool told = false;
    (void)state;
    run_open(&run, "{model_type: slow, plugin: %P/tone.so}, {model_type: tone, plugin: %P/tone.so}",
             "", 2);
    submit(&run, "{\"id\":\"s1\",\"model_type\":\"slow\",\"text\":\"a\",\"options\":{\"sleep_ms\":"
                 "3600000}}");
    submit(&run, "{\"id\":\"s2\",\"model_type\":\"slow\",\"text\":\"a\"}");
    submit(&run, "{\"id\":\"t\",\"model_type\":\"tone\",\"text\":\"a\"}");
    while (!told) {
        usleep(1000);
        pthread_mutex_lock(&run.lock);
        told = run.count > 0;
        pthread_mutex_unlock(&run.lock);
    }
    runner_cancel(run.runner);
    wait_for_all(&run);
    assert_string_equal(run.results[0]->id, "t");
    assert_int_equal(run.results[0]->err.code, ERR_NONE);
    assert_int_equal(run.count, 3);
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

/* vox.scratch/1: the plugin only says that it got no folder; the host knows why. */
static void a_job_without_room_for_temporary_files_says_so(void **state)
{
    struct run run;
    (void)state;
    run_open(&run, "{model_type: tone, plugin: %P/tone.so}", "", 1);
    run_without_store(&run);
    submit(&run, "{\"id\":\"a\",\"text\":\"x\",\"options\":{\"scratch_files\":1}}");
    wait_for_all(&run);
    int64_t usual_mb = run.f.manifest->host.min_free_mb;
    run.f.manifest->host.min_free_mb = (int64_t)1 << 40;
    submit(&run, "{\"id\":\"b\",\"text\":\"x\",\"options\":{\"scratch_files\":1}}");
    wait_for_all(&run);
    run.f.manifest->host.min_free_mb = usual_mb;
    submit(&run, "{\"id\":\"c\",\"text\":\"x\",\"options\":{\"scratch_files\":1}}");
    wait_for_all(&run);
    assert_int_equal(result_of(&run, "a")->err.code, ERR_NONE);
    assert_int_equal(result_of(&run, "b")->err.code, ERR_STORAGE);
    assert_non_null(strstr(result_of(&run, "b")->err.message, "no folder for temporary files: "));
    assert_int_equal(result_of(&run, "c")->err.code, ERR_NONE);
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
    wait_for_sessions(&run, 2);
    usleep(100000); /* its thread, which gave the session back, ends: then all can be freed */
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
    wait_for_sessions(&run, 1);
    usleep(100000);
    run_close(&run);
}

/* The address space that this process uses, which threads that were not joined keep. */
static size_t address_space_mb(void)
{
    size_t pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%zu", &pages), 1);
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE) >> 20;
}

static void threads_that_come_back_late_leave_nothing(void **state)
{
    enum { COUNT = 30, STACK_MB = 8 };
    struct run run;
    (void)state;
    run_open(&run, "{model_type: faulty, plugin: %P/faulty.so}", "cancel_grace_s: 0.01", 1);
    submit(&run, "{\"text\":\"hello\"}");
    wait_for_all(&run);
    size_t before = address_space_mb();
    for (int i = 0; i < COUNT; i++) {
        submit(&run, "{\"text\":\"hello\",\"timeout_s\":0.01,\"options\":{\"fault\":\"hangs\","
                     "\"hang_ms\":100}}");
        wait_for_all(&run);
        wait_for_sessions(&run, 1);
    }
    size_t grown = address_space_mb() - before;
#if !defined(__SANITIZE_THREAD__) && \
    !defined(__SANITIZE_ADDRESS__) /* they keep memory of their own */
    assert_true(grown < (size_t)COUNT * STACK_MB / 2);
#endif
    (void)grown;
    usleep(100000);
    run_close(&run);
}

static void a_job_that_waits_for_another_models_load_can_be_stopped(void **state)
{
    struct run run;
    struct plugin *plugin;
    struct err err;
    const atomic_int now = 1;
    (void)state;
    run_open(&run,
             "{model_type: a, plugin: %P/tone.so}, "
             "{model_type: b, plugin: %P/tone.so, options: {load_ms: 2500}}",
             "cancel_grace_s: 0.1", 1);
    struct model *a = models_at(run.f.models, 0), *b = models_at(run.f.models, 1);
    assert_int_equal(model_wait(a, clock_now() + 60 * CLOCK_S, NULL, &err), 0);
    assert_int_equal(plugin_open(model_plugin_path(a), &plugin, &err), 0);
    model_load_start(b);
    while (plugin_lock_unless(plugin, &now)) { /* until it loads */
        plugin_unlock(plugin);
        usleep(1000);
    }
    submit(&run, "{\"id\":\"a\",\"model_type\":\"a\",\"text\":\"hello\",\"timeout_s\":0.1}");
    wait_for_all(&run);
    assert_int_equal(model_state(b, NULL), MODEL_LOADING);
    assert_int_equal(result_of(&run, "a")->err.code, ERR_TIMEOUT);
    assert_null(strstr(result_of(&run, "a")->err.message, "given up"));
    submit(&run, "{\"id\":\"next\",\"model_type\":\"a\",\"text\":\"hello\"}");
    wait_for_all(&run);
    assert_int_equal(result_of(&run, "next")->err.code, ERR_NONE);
    run_close(&run);
}

static void a_model_that_failed_after_the_reservation_runs_nothing(void **state)
{
    struct run run;
    struct session session;
    struct err err, why;
    const atomic_int never_stopped = 0;
    (void)state;
    run_open(&run, "{model_type: a, plugin: %P/tone.so}", "", 1);
    submit(&run, "{\"id\":\"leaves a session\",\"text\":\"hello\"}");
    wait_for_all(&run);
    struct model *model = models_at(run.f.models, 0);
    wait_for_sessions(&run, 1);
    assert_int_equal(model_reserve(model, &err), MODEL_RESERVED);
    err_set(&why, ERR_MODEL_FAILED, NULL, "lost its device");
    model_fail(model, &why);
    assert_int_equal(session_take(model, &never_stopped, &session, &err), ERR_MODEL_FAILED);
    assert_non_null(strstr(err.message, "lost its device"));
    session_give(&session, SESSION_DISCARD);
    run_close(&run);
}

static void the_time_to_load_begins_with_the_load(void **state)
{
    struct run run;
    struct err err;
    (void)state;
    run_open(&run,
             "{model_type: a, plugin: %P/tone.so}, "
             "{model_type: b, plugin: %P/tone.so, options: {load_ms: 100}}",
             "load_timeout_s: 1.5", 1);
    struct model *first = models_at(run.f.models, 0);
    assert_int_equal(model_wait(first, clock_now() + 60 * CLOCK_S, NULL, &err), 0);
    submit(&run,
           "{\"id\":\"long\",\"model_type\":\"a\",\"text\":\"hello\",\"options\":{\"sleep_ms\":"
           "2000}}");
    submit(&run, "{\"id\":\"b\",\"model_type\":\"b\",\"text\":\"hello\"}");
    wait_for_all(&run);
    assert_int_equal(result_of(&run, "long")->err.code, ERR_NONE);
    assert_int_equal(result_of(&run, "b")->err.code, ERR_NONE);
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
    wait_for_sessions(&run, 1);
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
    while (runner_job_progress(run.runner, 1) <= 0 &&
           !runner_wait(run.runner, clock_now() + 10 * CLOCK_MS))
        ;
    assert_int_equal(runner_drop_queued(run.runner), 2);
    runner_cancel(run.runner);
    wait_for_all(&run);
    assert_int_equal(run.count, 1);
    assert_int_equal(run.results[0]->err.code, ERR_CANCELLED);
    run_close(&run);
}

static void cancelling_one_job_leaves_the_others(void **state)
{
    struct run run;
    (void)state;
    run_open(&run, "{model_type: tone, plugin: %P/tone.so, sessions: 2}", "", 2);
    submit(&run, "{\"id\":\"long\",\"text\":\"hello\",\"options\":{\"sleep_ms\":60000}}");
    submit(&run, "{\"id\":\"other\",\"text\":\"hello\",\"options\":{\"sleep_ms\":300}}");
    submit(&run, "{\"id\":\"waits\",\"text\":\"hello\",\"options\":{\"sleep_ms\":60000}}");
    assert_true(runner_cancel_job(run.runner, 3)); /* answered before this returns */
    assert_int_equal(result_of(&run, "waits")->err.code, ERR_CANCELLED);
    assert_true(runner_cancel_job(run.runner, 1));
    assert_false(runner_cancel_job(run.runner, 3));
    assert_false(runner_cancel_job(run.runner, 99));
    wait_for_all(&run);
    assert_int_equal(run.count, 3);
    assert_int_equal(result_of(&run, "long")->err.code, ERR_CANCELLED);
    assert_int_equal(result_of(&run, "long")->ticket, 1);
    assert_int_equal(result_of(&run, "other")->err.code, ERR_NONE);
    assert_true(runner_job_progress(run.runner, 2) < 0);
    run_close(&run);
}

/* Between the queue and the session, where there is no attempt yet, a cancel must not get lost. */
static void a_job_is_cancelled_at_any_moment(void **state)
{
    enum { COUNT = RESULTS_MAX };
    struct run run;
    (void)state;
    run_open(&run, "{model_type: tone, plugin: %P/tone.so, sessions: 2}", "", 2);
    for (unsigned i = 1; i <= COUNT; i++) {
        char *job =
            str_format("{\"id\":\"j%u\",\"text\":\"hello\",\"options\":{\"sleep_ms\":60000}}", i);
        submit(&run, job);
        free(job);
        if (i % 3)
            usleep((i % 7) * 20);
        runner_cancel_job(run.runner, i);
    }
    wait_for_all(&run);
    assert_int_equal(run.count, COUNT);
    for (size_t i = 0; i < COUNT; i++)
        assert_int_equal(run.results[i]->err.code, ERR_CANCELLED);
    run_close(&run);
}

static void questions_that_wait_can_be_cancelled(void **state)
{
    struct run run;
    (void)state;
    run_open(&run, "{model_type: tone, plugin: %P/tone.so}", "", 1);
    run.held = "first";
    submit(&run, "{\"id\":\"first\",\"op\":\"status\",\"job_id\":\"x\"}");
    submit(&run, "{\"id\":\"second\",\"op\":\"status\",\"job_id\":\"x\"}");
    submit(&run, "{\"id\":\"third\",\"op\":\"status\",\"job_id\":\"x\"}");
    assert_true(runner_cancel_job(run.runner, 2));
    assert_int_equal(result_of(&run, "second")->err.code, ERR_CANCELLED);
    runner_cancel(run.runner);
    let_go(&run);
    wait_for_all(&run);
    assert_int_equal(result_of(&run, "third")->err.code, ERR_CANCELLED);
    run_close(&run);
}

static volatile sig_atomic_t rung;

static void ring(int number)
{
    (void)number;
    rung = 1;
}

/* A batch of nothing but questions is not read into memory whole. */
static void questions_that_wait_are_bounded(void **state)
{
    static const char question[] = "{\"id\":\"q\",\"op\":\"status\",\"job_id\":\"x\"}";
    struct sigaction action = {.sa_handler = ring}, before;
    struct run run;
    struct job *job;
    struct err err = {0};
    (void)state;
    run_open(&run, "{model_type: tone, plugin: %P/tone.so}", "", 1);
    run.held = "first";
    submit(&run, "{\"id\":\"first\",\"op\":\"status\",\"job_id\":\"x\"}");
    for (int i = 0; i < RUNNER_QUEUE_MAX; i++)
        submit(&run, question);
    assert_int_equal(parse_job(&run.f, question, false, &job, &err), 0);
    sigaction(SIGALRM, &action, &before);
    alarm(1);
    assert_int_equal(runner_submit(run.runner, job, 0, &rung), ERR_CANCELLED);
    sigaction(SIGALRM, &before, NULL);
    let_go(&run);
    wait_for_all(&run);
    run_close(&run);
}

static void audio_stays_in_memory_without_a_store(void **state)
{
    struct run run;
    struct job *job;
    struct err err = {0};
    char sha256[DIGEST_HEX_SIZE];
    (void)state;
    run_open(&run, "{model_type: tone, plugin: %P/tone.so}", "", 1);
    run_without_store(&run);
    submit(&run, "{\"id\":\"small\",\"text\":\"hello\",\"timestamps\":[\"srt\",\"json\"],"
                 "\"options\":{\"duration_ms\":50}}");
    submit(&run, "{\"id\":\"large\",\"text\":\"hello\",\"options\":{\"duration_ms\":500}}");
    wait_for_all(&run);
    const struct result *small = result_of(&run, "small");
    assert_int_equal(small->err.code, ERR_NONE);
    assert_int_equal(small->data.len, 44 + 2 * 1200);
    assert_int_equal(small->audio.bytes, small->data.len);
    assert_memory_equal(small->data.data, "RIFF", 4);
    assert_memory_equal(small->data.data + 40, "\x60\x09\0\0", 4); /* the size is true */
    digest_of(small->data.data, small->data.len, sha256);
    assert_string_equal(small->audio.sha256, sha256);
    assert_non_null(strstr(small->subtitle_texts[SUBTITLE_SRT], "hello"));
    assert_non_null(strstr(small->subtitle_texts[SUBTITLE_JSON], "hello"));
    assert_null(small->subtitle_texts[SUBTITLE_VTT]);
    assert_int_equal(result_of(&run, "large")->err.code, ERR_TOO_LARGE);
    assert_int_equal(parse_job(&run.f, "{\"text\":\"x\",\"stream\":true}", false, &job, &err),
                     ERR_UNSUPPORTED); /* to files */
    run_close(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slow_model_does_not_hold_up_another),
        cmocka_unit_test(same_seed_gives_the_same_file),
        cmocka_unit_test(a_job_without_room_for_temporary_files_says_so),
        cmocka_unit_test(job_over_its_time_is_a_timeout),
        cmocka_unit_test(part_of_the_audio_is_no_success_when_the_plugin_saw_the_stop),
        cmocka_unit_test(plugin_that_hangs_is_given_up_and_taken_back),
        cmocka_unit_test(model_whose_every_session_hangs_fails),
        cmocka_unit_test(threads_that_come_back_late_leave_nothing),
        cmocka_unit_test(a_job_that_waits_for_another_models_load_can_be_stopped),
        cmocka_unit_test(a_model_that_failed_after_the_reservation_runs_nothing),
        cmocka_unit_test(the_time_to_load_begins_with_the_load),
        cmocka_unit_test(loading_longer_than_the_limit_is_model_loading),
        cmocka_unit_test(failure_to_load_is_every_jobs_reason),
        cmocka_unit_test(cancelled_and_dropped_jobs_are_all_accounted_for),
        cmocka_unit_test(cancelling_one_job_leaves_the_others),
        cmocka_unit_test(a_job_is_cancelled_at_any_moment),
        cmocka_unit_test(questions_that_wait_can_be_cancelled),
        cmocka_unit_test(questions_that_wait_are_bounded),
        cmocka_unit_test(audio_stays_in_memory_without_a_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
