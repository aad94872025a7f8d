/* Runs one conformance case in a child process, so that whatever a plugin does ends there. */
#ifndef CHECK_CHILD_H
#define CHECK_CHILD_H

#include "plugin/check/cases.h"

enum child_end {
    CHILD_PASS,
    CHILD_FAIL,
    CHILD_SKIP,
    CHILD_TIMEOUT, /* killed at the time limit */
    CHILD_CRASH    /* killed by a signal */
};

/* Runs the case in `work_dir`, a folder of its own. `reason` says why it did not pass, or a
 * note. */
enum child_end check_child_run(const struct check_options *options, const struct check_case *c,
                               const char *work_dir, struct str *reason);

/* The child's half: tells the outcome to the parent. */
void check_child_report(enum check_outcome outcome, const char *reason);

/* To be called first in a child: dies with its parent, and lends the report's descriptor to
 * nobody. */
void check_child_begin(void);

#endif
