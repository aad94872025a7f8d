/* Errors, text, paths, files and log lines. JSON and YAML have tests of their own. */
#include "base/base.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void error_message_is_cut_at_a_character(void **state)
{
    struct err err;
    char text[1200];
    (void)state;
    memset(text, 'x', sizeof(text));
    memcpy(text + 1021, "\xc3\xa9\xc3\xa9", 4);
    text[1199] = '\0';
    assert_int_equal(err_set(&err, ERR_TIMEOUT, "f", "%s", text), ERR_TIMEOUT);
    assert_true(utf8_valid(err.message, strlen(err.message), NULL));
    assert_int_equal(strlen(err.message), 1023);
    err_set(&err, ERR_TIMEOUT, NULL, "why");
    err_prefix(&err, "file:%d", 7);
    assert_string_equal(err.message, "file:7: why");
    assert_string_equal(err_word(err.code), "timeout");
    assert_true(err_retryable(ERR_TIMEOUT));
    assert_false(err_retryable(ERR_INVALID));
}

static void formatted_text_grows(void **state)
{
    struct str text = {0};
    (void)state;
    for (int i = 0; i < 300; i++)
        str_printf(&text, "%d,%s", i,
                   i % 7 ? "" : "a longer piece of text that does not fit at once; ");
    assert_int_equal(text.len, strlen(text.data));
    assert_non_null(strstr(text.data, "299,"));
    str_finish(&text);
}

static void utf8_is_strict(void **state)
{
    static const struct {
        const char *bytes;
        size_t bad;
    } wrong[] = {
        {"abcdefgh\x80", 8},     {"\xc0\xaf", 0}, {"\xe0\x80\x80", 0}, {"a\xed\xa0\x80", 1},
        {"\xf4\x90\x80\x80", 0}, {"\xc3", 0},     {"ab\xff", 2},       {"\xf8\x88\x80\x80\x80", 0},
    };
    static const char *const right[] = {
        "", "plain", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x8e\xa4", "\xef\xbf\xbf"};
    (void)state;
    for (size_t i = 0; i < sizeof(right) / sizeof(right[0]); i++)
        assert_true(utf8_valid(right[i], strlen(right[i]), NULL));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        size_t bad = 99;
        assert_false(utf8_valid(wrong[i].bytes, strlen(wrong[i].bytes), &bad));
        assert_int_equal(bad, wrong[i].bad);
    }
    assert_int_equal(utf8_cut("a\xe2\x82\xac", 4, 3), 1);
}

static void suggestion_is_near_or_none(void **state)
{
    static const char *const names[] = {"sessions", "preload", "device", "text", "voice"};
    (void)state;
    assert_string_equal(suggest("sesions", names, 5), "sessions");
    assert_string_equal(suggest("Voice", names, 5), "voice");
    assert_string_equal(suggest("txet", names, 5), "text");
    assert_null(suggest("language", names, 5));
    assert_null(suggest("x", names, 5));
}

static void path_is_made_absolute_and_clean(void **state)
{
    static const char *const cases[][3] = {
        {"/a/b", "c", "/a/b/c"},        {"/a/b", "../c", "/a/c"}, {"/a", "../../../x", "/x"},
        {"/a", "/b//c/./d/", "/b/c/d"}, {"/", "x", "/x"},         {"/a", "..", "/"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *path = fs_absolute(cases[i][0], cases[i][1]);
        assert_string_equal(path, cases[i][2]);
        free(path);
    }
}

static void path_inside_has_no_way_out(void **state)
{
    static const char *const inside[] = {"a.wav", "a/b.wav", "a..b", "...", "\xc3\xa9.wav"};
    static const char *const outside[] = {"",     "/a", "..",  "../a", "a/../b", "a/..",
                                          "a//b", "a/", "./a", "a\nb", "a\x7f"};
    char longest[300];
    (void)state;
    for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++)
        assert_true(fs_path_is_inside(inside[i]));
    for (size_t i = 0; i < sizeof(outside) / sizeof(outside[0]); i++)
        assert_false(fs_path_is_inside(outside[i]));
    memset(longest, 'x', 256);
    longest[256] = '\0';
    assert_false(fs_path_is_inside(longest));
    longest[255] = '\0';
    assert_true(fs_path_is_inside(longest));
}

static void file_functions_name_the_path(void **state)
{
    char dir[] = "/tmp/voxhost-unit-XXXXXX";
    struct err err = {0};
    struct str text = {0};
    char hex[DIGEST_HEX_SIZE], other[DIGEST_HEX_SIZE];
    struct stat info;
    (void)state;
    assert_non_null(mkdtemp(dir));
    char *deep = fs_join(dir, "a/b/c"), *file = fs_join(dir, "a/file"),
         *below = fs_join(dir, "a/file/x");
    assert_int_equal(fs_make_dirs(deep, 0700, &err), 0);
    assert_int_equal(stat(deep, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0700);
    assert_int_equal(fs_write_file(file, "hello", 5, &err), 0);
    assert_int_equal(fs_make_dirs(below, 0700, &err), ERR_STORAGE);
    assert_non_null(strstr(err.message, "a/file"));
    assert_int_equal(fs_read_file(file, 5, &text, &err), 0);
    assert_string_equal(str_text(&text), "hello");
    str_clear(&text);
    assert_int_equal(fs_read_file(file, 4, &text, &err), ERR_INVALID);
    assert_non_null(strstr(err.message, "larger than 4 bytes"));
    assert_int_equal(digest_of_file(file, hex), 0);
    digest_of("hello", 5, other);
    assert_string_equal(hex, other);
    assert_string_equal(hex, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824");
    str_clear(&text);
    assert_int_equal(fs_write_file(file, "\xef\xbb\xbfhi\n", 6, &err), 0);
    assert_int_equal(fs_read_text(file, 6, &text, &err), 0);
    assert_string_equal(str_text(&text), "hi\n");
    assert_int_equal(tree_remove(dir, &err), 0);
    str_finish(&text);
    free(deep);
    free(file);
    free(below);
}

/* What `log` writes for one event, as text. */
static void log_line(struct log log, char *out, size_t size)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    log.fd = ends[1];
    LOG_EVENT(&log, LOG_WARN, "part", "event \"x\"", LOG_TEXT("text", "a\nb"),
              LOG_NUMBER("n", 1.5));
    LOG_EVENT(&log, LOG_DEBUG, "part", "not shown", LOG_NUMBER("n", 1));
    close(ends[1]);
    ssize_t len = read(ends[0], out, size - 1);
    assert_true(len >= 0);
    out[len] = '\0';
    close(ends[0]);
}

static void log_line_is_one_line(void **state)
{
    char line[512];
    struct err err;
    (void)state;
    log_line((struct log){.level = LOG_INFO}, line, sizeof(line));
    assert_string_equal(line, "voxhost: warn: part: event \"x\" (text=a b n=1.5)\n");
    log_line((struct log){.level = LOG_INFO, .json = true}, line, sizeof(line));
    cJSON *json = json_parse(line, strlen(line), &JSON_LIMITS_DEFAULT, &err);
    assert_non_null(json);
    assert_string_equal(json_get(json, "text")->valuestring, "a\nb");
    assert_string_equal(json_get(json, "level")->valuestring, "warn");
    cJSON_Delete(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(error_message_is_cut_at_a_character),
        cmocka_unit_test(formatted_text_grows),
        cmocka_unit_test(utf8_is_strict),
        cmocka_unit_test(suggestion_is_near_or_none),
        cmocka_unit_test(path_is_made_absolute_and_clean),
        cmocka_unit_test(path_inside_has_no_way_out),
        cmocka_unit_test(file_functions_name_the_path),
        cmocka_unit_test(log_line_is_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
