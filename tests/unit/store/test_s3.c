/* Objects in S3-compatible storage: signatures against the published examples, and addresses. */
#include "s3_example.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MAY_24_2013 INT64_C(1369353600)

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

static int check_target(const struct s3_target *target, struct err *err)
{
    struct s3_place place;
    int result = s3_place_find(target, "x", &place, err);
    s3_place_finish(&place);
    return result;
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
    assert_int_equal(check_target(&target, &err), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        target = example_target();
        memcpy((char *)&target + cases[i].offset, &cases[i].value, sizeof(cases[i].value));
        if (check_target(&target, &err) != ERR_INVALID)
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
        assert_int_equal(check_target(&target, &err), ERR_INVALID);
        assert_string_equal(err.field, "storage.presign_ttl_s");
    }
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
