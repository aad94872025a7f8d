/* Errors: a code that every front end shows by the same word, the field it is about, and one line
 * for the person who has to act on it. Callers own the struct; functions write into it where most
 * is known and hand the code up unchanged.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdbool.h>
#include <stddef.h>

/* X(constant, number, word, retryable): the one list of codes. */
#define ERR_CODES(X)                                     \
    X(ERR_INVALID, -1, "invalid_request", false)         \
    X(ERR_UNKNOWN_MODEL, -2, "unknown_model", false)     \
    X(ERR_MODEL_LOADING, -3, "model_loading", true)      \
    X(ERR_MODEL_FAILED, -4, "model_failed", false)       \
    X(ERR_VOICE_NOT_FOUND, -5, "voice_not_found", false) \
    X(ERR_UNSUPPORTED, -6, "unsupported", false)         \
    X(ERR_NO_MEMORY, -7, "out_of_memory", true)          \
    X(ERR_CANCELLED, -8, "cancelled", true)              \
    X(ERR_TIMEOUT, -9, "timeout", true)                  \
    X(ERR_STORAGE, -10, "storage_failed", true)          \
    X(ERR_INTERNAL, -11, "internal", true)               \
    X(ERR_TOO_LARGE, -12, "too_large", false)

enum err_code {
    ERR_NONE = 0,
#define X(constant, number, word, retryable) constant = number,
    ERR_CODES(X)
#undef X
};

struct err {
    enum err_code code;
    char field[128]; /* "options.nfe_step"; empty: about no single field */
    char message
        [1024]; /* one line; does not repeat the field, which stands before it wherever it is shown */
};

/* Fills `err` and returns `code`. `field` may be NULL. The message is cut to fit at a character. */
__attribute__((format(printf, 4, 5))) int err_set(struct err *err, enum err_code code,
                                                  const char *field, const char *format, ...);

/* Puts `prefix` and a colon before the message, to say where: a file, a line, a job. */
__attribute__((format(printf, 2, 3))) void err_prefix(struct err *err, const char *format, ...);

const char *err_word(enum err_code code); /* "invalid_request"; static */
bool err_retryable(enum err_code code);

#endif
