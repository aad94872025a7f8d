/* The section `storage`: where its values come from when nothing, something or too much is set, and templates of keys. */
#include "manifest_helper.h"

#define SET(...) ((const char *const[]){__VA_ARGS__, NULL})

static const struct manifest_storage *
parse_storage(const char *section, const char *const *environment, struct manifest **m)
{
    char *text = str_format(MODEL "%s", section);
    *m = parse_with(text, environment, NULL, 0);
    free(text);
    return &(*m)->storage;
}

static void assert_text(const char *actual, const char *expected)
{
    if (!expected)
        assert_null(actual);
    else if (!actual)
        fail_msg("NULL, expected %s", expected);
    else
        assert_string_equal(actual, expected);
}

/* A row says what a section and an environment give. */
static void one_family_of_variables_is_used(void **state)
{
    const struct {
        const char *section;
        const char *const *environment;
        int type;
        const char *endpoint, *bucket, *region, *access_key, *secret_key, *token, *url;
    } cases[] = {
        {"", NULL, STORAGE_NONE, NULL, NULL, NULL, NULL, NULL, NULL, NULL},
        /* What AWS's tools have on many machines is not for us until a bucket says so. */
        {"",
         SET("AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=s", "AWS_REGION=eu-west-1",
             "AWS_ENDPOINT_URL=http://a"),
         STORAGE_NONE, NULL, NULL, NULL, NULL, NULL, NULL, NULL},
        {"",
         SET("S3_BUCKET=b", "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=s", "AWS_SESSION_TOKEN=t",
             "AWS_REGION=eu-west-1"),
         STORAGE_S3, "https://s3.eu-west-1.amazonaws.com", "b", "eu-west-1", "a", "s", "t", NULL},
        /* FM-23: Backblaze keys with AWS's names need the endpoint. */
        {"",
         SET("S3_BUCKET=b", "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=s",
             "AWS_DEFAULT_REGION=us-west-001",
             "AWS_ENDPOINT_URL=https://s3.us-west-001.backblazeb2.com"),
         STORAGE_S3, "https://s3.us-west-001.backblazeb2.com", "b", "us-west-001", "a", "s", NULL,
         NULL},
        {"", SET("S3_BUCKET_NAME=b", "AWS_REGION=cn-north-1", "AWS_DEFAULT_REGION=no"), STORAGE_S3,
         "https://s3.cn-north-1.amazonaws.com.cn", "b", "cn-north-1", NULL, NULL, NULL, NULL},
        {"",
         SET("R2_ACCOUNT_ID=0a1b", "R2_BUCKET_NAME=b", "R2_ACCESS_KEY_ID=a",
             "R2_SECRET_ACCESS_KEY=s", "R2_PUBLIC_URL=https://cdn.example"),
         STORAGE_S3, "https://0a1b.r2.cloudflarestorage.com", "b", NULL, "a", "s", NULL,
         "https://cdn.example"},
        {"",
         SET("R2_ENDPOINT=https://x.example", "R2_BUCKET=b", "R2_ACCESS_KEY_ID=a",
             "R2_SECRET_ACCESS_KEY=s", "NEXT_PUBLIC_R2_PUBLIC_URL=https://cdn.example"),
         STORAGE_S3, "https://x.example", "b", NULL, "a", "s", NULL, "https://cdn.example"},
        /* RunPod's names come first; nothing of the others completes them. */
        {"",
         SET("BUCKET_ENDPOINT_URL=https://b.example/b", "BUCKET_ACCESS_KEY_ID=a",
             "AWS_SECRET_ACCESS_KEY=no", "AWS_SESSION_TOKEN=no", "R2_BUCKET=no", "S3_BUCKET=no",
             "AWS_REGION=no", "R2_PUBLIC_URL=https://no"),
         STORAGE_S3, "https://b.example/b", NULL, NULL, "a", NULL, NULL, NULL},
        /* The manifest names the place, the environment has the keys. */
        {"storage: {bucket: mine, endpoint: 'http://minio:9000'}\n",
         SET("AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=s", "S3_BUCKET=no"), STORAGE_S3,
         "http://minio:9000", "mine", NULL, "a", "s", NULL, NULL},
        /* The manifest's keys are not completed by a token of somebody else. */
        {"storage: {endpoint: 'http://minio:9000', bucket: mine, access_key: m, secret_key: n}\n",
         SET("AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=s", "AWS_SESSION_TOKEN=no",
             "AWS_REGION=no"),
         STORAGE_S3, "http://minio:9000", "mine", NULL, "m", "n", NULL, NULL},
        {"storage: {type: none}\n",
         SET("S3_BUCKET=b", "AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=s"), STORAGE_NONE, NULL,
         NULL, NULL, NULL, NULL, NULL, NULL},
        /* FM-68: the bucket is what is configured, never a name of ours. */
        {"storage: {bucket: first}\n", SET("S3_BUCKET=b"), STORAGE_S3,
         "https://s3.us-east-1.amazonaws.com", "first", NULL, NULL, NULL, NULL, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct manifest *m;
        const struct manifest_storage *s =
            parse_storage(cases[i].section, cases[i].environment, &m);
        assert_int_equal(s->type, cases[i].type);
        assert_text(s->endpoint, cases[i].endpoint);
        assert_text(s->bucket, cases[i].bucket);
        assert_text(s->region, cases[i].region);
        assert_text(s->access_key, cases[i].access_key);
        assert_text(s->secret_key, cases[i].secret_key);
        assert_text(s->session_token, cases[i].token);
        assert_text(s->public_base_url, cases[i].url);
        manifest_destroy(m);
    }
}

static void a_directory_is_storage_too(void **state)
{
    struct manifest *m;
    struct str shown = {0};
    (void)state;
    const struct manifest_storage *s = parse_storage(
        "storage: {dir: out, voices_prefix: v, credentials_file: keys}\n", SET("S3_BUCKET=b"), &m);
    assert_int_equal(s->type, STORAGE_FILE);
    assert_text(s->dir, "/base/out");
    assert_text(s->voices_prefix, "v/");
    assert_text(s->credentials_file, "/base/keys");
    assert_null(s->endpoint);
    manifest_print(m, false, &shown);
    assert_null(strstr(str_text(&shown), "S3_BUCKET"));
    str_finish(&shown);
    manifest_destroy(m);
}

static void config_shows_the_variable_that_gave_a_value(void **state)
{
    struct manifest *m;
    struct str shown = {0};
    (void)state;
    parse_storage("", SET("R2_BUCKET_NAME=b", "R2_ACCESS_KEY_ID=sesame", "R2_ACCOUNT_ID=0a"), &m);
    manifest_print(m, false, &shown);
    assert_non_null(
        strstr(str_text(&shown), "  bucket: b  # from environment variable R2_BUCKET_NAME\n"));
    assert_non_null(strstr(
        str_text(&shown), "  access_key: \"***\"  # from environment variable R2_ACCESS_KEY_ID\n"));
    assert_null(strstr(str_text(&shown), "sesame"));
    str_clear(&shown);
    manifest_print(m, true, &shown);
    assert_non_null(strstr(str_text(&shown), "\"variable\":\"R2_BUCKET_NAME\""));
    str_finish(&shown);
    manifest_destroy(m);
}

/* FM-36: a setting that does nothing is an error, not silence. */
static void what_is_wrong_is_said_with_its_place(void **state)
{
    static const struct {
        const char *section, *says;
    } cases[] = {
        {"storage: {type: file}", "storage.dir: missing"},
        {"storage: {type: s3}", "storage.bucket: missing"},
        {"storage: {type: ftp}", "storage.type: expected one of none, file, s3"},
        {"storage: {dir: a, bucket: b}", "storage.type: missing"},
        {"storage: {model_cache: true}", "storage.model_cache: unknown key"},
        {"storage:\n  bucket: b\n  key_template: '{jobid}/x'\n",
         "m.yaml:7:3: storage.key_template: knows no {jobid}, did you mean {job_id}? (known: "
         "{job_id}, {user_id}, {story_id}, {voice}, {language}, {model_type}, {date}, {ext}, "
         "{random})"},
        {"storage: {bucket: b, voices_prefix: ../x}", "storage.voices_prefix: expected a relative"},
        {"storage: {bucket: b, keep_days: 0.5}", "storage.keep_days: works with `type: file` only"},
        {"storage: {bucket: b, keep_mb: 1}", "storage.keep_mb: works with `type: file` only"},
        {"storage: {bucket: b, public_base_url: cdn.example}",
         "storage.public_base_url: expected a URL"},
        {"storage: {bucket: b, public_base_url: 'https://cdn.example/?a'}",
         "storage.public_base_url"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct manifest_input input = input_of(NULL);
        struct manifest *m = NULL;
        struct str report = {0};
        char *text = str_format(MODEL "%s\n", cases[i].section);
        assert_int_equal(manifest_parse(text, strlen(text), "m.yaml", "/base", &input, &m, &report),
                         ERR_INVALID);
        if (!strstr(str_text(&report), cases[i].says))
            fail_msg("\"%s\" does not say \"%s\"", str_text(&report), cases[i].says);
        str_finish(&report);
        free(text);
    }
}

static void templates_are_checked(void **state)
{
    static const char *const good[] = {"{job_id}.{ext}",
                                       "a/{date}/{user_id}-{story_id}/{voice}.wav", "x",
                                       "{random}/{language}/{model_type}", "\xc3\xa4/{ext}"};
    static const char *const bad[] = {"",        "/{job_id}",  "../{job_id}", "a/../{job_id}",
                                      "a//b",    "a/./b",      "{job_id}/",   "{JOB_ID}",
                                      "{}",      "{job_id",    "job_id}",     "{{job_id}}",
                                      "a{b{c}}", "a\n{job_id}"};
    struct err err;
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        if (manifest_key_template_check(good[i], &err) != 0)
            fail_msg("%s: %s", good[i], err.message);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (manifest_key_template_check(bad[i], &err) != ERR_INVALID)
            fail_msg("accepted: %s", bad[i]);
        assert_string_equal(err.field, "storage.key_template");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_family_of_variables_is_used),
        cmocka_unit_test(a_directory_is_storage_too),
        cmocka_unit_test(config_shows_the_variable_that_gave_a_value),
        cmocka_unit_test(what_is_wrong_is_said_with_its_place),
        cmocka_unit_test(templates_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
