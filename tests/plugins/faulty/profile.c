/* faulty_profile: a model that beeps at a pitch of its voice's own, and whose vox.profile/1 breaks the
 * rules as the load option `fault` says. A profile is four bytes of magic, the voice's number, and the
 * number once more with all bits turned.
 */
#include "beep.h"

#include "vox/ext/profile.h"
#include "vox/helpers.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#pragma GCC diagnostic ignored "-Woverride-init"

/* What a library of CMakeLists.txt changes in its extension and its entry. */
#ifndef PROFILE
#define PROFILE
#endif
#ifndef ENTRY
#define ENTRY
#endif

#define MAGIC "BEEP"
#define LEAK_SIZE ((size_t)1 << 20)

#define PROFILE_FAULTS(X)                                                            \
    X(none, "behaves well")                                                          \
    X(fails, "make fails with VOX_EINVAL")                                           \
    X(silent, "make fails and gives no message when the recording is short")         \
    X(internal, "make fails with VOX_EINTERNAL when the recording is short")         \
    X(crashes, "make raises SIGSEGV")                                                \
    X(empty, "make writes nothing")                                                  \
    X(huge, "make writes 11 MiB, whatever write says")                               \
    X(random, "another profile each time")                                           \
    X(by_session, "another profile in each session")                                 \
    X(thread, "make writes from a thread of its own")                                \
    X(late, "close writes to the sink of the last make")                             \
    X(error_ignored, "make returns VOX_OK when write failed")                        \
    X(error_replaced, "make returns VOX_EINVAL when write failed")                   \
    X(write_after_error, "make writes once more after write failed")                 \
    X(never_asks, "make does not ask cancelled")                                     \
    X(cancel_is_ok, "make returns VOX_OK when it was cancelled")                     \
    X(spoils, "the session beeps otherwise after a make that was cancelled")         \
    X(leaks, "make loses 1 MiB")                                                     \
    X(refuses, "check refuses every profile")                                        \
    X(unspoken, "speak fails when there is a profile")                               \
    X(alone, "claims VOX_PROFILE_ALONE, and speaks otherwise without the recording") \
    X(takes_all, "check takes everything, and speak guesses")                        \
    X(wordless, "check refuses without a word")                                      \
    X(other_code, "check refuses with VOX_EMODEL")                                   \
    X(check_crashes, "check raises SIGSEGV at what is no profile")                   \
    X(unchecked, "check looks at the magic alone, and speak raises SIGSEGV at the rest")

enum fault {
#define X(name, text) FAULT_##name,
    PROFILE_FAULTS(X)
#undef X
};

#define X(name, text) #name,
static const char *const fault_names[] = {PROFILE_FAULTS(X) NULL};
#undef X

enum option { OPTION_FAULT, OPTION_WAIT_MS };

static const struct vox_option load_options[] = {
    [OPTION_FAULT] = {.size = (uint32_t)sizeof(struct vox_option),
                      .type = VOX_OPTION_CHOICE,
                      .name = "fault",
                      .help = "what goes wrong",
                      .fallback = "\"none\"",
                      .choices = fault_names},
    [OPTION_WAIT_MS] = {.size = (uint32_t)sizeof(struct vox_option),
                        .type = VOX_OPTION_INT,
                        .name = "wait_ms",
                        .help = "how long the first make waits to be cancelled",
                        .fallback = "0",
                        .minimum = 0,
                        .maximum = 3600000},
};

struct vox_model {
    enum fault fault;
    int64_t wait_ms;
    _Atomic uint32_t make_count;
    uint32_t session_count;
};

struct vox_session {
    struct vox_model *model;
    uint32_t number; /* among the model's */
    int spoiled;
    const struct vox_profile_sink *late_sink; /* of the last make; invalid by then */
    struct vox_profile_sink late_copy;
};

struct profile_bytes {
    char magic[4];
    uint32_t number, turned;
};

/* --- Profiles ------------------------------------------------------------------------------------ */

static uint32_t recording_number(const struct vox_voice *voice)
{
    uint32_t number = 2166136261u; /* FNV-1a */
    const unsigned char *bytes = (const unsigned char *)voice->pcm;
    for (uint64_t i = 0; i < voice->frames * voice->channels * sizeof(float); i++)
        number = (number ^ bytes[i]) * 16777619u;
    return number;
}

/* VOX_OK and the number, or VOX_EINVAL. */
static int32_t profile_read(struct vox_str profile, uint32_t *number)
{
    struct profile_bytes bytes;
    if (profile.size != sizeof(bytes))
        return VOX_EINVAL;
    memcpy(&bytes, profile.data, sizeof(bytes));
    *number = bytes.number;
    return memcmp(bytes.magic, MAGIC, 4) == 0 && bytes.turned == ~bytes.number ? VOX_OK
                                                                               : VOX_EINVAL;
}

static int32_t profile_check(struct vox_session *session, struct vox_str profile,
                             struct vox_error *error)
{
    enum fault fault = session->model->fault;
    uint32_t number;
    int32_t code = profile_read(profile, &number);
    if (fault == FAULT_takes_all)
        return VOX_OK;
    if (fault == FAULT_unchecked && profile.size == sizeof(struct profile_bytes) &&
        memcmp(profile.data, MAGIC, 4) == 0)
        return VOX_OK;
    if (code == VOX_OK && fault != FAULT_refuses)
        return VOX_OK;
    if (fault == FAULT_check_crashes)
        raise(SIGSEGV);
    if (fault == FAULT_wordless)
        return VOX_EINVAL;
    return vox_fail(error, fault == FAULT_other_code ? VOX_EMODEL : VOX_EINVAL,
                    "no profile of faulty_profile");
}

struct thread_write {
    const struct vox_profile_sink *sink;
    const void *data;
    uint64_t size;
    int32_t code;
};

static void *write_in_thread(void *arg)
{
    struct thread_write *task = arg;
    task->code = task->sink->write(task->sink, task->data, task->size);
    return NULL;
}

static int32_t write_profile(enum fault fault, const struct vox_profile_sink *sink,
                             const struct profile_bytes *bytes)
{
    struct thread_write task = {sink, bytes, sizeof(*bytes), VOX_OK};
    pthread_t thread;
    if (fault == FAULT_empty)
        return VOX_OK;
    if (fault == FAULT_thread && pthread_create(&thread, NULL, write_in_thread, &task) == 0)
        pthread_join(thread, NULL);
    else
        write_in_thread(&task);
    for (int i = 0; fault == FAULT_huge && i < 11 << 10; i++) {
        static const char block[1024];
        sink->write(sink, block, sizeof(block));
    }
    if (task.code != VOX_OK && fault == FAULT_write_after_error)
        sink->write(sink, bytes, sizeof(*bytes));
    if (task.code != VOX_OK && fault == FAULT_error_ignored)
        return VOX_OK;
    return task.code;
}

/* Looks at least once, or never. The model's first make takes its time. */
static int32_t wait_for_cancel(struct vox_model *model, const struct vox_profile_sink *sink)
{
    const struct timespec pause = {0, 10000000};
    const bool asks = model->fault != FAULT_never_asks;
    const int64_t wait_ms = model->make_count++ ? 0 : model->wait_ms;
    int32_t cancelled = asks && sink->cancelled(sink);
    for (int64_t ms = 0; ms < wait_ms && !cancelled; ms += 10) {
        nanosleep(&pause, NULL);
        cancelled = asks && sink->cancelled(sink);
    }
    return cancelled;
}

/* What make does wrong before it works; VOX_OK: nothing. */
static int32_t fail_early(struct vox_session *session, const struct vox_voice *voice,
                          const struct vox_profile_sink *sink, struct vox_error *error)
{
    const uint64_t short_frames = 4000;
    enum fault fault = session->model->fault;
    if (fault == FAULT_fails)
        return vox_fail(error, VOX_EINVAL, "asked to fail");
    if (fault == FAULT_silent && voice->frames <= short_frames)
        return VOX_EINVAL;
    if (fault == FAULT_internal && voice->frames <= short_frames)
        return vox_fail(error, VOX_EINTERNAL, "asked to fail");
    if (fault == FAULT_crashes)
        raise(SIGSEGV);
    if (fault == FAULT_leaks) {
        char *volatile lost = malloc(LEAK_SIZE); /* volatile: or the compiler drops it */
        if (lost)
            memset(lost, 1, LEAK_SIZE);
    }
    if (!wait_for_cancel(session->model, sink)) /* NOLINT(clang-analyzer-unix.Malloc): it leaks */
        return VOX_OK;
    session->spoiled = 1;
    return fault == FAULT_cancel_is_ok ? VOX_OK : vox_fail(error, VOX_ECANCELLED, "cancelled");
}

static int32_t profile_make(struct vox_session *session, const struct vox_voice *voice,
                            const struct vox_profile_sink *sink, struct vox_error *error)
{
    struct vox_model *model = session->model;
    struct profile_bytes bytes = {.magic = {'B', 'E', 'E', 'P'}, .number = recording_number(voice)};
    int32_t code = fail_early(session, voice, sink, error);
    if (code != VOX_OK)
        return code;
    if (model->fault == FAULT_random)
        bytes.number += model->make_count;
    if (model->fault == FAULT_by_session)
        bytes.number += session->number;
    bytes.turned = ~bytes.number;
    session->late_copy = *sink;
    session->late_sink = sink;
    code = write_profile(model->fault, sink, &bytes);
    if (code != VOX_OK && model->fault == FAULT_error_replaced)
        return vox_fail(error, VOX_EINVAL, "the sink did not take it");
    return code == VOX_OK ? VOX_OK : vox_fail(error, code, "not written");
}

static const struct vox_profile profile_extension = {.size = (uint32_t)sizeof(struct vox_profile),
                                                     .revision = 1,
                                                     .flags = VOX_PROFILE_ALONE,
                                                     .make = profile_make,
                                                     .check = profile_check,
                                                     PROFILE};

static const void *faulty_extension(const char *id)
{
    return strcmp(id, VOX_PROFILE_ID) == 0 ? &profile_extension : NULL;
}

/* --- Entry ------------------------------------------------------------------------------------- */

static int32_t faulty_init(const struct vox_host *host, const struct vox_load *load,
                           struct vox_model **model, struct vox_error *error)
{
    (void)host;
    *model = calloc(1, sizeof(**model));
    if (!*model)
        return vox_fail(error, VOX_ENOMEM, "no memory for a model");
    (*model)->fault = (enum fault)load->options[OPTION_FAULT].integer;
    (*model)->wait_ms = load->options[OPTION_WAIT_MS].integer;
    return VOX_OK;
}

static void faulty_fini(struct vox_model *model)
{
    free(model);
}

static int32_t faulty_open(struct vox_model *model, struct vox_session **session,
                           struct vox_error *error)
{
    *session = calloc(1, sizeof(**session));
    if (!*session)
        return vox_fail(error, VOX_ENOMEM, "no memory for a session");
    (*session)->model = model;
    (*session)->number = model->session_count++;
    return VOX_OK;
}

static void faulty_close(struct vox_session *session)
{
    if (session->model->fault == FAULT_late && session->late_sink)
        session->late_copy.write(&session->late_copy, MAGIC, 4);
    free(session);
}

/* The voice's number; 0: none. */
static int32_t voice_number(const struct vox_session *session, const struct vox_voice *voice,
                            uint32_t *number, struct vox_error *error)
{
    enum fault fault = session->model->fault;
    *number = voice && voice->frames ? recording_number(voice) : 0;
    if (!voice || voice->profile.size == 0)
        return VOX_OK;
    if (fault == FAULT_unspoken)
        return vox_fail(error, VOX_EINVAL, "asked to fail");
    int32_t code = profile_read(voice->profile, number);
    if (code != VOX_OK && fault == FAULT_unchecked)
        raise(SIGSEGV);
    if (code != VOX_OK && fault != FAULT_takes_all)
        return vox_fail(error, VOX_EINVAL, "no profile of faulty_profile");
    if (fault == FAULT_alone && voice->frames == 0)
        *number += 1;
    return VOX_OK;
}

static int32_t faulty_speak(struct vox_session *session, const struct vox_job *job,
                            struct vox_error *error)
{
    uint32_t number;
    int32_t code = voice_number(session, job->voice, &number, error);
    if (session->spoiled && session->model->fault == FAULT_spoils)
        number += 1;
    struct beep beep = beep_start(job->seed + number);
    if (code == VOX_OK)
        code = beep_begin(job);
    if (code == VOX_OK)
        code = beep_mark_words(job);
    if (code == VOX_OK)
        code = beep_write(job, &beep, BEEP_FRAMES);
    return code == VOX_ECANCELLED ? vox_fail(error, code, "cancelled") : code;
}

const struct vox_entry vox_entry = {VOX_ENTRY_HEAD,
                                    .id = "faulty_profile",
                                    .version = "1.0",
                                    .summary = "Test voice: breaks vox.profile/1 on demand",
                                    .code_licence = "MIT",
                                    .capabilities = VOX_CAP_SEED | VOX_CAP_STREAMING |
                                                    VOX_CAP_MARKS | VOX_CAP_CLONING,
                                    .sample_rate = BEEP_RATE_HZ,
                                    .channels = 1,
                                    .load_options = load_options,
                                    .load_option_count = VOX_COUNT(load_options),
                                    .load_option_size = (uint32_t)sizeof(load_options[0]),
                                    .init = faulty_init,
                                    .fini = faulty_fini,
                                    .open = faulty_open,
                                    .close = faulty_close,
                                    .speak = faulty_speak,
                                    .extension = faulty_extension,
                                    ENTRY};
