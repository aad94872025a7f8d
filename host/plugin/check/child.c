/* One conformance case in a child process: started, listened to, and killed at the time limit. The
 * child's outcome comes on a pipe of its own, so that nothing a plugin prints can be taken for it.
 */
#include "plugin/check/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGS_MAX 64
#define TEXT_SIZE_MAX (64u << 10) /* of what a child says that is kept */
#define POLL_MS 2

static const char outcome_letters[] = {[CHECK_PASS] = 'p', [CHECK_FAIL] = 'f', [CHECK_SKIP] = 's'};

/* --- The child -------------------------------------------------------------------------------- */

void check_child_begin(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    fcntl(CHECK_REPORT_FD, F_SETFD, FD_CLOEXEC);
}

void check_child_report(enum check_outcome outcome, const char *reason)
{
    struct str line = {0};
    str_putc(&line, outcome_letters[outcome]);
    str_puts(&line, reason);
    fs_write_all(CHECK_REPORT_FD, line.data, line.len);
    close(CHECK_REPORT_FD);
    str_finish(&line);
}

/* --- The parent ------------------------------------------------------------------------------- */

enum { PIPE_REPORT, PIPE_PRINTED, PIPE_COUNT };

struct child {
    pid_t pid;
    int fds[PIPE_COUNT]; /* our ends; -1: closed */
    struct str texts[PIPE_COUNT];
    int status;
    bool killed;
};

static bool child_spawn(struct child *child, char *const *args, const int *theirs)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, theirs[PIPE_PRINTED], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, theirs[PIPE_PRINTED], STDERR_FILENO);
    posix_spawn_file_actions_adddup2(&actions, theirs[PIPE_REPORT], CHECK_REPORT_FD);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setpgroup(&attributes, 0);
    int error = posix_spawn(&child->pid, "/proc/self/exe", &actions, &attributes, args, environ);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    errno = error;
    return error == 0;
}

static bool child_start(struct child *child, char *const *args)
{
    int theirs[PIPE_COUNT] = {-1, -1};
    bool started = true;
    for (int i = 0; i < PIPE_COUNT && started; i++) {
        int ends[2];
        /* Over 3, so that no end is overwritten on its way to its place in the child. */
        started = pipe2(ends, O_CLOEXEC) == 0;
        if (!started)
            break;
        child->fds[i] = fcntl(ends[0], F_DUPFD_CLOEXEC, CHECK_REPORT_FD + 1);
        theirs[i] = fcntl(ends[1], F_DUPFD_CLOEXEC, CHECK_REPORT_FD + 1);
        close(ends[0]);
        close(ends[1]);
        started =
            child->fds[i] >= 0 && theirs[i] >= 0 && fcntl(child->fds[i], F_SETFL, O_NONBLOCK) == 0;
    }
    started = started && child_spawn(child, args, theirs);
    int error = errno;
    for (int i = 0; i < PIPE_COUNT; i++)
        if (theirs[i] >= 0)
            close(theirs[i]);
    errno = error;
    return started;
}

/* Takes what is there to read; what is over the limit is thrown away. */
static void child_read(struct child *child, int i)
{
    char block[4096];
    ssize_t got = 1;
    while (child->fds[i] >= 0 && got > 0) {
        got = read(child->fds[i], block, sizeof(block));
        if (got > 0 && child->texts[i].len < TEXT_SIZE_MAX)
            str_append(&child->texts[i], block, (size_t)got);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
            close(child->fds[i]);
            child->fds[i] = -1;
        }
    }
}

/* Listens until the child has ended, and kills it and all that it started at the deadline. */
static void child_wait(struct child *child, int64_t deadline)
{
    bool ended = false;
    while (!ended) {
        struct pollfd polls[PIPE_COUNT];
        for (int i = 0; i < PIPE_COUNT; i++)
            polls[i] = (struct pollfd){.fd = child->fds[i], .events = POLLIN};
        poll(polls, PIPE_COUNT, POLL_MS);
        for (int i = 0; i < PIPE_COUNT; i++)
            child_read(child, i);
        ended = waitpid(child->pid, &child->status, WNOHANG) != 0;
        if (!ended && !child->killed && clock_now() >= deadline) {
            kill(child->pid, SIGKILL);
            child->killed = true;
        }
    }
    kill(-child->pid, SIGKILL);
    for (int i = 0; i < PIPE_COUNT; i++)
        child_read(child, i);
}

/* The last line that says something: what a sanitizer, an assertion or the plugin printed. */
static void add_last_line(struct str *reason, const struct str *printed)
{
    const char *end = str_text(printed) + printed->len;
    while (end > str_text(printed) && (unsigned char)end[-1] <= ' ')
        end--;
    const char *start = end;
    while (start > str_text(printed) && start[-1] != '\n' && end - start < 200)
        start--;
    if (end > start)
        str_printf(reason, " (it printed: %.*s)", (int)(end - start), start);
}

static enum child_end child_outcome(const struct child *child, double timeout_s, struct str *reason)
{
    const struct str *report = &child->texts[PIPE_REPORT];
    const char letter = report->len ? report->data[0] : '\0';
    enum child_end end = CHILD_FAIL;
    if (letter)
        str_append(reason, report->data + 1, report->len - 1);
    if (letter == outcome_letters[CHECK_FAIL])
        return CHILD_FAIL;
    if (child->killed) {
        str_clear(reason);
        str_printf(reason, "still running after %g s, killed", timeout_s);
        return CHILD_TIMEOUT;
    }
    if (WIFSIGNALED(child->status)) {
        const char *name = sigabbrev_np(WTERMSIG(child->status));
        str_clear(reason);
        str_printf(reason, "crashed with SIG%s", name ? name : "unknown");
        end = CHILD_CRASH;
    } else if (!letter) {
        str_printf(reason, "the plugin ended the process, with exit code %d",
                   WEXITSTATUS(child->status));
    } else if (WEXITSTATUS(child->status) != 0) {
        str_clear(reason);
        str_printf(reason, "the process ended with exit code %d after the case",
                   WEXITSTATUS(child->status));
    } else {
        return letter == outcome_letters[CHECK_SKIP] ? CHILD_SKIP : CHILD_PASS;
    }
    add_last_line(reason, &child->texts[PIPE_PRINTED]);
    return end;
}

enum child_end check_child_run(const struct check_options *options, const struct check_case *c,
                               const char *work_dir, struct str *reason)
{
    const char *const own[] = {"--in-process", "--case", c->name, "--work-dir", work_dir};
    const size_t own_count = sizeof(own) / sizeof(*own);
    const char *args[ARGS_MAX] = {"voxhost"};
    size_t count = 1;
    struct child child = {.fds = {-1, -1}};
    enum child_end end = CHILD_FAIL;
    for (size_t i = 0; options->child_args[i] && count + own_count + 1 < ARGS_MAX; i++)
        args[count++] = options->child_args[i];
    memcpy(args + count, own, sizeof(own));
    if (child_start(&child, (char *const *)args)) {
        child_wait(&child, clock_now() + (int64_t)(options->timeout_s * (double)CLOCK_S));
        end = child_outcome(&child, options->timeout_s, reason);
    } else {
        str_printf(reason, "the case could not be started: %s", strerror(errno));
    }
    for (int i = 0; i < PIPE_COUNT; i++) {
        if (child.fds[i] >= 0)
            close(child.fds[i]);
        str_finish(&child.texts[i]);
    }
    return end;
}
