/* Names of objects, the little XML of S3, credentials files: what needs no server. */
#include "store/store_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define JAN_31_2026 INT64_C(1769860800)

static char *key_of(const char *template, const char *const values[KEY_FIELD_COUNT])
{
    struct str key = {0};
    struct err err = {0};
    if (storage_key(NULL, template, values, JAN_31_2026, &key, &err) != 0)
        fail_msg("%s: %s", template, err.message);
    return str_take(&key);
}

/* FM-82: language, user and the rest stand in the path as the job says. */
static void fm_82_a_template_is_filled_from_the_job(void **state)
{
    static const char *const values[KEY_FIELD_COUNT] = {
        [KEY_FIELD_JOB_ID] = "job-1", [KEY_FIELD_USER_ID] = "u7",
        [KEY_FIELD_STORY_ID] = "s9",  [KEY_FIELD_VOICE] = "Zo\xc3\xab",
        [KEY_FIELD_LANGUAGE] = "de",  [KEY_FIELD_MODEL_TYPE] = "f5tts",
        [KEY_FIELD_EXT] = "mp3"};
    static const char *const nothing[KEY_FIELD_COUNT] = {[KEY_FIELD_USER_ID] = ""};
    (void)state;
    char *key = key_of(
        "private/users/{user_id}/stories/audio/{language}/{story_id}/{voice}_{date}_{job_id}.{ext}",
        values);
    assert_string_equal(key,
                        "private/users/u7/stories/audio/de/s9/Zo\xc3\xab_2026-01-31_job-1.mp3");
    free(key);
    key = key_of("{model_type}/{job_id}/{user_id}.{ext}", nothing);
    assert_string_equal(key, "none/none/none.none");
    free(key);
}

/* --- {random} */

static void random_of(const struct storage *storage, const char *job_id, char out[64])
{
    const char *const values[KEY_FIELD_COUNT] = {[KEY_FIELD_JOB_ID] = job_id};
    struct str key = {0};
    struct err err = {0};
    if (storage_key(storage, "{random}", values, JAN_31_2026, &key, &err) != 0)
        fail_msg("%s", err.message);
    assert_int_equal(key.len, 32);
    assert_int_equal(strspn(key.data, "0123456789abcdef"), 32);
    memcpy(out, key.data, key.len + 1);
    str_finish(&key);
}

static struct storage *bucket_with(const char *name, const char *secret_key)
{
    struct storage *storage = NULL;
    struct err err = {0};
    const struct s3_target target = {.endpoint = "http://127.0.0.1:1",
                                     .bucket = name,
                                     .access_key = "key",
                                     .secret_key = secret_key,
                                     .path_style = true,
                                     .presign_ttl_s = 3600};
    assert_int_equal(storage_open_s3(&target, &storage, &err), 0);
    return storage;
}

static struct storage *directory_at(char *path)
{
    struct storage *storage = NULL;
    struct err err = {0};
    const struct manifest_storage manifest = {.type = STORAGE_FILE, .dir = path};
    if (storage_open(&manifest, &storage, &err) != 0)
        fail_msg("%s", err.message);
    return storage;
}

static void without_a_secret_random_is_another_each_time(void **state)
{
    char one[64], two[64];
    struct storage *bucket = bucket_with("bench", "secret");
    (void)state;
    random_of(NULL, "job-1", one);
    random_of(NULL, "job-1", two);
    assert_string_not_equal(one, two);
    random_of(bucket, "", one);
    random_of(bucket, NULL, two);
    assert_string_not_equal(one, two);
    storage_close(bucket);
}

/* Written down, since results of years ago are found by it. By hand: HMAC-SHA256 with the key
 * HMAC-SHA256("secret", "voxhost: names of objects") of "job-1". */
static void random_follows_from_the_job_and_the_secret_key(void **state)
{
    char one[64], two[64];
    struct storage *bucket = bucket_with("bench", "secret"), *same = bucket_with("b-2", "secret"),
                   *other = bucket_with("bench", "secreT");
    (void)state;
    random_of(bucket, "job-1", one);
    assert_string_equal(one, "503bddbb5bf171cd7d306189b4c37139");
    random_of(same, "job-1", two);
    assert_string_equal(one, two);
    random_of(other, "job-1", two);
    assert_string_not_equal(one, two);
    random_of(bucket, "job-2", two);
    assert_string_not_equal(one, two);
    storage_close(bucket);
    storage_close(same);
    storage_close(other);
}

static int count_object(const struct storage_object *object, void *arg)
{
    (void)object;
    ++*(int *)arg;
    return 0;
}

static void a_directory_keeps_its_secret_in_a_hidden_file(void **state)
{
    char dir[] = "/tmp/test_storage_XXXXXX", one[64], two[64];
    struct err err = {0};
    struct str text = {0}, key = {0};
    struct stat info;
    int count = 0;
    const char *const values[KEY_FIELD_COUNT] = {[KEY_FIELD_JOB_ID] = "job-1"};
    (void)state;
    assert_non_null(mkdtemp(dir));
    char *salt = fs_join(dir, ".voxhost-salt");
    struct storage *storage = directory_at(dir);
    assert_int_not_equal(access(salt, F_OK), 0); /* nothing is made that nobody asked for */
    random_of(storage, "job-1", one);
    random_of(storage, "job-2", two);
    assert_string_not_equal(one, two);
    assert_int_equal(stat(salt, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(storage_list(storage, "", NULL, count_object, &count, &err), 0);
    assert_int_equal(count, 0);
    assert_int_equal(storage_read(storage, ".voxhost-salt", 1000, NULL, &text, &err), ERR_INVALID);
    assert_int_equal(storage_delete(storage, ".voxhost-salt", NULL, &err), ERR_INVALID);
    assert_int_equal(storage_delete(storage, ".VoxHost-salt", NULL, &err), ERR_INVALID);
    storage_close(storage);
    storage = directory_at(dir); /* another process, or this one tomorrow */
    random_of(storage, "job-1", two);
    assert_string_equal(one, two);
    assert_int_equal(fs_write_file(salt, "0123", 4, &err), 0);
    assert_int_equal(storage_key(storage, "{random}", values, JAN_31_2026, &key, &err),
                     ERR_STORAGE);
    assert_non_null(strstr(err.message, ".voxhost-salt: expected 64 digits"));
    assert_int_equal(storage_key(storage, "{job_id}", values, JAN_31_2026, &key, &err), 0);
    storage_close(storage);
    const struct manifest_storage manifest = {
        .type = STORAGE_FILE, .dir = dir, .key_template = (char[]){"{random}"}};
    assert_int_equal(storage_open(&manifest, &storage, &err), ERR_STORAGE); /* no job is needed */
    assert_null(storage);
    assert_int_equal(unlink(salt), 0);
    assert_int_equal(storage_open(&manifest, &storage, &err), 0);
    random_of(storage, "job-1", two);
    assert_string_not_equal(one, two);
    storage_close(storage);
    assert_int_equal(unlink(salt), 0);
    assert_int_equal(rmdir(dir), 0); /* nothing else was left in it */
    str_finish(&key);
    str_finish(&text);
    free(salt);
}

static void processes_that_come_at_once_share_one_secret(void **state)
{
    enum { COUNT = 12 };
    char dir[] = "/tmp/test_storage_XXXXXX", texts[COUNT][33] = {""};
    int pipes[COUNT][2], go[2], status;
    (void)state;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(pipe(go), 0);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(pipe(pipes[i]), 0);
        if (fork() == 0) {
            char text[64], byte;
            struct storage *storage = directory_at(dir);
            close(go[1]);
            if (read(go[0], &byte, 1) != 0) /* until all are let go */
                _exit(1);
            random_of(storage, "job-1", text);
            storage_close(storage);
            _exit(write(pipes[i][1], text, 32) == 32 ? 0 : 1);
        }
    }
    close(go[0]);
    close(go[1]);
    for (int i = 0; i < COUNT; i++) {
        close(pipes[i][1]);
        assert_int_equal(read(pipes[i][0], texts[i], 32), 32);
        assert_string_equal(texts[i], texts[0]);
        close(pipes[i][0]);
        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    char *salt = fs_join(dir, ".voxhost-salt");
    assert_int_equal(unlink(salt), 0);
    assert_int_equal(rmdir(dir), 0);
    free(salt);
}

static void an_object_that_cannot_be_opened_is_not_missing(void **state)
{
    char dir[] = "/tmp/test_storage_XXXXXX";
    struct storage_object object;
    struct rlimit limit;
    struct err err = {0};
    (void)state;
    assert_non_null(mkdtemp(dir));
    char *path = fs_join(dir, "a");
    struct storage *storage = directory_at(dir);
    assert_int_equal(fs_write_file(path, "x", 1, &err), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    const struct rlimit none = {0, limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int deleted = storage_delete(storage, "a", NULL, &err);
    int asked = storage_head(storage, "a", NULL, &object, &err);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(deleted, ERR_STORAGE);
    assert_int_equal(asked, ERR_STORAGE);
    assert_non_null(strstr(err.message, "/a: cannot be read: "));
    assert_int_equal(storage_delete(storage, "a", NULL, &err), 0);
    assert_int_not_equal(access(path, F_OK), 0);
    storage_close(storage);
    assert_int_equal(rmdir(dir), 0);
    free(path);
}

/* FM-53: no value of a job leads out of what the template begins with. */
static void fm_53_no_value_escapes_its_prefix(void **state)
{
    char longest[10001];
    const char *const hostile[] = {
        "..",       ".",       "../../etc/passwd", "a/b", "/",        "a\nb", "\x01",
        "\xff\xfe", "a\\b",    "%2e%2e",           "a b", "{job_id}", "?x#y", "a\x7f",
        longest,    ".hidden", "..\xc3\xa4"};
    struct text_list keys = {0};
    (void)state;
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
        const char *values[KEY_FIELD_COUNT] = {
            [KEY_FIELD_USER_ID] = hostile[i], [KEY_FIELD_JOB_ID] = "j"};
        char *key = key_of("users/{user_id}/{job_id}", values);
        assert_true(fs_path_is_inside(key));
        assert_memory_equal(key, "users/", 6);
        assert_string_equal(strrchr(key, '/'), "/j");
        assert_null(memchr(key + 6, '/', strlen(key) - 8)); /* one name, whatever it was */
        assert_true(strlen(key) < 150);
        for (size_t k = 0; k < keys.count; k++)
            assert_string_not_equal(key, keys.items[k]);
        text_list_add(&keys, key);
    }
    text_list_finish(&keys);
}

static void two_names_never_become_one(void **state)
{
    const char *one[KEY_FIELD_COUNT] = {[KEY_FIELD_JOB_ID] = "a/b"};
    const char *two[KEY_FIELD_COUNT] = {[KEY_FIELD_JOB_ID] = "a_b"};
    const char *three[KEY_FIELD_COUNT] = {[KEY_FIELD_JOB_ID] = "a b"};
    (void)state;
    char *first = key_of("{job_id}", one), *second = key_of("{job_id}", two),
         *third = key_of("{job_id}", three);
    assert_string_equal(second, "a_b");
    assert_string_not_equal(first, second);
    assert_string_not_equal(first, third);
    free(first);
    free(second);
    free(third);
}

static void a_key_that_grows_too_long_is_refused(void **state)
{
    char value[101];
    struct str key = {0}, template = {0};
    struct err err = {0};
    (void)state;
    memset(value, 'v', 100);
    value[100] = '\0';
    const char *values[KEY_FIELD_COUNT] = {[KEY_FIELD_VOICE] = value};
    for (int i = 0; i < 11; i++)
        str_puts(&template, i ? "/{voice}" : "{voice}");
    assert_int_equal(manifest_key_template_check(template.data, &err), 0);
    assert_int_equal(storage_key(NULL, template.data, values, JAN_31_2026, &key, &err),
                     ERR_INVALID);
    assert_string_equal(err.field, "storage.key_template");
    assert_string_equal(err.message, "gives a name of 1110 bytes for this job, at most 1024 are "
                                     "possible, 255 of them between two '/'");
    assert_int_equal(key.len, 0);
    assert_int_equal(storage_key(NULL, "a/{voice}{voice}{voice}", values, JAN_31_2026, &key, &err),
                     ERR_INVALID);
    assert_string_equal(err.message, "gives a name of 302 bytes for this job, at most 1024 are "
                                     "possible, 255 of them between two '/'");
    str_finish(&key);
    str_finish(&template);
}

/* FM-32 */
static void content_types_go_by_the_ending(void **state)
{
    (void)state;
    assert_string_equal(storage_content_type("a/b.WAV"), "audio/wav");
    assert_string_equal(storage_content_type("srt"), "application/x-subrip");
    assert_string_equal(storage_content_type("x.mp3/y"), "application/octet-stream");
    assert_string_equal(storage_content_type(""), "application/octet-stream");
    assert_string_equal(storage_content_type("a.json"), "application/json");
}

static void xml_texts_are_decoded(void **state)
{
    static const struct {
        const char *xml, *text;
    } cases[] = {
        {"<K>a&amp;b&lt;&gt;&quot;&apos;</K>", "a&b<>\"'"},
        {"<K>&#65;&#x41;&#xe4;&#x1F3B5;</K>", "AA\xc3\xa4\xf0\x9f\x8e\xb5"},
        {"<K>&unknown;&#;&#x110000;&#99999999;&#0;&</K>", "&unknown;&#;&#x110000;&#99999999;&#0;&"},
        {"<K></K>", ""},
        {"<K>unended", NULL},
        {"<L>a</L>", NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct str out = {0};
        const char *after = s3_xml_text(cases[i].xml, NULL, "K", &out);
        assert_int_equal(after != NULL, cases[i].text != NULL);
        assert_string_equal(str_text(&out), cases[i].text ? cases[i].text : "");
        str_finish(&out);
    }
    struct str out = {0};
    const char *xml = "<A></A><K>x</K>";
    assert_null(s3_xml_text(xml, xml + 7, "K", &out));
    s3_xml_escape(&out, "\"a&<b>\"");
    assert_string_equal(out.data, "\"a&amp;&lt;b&gt;\"");
    str_finish(&out);
}

/* --- Metadata */

#define EXPECTED_NAMES "(expected names of letters, digits, \"-\", \"_\" and \".\")"

/* FM-81: what cannot be kept takes nothing else with it, and is named. */
static void fm_81_only_metadata_that_cannot_be_kept_is_left_out(void **state)
{
    static const struct {
        const char *json, *kept, *warning;
    } cases[] = {
        {"{\"a\":1,\"none\":null}", "{\"a\":1,\"none\":null}", NULL},
        {"{}", "{}", NULL},
        {"{\"a b\":1,\"job_id\":\"j\"}", "{\"job_id\":\"j\"}", "\"a b\" " EXPECTED_NAMES},
        {"{\"x\":1,\"\":2,\"y\":3,\"\\n\":4}", "{\"x\":1,\"y\":3}",
         "\"\\n\" " EXPECTED_NAMES ", \"\" " EXPECTED_NAMES},
        {"{\"User\":\"theirs\",\"user\":\"ours\"}", "{\"user\":\"ours\"}",
         "\"User\" (expected at most 64 names that differ in more than capitals)"},
    };
    struct storage *bucket = bucket_with("bench", "secret");
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct str kept = {0};
        cJSON *metadata = cJSON_Parse(cases[i].json);
        char *warning = storage_fit_metadata(bucket, metadata);
        json_write(&kept, metadata);
        assert_string_equal(str_text(&kept), cases[i].kept);
        assert_int_equal(warning != NULL, cases[i].warning != NULL);
        if (warning)
            assert_string_equal(warning + strlen("metadata is not kept in the storage: "),
                                cases[i].warning);
        assert_null(storage_fit_metadata(bucket, metadata)); /* it fits now */
        str_finish(&kept);
        free(warning);
        cJSON_Delete(metadata);
    }
    assert_null(storage_fit_metadata(bucket, NULL));
    storage_close(bucket);
}

/* FM-81 */
static void fm_81_metadata_that_has_no_room_gives_way_to_what_comes_last(void **state)
{
    struct storage *bucket = bucket_with("bench", "secret");
    char text[STORAGE_METADATA_BYTES_MAX + 1] = {0}, name[16];
    cJSON *metadata = cJSON_CreateObject();
    (void)state;
    memset(text, 'x', STORAGE_METADATA_BYTES_MAX);
    cJSON_AddStringToObject(metadata, "long", text);
    cJSON_AddStringToObject(metadata, "job_id", "j");
    char *warning = storage_fit_metadata(bucket, metadata);
    assert_string_equal(warning, "metadata is not kept in the storage: \"long\" (expected at most "
                                 "2048 bytes)");
    assert_int_equal(cJSON_GetArraySize(metadata), 1);
    assert_string_equal(metadata->child->string, "job_id");
    free(warning);
    for (int i = 0; i < STORAGE_METADATA_MAX + 20; i++) {
        snprintf(name, sizeof(name), "m%d", i);
        cJSON_AddNumberToObject(metadata, name, i);
    }
    cJSON_AddStringToObject(metadata, "user_id", "u");
    warning = storage_fit_metadata(bucket, metadata);
    assert_int_equal(cJSON_GetArraySize(metadata), STORAGE_METADATA_MAX);
    assert_non_null(json_get(metadata, "user_id"));
    assert_non_null(strstr(warning, "\"m20\" (expected at most 64 names"));
    assert_non_null(strstr(warning, " and 12 more"));
    free(warning);
    cJSON_Delete(metadata);
    storage_close(bucket);
}

/* A directory that is none, and no half-made storage. */
static void what_cannot_be_opened_is_nothing(void **state)
{
    struct manifest_storage manifest = {.type = STORAGE_FILE, .dir = (char *)"/proc/nothing"};
    struct storage *storage = (struct storage *)&manifest;
    struct err err = {0};
    (void)state;
    assert_int_equal(storage_open(&manifest, &storage, &err), ERR_STORAGE);
    assert_null(storage);
    manifest = (struct manifest_storage){.type = STORAGE_NONE};
    assert_int_equal(storage_open(&manifest, &storage, &err), 0);
    assert_null(storage);
    storage_close(storage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fm_82_a_template_is_filled_from_the_job),
        cmocka_unit_test(without_a_secret_random_is_another_each_time),
        cmocka_unit_test(random_follows_from_the_job_and_the_secret_key),
        cmocka_unit_test(a_directory_keeps_its_secret_in_a_hidden_file),
        cmocka_unit_test(processes_that_come_at_once_share_one_secret),
        cmocka_unit_test(an_object_that_cannot_be_opened_is_not_missing),
        cmocka_unit_test(fm_53_no_value_escapes_its_prefix),
        cmocka_unit_test(two_names_never_become_one),
        cmocka_unit_test(a_key_that_grows_too_long_is_refused),
        cmocka_unit_test(content_types_go_by_the_ending),
        cmocka_unit_test(xml_texts_are_decoded),
        cmocka_unit_test(fm_81_only_metadata_that_cannot_be_kept_is_left_out),
        cmocka_unit_test(fm_81_metadata_that_has_no_room_gives_way_to_what_comes_last),
        cmocka_unit_test(what_cannot_be_opened_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
