/* The client against a real server: connections that are kept, many requests, the ways in which an
 * exchange fails, and what ends a poll. */
#include "http_test.h"

#include <signal.h>
#include <sys/time.h>

#define AGENT "test-agent/1"

static struct test_server *server;
static struct http_client *client;

static int start(void **state)
{
    (void)state;
    server = test_server_start();
    client = http_client_create(AGENT);
    return client ? 0 : -1;
}

static int finish(void **state)
{
    (void)state;
    http_client_destroy(client);
    test_server_stop(server);
    return 0;
}

/* --- Helpers --------------------------------------------------------------------------------- */

struct outcome {
    int ended; /* how often `done` was called */
    struct http_response response;
};

static void keep(struct http_response *response, void *arg)
{
    struct outcome *outcome = arg;
    outcome->ended++;
    str_finish(&outcome->response.body);
    outcome->response = *response;
    response->body = (struct str){0}; /* is ours now */
}

static void poll_until(const int *count, int wanted)
{
    int64_t give_up = clock_now() + 60 * CLOCK_S;
    while (*count < wanted && clock_now() < give_up)
        http_client_poll(client, clock_now() + 100 * CLOCK_MS);
    assert_int_equal(*count, wanted);
}

static void poll_until_hanging(void)
{
    int64_t give_up = clock_now() + 60 * CLOCK_S;
    while (atomic_load(&server->hanging) == 0 && clock_now() < give_up)
        http_client_poll(client, clock_now() + 10 * CLOCK_MS);
    assert_int_equal(atomic_load(&server->hanging), 1);
}

static struct http_call *begin(const struct http_request *request, struct outcome *outcome)
{
    struct err err = {0};
    struct http_call *call = http_client_start(client, request, keep, outcome, &err);
    if (!call)
        fail_msg("%s", err.message);
    return call;
}

static void exchange(const struct http_request *request, struct outcome *outcome)
{
    begin(request, outcome);
    poll_until(&outcome->ended, 1);
}

static struct http_request get(const char *path)
{
    return (struct http_request){.method = "GET", .url = test_url(server, "127.0.0.1", path)};
}

static void forget(struct outcome *outcome)
{
    str_finish(&outcome->response.body);
    *outcome = (struct outcome){0};
}

/* A GET of `path` has a whole answer with this body. */
static void expect_body(const char *path, const char *body)
{
    struct outcome outcome = {0};
    struct http_request request = get(path);
    exchange(&request, &outcome);
    assert_string_equal(outcome.response.err.message, "");
    assert_int_equal(outcome.response.status, 200);
    assert_string_equal(str_text(&outcome.response.body), body);
    forget(&outcome);
}

static void expect_failure(const struct http_request *request, int code, const char *message)
{
    struct outcome outcome = {0};
    exchange(request, &outcome);
    assert_int_equal(outcome.response.status, 0);
    assert_int_equal(outcome.response.err.code, code);
    assert_int_equal(outcome.response.body.len, 0);
    if (!strstr(outcome.response.err.message, message))
        fail_msg("\"%s\" lacks \"%s\"", outcome.response.err.message, message);
    assert_null(strstr(outcome.response.err.message, "secret"));
    assert_non_null(strstr(outcome.response.err.message, "127.0.0.1"));
    forget(&outcome);
}

/* --- What is sent ---------------------------------------------------------------------------- */

static void one_connection_serves_many_requests(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++)
        expect_body("/ok", "fine");
    assert_int_equal(atomic_load(&server->requests), 200);
    assert_int_equal(atomic_load(&server->connections), 1);
}

static void a_request_has_its_headers_and_no_more(void **state)
{
    (void)state;
    static const char *const headers[] = {"Authorization: Bearer k", "X-Thing: 5", NULL};
    struct outcome outcome = {0};
    struct http_request request = get("/head");
    char expected[512];
    request.headers = headers;
    request.method = "POST";
    request.body = "abc";
    request.body_len = 3;
    exchange(&request, &outcome);
    snprintf(expected, sizeof(expected),
             "POST /head HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nUser-Agent: " AGENT "\r\nAccept: */*\r\n"
             "Accept-Encoding: gzip, deflate\r\nAuthorization: Bearer k\r\nX-Thing: 5\r\n"
             "Content-Length: 3\r\n\r\n",
             server->port);
    assert_string_equal(str_text(&outcome.response.body), expected);
    forget(&outcome);
}

static void ten_megabytes_go_both_ways(void **state)
{
    (void)state;
    size_t len = 10u << 20;
    char *body = mem_alloc(len);
    struct outcome outcome = {0};
    static const char *const headers[] = {"Content-Type: application/x-noise", NULL};
    struct http_request request = get("/echo");
    for (size_t i = 0; i < len; i++)
        body[i] = (char)(i * 2654435761u >> 13);
    request.method = "POST";
    request.headers = headers;
    request.body = body;
    request.body_len = len;
    exchange(&request, &outcome);
    assert_int_equal(outcome.response.status, 200);
    assert_int_equal(outcome.response.body.len, len);
    assert_memory_equal(outcome.response.body.data, body, len);
    assert_string_equal(outcome.response.content_type, "text/plain");
    assert_non_null(strstr(str_text(&server->head), "Content-Type: application/x-noise\r\n"));
    assert_null(strstr(str_text(&server->head), "Expect"));
    forget(&outcome);
    free(body);
}

static void many_parallel_requests_are_answered(void **state)
{
    (void)state;
    enum { COUNT = 100 };
    static struct outcome outcomes[COUNT];
    static char bodies[COUNT][32];
    struct http_request request = get("/echo");
    request.method = "POST";
    for (int i = 0; i < COUNT; i++) {
        request.body = bodies[i];
        request.body_len = (size_t)snprintf(bodies[i], sizeof(bodies[i]), "body %d", i);
        begin(&request, &outcomes[i]);
    }
    for (int i = 0; i < COUNT; i++) {
        poll_until(&outcomes[i].ended, 1);
        assert_int_equal(outcomes[i].response.status, 200);
        assert_string_equal(str_text(&outcomes[i].response.body), bodies[i]);
        forget(&outcomes[i]);
    }
}

static void a_url_that_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const urls[] = {
        "",          "no url",          "127.0.0.1/x", "ftp://a/b",    "http://", "http://a b/",
        "file:///x", "http://a:99999/", "https:///",   "gopher://a/b", "://a"};
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct err err = {0};
        struct outcome outcome = {0};
        struct http_request request = {.method = "GET", .url = urls[i]};
        assert_null(http_client_start(client, &request, keep, &outcome, &err));
        assert_int_equal(err.code, ERR_INVALID);
    }
}

/* --- What comes back ------------------------------------------------------------------------- */

static void chunks_and_compression_are_undone(void **state)
{
    (void)state;
    expect_body("/chunked", "hello, chunks");
    expect_body("/gzip", "hello, hello, hello, hello");
}

static void an_answer_that_is_too_long_is_a_failure(void **state)
{
    (void)state;
    struct http_request request = get("/chunked");
    request.response_max = 12;
    expect_failure(&request, ERR_INTERNAL, "longer than 12 bytes");
    request = get("/ok"); /* by its Content-Length */
    request.response_max = 3;
    expect_failure(&request, ERR_INTERNAL, "longer than 3 bytes");
    request = get("/bomb"); /* by what it unpacks to */
    request.response_max = 199999;
    expect_failure(&request, ERR_INTERNAL, "longer than 199999 bytes");
    request = get("/endless");
    request.response_max = 100000;
    expect_failure(&request, ERR_INTERNAL, "longer than 100000 bytes");
    request = get("/ok");
    request.response_max = 4;
    struct outcome outcome = {0};
    exchange(&request, &outcome);
    assert_int_equal(outcome.response.body.len, 4);
    forget(&outcome);
}

static void retry_after_is_seconds_in_both_forms(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        double expected;
    } cases[] = {{"/busy", 7}, {"/busy-past", 0}, {"/busy-nonsense", -1}, {"/ok", -1}};
    struct http_request request;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct outcome outcome = {0};
        request = get(cases[i].path);
        exchange(&request, &outcome);
        assert_true(outcome.response.retry_after_s == cases[i].expected);
        forget(&outcome);
    }
    struct outcome outcome = {0};
    request = get("/busy-future");
    exchange(&request, &outcome);
    assert_true(outcome.response.retry_after_s > 3600); /* and bounded */
    assert_true(outcome.response.retry_after_s <= 7 * 86400);
    forget(&outcome);
}

static void is_answered_from_the_first_line_on(void **state)
{
    (void)state;
    struct outcome silent = {0}, half = {0};
    struct http_request request = get("/hang");
    struct http_call *silent_call = begin(&request, &silent);
    poll_until_hanging();
    request = get("/half");
    struct http_call *half_call = begin(&request, &half);
    int64_t give_up = clock_now() + 30 * CLOCK_S;
    while (!http_call_is_answered(half_call) && clock_now() < give_up)
        http_client_poll(client, clock_now() + 10 * CLOCK_MS);
    assert_true(http_call_is_answered(half_call));
    assert_false(http_call_is_answered(silent_call));
    assert_int_equal(silent.ended + half.ended, 0);
    http_call_cancel(half_call);
    http_call_cancel(silent_call);
}

static void has_begun_from_the_first_byte_on(void **state)
{
    (void)state;
    struct outcome silent = {0}, half = {0};
    struct http_request request = get("/hang");
    struct http_call *silent_call = begin(&request, &silent);
    request = get("/half-line");
    struct http_call *half_call = begin(&request, &half);
    int64_t give_up = clock_now() + 30 * CLOCK_S;
    while (!http_call_has_begun(half_call) && clock_now() < give_up)
        http_client_poll(client, clock_now() + 10 * CLOCK_MS);
    assert_true(http_call_has_begun(half_call));
    assert_false(http_call_is_answered(half_call));
    assert_false(http_call_has_begun(silent_call));
    http_call_cancel(half_call);
    http_call_cancel(silent_call);
}

/* --- Redirects ------------------------------------------------------------------------------- */

static void redirects_are_followed(void **state)
{
    (void)state;
    struct outcome outcome = {0};
    expect_body("/301//ok", "fine");
    expect_body("/301//307//ok", "fine");
    struct http_request request = get("/307//echo");
    request.method = "POST";
    request.body = "kept";
    request.body_len = 4;
    static const char *const ways[] = {"/301//echo", "/302//echo", "/303//echo", "/307//echo"};
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        request.url = test_url(server, "127.0.0.1", ways[i]);
        exchange(&request, &outcome);
        assert_string_equal(str_text(&outcome.response.body), "kept");
        forget(&outcome);
    }
    request = get("/loop");
    expect_failure(&request, ERR_INTERNAL, "redirect");
    request.url = test_url(server, "127.0.0.1", "/301/file:///etc/passwd");
    expect_failure(&request, ERR_INTERNAL, "a redirect to another protocol");
    request = get("/garbage");
    expect_failure(&request, ERR_INTERNAL, "the answer is no HTTP");
}

static void authorization_stays_with_its_host(void **state)
{
    (void)state;
    static const char *const headers[] = {"Authorization: Bearer secret", NULL};
    struct outcome outcome = {0};
    char path[256];
    struct http_request request = get("/301//head");
    request.headers = headers;
    exchange(&request, &outcome);
    assert_non_null(strstr(str_text(&outcome.response.body), "Bearer secret"));
    forget(&outcome);
    snprintf(path, sizeof(path), "/301/%s", test_url(server, "localhost", "/head"));
    request.url = test_url(server, "127.0.0.1", path);
    exchange(&request, &outcome);
    assert_int_equal(outcome.response.status, 200);
    assert_non_null(strstr(str_text(&outcome.response.body), "Host: localhost"));
    assert_null(strstr(str_text(&outcome.response.body), "secret"));
    forget(&outcome);
}

static void a_stranger_gets_no_connection_that_was_kept(void **state)
{
    (void)state;
    struct http_request request = get("/ok");
    expect_body("/ok", "fine");
    request.public_only = true;
    expect_failure(&request, ERR_INVALID, "its address is not a public one");
    assert_int_equal(atomic_load(&server->requests), 1);
}

/* --- Failures -------------------------------------------------------------------------------- */

static void what_is_no_whole_answer_is_a_failure(void **state)
{
    (void)state;
    static const char *const paths[] = {"/truncated", "/truncated-chunk", "/reset", "/garbage",
                                        "/close"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct http_request request = get(paths[i]);
        expect_failure(&request, ERR_INTERNAL, "");
    }
    expect_body("/ok", "fine");
}

static void nobody_listening_is_a_failure_that_names_the_host(void **state)
{
    (void)state;
    struct test_server *gone = test_server_start();
    char url[256];
    snprintf(url, sizeof(url), "%s", test_url(gone, "127.0.0.1", "/secret?secret=secret"));
    test_server_stop(gone);
    struct http_request request = {.method = "GET", .url = url};
    expect_failure(&request, ERR_INTERNAL, "127.0.0.1: ");
}

static void a_slow_answer_runs_into_the_timeout(void **state)
{
    (void)state;
    struct http_request request = get("/hang");
    request.timeout_s = 0.3;
    expect_failure(&request, ERR_TIMEOUT, "no whole answer within 0.3 s");
    request = get("/half");
    request.timeout_s = 0.3;
    expect_failure(&request, ERR_TIMEOUT, "no whole answer within 0.3 s");
}

/* A listener whose queue is full answers no further connection. */
static void a_connection_that_nobody_takes_runs_into_its_timeout(void **state)
{
    (void)state;
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM, 0), fillers[8];
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(listener, 0), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    for (int i = 0; i < 8; i++) {
        fillers[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        if (connect(fillers[i], (struct sockaddr *)&address, len) != 0)
            continue; /* in progress, for ever */
    }
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", ntohs(address.sin_port));
    struct http_request request = {.method = "GET", .url = url, .connect_timeout_s = 0.3};
    expect_failure(&request, ERR_TIMEOUT, "no connection within 0.3 s");
    for (int i = 0; i < 8; i++)
        close(fillers[i]);
    close(listener);
}

static void reconnect_ends_what_is_in_flight(void **state)
{
    (void)state;
    struct outcome outcome = {0}, next = {0};
    struct http_request request = get("/hang");
    expect_body("/ok", "fine");
    begin(&request, &outcome);
    poll_until_hanging();
    http_client_reconnect(client);
    assert_int_equal(outcome.ended, 0); /* not before the poll */
    request = get("/ok");
    begin(&request, &next);
    http_client_poll(client, CLOCK_NEVER);
    assert_int_equal(outcome.ended, 1);
    assert_int_equal(outcome.response.status, 0);
    assert_int_equal(outcome.response.err.code, ERR_INTERNAL);
    poll_until(&next.ended, 1);
    assert_int_equal(next.response.status, 200);
    assert_int_equal(atomic_load(&server->connections), 2);
    TEST_WAIT_FOR(server->hung_up, 1);
    struct http_call *dropped = begin(&request, &outcome);
    http_client_reconnect(client);
    http_call_cancel(dropped);
    http_client_poll(client, 0);
    assert_int_equal(outcome.ended, 1);
    forget(&outcome);
    forget(&next);
}

/* --- Cancelling and `done` ------------------------------------------------------------------- */

static void a_cancelled_call_is_never_done(void **state)
{
    (void)state;
    struct outcome outcome = {0};
    struct http_request request = get("/hang");
    struct http_call *call = begin(&request, &outcome);
    poll_until_hanging();
    http_call_cancel(call);
    TEST_WAIT_FOR(server->hung_up, 1);
    http_client_poll(client, 0);
    assert_int_equal(outcome.ended, 0);
    expect_body("/ok", "fine");
    http_call_cancel(begin(&request, &outcome)); /* before it went anywhere */
    begin(&request, &outcome);                   /* in flight at the end */
}

struct chain {
    struct http_call *to_cancel;
    int ended;
};

static void cancel_and_go_on(struct http_response *response, void *arg)
{
    struct chain *chain = arg;
    struct err err;
    assert_int_equal(response->status, 200);
    if (chain->to_cancel)
        http_call_cancel(chain->to_cancel);
    chain->to_cancel = NULL;
    if (++chain->ended == 5)
        return;
    struct http_request request = get("/ok");
    assert_non_null(http_client_start(client, &request, cancel_and_go_on, chain, &err));
}

static void done_may_start_and_cancel_calls(void **state)
{
    (void)state;
    struct outcome outcome = {0};
    struct chain chain = {0};
    struct err err;
    struct http_request request = get("/hang");
    chain.to_cancel = begin(&request, &outcome);
    poll_until_hanging();
    request = get("/ok");
    assert_non_null(http_client_start(client, &request, cancel_and_go_on, &chain, &err));
    poll_until(&chain.ended, 5);
    assert_int_equal(outcome.ended, 0);
}

/* Both are complete in one poll; whichever is told first cancels the other. */
static void done_may_cancel_what_is_complete_too(void **state)
{
    (void)state;
    struct chain chains[2] = {{.ended = 4}, {.ended = 4}};
    struct err err;
    struct http_request request = get("/ok");
    for (int i = 0; i < 2; i++)
        chains[1 - i].to_cancel =
            http_client_start(client, &request, cancel_and_go_on, &chains[i], &err);
    http_client_poll(client, 0); /* connects and sends */
    usleep(200000);
    for (int i = 0; i < 100 && chains[0].ended + chains[1].ended == 8; i++) {
        http_client_poll(client, clock_now() + 100 * CLOCK_MS);
        usleep(20000);
    }
    http_client_poll(client, 0);
    assert_int_equal(chains[0].ended + chains[1].ended, 9);
}

static void reconnect_inside(struct http_response *response, void *arg)
{
    keep(response, arg);
    http_client_reconnect(client);
}

static void done_may_reconnect(void **state)
{
    (void)state;
    struct outcome first = {0}, second = {0};
    struct err err;
    struct http_request request = get("/hang");
    begin(&request, &second);
    poll_until_hanging();
    request = get("/ok");
    assert_non_null(http_client_start(client, &request, reconnect_inside, &first, &err));
    poll_until(&first.ended, 1);
    poll_until(&second.ended, 1);
    assert_int_equal(first.response.status, 200);
    assert_int_equal(second.response.status, 0);
    forget(&first);
    forget(&second);
}

/* --- Waking ---------------------------------------------------------------------------------- */

static void on_alarm(int number)
{
    (void)number;
    http_client_wake(client);
}

static void a_signal_handler_wakes(void **state)
{
    (void)state;
    struct sigaction action = {.sa_handler = on_alarm}, before;
    struct itimerval timer = {.it_value = {.tv_usec = 100000}};
    int64_t begun = clock_now();
    sigaction(SIGALRM, &action, &before);
    setitimer(ITIMER_REAL, &timer, NULL);
    http_client_poll(client, begun + 60 * CLOCK_S);
    assert_true(clock_now() - begun < 30 * CLOCK_S);
    sigaction(SIGALRM, &before, NULL);
}

static void *wake_later(void *arg)
{
    usleep(100000);
    http_client_wake(arg);
    return NULL;
}

static void another_thread_wakes(void **state)
{
    (void)state;
    pthread_t thread;
    struct outcome outcome = {0};
    struct http_request request = get("/hang");
    int64_t begun = clock_now();
    begin(&request, &outcome);
    poll_until_hanging();
    assert_int_equal(sync_thread_start(&thread, wake_later, client), 0);
    http_client_poll(client, begun + 60 * CLOCK_S);
    assert_true(clock_now() - begun < 30 * CLOCK_S);
    assert_int_equal(outcome.ended, 0);
    pthread_join(thread, NULL);
}

static void a_wake_counts_for_the_next_poll_and_once(void **state)
{
    (void)state;
    int64_t begun = clock_now();
    http_client_wake(client);
    http_client_wake(client);
    http_client_poll(client, begun + 60 * CLOCK_S);
    assert_true(clock_now() - begun < 30 * CLOCK_S);
    begun = clock_now();
    http_client_poll(client, begun + 200 * CLOCK_MS);
    assert_true(clock_now() - begun >= 200 * CLOCK_MS);
    http_client_poll(client, 0);
    assert_true(clock_now() - begun < 30 * CLOCK_S);
}

/* --- http_send ------------------------------------------------------------------------------- */

static void send_waits_for_the_answer_of_any_method(void **state)
{
    (void)state;
    static const char *const methods[] = {"GET", "PUT", "POST", "DELETE", "PATCH"};
    struct http_response response;
    struct http_request request = get("/head");
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        bool body = strcmp(methods[i], "PUT") == 0 || strcmp(methods[i], "POST") == 0;
        request.method = methods[i];
        assert_int_equal(http_send(&request, AGENT, NULL, &response), 0);
        assert_int_equal(response.status, 200);
        assert_int_equal(strncmp(str_text(&response.body), methods[i], strlen(methods[i])), 0);
        assert_int_equal(strstr(str_text(&response.body), "Content-Length: 0\r\n") != NULL, body);
        str_finish(&response.body);
    }
    request.method = "HEAD";
    assert_int_equal(http_send(&request, AGENT, NULL, &response), 0);
    assert_int_equal(response.body.len, 0);
    request = get("/301//ok");
    assert_int_equal(http_send(&request, AGENT, NULL, &response), 0);
    assert_int_equal(response.status, 301); /* not followed */
    str_finish(&response.body);
    request = get("/truncated");
    assert_int_equal(http_send(&request, AGENT, NULL, &response), ERR_INTERNAL);
    request.url = "nothing";
    assert_int_equal(http_send(&request, AGENT, NULL, &response), ERR_INVALID);
    assert_int_equal(response.err.code, ERR_INVALID);
}

static void *stop_when_hanging(void *arg)
{
    for (int i = 0; i < 30000 && atomic_load(&server->hanging) == 0; i++)
        usleep(1000);
    atomic_store((atomic_int *)arg, 1);
    return NULL;
}

static void send_gives_up_when_told(void **state)
{
    (void)state;
    atomic_int stop = 0;
    pthread_t thread;
    struct http_response response;
    struct http_request request = get("/hang");
    assert_int_equal(sync_thread_start(&thread, stop_when_hanging, &stop), 0);
    assert_int_equal(http_send(&request, AGENT, &stop, &response), ERR_CANCELLED);
    assert_int_equal(response.status, 0);
    pthread_join(thread, NULL);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(one_connection_serves_many_requests),
        CASE(a_request_has_its_headers_and_no_more),
        CASE(ten_megabytes_go_both_ways),
        CASE(many_parallel_requests_are_answered),
        CASE(a_url_that_is_none_is_refused),
        CASE(chunks_and_compression_are_undone),
        CASE(an_answer_that_is_too_long_is_a_failure),
        CASE(retry_after_is_seconds_in_both_forms),
        CASE(is_answered_from_the_first_line_on),
        CASE(has_begun_from_the_first_byte_on),
        CASE(redirects_are_followed),
        CASE(authorization_stays_with_its_host),
        CASE(a_stranger_gets_no_connection_that_was_kept),
        CASE(what_is_no_whole_answer_is_a_failure),
        CASE(nobody_listening_is_a_failure_that_names_the_host),
        CASE(a_slow_answer_runs_into_the_timeout),
        CASE(a_connection_that_nobody_takes_runs_into_its_timeout),
        CASE(reconnect_ends_what_is_in_flight),
        CASE(a_cancelled_call_is_never_done),
        CASE(done_may_start_and_cancel_calls),
        CASE(done_may_cancel_what_is_complete_too),
        CASE(done_may_reconnect),
        CASE(a_signal_handler_wakes),
        CASE(another_thread_wakes),
        CASE(a_wake_counts_for_the_next_poll_and_once),
        CASE(send_waits_for_the_answer_of_any_method),
        CASE(send_gives_up_when_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
