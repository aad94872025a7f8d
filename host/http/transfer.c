/* One HTTP exchange on one easy handle: options, headers, what arrives, and what went wrong in
 * words that may be shown. Knows neither loop nor queue. */
#include "http/http_private.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECT_TIMEOUT_S 10.0
#define RETRY_AFTER_S_MAX 86400.0
#define TIMEOUT_S_MAX 2e6 /* milliseconds have to fit in 32 bits */
/* Probes on an idle connection: an address translator that forgets us is noticed before a long
 * poll ends. */
#define KEEPALIVE_IDLE_S 30L
#define KEEPALIVE_INTERVAL_S 15L
#define TAKEN_BUFFER_SIZE (256L << 10) /* where speed counts */

/* --- URLs ------------------------------------------------------------------------------------ */

static char *url_part(const struct curl_api *curl, CURLU *url, CURLUPart part)
{
    char *text = NULL, *copy;
    if (curl->url_get(url, part, &text, 0) != CURLUE_OK)
        return NULL;
    copy = mem_copy_string(text);
    curl->free(text);
    return copy;
}

/* Takes the host out of a URL that may be requested. */
static int url_check(const char *text, struct transfer *transfer, struct err *err)
{
    const struct curl_api *curl = transfer->curl;
    CURLU *url = curl->url();
    char *scheme = NULL, *user = NULL, *password = NULL;
    int result = 0;
    if (url && curl->url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK) {
        scheme = url_part(curl, url, CURLUPART_SCHEME);
        user = url_part(curl, url, CURLUPART_USER);
        password = url_part(curl, url, CURLUPART_PASSWORD);
        transfer->host = url_part(curl, url, CURLUPART_HOST);
    }
    if (scheme && strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
        result = err_set(err, ERR_INVALID, NULL, "expected an http or https URL");
    else if (!scheme || !transfer->host)
        result = err_set(err, ERR_INVALID, NULL, "expected a URL");
    else if (transfer->rules.stranger && (user || password))
        result = err_set(err, ERR_INVALID, NULL, "a URL with a user name is not fetched");
    free(scheme);
    free(user);
    free(password);
    curl->url_cleanup(url);
    return result;
}

char *transfer_host(const struct curl_api *curl, const char *text)
{
    CURLU *url = curl->url();
    char *host = NULL;
    if (url && text && curl->url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK)
        host = url_part(curl, url, CURLUPART_HOST);
    curl->url_cleanup(url);
    return host;
}

/* --- What libcurl calls ---------------------------------------------------------------------- */

static bool is_public(const char *ip)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    if (ip && inet_pton(AF_INET, ip, &v4.sin_addr) == 1)
        return http_address_is_public((const struct sockaddr *)(const void *)&v4);
    return ip && inet_pton(AF_INET6, ip, &v6.sin6_addr) == 1 &&
           http_address_is_public((const struct sockaddr *)(const void *)&v6);
}

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct transfer *transfer = arg;
    (void)purpose;
    if (transfer->rules.public_only && !http_address_is_public(&address->addr)) {
        transfer->refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Before each request of a transfer, redirects among them: a kept connection may be one that
 * another, trusted URL has opened. */
static int on_connection(void *arg, char *ip, char *own_ip, int port, int own_port)
{
    struct transfer *transfer = arg;
    (void)own_ip;
    (void)port;
    (void)own_port;
    if (!transfer->rules.public_only || is_public(ip))
        return CURL_PREREQFUNC_OK;
    transfer->refused = true;
    return CURL_PREREQFUNC_ABORT;
}

static size_t on_body(char *data, size_t size, size_t count, void *arg)
{
    struct transfer *transfer = arg;
    size_t len = size * count;
    long status = 0;
    if (transfer->take) {
        transfer->curl->easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
        transfer->response.status = (int)status;
    }
    if (status >= 200 && status <= 299) {
        transfer->given_up =
            transfer->take(&transfer->response, data, len, transfer->take_arg) != 0;
        return transfer->given_up ? CURL_WRITEFUNC_ERROR : len;
    }
    if (len > transfer->response_max - transfer->response.body.len) {
        transfer->too_long = true;
        return CURL_WRITEFUNC_ERROR;
    }
    str_append(&transfer->response.body, data, len);
    return len;
}

static size_t on_read(char *buf, size_t size, size_t count, void *arg)
{
    struct transfer *transfer = arg;
    uint64_t left = transfer->body_len - transfer->body_at;
    size_t len = size * count < left ? size * count : (size_t)left;
    if (len == 0)
        return 0;
    ssize_t got = transfer->body_read(buf, len, transfer->body_at, transfer->body_arg);
    if (got <= 0 || (size_t)got > len) {
        transfer->given_up = true;
        return CURL_READFUNC_ABORT;
    }
    transfer->body_at += (uint64_t)got;
    return (size_t)got;
}

static int on_seek(void *arg, curl_off_t offset, int origin)
{
    struct transfer *transfer = arg;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > transfer->body_len)
        return CURL_SEEKFUNC_FAIL;
    transfer->body_at = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

/* The value in a header line when it has this name, without white space around it; NULL else. */
static const char *header_value(const char *line, size_t len, const char *name, size_t *value_len)
{
    size_t name_len = strlen(name);
    if (len <= name_len || line[name_len] != ':' || strncasecmp(line, name, name_len) != 0)
        return NULL;
    const char *value = line + name_len + 1, *end = line + len;
    while (value < end && isspace((unsigned char)*value))
        value++;
    while (end > value && isspace((unsigned char)end[-1]))
        end--;
    *value_len = (size_t)(end - value);
    return value;
}

char *http_response_header(const struct http_response *response, const char *name)
{
    const char *line = str_text(&response->headers), *value, *end;
    size_t len;
    for (; (end = strchr(line, '\n')); line = end + 1)
        if ((value = header_value(line, (size_t)(end - line), name, &len)))
            return mem_copy_text(value, len);
    return NULL;
}

static void keep_header(struct transfer *transfer, const char *line, size_t len)
{
    struct str *kept = &transfer->response.headers;
    if (transfer->keep_headers && len <= HTTP_HEADER_BYTES_MAX - kept->len &&
        !memchr(line, '\0', len))
        str_append(kept, line, len);
}

static void take_content_type(struct http_response *response, const char *value, size_t len)
{
    size_t kept = 0;
    while (kept < len && kept + 1 < sizeof(response->content_type) && value[kept] != ';' &&
           !isspace((unsigned char)value[kept])) {
        response->content_type[kept] = (char)tolower((unsigned char)value[kept]);
        kept++;
    }
    response->content_type[kept] = '\0';
}

static void take_retry_after(struct transfer *transfer, const char *value, size_t len)
{
    char text[64];
    double seconds;
    if (len == 0 || len >= sizeof(text))
        return;
    memcpy(text, value, len);
    text[len] = '\0';
    if (text[strspn(text, "0123456789.")] == '\0') {
        seconds = strtod(text, NULL);
    } else {
        time_t date = transfer->curl->getdate(text, NULL);
        if (date == -1)
            return;
        seconds = difftime(date, time(NULL));
    }
    transfer->response.retry_after_s = seconds < 0                   ? 0
                                       : seconds > RETRY_AFTER_S_MAX ? RETRY_AFTER_S_MAX
                                                                     : seconds;
}

static void take_date(struct transfer *transfer, const char *value, size_t len)
{
    char text[64];
    if (len == 0 || len >= sizeof(text))
        return;
    memcpy(text, value, len);
    text[len] = '\0';
    time_t date = transfer->curl->getdate(text, NULL);
    if (date > 0)
        transfer->response.date_unix_s = (int64_t)date;
}

/* From https no redirect leads back to http, wherever a chain of them began. */
static void restrict_redirect(struct transfer *transfer)
{
    char *url = NULL;
    transfer->curl->easy_getinfo(transfer->easy, CURLINFO_EFFECTIVE_URL, &url);
    if (url && strncasecmp(url, "https:", 6) == 0)
        transfer->curl->easy_setopt(transfer->easy, CURLOPT_REDIR_PROTOCOLS_STR, "https");
}

static size_t on_header(char *line, size_t size, size_t count, void *arg)
{
    struct transfer *transfer = arg;
    size_t len = size * count, value_len;
    const char *value;
    if (len >= 5 && strncmp(line, "HTTP/", 5) == 0) { /* the last of several answers counts */
        const char *status = memchr(line, ' ', len);
        transfer->answered =
            !status || status + 1 == line + len || (status[1] != '1' && status[1] != '3');
        transfer->response.content_type[0] = '\0';
        transfer->response.retry_after_s = -1;
        transfer->response.date_unix_s = 0;
        str_clear(&transfer->response.headers);
    } else if ((value = header_value(line, len, "Content-Type", &value_len))) {
        take_content_type(&transfer->response, value, value_len);
    } else if ((value = header_value(line, len, "Retry-After", &value_len))) {
        take_retry_after(transfer, value, value_len);
    } else if ((value = header_value(line, len, "Date", &value_len))) {
        take_date(transfer, value, value_len);
    } else if (header_value(line, len, "Location", &value_len)) {
        restrict_redirect(transfer);
    }
    keep_header(transfer, line, len);
    return len;
}

/* --- Setting up ------------------------------------------------------------------------------ */

static long milliseconds(double seconds)
{
    double kept = seconds > TIMEOUT_S_MAX ? TIMEOUT_S_MAX : seconds;
    return kept > 0.001 ? (long)(kept * 1000) : 1;
}

/* False when a header could not be added. */
static bool add_header(struct transfer *transfer, const char *header)
{
    struct curl_slist *longer = transfer->curl->slist_append(transfer->headers, header);
    if (longer)
        transfer->headers = longer;
    return longer;
}

static bool set_headers(struct transfer *transfer, const struct http_request *request)
{
    /* No "Expect: 100-continue" but where it is wanted, and no content type that nobody named. */
    bool ok = add_header(transfer, request->expect ? "Expect: 100-continue" : "Expect:");
    bool typed = false;
    for (size_t i = 0; request->headers && request->headers[i]; i++) {
        ok = ok && add_header(transfer, request->headers[i]);
        typed = typed || strncasecmp(request->headers[i], "Content-Type:", 13) == 0;
    }
    if (!typed)
        ok = ok && add_header(transfer, "Content-Type:");
    return ok && transfer->curl->easy_setopt(transfer->easy, CURLOPT_HTTPHEADER,
                                             transfer->headers) == CURLE_OK;
}

static bool set_body(struct transfer *transfer, const struct http_request *request)
{
    const struct curl_api *curl = transfer->curl;
    CURL *easy = transfer->easy;
    bool has_bytes = request->body || request->body_read;
    if (curl->easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                          (curl_off_t)(has_bytes ? request->body_len : 0)) != CURLE_OK)
        return false;
    if (!request->body_read)
        return curl->easy_setopt(easy, CURLOPT_POSTFIELDS, request->body ? request->body : "") ==
               CURLE_OK;
    transfer->body_read = request->body_read;
    transfer->body_arg = request->body_arg;
    transfer->body_len = request->body_len;
    return curl->easy_setopt(easy, CURLOPT_READFUNCTION, on_read) == CURLE_OK &&
           curl->easy_setopt(easy, CURLOPT_READDATA, transfer) == CURLE_OK &&
           curl->easy_setopt(easy, CURLOPT_SEEKFUNCTION, on_seek) == CURLE_OK &&
           curl->easy_setopt(easy, CURLOPT_SEEKDATA, transfer) == CURLE_OK &&
           curl->easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, TAKEN_BUFFER_SIZE) == CURLE_OK;
}

/* A POST is libcurl's own, and stays one wherever it is sent on: a GET elsewhere that is answered
 * well says nothing about what was to be posted. */
static bool set_method(struct transfer *transfer, const struct http_request *request)
{
    const struct curl_api *curl = transfer->curl;
    CURL *easy = transfer->easy;
    bool is_post = strcmp(request->method, "POST") == 0;
    bool has_body =
        request->body || request->body_read || is_post || strcmp(request->method, "PUT") == 0;
    bool ok = true;
    if (has_body)
        ok = curl->easy_setopt(easy, CURLOPT_POST, 1L) == CURLE_OK && set_body(transfer, request);
    if (strcmp(request->method, "HEAD") == 0)
        return ok && curl->easy_setopt(easy, CURLOPT_NOBODY, 1L) == CURLE_OK;
    if (!is_post && (has_body || strcmp(request->method, "GET") != 0))
        ok = ok && curl->easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method) == CURLE_OK;
    return ok;
}

static bool set_rules(struct transfer *transfer)
{
    const struct curl_api *curl = transfer->curl;
    CURL *easy = transfer->easy;
    bool ok = curl->easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
              curl->easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https") == CURLE_OK &&
              curl->easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, open_socket) == CURLE_OK &&
              curl->easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer) == CURLE_OK &&
              curl->easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_connection) == CURLE_OK &&
              curl->easy_setopt(easy, CURLOPT_PREREQDATA, transfer) == CURLE_OK;
    if (transfer->rules.redirects)
        ok = ok && curl->easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L) == CURLE_OK &&
             curl->easy_setopt(easy, CURLOPT_POSTREDIR, (long)CURL_REDIR_POST_ALL) == CURLE_OK &&
             curl->easy_setopt(easy, CURLOPT_MAXREDIRS, (long)HTTP_REDIRECTS_MAX) == CURLE_OK;
    if (transfer->rules.stranger)
        ok = ok && curl->easy_setopt(easy, CURLOPT_PROXY, "") == CURLE_OK &&
             curl->easy_setopt(easy, CURLOPT_NOPROXY, "*") == CURLE_OK &&
             curl->easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L) == CURLE_OK;
    return ok;
}

static bool set_connection(struct transfer *transfer)
{
    const struct curl_api *curl = transfer->curl;
    CURL *easy = transfer->easy;
    double connect_s = transfer->connect_timeout_s;
    /* Else a cancelled or timed-out transfer waits for its name to resolve; older libraries do not
     * know it. */
    curl->easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    return curl->easy_setopt(easy, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl->easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L) ==
               CURLE_OK && /* a job may be called ".." */
           curl->easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK &&
           curl->easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, milliseconds(connect_s)) ==
               CURLE_OK &&
           curl->easy_setopt(easy, CURLOPT_TIMEOUT_MS,
                             transfer->timeout_s > 0 ? milliseconds(transfer->timeout_s) : 0L) ==
               CURLE_OK &&
           curl->easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L) == CURLE_OK &&
           curl->easy_setopt(easy, CURLOPT_LOW_SPEED_TIME,
                             transfer->stall_timeout_s > 0
                                 ? (milliseconds(transfer->stall_timeout_s) + 999) / 1000
                                 : 0L) == CURLE_OK &&
           curl->easy_setopt(easy, CURLOPT_TCP_NODELAY, 1L) == CURLE_OK &&
           curl->easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L) == CURLE_OK &&
           curl->easy_setopt(easy, CURLOPT_TCP_KEEPIDLE, KEEPALIVE_IDLE_S) == CURLE_OK &&
           curl->easy_setopt(easy, CURLOPT_TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S) == CURLE_OK &&
           curl->easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L) == CURLE_OK;
}

static bool set_answer(struct transfer *transfer, const struct http_request *request)
{
    const struct curl_api *curl = transfer->curl;
    CURL *easy = transfer->easy;
    bool ok = curl->easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error) == CURLE_OK &&
              curl->easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body) == CURLE_OK &&
              curl->easy_setopt(easy, CURLOPT_WRITEDATA, transfer) == CURLE_OK &&
              curl->easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header) == CURLE_OK &&
              curl->easy_setopt(easy, CURLOPT_HEADERDATA, transfer) == CURLE_OK;
    if (request->take) { /* a handle whose host was not found keeps its buffer and takes no other */
        curl->easy_setopt(easy, CURLOPT_BUFFERSIZE, TAKEN_BUFFER_SIZE);
        return ok;
    }
    ok = ok && curl->easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, "gzip, deflate") == CURLE_OK;
    if (strcmp(request->method, "HEAD") != 0) /* its length is that of a body which does not come */
        ok = ok && curl->easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE,
                                     (curl_off_t)transfer->response_max) == CURLE_OK;
    return ok;
}

int transfer_prepare(struct transfer *transfer, const struct http_request *request,
                     const struct http_rules *rules, const char *user_agent, struct err *err)
{
    const struct curl_api *curl = transfer->curl;
    transfer->rules = *rules;
    int result = url_check(request->url, transfer, err);
    if (result != 0)
        return result;
    transfer->response.retry_after_s = -1;
    transfer->response_max =
        request->response_max ? request->response_max : HTTP_RESPONSE_BYTES_MAX;
    transfer->connect_timeout_s =
        request->connect_timeout_s > 0 ? request->connect_timeout_s : CONNECT_TIMEOUT_S;
    transfer->timeout_s = request->timeout_s;
    transfer->stall_timeout_s = request->stall_timeout_s;
    transfer->keep_headers = request->keep_headers;
    transfer->take = request->take;
    transfer->take_arg = request->take_arg;
    bool ok = curl->easy_setopt(transfer->easy, CURLOPT_URL, request->url) == CURLE_OK &&
              curl->easy_setopt(transfer->easy, CURLOPT_USERAGENT, user_agent) == CURLE_OK &&
              set_rules(transfer) && set_connection(transfer) && set_answer(transfer, request) &&
              set_method(transfer, request) && set_headers(transfer, request);
    return ok ? 0
              : err_set(err, ERR_INTERNAL, NULL,
                        "libcurl lacks an option; version 7.85 or later is needed");
}

/* --- The end --------------------------------------------------------------------------------- */

void transfer_fail(struct transfer *transfer, enum err_code code, const char *format, ...)
{
    struct http_response *response = &transfer->response;
    char message[512], *url = NULL, *host;
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof(message), format, args);
    va_end(args);
    transfer->curl->easy_getinfo(transfer->easy, CURLINFO_EFFECTIVE_URL, &url);
    host = transfer_host(transfer->curl, url);
    if (host && host[0] && strcmp(host, transfer->host) != 0)
        err_set(&response->err, code, NULL, "%.200s (redirected to %.200s): %s", transfer->host,
                host, message);
    else
        err_set(&response->err, code, NULL, "%.200s: %s", transfer->host, message);
    free(host);
    response->status = 0;
    response->content_type[0] = '\0';
    response->retry_after_s = -1;
    str_finish(&response->body);
    str_finish(&response->headers);
}

static void fail_timeout(struct transfer *transfer)
{
    curl_off_t connected_us = 0, total_us = 0;
    double limit_s = transfer->timeout_s;
    transfer->curl->easy_getinfo(transfer->easy, CURLINFO_TOTAL_TIME_T, &total_us);
    transfer->curl->easy_getinfo(transfer->easy, CURLINFO_PRETRANSFER_TIME_T, &connected_us);
    if (connected_us == 0 && (limit_s <= 0 || limit_s > transfer->connect_timeout_s))
        limit_s = transfer->connect_timeout_s;
    if (connected_us != 0 && transfer->stall_timeout_s > 0 &&
        (limit_s <= 0 || (double)total_us / 1e6 < limit_s)) {
        transfer_fail(transfer, ERR_TIMEOUT, "nothing came for %g s", transfer->stall_timeout_s);
        return;
    }
    transfer_fail(transfer, ERR_TIMEOUT, "no %s within %g s",
                  connected_us == 0 ? "connection" : "whole answer", limit_s);
}

/* libcurl's own text of an error may quote a header; these are about names, sockets and
 * certificates only. */
static bool error_text_is_safe(CURLcode code)
{
    return code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST ||
           code == CURLE_COULDNT_RESOLVE_PROXY || code == CURLE_SSL_CONNECT_ERROR ||
           code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
           code == CURLE_SSL_CERTPROBLEM || code == CURLE_SSL_CIPHER;
}

static bool is_from_public(const struct transfer *transfer)
{
    const char *ip = NULL;
    transfer->curl->easy_getinfo(transfer->easy, CURLINFO_PRIMARY_IP, &ip);
    return is_public(ip);
}

void transfer_complete(struct transfer *transfer, CURLcode code)
{
    struct http_response *response = &transfer->response;
    long status = 0;
    transfer->curl->easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    response->status = (int)status;
    if (code == CURLE_OK && status > 0) {
        response->from_public = is_from_public(transfer);
        return;
    }
    response->begun_status = (int)status;
    if (transfer->given_up)
        transfer_fail(transfer, ERR_CANCELLED, "given up on this side");
    else if (transfer->too_long || code == CURLE_FILESIZE_EXCEEDED)
        transfer_fail(transfer, ERR_INTERNAL, "the answer is longer than %zu bytes",
                      transfer->response_max);
    else if (code == CURLE_OPERATION_TIMEDOUT)
        fail_timeout(transfer);
    else if (transfer->refused &&
             (code == CURLE_COULDNT_CONNECT || code == CURLE_ABORTED_BY_CALLBACK))
        transfer_fail(transfer, ERR_INVALID, "its address is not a public one");
    else if (code == CURLE_UNSUPPORTED_PROTOCOL)
        transfer_fail(transfer, ERR_INTERNAL,
                      status > 0 ? "a redirect to another protocol" : "the answer is no HTTP");
    else if (error_text_is_safe(code) && transfer->error[0])
        transfer_fail(transfer, ERR_INTERNAL, "%s", transfer->error);
    else
        transfer_fail(transfer, ERR_INTERNAL, "%s",
                      code == CURLE_OK ? "no answer" : transfer->curl->easy_strerror(code));
}

void transfer_reset(struct transfer *transfer)
{
    const struct curl_api *curl = transfer->curl;
    CURL *easy = transfer->easy;
    curl->easy_reset(easy);
    curl->slist_free_all(transfer->headers);
    free(transfer->host);
    str_finish(&transfer->response.body);
    str_finish(&transfer->response.headers);
    *transfer = (struct transfer){.curl = curl, .easy = easy};
}
