/* The signature, against values that Python's hmac and openssl dgst gave, and what answers mean. */
#include "callback/callback.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void expect_signature(const struct callback_signing *signing, const char *expected)
{
    char signature[DIGEST_HEX_SIZE];
    callback_sign(signing, signature);
    assert_string_equal(signature, expected);
}

static void signatures_are_those_of_other_implementations(void **state)
{
    char long_key[101] = "";
    static const char body[] = "{\"a\":\"\xc3\xbc\\n\"}";
    memset(long_key, 'k', 100);
    (void)state;
    expect_signature(&(struct callback_signing){"between us", "POST", "/api/tts/callback",
                                                "1767225600000", body, strlen(body)},
                     "3c2284bb77dbba18001df2a50dee9e6cb2ecec2030055fb8b869965de8732112");
    expect_signature(&(struct callback_signing){long_key, "POST", "/", "0", "", 0},
                     "af8165261509be45f84e16859c8f3540a34909a9e35cce364e93fee493ab139a");
    expect_signature(
        &(struct callback_signing){"schl\xc3\xbcssel", "POST", "/a%20b//c", "1", "\0\xff", 2},
        "7736bc6db407a021788e75d1d9992e5b377917acacbc52f4127dc7c7a7682edf");
}

static void answers_are_judged(void **state)
{
    static const struct {
        int code, status;
        enum callback_fate fate;
    } cases[] = {
        {0, 200, CALLBACK_TAKEN},   {0, 202, CALLBACK_TAKEN},   {0, 204, CALLBACK_TAKEN},
        {0, 301, CALLBACK_REFUSED}, {0, 302, CALLBACK_REFUSED}, {0, 303, CALLBACK_REFUSED},
        {0, 307, CALLBACK_FOLLOW},  {0, 308, CALLBACK_FOLLOW},  {0, 400, CALLBACK_REFUSED},
        {0, 401, CALLBACK_REFUSED}, {0, 404, CALLBACK_REFUSED}, {0, 408, CALLBACK_RETRY},
        {0, 410, CALLBACK_REFUSED}, {0, 429, CALLBACK_RETRY},   {0, 500, CALLBACK_RETRY},
        {0, 503, CALLBACK_RETRY},   {0, 599, CALLBACK_RETRY},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(callback_judge(cases[i].code, cases[i].status), cases[i].fate);
    assert_int_equal(callback_judge(ERR_TIMEOUT, 0), CALLBACK_RETRY);
    assert_int_equal(callback_judge(ERR_INTERNAL, 0), CALLBACK_RETRY);
    assert_int_equal(callback_judge(ERR_INVALID, 0), CALLBACK_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signatures_are_those_of_other_implementations),
        cmocka_unit_test(answers_are_judged),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
