/* What the files behind `struct storage` share: the directory (storage_dir.c), and of a bucket
 * where an object lies (s3_target.c), its signature (s3_sign.c), one request (s3.c), and what is
 * done by requests (s3_objects.c, s3_upload.c, s3_download.c; metadata in s3_metadata.c).
 *
 *     storage_put -> s3_store -> s3_run (attempts) -> s3_place_find -> s3_sign_headers -> http
 */
#ifndef STORE_PRIVATE_H
#define STORE_PRIVATE_H

#include "store/store.h"

#include "http/http.h"

#define S3_REGION_SIZE 65

/* An object's address, in the very form that is sent and signed. */
struct s3_place {
    char *origin; /* "https://bucket.host:port" */
    char *host;   /* as the Host header has it: "bucket.host:port" */
    char *path;   /* percent-encoded: "/prefix/key" */
    char region[S3_REGION_SIZE];
};

/* Checks the target and the key (NULL: the bucket itself is meant) and says where the object lies;
 * `place` holds nothing after a failure, which is ERR_INVALID with the manifest's name
 * ("storage.bucket") as the field. No message of this module holds a credential, signature or
 * object's key. */
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

/* --- Requests --------------------------------------------------------------------------------- */

#define S3_WORD_SIZE 65 /* of an error code or region that a server tells us */
#define S3_PART_SIZE (UINT64_C(16) << 20)
#define S3_PARALLEL 4 /* parts at a time */
#define S3_BUFFER_SIZE (128u << 10)

struct s3; /* an opened target */

int s3_open(const struct s3_target *target, struct s3 **s3, struct err *err);
void s3_close(struct s3 *s3); /* takes NULL */
const char *s3_name(const struct s3 *s3);
int64_t s3_clock_skew(const struct s3 *s3);
/* Appends a URL by which anyone may GET the object until presign_ttl_s after `now_unix_s`. Asks no
 * server. Errors as s3_place_find's. */
int s3_url(const struct s3_target *target, const char *key, int64_t now_unix_s, struct str *url,
           struct err *err);
/* Appends the presigned URL, by the server's clock where that is known to be another. */
int s3_presign(const struct s3 *s3, const char *key, struct str *url, struct err *err);

/* A secret that follows from the target's secret key and gives nothing of it away. */
void s3_secret_of(const struct s3 *s3, uint8_t out[DIGEST_SIZE]);

struct s3_request {
    const char *what; /* it is about, in messages: "upload" */
    const char *method;
    const char *key;                 /* NULL: the bucket */
    const char *query;               /* sorted and encoded; NULL: none */
    const struct s3_header *headers; /* to be signed, beside those of every request */
    size_t header_count;
    const char *const *lines; /* "name: value", not signed; ends with NULL; NULL: none */
    const void *body;
    ssize_t (*body_read)(void *buf, size_t len, uint64_t offset, void *arg);
    uint64_t body_len;
    const char *payload_hash; /* NULL: there is no body */
    int (*take)(const struct http_response *head, const void *data, size_t len, void *arg);
    void (*begin)(void *arg);  /* before each attempt; NULL: nothing */
    void *arg;                 /* of these three */
    uint64_t expected_len;     /* of the answer, for the time-out */
    const struct err *failure; /* what body_read or take say when they give up; NULL: they do not */
    double patience_s;         /* for an answer beside what its bytes may take; 0: 30 */
    bool once;                 /* no second attempt */
    /* Must be in the body of an answer of 2xx, which else is a failure that may pass: a server that
     * takes long says 200 before it knows how it ends. NULL: nothing must. */
    const char *done_sign;
    const atomic_int *stop;
    int64_t deadline; /* clock_now; 0: none */
};

/* Why a server refused. */
struct s3_refusal {
    int status; /* 0: it never answered */
    char code[S3_WORD_SIZE];
};

/* Sends a request until it is answered with 2xx; the caller's is the body and the headers of the
 * response then. */
int s3_run(struct s3 *s3, const struct s3_request *request, struct http_response *response,
           struct s3_refusal *refusal, struct err *err);
void s3_response_finish(struct http_response *response);
/* What stands before keys in the bucket: "" or "prefix/"; the caller's. */
char *s3_key_base(const struct s3 *s3);
/* The error for an object that is not there. */
int s3_missing(const struct s3 *s3, struct err *err);

int s3_store(struct s3 *s3, const struct storage_put *put, struct err *err);
int s3_upload_parts(struct s3 *s3, const struct storage_put *put, const struct s3_header *headers,
                    size_t header_count, struct err *err);
int s3_fetch(struct s3 *s3, const struct storage_get *get, struct err *err);
int s3_read(struct s3 *s3, const char *key, size_t bytes_max, const atomic_int *stop,
            struct str *out, struct err *err);
int s3_head(struct s3 *s3, const char *key, const atomic_int *stop, struct storage_object *object,
            struct err *err);
int s3_list(struct s3 *s3, const char *prefix, const atomic_int *stop,
            int (*each)(const struct storage_object *object, void *arg), void *arg,
            struct err *err);
int s3_delete(struct s3 *s3, const char *key, const atomic_int *stop, struct err *err);

/* Appends names of headers and their values by turns. ERR_INVALID and ERR_TOO_LARGE with the field
 * "metadata". */
int s3_metadata_read(const cJSON *metadata, struct text_list *texts, struct err *err);
/* As storage_fit_metadata. */
char *s3_metadata_fit(cJSON *metadata);
/* May this be a header's value as it is? */
bool s3_is_header_text(const char *text);

/* Who wants the objects of a list. */
struct s3_listing {
    const char *name; /* of the bucket, for messages */
    const char *base; /* s3_key_base */
    int (*each)(const struct storage_object *object, void *arg);
    void *arg;
};
/* Reads one page. `token`: what the next one is asked for with; "": this is the last. Returns 0,
 * what `each` returned when that is not 0, or ERR_STORAGE. */
int s3_list_read(const struct s3_listing *listing, const char *xml, struct str *token,
                 struct err *err);

/* SHA-256 of a part of what is put, in hex. */
int storage_put_digest(const struct storage_put *put, uint64_t offset, uint64_t len,
                       char out[DIGEST_HEX_SIZE], struct err *err);
/* ERR_CANCELLED or ERR_TIMEOUT once it is to go on no longer. */
int storage_put_check(const struct storage_put *put, struct err *err);
/* Bytes of it, at most `len`; 0 or less at the end and on failure. */
ssize_t storage_put_read(const struct storage_put *put, void *buf, size_t len, uint64_t offset);

#define STORAGE_RANDOM_SIZE 33 /* 32 digits and the end */

/* The digits that stand for a job's id; see storage_key. */
int storage_random(const struct storage *storage, const char *job_id, char out[STORAGE_RANDOM_SIZE],
                   struct err *err);

/* May this byte, not 0, of a value stand in a key as it is? */
bool storage_key_is_safe(unsigned char c);

/* A file under a temporary name beside `path`. */
struct storage_file {
    char *temp;
    const char *path; /* borrowed */
    int fd;
};
int storage_file_open(struct storage_file *file, const char *path, struct err *err);
/* Gives it its name when `result` is 0, else removes it; returns the result of all. */
int storage_file_finish(struct storage_file *file, int result, struct err *err);
/* Compares a digest with what get->sha256 wants and hands it out. */
int storage_get_check(const struct storage_get *get, const uint8_t digest[DIGEST_SIZE],
                      struct err *err);

/* --- The little XML of S3 --------------------------------------------------------------------- */

/* The text of an element like <Code>SlowDown</Code> when it is one word; else "". */
void s3_xml_word(const char *xml, const char *element, char out[S3_WORD_SIZE]);
/* Appends the text of the first such element before `end` (NULL: the end of the text) with its
 * entities decoded. Returns what follows the element; NULL when there is none. */
const char *s3_xml_text(const char *xml, const char *end, const char *element, struct str *out);
/* Appends text with what XML reserves replaced. */
void s3_xml_escape(struct str *out, const char *text);

/* --- A directory ------------------------------------------------------------------------------ */

struct storage_dir;
int storage_dir_open(const struct manifest_storage *manifest, struct storage_dir **dir,
                     struct err *err);
void storage_dir_close(struct storage_dir *dir); /* takes NULL */
const char *storage_dir_name(const struct storage_dir *dir);
int storage_dir_check_room(const struct storage_dir *dir, uint64_t len, const struct log *log,
                           struct err *err);
int storage_dir_put(struct storage_dir *dir, const struct storage_put *put, struct err *err);
int storage_dir_get(struct storage_dir *dir, const struct storage_get *get, struct err *err);
int storage_dir_read(struct storage_dir *dir, const char *key, size_t bytes_max, struct str *out,
                     struct err *err);
int storage_dir_head(struct storage_dir *dir, const char *key, struct storage_object *object,
                     struct err *err);
int storage_dir_list(struct storage_dir *dir, const char *prefix, const atomic_int *stop,
                     int (*each)(const struct storage_object *object, void *arg), void *arg,
                     struct err *err);
int storage_dir_delete(struct storage_dir *dir, const char *key, struct err *err);
int storage_dir_url(const struct storage_dir *dir, const char *key, struct str *url,
                    struct err *err);

/* A secret that stands in the directory, made when there is none. */
int storage_dir_secret(const struct storage_dir *dir, uint8_t out[DIGEST_SIZE], struct err *err);
/* The same of any directory that is open. */
int storage_salt_read(struct store *store, uint8_t out[DIGEST_SIZE], struct err *err);

/* --- Credentials ------------------------------------------------------------------------------ */

struct s3_credentials {
    char *access_key, *secret_key, *session_token; /* NULL: absent */
};

/* Reads the section [default] of an INI file. */
int s3_credentials_read(const char *path, struct s3_credentials *credentials, struct err *err);
void s3_credentials_finish(struct s3_credentials *credentials);

#endif
