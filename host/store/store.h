/* Where results go: a directory, or a bucket of an S3-compatible storage. In the directory, a result
 * is written under a temporary name in a private folder of this run and renamed when it is whole, so
 * a final name never shows half a file, whatever kills us.
 *
 *     store_open(dir) -> store_temp -> (write it) -> store_commit(temp, "a/b.wav") -> store_close
 *     s3_target_check -> s3_put(key, audio) -> s3_url(key)
 *
 * Knows nothing of audio or jobs. All functions are [any].
 */
#ifndef STORE_H
#define STORE_H

#include "base/base.h"

#include <stdatomic.h>

/* --- A directory ------------------------------------------------------------------------------ */

struct store;

/* Opens `dir`, made when missing, and checks that it can be written. Removes what dead runs left of their
 * temporary folders (".voxhost-XXXXXX", known by the lock that died with them). */
int store_open(const char *dir, struct store **store, struct err *err);

/* Says which part of the work of this folder this run does, until store_close or its death: part `index` of
 * `count`, {0, 1} being all of it. ERR_INVALID when a living run claims a part that overlaps: with the same
 * count, the same index; with another count, any. A run that claims nothing is in nobody's way. */
int store_claim(struct store *store, uint64_t index, uint64_t count, struct err *err);

/* A new temporary path; the file is not made. The caller's. */
char *store_temp(struct store *store);

/* Renames `temp` to `name`, a path inside the directory (fs_path_is_inside) that no symbolic link leads out
 * of; folders are made. Replaces what was there. On failure `temp` is removed. `final`: the absolute path, the
 * caller's; NULL: not wanted. */
int store_commit(struct store *store, const char *temp, const char *name, char **final,
                 struct err *err);

const char *store_dir(const struct store *store); /* absolute; borrowed */

/* Removes the temporary folder and frees; takes NULL. */
void store_close(struct store *store);

/* --- A bucket --------------------------------------------------------------------------------- */

#define S3_BYTES_MAX (64u << 20)    /* of an object: it goes out in one request */
#define S3_PRESIGN_TTL_MAX_S 604800 /* of Signature Version 4: a week */

/* Where objects go; borrowed for each call. NULL and "" both mean that a text is absent. */
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

/* Says what is missing or malformed: ERR_INVALID with the manifest's name ("storage.bucket") as the
 * field. Asks no server. No message of these functions holds a key, token, signature or path. */
int s3_target_check(const struct s3_target *target, struct err *err);

/* Uploads an object, replacing what was there, and blocks until that is done. `key`: a relative
 * path in UTF-8 (fs_path_is_inside), with the prefix at most 1,024 bytes; who may not find it must
 * not guess it. What may pass (no connection, a cut, a time-out, 408, 429, 5xx) is tried 3 times in
 * all, with pauses or as Retry-After says; when the server finds our clock wrong, once more by its
 * own. ERR_STORAGE with the status, the server's word for it, the bucket and the host; ERR_INVALID
 * for a bad target or key; ERR_TOO_LARGE; ERR_CANCELLED once *stop is not 0 (NULL: never). */
int s3_put(const struct s3_target *target, const char *key, const char *content_type,
           const void *data, size_t len, const atomic_int *stop, struct err *err);

/* Appends a URL by which anyone may GET the object until presign_ttl_s after `now_unix_s`. Asks no
 * server. Errors as s3_target_check's, and for a bad key. */
int s3_url(const struct s3_target *target, const char *key, int64_t now_unix_s, struct str *url,
           struct err *err);

#endif
