/* What the section `callbacks` must be beyond the types of its keys: URLs that can be posted to,
 * headers that HTTP takes. Knows nothing of how callbacks are sent. */
#include "manifest/manifest_private.h"

#include <string.h>
#include <strings.h>

#define HEADER_SIZE_MAX 128

bool manifest_callback_url_valid(const char *url)
{
    size_t scheme = strncasecmp(url, "https://", 8) == 0  ? 8
                    : strncasecmp(url, "http://", 7) == 0 ? 7
                                                          : 0;
    const char *host = url + scheme, *c = url;
    size_t host_len = strcspn(host, "/?");
    if (scheme == 0 || host_len == 0 || host[0] == ':' || memchr(host, '@', host_len))
        return false;
    while (*c > ' ' && *c < 0x7f && !strchr("\"<>\\^`{|}#", *c))
        c++;
    return *c == '\0' && (size_t)(c - url) <= MANIFEST_URL_SIZE_MAX;
}

/* A token of RFC 9110 that we do not send ourselves. */
static bool is_free_header(const char *name)
{
    static const char token[] = "!#$%&'*+-.^_`|~0123456789"
                                "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char *const taken[] = {"Host",       "Content-Type",      "Content-Length",
                                        "Connection", "Transfer-Encoding", "User-Agent"};
    size_t len = strlen(name);
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
        if (strcasecmp(name, taken[i]) == 0)
            return false;
    return len > 0 && len <= HEADER_SIZE_MAX && strspn(name, token) == len;
}

static void complain(struct reader *r, const char *key, const char *what)
{
    struct place place = key_place(&r->m->private_parts->parts[PART_CALLBACKS], key);
    problems_add(r->problems, place.line, place.column, "callbacks.%s: %s", key, what);
}

void callbacks_check(struct reader *r)
{
    const struct manifest_callbacks *callbacks = &r->m->callbacks;
    const char *timestamp = callbacks->timestamp_header, *signature = callbacks->signature_header;
    const struct {
        const char *key, *url;
    } urls[] = {{"url", callbacks->url}, {"error_url", callbacks->error_url}};
    for (size_t i = 0; i < 2; i++)
        if (urls[i].url && !manifest_callback_url_valid(urls[i].url))
            complain(r, urls[i].key,
                     "expected an http or https URL without a user name, a fragment and blanks");
    if (callbacks->secret && !callbacks->secret[0])
        complain(r, "secret", "is empty; leave it out, and callbacks are not signed");
    if (timestamp && !is_free_header(timestamp))
        complain(r, "timestamp_header", "expected the name of a header of its own");
    if (signature && !is_free_header(signature))
        complain(r, "signature_header", "expected the name of a header of its own");
    else if (timestamp && signature && strcasecmp(timestamp, signature) == 0)
        complain(r, "signature_header", "is the same as timestamp_header");
}
