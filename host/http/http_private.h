/* One exchange on one easy handle of libcurl: what the client, http_send and http_fetch have in
 * common. */
#ifndef HTTP_PRIVATE_H
#define HTTP_PRIVATE_H

#include "http/curl_api.h"
#include "http/http.h"

/* In what http_client_start, http_send and http_fetch differ. */
struct http_rules {
    bool redirects;   /* are followed */
    bool stranger;    /* the URL is from outside: no proxies, no credentials in it */
    bool public_only; /* connects to public addresses only */
};

struct transfer {
    const struct curl_api *curl;
    CURL *easy;
    char *host; /* of the URL that was asked for */
    struct curl_slist *headers;
    struct http_rules rules;
    struct http_response response;
    size_t response_max;
    double connect_timeout_s, timeout_s;
    int (*take)(const struct http_response *head, const void *data, size_t len, void *take_arg);
    void *take_arg;
    ssize_t (*body_read)(void *buf, size_t len, uint64_t offset, void *body_arg);
    void *body_arg;
    uint64_t body_at, body_len;
    double stall_timeout_s;
    bool keep_headers;
    bool given_up; /* `take` wanted no more, or body_read had no more */
    bool answered; /* the first line of an answer, neither 1xx nor 3xx, is here */
    bool too_long; /* the answer was given up for its length */
    bool refused;  /* an address was not public */
    char error[CURL_ERROR_SIZE];
};

/* Sets the handle up, which is new or was reset. `request` as in http_client_start. ERR_INVALID
 * when the URL is none. */
int transfer_prepare(struct transfer *transfer, const struct http_request *request,
                     const struct http_rules *rules, const char *user_agent, struct err *err);
/* After libcurl's last word on it: completes `response`. */
void transfer_complete(struct transfer *transfer, CURLcode code);
/* Fails it with this error. `format` is preceded by the host. */
__attribute__((format(printf, 3, 4))) void
transfer_fail(struct transfer *transfer, enum err_code code, const char *format, ...);
/* The host of a URL, for messages; the caller's. NULL when it is none. */
char *transfer_host(const struct curl_api *curl, const char *url);
/* Forgets the exchange; the handle stays for the next. */
void transfer_reset(struct transfer *transfer);

struct http_call *http_client_start_by(struct http_client *client,
                                       const struct http_request *request,
                                       const struct http_rules *rules,
                                       void (*done)(struct http_response *response, void *arg),
                                       void *arg, struct err *err);
/* One exchange on a client of its own; as http_send. */
int http_client_run(const struct http_request *request, const struct http_rules *rules,
                    const char *user_agent, const atomic_int *stop, struct http_response *response);

#endif
