/* Where links lead, and whether two URLs belong to one server. Knows no requests. */
#include "http/http_private.h"

#include <stdlib.h>
#include <string.h>

#define URL_BYTES_MAX (16u << 10)

static char *part_of(const struct curl_api *curl, CURLU *url, CURLUPart part, unsigned flags)
{
    char *text = NULL, *copy = NULL;
    if (curl->url_get(url, part, &text, flags) == CURLUE_OK)
        copy = mem_copy_string(text);
    curl->free(text);
    return copy;
}

/* "https://host:443", with the port in any case; NULL when the URL is none of http. */
static char *origin_of(const struct curl_api *curl, CURLU *url)
{
    char *scheme = part_of(curl, url, CURLUPART_SCHEME, 0);
    char *host = part_of(curl, url, CURLUPART_HOST, 0);
    char *port = part_of(curl, url, CURLUPART_PORT, CURLU_DEFAULT_PORT), *origin = NULL;
    if (scheme && host && port && (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0))
        origin = str_format("%s://%s:%s", scheme, host, port);
    free(scheme);
    free(host);
    free(port);
    return origin;
}

/* The origin of `base`, or of where `link` on it leads, and that as a whole in *whole. */
static char *read_url(const char *base, const char *link, char **whole)
{
    const struct curl_api *curl = curl_api_open(NULL);
    CURLU *url = curl && strlen(base) <= URL_BYTES_MAX ? curl->url() : NULL;
    char *origin = NULL;
    if (url && curl->url_set(url, CURLUPART_URL, base, 0) == CURLUE_OK &&
        (!link || (strlen(link) <= URL_BYTES_MAX &&
                   curl->url_set(url, CURLUPART_URL, link, CURLU_URLENCODE) == CURLUE_OK))) {
        origin = origin_of(curl, url);
        if (origin && whole)
            *whole = part_of(curl, url, CURLUPART_URL, 0);
    }
    if (url)
        curl->url_cleanup(url);
    return origin;
}

bool http_url_same_origin(const char *a, const char *b)
{
    char *one = read_url(a, NULL, NULL), *other = read_url(b, NULL, NULL);
    bool same = one && other && text_equal_nocase(one, other);
    free(one);
    free(other);
    return same;
}

char *http_url_follow(const char *base, const char *link)
{
    char *whole = NULL, *from = read_url(base, NULL, NULL), *to = read_url(base, link, &whole);
    if (!from || !to || (strncmp(from, "https:", 6) == 0 && strncmp(to, "https:", 6) != 0)) {
        free(whole);
        whole = NULL;
    }
    free(from);
    free(to);
    return whole;
}
