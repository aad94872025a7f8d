/* What is said of a job of the local API server; see local_jobs.h. Everything is called with the
 * jobs' lock. */
#include "front/worker/local_jobs.h"

#include <inttypes.h>
#include <string.h>

const char *const local_state_names[] = {"IN_QUEUE", "IN_PROGRESS", "COMPLETED", "FAILED",
                                         "CANCELLED"};

void local_write_id(const char *id, const char *status, struct str *out)
{
    str_puts(out, "{\"id\":");
    json_write_string(out, id, strlen(id));
    str_printf(out, ",\"status\":\"%s\"", status);
}

static void write_ms(const char *key, int64_t from, int64_t to, struct str *out)
{
    str_printf(out, ",\"%s\":%" PRId64, key, (to - from) / CLOCK_MS);
}

/* `progress`: negative when it is not known. */
static void write_status(const struct local_jobs *jobs, const struct local_entry *entry,
                         double progress, struct str *out)
{
    const char *worker_id = jobs->options.settings->worker_id;
    local_write_id(entry->request.id, local_state_names[entry->state], out);
    if (entry->started_at) {
        write_ms("delayTime", entry->created_at, entry->started_at, out);
        if (entry->ended_at)
            write_ms("executionTime", entry->started_at, entry->ended_at, out);
        str_puts(out, ",\"workerId\":");
        json_write_string(out, worker_id, strlen(worker_id));
    }
    if (entry->body.len) { /* an object with members; its first brace is ours */
        str_putc(out, ',');
        str_append(out, entry->body.data + 1, entry->body.len - 1);
        return;
    }
    if (progress >= 0) {
        str_puts(out, ",\"output\":{\"progress\":");
        json_write_number(out, progress);
        str_putc(out, '}');
    }
    str_putc(out, '}');
}

/* The member "error" of a failure's body. */
static void write_error(const struct local_entry *entry, struct str *out)
{
    const struct json_limits limits = {entry->body.len, entry->body.len, 64};
    struct err err;
    cJSON *body = json_parse(str_text(&entry->body), entry->body.len, &limits, &err);
    const cJSON *error = body ? json_get(body, "error") : NULL;
    if (error) {
        str_puts(out, ",\"error\":");
        json_write(out, error);
    }
    cJSON_Delete(body);
}

static void write_stream(struct local_entry *entry, struct str *out)
{
    local_write_id(entry->request.id, local_state_names[entry->state], out);
    str_puts(out, ",\"stream\":[");
    str_append(out, str_text(&entry->chunks), entry->chunks.len);
    str_finish(&entry->chunks);
    str_putc(out, ']');
    if (entry->state == LOCAL_FAILED)
        write_error(entry, out);
    str_putc(out, '}');
}

void local_entry_write(const struct local_jobs *jobs, struct local_entry *entry,
                       enum local_view view, double progress, struct str *out)
{
    if (view == LOCAL_VIEW_STREAM)
        write_stream(entry, out);
    else if (view == LOCAL_VIEW_STATUS)
        write_status(jobs, entry, progress, out);
    else if (entry->body.len)
        str_append(out, entry->body.data, entry->body.len);
    else
        str_puts(out, "{\"error\":\"cancelled\"}");
}
