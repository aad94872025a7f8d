/* Bodies of requests for jobs, checked as the Python SDK's server checks them, and refused in its
 * words: FastAPI's 422, {"detail":[{"type","loc","msg","input"}]}. Knows nothing of what is in an
 * input.
 */
#include "front/worker/envelope.h"
#include "front/worker/local_private.h"

#include <stdlib.h>
#include <string.h>

#define WAIT_MS_MIN 1000
#define WAIT_MS_MAX 300000
#define ECHO_BYTES_MAX 4096 /* a longer body is not shown again */
#define NODES_MAX 1000000

/* --- Saying what is wrong --------------------------------------------------------------------- */

/* A detail about the member `name` of the body (NULL: the body itself) up to its value. */
static void begin_detail(const char *type, const char *name, const char *message, struct str *out)
{
    str_puts(out, out->len ? "," : "{\"detail\":[");
    str_printf(out, "{\"type\":\"%s\",\"loc\":[\"body\"", type);
    if (name)
        str_printf(out, ",\"%s\"", name);
    str_printf(out, "],\"msg\":\"%s\",\"input\":", message);
}

/* `value`: what was there; NULL: not shown. */
static void detail(const char *type, const char *name, const char *message, const cJSON *value,
                   struct str *out)
{
    begin_detail(type, name, message, out);
    if (value)
        json_write(out, value);
    else
        str_puts(out, "null");
    str_putc(out, '}');
}

static void detail_no_object(const struct str *raw, const cJSON *value, struct str *out)
{
    begin_detail("dataclass_type", NULL,
                 "Input should be a dictionary or an instance of DefaultRequest", out);
    if (value)
        json_write(out, value);
    else if (raw->len <= ECHO_BYTES_MAX)
        json_write_string(out, raw->data, raw->len);
    else
        str_puts(out, "null");
    str_puts(out, ",\"ctx\":{\"class_name\":\"DefaultRequest\"}}");
}

static void detail_no_json(const struct err *err, struct str *out)
{
    begin_detail("json_invalid", NULL, "JSON decode error", out);
    str_puts(out, "{},\"ctx\":{\"error\":");
    json_write_string(out, err->message, strlen(err->message));
    str_puts(out, "}}");
}

/* --- Reading ---------------------------------------------------------------------------------- */

/* application/json, or application/SOMETHING+json, with or without parameters. */
static bool is_json(const char *content_type)
{
    static const char prefix[] = "application/";
    char type[128];
    size_t len = content_type ? strcspn(content_type, "; \t") : 0;
    if (len == 0 || len >= sizeof(type))
        return false;
    memcpy(type, content_type, len);
    type[len] = '\0';
    return text_equal_nocase(type, "application/json") ||
           (len > strlen(prefix) + 5 && strncasecmp(type, prefix, strlen(prefix)) == 0 &&
            text_equal_nocase(type + len - 5, "+json"));
}

/* The body as an object, or NULL. */
static cJSON *read_object(struct http_exchange *exchange, struct str *out)
{
    const struct json_limits limits = {LOCAL_BODY_BYTES_MAX, NODES_MAX, 64};
    const struct str *text = http_exchange_body(exchange);
    struct err err = {0};
    if (text->len == 0) {
        detail("missing", NULL, "Field required", NULL, out);
        return NULL;
    }
    if (!is_json(http_exchange_header(exchange, "Content-Type"))) {
        detail_no_object(text, NULL, out);
        return NULL;
    }
    cJSON *body = json_parse(text->data, text->len, &limits, &err);
    if (!body) {
        detail_no_json(&err, out);
        return NULL;
    }
    if (!cJSON_IsObject(body)) {
        detail_no_object(text, text->len <= ECHO_BYTES_MAX ? body : NULL, out);
        cJSON_Delete(body);
        return NULL;
    }
    return body;
}

/* A string that has to be there, or with `optional` may be absent or null. */
static char *read_string(const cJSON *body, const char *name, bool optional, const cJSON *shown,
                         struct str *out)
{
    const cJSON *value = json_get(body, name);
    if (cJSON_IsString(value))
        return mem_copy_string(value->valuestring);
    if (!value && !optional)
        detail("missing", name, "Field required", shown, out);
    else if (value && !(optional && cJSON_IsNull(value)))
        detail("string_type", name, "Input should be a valid string", shown ? value : NULL, out);
    return NULL;
}

void local_request_finish(struct local_request *request)
{
    free(request->id);
    free(request->webhook);
    cJSON_Delete(request->input);
    *request = (struct local_request){0};
}

static char *make_id(void)
{
    char uuid[RANDOM_UUID_SIZE];
    random_uuid(uuid);
    return str_format("test-%s", uuid);
}

bool local_request_read(struct http_exchange *exchange, bool realtime,
                        struct local_request *request, struct str *out)
{
    cJSON *body = read_object(exchange, out);
    *request = (struct local_request){0};
    if (!body) {
        str_puts(out, "]}");
        return false;
    }
    request->bytes = http_exchange_body(exchange)->len;
    const cJSON *shown = request->bytes <= ECHO_BYTES_MAX ? body : NULL;
    const cJSON *input = json_get(body, "input");
    request->id = realtime ? read_string(body, "id", false, shown, out) : make_id();
    if (!input)
        detail("missing", "input", "Field required", shown, out);
    else if (realtime ? cJSON_IsNull(input) : !cJSON_IsObject(input))
        detail("dict_type", "input", "Input should be a valid dictionary", shown ? input : NULL,
               out);
    if (!realtime)
        request->webhook = read_string(body, "webhook", true, shown, out);
    if (request->webhook && !request->webhook[0]) { /* as none, to the SDK */
        free(request->webhook);
        request->webhook = NULL;
    }
    if (out->len) {
        str_puts(out, "]}");
        local_request_finish(request);
    } else {
        envelope_open(body);
        request->input = cJSON_DetachItemFromObjectCaseSensitive(body, "input");
    }
    cJSON_Delete(body);
    return out->len == 0;
}

bool local_request_wait(struct http_exchange *exchange, int64_t *deadline, struct str *out)
{
    const char *text = http_exchange_query(exchange, "wait");
    int64_t ms;
    *deadline = CLOCK_NEVER;
    if (!text)
        return true;
    if (!app_integer(text, &ms) || ms < WAIT_MS_MIN || ms > WAIT_MS_MAX) {
        str_printf(out,
                   "{\"detail\":[{\"type\":\"int_type\",\"loc\":[\"query\",\"wait\"],\"msg\":"
                   "\"Input should be an integer from %d to %d\",\"input\":",
                   WAIT_MS_MIN, WAIT_MS_MAX);
        json_write_string(out, text, strlen(text) < ECHO_BYTES_MAX ? strlen(text) : ECHO_BYTES_MAX);
        str_puts(out, "}]}");
        return false;
    }
    *deadline = clock_now() + ms * CLOCK_MS;
    return true;
}
