/* vox.scratch/1: a job has a folder of its own from the first time that it asks until its speak has
 * returned, or none and the reason (FM-09). */
#include "plugin/model_private.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char dir[64];
    struct manifest *manifest;
    struct log log;
    struct models *models;
    struct model *model;
};

static const char *no_variable(const char *name, void *arg)
{
    (void)name;
    (void)arg;
    return NULL;
}

/* The plugin is not there: a job's folder needs none. */
static void fixture_open(struct fixture *f)
{
    static const char text[] = "version: 1\nmodels: [{model_type: m, plugin: /nonexistent.so}]\n";
    struct manifest_input input = {.getenv = no_variable, .cpu_count = 2};
    struct str report = {0};
    *f = (struct fixture){.dir = "/tmp/voxhost-scratch-XXXXXX",
                          .log = {.fd = STDERR_FILENO, .level = LOG_ERROR + 1}};
    assert_non_null(mkdtemp(f->dir));
    assert_int_equal(
        manifest_parse(text, sizeof(text) - 1, "test.yaml", f->dir, &input, &f->manifest, &report),
        0);
    f->models = models_create(f->manifest, &f->log);
    f->model = models_at(f->models, 0);
    str_finish(&report);
}

static void fixture_close(struct fixture *f)
{
    struct err err = {0};
    assert_true(models_destroy(f->models));
    manifest_destroy(f->manifest);
    assert_int_equal(tree_remove(f->dir, &err), 0);
}

/* What a plugin gets that asks for the folder of this job. */
static const char *ask(struct job_scratch *scratch)
{
    const struct vox_job job = {.size = sizeof(job), .id = {"j", 1}, .self = scratch};
    return scratch_extension.dir(&job);
}

static int count_entries(const char *path)
{
    DIR *dir = opendir(path);
    int count = dir ? -2 : 0; /* . and .. */
    while (dir && readdir(dir))
        count++;
    if (dir)
        closedir(dir);
    return count;
}

static void each_job_has_a_folder_of_its_own_until_it_ends(void **state)
{
    struct fixture f;
    struct stat info;
    (void)state;
    fixture_open(&f);
    const char *cache_dir = f.model->config->cache_dir;
    char *root = fs_join(cache_dir, ".scratch/run-");
    struct job_scratch first = {.model = f.model}, second = first, never = first;
    const char *path = ask(&first), *other = ask(&second);
    assert_non_null(path);
    assert_memory_equal(path, root, strlen(root));
    assert_string_not_equal(path, other);
    assert_ptr_equal(ask(&first), path);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0700);
    assert_int_equal(count_entries(path), 0);
    char *kept = mem_copy_string(other);
    char *path_copy = mem_copy_string(path);
    job_scratch_end(&first);
    job_scratch_end(&first);
    job_scratch_end(&never);
    assert_int_equal(access(path_copy, F_OK), -1);
    assert_int_equal(access(kept, F_OK), 0);
    char *scratch = fs_join(cache_dir, ".scratch");
    scratch_remove_dead(cache_dir);
    assert_int_equal(access(kept, F_OK), 0);
    job_scratch_end(&second);
    assert_int_equal(count_entries(scratch), 1);
    scratch_close(f.model);
    assert_int_equal(count_entries(scratch), 0);
    free(scratch);
    free(path_copy);
    free(kept);
    free(root);
    fixture_close(&f);
}

static void a_job_that_does_not_ask_makes_nothing(void **state)
{
    struct fixture f;
    (void)state;
    fixture_open(&f);
    struct job_scratch scratch = {.model = f.model};
    job_scratch_end(&scratch);
    scratch_remove_dead(f.model->config->cache_dir);
    assert_int_equal(count_entries(f.dir), 0);
    fixture_close(&f);
}

static void a_deep_tree_with_closed_folders_goes(void **state)
{
    struct fixture f;
    struct err err = {0};
    (void)state;
    fixture_open(&f);
    struct job_scratch scratch = {.model = f.model};
    char *dir = mem_copy_string(ask(&scratch));
    char *deep = str_format("%s/a/b/c/d/e/f", dir), *file = fs_join(deep, "file");
    assert_int_equal(fs_make_dirs(deep, 0700, &err), 0);
    assert_int_equal(fs_write_file(file, "x", 1, &err), 0);
    assert_int_equal(chmod(deep, 0), 0);
    job_scratch_end(&scratch);
    assert_int_equal(access(dir, F_OK), -1);
    free(file);
    free(deep);
    free(dir);
    fixture_close(&f);
}

static void a_cache_that_was_emptied_under_us_does_no_harm(void **state)
{
    struct fixture f;
    struct err err = {0};
    (void)state;
    fixture_open(&f);
    struct job_scratch first = {.model = f.model}, second = first;
    assert_non_null(ask(&first));
    assert_int_equal(tree_remove(f.model->config->cache_dir, &err), 0);
    const char *path = ask(&second);
    assert_non_null(path);
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(second.err.code, ERR_NONE);
    job_scratch_end(&first);
    job_scratch_end(&second);
    fixture_close(&f);
}

static void without_room_there_is_none_and_the_job_knows_why(void **state)
{
    struct fixture f;
    (void)state;
    fixture_open(&f);
    struct job_scratch refused = {.model = f.model}, later = refused;
    int64_t usual_mb = f.manifest->host.min_free_mb;
    f.manifest->host.min_free_mb = (int64_t)1 << 40;
    assert_null(ask(&refused));
    assert_int_equal(refused.err.code, ERR_STORAGE);
    assert_non_null(strstr(refused.err.message, "no folder for temporary files: "));
    assert_non_null(strstr(refused.err.message, "host.min_free_mb"));
    f.manifest->host.min_free_mb = usual_mb;
    assert_null(ask(&refused)); /* one answer for a job */
    assert_non_null(ask(&later));
    job_scratch_end(&refused);
    job_scratch_end(&later);
    fixture_close(&f);
}

static void a_cache_that_cannot_be_written_is_named(void **state)
{
    struct fixture f;
    struct err err = {0};
    (void)state;
    fixture_open(&f);
    struct job_scratch scratch = {.model = f.model};
    char *cache = fs_dir_of(f.model->config->cache_dir);
    assert_int_equal(fs_write_file(cache, "no folder", 9, &err), 0);
    assert_null(ask(&scratch));
    assert_int_equal(scratch.err.code, ERR_STORAGE);
    assert_non_null(strstr(scratch.err.message, cache));
    free(cache);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_job_has_a_folder_of_its_own_until_it_ends),
        cmocka_unit_test(a_job_that_does_not_ask_makes_nothing),
        cmocka_unit_test(a_deep_tree_with_closed_folders_goes),
        cmocka_unit_test(a_cache_that_was_emptied_under_us_does_no_harm),
        cmocka_unit_test(without_room_there_is_none_and_the_job_knows_why),
        cmocka_unit_test(a_cache_that_cannot_be_written_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
