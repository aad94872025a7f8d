/* The members of a job's JSON, sorted into fields for its operation, and read by their types.
 * Nothing is coerced, but for files whose values are all text (CSV). Knows no models and no voices.
 */
#include "job/job_fields.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- Which operation -------------------------------------------------------------------------- */

static bool has(const cJSON *json, const char *name)
{
    const cJSON *value = json_get(json, name);
    return value && !cJSON_IsNull(value);
}

static int unknown_op(const char *selector, const char *text, struct err *err)
{
    struct str known = {0};
    const char *meant = suggest(text, job_op_names, OP_COUNT);
    given_expected(&job_fields[FIELD_OP], &known);
    err_set(err, ERR_INVALID, selector, "expected %s, got \"%.100s\"%s%s%s", str_text(&known), text,
            meant ? " (did you mean \"" : "", meant ? meant : "", meant ? "\"?)" : "");
    str_finish(&known);
    return ERR_INVALID;
}

int given_op(const cJSON *json, enum job_op *op, bool *is_cloning, struct err *err)
{
    static const char *const selectors[] = {"op", "endpoint", "action"};
    const char *selector = NULL;
    *op = OP_TTS;
    *is_cloning = false;
    for (size_t i = 0; i < 3 && !selector; i++)
        if (has(json, selectors[i]))
            selector = selectors[i];
    if (!selector) {
        bool has_recording = has(json, "audio_data") || has(json, "audio_path");
        *is_cloning = has_recording || (has(json, "name") && !has(json, "text"));
        *op = *is_cloning ? OP_VOICE_CREATE : OP_TTS;
        return 0;
    }
    const cJSON *value = json_get(json, selector);
    if (!cJSON_IsString(value)) {
        char shown[128];
        return err_set(err, ERR_INVALID, selector, "expected string, got %s",
                       json_show(value, shown, sizeof(shown)));
    }
    for (size_t i = 0; i < OP_COUNT; i++)
        if (strcmp(job_op_names[i], value->valuestring) == 0)
            return *op = (enum job_op)i, 0;
    for (size_t i = 0; i < job_op_alias_count; i++) {
        if (strcmp(job_op_aliases[i].name, value->valuestring) != 0)
            continue;
        *op = job_op_aliases[i].op;
        return job_op_aliases[i].why
                   ? err_set(err, ERR_UNSUPPORTED, selector, "%s", job_op_aliases[i].why)
                   : 0;
    }
    return unknown_op(selector, value->valuestring, err);
}

/* --- Sorting members into fields -------------------------------------------------------------- */

static int field_index(const char *name, enum job_op op, bool *is_alias)
{
    *is_alias = false;
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (strcmp(job_fields[i].name, name) == 0 && (job_ops[op].fields & FIELD_BIT(i)))
            return (int)i;
    *is_alias = true;
    for (size_t i = 0; i < job_alias_count; i++)
        if (strcmp(job_aliases[i].name, name) == 0 && (job_aliases[i].ops & OP_BIT(op)) &&
            (job_ops[op].fields & FIELD_BIT(job_aliases[i].field)))
            return (int)job_aliases[i].field;
    return -1;
}

static int unknown_field(const char *name, enum job_op op, struct err *err)
{
    const char *names[FIELD_COUNT];
    size_t count = 0;
    if (op != OP_TTS && job_has_field(name))
        return err_set(err, ERR_INVALID, name, "is no field of the operation %s", job_op_names[op]);
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (job_ops[op].fields & FIELD_BIT(i))
            names[count++] = job_fields[i].name;
    const char *meant = suggest(name, names, count);
    if (meant)
        return err_set(err, ERR_INVALID, name, "unknown field (did you mean \"%s\"?)", meant);
    return err_set(err, ERR_INVALID, name,
                   "unknown field; the model's own options stand under \"options\"");
}

static const struct older_field *find_older(const char *name)
{
    for (size_t i = 0; i < job_older_field_count; i++)
        if (strcmp(job_older_fields[i].name, name) == 0)
            return &job_older_fields[i];
    return NULL;
}

static int take_older(const struct older_field *older, const cJSON *member, struct job *job,
                      struct err *err)
{
    if (older->fate == OLDER_REFUSED)
        return err_set(err, ERR_UNSUPPORTED, older->name, "%s", older->why);
    if (older->fate == OLDER_KEPT && !json_get(job->metadata, older->name)) {
        if (!job->metadata)
            job->metadata = cJSON_CreateObject();
        cJSON_AddItemToObject(job->metadata, older->name, cJSON_Duplicate(member, true));
    }
    if (older->why)
        text_list_add(&job->warnings, str_format("\"%s\" %s", older->name, older->why));
    return 0;
}

static int take_member(const cJSON *member, struct given *given, struct job *job, struct err *err)
{
    bool is_alias;
    int index = field_index(member->string, job->op, &is_alias);
    const struct older_field *older = index < 0 ? find_older(member->string) : NULL;
    if (index < 0 && !older)
        return unknown_field(member->string, job->op, err);
    if (cJSON_IsNull(member))
        return 0;
    if (older)
        return take_older(older, member, job, err);
    if (index == FIELD_VOICE_PROFILE && given->values[index]) { /* older clients say both */
        if (strcmp(member->string, "profile_path") == 0)
            return 0;
        if (strcmp(given->values[index]->string, "profile_path") == 0)
            given->values[index] = NULL;
    }
    if (given->values[index])
        return err_set(err, ERR_INVALID, member->string, "given twice: as \"%s\" and as \"%s\"",
                       given->values[index]->string, member->string);
    given->values[index] = member;
    if (is_alias)
        text_list_add(&job->warnings, str_format("\"%s\" is taken as \"%s\"", member->string,
                                                 job_fields[index].name));
    return 0;
}

/* What older clients say in `metadata` instead. */
static void look_into_metadata(struct given *given, const struct job *job)
{
    static const struct {
        const char *name;
        enum field field;
    } names[] = {{"user_id", FIELD_USER_ID},
                 {"story_id", FIELD_STORY_ID},
                 {"voice_id", FIELD_VOICE},
                 {"profile_path", FIELD_VOICE_PROFILE}};
    const cJSON *metadata = given->values[FIELD_METADATA];
    bool has_storage = given->context->manifest->storage.type != STORAGE_NONE;
    for (size_t i = 0; cJSON_IsObject(metadata) && i < sizeof(names) / sizeof(names[0]); i++) {
        const cJSON *value = json_get(metadata, names[i].name);
        enum field field = names[i].field;
        bool is_id = field == FIELD_USER_ID || field == FIELD_STORY_ID;
        bool is_text =
            (cJSON_IsString(value) && value->valuestring[0]) || (is_id && cJSON_IsNumber(value));
        bool is_meant = field == FIELD_VOICE           ? job->op == OP_TTS
                        : field == FIELD_VOICE_PROFILE ? job->op == OP_TTS && has_storage
                                                       : true;
        if (!given->values[field] && is_text && is_meant)
            given->values[field] = value;
    }
}

int given_sort(const cJSON *json, struct given *given, struct job *job, struct err *err)
{
    const cJSON *member, *metadata = json_get(json, job_fields[FIELD_METADATA].name);
    int result = 0;
    if (cJSON_IsObject(metadata))
        job->metadata = cJSON_Duplicate(metadata, true);
    cJSON_ArrayForEach(member, json)
    {
        if (result == 0)
            result = take_member(member, given, job, err);
    }
    if (metadata && !cJSON_IsNull(metadata) && !cJSON_IsObject(metadata) && result == 0)
        result = given_wrong(FIELD_METADATA, metadata, "an object", err);
    if (result == 0)
        look_into_metadata(given, job);
    return result;
}

/* --- Values by type --------------------------------------------------------------------------- */

int given_wrong(enum field field, const cJSON *value, const char *expected, struct err *err)
{
    char shown[128];
    return err_set(err, ERR_INVALID, job_fields[field].name, "expected %s, got %s", expected,
                   json_show(value, shown, sizeof(shown)));
}

int given_text(const struct given *given, enum field field, const char **text, struct err *err)
{
    const cJSON *value = given->values[field];
    *text = NULL;
    if (!value)
        return 0;
    bool is_id = field == FIELD_ID || field == FIELD_JOB_ID || field == FIELD_USER_ID ||
                 field == FIELD_STORY_ID;
    bool number_is_text = given->context->loose || is_id; /* by its literal */
    if (!cJSON_IsString(value) && !(number_is_text && cJSON_IsNumber(value)))
        return given_wrong(field, value, "string", err);
    *text = value->valuestring;
    return 0;
}

static int choice_index(const struct field_spec *spec, const char *text)
{
    for (size_t i = 0; i < spec->choice_count; i++)
        if (strcmp(spec->choices[i], text) == 0)
            return (int)i;
    return -1;
}

void given_expected(const struct field_spec *spec, struct str *out)
{
    for (size_t i = 0; i < spec->choice_count; i++)
        str_printf(out, "%s%s", i ? ", " : "one of ", spec->choices[i]);
}

int given_wrong_choice(enum field field, const char *text, struct err *err)
{
    const struct field_spec *spec = &job_fields[field];
    struct str known = {0};
    const char *meant = suggest(text, spec->choices, spec->choice_count);
    given_expected(spec, &known);
    err_set(err, ERR_INVALID, spec->name, "expected %s, got \"%.100s\"%s%s%s", str_text(&known),
            text, meant ? " (did you mean \"" : "", meant ? meant : "", meant ? "\"?)" : "");
    str_finish(&known);
    return ERR_INVALID;
}

int given_choice(const struct given *given, enum field field, int *index, struct err *err)
{
    const char *text;
    *index = -1;
    int result = given_text(given, field, &text, err);
    if (result != 0 || !text)
        return result;
    *index = choice_index(&job_fields[field], text);
    return *index < 0 ? given_wrong_choice(field, text, err) : 0;
}

int given_number(const struct given *given, enum field field, double *number, int64_t *integer,
                 bool *present, struct err *err)
{
    const struct field_spec *spec = &job_fields[field];
    const cJSON *value = given->values[field];
    *present = value != NULL;
    if (!value)
        return 0;
    cJSON *loosened = NULL;
    if (given->context->loose && cJSON_IsString(value) &&
        json_number_valid(value->valuestring, strlen(value->valuestring)))
        loosened = json_create_number(value->valuestring);
    const cJSON *used = loosened ? loosened : value;
    bool good = cJSON_IsNumber(used) && used->valuedouble >= spec->minimum &&
                used->valuedouble <= spec->maximum;
    *number = good ? used->valuedouble : 0;
    if (good && spec->type == TYPE_INTEGER)
        good = json_int64(used, integer);
    cJSON_Delete(loosened);
    if (good)
        return 0;
    char expected[96];
    if (field == FIELD_SEED)
        snprintf(expected, sizeof(expected), "integer 0..9223372036854775807");
    else
        snprintf(expected, sizeof(expected), "%s %g..%g",
                 spec->type == TYPE_INTEGER ? "integer" : "number", spec->minimum, spec->maximum);
    return given_wrong(field, value, expected, err);
}

int given_bool(const struct given *given, enum field field, bool *value, bool *present,
               struct err *err)
{
    const cJSON *node = given->values[field];
    bool loose_true = node && given->context->loose && cJSON_IsString(node) &&
                      strcmp(node->valuestring, "true") == 0;
    bool loose_false = node && given->context->loose && cJSON_IsString(node) &&
                       strcmp(node->valuestring, "false") == 0;
    *present = node != NULL;
    *value = (node && cJSON_IsTrue(node)) || loose_true;
    if (!node || cJSON_IsBool(node) || loose_true || loose_false)
        return 0;
    return given_wrong(field, node, "true or false", err);
}

int given_check_text(enum field field, const char *text, size_t len, int64_t size_max,
                     struct err *err)
{
    size_t bad;
    bool is_speech = field == FIELD_TEXT || field == FIELD_TEXT_FILE || field == FIELD_SAMPLE_TEXT;
    if (len > (size_t)size_max)
        return err_set(err, ERR_INVALID, job_fields[field].name,
                       "is %zu bytes long, at most %lld%s", len, (long long)size_max,
                       is_speech ? " (host.text_bytes_max)" : "");
    if (memchr(text, '\0', len))
        return err_set(err, ERR_INVALID, job_fields[field].name, "has a NUL byte");
    if (!utf8_valid(text, len, &bad))
        return err_set(err, ERR_INVALID, job_fields[field].name, "is not UTF-8 at byte %zu",
                       bad + 1);
    if (text_is_blank(text, len))
        return err_set(err, ERR_INVALID, job_fields[field].name, "is empty");
    return 0;
}

/* --- Objects in the storage ------------------------------------------------------------------- */

int given_object(const struct given *given, enum field field, const char *text, char **url,
                 struct err *err)
{
    const struct manifest_storage *storage = &given->context->manifest->storage;
    const char *prefix = storage->voices_prefix ? storage->voices_prefix : "";
    const char *name = job_fields[field].name;
    bool is_url = text && strncmp(text, "s3://", 5) == 0;
    *url = NULL;
    if (!text || (!is_url && (storage->type == STORAGE_NONE || !prefix[0] ||
                              strncmp(text, prefix, strlen(prefix)) != 0)))
        return 0;
    if (storage->type == STORAGE_NONE)
        return err_set(err, ERR_UNSUPPORTED, name,
                       "unsupported: there is no storage to read objects from (the manifest's "
                       "`storage`)");
    const char *key = is_url ? storage_key_of(storage, text) : text;
    if (!key)
        return err_set(err, ERR_INVALID, name,
                       "expected an object of the host's own bucket, s3://%s/KEY",
                       storage->bucket ? storage->bucket : "storage");
    if (!fs_path_is_inside(key) || strncmp(key, prefix, strlen(prefix)) != 0 ||
        strlen(key) > STORAGE_KEY_SIZE_MAX)
        return err_set(err, ERR_INVALID, name,
                       "expected the key of an object below \"%s\" (storage.voices_prefix)",
                       prefix);
    *url = str_format("s3://%s/%s", storage->bucket ? storage->bucket : "storage", key);
    return 0;
}
