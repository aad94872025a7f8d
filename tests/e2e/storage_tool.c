/* host/store from the command line, for tests and benchmarks: what a manifest's storage does, one operation a call; and
 * signatures of made-up requests for comparison with another implementation.
 *
 *     storage_tool MANIFEST put KEY FILE [METADATA] | get KEY FILE [SHA256] | read KEY BYTES | head KEY | list PREFIX [COUNT]
 *                           | delete KEY | url KEY | presign COUNT
 *     storage_tool - sign <requests.jsonl
 *
 * Exit code 1 with "code field: message" on standard error. SIGINT stops an operation as a worker's end would. */
#include "store/store_private.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINE_SIZE_MAX 65536
#define HEADERS_MAX 16

static atomic_int stop;

static void on_signal(int number)
{
    (void)number;
    atomic_store(&stop, 1);
}

static const char *look_up(const char *name, void *arg)
{
    extern char **environ;
    size_t len = strlen(name);
    (void)arg;
    for (char **entry = environ; *entry; entry++)
        if (strncmp(*entry, name, len) == 0 && (*entry)[len] == '=')
            return *entry + len + 1;
    return NULL;
}

static int fail(const struct err *err)
{
    fprintf(stderr, "%s %s: %s\n", err_word(err->code), err->field, err->message);
    return 1;
}

/* --- Operations ------------------------------------------------------------------------------- */

static int put(struct storage *storage, const char *key, const char *path, const char *metadata,
               struct err *err)
{
    struct stat info;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) != 0)
        return err_set(err, ERR_INVALID, NULL, "%s cannot be read", path);
    cJSON *json = metadata ? cJSON_Parse(metadata) : NULL;
    const struct storage_put put = {.key = key,
                                    .content_type = storage_content_type(key),
                                    .fd = fd,
                                    .len = (uint64_t)info.st_size,
                                    .metadata = json,
                                    .stop = &stop};
    int result = storage_put(storage, &put, err);
    cJSON_Delete(json);
    close(fd);
    return result;
}

static int get(struct storage *storage, const char *key, const char *path, const char *sha256,
               struct err *err)
{
    char digest[DIGEST_HEX_SIZE] = "";
    const struct storage_get get = {.key = key,
                                    .path = path,
                                    .bytes_max = UINT64_C(1) << 40,
                                    .sha256 = sha256,
                                    .sha256_out = digest,
                                    .stop = &stop};
    int result = storage_get(storage, &get, err);
    if (result == 0)
        puts(digest);
    return result;
}

static int read_object(struct storage *storage, const char *key, const char *bytes_max,
                       struct err *err)
{
    struct str out = {0};
    int result =
        storage_read(storage, key, (size_t)strtoull(bytes_max, NULL, 10), &stop, &out, err);
    if (result == 0)
        fwrite(str_text(&out), 1, out.len, stdout);
    str_finish(&out);
    return result;
}

static int head(struct storage *storage, const char *key, struct err *err)
{
    struct storage_object object;
    int result = storage_head(storage, key, &stop, &object, err);
    if (result == 0)
        printf("%" PRIu64 " %" PRId64 " %s\n", object.len, object.modified_unix_s,
               object.content_type);
    return result;
}

struct listed {
    unsigned long long count, count_max;
};

static int show_object(const struct storage_object *object, void *arg)
{
    struct listed *listed = arg;
    printf("%" PRIu64 " %" PRId64 " %s\n", object->len, object->modified_unix_s, object->key);
    return ++listed->count == listed->count_max;
}

static int url(struct storage *storage, const char *key, struct err *err)
{
    struct str url = {0};
    int result = storage_url(storage, key, &url, err);
    if (result == 0)
        puts(str_text(&url));
    str_finish(&url);
    return result;
}

/* Prints seconds. */
static int presign(struct storage *storage, const char *count, struct err *err)
{
    struct str url = {0};
    int result = 0;
    int64_t begun = clock_now();
    for (unsigned long i = strtoul(count, NULL, 10); i > 0 && result == 0; i--) {
        char key[64];
        snprintf(key, sizeof(key), "output/2026-01-31/job-%lu.wav", i);
        str_clear(&url);
        result = storage_url(storage, key, &url, err);
    }
    printf("%.6f\n", (double)(clock_now() - begun) / (double)CLOCK_S);
    str_finish(&url);
    return result;
}

static int run(struct storage *storage, int argc, char **argv, struct err *err)
{
    const char *verb = argv[2], *key = argc > 3 ? argv[3] : "";
    struct listed listed = {.count_max = argc > 4 ? strtoull(argv[4], NULL, 10) : 0};
    if (strcmp(verb, "put") == 0 && argc > 4)
        return put(storage, key, argv[4], argc > 5 ? argv[5] : NULL, err);
    if (strcmp(verb, "get") == 0 && argc > 4)
        return get(storage, key, argv[4], argc > 5 ? argv[5] : NULL, err);
    if (strcmp(verb, "read") == 0 && argc > 4)
        return read_object(storage, key, argv[4], err);
    if (strcmp(verb, "head") == 0)
        return head(storage, key, err);
    if (strcmp(verb, "list") == 0) {
        int result = storage_list(storage, key, &stop, show_object, &listed, err);
        return result > 0 ? 0 : result;
    }
    if (strcmp(verb, "delete") == 0)
        return storage_delete(storage, key, &stop, err);
    if (strcmp(verb, "url") == 0)
        return url(storage, key, err);
    if (strcmp(verb, "presign") == 0)
        return presign(storage, key, err);
    return err_set(err, ERR_INVALID, NULL, "no such operation");
}

static int run_manifest(int argc, char **argv, struct err *err)
{
    const struct manifest_input input = {.file = argv[1], .getenv = look_up, .cpu_count = 1};
    struct manifest *manifest;
    struct storage *storage = NULL;
    struct str report = {0};
    int result = manifest_load(&input, &manifest, &report);
    if (result != 0)
        err_set(err, ERR_INVALID, NULL, "%s", str_text(&report));
    else
        result = storage_open(&manifest->storage, &storage, err);
    if (result == 0)
        result = storage ? run(storage, argc, argv, err)
                         : err_set(err, ERR_INVALID, NULL, "no storage is set up");
    storage_close(storage);
    manifest_destroy(manifest);
    str_finish(&report);
    return result;
}

/* --- Signatures ------------------------------------------------------------------------------- */

static const char *text_of(const cJSON *request, const char *name)
{
    const cJSON *item = json_get(request, name);
    return cJSON_IsString(item) ? item->valuestring : NULL;
}

/* {method, query, headers: [[name, value]...] sorted, payload_hash} of an object, signed in its headers. */
static void sign_headers(const cJSON *request, const struct s3_target *target,
                         const struct s3_place *place, int64_t now, struct str *out)
{
    struct s3_header headers[HEADERS_MAX];
    size_t count = 0;
    const cJSON *pair;
    struct s3_signing signing = {.method = text_of(request, "method"),
                                 .host = place->host,
                                 .path = place->path,
                                 .region = place->region,
                                 .access_key = target->access_key,
                                 .secret_key = target->secret_key};
    s3_date(now, signing.date);
    cJSON_ArrayForEach(pair, json_get(request, "headers"))
    {
        if (count < HEADERS_MAX)
            headers[count++] = (struct s3_header){cJSON_GetArrayItem(pair, 0)->valuestring,
                                                  cJSON_GetArrayItem(pair, 1)->valuestring};
    }
    s3_sign_headers(&signing, text_of(request, "query"), headers, count,
                    text_of(request, "payload_hash"), out);
}

static int sign_one(const cJSON *request, struct err *err)
{
    const struct s3_target target = {
        .endpoint = text_of(request, "endpoint"),
        .bucket = text_of(request, "bucket"),
        .region = text_of(request, "region"),
        .access_key = text_of(request, "access_key"),
        .secret_key = text_of(request, "secret_key"),
        .session_token = text_of(request, "session_token"),
        .prefix = text_of(request, "prefix"),
        .path_style = cJSON_IsTrue(json_get(request, "path_style")),
        .presign_ttl_s = (int64_t)json_get(request, "expires")->valuedouble,
    };
    int64_t now = (int64_t)json_get(request, "now")->valuedouble;
    struct s3_place place;
    struct str out = {0};
    int result = s3_place_find(&target, text_of(request, "key"), &place, err);
    if (result == 0 && json_get(request, "headers"))
        sign_headers(request, &target, &place, now, &out);
    else if (result == 0)
        result = s3_url(&target, text_of(request, "key"), now, &out, err);
    if (result == 0)
        printf("%s%s %s\n", place.origin, place.path, str_text(&out));
    s3_place_finish(&place);
    str_finish(&out);
    return result;
}

static int sign_all(struct err *err)
{
    char *line = malloc(LINE_SIZE_MAX);
    int result = 0;
    while (line && result == 0 && fgets(line, LINE_SIZE_MAX, stdin)) {
        cJSON *request = cJSON_Parse(line);
        result = request ? sign_one(request, err) : err_set(err, ERR_INVALID, NULL, "no JSON");
        cJSON_Delete(request);
    }
    free(line);
    return result;
}

int main(int argc, char **argv)
{
    struct err err = {0};
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    if (argc < 3) {
        fputs("usage: see the beginning of storage_tool.c\n", stderr);
        return 2;
    }
    int result = strcmp(argv[1], "-") == 0 ? sign_all(&err) : run_manifest(argc, argv, &err);
    return result == 0 ? 0 : fail(&err);
}
