/* Small conveniences for plugin authors: static inline, nothing to link, no state. All [any]. */
#ifndef VOX_HELPERS_H
#define VOX_HELPERS_H

#include "vox/plugin.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define VOX_PRINTF(format_index, first_index) \
    __attribute__((format(printf, format_index, first_index)))
#else
#define VOX_PRINTF(format_index, first_index)
#endif

/* The first fields of every entry: `.magic` to `.size`. (Designated initialisers: C, and C++20.) */
#define VOX_ENTRY_HEAD                                                          \
    .magic = VOX_MAGIC, .abi_major = VOX_ABI_MAJOR, .abi_minor = VOX_ABI_MINOR, \
    .size = (uint32_t)sizeof(struct vox_entry)

/* Number of elements of an array, as the ABI's counts want it. */
#define VOX_COUNT(array) ((uint32_t)(sizeof(array) / sizeof((array)[0])))

/* Writes `code` and a formatted line into `error` (which may be NULL) and returns `code`:
 * `return vox_fail(error, VOX_EMODEL, "%s: cannot be read", path);` */
VOX_PRINTF(3, 4)
static inline int32_t vox_fail(struct vox_error *error, int32_t code, const char *format, ...)
{
    if (error) {
        va_list args;
        va_start(args, format);
        error->code = code;
        vsnprintf(error->message, sizeof(error->message), format, args);
        va_end(args);
    }
    return code;
}

/* A borrowed string over terminated text. */
static inline struct vox_str vox_text(const char *text)
{
    struct vox_str s;
    s.data = text;
    s.size = text ? strlen(text) : 0;
    return s;
}

/* 1 when `s` is exactly `text`. */
static inline int vox_str_is(struct vox_str s, const char *text)
{
    size_t size = strlen(text);
    return s.size == size && (size == 0 || memcmp(s.data, text, size) == 0);
}

/* Logs a formatted line of at most 1023 bytes. */
VOX_PRINTF(3, 4)
static inline void vox_logf(const struct vox_host *host, uint32_t level, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    host->log(host, level, vox_text(line));
}

/* Adds a formatted warning of at most 511 bytes to the job's result. */
VOX_PRINTF(2, 3)
static inline void vox_warnf(const struct vox_job *job, const char *format, ...)
{
    char line[512];
    va_list args;
    if (!VOX_HAS(job, warn))
        return;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    job->warn(job, vox_text(line));
}

#ifdef __cplusplus
}
#endif

#endif
