/* faulty_newer: compiled against a later minor of the ABI, in which the entry, an option and a speaker
 * have grown and there is a capability that this host does not know. It must work, and be read at its
 * own element sizes.
 */
#include "beep.h"

#include "vox/helpers.h"

#include <stdlib.h>

struct newer_option {
    struct vox_option now;
    const char *unit;
};

struct newer_speaker {
    struct vox_speaker now;
    const char *gender;
};

struct newer_entry {
    struct vox_entry now;
    int32_t (*pause)(struct vox_session *session);
};

#define GROWN(type) (uint32_t)sizeof(struct type)

static const struct newer_option job_options[] = {
    {{.size = GROWN(newer_option),
      .type = VOX_OPTION_BOOL,
      .name = "draft",
      .help = "not used",
      .fallback = "false"},
     "none"},
    {{.size = GROWN(newer_option),
      .type = VOX_OPTION_INT,
      .name = "steps",
      .help = "not used",
      .fallback = "16",
      .minimum = 1,
      .maximum = 64},
     "steps"},
};

static const struct newer_speaker speakers[] = {
    {{.size = GROWN(newer_speaker), .id = "first", .language = "en"}, "none"},
    {{.size = GROWN(newer_speaker), .id = "second", .language = "en"}, "none"},
};

struct vox_model {
    int unused;
};

struct vox_session {
    int unused;
};

static int32_t newer_init(const struct vox_host *host, const struct vox_load *load,
                          struct vox_model **model, struct vox_error *error)
{
    (void)host;
    (void)load;
    *model = calloc(1, sizeof(**model));
    return *model ? VOX_OK : vox_fail(error, VOX_ENOMEM, "no memory for a model");
}

static void newer_fini(struct vox_model *model)
{
    free(model);
}

static int32_t newer_open(struct vox_model *model, struct vox_session **session,
                          struct vox_error *error)
{
    (void)model;
    *session = calloc(1, sizeof(**session));
    return *session ? VOX_OK : vox_fail(error, VOX_ENOMEM, "no memory for a session");
}

static void newer_close(struct vox_session *session)
{
    free(session);
}

/* Fails unless the host gave both options at their places. */
static int32_t newer_speak(struct vox_session *session, const struct vox_job *job,
                           struct vox_error *error)
{
    (void)session;
    if (job->option_count != VOX_COUNT(job_options) || job->options[1].integer < 1)
        return vox_fail(error, VOX_EINTERNAL, "the options were read at the wrong size");
    int32_t code = beep_speak(job);
    return code == VOX_ECANCELLED ? vox_fail(error, code, "cancelled") : code;
}

static int32_t newer_pause(struct vox_session *session)
{
    (void)session;
    return VOX_OK;
}

/* The header declares vox_entry with today's type, so this one gets the name in the assembler. */
VOX_EXPORT extern const struct newer_entry newer_entry __asm__("vox_entry");
const struct newer_entry newer_entry = {
    .now = {.magic = VOX_MAGIC,
            .abi_major = VOX_ABI_MAJOR,
            .abi_minor = VOX_ABI_MINOR + 1,
            .size = GROWN(newer_entry),
            .id = "faulty",
            .version = "1.0",
            .summary = "Test voice: a beep from the future",
            .code_licence = "MIT",
            .capabilities = VOX_CAP_SEED | VOX_CAP_STREAMING | VOX_CAP_MARKS | UINT64_C(1) << 40,
            .sample_rate = BEEP_RATE_HZ,
            .channels = 1,
            .speakers = &speakers[0].now,
            .speaker_count = VOX_COUNT(speakers),
            .speaker_size = GROWN(newer_speaker),
            .job_options = &job_options[0].now,
            .job_option_count = VOX_COUNT(job_options),
            .job_option_size = GROWN(newer_option),
            .init = newer_init,
            .fini = newer_fini,
            .open = newer_open,
            .close = newer_close,
            .speak = newer_speak},
    .pause = newer_pause,
};
