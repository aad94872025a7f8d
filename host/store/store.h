/* Where results go: a directory, or a bucket of an S3-compatible service. In the directory, a
 * result is written under a temporary name in a private folder of this run and renamed when it is
 * whole, so a final name never shows half a file, whatever kills us.
 *
 *     store_open(dir) -> store_temp -> (write it) -> store_commit(temp, "a/b.wav") -> store_close
 *     storage_open(manifest) -> storage_put, _get, _head, _list, _delete, _url -> storage_close
 *
 * The first is for who writes files bit by bit (batch); the second is one interface over a
 * directory and a bucket, for whole objects. Knows nothing of audio or jobs. All functions are
 * [any].
 */
#ifndef STORE_H
#define STORE_H

#include "base/base.h"
#include "manifest/manifest.h"

#include <stdatomic.h>

/* --- A directory ------------------------------------------------------------------------------ */

struct store;

/* Opens `dir`, made when missing, and checks that it can be written. Removes what dead runs left of
 * their temporary folders (".voxhost-XXXXXX", known by the lock that died with them). */
int store_open(const char *dir, struct store **store, struct err *err);

/* Says which part of the work of this folder this run does, until store_close or its death: part
 * `index` of `count`, {0, 1} being all of it. ERR_INVALID when a living run claims a part that
 * overlaps: with the same count, the same index; with another count, any. A run that claims nothing
 * is in nobody's way. */
int store_claim(struct store *store, uint64_t index, uint64_t count, struct err *err);

/* A new temporary path; the file is not made, but its folder is when somebody swept that away. The
 * caller's. */
char *store_temp(struct store *store);

/* Renames `temp` to `name`, a path inside the directory (fs_path_is_inside) that no symbolic link
 * leads out of; folders are made. Replaces what was there. On failure `temp` is removed. `final`:
 * the absolute path, the caller's; NULL: not wanted. */
int store_commit(struct store *store, const char *temp, const char *name, char **final,
                 struct err *err);

const char *store_dir(const struct store *store); /* absolute; borrowed */

/* Removes the temporary folder and frees; takes NULL. */
void store_close(struct store *store);

/* --- A bucket --------------------------------------------------------------------------------- */

#define S3_PRESIGN_TTL_MAX_S 604800 /* of Signature Version 4: a week */

/* Where objects go. NULL and "" both mean that a text is absent. */
struct s3_target {
    /* "https://host[:port][/path]". It may name the bucket already, as its first label or as its
     * path, the way the consoles of AWS and R2 show it; `bucket` is absent then, or the same. */
    const char *endpoint;
    const char *bucket;
    /* Absent: what the host says ("s3.REGION."), "auto" for R2, else "us-east-1". */
    const char *region;
    const char *access_key, *secret_key;
    const char *session_token; /* of temporary credentials */
    const char *prefix;        /* "results": objects are "results/" and their key */
    bool path_style;           /* the bucket is the first part of the path, not of the host */
    int64_t presign_ttl_s;     /* 1 .. S3_PRESIGN_TTL_MAX_S */
    bool public_only;          /* a stranger named the endpoint: it must be at a public address */
};

/* --- Objects in either ------------------------------------------------------------------------ */

#define STORAGE_KEY_SIZE_MAX 1024
#define STORAGE_METADATA_MAX 64
#define STORAGE_METADATA_BYTES_MAX 2048 /* of names and values together; of S3 */

struct storage; /* used by any number of threads at a time */

/* Opens what the section says; reads its credentials file. `*storage` is NULL when the type is
 * STORAGE_NONE. Asks no server. */
int storage_open(const struct manifest_storage *manifest, struct storage **storage,
                 struct err *err);
/* A bucket that the manifest does not know. Copies what `target` points to. */
int storage_open_s3(const struct s3_target *target, struct storage **storage, struct err *err);
void storage_close(struct storage *storage); /* takes NULL */

/* For all below. `key`: a relative path in UTF-8 (fs_path_is_inside), with the prefix at most
 * STORAGE_KEY_SIZE_MAX bytes. They block. What may pass (no connection, a cut, a time-out, 408,
 * 429, 5xx) is tried 3 times in all, with pauses or as Retry-After says; when the server finds our
 * clock wrong, once more by its own. ERR_STORAGE with the status, the server's word for it, the
 * bucket and the host; ERR_INVALID for a bad key; with the field "key" where there is no such
 * object; ERR_TOO_LARGE; ERR_CANCELLED once *stop is not 0 (NULL: never); ERR_TIMEOUT once the
 * deadline of a put is over. */

struct storage_put {
    const char *key, *content_type;
    const void *data; /* the object; NULL: it is in `fd`, from its start on */
    int fd;           /* a regular file that nobody changes meanwhile; its position stays */
    uint64_t len;
    const cJSON *
        metadata; /* an object of texts, numbers ...: kept with the object in a bucket; NULL: none */
    const atomic_int *stop;
    int64_t deadline; /* clock_now: for all attempts and pauses together; 0: none */
};

/* May `len` bytes be put without using up the disk of a directory (fs_check_room)? A bucket is never
 * full. */
int storage_check_room(const struct storage *storage, uint64_t len, const struct log *log,
                       struct err *err);
/* Removes from `metadata` (an object; NULL: none) the members that storage_put would refuse: of two
 * that have no room together the earlier one, so that who knows something himself adds it last.
 * Returns the warning that names them, the caller's; NULL: all of them can be kept. */
char *storage_fit_metadata(const struct storage *storage, cJSON *metadata);
/* Stores an object, whole or not at all, replacing what was there. Large ones go up in parts,
 * several at a time; memory does not grow with them. ERR_STORAGE without room. */
int storage_put(struct storage *storage, const struct storage_put *put, struct err *err);

struct storage_object {
    const char *key; /* without the prefix; borrowed for the call */
    uint64_t len;
    int64_t modified_unix_s; /* 0: not known */
    char content_type[128];  /* "" when it is not known */
};

struct storage_get {
    const char *key;
    const char *path;   /* the file: appears whole or not at all, replacing what was there */
    uint64_t bytes_max; /* more is ERR_TOO_LARGE */
    const char *sha256; /* expected, in hex; another is ERR_STORAGE; NULL: any */
    char *sha256_out;   /* DIGEST_HEX_SIZE; NULL: not wanted */
    const atomic_int *stop;
};

/* Fetches an object into a file. Who is killed meanwhile leaves a file of the name PATH, 16 hex
 * digits and ".part" behind, so `path` should be in a folder that is cleared (store_temp). */
int storage_get(struct storage *storage, const struct storage_get *get, struct err *err);
/* Fetches a small one into memory, which is replaced. */
int storage_read(struct storage *storage, const char *key, size_t bytes_max, const atomic_int *stop,
                 struct str *out, struct err *err);
/* object->key is `key`. */
int storage_head(struct storage *storage, const char *key, const atomic_int *stop,
                 struct storage_object *object, struct err *err);
/* Calls `each` for every object whose key begins with `prefix` ("" for all; need not end at a "/"),
 * in the order of bytes, until it returns anything but 0, which is then returned. What could be no
 * key here is left out: "a/", "../a". */
int storage_list(struct storage *storage, const char *prefix, const atomic_int *stop,
                 int (*each)(const struct storage_object *object, void *arg), void *arg,
                 struct err *err);
/* No object, no error. In a directory the folders go that are empty then. */
int storage_delete(struct storage *storage, const char *key, const atomic_int *stop,
                   struct err *err);
/* Appends how others get the object: public_base_url and the key; else a URL that is good for
 * presign_ttl_s; in a directory its absolute path. Asks no server. */
int storage_url(const struct storage *storage, const char *key, struct str *url, struct err *err);

/* The server's clock less ours in seconds, as its last answer said; 0 before one and for
 * directories. */
int64_t storage_clock_skew_s(const struct storage *storage);
/* "bucket "results" at host:9000", or the directory; for messages. Borrowed. */
const char *storage_name(const struct storage *storage);

/* --- Names of objects ------------------------------------------------------------------------- */

/* Appends the key that a template gives (manifest_key_template_check has passed it). `values` by
 * enum manifest_key_field, NULL and "" where the job says nothing; those of date and random are
 * found here. Values are made safe: no separators, no "." or "..", no control characters, 100
 * bytes; what was changed ends in a digest of what it was, so that two never become one.
 *
 * {random} is 32 digits that follow from the job's id and a secret of `storage`: of a bucket its
 * secret key, of a directory a hidden file that its first user makes. Whoever has the same secret
 * finds the object of a job again; nobody else can guess it. Another result of the same id
 * replaces the first. Without a storage (NULL) or an id they are new ones each time: so where the
 * object goes to somebody else's bucket, who could learn from it what an id becomes here.
 *
 * ERR_INVALID when the key is too long all the same; ERR_STORAGE when the directory's secret
 * cannot be read or made. */
int storage_key(const struct storage *storage, const char *template,
                const char *const values[KEY_FIELD_COUNT], int64_t now_unix_s, struct str *key,
                struct err *err);

/* Can storage_key have made this key, or the key of a timing file beside it, from this template?
 * Never a hidden name. */
bool storage_key_matches(const char *template, const char *key);

/* --- What is kept no longer ------------------------------------------------------------------- */

/* True when storage.keep_days and keep_mb remove nothing, whatever there is. */
bool storage_keeps_all(const struct manifest_storage *manifest);

struct storage_sweep {
    const struct manifest_storage *manifest;
    int64_t now_unix_s;
    const char *const *protected_dirs; /* nothing in them is touched, as in struct tree_sweep */
    size_t protected_count;
    const atomic_int *stop;
};
/* Removes results of a directory that keep_days and keep_mb do not allow: of those that the key
 * template can have made, never below voices_prefix. Safe beside processes that use the directory.
 * ERR_STORAGE when it cannot be read, is a protected one itself, or the prefix leads out of it. */
int storage_sweep(const struct storage_sweep *sweep, struct tree_swept *swept, struct err *err);

/* --- Kinds ------------------------------------------------------------------------------------ */

/* The key of "s3://BUCKET/KEY", where BUCKET is the one of the manifest ("storage" for a directory)
 * and KEY may begin with its prefix; a part of `url`. NULL: it is another bucket's. */
const char *storage_key_of(const struct manifest_storage *manifest, const char *url);

/* By the ending of a name or the ending alone: "a/b.srt", "srt"; "application/octet-stream" for
 * others. */
const char *storage_content_type(const char *name);

#endif
