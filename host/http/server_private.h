/* What the files of the server share: server.c serves, server_watch.c looks after connections that
 * the library does not, server_library.c opens the library.
 */
#ifndef HTTP_SERVER_PRIVATE_H
#define HTTP_SERVER_PRIVATE_H

#include "http/http.h"

#include <microhttpd.h>

/* libmicrohttpd, opened when the first server starts: it brings GnuTLS along, for which only
 * servers should pay. */
#define MHD_FUNCTIONS(X)                              \
    X(start_daemon)                                   \
    X(stop_daemon)                                    \
    X(quiesce_daemon)                                 \
    X(get_connection_info)                            \
    X(lookup_connection_value)                        \
    X(lookup_connection_value_n)                      \
    X(suspend_connection)                             \
    X(resume_connection)                              \
    X(create_response_from_buffer)                    \
    X(create_response_from_buffer_with_free_callback) \
    X(add_response_header)                            \
    X(queue_response)                                 \
    X(destroy_response)

struct mhd {
#define X(name) __typeof__(MHD_##name) *name;
    MHD_FUNCTIONS(X)
#undef X
};

/* The library's functions, for good; NULL with `err` when it cannot be opened. */
const struct mhd *server_library(struct err *err);

/* One accepted socket, from its first byte to its close. */
struct connection {
    struct connection *prev, *next;
    int fd;
    int64_t deadline; /* when the next request has to be here; CLOCK_NEVER while one is served */
};

struct http_exchange {
    struct http_server *server;
    struct connection *connection;
    struct MHD_Connection *mhd;
    const char *method, *path; /* the library's, valid until the answer */
    struct str body;
    bool is_head; /* `method` says GET */
    bool uri_valid;
    bool begun;   /* its headers are here */
    bool refused; /* answered past the library; the rest of its body is thrown away */
    bool handled; /* `handle` was called */

    /* guarded by server->lock, from `handle` on */
    struct http_exchange *prev, *next;
    bool listed; /* in server->exchanges */
    bool suspended;
    bool answered;
    int status;
    struct MHD_Response *response; /* answered, not yet given to the library */
    uint64_t watch_id;             /* 0: not watched */
    void (*gone)(void *arg);
    void *gone_arg;
};

struct http_server {
    struct http_server_options options; /* without `host` */
    const struct mhd *mhd;
    struct MHD_Daemon *daemon;
    int listener;
    uint16_t port;
    int epoll_fd, wake_fd; /* the watcher's; id 0 is wake_fd's */
    pthread_t watcher;

    /* Held around calls of the library, never around callbacks into the program. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* all below guarded by lock */
    struct connection *connections;
    struct http_exchange *exchanges; /* handled, answer not yet sent to the end */
    size_t unanswered;
    uint64_t watch_ids;
    struct http_exchange *calling; /* whose `gone` is running */
    bool stopping;                 /* no new requests are handled */
    bool leaving;                  /* every watched exchange is told that its client is gone */
    bool closed;                   /* the watcher has to end */
};

/* Listens at the first address of `host` that can be had ("localhost" is 127.0.0.1); -1 with
 * `err`. */
int server_listen(const char *host, uint16_t port, struct err *err);
uint16_t server_port_of(int listener);

/* The watcher thread: clients that leave while they wait for their answer, and requests that take
 * for ever. */
int server_watch_start(struct http_server *server); /* 0, or errno */
void server_watch_stop(struct http_server *server);
void server_watch_wake(struct http_server *server);
/* No `gone` of this exchange begins or runs after this, but for the one that calls it. Under the
 * lock. */
void server_unwatch(struct http_exchange *exchange);

/* How long a request may take to arrive, the pause before it included. */
int64_t server_arrival_deadline(const struct http_server *server);

#endif
