/* The HTTP server over real sockets: answers now and later, clients that leave, stopping. */
#include "server_test.h"

/* --- Requests and answers --------------------------------------------------------------------- */

static void request_is_shown_and_answered(void **state)
{
    struct answer a;
    (void)state;
    start_default();
    int fd = connect_client();
    send_text(fd, "POST /a%20b%C3%A9%2Fc?NAME=x%26+y%2B&flag&other=1 HTTP/1.1\r\nHost: x\r\n"
                  "X-Name: Some value\r\nContent-Length: 4\r\n\r\nbody");
    read_answer(fd, &a, false);
    assert_int_equal(a.status, 200);
    assert_string_equal(str_text(&a.body),
                        "POST /a b\xc3\xa9/c name=x& y+ flag= header=Some value body=body");
    assert_memory_equal(find_header(&a, "\r\nContent-Type"), "text/plain; charset=utf-8\r\n", 27);
    assert_memory_equal(find_header(&a, "\r\nX-Extra"), "one: two\r\n", 10);
    assert_memory_equal(find_header(&a, "\r\nX-Second"), "2\r\n", 3);
    str_finish(&a.body);
    /* the same connection, without anything optional */
    send_text(fd, "DELETE /plain HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(fd, 200, "DELETE /plain name=NULL flag=NULL header=NULL body=");
    close(fd);
    stop(0);
}

static void head_is_answered_as_get_without_body(void **state)
{
    struct answer a;
    (void)state;
    start_default();
    int fd = connect_client();
    send_text(fd, "HEAD /p HTTP/1.1\r\nHost: x\r\n\r\nGET /p HTTP/1.1\r\nHost: x\r\n\r\n");
    read_answer(fd, &a, true);
    assert_int_equal(a.status, 200);
    const char *get = "GET /p name=NULL flag=NULL header=NULL body=";
    assert_int_equal(strtoul(find_header(&a, "\r\nContent-Length"), NULL, 10), strlen(get));
    expect(fd, 200, get);
    close(fd);
    stop(0);
}

static void body_is_asked_for_when_the_client_waits(void **state)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    char got[sizeof(go_on)] = "";
    (void)state;
    start_default();
    int fd = connect_client();
    send_text(fd, "POST /length HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
                  "Content-Length: 1000\r\n\r\n");
    assert_int_equal(recv(fd, got, sizeof(go_on) - 1, MSG_WAITALL), sizeof(go_on) - 1);
    assert_string_equal(got, go_on);
    char *body = mem_alloc(1000);
    send_bytes(fd, body, 1000);
    expect(fd, 200, "1000");
    free(body);
    close(fd);
    stop(0);
}

static void empty_answer_has_a_length(void **state)
{
    (void)state;
    start_default();
    int fd = connect_client();
    send_text(fd, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(fd, 200, "");
    close(fd);
    stop(0);
}

static void requests_sent_ahead_are_answered_in_order(void **state)
{
    (void)state;
    start_default();
    int fd = connect_client();
    send_text(fd, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\nPOST /length HTTP/1.1\r\nHost: x\r\n"
                  "Content-Length: 3\r\n\r\nabcGET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    answer(take_held(), 201, "first");
    expect(fd, 201, "first");
    expect(fd, 200, "3");
    answer(take_held(), 202, "third");
    expect(fd, 202, "third");
    send_text(fd, "GET /length HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    expect(fd, 200, "0");
    expect_closed(fd);
    assert_int_equal(count_of(&program.gone), 0);
    stop(0);
}

static void big_bodies_pass_both_ways(void **state)
{
    size_t len = 16u << 20;
    char head[128];
    struct answer a;
    struct http_server_options options = options_of("127.0.0.1");
    (void)state;
    options.body_max = len;
    start(&options);
    char *body = mem_alloc(len);
    for (size_t i = 0; i < len; i++)
        body[i] = (char)(i * 2654435761u >> 13);
    int fd = connect_client();
    snprintf(head, sizeof(head), "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
             len);
    send_text(fd, head);
    assert_int_equal(send_bytes(fd, body, len), len);
    read_answer(fd, &a, false);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body.len, len);
    assert_memory_equal(a.body.data, body, len);
    str_finish(&a.body);
    /* and chunked, in the one chunk that it is */
    snprintf(head, sizeof(head),
             "POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n", len);
    send_text(fd, head);
    assert_int_equal(send_bytes(fd, body, len), len);
    send_text(fd, "\r\n0\r\n\r\n");
    read_answer(fd, &a, false);
    assert_int_equal(a.body.len, len);
    assert_memory_equal(a.body.data, body, len);
    str_finish(&a.body);
    free(body);
    close(fd);
    stop(0);
}

/* Answers what is held as it comes in, so that answers meet handlers that have not returned yet. */
static void *answer_all(void *arg)
{
    const int *count = arg;
    for (int i = 0; i < *count; i++)
        answer(take_held(), 200, "from a thread");
    return NULL;
}

static void many_clients_are_answered_by_other_threads(void **state)
{
    enum { CLIENTS = 20, ROUNDS = 20, THREADS = 2 };
    int fds[CLIENTS], each = CLIENTS * ROUNDS / THREADS;
    pthread_t threads[THREADS];
    (void)state;
    start_default();
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(sync_thread_start(&threads[i], answer_all, &each), 0);
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = connect_client();
    for (int round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < CLIENTS; i++)
            send_text(fds[i], "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
        for (int i = 0; i < CLIENTS; i++)
            expect(fds[i], 200, "from a thread");
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < CLIENTS; i++)
        close(fds[i]);
    assert_int_equal(count_of(&program.gone), 0);
    stop(0);
}

static void idle_connections_hinder_nobody(void **state)
{
    enum { IDLE = 200 };
    int fds[IDLE];
    (void)state;
    start_default();
    for (int i = 0; i < IDLE; i++)
        fds[i] = connect_client();
    expect_alive();
    for (int i = 0; i < IDLE; i++) {
        send_text(fds[i], "GET /length HTTP/1.1\r\nHost: x\r\n\r\n");
        expect(fds[i], 200, "0");
    }
    for (int i = 0; i < IDLE; i++)
        close(fds[i]);
    stop(0);
}

/* --- Clients that leave ---------------------------------------------------------------------- */

static void client_that_leaves_is_noticed_once(void **state)
{
    (void)state;
    start_default();
    int fd = connect_client();
    send_text(fd, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_for(&program.held_count, 1);
    close(fd);
    wait_for(&program.gone, 1);
    answer(take_held(), 200, "to nobody");
    expect_alive();
    assert_int_equal(count_of(&program.gone), 1);
    stop(WAIT_S);
}

static void half_closed_connection_counts_as_left(void **state)
{
    (void)state;
    start_default();
    int fd = connect_client();
    send_text(fd, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    shutdown(fd, SHUT_WR); /* perhaps before the request was handled */
    wait_for(&program.gone, 1);
    answer(take_held(), 200, "late");
    expect_closed(fd);
    expect_alive();
    stop(WAIT_S);
}

static void gone_may_answer(void **state)
{
    enum { CLIENTS = 30 };
    int fds[CLIENTS];
    (void)state;
    start_default();
    program.answer_when_gone = true;
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = connect_client();
        send_text(fds[i], "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
        if (i % 2)
            close(fds[i]); /* with handle still to come or under way */
    }
    for (int i = 0; i < CLIENTS; i += 2) {
        wait_for(&program.handled, CLIENTS);
        close(fds[i]);
    }
    wait_for(&program.gone, CLIENTS);
    assert_int_equal(count_of(&program.held_count), 0);
    expect_alive();
    stop(WAIT_S);
}

/* Each exchange is answered while its client leaves: either may come first. */
static void leaving_and_answering_may_meet(void **state)
{
    (void)state;
    start_default();
    for (int i = 0; i < 200; i++) {
        int fd = connect_client();
        send_text(fd, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
        struct http_exchange *x = take_held();
        close(fd);
        answer(x, 200, "perhaps to nobody");
    }
    expect_alive();
    assert_true(count_of(&program.gone) <= 200);
    stop(WAIT_S);
}

static void connection_reset_while_an_answer_is_sent_is_survived(void **state)
{
    struct http_server_options options = options_of("127.0.0.1");
    struct linger at_once = {1, 0};
    struct str body = {0};
    (void)state;
    start(&options);
    char *zeros = mem_alloc(8u << 20);
    int fd = connect_client();
    send_text(fd, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    str_append(&body, zeros, 8u << 20);
    http_exchange_answer(take_held(), 200, "application/octet-stream", NULL, &body);
    assert_int_equal(recv(fd, zeros, 1, 0), 1);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(fd);
    free(zeros);
    expect_alive();
    stop(WAIT_S);
}

/* --- Starting and stopping ------------------------------------------------------------------- */

static void taken_port_is_named(void **state)
{
    struct http_server *second;
    struct http_server_options options = options_of("localhost");
    struct err err = {0};
    char message[128];
    (void)state;
    start_default();
    options.port = http_server_port(program.server);
    snprintf(message, sizeof(message), "127.0.0.1:%u: address already in use", options.port);
    assert_int_equal(http_server_start(&options, &second, &err), ERR_INVALID);
    assert_string_equal(err.message, message);
    expect_alive();
    stop(0);
    /* and is free at once afterwards */
    start(&options);
    expect_alive();
    stop(0);
    options.host = "no such host.invalid";
    assert_int_equal(http_server_start(&options, &second, &err), ERR_INVALID);
    assert_non_null(strstr(err.message, "no such host.invalid: "));
    options.host = "192.0.2.1"; /* of documentation: nobody's */
    assert_int_equal(http_server_start(&options, &second, &err), ERR_INVALID);
}

static void every_address_is_listened_at(void **state)
{
    struct http_server_options options = options_of("0.0.0.0");
    (void)state;
    start(&options);
    expect_alive();
    stop(0);
    options.host = "::";
    int probe = socket(AF_INET6, SOCK_STREAM, 0);
    if (probe < 0) {
        print_message("IPv6 not tried: this machine has none\n");
        return;
    }
    close(probe);
    start(&options);
    expect_alive(); /* over IPv4 */
    stop(0);
}

static void *stop_in_thread(void *arg)
{
    const double *grace_s = arg;
    http_server_stop(program.server, *grace_s);
    return NULL;
}

static void stop_lets_answers_go_out(void **state)
{
    double grace_s = WAIT_S;
    struct answer a;
    pthread_t stopping;
    (void)state;
    start_default();
    uint16_t port = http_server_port(program.server);
    int idle = connect_client(), fd = connect_client(), late = connect_client();
    send_text(fd, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    send_text(late, "POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n");
    wait_for(&program.held_count, 1);
    assert_int_equal(sync_thread_start(&stopping, stop_in_thread, &grace_s), 0);
    int64_t deadline = clock_now() + WAIT_S * CLOCK_S;
    for (int probe; (probe = try_connect(port)) >= 0; close(probe))
        assert_true(clock_now() < deadline);
    send_text(late, "x"); /* a request that is whole only now */
    expect(late, 503, NULL);
    assert_int_equal(count_of(&program.gone), 0);
    answer(take_held(), 200, "in time");
    read_answer(fd, &a, false);
    assert_string_equal(str_text(&a.body), "in time");
    assert_non_null(find_header(&a, "\r\nConnection: close"));
    str_finish(&a.body);
    pthread_join(stopping, NULL);
    assert_int_equal(program.handled, 1);
    expect_closed(fd);
    expect_closed(late);
    expect_closed(idle);
    pthread_cond_destroy(&program.changed);
    pthread_mutex_destroy(&program.lock);
}

static void stop_tells_those_who_do_not_answer(void **state)
{
    enum { CLIENTS = 10 };
    int fds[CLIENTS];
    (void)state;
    start_default();
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = connect_client();
        send_text(fds[i], "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    wait_for(&program.held_count, CLIENTS);
    program.answer_when_gone = true;
    stop(0.1);
    assert_int_equal(program.gone, CLIENTS); /* its threads have ended */
    for (int i = 0; i < CLIENTS; i++)
        expect_closed(fds[i]);
}

static void stop_waits_for_the_last_answer(void **state)
{
    double grace_s = 0;
    pthread_t stopping;
    (void)state;
    start_default();
    int fd = connect_client();
    send_text(fd, "GET /hold HTTP/1.1\r\nHost: x\r\n\r\n");
    wait_for(&program.held_count, 1);
    assert_int_equal(sync_thread_start(&stopping, stop_in_thread, &grace_s), 0);
    wait_for(&program.gone, 1);
    answer(take_held(), 200, "to nobody");
    pthread_join(stopping, NULL);
    expect_closed(fd);
    pthread_cond_destroy(&program.changed);
    pthread_mutex_destroy(&program.lock);
    http_server_stop(NULL, 0);
}

/* Signals are the main thread's: none of the server's may take one. */
static void signals_pass_the_servers_threads_by(void **state)
{
    sigset_t set;
    int number;
    (void)state;
    start_default();
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    kill(getpid(), SIGUSR1); /* ends the process where it is not blocked */
    assert_int_equal(sigwait(&set, &number), 0);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    expect_alive();
    stop(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(request_is_shown_and_answered),
        cmocka_unit_test(head_is_answered_as_get_without_body),
        cmocka_unit_test(body_is_asked_for_when_the_client_waits),
        cmocka_unit_test(empty_answer_has_a_length),
        cmocka_unit_test(requests_sent_ahead_are_answered_in_order),
        cmocka_unit_test(big_bodies_pass_both_ways),
        cmocka_unit_test(many_clients_are_answered_by_other_threads),
        cmocka_unit_test(idle_connections_hinder_nobody),
        cmocka_unit_test(client_that_leaves_is_noticed_once),
        cmocka_unit_test(half_closed_connection_counts_as_left),
        cmocka_unit_test(gone_may_answer),
        cmocka_unit_test(leaving_and_answering_may_meet),
        cmocka_unit_test(connection_reset_while_an_answer_is_sent_is_survived),
        cmocka_unit_test(taken_port_is_named),
        cmocka_unit_test(every_address_is_listened_at),
        cmocka_unit_test(stop_lets_answers_go_out),
        cmocka_unit_test(stop_tells_those_who_do_not_answer),
        cmocka_unit_test(stop_waits_for_the_last_answer),
        cmocka_unit_test(signals_pass_the_servers_threads_by),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
