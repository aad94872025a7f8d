/* faulty: a model for tests that breaks the contract on demand and otherwise beeps. The load option
 * `fault` picks what init, open, close or fini do wrong, the job option `fault` what speak does wrong;
 * faults.h lists them all. Loaded from build/tests/plugins only.
 */
#include "faults.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* --- Schema ------------------------------------------------------------------------------------ */

#define X(name, text) #name,
static const char *const load_fault_names[] = {LOAD_FAULTS(X) NULL};
#undef X

#define X(name, text) text,
static const char *const load_fault_texts[] = {LOAD_FAULTS(X)};
#undef X

#define X(name, run, argument, text) #name,
static const char *const speak_fault_names[] = {SPEAK_FAULTS(X) NULL};
#undef X

struct speak_fault {
    int32_t (*run)(struct call *call);
    int64_t argument;
    const char *text;
};

#define X(name, run, argument, text) {fault_##run, argument, text},
static const struct speak_fault speak_faults[] = {SPEAK_FAULTS(X)};
#undef X

enum option { OPTION_FAULT, OPTION_HANG_MS }; /* of both schemas */

#define FAULT_OPTIONS(names)                                                   \
    {                                                                          \
        [OPTION_FAULT] = {.size = (uint32_t)sizeof(struct vox_option),         \
                          .type = VOX_OPTION_CHOICE,                           \
                          .name = "fault",                                     \
                          .help = "what goes wrong",                           \
                          .fallback = "\"none\"",                              \
                          .choices = (names)},                                 \
        [OPTION_HANG_MS] = {.size = (uint32_t)sizeof(struct vox_option),       \
                            .type = VOX_OPTION_INT,                            \
                            .name = "hang_ms",                                 \
                            .help = "how long the faults that take time last", \
                            .fallback = "60000",                               \
                            .minimum = 0,                                      \
                            .maximum = 3600000},                               \
    }

static const struct vox_option load_options[] = FAULT_OPTIONS(load_fault_names);
static const struct vox_option job_options[] = FAULT_OPTIONS(speak_fault_names);

/* --- Entry ------------------------------------------------------------------------------------- */

static char *ballast_create(void)
{
    char *ballast = malloc(BALLAST_SIZE);
    if (ballast)
        memset(ballast, 1, BALLAST_SIZE);
    return ballast;
}

/* What init does wrong before there is a model; VOX_OK when nothing. */
static int32_t fail_init(const struct vox_load *load, struct vox_error *error)
{
    switch (load->options[OPTION_FAULT].integer) {
    case LOAD_init_fails:
        return vox_fail(error, VOX_EMODEL, "asked to fail");
    case LOAD_init_no_memory:
        return vox_fail(error, VOX_ENOMEM, "asked to have no memory");
    case LOAD_init_device:
        return vox_fail(error, VOX_EDEVICE, "asked to lose the device");
    case LOAD_init_silent:
        return VOX_EMODEL;
    case LOAD_init_unknown_code:
        return vox_fail(error, -99, "asked to return -99");
    case LOAD_init_positive_code:
        return vox_fail(error, 7, "asked to return 7");
    case LOAD_init_hangs:
        fault_sleep_ms(load->options[OPTION_HANG_MS].integer);
        return VOX_OK;
    case LOAD_init_crashes:
        raise(SIGSEGV);
        return VOX_OK;
    case LOAD_init_exits:
        exit(0);
    case LOAD_init_prints:
        printf("faulty: printed by a plugin\n");
        fflush(stdout);
        return VOX_OK;
    default:
        return VOX_OK;
    }
}

static int32_t faulty_init(const struct vox_host *host, const struct vox_load *load,
                           struct vox_model **model, struct vox_error *error)
{
    int64_t fault = load->options[OPTION_FAULT].integer;
    vox_logf(host, VOX_LOG_DEBUG, "fault: %s", load_fault_texts[fault]);
    int32_t code = fail_init(load, error);
    if (code != VOX_OK || fault == LOAD_init_no_model)
        return code;
    struct vox_model *made = calloc(1, sizeof(*made));
    if (!made || !(made->ballast = ballast_create())) {
        free(made);
        return vox_fail(error, VOX_ENOMEM, "no memory for a model");
    }
    made->host = host;
    made->fault = fault;
    made->hang_ms = load->options[OPTION_HANG_MS].integer;
    *model = made;
    return VOX_OK;
}

/* open, close and fini hang and crash alike. */
static void hang_or_crash(const struct vox_model *model, enum load_fault hangs,
                          enum load_fault crashes)
{
    if (model->fault == (int64_t)hangs)
        fault_sleep_ms(model->hang_ms);
    if (model->fault == (int64_t)crashes)
        raise(SIGSEGV);
}

static void faulty_fini(struct vox_model *model)
{
    hang_or_crash(model, LOAD_fini_hangs, LOAD_fini_crashes);
    if (model->fault == LOAD_fini_leaks)
        return;
    free(model->ballast);
    free(model);
}

static int32_t faulty_open(struct vox_model *model, struct vox_session **session,
                           struct vox_error *error)
{
    hang_or_crash(model, LOAD_open_hangs, LOAD_open_crashes);
    if (model->fault == LOAD_open_fails)
        return vox_fail(error, VOX_ENOMEM, "asked to fail");
    if (model->fault == LOAD_open_no_session)
        return VOX_OK;
    struct vox_session *made = calloc(1, sizeof(*made));
    if (!made || !(made->ballast = ballast_create())) {
        free(made);
        return vox_fail(error, VOX_ENOMEM, "no memory for a session");
    }
    made->model = model;
    *session = made;
    return VOX_OK;
}

static void faulty_close(struct vox_session *session)
{
    const struct vox_model *model = session->model;
    hang_or_crash(model, LOAD_close_hangs, LOAD_close_crashes);
    if (model->fault == LOAD_close_leaks)
        return;
    if (session->kept_file > 0)
        close(session->kept_file);
    free(session->ballast);
    free(session);
}

static int32_t faulty_speak(struct vox_session *session, const struct vox_job *job,
                            struct vox_error *error)
{
    const struct speak_fault *fault = &speak_faults[job->options[OPTION_FAULT].integer];
    struct call call = {.session = session,
                        .job = job,
                        .error = error,
                        .hang_ms = job->options[OPTION_HANG_MS].integer,
                        .argument = fault->argument};
    vox_logf(session->model->host, VOX_LOG_DEBUG, "fault: %s", fault->text);
    if (session->spoiled)
        return vox_fail(error, VOX_EINVAL, "an earlier job spoiled the session");
    int32_t code = fault->run(&call);
    if (code == VOX_ECANCELLED && error->message[0] == '\0')
        vox_fail(error, code, "cancelled");
    return code;
}

const struct vox_entry vox_entry = {
    VOX_ENTRY_HEAD,
    .id = "faulty",
    .version = "1.0",
    .summary = "Test voice: breaks the contract on demand",
    .code_licence = "MIT",
    .capabilities = VOX_CAP_SEED | VOX_CAP_STREAMING | VOX_CAP_MARKS,
    .load_options = load_options,
    .load_option_count = VOX_COUNT(load_options),
    .load_option_size = (uint32_t)sizeof(load_options[0]),
    .job_options = job_options,
    .job_option_count = VOX_COUNT(job_options),
    .job_option_size = (uint32_t)sizeof(job_options[0]),
    .init = faulty_init,
    .fini = faulty_fini,
    .open = faulty_open,
    .close = faulty_close,
    .speak = faulty_speak,
};
