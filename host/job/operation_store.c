/* The objects of a new voice, where there is a storage: its recording, its profile and its sample,
 * below storage.voices_prefix, so that other workers can use them by their keys. A key has a part
 * of the digest of what it names: nothing is ever replaced by something else, and what was read of
 * a key before is never out of date. Part of operation.c; runs after the session was given back.
 */
#include "job/job_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SHA_LEN 16       /* of a digest, in keys */
#define OBJECTS_MAX 1000 /* of a kind, of a voice, that are removed with it */

/* One of the objects. */
struct object {
    const char *kind; /* "recorded", "profiles", "samples" */
    const char *ending;
    const char *sha256;
    const struct str *bytes; /* NULL: the file at `path` */
    const char *path;
};

struct keeping {
    struct attempt *attempt;
    struct result *result;
    const struct voice_entry *entry;
    cJSON *metadata;
};

static bool is_for_kids(const struct voice_entry *entry)
{
    return cJSON_IsTrue(json_get(entry->metadata, "is_kids_voice"));
}

/* Appends PREFIX[USER/][LANGUAGE/][kids/]KIND/ID_ and what `rest` of a template gives, as older
 * systems ordered them. */
static int put_key(const struct attempt *attempt, const struct voice_entry *entry, const char *kind,
                   const char *rest, const char *ending, struct str *key, struct err *err)
{
    const char *prefix = attempt->runner->manifest->storage.voices_prefix;
    const char *user_id = attempt->job->user_id;
    const char *const values[KEY_FIELD_COUNT] = {
        [KEY_FIELD_USER_ID] = user_id,
        [KEY_FIELD_VOICE] = entry->id,
        [KEY_FIELD_LANGUAGE] = entry->language,
        [KEY_FIELD_EXT] = ending,
    };
    char *template = str_format("%s%s%s%s/{voice}_%s", user_id ? "{user_id}/" : "",
                                entry->language ? "{language}/" : "",
                                is_for_kids(entry) ? "kids/" : "", kind, rest);
    str_puts(key, prefix ? prefix : "");
    int code = storage_key(NULL, template, values, (int64_t)time(NULL), key, err);
    free(template);
    return code;
}

static int make_key(const struct keeping *keeping, const struct object *object, struct str *key,
                    struct err *err)
{
    char *rest = str_format("%.*s.{ext}", SHA_LEN, object->sha256);
    int code =
        put_key(keeping->attempt, keeping->entry, object->kind, rest, object->ending, key, err);
    free(rest);
    return code;
}

/* What is kept with each object. */
static cJSON *make_metadata(const struct keeping *keeping)
{
    const struct job *job = keeping->attempt->job;
    const struct voice_entry *entry = keeping->entry;
    const struct {
        const char *name, *value;
    } known[] = {{"user_id", job->user_id},
                 {"voice_id", entry->id},
                 {"voice_name", entry->name},
                 {"language", entry->language},
                 {"model_type", job->model ? model_name(job->model) : NULL},
                 {"created_date", entry->created}};
    cJSON *metadata = job_public_metadata(job);
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (known[i].value && !json_get(metadata, known[i].name))
            cJSON_AddStringToObject(metadata, known[i].name, known[i].value);
    return metadata;
}

/* Opens what is a file. */
static int open_file(const struct object *object, struct storage_put *put, struct err *err)
{
    struct stat info;
    put->fd = open(object->path, O_RDONLY | O_CLOEXEC);
    if (put->fd < 0 || fstat(put->fd, &info) != 0)
        return err_set(err, ERR_STORAGE, NULL, "%s: cannot be read: %s", object->path,
                       strerror(errno));
    put->len = (uint64_t)info.st_size;
    return 0;
}

/* Notes what goes again if the rest fails: not what is there already, which may be another's who
 * has made the same voice. */
static void note_if_new(struct keeping *keeping, const struct storage_put *put)
{
    struct storage_object object;
    struct err why = {0};
    struct storage *storage = keeping->attempt->runner->storage;
    if (storage_head(storage, put->key, put->stop, &object, &why) != 0 &&
        strcmp(why.field, "key") == 0)
        text_list_add(&keeping->result->made_objects, mem_copy_string(put->key));
}

/* Metadata that the storage cannot keep is no reason to lose the voice. */
static int put_with_metadata(struct keeping *keeping, struct storage_put *put, struct err *err)
{
    struct storage *storage = keeping->attempt->runner->storage;
    char *warning = storage_fit_metadata(storage, keeping->metadata);
    if (warning)
        text_list_add(&keeping->result->warnings, warning);
    put->metadata = keeping->metadata;
    return storage_put(storage, put, err);
}

/* Stores it, and says its key and URL: the caller's. */
static int put_object(struct keeping *keeping, const struct object *object, char **key, char **url,
                      struct err *err)
{
    struct attempt *attempt = keeping->attempt;
    struct str name = {0}, address = {0};
    struct storage_put put = {.fd = -1, .stop = &attempt->stop};
    int code = make_key(keeping, object, &name, err);
    if (object->bytes) {
        put.data = str_text(object->bytes);
        put.len = object->bytes->len;
    } else if (code == 0) {
        code = open_file(object, &put, err);
    }
    put.key = str_text(&name);
    put.content_type = storage_content_type(object->ending);
    if (code == 0) {
        note_if_new(keeping, &put);
        code = put_with_metadata(keeping, &put, err);
    }
    if (code == 0)
        code = storage_url(attempt->runner->storage, put.key, &address, err);
    if (code == 0) {
        *key = mem_copy_string(str_text(&name));
        *url = mem_copy_string(str_text(&address));
    }
    if (put.fd >= 0)
        close(put.fd);
    str_finish(&name);
    str_finish(&address);
    return code;
}

/* The key and the URL under the names that older clients know; takes both. */
static void add_place(struct result *result, const char *kind, char *key, char *url)
{
    char *path_name = str_format("%s_path", kind), *url_name = str_format("%s_url", kind);
    if (key)
        cJSON_AddStringToObject(result->answer, path_name, key);
    if (url)
        cJSON_AddStringToObject(result->answer, url_name, url);
    free(path_name);
    free(url_name);
    free(key);
    free(url);
}

/* "0123456789abcdef.wav": how the key of an object ends that we have made of a voice. */
static bool is_digest_and_ending(const char *text)
{
    return strspn(text, "0123456789abcdef") == SHA_LEN && text[SHA_LEN] == '.' &&
           !strpbrk(text, "/_");
}

/* Goes when its voice does. */
static bool is_of_a_voice(const char *key)
{
    const char *line = strrchr(key, '_');
    return line && is_digest_and_ending(line + 1);
}

/* An object that the client has put into the storage is the recording, and stays there; one of
 * another voice is copied. */
static int keep_recording(struct keeping *keeping, struct err *err)
{
    static const char scheme[] = "s3://";
    const struct attempt *attempt = keeping->attempt;
    const char *audio = attempt->job->ask.audio;
    const char *known =
        strncmp(audio, scheme, strlen(scheme)) == 0 ? strchr(audio + strlen(scheme), '/') : NULL;
    char *key = NULL, *url = NULL;
    if (known && !is_of_a_voice(known + 1)) {
        add_place(keeping->result, "recorded", mem_copy_string(known + 1), NULL);
        return 0;
    }
    char *path = voice_library_recording(attempt->runner->manifest->paths.voices, keeping->entry);
    const struct object object = {"recorded", keeping->entry->format,
                                  keeping->entry->reference.sha256, NULL, path};
    int code = put_object(keeping, &object, &key, &url, err);
    add_place(keeping->result, "recorded", key, url);
    free(path);
    return code;
}

static int keep_profile(struct keeping *keeping, struct err *err)
{
    const struct str *file = &keeping->attempt->profile_file;
    char hex[DIGEST_HEX_SIZE], *key = NULL, *url = NULL;
    if (!file->len)
        return 0;
    digest_of(file->data, file->len, hex);
    const struct object object = {"profiles", "bin", hex, file, NULL};
    int code = put_object(keeping, &object, &key, &url, err);
    add_place(keeping->result, "profile", key, url);
    return code;
}

/* It is the job's audio as well, and has its URL then. */
static int keep_sample(struct keeping *keeping, struct err *err)
{
    struct attempt *attempt = keeping->attempt;
    struct result *result = keeping->result;
    if (!result->audio.frames)
        return 0;
    char *path = result->path && attempt->runner->store
                     ? fs_join(store_dir(attempt->runner->store), result->path)
                     : NULL;
    const struct object object = {"samples", audio_format_names[result->audio.format],
                                  result->audio.sha256, path ? NULL : &result->data, path};
    char *key = NULL, *url = NULL;
    int code = path || result->data.len ? put_object(keeping, &object, &key, &url, err) : 0;
    if (key) {
        result->key = mem_copy_string(key);
        result->url = mem_copy_string(url);
    }
    add_place(result, "sample", key, url);
    free(path);
    return code;
}

/* As far as the storage can be reached and there is time: the same job, sent again, finds the
 * rest. */
void operation_remove_made(const struct runner_options *runner, const struct result *result,
                           const atomic_int *stop)
{
    for (size_t i = 0; i < result->made_objects.count; i++) {
        const char *key = result->made_objects.items[i];
        struct err err = {0};
        if (storage_delete(runner->storage, key, stop, &err) != 0)
            LOG_EVENT(runner->log, LOG_WARN, "storage", "object of a failed voice may be left",
                      LOG_TEXT("job", result->id), LOG_TEXT("key", key),
                      LOG_TEXT("reason", err.message));
    }
}

void operation_keep_voice(struct attempt *attempt, struct result *result)
{
    bool is_new = attempt->job->op == OP_VOICE_CREATE || attempt->job->op == OP_UPLOAD;
    const cJSON *id = json_get(json_get(result->answer, "voice"), "id");
    struct voice_entry entry = {0};
    struct err err = {0};
    int64_t begun = clock_now();
    if (!is_new || result->err.code != ERR_NONE || !attempt->runner->storage || !cJSON_IsString(id))
        return;
    struct keeping keeping = {.attempt = attempt, .result = result, .entry = &entry};
    int code =
        voice_library_get(attempt->runner->manifest->paths.voices, id->valuestring, &entry, &err);
    if (code == 0) {
        keeping.metadata = make_metadata(&keeping);
        code = keep_recording(&keeping, &err);
    }
    if (code == 0)
        code = keep_profile(&keeping, &err);
    if (code == 0)
        code = keep_sample(&keeping, &err);
    if (code != 0) {
        result->err = err;
        if (code == ERR_CANCELLED)
            attempt_stopped(attempt, &result->err);
        operation_end_voice(attempt, result);
        operation_remove_made(attempt->runner, result, &attempt->stop);
    }
    result->ms.store += (double)(clock_now() - begun) / CLOCK_MS;
    cJSON_Delete(keeping.metadata);
    voice_entry_finish(&entry);
}

/* --- Removing --------------------------------------------------------------------------------- */

struct found {
    size_t prefix_len;
    struct text_list keys;
};

/* ID_ may be the begin of another voice's id. */
static int find_object(const struct storage_object *object, void *arg)
{
    struct found *found = arg;
    if (is_digest_and_ending(object->key + found->prefix_len))
        text_list_add(&found->keys, mem_copy_string(object->key));
    return found->keys.count == OBJECTS_MAX;
}

int operation_forget_voice(struct attempt *attempt, const struct voice_entry *entry,
                           struct err *err)
{
    static const char *const kinds[] = {"recorded", "profiles", "samples"};
    struct storage *storage = attempt->runner->storage;
    size_t count = 0;
    int code = 0;
    for (size_t i = 0; storage && i < 3 && code == 0; i++) {
        struct str prefix = {0};
        struct found found = {0};
        code = put_key(attempt, entry, kinds[i], "", NULL, &prefix, err);
        found.prefix_len = prefix.len;
        if (code == 0)
            code =
                storage_list(storage, str_text(&prefix), &attempt->stop, find_object, &found, err);
        for (size_t k = 0; k < found.keys.count && code >= 0; k++)
            code = storage_delete(storage, found.keys.items[k], &attempt->stop, err);
        count += found.keys.count;
        text_list_finish(&found.keys);
        str_finish(&prefix);
    }
    if (storage && code >= 0 && count == 0)
        text_list_add(
            &attempt->warnings,
            str_format("the storage has nothing of voice \"%s\" %s \"user_id\": what a voice has "
                       "there is removed only with the \"user_id\" that it was made with",
                       entry->id, attempt->job->user_id ? "under this" : "without"));
    return code < 0 ? code : 0;
}

/* Its new objects stand elsewhere then, and voice_delete looks only there. */
void operation_forget_old(struct attempt *attempt, const struct voice_entry *old,
                          const struct voice_entry *entry)
{
    struct err err = {0};
    const char *was = old->language ? old->language : "",
               *is = entry->language ? entry->language : "";
    if (!old->id || (strcmp(was, is) == 0 && is_for_kids(old) == is_for_kids(entry)))
        return;
    if (operation_forget_voice(attempt, old, &err) != 0)
        text_list_add(&attempt->warnings,
                      str_format("voice \"%s\" as it was before may be left in the storage: %s",
                                 old->id, err.message));
}
