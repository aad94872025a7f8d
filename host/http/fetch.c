/* Downloads of URLs that a stranger named. What may be connected to is decided in address.c, when
 * an address is about to be used. Knows no voices. */
#include "http/http_private.h"

#include <stdlib.h>

static int fail_status(const struct curl_api *curl, const char *url, int status, struct err *err)
{
    char *host = transfer_host(curl, url);
    err_set(err, ERR_INVALID, NULL, "%.255s: answered with status %d", host ? host : "?", status);
    free(host);
    return ERR_INVALID;
}

int http_fetch(const struct http_fetch *fetch, struct str *body, struct err *err)
{
    const struct http_rules rules = {
        .redirects = true, .stranger = true, .public_only = !fetch->allow_private};
    const struct http_request request = {
        .method = "GET",
        .url = fetch->url,
        .timeout_s = fetch->timeout_s,
        .connect_timeout_s = fetch->timeout_s,
        .response_max = fetch->bytes_max,
    };
    struct http_response response;
    const char *why;
    const struct curl_api *curl = curl_api_open(&why);
    if (!curl)
        return err_set(err, ERR_UNSUPPORTED, NULL, "nothing can be downloaded here: %s", why);
    int result =
        http_client_run(&request, &rules, "voxhost/" VOXHOST_VERSION, fetch->stop, &response);
    if (result != 0) {
        *err = response.err;
        if (result == ERR_INTERNAL)
            err->code = ERR_INVALID;
        result = err->code;
    } else if (response.status < 200 || response.status > 299) {
        result = fail_status(curl, fetch->url, response.status, err);
    } else {
        str_finish(body);
        *body = response.body;
        response.body = (struct str){0};
    }
    str_finish(&response.body);
    return result;
}
