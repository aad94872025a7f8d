/* The table of conformance cases, and how one of them runs in this process. */
#include "plugin/check/cases.h"

#include <string.h>

#define X(function, name, needs, clause) {name, needs, clause, check_##function},
const struct check_case check_cases[] = {CHECK_CASES(X)};
#undef X

const size_t check_case_count = sizeof(check_cases) / sizeof(*check_cases);

const struct check_case *check_case_find(const char *name)
{
    for (size_t i = 0; i < check_case_count; i++)
        if (strcmp(check_cases[i].name, name) == 0)
            return &check_cases[i];
    return NULL;
}

/* The table is in order of need, so this ends. */
bool check_case_needs(const struct check_case *c, const char *name)
{
    while (c && strcmp(c->name, name) != 0)
        c = check_case_find(c->needs);
    return c;
}

/* What a plugin says of itself that makes trying it useless. */
static const char *missing_input(const struct check_case *c, const struct check_cx *cx)
{
    const struct vox_entry *entry = cx->entry;
    if (!check_case_needs(c, "speak-works"))
        return NULL;
    if (entry->capabilities & VOX_CAP_NEEDS_VOICE && !cx->options->voice)
        return "the plugin needs a recording: --voice";
    if (entry->capabilities & VOX_CAP_NEEDS_TRANSCRIPT && cx->options->voice &&
        cx->options->voice->transcript.size == 0)
        return "the plugin needs the recording's text: --transcript";
    return NULL;
}

enum check_outcome check_case_run(const struct check_case *c, struct check_cx *cx)
{
    struct err err = {0};
    const char *missing;
    if (check_case_needs(c, "opens") && !cx_open(cx))
        return CHECK_FAIL;
    if (check_case_needs(c, "entry-accepted") && plugin_entry_check(cx->entry, &err) != 0)
        return cx_fail(cx, "%s", err.message);
    if (check_case_needs(c, "entry-accepted") && (missing = missing_input(c, cx)))
        return cx_skip(cx, "%s", missing);
    if (check_case_needs(c, "init-ready") && !cx_options(cx))
        return CHECK_FAIL;
    enum check_outcome outcome = c->run(cx);
    if (outcome == CHECK_PASS)
        cx_down(cx);
    return outcome;
}
