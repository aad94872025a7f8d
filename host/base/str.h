/* Growing text, lists of texts, UTF-8 checks and spelling suggestions. */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* A growing buffer; all zero is an empty one. `data` is terminated once it is not NULL. */
struct str {
    char *data;
    size_t len, cap;
};

void str_append(struct str *s, const char *data, size_t len);
void str_puts(struct str *s, const char *text);
void str_putc(struct str *s, char c);
__attribute__((format(printf, 2, 3))) void str_printf(struct str *s, const char *format, ...);
__attribute__((format(printf, 2, 0))) void str_vprintf(struct str *s, const char *format,
                                                       va_list args);
const char *str_text(const struct str *s); /* never NULL; borrowed until the next change */
char *str_take(struct str *s);             /* the text, owned by the caller; `s` is empty again */
void str_clear(struct str *s);             /* empty, keeps the memory */
void str_finish(struct str *s);

/* Appends base64 with padding, without line ends. */
void str_append_base64(struct str *s, const void *data, size_t len);

/* An owned copy of a formatted text. */
__attribute__((format(printf, 1, 2))) char *str_format(const char *format, ...);

/* A list of texts that owns them; all zero is an empty one. */
struct text_list {
    char **items;
    size_t count;
};

void text_list_add(struct text_list *list, char *text); /* takes `text` over */
void text_list_finish(struct text_list *list);

/* True when the bytes are UTF-8 (no surrogates, no overlong forms). Else *bad is the first wrong
 * byte. */
bool utf8_valid(const char *data, size_t len, size_t *bad);
/* The longest length <= max that does not cut a character of valid UTF-8. */
size_t utf8_cut(const char *data, size_t len, size_t max);
/* True when the text has nothing but white space. */
bool text_is_blank(const char *data, size_t len);
/* Equal without regard to ASCII case, in any locale. */
bool text_equal_nocase(const char *a, const char *b);
/* Compares like strcmp but by lower-cased ASCII. */
int text_compare_nocase(const char *a, const char *b);

/* The candidate that `word` was probably meant to be, or NULL. Borrowed from `candidates`. */
const char *suggest(const char *word, const char *const *candidates, size_t count);

#endif
