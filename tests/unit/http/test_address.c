/* Addresses that a stranger may send us to, and those that he may not. */
#include "http/http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

static bool is_public(const char *text)
{
    struct sockaddr_in address4 = {.sin_family = AF_INET};
    struct sockaddr_in6 address6 = {.sin6_family = AF_INET6};
    if (inet_pton(AF_INET, text, &address4.sin_addr) == 1)
        return http_address_is_public((const struct sockaddr *)&address4);
    assert_int_equal(inet_pton(AF_INET6, text, &address6.sin6_addr), 1);
    return http_address_is_public((const struct sockaddr *)&address6);
}

static void expect(const char *const *addresses, size_t count, bool expected)
{
    for (size_t i = 0; i < count; i++)
        if (is_public(addresses[i]) != expected)
            fail_msg("%s", addresses[i]);
}

#define EXPECT(list, expected) expect(list, sizeof(list) / sizeof((list)[0]), expected)

static void global_unicast_is_public(void **state)
{
    (void)state;
    static const char *const addresses[] = {
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "126.255.255.255",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.0.1.0",
        "192.0.3.0",
        "192.88.98.255",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "2001:200::1",
        "2001:db7:ffff::1",
        "2001:db9::1",
        "2606:4700:4700::1111",
        "2a00:1450:4001:80e::200e",
        "3ffe::1",
        "3fff:1000::1",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "2002:808:808::1",
    };
    EXPECT(addresses, true);
}

static void special_ipv4_is_not(void **state)
{
    (void)state;
    static const char *const addresses[] = {
        "0.0.0.0",         "0.255.255.255",   "10.0.0.0",      "10.255.255.255", "100.64.0.0",
        "100.127.255.255", "127.0.0.1",       "127.255.255.1", "169.254.0.0",    "169.254.169.254",
        "172.16.0.0",      "172.31.255.255",  "192.0.0.8",     "192.0.2.1",      "192.88.99.1",
        "192.168.0.0",     "192.168.255.255", "198.18.0.0",    "198.19.255.255", "198.51.100.1",
        "203.0.113.255",   "224.0.0.1",       "239.255.255.1", "240.0.0.0",      "255.255.255.255",
    };
    EXPECT(addresses, false);
}

static void special_ipv6_is_not(void **state)
{
    (void)state;
    static const char *const addresses[] = {
        "::",
        "::1",
        "::8.8.8.8",
        "64:ff9b:1::8.8.8.8",
        "100::1",
        "2001::1",
        "2001:2::1",
        "2001:1ff:ffff::",
        "2001:db8::1",
        "3fff::1",
        "3fff:fff::1",
        "4000::1",
        "5f00::1",
        "fc00::1",
        "fd12::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "ffff::1",
        "1fff::1",
        "::fffe:8.8.8.8",
    };
    EXPECT(addresses, false);
}

static void an_ipv4_address_inside_decides(void **state)
{
    (void)state;
    static const char *const addresses[] = {
        "::ffff:127.0.0.1",     "::ffff:169.254.169.254", "::ffff:10.0.0.1", "64:ff9b::127.0.0.1",
        "64:ff9b::192.168.0.1", "2002:7f00:1::1",         "2002:a00:1::1",   "2002:c0a8:101::1",
    };
    EXPECT(addresses, false);
}

static void other_families_are_not(void **state)
{
    (void)state;
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/socket"};
    assert_false(http_address_is_public((const struct sockaddr *)&address));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(global_unicast_is_public),
        cmocka_unit_test(special_ipv4_is_not),
        cmocka_unit_test(special_ipv6_is_not),
        cmocka_unit_test(other_families_are_not),
        cmocka_unit_test(an_ipv4_address_inside_decides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
