/* HMAC against the vectors of RFC 4231. */
#include "base/base.h"
#include "base/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Test cases 1, 2 and 6. */
static void hmac_is_that_of_rfc_4231(void **state)
{
    uint8_t key[131], out[DIGEST_SIZE];
    char text[DIGEST_HEX_SIZE];
    static const char large[] = "Test Using Larger Than Block-Size Key - Hash Key First";
    (void)state;
    memset(key, 0x0b, 20);
    digest_hmac(key, 20, "Hi There", 8, out);
    digest_hex(out, text);
    assert_string_equal(text, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    digest_hmac("Jefe", 4, "what do ya want for nothing?", 28, out);
    digest_hex(out, text);
    assert_string_equal(text, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof(key));
    digest_hmac(key, sizeof(key), large, sizeof(large) - 1, out);
    digest_hex(out, text);
    assert_string_equal(text, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hmac_is_that_of_rfc_4231),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
