/* When a plugin brings the process down, one line on stderr says where it was. */
#ifndef BASE_CRASH_H
#define BASE_CRASH_H

#include <stdbool.h>

/* Installs the handlers, for faults and for a plugin that calls exit. [main] */
void crash_install(void);

/* Where crash_enter's record is appended when the process goes down; NULL: nowhere. Borrowed for
 * good. [main] */
void crash_record_to(const char *path);
bool crash_records(void);

/* Notes what this thread is about to enter: `plugin "x" (model "y") in init`. `record`: a line for
 * crash_record_to, with its line end, borrowed until crash_leave; NULL: none. */
__attribute__((format(printf, 2, 3))) void crash_enter(const char *record, const char *format, ...);
/* It came back. */
void crash_leave(void);

#endif
