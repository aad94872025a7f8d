/* Options against a schema: types, ranges, defaults, spelling, and text from CSV. */
#include "plugin/plugin.h"
#include "vox/helpers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const methods[] = {"euler", "midpoint", NULL};

#define OPTION(kind, key, default_json, low, high, list)                                   \
    {                                                                                      \
        .size = sizeof(struct vox_option), .type = (kind), .name = (key), .help = "",      \
        .fallback = (default_json), .minimum = (low), .maximum = (high), .choices = (list) \
    }
static const struct vox_option options[] = {
    OPTION(VOX_OPTION_INT, "nfe_step", "32", 1, 256, NULL),
    OPTION(VOX_OPTION_FLOAT, "cfg", "2.5", 0, 10, NULL),
    OPTION(VOX_OPTION_BOOL, "trim", NULL, 0, 0, NULL),
    OPTION(VOX_OPTION_STRING, "prompt", NULL, 0, 0, NULL),
    OPTION(VOX_OPTION_CHOICE, "method", "\"euler\"", 0, 0, methods),
    OPTION(VOX_OPTION_INT, "big", NULL, 0, 0, NULL),
};
enum { NFE, CFG, TRIM, PROMPT, METHOD, BIG };
static const struct option_schema schema = {options, VOX_COUNT(options), sizeof(struct vox_option)};

static int check(const char *given, const char *defaults, bool loose, struct option_set *set,
                 struct err *err)
{
    cJSON *a = given ? json_parse(given, strlen(given), &JSON_LIMITS_DEFAULT, err) : NULL;
    cJSON *b = defaults ? json_parse(defaults, strlen(defaults), &JSON_LIMITS_DEFAULT, err) : NULL;
    int result = options_check(schema, a, b, loose, set, err);
    cJSON_Delete(a);
    cJSON_Delete(b);
    return result;
}

static void job_comes_before_manifest_before_plugin(void **state)
{
    struct option_set set;
    struct err err = {0};
    (void)state;
    assert_int_equal(check("{\"nfe_step\":8,\"trim\":null}",
                           "{\"nfe_step\":16,\"trim\":true,\"cfg\":1}", false, &set, &err),
                     0);
    assert_int_equal(set.values[NFE].integer, 8);
    assert_int_equal(set.values[TRIM].integer, 1);
    assert_true(set.values[CFG].number == 1);
    assert_string_equal(set.values[METHOD].string.data, "euler");
    assert_false(set.values[PROMPT].is_set);
    struct str text = {0};
    option_set_write(schema, &set, &text);
    assert_string_equal(str_text(&text),
                        "{\"nfe_step\":8,\"cfg\":1,\"trim\":true,\"method\":\"euler\"}");
    str_finish(&text);
    option_set_finish(&set);
}

static void wrong_value_names_option_value_and_expectation(void **state)
{
    static const char *const cases[][3] = {
        {"{\"nfe_step\":\"fast\"}", "options.nfe_step", "expected integer 1..256, got \"fast\""},
        {"{\"nfe_step\":\"16\"}", "options.nfe_step", "expected integer 1..256, got \"16\""},
        {"{\"nfe_step\":0}", "options.nfe_step", "got 0"},
        {"{\"nfe_step\":1.5}", "options.nfe_step", "got 1.5"},
        {"{\"cfg\":10.5}", "options.cfg", "expected number 0..10, got 10.5"},
        {"{\"trim\":1}", "options.trim", "expected true or false, got 1"},
        {"{\"prompt\":7}", "options.prompt", "expected string, got integer"},
        {"{\"method\":\"rk4\"}", "options.method", "expected one of euler, midpoint, got \"rk4\""},
        {"{\"big\":9223372036854775808}", "options.big", "expected integer"},
        {"{\"nfe_steps\":8}", "options.nfe_steps", "did you mean \"nfe_step\"?"},
        {"{\"zzz\":8}", "options.zzz", "it has: nfe_step, cfg"},
        {"[1]", "options", "expected an object"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct option_set set;
        struct err err = {0};
        assert_int_equal(check(cases[i][0], NULL, false, &set, &err), ERR_INVALID);
        assert_string_equal(err.field, cases[i][1]);
        if (!strstr(err.message, cases[i][2]))
            fail_msg("%s: %s", cases[i][0], err.message);
    }
}

static void text_from_csv_becomes_what_the_option_wants(void **state)
{
    struct option_set set;
    struct err err = {0};
    (void)state;
    assert_int_equal(check("{\"nfe_step\":\"16\",\"cfg\":\"1e0\",\"trim\":\"false\",\"prompt\":42,"
                           "\"big\":\"9223372036854775807\"}",
                           NULL, true, &set, &err),
                     0);
    assert_int_equal(set.values[NFE].integer, 16);
    assert_true(set.values[CFG].number == 1);
    assert_int_equal(set.values[TRIM].is_set, 1);
    assert_string_equal(set.values[PROMPT].string.data, "42");
    assert_true(set.values[BIG].integer == INT64_MAX);
    option_set_finish(&set);
    assert_int_equal(check("{\"nfe_step\":\"16x\"}", NULL, true, &set, &err), ERR_INVALID);
    assert_int_equal(check("{\"trim\":\"yes\"}", NULL, true, &set, &err), ERR_INVALID);
}

static int32_t no_call(void)
{
    return VOX_EINTERNAL;
}

static void entry_with_a_bad_schema_is_refused_by_name(void **state)
{
    static const struct vox_option twice[] = {OPTION(VOX_OPTION_INT, "a", NULL, 0, 0, NULL),
                                              OPTION(VOX_OPTION_INT, "a", NULL, 0, 0, NULL)};
    static const struct vox_option outside[] = {OPTION(VOX_OPTION_INT, "a", "9", 0, 5, NULL)};
    static const struct vox_option reversed[] = {OPTION(VOX_OPTION_INT, "a", NULL, 5, 1, NULL)};
    static const struct vox_option choiceless[] = {
        OPTION(VOX_OPTION_CHOICE, "a", NULL, 0, 0, NULL)};
    static const struct {
        const struct vox_option *list;
        uint32_t count, size;
        const char *expected;
    } cases[] = {
        {twice, 2, sizeof(struct vox_option), "stands twice"},
        {outside, 1, sizeof(struct vox_option), "default of options.a"},
        {reversed, 1, sizeof(struct vox_option), "minimum over its maximum"},
        {choiceless, 1, sizeof(struct vox_option), "no choices"},
        {NULL, 3, sizeof(struct vox_option), "not in elements"},
        {twice, 1, 8, "not in elements"},
    };
    (void)state;
    struct vox_entry entry = {
        .magic = VOX_MAGIC,
        .abi_major = VOX_ABI_MAJOR,
        .size = sizeof(entry),
        .id = "x",
        .version = "1",
        .init = (int32_t(*)(const struct vox_host *, const struct vox_load *, struct vox_model **,
                            struct vox_error *))(void (*)(void))no_call,
        .fini = (void (*)(struct vox_model *))(void (*)(void))no_call,
        .open = (int32_t(*)(struct vox_model *, struct vox_session **, struct vox_error *))(
            void (*)(void))no_call,
        .close = (void (*)(struct vox_session *))(void (*)(void))no_call,
        .speak = (int32_t(*)(struct vox_session *, const struct vox_job *, struct vox_error *))(
            void (*)(void))no_call,
    };
    struct err err = {0};
    assert_int_equal(plugin_entry_check(&entry, &err), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        entry.job_options = cases[i].list;
        entry.job_option_count = cases[i].count;
        entry.job_option_size = cases[i].size;
        assert_int_equal(plugin_entry_check(&entry, &err), ERR_MODEL_FAILED);
        if (!strstr(err.message, cases[i].expected))
            fail_msg("%zu: %s", i, err.message);
    }
}

static void plugin_text_is_one_line_of_utf8(void **state)
{
    struct str text = {0};
    struct err err = {0};
    struct vox_error error = {.size = sizeof(error)};
    (void)state;
    plugin_text("a\nb\tc\xff\xfe", 7, &text);
    assert_string_equal(str_text(&text), "a b c");
    memset(error.message, 'x', sizeof(error.message)); /* without an end */
    assert_int_equal(plugin_failure(&err, "p", "speak", VOX_EINVAL, &error), ERR_INVALID);
    assert_int_equal(strlen(err.message), sizeof(error.message) + 3);
    error.message[0] = '\0';
    assert_int_equal(plugin_failure(&err, "p", "speak", 42, &error), ERR_INTERNAL);
    assert_string_equal(err.message, "p: speak returned the unknown code 42");
    str_finish(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(job_comes_before_manifest_before_plugin),
        cmocka_unit_test(wrong_value_names_option_value_and_expectation),
        cmocka_unit_test(text_from_csv_becomes_what_the_option_wants),
        cmocka_unit_test(entry_with_a_bad_schema_is_refused_by_name),
        cmocka_unit_test(plugin_text_is_one_line_of_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
