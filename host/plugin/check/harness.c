/* The fake host of the conformance cases: library, model and session. Jobs are in take.c. */
#include "plugin/check/harness.h"

#include "plugin/check/cases.h"
#include "plugin/library.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TAIL_BYTE 0xa5
#define SESSIONS 2 /* at most at the same time */

/* --- Outcomes --------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 0))) static enum check_outcome
cx_end(struct check_cx *cx, enum check_outcome outcome, const char *format, va_list args)
{
    str_clear(&cx->reason);
    str_vprintf(&cx->reason, format, args);
    return outcome;
}

enum check_outcome cx_fail(struct check_cx *cx, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    enum check_outcome outcome = cx_end(cx, CHECK_FAIL, format, args);
    va_end(args);
    return outcome;
}

enum check_outcome cx_skip(struct check_cx *cx, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    enum check_outcome outcome = cx_end(cx, CHECK_SKIP, format, args);
    va_end(args);
    return outcome;
}

enum check_outcome cx_expect_kept(struct check_cx *cx, const struct breaches *breaches,
                                  enum breach breach)
{
    if (breaches->notes[breach][0])
        return cx_fail(cx, "%s", breaches->notes[breach]);
    return CHECK_PASS;
}

const char *code_name(int32_t code)
{
    static const char *const names[] = {
        "VOX_OK",         "VOX_EINVAL", "VOX_ENOTFOUND", "VOX_EUNSUPPORTED", "VOX_ENOMEM",
        "VOX_ECANCELLED", "VOX_EMODEL", "VOX_EINTERNAL", "VOX_EDEVICE",      "VOX_ESINK"};
    return code <= VOX_OK && code >= VOX_ESINK ? names[-code] : "an unknown code";
}

bool text_is_line(const char *text, size_t len)
{
    size_t bad;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    return utf8_valid(text, len, &bad);
}

bool cx_failure_is_proper(struct check_cx *cx, const char *call, int32_t code,
                          const struct vox_error *error)
{
    const char *message = error->message;
    size_t len = strnlen(message, sizeof(error->message));
    if (code > VOX_OK || code < VOX_ESINK)
        cx_fail(cx, "%s returned %d, which is no code of the ABI", call, code);
    else if (len == sizeof(error->message))
        cx_fail(cx, "%s: the message has no end", call);
    else if (len == 0)
        cx_fail(cx, "%s returned %s without a message", call, code_name(code));
    else if (!text_is_line(message, len))
        cx_fail(cx, "%s: the message of %s is not one line of UTF-8", call, code_name(code));
    else if (message[len - 1] == '.' && (len < 3 || strcmp(message + len - 3, "...") != 0))
        cx_fail(cx, "%s: the message ends with a full stop: \"%s\"", call, message);
    else if (error->code != 0 && error->code != code)
        cx_fail(cx, "%s returned %s, but its error says %s", call, code_name(code),
                code_name(error->code));
    else
        return true;
    return false;
}

/* --- What the host lends ---------------------------------------------------------------------- */

static void host_log(const struct vox_host *host, uint32_t level, struct vox_str message)
{
    struct check_cx *cx = host->self;
    pthread_mutex_lock(&cx->lock);
    char *note = cx->breaches.notes[BREACH_LOG];
    size_t size = sizeof(cx->breaches.notes[BREACH_LOG]);
    if (note[0])
        ; /* the first breach counts */
    else if (level < VOX_LOG_DEBUG || level > VOX_LOG_ERROR)
        snprintf(note, size, "the log level %u does not exist", level);
    else if (message.size == 0 || !message.data)
        snprintf(note, size, "an empty log message");
    else if (!text_is_line(message.data, message.size))
        snprintf(note, size, "a log message that is not one line of UTF-8");
    pthread_mutex_unlock(&cx->lock);
}

static const void *host_extension(const struct vox_host *host, const char *id)
{
    (void)host;
    return id && strcmp(id, VOX_SCRATCH_ID) == 0 ? &take_scratch : NULL;
}

static struct vox_str borrow(const char *text)
{
    return (struct vox_str){text, strlen(text)};
}

static void cx_lend(struct check_cx *cx, const char *model_dir, const char *device)
{
    const uint32_t grown = cx->future ? TAKE_TAIL_SIZE : 0;
    memset(cx->host.tail, TAIL_BYTE, sizeof(cx->host.tail));
    memset(cx->load.tail, TAIL_BYTE, sizeof(cx->load.tail));
    cx->host.host = (struct vox_host){.size = (uint32_t)sizeof(struct vox_host) + grown,
                                      .abi_major = VOX_ABI_MAJOR,
                                      .abi_minor = (uint16_t)(VOX_ABI_MINOR + cx->future),
                                      .self = cx,
                                      .log = host_log,
                                      .extension = host_extension};
    cx->load.load = (struct vox_load){.size = (uint32_t)sizeof(struct vox_load) + grown,
                                      .sessions = SESSIONS,
                                      .model_type = borrow("check"),
                                      .model_dir = borrow(model_dir),
                                      .cache_dir = borrow(cx->cache_dir),
                                      .plugin_dir = borrow(cx->plugin_dir),
                                      .device = borrow(device),
                                      .options = cx->load_values.values,
                                      .option_count = cx->load_values.count};
}

/* --- Library, model, session ------------------------------------------------------------------ */

bool cx_open(struct check_cx *cx)
{
    if (cx->entry)
        return true;
    void *library;
    struct err err = {0};
    if (library_open(cx->path, &library, &err) != 0)
        cx_fail(cx, "%s", err.message);
    else if (!(cx->entry = dlsym(library, "vox_entry")))
        cx_fail(cx, "has no symbol vox_entry: not a voxhost plugin");
    return cx->entry;
}

bool cx_options(struct check_cx *cx)
{
    const struct check_options *options = cx->options;
    struct err err = {0};
    if (options_check(plugin_load_schema(cx->entry), options->load_options, NULL, false,
                      &cx->load_values, &err) != 0)
        cx_fail(cx, "load %s: %s", err.field, err.message);
    else if (options_check(plugin_job_schema(cx->entry), options->job_options, NULL, false,
                           &cx->job_values, &err) != 0)
        cx_fail(cx, "job %s: %s", err.field, err.message);
    else
        return true;
    return false;
}

int32_t cx_init_model(struct check_cx *cx, const char *model_dir, const char *device,
                      struct vox_error *error)
{
    *error = (struct vox_error){.size = (uint32_t)sizeof(*error)};
    cx_lend(cx, model_dir ? model_dir : cx->model_dir, device);
    return cx->entry->init(&cx->host.host, &cx->load.load, &cx->model, error);
}

/* What a plugin answered, for a message; its own text may be anything. */
static void cx_fail_call(struct check_cx *cx, const char *call, int32_t code,
                         const struct vox_error *error)
{
    size_t len = strnlen(error->message, sizeof(error->message)), bad = len;
    if (!utf8_valid(error->message, len, &bad))
        len = bad;
    cx_fail(cx, "%s returned %s (%d)%s%.*s", call, code_name(code), code, len ? ": " : "", (int)len,
            error->message);
}

bool cx_load(struct check_cx *cx)
{
    const char *device = cx->options->device ? cx->options->device : "auto";
    struct vox_error error;
    int32_t code = cx->init_code = cx_init_model(cx, NULL, device, &error);
    if (code != VOX_OK)
        cx->model = NULL;
    if (code != VOX_OK)
        cx_fail_call(cx, "init", code, &error);
    else if (!cx->model)
        cx_fail(cx, "init returned VOX_OK and no model");
    else
        return true;
    return false;
}

bool cx_open_session(struct check_cx *cx, struct vox_session **session)
{
    struct vox_error error = {.size = (uint32_t)sizeof(error)};
    int32_t code = cx->entry->open(cx->model, session, &error);
    if (code != VOX_OK)
        *session = NULL;
    if (code != VOX_OK)
        cx_fail_call(cx, "open", code, &error);
    else if (!*session)
        cx_fail(cx, "open returned VOX_OK and no session");
    else
        return true;
    return false;
}

bool cx_session(struct check_cx *cx)
{
    if (!cx->model && !cx_load(cx))
        return false;
    return cx->session || cx_open_session(cx, &cx->session);
}

void cx_down(struct check_cx *cx)
{
    if (cx->session)
        cx->entry->close(cx->session);
    if (cx->model)
        cx->entry->fini(cx->model);
    cx->session = NULL;
    cx->model = NULL;
}

/* --- Set-up ----------------------------------------------------------------------------------- */

int check_cx_init(struct check_cx *cx, const struct check_options *options, const char *path,
                  const char *work_dir, struct err *err)
{
    *cx = (struct check_cx){.options = options, .path = path, .work_dir = work_dir};
    pthread_mutex_init(&cx->lock, NULL);
    cx->run_dir = fs_join(work_dir, "run");
    cx->cache_dir = fs_join(work_dir, "cache");
    cx->model_dir =
        options->model_dir ? mem_copy_string(options->model_dir) : fs_join(work_dir, "model");
    cx->plugin_dir = fs_dir_of(path);
    int result = fs_make_dirs(cx->run_dir, 0700, err);
    if (result == 0)
        result = fs_make_dirs(cx->cache_dir, 0700, err);
    if (result == 0 && !options->model_dir)
        result = fs_make_dirs(cx->model_dir, 0700, err);
    if (result == 0 && chdir(cx->run_dir) != 0)
        result = err_set(err, ERR_STORAGE, NULL, "%s: %s", cx->run_dir, strerror(errno));
    if (result == 0)
        cx->before = process_state_create();
    return result;
}

void check_cx_finish(struct check_cx *cx)
{
    for (struct take *take = cx->takes, *next; take; take = next) {
        next = take->next;
        free(take);
    }
    makings_destroy(cx->makings);
    option_set_finish(&cx->load_values);
    option_set_finish(&cx->job_values);
    process_state_destroy(cx->before);
    str_finish(&cx->reason);
    free(cx->run_dir);
    free(cx->cache_dir);
    free(cx->model_dir);
    free(cx->plugin_dir);
    pthread_mutex_destroy(&cx->lock);
}
