/* Two digests at once against OpenSSL's one by one, and HMAC against the vectors of RFC 4231. */
#include "base/base.h"
#include "base/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Bytes that repeat nowhere near. */
static uint8_t *make_bytes(size_t len, uint32_t seed)
{
    uint8_t *bytes = mem_alloc(len + 1);
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1664525 + 1013904223;
        bytes[i] = (uint8_t)(seed >> 24);
    }
    return bytes;
}

static void check_pair(const uint8_t *one, const uint8_t *two, size_t len, size_t step)
{
    uint8_t out[2][DIGEST_SIZE];
    char expected[DIGEST_HEX_SIZE], got[DIGEST_HEX_SIZE];
    struct digest_pair *pair = digest_pair_create();
    for (size_t at = 0; at < len; at += step)
        digest_pair_update(pair, one + at, two + at, len - at < step ? len - at : step);
    digest_pair_final(pair, out);
    digest_pair_destroy(pair);
    digest_of(one, len, expected);
    digest_hex(out[0], got);
    assert_string_equal(got, expected);
    digest_of(two, len, expected);
    digest_hex(out[1], got);
    assert_string_equal(got, expected);
}

static void two_at_once_are_as_one_by_one(void **state)
{
    enum { SIZE_MAX_BYTES = 1 << 20 };
    uint8_t *one = make_bytes(SIZE_MAX_BYTES + 1, 1), *two = make_bytes(SIZE_MAX_BYTES, 2);
    (void)state;
    for (size_t len = 0; len <= (size_t)64 * DIGEST_BLOCK_SIZE; len += DIGEST_BLOCK_SIZE)
        for (size_t step = DIGEST_BLOCK_SIZE; step <= (size_t)4 * DIGEST_BLOCK_SIZE;
             step += DIGEST_BLOCK_SIZE)
            check_pair(one + 1, two, len, step); /* at any address */
    check_pair(one, two, SIZE_MAX_BYTES, 128u << 10);
    check_pair(one, one, SIZE_MAX_BYTES, SIZE_MAX_BYTES);
    memset(one, 0, SIZE_MAX_BYTES);
    memset(two, 0xff, SIZE_MAX_BYTES);
    check_pair(one, two, SIZE_MAX_BYTES, SIZE_MAX_BYTES);
    free(one);
    free(two);
}

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
        cmocka_unit_test(two_at_once_are_as_one_by_one),
        cmocka_unit_test(hmac_is_that_of_rfc_4231),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
