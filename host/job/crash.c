/* When a plugin brings the process down, one line says which job and model it was. Async-signal-safe: the
 * line is put together before, when a job starts.
 */
#include "job/job_private.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Read by the signal handler of the same thread only. */
static _Thread_local char current[512];
static _Thread_local volatile sig_atomic_t current_len;

void crash_report_enter(const struct job *job)
{
    current_len = 0;
    if (!job)
        return;
    int len = snprintf(
        current, sizeof(current),
        "voxhost: fatal: the process was brought down in plugin \"%s\" (model \"%s\", job \"%s\"); "
        "what is finished is kept, `batch --resume` goes on\n",
        model_entry(job->model)->id, model_name(job->model), job->id);
    current_len = len < (int)sizeof(current) ? len : (int)sizeof(current) - 1;
}

static void report(int signal_number)
{
    if (current_len > 0) {
        ssize_t ignored = write(STDERR_FILENO, current, (size_t)current_len);
        (void)ignored;
    }
    raise(signal_number); /* the default action: SA_RESETHAND */
}

void crash_report_install(void)
{
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    struct sigaction action = {.sa_handler = report, .sa_flags = (int)(SA_RESETHAND | SA_NODEFER)};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
        sigaction(fatal[i], &action, NULL);
}
