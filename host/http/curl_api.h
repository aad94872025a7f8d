/* libcurl, opened when the first client is made: it brings some thirty libraries, which the verbs
 * without HTTP need not load. Its headers are used for types only; nothing links with it.
 */
#ifndef HTTP_CURL_API_H
#define HTTP_CURL_API_H

#include <curl/curl.h>

/* The functions in use; each is called as curl->easy_init(). */
#define CURL_FUNCTIONS(X)  \
    X(global_init)         \
    X(getdate)             \
    X(easy_init)           \
    X(easy_cleanup)        \
    X(easy_reset)          \
    X(easy_setopt)         \
    X(easy_getinfo)        \
    X(easy_strerror)       \
    X(slist_append)        \
    X(slist_free_all)      \
    X(url)                 \
    X(url_cleanup)         \
    X(url_set)             \
    X(url_get)             \
    X(free)                \
    X(multi_init)          \
    X(multi_cleanup)       \
    X(multi_setopt)        \
    X(multi_add_handle)    \
    X(multi_remove_handle) \
    X(multi_perform)       \
    X(multi_poll)          \
    X(multi_info_read)

struct curl_api {
#define X(name) __typeof__(curl_##name) *name;
    CURL_FUNCTIONS(X)
#undef X
};

/* NULL when libcurl is not installed or too old; then *why (`why` may be NULL) is a static text.
 * [any] */
const struct curl_api *curl_api_open(const char **why);

#endif
