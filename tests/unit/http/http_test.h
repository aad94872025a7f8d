/* A small HTTP server of plain sockets for the tests of the client: a thread per connection; the
 * path decides what it answers. Shared by the tests of everything that makes requests.
 */
#ifndef HTTP_TEST_H
#define HTTP_TEST_H

#include "http/http.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define CONNECTIONS_MAX 512

struct test_server {
    int listener;
    uint16_t port;
    pthread_t thread;
    pthread_t threads[CONNECTIONS_MAX];
    int fds[CONNECTIONS_MAX];
    atomic_size_t connections;
    atomic_int requests;
    atomic_int hanging; /* clients that wait for an answer which does not come */
    atomic_int hung_up; /* of those, how many went away */
    pthread_mutex_t lock;
    struct str head; /* of the last request; guarded by lock */
};

/* --- Answering ------------------------------------------------------------------------------- */

static inline bool send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, data, len, MSG_NOSIGNAL);
        if (sent <= 0)
            return false;
        data += sent;
        len -= (size_t)sent;
    }
    return true;
}

static inline bool send_text(int fd, const char *text)
{
    return send_all(fd, text, strlen(text));
}

static inline bool answer(int fd, const char *status, const char *headers, const char *body,
                          size_t len)
{
    struct str out = {0};
    str_printf(&out, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n", status, len, headers);
    str_append(&out, body, len);
    bool sent = send_all(fd, out.data, out.len);
    str_finish(&out);
    return sent;
}

static inline bool answer_with(int fd, const char *headers)
{
    return answer(fd, "200 OK", headers, "fine", 4);
}

static inline void reset(int fd)
{
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

/* Until the client hangs up. */
static inline bool hang(struct test_server *server, int fd)
{
    char rest[256];
    atomic_fetch_add(&server->hanging, 1);
    while (recv(fd, rest, sizeof(rest), 0) > 0)
        continue;
    atomic_fetch_add(&server->hung_up, 1);
    return false;
}

static inline bool send_endless(int fd)
{
    char block[4096];
    memset(block, 'x', sizeof(block));
    bool ok = send_text(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    while (ok)
        ok = send_text(fd, "1000\r\n") && send_all(fd, block, sizeof(block)) &&
             send_text(fd, "\r\n");
    return false;
}

static inline bool send_gzip(int fd)
{
    static const unsigned char hello[] = {
        /* "hello, hello, hello, hello" */
        0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0xcb, 0x48, 0xcd, 0xc9, 0xc9,
        0xd7, 0x51, 0xc8, 0xc0, 0xa4, 0x00, 0x55, 0xa3, 0x82, 0x77, 0x1a, 0x00, 0x00, 0x00};
    return answer(fd, "200 OK", "Content-Encoding: gzip\r\n", (const char *)hello, sizeof(hello));
}

/* 200,000 zero bytes in 229. */
static inline bool send_gzip_bomb(int fd)
{
    static const unsigned char head[] = {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02,
                                         0x03, 0xed, 0xc1, 0x31, 0x01, 0x00, 0x00, 0x00, 0xc2,
                                         0xa0, 0xf5, 0x4f, 0x6d, 0x06, 0x7f, 0xa0},
                               tail[] = {0x80, 0xd7, 0x00, 0x7b, 0x58, 0xe0,
                                         0x5c, 0x40, 0x0d, 0x03, 0x00};
    struct str body = {0};
    str_append(&body, (const char *)head, sizeof(head));
    while (body.len < 229 - sizeof(tail))
        str_putc(&body, '\0');
    str_append(&body, (const char *)tail, sizeof(tail));
    bool sent = answer(fd, "200 OK", "Content-Encoding: gzip\r\n", body.data, body.len);
    str_finish(&body);
    return sent;
}

/* 0.1 s, and not silent: 16 bits, mono, 16000 Hz. */
static inline bool send_wav(int fd)
{
    static const char head[] = "RIFF\xa4\x0c\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0"
                               "\x80\x3e\0\0\0\x7d\0\0\x02\0\x10\0data\x80\x0c\0\0";
    char wav[44 + 3200] = {0};
    memcpy(wav, head, 44);
    memset(wav + 44, 0x10, sizeof(wav) - 44);
    return answer(fd, "200 OK", "Content-Type: audio/wav\r\n", wav, sizeof(wav));
}

static inline bool redirect(int fd, const char *status, const char *to)
{
    struct str header = {0};
    str_printf(&header, "Location: %s\r\n", to);
    bool sent = answer(fd, status, str_text(&header), "", 0);
    str_finish(&header);
    return sent;
}

static inline bool route_broken(struct test_server *server, int fd, const char *path)
{
    if (strcmp(path, "/hang") == 0)
        return hang(server, fd);
    if (strcmp(path, "/half") == 0)
        return send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf") &&
               hang(server, fd);
    if (strcmp(path, "/half-line") == 0)
        return send_text(fd, "HTTP/1.1 2") && hang(server, fd);
    if (strcmp(path, "/endless") == 0)
        return send_endless(fd);
    if (strcmp(path, "/truncated") == 0)
        send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    else if (strcmp(path, "/truncated-chunk") == 0)
        send_text(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    else if (strcmp(path, "/garbage") == 0)
        send_text(fd, "what?\r\n\r\n");
    else if (strcmp(path, "/reset") == 0)
        reset(fd);
    return false;
}

/* Answers; false when the connection ends. */
static inline bool route(struct test_server *server, int fd, const char *method, const char *path,
                         const struct str *head, const struct str *body)
{
    if (strcmp(method, "HEAD") == 0)
        return send_text(fd, "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n");
    if (strcmp(path, "/ok") == 0)
        return answer_with(fd, "");
    if (strcmp(path, "/echo") == 0)
        return answer(fd, "200 OK", "Content-Type: Text/Plain; charset=utf-8\r\n", str_text(body),
                      body->len);
    if (strcmp(path, "/head") == 0)
        return answer(fd, "200 OK", "", str_text(head), head->len);
    if (strcmp(path, "/chunked") == 0)
        return send_text(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                             "5\r\nhello\r\n8\r\n, chunks\r\n0\r\n\r\n");
    if (strcmp(path, "/gzip") == 0)
        return send_gzip(fd);
    if (strncmp(path, "/voice.wav", 10) == 0)
        return send_wav(fd);
    if (strcmp(path, "/bomb") == 0)
        return send_gzip_bomb(fd);
    if (strcmp(path, "/busy") == 0)
        return answer(fd, "503 Service Unavailable", "Retry-After: 7\r\n", "busy", 4);
    if (strcmp(path, "/busy-past") == 0)
        return answer_with(fd, "Retry-After: Thu, 01 Jan 1970 00:00:10 GMT\r\n");
    if (strcmp(path, "/busy-future") == 0)
        return answer_with(fd, "Retry-After: Fri, 31 Dec 2060 23:59:59 GMT\r\n");
    if (strcmp(path, "/busy-nonsense") == 0)
        return answer_with(fd, "Retry-After: soon\r\n");
    if (strncmp(path, "/301/", 5) == 0)
        return redirect(fd, "301 Moved Permanently", path + 5);
    if (strncmp(path, "/302/", 5) == 0)
        return redirect(fd, "302 Found", path + 5);
    if (strncmp(path, "/303/", 5) == 0)
        return redirect(fd, "303 See Other", path + 5);
    if (strncmp(path, "/307/", 5) == 0)
        return redirect(fd, "307 Temporary Redirect", path + 5);
    if (strcmp(path, "/loop") == 0)
        return redirect(fd, "302 Found", "/loop");
    if (strcmp(path, "/missing") == 0)
        return answer(fd, "404 Not Found", "", "no", 2);
    return route_broken(server, fd, path);
}

/* --- Reading --------------------------------------------------------------------------------- */

static inline bool read_request(int fd, struct str *head, struct str *body)
{
    char c;
    str_clear(head);
    str_clear(body);
    while (head->len < 4 || memcmp(head->data + head->len - 4, "\r\n\r\n", 4) != 0) {
        if (recv(fd, &c, 1, 0) != 1)
            return false;
        str_putc(head, c);
    }
    const char *length = strcasestr(head->data, "\r\nContent-Length:");
    size_t left = length ? strtoul(length + strlen("\r\nContent-Length:"), NULL, 10) : 0;
    while (left > 0) {
        char block[16384];
        ssize_t got = recv(fd, block, left < sizeof(block) ? left : sizeof(block), 0);
        if (got <= 0)
            return false;
        str_append(body, block, (size_t)got);
        left -= (size_t)got;
    }
    return true;
}

struct test_connection {
    struct test_server *server;
    int fd;
};

static inline void *serve_connection(void *arg)
{
    struct test_connection connection = *(struct test_connection *)arg;
    struct test_server *server = connection.server;
    struct str head = {0}, body = {0};
    char method[16], path[1024];
    bool go_on = true;
    free(arg);
    while (go_on && read_request(connection.fd, &head, &body)) {
        pthread_mutex_lock(&server->lock);
        str_clear(&server->head);
        str_append(&server->head, head.data, head.len);
        pthread_mutex_unlock(&server->lock);
        atomic_fetch_add(&server->requests, 1);
        go_on = sscanf(head.data, "%15s %1023s", method, path) == 2 &&
                route(server, connection.fd, method, path, &head, &body);
    }
    str_finish(&head);
    str_finish(&body);
    dup2(server->listener, connection.fd); /* ends the connection, and the number stays ours */
    return NULL;
}

static inline void *accept_connections(void *arg)
{
    struct test_server *server = arg;
    int fd;
    while ((fd = accept(server->listener, NULL, NULL)) >= 0) {
        size_t i = atomic_load(&server->connections);
        assert(i < CONNECTIONS_MAX);
        struct test_connection *connection = mem_alloc(sizeof(*connection));
        *connection = (struct test_connection){server, fd};
        server->fds[i] = fd;
        atomic_store(&server->connections, i + 1); /* before anything is answered on it */
        sync_thread_start(&server->threads[i], serve_connection, connection);
    }
    return NULL;
}

/* --- Its life -------------------------------------------------------------------------------- */

static inline struct test_server *test_server_start(void)
{
    struct test_server *server = mem_alloc(sizeof(*server));
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof(address);
    pthread_mutex_init(&server->lock, NULL);
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server->listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(server->listener, 256), 0);
    assert_int_equal(getsockname(server->listener, (struct sockaddr *)&address, &len), 0);
    server->port = ntohs(address.sin_port);
    assert_int_equal(sync_thread_start(&server->thread, accept_connections, server), 0);
    return server;
}

static inline void test_server_stop(struct test_server *server)
{
    shutdown(server->listener, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    for (size_t i = 0; i < server->connections; i++)
        shutdown(server->fds[i], SHUT_RDWR);
    for (size_t i = 0; i < server->connections; i++) {
        pthread_join(server->threads[i], NULL);
        close(server->fds[i]);
    }
    close(server->listener);
    str_finish(&server->head);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

/* "http://HOST:PORT" and the path; in a buffer of its own for each of the last four calls. */
static inline const char *test_url(const struct test_server *server, const char *host,
                                   const char *path)
{
    static char urls[4][1024];
    static unsigned next;
    char *url = urls[next++ % 4];
    snprintf(url, sizeof(urls[0]), "http://%s:%u%s", host, server->port, path);
    return url;
}

/* Waits until a counter of the server has this value; fails after half a minute. */
#define TEST_WAIT_FOR(counter, value)                                                 \
    do {                                                                              \
        int64_t give_up = clock_now() + 30 * CLOCK_S;                                 \
        while ((int)atomic_load(&(counter)) != (int)(value) && clock_now() < give_up) \
            usleep(1000);                                                             \
        assert_int_equal((int)atomic_load(&(counter)), (int)(value));                 \
    } while (0)

#endif
