/* Strict JSON in, and JSON out: what is taken, what is refused and in which words, what is kept. */
#include "base/json.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <float.h>
#include <limits.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Of an exact-size copy, so that a sanitizer sees every byte read past the end. */
static cJSON *parse_bytes(const char *text, size_t len, const struct json_limits *limits,
                          struct err *err)
{
    char *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, text, len);
    cJSON *json = json_parse(copy, len, limits, err);
    free(copy);
    return json;
}

static cJSON *parse(const char *text)
{
    struct err err = {0};
    cJSON *json = parse_bytes(text, strlen(text), &JSON_LIMITS_DEFAULT, &err);
    if (!json)
        fail_msg("%s: %s", text, err.message);
    return json;
}

static void assert_refused_bytes(const char *text, size_t len, const char *message)
{
    struct err err = {0};
    cJSON *json = parse_bytes(text, len, &JSON_LIMITS_DEFAULT, &err);
    if (json)
        fail_msg("taken: %s", text);
    assert_int_equal(err.code, ERR_INVALID);
    if (message)
        assert_string_equal(err.message, message);
    else
        assert_true(err.message[0] != '\0');
}

static void assert_refused(const char *text, const char *message)
{
    assert_refused_bytes(text, strlen(text), message);
}

static void assert_written(const char *text, const char *expected)
{
    struct str out = {0};
    cJSON *json = parse(text);
    json_write(&out, json);
    assert_string_equal(str_text(&out), expected);
    str_finish(&out);
    cJSON_Delete(json);
}

/* --- The grammar ----------------------------------------------------------------------------------- */

/* In categories of the usual JSON parsing suites: structure, strings, numbers, white space. */
static const struct {
    const char *text, *written;
} accepted[] = {
    {"null", "null"},
    {"true", "true"},
    {"false", "false"},
    {"\"\"", "\"\""},
    {"[]", "[]"},
    {"{}", "{}"},
    {" \t\r\n[ \t\r\n] \t\r\n", "[]"},
    {"[null,true,false]", "[null,true,false]"},
    {"[[],[[]],{}]", "[[],[[]],{}]"},
    {"[[]   ]", "[[]]"},
    {"{\"a\" : 1 , \"b\" : [ 2 ]}", "{\"a\":1,\"b\":[2]}"},
    {"{\"\":0}", "{\"\":0}"},
    {"{\"a\":{\"a\":{\"a\":1}}}", "{\"a\":{\"a\":{\"a\":1}}}"},
    {"{\"a\":1,\"A\":2}", "{\"a\":1,\"A\":2}"},
    {"{\"__proto__\":[]}", "{\"__proto__\":[]}"},
    {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t\""},
    {"\"\\u0041\\u00e9\\u20AC\\ud834\\uDD1E\"", "\"A\xc3\xa9\xe2\x82\xac\xf0\x9d\x84\x9e\""},
    {"\"\\u0001\\u001f\\u007f\"", "\"\\u0001\\u001f\x7f\""},
    {"\"\\u005C\\u0022\"", "\"\\\\\\\"\""},
    {"\"\\uFFFE\\uffff\\udbff\\udfff\"", "\"\xef\xbf\xbe\xef\xbf\xbf\xf4\x8f\xbf\xbf\""},
    {"\"\xe2\x80\xa8 \xe2\x80\xa9 \xef\xbb\xbf \x7f\"",
     "\"\xe2\x80\xa8 \xe2\x80\xa9 \xef\xbb\xbf \x7f\""},
    {"\"a/*b*/c//d#e\"", "\"a/*b*/c//d#e\""},
    {"\"\\\\u0000\"", "\"\\\\u0000\""},
    {"\"\xd0\xbf\xd1\x80\xd0\xb8\"", "\"\xd0\xbf\xd1\x80\xd0\xb8\""},
    {"0", "0"},
    {"-0", "-0"},
    {"-0.0", "-0.0"},
    {"1", "1"},
    {"-1", "-1"},
    {"0e1", "0e1"},
    {"0e+1", "0e+1"},
    {"1E2", "1E2"},
    {"1E+2", "1E+2"},
    {"1e-2", "1e-2"},
    {"1.5e+00", "1.5e+00"},
    {"123.456789", "123.456789"},
    {"9007199254740993", "9007199254740993"},
    {"18446744073709551616", "18446744073709551616"},
    {"0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"},
    {"1.7976931348623157e308", "1.7976931348623157e308"},
    {"5e-324", "5e-324"},
    {"1e-99999", "1e-99999"},
    {"0e99999", "0e99999"},
    {"[1\n]", "[1]"},
    {"[1,null,null,2]", "[1,null,null,2]"},
};

static const struct {
    const char *text, *message; /* message NULL: refusing is enough */
} refused[] = {
    {"", "byte 1: expected a value, got the end of the text"},
    {"   ", "byte 4: expected a value, got the end of the text"},
    {"[", "byte 2: expected a value, got the end of the text"},
    {"]", "byte 1: expected a value, got ']'"},
    {"[1", "byte 3: expected ',' or ']' after an item, got the end of the text"},
    {"[1,", "byte 4: expected a value, got the end of the text"},
    {"[1,]", "byte 4: expected a value, got ']'"},
    {"[,1]", "byte 2: expected a value, got ','"},
    {"[1,,2]", "byte 4: expected a value, got ','"},
    {"[1 2]", "byte 4: expected ',' or ']' after an item, got '2'"},
    {"[1}", "byte 3: expected ',' or ']' after an item, got '}'"},
    {"[\"a\": 1]", "byte 5: expected ',' or ']' after an item, got ':'"},
    {"{", "byte 2: expected a key in double quotes, got the end of the text"},
    {"{]", "byte 2: expected a key in double quotes, got ']'"},
    {"{\"a\"", "byte 5: expected ':' after a key, got the end of the text"},
    {"{\"a\" 1}", "byte 6: expected ':' after a key, got '1'"},
    {"{\"a\":}", "byte 6: expected a value, got '}'"},
    {"{\"a\":1,}", "byte 8: expected a key in double quotes, got '}'"},
    {"{\"a\":1 \"b\":2}", "byte 8: expected ',' or '}' after a member, got '\"'"},
    {"{a:1}", "byte 2: expected a key in double quotes, got 'a'"},
    {"{'a':1}", "byte 2: expected a key in double quotes, got '''"},
    {"{1:1}", NULL},
    {"{null:1}", NULL},
    {"{\"a\",\"b\"}", NULL},
    {"{\"a\"::1}", NULL},
    {"{{}}", NULL},
    {"{\"a\":/*c*/1}", "byte 6: expected a value, got '/'"},
    {"[1]//c", "byte 4: expected the end of the text after one value, got '/'"},
    {"1 2", "byte 3: expected the end of the text after one value, got '2'"},
    {"{}{}", NULL},
    {"[][]", NULL},
    {"[]]", NULL},
    {"\"a\"b", NULL},
    {"nul", "byte 1: expected a value, got 'n'"},
    {"nullx", "byte 5: expected the end of the text after one value, got 'x'"},
    {"True", "byte 1: expected a value, got 'T'"},
    {"tru", NULL},
    {"fals", NULL},
    {"NULL", NULL},
    {"NaN", "byte 1: expected a value, got 'N'"},
    {"nan", NULL},
    {"Infinity", NULL},
    {"-Infinity", "byte 2: expected a digit, got 'I'"},
    {"inf", NULL},
    {"+1", "byte 1: expected a value, got '+'"},
    {"-", "byte 2: expected a digit, got the end of the text"},
    {"--1", NULL},
    {"- 1", NULL},
    {"-a", NULL},
    {"01", "byte 2: expected no digit after a leading 0, got '1'"},
    {"-012", "byte 3: expected no digit after a leading 0, got '1'"},
    {"1.", "byte 3: expected a digit after the decimal point, got the end of the text"},
    {".5", "byte 1: expected a value, got '.'"},
    {"-.5", NULL},
    {"1.e3", "byte 3: expected a digit after the decimal point, got 'e'"},
    {"1e", "byte 3: expected a digit in the exponent, got the end of the text"},
    {"1e+", NULL},
    {"1eE2", NULL},
    {"1.2.3", NULL},
    {"1,5", NULL},
    {"0x10", "byte 2: expected the end of the text after one value, got 'x'"},
    {"1_000", NULL},
    {"1e999", "byte 1: the number 1e999 is beyond the range of a double"},
    {"[0, -1e309]", "byte 5: the number -1e309 is beyond the range of a double"},
    {"\"a", "byte 1: the string that begins here has no closing '\"'"},
    {"\"", NULL},
    {"\"a\\\"", NULL},
    {"'a'", "byte 1: expected a value, got '''"},
    {"a", NULL},
    {"\"a\tb\"", "byte 3: the control character 0x09 must be escaped in a string"},
    {"\"a\nb\"",
     "line 1, column 3 (byte 3): the control character 0x0a must be escaped in a string"},
    {"\"\x1f\"", NULL},
    {"\"\\x41\"", "byte 3: expected one of \" \\ / b f n r t u after a backslash, got 'x'"},
    {"\"\\'\"", NULL},
    {"\"\\a\"", NULL},
    {"\"\\\n\"", NULL},
    {"\"\\\xc3\xa9\"",
     "byte 3: expected one of \" \\ / b f n r t u after a backslash, got '\xc3\xa9'"},
    {"\"\\", NULL},
    {"\"\\u\"", "byte 2: expected four hex digits after \\u"},
    {"\"\\u12", NULL},
    {"\"\\u00g0\"", NULL},
    {"\"\\U0041\"", NULL},
    {"\"\\u{41}\"", NULL},
    {"\"a\\u0000b\"", "byte 3: \\u0000 is not allowed in a string"},
    {"{\"\\u0000\":1}", NULL},
    {"\"\\ud800\"", "byte 2: \\ud800 is half of a surrogate pair without the other half"},
    {"\"\\udc00\"", NULL},
    {"\"\\ud800\\ud800\"", NULL},
    {"\"\\ud800\\n\"", NULL},
    {"\"\\ud800\\u\"", NULL},
    {"\"\\ud800\\u0041\"", NULL},
    {"\"\\udd1e\\ud834\"", NULL},
    {"\"\\ud800", NULL},
    {"\xef\xbb\xbf{}", "byte 1: begins with a byte order mark, which JSON does not allow"},
    {"\xff\xfe[\x01", "byte 1: the byte 0xff is not UTF-8"},
    {"\"\xc3\"", "byte 2: the byte 0xc3 is not UTF-8"},
    {"\"\xc0\xaf\"", NULL},
    {"\"\xe0\x80\x80\"", NULL},
    {"\"\xed\xa0\x80\"", NULL},
    {"\"\xf4\x90\x80\x80\"", NULL},
    {"\"\x80\"", NULL},
    {"[\"\xff\"]", NULL},
    {"\xff", NULL},
    {"[1\x0c]", "byte 3: expected ',' or ']' after an item, got the control character 0x0c"},
    {"[\xc2\xa0"
     "1]",
     "byte 2: expected a value, got '\xc2\xa0'"},
    {"\xe2\x81\xa0[]", NULL},
    {"<html>", NULL},
    {"[\n1,\n  2,\n  x]", "line 4, column 3 (byte 13): expected a value, got 'x'"},
    {"[\"\xc3\xa9\", x]\n", "line 1, column 7 (byte 8): expected a value, got 'x'"},
};

static void right_texts_are_taken_and_written_compactly(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(accepted) / sizeof(accepted[0]); i++)
        assert_written(accepted[i].text, accepted[i].written);
}

static void wrong_texts_are_refused_with_place_and_expectation(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        assert_refused(refused[i].text, refused[i].message);
}

static void every_cut_of_a_right_text_is_refused(void **state)
{
    (void)state;
    static const char text[] = "{\"k\\u00e9\\ud834\\udd1e\":[-1.5e+3,true,null,\"\xe2\x82\xac\"]}";
    for (size_t len = 0; len < sizeof(text) - 1; len++)
        assert_refused_bytes(text, len, NULL);
    cJSON_Delete(parse(text));
}

static void nul_bytes_are_refused_everywhere(void **state)
{
    (void)state;
    assert_refused_bytes("\"a\0b\"", 5,
                         "byte 3: the control character 0x00 must be escaped in a string");
    assert_refused_bytes("{}\0", 3,
                         "byte 3: expected the end of the text after one value, got the control "
                         "character 0x00");
    assert_refused_bytes("\0", 1, "byte 1: expected a value, got the control character 0x00");
    assert_refused_bytes("\"\\\0\"", 4, NULL);
    struct err err = {0}; /* an empty struct str has no data */
    assert_null(json_parse(NULL, 0, &JSON_LIMITS_DEFAULT, &err));
}

/* --- Limits ---------------------------------------------------------------------------------------- */

static void each_limit_holds_exactly(void **state)
{
    (void)state;
    static const struct {
        struct json_limits limits;
        const char *fits, *too_much, *message;
    } cases[] = {
        {{6, 9, 9}, "[1, 2]", "[1, 23]", "7 bytes, more than the limit of 6"},
        {{99, 4, 9}, "[1,[2]]", "[1,[2,3]]", "byte 7: more values than the limit of 4"},
        {{99, 3, 9},
         "{\"a\":{\"b\":1}}",
         "{\"a\":{\"b\":[1]}}",
         "byte 12: more values than the limit of 3"},
        {{99, 9, 2}, "[{},[]]", "[[[]]]", "byte 3: nested deeper than the limit of 2"},
        {{99, 9, 1}, "{\"a\":1}", "{\"a\":{}}", "byte 6: nested deeper than the limit of 1"},
        {{99, 9, 0}, "1", "[]", "byte 1: nested deeper than the limit of 0"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct err err = {0};
        cJSON *json = parse_bytes(cases[i].fits, strlen(cases[i].fits), &cases[i].limits, &err);
        assert_non_null(json);
        cJSON_Delete(json);
        assert_null(
            parse_bytes(cases[i].too_much, strlen(cases[i].too_much), &cases[i].limits, &err));
        assert_string_equal(err.message, cases[i].message);
    }
}

static void depth_never_exceeds_what_cjson_can_take(void **state)
{
    (void)state;
    struct json_limits limits = {1 << 20, 1 << 20, INT_MAX};
    struct err err = {0};
    char *text = mem_alloc(4000);
    memset(text, '[', 1000);
    memset(text + 1000, ']', 1000);
    cJSON *json = parse_bytes(text, 2000, &limits, &err);
    assert_non_null(json);
    cJSON_Delete(json);
    memset(text, '[', 1001);
    memset(text + 1001, ']', 1001);
    assert_null(parse_bytes(text, 2002, &limits, &err));
    assert_string_equal(err.message, "byte 1001: nested deeper than the limit of 1000");
    free(text);
}

/* --- Keys ------------------------------------------------------------------------------------------ */

static void duplicate_keys_are_refused_by_name_and_place(void **state)
{
    (void)state;
    assert_refused("{\"a\":1,\"b\":2,\"a\":3}", "byte 14: the key \"a\" is already in this object");
    assert_refused("{\"a\":1,\"\\u0061\":2}", "byte 8: the key \"a\" is already in this object");
    assert_refused("[{\"x\":{\"q\":0}},{\"x\":{\"a\":1,\"a\":2}}]",
                   "byte 28: the key \"a\" is already in this object");
    assert_refused("{\"o\":{\"i\":1},\"p\":[{\"j\":2}],\"o\":4}",
                   "byte 28: the key \"o\" is already in this object");
    assert_refused("{\"\":1,\n\"\":2}",
                   "line 2, column 1 (byte 8): the key \"\" is already in this object");
    assert_refused("{\"a\\n\":1,\"a\\n\":2}",
                   "byte 10: the key \"a\\n\" is already in this object");
    cJSON_Delete(parse("{\"a\":{\"a\":1},\"b\":{\"a\":1}}"));
}

static void duplicates_are_found_in_big_objects(void **state)
{
    (void)state;
    enum { COUNT = 30000 };
    struct str text = {0}, expected = {0};
    str_puts(&text, "{");
    for (int i = 0; i < COUNT; i++)
        str_printf(&text, "\"key%d\":{\"v\":%d},", i, i);
    size_t before = text.len;
    str_puts(&text, "\"last\":0}");
    cJSON_Delete(parse(text.data));
    text.len = before;
    str_printf(&expected, "byte %zu: the key \"key17\" is already in this object", text.len + 1);
    str_puts(&text, "\"key17\":0,\"key3\":0}");
    assert_refused(text.data, expected.data);
    str_finish(&text);
    str_finish(&expected);
}

static void members_are_found_by_exact_name_only(void **state)
{
    (void)state;
    cJSON *json = parse("{\"Seed\":1,\"seed\":2,\"list\":[3]}");
    assert_int_equal(json_get(json, "seed")->valueint, 2);
    assert_null(json_get(json, "SEED"));
    assert_null(json_get(json_get(json, "list"), "x"));
    assert_null(json_get(NULL, "x"));
    cJSON_Delete(json);
}

/* --- Numbers --------------------------------------------------------------------------------------- */

static void integers_are_exact_or_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool integer;
        int64_t value;
    } cases[] = {
        {"16", true, 16},
        {"0", true, 0},
        {"-0", true, 0},
        {"-7", true, -7},
        {"9007199254740993", true, INT64_C(9007199254740993)},
        {"9223372036854775807", true, INT64_MAX},
        {"-9223372036854775808", true, INT64_MIN},
        {"9223372036854775808", false, 0},
        {"-9223372036854775809", false, 0},
        {"16.0", false, 0},
        {"1e2", false, 0},
        {"0.5", false, 0},
        {"\"16\"", false, 0},
        {"true", false, 0},
        {"null", false, 0},
        {"[16]", false, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t value = 0;
        cJSON *json = parse(cases[i].text);
        assert_int_equal(json_int64(json, &value), cases[i].integer);
        assert_true(value == cases[i].value);
        cJSON_Delete(json);
    }
    int64_t value;
    assert_false(json_int64(NULL, &value));
}

static void integers_made_by_code_are_exact(void **state)
{
    (void)state;
    static const int64_t values[] = {0, -1, INT64_C(9007199254740993), INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        int64_t value = 1;
        cJSON *node = json_create_int64(values[i]);
        assert_true(json_int64(node, &value) && value == values[i]);
        cJSON_Delete(node);
    }
    static const struct {
        double number;
        bool integer;
    } doubles[] = {{3, true},         {-0.0, true},   {9007199254740992.0, true},
                   {3.5, false},      {1e300, false}, {NAN, false},
                   {INFINITY, false}, {1e16, false},  {-1e16, false}};
    for (size_t i = 0; i < sizeof(doubles) / sizeof(doubles[0]); i++) {
        int64_t value = 0;
        cJSON *node = cJSON_CreateNumber(doubles[i].number);
        assert_int_equal(json_int64(node, &value), doubles[i].integer);
        cJSON_Delete(node);
    }
}

static void a_number_keeps_literal_double_and_int(void **state)
{
    (void)state;
    cJSON *json = parse("[9007199254740993,3e9,-3e9,-0.0,1.5]");
    cJSON *copy = cJSON_Duplicate(json, true);
    cJSON_Delete(json);
    cJSON *first = copy->child;
    assert_true(cJSON_IsNumber(first));
    assert_string_equal(first->valuestring, "9007199254740993");
    assert_int_equal(first->valueint, INT_MAX);
    assert_true(first->next->valuedouble == 3e9);
    assert_int_equal(first->next->valueint, INT_MAX);
    assert_int_equal(first->next->next->valueint, INT_MIN);
    assert_true(signbit(first->next->next->next->valuedouble));
    assert_true(first->prev->valuedouble == 1.5 && first->prev->valueint == 1);
    cJSON_Delete(copy);
}

static void number_texts_are_told_from_others(void **state)
{
    (void)state;
    static const char *const valid[] = {"0", "-0", "12", "1.5", "1E+2", "-1e-9"};
    static const char *const invalid[] = {"",   "-",    "01", "1.",    ".5",  "+1",    " 1",
                                          "1 ", "0x10", "1e", "1e999", "nan", "1_000", "1a"};
    for (size_t i = 0; i < sizeof(valid) / sizeof(valid[0]); i++)
        assert_true(json_number_valid(valid[i], strlen(valid[i])));
    for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++)
        assert_false(json_number_valid(invalid[i], strlen(invalid[i])));
    assert_true(json_number_valid("123", 2));
    assert_false(json_number_valid("1\0", 2));
}

static void assert_number(double number, const char *expected)
{
    struct str out = {0};
    json_write_number(&out, number);
    if (expected)
        assert_string_equal(str_text(&out), expected);
    assert_true(json_number_valid(out.data, out.len));
    assert_true(strtod(out.data, NULL) == number);
    str_finish(&out);
}

static void doubles_are_written_shortest_and_read_back(void **state)
{
    (void)state;
    assert_number(0, "0");
    assert_number(-0.0, "-0");
    assert_number(0.1, "0.1");
    assert_number(1.0 / 3, "0.3333333333333333");
    assert_number(0.1 + 0.2, "0.30000000000000004");
    assert_number(16, "16");
    assert_number(1e20, "1e+20");
    assert_number(DBL_MAX, NULL);
    assert_number(DBL_MIN, NULL);
    assert_number(5e-324, NULL);
    assert_number(9007199254740993.0, "9007199254740992");
    struct str out = {0};
    json_write_number(&out, NAN);
    json_write_number(&out, INFINITY);
    json_write_number(&out, -INFINITY);
    assert_string_equal(out.data, "nullnullnull");
    str_finish(&out);
}

static void numbers_do_not_depend_on_the_locale(void **state)
{
    (void)state;
    const char *comma = NULL;
    static const char *const names[] = {"de_DE.UTF-8", "de_DE", "fr_FR.UTF-8", "fr_FR",
                                        "ru_RU.UTF-8"};
    for (size_t i = 0; !comma && i < sizeof(names) / sizeof(names[0]); i++)
        comma = setlocale(LC_ALL, names[i]);
    if (!comma) {
        print_message("skipped: no locale with a decimal comma is installed\n");
        skip();
    }
    struct str out = {0};
    cJSON *json = parse("1.5");
    double number = json->valuedouble;
    cJSON_Delete(json);
    json_write_number(&out, 2.5);
    char point = localeconv()->decimal_point[0];
    setlocale(LC_ALL, "C");
    assert_int_equal(point, ',');
    assert_true(number == 1.5);
    assert_string_equal(out.data, "2.5");
    str_finish(&out);
}

/* --- Writing --------------------------------------------------------------------------------------- */

static void strings_are_escaped_and_repaired(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
        const char *written;
    } cases[] = {
        {"", 0, "\"\""},
        {"a\"b\\c/", 6, "\"a\\\"b\\\\c/\""},
        {"\b\f\n\r\t\x01\x1f\x7f", 8, "\"\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\""},
        {"a\0b", 3, "\"a\\u0000b\""},
        {"\xe2\x82\xac", 3, "\"\xe2\x82\xac\""},
        {"a\xff"
         "b",
         3,
         "\"a\xef\xbf\xbd"
         "b\""},
        {"\xe2\x82", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xc3\n", 2, "\"\xef\xbf\xbd\\n\""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct str out = {0};
        json_write_string(&out, cases[i].text, cases[i].len);
        assert_string_equal(out.data, cases[i].written);
        str_finish(&out);
    }
}

static void values_made_by_code_are_written(void **state)
{
    (void)state;
    struct str out = {0};
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "rate", 16000);
    cJSON_AddNumberToObject(json, "rtf", 0.0125);
    cJSON_AddItemToObject(json, "seed", json_create_int64(INT64_MAX));
    cJSON_AddStringToObject(json, "text", "a\nb");
    cJSON_AddNullToObject(json, "none");
    cJSON_AddItemToObject(json, "empty", cJSON_CreateArray());
    json_write(&out, json);
    assert_string_equal(out.data, "{\"rate\":16000,\"rtf\":0.0125,\"seed\":9223372036854775807,"
                                  "\"text\":\"a\\nb\",\"none\":null,\"empty\":[]}");
    str_finish(&out);
    cJSON_Delete(json);
}

static void canonical_text_does_not_depend_on_the_order_of_keys(void **state)
{
    (void)state;
    struct str one = {0}, two = {0};
    cJSON *a = parse("{\"b\":[{\"y\":1,\"x\":2}],\"a\":{},\"B\":\"\\u0041\"}");
    cJSON *b = parse("{ \"a\":{}, \"B\":\"A\", \"b\":[{\"x\":2,\"y\":1}] }");
    json_write_canonical(&one, a);
    json_write_canonical(&two, b);
    assert_string_equal(one.data, "{\"B\":\"A\",\"a\":{},\"b\":[{\"x\":2,\"y\":1}]}");
    assert_string_equal(two.data, one.data);
    str_finish(&one);
    str_finish(&two);
    cJSON_Delete(a);
    cJSON_Delete(b);
}

static void kinds_have_the_words_of_messages(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"\"a\"", "string"},
        {"16", "integer"},
        {"-0", "integer"},
        {"16.0", "number"},
        {"1e2", "number"},
        {"true", "true"},
        {"false", "false"},
        {"null", "null"},
        {"[]", "array"},
        {"{}", "object"},
        {"99999999999999999999", "integer"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        cJSON *json = parse(cases[i][0]);
        assert_string_equal(json_kind(json), cases[i][1]);
        cJSON_Delete(json);
    }
    cJSON *made = cJSON_CreateNumber(0.5);
    assert_string_equal(json_kind(made), "number");
    cJSON_SetNumberValue(made, 2);
    assert_string_equal(json_kind(made), "integer");
    cJSON_Delete(made);
}

static void shown_values_fit_and_are_cut_at_a_character(void **state)
{
    (void)state;
    char buf[12];
    cJSON *json = parse("\"fast\"");
    assert_string_equal(json_show(json, buf, sizeof(buf)), "\"fast\"");
    cJSON_Delete(json);
    json = parse("[1,2,3,4,5]"); /* just fits */
    assert_string_equal(json_show(json, buf, sizeof(buf)), "[1,2,3,4,5]");
    cJSON_Delete(json);
    json = parse("[1,2,3,4,56]");
    assert_string_equal(json_show(json, buf, sizeof(buf)), "[1,2,3,4...");
    cJSON_Delete(json);
    json = parse("\"\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\"");
    assert_string_equal(json_show(json, buf, sizeof(buf)), "\"\xe2\x82\xac\xe2\x82\xac...");
    cJSON_Delete(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_texts_are_taken_and_written_compactly),
        cmocka_unit_test(wrong_texts_are_refused_with_place_and_expectation),
        cmocka_unit_test(every_cut_of_a_right_text_is_refused),
        cmocka_unit_test(nul_bytes_are_refused_everywhere),
        cmocka_unit_test(each_limit_holds_exactly),
        cmocka_unit_test(depth_never_exceeds_what_cjson_can_take),
        cmocka_unit_test(duplicate_keys_are_refused_by_name_and_place),
        cmocka_unit_test(duplicates_are_found_in_big_objects),
        cmocka_unit_test(members_are_found_by_exact_name_only),
        cmocka_unit_test(integers_are_exact_or_refused),
        cmocka_unit_test(integers_made_by_code_are_exact),
        cmocka_unit_test(a_number_keeps_literal_double_and_int),
        cmocka_unit_test(number_texts_are_told_from_others),
        cmocka_unit_test(doubles_are_written_shortest_and_read_back),
        cmocka_unit_test(numbers_do_not_depend_on_the_locale),
        cmocka_unit_test(strings_are_escaped_and_repaired),
        cmocka_unit_test(values_made_by_code_are_written),
        cmocka_unit_test(canonical_text_does_not_depend_on_the_order_of_keys),
        cmocka_unit_test(kinds_have_the_words_of_messages),
        cmocka_unit_test(shown_values_fit_and_are_cut_at_a_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
