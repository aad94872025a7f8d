/* The HTTP server over real sockets: answers now and later, clients that leave, that send too much, too slowly or
 * nonsense, and stopping. Each test has a server of its own on a free port.
 */
#include "http/http.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define WAIT_S 60 /* no test waits this long unless it fails */
#define HELD_MAX 64
#define BODY_MAX 1000

/* The program behind the server. */
struct program {
    struct http_server *server;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* guarded by lock */
    struct http_exchange *held[HELD_MAX]; /* of /hold, to be answered by the test */
    int held_count, handled, gone;
    bool answer_when_gone;
};

static struct program program;

static void answer(struct http_exchange *x, int status, const char *text)
{
    struct str body = {0};
    str_puts(&body, text);
    http_exchange_answer(x, status, "text/plain", NULL, &body);
    assert(!body.data);
}

/* "method path name=... X-Name=... body" of the request. */
static void describe(struct http_exchange *x)
{
    static const char *const headers[] = {"X-Extra: one: two", "X-Second:2", NULL};
    struct str body = {0};
    const char *query = http_exchange_query(x, "name"), *flag = http_exchange_query(x, "flag");
    const char *header = http_exchange_header(x, "x-nAmE");
    str_printf(&body, "%s %s name=%s flag=%s header=%s body=%s", http_exchange_method(x),
               http_exchange_path(x), query ? query : "NULL", flag ? flag : "NULL",
               header ? header : "NULL", str_text(http_exchange_body(x)));
    http_exchange_answer(x, 200, "text/plain; charset=utf-8", headers, &body);
}

static void hold_gone(void *arg)
{
    struct http_exchange *x = arg;
    pthread_mutex_lock(&program.lock);
    bool answers = program.answer_when_gone;
    for (int i = 0; answers && i < program.held_count; i++)
        if (program.held[i] == x)
            program.held[i] = program.held[--program.held_count];
    program.gone++;
    pthread_cond_broadcast(&program.changed);
    pthread_mutex_unlock(&program.lock);
    if (answers)
        answer(x, 499, "nobody");
}

static void handle(struct http_exchange *x, void *arg)
{
    struct program *p = arg;
    const char *path = http_exchange_path(x);
    pthread_mutex_lock(&p->lock);
    p->handled++;
    pthread_mutex_unlock(&p->lock);
    if (strcmp(path, "/length") == 0) {
        char text[32];
        snprintf(text, sizeof(text), "%zu", http_exchange_body(x)->len);
        answer(x, 200, text);
    } else if (strcmp(path, "/echo") == 0) {
        struct str body = {0};
        str_append(&body, http_exchange_body(x)->data, http_exchange_body(x)->len);
        http_exchange_answer(x, 200, "application/octet-stream", NULL, &body);
    } else if (strcmp(path, "/hold") == 0) {
        pthread_mutex_lock(&p->lock);
        assert(p->held_count < HELD_MAX);
        http_exchange_watch(x, hold_gone, x);
        p->held[p->held_count++] = x;
        pthread_cond_broadcast(&p->changed);
        pthread_mutex_unlock(&p->lock);
    } else {
        describe(x);
    }
}

static struct http_server_options options_of(const char *host)
{
    return (struct http_server_options){.host = host,
                                        .body_max = BODY_MAX,
                                        .timeout_s = WAIT_S,
                                        .connections_max = 300,
                                        .handle = handle,
                                        .arg = &program};
}

static void start(const struct http_server_options *options)
{
    struct err err = {0};
    memset(&program, 0, sizeof(program));
    pthread_mutex_init(&program.lock, NULL);
    sync_cond_init(&program.changed);
    if (http_server_start(options, &program.server, &err) != 0)
        fail_msg("%s", err.message);
}

static void start_default(void)
{
    struct http_server_options options = options_of("localhost");
    start(&options);
}

static void stop(double grace_s)
{
    http_server_stop(program.server, grace_s);
    pthread_cond_destroy(&program.changed);
    pthread_mutex_destroy(&program.lock);
}

/* Waits until *count is at least this. Under the lock. */
static void wait_locked(const int *count, int at_least)
{
    int64_t deadline = clock_now() + WAIT_S * CLOCK_S;
    while (*count < at_least && clock_now() < deadline)
        sync_cond_wait(&program.changed, &program.lock, deadline);
    assert(*count >= at_least);
}

static void wait_for(const int *count, int at_least)
{
    pthread_mutex_lock(&program.lock);
    wait_locked(count, at_least);
    pthread_mutex_unlock(&program.lock);
}

static int count_of(const int *count)
{
    pthread_mutex_lock(&program.lock);
    int value = *count;
    pthread_mutex_unlock(&program.lock);
    return value;
}

static struct http_exchange *take_held(void)
{
    pthread_mutex_lock(&program.lock);
    wait_locked(&program.held_count, 1);
    struct http_exchange *x = program.held[--program.held_count];
    pthread_mutex_unlock(&program.lock);
    return x;
}

/* --- Clients ------------------------------------------------------------------------------------------------ */

static int try_connect(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    struct timeval patience = {WAIT_S, 0};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    close(fd);
    return -1;
}

static int connect_client(void)
{
    int fd = try_connect(http_server_port(program.server));
    assert_true(fd >= 0);
    return fd;
}

/* How much was sent before the server closed. */
static size_t send_bytes(int fd, const char *data, size_t len)
{
    size_t done = 0;
    while (done < len) {
        ssize_t sent = send(fd, data + done, len - done, MSG_NOSIGNAL);
        if (sent <= 0)
            break;
        done += (size_t)sent;
    }
    return done;
}

static void send_text(int fd, const char *text)
{
    assert_int_equal(send_bytes(fd, text, strlen(text)), strlen(text));
}

struct answer {
    int status; /* 0: the connection was closed before a whole head */
    char head[4096];
    struct str body;
};

static const char *find_header(const struct answer *a, const char *name)
{
    const char *at = strcasestr(a->head, name);
    return at ? at + strlen(name) + 2 : NULL;
}

/* Reads one answer; a 100 Continue before it is passed over. `head_only`: of HEAD. */
static void read_answer(int fd, struct answer *a, bool head_only)
{
    size_t len = 0;
    memset(a, 0, sizeof(*a));
    while (len + 1 < sizeof(a->head) && !strstr(a->head, "\r\n\r\n")) {
        if (recv(fd, a->head + len, 1, 0) != 1)
            return;
        len++;
    }
    assert_int_equal(sscanf(a->head, "HTTP/1.1 %d", &a->status), 1);
    if (a->status == 100) {
        read_answer(fd, a, head_only);
        return;
    }
    const char *length = find_header(a, "\r\nContent-Length");
    assert_non_null(length);
    for (size_t left = head_only ? 0 : strtoul(length, NULL, 10); left > 0;) {
        char piece[65536];
        ssize_t got = recv(fd, piece, left < sizeof(piece) ? left : sizeof(piece), 0);
        assert_true(got > 0);
        str_append(&a->body, piece, (size_t)got);
        left -= (size_t)got;
    }
}

static void expect(int fd, int status, const char *body)
{
    struct answer a;
    read_answer(fd, &a, false);
    assert_int_equal(a.status, status);
    if (body)
        assert_string_equal(str_text(&a.body), body);
    str_finish(&a.body);
}

static void expect_closed(int fd)
{
    char byte[256];
    ssize_t got;
    while ((got = recv(fd, byte, sizeof(byte), 0)) > 0)
        continue;
    assert_true(got == 0 || errno == ECONNRESET);
    close(fd);
}

/* Nothing comes for a moment. */
static void expect_pause(int fd)
{
    struct pollfd waiting = {fd, POLLIN, 0};
    assert_int_equal(poll(&waiting, 1, 100), 0);
}

/* The server still serves. */
static void expect_alive(void)
{
    int fd = connect_client();
    send_text(fd, "GET /length HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(fd, 200, "0");
    close(fd);
}

/* --- Requests and answers ------------------------------------------------------------------------------------ */

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

/* --- Too much, too slow, nonsense ------------------------------------------------------------ */

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
        cmocka_unit_test(connections_over_the_limit_wait),
        cmocka_unit_test(client_that_leaves_is_noticed_once),
        cmocka_unit_test(half_closed_connection_counts_as_left),
        cmocka_unit_test(gone_may_answer),
        cmocka_unit_test(leaving_and_answering_may_meet),
        cmocka_unit_test(connection_reset_while_an_answer_is_sent_is_survived),
        cmocka_unit_test(declared_body_over_the_limit_is_refused_at_once),
        cmocka_unit_test(client_that_sends_too_much_still_reads_why),
        cmocka_unit_test(chunked_body_is_counted),
        cmocka_unit_test(slow_requests_end),
        cmocka_unit_test(nonsense_is_refused),
        cmocka_unit_test(headers_are_bounded),
        cmocka_unit_test(taken_port_is_named),
        cmocka_unit_test(every_address_is_listened_at),
        cmocka_unit_test(stop_lets_answers_go_out),
        cmocka_unit_test(stop_tells_those_who_do_not_answer),
        cmocka_unit_test(stop_waits_for_the_last_answer),
        cmocka_unit_test(signals_pass_the_servers_threads_by),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
