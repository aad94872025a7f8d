/* AWS Signature Version 4 for S3, in headers and in the query of a URL. Makes text from text:
 * sends nothing and knows no bucket. libcurl's own signer is not used, since up to 8.20 what it
 * signs depends on its version and it makes no URLs. Source: "Authenticating Requests (AWS
 * Signature Version 4)" in the Amazon S3 API Reference. */
#include "store/store_private.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ALGORITHM "AWS4-HMAC-SHA256"
#define DAY_LEN 8 /* of the date: "20130524" */

void s3_date(int64_t now_unix_s, char out[S3_DATE_SIZE])
{
    time_t now = (time_t)now_unix_s;
    struct tm utc = {0};
    gmtime_r(&now, &utc);
    if (strftime(out, S3_DATE_SIZE, "%Y%m%dT%H%M%SZ", &utc) == 0)
        out[0] = '\0'; /* a year of five digits: the server refuses it */
}

void s3_encode(struct str *out, const char *text, bool keep_slash)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '.' || c == '_' || c == '~' || (c == '/' && keep_slash);
        if (plain)
            str_putc(out, *text);
        else
            str_printf(out, "%%%02X", c);
    }
}

static void hmac(const void *key, size_t key_len, const char *text, uint8_t out[DIGEST_SIZE])
{
    digest_hmac(key, key_len, text, strlen(text), out);
}

/* "20130524/us-east-1/s3/aws4_request": where and on which day the signature is good. */
static char *scope_of(const struct s3_signing *s)
{
    return str_format("%.*s/%s/s3/aws4_request", DAY_LEN, s->date, s->region);
}

/* The signature of a canonical request. */
static void sign(const struct s3_signing *s, const char *scope, const struct str *request,
                 char out[DIGEST_HEX_SIZE])
{
    uint8_t key[DIGEST_SIZE], next[DIGEST_SIZE];
    char day[DAY_LEN + 1] = "";
    memcpy(day, s->date, DAY_LEN);
    digest_of(request->data, request->len, out);
    char *to_sign = str_format(ALGORITHM "\n%s\n%s\n%s", s->date, scope, out);
    char *secret = str_format("AWS4%s", s->secret_key);
    hmac(secret, strlen(secret), day, key);
    hmac(key, sizeof(key), s->region, next);
    hmac(next, sizeof(next), "s3", key);
    hmac(key, sizeof(key), "aws4_request", next);
    hmac(next, sizeof(next), to_sign, key);
    digest_hex(key, out);
    free(secret);
    free(to_sign);
}

void s3_sign_headers(const struct s3_signing *s, const char *query, const struct s3_header *headers,
                     size_t header_count, const char *payload_hash, struct str *authorization)
{
    char signature[DIGEST_HEX_SIZE];
    struct str request = {0}, names = {0};
    char *scope = scope_of(s);
    str_printf(&request, "%s\n%s\n%s\n", s->method, s->path, query);
    for (size_t i = 0; i < header_count; i++) {
        str_printf(&request, "%s:%s\n", headers[i].name, headers[i].value);
        str_printf(&names, "%s%s", i ? ";" : "", headers[i].name);
    }
    str_printf(&request, "\n%s\n%s", str_text(&names), payload_hash);
    sign(s, scope, &request, signature);
    str_printf(authorization, ALGORITHM " Credential=%s/%s, SignedHeaders=%s, Signature=%s",
               s->access_key, scope, str_text(&names), signature);
    free(scope);
    str_finish(&names);
    str_finish(&request);
}

void s3_sign_url(const struct s3_signing *s, const char *session_token, int64_t expires_s,
                 struct str *query)
{
    char signature[DIGEST_HEX_SIZE];
    struct str request = {0}, text = {0};
    char *scope = scope_of(s);
    char *credential = str_format("%s/%s", s->access_key, scope);
    str_puts(&text, "X-Amz-Algorithm=" ALGORITHM "&X-Amz-Credential="); /* sorted by name */
    s3_encode(&text, credential, false);
    str_printf(&text, "&X-Amz-Date=%s&X-Amz-Expires=%lld", s->date, (long long)expires_s);
    if (session_token) {
        str_puts(&text, "&X-Amz-Security-Token=");
        s3_encode(&text, session_token, false);
    }
    str_puts(&text, "&X-Amz-SignedHeaders=host");
    str_printf(&request, "%s\n%s\n%s\nhost:%s\n\nhost\nUNSIGNED-PAYLOAD", s->method, s->path,
               str_text(&text), s->host);
    sign(s, scope, &request, signature);
    str_printf(query, "%s&X-Amz-Signature=%s", str_text(&text), signature);
    free(credential);
    free(scope);
    str_finish(&text);
    str_finish(&request);
}
