/* The last line of a process that a plugin brings down; see crash.h. Async-signal-safe: the line is
 * put together before, when the plugin is entered.
 */
#include "base/crash.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Read by the signal handler of the same thread only. */
static _Thread_local char current[512];
static _Thread_local volatile sig_atomic_t current_len;
static _Thread_local const char *current_record;

/* Set once, before threads start. */
static const char *record_path;

/* A stack that has run over leaves no room for its handler. */
#define HANDLER_STACK_SIZE (16u << 10) /* the C library clears it for every thread */
static _Thread_local char handler_stack[HANDLER_STACK_SIZE];
static _Thread_local bool has_handler_stack;

void crash_record_to(const char *path)
{
    record_path = path;
}

bool crash_records(void)
{
    return record_path != NULL;
}

/* Unless this thread has one: a sanitizer's runtime brings its own. */
static void use_handler_stack(void)
{
    stack_t stack;
    if (has_handler_stack)
        return;
    has_handler_stack = true;
    if (sigaltstack(NULL, &stack) != 0 || !(stack.ss_flags & SS_DISABLE))
        return;
    stack = (stack_t){.ss_sp = handler_stack, .ss_size = sizeof(handler_stack)};
    sigaltstack(&stack, NULL); /* without it, a stack that ran over ends without our line */
}

void crash_enter(const char *record, const char *format, ...)
{
    static const char begin[] = "voxhost: fatal: the process was brought down in ", end[] = "\n";
    const size_t room = sizeof(current) - sizeof(end);
    va_list args;
    use_handler_stack();
    current_len = 0;
    current_record = record;
    memcpy(current, begin, sizeof(begin) - 1);
    va_start(args, format);
    vsnprintf(current + sizeof(begin) - 1, room - (sizeof(begin) - 1), format, args);
    va_end(args);
    size_t len = strnlen(current, room);
    memcpy(current + len, end, sizeof(end));
    current_len = (int)(len + sizeof(end) - 1);
}

void crash_leave(void)
{
    current_len = 0;
}

static void write_line(void)
{
    int fd =
        current_record && record_path ? open(record_path, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
    ssize_t record = fd >= 0 ? write(fd, current_record, strlen(current_record)) : 0;
    ssize_t line = write(STDERR_FILENO, current, (size_t)current_len);
    (void)record;
    (void)line;
}

static void report(int signal_number)
{
    if (current_len > 0)
        write_line();
    raise(signal_number); /* the default action: SA_RESETHAND */
}

/* exit() runs this in the thread that called it: inside a plugin that is not the end of the run. */
static void report_exit(void)
{
    if (current_len == 0)
        return;
    write_line();
    _exit(1);
}

void crash_install(void)
{
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
    struct sigaction action = {.sa_handler = report,
                               .sa_flags = (int)(SA_RESETHAND | SA_NODEFER | SA_ONSTACK)};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
        sigaction(fatal[i], &action, NULL);
    /* exit() in a plugin's thread would free OpenSSL's tables under the threads that hash, and one
     * of them would bring the process down before report_exit has written its record. */
    OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL);
    atexit(report_exit);
}
