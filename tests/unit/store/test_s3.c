/* Objects in S3-compatible storage: signatures against the published examples, addresses, and
 * uploads to a socket that answers by script. */
#include "store/store_private.h"

#include <arpa/inet.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#define ACCESS_KEY "AKIAIOSFODNN7EXAMPLE"
#define SECRET_KEY "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define EMPTY_HASH "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define MAY_24_2013 INT64_C(1369353600)

static struct s3_target example_target(void)
{
    return (struct s3_target){.endpoint = "https://s3.amazonaws.com",
                              .bucket = "examplebucket",
                              .access_key = ACCESS_KEY,
                              .secret_key = SECRET_KEY,
                              .presign_ttl_s = 86400};
}

/* One object to a bucket that was not open before. */
static int put_now(const struct s3_target *target, const char *key, const char *content_type,
                   const void *data, size_t len, const atomic_int *stop, struct err *err)
{
    struct storage *storage;
    const struct storage_put put = {
        .key = key, .content_type = content_type, .data = data, .len = len, .stop = stop};
    int result = storage_open_s3(target, &storage, err);
    if (result == 0)
        result = storage_put(storage, &put, err);
    storage_close(storage);
    return result;
}

/* --- Signatures ------------------------------------------------------------------------------- */

/* The examples of the Amazon S3 API Reference: "Signature Calculations for the Authorization
 * Header" and "Authenticating Requests: Using Query Parameters". */
static void check_example(const char *method, const char *path, const char *query,
                          const struct s3_header *headers, size_t count, const char *hash,
                          const char *expected)
{
    struct str authorization = {0};
    struct s3_signing signing = {
        .method = method,
        .host = "examplebucket.s3.amazonaws.com",
        .path = path,
        .region = "us-east-1",
        .access_key = ACCESS_KEY,
        .secret_key = SECRET_KEY,
    };
    s3_date(MAY_24_2013, signing.date);
    assert_string_equal(signing.date, "20130524T000000Z");
    s3_sign_headers(&signing, query, headers, count, hash, &authorization);
    char *whole = str_format("AWS4-HMAC-SHA256 Credential=" ACCESS_KEY
                             "/20130524/us-east-1/s3/aws4_request, SignedHeaders=%s",
                             expected);
    assert_string_equal(str_text(&authorization), whole);
    free(whole);
    str_finish(&authorization);
}

static void published_examples_of_headers(void **state)
{
    static const char put_hash[] =
        "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
    const struct s3_header range[] = {{"host", "examplebucket.s3.amazonaws.com"},
                                      {"range", "bytes=0-9"},
                                      {"x-amz-content-sha256", EMPTY_HASH},
                                      {"x-amz-date", "20130524T000000Z"}};
    const struct s3_header put[] = {{"date", "Fri, 24 May 2013 00:00:00 GMT"},
                                    {"host", "examplebucket.s3.amazonaws.com"},
                                    {"x-amz-content-sha256", put_hash},
                                    {"x-amz-date", "20130524T000000Z"},
                                    {"x-amz-storage-class", "REDUCED_REDUNDANCY"}};
    const struct s3_header plain[] = {{"host", "examplebucket.s3.amazonaws.com"},
                                      {"x-amz-content-sha256", EMPTY_HASH},
                                      {"x-amz-date", "20130524T000000Z"}};
    struct str path = {0};
    (void)state;
    check_example("GET", "/test.txt", "", range, 4, EMPTY_HASH,
                  "host;range;x-amz-content-sha256;x-amz-date, Signature="
                  "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
    s3_encode(&path, "/test$file.text", true);
    check_example("PUT", str_text(&path), "", put, 5, put_hash,
                  "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class, Signature="
                  "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
    check_example("GET", "/", "lifecycle=", plain, 3, EMPTY_HASH,
                  "host;x-amz-content-sha256;x-amz-date, Signature="
                  "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
    check_example("GET", "/", "max-keys=2&prefix=J", plain, 3, EMPTY_HASH,
                  "host;x-amz-content-sha256;x-amz-date, Signature="
                  "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
    str_finish(&path);
}

static void published_example_of_a_url(void **state)
{
    struct s3_target target = example_target();
    struct err err = {0};
    struct str url = {0};
    (void)state;
    assert_int_equal(s3_url(&target, "test.txt", MAY_24_2013, &url, &err), 0);
    assert_string_equal(str_text(&url),
                        "https://examplebucket.s3.amazonaws.com/test.txt"
                        "?X-Amz-Algorithm=AWS4-HMAC-SHA256"
                        "&X-Amz-Credential=" ACCESS_KEY
                        "%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
                        "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
                        "&X-Amz-Signature="
                        "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
    str_finish(&url);
}

/* Made with botocore 1.44.5: S3SigV4QueryAuth, this target, this time. */
static void url_of_an_awkward_key_with_a_token_is_as_botocore_signs_it(void **state)
{
    struct s3_target target = example_target();
    struct err err = {0};
    struct str url = {0};
    (void)state;
    target.endpoint = "http://localhost:9000";
    target.region = "eu-west-1";
    target.session_token = "a/b+c==";
    target.prefix = "out put";
    target.path_style = true;
    assert_int_equal(s3_url(&target, "\xc3\xa4+b%c/d e.wav", MAY_24_2013, &url, &err), 0);
    static const char start[] =
        "http://localhost:9000/examplebucket/out%20put/%C3%A4%2Bb%25c/d%20e.wav?";
    static const char signature[] =
        "&X-Amz-Signature=3f88b2633b3ad521cc93271ce5c510547f833f21a4244e9a1e53092eacfcaec7";
    assert_memory_equal(url.data, start, strlen(start));
    assert_non_null(strstr(url.data, "&X-Amz-Security-Token=a%2Fb%2Bc%3D%3D&"));
    assert_string_equal(url.data + url.len - strlen(signature), signature);
    str_finish(&url);
}

/* --- Addresses -------------------------------------------------------------------------------- */

static void keys_are_encoded_byte_by_byte(void **state)
{
    static const struct {
        const char *prefix, *key, *path;
    } cases[] = {
        {NULL, "plain-._~09AZaz", "/plain-._~09AZaz"},
        {"", "a b.wav", "/a%20b.wav"},
        {NULL, "a+b%c%20d", "/a%2Bb%25c%2520d"},
        {NULL, "\xc3\xbc/\xe6\x96\x87.wav", "/%C3%BC/%E6%96%87.wav"},
        {NULL, "!$&'()*,:;=?@[]#\"<>\\^`{|}",
         "/%21%24%26%27%28%29%2A%2C%3A%3B%3D%3F%40%5B%5D%23%22%3C%3E%5C%5E%60%7B%7C%7D"},
        {"out", "a/b", "/out/a/b"},
        {"out/x/", "a", "/out/x/a"},
        {NULL, "...", "/..."},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct s3_target target = example_target();
        struct s3_place place;
        struct err err = {0};
        target.prefix = cases[i].prefix;
        assert_int_equal(s3_place_find(&target, cases[i].key, &place, &err), 0);
        assert_string_equal(place.path, cases[i].path);
        s3_place_finish(&place);
    }
}

static void keys_that_name_no_object_are_refused(void **state)
{
    char over[1100];
    const char *const keys[] = {"",      "/a",   "a/",    "a//b",     "../a",
                                "a/./b", "a\nb", "a\x7f", "\xff.wav", over};
    struct s3_target target = example_target();
    struct str url = {0};
    (void)state;
    for (size_t i = 0; i < sizeof(over); i++)
        over[i] = i % 10 == 9 ? '/' : 'a';
    over[sizeof(over) - 1] = '\0';
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        struct err err = {0};
        assert_int_equal(s3_url(&target, keys[i], MAY_24_2013, &url, &err), ERR_INVALID);
        assert_string_equal(err.field, "");
        assert_int_equal(put_now(&target, keys[i], "audio/wav", "x", 1, NULL, &err), ERR_INVALID);
    }
    assert_int_equal(url.len, 0);
    str_finish(&url);
}

static void bucket_and_region_are_found_in_all_the_usual_endpoints(void **state)
{
    static const struct {
        const char *endpoint, *bucket, *region;
        bool path_style;
        const char *origin, *path, *found;
    } cases[] = {
        {"https://s3.eu-west-1.amazonaws.com", "bkt", NULL, false,
         "https://bkt.s3.eu-west-1.amazonaws.com", "/k", "eu-west-1"},
        {"https://s3.eu-west-1.amazonaws.com/", "bkt", NULL, true,
         "https://s3.eu-west-1.amazonaws.com", "/bkt/k", "eu-west-1"},
        {"https://s3.amazonaws.com", "bkt", NULL, true, "https://s3.amazonaws.com", "/bkt/k",
         "us-east-1"},
        {"https://s3-us-west-2.amazonaws.com", "bkt", NULL, true,
         "https://s3-us-west-2.amazonaws.com", "/bkt/k", "us-west-2"},
        {"https://s3.dualstack.us-gov-west-1.amazonaws.com", "bkt", NULL, true,
         "https://s3.dualstack.us-gov-west-1.amazonaws.com", "/bkt/k", "us-gov-west-1"},
        {"https://s3.cn-north-1.amazonaws.com.cn", "bkt", NULL, true,
         "https://s3.cn-north-1.amazonaws.com.cn", "/bkt/k", "cn-north-1"},
        /* The bucket in the endpoint, with and without its name again. */
        {"https://bkt.s3.us-east-2.amazonaws.com", NULL, NULL, true,
         "https://bkt.s3.us-east-2.amazonaws.com", "/k", "us-east-2"},
        {"HTTPS://Bkt.S3.us-east-2.AmazonAWS.com:443", "bkt", NULL, false,
         "https://bkt.s3.us-east-2.amazonaws.com", "/k", "us-east-2"},
        {"https://my-data-1.s3.amazonaws.com", "", NULL, true, "https://my-data-1.s3.amazonaws.com",
         "/k", "us-east-1"},
        {"https://0a1b.r2.cloudflarestorage.com/bkt", "bkt", NULL, true,
         "https://0a1b.r2.cloudflarestorage.com", "/bkt/k", "auto"},
        {"https://0a1b.r2.cloudflarestorage.com/bkt/", NULL, NULL, false,
         "https://0a1b.r2.cloudflarestorage.com", "/bkt/k", "auto"},
        {"https://0a1b.eu.r2.cloudflarestorage.com", "bkt", "", false,
         "https://bkt.0a1b.eu.r2.cloudflarestorage.com", "/k", "auto"},
        {"https://s3.us-west-004.backblazeb2.com", "bkt", NULL, true,
         "https://s3.us-west-004.backblazeb2.com", "/bkt/k", "us-west-004"},
        {"https://s3.team-1.example.com", "bkt", NULL, true, "https://s3.team-1.example.com",
         "/bkt/k", "us-east-1"},
        {"https://r2.cloudflarestorage.com.example.com", "bkt", NULL, true,
         "https://r2.cloudflarestorage.com.example.com", "/bkt/k", "us-east-1"},
        {"http://127.0.0.1:9000", "Old_Bucket", "auto", true, "http://127.0.0.1:9000",
         "/Old_Bucket/k", "auto"},
        {"http://[::1]:9000/s3/v1", "b.k.t", NULL, true, "http://[::1]:9000", "/s3/v1/b.k.t/k",
         "us-east-1"},
        {"http://localhost:80", "b.k.t", "RegionOne", false, "http://b.k.t.localhost", "/k",
         "RegionOne"},
        {"http://minio.example.com:443", "minio", NULL, false, "http://minio.minio.example.com:443",
         "/k", "us-east-1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct s3_target target = example_target();
        struct s3_place place;
        struct err err = {0};
        target.endpoint = cases[i].endpoint;
        target.bucket = cases[i].bucket;
        target.region = cases[i].region;
        target.path_style = cases[i].path_style;
        if (s3_place_find(&target, "k", &place, &err) != 0)
            fail_msg("%s: %s: %s", cases[i].endpoint, err.field, err.message);
        assert_string_equal(place.origin, cases[i].origin);
        assert_string_equal(place.host, strstr(cases[i].origin, "//") + 2);
        assert_string_equal(place.path, cases[i].path);
        assert_string_equal(place.region, cases[i].found);
        s3_place_finish(&place);
    }
}

static void wrong_target_is_named_without_its_secrets(void **state)
{
#define SET(member, value) offsetof(struct s3_target, member), value
    static const struct {
        size_t offset;
        const char *value, *field, *says;
    } cases[] = {
        {SET(endpoint, NULL), "storage.endpoint", "missing"},
        {SET(endpoint, "s3.amazonaws.com"), "storage.endpoint", "https://"},
        {SET(endpoint, "ftp://s3.amazonaws.com"), "storage.endpoint", "https://"},
        {SET(endpoint, "https://"), "storage.endpoint", "host"},
        {SET(endpoint, "https://me:s3cret@host.com"), "storage.endpoint", "user name"},
        {SET(endpoint, "https://host.com/?s3cret"), "storage.endpoint", "query"},
        {SET(endpoint, "https://host.com#s3cret"), "storage.endpoint", "fragment"},
        {SET(endpoint, "https://ho_st.com"), "storage.endpoint", "host"},
        {SET(endpoint, "https://.com"), "storage.endpoint", "host"},
        {SET(endpoint, "https://host..com"), "storage.endpoint", "host"},
        {SET(endpoint, "https://[::1"), "storage.endpoint", "host"},
        {SET(endpoint, "https://[]"), "storage.endpoint", "host"},
        {SET(endpoint, "https://["), "storage.endpoint", "host"},
        {SET(endpoint, "https://host.com:"), "storage.endpoint", "port"},
        {SET(endpoint, "https://host.com:0"), "storage.endpoint", "port"},
        {SET(endpoint, "https://host.com:65536"), "storage.endpoint", "port"},
        {SET(endpoint, "https://host.com:99999999999999999999"), "storage.endpoint", "port"},
        {SET(endpoint, "https://host.com:8a"), "storage.endpoint", "port"},
        {SET(endpoint, "https://host.com/a//b"), "storage.endpoint", "path"},
        {SET(endpoint, "https://host.com/.."), "storage.endpoint", "path"},
        {SET(endpoint, "https://host.com/a%20b"), "storage.endpoint", "path"},
        {SET(endpoint, "https://host.com/a\tb"), "storage.endpoint", "ASCII"},
        {SET(endpoint, "https://127.0.0.1"), "storage.path_style", "address"},
        {SET(bucket, NULL), "storage.bucket", "missing"},
        {SET(bucket, "ab"), "storage.bucket", "3 to 63"},
        {SET(bucket, "a23456789-123456789-123456789-123456789-123456789-123456789-1234"),
         "storage.bucket", "3 to 63"},
        {SET(bucket, "Examples"), "storage.bucket", "small letters"},
        {SET(bucket, "my_bucket"), "storage.bucket", "small letters"},
        {SET(bucket, "-bucket"), "storage.bucket", "beginning"},
        {SET(bucket, "bucket."), "storage.bucket", "beginning"},
        {SET(bucket, "a..b"), "storage.bucket", "small letters"},
        {SET(bucket, "a/b"), "storage.bucket", "small letters"},
        {SET(bucket, "b.k.t"), "storage.path_style", "certificate"},
        {SET(region, "eu west"), "storage.region", "region"},
        {SET(region, "a/b"), "storage.region", "region"},
        {SET(access_key, ""), "storage.access_key", "missing"},
        {SET(access_key, "s3cret\n"), "storage.access_key", "at byte 7"},
        {SET(access_key, "s3cret/"), "storage.access_key", "\"/\""},
        {SET(secret_key, NULL), "storage.secret_key", "missing"},
        {SET(secret_key, "s3cret \r\nX-A: b"), "storage.secret_key", "at byte 7"},
        {SET(session_token, "s3cret\xc3\xa4"), "storage.session_token", "at byte 7"},
        {SET(prefix, "/out"), "storage.prefix", "relative"},
        {SET(prefix, "../out"), "storage.prefix", "relative"},
        {SET(prefix, "out//"), "storage.prefix", "relative"},
        {SET(prefix, "o\nut"), "storage.prefix", "relative"},
        {SET(prefix, "\xff"), "storage.prefix", "relative"},
    };
#undef SET
    struct s3_target target = example_target();
    struct err err = {0};
    (void)state;
    assert_int_equal(s3_target_check(&target, &err), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        target = example_target();
        memcpy((char *)&target + cases[i].offset, &cases[i].value, sizeof(cases[i].value));
        if (s3_target_check(&target, &err) != ERR_INVALID)
            fail_msg("accepted: %s", cases[i].value ? cases[i].value : "NULL");
        assert_string_equal(err.field, cases[i].field);
        if (!strstr(err.message, cases[i].says))
            fail_msg("%s: \"%s\" does not say \"%s\"", cases[i].value, err.message, cases[i].says);
        assert_null(strstr(err.message, "s3cret"));
        assert_null(strstr(err.message, SECRET_KEY));
        assert_null(strstr(err.message, ACCESS_KEY));
    }
    target = example_target();
    for (target.presign_ttl_s = 0; target.presign_ttl_s <= 604801; target.presign_ttl_s += 604801) {
        assert_int_equal(s3_target_check(&target, &err), ERR_INVALID);
        assert_string_equal(err.field, "storage.presign_ttl_s");
    }
}

/* --- Uploads ---------------------------------------------------------------------------------- */

#define ANSWERS_MAX 4
#define CUT "cut"     /* the connection is closed before an answer */
#define STALL "stall" /* no answer until the client goes away */
#define OK_ANSWER "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
#define ANSWER(status, headers, body) \
    "HTTP/1.1 " status "\r\nConnection: close\r\n" headers "\r\n" body

/* One answer per connection. */
struct server {
    const char *answers[ANSWERS_MAX + 1];
    char endpoint[64];
    int fd;
    pthread_t thread;
    atomic_int request_count; /* whole ones that arrived */
    struct str requests[ANSWERS_MAX];
};

/* Reads until head and body are there; false when the client went away. */
static bool read_request(int fd, struct str *request)
{
    char buf[65536];
    for (;;) {
        const char *end = strstr(str_text(request), "\r\n\r\n");
        const char *length = strstr(str_text(request), "\r\nContent-Length: ");
        size_t head_len = end ? (size_t)(end - request->data) + 4 : 0;
        if (end && request->len >= head_len + (length ? strtoul(length + 18, NULL, 10) : 0))
            return true;
        ssize_t got = recv(fd, buf, sizeof(buf), 0);
        if (got <= 0)
            return false;
        str_append(request, buf, (size_t)got);
    }
}

static void *serve(void *arg)
{
    struct server *server = arg;
    char byte;
    for (int i = 0; server->answers[i]; i++) {
        int fd = accept(server->fd, NULL, NULL);
        if (fd < 0)
            break; /* shut down */
        if (read_request(fd, &server->requests[i])) {
            atomic_fetch_add(&server->request_count, 1);
            if (strcmp(server->answers[i], STALL) == 0)
                recv(fd, &byte, 1, 0);
            else if (strcmp(server->answers[i], CUT) != 0)
                send(fd, server->answers[i], strlen(server->answers[i]), MSG_NOSIGNAL);
        }
        close(fd);
    }
    return NULL;
}

static struct s3_target server_start(struct server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    server->fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(server->fd >= 0);
    assert_int_equal(bind(server->fd, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(server->fd, 8), 0);
    assert_int_equal(getsockname(server->fd, (struct sockaddr *)&address, &len), 0);
    snprintf(server->endpoint, sizeof(server->endpoint), "http://127.0.0.1:%u",
             (unsigned)ntohs(address.sin_port));
    assert_int_equal(sync_thread_start(&server->thread, serve, server), 0);
    struct s3_target target = example_target();
    target.endpoint = server->endpoint;
    target.path_style = true;
    return target;
}

/* Ends it and says how many requests came. */
static int server_stop(struct server *server)
{
    shutdown(server->fd, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->fd);
    for (int i = 0; i < ANSWERS_MAX; i++)
        str_finish(&server->requests[i]);
    return atomic_load(&server->request_count);
}

/* The value of a header of request `i`, the caller's; fails the test when it is not there
 * exactly once. */
static char *header_of(const struct server *server, int i, const char *name)
{
    char *start = str_format("\r\n%s: ", name);
    const char *value = strcasestr(str_text(&server->requests[i]), start);
    assert_non_null(value);
    assert_null(strcasestr(value + 2, start));
    value += strlen(start);
    free(start);
    return mem_copy_text(value, strcspn(value, "\r"));
}

static void assert_signed(const struct server *server, int i, const char *path,
                          const char *content_type, const char *hash, const char *token)
{
    char *date = header_of(server, i, "x-amz-date");
    char *authorization = header_of(server, i, "authorization");
    const char *host = server->endpoint + strlen("http://");
    struct s3_header headers[] = {{"content-type", content_type},
                                  {"host", host},
                                  {"x-amz-content-sha256", hash},
                                  {"x-amz-date", date},
                                  {"x-amz-security-token", token}};
    struct s3_signing signing = {.method = "PUT",
                                 .host = host,
                                 .path = path,
                                 .region = "us-east-1",
                                 .access_key = ACCESS_KEY,
                                 .secret_key = SECRET_KEY};
    struct str expected = {0};
    for (size_t h = 0; h < (token ? 5 : 4); h++) {
        char *sent = header_of(server, i, headers[h].name);
        assert_string_equal(sent, headers[h].value);
        free(sent);
    }
    assert_int_equal(strlen(date), S3_DATE_SIZE - 1);
    memcpy(signing.date, date, S3_DATE_SIZE);
    s3_sign_headers(&signing, "", headers, token ? 5 : 4, hash, &expected);
    assert_string_equal(authorization, str_text(&expected));
    str_finish(&expected);
    free(authorization);
    free(date);
}

static int64_t date_of(const struct server *server, int i)
{
    struct tm utc = {0};
    char *date = header_of(server, i, "x-amz-date");
    assert_non_null(strptime(date, "%Y%m%dT%H%M%SZ", &utc));
    free(date);
    return (int64_t)timegm(&utc);
}

static int put(const struct s3_target *target, struct err *err)
{
    return put_now(target, "a b/c.wav", "audio/wav", "12345", 5, NULL, err);
}

static void upload_goes_out_whole_and_signed(void **state)
{
    enum { SIZE = 3 << 20 };
    struct server server = {.answers = {OK_ANSWER, OK_ANSWER}};
    struct s3_target target = server_start(&server);
    struct err err = {0};
    char hash[DIGEST_HEX_SIZE], *data = mem_alloc(SIZE);
    (void)state;
    for (size_t i = 0; i < SIZE; i++)
        data[i] = (char)(i * 31 + i / 256);
    digest_of(data, SIZE, hash);
    target.prefix = "out";
    target.session_token = "to/k+en==";
    assert_int_equal(put_now(&target, "a+b \xc3\xbc.wav", "audio/wav", data, SIZE, NULL, &err), 0);
    const struct str *request = &server.requests[0];
    const char *line = "PUT /examplebucket/out/a%2Bb%20%C3%BC.wav HTTP/1.1\r\n";
    assert_memory_equal(request->data, line, strlen(line));
    const char *body = strstr(request->data, "\r\n\r\n") + 4;
    assert_int_equal(request->len - (size_t)(body - request->data), SIZE);
    assert_memory_equal(body, data, SIZE);
    assert_signed(&server, 0, "/examplebucket/out/a%2Bb%20%C3%BC.wav", "audio/wav", hash,
                  "to/k+en==");
    assert_true(llabs((long long)(date_of(&server, 0) - (int64_t)time(NULL))) < 120);

    target.session_token = ""; /* as when a variable is set to nothing */
    target.prefix = NULL;
    assert_int_equal(put_now(&target, "empty", "audio/wav", "", 0, NULL, &err), 0);
    assert_signed(&server, 1, "/examplebucket/empty", "audio/wav", EMPTY_HASH, NULL);
    char *length = header_of(&server, 1, "content-length");
    assert_string_equal(length, "0");
    assert_null(strcasestr(str_text(&server.requests[1]), "security-token"));
    free(length);
    assert_int_equal(server_stop(&server), 2);
    free(data);
}

static void what_may_pass_is_tried_again(void **state)
{
    struct server server = {
        .answers = {CUT, ANSWER("503 Slow Down", "Retry-After: 2\r\n", ""), OK_ANSWER}};
    struct s3_target target = server_start(&server);
    struct err err = {0};
    (void)state;
    int64_t start = clock_now();
    assert_int_equal(put(&target, &err), 0);
    assert_true(clock_now() - start >= 2 * CLOCK_S);
    for (int i = 0; i < 3; i++)
        assert_signed(&server, i, "/examplebucket/a%20b/c.wav", "audio/wav",
                      "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5", NULL);
    assert_int_equal(server_stop(&server), 3);
}

static void three_failures_are_the_end(void **state)
{
    static const char slow[] = ANSWER(
        "503 Slow Down", "", "<Error>\n <Code>SlowDown</Code><Resource>/x</Resource></Error>");
    struct server server = {
        .answers = {ANSWER("500 Oops", "", ""), ANSWER("429 Many", "", ""), slow, OK_ANSWER}};
    struct s3_target target = server_start(&server);
    struct err err = {0};
    (void)state;
    assert_int_equal(put(&target, &err), ERR_STORAGE);
    char *expected = str_format("bucket \"examplebucket\" at %s: the upload was answered 503 "
                                "SlowDown, in the last of 3 attempts",
                                server.endpoint + strlen("http://"));
    assert_string_equal(err.message, expected);
    free(expected);
    assert_int_equal(server_stop(&server), 3);
}

static void dead_endpoint_is_tried_three_times(void **state)
{
    struct server server = {.answers = {NULL}};
    struct s3_target target = server_start(&server);
    struct err err = {0};
    (void)state;
    server_stop(&server);
    assert_int_equal(put(&target, &err), ERR_STORAGE);
    assert_non_null(strstr(err.message, "bucket \"examplebucket\" at 127.0.0.1: "));
    assert_non_null(strstr(err.message, ", in the last of 3 attempts"));
    assert_null(strstr(err.message, "c.wav"));
}

static void refusal_is_final_and_tells_no_secrets(void **state)
{
    static const struct {
        const char *answer, *says;
    } cases[] = {
        {ANSWER(
             "403 Forbidden", "",
             "<?xml "
             "version=\"1.0\"?><Error><Code>SignatureDoesNotMatch</Code><AWSAccessKeyId>" ACCESS_KEY
             "</AWSAccessKeyId></Error>"),
         "403 SignatureDoesNotMatch"},
        {ANSWER("404 Not Found", "Content-Type: text/html\r\n", "<html>no</html>"), "404"},
        {ANSWER("301 Moved", "Location: http://127.0.0.1:1/\r\n",
                "<Error><Code>PermanentRedirect</Code></Error>"),
         "301 PermanentRedirect"},
        {ANSWER(
             "400 Bad Request", "",
             "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-north-1</Region></Error>"),
         "400 AuthorizationHeaderMalformed (signed for region us-east-1, the bucket is in "
         "eu-north-1)"},
        {ANSWER("403 Forbidden", "", "<Code>two words\n</Code>"), "403"},
        {ANSWER("403 Forbidden", "", "<Code>NeverEnds"), "403"},
        {ANSWER("403 Forbidden", "",
                "<Code>a23456789b123456789c123456789d123456789e123456789f123456789g1234</Code>"),
         "403 a23456789b123456789c123456789d123456789e123456789f123456789g1234"},
        {ANSWER("403 Forbidden", "",
                "<Code>a23456789b123456789c123456789d123456789e123456789f123456789g12345</Code>"),
         "403"},
        {ANSWER("403 Forbidden", "", "<Error><Code>RequestTimeTooSkewed</Code></Error>"),
         "403 RequestTimeTooSkewed"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct server server = {.answers = {cases[i].answer, OK_ANSWER}};
        struct s3_target target = server_start(&server);
        struct err err = {0};
        assert_int_equal(put(&target, &err), ERR_STORAGE);
        char *expected = str_format("bucket \"examplebucket\" at %s: the upload was answered %s",
                                    server.endpoint + strlen("http://"), cases[i].says);
        assert_string_equal(err.message, expected);
        free(expected);
        assert_int_equal(server_stop(&server), 1);
    }
}

static void wrong_clock_is_corrected_once(void **state)
{
    char answer[512], text[64];
    time_t theirs = time(NULL) + 18000;
    struct tm utc;
    (void)state;
    strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&theirs, &utc));
    snprintf(
        answer, sizeof(answer),
        ANSWER("403 Forbidden", "Date: %s\r\n", "<Error><Code>RequestTimeTooSkewed</Code></Error>"),
        text);
    struct server server = {.answers = {answer, OK_ANSWER}};
    struct s3_target target = server_start(&server);
    struct err err = {0};
    assert_int_equal(put(&target, &err), 0);
    assert_true(llabs((long long)(date_of(&server, 1) - (int64_t)theirs)) < 120);
    assert_signed(&server, 1, "/examplebucket/a%20b/c.wav", "audio/wav",
                  "5994471abb01112afcc18159f6cc74b4f511b99806da59b3caf5a9c173cacfc5", NULL);
    assert_int_equal(server_stop(&server), 2);

    struct server stubborn = {.answers = {answer, answer, OK_ANSWER}};
    target = server_start(&stubborn);
    assert_int_equal(put(&target, &err), ERR_STORAGE);
    assert_non_null(strstr(err.message, "403 RequestTimeTooSkewed"));
    assert_int_equal(server_stop(&stubborn), 2);
}

struct stopper {
    struct server *server;
    atomic_int stop;
};

/* Stops the upload once its first request is there. */
static void *stop_later(void *arg)
{
    struct stopper *stopper = arg;
    while (atomic_load(&stopper->server->request_count) == 0)
        poll(NULL, 0, 5);
    poll(NULL, 0, 100); /* the answer is there too, so that it is the pause that ends */
    atomic_store(&stopper->stop, 1);
    return NULL;
}

static void stop_ends_a_stalled_upload_and_a_pause(void **state)
{
    static const char *const answers[] = {STALL,
                                          ANSWER("503 Slow Down", "Retry-After: 29\r\n", "")};
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct server server = {.answers = {answers[i], OK_ANSWER}};
        struct s3_target target = server_start(&server);
        struct stopper stopper = {.server = &server};
        struct err err = {0};
        pthread_t thread;
        int64_t start = clock_now();
        assert_int_equal(sync_thread_start(&thread, stop_later, &stopper), 0);
        assert_int_equal(put_now(&target, "a", "audio/wav", "1", 1, &stopper.stop, &err),
                         ERR_CANCELLED);
        assert_string_equal(err.message, "the upload was stopped");
        assert_true(clock_now() - start < 20 * CLOCK_S);
        pthread_join(thread, NULL);
        assert_int_equal(server_stop(&server), 1);
    }
}

static void what_cannot_be_sent_is_not_tried(void **state)
{
    struct server server = {.answers = {OK_ANSWER}};
    struct s3_target target = server_start(&server);
    struct err err = {0};
    char byte = 0;
    (void)state;
    assert_int_equal(put_now(&target, "a", "audio/wav\r\nX-Y: z", &byte, 1, NULL, &err),
                     ERR_INVALID);
    target.secret_key = "";
    assert_int_equal(put(&target, &err), ERR_INVALID);
    assert_string_equal(err.field, "storage.secret_key");
    assert_int_equal(server_stop(&server), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_examples_of_headers),
        cmocka_unit_test(published_example_of_a_url),
        cmocka_unit_test(url_of_an_awkward_key_with_a_token_is_as_botocore_signs_it),
        cmocka_unit_test(keys_are_encoded_byte_by_byte),
        cmocka_unit_test(keys_that_name_no_object_are_refused),
        cmocka_unit_test(bucket_and_region_are_found_in_all_the_usual_endpoints),
        cmocka_unit_test(wrong_target_is_named_without_its_secrets),
        cmocka_unit_test(upload_goes_out_whole_and_signed),
        cmocka_unit_test(what_may_pass_is_tried_again),
        cmocka_unit_test(three_failures_are_the_end),
        cmocka_unit_test(dead_endpoint_is_tried_three_times),
        cmocka_unit_test(refusal_is_final_and_tells_no_secrets),
        cmocka_unit_test(wrong_clock_is_corrected_once),
        cmocka_unit_test(stop_ends_a_stalled_upload_and_a_pause),
        cmocka_unit_test(what_cannot_be_sent_is_not_tried),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
