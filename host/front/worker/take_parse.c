/* What a take brings, read job by job: strictly, since a job must mean what it says; and where that
 * fails, loosely for the one thing that is needed to answer it, its id. Pure.
 */
#include "front/worker/envelope.h"
#include "front/worker/queue_private.h"

#include <stdlib.h>
#include <string.h>

#define ID_SIZE_MAX 2048
#define BATCH_MAX (1u << 20) /* elements of one answer that are looked at */
static const struct json_limits limits = {HTTP_RESPONSE_BYTES_MAX, 1000000, 64};

static size_t skip_space(const char *text, size_t len, size_t at)
{
    while (at < len && strchr(" \t\r\n", text[at]) && text[at])
        at++;
    return at;
}

/* Past the string that begins at `at`. */
static size_t string_end(const char *text, size_t len, size_t at)
{
    for (at++; at < len && text[at] != '"'; at++)
        if (text[at] == '\\')
            at++;
    return at < len ? at + 1 : len;
}

/* Where the value that begins at `at` ends: after the ',' or ']' of the enclosing array comes,
 * outside strings and inner brackets. Knows no more of JSON than that. */
static size_t value_end(const char *text, size_t len, size_t at)
{
    size_t depth = 0;
    while (at < len) {
        char c = text[at];
        if (c == '"') {
            at = string_end(text, len, at);
            continue;
        }
        if (c == '{' || c == '[')
            depth++;
        else if (depth == 0 && (c == ',' || c == ']'))
            return at;
        else if ((c == '}' || c == ']') && depth > 0)
            depth--;
        at++;
    }
    return len;
}

static bool id_is_usable(const cJSON *id)
{
    return id && (cJSON_IsString(id) || cJSON_IsNumber(id)) && id->valuestring &&
           id->valuestring[0] && strlen(id->valuestring) <= ID_SIZE_MAX;
}

static char *id_of(const cJSON *json, struct err *err)
{
    const cJSON *id = cJSON_IsObject(json) ? json_get(json, "id") : NULL;
    if (id_is_usable(id))
        return mem_copy_string(id->valuestring);
    err_set(err, ERR_INVALID, "id", "expected a string of 1 to %d bytes in the job, got %s",
            ID_SIZE_MAX,
            id                     ? json_kind(id)
            : cJSON_IsObject(json) ? "none"
                                   : json_kind(json));
    return NULL;
}

/* Where the value of the member begins whose key is the string from `key` to `key_end`, if that is
 * "id" and the value is a string; else `len`. */
static size_t id_value(const char *text, size_t len, size_t key, size_t key_end)
{
    size_t at = skip_space(text, len, key_end);
    if (key_end - key != 4 || memcmp(text + key, "\"id\"", 4) != 0 || at == len || text[at] != ':')
        return len;
    at = skip_space(text, len, at + 1);
    return at < len && text[at] == '"' ? at : len;
}

/* The id of a job that is not what it should be: of the outermost object, whatever else is wrong.
 * NULL also when the object does not end: what is cut off is no job. */
static char *loose_id_of(const char *text, size_t len)
{
    size_t depth = 0, id_begin = 0, id_end = 0;
    struct err none;
    for (size_t at = 0, end; at < len; at = end) {
        end = at + 1;
        if (text[at] == '"') {
            end = string_end(text, len, at);
            size_t value = depth == 1 ? id_value(text, len, at, end) : len;
            if (value < len) {
                id_begin = value;
                id_end = end = string_end(text, len, value);
            }
        } else if (text[at] == '{' || text[at] == '[') {
            depth++;
        } else if ((text[at] == '}' || text[at] == ']') && depth > 0) {
            depth--;
        }
    }
    if (depth > 0 || id_end == 0)
        return NULL;
    cJSON *json = json_parse(text + id_begin, id_end - id_begin, &limits, &none);
    char *id = id_is_usable(json) ? mem_copy_string(json->valuestring) : NULL;
    cJSON_Delete(json);
    return id;
}

static void take_one(const char *text, size_t len, void (*take)(const struct taken *, void *),
                     void *arg)
{
    struct taken taken = {0};
    struct err why = {0};
    taken.json = json_parse(text, len, &limits, &taken.err);
    taken.id = taken.json ? id_of(taken.json, &why) : loose_id_of(text, len);
    if (taken.json && !taken.id)
        taken.err = why;
    if (taken.json && taken.id) {
        envelope_open(taken.json);
        taken.input = json_get(taken.json, "input");
        if (!taken.input || cJSON_IsNull(taken.input)) {
            taken.input = NULL;
            err_set(&taken.err, ERR_INVALID, "input", "missing: the job has no input");
        }
    }
    take(&taken, arg);
    cJSON_Delete(taken.json);
    free(taken.id);
}

bool take_parse(const struct str *body, void (*take)(const struct taken *taken, void *arg),
                void *arg)
{
    const char *text = str_text(body);
    size_t len = body->len, at = skip_space(text, len, 0);
    if (at < len && text[at] == '{') {
        take_one(text + at, len - at, take, arg);
        return true;
    }
    if (at == len || text[at] != '[')
        return false;
    for (size_t count = 0; count < BATCH_MAX; count++) {
        size_t begin = skip_space(text, len, at + 1);
        size_t end = value_end(text, len, begin);
        if (begin < end)
            take_one(text + begin, end - begin, take, arg);
        at = end;
        if (at >= len || text[at] != ',')
            break;
    }
    return true;
}
