/* HTTP both ways: requests over libcurl, and a server over libmicrohttpd. Knows no jobs, no RunPod
 * and no audio.
 *
 *     http_client_start -> http_client_poll (transfers; calls `done`) -> ...      one thread, many requests
 *     http_fetch                                                                  one guarded download, blocking
 *     http_server_start -> (a request arrives) handle -> http_exchange_answer     now or later, from any thread
 *
 * Proxies of the environment (http_proxy, https_proxy, no_proxy) are used by a client and never by
 * http_fetch: behind a proxy the address that a URL leads to cannot be checked.
 */
#ifndef HTTP_H
#define HTTP_H

#include "base/base.h"

#include <stdatomic.h>

/* --- Client ----------------------------------------------------------------------------------- */

#define HTTP_RESPONSE_BYTES_MAX (64u << 20) /* by default */
#define HTTP_HEADER_BYTES_MAX (64u << 10)
#define HTTP_REDIRECTS_MAX 5

struct
    http_client; /* a loop of one thread: every function but http_client_wake is for that thread */
struct http_response;
struct http_call; /* one request in flight; gone when `done` was called or it was cancelled */

struct http_request {
    const char *method;         /* "GET", "POST", "PUT" ... */
    const char *url;            /* http or https */
    const char *const *headers; /* "Name: value", ends with NULL; NULL: none */
    const void *body;           /* borrowed until `done` or http_call_cancel; NULL: none */
    size_t body_len;
    /* Instead of `body`: gives at least one of the body_len bytes, from `offset` on, or ends the
     * exchange by 0 or less (ERR_CANCELLED). Asks in order, and from the start again when a
     * connection turns out to be dead. Must not call the client. */
    ssize_t (*body_read)(void *buf, size_t len, uint64_t offset, void *body_arg);
    void *body_arg;
    double connect_timeout_s; /* 0: 10 */
    double timeout_s;         /* of the whole exchange; 0: none */
    size_t response_max;      /* 0: HTTP_RESPONSE_BYTES_MAX; a longer answer is a failure */
    bool public_only;         /* a stranger named the URL: the rules of http_fetch hold */
    bool public_address;    /* connects to public addresses only; behind a proxy: to a public one */
    bool expect;            /* waits a second for the server's leave before it sends the body, so
                             * that a refusal is heard: it may be lost when a server ends the
                             * connection without reading */
    bool no_redirects;      /* an answer that leads elsewhere is the answer */
    bool keep_headers;      /* response->headers is wanted */
    double stall_timeout_s; /* nothing has moved for so long: ERR_TIMEOUT; 0: never */
    /* Takes the body of a 2xx answer as it comes, exactly as it was sent; response->body stays
     * empty and response_max does not hold. `head` has the status, and the headers if they are
     * kept. Not 0 gives the exchange up (ERR_CANCELLED). Must not call the client. NULL: the body
     * is gathered. */
    int (*take)(const struct http_response *head, const void *data, size_t len, void *take_arg);
    void *take_arg;
};

struct http_response {
    int status; /* 0: there is no whole answer, err says why (ERR_TIMEOUT, else ERR_INTERNAL) */
    int begun_status; /* of an answer that began and did not come whole; 0: none */
    struct err err;   /* names the host at most: never the path, the query or a header */
    struct str body;
    /* Of the last answer, line by line, HTTP_HEADER_BYTES_MAX at most; only where keep_headers
     * asks. */
    struct str headers;
    char content_type[128]; /* without parameters, in lower case; "" when there is none */
    double
        retry_after_s; /* the header's, as a number of seconds also when it was a date; -1: none */
    int64_t date_unix_s; /* the Date header: the clock of the server; 0: none */
    bool from_public;    /* who answered, server or proxy, has a public address */
};

/* The value of the first kept header of this name; the caller's. NULL: there is none. */
char *http_response_header(const struct http_response *response, const char *name);

/* The agent string goes with every request. NULL when libcurl cannot start. */
struct http_client *http_client_create(const char *user_agent);
/* Starts a request; `done` is called from http_client_poll, exactly once unless it is cancelled.
 * What `request` points to is copied, but for the body. `response` is the callee's for the call (it
 * may take body and headers with str_take). Follows redirects (but no_redirects), https to https
 * only and a POST as a POST, without sending Authorization to another host. NULL with `err` when
 * the URL is none. */
struct http_call *http_client_start(struct http_client *client, const struct http_request *request,
                                    void (*done)(struct http_response *response, void *arg),
                                    void *arg, struct err *err);
/* Ends it without calling `done`. */
void http_call_cancel(struct http_call *call);
/* True once an answer has begun to arrive, other than one that leads elsewhere or says to wait. */
bool http_call_is_answered(const struct http_call *call);
/* True once the first byte of any answer is here. */
bool http_call_has_begun(const struct http_call *call);
/* Lets transfers run and calls `done` for those that ended, until something ended, somebody called
 * http_client_wake, or `deadline` (clock_now; in the past: looks once without waiting). */
void http_client_poll(struct http_client *client, int64_t deadline);
/* Ends the present or next http_client_poll. [any] thread, and signal handlers. */
void http_client_wake(struct http_client *client);
/* Drops every connection, since they may be dead without our knowing: calls in flight end with
 * status 0. */
void http_client_reconnect(struct http_client *client);
/* Cancels what is in flight; takes NULL. */
void http_client_destroy(struct http_client *client);

/* Sends one request and waits for its answer, which is the caller's; for threads that may block.
 * Any method; no redirects, no retries. `stop` as in http_fetch. 0 when there is a whole answer,
 * whatever its status; else response->err's code, which may also be ERR_CANCELLED, or ERR_INVALID
 * for a wrong URL. [any] */
int http_send(const struct http_request *request, const char *user_agent, const atomic_int *stop,
              struct http_response *response);
/* The same on a client that has no other request meanwhile: its connections are kept for the
 * next. */
int http_client_send(struct http_client *client, const struct http_request *request,
                     const atomic_int *stop, struct http_response *response);

/* Where a link or Location on `base` leads, which may be relative; the caller's. NULL when that is
 * no http or https URL, and from https to http. NULL too without libcurl. [any] */
char *http_url_follow(const char *base, const char *link);
/* Two http or https URLs of the same scheme, host and port. [any] */
bool http_url_same_origin(const char *a, const char *b);

/* --- Fetching what a stranger named ----------------------------------------------------------- */

struct http_fetch {
    const char *url;
    size_t bytes_max;
    double timeout_s;       /* of the whole, redirects included */
    bool allow_private;     /* also loopback, link-local, private and otherwise special addresses */
    const atomic_int *stop; /* not 0: gives up with ERR_CANCELLED; NULL: never */
};

/* Downloads a URL that a job named. http and https only; every address is checked when it is
 * connected to, so neither a name that resolves to two addresses nor a redirect leads inside; no
 * credentials in the URL. A refused or failed download is ERR_INVALID (ERR_TIMEOUT, ERR_CANCELLED),
 * with the host in the message but not the path or query, which may hold a signature. */
int http_fetch(const struct http_fetch *fetch, struct str *body, struct err *err);

/* Is this address one that strangers may send us to: global unicast, also inside IPv4-mapped, NAT64
 * and 6to4 forms. */
struct sockaddr;
bool http_address_is_public(const struct sockaddr *address);

/* --- Server ----------------------------------------------------------------------------------- */

struct http_server;
struct http_exchange; /* one request and its answer */

struct http_server_options {
    const char *host; /* "localhost", "0.0.0.0", "::" ... */
    uint16_t port;    /* 0: any free one */
    size_t body_max;  /* of a request: above it the answer is 413 */
    /* Of a connection on which nothing moves; a whole request has ten times as long to arrive. An
     * exchange that waits for its answer is not idle. */
    double timeout_s;
    uint32_t connections_max;
    /* A whole request has arrived. Called from the server's thread: it must not block. */
    void (*handle)(struct http_exchange *exchange, void *arg);
    void *arg;
};

/* Serves from one thread of its own (epoll, no thread per connection). ERR_INVALID when the address
 * cannot be bound. */
int http_server_start(const struct http_server_options *options, struct http_server **server,
                      struct err *err);
uint16_t http_server_port(const struct http_server *server);
/* Takes no more connections; answers that are under way go out within `grace_s`. Every exchange has
 * to be answered before or during this, else its watcher is told that the client is gone. Frees;
 * takes NULL. */
void http_server_stop(struct http_server *server, double grace_s);

/* What was asked; borrowed until the answer. NULL: absent. A HEAD shows as "GET": its answer loses
 * its body on the way. Names of headers and of the query are compared without regard to case. */
const char *http_exchange_method(const struct http_exchange *exchange);
bool http_exchange_is_head(const struct http_exchange *exchange);
/* Percent-decoded, without query. */
const char *http_exchange_path(const struct http_exchange *exchange);
const char *http_exchange_query(const struct http_exchange *exchange, const char *name);
const char *http_exchange_header(const struct http_exchange *exchange, const char *name);
const struct str *http_exchange_body(const struct http_exchange *exchange);
/* Answers, exactly once, inside `handle` or later from any thread; then the exchange is gone.
 * `headers`: as a request's; NULL: none. Takes the text of `body` over, which is empty then. Waits
 * for a `gone` that just runs, so the caller must not hold a lock that its `gone` takes. */
void http_exchange_answer(struct http_exchange *exchange, int status, const char *content_type,
                          const char *const *headers, struct str *body);
/* `gone` is called, once, from a thread of the server, when the client has closed its connection
 * (or its half of it) before the answer, also when that was before this call; the exchange still
 * has to be answered, to nobody. Not called any more once http_exchange_answer has returned. */
void http_exchange_watch(struct http_exchange *exchange, void (*gone)(void *arg), void *arg);

#endif
