/* What follows from the keys of the section `storage` together: its type, an endpoint where none is
 * named, one place for the credentials; and what is wrong with its templates, prefixes and URLs. It
 * asks no server and reads no file. */
#include "manifest/manifest_private.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FIELD_SIZE_MAX 16 /* of a name in a template */

const char *const manifest_key_fields[KEY_FIELD_COUNT + 1] = {
    [KEY_FIELD_JOB_ID] = "job_id",     [KEY_FIELD_USER_ID] = "user_id",
    [KEY_FIELD_STORY_ID] = "story_id", [KEY_FIELD_VOICE] = "voice",
    [KEY_FIELD_LANGUAGE] = "language", [KEY_FIELD_MODEL_TYPE] = "model_type",
    [KEY_FIELD_DATE] = "date",         [KEY_FIELD_EXT] = "ext",
    [KEY_FIELD_RANDOM] = "random",     [KEY_FIELD_COUNT] = NULL,
};

static struct part *storage_part(const struct reader *r)
{
    return &r->m->private_parts->parts[PART_STORAGE];
}

static enum value_source source_of(const struct part *p, const char *key)
{
    return (enum value_source)p->sources[section_find(p->section, key)];
}

/* --- Resolving -------------------------------------------------------------------------------- */

/* Forgets what the environment said. */
static void drop_variable(struct part *p, const char *key)
{
    int i = section_find(p->section, key);
    if (p->sources[i] != SOURCE_ENVIRONMENT)
        return;
    value_free(&p->section->keys[i], part_slot(p, &p->section->keys[i]));
    p->sources[i] = SOURCE_DEFAULT;
}

/* Keys of one place are never completed from another. */
static void separate_credentials(struct part *p)
{
    static const char *const keys[] = {"access_key", "secret_key", "session_token",
                                       "credentials_file"};
    const size_t count = sizeof(keys) / sizeof(keys[0]);
    bool explicit = false;
    for (size_t i = 0; i < count; i++)
        explicit = explicit || source_of(p, keys[i]) > SOURCE_ENVIRONMENT;
    for (size_t i = 0; i < count && explicit; i++)
        drop_variable(p, keys[i]);
    if (explicit && source_of(p, "endpoint") > SOURCE_ENVIRONMENT)
        drop_variable(p, "region"); /* it is that of somewhere else */
}

/* AWS_* alone is set on many machines for other programs: only a bucket says that it is for us. */
static bool endpoint_is_ambient(const struct part *p)
{
    const char *variable = p->variables[section_find(p->section, "endpoint")];
    return source_of(p, "endpoint") == SOURCE_ENVIRONMENT && strncmp(variable, "AWS_", 4) == 0;
}

static bool names_bucket(const struct part *p)
{
    return source_of(p, "bucket") > SOURCE_ENVIRONMENT ||
           source_of(p, "endpoint") > SOURCE_ENVIRONMENT;
}

static int64_t find_type(const struct part *p, const struct manifest_storage *storage)
{
    if (storage->dir && !names_bucket(p))
        return STORAGE_FILE;
    bool has_bucket = storage->bucket || (storage->endpoint && !endpoint_is_ambient(p));
    return has_bucket ? STORAGE_S3 : STORAGE_NONE;
}

static char *default_endpoint(const struct manifest_storage *storage)
{
    const char *region = storage->region ? storage->region : "us-east-1";
    if (!storage->bucket)
        return NULL;
    if (storage->account_id)
        return str_format("https://%s.r2.cloudflarestorage.com", storage->account_id);
    return str_format("https://s3.%s.amazonaws.com%s", region,
                      strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
}

void storage_resolve(struct reader *r)
{
    struct part *p = storage_part(r);
    struct manifest_storage *storage = &r->m->storage;
    storage->min_free_mb = r->m->host.min_free_mb;
    dir_resolve(r, p, "dir", &storage->dir, r->m->dir, NULL);
    dir_resolve(r, p, "credentials_file", &storage->credentials_file, r->m->dir, NULL);
    separate_credentials(p);
    if (source_of(p, "type") == SOURCE_DEFAULT)
        storage->type = find_type(p, storage);
    for (size_t i = 0; i < p->section->count && storage->type != STORAGE_S3; i++)
        if (p->section->keys[i].flags & KEY_FAMILY)
            drop_variable(p, p->section->keys[i].name);
    if (storage->type != STORAGE_S3) {
        free(storage->endpoint);
        storage->endpoint = NULL;
    } else if (!storage->endpoint) {
        storage->endpoint = default_endpoint(storage);
    }
    if (storage->voices_prefix && *storage->voices_prefix &&
        storage->voices_prefix[strlen(storage->voices_prefix) - 1] != '/') {
        char *whole = str_format("%s/", storage->voices_prefix);
        free(storage->voices_prefix);
        storage->voices_prefix = whole;
    }
}

/* --- Checking --------------------------------------------------------------------------------- */

/* The name at `at`, behind its brace, is one that templates may have. */
static bool is_field(const char *at, size_t len)
{
    for (size_t i = 0; i < KEY_FIELD_COUNT; i++)
        if (strlen(manifest_key_fields[i]) == len && strncmp(manifest_key_fields[i], at, len) == 0)
            return true;
    return false;
}

static int check_field(const char *at, size_t len, struct err *err)
{
    struct str known = {0};
    if (is_field(at, len))
        return 0;
    for (size_t i = 0; i < KEY_FIELD_COUNT; i++)
        str_printf(&known, "%s{%s}", i ? ", " : "", manifest_key_fields[i]);
    char *name = mem_copy_text(at, len < FIELD_SIZE_MAX ? len : utf8_cut(at, len, FIELD_SIZE_MAX));
    const char *meant = suggest(name, manifest_key_fields, KEY_FIELD_COUNT);
    err_set(err, ERR_INVALID, "storage.key_template", "knows no {%s}%s%s%s (known: %s)", name,
            meant ? ", did you mean {" : "", meant ? meant : "", meant ? "}?" : "",
            str_text(&known));
    str_finish(&known);
    free(name);
    return err->code;
}

int manifest_key_template_check(const char *text, struct err *err)
{
    struct str sample = {0};
    int result = 0;
    for (const char *c = text; *c && result == 0; c++) {
        size_t len = *c == '{' ? strcspn(c + 1, "{}") : 0;
        if (*c == '}' || (*c == '{' && c[len + 1] != '}')) {
            result = err_set(err, ERR_INVALID, "storage.key_template",
                             "has a \"%c\" without its other half at byte %zu", *c,
                             (size_t)(c - text) + 1);
        } else if (*c == '{') {
            result = check_field(c + 1, len, err);
            str_putc(&sample, 'x'); /* values are never "", "." or "..", and have no "/" */
            c += len + 1;
        } else {
            str_putc(&sample, *c);
        }
    }
    if (result == 0 && !fs_path_is_inside(str_text(&sample)))
        result = err_set(err, ERR_INVALID, "storage.key_template",
                         "expected a relative path without empty names, \".\" and \"..\"");
    str_finish(&sample);
    return result;
}

static bool is_base_url(const char *url)
{
    size_t scheme = strncasecmp(url, "https://", 8) == 0  ? 8
                    : strncasecmp(url, "http://", 7) == 0 ? 7
                                                          : 0;
    return scheme > 0 && url[scheme] != '\0' && url[scheme] != '/' && !strpbrk(url, "?#@ \"<>\\");
}

static bool is_prefix(const char *prefix)
{
    size_t len = strlen(prefix);
    char *path = mem_copy_text(prefix, len > 0 && prefix[len - 1] == '/' ? len - 1 : len);
    bool valid = fs_path_is_inside(path);
    free(path);
    return valid;
}

static void complain(struct reader *r, const char *key, const char *what)
{
    struct place place = key_place(storage_part(r), key);
    problems_add(r->problems, place.line, place.column, "storage.%s: %s", key, what);
}

void storage_check(struct reader *r)
{
    const struct part *p = storage_part(r);
    const struct manifest_storage *storage = &r->m->storage;
    struct err err;
    if (storage->type == STORAGE_FILE && !storage->dir)
        complain(r, "dir", "missing, `type: file` needs it");
    if (storage->type == STORAGE_S3 && !storage->endpoint)
        complain(r, "bucket", "missing, and no endpoint names a bucket either");
    if (source_of(p, "type") == SOURCE_DEFAULT && storage->dir && names_bucket(p))
        complain(r, "type",
                 "missing, since there are both a directory and a bucket: expected file or s3");
    if (storage->type == STORAGE_S3 && (storage->keep_days > 0 || storage->keep_mb > 0))
        complain(r, storage->keep_days > 0 ? "keep_days" : "keep_mb",
                 "works with `type: file` only: give the bucket a lifecycle rule instead");
    if (storage->key_template && manifest_key_template_check(storage->key_template, &err) != 0)
        complain(r, "key_template", err.message);
    if (storage->voices_prefix && !is_prefix(storage->voices_prefix))
        complain(r, "voices_prefix",
                 "expected a relative path without empty names, \".\" and \"..\"");
    if (storage->public_base_url && !is_base_url(storage->public_base_url))
        complain(r, "public_base_url",
                 "expected a URL that begins with \"https://\" or \"http://\", without a query");
}
