/* Enough of XML for what S3 sends: elements without attributes that matter, text with entities. No
 * tree: the caller knows which elements he wants and in which order. */
#include "store/store_private.h"

#include <stdlib.h>
#include <string.h>

#define CODE_POINT_MAX 0x10FFFFu

void s3_xml_word(const char *xml, const char *element, char out[S3_WORD_SIZE])
{
    char *open = str_format("<%s>", element);
    const char *at = strstr(xml, open);
    const char *word = at ? at + strlen(open) : "";
    size_t len = strspn(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.:");
    if (len >= S3_WORD_SIZE || word[len] != '<')
        len = 0;
    memcpy(out, word, len);
    out[len] = '\0';
    free(open);
}

static void append_utf8(struct str *out, unsigned long c)
{
    if (c < 0x80) {
        str_putc(out, (char)c);
    } else if (c < 0x800) {
        str_putc(out, (char)(0xC0 | c >> 6));
        str_putc(out, (char)(0x80 | (c & 63)));
    } else if (c < 0x10000) {
        str_putc(out, (char)(0xE0 | c >> 12));
        str_putc(out, (char)(0x80 | (c >> 6 & 63)));
        str_putc(out, (char)(0x80 | (c & 63)));
    } else {
        str_putc(out, (char)(0xF0 | c >> 18));
        str_putc(out, (char)(0x80 | (c >> 12 & 63)));
        str_putc(out, (char)(0x80 | (c >> 6 & 63)));
        str_putc(out, (char)(0x80 | (c & 63)));
    }
}

/* Decodes what stands at '&'; returns its length, 1 when it is no entity and stays as it is. */
static size_t append_entity(struct str *out, const char *at)
{
    static const struct {
        const char *text;
        char c;
    } named[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}};
    for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
        if (strncmp(at, named[i].text, strlen(named[i].text)) == 0) {
            str_putc(out, named[i].c);
            return strlen(named[i].text);
        }
    }
    if (at[1] == '#') {
        bool hex = at[2] == 'x';
        const char *digits = at + (hex ? 3 : 2);
        size_t count = strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789");
        unsigned long c = count > 0 && count <= 7 ? strtoul(digits, NULL, hex ? 16 : 10) : 0;
        if (c > 0 && c <= CODE_POINT_MAX && digits[count] == ';') {
            append_utf8(out, c);
            return (size_t)(digits - at) + count + 1;
        }
    }
    str_putc(out, '&');
    return 1;
}

const char *s3_xml_text(const char *xml, const char *end, const char *element, struct str *out)
{
    char *open = str_format("<%s>", element), *close = str_format("</%s>", element);
    const char *start = strstr(xml, open), *stop = start ? strstr(start, close) : NULL;
    const char *after = NULL;
    if (stop && (!end || stop < end)) {
        for (const char *at = start + strlen(open); at < stop;) {
            if (*at == '&')
                at += append_entity(out, at);
            else
                str_putc(out, *at++);
        }
        after = stop + strlen(close);
    }
    free(open);
    free(close);
    return after;
}

void s3_xml_escape(struct str *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '&')
            str_puts(out, "&amp;");
        else if (*text == '<')
            str_puts(out, "&lt;");
        else if (*text == '>')
            str_puts(out, "&gt;");
        else
            str_putc(out, *text);
    }
}
