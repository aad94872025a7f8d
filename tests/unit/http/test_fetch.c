/* Downloads that a stranger asked for: what comes, what is too much, and that no form of an
 * address, no name and no redirect leads to a place that is not public. */
#include "http_test.h"

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>

#define PUBLIC_ADDRESS "11.22.33.44" /* of nobody in the test's own network */

static struct test_server *server;
static bool own_network;

static int start(void **state)
{
    (void)state;
    server = test_server_start();
    return 0;
}

static int finish(void **state)
{
    (void)state;
    test_server_stop(server);
    return 0;
}

static bool set_address(int fd, const char *interface, const char *text)
{
    struct ifreq request = {0};
    struct sockaddr_in address = {.sin_family = AF_INET};
    snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", interface);
    inet_pton(AF_INET, text, &address.sin_addr);
    memcpy(&request.ifr_addr, &address, sizeof(address));
    return ioctl(fd, SIOCSIFADDR, &request) == 0;
}

/* A network of our own, where a public address is ours too. Not every machine allows it. */
static int enter_own_network(void **state)
{
    (void)state;
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
        return 0;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool up = set_address(fd, "lo", "127.0.0.1") && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
    own_network = up && set_address(fd, "lo:1", PUBLIC_ADDRESS);
    close(fd);
    return up ? 0 : -1;
}

static struct http_fetch fetch_of(const char *url)
{
    return (struct http_fetch){
        .url = url, .bytes_max = 1000, .timeout_s = 30, .allow_private = true};
}

static void expect_failure(const struct http_fetch *fetch, int code, const char *message)
{
    struct str body = {0};
    struct err err = {0};
    assert_int_equal(http_fetch(fetch, &body, &err), code);
    assert_int_equal(err.code, code);
    assert_int_equal(body.len, 0);
    if (!strstr(err.message, message))
        fail_msg("%s: \"%s\" lacks \"%s\"", fetch->url, err.message, message);
    assert_null(strstr(err.message, "secret"));
}

static void expect_body(const struct http_fetch *fetch, const char *expected)
{
    struct str body = {0};
    struct err err = {0};
    if (http_fetch(fetch, &body, &err) != 0)
        fail_msg("%s", err.message);
    assert_string_equal(str_text(&body), expected);
    str_finish(&body);
}

static void a_download_comes(void **state)
{
    (void)state;
    struct http_fetch fetch = fetch_of(test_url(server, "127.0.0.1", "/ok"));
    expect_body(&fetch, "fine");
    fetch = fetch_of(test_url(server, "127.0.0.1", "/301//307//gzip"));
    expect_body(&fetch, "hello, hello, hello, hello");
}

static void another_status_is_a_failure(void **state)
{
    (void)state;
    struct http_fetch fetch = fetch_of(test_url(server, "127.0.0.1", "/missing"));
    expect_failure(&fetch, ERR_INVALID, "127.0.0.1: answered with status 404");
    fetch = fetch_of(test_url(server, "127.0.0.1", "/busy"));
    expect_failure(&fetch, ERR_INVALID, "status 503");
    fetch = fetch_of(test_url(server, "127.0.0.1", "/truncated?secret"));
    expect_failure(&fetch, ERR_INVALID, "127.0.0.1: ");
}

static void what_is_too_long_is_refused(void **state)
{
    (void)state;
    struct http_fetch fetch = fetch_of(test_url(server, "127.0.0.1", "/bomb"));
    expect_failure(&fetch, ERR_INVALID, "longer than 1000 bytes");
    fetch = fetch_of(test_url(server, "127.0.0.1", "/endless"));
    expect_failure(&fetch, ERR_INVALID, "longer than 1000 bytes");
    fetch = fetch_of(test_url(server, "127.0.0.1", "/ok"));
    fetch.bytes_max = 3;
    expect_failure(&fetch, ERR_INVALID, "longer than 3 bytes");
    fetch.bytes_max = 4;
    expect_body(&fetch, "fine");
}

static void a_url_that_may_not_be_fetched_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *url, *message;
    } cases[] = {
        {"file:///secret", "http or https"},
        {"ftp://a/secret", "http or https"},
        {"http://user:secret@127.0.0.1/", "user name"},
        {"http://user@127.0.0.1/", "user name"},
        {"secret", "expected a URL"},
        {"http://", "expected a URL"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_fetch fetch = fetch_of(cases[i].url);
        expect_failure(&fetch, ERR_INVALID, cases[i].message);
    }
    struct http_fetch fetch =
        fetch_of(test_url(server, "127.0.0.1", "/301/http://user:secret@127.0.0.1/"));
    expect_failure(&fetch, ERR_INVALID, "127.0.0.1");
    fetch = fetch_of(test_url(server, "127.0.0.1", "/301/file:///etc/passwd"));
    expect_failure(&fetch, ERR_INVALID, "another protocol");
    assert_int_equal(atomic_load(&server->requests), 2);
}

static void private_addresses_are_refused_in_every_form(void **state)
{
    (void)state;
    static const char *const hosts[] = {
        "127.0.0.1",
        "127.1",
        "localhost",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "0x7f000001",
        "2130706433",
        "0177.0.0.1",
        "0",
        "0.0.0.0",
        "[::1]",
        "10.0.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "[fe80::1]",
        "[fd00::1]",
        "[::]",
        "foo.localhost",
        "LOCALHOST",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
    };
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        struct http_fetch fetch = fetch_of(test_url(server, hosts[i], "/ok?secret"));
        fetch.allow_private = false;
        expect_failure(&fetch, ERR_INVALID, "its address is not a public one");
    }
    assert_int_equal(atomic_load(&server->connections), 0);
}

static void a_public_address_may_not_redirect_inside(void **state)
{
    (void)state;
    if (!own_network) {
        print_message("skipped: no network namespace of its own on this machine\n");
        skip();
    }
    struct http_fetch fetch = fetch_of(test_url(server, PUBLIC_ADDRESS, "/ok"));
    fetch.allow_private = false;
    expect_body(&fetch, "fine");
    fetch.url = test_url(server, PUBLIC_ADDRESS, "/301//ok");
    expect_body(&fetch, "fine");
    static const char *const hosts[] = {"127.0.0.1", "localhost", "[::ffff:127.0.0.1]"};
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        char path[256];
        snprintf(path, sizeof(path), "/307/%s", test_url(server, hosts[i], "/ok?secret"));
        fetch.url = test_url(server, PUBLIC_ADDRESS, path);
        expect_failure(&fetch, ERR_INVALID, "its address is not a public one");
    }
    assert_int_equal(atomic_load(&server->requests), 3 + 3);
}

/* A proxy would connect for us, to wherever the name leads it. */
static void proxies_of_the_environment_are_not_used(void **state)
{
    (void)state;
    struct http_fetch fetch = fetch_of(test_url(server, "127.0.0.1", "/ok"));
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    expect_body(&fetch, "fine");
    unsetenv("http_proxy");
    unsetenv("ALL_PROXY");
}

static void time_is_limited(void **state)
{
    (void)state;
    struct http_fetch fetch = fetch_of(test_url(server, "127.0.0.1", "/half"));
    fetch.timeout_s = 0.3;
    expect_failure(&fetch, ERR_TIMEOUT, "no whole answer within 0.3 s");
}

static void *stop_when_hanging(void *arg)
{
    for (int i = 0; i < 30000 && atomic_load(&server->hanging) == 0; i++)
        usleep(1000);
    atomic_store((atomic_int *)arg, 1);
    return NULL;
}

static void stop_ends_it(void **state)
{
    (void)state;
    atomic_int stop = 0;
    pthread_t thread;
    struct http_fetch fetch = fetch_of(test_url(server, "127.0.0.1", "/half"));
    fetch.stop = &stop;
    assert_int_equal(sync_thread_start(&thread, stop_when_hanging, &stop), 0);
    expect_failure(&fetch, ERR_CANCELLED, "cancelled");
    pthread_join(thread, NULL);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_download_comes),
        CASE(another_status_is_a_failure),
        CASE(what_is_too_long_is_refused),
        CASE(a_url_that_may_not_be_fetched_is_refused),
        CASE(private_addresses_are_refused_in_every_form),
        CASE(a_public_address_may_not_redirect_inside),
        CASE(proxies_of_the_environment_are_not_used),
        CASE(time_is_limited),
        CASE(stop_ends_it),
    };
    return cmocka_run_group_tests(tests, enter_own_network, NULL);
}
