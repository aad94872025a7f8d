/* The HTTP server, over libmicrohttpd: takes requests in whole, hands each to `handle`, and sends
 * the answer that comes then or later from any thread. Knows no route and no job.
 *
 *     arrive -> begin (headers: refuse what is too much or unclear) -> append (body)
 *            -> deliver (`handle`) -> [suspended until http_exchange_answer] -> send -> complete
 *
 * All of these run in the library's thread, so an exchange ends there too: it is the library's
 * from the first line of the request to `complete`, which cannot come before the answer. Between
 * `handle` and http_exchange_answer it is the program's as well, and what both touch stands under
 * the lock.
 */
#include "http/server_private.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTION_BYTES_MAX (32u << 10) /* request line, headers, and a piece of body */

/* --- One request ------------------------------------------------------------------------------ */

/* Every '%' is followed by two hexadecimal digits that are not 00: decoded, it is a whole C
 * string. */
static bool uri_is_valid(const char *uri)
{
    for (; *uri; uri++) {
        if (*uri != '%')
            continue;
        if (!isxdigit((unsigned char)uri[1]) || !isxdigit((unsigned char)uri[2]) ||
            (uri[1] == '0' && uri[2] == '0'))
            return false;
        uri += 2;
    }
    return true;
}

/* The first line of a request is here. */
static void *arrive(void *arg, const char *uri, struct MHD_Connection *mhd)
{
    struct http_server *server = arg;
    struct http_exchange *x = mem_alloc(sizeof(*x));
    x->server = server;
    x->mhd = mhd;
    x->connection =
        server->mhd->get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
    x->uri_valid = uri_is_valid(uri);
    return x;
}

static const char *header(const struct http_exchange *x, const char *name)
{
    return x->server->mhd->lookup_connection_value(x->mhd, MHD_HEADER_KIND, name);
}

/* As the SDK's development server says what is wrong: {"detail": "..."}. */
static void write_detail(const char *text, struct str *body)
{
    str_putc(body, '{');
    json_write_text(body, "detail", text);
    str_putc(body, '}');
}

/* A client that is sending reads its answer only afterwards, and closing the connection meanwhile
 * may lose it. So one that has a body under way is answered past the library, which cannot do
 * this, and its body thrown away. */
static enum MHD_Result refuse_sender(struct http_exchange *x, int status, const char *text)
{
    struct str answer = {0}, body = {0};
    write_detail(text, &body);
    str_printf(&answer,
               "HTTP/1.1 %d %s\r\nConnection: close\r\nContent-Type: application/json\r\n"
               "Content-Length: %zu\r\n\r\n%s",
               status, text, body.len, str_text(&body));
    ssize_t sent = send(x->connection->fd, answer.data, answer.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)sent; /* what a client does not read it need not get */
    str_finish(&answer);
    str_finish(&body);
    x->refused = true;
    str_finish(&x->body);
    return MHD_YES;
}

/* Answers by ourselves, before the body if there is one; the connection closes after it. */
static enum MHD_Result refuse(struct http_exchange *x, int status, const char *text)
{
    const struct mhd *mhd = x->server->mhd;
    const char *length = header(x, MHD_HTTP_HEADER_CONTENT_LENGTH);
    bool sends =
        header(x, MHD_HTTP_HEADER_TRANSFER_ENCODING) || (length && strcmp(length, "0") != 0);
    if (sends && !x->handled && !header(x, MHD_HTTP_HEADER_EXPECT))
        return refuse_sender(x, status, text);
    struct str body = {0};
    write_detail(text, &body);
    struct MHD_Response *response =
        mhd->create_response_from_buffer(body.len, body.data, MHD_RESPMEM_MUST_COPY);
    str_finish(&body);
    if (!response)
        return MHD_NO;
    mhd->add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
    mhd->add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    enum MHD_Result result = mhd->queue_response(x->mhd, (unsigned)status, response);
    mhd->destroy_response(response);
    return result;
}

static bool is_stopping(struct http_server *server)
{
    pthread_mutex_lock(&server->lock);
    bool stopping = server->stopping;
    pthread_mutex_unlock(&server->lock);
    return stopping;
}

/* The headers are here. */
static enum MHD_Result begin(struct http_exchange *x, const char *method, const char *path)
{
    const char *encoding = header(x, MHD_HTTP_HEADER_TRANSFER_ENCODING);
    const char *length = header(x, MHD_HTTP_HEADER_CONTENT_LENGTH);
    x->begun = true;
    x->is_head = strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
    x->method = x->is_head ? MHD_HTTP_METHOD_GET : method;
    x->path = path;
    if (is_stopping(x->server))
        return refuse(x, MHD_HTTP_SERVICE_UNAVAILABLE, "the server is stopping");
    if (!x->uri_valid)
        return refuse(x, MHD_HTTP_BAD_REQUEST, "malformed escape in the request target");
    if (encoding && length) /* which of them counts is where request smuggling begins */
        return refuse(x, MHD_HTTP_BAD_REQUEST, "both Transfer-Encoding and Content-Length");
    if (encoding && !text_equal_nocase(encoding, "chunked"))
        return refuse(x, MHD_HTTP_NOT_IMPLEMENTED, "unknown Transfer-Encoding");
    if (length && strtoull(length, NULL, 10) > x->server->options.body_max)
        return refuse(x, MHD_HTTP_CONTENT_TOO_LARGE, "request body too large");
    return MHD_YES;
}

static enum MHD_Result append(struct http_exchange *x, const char *data, size_t len)
{
    if (x->refused)
        return MHD_YES;
    if (len > x->server->options.body_max - x->body.len)
        return refuse_sender(x, MHD_HTTP_CONTENT_TOO_LARGE, "request body too large");
    str_append(&x->body, data, len);
    return MHD_YES;
}

/* Gives the answer to the library. Under the lock. */
static enum MHD_Result send_answer(struct http_exchange *x)
{
    const struct mhd *mhd = x->server->mhd;
    if (!x->response)
        return MHD_NO;
    if (x->server->stopping)
        mhd->add_response_header(x->response, MHD_HTTP_HEADER_CONNECTION, "close");
    enum MHD_Result result = mhd->queue_response(x->mhd, (unsigned)x->status, x->response);
    mhd->destroy_response(x->response);
    x->response = NULL;
    return result;
}

/* The whole request is here. */
static enum MHD_Result deliver(struct http_exchange *x)
{
    struct http_server *server = x->server;
    enum MHD_Result result = MHD_YES;
    pthread_mutex_lock(&server->lock);
    x->connection->deadline = CLOCK_NEVER;
    x->handled = true;
    if (server->stopping) {
        pthread_mutex_unlock(&server->lock);
        return refuse(x, MHD_HTTP_SERVICE_UNAVAILABLE, "the server is stopping");
    }
    x->listed = true;
    x->next = server->exchanges;
    if (x->next)
        x->next->prev = x;
    server->exchanges = x;
    server->unanswered++;
    pthread_mutex_unlock(&server->lock);

    server->options.handle(x, server->options.arg);

    pthread_mutex_lock(&server->lock);
    if (x->answered) {
        result = send_answer(x);
    } else {
        server->mhd->suspend_connection(x->mhd);
        x->suspended = true;
    }
    pthread_mutex_unlock(&server->lock);
    return result;
}

/* Called when the headers are here, for each piece of the body, when all is here, and after a
 * resume. */
static enum MHD_Result on_request(void *arg, struct MHD_Connection *mhd, const char *path,
                                  const char *method, const char *version, const char *data,
                                  size_t *len, void **cx)
{
    struct http_exchange *x = *cx;
    struct http_server *server = arg;
    enum MHD_Result result;
    (void)mhd;
    (void)version;
    if (!x->begun)
        return begin(x, method, path);
    if (*len) {
        result = append(x, data, *len);
        *len = 0;
        return result;
    }
    if (x->refused)
        return MHD_NO; /* closes the connection */
    if (!x->handled)
        return deliver(x);
    pthread_mutex_lock(&server->lock);
    result = send_answer(x);
    pthread_mutex_unlock(&server->lock);
    return result;
}

/* The answer went out, or the connection broke. */
static void complete(void *arg, struct MHD_Connection *mhd, void **cx,
                     enum MHD_RequestTerminationCode code)
{
    struct http_server *server = arg;
    struct http_exchange *x = *cx;
    (void)mhd;
    (void)code;
    if (!x)
        return;
    *cx = NULL;
    pthread_mutex_lock(&server->lock);
    x->connection->deadline = server_arrival_deadline(server);
    if (x->listed) {
        if (x->prev)
            x->prev->next = x->next;
        else
            server->exchanges = x->next;
        if (x->next)
            x->next->prev = x->prev;
        pthread_cond_broadcast(&server->changed);
    }
    pthread_mutex_unlock(&server->lock);
    assert(x->answered || !x->listed);
    if (x->response)
        server->mhd->destroy_response(x->response);
    str_finish(&x->body);
    free(x);
}

static void on_connection(void *arg, struct MHD_Connection *mhd, void **cx,
                          enum MHD_ConnectionNotificationCode code)
{
    struct http_server *server = arg;
    struct connection *c = *cx;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *cx = c = mem_alloc(sizeof(*c));
        c->fd =
            server->mhd->get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
        c->deadline = server_arrival_deadline(server);
        pthread_mutex_lock(&server->lock);
        c->next = server->connections;
        if (c->next)
            c->next->prev = c;
        server->connections = c;
        pthread_mutex_unlock(&server->lock);
        return;
    }
    pthread_mutex_lock(
        &server->lock); /* the socket is still open: the watcher may hold its number till here */
    if (c->prev)
        c->prev->next = c->next;
    else
        server->connections = c->next;
    if (c->next)
        c->next->prev = c->prev;
    pthread_mutex_unlock(&server->lock);
    free(c);
}

/* --- The program's view of a request ---------------------------------------------------------- */

const char *http_exchange_method(const struct http_exchange *exchange)
{
    return exchange->method;
}

bool http_exchange_is_head(const struct http_exchange *exchange)
{
    return exchange->is_head;
}

const char *http_exchange_path(const struct http_exchange *exchange)
{
    return exchange->path;
}

const char *http_exchange_query(const struct http_exchange *exchange, const char *name)
{
    const char *value = NULL;
    size_t len;
    if (exchange->server->mhd->lookup_connection_value_n(exchange->mhd, MHD_GET_ARGUMENT_KIND, name,
                                                         strlen(name), &value, &len) != MHD_YES)
        return NULL;
    return value ? value : ""; /* "?name" without '=' */
}

const char *http_exchange_header(const struct http_exchange *exchange, const char *name)
{
    return header(exchange, name);
}

const struct str *http_exchange_body(const struct http_exchange *exchange)
{
    return &exchange->body;
}

static struct MHD_Response *make_response(const struct mhd *mhd, const char *content_type,
                                          const char *const *headers, struct str *body)
{
    size_t len = body->len;
    char *data = str_take(body);
    struct MHD_Response *response =
        mhd->create_response_from_buffer_with_free_callback(len, data, free);
    if (!response) {
        free(data);
        return NULL;
    }
    mhd->add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
    for (; headers && *headers; headers++) {
        const char *colon = strchr(*headers, ':');
        assert(colon);
        char *name = mem_copy_text(*headers, (size_t)(colon - *headers));
        mhd->add_response_header(response, name, colon + 1 + strspn(colon + 1, " "));
        free(name);
    }
    return response;
}

void http_exchange_answer(struct http_exchange *exchange, int status, const char *content_type,
                          const char *const *headers, struct str *body)
{
    struct http_server *server = exchange->server;
    struct MHD_Response *response = make_response(server->mhd, content_type, headers, body);
    pthread_mutex_lock(&server->lock);
    server_unwatch(exchange);
    assert(!exchange->answered);
    exchange->response = response;
    exchange->status = status;
    exchange->answered = true;
    server->unanswered--;
    if (exchange->suspended)
        server->mhd->resume_connection(exchange->mhd);
    pthread_cond_broadcast(&server->changed);
    pthread_mutex_unlock(&server->lock);
}

/* --- The server ------------------------------------------------------------------------------- */

static void destroy(struct http_server *server)
{
    pthread_cond_destroy(&server->changed);
    pthread_mutex_destroy(&server->lock);
    free(server);
}

/* In a thread that has the signals blocked, so that the library's has them too. */
static void *start_daemon(void *arg)
{
    struct http_server *server = arg;
    const struct http_server_options *options = &server->options;
    server->daemon = server->mhd->start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_request, server,
        MHD_OPTION_LISTEN_SOCKET, server->listener, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)options->connections_max, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)CONNECTION_BYTES_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)(options->timeout_s + 0.999), MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_URI_LOG_CALLBACK, arrive, server, MHD_OPTION_NOTIFY_COMPLETED, complete, server,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_END);
    return NULL;
}

int http_server_start(const struct http_server_options *options, struct http_server **server,
                      struct err *err)
{
    const struct mhd *mhd = server_library(err);
    int result, listener = mhd ? server_listen(options->host, options->port, err) : -1;
    pthread_t starter;
    *server = NULL;
    if (listener < 0)
        return err->code;
    assert(options->timeout_s > 0 && options->connections_max > 0);
    struct http_server *s = mem_alloc(sizeof(*s));
    s->options = *options;
    s->options.host = NULL;
    s->mhd = mhd;
    s->listener = listener;
    s->port = server_port_of(listener);
    sync_mutex_init(&s->lock);
    sync_cond_init(&s->changed);
    result = server_watch_start(s);
    if (result == 0) {
        result = sync_thread_start(&starter, start_daemon, s);
        if (result == 0)
            pthread_join(starter, NULL);
        if (!s->daemon)
            server_watch_stop(s);
    }
    if (!s->daemon) {
        /* The library closes a listener that it could not use; the process is short of everything
         * anyway. */
        err_set(err, ERR_INTERNAL, NULL, "the HTTP server cannot start: %s",
                result != 0 ? strerror(result) : "libmicrohttpd refuses");
        destroy(s);
        return err->code;
    }
    *server = s;
    return 0;
}

uint16_t http_server_port(const struct http_server *server)
{
    return server->port;
}

void http_server_stop(struct http_server *server, double grace_s)
{
    if (!server)
        return;
    int64_t deadline = clock_now() + (int64_t)(grace_s * (double)CLOCK_S);
    pthread_mutex_lock(&server->lock);
    server->stopping = true;
    pthread_mutex_unlock(&server->lock);
    /* Closed when the library's thread, which may be about to accept, has ended. */
    shutdown(server->mhd->quiesce_daemon(server->daemon), SHUT_RDWR);

    pthread_mutex_lock(&server->lock);
    while (server->exchanges && clock_now() < deadline)
        sync_cond_wait(&server->changed, &server->lock, deadline);
    server->leaving = true;
    server_watch_wake(server);
    while (server->unanswered > 0) /* the library could not stop */
        sync_cond_wait(&server->changed, &server->lock, CLOCK_NEVER);
    pthread_mutex_unlock(&server->lock);

    server->mhd->stop_daemon(server->daemon);
    server_watch_stop(server);
    close(server->listener);
    destroy(server);
}
