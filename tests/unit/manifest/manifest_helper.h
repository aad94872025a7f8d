/* What the tests of the manifest share: a made-up environment and parsing that must succeed. */
#ifndef MANIFEST_HELPER_H
#define MANIFEST_HELPER_H

#include "manifest/manifest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define REPOSITORY TEST_DATA "/../../.."
#define CORPUS REPOSITORY "/tests/e2e/data/manifests"
#define MODEL "version: 1\nmodels:\n  - model_type: flite\n    plugin: flite.so\n"

/* `arg`: "NAME=VALUE" strings, then NULL. */
static inline const char *lookup(const char *name, void *arg)
{
    size_t len = strlen(name);
    for (const char *const *entry = arg; entry && *entry; entry++)
        if (strncmp(*entry, name, len) == 0 && (*entry)[len] == '=')
            return *entry + len + 1;
    return NULL;
}

static inline struct manifest_input input_of(const char *const *environment)
{
    return (struct manifest_input){
        .getenv = lookup, .getenv_arg = (void *)environment, .cpu_count = 6};
}

/* Parses `text` as m.yaml in /base; fails the test when it is refused. */
static inline struct manifest *parse_with(const char *text, const char *const *environment,
                                          const char *const *overrides, size_t count)
{
    struct manifest_input input = input_of(environment);
    input.overrides = overrides;
    input.override_count = count;
    struct manifest *m = NULL;
    struct str report = {0};
    if (manifest_parse(text, strlen(text), "m.yaml", "/base", &input, &m, &report) != 0)
        fail_msg("refused: %s", str_text(&report));
    assert_int_equal(report.len, 0);
    str_finish(&report);
    return m;
}

static inline struct manifest *parse(const char *text)
{
    return parse_with(text, NULL, NULL, 0);
}

#endif
