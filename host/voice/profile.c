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
#define VERSION_LEN_MAX 40 /* in a file's name */
#define KEY_LEN 16         /* likewise */

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
    cJSON *header = unpack(packed, &blob);
    char *about =
        header ? str_format("%s %s, %llu bytes", json_get(header, "plugin")->valuestring,
                            json_get(header, "version")->valuestring, (unsigned long long)blob.size)
               : NULL;
    cJSON_Delete(header);
    return about;
}

bool profile_name_valid(const char *name)
{
    size_t len = strnlen(name, VOICE_ID_LEN_MAX + 1);
    return voice_id_valid(name) && len > 4 && strcmp(name + len - 4, ".bin") == 0;
}

/* The caller's. */
static char *file_name(const struct profile_identity *identity)
{
    char version[VERSION_LEN_MAX + 1];
    snprintf(version, sizeof(version), "%s", identity->version);
    for (char *p = version; *p; p++)
        if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-", *p))
            *p = '_';
    return str_format("%.40s-%s-%.*s.bin", identity->plugin, version, KEY_LEN, identity->key);
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
};

static int32_t sink_cancelled(const struct vox_profile_sink *sink)
{
    const struct making *making = sink->self;
    return making->stop && atomic_load(making->stop);
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

static int make(const struct vox_profile *extension, const struct session *session,
                const struct vox_voice *voice, const atomic_int *stop, struct voice_use *use,
                struct str *blob, struct err *err)
{
    const char *plugin = model_entry(session->model)->id;
    struct making making = {stop, blob, false};
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
    if (code == VOX_ECANCELLED && stop && atomic_load(stop))
        return err_set(err, ERR_CANCELLED, NULL, "cancelled while the voice's profile was made");
    if (code != VOX_OK)
        return plugin_failure(err, plugin, "make", code, &error);
    if (!blob->len)
        return err_set(err, ERR_INTERNAL, NULL, "plugin \"%s\" made an empty profile", plugin);
    return 0;
}

static bool is_usable(const struct vox_profile *extension, const struct session *session,
                      struct vox_str blob, struct err *why)
{
    struct vox_error error = {.size = sizeof(error)};
    int32_t code = extension->check(session->handle, blob, &error);
    if (code != VOX_OK)
        plugin_failure(why, model_entry(session->model)->id, "check", code, &error);
    return code == VOX_OK;
}

/* --- From memory, from the library, or new ---------------------------------------------------- */

/* Profiles of a library's voice are kept beside it, but for those with a transcript that a job
 * brought. */
static bool is_kept(const struct voice_use *use, const struct voice_ref *ref)
{
    return use->entry.id && !use->entry.is_plain && !ref->has_own_transcript;
}

static bool read_kept(const struct vox_profile *extension, const struct session *session,
                      const struct voice_use *use, const struct voice_ref *ref,
                      const struct profile_identity *identity, const char *name, struct str *blob)
{
    struct str packed = {0};
    struct vox_str inside;
    struct err why;
    library_read_profile(ref->library_dir, use->entry.id, name, &packed);
    bool good = packed.len && profile_unpack(&packed, identity, &inside) &&
                is_usable(extension, session, inside, &why);
    if (good)
        str_append(blob, inside.data, (size_t)inside.size);
    str_finish(&packed);
    return good;
}

static void keep(struct voice_use *use, const struct voice_ref *ref,
                 const struct profile_identity *identity, const char *name, const struct str *blob)
{
    struct str packed = {0};
    struct err why = {0};
    profile_pack(identity, blob, &packed);
    if (library_keep_profile(ref->library_dir, use->entry.id, use->entry.reference.sha256, name,
                             &packed, &why) != 0)
        text_list_add(&use->warnings,
                      str_format("the voice's profile was made but not kept: %s", why.message));
    str_finish(&packed);
}

static int make_or_read(const struct vox_profile *extension, const struct session *session,
                        const struct profile_identity *identity, const struct voice_ref *ref,
                        const atomic_int *stop, const struct vox_voice *voice,
                        struct voice_use *use, struct str *blob, struct err *err)
{
    char *name = file_name(identity);
    int result = 0;
    if (!is_kept(use, ref) || !read_kept(extension, session, use, ref, identity, name, blob)) {
        result = make(extension, session, voice, stop, use, blob, err);
        if (result == 0 && is_kept(use, ref))
            keep(use, ref, identity, name, blob);
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

/* The job's own profile. Sets *is_done when there is nothing more to do. */
static int use_given(const struct vox_profile *extension, const struct session *session,
                     const struct voice_ref *ref, struct voice_use *use, struct vox_voice *voice,
                     bool *is_done, struct err *err)
{
    const char *plugin = model_entry(session->model)->id;
    const struct vox_str blob = {ref->profile.data, ref->profile.len};
    struct err why = {0};
    *is_done = true;
    if (!extension)
        return err_set(err, ERR_UNSUPPORTED, "voice_profile", "plugin \"%s\" takes no profiles",
                       plugin);
    if (!voice->frames && !(extension->flags & VOX_PROFILE_ALONE))
        return err_set(err, ERR_UNSUPPORTED, "voice_profile",
                       "plugin \"%s\" needs the recording beside its profile", plugin);
    if (is_usable(extension, session, blob, &why)) {
        voice->profile = blob;
        return 0;
    }
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
    if (ref->profile.len)
        result = use_given(extension, session, ref, use, out, &is_done, err);
    if (result == 0 && !is_done && extension && use->recording)
        result = have_profile(extension, session, ref, stop, use, out, err);
    return result;
}
