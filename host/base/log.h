/* Log lines on a file descriptor: JSON for programs, text for people. One write per line, no
 * secrets, no audio, no job text.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>
#include <stddef.h>

enum log_level { LOG_DEBUG = 1, LOG_INFO, LOG_WARN, LOG_ERROR };

/* Set once before other threads see it, then read only. */
struct log {
    int fd;
    enum log_level level; /* lines below it are not written */
    bool json;
};

struct log_field {
    const char *key;
    const char *text; /* NULL: the number counts */
    double number;
};

#define LOG_TEXT(key, text) ((struct log_field){key, text, 0})
#define LOG_NUMBER(key, number) ((struct log_field){key, NULL, (double)(number)})

/* Writes one line: the event ("model ready"), then the fields. */
void log_write(const struct log *log, enum log_level level, const char *component,
               const char *event, const struct log_field *fields, size_t count);

#define LOG_EVENT(log, level, component, event, ...)                                 \
    log_write(log, level, component, event, (const struct log_field[]){__VA_ARGS__}, \
              sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))

#endif
