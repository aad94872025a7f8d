/* A job's text as flite's tokens. The rules are those of flite's reader for US English
 * (src/utils/cst_tokenstream.c with the characters of lang/usenglish/usenglish.c), so that the same
 * utterances come out; that reader itself cannot be used, since it loads the whole text, knows bytes
 * only, and writes past its buffer after 300 punctuation marks in a row. */
#include "text.h"

#include <string.h>

#define WHITE_SPACE " \t\n\r"
#define OPENING "\"'`({["
#define PUNCTUATION "\"'`.,:;!?(){}[]"

static bool is_one_of(char c, const char *set)
{
    return c != '\0' && strchr(set, c);
}

/* Decodes the character at `at`; a byte out of place counts as one. */
static uint32_t decode(const struct text *text, uint64_t at, uint64_t *size)
{
    const unsigned char *s = (const unsigned char *)text->source.data + at;
    uint64_t left = text->source.size - at;
    uint64_t length = s[0] < 0xC0 ? 1 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
    uint32_t c = length == 1 ? s[0] : s[0] & (0x7Fu >> length);
    *size = length <= left ? length : left;
    for (uint64_t i = 1; i < *size; i++)
        c = c << 6 | (s[i] & 0x3Fu);
    return c;
}

/* Makes the next character that is not silent the current one, together with the marks on it; at the end
 * of the text ascii_size is 0. */
static void character_load(struct text *text)
{
    text->ascii_size = text->ascii_next = 0;
    while (text->ascii_size == 0 && text->at < text->source.size) {
        uint64_t size;
        uint32_t c = decode(text, text->at, &size);
        text->begin = text->at;
        text->at += size;
        text->ascii_size = fold_char(c, text->ascii);
        if (text->ascii_size < 0) {
            text->skipped_first = text->skipped++ ? text->skipped_first : c;
            text->ascii[0] = ' ';
            text->ascii_size = 1;
        }
    }
    while (text->at < text->source.size) {
        uint64_t size;
        if (!fold_is_combining(decode(text, text->at, &size)))
            break;
        text->at += size;
    }
    text->end = text->at;
}

/* The current character as flite reads it; '\0' at the end. */
static char peek(const struct text *text)
{
    return text->ascii_next < text->ascii_size ? text->ascii[text->ascii_next] : '\0';
}

static void advance(struct text *text)
{
    if (++text->ascii_next >= text->ascii_size)
        character_load(text);
}

void text_init(struct text *text, struct vox_str source)
{
    memset(text, 0, sizeof(*text));
    text->source = source;
    character_load(text);
}

/* Reads the characters of `set`. */
static void read_part(struct text *text, const char *set, char part[TOKEN_PART_CAP], bool drop_rest)
{
    size_t size = 0;
    while (is_one_of(peek(text), set) && (drop_rest || size + 1 < TOKEN_PART_CAP)) {
        if (size + 1 < TOKEN_PART_CAP)
            part[size++] = peek(text);
        advance(text);
    }
    part[size] = '\0';
}

/* Reads up to white space, and parts the punctuation at the end from the name, of which one character
 * always stays. */
static void read_name(struct text *text, struct text_token *token)
{
    uint64_t ends[TOKEN_PART_CAP];
    size_t size = 0, name_size;
    token->begin = text->begin;
    while (size + 1 < TOKEN_PART_CAP && peek(text) != '\0' && !is_one_of(peek(text), WHITE_SPACE)) {
        ends[size] = text->end;
        token->name[size++] = peek(text);
        advance(text);
    }
    name_size = size;
    while (name_size > 1 && is_one_of(token->name[name_size - 1], PUNCTUATION))
        name_size--;
    memcpy(token->punctuation, token->name + name_size, size - name_size);
    token->punctuation[size - name_size] = '\0';
    token->name[name_size] = '\0';
    token->end = name_size ? ends[name_size - 1] : token->begin;
}

bool text_next(struct text *text, struct text_token *token)
{
    do {
        read_part(text, WHITE_SPACE, token->space, true);
        if (peek(text) == '\0')
            return false;
        read_part(text, OPENING, token->opening, false);
        read_name(text, token);
    } while (token->name[0] == '\0');
    return true;
}
