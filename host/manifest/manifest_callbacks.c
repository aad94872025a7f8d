/* What the section `callbacks` must be beyond the types of its keys: URLs that can be posted to,
 * headers that HTTP takes. Knows nothing of how callbacks are sent. */
#include "manifest/manifest_private.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HEADER_SIZE_MAX 128
#define STORAGE_WORD "storage:"
#define PREFIX_SIZE_MAX 512
#define REWRITE_RULES_MAX 32

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

const char *manifest_letters_prefix(const struct manifest_callbacks *callbacks)
{
    const char *text = callbacks->dead_letters;
    size_t len = strlen(STORAGE_WORD);
    return text && strncmp(text, STORAGE_WORD, len) == 0 ? text + len : NULL;
}

void callbacks_resolve(struct reader *r)
{
    struct manifest_callbacks *callbacks = &r->m->callbacks;
    const struct part *part = &r->m->private_parts->parts[PART_CALLBACKS];
    const char *prefix = manifest_letters_prefix(callbacks);
    if (!prefix) {
        dir_resolve(r, part, "dead_letters", &callbacks->dead_letters, r->m->dir, NULL);
        callbacks->letters_dir = mem_copy_string(callbacks->dead_letters);
        return;
    }
    callbacks->letters_dir = mem_copy_string(MANIFEST_LETTERS_DIR);
    dir_resolve(r, part, "dead_letters", &callbacks->letters_dir, r->m->dir, NULL);
    if (*prefix && prefix[strlen(prefix) - 1] != '/') {
        char *whole = str_format("%s/", callbacks->dead_letters);
        free(callbacks->dead_letters);
        callbacks->dead_letters = whole;
    }
}

static void check_letters(struct reader *r)
{
    const char *prefix = manifest_letters_prefix(&r->m->callbacks);
    if (!prefix)
        return;
    char *path = mem_copy_text(prefix, *prefix ? strlen(prefix) - 1 : 0); /* without its "/" */
    if (!fs_path_is_inside(path) || strlen(path) > PREFIX_SIZE_MAX)
        complain(r, "dead_letters",
                 "expected \"storage:PREFIX\", a relative path of at most 512 bytes without empty "
                 "names, \".\" and \"..\"");
    else if (r->m->storage.type == STORAGE_NONE)
        complain(r, "dead_letters",
                 "there is no storage: add the section storage, or name a directory");
    free(path);
}

static bool is_rewrite_rule(const cJSON *rule)
{
    const char *from = rule->string, *to = rule->valuestring;
    return cJSON_IsString(rule) && manifest_callback_url_valid(from) && !strchr(from, '?') &&
           manifest_callback_url_valid(to) && !strchr(to, '?') && from[strlen(from) - 1] != '/' &&
           to[strlen(to) - 1] != '/';
}

static void check_rewrite(struct reader *r)
{
    const cJSON *rules = r->m->callbacks.rewrite, *rule;
    if (rules && cJSON_GetArraySize(rules) > REWRITE_RULES_MAX)
        complain(r, "rewrite", "has more than 32 rules");
    cJSON_ArrayForEach(rule, rules)
    {
        if (is_rewrite_rule(rule))
            continue;
        complain(
            r, "rewrite",
            "expected {FROM: TO}, each an http or https URL that ends neither in \"/\" nor in a "
            "query: {\"http://localhost:3000\": \"https://app.example\"}");
        return;
    }
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
    check_letters(r);
    check_rewrite(r);
    if (callbacks->secret && !callbacks->secret[0])
        complain(r, "secret", "is empty; leave it out, and callbacks are not signed");
    if (timestamp && !is_free_header(timestamp))
        complain(r, "timestamp_header", "expected the name of a header of its own");
    if (signature && !is_free_header(signature))
        complain(r, "signature_header", "expected the name of a header of its own");
    else if (timestamp && signature && strcasecmp(timestamp, signature) == 0)
        complain(r, "signature_header", "is the same as timestamp_header");
}
