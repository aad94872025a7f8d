/* The output directory: whole files under final names, nothing left behind, nothing of others removed. */
#include "store/store.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char dir[] = "/tmp/voxhost-store-XXXXXX";

static int make_dir(void **state)
{
    (void)state;
    memcpy(dir + strlen(dir) - 6, "XXXXXX", 6);
    return mkdtemp(dir) ? 0 : -1;
}

/* How many entries the directory has, hidden ones too. */
static int count_entries(void)
{
    DIR *open_dir = opendir(dir);
    int count = -2; /* . and .. */
    assert_non_null(open_dir);
    while (readdir(open_dir))
        count++;
    closedir(open_dir);
    return count;
}

static void put(struct store *store, const char *name, const char *text, int expected)
{
    struct err err = {0};
    char *temp = store_temp(store);
    assert_int_equal(fs_write_file(temp, text, strlen(text), &err), 0);
    assert_int_equal(store_commit(store, temp, name, NULL, &err), expected);
    assert_int_not_equal(access(temp, F_OK), 0);
    free(temp);
}

static void committed_file_is_whole_and_close_leaves_nothing_else(void **state)
{
    struct store *store;
    struct err err = {0};
    struct str text = {0};
    (void)state;
    assert_int_equal(store_open(dir, &store, &err), 0);
    put(store, "a.wav", "one", 0);
    put(store, "a.wav", "two", 0);
    char *abandoned = store_temp(store);
    assert_int_equal(fs_write_file(abandoned, "x", 1, &err), 0);
    free(abandoned);
    store_close(store);
    assert_int_equal(count_entries(), 1);
    char *path = fs_join(dir, "a.wav");
    assert_int_equal(fs_read_file(path, 10, &text, &err), 0);
    assert_string_equal(str_text(&text), "two");
    str_finish(&text);
    free(path);
}

static void folders_are_made_and_ways_out_refused(void **state)
{
    struct store *store;
    struct err err = {0};
    (void)state;
    assert_int_equal(store_open(dir, &store, &err), 0);
    put(store, "x/y/b.wav", "one", 0);
    put(store, "../b.wav", "one", ERR_INVALID);
    put(store, "x/y/b.wav/c.wav", "one", ERR_STORAGE);
    char *path = fs_join(dir, "x/y/b.wav");
    assert_int_equal(access(path, F_OK), 0);
    free(path);
    store_close(store);
}

static void killed_run_is_cleaned_up_and_a_living_one_is_not(void **state)
{
    struct store *store, *living;
    struct err err = {0};
    int ready[2], status;
    char byte;
    (void)state;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        if (store_open(dir, &store, &err) != 0)
            _exit(1);
        char *temp = store_temp(store);
        fs_write_file(temp, "half", 4, &err);
        fs_write_all(ready[1], "x", 1);
        pause();
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(store_open(dir, &living, &err), 0);
    assert_int_equal(count_entries(), 2);
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    assert_int_equal(store_open(dir, &store, &err), 0);
    assert_int_equal(count_entries(), 2); /* ours and the other living one */
    store_close(store);
    store_close(living);
    assert_int_equal(count_entries(), 0);
    close(ready[0]);
    close(ready[1]);
}

static void unusable_directory_is_named(void **state)
{
    struct store *store;
    struct err err = {0};
    char *file = fs_join(dir, "file");
    (void)state;
    assert_int_equal(fs_write_file(file, "x", 1, &err), 0);
    assert_int_equal(store_open(file, &store, &err), ERR_STORAGE);
    assert_non_null(strstr(err.message, file));
    free(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(committed_file_is_whole_and_close_leaves_nothing_else, make_dir),
        cmocka_unit_test_setup(folders_are_made_and_ways_out_refused, make_dir),
        cmocka_unit_test_setup(killed_run_is_cleaned_up_and_a_living_one_is_not, make_dir),
        cmocka_unit_test_setup(unusable_directory_is_named, make_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
