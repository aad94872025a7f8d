/* The doctor's look at the storage: one small object goes all the way, from put to delete, and what
 * goes wrong is told with what to do about it. Makes nothing that it does not remove. */
#include "front/inspect.h"

#include "http/http.h"
#include "store/store.h"

#include <stdlib.h>
#include <string.h>

#define SUBJECT "storage"
#define CONTENT "voxhost doctor was here\n"
#define CLOCK_WARN_S 60
#define FETCH_TIMEOUT_S 30.0

/* What messages have in them when something is wrong, and what to do then; the first that fits. */
static const struct {
    const char *sign, *advice;
} remedies[] = {
    {"Could not resolve", "check the host in storage.endpoint, and that this machine has DNS"},
    {"RequestTimeTooSkewed", "set this machine's clock, for instance by NTP"},
    {"signed for region", "set storage.region to the region that the server names"},
    {"PermanentRedirect", "set storage.region and storage.endpoint to those of the bucket"},
    {"TemporaryRedirect", "set storage.endpoint to the host that the server names"},
    {"AuthorizationHeaderMalformed", "set storage.region to the bucket's region"},
    {"InvalidAccessKeyId", "check storage.access_key: this server does not know it"},
    {"SignatureDoesNotMatch", "check storage.secret_key, and that storage.region is the bucket's"},
    {"InvalidToken", "check storage.session_token: it is another's, or has expired"},
    {"ExpiredToken", "get new temporary credentials: these have expired"},
    {"NoSuchBucket", "make the bucket, or correct storage.bucket (and storage.path_style)"},
    {"AccessDenied", "give the key the right to put, get, list and delete objects of this bucket"},
    {"InvalidBucketName", "correct storage.bucket"},
    {"EntityTooLarge", "ask the service for its limits"},
    {"QuotaExceeded", "free space in the bucket, or raise its quota"},
    {"SSL", "check that storage.endpoint has the right host and its certificate is valid"},
    {"certificate", "check that storage.endpoint has the right host and its certificate is valid"},
    {"refused", "start the service, or correct host and port in storage.endpoint"},
    {"connect", "check host and port in storage.endpoint, firewalls and proxies"},
    {"no connection within", "check host and port in storage.endpoint, firewalls and proxies"},
    {"cannot be written", "make storage.dir writable for this user"},
    {"cannot be made", "make storage.dir writable for this user"},
    {"answered 400", "check storage.endpoint: does it speak S3 there, with https or http?"},
    {"answered 401", "check storage.access_key and storage.secret_key"},
    {"answered 403", "check the key's rights on this bucket, its secret and this machine's clock"},
    {"answered 404", "check storage.bucket, storage.endpoint and storage.path_style"},
    {"answered 405", "check storage.endpoint: it speaks HTTP, but not S3"},
};

static const char *advice_for(const char *message)
{
    for (size_t i = 0; i < sizeof(remedies) / sizeof(remedies[0]); i++)
        if (strcasestr(message, remedies[i].sign))
            return remedies[i].advice;
    return "check the section storage of the manifest (voxhost config shows where it comes from)";
}

struct trial {
    struct doctor *doctor;
    struct storage *storage;
    char *key, *folder;
    bool listed;
};

/* True when it went well. */
static bool report_with(const struct trial *trial, const char *step, int result,
                        const struct err *err, const char *advice)
{
    if (result == 0)
        doctor_report(trial->doctor, DOCTOR_OK, SUBJECT, NULL, "%s", step);
    else
        doctor_report(trial->doctor, DOCTOR_FAIL, SUBJECT, advice, "%s: %s%s%s", step, err->field,
                      *err->field ? ": " : "", err->message);
    return result == 0;
}

static bool report(const struct trial *trial, const char *step, int result, const struct err *err)
{
    return report_with(trial, step, result, err, advice_for(err->message));
}

static void check_clock(const struct trial *trial)
{
    int64_t skew = storage_clock_skew_s(trial->storage);
    if (llabs((long long)skew) > CLOCK_WARN_S)
        doctor_report(trial->doctor, DOCTOR_WARN, SUBJECT,
                      "set this machine's clock, for instance by NTP; until then requests use the "
                      "server's",
                      "the server's clock is %lld s %s ours", llabs((long long)skew),
                      skew > 0 ? "ahead of" : "behind");
}

static bool try_put(const struct trial *trial)
{
    struct err err = {0};
    const struct storage_put put = {.key = trial->key,
                                    .content_type = storage_content_type(trial->key),
                                    .data = CONTENT,
                                    .len = strlen(CONTENT)};
    return report(trial, "put", storage_put(trial->storage, &put, &err), &err);
}

static void try_head(const struct trial *trial)
{
    struct storage_object object;
    struct err err = {0};
    int result = storage_head(trial->storage, trial->key, NULL, &object, &err);
    if (result == 0 && object.len != strlen(CONTENT))
        result = err_set(&err, ERR_STORAGE, NULL, "the object has %llu bytes, expected %zu",
                         (unsigned long long)object.len, strlen(CONTENT));
    report(trial, "head", result, &err);
}

static int check_content(const struct str *got, struct err *err)
{
    if (got->len == strlen(CONTENT) && memcmp(got->data, CONTENT, got->len) == 0)
        return 0;
    return err_set(err, ERR_STORAGE, NULL, "what came back is not what was put (%zu bytes)",
                   got->len);
}

static void try_get(const struct trial *trial)
{
    struct str got = {0};
    struct err err = {0};
    int result = storage_read(trial->storage, trial->key, sizeof(CONTENT), NULL, &got, &err);
    if (result == 0)
        result = check_content(&got, &err);
    report(trial, "get", result, &err);
    str_finish(&got);
}

static int find_ours(const struct storage_object *object, void *arg)
{
    struct trial *trial = arg;
    trial->listed = trial->listed || strcmp(object->key, trial->key) == 0;
    return 0;
}

static void try_list(struct trial *trial)
{
    struct err err = {0};
    int result = storage_list(trial->storage, trial->folder, NULL, find_ours, trial, &err);
    if (result == 0 && !trial->listed)
        result = err_set(&err, ERR_STORAGE, NULL, "the object that was put is not in the list");
    report(trial, "list", result, &err);
}

/* By the URL that callers get, without our keys. */
static void try_url(const struct trial *trial, bool is_public)
{
    struct str url = {0};
    struct err err = {0};
    struct http_response response = {0};
    int result = storage_url(trial->storage, trial->key, &url, &err);
    struct http_request request = {
        .method = "GET", .url = str_text(&url), .timeout_s = FETCH_TIMEOUT_S};
    if (result == 0 &&
        (result = http_send(&request, "voxhost/" VOXHOST_VERSION, NULL, &response)) != 0)
        err = response.err;
    if (result == 0 && response.status != 200)
        result = err_set(&err, ERR_STORAGE, NULL, "was answered %d", response.status);
    if (result == 0)
        result = check_content(&response.body, &err);
    if (is_public)
        report_with(
            trial, "get by the public URL", result, &err,
            "check that storage.public_base_url is where the bucket's objects are, and public");
    else
        report(trial, "get by a presigned URL", result, &err);
    str_finish(&response.body);
    str_finish(&response.headers);
    str_finish(&url);
}

static void try_delete(const struct trial *trial)
{
    struct storage_object object;
    struct err err = {0}, gone = {0};
    int result = storage_delete(trial->storage, trial->key, NULL, &err);
    if (result == 0 && storage_head(trial->storage, trial->key, NULL, &object, &gone) == 0)
        result = err_set(&err, ERR_STORAGE, NULL, "the object is still there");
    report(trial, "delete", result, &err);
}

void doctor_check_storage(struct doctor *doctor, const struct manifest_storage *manifest)
{
    struct trial trial = {.doctor = doctor};
    struct err err = {0};
    if (manifest->type == STORAGE_NONE) {
        doctor_report(doctor, DOCTOR_WARN, SUBJECT,
                      "name a bucket or a directory in the section storage, or set S3_BUCKET and "
                      "AWS_* (or R2_*, BUCKET_*)",
                      "none is set up: results that are too large to be sent fail");
        return;
    }
    if (storage_open(manifest, &trial.storage, &err) != 0) {
        report(&trial, "settings", err.code, &err);
        return;
    }
    doctor_report(doctor, DOCTOR_OK, SUBJECT, NULL, "%s", storage_name(trial.storage));
    trial.folder = str_format("voxhost-doctor/%016llx/", (unsigned long long)random_u64());
    trial.key = str_format("%strial.txt", trial.folder);
    bool is_there = try_put(&trial);
    check_clock(&trial);
    if (is_there) {
        try_head(&trial);
        try_get(&trial);
        try_list(&trial);
        if (manifest->type == STORAGE_S3 || manifest->public_base_url)
            try_url(&trial, manifest->public_base_url);
        try_delete(&trial);
    }
    storage_close(trial.storage);
    free(trial.key);
    free(trial.folder);
}
