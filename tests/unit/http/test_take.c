/* What a download needs of the client: bodies taken as they come, kept headers, redirects that
 * are not followed, and URLs that lead on. */
#include "http_test.h"

static struct test_server *server;
static struct http_client *client;

static int start(void **state)
{
    (void)state;
    server = test_server_start();
    client = http_client_create("test-agent/1");
    return client ? 0 : -1;
}

static int finish(void **state)
{
    (void)state;
    http_client_destroy(client);
    test_server_stop(server);
    return 0;
}

struct outcome {
    struct str taken;
    size_t taken_max; /* 0: no limit */
    int status;       /* that `take` saw */
    bool ended;
    struct http_response response;
};

static int take(const struct http_response *head, const void *data, size_t len, void *arg)
{
    struct outcome *outcome = arg;
    outcome->status = head->status;
    if (outcome->taken_max && outcome->taken.len + len > outcome->taken_max)
        return -1;
    str_append(&outcome->taken, data, len);
    return 0;
}

static void keep(struct http_response *response, void *arg)
{
    struct outcome *outcome = arg;
    outcome->response = *response;
    response->body = (struct str){0};
    response->headers = (struct str){0};
    outcome->ended = true;
}

/* `path` of our server, unless the request has a URL. */
static void exchange(const char *path, struct http_request request, struct outcome *outcome)
{
    struct err err = {0};
    int64_t give_up = clock_now() + 60 * CLOCK_S;
    request.method = "GET";
    if (!request.url)
        request.url = test_url(server, "127.0.0.1", path);
    request.take_arg = outcome;
    assert_non_null(http_client_start(client, &request, keep, outcome, &err));
    while (!outcome->ended && clock_now() < give_up)
        http_client_poll(client, clock_now() + 100 * CLOCK_MS);
    assert_true(outcome->ended);
}

static void forget(struct outcome *outcome)
{
    str_finish(&outcome->taken);
    str_finish(&outcome->response.body);
    str_finish(&outcome->response.headers);
}

static void a_taken_body_comes_as_it_was_sent_and_is_not_gathered(void **state)
{
    (void)state;
    struct outcome outcome = {0};
    exchange("/gzip", (struct http_request){.take = take}, &outcome);
    assert_int_equal(outcome.response.status, 200);
    assert_int_equal(outcome.status, 200);
    assert_int_equal(outcome.response.body.len, 0);
    assert_true(outcome.taken.len > 2);
    assert_memory_equal(outcome.taken.data, "\x1f\x8b", 2); /* still compressed */
    forget(&outcome);
}

static void a_host_that_is_not_found_spoils_no_later_exchange(void **state)
{
    (void)state;
    struct outcome lost = {0}, outcome = {0};
    exchange(NULL, (struct http_request){.url = "http://nobody.invalid/", .take = take}, &lost);
    assert_int_equal(lost.response.status, 0);
    exchange("/gzip", (struct http_request){.take = take}, &outcome);
    assert_int_equal(outcome.response.status, 200);
    assert_true(outcome.taken.len > 2);
    forget(&lost);
    forget(&outcome);
}

static void an_error_page_is_gathered_not_taken(void **state)
{
    (void)state;
    struct outcome outcome = {0};
    exchange("/missing", (struct http_request){.take = take}, &outcome);
    assert_int_equal(outcome.response.status, 404);
    assert_int_equal(outcome.taken.len, 0);
    forget(&outcome);
}

static void a_taker_that_has_enough_ends_the_exchange(void **state)
{
    (void)state;
    struct outcome outcome = {.taken_max = 100000};
    exchange("/endless", (struct http_request){.take = take}, &outcome);
    assert_int_equal(outcome.response.status, 0);
    assert_int_equal(outcome.response.err.code, ERR_CANCELLED);
    assert_true(outcome.taken.len <= 100000);
    forget(&outcome);
}

static void an_answer_that_stalls_is_a_timeout(void **state)
{
    (void)state;
    struct outcome outcome = {0};
    exchange("/hang", (struct http_request){.stall_timeout_s = 1}, &outcome);
    assert_int_equal(outcome.response.err.code, ERR_TIMEOUT);
    assert_non_null(strstr(outcome.response.err.message, "nothing came for 1 s"));
    forget(&outcome);
}

static void headers_are_kept_when_asked_for(void **state)
{
    (void)state;
    struct outcome outcome = {0}, other = {0};
    exchange("/gzip", (struct http_request){.keep_headers = true}, &outcome);
    char *value = http_response_header(&outcome.response, "content-ENCODING");
    assert_string_equal(value, "gzip");
    free(value);
    assert_null(http_response_header(&outcome.response, "Content"));
    assert_null(http_response_header(&outcome.response, "X-None"));
    exchange("/gzip", (struct http_request){0}, &other);
    assert_int_equal(other.response.headers.len, 0);
    forget(&outcome);
    forget(&other);
}

static void a_redirect_is_the_answer_where_none_is_followed(void **state)
{
    (void)state;
    struct outcome outcome = {0};
    exchange("/loop", (struct http_request){.no_redirects = true, .keep_headers = true}, &outcome);
    assert_int_equal(outcome.response.status, 302);
    char *value = http_response_header(&outcome.response, "Location");
    assert_string_equal(value, "/loop");
    free(value);
    assert_int_equal(atomic_load(&server->requests), 1);
    forget(&outcome);
}

static void links_lead_on_but_never_from_https_to_http(void **state)
{
    (void)state;
    static const struct {
        const char *base, *link, *expected;
    } cases[] = {
        {"https://a/b/c?q", "/x?y=1", "https://a/x?y=1"},
        {"https://a/b/c", "d", "https://a/b/d"},
        {"http://a/b", "https://c/d", "https://c/d"},
        {"http://a/b", "http://c:81/d", "http://c:81/d"},
        {"http://a/b", "//c/d", "http://c/d"},
        {"https://a/b", "http://a/b", NULL},
        {"http://a/b", "ftp://a/b", NULL},
        {"http://a/b", "file:///etc/passwd", NULL},
        {"nonsense", "/a", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *found = http_url_follow(cases[i].base, cases[i].link);
        if (cases[i].expected)
            assert_string_equal(found, cases[i].expected);
        else
            assert_null(found);
        free(found);
    }
}

static void an_origin_is_scheme_host_and_port(void **state)
{
    (void)state;
    assert_true(http_url_same_origin("https://a/b", "https://A:443/c?d"));
    assert_true(http_url_same_origin("http://a:80", "http://a/x"));
    assert_false(http_url_same_origin("https://a", "http://a"));
    assert_false(http_url_same_origin("https://a", "https://a:8443"));
    assert_false(http_url_same_origin("https://a", "https://a.b"));
    assert_false(http_url_same_origin("https://a@b", "https://a"));
    assert_false(http_url_same_origin("ftp://a", "ftp://a"));
    assert_false(http_url_same_origin("", ""));
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_taken_body_comes_as_it_was_sent_and_is_not_gathered),
        CASE(a_host_that_is_not_found_spoils_no_later_exchange),
        CASE(an_error_page_is_gathered_not_taken),
        CASE(a_taker_that_has_enough_ends_the_exchange),
        CASE(an_answer_that_stalls_is_a_timeout),
        CASE(headers_are_kept_when_asked_for),
        CASE(a_redirect_is_the_answer_where_none_is_followed),
        CASE(links_lead_on_but_never_from_https_to_http),
        CASE(an_origin_is_scheme_host_and_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
