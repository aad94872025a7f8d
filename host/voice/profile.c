/* Profiles: what a plugin with vox.profile/1 makes of a voice, once. The bytes are packed with what
 * they belong to (plugin, version, revision, and a key over these, the checkpoint, the recording
 * and its transcript) and with their digest, so that a profile of another voice or model is never
 * taken for this one.
 *
 *     voxhost-profile/1 LF
 *     {"plugin":..,"version":..,"revision":..,"key":..,"bytes":..,"sha256":..} LF
 *     the bytes
 */
#include "voice/voice_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC "voxhost-profile/1\n"
#define PLUGIN_LEN_MAX 40 /* in a file's name, which is to fit into PROFILE_NAME_LEN_MAX */
#define VERSION_LEN_MAX 22
#define KEY_LEN 16

/* --- The container ---------------------------------------------------------------------------- */

void profile_pack(const struct profile_identity *identity, const struct str *blob, struct str *out)
{
    char hex[DIGEST_HEX_SIZE];
    digest_of(blob->data, blob->len, hex);
    str_puts(out, MAGIC "{\"plugin\":");
    json_write_string(out, identity->plugin, strlen(identity->plugin));
    str_puts(out, ",\"version\":");
    json_write_string(out, identity->version, strlen(identity->version));
    str_printf(out, ",\"revision\":%u,\"key\":\"%s\",\"bytes\":%zu,\"sha256\":\"%s\"}\n",
               identity->revision, identity->key, blob->len, hex);
    str_append(out, blob->data, blob->len);
}

/* The header, the caller's; NULL when the whole is damaged. */
static cJSON *unpack(const struct str *packed, struct vox_str *blob)
{
    size_t magic_len = strlen(MAGIC);
    struct err none;
    if (packed->len < magic_len || memcmp(packed->data, MAGIC, magic_len) != 0)
        return NULL;
    const char *head = packed->data + magic_len;
    size_t room = packed->len - magic_len;
    const char *end = memchr(head, '\n', room < PROFILE_HEADER_MAX ? room : PROFILE_HEADER_MAX);
    if (!end)
        return NULL;
    cJSON *header = json_parse(head, (size_t)(end - head), &JSON_LIMITS_DEFAULT, &none);
    *blob = (struct vox_str){end + 1, packed->len - (size_t)(end + 1 - packed->data)};
    char hex[DIGEST_HEX_SIZE];
    digest_of(blob->data, (size_t)blob->size, hex);
    const cJSON *sha256 = json_get(header, "sha256");
    if (!cJSON_IsString(sha256) || strcmp(sha256->valuestring, hex) != 0 || blob->size == 0 ||
        blob->size > VOX_PROFILE_SIZE_MAX || !cJSON_IsString(json_get(header, "key")) ||
        !cJSON_IsString(json_get(header, "plugin")) ||
        !cJSON_IsString(json_get(header, "version"))) {
        cJSON_Delete(header);
        return NULL;
    }
    return header;
}

bool profile_unpack(const struct str *packed, const struct profile_identity *identity,
                    struct vox_str *blob)
{
    cJSON *header = unpack(packed, blob);
    bool good =
        header && (!identity || strcmp(json_get(header, "key")->valuestring, identity->key) == 0);
    cJSON_Delete(header);
    return good;
}

char *profile_about(const struct str *packed)
{
    struct vox_str blob;
    struct str about = {0};
    cJSON *header = unpack(packed, &blob);
    if (!header)
        return NULL;
    const char *const said[] = {json_get(header, "plugin")->valuestring,
                                json_get(header, "version")->valuestring};
    for (size_t i = 0; i < sizeof(said) / sizeof(*said); i++) {
        plugin_text(said[i], strlen(said[i]), &about);
        str_puts(&about, i == 0 ? " " : ", ");
    }
    str_printf(&about, "%llu bytes", (unsigned long long)blob.size);
    cJSON_Delete(header);
    return str_take(&about);
}

bool profile_name_valid(const char *name)
{
    size_t len = strnlen(name, PROFILE_NAME_LEN_MAX + 1);
    return voice_id_valid(name) && len > 4 && len <= PROFILE_NAME_LEN_MAX &&
           strcmp(name + len - 4, ".bin") == 0;
}

/* Begins with a letter or digit, whatever the plugin's id does. The caller's. */
char *profile_name(const struct profile_identity *identity)
{
    const char *first = strchr("-_", identity->plugin[0]) ? "plugin" : "";
    char version[VERSION_LEN_MAX + 1];
    snprintf(version, sizeof(version), "%s", identity->version);
    for (char *p = version; *p; p++)
        if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", *p))
            *p = '_';
    return str_format("%s%.*s-%s-%.*s.bin", first, PLUGIN_LEN_MAX, identity->plugin, version,
                      KEY_LEN, identity->key);
}

/* --- What a profile belongs to ---------------------------------------------------------------- */

static void add(struct digest *digest, const char *text, uint64_t len)
{
    char head[32];
    int head_len = snprintf(head, sizeof(head), "%llu:", (unsigned long long)len);
    digest_update(digest, head, (size_t)head_len);
    if (len)
        digest_update(digest, text, (size_t)len);
}

static void identify(const struct vox_profile *extension, const struct session *session,
                     const char *reference_sha256, const struct vox_voice *voice,
                     struct profile_identity *out)
{
    const struct vox_entry *entry = model_entry(session->model);
    uint8_t bytes[DIGEST_SIZE];
    char model[DIGEST_HEX_SIZE], revision[16];
    *out = (struct profile_identity){
        .plugin = entry->id, .version = entry->version, .revision = extension->revision};
    model_identity(session->model, model);
    snprintf(revision, sizeof(revision), "%u", extension->revision);
    const char *const texts[] = {entry->id, entry->version, revision, model, reference_sha256};
    struct digest *digest = digest_create();
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        add(digest, texts[i], strlen(texts[i]));
    add(digest, voice->transcript.data, voice->transcript.size);
    add(digest, voice->language.data, voice->language.size);
    digest_final(digest, bytes);
    digest_hex(bytes, out->key);
    digest_destroy(digest);
}

/* --- What the plugin does --------------------------------------------------------------------- */

struct making {
    const atomic_int *stop;
    struct str *blob;
    bool is_too_large;
    bool saw_stop; /* the plugin asked after that: what it wrote may be a part only */
};

static int32_t sink_cancelled(const struct vox_profile_sink *sink)
{
    struct making *making = sink->self;
    making->saw_stop = making->saw_stop || (making->stop && atomic_load(making->stop));
    return making->saw_stop;
}

static int32_t sink_write_blob(const struct vox_profile_sink *sink, const void *data, uint64_t size)
{
    struct making *making = sink->self;
    if (size > VOX_PROFILE_SIZE_MAX - making->blob->len || (size && !data)) {
        making->is_too_large = true;
        return VOX_EINVAL;
    }
    str_append(making->blob, data, (size_t)size);
    return VOX_OK;
}

/* Codes by which only the host's own answers come back mean nothing where it gave none. */
static int failed(const char *plugin, const char *call, int32_t code, const struct vox_error *error,
                  struct err *err)
{
    if (code == VOX_ECANCELLED || code == VOX_ESINK)
        return err_set(err, ERR_INTERNAL, NULL, "plugin \"%s\" ended %s with \"%s\" unasked",
                       plugin, call, code == VOX_ESINK ? "the sink failed" : "cancelled");
    return plugin_failure(err, plugin, call, code, error);
}

static int make(const struct vox_profile *extension, const struct session *session,
                const struct vox_voice *voice, const atomic_int *stop, struct voice_use *use,
                struct str *blob, struct err *err)
{
    const char *plugin = model_entry(session->model)->id;
    struct making making = {.stop = stop, .blob = blob};
    const struct vox_profile_sink sink = {.size = sizeof(sink),
                                          .self = &making,
                                          .cancelled = sink_cancelled,
                                          .write = sink_write_blob};
    struct vox_error error = {.size = sizeof(error)};
    int32_t code = extension->make(session->handle, voice, &sink, &error);
    use->plugin_code = code;
    if (making.is_too_large)
        return err_set(err, ERR_INTERNAL, NULL,
                       "plugin \"%s\" made a profile of more than %llu bytes", plugin,
                       (unsigned long long)VOX_PROFILE_SIZE_MAX);
    if ((code == VOX_OK && making.saw_stop) ||
        (code == VOX_ECANCELLED && stop && atomic_load(stop)))
        return err_set(err, ERR_CANCELLED, NULL, "cancelled while the voice's profile was made");
    if (code != VOX_OK)
        return failed(plugin, "make", code, &error, err);
    if (!blob->len)
        return err_set(err, ERR_INTERNAL, NULL, "plugin \"%s\" made an empty profile", plugin);
    return 0;
}

enum { REFUSED = 0, USABLE = 1 };

/* USABLE; REFUSED with the reason in `err`; or the code of a plugin that failed in looking. */
static int check(const struct vox_profile *extension, const struct session *session,
                 struct vox_str blob, struct voice_use *use, struct err *err)
{
    struct vox_error error = {.size = sizeof(error)};
    int32_t code = extension->check(session->handle, blob, &error);
    if (code == VOX_OK)
        return USABLE;
    failed(model_entry(session->model)->id, "check", code, &error, err);
    if (code == VOX_EINVAL || code == VOX_EUNSUPPORTED)
        return REFUSED;
    use->plugin_code = code;
    return err->code;
}

/* --- From memory, from the library, or new ---------------------------------------------------- */

/* Profiles of a library's voice are kept beside it, but for those with a transcript that a job
 * brought. */
static bool is_kept(const struct voice_use *use, const struct voice_ref *ref)
{
    return use->entry.id && !use->entry.is_plain && !ref->has_own_transcript;
}

/* As check; REFUSED, without a reason, too when there is none. */
static int read_kept(const struct vox_profile *extension, const struct session *session,
                     struct voice_use *use, const struct voice_ref *ref,
                     const struct profile_identity *identity, const char *name, struct str *blob,
                     struct err *err)
{
    struct str packed = {0};
    struct vox_str inside;
    struct err why = {0};
    int state = REFUSED;
    library_read_profile(ref->library_dir, use->entry.id, name, &packed);
    if (packed.len && profile_unpack(&packed, identity, &inside))
        state = check(extension, session, inside, use, &why);
    if (state < 0)
        *err = why;
    if (state == USABLE)
        str_append(blob, inside.data, (size_t)inside.size);
    str_finish(&packed);
    return state;
}

static void keep(struct voice_use *use, const struct voice_ref *ref,
                 const struct profile_identity *identity, const char *name, const struct str *blob,
                 const atomic_int *stop)
{
    struct str packed = {0};
    struct err why = {0};
    profile_pack(identity, blob, &packed);
    if (library_keep_profile(ref->library_dir, use->entry.id, use->entry.reference.sha256, name,
                             &packed, stop, &why) != 0)
        text_list_add(&use->warnings,
                      str_format("the voice's profile was made but not kept: %s", why.message));
    str_finish(&packed);
}

static int make_or_read(const struct vox_profile *extension, const struct session *session,
                        const struct profile_identity *identity, const struct voice_ref *ref,
                        const atomic_int *stop, const struct vox_voice *voice,
                        struct voice_use *use, struct str *blob, struct err *err)
{
    char *name = profile_name(identity);
    int state = REFUSED, result = 0;
    if (is_kept(use, ref))
        state = read_kept(extension, session, use, ref, identity, name, blob, err);
    if (state < 0)
        result = state;
    if (state == REFUSED) {
        result = make(extension, session, voice, stop, use, blob, err);
        if (result == 0 && is_kept(use, ref))
            keep(use, ref, identity, name, blob, stop);
    }
    free(name);
    return result;
}

static int have_profile(const struct vox_profile *extension, const struct session *session,
                        const struct voice_ref *ref, const atomic_int *stop, struct voice_use *use,
                        struct vox_voice *voice, struct err *err)
{
    struct profile_identity identity;
    bool must_make;
    int result = 0;
    identify(extension, session, use->recording->sha256, voice, &identity);
    char *key = str_format("profile %s", identity.key);
    struct voice_item *item = cache_get(use->cache, key, stop, &must_make, err);
    free(key);
    if (!item)
        return err->code;
    if (must_make) {
        result =
            make_or_read(extension, session, &identity, ref, stop, voice, use, &item->blob, err);
        if (result == 0)
            cache_done(use->cache, item, CLOCK_NEVER);
        else
            cache_failed(use->cache, item);
    }
    if (result == 0) {
        use->profile = item;
        voice->profile = (struct vox_str){item->blob.data, item->blob.len};
    }
    return result;
}

static const struct vox_profile *find_extension(const struct vox_entry *entry)
{
    const struct vox_profile *extension =
        VOX_HAS(entry, extension) && entry->extension ? entry->extension(VOX_PROFILE_ID) : NULL;
    return extension && VOX_HAS(extension, check) && extension->make && extension->check ? extension
                                                                                         : NULL;
}

/* What is in a profile's file: as we write it, or the bytes alone. */
static bool read_file(const struct str *file, const char *plugin, uint32_t revision,
                      struct vox_str *blob, struct err *err)
{
    bool is_ours = file->len >= strlen(MAGIC) && memcmp(file->data, MAGIC, strlen(MAGIC)) == 0;
    cJSON *header = is_ours ? unpack(file, blob) : NULL;
    const cJSON *made_by = json_get(header, "revision");
    bool good = !is_ours;
    if (!is_ours)
        *blob = (struct vox_str){str_text(file), file->len};
    else if (!header)
        err_set(err, ERR_INVALID, "voice_profile", "the profile's file is damaged");
    else if (strcmp(json_get(header, "plugin")->valuestring, plugin) != 0)
        err_set(err, ERR_INVALID, "voice_profile",
                "the profile is one of plugin \"%.60s\", not of \"%s\"",
                json_get(header, "plugin")->valuestring, plugin);
    else if (!cJSON_IsNumber(made_by) || made_by->valuedouble != (double)revision)
        err_set(err, ERR_INVALID, "voice_profile",
                "the profile is of another revision than %u, which plugin \"%s\" makes now: make "
                "it anew",
                revision, plugin);
    else
        good = true;
    cJSON_Delete(header);
    return good;
}

/* The job's own profile. Sets *is_done when there is nothing more to do. */
static int use_given(const struct vox_profile *extension, const struct session *session,
                     const struct voice_ref *ref, struct voice_use *use, struct vox_voice *voice,
                     bool *is_done, struct err *err)
{
    const char *plugin = model_entry(session->model)->id;
    struct vox_str blob = {ref->profile.data, ref->profile.len};
    struct err why = {0};
    *is_done = true;
    if (!extension)
        return err_set(err, ERR_UNSUPPORTED, "voice_profile", "plugin \"%s\" takes no profiles",
                       plugin);
    if (use->given && !read_file(&use->given->blob, plugin, extension->revision, &blob, err))
        return err->code;
    if (!voice->frames && !(extension->flags & VOX_PROFILE_ALONE))
        return err_set(err, ERR_UNSUPPORTED, "voice_profile",
                       "plugin \"%s\" needs the recording beside its profile", plugin);
    int state = check(extension, session, blob, use, &why);
    if (state == USABLE)
        voice->profile = blob;
    if (state < 0)
        *err = why;
    if (state != REFUSED)
        return state == USABLE ? 0 : state;
    if (!voice->frames)
        return err_set(err, ERR_INVALID, "voice_profile", "%s", why.message);
    *is_done = false;
    text_list_add(&use->warnings, str_format("the job's profile was made anew: %s", why.message));
    return 0;
}

int voice_profile(struct voice_use *use, const struct voice_ref *ref, const struct session *session,
                  const atomic_int *stop, struct vox_voice *out, struct err *err)
{
    const struct vox_profile *extension = find_extension(model_entry(session->model));
    bool is_done = ref->is_speaker;
    int result = 0;
    if (ref->profile.len || use->given)
        result = use_given(extension, session, ref, use, out, &is_done, err);
    if (result == 0 && !is_done && extension && use->recording)
        result = have_profile(extension, session, ref, stop, use, out, err);
    return result;
}

void voice_profile_file(const struct voice_use *use, const struct session *session,
                        const struct vox_voice *voice, struct str *out)
{
    const struct vox_profile *extension = find_extension(model_entry(session->model));
    struct profile_identity identity;
    struct str blob = {0};
    if (!extension || !use->recording || !voice->profile.size)
        return;
    identify(extension, session, use->recording->sha256, voice, &identity);
    str_append(&blob, voice->profile.data, (size_t)voice->profile.size);
    profile_pack(&identity, &blob, out);
    str_finish(&blob);
}
