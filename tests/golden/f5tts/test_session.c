/* What an F5-TTS session keeps from one job to the next: no tensors but the modulations of the last
 * grid, and nothing that changes the result.
 */
#include "driver.h"
#include "speech.h"

#include <pthread.h>
#include <setjmp.h>

#include <cmocka.h>

/* A session in which a job has run, and the same job once more. */
struct rerun {
    struct driver_model model;
    struct vox_session *session;
    struct driver_job first, again;
    cJSON *of_case;
};

/* Time embedding, each block's modulations, the last norm's: what one grid of times costs. */
static uint64_t kept_tensors(const struct vox_session *session)
{
    return (uint64_t)session->model->dit.config.depth + 2;
}

static void check_run(struct driver_job *job, struct vox_session *session)
{
    struct vox_error error = {.size = sizeof(error)};
    if (driver_job_run(job, session, &error) != VOX_OK)
        fail_msg("%s", error.message);
    assert_int_equal(vt_live(session->cx), kept_tensors(session));
}

static void check_same(const struct driver_job *job, const struct driver_job *first)
{
    assert_true(first->count > 0);
    assert_int_equal(job->count, first->count);
    assert_memory_equal(job->wave, first->wave, first->count * sizeof(float));
}

static void rerun_init(struct rerun *r, const struct driver_fixture *fixture)
{
    r->of_case = driver_case_find(fixture->cases, "v0_taps");
    driver_model_init(&r->model, r->of_case, fixture->cache_dir);
    r->session = driver_session_open(&r->model);
    driver_job_init(&r->first, r->of_case);
    driver_job_init(&r->again, r->of_case);
    assert_int_equal(vt_live(r->session->cx), 0);
    check_run(&r->first, r->session);
}

static void rerun_finish(struct rerun *r)
{
    driver_job_finish(&r->first);
    driver_job_finish(&r->again);
    vox_entry.close(r->session);
    driver_model_finish(&r->model);
}

/* --- Tests ------------------------------------------------------------------------------------ */

static void second_run_gives_same_bits(void **state)
{
    struct rerun r;
    rerun_init(&r, *state);
    check_run(&r.again, r.session);
    check_same(&r.again, &r.first);
    rerun_finish(&r);
}

/* Another grid of times takes the place of the first, and that one is made anew. */
static void run_after_another_grid_gives_same_bits(void **state)
{
    const struct driver_fixture *fixture = *state;
    struct rerun r;
    struct driver_job other;
    rerun_init(&r, fixture);
    driver_job_init(&other, driver_case_find(fixture->cases, "v0_taps_midpoint"));
    check_run(&other, r.session);
    check_run(&r.again, r.session);
    check_same(&r.again, &r.first);
    driver_job_finish(&other);
    rerun_finish(&r);
}

static void cancelled_run_leaves_session_as_new(void **state)
{
    struct rerun r;
    struct vox_error error = {.size = sizeof(error)};
    rerun_init(&r, *state);
    r.again.cancel_after = 0.3;
    assert_int_equal(driver_job_run(&r.again, r.session, &error), VOX_ECANCELLED);
    assert_true(r.again.fraction < 0.5); /* before the next step had ended */
    assert_int_equal(vt_live(r.session->cx), kept_tensors(r.session));
    r.again.cancel_after = 0;
    check_run(&r.again, r.session);
    check_same(&r.again, &r.first);
    rerun_finish(&r);
}

struct beside {
    struct vox_session *session;
    struct driver_job job;
    int32_t code;
};

static void *run_beside(void *arg)
{
    struct beside *b = arg;
    struct vox_error error = {.size = sizeof(error)};
    b->code = driver_job_run(&b->job, b->session, &error);
    return NULL;
}

static void sessions_side_by_side_give_same_bits(void **state)
{
    struct rerun r;
    struct beside b;
    pthread_t thread;
    rerun_init(&r, *state);
    b.session = driver_session_open(&r.model);
    driver_job_init(&b.job, r.of_case);
    assert_int_equal(pthread_create(&thread, NULL, run_beside, &b), 0);
    struct vox_error error = {.size = sizeof(error)};
    int32_t code = driver_job_run(&r.again, r.session, &error);
    pthread_join(thread, NULL);
    assert_int_equal(code, VOX_OK);
    assert_int_equal(b.code, VOX_OK);
    assert_int_equal(vt_live(b.session->cx), kept_tensors(b.session));
    check_same(&r.again, &r.first);
    check_same(&b.job, &r.first);
    driver_job_finish(&b.job);
    vox_entry.close(b.session);
    rerun_finish(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(second_run_gives_same_bits),
        cmocka_unit_test(run_after_another_grid_gives_same_bits),
        cmocka_unit_test(cancelled_run_leaves_session_as_new),
        cmocka_unit_test(sessions_side_by_side_give_same_bits),
    };
    return cmocka_run_group_tests(tests, driver_fixture_init, driver_fixture_finish);
}
