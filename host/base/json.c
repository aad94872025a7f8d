/* Reading and writing JSON values that json_parse.c or code has made; see json.h. */
#include "base/json.h"

#include "base/mem.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXACT_INTEGER_MAX \
    9007199254740992.0 /* 2^53: up to here a double says which integer it is */

/* --- Reading ---------------------------------------------------------------------------------- */

static bool is_integer_literal(const char *literal)
{
    return strspn(literal, "-0123456789") == strlen(literal);
}

bool json_int64(const cJSON *node, int64_t *value)
{
    if (!cJSON_IsNumber(node))
        return false;
    if (!node->valuestring) {
        double number = node->valuedouble;
        if (!(fabs(number) <= EXACT_INTEGER_MAX) || number != (double)(int64_t)number)
            return false;
        *value = (int64_t)number;
        return true;
    }
    if (!is_integer_literal(node->valuestring))
        return false;
    errno = 0;
    long long number = strtoll(node->valuestring, NULL, 10);
    if (errno)
        return false;
    *value = number;
    return true;
}

cJSON *json_create_int64(int64_t value)
{
    char literal[24];
    snprintf(literal, sizeof(literal), "%" PRId64, value);
    return json_create_number(literal);
}

const cJSON *json_get(const cJSON *object, const char *name)
{
    return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, name) : NULL;
}

const char *json_text(const cJSON *object, const char *name)
{
    const cJSON *value = json_get(object, name);
    return cJSON_IsString(value) ? value->valuestring : NULL;
}

const char *json_kind(const cJSON *node)
{
    int64_t ignored;
    if (cJSON_IsString(node))
        return "string";
    if (cJSON_IsNumber(node))
        return (node->valuestring ? is_integer_literal(node->valuestring)
                                  : json_int64(node, &ignored))
                   ? "integer"
                   : "number";
    if (cJSON_IsBool(node))
        return cJSON_IsTrue(node) ? "true" : "false";
    if (cJSON_IsArray(node))
        return "array";
    if (cJSON_IsObject(node))
        return "object";
    return "null";
}

/* --- Writing ---------------------------------------------------------------------------------- */

/* Appends valid UTF-8 between the quotes. */
static void write_escaped(struct str *out, const char *text, size_t len)
{
    size_t begin = 0;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        str_append(out, text + begin, i - begin);
        begin = i + 1;
        static const char named[] = "\"\"\\\\\bb\ff\nn\rr\tt";
        size_t at = 0;
        while (at < sizeof(named) - 1 && named[at] != (char)c)
            at += 2;
        if (at < sizeof(named) - 1)
            str_append(out, (const char[]){'\\', named[at + 1]}, 2);
        else
            str_printf(out, "\\u%04x", c);
    }
    str_append(out, text + begin, len - begin);
}

void json_write_string(struct str *out, const char *text, size_t len)
{
    size_t bad;
    str_putc(out, '"');
    while (!utf8_valid(text, len, &bad)) {
        write_escaped(out, text, bad);
        str_puts(out, "\xef\xbf\xbd");
        text += bad + 1;
        len -= bad + 1;
    }
    write_escaped(out, text, len);
    str_putc(out, '"');
}

void json_write_key(struct str *out, const char *key)
{
    if (out->len && out->data[out->len - 1] != '{')
        str_putc(out, ',');
    json_write_string(out, key, strlen(key));
    str_putc(out, ':');
}

void json_write_text(struct str *out, const char *key, const char *text)
{
    if (!text)
        return;
    json_write_key(out, key);
    json_write_string(out, text, strlen(text));
}

void json_write_number(struct str *out, double number)
{
    if (!isfinite(number)) {
        str_puts(out, "null");
        return;
    }
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0), before = uselocale(c);
    char text[32];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, number);
        if (strtod(text, NULL) == number)
            break;
    }
    uselocale(before);
    freelocale(c);
    str_puts(out, text);
}

static int compare_names(const void *a, const void *b)
{
    const cJSON *const *left = a, *const *right = b;
    return strcmp((*left)->string, (*right)->string);
}

/* The members of an object by name; freed by the caller. */
static const cJSON **sorted_members(const cJSON *object, size_t *count)
{
    const cJSON *child;
    *count = 0;
    cJSON_ArrayForEach(child, object)
    {
        ++*count;
    }
    const cJSON **members = mem_alloc_array(*count, sizeof(const cJSON *));
    size_t i = 0;
    cJSON_ArrayForEach(child, object)
    {
        members[i++] = child;
    }
    qsort(members, *count, sizeof(const cJSON *), compare_names);
    return members;
}

static void write_value(struct str *out, const cJSON *node, bool sorted);

static void write_member(struct str *out, const cJSON *member, bool sorted)
{
    json_write_string(out, member->string, strlen(member->string));
    str_putc(out, ':');
    write_value(out, member, sorted);
}

static void write_object(struct str *out, const cJSON *object, bool sorted)
{
    str_putc(out, '{');
    if (sorted) {
        size_t count;
        const cJSON **members = sorted_members(object, &count);
        for (size_t i = 0; i < count; i++) {
            if (i)
                str_putc(out, ',');
            write_member(out, members[i], true);
        }
        free(members);
    } else {
        const cJSON *child;
        cJSON_ArrayForEach(child, object)
        {
            if (child != object->child)
                str_putc(out, ',');
            write_member(out, child, false);
        }
    }
    str_putc(out, '}');
}

static void write_array(struct str *out, const cJSON *array, bool sorted)
{
    const cJSON *child;
    str_putc(out, '[');
    cJSON_ArrayForEach(child, array)
    {
        if (child != array->child)
            str_putc(out, ',');
        write_value(out, child, sorted);
    }
    str_putc(out, ']');
}

/* As deep as the value, which json_parse has bounded or code has built. */
static void write_value(struct str *out, const cJSON *node, bool sorted)
{
    if (cJSON_IsString(node))
        json_write_string(out, node->valuestring, strlen(node->valuestring));
    else if (cJSON_IsNumber(node) && node->valuestring)
        str_puts(out, node->valuestring);
    else if (cJSON_IsNumber(node))
        json_write_number(out, node->valuedouble);
    else if (cJSON_IsArray(node))
        write_array(out, node, sorted);
    else if (cJSON_IsObject(node))
        write_object(out, node, sorted);
    else
        str_puts(out, json_kind(node)); /* true, false, null */
}

void json_write(struct str *out, const cJSON *node)
{
    write_value(out, node, false);
}

void json_write_canonical(struct str *out, const cJSON *node)
{
    write_value(out, node, true);
}

const char *json_show(const cJSON *node, char *buf, size_t size)
{
    static const char dots[] = "...";
    assert(size > sizeof(dots));
    struct str text = {0};
    json_write(&text, node);
    if (text.len < size) {
        memcpy(buf, text.data, text.len + 1);
    } else {
        size_t len = utf8_cut(text.data, text.len, size - sizeof(dots));
        memcpy(buf, text.data, len);
        memcpy(buf + len, dots, sizeof(dots));
    }
    str_finish(&text);
    return buf;
}
