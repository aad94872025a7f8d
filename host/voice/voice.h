/* Voices: the library on disk, and the voice of a job. Knows no jobs and no manifest.
 *
 *     voice_library_put | _list | _get | _remove | _export | _import    a folder of voices
 *     voice_find     what a job's `voice` means: cheap, looks whether it is there (but for a URL)
 *     voice_open     fetches and decodes, once for many jobs
 *     voice_profile  the model's profile of it: from memory, from the library, or made now
 *     voice_close
 *
 * A library is the folder paths.voices, which several processes may use at the same time:
 *
 *     ID/voice.json           what is known of the voice; its rename makes the voice another one
 *     ID/reference-SHA.wav    the recording as it was given; ends by what its content is
 *     ID/decoded-SHA.flac     the same decoded, when only ffmpeg can read it
 *     ID/profiles/PLUGIN-VERSION-KEY.bin    what models made of it (profile.c)
 *     NAME.wav, NAME.txt      a plain recording with its transcript: read, never changed
 *     .voxhost.lock           who writes holds flock on it; a process that died holds nothing
 */
#ifndef VOICE_H
#define VOICE_H

#include "audio/audio.h"
#include "base/base.h"
#include "plugin/plugin.h"
#include "vox/plugin.h"

#include <stdatomic.h>

#define VOICE_ID_LEN_MAX 128
#define VOICE_NAME_LEN_MAX 256
#define VOICE_CONSENT_LEN_MAX 4096
#define VOICE_LANGUAGE_LEN_MAX 35
#define VOICE_METADATA_BYTES_MAX (64u << 10)
#define VOICE_TRANSCRIPT_BYTES_MAX (64u << 10)
#define VOICE_URL_LEN_MAX 8192
#define VOICE_SECONDS_MAX 600.0            /* of a recording */
#define VOICE_SECONDS_MIN 0.5              /* of one that is taken into a library */
#define VOICE_SILENT_PEAK 0.001            /* a recording that is nowhere louder is silent */
#define VOICE_INLINE_BYTES_MAX (50u << 20) /* of a recording inside a job, decoded from base64 */
#define VOICE_REFERENCE_BYTES_MAX (256u << 20) /* of any recording */
#define VOICE_PORTABLE_BYTES_MAX (1u << 30)    /* of a portable file */
#define VOICE_LIBRARY_MAX 100000               /* voices in a library */
#define VOICE_PROFILES_MAX 32                  /* kept for a voice; the oldest go */
#define VOICE_CACHE_BYTES_MAX \
    ((size_t)512 << 20)       /* of decoded recordings and profiles that nobody uses */
#define VOICE_URL_FRESH_S 600 /* a URL is not fetched again within this time */
#define VOICE_LOCK_WAIT_S 30  /* for another process that writes to the library */

/* How a URL is downloaded. */
struct storage;
struct voice_fetch {
    bool allow_private; /* also from addresses that are not public ones */
    double timeout_s;
    size_t bytes_max;
    const atomic_int *stop; /* not 0: gives up with ERR_CANCELLED; NULL: never */
    /* Fetches "s3://BUCKET/KEY"; NULL: such URLs are not read here. `storage`: its own. */
    int (*object)(const char *url, const struct voice_fetch *fetch, struct str *bytes,
                  struct err *err);
    struct storage *storage;
};

/* --- The library ------------------------------------------------------------------------------ */

/* A file of a voice; name NULL: there is none. */
struct voice_file {
    char *name; /* in the voice's folder */
    uint64_t bytes;
    char sha256[DIGEST_HEX_SIZE];
};

/* What a library knows of a voice; owns its parts. */
struct voice_entry {
    char *id, *name;
    char *language, *transcript, *consent; /* NULL: not known */
    cJSON *metadata;                       /* an object, or NULL */
    struct voice_file reference, decoded;
    char format[16]; /* of the reference: "wav" ... */
    double duration_s;
    uint32_t sample_rate, channels;
    char created[CLOCK_TEXT_SIZE], updated[CLOCK_TEXT_SIZE];
    bool is_plain; /* NAME.wav: what its content says (sha256, duration ...) is not known */
};
void voice_entry_finish(struct voice_entry *entry);
/* Appends it as a JSON object. */
void voice_entry_write(const struct voice_entry *entry, struct str *out);

bool voice_id_valid(const char *id); /* [A-Za-z0-9][A-Za-z0-9._-]*, at most VOICE_ID_LEN_MAX */
/* The id of a voice of this name: the name when it is one, else "voice_" and what of it can stand
 * in one, in lower case; a name of which nothing can has a digest instead. The caller's. */
char *voice_id_from_name(const char *name);

/* A page of a library in the order of ids. */
struct voice_list {
    struct voice_entry *items;
    size_t count;
    size_t total; /* voices in the library */
    char *next;   /* what `after` is for the next page; NULL: this is the last one */
    struct text_list
        unreadable; /* why voices of this page are not in it: their voice.json is wrong */
};
/* Ids greater than `after` (NULL: from the first), at most `limit` (0: all). A folder that is not
 * there is an empty library. */
int voice_library_list(const char *dir, const char *after, size_t limit, struct voice_list *list,
                       struct err *err);
void voice_list_finish(struct voice_list *list);

/* By id, else by the name that the id was derived from, else NAME.wav; ERR_VOICE_NOT_FOUND. */
int voice_library_get(const char *dir, const char *id, struct voice_entry *entry, struct err *err);
/* Where its recording is, as it was given; the caller's. */
char *voice_library_recording(const char *dir, const struct voice_entry *entry);
/* The profiles of a voice: appends "PLUGIN VERSION, N bytes" each. */
void voice_library_profiles(const char *dir, const struct voice_entry *entry,
                            struct text_list *profiles);

/* A voice to take in. All borrowed. */
struct voice_import {
    const char *id;    /* NULL: from the name */
    const char *name;  /* NULL: the id */
    const char *audio; /* a URL, base64, data:TYPE;base64,DATA or a path; NULL: see data */
    const void *data;  /* the recording itself */
    size_t len;
    const char *base_dir; /* of paths; NULL: audio may not name a file */
    struct voice_fetch fetch;
    size_t inline_max;              /* bytes of base64, decoded; 0: VOICE_REFERENCE_BYTES_MAX */
    const char *transcript;         /* NULL: of the .txt beside `audio`, where that is a path */
    const char *language, *consent; /* NULL: not known */
    const cJSON *metadata;          /* an object, or NULL */
    bool replace; /* of a voice that is there everything is replaced, its profiles go */
    /* A voice that is there, of the same recording and with the same said of it, is no conflict: a
     * job may come twice. It stays as it is. */
    bool same_is_fine;
};
/* Takes a voice in, whole or not at all: fetches, checks that it can be decoded, is no silence and
 * neither too short nor too long, writes. `entry` (NULL: not wanted) is what was written.
 * ERR_INVALID, ERR_UNSUPPORTED, ERR_TOO_LARGE name the field of the import. */
int voice_library_put(const char *dir, const struct voice_import *import, struct voice_entry *entry,
                      struct err *err);
int voice_library_remove(const char *dir, const char *id, struct err *err);
/* The same, but waits for another writer only until *stop is not 0: ERR_CANCELLED. */
int voice_library_remove_unless(const char *dir, const char *id, const atomic_int *stop,
                                struct err *err);

/* One file that holds a voice with its profiles: a tar whose first member, manifest.json, has size
 * and SHA-256 of every other one. A plain recording can be exported too. */
int voice_library_export(const char *dir, const char *id, struct str *bytes, struct err *err);
/* Checks all of it, decodes the recording, and takes it in like voice_library_put, under `as`
 * (NULL: its own id). */
int voice_library_import(const char *dir, const void *data, size_t len, const char *as,
                         bool replace, struct voice_entry *entry, struct err *err);

/* --- The voice of a job ----------------------------------------------------------------------- */

/* Where to look. */
struct voice_places {
    const char *voices_dir; /* the library */
    const char *base_dir;   /* relative paths start here; NULL: jobs may not name files */
};

/* What a job says; NULL: absent. All borrowed. */
struct voice_request {
    const char *voice;      /* a speaker, an id or name, a path, a URL or base64 */
    const char *id;         /* a name for messages, of a voice that travels in the job */
    const char *transcript; /* takes the place of the library's */
    const char *language;
    const char *profile;     /* base64 */
    const char *profile_url; /* or "s3://...", where it is */
};

/* A voice that was found; owns its parts. All zero: the model's default. */
struct voice_ref {
    char *id; /* the speaker's id as the plugin spells it, or the name for messages */
    bool is_speaker;
    char *library_dir,
        *library_id; /* of a library's voice, looked up again when it is opened; else NULL */
    bool has_own_transcript;      /* or language: the job gave another one than the library's */
    char sha256[DIGEST_HEX_SIZE]; /* of the library's recording; else "" */
    char *path;                   /* a recording on disk, of no library, or NULL */
    struct str bytes;             /* a recording inside the job, decoded from base64 */
    char *url; /* of a recording, or NULL; never shown, since its query may hold a signature */
    char *transcript, *language; /* NULL: not known */
    struct str profile;          /* that came with the job */
    char *profile_url;           /* of one that is fetched when the voice is opened; NULL */
};

/* Finds what a job asks for, of a plugin. ERR_VOICE_NOT_FOUND lists the speakers; ERR_UNSUPPORTED:
 * the plugin has one voice only and cannot clone. Fields: "voice", "voice_text", "voice_profile".
 */
int voice_find(const struct voice_request *request, const struct vox_entry *entry,
               const struct voice_places *places, struct voice_ref *ref, struct err *err);
void voice_ref_finish(struct voice_ref *ref);

/* Decoded recordings and profiles of this process, for many threads. */
struct voice_cache;
struct voice_cache *voice_cache_create(size_t bytes_max);
void voice_cache_destroy(struct voice_cache *cache); /* nothing is open any more; takes NULL */

/* What a job holds of the cache. */
struct voice_use {
    struct voice_cache *cache;
    struct voice_item *recording, *profile; /* pinned, or NULL */
    struct voice_item *given;               /* likewise: the file of the job's profile */
    struct voice_entry entry;               /* of a library, as it was when it was opened */
    struct text_list warnings;
    int32_t
        plugin_code; /* what the plugin answered, when voice_profile failed in it; VOX_OK else */
};

/* Has the recording, if there is one, fetched and decoded, and fills `out`, which borrows from
 * `ref` and `use` until voice_close. What another thread is about to fetch is waited for. */
int voice_open(struct voice_cache *cache, const struct voice_ref *ref,
               const struct voice_fetch *fetch, struct voice_use *use, struct vox_voice *out,
               struct err *err);
/* Fills out->profile, for plugins with the extension vox.profile/1; may call the plugin. After
 * voice_open. */
int voice_profile(struct voice_use *use, const struct voice_ref *ref, const struct session *session,
                  const atomic_int *stop, struct vox_voice *out, struct err *err);
/* Appends the profile in `voice` as a file, which says what it belongs to; nothing without a
 * recording. After voice_profile. */
void voice_profile_file(const struct voice_use *use, const struct session *session,
                        const struct vox_voice *voice, struct str *out);
void voice_close(struct voice_use *use); /* all zero is fine */

#endif
