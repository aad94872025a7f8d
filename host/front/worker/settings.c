/* The worker's environment, checked once; see settings.h. Every value is a stranger's: it may be of
 * any length and hold any bytes. What is refused is reported by the variable's name and by what is
 * wrong; the value is shown of numbers only, since keys and the queries of URLs are secrets.
 *
 * Knows no connections, no jobs and no manifest.
 */
#include "front/worker/settings.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/utsname.h>

#define URL_SIZE_MAX 8192 /* also after expansion: servers take hardly longer ones */
#define KEY_SIZE_MAX 4096
#define ID_SIZE_MAX 256
#define NUMBER_SIZE_MAX 20
#define PING_INTERVAL_MS_MAX 86400000 /* a day */
#define PING_INTERVAL_S_MIN 0.1
#define PING_INTERVAL_MS_DEFAULT 10000
#define PORT_MAX 65535

/* --- Text of URLs ----------------------------------------------------------------------------- */

/* RFC 3986, 2.3. */
static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("-._~", c));
}

static void put_percent(struct str *out, char c)
{
    static const char hex[] = "0123456789ABCDEF";
    str_append(out, (const char[]){'%', hex[(unsigned char)c >> 4], hex[(unsigned char)c & 15]}, 3);
}

/* Appends a query's value, as HTML forms encode it. */
static void put_query_value(struct str *out, const char *text)
{
    for (; *text; text++) {
        if (is_unreserved(*text))
            str_putc(out, *text);
        else if (*text == ' ')
            str_putc(out, '+');
        else
            put_percent(out, *text);
    }
}

/* Appends one segment of a path. "." and ".." would be taken for steps through the path. */
static void put_segment(struct str *out, const char *text)
{
    bool is_step = strcmp(text, ".") == 0 || strcmp(text, "..") == 0;
    for (; *text; text++) {
        if (is_unreserved(*text) && !is_step)
            str_putc(out, *text);
        else
            put_percent(out, *text);
    }
}

struct placeholder {
    const char *name, *value; /* value NULL: stays as it is */
};

static const struct placeholder *
placeholder_at(const char *text, const struct placeholder *placeholders, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (placeholders[i].value &&
            strncmp(text, placeholders[i].name, strlen(placeholders[i].name)) == 0)
            return &placeholders[i];
    return NULL;
}

/* Appends the template without its fragment, which is never sent; spaces and bytes outside ASCII
 * encoded, which HTTP clients of other languages also do by themselves. */
static void expand(const char *template, const struct placeholder *placeholders, size_t count,
                   struct str *url)
{
    for (const char *p = template; *p && *p != '#';) {
        const struct placeholder *found = placeholder_at(p, placeholders, count);
        if (found) {
            str_puts(url, found->value);
            p += strlen(found->name);
            continue;
        }
        if (*p == ' ' || (unsigned char)*p >= 0x80)
            put_percent(url, *p);
        else
            str_putc(url, *p);
        p++;
    }
}

void url_add_query(struct str *url, const char *name, const char *value)
{
    const char *text = str_text(url);
    size_t len = strcspn(text, "#");
    if (len < url->len) {
        url->len = len;
        url->data[len] = '\0';
    }
    if (!strchr(text, '?'))
        str_putc(url, '?');
    else if (text[len - 1] != '?' && text[len - 1] != '&')
        str_putc(url, '&');
    str_puts(url, name);
    str_putc(url, '=');
    put_query_value(url, value);
}

void url_of_job(const char *template, const char *job_id, bool is_stream, struct str *url)
{
    struct str segment = {0};
    put_segment(&segment, job_id);
    expand(template, &(struct placeholder){"$ID", str_text(&segment)}, 1, url);
    str_finish(&segment);
    url_add_query(url, "isStream", is_stream ? "true" : "false");
}

/* --- Checked values --------------------------------------------------------------------------- */

struct environment {
    yaml_lookup lookup;
    void *arg;
    struct str *report;
    bool failed;
};

/* Adds "NAME: expected WHAT, got ..." to the report. */
__attribute__((format(printf, 4, 5))) static void refuse(struct environment *env, const char *name,
                                                         const char *expected, const char *got, ...)
{
    va_list args;
    env->failed = true;
    str_printf(env->report, "%s: expected %s, got ", name, expected);
    va_start(args, got);
    str_vprintf(env->report, got, args);
    va_end(args);
    str_putc(env->report, '\n');
}

/* The variable, or NULL when it is absent, which an empty one is too. */
static const char *find(const struct environment *env, const char *name)
{
    const char *value = env->lookup(name, env->arg);
    return value && *value ? value : NULL;
}

/* The same when it is printable text of at most `size_max` bytes; else it is refused and NULL. */
static const char *read_text(struct environment *env, const char *name, const char *expected,
                             size_t size_max)
{
    const char *value = find(env, name);
    if (!value)
        return NULL;
    size_t len = strlen(value), bad;
    if (len > size_max) {
        refuse(env, name, expected, "%zu bytes, which are more than %zu", len, size_max);
        return NULL;
    }
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)value[i] >= 0x20 && value[i] != 0x7f)
            continue;
        refuse(env, name, expected, "the control character 0x%02x at byte %zu of %zu",
               (unsigned)value[i], i + 1, len);
        return NULL;
    }
    if (!utf8_valid(value, len, &bad)) {
        refuse(env, name, expected, "text that is not UTF-8 at byte %zu of %zu", bad + 1, len);
        return NULL;
    }
    if (text_is_blank(value, len)) {
        refuse(env, name, expected, "nothing but spaces");
        return NULL;
    }
    return value;
}

static char *copy_or(const char *text, const char *fallback)
{
    return mem_copy_string(text ? text : fallback);
}

/* A whole number 0..max; `fallback` when it is absent or refused. */
static int64_t read_number(struct environment *env, const char *name, const char *expected,
                           int64_t max, int64_t fallback)
{
    const char *value = read_text(env, name, expected, NUMBER_SIZE_MAX);
    if (!value)
        return fallback;
    int64_t number = 0;
    for (const char *p = value; *p; p++) {
        number = *p >= '0' && *p <= '9' ? number * 10 + (*p - '0') : max + 1;
        if (number > max) {
            refuse(env, name, expected, "\"%s\"", value);
            return fallback;
        }
    }
    return number;
}

static bool is_address6(const char *text, size_t len)
{
    struct in6_addr address;
    char copy[INET6_ADDRSTRLEN] = "";
    if (len >= sizeof(copy))
        return false;
    memcpy(copy, text, len);
    return inet_pton(AF_INET6, copy, &address) == 1;
}

/* What is wrong with an absolute URL of ASCII without control characters, or NULL. */
static const char *url_problem(const char *url)
{
    size_t scheme = strncasecmp(url, "http://", 7) == 0    ? 7
                    : strncasecmp(url, "https://", 8) == 0 ? 8
                                                           : 0;
    if (!scheme)
        return "something that begins with neither";
    const char *host = url + scheme, *end = host + strcspn(host, "/?#"), *p;
    for (p = host; p < end; p++)
        if (*p == '@') /* after a user's name and password */
            host = p + 1;
    for (p = host; p < end; p++) /* libcurl takes no other */
        if (!is_unreserved(*p) && !strchr(":[]", *p))
            return "one whose host has characters that no host has";
    size_t len = *host == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/?#");
    if (!len || (*host == '[' && host + len > end))
        return "one without a host";
    if (*host == '[' && !is_address6(host + 1, len - 2))
        return "one whose host is no IPv6 address";
    p = host + len;
    if (p == end)
        return NULL;
    long port = *p == ':' && p + 1 < end ? 0 : -1;
    for (p++; p < end && port >= 0 && port <= PORT_MAX; p++)
        port = *p >= '0' && *p <= '9' ? port * 10 + (*p - '0') : -1;
    return port > 0 && port <= PORT_MAX ? NULL : "one whose port is not 1 to 65535";
}

static char *read_url(struct environment *env, const char *name,
                      const struct placeholder *placeholders, size_t count)
{
    static const char expected[] = "a URL that begins with http:// or https://";
    const char *template = read_text(env, name, expected, URL_SIZE_MAX);
    struct str url = {0};
    if (!template)
        return NULL;
    expand(template, placeholders, count, &url);
    const char *problem = url_problem(str_text(&url));
    if (!problem && url.len > URL_SIZE_MAX)
        problem = "one that is over 8192 bytes with the names in it replaced";
    if (!problem)
        return str_take(&url);
    refuse(env, name, expected, "%s", problem);
    str_finish(&url);
    return NULL;
}

/* --- The settings ----------------------------------------------------------------------------- */

static void read_identity(struct environment *env, struct worker_settings *settings)
{
    static const char expected[] = "a name of printable characters";
    const char *pod_id = read_text(env, "RUNPOD_POD_ID", expected, ID_SIZE_MAX);
    const char *worker_id = pod_id ? pod_id : read_text(env, "HOSTNAME", expected, ID_SIZE_MAX);
    char uuid[RANDOM_UUID_SIZE];
    random_uuid(uuid);
    settings->worker_id = mem_copy_string(worker_id ? worker_id : uuid);
    settings->report_id = copy_or(pod_id, "unknown");
    settings->hostname =
        copy_or(read_text(env, "RUNPOD_POD_HOSTNAME", expected, ID_SIZE_MAX), "unknown");
    settings->endpoint_id =
        mem_copy_string(read_text(env, "RUNPOD_ENDPOINT_ID", expected, ID_SIZE_MAX));
    settings->key = mem_copy_string(read_text(
        env, "RUNPOD_AI_API_KEY", "a key of printable characters (no line end)", KEY_SIZE_MAX));
}

/* The take URL with /job-take/ in its path replaced; NULL when there is none. */
static char *sibling_url(const char *take_url, const char *piece)
{
    static const char take[] = "/job-take/";
    const char *path = take_url ? strstr(take_url, "://") : NULL;
    const char *found = path ? strstr(path + 3, take) : NULL;
    if (!found || found > take_url + strcspn(take_url, "?"))
        return NULL;
    return str_format("%.*s%s%s", (int)(found - take_url), take_url, piece,
                      found + sizeof(take) - 1);
}

static void read_urls(struct environment *env, struct worker_settings *settings)
{
    struct str worker = {0}, gpu = {0};
    const char *gpu_type = read_text(env, "RUNPOD_GPU_TYPE_ID", "the name of a GPU", ID_SIZE_MAX);
    put_segment(&worker, settings->worker_id);
    put_query_value(&gpu, gpu_type ? gpu_type : "");
    /* $ID last: it is the worker in the URLs that are about the worker, and stays for the job in
     * the others. */
    const struct placeholder names[] = {{"$RUNPOD_POD_ID", str_text(&worker)},
                                        {"$RUNPOD_GPU_TYPE_ID", gpu_type ? str_text(&gpu) : NULL},
                                        {"$ID", str_text(&worker)}};
    settings->take_url = read_url(env, "RUNPOD_WEBHOOK_GET_JOB", names, 3);
    settings->take_batch_url = sibling_url(settings->take_url, "/job-take-batch/");
    settings->stop_url = sibling_url(settings->take_url, "/job-stop/");
    settings->done_url = read_url(env, "RUNPOD_WEBHOOK_POST_OUTPUT", names, 2);
    settings->stream_url =
        read_url(env,
                 find(env, "RUNPOD_WEBHOOK_POST_STREAM") ? "RUNPOD_WEBHOOK_POST_STREAM"
                                                         : "RUNPOD_WEBHOOK_JOB_STREAM",
                 names, 2);
    const char *ping_url = find(env, "RUNPOD_WEBHOOK_PING");
    if (ping_url && strcmp(ping_url, "PING_NOT_SET") != 0) /* the SDK's word for none */
        settings->ping_url = read_url(env, "RUNPOD_WEBHOOK_PING", names, 3);
    str_finish(&worker);
    str_finish(&gpu);
    if (!settings->key || !find(env, "RUNPOD_POD_ID")) {
        free(settings->ping_url);
        settings->ping_url = NULL;
    }
    if (find(env, "RUNPOD_WEBHOOK_GET_JOB") && !find(env, "RUNPOD_WEBHOOK_POST_OUTPUT"))
        refuse(env, "RUNPOD_WEBHOOK_POST_OUTPUT",
               "the URL that takes results, since RUNPOD_WEBHOOK_GET_JOB is set", "nothing");
}

static char *make_user_agent(void)
{
    struct utsname system = {0};
    uname(&system);
    return str_format("voxhost/%s (%s %s; %s) RunPod-Protocol/1.12", VOXHOST_VERSION,
                      system.sysname, system.release, system.machine);
}

int settings_read(yaml_lookup getenv, void *getenv_arg, struct worker_settings *settings,
                  struct str *report)
{
    struct environment env = {.lookup = getenv, .arg = getenv_arg, .report = report};
    *settings = (struct worker_settings){0};
    read_identity(&env, settings);
    read_urls(&env, settings);
    settings->user_agent = make_user_agent();
    int64_t interval_ms =
        read_number(&env, "RUNPOD_PING_INTERVAL", "milliseconds, a whole number 0..86400000",
                    PING_INTERVAL_MS_MAX, PING_INTERVAL_MS_DEFAULT);
    settings->ping_interval_s = (double)interval_ms / 1000;
    if (settings->ping_interval_s < PING_INTERVAL_S_MIN)
        settings->ping_interval_s = PING_INTERVAL_S_MIN;
    settings->realtime_port =
        read_number(&env, "RUNPOD_REALTIME_PORT", "a port, a whole number 0..65535", PORT_MAX, 0);
    if (!env.failed)
        return 0;
    settings_finish(settings);
    return ERR_INVALID;
}

void settings_finish(struct worker_settings *settings)
{
    free(settings->take_url);
    free(settings->take_batch_url);
    free(settings->stop_url);
    free(settings->done_url);
    free(settings->stream_url);
    free(settings->ping_url);
    free(settings->key);
    free(settings->worker_id);
    free(settings->endpoint_id);
    free(settings->hostname);
    free(settings->report_id);
    free(settings->user_agent);
    *settings = (struct worker_settings){0};
}
