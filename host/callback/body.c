/* What callbacks say and where they go: pure functions of a result. The members and their names are
 * those that receivers of older systems know; job_id and what metadata has beyond it are additions. Knows no
 * network and no disk.
 */
#include "callback/callback.h"

#include <stdlib.h>
#include <string.h>

#define ERROR_PATH "/error-callback"

/* --- Where to --------------------------------------------------------------------------------- */

char *callback_error_url(const char *url)
{
    static const char api[] = "/api/tts/";
    const char *host = strstr(url, "://");
    const char *path = host ? host + 3 + strcspn(host + 3, "/?") : url;
    size_t path_len = strcspn(path, "?");
    const char *query = path + path_len;
    while (path_len > 0 && path[path_len - 1] == '/')
        path_len--;
    if (path_len > strlen(api) && strncmp(path, api, strlen(api)) == 0)
        while (path[path_len - 1] != '/')
            path_len--;
    if (path_len > 0 && path[path_len - 1] == '/')
        path_len--;
    return str_format("%.*s" ERROR_PATH "%s", (int)(path - url) + (int)path_len, url, query);
}

/* The first rule whose FROM the URL is, or goes on behind: a host never matches the beginning of
 * another's name. */
static char *rewrite(const cJSON *rules, const char *url)
{
    const cJSON *rule;
    cJSON_ArrayForEach(rule, rules)
    {
        size_t len = strlen(rule->string);
        if (strncmp(url, rule->string, len) == 0 && strchr("/?", url[len]))
            return str_format("%s%s", rule->valuestring, url + len);
    }
    return mem_copy_string(url);
}

char *callback_url_for(const struct manifest_callbacks *manifest, const struct job_caller *caller,
                       bool is_error)
{
    if (is_error && caller->error_callback_url)
        return rewrite(manifest->rewrite, caller->error_callback_url);
    if (caller->callback_url) {
        char *url = rewrite(manifest->rewrite, caller->callback_url);
        char *error_url = is_error ? callback_error_url(url) : NULL;
        if (is_error)
            free(url);
        return is_error ? error_url : url;
    }
    if (is_error && manifest->error_url)
        return mem_copy_string(manifest->error_url);
    if (manifest->url)
        return is_error ? callback_error_url(manifest->url) : mem_copy_string(manifest->url);
    return NULL;
}

/* --- Members ---------------------------------------------------------------------------------- */

/* NULL: null. */
static void put_text(struct str *out, const char *key, const char *text)
{
    json_write_key(out, key);
    if (text)
        json_write_string(out, text, strlen(text));
    else
        str_puts(out, "null");
}

static void put_number(struct str *out, const char *key, double number)
{
    json_write_key(out, key);
    json_write_number(out, number);
}

/* Ids that are absent were always "". */
static void put_echo(struct str *out, const cJSON *echo, const char *key)
{
    const cJSON *value = json_get(echo, key);
    put_text(out, key, cJSON_IsString(value) ? value->valuestring : "");
}

static void put_known_echo(struct str *out, const cJSON *echo, const char *key)
{
    const cJSON *value = json_get(echo, key);
    if (!value)
        return;
    json_write_key(out, key);
    json_write(out, value);
}

/* Opens "metadata" with the caller's own members, but for those that are ours. */
static void begin_metadata(struct str *out, const cJSON *metadata, const char *const *ours)
{
    const cJSON *member;
    json_write_key(out, "metadata");
    str_putc(out, '{');
    cJSON_ArrayForEach(member, metadata)
    {
        size_t i = 0;
        while (ours[i] && strcmp(ours[i], member->string) != 0)
            i++;
        if (ours[i])
            continue;
        json_write_key(out, member->string);
        json_write(out, member);
    }
}

/* --- Bodies ----------------------------------------------------------------------------------- */

static const char *error_type(const struct err *err)
{
    bool about_text = strcmp(err->field, "text") == 0 || strcmp(err->field, "text_file") == 0;
    switch (err->code) {
    case ERR_UNKNOWN_MODEL:
    case ERR_MODEL_LOADING:
    case ERR_MODEL_FAILED:
        return "model_unavailable";
    case ERR_INVALID:
    case ERR_UNSUPPORTED:
    case ERR_VOICE_NOT_FOUND:
        return about_text ? "text_validation_error" : "invalid_payload";
    case ERR_INTERNAL:
    case ERR_NO_MEMORY:
        return "tts_model_error";
    default:
        return err_word(err->code);
    }
}

/* "voice: there is no such voice" */
static void put_message(struct str *out, const char *key, const struct err *err)
{
    char *text = err->field[0] ? str_format("%s: %s", err->field, err->message)
                               : mem_copy_string(err->message);
    put_text(out, key, text);
    free(text);
}

static void write_success(const struct result *result, struct str *out)
{
    static const char *const ours[] = {"generation_time", "duration_s", "format",
                                       "model_type",      "seed",       NULL};
    const cJSON *echo = result->caller.echo;
    const char *path = result->key ? result->key : result->path;
    const cJSON *language = json_get(echo, "language");
    put_echo(out, echo, "story_id");
    put_echo(out, echo, "user_id");
    put_echo(out, echo, "voice_id");
    put_echo(out, echo, "voice_name");
    put_text(out, "audio_url", result->url);
    put_text(out, "storage_path", path);
    put_text(out, "r2_path", result->key);
    put_text(out, "language", cJSON_IsString(language) ? language->valuestring : NULL);
    put_text(out, "job_id", result->id);
    begin_metadata(out, json_get(echo, "metadata"), ours);
    put_number(out, "generation_time", result->ms.total / 1000);
    put_number(out, "duration_s", result->audio.duration_s);
    put_text(out, "format", audio_format_names[result->audio.format]);
    put_text(out, "model_type", result->model_type);
    json_write_key(out, "seed");
    str_printf(out, "%lld}", (long long)result->seed);
}

static void write_failure(const struct result *result, struct str *out)
{
    static const char *const ours[] = {"language",    "story_type",      "story_name", "voice_name",
                                       "text_length", "generation_time", "error_type", "error_code",
                                       "error_field", "retryable",       NULL};
    const cJSON *echo = result->caller.echo;
    const struct err *err = &result->err;
    char *details =
        str_format("%s%s%s", err_word(err->code), err->field[0] ? ": " : "", err->field);
    put_echo(out, echo, "story_id");
    put_message(out, "error", err);
    put_text(out, "error_details", details);
    put_echo(out, echo, "user_id");
    put_echo(out, echo, "voice_id");
    put_text(out, "job_id", result->id);
    begin_metadata(out, json_get(echo, "metadata"), ours);
    for (size_t i = 0; i < 5; i++)
        put_known_echo(out, echo, ours[i]);
    put_number(out, "generation_time", result->ms.total / 1000);
    put_text(out, "error_type", error_type(err));
    put_text(out, "error_code", err_word(err->code));
    if (err->field[0])
        put_text(out, "error_field", err->field);
    json_write_key(out, "retryable");
    str_puts(out, err_retryable(err->code) ? "true}" : "false}");
    free(details);
}

void callback_body(const struct result *result, struct str *out)
{
    str_putc(out, '{');
    if (result->err.code == ERR_NONE)
        write_success(result, out);
    else
        write_failure(result, out);
    str_putc(out, '}');
}

/* Of the voice that was made, else as the job has it; "" where neither says. */
static void put_of_voice(struct str *out, const struct result *result, const char *key,
                         const char *key_of_voice)
{
    const char *made = json_text(json_get(result->answer, "voice"), key_of_voice);
    const char *asked = json_text(result->caller.echo, key);
    put_text(out, key, made ? made : asked ? asked : "");
}

/* Profile and recording are named once they are objects of the storage; else they lie in the library
 * alone, and are null. */
void callback_voice_body(const struct result *result, struct str *out)
{
    static const char *const ours[] = {"error_type", "error_code", "generation_time", NULL};
    const cJSON *echo = result->caller.echo;
    bool is_error = result->err.code != ERR_NONE;
    const char *profile = json_text(result->answer, "profile_path");
    const char *sample = json_text(result->answer, "sample_path");
    if (!sample)
        sample = result->key;
    str_putc(out, '{');
    put_text(out, "status", is_error ? "error" : "success");
    put_echo(out, echo, "user_id");
    put_of_voice(out, result, "voice_id", "id");
    put_of_voice(out, result, "voice_name", "name");
    put_of_voice(out, result, "language", "language");
    json_write_key(out, "is_kids_voice");
    str_puts(out, cJSON_IsTrue(json_get(echo, "is_kids_voice")) ? "true" : "false");
    put_text(out, "model_type", result->model_type ? result->model_type : "");
    put_text(out, "profile_path", profile);
    put_text(out, "sample_path", sample ? sample : result->path);
    put_text(out, "r2_profile_path", profile);
    put_text(out, "r2_sample_path", sample);
    put_text(out, "recorded_path", json_text(result->answer, "recorded_path"));
    put_text(out, "job_id", result->id);
    if (is_error)
        put_message(out, "error", &result->err);
    begin_metadata(out, json_get(echo, "metadata"), ours);
    put_number(out, "generation_time", result->ms.total / 1000);
    if (is_error) {
        put_text(out, "error_type", error_type(&result->err));
        put_text(out, "error_code", err_word(result->err.code));
    }
    str_puts(out, "}}");
}
