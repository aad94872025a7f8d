/* Text; see str.h. */
#include "base/str.h"

#include "base/mem.h"

#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Growing text ----------------------------------------------------------------------------- */

static void reserve(struct str *s, size_t extra)
{
    size_t need = s->len + extra + 1;
    if (need <= s->cap)
        return;
    size_t cap = s->cap ? s->cap : 64;
    while (cap < need)
        cap *= 2;
    s->data = mem_resize(s->data, cap, 1);
    s->cap = cap;
}

void str_append(struct str *s, const char *data, size_t len)
{
    reserve(s, len);
    if (len)
        memcpy(s->data + s->len, data, len);
    s->len += len;
    s->data[s->len] = '\0';
}

void str_puts(struct str *s, const char *text)
{
    str_append(s, text, strlen(text));
}

void str_putc(struct str *s, char c)
{
    str_append(s, &c, 1);
}

void str_vprintf(struct str *s, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    reserve(s, 0);
    int len = vsnprintf(s->data + s->len, s->cap - s->len, format, args);
    if (len > 0 && (size_t)len >= s->cap - s->len) {
        reserve(s, (size_t)len);
        vsnprintf(s->data + s->len, s->cap - s->len, format, again);
    }
    if (len > 0)
        s->len += (size_t)len;
    va_end(again);
}

void str_printf(struct str *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    str_vprintf(s, format, args);
    va_end(args);
}

void str_append_base64(struct str *s, const void *data, size_t len)
{
    enum { BLOCK = 3 << 20 }; /* whole groups, far below what OpenSSL's int can count */
    const unsigned char *from = data;
    reserve(s, (len + 2) / 3 * 4);
    while (len) {
        size_t step = len < BLOCK ? len : BLOCK;
        int made = EVP_EncodeBlock((unsigned char *)s->data + s->len, from, (int)step);
        s->len += (size_t)made;
        from += step;
        len -= step;
    }
}

const char *str_text(const struct str *s)
{
    return s->data ? s->data : "";
}

char *str_take(struct str *s)
{
    char *data = s->data ? s->data : mem_copy_text("", 0);
    *s = (struct str){0};
    return data;
}

void str_clear(struct str *s)
{
    s->len = 0;
    if (s->data)
        s->data[0] = '\0';
}

void str_finish(struct str *s)
{
    free(s->data);
    *s = (struct str){0};
}

char *str_format(const char *format, ...)
{
    struct str s = {0};
    va_list args;
    va_start(args, format);
    str_vprintf(&s, format, args);
    va_end(args);
    return str_take(&s);
}

void text_list_add(struct text_list *list, char *text)
{
    list->items = mem_resize(list->items, list->count + 1, sizeof(*list->items));
    list->items[list->count++] = text;
}

void text_list_finish(struct text_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct text_list){0};
}

/* --- UTF-8 (The Unicode Standard, table 3-7) -------------------------------------------------- */

/* Length of the well-formed sequence at `p`, or 0. */
static size_t sequence_len(const unsigned char *p, size_t left)
{
    unsigned char c = p[0];
    if (c < 0x80)
        return 1;
    if (c < 0xc2 || c > 0xf4)
        return 0;
    size_t len = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    if (left < len)
        return 0;
    unsigned char low = 0x80, high = 0xbf;
    if (c == 0xe0)
        low = 0xa0;
    else if (c == 0xed)
        high = 0x9f; /* no surrogates */
    else if (c == 0xf0)
        low = 0x90;
    else if (c == 0xf4)
        high = 0x8f;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

bool utf8_valid(const char *data, size_t len, size_t *bad)
{
    const unsigned char *p = (const unsigned char *)data;
    size_t i = 0;
    while (i < len) {
        uint64_t word;
        while (i + sizeof(word) <= len) { /* eight ASCII bytes at a time */
            memcpy(&word, p + i, sizeof(word));
            if (word & UINT64_C(0x8080808080808080))
                break;
            i += sizeof(word);
        }
        if (i == len)
            break;
        size_t step = sequence_len(p + i, len - i);
        if (!step) {
            if (bad)
                *bad = i;
            return false;
        }
        i += step;
    }
    return true;
}

size_t utf8_cut(const char *data, size_t len, size_t max)
{
    if (len <= max)
        return len;
    while (max > 0 && ((unsigned char)data[max] & 0xc0) == 0x80)
        max--;
    return max;
}

bool text_is_blank(const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!data[i] || !strchr(" \t\r\n\v\f", data[i]))
            return false;
    return true;
}

/* --- Names ------------------------------------------------------------------------------------ */

static int lower(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : (unsigned char)c;
}

int text_compare_nocase(const char *a, const char *b)
{
    while (*a && lower(*a) == lower(*b)) {
        a++;
        b++;
    }
    return lower(*a) - lower(*b);
}

bool text_equal_nocase(const char *a, const char *b)
{
    return text_compare_nocase(a, b) == 0;
}

#define SUGGEST_LEN_MAX 63

/* Edits (insert, delete, replace, swap of neighbours) from `a` to `b` (optimal string
 * alignment). */
static size_t distance(const char *a, const char *b)
{
    size_t a_len = strlen(a), b_len = strlen(b);
    size_t rows[3][SUGGEST_LEN_MAX + 1];
    size_t *before = rows[0], *previous = rows[1], *current = rows[2];
    for (size_t j = 0; j <= b_len; j++)
        previous[j] = j;
    for (size_t i = 1; i <= a_len; i++) {
        current[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t cost = previous[j - 1] + (lower(a[i - 1]) != lower(b[j - 1]));
            if (previous[j] + 1 < cost)
                cost = previous[j] + 1;
            if (current[j - 1] + 1 < cost)
                cost = current[j - 1] + 1;
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                lower(a[i - 2]) == lower(b[j - 1]) && before[j - 2] + 1 < cost)
                cost = before[j - 2] + 1;
            current[j] = cost;
        }
        size_t *free_row = before;
        before = previous;
        previous = current;
        current = free_row;
    }
    return previous[b_len];
}

const char *suggest(const char *word, const char *const *candidates, size_t count)
{
    size_t len = strlen(word);
    const char *best = NULL;
    size_t best_distance = len < 4 ? 2 : len < 8 ? 3 : 4; /* exclusive */
    if (len > SUGGEST_LEN_MAX)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        if (strlen(candidates[i]) > SUGGEST_LEN_MAX)
            continue;
        size_t d = distance(word, candidates[i]);
        if (d < best_distance && d < len) {
            best_distance = d;
            best = candidates[i];
        }
    }
    return best;
}
