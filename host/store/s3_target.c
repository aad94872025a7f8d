/* What an S3 target means: checks it, and makes from endpoint, bucket, prefix and key the one
 * address of an object. Signs nothing and sends nothing (s3_sign.c, s3.c). */
#include "store/store_private.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HOST_LEN_MAX 253
#define BUCKET_LEN_MIN 3
#define BUCKET_LEN_MAX 63
#define TEXT_LEN_MAX 4096 /* of keys, tokens and endpoints; a session token has about 1,000 */
#define PORT_MAX 65535
#define R2_DOMAIN "r2.cloudflarestorage.com"

struct endpoint {
    const char *scheme; /* "http" or "https" */
    char *host;         /* in lower case, an IPv6 address in its brackets */
    unsigned long port; /* 0: the scheme's */
    char *path;         /* "" or "/a/b" */
};

static bool is_absent(const char *text)
{
    return !text || !*text;
}

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Nothing but ASCII letters, digits and these. */
static bool is_plain(const char *text, const char *others)
{
    for (; *text; text++)
        if (!is_alnum(*text) && !strchr(others, *text))
            return false;
    return true;
}

/* --- The endpoint ----------------------------------------------------------------------------- */

static void endpoint_finish(struct endpoint *e)
{
    free(e->host);
    free(e->path);
    *e = (struct endpoint){0};
}

static bool is_address(const char *host)
{
    struct in_addr address;
    return host[0] == '[' || inet_pton(AF_INET, host, &address) == 1;
}

static bool host_is_valid(const char *host, size_t len)
{
    if (len == 0 || len > HOST_LEN_MAX)
        return false;
    if (host[0] == '[') {
        struct in6_addr address;
        if (len < 2 || host[len - 1] != ']')
            return false;
        char *inner = mem_copy_text(host + 1, len - 2);
        bool valid = inet_pton(AF_INET6, inner, &address) == 1;
        free(inner);
        return valid;
    }
    for (size_t i = 0; i < len; i++)
        if (!is_alnum(host[i]) && (!strchr("-.", host[i]) || i == 0 || host[i - 1] == '.'))
            return false;
    return true;
}

/* Digits only, 1 to PORT_MAX; 0 when it is none. */
static unsigned long parse_port(const char *text, size_t len)
{
    unsigned long port = 0;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9' || port > PORT_MAX)
            return 0;
        port = port * 10 + (unsigned long)(text[i] - '0');
    }
    return port <= PORT_MAX ? port : 0;
}

/* "host" or "host:port". */
static bool parse_authority(const char *text, size_t len, struct endpoint *e)
{
    const char *bracket = memchr(text, ']', len);
    size_t host_start = text[0] == '[' && bracket ? (size_t)(bracket - text) : 0;
    const char *colon = memchr(text + host_start, ':', len - host_start);
    size_t host_len = colon ? (size_t)(colon - text) : len;
    if (!host_is_valid(text, host_len))
        return false;
    if (colon && (e->port = parse_port(colon + 1, len - host_len - 1)) == 0)
        return false;
    if (e->port == (strcmp(e->scheme, "https") == 0 ? 443UL : 80UL))
        e->port = 0; /* no client names it in the Host header */
    e->host = mem_copy_text(text, host_len);
    for (char *p = e->host; *p; p++)
        if (*p >= 'A' && *p <= 'Z')
            *p = (char)(*p - 'A' + 'a');
    return true;
}

/* No message shows the endpoint, since what is wrong with it may be that it holds a password. */
static int parse_endpoint(const char *text, struct endpoint *e, struct err *err)
{
    *e = (struct endpoint){0};
    if (strncasecmp(text, "https://", 8) == 0)
        e->scheme = "https";
    else if (strncasecmp(text, "http://", 7) == 0)
        e->scheme = "http";
    else
        return err_set(err, ERR_INVALID, "storage.endpoint",
                       "expected a URL that begins with \"https://\" or \"http://\"");
    const char *authority = strchr(text, ':') + 3;
    size_t authority_len = strcspn(authority, "/?#");
    const char *path = authority + authority_len;
    size_t path_len = strlen(path);
    if (memchr(authority, '@', authority_len) || strpbrk(path, "?#"))
        return err_set(err, ERR_INVALID, "storage.endpoint",
                       "must not hold a user name, a query or a fragment");
    if (!parse_authority(authority, authority_len, e))
        return err_set(err, ERR_INVALID, "storage.endpoint",
                       "has no valid host and port, expected https://HOST or https://HOST:PORT");
    if (path_len > 0 && path[path_len - 1] == '/')
        path_len--;
    e->path = mem_copy_text(path, path_len);
    if (path_len > 0 && (!fs_path_is_inside(e->path + 1) || !is_plain(e->path, "/-._~"))) {
        endpoint_finish(e);
        return err_set(
            err, ERR_INVALID, "storage.endpoint",
            "its path must have names of letters, digits, \"-\", \".\", \"_\" and \"~\"");
    }
    return 0;
}

/* --- The region ------------------------------------------------------------------------------- */

/* "eu-west-1", "us-gov-west-1", "us-west-004": words, then a number. */
static bool is_region_name(const char *text, size_t len)
{
    size_t words = 0, dashes = 0;
    while (words < len && ((text[words] >= 'a' && text[words] <= 'z') || text[words] == '-'))
        dashes += text[words++] == '-';
    if (dashes < 2 || words == len || text[0] == '-' || text[words - 1] != '-')
        return false;
    for (size_t i = words; i < len; i++)
        if (text[i] < '0' || text[i] > '9')
            return false;
    return true;
}

/* From "s3.REGION.", "s3.dualstack.REGION.", "s3-fips.REGION." and the old "s3-REGION.", behind
 * a bucket or not: AWS, Backblaze and Wasabi name their hosts like that. */
static void guess_region(const char *host, char out[S3_REGION_SIZE])
{
    size_t host_len = strlen(host), r2_len = strlen(R2_DOMAIN);
    bool service_seen = false;
    const char *region = "us-east-1";
    size_t region_len = strlen(region);
    if (host_len > r2_len && strcmp(host + host_len - r2_len, R2_DOMAIN) == 0 &&
        host[host_len - r2_len - 1] == '.') {
        region = "auto";
        region_len = strlen(region);
    }
    for (const char *label = host; *label;) {
        size_t len = strcspn(label, ".");
        bool old = len > 3 && strncmp(label, "s3-", 3) == 0;
        const char *name = old ? label + 3 : label;
        size_t name_len = old ? len - 3 : len;
        if ((old || service_seen) && name_len < S3_REGION_SIZE && is_region_name(name, name_len)) {
            region = name;
            region_len = name_len;
            break;
        }
        service_seen = service_seen || old || (len == 2 && strncmp(label, "s3", 2) == 0);
        label += len + (label[len] == '.');
    }
    memcpy(out, region, region_len);
    out[region_len] = '\0';
}

/* --- The bucket ------------------------------------------------------------------------------- */

/* What DNS takes, since the bucket may stand in the host; older buckets, which are reached by
 * path, may also have capitals and "_". */
static int check_bucket_name(const char *bucket, bool path_style, struct err *err)
{
    size_t len = strlen(bucket);
    bool valid = len >= BUCKET_LEN_MIN && len <= BUCKET_LEN_MAX && is_alnum(bucket[0]) &&
                 is_alnum(bucket[len - 1]) && is_plain(bucket, path_style ? "-._" : "-.") &&
                 !strstr(bucket, "..");
    for (const char *p = bucket; valid && !path_style && *p; p++)
        valid = *p < 'A' || *p > 'Z';
    if (valid)
        return 0;
    return err_set(err, ERR_INVALID, "storage.bucket",
                   "expected a bucket name of %d to %d characters: %s, beginning and ending with a "
                   "letter or digit",
                   BUCKET_LEN_MIN, BUCKET_LEN_MAX,
                   path_style ? "letters, digits, \"-\", \".\" and \"_\""
                              : "small letters, digits, \"-\" and \".\"");
}

/* The endpoint is that of an account, so it cannot be that its first label is a bucket. */
static bool is_bare_service(const struct endpoint *e)
{
    const char *dot = strchr(e->host, '.');
    return e->path[0] == '\0' &&
           (!dot || is_address(e->host) || strncmp(e->host, "s3.", 3) == 0 ||
            strncmp(e->host, "s3-", 3) == 0 || strcmp(dot + 1, R2_DOMAIN) == 0);
}

/* True for "BUCKET.s3.eu-west-1.amazonaws.com" and "https://host/BUCKET". */
static bool endpoint_names_bucket(const struct endpoint *e, const char *bucket)
{
    size_t len = strlen(bucket);
    bool in_host = strncmp(e->host, bucket, len) == 0 && (strncmp(e->host + len, ".s3.", 4) == 0 ||
                                                          strncmp(e->host + len, ".s3-", 4) == 0);
    return in_host || (e->path[0] == '/' && strcmp(e->path + 1, bucket) == 0);
}

enum bucket_place { BUCKET_IN_ENDPOINT, BUCKET_IN_HOST, BUCKET_IN_PATH };

static int place_bucket(const struct s3_target *target, const struct endpoint *e,
                        enum bucket_place *where, struct err *err)
{
    *where = BUCKET_IN_ENDPOINT;
    if (is_absent(target->bucket)) {
        if (is_bare_service(e))
            return err_set(err, ERR_INVALID, "storage.bucket",
                           "is missing, and storage.endpoint names no bucket either");
        return 0;
    }
    if (check_bucket_name(target->bucket, target->path_style, err) != 0)
        return err->code;
    if (endpoint_names_bucket(e, target->bucket))
        return 0;
    *where = target->path_style ? BUCKET_IN_PATH : BUCKET_IN_HOST;
    if (target->path_style)
        return 0;
    if (is_address(e->host))
        return err_set(err, ERR_INVALID, "storage.path_style",
                       "must be true: storage.endpoint is an address, which no bucket can precede");
    if (strchr(target->bucket, '.') && strcmp(e->scheme, "https") == 0)
        return err_set(err, ERR_INVALID, "storage.path_style",
                       "must be true: no certificate covers a bucket with a \".\" in the host");
    return 0;
}

/* --- Public ----------------------------------------------------------------------------------- */

/* Goes into a header as it is: no blanks, no control characters, ASCII. */
static int check_credential(const char *text, const char *field, struct err *err)
{
    if (strlen(text) > TEXT_LEN_MAX)
        return err_set(err, ERR_INVALID, field, "is longer than %d characters", TEXT_LEN_MAX);
    for (const char *p = text; *p; p++)
        if (*p <= 0x20 || *p >= 0x7f)
            return err_set(err, ERR_INVALID, field,
                           "has a blank, a line break or another character that is no printable "
                           "ASCII, at byte %zu",
                           (size_t)(p - text) + 1);
    return 0;
}

static int check_fields(const struct s3_target *t, struct err *err)
{
    const struct {
        const char *field, *text;
    } needed[] = {{"storage.endpoint", t->endpoint},
                  {"storage.access_key", t->access_key},
                  {"storage.secret_key", t->secret_key},
                  {"storage.session_token", is_absent(t->session_token) ? "-" : t->session_token}};
    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
        if (is_absent(needed[i].text))
            return err_set(err, ERR_INVALID, needed[i].field, "is missing");
        if (check_credential(needed[i].text, needed[i].field, err) != 0)
            return err->code;
    }
    if (strchr(t->access_key, '/'))
        return err_set(err, ERR_INVALID, "storage.access_key", "must have no \"/\"");
    if (!is_absent(t->region) &&
        (strlen(t->region) >= S3_REGION_SIZE || !is_plain(t->region, "-_")))
        return err_set(err, ERR_INVALID, "storage.region",
                       "expected the name of a region, like \"us-east-1\"");
    if (t->presign_ttl_s < 1 || t->presign_ttl_s > S3_PRESIGN_TTL_MAX_S)
        return err_set(err, ERR_INVALID, "storage.presign_ttl_s", "expected 1 to %d seconds",
                       S3_PRESIGN_TTL_MAX_S);
    return 0;
}

/* The object's name with its prefix, checked; NULL when it cannot be one. The caller's. */
static char *full_key(const struct s3_target *t, const char *key)
{
    size_t bad;
    const char *prefix = is_absent(t->prefix) ? "" : t->prefix;
    size_t len = strlen(prefix);
    char *whole = str_format("%s%s%s", prefix, len == 0 || prefix[len - 1] == '/' ? "" : "/", key);
    if (fs_path_is_inside(whole) && utf8_valid(whole, strlen(whole), &bad))
        return whole;
    free(whole);
    return NULL;
}

/* Makes the address; `bucket` stands where `where` says. `key` NULL: of the bucket. */
static void build_place(const struct s3_target *t, const struct endpoint *e,
                        enum bucket_place where, const char *key, struct s3_place *place)
{
    struct str host = {0}, path = {0};
    if (where == BUCKET_IN_HOST)
        str_printf(&host, "%s.", t->bucket);
    str_puts(&host, e->host);
    if (e->port)
        str_printf(&host, ":%lu", e->port);
    str_puts(&path, e->path);
    if (where == BUCKET_IN_PATH)
        str_printf(&path, "/%s", t->bucket);
    if (key || path.len == 0)
        str_putc(&path, '/');
    if (key)
        s3_encode(&path, key, true);
    place->origin = str_format("%s://%s", e->scheme, host.data);
    place->host = str_take(&host);
    place->path = str_take(&path);
    if (is_absent(t->region))
        guess_region(e->host, place->region);
    else
        memcpy(place->region, t->region, strlen(t->region) + 1);
}

int s3_place_find(const struct s3_target *target, const char *key, struct s3_place *place,
                  struct err *err)
{
    struct endpoint endpoint = {0};
    enum bucket_place where = BUCKET_IN_ENDPOINT;
    char *whole = NULL;
    *place = (struct s3_place){0};
    int result = check_fields(target, err);
    if (result == 0)
        result = parse_endpoint(target->endpoint, &endpoint, err);
    if (result != 0)
        goto out;
    assert(endpoint.host && endpoint.path);
    result = place_bucket(target, &endpoint, &where, err);
    if (result != 0)
        goto out;
    if (!(whole = full_key(target, "x"))) {
        result = err_set(err, ERR_INVALID, "storage.prefix",
                         "expected a relative path in UTF-8 without \".\", \"..\", empty names and "
                         "control characters");
        goto out;
    }
    free(whole);
    whole = key ? full_key(target, key) : NULL;
    if (key && !whole) {
        result = err_set(err, ERR_INVALID, NULL,
                         "an object's key must be a relative path in UTF-8 of at most 1,024 bytes, "
                         "without \".\", \"..\", empty names and control characters");
        goto out;
    }
    build_place(target, &endpoint, where, whole, place);
out:
    free(whole);
    endpoint_finish(&endpoint);
    return result;
}

void s3_place_finish(struct s3_place *place)
{
    free(place->origin);
    free(place->host);
    free(place->path);
    *place = (struct s3_place){0};
}
