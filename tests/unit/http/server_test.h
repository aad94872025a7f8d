/* A server with a small program behind it, and clients on plain sockets, for the tests of the
 * server. Each test has a server of its own on a free port.
 */
#ifndef SERVER_TEST_H
#define SERVER_TEST_H

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

static inline void answer(struct http_exchange *x, int status, const char *text)
{
    struct str body = {0};
    str_puts(&body, text);
    http_exchange_answer(x, status, "text/plain", NULL, &body);
    assert(!body.data);
}

/* "method path name=... X-Name=... body" of the request. */
static inline void describe(struct http_exchange *x)
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

static inline void hold_gone(void *arg)
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

static inline void handle(struct http_exchange *x, void *arg)
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

static inline struct http_server_options options_of(const char *host)
{
    return (struct http_server_options){.host = host,
                                        .body_max = BODY_MAX,
                                        .timeout_s = WAIT_S,
                                        .connections_max = 300,
                                        .handle = handle,
                                        .arg = &program};
}

static inline void start(const struct http_server_options *options)
{
    struct err err = {0};
    memset(&program, 0, sizeof(program));
    pthread_mutex_init(&program.lock, NULL);
    sync_cond_init(&program.changed);
    if (http_server_start(options, &program.server, &err) != 0)
        fail_msg("%s", err.message);
}

static inline void start_default(void)
{
    struct http_server_options options = options_of("localhost");
    start(&options);
}

static inline void stop(double grace_s)
{
    http_server_stop(program.server, grace_s);
    pthread_cond_destroy(&program.changed);
    pthread_mutex_destroy(&program.lock);
}

/* Waits until *count is at least this. Under the lock. */
static inline void wait_locked(const int *count, int at_least)
{
    int64_t deadline = clock_now() + WAIT_S * CLOCK_S;
    while (*count < at_least && clock_now() < deadline)
        sync_cond_wait(&program.changed, &program.lock, deadline);
    assert(*count >= at_least);
}

static inline void wait_for(const int *count, int at_least)
{
    pthread_mutex_lock(&program.lock);
    wait_locked(count, at_least);
    pthread_mutex_unlock(&program.lock);
}

static inline int count_of(const int *count)
{
    pthread_mutex_lock(&program.lock);
    int value = *count;
    pthread_mutex_unlock(&program.lock);
    return value;
}

static inline struct http_exchange *take_held(void)
{
    pthread_mutex_lock(&program.lock);
    wait_locked(&program.held_count, 1);
    struct http_exchange *x = program.held[--program.held_count];
    pthread_mutex_unlock(&program.lock);
    return x;
}

/* --- Clients --------------------------------------------------------------------------------- */

static inline int try_connect(uint16_t port)
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

static inline int connect_client(void)
{
    int fd = try_connect(http_server_port(program.server));
    assert_true(fd >= 0);
    return fd;
}

/* How much was sent before the server closed. */
static inline size_t send_bytes(int fd, const char *data, size_t len)
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

static inline void send_text(int fd, const char *text)
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
static inline void read_answer(int fd, struct answer *a, bool head_only)
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

static inline void expect(int fd, int status, const char *body)
{
    struct answer a;
    read_answer(fd, &a, false);
    assert_int_equal(a.status, status);
    if (body)
        assert_string_equal(str_text(&a.body), body);
    str_finish(&a.body);
}

static inline void expect_closed(int fd)
{
    char byte[256];
    ssize_t got;
    while ((got = recv(fd, byte, sizeof(byte), 0)) > 0)
        continue;
    assert_true(got == 0 || errno == ECONNRESET);
    close(fd);
}

/* Nothing comes for a moment. */
static inline void expect_pause(int fd)
{
    struct pollfd waiting = {fd, POLLIN, 0};
    assert_int_equal(poll(&waiting, 1, 100), 0);
}

/* The server still serves. */
static inline void expect_alive(void)
{
    int fd = connect_client();
    send_text(fd, "GET /length HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(fd, 200, "0");
    close(fd);
}

#endif
