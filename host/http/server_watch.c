/* The server's second thread. libmicrohttpd does not look at a connection whose answer is pending,
 * and its own timeout begins again with every byte; so this one finds clients that left while they
 * waited, and requests that take too long to arrive. Knows sockets and deadlines, no HTTP.
 */
#include "http/server_private.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX 64
#define TICK_MS_MAX 60000
#define ARRIVAL_TIMEOUTS 10 /* a request may take this many idle timeouts to arrive */

int64_t server_arrival_deadline(const struct http_server *server)
{
    return clock_now() + (int64_t)(server->options.timeout_s * ARRIVAL_TIMEOUTS * (double)CLOCK_S);
}

void server_watch_wake(struct http_server *server)
{
    uint64_t one = 1;
    ssize_t written = write(server->wake_fd, &one, sizeof(one));
    (void)written; /* it fails only when it is awake already */
}

/* Under the lock. */
static void forget(struct http_exchange *x)
{
    if (x->watch_id)
        epoll_ctl(x->server->epoll_fd, EPOLL_CTL_DEL, x->connection->fd, NULL);
    x->watch_id = 0;
}

void http_exchange_watch(struct http_exchange *exchange, void (*gone)(void *arg), void *arg)
{
    struct http_server *server = exchange->server;
    pthread_mutex_lock(&server->lock);
    exchange->gone = gone;
    exchange->gone_arg = arg;
    exchange->watch_id = ++server->watch_ids;
    /* Hang-ups and errors are always reported; one that happened before this is too. */
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT,
                                .data = {.u64 = exchange->watch_id}};
    epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, exchange->connection->fd, &event);
    if (server->leaving)
        server_watch_wake(server);
    pthread_mutex_unlock(&server->lock);
}

void server_unwatch(struct http_exchange *exchange)
{
    struct http_server *server = exchange->server;
    bool inside = pthread_equal(pthread_self(), server->watcher);
    forget(exchange);
    while (server->calling == exchange && !inside)
        sync_cond_wait(&server->changed, &server->lock, CLOCK_NEVER);
    if (server->calling == exchange)
        server->calling = NULL; /* its memory may become another exchange before `gone` returns */
}

/* Calls `gone`, without the lock. When it returns, the exchange may be no more. */
static void call_gone(struct http_server *server, struct http_exchange *x)
{
    void (*gone)(void *arg) = x->gone;
    void *arg = x->gone_arg;
    forget(x);
    server->calling = x;
    pthread_mutex_unlock(&server->lock);
    gone(arg);
    pthread_mutex_lock(&server->lock);
    server->calling = NULL;
    pthread_cond_broadcast(&server->changed);
}

/* The exchange of this watch, of any watch when `id` is 0. An event may be older than the end of
 * its watch. */
static struct http_exchange *find_watched(const struct http_server *server, uint64_t id)
{
    struct http_exchange *x = server->exchanges;
    while (x && (id ? x->watch_id != id : !x->watch_id))
        x = x->next;
    return x;
}

/* The library notices the closed socket and frees what belongs to it. */
static void close_late_connections(struct http_server *server)
{
    int64_t now = clock_now();
    for (struct connection *c = server->connections; c; c = c->next) {
        if (c->deadline > now)
            continue;
        shutdown(c->fd, SHUT_RDWR);
        c->deadline = CLOCK_NEVER;
    }
}

static void *watch(void *arg)
{
    struct http_server *server = arg;
    struct epoll_event events[EVENTS_MAX];
    struct http_exchange *x;
    double timeout_s = server->options.timeout_s;
    int tick_ms = timeout_s < TICK_MS_MAX / 1000.0 ? (int)(timeout_s * 1000) : TICK_MS_MAX;
    pthread_mutex_lock(&server->lock);
    while (!server->closed) {
        pthread_mutex_unlock(&server->lock);
        int count = epoll_wait(server->epoll_fd, events, EVENTS_MAX, tick_ms);
        pthread_mutex_lock(&server->lock);
        for (int i = 0; i < count; i++) {
            uint64_t value;
            if (!events[i].data.u64) {
                ssize_t got = read(server->wake_fd, &value, sizeof(value));
                (void)got; /* not blocking: nothing to read is as good */
            } else if ((x = find_watched(server, events[i].data.u64))) {
                call_gone(server, x);
            }
        }
        while (server->leaving && (x = find_watched(server, 0)))
            call_gone(server, x);
        close_late_connections(server);
    }
    pthread_mutex_unlock(&server->lock);
    return NULL;
}

int server_watch_start(struct http_server *server)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.u64 = 0}};
    int result = 0;
    server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    server->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->epoll_fd < 0 || server->wake_fd < 0 ||
        epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, server->wake_fd, &event) != 0)
        result = errno;
    if (result == 0)
        result = sync_thread_start(&server->watcher, watch, server);
    if (result != 0) {
        close(server->epoll_fd);
        close(server->wake_fd);
    }
    return result;
}

void server_watch_stop(struct http_server *server)
{
    pthread_mutex_lock(&server->lock);
    server->closed = true;
    pthread_mutex_unlock(&server->lock);
    server_watch_wake(server);
    pthread_join(server->watcher, NULL);
    close(server->epoll_fd);
    close(server->wake_fd);
}
