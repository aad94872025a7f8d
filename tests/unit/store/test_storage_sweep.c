/* Results that are kept no longer go; whatever else lies in the directory stays (FM-66). */
#include "store/store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define NOW_S INT64_C(1800000000)
#define DAY_S INT64_C(86400)
#define MB ((size_t)1 << 20)

static char root[64];

static void make_file(const char *name, size_t size, int64_t age_s)
{
    struct err err;
    char *path = fs_join(root, name), *dir = fs_dir_of(path), *data = mem_alloc(size + 1);
    const struct timespec time = {.tv_sec = (time_t)(NOW_S - age_s)}, times[2] = {time, time};
    assert_int_equal(fs_make_dirs(dir, 0700, &err), 0);
    assert_int_equal(fs_write_file(path, data, size, &err), 0);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    free(data);
    free(dir);
    free(path);
}

static bool exists(const char *name)
{
    char *path = fs_join(root, name);
    bool found = access(path, F_OK) == 0;
    free(path);
    return found;
}

static struct manifest_storage manifest_of(char *template)
{
    return (struct manifest_storage){.type = STORAGE_FILE,
                                     .dir = root,
                                     .key_template = template,
                                     .voices_prefix = (char *)(uintptr_t) "voices/"};
}

static struct tree_swept sweep(const struct manifest_storage *manifest)
{
    struct err err = {0};
    struct tree_swept swept;
    char *protected = fs_join(root, "users/library");
    const char *const protected_dirs[] = {protected};
    const struct storage_sweep options = {.manifest = manifest,
                                          .now_unix_s = NOW_S,
                                          .protected_dirs = protected_dirs,
                                          .protected_count = 1};
    int result = storage_sweep(&options, &swept, &err);
    free(protected);
    if (result != 0)
        fail_msg("%s", err.message);
    return swept;
}

static int set_up(void **state)
{
    (void)state;
    snprintf(root, sizeof(root), "/tmp/voxhost-sweep-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int tear_down(void **state)
{
    struct err err;
    (void)state;
    return tree_remove(root, &err);
}

/* Nothing of ours gets there: storing refuses such a link. */
static void a_prefix_that_leads_out_is_not_swept(void **state) /* FM-46, FM-66 */
{
    char template[] = "{user_id}/{job_id}.{ext}", prefix[] = "results/", *dir = fs_join(root, "st");
    struct err err = {0};
    struct tree_swept swept;
    (void)state;
    struct manifest_storage manifest = manifest_of(template);
    manifest.dir = dir;
    manifest.prefix = prefix;
    manifest.keep_days = 1;
    make_file("outside/u1/old.wav", 10, 9 * DAY_S);
    make_file("st/inside/u1/old.wav", 10, 9 * DAY_S);
    char *link = fs_join(root, "st/results");
    assert_int_equal(symlink("../outside", link), 0);
    const struct storage_sweep options = {.manifest = &manifest, .now_unix_s = NOW_S};
    assert_int_equal(storage_sweep(&options, &swept, &err), ERR_STORAGE);
    assert_non_null(strstr(err.message, "symbolic link"));
    assert_true(exists("outside/u1/old.wav"));
    assert_int_equal(unlink(link), 0);
    assert_int_equal(storage_sweep(&options, &swept, &err), 0); /* nothing there yet */
    assert_int_equal(symlink("inside", link), 0);
    assert_int_equal(storage_sweep(&options, &swept, &err), 0);
    assert_int_equal(swept.removed_files, 1);
    free(link);
    free(dir);
}

static void only_results_go(void **state)
{
    char template[] = "users/{user_id}/{job_id}.{ext}", prefixed[] = "{user_id}/{job_id}.{ext}",
         prefix[] = "users/", two[] = "{user_id}/{job_id}.{ext}";
    (void)state;
    struct manifest_storage manifest = manifest_of(template);
    make_file("users/u1/old.wav", 10, 9 * DAY_S);
    make_file("users/u1/old.srt", 10, 9 * DAY_S);
    make_file("users/u1/new.wav", 10, DAY_S);
    make_file("users/u1/notes.txt", 10, 9 * DAY_S);
    make_file("users/u1/deep/old.wav", 10, 9 * DAY_S);
    make_file("users/library/old.wav", 10, 9 * DAY_S);
    make_file("users/u2/old.wav", 10, 9 * DAY_S);
    make_file("other/old.wav", 10, 9 * DAY_S);
    make_file("voices/old.wav", 10, 9 * DAY_S);
    make_file(".voxhost-salt", 10, 9 * DAY_S);
    make_file(".voxhost-0123456789abcdef/1", 10, 9 * DAY_S);
    struct tree_swept swept = sweep(&manifest);
    assert_int_equal(swept.removed_files, 0); /* it keeps all */
    manifest.keep_days = 7.5;
    swept = sweep(&manifest);
    assert_int_equal(swept.removed_files, 3);
    assert_false(exists("users/u1/old.wav") || exists("users/u1/old.srt") || exists("users/u2"));
    assert_true(exists("users/u1/new.wav") && exists("users/u1/notes.txt"));
    assert_true(exists("users/u1/deep/old.wav") && exists("users/library/old.wav"));
    assert_true(exists("other/old.wav") && exists("voices/old.wav"));
    assert_true(exists(".voxhost-salt") && exists(".voxhost-0123456789abcdef/1"));
    manifest.key_template = two;
    sweep(&manifest);
    assert_false(exists("other"));
    assert_true(exists("voices/old.wav")); /* a user's name cannot uncover them */
    make_file("users/u3/old.wav", 10, 9 * DAY_S);
    make_file("u3/old.wav", 10, 9 * DAY_S);
    manifest.key_template = prefixed;
    manifest.prefix = prefix;
    sweep(&manifest);
    assert_false(exists("users/u3"));
    assert_true(exists("u3/old.wav")); /* not below the prefix */
}

static void the_oldest_go_to_make_room(void **state)
{
    char template[] = "{job_id}.{ext}";
    (void)state;
    struct manifest_storage manifest = manifest_of(template);
    manifest.keep_mb = 2;
    make_file("a.wav", MB, 3 * DAY_S);
    make_file("b.wav", MB, 2 * DAY_S);
    make_file("c.wav", MB, DAY_S);
    make_file("big.model", 9 * MB, 9 * DAY_S); /* not counted either */
    struct tree_swept swept = sweep(&manifest);
    assert_int_equal(swept.removed_files, 1);
    assert_int_equal(swept.left_bytes, 2 * MB);
    assert_true(!exists("a.wav") && exists("b.wav") && exists("c.wav") && exists("big.model"));
}

static void a_bucket_and_a_missing_directory_are_left_alone(void **state)
{
    char template[] = "{job_id}.{ext}", missing[] = "/nowhere/at/all";
    (void)state;
    struct manifest_storage manifest = manifest_of(template);
    manifest.keep_days = 1;
    make_file("old.wav", 1, 9 * DAY_S);
    manifest.type = STORAGE_S3;
    assert_true(storage_keeps_all(&manifest));
    sweep(&manifest);
    assert_true(exists("old.wav"));
    manifest.type = STORAGE_FILE;
    assert_false(storage_keeps_all(&manifest));
    manifest.dir = missing;
    sweep(&manifest);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_prefix_that_leads_out_is_not_swept),
        TEST(only_results_go),
        TEST(the_oldest_go_to_make_room),
        TEST(a_bucket_and_a_missing_directory_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
