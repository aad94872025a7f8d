/* Folders of one process each: those of the living stay, those of the dead go whole (FM-09). */
#include "base/base.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PREFIX "run-"
#define RACERS 4
#define ROUNDS 50

static char dir[64];

static int make_dir(void **state)
{
    (void)state;
    snprintf(dir, sizeof(dir), "/tmp/voxhost-own-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    struct err err = {0};
    (void)state;
    return tree_remove(dir, &err);
}

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

static void fill(const char *path)
{
    struct err err = {0};
    char *deep = str_format("%s/a/b/c", path), *file = str_format("%s/a/b/c/file", path);
    assert_int_equal(fs_make_dirs(deep, 0700, &err), 0);
    assert_int_equal(fs_write_file(file, "x", 1, &err), 0);
    free(deep);
    free(file);
}

static void own_folder_is_there_until_it_is_removed(void **state)
{
    struct own_dir own, other;
    struct err err = {0};
    (void)state;
    assert_int_equal(own_dir_make(dir, PREFIX, &own, &err), 0);
    assert_int_equal(own_dir_make(dir, PREFIX, &other, &err), 0);
    assert_string_not_equal(own.path, other.path);
    fill(own.path);
    assert_int_equal(own_dir_remove(&own, &err), 0);
    assert_null(own.path);
    assert_int_equal(own_dir_remove(&own, &err), 0);
    assert_int_equal(count_entries(), 1);
    assert_int_equal(own_dir_remove(&other, &err), 0);
    assert_int_equal(count_entries(), 0);
}

/* A process that holds a full folder; it writes its path into `path`. */
static pid_t start_holder(char *path, size_t size)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t child = fork();
    if (child == 0) {
        struct own_dir own;
        struct err err = {0};
        if (own_dir_make(dir, PREFIX, &own, &err) != 0)
            _exit(1);
        fill(own.path);
        if (write(fds[1], own.path, strlen(own.path) + 1) < 0)
            _exit(1);
        for (;;)
            pause();
    }
    assert_true(read(fds[0], path, size) > 0);
    close(fds[0]);
    close(fds[1]);
    return child;
}

static void folder_of_a_killed_process_goes_and_of_a_living_one_stays(void **state)
{
    char living[200], killed[200];
    (void)state;
    pid_t lives = start_holder(living, sizeof(living));
    pid_t dies = start_holder(killed, sizeof(killed));
    own_dir_remove_dead(dir, PREFIX);
    assert_int_equal(count_entries(), 2);
    kill(dies, SIGKILL);
    waitpid(dies, NULL, 0);
    own_dir_remove_dead(dir, PREFIX);
    assert_int_equal(access(killed, F_OK), -1);
    char *file = str_format("%s/a/b/c/file", living);
    assert_int_equal(access(file, F_OK), 0);
    free(file);
    kill(lives, SIGKILL);
    waitpid(lives, NULL, 0);
}

/* A removal that was killed after the lock file had gone. */
static void folder_without_a_lock_goes_too(void **state)
{
    char *path = fs_join(dir, PREFIX "0123456789abcdef");
    (void)state;
    fill(path);
    own_dir_remove_dead(dir, PREFIX);
    assert_int_equal(access(path, F_OK), -1);
    free(path);
}

static void count_dead(const char *path, void *arg)
{
    (void)path;
    (*(int *)arg)++;
}

/* Its maker is about to lock it, and finds it gone: were it taken for a dead one's, the lock that
 * the maker puts there meanwhile would go with it. */
static void an_empty_folder_is_no_dead_ones(void **state)
{
    char *path = fs_join(dir, PREFIX "0123456789abcdef");
    struct err err = {0};
    int dead = 0;
    (void)state;
    assert_int_equal(fs_make_dirs(path, 0700, &err), 0);
    own_dir_each_dead(dir, PREFIX, count_dead, &dead);
    assert_int_equal(dead, 0);
    assert_int_equal(access(path, F_OK), -1);
    free(path);
}

static void names_of_others_and_links_are_left_alone(void **state)
{
    static const char *const names[] = {"run-", "run-new", "run-0123456789abcde",
                                        "run-0123456789ABCDEF", "other-0123456789abcdef"};
    struct err err = {0};
    char *link = fs_join(dir, PREFIX "0123456789abcdef"), *target = fs_join(dir, "run-new");
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        char *path = fs_join(dir, names[i]);
        fill(path);
        free(path);
    }
    assert_int_equal(symlink(target, link), 0);
    own_dir_remove_dead(dir, PREFIX);
    assert_int_equal(count_entries(), 6);
    char *lock = fs_join(target, "lock");
    assert_int_equal(access(lock, F_OK), -1);
    free(lock);
    free(link);
    free(target);
    own_dir_remove_dead("/nonexistent/folder", PREFIX);
    struct own_dir own;
    assert_int_equal(own_dir_make("/nonexistent/folder", PREFIX, &own, &err), ERR_STORAGE);
    assert_non_null(strstr(err.message, "/nonexistent/folder: cannot be written: No such file"));
}

/* Processes that come, look after the dead and go at the same time never take a living one's. */
static void processes_that_come_at_once_keep_their_own(void **state)
{
    pid_t children[RACERS];
    (void)state;
    for (int i = 0; i < RACERS; i++) {
        if ((children[i] = fork()) != 0)
            continue;
        for (int round = 0; round < ROUNDS; round++) {
            struct own_dir own;
            struct err err = {0};
            if (own_dir_make(dir, PREFIX, &own, &err) != 0)
                _exit(2);
            own_dir_remove_dead(dir, PREFIX);
            char *file = fs_join(own.path, "file");
            if (fs_write_file(file, "x", 1, &err) != 0 || access(file, F_OK) != 0)
                _exit(3);
            free(file);
            own_dir_remove(&own, &err); /* another may go on with it */
        }
        _exit(0);
    }
    for (int i = 0; i < RACERS; i++) {
        int status = -1;
        waitpid(children[i], &status, 0);
        assert_int_equal(status, 0);
    }
    own_dir_remove_dead(dir, PREFIX);
    assert_int_equal(count_entries(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(own_folder_is_there_until_it_is_removed, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(folder_of_a_killed_process_goes_and_of_a_living_one_stays,
                                        make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(folder_without_a_lock_goes_too, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(an_empty_folder_is_no_dead_ones, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(names_of_others_and_links_are_left_alone, make_dir,
                                        remove_dir),
        cmocka_unit_test_setup_teardown(processes_that_come_at_once_keep_their_own, make_dir,
                                        remove_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
