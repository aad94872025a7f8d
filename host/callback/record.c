/* A callback as text, the way it lies on disk and in the storage, and its id, which says when it
 * was made. Knows no files and no network.
 */
#include "callback/callback_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define TIME_DIGITS 15 /* "20260131T120000" */
#define RANDOM_DIGITS 16

/* --- Ids -------------------------------------------------------------------------------------- */

char *record_id_new(const char *created)
{
    struct str id = {0};
    for (const char *c = created; *c && *c != '.'; c++)
        if (*c != '-' && *c != ':')
            str_putc(&id, *c);
    str_printf(&id, "-%016llx", (unsigned long long)random_u64());
    return str_take(&id);
}

bool record_id_valid(const char *id)
{
    size_t len = strlen(id);
    return len > 0 && len <= CALLBACK_ID_SIZE_MAX && id[0] != '.' &&
           strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == len;
}

static bool are_of(const char *text, size_t len, const char *set)
{
    return strspn(text, set) >= len;
}

static int two(const char *digits)
{
    return (digits[0] - '0') * 10 + (digits[1] - '0');
}

int64_t record_id_time(const char *id)
{
    static const char digits[] = "0123456789";
    if (strlen(id) != TIME_DIGITS + 1 + RANDOM_DIGITS || !are_of(id, 8, digits) || id[8] != 'T' ||
        !are_of(id + 9, 6, digits) || id[TIME_DIGITS] != '-' ||
        !are_of(id + TIME_DIGITS + 1, RANDOM_DIGITS, "0123456789abcdef"))
        return -1;
    struct tm when = {
        .tm_year = two(id) * 100 + two(id + 2) - 1900,
        .tm_mon = two(id + 4) - 1,
        .tm_mday = two(id + 6),
        .tm_hour = two(id + 9),
        .tm_min = two(id + 11),
        .tm_sec = two(id + 13),
    };
    return (int64_t)timegm(&when);
}

/* --- Text ------------------------------------------------------------------------------------- */

void record_write(const struct callback *callback, struct str *out)
{
    str_puts(out, "{\"version\":1");
    json_write_text(out, "id", callback->id);
    json_write_text(out, "job_id", callback->job_id);
    json_write_text(out, "kind", callback->is_error ? "error" : "success");
    json_write_text(out, "url", callback->url);
    json_write_text(out, "created", callback->created);
    str_printf(out, ",\"attempts\":%lld", (long long)callback->attempts);
    if (callback->last_error)
        json_write_text(out, "last_error", callback->last_error);
    str_puts(out, ",\"body\":");
    json_write_string(out, str_text(&callback->body), callback->body.len);
    str_puts(out, "}\n");
}

/* One that a job named may be a little shorter than what was made of it. */
static bool is_url(const char *url)
{
    return strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0;
}

static struct callback *take_members(const cJSON *json, const char *id)
{
    int64_t version = 0, attempts = 0;
    const char *job_id = json_text(json, "job_id"), *url = json_text(json, "url"),
               *kind = json_text(json, "kind"), *body = json_text(json, "body"),
               *created = json_text(json, "created"), *last_error = json_text(json, "last_error");
    const cJSON *count = json_get(json, "attempts"), *number = json_get(json, "version");
    if (!job_id || !url || !kind || !body || !created || !count || !number ||
        !json_int64(number, &version) || version != 1 || !json_int64(count, &attempts) ||
        !is_url(url))
        return NULL;
    struct callback *callback = mem_alloc(sizeof(*callback));
    callback->id = mem_copy_string(id);
    callback->job_id = mem_copy_string(job_id);
    callback->url = mem_copy_string(url);
    str_puts(&callback->body, body);
    callback->is_error = strcmp(kind, "error") == 0;
    snprintf(callback->created, sizeof(callback->created), "%s", created);
    callback->attempts = attempts;
    callback->last_error = mem_copy_string(last_error);
    return callback;
}

int record_read(const struct str *text, const char *id, const char *name,
                struct callback **callback, struct err *err)
{
    const struct json_limits limits = {RECORD_BYTES_MAX, 100, 4};
    cJSON *json = json_parse(str_text(text), text->len, &limits, err);
    *callback = cJSON_IsObject(json) ? take_members(json, id) : NULL;
    if (!json)
        err_prefix(err, "%s", name);
    else if (!*callback)
        err_set(err, ERR_INVALID, NULL, "%s: is no record of a callback", name);
    cJSON_Delete(json);
    return *callback ? 0 : ERR_INVALID;
}

void callback_destroy(struct callback *callback)
{
    if (!callback)
        return;
    free(callback->id);
    free(callback->job_id);
    free(callback->url);
    free(callback->host);
    free(callback->last_error);
    str_finish(&callback->body);
    free(callback);
}
