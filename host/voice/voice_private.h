/* The inside of voices, shared by the files of host/voice. */
#ifndef VOICE_PRIVATE_H
#define VOICE_PRIVATE_H

#include "voice/voice.h"
#include "vox/ext/profile.h"

/* --- reference.c: recordings ------------------------------------------------------------------ */

bool reference_is_url(const char *text);
/* Of a URL only so much is ever shown: the rest may hold a signature. */
size_t reference_url_host(const char *url, const char **host);
int reference_check_url(const char *url, struct err *err);
bool reference_is_inline(const char *text); /* data: or base64 */
/* Base64, with or without data:TYPE;base64, before it; replaces `bytes`. */
int reference_decode_base64(const char *text, size_t bytes_max, struct str *bytes, struct err *err);
int reference_download(const char *url, const struct voice_fetch *fetch, struct str *bytes,
                       struct err *err);
/* Reads a file of at most VOICE_REFERENCE_BYTES_MAX; a larger one that is audio is told how long it
 * is. */
int reference_read(const char *path, struct str *bytes, struct err *err);
/* "wav", "m4a" ... by the content's first bytes; "audio" when unknown. Static. */
const char *reference_format(const void *data, size_t len);
/* Is it what libsndfile cannot decode? */
bool reference_needs_ffmpeg(const struct str *bytes);
/* Decodes by libsndfile, else by ffmpeg where that may help and is installed. *by_ffmpeg (NULL: not
 * wanted) says which. Silence is refused. */
int reference_decode(const struct str *bytes, const atomic_int *stop, struct audio_clip *clip,
                     bool *by_ffmpeg, struct err *err);
/* The clip as FLAC, 24 bit. */
int reference_encode_flac(const struct audio_clip *clip, struct str *bytes, struct err *err);
extern const char
    *const reference_extensions[]; /* of plain recordings, best first; ends with NULL */

/* What stands in the .txt beside a recording; NULL: nothing. The caller's. */
char *reference_transcript(const char *path);

/* ffmpeg.c: m4a, webm and the like, by an ffmpeg on PATH. `demuxer` is what ffmpeg calls the
 * format: it never guesses. */
int ffmpeg_decode(const struct str *bytes, const char *demuxer, const atomic_int *stop,
                  struct audio_clip *clip, struct err *err);

/* --- library_entry.c: voice.json -------------------------------------------------------------- */

/* Checks what a voice is called and said to be, all but the recording. */
int entry_check(const struct voice_entry *entry, struct err *err);
/* `name` is for messages. Trusts nothing: names of files stay in the folder. */
int entry_parse(const char *text, size_t len, const char *name, struct voice_entry *entry,
                struct err *err);

/* --- library.c -------------------------------------------------------------------------------- */

/* A voice with its files, in memory. */
struct voice_parcel {
    struct voice_entry entry;
    struct str reference, decoded; /* decoded.len 0: none */
    struct {
        char *name;
        struct str bytes;
    } profiles[VOICE_PROFILES_MAX];
    size_t profile_count;
};
void parcel_finish(struct voice_parcel *parcel);
/* Names the files of a parcel, and fills their sizes and digests. */
void parcel_name_files(struct voice_parcel *parcel);
/* Writes a checked parcel under its entry's id; `created` stays that of a voice it replaces.
 * `is_derived`: the id is, from the name, so that a voice of another name is not replaced.
 * Whoever writes waits for other writers; `stop`: as in struct voice_fetch. */
int library_write(const char *dir, struct voice_parcel *parcel, bool replace, bool is_derived,
                  const atomic_int *stop, struct err *err);
/* Reads all of a voice, of one moment. */
int library_read(const char *dir, const char *id, struct voice_parcel *parcel, struct err *err);
/* The voice of this very id, from its voice.json. ERR_VOICE_NOT_FOUND. */
int library_read_entry(const char *dir, const char *id, struct voice_entry *entry, struct err *err);
bool library_has(const char *dir, const char *id);
#define LIBRARY_GONE 1
/* Between two tries to read a voice that somebody replaces all the time. */
void library_pause(int tries);
/* Reads a file of a voice and checks that it is what the entry says. LIBRARY_GONE: it is not there
 * any more, since the voice was replaced or removed. */
int library_read_file(const char *dir, const char *id, const struct voice_file *file,
                      struct str *bytes, struct err *err);
int library_remove(const char *dir, const char *id, const atomic_int *stop, struct err *err);
/* Keeps a profile of the voice, unless that is another recording or transcript by now. */
int library_keep_profile(const char *dir, const char *id, const char *reference_sha256,
                         const char *name, const struct str *bytes, const atomic_int *stop,
                         struct err *err);
/* "" when there is none. */
void library_read_profile(const char *dir, const char *id, const char *name, struct str *bytes);

/* --- portable.c ------------------------------------------------------------------------------- */

void portable_write(const struct voice_parcel *parcel, struct str *out);
/* Checks structure, names, sizes and digests; decodes nothing. */
int portable_read(const void *data, size_t len, struct voice_parcel *parcel, struct err *err);

/* --- profile.c: the container ----------------------------------------------------------------- */

#define PROFILE_HEADER_MAX 4096
#define PROFILE_NAME_LEN_MAX 90 /* "profiles/NAME" fits into a tar's 99 bytes */

struct profile_identity {
    char key[DIGEST_HEX_SIZE]; /* of all that a profile belongs to */
    const char *plugin, *version;
    uint32_t revision;
};
void profile_pack(const struct profile_identity *identity, const struct str *blob, struct str *out);
/* The blob inside, borrowed; false when it is damaged or another one's. `identity` NULL: anybody's.
 */
bool profile_unpack(const struct str *packed, const struct profile_identity *identity,
                    struct vox_str *blob);
/* "PLUGIN VERSION, N bytes"; NULL when damaged. The caller's. */
char *profile_about(const struct str *packed);
/* The name of its file, the caller's. */
char *profile_name(const struct profile_identity *identity);
bool profile_name_valid(const char *name); /* at most PROFILE_NAME_LEN_MAX */

/* --- cache.c ---------------------------------------------------------------------------------- */

/* Made once, then shared: either a recording or a profile. */
struct voice_item {
    struct voice_item *next;
    char *key;
    /* guarded by the cache's lock */
    bool is_ready;          /* else its maker is at work */
    const atomic_int *stop; /* the maker's, as long as it is at work; NULL: it cannot be stopped */
    uint32_t users;         /* pins, the maker's too */
    uint64_t used_at;
    int64_t expires; /* clock_now; CLOCK_NEVER */
    /* set by the maker, read only once ready */
    struct audio_clip clip;
    char sha256[DIGEST_HEX_SIZE]; /* of the recording's bytes */
    struct str blob;
    size_t size;
};
/* The item of this key, pinned: ready, or, with *must_make, for the caller to fill and then
 * cache_done or cache_failed. Waits for another maker. NULL: *stop was set (ERR_CANCELLED). */
struct voice_item *cache_get(struct voice_cache *cache, const char *key, const atomic_int *stop,
                             bool *must_make, struct err *err);
void cache_done(struct voice_cache *cache, struct voice_item *item, int64_t expires);
/* Unpins and forgets; waiters try themselves. */
void cache_failed(struct voice_cache *cache, struct voice_item *item);
void cache_unpin(struct voice_cache *cache, struct voice_item *item);

#endif
