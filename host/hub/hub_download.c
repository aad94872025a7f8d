/* Files of a repository onto disk: connections that each take the next chunk of the first file that
 * has one, through the hub's redirects, until all are in place or something cannot be helped. One
 * thread; hashes are made in hub_part.c.
 *
 * The token goes to the endpoint's own origin only: every redirect is looked at here, none is
 * followed by libcurl.
 */
#include "hub/hub_private.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRIES_MAX 8        /* without a byte of progress */
#define TRIES_ALL_MAX 1000 /* of one run */
#define RESTARTS_MAX 3     /* of one file */
#define RETRY_FIRST_S 0.5
#define RETRY_MAX_S 20.0
#define STALL_S 30.0
#define ERROR_BYTES_MAX (1u << 20) /* of what a refusal says */
#define POLL_NS (100 * CLOCK_MS)
#define BUSY_NS (300 * CLOCK_MS)
#define SAVE_NS CLOCK_S
#define HOST_LEN_MAX 255 /* of what a message shows */

struct fetch { /* one file */
    struct hub_part part;
    enum { FETCH_WAITS, FETCH_OPEN, FETCH_DONE } state;
    char *url;     /* where redirects led; NULL: ask the hub */
    char *hub_url; /* at the endpoint */
    unsigned restarts;
    bool undivided;  /* who sends it knows no ranges */
    bool restart;    /* asked for by a connection */
    bool other_file; /* what was whole had a wrong digest once */
    int64_t look_at; /* another process has it: when to look again */
};

struct slot { /* one connection */
    struct engine *engine;
    struct fetch *fetch; /* NULL: idle */
    struct hub_chunk *chunk;
    struct http_call *call;
    char *url;
    uint64_t begun; /* chunk->at when this try began */
    unsigned hops, tries;
    int64_t retry_at;
    bool looked; /* at the answer's head */
};

struct engine {
    struct hub *hub;
    const char *dir;
    struct fetch *fetches;
    size_t count, done, first; /* fetches before `first` are done */
    struct slot slots[HUB_JOBS_MAX];
    unsigned tries;
    uint64_t bytes_total;
    int64_t pause_until; /* the hub wants a rest */
    int64_t save_at;
    struct err *err;
    bool failed;
};

static void fail(struct engine *engine, const struct err *err)
{
    if (!engine->failed)
        *engine->err = *err;
    engine->failed = true;
}

__attribute__((format(printf, 3, 4))) static void fail_file(struct slot *slot, enum err_code code,
                                                            const char *format, ...)
{
    char text[512];
    struct err err = {0};
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    err_set(&err, code, NULL, "%s: %s: %s", slot->fetch->part.item->listing->repo,
            slot->fetch->part.item->file->path, text);
    fail(slot->engine, &err);
}

/* --- An answer's head ------------------------------------------------------------------------- */

static bool header_number(const struct http_response *head, const char *name, uint64_t *number)
{
    char *text = http_response_header(head, name), *end = NULL;
    bool good = text && text[0] >= '0' && text[0] <= '9';
    if (good) {
        errno = 0;
        *number = strtoull(text, &end, 10);
        good = errno == 0 && *end == '\0';
    }
    free(text);
    return good;
}

/* What the hub says of the file it leads to has to agree with its list. */
static bool agrees_with_list(struct slot *slot, const struct http_response *head)
{
    const struct hub_item *item = slot->fetch->part.item;
    char *commit = http_response_header(head, "X-Repo-Commit");
    char *etag = http_response_header(head, "X-Linked-Etag");
    uint64_t size = item->file->size;
    bool good = true;
    header_number(head, "X-Linked-Size", &size);
    if (size != item->file->size) {
        fail_file(slot, ERR_STORAGE, "the hub has %" PRIu64 " bytes, its list says %" PRIu64, size,
                  item->file->size);
        good = false;
    }
    if (good && commit && strcmp(commit, item->listing->commit) != 0) {
        fail_file(slot, ERR_STORAGE, "the hub answers with commit %.64s, asked for was %s", commit,
                  item->listing->commit);
        good = false;
    }
    if (good && etag) {
        char *bare = etag + (strncmp(etag, "W/", 2) == 0 ? 2 : 0);
        bare += *bare == '"';
        bare[strcspn(bare, "\"")] = '\0';
        if (hub_digest_valid(bare) && strlen(bare) == strlen(item->file->digest) &&
            strcmp(bare, item->file->digest) != 0) {
            fail_file(slot, ERR_STORAGE, "the hub has the digest %s, its list says %s", bare,
                      item->file->digest);
            good = false;
        }
    }
    free(commit);
    free(etag);
    return good;
}

/* "bytes 0-99/1000" is the range that was asked for. */
static bool range_agrees(struct slot *slot, const struct http_response *head)
{
    char *text = http_response_header(head, "Content-Range");
    uint64_t from, to, size;
    bool good = text && sscanf(text, "bytes %20" SCNu64 "-%20" SCNu64 "/%20" SCNu64, &from, &to,
                               &size) == 3;
    if (!good)
        fail_file(slot, ERR_STORAGE, "the server names no range that can be read");
    else if (size != slot->fetch->part.item->file->size)
        fail_file(slot, ERR_STORAGE,
                  "the server has %" PRIu64 " bytes, the hub's list says %" PRIu64, size,
                  slot->fetch->part.item->file->size);
    else if (from != slot->chunk->at || to >= slot->chunk->end)
        fail_file(slot, ERR_STORAGE, "the server sends another range than was asked for");
    free(text);
    return !slot->engine->failed;
}

/* The whole file came where a range was asked for: another version of it, or a server that knows
 * no ranges. */
static bool whole_agrees(struct slot *slot, const struct http_response *head)
{
    struct fetch *fetch = slot->fetch;
    uint64_t size = fetch->part.item->file->size, length = size;
    if (slot->chunk->at != 0 || slot->chunk->end != size) {
        fetch->undivided = fetch->restarts > 0 || !fetch->part.etag;
        fetch->restart = true;
        return false;
    }
    header_number(head, "Content-Length", &length);
    if (length != size)
        fail_file(slot, ERR_STORAGE,
                  "the server has %" PRIu64 " bytes, the hub's list says %" PRIu64, length, size);
    return length == size;
}

/* Kept for If-Range, which takes only strong ones. */
static void keep_etag(struct hub_part *part, const struct http_response *head)
{
    if (part->etag)
        return;
    part->etag = http_response_header(head, "ETag");
    if (part->etag && part->etag[0] != '"') {
        free(part->etag);
        part->etag = NULL;
    }
}

static int take(const struct http_response *head, const void *data, size_t len, void *arg)
{
    struct slot *slot = arg;
    struct hub_part *part = &slot->fetch->part;
    struct hub_chunk *chunk = slot->chunk;
    const char *bytes = data;
    if (!slot->looked) {
        if (!agrees_with_list(slot, head) ||
            !(head->status == 206 ? range_agrees(slot, head) : whole_agrees(slot, head)))
            return -1;
        keep_etag(part, head);
        slot->looked = true;
    }
    if (len > chunk->end - chunk->at) {
        fail_file(slot, ERR_STORAGE, "the server sends more than was asked for");
        return -1;
    }
    while (len > 0) {
        ssize_t put = pwrite(part->fd, bytes, len, (off_t)chunk->at);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0) {
            fail_file(slot, ERR_STORAGE, "%s: %s (what is here is kept, the next run goes on)",
                      part->part, strerror(errno));
            return -1;
        }
        bytes += put;
        len -= (size_t)put;
        chunk->at += (uint64_t)put;
    }
    part->changed = true;
    hub_part_grown(part);
    return 0;
}

/* --- One try ---------------------------------------------------------------------------------- */

static void on_done(struct http_response *response, void *arg);

static void slot_free(struct slot *slot)
{
    if (slot->call)
        http_call_cancel(slot->call);
    if (slot->chunk)
        slot->chunk->taken = false;
    free(slot->url);
    *slot = (struct slot){.engine = slot->engine};
}

static void start(struct slot *slot)
{
    struct engine *engine = slot->engine;
    struct hub *hub = engine->hub;
    struct fetch *fetch = slot->fetch;
    const struct hub_chunk *chunk = slot->chunk;
    char range[64];
    struct err err = {0};
    char *if_range = fetch->part.etag ? str_format("If-Range: %s", fetch->part.etag) : NULL;
    const char *headers[5] = {"Accept-Encoding: identity"};
    size_t count = 1;
    bool all = chunk->at == 0 && chunk->end == fetch->part.item->file->size;
    snprintf(range, sizeof(range), "Range: bytes=%" PRIu64 "-%" PRIu64, chunk->at, chunk->end - 1);
    if (!all)
        headers[count++] = range;
    if (!all && if_range)
        headers[count++] = if_range;
    bool own = http_url_same_origin(slot->url, hub->endpoint);
    if (hub->token_header && own)
        headers[count++] = hub->token_header;
    const struct http_request request = {
        .method = "GET",
        .url = slot->url,
        .headers = headers,
        .public_address = hub->is_public && !own,
        .no_redirects = true,
        .keep_headers = true,
        .stall_timeout_s = STALL_S,
        .response_max = ERROR_BYTES_MAX,
        .take = take,
        .take_arg = slot,
    };
    slot->looked = false;
    slot->begun = chunk->at;
    slot->call = http_client_start(hub->client, &request, on_done, slot, &err);
    if (!slot->call)
        fail_file(slot, ERR_STORAGE, "%s", err.message);
    free(if_range);
}

static void begin(struct slot *slot)
{
    struct fetch *fetch = slot->fetch;
    free(slot->url);
    slot->url = mem_copy_string(fetch->url ? fetch->url : fetch->hub_url);
    slot->hops = 0;
    start(slot);
}

static void follow(struct slot *slot, const struct http_response *response)
{
    char *location = http_response_header(response, "Location");
    char *next = location ? http_url_follow(slot->url, location) : NULL;
    free(location);
    if (!next || ++slot->hops > HUB_HOPS_MAX) {
        fail_file(slot, ERR_STORAGE, "%s",
                  next ? "too many redirects"
                       : "a redirect leads nowhere, or from https to http: not followed");
        free(next);
        return;
    }
    free(slot->url);
    slot->url = next;
    start(slot);
}

/* This try failed; another may do. */
static void retry(struct slot *slot, const char *reason, double retry_after_s)
{
    struct engine *engine = slot->engine;
    if (slot->chunk->at > slot->begun)
        slot->tries = 0;
    free(slot->fetch->url); /* it may have expired */
    slot->fetch->url = NULL;
    if (++slot->tries >= TRIES_MAX || ++engine->tries >= TRIES_ALL_MAX) {
        fail_file(slot, ERR_STORAGE, "%s (given up after %u tries; what is here is kept)", reason,
                  slot->tries);
        return;
    }
    if (retry_after_s > HUB_RETRY_AFTER_MAX_S) {
        fail_file(slot, ERR_STORAGE, "%s, and wants %.0f s to pass first: try again then", reason,
                  retry_after_s);
        return;
    }
    int64_t now = clock_now();
    slot->retry_at = now + backoff_ns(slot->tries, RETRY_FIRST_S, RETRY_MAX_S);
    if (retry_after_s > 0)
        engine->pause_until = now + (int64_t)(retry_after_s * 1e9);
    LOG_EVENT(engine->hub->options.log, LOG_INFO, "pull", "trying again",
              LOG_TEXT("file", slot->fetch->part.item->file->path), LOG_TEXT("reason", reason));
}

static void chunk_is_whole(struct slot *slot)
{
    struct fetch *fetch = slot->fetch;
    if (slot->hops > 0 && !fetch->url)
        fetch->url = mem_copy_string(slot->url);
    slot->chunk = NULL; /* stays taken */
    slot_free(slot);
}

static void on_status(struct slot *slot, struct http_response *response)
{
    const struct hub_item *item = slot->fetch->part.item;
    int status = response->status;
    char reason[320];
    const char *scheme = strstr(slot->url, "://"), *host = scheme ? scheme + 3 : slot->url;
    struct err err = {0};
    bool elsewhere = !http_url_same_origin(slot->url, slot->engine->hub->endpoint);
    size_t host_len = strcspn(host, "/?#");
    snprintf(reason, sizeof(reason), "%.*s answered with status %d",
             host_len < HOST_LEN_MAX ? (int)host_len : HOST_LEN_MAX, host, status);
    if (status == 416) {
        slot->fetch->restart = true;
    } else if (hub_is_transient(status) || (elsewhere && status >= 400)) {
        retry(slot, reason, hub_retry_after_s(response));
    } else if (status >= 200 && status <= 299) {
        retry(slot, "the answer ended early", -1);
    } else {
        char *what = str_format("file \"%s\"", item->file->path);
        hub_refused(slot->engine->hub, response, item->listing->repo, what, &err);
        fail(slot->engine, &err);
        free(what);
    }
}

static void on_done(struct http_response *response, void *arg)
{
    struct slot *slot = arg;
    slot->call = NULL;
    if (slot->engine->failed || slot->fetch->restart)
        return;
    if (hub_is_redirect(response->status)) {
        if (agrees_with_list(slot, response))
            follow(slot, response);
    } else if (slot->looked && slot->chunk->at == slot->chunk->end) {
        chunk_is_whole(slot);
    } else if (response->status == 0 && response->err.code == ERR_INVALID) {
        fail_file(slot, ERR_STORAGE, "the hub leads to %s", response->err.message);
    } else if (response->status == 0) {
        retry(slot, response->err.message, -1);
    } else {
        on_status(slot, response);
    }
}

/* --- The files -------------------------------------------------------------------------------- */

static void fetch_done(struct engine *engine, struct fetch *fetch)
{
    fetch->state = FETCH_DONE;
    engine->done++;
    hub_part_close(&fetch->part);
    LOG_EVENT(engine->hub->options.log, LOG_DEBUG, "pull", "file in place",
              LOG_TEXT("file", fetch->part.path));
    while (engine->first < engine->count && engine->fetches[engine->first].state == FETCH_DONE)
        engine->first++;
}

static void restart(struct engine *engine, struct fetch *fetch)
{
    struct err err = {0};
    for (size_t i = 0; i < engine->hub->options.jobs; i++)
        if (engine->slots[i].fetch == fetch) {
            engine->slots[i].chunk = NULL; /* about to go */
            slot_free(&engine->slots[i]);
        }
    fetch->restart = false;
    free(fetch->url);
    fetch->url = NULL;
    if (++fetch->restarts > RESTARTS_MAX) {
        err_set(&err, ERR_STORAGE, NULL,
                "%s: %s: begun anew %d times, and still the server sends other ranges than it is "
                "asked for",
                fetch->part.item->listing->repo, fetch->part.item->file->path, RESTARTS_MAX);
        fail(engine, &err);
    } else if (hub_part_restart(&fetch->part, fetch->undivided, &err) != 0) {
        fail(engine, &err);
    }
}

/* Puts a file in place that is whole. A wrong digest may be an edge of the network that is
 * broken: tried once more. */
static void finish(struct engine *engine, struct fetch *fetch)
{
    struct err err = {0};
    int result = hub_part_finish(&fetch->part, &err);
    if (result == 0) {
        fetch_done(engine, fetch);
        return;
    }
    if (result == 1) {
        fetch->restart = true;
        if (!fetch->other_file) {
            fetch->other_file = true;
            LOG_EVENT(engine->hub->options.log, LOG_WARN, "pull", "trying again",
                      LOG_TEXT("reason", err.message));
            return;
        }
        restart(engine, fetch);
        err_prefix(&err, "%s", fetch->part.item->listing->repo);
    }
    fail(engine, &err);
}

static void open_fetch(struct engine *engine, struct fetch *fetch)
{
    struct err err = {0};
    bool first_time = fetch->look_at == 0;
    int result = hub_part_open(&fetch->part, engine->hub->options.stop, &err);
    if (result < 0) {
        fail(engine, &err);
    } else if (result == PART_BUSY) {
        fetch->look_at = clock_now() + BUSY_NS;
        if (first_time)
            LOG_EVENT(engine->hub->options.log, LOG_INFO, "pull",
                      "another process fetches this file: waiting for it",
                      LOG_TEXT("file", fetch->part.path));
    } else if (result == PART_DONE) {
        fetch_done(engine, fetch);
    } else {
        fetch->state = FETCH_OPEN;
    }
}

static struct hub_chunk *free_chunk(struct fetch *fetch)
{
    for (size_t i = fetch->part.front; i < fetch->part.count; i++) {
        struct hub_chunk *chunk = &fetch->part.chunks[i];
        if (!chunk->taken && chunk->at < chunk->end)
            return chunk;
    }
    return NULL;
}

/* The next chunk to fetch, of the first file that has one; opens files on the way. */
static bool next_chunk(struct engine *engine, struct slot *slot)
{
    size_t open = 0;
    for (size_t i = engine->first; i < engine->count && !engine->failed; i++) {
        struct fetch *fetch = &engine->fetches[i];
        if (fetch->state == FETCH_WAITS && open < engine->hub->options.jobs &&
            clock_now() >= fetch->look_at)
            open_fetch(engine, fetch);
        if (fetch->state != FETCH_OPEN || fetch->restart)
            continue;
        open++;
        struct hub_chunk *chunk = free_chunk(fetch);
        if (!chunk)
            continue;
        chunk->taken = true;
        slot->fetch = fetch;
        slot->chunk = chunk;
        return true;
    }
    return false;
}

static void feed_slots(struct engine *engine)
{
    int64_t now = clock_now();
    for (size_t i = 0; i < engine->hub->options.jobs && !engine->failed; i++) {
        struct slot *slot = &engine->slots[i];
        if (now < engine->pause_until || slot->call || now < slot->retry_at)
            continue;
        if (slot->fetch || next_chunk(engine, slot))
            begin(slot);
    }
}

static void look_at_fetches(struct engine *engine)
{
    bool save = clock_now() >= engine->save_at;
    for (size_t i = engine->first; i < engine->count && !engine->failed; i++) {
        struct fetch *fetch = &engine->fetches[i];
        if (fetch->state != FETCH_OPEN)
            continue;
        if (fetch->restart)
            restart(engine, fetch);
        else if (hub_part_ready(&fetch->part))
            finish(engine, fetch);
        else if (save)
            hub_part_save(&fetch->part);
    }
    if (save)
        engine->save_at = clock_now() + SAVE_NS;
}

static void tell_progress(struct engine *engine)
{
    const struct hub_options *options = &engine->hub->options;
    struct hub_progress progress = {
        .bytes_total = engine->bytes_total, .files = engine->done, .files_total = engine->count};
    if (!options->progress)
        return;
    for (size_t i = 0; i < engine->count; i++) {
        const struct fetch *fetch = &engine->fetches[i];
        progress.bytes += fetch->state == FETCH_DONE   ? fetch->part.item->file->size
                          : fetch->state == FETCH_OPEN ? hub_part_bytes(&fetch->part)
                                                       : 0;
    }
    options->progress(&progress, options->arg);
}

static int run(struct engine *engine)
{
    struct hub *hub = engine->hub;
    while (!engine->failed && engine->done < engine->count && !hub_stopped(hub)) {
        look_at_fetches(engine); /* first: what is to begin anew gets no connection */
        feed_slots(engine);
        tell_progress(engine);
        if (!engine->failed && engine->done < engine->count)
            http_client_poll(hub->client, clock_now() + POLL_NS);
    }
    for (size_t i = 0; i < hub->options.jobs; i++)
        slot_free(&engine->slots[i]);
    if (engine->failed)
        return engine->err->code;
    if (engine->done < engine->count)
        return err_set(engine->err, ERR_CANCELLED, NULL,
                       "%s: stopped; what is here is kept, the next run goes on with it",
                       engine->dir);
    return 0;
}

/* --- The whole -------------------------------------------------------------------------------- */

static void add_fetch(struct engine *engine, struct hub_item *item)
{
    struct fetch *fetch = &engine->fetches[engine->count++];
    struct str url = {0};
    hub_part_init(&fetch->part, engine->dir, item, engine->hub->client);
    str_printf(&url, "%s/%s/resolve/%s/", engine->hub->endpoint, item->listing->repo,
               item->listing->commit);
    hub_url_append(&url, item->file->path, true);
    fetch->hub_url = str_take(&url);
    engine->bytes_total += item->file->size;
}

static void finish_fetches(struct engine *engine)
{
    for (size_t i = 0; i < engine->count; i++) {
        hub_part_destroy(&engine->fetches[i].part);
        free(engine->fetches[i].url);
        free(engine->fetches[i].hub_url);
    }
    free(engine->fetches);
}

int hub_download(struct hub *hub, const char *dir, struct hub_item *items, size_t count,
                 struct err *err)
{
    struct engine *engine = mem_alloc(sizeof(*engine));
    *engine = (struct engine){.hub = hub, .dir = dir, .err = err};
    engine->fetches = mem_alloc_array(count + 1, sizeof(*engine->fetches));
    for (size_t i = 0; i < HUB_JOBS_MAX; i++)
        engine->slots[i].engine = engine;
    for (size_t i = 0; i < count; i++)
        if (!items[i].done)
            add_fetch(engine, &items[i]);
    int result = run(engine);
    finish_fetches(engine);
    free(engine);
    return result;
}
