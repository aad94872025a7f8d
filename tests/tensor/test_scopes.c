/* Who owns a tensor: scopes, what leaves them, what is held, what vt_end sweeps up; and the
 * names of taps. */
#include "tensor.h"

#include <string.h>

static void leaving_a_scope_keeps_the_result_only(void **state)
{
    vt_cx *cx = *state;
    vt_mark outer = vt_enter(cx, "outer");
    vt *a = vt_arange(cx, 3);
    vt_mark inner = vt_enter(cx, "inner");
    vt *b = vt_add_s(cx, a, 1);
    vt *c = vt_mul(cx, vt_exp(cx, b), b);
    assert_int_equal(vt_live(cx), 4);
    c = vt_leave(cx, inner, vt_mul_s(cx, c, 0));
    assert_int_equal(vt_live(cx), 2);
    CHECK(c, VT_DIMS(3), 0, 0, 0);
    CHECK(a, VT_DIMS(3), 0, 1, 2);
    assert_null(vt_leave(cx, outer, NULL));
    assert_int_equal(vt_live(cx), 0);
}

static void a_result_from_outside_stays_where_it_was(void **state)
{
    vt_cx *cx = *state;
    vt_mark outer = vt_enter(cx, "outer");
    vt *a = vt_arange(cx, 2);
    vt_mark inner = vt_enter(cx, "inner");
    vt_exp(cx, a);
    assert_ptr_equal(vt_leave(cx, inner, a), a);
    assert_int_equal(vt_live(cx), 1);
    CHECK(a, VT_DIMS(2), 0, 1);
    vt_leave(cx, outer, NULL);
    assert_int_equal(vt_live(cx), 0);
}

static void leaving_an_outer_scope_leaves_the_inner_ones(void **state)
{
    vt_cx *cx = *state;
    vt_mark outer = vt_enter(cx, "outer");
    vt_enter(cx, "inner");
    vt_enter_i(cx, "innermost", 3);
    vt *x = vt_leave(cx, outer, vt_arange(cx, 2));
    assert_int_equal(vt_live(cx), 1);
    CHECK(x, VT_DIMS(2), 0, 1);
}

static void a_held_tensor_outlives_its_scope_and_the_work(void **state)
{
    vt_cx *cx = *state;
    vt_mark scope = vt_enter(cx, "scope");
    vt *held = vt_hold(cx, vt_arange(cx, 2));
    vt_arange(cx, 5);
    vt_leave(cx, scope, NULL);
    assert_int_equal(vt_live(cx), 1);
    vt_end(cx);
    assert_int_equal(vt_live(cx), 1);
    assert_int_equal(vt_begin(cx, NULL), VOX_OK);
    CHECK(held, VT_DIMS(2), 0, 1);
    vt_drop(cx, held);
    assert_int_equal(vt_live(cx), 0);
    vt_drop(cx, NULL);
}

static void holding_twice_gives_two_handles(void **state)
{
    vt_cx *cx = *state;
    vt *first = vt_hold(cx, vt_arange(cx, 2));
    vt *second = vt_hold(cx, first);
    assert_ptr_not_equal(first, second);
    vt_drop(cx, first);
    CHECK(second, VT_DIMS(2), 0, 1);
    vt_drop(cx, second);
    assert_int_equal(vt_live(cx), 0);
}

static void a_held_result_survives_leave(void **state)
{
    vt_cx *cx = *state;
    vt_mark scope = vt_enter(cx, "scope");
    vt *held = vt_hold(cx, vt_arange(cx, 2));
    assert_ptr_equal(vt_leave(cx, scope, held), held);
    assert_int_equal(vt_live(cx), 1);
    vt_drop(cx, held);
}

static void ending_the_work_frees_what_an_early_return_left(void **state)
{
    vt_cx *cx = *state;
    vt_arange(cx, 2);
    vt_enter(cx, "a");
    vt_arange(cx, 2);
    vt_enter(cx, "b");
    vt_arange(cx, 2);
    assert_int_equal(vt_live(cx), 3);
    vt_end(cx);
    assert_int_equal(vt_live(cx), 0);
    assert_int_equal(vt_begin(cx, NULL), VOX_OK);
}

static void a_thousand_steps_return_to_the_baseline(void **state)
{
    vt_cx *cx = *state;
    vt *x = vt_hold(cx, vt_arange(cx, 8));
    for (int step = 0; step < 1000; step++) {
        vt_mark outer = vt_enter_i(cx, "step", step);
        vt *y = x;
        for (int block = 0; block < 3; block++) {
            vt_mark inner = vt_enter_i(cx, "block", block);
            y = vt_leave(cx, inner, vt_add(cx, vt_sin(cx, y), vt_cos(cx, y)));
        }
        assert_int_equal(vt_live(cx), 4);
        vt *next = vt_hold(cx, vt_leave(cx, outer, y));
        vt_drop(cx, x);
        x = next;
        assert_int_equal(vt_live(cx), 1);
    }
    assert_true(vt_ok(cx));
    vt_drop(cx, x);
    assert_int_equal(vt_live(cx), 0);
}

static void handles_stay_while_the_arena_grows(void **state)
{
    vt_cx *cx = *state;
    enum { COUNT = 3000 };
    static vt *list[COUNT];
    for (int i = 0; i < COUNT; i++)
        list[i] = vt_linspace(cx, i, i, 1);
    for (int i = 0; i < COUNT; i += 97)
        CHECK(list[i], VT_DIMS(1), (float)i);
}

struct tapped {
    char names[256];
    int64_t last_size;
};

static void on_tap(void *arg, const char *name, vt_cx *cx, const vt *x)
{
    struct tapped *tapped = arg;
    assert_true(vt_ok(cx));
    strncat(tapped->names, name, sizeof(tapped->names) - strlen(tapped->names) - 2);
    strncat(tapped->names, " ", 2);
    tapped->last_size = vt_size(x, 0);
}

static void taps_carry_the_breadcrumb(void **state)
{
    vt_cx *cx = *state;
    struct tapped tapped = {.names = ""};
    vt *x = vt_arange(cx, 7);
    vt_tap(cx, "unheard", x);
    vt_tap_set(cx, on_tap, &tapped);
    vt_tap(cx, "top", x);
    vt_enter_i(cx, "chunk", 0);
    vt_enter_i(cx, "step", 3);
    vt_enter(cx, "attn");
    vt_tap(cx, "out", x);
    assert_string_equal(tapped.names, "top chunk[0].step[3].attn.out ");
    assert_int_equal(tapped.last_size, 7);
    vt_tap_set(cx, NULL, NULL);
    vt_tap(cx, "unheard", x);
    assert_string_equal(tapped.names, "top chunk[0].step[3].attn.out ");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup_cx, teardown_cx)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(leaving_a_scope_keeps_the_result_only),
        TEST(a_result_from_outside_stays_where_it_was),
        TEST(leaving_an_outer_scope_leaves_the_inner_ones),
        TEST(a_held_tensor_outlives_its_scope_and_the_work),
        TEST(holding_twice_gives_two_handles),
        TEST(a_held_result_survives_leave),
        TEST(ending_the_work_frees_what_an_early_return_left),
        TEST(a_thousand_steps_return_to_the_baseline),
        TEST(handles_stay_while_the_arena_grows),
        TEST(taps_carry_the_breadcrumb),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
