/* Contexts on several threads at once: each has its own numbers and errors, and they may share
 * held tensors. */
#include "tensor.h"

#include <pthread.h>

struct worker {
    pthread_t thread;
    uint32_t threads;
    uint64_t seed;
    const vt *shared;
    int fails; /* whether its context shall fail */
    float result[16];
    int32_t code;
};

/* softmax-free toy model: x = x + sin(x w), a hundred times. */
static void *work(void *arg)
{
    struct worker *worker = arg;
    struct vt_setup setup = {
        .size = sizeof(setup), .threads = worker->threads, .device = vox_text("cpu")};
    struct vox_error error = {.size = sizeof(error)};
    vt_cx *cx = NULL;
    worker->code = vt_open(&setup, &cx, &error);
    if (worker->code != VOX_OK)
        return NULL;
    vt_begin(cx, &error);
    vt_seed(cx, worker->seed);
    vt *x = vt_hold(cx, vt_randn(cx, VT_DIMS(1, 16)));
    for (int i = 0; i < 100; i++) {
        vt_mark scope = vt_enter_i(cx, "step", i);
        vt *next = vt_add(cx, x, vt_sin(cx, vt_linear(cx, x, worker->shared, NULL, 0)));
        if (worker->fails && i == 50)
            vt_add(cx, next, NULL);
        vt_drop(cx, x);
        x = vt_hold(cx, next);
        vt_leave(cx, scope, NULL);
    }
    vt_read_f32(cx, x, worker->result, 16);
    worker->code = vt_status(cx, &error);
    vt_end(cx);
    vt_close(cx);
    return NULL;
}

static void contexts_do_not_disturb_each_other(void **state)
{
    vt_cx *cx = *state;
    vt *shared = vt_hold(cx, vt_randn(cx, VT_DIMS(16, 16)));
    struct worker alone = {.threads = 1, .seed = 3, .shared = shared};
    work(&alone);
    assert_int_equal(alone.code, VOX_OK);
    assert_true(fabsf(alone.result[0]) > 0);

    struct worker workers[4];
    for (int i = 0; i < 4; i++) {
        workers[i] = (struct worker){
            .threads = 1 + (uint32_t)i % 2, .seed = 3, .shared = shared, .fails = i == 2};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(workers[i].code, i == 2 ? VOX_EINTERNAL : VOX_OK);
        if (i != 2)
            assert_memory_equal(workers[i].result, alone.result, sizeof(alone.result));
        else
            assert_true(workers[i].result[0] == 0);
    }
    assert_true(vt_ok(cx));
    vt_drop(cx, shared);
}

static void *work_elsewhere(void *arg)
{
    vt_cx *cx = arg;
    vt_begin(cx, NULL);
    vt *held = vt_hold(cx, vt_mul_s(cx, vt_arange(cx, 2), 3));
    vt_end(cx);
    return held;
}

static void a_context_may_move_between_threads(void **state)
{
    vt_cx *cx = *state;
    vt_end(cx);
    pthread_t thread;
    void *held = NULL;
    assert_int_equal(pthread_create(&thread, NULL, work_elsewhere, cx), 0);
    assert_int_equal(pthread_join(thread, &held), 0);
    assert_int_equal(vt_begin(cx, NULL), VOX_OK);
    CHECK(vt_add_s(cx, held, 1), VT_DIMS(2), 1, 4);
    vt_drop(cx, held);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup_cx, teardown_cx)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(contexts_do_not_disturb_each_other),
        TEST(a_context_may_move_between_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
