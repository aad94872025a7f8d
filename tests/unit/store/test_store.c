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

static void symbolic_links_out_are_refused_before_folders_are_made(void **state)
{
    struct store *store;
    struct err err = {0};
    (void)state;
    char *out = fs_join(dir, "out"), *outside = fs_join(dir, "outside");
    char *link = fs_join(out, "link"), *inner = fs_join(out, "inner"), *lost = fs_join(out, "lost");
    char *sibling = fs_join(dir, "outer"), *near = fs_join(out, "near");
    assert_int_equal(fs_make_dirs(outside, 0777, &err), 0);
    assert_int_equal(fs_make_dirs(sibling, 0777, &err), 0);
    assert_int_equal(store_open(out, &store, &err), 0);
    assert_int_equal(symlink("../outside", link), 0);
    assert_int_equal(symlink("../outer", near), 0); /* "out" is how its name begins */
    assert_int_equal(symlink("x", inner), 0);
    assert_int_equal(symlink("../nowhere", lost), 0);
    put(store, "link/a.wav", "one", ERR_INVALID);
    put(store, "link/new/deep/a.wav", "one", ERR_INVALID);
    put(store, "near/a.wav", "one", ERR_INVALID);
    put(store, "lost/a.wav", "one", ERR_INVALID);
    put(store, "lost/new/a.wav", "one", ERR_INVALID);
    assert_int_equal(rmdir(outside), 0); /* nothing was made in it */
    assert_int_equal(rmdir(sibling), 0);
    put(store, "x/a.wav", "one", 0);
    put(store, "inner/y/b.wav", "one", 0); /* a link that stays inside */
    char *temp = store_temp(store);
    assert_int_equal(store_commit(store, temp, "lost/a.wav", NULL, &err), ERR_INVALID);
    assert_string_equal(err.field, "output");
    assert_string_equal(err.message, "\"lost/a.wav\": leads out of the output directory through a "
                                     "symbolic link");
    store_close(store);
    free(temp);
    char *paths[] = {out, outside, link, inner, lost, sibling, near};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        free(paths[i]);
}

static void a_directory_that_is_itself_a_link_takes_folders(void **state)
{
    struct store *store;
    struct err err = {0};
    (void)state;
    char *real = fs_join(dir, "real"), *link = fs_join(dir, "link");
    assert_int_equal(fs_make_dirs(real, 0777, &err), 0);
    assert_int_equal(symlink("real", link), 0);
    assert_int_equal(store_open(link, &store, &err), 0);
    put(store, "x/y/a.wav", "one", 0);
    store_close(store);
    free(real);
    free(link);
}

/* A child that opens the directory, claims this part (count 0: none) and waits to be killed. */
static pid_t start_claimer(uint64_t index, uint64_t count)
{
    int ready[2];
    char byte = 0;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        struct store *store;
        struct err err = {0};
        bool good = store_open(dir, &store, &err) == 0 &&
                    (count == 0 || store_claim(store, index, count, &err) == 0);
        fs_write_all(ready[1], good ? "y" : "n", 1);
        pause();
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    close(ready[0]);
    close(ready[1]);
    return child;
}

static void stop(pid_t child)
{
    int status;
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
}

static void overlapping_claims_of_living_runs_are_refused(void **state)
{
    struct store *store;
    struct err err = {0};
    (void)state;
    pid_t silent = start_claimer(0, 0);
    pid_t child = start_claimer(1, 3);
    assert_int_equal(store_open(dir, &store, &err), 0);
    assert_int_equal(store_claim(store, 0, 1, &err), ERR_INVALID);
    char *message = str_format("%s: another run (shard 1 of 3) is writing into this folder; wait "
                               "for it to end, or stop it",
                               dir);
    assert_string_equal(err.message, message);
    free(message);
    assert_int_equal(store_claim(store, 1, 3, &err), ERR_INVALID);
    assert_int_equal(store_claim(store, 0, 2, &err), ERR_INVALID);
    assert_int_equal(store_claim(store, 1, 4, &err), ERR_INVALID);
    stop(start_claimer(2, 3)); /* what was refused claims nothing */
    assert_int_equal(store_claim(store, 2, 3, &err), 0);
    pid_t third = start_claimer(0, 3);
    stop(third);
    stop(child);
    stop(silent);
    assert_int_equal(store_claim(store, 0, 1, &err), 0); /* the dead are still in the folder */
    store_close(store);
    assert_int_equal(store_open(dir, &store, &err), 0);
    assert_int_equal(store_claim(store, 1, 3, &err), 0); /* ours of before is gone */
    store_close(store);
    assert_int_equal(count_entries(), 0);
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

static void a_folder_that_somebody_swept_is_made_again(void **state)
{
    struct store *store, *other;
    struct err err = {0};
    (void)state;
    assert_int_equal(store_open(dir, &store, &err), 0);
    assert_int_equal(store_claim(store, 0, 1, &err), 0);
    assert_int_equal(tree_remove(dir, &err), 0);
    put(store, "a.wav", "one", 0);
    assert_int_equal(store_open(dir, &other, &err), 0);
    assert_int_equal(store_claim(other, 0, 1, &err), ERR_INVALID);
    put(store, "a.wav", "two", 0); /* it was not taken for a dead one's */
    store_close(other);
    store_close(store);
    assert_int_equal(count_entries(), 1);
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
        cmocka_unit_test_setup(symbolic_links_out_are_refused_before_folders_are_made, make_dir),
        cmocka_unit_test_setup(a_directory_that_is_itself_a_link_takes_folders, make_dir),
        cmocka_unit_test_setup(overlapping_claims_of_living_runs_are_refused, make_dir),
        cmocka_unit_test_setup(killed_run_is_cleaned_up_and_a_living_one_is_not, make_dir),
        cmocka_unit_test_setup(a_folder_that_somebody_swept_is_made_again, make_dir),
        cmocka_unit_test_setup(unusable_directory_is_named, make_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
