/* What the files of the S3 part share: where an object lies (s3_target.c) and its signature
 * (s3_sign.c).
 *
 *     s3_put, s3_url -> s3_place_find (checks target and key) -> s3_sign_headers, s3_sign_url
 * */
#ifndef STORE_PRIVATE_H
#define STORE_PRIVATE_H

#include "store/store.h"

#define S3_REGION_SIZE 65

/* An object's address, in the very form that is sent and signed. */
struct s3_place {
    char *origin; /* "https://bucket.host:port" */
    char *host;   /* as the Host header has it: "bucket.host:port" */
    char *path;   /* percent-encoded: "/prefix/key" */
    char region[S3_REGION_SIZE];
};

/* Checks the target and the key and says where the object lies; `place` holds nothing after a
 * failure. */
int s3_place_find(const struct s3_target *target, const char *key, struct s3_place *place,
                  struct err *err);
void s3_place_finish(struct s3_place *place);

/* --- AWS Signature Version 4 ------------------------------------------------------------------ */

#define S3_DATE_SIZE 17 /* "20130524T000000Z" and its end */

struct s3_header {
    const char *name, *value; /* the name in lower case, the value without blanks at its ends */
};

struct s3_signing {
    const char *method, *host, *path; /* the last two as in s3_place */
    const char *region, *access_key, *secret_key;
    char date[S3_DATE_SIZE];
};

void s3_date(int64_t now_unix_s, char out[S3_DATE_SIZE]);

/* Appends `text` with everything but A-Z a-z 0-9 - . _ ~ percent-encoded; '/' stays where it
 * parts names. */
void s3_encode(struct str *out, const char *text, bool keep_slash);

/* Appends the value of the Authorization header. `headers` are those that are signed, sorted by
 * name, with host, x-amz-content-sha256 (which is `payload_hash`) and x-amz-date among them.
 * `query` is sorted and encoded, "" when there is none. */
void s3_sign_headers(const struct s3_signing *signing, const char *query,
                     const struct s3_header *headers, size_t header_count, const char *payload_hash,
                     struct str *authorization);

/* Appends the query that lets whoever has it do the one request, for `expires_s` from the date
 * on. */
void s3_sign_url(const struct s3_signing *signing, const char *session_token, int64_t expires_s,
                 struct str *query);

#endif
