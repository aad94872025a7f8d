/* The strict way in for JSON; see json.h.
 *
 * One scanner checks the whole grammar and every limit, and writes a normalised copy in which each
 * number is a string that begins with NUMBER_MARK. cJSON builds the tree from that copy. A walk
 * over the tree turns the marked strings into numbers that keep their literal, and finds duplicate
 * keys, which only show once escapes are decoded. Knows nothing about what a text means.
 */
#include "base/json.h"

#include "base/mem.h"

#include <assert.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_MARK '\xff' /* no UTF-8 text holds this byte */
#define SHOWN_KEY_MAX 80   /* bytes of a key in a message */
#define PAIRWISE_MAX 16    /* members up to which comparing all pairs is cheapest */

struct member {
    const char *name;
    size_t at; /* of the key in the text */
};

struct scan {
    const char *text;
    size_t len, at;
    const struct json_limits *limits;
    struct err *err;
    struct str copy;
    size_t nodes;
    int depth;
    size_t *keys; /* offset of every key, in the order of the text */
    size_t keys_len, keys_cap, keys_used;
    struct member *members; /* of all objects that the walk is in */
    size_t members_len, members_cap;
};

/* --- Messages --------------------------------------------------------------------------------- */

/* "byte 7", or "line 2, column 3 (byte 7)" in a text of several lines; columns are characters. */
static void set_place(const struct scan *s, size_t at)
{
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at; i++) {
        if (s->text[i] == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)s->text[i] & 0xc0) != 0x80) {
            column++;
        }
    }
    if (line > 1 || memchr(s->text + at, '\n', s->len - at))
        err_prefix(s->err, "line %zu, column %zu (byte %zu)", line, column, at + 1);
    else
        err_prefix(s->err, "byte %zu", at + 1);
}

__attribute__((format(printf, 3, 4))) static bool fail_at(struct scan *s, size_t at,
                                                          const char *format, ...)
{
    struct str message = {0};
    va_list args;
    va_start(args, format);
    str_vprintf(&message, format, args);
    va_end(args);
    err_set(s->err, ERR_INVALID, NULL, "%s", str_text(&message));
    str_finish(&message);
    set_place(s, at);
    return false;
}

/* Fails with `expected` and what stands at `at` in its place. */
static bool fail_expected(struct scan *s, size_t at, const char *expected)
{
    if (at == s->len)
        return fail_at(s, at, "expected %s, got the end of the text", expected);
    unsigned char c = (unsigned char)s->text[at];
    if (c < 0x20 || c == 0x7f)
        return fail_at(s, at, "expected %s, got the control character 0x%02x", expected, c);
    size_t end = at + 1;
    while (end < s->len && ((unsigned char)s->text[end] & 0xc0) == 0x80)
        end++;
    return fail_at(s, at, "expected %s, got '%.*s'", expected, (int)(end - at), s->text + at);
}

/* --- Numbers ---------------------------------------------------------------------------------- */

/* A C locale's strtod, whatever a library has set. */
static double to_double(const char *literal)
{
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    double number = strtod_l(literal, NULL, c);
    freelocale(c);
    return number;
}

static bool is_digit(const char *text, size_t len, size_t at)
{
    return at < len && text[at] >= '0' && text[at] <= '9';
}

static size_t skip_digits(const char *text, size_t len, size_t at)
{
    while (is_digit(text, len, at))
        at++;
    return at;
}

/* Moves *at behind the number that begins there; else to the wrong byte, and returns what was
 * expected. */
static const char *scan_number_grammar(const char *text, size_t len, size_t *at)
{
    if (*at < len && text[*at] == '-')
        ++*at;
    if (!is_digit(text, len, *at))
        return "a digit";
    if (text[*at] == '0' && is_digit(text, len, *at + 1)) {
        ++*at;
        return "no digit after a leading 0";
    }
    *at = skip_digits(text, len, *at);
    if (*at < len && text[*at] == '.') {
        ++*at;
        if (!is_digit(text, len, *at))
            return "a digit after the decimal point";
        *at = skip_digits(text, len, *at);
    }
    if (*at < len && (text[*at] == 'e' || text[*at] == 'E')) {
        ++*at;
        if (*at < len && (text[*at] == '+' || text[*at] == '-'))
            ++*at;
        if (!is_digit(text, len, *at))
            return "a digit in the exponent";
        *at = skip_digits(text, len, *at);
    }
    return NULL;
}

bool json_number_valid(const char *text, size_t len)
{
    size_t end = 0;
    if (scan_number_grammar(text, len, &end) || end != len)
        return false;
    char *literal = mem_copy_text(text, len);
    bool finite = isfinite(to_double(literal));
    free(literal);
    return finite;
}

/* Makes a number of a string node that holds its literal; `valueint` as cJSON sets it. */
static void string_to_number(cJSON *node)
{
    double number = to_double(node->valuestring);
    node->type = cJSON_Number;
    node->valuedouble = number;
    node->valueint = number >= INT_MAX           ? INT_MAX
                     : number <= (double)INT_MIN ? INT_MIN
                                                 : (int)number;
}

cJSON *json_create_number(const char *literal)
{
    assert(json_number_valid(literal, strlen(literal)));
    cJSON *node = cJSON_CreateString(literal);
    if (node)
        string_to_number(node);
    return node;
}

/* --- The scanner ------------------------------------------------------------------------------ */

static bool scan_value(struct scan *s);

static void skip_space(struct scan *s)
{
    while (s->at < s->len && (s->text[s->at] == ' ' || s->text[s->at] == '\t' ||
                              s->text[s->at] == '\r' || s->text[s->at] == '\n'))
        s->at++;
}

static bool next_is(const struct scan *s, char c)
{
    return s->at < s->len && s->text[s->at] == c;
}

static bool scan_number(struct scan *s)
{
    size_t begin = s->at;
    const char *expected = scan_number_grammar(s->text, s->len, &s->at);
    if (expected)
        return fail_expected(s, s->at, expected);
    str_putc(&s->copy, '"');
    str_putc(&s->copy, NUMBER_MARK);
    size_t literal = s->copy.len;
    str_append(&s->copy, s->text + begin, s->at - begin);
    if (!isfinite(to_double(s->copy.data + literal)))
        return fail_at(s, begin, "the number %.*s is beyond the range of a double",
                       (int)utf8_cut(s->text + begin, s->at - begin, SHOWN_KEY_MAX),
                       s->text + begin);
    str_putc(&s->copy, '"');
    return true;
}

/* The value of the four hex digits at `at`, or -1. */
static int hex4(const struct scan *s, size_t at)
{
    int value = 0;
    for (size_t i = at; i < at + 4; i++) {
        if (i >= s->len)
            return -1;
        char c = s->text[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* At the backslash of an escape. */
static bool scan_escape(struct scan *s)
{
    size_t begin = s->at;
    char c = begin + 1 < s->len ? s->text[begin + 1] : '\0';
    if (c && strchr("\"\\/bfnrt", c)) {
        s->at += 2;
        return true;
    }
    if (c != 'u')
        return fail_expected(s, begin + 1 < s->len ? begin + 1 : s->len,
                             "one of \" \\ / b f n r t u after a backslash");
    int unit = hex4(s, begin + 2);
    s->at += 6;
    if (unit < 0)
        return fail_at(s, begin, "expected four hex digits after \\u");
    if (unit == 0)
        return fail_at(s, begin, "\\u0000 is not allowed in a string");
    if (unit >= 0xd800 && unit <= 0xdbff && next_is(s, '\\') && s->at + 1 < s->len &&
        s->text[s->at + 1] == 'u') {
        int low = hex4(s, s->at + 2);
        if (low >= 0xdc00 && low <= 0xdfff) {
            s->at += 6;
            return true;
        }
    }
    if (unit >= 0xd800 && unit <= 0xdfff)
        return fail_at(s, begin, "\\u%04x is half of a surrogate pair without the other half",
                       (unsigned)unit);
    return true;
}

static bool scan_string(struct scan *s)
{
    size_t begin = s->at++;
    while (!next_is(s, '"')) {
        if (s->at >= s->len)
            return fail_at(s, begin, "the string that begins here has no closing '\"'");
        unsigned char c = (unsigned char)s->text[s->at];
        if (c < 0x20)
            return fail_at(s, s->at, "the control character 0x%02x must be escaped in a string", c);
        if (c != '\\')
            s->at++;
        else if (!scan_escape(s))
            return false;
    }
    s->at++;
    str_append(&s->copy, s->text + begin, s->at - begin);
    return true;
}

static bool scan_word(struct scan *s, const char *word)
{
    size_t len = strlen(word);
    if (s->len - s->at < len || memcmp(s->text + s->at, word, len) != 0)
        return fail_expected(s, s->at, "a value");
    str_append(&s->copy, word, len);
    s->at += len;
    return true;
}

/* At '[' or '{'. */
static bool enter(struct scan *s)
{
    int depth_max =
        s->limits->depth_max < CJSON_NESTING_LIMIT ? s->limits->depth_max : CJSON_NESTING_LIMIT;
    if (++s->depth > depth_max)
        return fail_at(s, s->at, "nested deeper than the limit of %d", depth_max);
    str_putc(&s->copy, s->text[s->at++]);
    skip_space(s);
    return true;
}

static bool leave(struct scan *s, char close)
{
    s->depth--;
    s->at++;
    str_putc(&s->copy, close);
    return true;
}

static bool scan_array(struct scan *s)
{
    if (!enter(s))
        return false;
    if (next_is(s, ']'))
        return leave(s, ']');
    for (;;) {
        if (!scan_value(s))
            return false;
        skip_space(s);
        if (next_is(s, ']'))
            return leave(s, ']');
        if (!next_is(s, ','))
            return fail_expected(s, s->at, "',' or ']' after an item");
        str_putc(&s->copy, ',');
        s->at++;
    }
}

static bool scan_key(struct scan *s)
{
    skip_space(s);
    if (!next_is(s, '"'))
        return fail_expected(s, s->at, "a key in double quotes");
    if (s->keys_len == s->keys_cap) {
        s->keys_cap = s->keys_cap ? 2 * s->keys_cap : 32;
        s->keys = mem_resize(s->keys, s->keys_cap, sizeof(*s->keys));
    }
    s->keys[s->keys_len++] = s->at;
    if (!scan_string(s))
        return false;
    skip_space(s);
    if (!next_is(s, ':'))
        return fail_expected(s, s->at, "':' after a key");
    str_putc(&s->copy, ':');
    s->at++;
    return true;
}

static bool scan_object(struct scan *s)
{
    if (!enter(s))
        return false;
    if (next_is(s, '}'))
        return leave(s, '}');
    for (;;) {
        if (!scan_key(s) || !scan_value(s))
            return false;
        skip_space(s);
        if (next_is(s, '}'))
            return leave(s, '}');
        if (!next_is(s, ','))
            return fail_expected(s, s->at, "',' or '}' after a member");
        str_putc(&s->copy, ',');
        s->at++;
    }
}

static bool scan_value(struct scan *s)
{
    skip_space(s);
    if (++s->nodes > s->limits->nodes_max)
        return fail_at(s, s->at, "more values than the limit of %zu", s->limits->nodes_max);
    char c = s->at < s->len ? s->text[s->at] : '\0';
    switch (c) {
    case '{':
        return scan_object(s);
    case '[':
        return scan_array(s);
    case '"':
        return scan_string(s);
    case 't':
        return scan_word(s, "true");
    case 'f':
        return scan_word(s, "false");
    case 'n':
        return scan_word(s, "null");
    default:
        if (c == '-' || (c >= '0' && c <= '9'))
            return scan_number(s);
        return fail_expected(s, s->at, "a value");
    }
}

static bool scan_text(struct scan *s)
{
    size_t bad;
    if (s->len > s->limits->bytes_max) {
        err_set(s->err, ERR_INVALID, NULL, "%zu bytes, more than the limit of %zu", s->len,
                s->limits->bytes_max);
        return false;
    }
    if (s->len >= 3 && memcmp(s->text, "\xef\xbb\xbf", 3) == 0)
        return fail_at(s, 0, "begins with a byte order mark, which JSON does not allow");
    if (!utf8_valid(s->text, s->len, &bad))
        return fail_at(s, bad, "the byte 0x%02x is not UTF-8", (unsigned char)s->text[bad]);
    if (!scan_value(s))
        return false;
    skip_space(s);
    if (s->at < s->len)
        return fail_expected(s, s->at, "the end of the text after one value");
    return true;
}

/* --- The walk --------------------------------------------------------------------------------- */

static int compare_members(const void *a, const void *b)
{
    const struct member *left = a, *right = b;
    int order = strcmp(left->name, right->name);
    return order ? order : (left->at > right->at) - (left->at < right->at);
}

/* The first in the text of those that repeat an earlier name, or NULL. Reorders `members`. */
static const struct member *find_duplicate(struct member *members, size_t count)
{
    const struct member *found = NULL;
    if (count <= PAIRWISE_MAX) {
        for (size_t i = 1; i < count; i++)
            for (size_t j = 0; j < i; j++)
                if (strcmp(members[i].name, members[j].name) == 0)
                    return &members[i];
        return NULL;
    }
    qsort(members, count, sizeof(*members), compare_members);
    for (size_t i = 1; i < count; i++)
        if (strcmp(members[i - 1].name, members[i].name) == 0 &&
            (!found || members[i].at < found->at))
            found = &members[i];
    return found;
}

static bool fail_duplicate(struct scan *s, const struct member *member)
{
    struct str name = {0};
    json_write_string(&name, member->name,
                      utf8_cut(member->name, strlen(member->name), SHOWN_KEY_MAX));
    fail_at(s, member->at, "the key %s is already in this object", str_text(&name));
    str_finish(&name);
    return false;
}

static void push_member(struct scan *s, const char *name)
{
    if (s->members_len == s->members_cap) {
        s->members_cap = s->members_cap ? 2 * s->members_cap : 32;
        s->members = mem_resize(s->members, s->members_cap, sizeof(*s->members));
    }
    s->members[s->members_len++] = (struct member){name, s->keys[s->keys_used++]};
}

/* In the order of the text, so that keys_used counts along with the keys that the scanner met. */
static bool walk(struct scan *s, cJSON *node)
{
    if (cJSON_IsString(node) && node->valuestring[0] == NUMBER_MARK) {
        memmove(node->valuestring, node->valuestring + 1, strlen(node->valuestring));
        string_to_number(node);
        return true;
    }
    size_t first = s->members_len;
    cJSON *child;
    cJSON_ArrayForEach(child, node)
    {
        if (child->string)
            push_member(s, child->string);
        if (!walk(s, child))
            return false;
    }
    const struct member *duplicate = NULL;
    if (s->members_len > first)
        duplicate = find_duplicate(s->members + first, s->members_len - first);
    s->members_len = first;
    return duplicate ? fail_duplicate(s, duplicate) : true;
}

cJSON *json_parse(const char *text, size_t len, const struct json_limits *limits, struct err *err)
{
    struct scan s = {.text = text ? text : "", .len = len, .limits = limits, .err = err};
    cJSON *root = NULL;
    if (!scan_text(&s))
        goto out;
    root = cJSON_ParseWithLength(s.copy.data, s.copy.len);
    if (!root) {
        err_set(err, ERR_NO_MEMORY, NULL, "cannot build the value: out of memory");
    } else if (!walk(&s, root)) {
        cJSON_Delete(root);
        root = NULL;
    }
out:
    str_finish(&s.copy);
    free(s.keys);
    free(s.members);
    return root;
}
