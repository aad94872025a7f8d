/* What a take brings, job by job: one that is bad spoils no other, and its id is found where there is one. */
#include "front/worker/queue_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Each job as "id:what;", what being "input" or the error's field or message. */
static void note(const struct taken *taken, void *arg)
{
    struct str *notes = arg;
    str_printf(notes, "%s:%s;", taken->id ? taken->id : "-",
               taken->input          ? "input"
               : taken->err.field[0] ? taken->err.field
                                     : taken->err.message);
}

static void expect(const char *text, size_t len, const char *expected)
{
    struct str body = {0}, notes = {0};
    str_append(&body, text, len);
    bool readable = take_parse(&body, note, &notes);
    if (!expected)
        assert_false(readable);
    else if (strcmp(str_text(&notes), expected) != 0 && !strstr(str_text(&notes), expected))
        fail_msg("%s\ngave     %s\nexpected %s", text, str_text(&notes), expected);
    assert_true(readable || notes.len == 0);
    str_finish(&body);
    str_finish(&notes);
}

#define EXPECT(text, expected) expect(text, sizeof(text) - 1, expected)

static void jobs_are_found_in_objects_and_arrays(void **state)
{
    (void)state;
    EXPECT("{\"id\":\"a\",\"input\":{}}", "a:input;");
    EXPECT(" [ {\"id\":\"a\",\"input\":1} , {\"id\":\"b\",\"input\":\"]},[{\"} ] ",
           "a:input;b:input;");
    EXPECT("[{\"id\":\"a\",\"input\":\"\\\"]\"},{\"id\":\"b\\u0020c\",\"input\":[[{}],{}]}]",
           "a:input;b c:input;");
    EXPECT("{\"id\":17,\"input\":{}}", "17:input;");
    EXPECT("[]", "");
    EXPECT("[ ]", "");
}

static void what_is_no_job_is_told_apart(void **state)
{
    (void)state;
    EXPECT("", NULL);
    EXPECT("null", NULL);
    EXPECT("12", NULL);
    EXPECT("<html>", NULL);
    EXPECT("{\"id\":\"a\"}", "a:input;");
    EXPECT("{\"id\":\"a\",\"input\":null}", "a:input;");
    EXPECT("{\"input\":{}}", "-:id;");
    EXPECT("{\"id\":\"\",\"input\":{}}", "-:id;");
    EXPECT("{\"id\":true,\"input\":{}}", "-:id;");
    EXPECT("[1,null,\"x\",{\"id\":\"a\",\"input\":{}}]", "-:id;-:id;-:id;a:input;");
}

static void a_bad_job_is_answered_by_its_id(void **state)
{
    (void)state;
    EXPECT("[{\"id\":\"a\",\"input\":{\"x\":1,\"x\":2}},{\"id\":\"b\",\"input\":{}}]", "b:input;");
    EXPECT("{\"id\":\"a\",\"input\":{\"text\":\"\\u0000\"}}", "a:");
    EXPECT("{\"id\":\"a\",\"input\":{\"text\":\"\xff\"}}", "a:");
    EXPECT("{\"id\":\"a\",\"input\":{\"text\":\"x\"}", "-:"); /* cut off */
    struct str deep = {0};
    str_puts(&deep, "[{\"id\":\"a\",\"input\":");
    for (int i = 0; i < 200; i++)
        str_putc(&deep, '[');
    for (int i = 0; i < 200; i++)
        str_putc(&deep, ']');
    str_puts(&deep, "},{\"id\":\"b\",\"input\":{}}]");
    expect(deep.data, deep.len, "b:input;");
    expect(deep.data, deep.len, "a:");
    str_finish(&deep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_are_found_in_objects_and_arrays),
        cmocka_unit_test(what_is_no_job_is_told_apart),
        cmocka_unit_test(a_bad_job_is_answered_by_its_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
