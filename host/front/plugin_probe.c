/* Opens a plugin in a child process to read what it says of itself: a library that crashes, hangs
 * or prints when it is opened does so alone, and the many libraries of a folder never meet in one
 * process. The child is this program (`voxhost plugins --probe PATH`); its answer comes over a
 * pipe.
 */
#include "front/inspect.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROBE_FD 3
#define PROBE_TIME_MAX (60 * CLOCK_S)
#define PROBE_SIZE_MAX (4u << 20)

int plugin_probe_answer(const char *path)
{
    struct str text = {0};
    cJSON *sheet = plugin_sheet_create(path, NULL);
    json_write(&text, sheet);
    int result = fs_write_all(PROBE_FD, text.data, text.len);
    cJSON_Delete(sheet);
    str_finish(&text);
    return result == 0 ? EXIT_ALL_WELL : EXIT_WRONG_USE;
}

/* What the child prints goes to standard error, so that it cannot spoil ours. */
static int spawn_probe(const char *path, int answer, pid_t *child)
{
    const char *arguments[] = {"voxhost", "plugins", "--probe", path, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, answer, PROBE_FD);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    int result = posix_spawn(child, "/proc/self/exe", &actions, NULL,
                             (char *const *)(uintptr_t)arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    return result;
}

/* Reads until the other side is closed; false when that takes too long or too much comes. */
static bool read_answer(int fd, struct str *answer)
{
    char block[4096];
    int64_t deadline = clock_now() + PROBE_TIME_MAX;
    for (;;) {
        struct pollfd poller = {.fd = fd, .events = POLLIN};
        int64_t left_ms = (deadline - clock_now()) / CLOCK_MS;
        int ready = left_ms > 0 ? poll(&poller, 1, (int)left_ms) : 0;
        if (ready < 0 && errno == EINTR)
            continue;
        ssize_t len = ready > 0 ? read(fd, block, sizeof(block)) : -1;
        if (len == 0)
            return true;
        if (len < 0 || answer->len + (size_t)len > PROBE_SIZE_MAX)
            return false;
        str_append(answer, block, (size_t)len);
    }
}

static char *explain(const char *path, bool in_time, int status)
{
    const char *name = WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : NULL;
    if (!in_time)
        return str_format("%s: did not come back when it was opened", path);
    if (WIFSIGNALED(status))
        return str_format("%s: crashes when it is opened (SIG%s)", path, name ? name : "?");
    return str_format("%s: ends the process when it is opened (exit code %d)", path,
                      WEXITSTATUS(status));
}

/* Runs the child; its answer, or NULL with the reason in `why`. */
static cJSON *run_probe(const char *path, char **why)
{
    int ends[2], status = 0;
    pid_t child;
    struct str answer = {0};
    struct err err;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        *why = str_format("%s: could not be tried: %s", path, strerror(errno));
        return NULL;
    }
    int result = spawn_probe(path, ends[1], &child);
    close(ends[1]);
    if (result != 0) {
        close(ends[0]);
        *why = str_format("%s: could not be tried: %s", path, strerror(result));
        return NULL;
    }
    bool in_time = read_answer(ends[0], &answer);
    close(ends[0]);
    if (!in_time)
        kill(child, SIGKILL);
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    cJSON *sheet = json_parse(str_text(&answer), answer.len, &JSON_LIMITS_DEFAULT, &err);
    if (!sheet)
        *why = explain(path, in_time, status);
    str_finish(&answer);
    return sheet;
}

cJSON *plugin_probe(const char *path, bool *is_deadly)
{
    char *why = NULL;
    cJSON *sheet = run_probe(path, &why);
    *is_deadly = !sheet;
    if (!sheet) {
        sheet = cJSON_CreateObject();
        cJSON_AddStringToObject(sheet, "path", path);
        cJSON_AddStringToObject(sheet, "error", why);
        cJSON_AddNullToObject(sheet, "hidden_by");
    }
    free(why);
    return sheet;
}
