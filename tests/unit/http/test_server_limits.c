/* The HTTP server and clients that send too much, too slowly or nonsense, or are too many. */
#include "server_test.h"

static void connections_over_the_limit_wait(void **state)
{
    struct http_server_options options = options_of("localhost");
    int fds[3];
    (void)state;
    options.connections_max = 2;
    start(&options);
    for (int i = 0; i < 3; i++)
        fds[i] = connect_client();
    for (int i = 0; i < 3; i++)
        send_text(fds[i], "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_for(&program.held_count, 2);
    answer(take_held(), 200, "held");
    answer(take_held(), 200, "held");
    expect(fds[0], 200, "held");
    expect(fds[1], 200, "held");
    expect_pause(fds[2]);
    close(fds[0]);
    answer(take_held(), 200, "held");
    expect(fds[2], 200, "held");
    close(fds[1]);
    close(fds[2]);
    stop(0);
}

static void declared_body_over_the_limit_is_refused_at_once(void **state)
{
    (void)state;
    start_default();
    int fd = connect_client();
    send_text(fd, "POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n");
    expect(fd, 413, NULL); /* with none of it sent */
    shutdown(fd, SHUT_WR);
    expect_closed(fd);
    fd = connect_client();
    send_text(fd, "POST /length HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                  "Content-Length: 99999999999999999999\r\n\r\n");
    expect(fd, 413, NULL);
    expect_closed(fd);
    fd = connect_client();
    send_text(fd, "POST /length HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                  "Content-Length: 1001\r\n\r\n");
    expect(fd, 413, NULL);
    expect_closed(fd);
    assert_int_equal(count_of(&program.handled), 0);
    stop(0);
}

static void client_that_sends_too_much_still_reads_why(void **state)
{
    size_t len = 16u << 20;
    struct answer a;
    (void)state;
    start_default();
    char *body = mem_alloc(len);
    int fd = connect_client();
    send_text(fd, "POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 16777216\r\n\r\n");
    assert_int_equal(send_bytes(fd, body, len), len);
    read_answer(fd, &a, false);
    assert_int_equal(a.status, 413);
    assert_non_null(find_header(&a, "\r\nConnection: close"));
    str_finish(&a.body);
    expect_closed(fd);
    free(body);
    assert_int_equal(count_of(&program.handled), 0);
    stop(0);
}

static void chunked_body_is_counted(void **state)
{
    char chunk[BODY_MAX + 1];
    (void)state;
    memset(chunk, 'x', sizeof(chunk));
    start_default();
    int fd = connect_client();
    send_text(fd, "POST /length HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                  "3e7\r\n");
    send_bytes(fd, chunk, BODY_MAX - 1);
    send_text(fd, "\r\n1\r\nx\r\n0\r\n\r\n");
    expect(fd, 200, "1000");
    send_text(fd, "POST /length HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                  "3e8\r\n");
    send_bytes(fd, chunk, BODY_MAX);
    send_text(fd, "\r\n1\r\nx");
    expect(fd, 413, NULL); /* though the body has not ended */
    send_text(fd, "\r\n0\r\n\r\n");
    expect_closed(fd);
    assert_int_equal(count_of(&program.handled), 1);
    expect_alive();
    stop(0);
}

/* Sends a byte of `text` each time until the server closes; true when it did, within WAIT_S. */
static bool trickle(const char *begin, const char *text)
{
    int64_t deadline = clock_now() + WAIT_S * CLOCK_S;
    struct timeval pause = {0, 200000};
    int fd = connect_client();
    char byte;
    ssize_t got = -1;
    send_text(fd, begin);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &pause, sizeof(pause));
    while (clock_now() < deadline) {
        if (text && send_bytes(fd, text, 1) != 1)
            break;
        got = recv(fd, &byte, 1, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            break;
    }
    close(fd);
    return clock_now() < deadline;
}

static void slow_requests_end(void **state)
{
    struct http_server_options options = options_of("localhost");
    (void)state;
    options.timeout_s = 0.5;
    start(&options);
    int fd = connect_client();
    send_text(fd, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(trickle("", NULL));
    assert_true(trickle("POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n123", NULL));
    /* something moves, but the request never comes */
    assert_true(trickle("GET / HTTP/1.1\r\nHost: x\r\nX-Header: ", "x"));
    assert_true(trickle("POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n", "x"));
    assert_int_equal(count_of(&program.handled), 1);
    assert_int_equal(count_of(&program.gone), 0);
    answer(take_held(), 200, "an exchange that waits is not idle");
    expect(fd, 200, "an exchange that waits is not idle");
    expect_closed(fd); /* now it is */
    stop(0);
}

static void nonsense_is_refused(void **state)
{
    static const struct {
        const char *request;
        int status; /* 0: any refusal, closing without a word too */
    } cases[] = {
        {"GET /a%00b HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET /a%zz HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET /a% HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET /a?b=%4 HTTP/1.1\r\nHost: x\r\n\r\n", 400},
        {"GET /a HTTP/1.1\r\n\r\n", 400},
        {"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400},
        {"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
         400},
        {"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
        {"POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
        {"GET /a HTTP/9.9\r\nHost: x\r\n\r\n", 0},
        {"\x16\x03\x01\x02\xfc\x03\x03 as TLS begins", 0},
        {"\r\n\r\n\r\n:::\r\n\r\n", 0},
    };
    struct http_server_options options = options_of("localhost");
    (void)state;
    options.timeout_s = 1; /* what may still become a request is only ended by time */
    start(&options);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct answer a;
        int fd = connect_client();
        send_text(fd, cases[i].request);
        read_answer(fd, &a, false);
        if (a.status != cases[i].status && cases[i].status)
            fail_msg("case %zu: %d, expected %d", i, a.status, cases[i].status);
        assert_true(a.status == 0 || a.status >= 400);
        str_finish(&a.body);
        expect_closed(fd);
    }
    assert_int_equal(count_of(&program.handled), 0);
    expect_alive();
    stop(0);
}

static void headers_are_bounded(void **state)
{
    struct answer a;
    (void)state;
    start_default();
    char *text = mem_alloc(100001);
    memset(text, 'x', 100000);
    int fd = connect_client();
    send_text(fd, "GET / HTTP/1.1\r\nHost: x\r\nX-Long: ");
    send_bytes(fd, text, 100000);
    read_answer(fd, &a, false);
    assert_true(a.status == 0 || a.status == 431 || a.status == 413);
    str_finish(&a.body);
    expect_closed(fd);
    free(text);
    assert_int_equal(count_of(&program.handled), 0);
    expect_alive();
    stop(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connections_over_the_limit_wait),
        cmocka_unit_test(declared_body_over_the_limit_is_refused_at_once),
        cmocka_unit_test(client_that_sends_too_much_still_reads_why),
        cmocka_unit_test(chunked_body_is_counted),
        cmocka_unit_test(slow_requests_end),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(headers_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
