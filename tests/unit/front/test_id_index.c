/* The index of job ids: what is put is found, through all its growth, and a full disk is told. */
#include "front/batch/id_index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define FIRST_MAX 65536 /* ids that are held in memory */

static struct id_index *create(void)
{
    return id_index_create("/tmp");
}

static uint64_t put(struct id_index *index, const char *id, uint64_t value, bool replace)
{
    uint64_t previous = 99;
    struct err err = {0};
    if (id_index_put(index, id, value, replace, &previous, &err))
        fail_msg("%s", err.message);
    return previous;
}

static uint64_t get(struct id_index *index, const char *id)
{
    uint64_t value = 99;
    struct err err = {0};
    if (id_index_get(index, id, &value, &err))
        fail_msg("%s", err.message);
    return value;
}

static void a_value_stands_until_it_is_replaced(void **state)
{
    (void)state;
    struct id_index *index = create();
    assert_int_equal(get(index, "a"), 0);
    assert_int_equal(put(index, "a", 7, false), 0);
    assert_int_equal(put(index, "a", 8, false), 7);
    assert_int_equal(get(index, "a"), 7);
    assert_int_equal(put(index, "a", 9, true), 7);
    assert_int_equal(get(index, "a"), 9);
    assert_int_equal(put(index, "", UINT64_MAX, true), 0);
    assert_int_equal(get(index, ""), UINT64_MAX);
    assert_int_equal(get(index, "A"), 0);
    assert_int_equal(id_index_count(index), 2);
    id_index_destroy(index);
    id_index_destroy(NULL);
}

static void every_id_is_found_after_growing(void **state)
{
    (void)state;
    enum { COUNT = 300000 }; /* grows twice */
    struct id_index *index = create();
    char id[32];
    for (uint64_t i = 1; i <= COUNT; i++) {
        snprintf(id, sizeof(id), "job-%d", (int)i);
        assert_int_equal(put(index, id, i, false), 0);
    }
    assert_int_equal(id_index_count(index), COUNT);
    for (uint64_t i = 1; i <= COUNT; i++) {
        snprintf(id, sizeof(id), "job-%d", (int)i);
        assert_int_equal(get(index, id), i);
        snprintf(id, sizeof(id), "other-%d", (int)i);
        assert_int_equal(get(index, id), 0);
    }
    assert_int_equal(put(index, "job-1", 5, false), 1);
    assert_int_equal(id_index_count(index), COUNT);
    id_index_destroy(index);
}

static void the_file_has_no_name(void **state)
{
    (void)state;
    char dir[] = "/tmp/id-index-XXXXXX";
    assert_non_null(mkdtemp(dir));
    struct id_index *index = id_index_create(dir);
    char id[32];
    for (int i = 0; i <= FIRST_MAX; i++) {
        snprintf(id, sizeof(id), "job-%d", i);
        put(index, id, 1, false);
    }
    assert_int_equal(rmdir(dir), 0); /* it is empty */
    assert_int_equal(get(index, "job-5"), 1);
    id_index_destroy(index);
}

static void a_directory_that_does_not_exist_is_told(void **state)
{
    (void)state;
    struct id_index *index = id_index_create("/tmp/there/is/none");
    struct err err = {0};
    uint64_t previous;
    char id[32];
    for (int i = 0; i < FIRST_MAX; i++) {
        snprintf(id, sizeof(id), "job-%d", i);
        put(index, id, 1, false);
    }
    assert_int_equal(id_index_put(index, "one more", 1, false, &previous, &err), ERR_STORAGE);
    assert_string_equal(err.message,
                        "/tmp/there/is/none: cannot make the temporary index of job ids: "
                        "No such file or directory");
    id_index_destroy(index);
}

/* A limit of the file size stands for a full disk. */
static void when_it_cannot_grow_it_says_so_and_keeps_what_it_has(void **state)
{
    (void)state;
    struct rlimit old, limit;
    struct id_index *index = create();
    struct err err = {0};
    uint64_t previous, stored = 0;
    char id[32];
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    limit = (struct rlimit){200000, old.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    for (; stored < 1000000 && !err.code; stored++) {
        snprintf(id, sizeof(id), "job-%d", (int)stored + 1);
        if (id_index_put(index, id, stored + 1, false, &previous, &err))
            break;
    }
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(err.code, ERR_STORAGE);
    assert_int_equal(id_index_count(index), stored);
    for (uint64_t i = 1; i <= stored; i++) {
        snprintf(id, sizeof(id), "job-%d", (int)i);
        assert_int_equal(get(index, id), i);
    }
    assert_int_equal(put(index, id, 1, false), stored);
    assert_int_equal(put(index, "one more", 1, false), 0);
    id_index_destroy(index);
}

static void memory_does_not_grow_with_ids(void **state)
{
    (void)state;
    struct id_index *index = create();
    char id[32];
    put(index, "first", 1, false);
    size_t before = mallinfo2().uordblks;
    for (int i = 0; i < 20000; i++) {
        snprintf(id, sizeof(id), "job-%d", i);
        put(index, id, 1, false);
    }
    assert_true(mallinfo2().uordblks <= before + 4096);
    id_index_destroy(index);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_stands_until_it_is_replaced),
        cmocka_unit_test(every_id_is_found_after_growing),
        cmocka_unit_test(the_file_has_no_name),
        cmocka_unit_test(a_directory_that_does_not_exist_is_told),
        cmocka_unit_test(when_it_cannot_grow_it_says_so_and_keeps_what_it_has),
        cmocka_unit_test(memory_does_not_grow_with_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
