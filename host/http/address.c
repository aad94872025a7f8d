/* Which addresses of the internet a stranger may send us to. By the IANA registries of
 * special-purpose addresses, IPv4 and IPv6 (RFC 6890 and later); the few special blocks that are
 * routed globally (AS112) are left open. Knows no names and no sockets. */
#include "http/http.h"

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct block {
    uint8_t bytes[16];
    unsigned bits;
};

/* IPv4 blocks that are not global unicast. */
static const struct block special4[] = {
    {{0}, 8},             /* this network */
    {{10}, 8},            /* private */
    {{100, 64}, 10},      /* shared by carriers */
    {{127}, 8},           /* loopback */
    {{169, 254}, 16},     /* link-local, and where clouds serve credentials */
    {{172, 16}, 12},      /* private */
    {{192, 0, 0}, 24},    /* protocol assignments */
    {{192, 0, 2}, 24},    /* documentation */
    {{192, 88, 99}, 24},  /* 6to4 relays, withdrawn */
    {{192, 168}, 16},     /* private */
    {{198, 18}, 15},      /* benchmarks */
    {{198, 51, 100}, 24}, /* documentation */
    {{203, 0, 113}, 24},  /* documentation */
    {{224}, 4},           /* multicast */
    {{240}, 4},           /* reserved, broadcast */
};

/* The IPv6 block of global unicast, and what is special inside it. */
static const struct block global6 = {{0x20}, 3};
static const struct block special6[] = {
    {{0x20, 0x01}, 23},             /* protocol assignments: Teredo, benchmarks, ORCHID */
    {{0x20, 0x01, 0x0d, 0xb8}, 32}, /* documentation */
    {{0x3f, 0xff}, 20},             /* documentation */
};

/* IPv6 forms that hold an IPv4 address, which decides. */
static const struct {
    struct block block;
    size_t at; /* of the IPv4 address */
} wrapped4[] = {
    {{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, 96}, 12}, /* IPv4-mapped */
    {{{0x00, 0x64, 0xff, 0x9b}, 96}, 12},                   /* NAT64 */
    {{{0x20, 0x02}, 16}, 2},                                /* 6to4 */
};

static bool is_inside(const uint8_t *address, const struct block *block)
{
    size_t whole = block->bits / 8;
    unsigned rest = block->bits % 8;
    if (memcmp(address, block->bytes, whole) != 0)
        return false;
    return rest == 0 || (address[whole] ^ block->bytes[whole]) >> (8 - rest) == 0;
}

static bool is_public4(const uint8_t *address)
{
    for (size_t i = 0; i < sizeof(special4) / sizeof(special4[0]); i++)
        if (is_inside(address, &special4[i]))
            return false;
    return true;
}

static bool is_public6(const uint8_t *address)
{
    for (size_t i = 0; i < sizeof(wrapped4) / sizeof(wrapped4[0]); i++)
        if (is_inside(address, &wrapped4[i].block))
            return is_public4(address + wrapped4[i].at);
    for (size_t i = 0; i < sizeof(special6) / sizeof(special6[0]); i++)
        if (is_inside(address, &special6[i]))
            return false;
    return is_inside(address, &global6);
}

bool http_address_is_public(const struct sockaddr *address)
{
    if (address->sa_family == AF_INET)
        return is_public4(
            (const uint8_t *)&((const struct sockaddr_in *)(const void *)address)->sin_addr);
    if (address->sa_family == AF_INET6)
        return is_public6(
            (const uint8_t *)&((const struct sockaddr_in6 *)(const void *)address)->sin6_addr);
    return false;
}
