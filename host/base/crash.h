/* When a plugin brings the process down, one line on stderr says where it was. */
#ifndef BASE_CRASH_H
#define BASE_CRASH_H

/* Installs the handlers, for faults and for a plugin that calls exit. [main] */
void crash_install(void);

/* Notes what this thread is about to enter: `plugin "x" (model "y") in init`. Async-signal-safe to report later. */
__attribute__((format(printf, 1, 2))) void crash_enter(const char *format, ...);
/* It came back. */
void crash_leave(void);

#endif
