/* What the tests of host/job share: a manifest on the test plugins, and jobs from JSON. */
#ifndef JOB_TEST_H
#define JOB_TEST_H

#include "job/job.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char dir[64];
    struct manifest *manifest;
    struct log log;
    struct models *models;
};

static const char *no_variable(const char *name, void *arg)
{
    (void)name;
    (void)arg;
    return NULL;
}

/* `models`: the entries of the models list, in flow style; "%P/" stands for the folder of the test plugins. */
static inline void fixture_open(struct fixture *f, const char *models, const char *host)
{
    struct str text = {0}, report = {0};
    struct manifest_input input = {.getenv = no_variable, .cpu_count = 2};
    *f = (struct fixture){.dir = "/tmp/voxhost-job-XXXXXX",
                          .log = {.fd = STDERR_FILENO, .level = LOG_ERROR}};
    assert_non_null(mkdtemp(f->dir));
    str_printf(&text, "version: 1\nhost: {%s}\nmodels: [", host);
    for (const char *p = models; *p; p++) {
        if (p[0] == '%' && p[1] == 'P') {
            str_puts(&text, BUILD_DIR "/tests/plugins");
            p++;
        } else {
            str_putc(&text, *p);
        }
    }
    str_puts(&text, "]\n");
    if (manifest_parse(text.data, text.len, "test.yaml", f->dir, &input, &f->manifest, &report) !=
        0)
        fail_msg("%s", str_text(&report));
    f->models = models_create(f->manifest, &f->log);
    str_finish(&text);
    str_finish(&report);
}

static inline void fixture_close(struct fixture *f)
{
    struct err err = {0};
    assert_true(models_destroy(f->models));
    manifest_destroy(f->manifest);
    assert_int_equal(tree_remove(f->dir, &err), 0);
}

static inline int parse_job(struct fixture *f, const char *text, bool loose, struct job **job,
                            struct err *err)
{
    struct job_context context = {.models = f->models,
                                  .manifest = f->manifest,
                                  .base_dir = f->dir,
                                  .default_id = "job-7",
                                  .loose = loose};
    cJSON *json = json_parse(text, strlen(text), &JSON_LIMITS_DEFAULT, err);
    if (!json)
        fail_msg("%s: %s", text, err->message);
    int result = job_parse(json, &context, job, err);
    cJSON_Delete(json);
    return result;
}

#endif
