/* Conformance cases on what belongs to the whole process: streams, environment, signals, files,
 * threads, memory. And the measures that they take.
 */
#include "plugin/check/cases.h"

#include <dirent.h>
#include <errno.h>
#include <locale.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PRINTED_SIZE_MAX 4096
#define LISTING_ENTRIES_MAX 100000
#define LISTING_DEPTH_MAX 8
#define GROWTH_STEPS_MAX 30
#define GROWTH_STEPS_MIN 2 /* also when the time is over */
#define GROWTH_WARM_UP 5
#define GROWTH_TIME_SHARE 0.15            /* of the time limit, for each of two windows */
#define HEAP_PER_STEP_MAX 1024            /* bytes */
#define RESIDENT_PER_STEP_MAX (256 << 10) /* bytes; coarse, for what is not on the heap */
#define RESIDENT_MAX (4 << 20)            /* bytes in a window */
#define THREAD_WAIT_MS 300                /* for threads that are ending */

/* Sanitizers replace malloc, and keep freed memory for a while. */
extern size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

/* Loads, speaks one job and frees all. */
static bool full_cycle(struct check_cx *cx)
{
    bool spoke = cx_speak(cx) != NULL;
    cx_down(cx);
    return spoke;
}

/* --- State that must stay --------------------------------------------------------------------- */

struct process_state {
    char *environment, *directory, *locale;
    locale_t thread_locale;
    struct sigaction actions[NSIG];
    sigset_t mask;
    mode_t umask;
};

struct process_state *process_state_create(void)
{
    struct process_state *state = mem_alloc(sizeof(*state));
    struct str environment = {0};
    for (char **variable = environ; variable && *variable; variable++)
        str_printf(&environment, "%s\n", *variable);
    state->environment = str_take(&environment);
    state->directory = fs_current_dir();
    state->locale = mem_copy_string(setlocale(LC_ALL, NULL));
    state->thread_locale = uselocale((locale_t)0);
    for (int number = 1; number < NSIG; number++)
        sigaction(number, NULL, &state->actions[number]); /* fails for some, alike each time */
    pthread_sigmask(SIG_SETMASK, NULL, &state->mask);
    state->umask = umask(0);
    umask(state->umask);
    return state;
}

void process_state_destroy(struct process_state *state)
{
    if (!state)
        return;
    free(state->environment);
    free(state->directory);
    free(state->locale);
    free(state);
}

static bool same_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

/* The state after a job, with the model still loaded; NULL when there is none. */
static struct process_state *state_after_job(struct check_cx *cx)
{
    return cx_speak(cx) ? process_state_create() : NULL;
}

enum check_outcome check_keeps_environment(struct check_cx *cx)
{
    struct process_state *after = state_after_job(cx);
    if (!after)
        return CHECK_FAIL;
    bool kept = same_text(cx->before->environment, after->environment);
    process_state_destroy(after);
    return kept ? CHECK_PASS : cx_fail(cx, "environment variables are not as they were");
}

enum check_outcome check_keeps_directory(struct check_cx *cx)
{
    struct process_state *after = state_after_job(cx);
    if (!after)
        return CHECK_FAIL;
    enum check_outcome outcome = CHECK_PASS;
    if (!same_text(cx->before->directory, after->directory))
        outcome = cx_fail(cx, "the working directory has become %s",
                          after->directory ? after->directory : "unknown");
    process_state_destroy(after);
    return outcome;
}

enum check_outcome check_keeps_locale(struct check_cx *cx)
{
    struct process_state *after = state_after_job(cx);
    if (!after)
        return CHECK_FAIL;
    enum check_outcome outcome = CHECK_PASS;
    if (!same_text(cx->before->locale, after->locale))
        outcome = cx_fail(cx, "the locale was %s, now it is %s", cx->before->locale, after->locale);
    else if (cx->before->thread_locale != after->thread_locale)
        outcome = cx_fail(cx, "the thread has another locale");
    process_state_destroy(after);
    return outcome;
}

enum check_outcome check_keeps_signals(struct check_cx *cx)
{
    struct process_state *after = state_after_job(cx);
    if (!after)
        return CHECK_FAIL;
    enum check_outcome outcome = CHECK_PASS;
    for (int number = 1; number < NSIG && outcome == CHECK_PASS; number++) {
        const char *name = sigabbrev_np(number);
        if (cx->before->actions[number].sa_handler != after->actions[number].sa_handler)
            outcome = cx_fail(cx, "signal %s has another handler", name ? name : "(real time)");
        else if (sigismember(&cx->before->mask, number) != sigismember(&after->mask, number))
            outcome = cx_fail(cx, "signal %s is %s", name ? name : "(real time)",
                              sigismember(&after->mask, number) ? "blocked" : "no longer blocked");
    }
    process_state_destroy(after);
    return outcome;
}

enum check_outcome check_keeps_umask(struct check_cx *cx)
{
    struct process_state *after = state_after_job(cx);
    if (!after)
        return CHECK_FAIL;
    enum check_outcome outcome = CHECK_PASS;
    if (cx->before->umask != after->umask)
        outcome = cx_fail(cx, "the file mode mask was %04o, now it is %04o", cx->before->umask,
                          after->umask);
    umask(cx->before->umask);
    process_state_destroy(after);
    return outcome;
}

/* The same job, with and without variables. */
enum check_outcome check_no_environment(struct check_cx *cx)
{
    static char *nothing[] = {NULL};
    char **variables = environ;
    const struct take *with = cx_speak(cx);
    cx_down(cx);
    if (!with)
        return CHECK_FAIL;
    environ = nothing;
    const struct take *without = cx_speak(cx);
    cx_down(cx);
    environ = variables;
    if (!without) {
        char *why = str_take(&cx->reason);
        cx_fail(cx, "without environment variables: %s", why);
        free(why);
        return CHECK_FAIL;
    }
    return takes_equal(with, without)
               ? CHECK_PASS
               : cx_fail(cx, "a job sounds otherwise without environment variables");
}

/* --- Streams ---------------------------------------------------------------------------------- */

/* Runs a full cycle with both streams led into `file`. */
static bool cycle_into(struct check_cx *cx, int file)
{
    fflush(NULL);
    int out = dup(STDOUT_FILENO), error = dup(STDERR_FILENO);
    dup2(file, STDOUT_FILENO);
    dup2(file, STDERR_FILENO);
    bool spoke = full_cycle(cx);
    fflush(NULL);
    dup2(out, STDOUT_FILENO);
    dup2(error, STDERR_FILENO);
    close(out);
    close(error);
    return spoke;
}

enum check_outcome check_no_stdio(struct check_cx *cx)
{
    char printed[PRINTED_SIZE_MAX + 1];
    int file = memfd_create("printed", MFD_CLOEXEC);
    if (file < 0)
        return cx_skip(cx, "memfd_create: %s", strerror(errno));
    bool spoke = cycle_into(cx, file);
    ssize_t size = pread(file, printed, PRINTED_SIZE_MAX, 0);
    close(file);
    if (!spoke)
        return CHECK_FAIL;
    if (size <= 0)
        return CHECK_PASS;
    printed[size] = '\0';
    printed[strcspn(printed, "\r\n")] = '\0';
    return cx_fail(cx, "printed \"%.100s\"", printed);
}

/* --- Files ------------------------------------------------------------------------------------ */

/* Appends every file below `dir` with its size and times. */
static void list_files(const char *dir, int depth, size_t *count, struct str *out)
{
    DIR *folder = opendir(dir);
    struct dirent *entry;
    if (!folder)
        return;
    while ((entry = readdir(folder)) && (*count)++ < LISTING_ENTRIES_MAX) {
        struct stat info;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        char *path = fs_join(dir, entry->d_name);
        if (lstat(path, &info) == 0) {
            str_printf(out, "%s %lld %lld.%09ld\n", path,
                       (long long)(S_ISDIR(info.st_mode) ? 0 : info.st_size),
                       (long long)info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
            if (S_ISDIR(info.st_mode) && depth < LISTING_DEPTH_MAX)
                list_files(path, depth + 1, count, out);
        }
        free(path);
    }
    closedir(folder);
}

enum check_outcome check_no_stray_files(struct check_cx *cx)
{
    struct str before = {0}, after = {0}, run = {0};
    size_t counts[3] = {0};
    enum check_outcome outcome = CHECK_PASS;
    list_files(cx->model_dir, 0, &counts[0], &before);
    if (!full_cycle(cx)) {
        outcome = CHECK_FAIL;
        goto out;
    }
    list_files(cx->model_dir, 0, &counts[1], &after);
    list_files(cx->run_dir, 0, &counts[2], &run);
    if (run.len) {
        const char *name = run.data + strlen(cx->run_dir) + 1;
        outcome =
            cx_fail(cx, "wrote \"%.*s\" in the working directory", (int)strcspn(name, " \n"), name);
    } else if (!same_text(str_text(&before), str_text(&after))) {
        outcome = cx_fail(cx, "files in model_dir are not as they were");
    }
out:
    str_finish(&before);
    str_finish(&after);
    str_finish(&run);
    return outcome;
}

static long count_entries(const char *dir)
{
    long count = 0;
    DIR *folder = opendir(dir);
    if (!folder)
        return -1;
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

/* Steps until the window's time is over; how many, or -1. */
static int run_window(struct check_cx *cx, bool (*step)(struct check_cx *cx), int steps_max)
{
    int64_t end =
        clock_now() + (int64_t)(GROWTH_TIME_SHARE * cx->options->timeout_s * (double)CLOCK_S);
    int steps = 0;
    while (steps < steps_max && (steps < GROWTH_STEPS_MIN || clock_now() < end)) {
        if (!step(cx))
            return -1;
        steps++;
    }
    return steps;
}

static bool speak_again(struct check_cx *cx)
{
    struct take *take = cx->takes ? cx->takes : take_create(cx);
    take_reset(take);
    return cx_speak_take(cx, take);
}

enum check_outcome check_no_descriptor_leak(struct check_cx *cx)
{
    const int jobs_max = 5;
    int jobs = 0;
    long counts[3] = {0};
    for (int window = 0; window < 3; window++) {
        int spoken = run_window(cx, speak_again, jobs_max);
        if (spoken < 0)
            return CHECK_FAIL;
        jobs += spoken;
        counts[window] = count_entries("/proc/self/fd");
    }
    if (counts[2] > counts[1] && counts[1] > counts[0])
        return cx_fail(cx, "%ld more open files after %d jobs", counts[2] - counts[0], jobs);
    return CHECK_PASS;
}

/* --- Threads ---------------------------------------------------------------------------------- */

/* How many threads there are, once those that are ending have ended, or more than `expected`
 * stay. */
static long settled_threads(long expected)
{
    long count = count_entries("/proc/self/task");
    for (int ms = 0; count > expected && ms < THREAD_WAIT_MS; ms += 10) {
        const struct timespec pause = {0, 10000000};
        nanosleep(&pause, NULL);
        count = count_entries("/proc/self/task");
    }
    return count;
}

/* A pool that stays for the next model is no leak; one more with each job or model is. */
enum check_outcome check_no_thread_leak(struct check_cx *cx)
{
    const long baseline = count_entries("/proc/self/task");
    long first = 0, last = 0;
    for (int cycle = 0; cycle < 3; cycle++) {
        for (int job = 0; job < 2; job++)
            if (!cx_speak(cx))
                return CHECK_FAIL;
        cx_down(cx);
        if (cycle == 0)
            first = settled_threads(baseline);
        else
            last = settled_threads(first);
    }
    if (last > first)
        return cx_fail(cx, "%ld more threads after two more loads with two jobs each",
                       last - first);
    return CHECK_PASS;
}

/* --- Memory ----------------------------------------------------------------------------------- */

struct memory {
    int64_t heap, resident; /* bytes */
};

static struct memory measure_memory(void)
{
    struct memory memory = {0};
    struct str statm = {0};
    struct err err = {0};
    if (__sanitizer_get_current_allocated_bytes) {
        memory.heap = (int64_t)__sanitizer_get_current_allocated_bytes();
        return memory;
    }
    struct mallinfo2 info = mallinfo2();
    memory.heap = (int64_t)(info.uordblks + info.hblkhd);
    if (fs_read_file("/proc/self/statm", 256, &statm, &err) == 0) {
        char *rest = NULL;
        strtoll(str_text(&statm), &rest, 10); /* the whole address space */
        memory.resident = strtoll(rest, NULL, 10) * sysconf(_SC_PAGESIZE);
    }
    str_finish(&statm);
    return memory;
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Two windows: what grows in one of them only is a cache that fills. */
enum check_outcome check_growth(struct check_cx *cx, bool (*step)(struct check_cx *cx),
                                const char *what)
{
    struct memory at[3];
    int steps = run_window(cx, step, GROWTH_WARM_UP);
    at[0] = measure_memory();
    for (int window = 1; window < 3 && steps >= 0; window++) {
        steps = run_window(cx, step, window == 1 ? GROWTH_STEPS_MAX : steps);
        at[window] = measure_memory();
    }
    if (steps < 0)
        return CHECK_FAIL;
    int64_t heap = smaller(at[1].heap - at[0].heap, at[2].heap - at[1].heap);
    int64_t resident = smaller(at[1].resident - at[0].resident, at[2].resident - at[1].resident);
    if (heap > (int64_t)steps * HEAP_PER_STEP_MAX)
        return cx_fail(cx, "%lld bytes of heap more with each %s", (long long)(heap / steps), what);
    if (resident > RESIDENT_MAX && resident > (int64_t)steps * RESIDENT_PER_STEP_MAX)
        return cx_fail(cx, "%lld bytes of memory more with each %s", (long long)(resident / steps),
                       what);
    return CHECK_PASS;
}

enum check_outcome check_no_leak(struct check_cx *cx)
{
    return cx_session(cx) ? check_growth(cx, speak_again, "job") : CHECK_FAIL;
}
