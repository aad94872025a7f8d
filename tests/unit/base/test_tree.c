/* Whole directories removed and swept, in real trees: links that lead out or in circles, other file
 * systems, names of any bytes, folders that may not be read, files that others are using (FM-08,
 * FM-09, FM-46, FM-66). */
#include "base/base.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define NOW_S INT64_C(1800000000)
#define HOUR_S INT64_C(3600)

static char root[64];

static char *at(const char *name)
{
    return fs_join(root, name);
}

static void make_dir(const char *name)
{
    struct err err;
    char *path = at(name);
    assert_int_equal(fs_make_dirs(path, 0700, &err), 0);
    free(path);
}

static void set_times(const char *name, int64_t written_s, int64_t read_s)
{
    char *path = at(name);
    const struct timespec times[2] = {{.tv_sec = (time_t)read_s}, {.tv_sec = (time_t)written_s}};
    assert_int_equal(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
    free(path);
}

/* A file of `size` bytes, written and read `age_s` before NOW_S. */
static void make_file(const char *name, size_t size, int64_t age_s)
{
    struct err err;
    char *path = at(name), *dir = fs_dir_of(path), *data = mem_alloc(size + 1);
    assert_int_equal(fs_make_dirs(dir, 0700, &err), 0);
    assert_int_equal(fs_write_file(path, data, size, &err), 0);
    free(data);
    free(dir);
    free(path);
    set_times(name, NOW_S - age_s, NOW_S - age_s);
}

static void make_link(const char *name, const char *target)
{
    char *path = at(name);
    assert_int_equal(symlink(target, path), 0);
    free(path);
}

static bool exists(const char *name)
{
    struct stat info;
    char *path = at(name);
    bool found = lstat(path, &info) == 0;
    free(path);
    return found;
}

static int set_up(void **state)
{
    (void)state;
    snprintf(root, sizeof(root), "/tmp/voxhost-tree-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int tear_down(void **state)
{
    struct err err;
    (void)state;
    return tree_remove(root, &err);
}

/* Sweeps root/in. */
static struct tree_swept sweep(struct tree_sweep options)
{
    struct err err;
    struct tree_swept swept;
    char *dir = at("in");
    options.now_unix_s = NOW_S;
    assert_int_equal(tree_sweep(dir, &options, &swept, &err), 0);
    free(dir);
    return swept;
}

/* --- Removing whole --------------------------------------------------------------------------- */

static void remove_takes_all_and_follows_nothing(void **state) /* FM-46 */
{
    struct err err;
    (void)state;
    make_file("outside/kept", 3, 0);
    make_file("in/a/b/c/file", 3, 0);
    make_file("in/\xff\xfe odd\n\x01", 3, 0);
    make_file("in/-rf", 3, 0);
    make_dir("in/empty");
    make_link("in/out", "../outside");
    make_link("in/a/loop", "..");
    make_link("in/self", "self");
    char *dir = at("in"), *fifo = at("in/fifo"), *link = at("link");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    make_link("link", "outside");
    assert_int_equal(tree_remove(link, &err), ERR_STORAGE); /* not what it leads to, nor itself */
    assert_non_null(strstr(err.message, "no folder"));
    assert_int_equal(tree_remove(dir, &err), 0);
    assert_false(exists("in"));
    assert_true(exists("outside/kept"));
    assert_true(exists("link"));
    assert_int_equal(tree_remove(dir, &err), 0); /* nothing there, nothing wrong */
    free(link);
    free(fifo);
    free(dir);
}

/* As a user whom modes stop, which root is not. */
static bool as_nobody(void (*test)(void))
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0))
            _exit(2);
        test();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void remove_locked(void)
{
    struct err err;
    char *dir = at("open/in"), *shut = at("open/in/shut"), *file = at("open/in/shut/file"),
         *blind = at("open/in/blind"), *inner = at("open/in/blind/inner");
    bool good = fs_make_dirs(shut, 0700, &err) == 0 && fs_make_dirs(inner, 0700, &err) == 0 &&
                fs_write_file(file, "x", 1, &err) == 0 && chmod(shut, 0500) == 0 &&
                chmod(blind, 0) == 0 && tree_remove(dir, &err) == 0 && access(dir, F_OK) != 0;
    _exit(good ? 0 : 1);
}

static void remove_opens_what_is_shut(void **state)
{
    (void)state;
    make_dir("open");
    char *open = at("open");
    assert_int_equal(chmod(root, 0755), 0);
    assert_int_equal(chmod(open, 0777), 0);
    assert_true(as_nobody(remove_locked));
    free(open);
}

static void remove_says_what_lies_too_deep(void **state)
{
    struct err err = {0};
    struct str path = {0};
    (void)state;
    str_puts(&path, root);
    str_puts(&path, "/in");
    for (int i = 0; i < TREE_DEPTH_MAX + 3; i++)
        str_puts(&path, "/d");
    assert_int_equal(fs_make_dirs(str_text(&path), 0700, &err), 0);
    char *dir = at("in");
    assert_int_equal(tree_remove(dir, &err), ERR_STORAGE);
    assert_non_null(strstr(err.message, "too deep"));
    while (strlen(path.data) > strlen(dir)) { /* deepest first */
        assert_true(rmdir(path.data) == 0 || access(path.data, F_OK) != 0);
        *strrchr(path.data, '/') = '\0';
    }
    assert_int_equal(tree_remove(dir, &err), 0);
    free(dir);
    str_finish(&path);
}

static void other_file_systems_are_left_alone(void **state) /* FM-66 */
{
    struct err err = {0};
    (void)state;
    make_file("in/old", 3, HOUR_S);
    make_dir("in/disk");
    char *disk = at("in/disk"), *dir = at("in");
    if (mount("tmpfs", disk, "tmpfs", 0, "size=64k") != 0) {
        free(disk);
        free(dir);
        print_message("skipped: a file system cannot be mounted here\n");
        skip();
        return;
    }
    make_file("in/disk/old", 3, HOUR_S);
    struct tree_swept swept = sweep((struct tree_sweep){.keep_s = 60});
    bool kept = exists("in/disk/old") && !exists("in/old") && swept.removed_files == 1;
    int result = tree_remove(dir, &err);
    kept = kept && exists("in/disk/old");
    assert_int_equal(umount(disk), 0);
    assert_true(kept);
    assert_int_equal(result, ERR_STORAGE);
    assert_non_null(strstr(err.message, "another file system"));
    free(disk);
    free(dir);
}

/* --- Sweeping --------------------------------------------------------------------------------- */

static void sweep_removes_what_is_too_old(void **state) /* FM-08 */
{
    (void)state;
    make_file("in/old", 5, 25 * HOUR_S);
    make_file("in/new", 7, 23 * HOUR_S);
    make_file("in/a/b/old", 5, 25 * HOUR_S);
    make_file("in/a/\xff\n", 5, 25 * HOUR_S);
    make_file("in/c/new", 7, HOUR_S);
    make_dir("in/old-empty");
    make_dir("in/new-empty");
    set_times("in/old-empty", NOW_S - HOUR_S, NOW_S);
    set_times("in/new-empty", NOW_S - 5, NOW_S);
    struct tree_swept swept = sweep((struct tree_sweep){.keep_s = 24 * HOUR_S});
    assert_int_equal(swept.removed_files, 3);
    assert_int_equal(swept.removed_bytes, 15);
    assert_int_equal(swept.left_files, 2);
    assert_int_equal(swept.left_bytes, 14);
    assert_int_equal(swept.failures, 0);
    assert_false(exists("in/old"));
    assert_false(exists("in/a")); /* empty since its files went */
    assert_false(exists("in/old-empty"));
    assert_true(exists("in/new-empty")); /* somebody is about to use it */
    assert_true(exists("in/new"));
    assert_true(exists("in/c/new"));
    sweep((struct tree_sweep){.keep_s = 60});
    assert_true(exists("in")); /* never the root itself */
}

static void sweep_keeps_what_is_young(void **state) /* FM-09 */
{
    (void)state;
    make_file("in/young", 100, TREE_YOUNG_S - 10);
    make_file("in/ahead", 100, -30);
    make_file("in/wrong-clock", 100, -1000 * HOUR_S);
    struct tree_swept swept = sweep((struct tree_sweep){.keep_s = 0.001, .keep_bytes = 1});
    assert_true(exists("in/young"));
    assert_true(exists("in/ahead"));
    assert_false(exists("in/wrong-clock")); /* not new for ever */
    assert_int_equal(swept.left_bytes, 200);
}

/* Times that no clock shows: nanoseconds since 1970 do not hold them. */
static void sweep_survives_wrong_clocks(void **state)
{
    (void)state;
    make_file("in/ahead", 10, 0);
    make_file("in/far-ahead", 10, 0);
    make_file("in/before", 10, 0);
    set_times("in/ahead", NOW_S + HOUR_S, NOW_S);
    set_times("in/far-ahead", INT64_C(13600000000), INT64_C(13600000000)); /* the year 2400 */
    set_times("in/before", INT64_MIN / 2, INT64_MIN / 2);
    struct tree_swept swept = sweep((struct tree_sweep){.keep_s = 10, .by_use = true});
    assert_int_equal(swept.removed_files, 1);
    assert_false(exists("in/before"));
    swept = sweep((struct tree_sweep){.keep_bytes = 10});
    assert_int_equal(swept.removed_files, 1); /* the older of both */
    assert_true(exists("in/far-ahead"));
}

static void sweep_removes_the_oldest_until_the_rest_fits(void **state)
{
    (void)state;
    make_file("in/4", 100, 4 * HOUR_S);
    make_file("in/x/3", 100, 3 * HOUR_S);
    make_file("in/2", 100, 2 * HOUR_S);
    make_file("in/y/z/5", 100, 5 * HOUR_S);
    make_file("in/1", 100, 1);
    struct tree_swept swept = sweep((struct tree_sweep){.keep_bytes = 500});
    assert_int_equal(swept.removed_files, 0);
    swept = sweep((struct tree_sweep){.keep_bytes = 250});
    assert_int_equal(swept.removed_files, 3);
    assert_int_equal(swept.left_bytes, 200);
    assert_true(exists("in/1") && exists("in/2"));
    assert_false(exists("in/x") || exists("in/y")); /* empty folders go too */
}

static void sweep_by_use_keeps_what_is_read(void **state)
{
    (void)state;
    make_file("in/read", 100, 9 * HOUR_S);
    make_file("in/unread", 100, 5 * HOUR_S);
    set_times("in/read", NOW_S - 9 * HOUR_S, NOW_S - HOUR_S);
    sweep((struct tree_sweep){.keep_s = 2 * HOUR_S, .by_use = true});
    assert_true(exists("in/read"));
    assert_false(exists("in/unread"));
    sweep((struct tree_sweep){.keep_s = 2 * HOUR_S});
    assert_false(exists("in/read"));
}

static void sweep_follows_no_link(void **state) /* FM-46 */
{
    struct err err;
    struct tree_swept swept;
    (void)state;
    make_file("outside/old", 5, HOUR_S);
    make_file("in/a/old", 5, HOUR_S);
    make_link("in/out", "../outside");
    make_link("in/file", "../outside/old");
    make_link("in/a/loop", "../../in");
    make_link("in/a/self", "self");
    set_times("in/out", NOW_S - HOUR_S, NOW_S - HOUR_S);
    make_link("way-in", "in"); /* the root itself may be one: it is what a person named */
    char *link = at("way-in");
    const struct tree_sweep options = {.keep_s = 60, .keep_bytes = 1, .now_unix_s = NOW_S};
    assert_int_equal(tree_sweep(link, &options, &swept, &err), 0);
    assert_int_equal(swept.removed_files, 1);
    assert_true(exists("outside/old"));
    assert_true(exists("in/out") && exists("in/file") && exists("in/a/loop"));
    free(link);
}

static bool only_wav(const char *path, bool is_dir, void *arg)
{
    size_t len = strlen(path);
    (void)arg;
    return is_dir ? strcmp(path, "mine/hidden") != 0
                  : len > 4 && strcmp(path + len - 4, ".wav") == 0;
}

static void sweep_asks_and_protects(void **state) /* FM-66 */
{
    struct err err;
    struct tree_swept swept;
    (void)state;
    make_file("in/a.wav", 100, HOUR_S);
    make_file("in/a.txt", 1000, HOUR_S);
    make_file("in/mine/a.wav", 100, HOUR_S);
    make_file("in/mine/hidden/a.wav", 100, HOUR_S);
    make_file("in/voices/a.wav", 100, HOUR_S);
    make_link("alias", "in/voices");
    char *dir = at("in"), *voices = at("alias"), *missing = at("missing");
    const char *const protected_dirs[] = {missing, voices};
    struct tree_sweep options = {
        .keep_s = 60, .may_go = only_wav, .protected_dirs = protected_dirs, .protected_count = 2};
    swept = sweep(options);
    assert_int_equal(swept.removed_files, 2);
    assert_int_equal(swept.left_bytes, 0); /* of those that may go */
    assert_true(exists("in/a.txt"));
    assert_true(exists("in/mine/hidden/a.wav"));
    assert_true(exists("in/voices/a.wav"));
    const char *const all[] = {dir};
    options.protected_dirs = all;
    options.protected_count = 1;
    options.may_go = NULL;
    assert_int_equal(tree_sweep(dir, &options, &swept, &err), ERR_STORAGE);
    assert_true(exists("in/a.txt"));
    free(missing);
    free(voices);
    free(dir);
}

static void sweep_as_nobody(void)
{
    struct err err;
    struct tree_swept swept;
    char *dir = at("open");
    const struct tree_sweep options = {.keep_s = 60, .now_unix_s = NOW_S};
    bool good = tree_sweep(dir, &options, &swept, &err) == 0 && swept.removed_files == 1 &&
                swept.failures == 2 && strstr(swept.failure.message, "ermission denied");
    _exit(good ? 0 : 1);
}

static void sweep_goes_on_past_what_it_may_not_touch(void **state)
{
    (void)state;
    make_file("open/a/file", 1, HOUR_S); /* in a folder of another user */
    make_file("open/b/file", 1, HOUR_S); /* which may not even be read */
    make_file("open/file", 1, HOUR_S);
    char *open = at("open"), *a = at("open/a"), *b = at("open/b");
    assert_int_equal(chmod(root, 0755), 0);
    assert_int_equal(chmod(open, 0777), 0);
    assert_int_equal(chmod(a, 0555), 0);
    assert_int_equal(chmod(b, 0), 0);
    if (geteuid() == 0)
        assert_true(as_nobody(sweep_as_nobody));
    assert_int_equal(chmod(a, 0700), 0);
    assert_int_equal(chmod(b, 0700), 0);
    free(b);
    free(a);
    free(open);
}

/* Everything vanishes while the sweep asks about it. */
static bool remove_it(const char *path, bool is_dir, void *arg)
{
    struct err err;
    char *whole = fs_join(arg, path);
    if (is_dir)
        tree_remove(whole, &err);
    else
        unlink(whole);
    free(whole);
    return true;
}

static void sweep_does_not_mind_what_vanishes(void **state)
{
    struct err err;
    struct tree_swept swept;
    (void)state;
    make_file("in/a/b/file", 1, HOUR_S);
    make_file("in/c", 1, HOUR_S);
    char *dir = at("in");
    swept = sweep((struct tree_sweep){.keep_s = 60, .may_go = remove_it, .arg = dir});
    assert_int_equal(swept.failures, 0);
    assert_int_equal(tree_remove(dir, &err), 0);
    swept = sweep((struct tree_sweep){.keep_s = 60}); /* no root, nothing to do */
    assert_int_equal(swept.removed_files + swept.left_files, 0);
    free(dir);
}

static void sweep_stops_when_told(void **state)
{
    atomic_int stop = 1;
    (void)state;
    make_file("in/old", 1, HOUR_S);
    sweep((struct tree_sweep){.keep_s = 60, .keep_bytes = 1, .stop = &stop});
    assert_true(exists("in/old"));
}

static void nothing_to_keep_to_removes_nothing(void **state)
{
    (void)state;
    make_file("in/old", 1000, 1000 * HOUR_S);
    struct tree_swept swept = sweep((struct tree_sweep){0});
    assert_true(exists("in/old"));
    assert_int_equal(swept.left_bytes, 1000);
}

/* --- Room ------------------------------------------------------------------------------------- */

/* As a sweep beside who stores does: what is made is removed at once. */
/* The other one rests between its rounds, as sweeps do: who never rests can win each round. */
static void folders_are_made_while_another_removes_them(void **state) /* FM-09 */
{
    enum { ROUNDS = 200, REST_US = 2000 };
    struct err err = {0};
    char *paths[] = {at("a/b/c"), at("a/b"), at("a")};
    (void)state;
    pid_t child = fork();
    for (int round = 0; child == 0; round++) {
        if (round == ROUNDS)
            _exit(0);
        for (size_t i = 0; i < 3; i++)
            rmdir(paths[i]);
        usleep(REST_US);
    }
    while (waitpid(child, NULL, WNOHANG) == 0)
        if (fs_make_dirs(paths[0], 0700, &err) != 0) {
            kill(child, SIGKILL);
            fail_msg("%s", err.message);
        }
    for (size_t i = 0; i < 3; i++)
        free(paths[i]);
}

static void room_is_checked_on_the_disk_of_what_is_still_to_be_made(void **state) /* FM-65 */
{
    struct err err = {0};
    (void)state;
    char *dir = at("not/yet/there");
    assert_int_equal(fs_check_room(dir, 1, 0, NULL, &err), 0);
    assert_int_equal(fs_check_room(dir, 0, 1 << 20, NULL, &err), ERR_STORAGE);
    assert_true(err_retryable(err.code));
    assert_non_null(strstr(err.message, dir));
    assert_non_null(strstr(err.message, "MB free, host.min_free_mb wants 1048576: free some"));
    assert_int_equal(fs_check_room(dir, (UINT64_C(1) << 50) + 1, 64, NULL, &err), ERR_STORAGE);
    assert_non_null(strstr(err.message, "beside the 1073741825 MB"));
    assert_int_equal(fs_check_room(dir, UINT64_MAX, 1 << 20, NULL, &err), ERR_STORAGE);
    assert_int_equal(fs_check_room(dir, UINT64_C(1) << 50, 0, NULL, &err), ERR_STORAGE);
    assert_non_null(strstr(err.message, "MB free, 1073741824 MB are to be written: free some"));
    free(dir);
}

static void a_disk_that_cannot_be_asked_is_not_full(void **state) /* FM-01 */
{
    struct err err = {0};
    struct str line = {0};
    (void)state;
    char *log_path = at("log"), *dir = at("self/a");
    make_link("self", "self");
    const struct log log = {
        .fd = open(log_path, O_RDWR | O_CREAT, 0600), .level = LOG_INFO, .json = true};
    assert_int_equal(fs_check_room(dir, 1, 1 << 20, &log, &err), 0);
    assert_int_equal(fs_read_file(log_path, 4096, &line, &err), 0);
    assert_non_null(strstr(str_text(&line), "\"warn\""));
    assert_non_null(strstr(str_text(&line), "free space is unknown"));
    assert_non_null(strstr(str_text(&line), "Too many levels of symbolic links"));
    close(log.fd);
    str_finish(&line);
    free(log_path);
    free(dir);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(remove_takes_all_and_follows_nothing),
        TEST(remove_opens_what_is_shut),
        TEST(remove_says_what_lies_too_deep),
        TEST(other_file_systems_are_left_alone),
        TEST(sweep_removes_what_is_too_old),
        TEST(sweep_keeps_what_is_young),
        TEST(sweep_survives_wrong_clocks),
        TEST(sweep_removes_the_oldest_until_the_rest_fits),
        TEST(sweep_by_use_keeps_what_is_read),
        TEST(sweep_follows_no_link),
        TEST(sweep_asks_and_protects),
        TEST(sweep_goes_on_past_what_it_may_not_touch),
        TEST(sweep_does_not_mind_what_vanishes),
        TEST(sweep_stops_when_told),
        TEST(nothing_to_keep_to_removes_nothing),
        TEST(folders_are_made_while_another_removes_them),
        TEST(room_is_checked_on_the_disk_of_what_is_still_to_be_made),
        TEST(a_disk_that_cannot_be_asked_is_not_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
