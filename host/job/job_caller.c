/* What a job says of who asked: where to report to, and what to repeat there. Read from the object
 * itself, so that callers of jobs that are refused hear of it too; what is wrong with a member that
 * is only repeated is said by job_parse. Knows no callbacks. */
#include "job/job_fields.h"

#include <stdlib.h>
#include <string.h>

#define ECHO_SIZE_MAX 1024 /* of one text that is repeated */
#define NAMES_MAX 3

/* What is repeated under the first of its names; the others are those of older clients. */
static const char *const texts[][NAMES_MAX] = {{"user_id"},    {"story_id"},
                                               {"story_name"}, {"story_type"},
                                               {"voice_name"}, {"language", "lang"}};
static const char *const voice_names[NAMES_MAX] = {"voice", "voice_id", "local_voice"};
static const char *const text_names[NAMES_MAX] = {"text", "input"};

static const cJSON *member_of(const cJSON *json, const char *const names[NAMES_MAX])
{
    for (size_t i = 0; i < NAMES_MAX && names[i]; i++) {
        const cJSON *value = json_get(json, names[i]);
        if (value && !cJSON_IsNull(value))
            return value;
    }
    return NULL;
}

/* Of the job, else of its metadata. */
static const cJSON *find(const cJSON *json, const char *const names[NAMES_MAX])
{
    const cJSON *value = member_of(json, names);
    const cJSON *metadata = json_get(json, "metadata");
    return value || !cJSON_IsObject(metadata) ? value : member_of(metadata, names);
}

static const cJSON *find_one(const cJSON *json, const char *name)
{
    const char *const names[NAMES_MAX] = {name};
    return find(json, names);
}

/* The URL is not shown: it may hold a token. */
static void read_url(const cJSON *json, const char *field, char **url, struct err *err)
{
    const cJSON *value = find_one(json, field);
    if (!value)
        return;
    if (cJSON_IsString(value) && manifest_callback_url_valid(value->valuestring))
        *url = mem_copy_string(value->valuestring);
    else if (err->code == ERR_NONE)
        err_set(
            err, ERR_INVALID, field,
            "expected an http or https URL of at most %d bytes, without a user name, a fragment "
            "and blanks",
            MANIFEST_URL_SIZE_MAX);
}

/* Ids may be numbers: their literal is the text. */
static void read_text(const cJSON *json, const char *const names[NAMES_MAX], cJSON *echo)
{
    const cJSON *value = find(json, names);
    bool is_text = value && (cJSON_IsString(value) || cJSON_IsNumber(value));
    if (is_text && strlen(value->valuestring) <= ECHO_SIZE_MAX)
        cJSON_AddStringToObject(echo, names[0], value->valuestring);
}

/* A name, not a recording; what else may be wrong with a voice is said elsewhere. */
static void read_voice(const cJSON *json, cJSON *echo)
{
    const cJSON *value = find(json, voice_names);
    if (cJSON_IsObject(value))
        value = json_get(value, "id");
    if (cJSON_IsString(value) && strlen(value->valuestring) <= JOB_ID_SIZE_MAX &&
        !strchr(value->valuestring, ':'))
        cJSON_AddStringToObject(echo, "voice_id", value->valuestring);
}

/* Of a voice that is not there yet: its name as the job has it, and the id that it would get. */
static void read_new_voice(const cJSON *json, cJSON *echo)
{
    static const char *const names[NAMES_MAX] = {"voice_name", "name", "title"};
    const cJSON *value = member_of(json, names);
    size_t len = cJSON_IsString(value) ? strlen(value->valuestring) : 0;
    if (len > ECHO_SIZE_MAX || !len || text_is_blank(value->valuestring, len))
        return;
    cJSON_DeleteItemFromObjectCaseSensitive(echo, names[0]);
    cJSON_AddStringToObject(echo, names[0], value->valuestring);
    if (json_get(echo, "voice_id"))
        return;
    char *name = mem_copy_string(value->valuestring);
    given_drop_ending(name);
    char *id = voice_id_from_name(name);
    cJSON_AddStringToObject(echo, "voice_id", id);
    free(id);
    free(name);
}

static void read_text_length(const cJSON *json, cJSON *echo)
{
    const cJSON *text = member_of(json, text_names);
    int64_t count = 0;
    if (!cJSON_IsString(text))
        return;
    for (const char *c = text->valuestring; *c; c++)
        count += ((unsigned char)*c & 0xc0) != 0x80;
    cJSON_AddItemToObject(echo, "text_length", json_create_int64(count));
}

static void read_kids(const cJSON *json, cJSON *echo)
{
    const cJSON *value = find_one(json, "is_kids_voice");
    bool is_text = cJSON_IsString(value); /* CSV */
    if (cJSON_IsBool(value) || (is_text && strcmp(value->valuestring, "true") == 0) ||
        (is_text && strcmp(value->valuestring, "false") == 0))
        cJSON_AddBoolToObject(echo, "is_kids_voice",
                              is_text ? value->valuestring[0] == 't' : cJSON_IsTrue(value));
}

static void read_metadata(const cJSON *json, cJSON *echo, struct err *err)
{
    const cJSON *value = json_get(json, "metadata");
    struct str text = {0};
    if (!cJSON_IsObject(value))
        return;
    json_write(&text, value);
    if (text.len <= JOB_METADATA_BYTES_MAX)
        cJSON_AddItemToObject(echo, "metadata", cJSON_Duplicate(value, true));
    else if (err->code == ERR_NONE)
        err_set(err, ERR_INVALID, "metadata", "is %zu bytes long, at most %d", text.len,
                JOB_METADATA_BYTES_MAX);
    str_finish(&text);
}

int job_caller_read(const cJSON *json, struct job_caller *caller, struct err *err)
{
    struct err first = {0};
    *caller = (struct job_caller){0};
    if (!cJSON_IsObject(json))
        return 0;
    caller->op = job_op_of(json);
    caller->echo = cJSON_CreateObject();
    read_url(json, "callback_url", &caller->callback_url, &first);
    read_url(json, "error_callback_url", &caller->error_callback_url, &first);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        read_text(json, texts[i], caller->echo);
    read_voice(json, caller->echo);
    if (caller->op == OP_VOICE_CREATE)
        read_new_voice(json, caller->echo);
    read_kids(json, caller->echo);
    read_text_length(json, caller->echo);
    read_metadata(json, caller->echo, &first);
    if (first.code != ERR_NONE)
        *err = first;
    return first.code;
}

void job_caller_copy(const struct job_caller *from, struct job_caller *to)
{
    *to = (struct job_caller){
        .op = from->op,
        .callback_url = mem_copy_string(from->callback_url),
        .error_callback_url = mem_copy_string(from->error_callback_url),
        .echo = from->echo ? cJSON_Duplicate(from->echo, true) : NULL,
    };
}

void job_caller_finish(struct job_caller *caller)
{
    free(caller->callback_url);
    free(caller->error_callback_url);
    cJSON_Delete(caller->echo);
    *caller = (struct job_caller){0};
}

cJSON *job_public_metadata(const struct job *job)
{
    cJSON *metadata = job->metadata ? cJSON_Duplicate(job->metadata, true) : cJSON_CreateObject();
    cJSON_DeleteItemFromObjectCaseSensitive(metadata, "callback_url");
    cJSON_DeleteItemFromObjectCaseSensitive(metadata, "error_callback_url");
    return metadata;
}
