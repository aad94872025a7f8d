/* `voxhost check`: which cases run, where, and how their outcomes are shown. Knows no case.
 *
 *     check_run -> for each case: check_child_run -> (child) check_run with work_dir -> check_case_run
 */
#include "plugin/check/child.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_FAILED 1
#define EXIT_USAGE 2
#define FTW_FDS_MAX 16
#define REASON_SIZE_MAX 500 /* bytes of it that are shown */

static const char *const end_words[] = {[CHILD_PASS] = "pass",
                                        [CHILD_FAIL] = "fail",
                                        [CHILD_SKIP] = "skip",
                                        [CHILD_TIMEOUT] = "timeout",
                                        [CHILD_CRASH] = "crash"};

struct run {
    const struct check_options *options;
    const char *path;
    char work_root[32];
    enum child_end *ends; /* of each case of the table */
    size_t counts[CHILD_CRASH + 1];
    struct str results; /* the JSON array */
    int name_width;
};

/* --- Folders ---------------------------------------------------------------------------------- */

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *ftw)
{
    (void)info;
    (void)kind;
    (void)ftw;
    remove(path); /* what cannot be removed stays under /tmp */
    return 0;
}

static void remove_tree(const char *path)
{
    nftw(path, remove_entry, FTW_FDS_MAX, FTW_DEPTH | FTW_PHYS);
}

/* --- Output ----------------------------------------------------------------------------------- */

static void write_json_text(struct str *out, const char *key, const char *text)
{
    str_printf(out, ",\"%s\":", key);
    json_write_string(out, text, strlen(text));
}

static int list_cases(bool json)
{
    struct str out = {0};
    str_puts(&out, json ? "{\"cases\":[" : "");
    for (size_t i = 0; i < check_case_count; i++) {
        const struct check_case *c = &check_cases[i];
        if (!json) {
            str_printf(&out, "%-26s %s\n", c->name, c->clause);
            continue;
        }
        str_printf(&out, "%s{\"name\":\"%s\"", i ? "," : "", c->name);
        write_json_text(&out, "clause", c->clause);
        write_json_text(&out, "needs", c->needs);
        str_putc(&out, '}');
    }
    str_puts(&out, json ? "]}\n" : "");
    fputs(str_text(&out), stdout);
    str_finish(&out);
    return fflush(stdout) == 0 ? 0 : EXIT_FAILED;
}

/* What plugins say may be anything; a result is one line. */
static void flatten(struct str *text)
{
    if (text->len > REASON_SIZE_MAX) {
        text->len = REASON_SIZE_MAX;
        text->data[REASON_SIZE_MAX] = '\0';
    }
    for (size_t i = 0; i < text->len; i++)
        if ((unsigned char)text->data[i] < 0x20 || text->data[i] == 0x7f)
            text->data[i] = ' ';
}

static void show_result(struct run *run, const struct check_case *c, enum child_end end,
                        const char *reason, int64_t ms)
{
    if (run->options->json) {
        str_printf(&run->results, "%s{\"name\":\"%s\",\"outcome\":\"%s\",\"ms\":%lld",
                   run->results.len ? "," : "", c->name, end_words[end], (long long)ms);
        write_json_text(&run->results, "clause", c->clause);
        write_json_text(&run->results, "reason", reason);
        str_putc(&run->results, '}');
        return;
    }
    if (end == CHILD_PASS)
        printf("ok   %-*s %s%s%s%s\n", run->name_width, c->name, c->clause, reason[0] ? " (" : "",
               reason, reason[0] ? ")" : "");
    else
        printf("%s %s: %s\n", end == CHILD_SKIP ? "skip" : "FAIL", c->name, reason);
    fflush(stdout);
}

static void show_summary(const struct run *run)
{
    size_t passed = run->counts[CHILD_PASS], skipped = run->counts[CHILD_SKIP];
    size_t failed = run->counts[CHILD_FAIL] + run->counts[CHILD_TIMEOUT] + run->counts[CHILD_CRASH];
    if (run->options->json) {
        struct str out = {0};
        str_printf(&out, "{\"passed\":%zu,\"failed\":%zu,\"skipped\":%zu", passed, failed, skipped);
        write_json_text(&out, "plugin", run->path);
        str_printf(&out, ",\"results\":[%s]}\n", str_text(&run->results));
        fputs(str_text(&out), stdout);
        str_finish(&out);
    } else {
        printf("%zu passed, %zu failed, %zu skipped\n", passed, failed, skipped);
    }
    fflush(stdout);
}

/* --- Cases ------------------------------------------------------------------------------------ */

static enum child_end run_in_process(const struct run *run, const struct check_case *c,
                                     const char *work_dir, struct str *reason)
{
    static const enum child_end ends[] = {
        [CHECK_PASS] = CHILD_PASS, [CHECK_FAIL] = CHILD_FAIL, [CHECK_SKIP] = CHILD_SKIP};
    struct check_cx cx;
    struct err err = {0};
    enum check_outcome outcome = CHECK_FAIL;
    if (check_cx_init(&cx, run->options, run->path, work_dir, &err) == 0)
        outcome = check_case_run(c, &cx);
    else
        cx_fail(&cx, "%s", err.message);
    str_puts(reason, str_text(&cx.reason));
    /* Told before a plugin that failed is closed, which may go wrong too. */
    if (run->options->work_dir)
        check_child_report(outcome, str_text(reason));
    if (run->options->work_dir && outcome == CHECK_FAIL)
        _exit(0);
    cx_down(&cx);
    check_cx_finish(&cx);
    return ends[outcome];
}

static enum child_end run_in_child(const struct run *run, const struct check_case *c,
                                   const char *work_dir, struct str *reason)
{
    return check_child_run(run->options, c, work_dir, reason);
}

/* The case that this one needs and that did not pass, or NULL. */
static const struct check_case *unmet_need(const struct run *run, const struct check_case *c)
{
    const struct check_case *needed = check_case_find(c->needs);
    if (!needed)
        return NULL;
    enum child_end end = run->ends[needed - check_cases];
    return end == CHILD_PASS ? NULL : needed;
}

static bool is_chosen(const struct check_options *options, const char *name)
{
    for (size_t i = 0; i < options->case_count; i++)
        if (strcmp(options->cases[i], name) == 0)
            return true;
    return options->case_count == 0;
}

static void run_case(struct run *run, const struct check_case *c)
{
    struct str reason = {0};
    enum child_end *end = &run->ends[c - check_cases];
    const struct check_case *unmet = unmet_need(run, c);
    char *work_dir = fs_join(run->work_root, c->name);
    int64_t start = clock_now();
    if (unmet) {
        *end = CHILD_SKIP;
        str_printf(&reason, "needs %s", unmet->name);
    } else if (run->options->in_process) {
        *end = run_in_process(run, c, work_dir, &reason);
    } else {
        *end = run_in_child(run, c, work_dir, &reason);
    }
    remove_tree(work_dir);
    flatten(&reason);
    run->counts[*end]++;
    show_result(run, c, *end, str_text(&reason), (clock_now() - start) / CLOCK_MS);
    free(work_dir);
    str_finish(&reason);
}

static int run_cases(struct run *run)
{
    const struct check_options *options = run->options;
    char *start_dir = fs_current_dir();
    snprintf(run->work_root, sizeof(run->work_root), "/tmp/voxhost-check-XXXXXX");
    if (!mkdtemp(run->work_root)) {
        fprintf(stderr, "voxhost check: %s: %s\n", run->work_root, strerror(errno));
        free(start_dir);
        return EXIT_USAGE;
    }
    for (size_t i = 0; i < check_case_count; i++)
        if (is_chosen(options, check_cases[i].name))
            run_case(run, &check_cases[i]);
    show_summary(run);
    if (chdir(start_dir) == 0)
        remove_tree(run->work_root);
    free(start_dir);
    size_t well = run->counts[CHILD_PASS] + run->counts[CHILD_SKIP];
    size_t all =
        well + run->counts[CHILD_FAIL] + run->counts[CHILD_TIMEOUT] + run->counts[CHILD_CRASH];
    return well == all ? 0 : EXIT_FAILED;
}

/* --- Start ------------------------------------------------------------------------------------ */

/* The library's absolute path, so that a case may change the directory. */
static char *find_library(const char *name, struct err *err)
{
    char *here = fs_current_dir();
    char *found = plugin_find(name, here, NULL, err);
    char *path = found ? realpath(found, NULL) : NULL;
    if (found && !path)
        err_set(err, ERR_INVALID, NULL, "%s: %s", found, strerror(errno));
    free(found);
    free(here);
    return path;
}

static bool cases_are_known(const struct check_options *options)
{
    for (size_t i = 0; i < options->case_count; i++) {
        if (check_case_find(options->cases[i]))
            continue;
        const char *names[256];
        size_t count = 0;
        for (; count < check_case_count && count < sizeof(names) / sizeof(*names); count++)
            names[count] = check_cases[count].name;
        const char *meant = suggest(options->cases[i], names, count);
        fprintf(stderr, "voxhost check: --case %s: no such case", options->cases[i]);
        if (meant)
            fprintf(stderr, " (did you mean \"%s\"?)", meant);
        fprintf(stderr, "; --list shows them\n");
        return false;
    }
    return true;
}

int check_run(const struct check_options *options)
{
    struct run run = {.options = options, .name_width = 26};
    struct err err = {0};
    struct str reason = {0};
    int result = EXIT_USAGE;
    if (options->work_dir)
        check_child_begin();
    if (!cases_are_known(options))
        return EXIT_USAGE;
    if (options->list)
        return list_cases(options->json);
    char *path = find_library(options->plugin_path, &err);
    if (!path) {
        fprintf(stderr, "voxhost check: %s\n", err.message);
        return EXIT_USAGE;
    }
    run.path = path;
    run.ends = mem_alloc_array(check_case_count, sizeof(*run.ends));
    if (options->work_dir && options->case_count == 1) {
        run_in_process(&run, check_case_find(options->cases[0]), options->work_dir, &reason);
        result = 0;
    } else {
        result = run_cases(&run);
    }
    str_finish(&run.results);
    str_finish(&reason);
    free(run.ends);
    free(path);
    return result;
}
