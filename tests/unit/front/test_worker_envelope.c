/* Metadata around the input of a job become its own: required-behaviour A.0. */
#include "front/worker/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void expect(const char *text, const char *expected)
{
    struct str out = {0};
    struct err err = {0};
    cJSON *json = json_parse(text, strlen(text), &JSON_LIMITS_DEFAULT, &err);
    assert_non_null(json);
    envelope_open(json);
    json_write(&out, json);
    assert_string_equal(str_text(&out), expected);
    str_finish(&out);
    cJSON_Delete(json);
}

static void what_is_outside_goes_inside(void **state)
{
    (void)state;
    expect("{\"id\":\"a\",\"metadata\":{\"x\":1},\"input\":{\"text\":\"t\"}}",
           "{\"id\":\"a\",\"input\":{\"text\":\"t\",\"metadata\":{\"x\":1}}}");
    expect("{\"input\":{\"metadata\":null},\"metadata\":{\"x\":{\"y\":[]}}}",
           "{\"input\":{\"metadata\":{\"x\":{\"y\":[]}}}}");
    expect("{\"input\":{},\"metadata\":{}}", "{\"input\":{\"metadata\":{}}}");
}

static void what_the_input_says_holds(void **state)
{
    (void)state;
    expect("{\"input\":{\"metadata\":{\"x\":1,\"y\":2}},\"metadata\":{\"z\":3,\"x\":4,\"X\":5}}",
           "{\"input\":{\"metadata\":{\"z\":3,\"X\":5,\"x\":1,\"y\":2}}}");
}

static void what_is_no_object_is_left_alone(void **state)
{
    static const char *const texts[] = {
        "{\"input\":{},\"metadata\":5}",
        "{\"input\":{},\"metadata\":[{\"a\":1}]}",
        "{\"input\":[],\"metadata\":{\"x\":1}}",
        "{\"input\":{\"metadata\":\"x\"},\"metadata\":{\"x\":1}}",
        "{\"metadata\":{\"x\":1}}",
        "[1]",
        "5",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        expect(texts[i], texts[i]);
}

static void far_too_many_members_are_left_alone(void **state)
{
    struct str text = {0};
    (void)state;
    str_puts(&text, "{\"input\":{},\"metadata\":{");
    for (int i = 0; i < 5000; i++)
        str_printf(&text, "%s\"%d\":0", i ? "," : "", i);
    str_puts(&text, "}}");
    expect(str_text(&text), str_text(&text));
    str_finish(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_outside_goes_inside),
        cmocka_unit_test(what_the_input_says_holds),
        cmocka_unit_test(what_is_no_object_is_left_alone),
        cmocka_unit_test(far_too_many_members_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
