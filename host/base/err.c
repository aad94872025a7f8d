/* Errors; see err.h. Sees nothing else of voxhost but UTF-8 cutting. */
#include "base/err.h"

#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct {
    enum err_code code;
    const char *word;
    bool retryable;
} codes[] = {
#define X(constant, number, word, retryable) {constant, word, retryable},
    ERR_CODES(X)
#undef X
};

static void set_text(char *out, size_t size, const char *text)
{
    size_t len = strlen(text);
    if (len >= size)
        len = utf8_cut(text, len, size - 1);
    memmove(out, text, len);
    out[len] = '\0';
}

int err_set(struct err *err, enum err_code code, const char *field, const char *format, ...)
{
    char message[sizeof(err->message) + 8];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    err->code = code;
    set_text(err->field, sizeof(err->field), field ? field : "");
    set_text(err->message, sizeof(err->message), message);
    return (int)code;
}

void err_prefix(struct err *err, const char *format, ...)
{
    char message[2 * sizeof(err->message)];
    va_list args;
    va_start(args, format);
    int len = vsnprintf(message, sizeof(err->message), format, args);
    va_end(args);
    if (len < 0)
        return;
    size_t used = strlen(message);
    snprintf(message + used, sizeof(message) - used, ": %s", err->message);
    set_text(err->message, sizeof(err->message), message);
}

const char *err_word(enum err_code code)
{
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (codes[i].code == code)
            return codes[i].word;
    return "internal";
}

bool err_retryable(enum err_code code)
{
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
        if (codes[i].code == code)
            return codes[i].retryable;
    return false;
}
