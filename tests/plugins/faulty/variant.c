/* The libraries that are wrong before they run: a plugin that beeps, and one macro that overrides some
 * initialisers or adds code. CMakeLists.txt lists them with what is wrong.
 */
#include "beep.h"

#include "vox/helpers.h"

#include <signal.h>
#include <stdlib.h>

#pragma GCC diagnostic ignored "-Woverride-init"

/* What a variant changes in its entry, its second option and its second speaker. */
#ifndef ENTRY
#define ENTRY
#endif
#ifndef OPTION
#define OPTION
#endif
#ifndef SPEAKER
#define SPEAKER
#endif

static const struct vox_option job_options[] = {
    {.size = (uint32_t)sizeof(struct vox_option),
     .type = VOX_OPTION_BOOL,
     .name = "draft",
     .help = "not used",
     .fallback = "false"},
    {.size = (uint32_t)sizeof(struct vox_option),
     .type = VOX_OPTION_INT,
     .name = "steps",
     .help = "not used",
     .fallback = "16",
     .minimum = 1,
     .maximum = 64,
     OPTION},
};

static const struct vox_speaker speakers[] = {
    {.size = (uint32_t)sizeof(struct vox_speaker), .id = "first", .language = "en"},
    {.size = (uint32_t)sizeof(struct vox_speaker), .id = "second", .language = "en", SPEAKER},
};

/* --- Functions --------------------------------------------------------------------------------- */

#ifdef CRASHES_WHEN_LOADED
__attribute__((constructor)) static void crash_when_loaded(void)
{
    raise(SIGSEGV);
}
#endif

#ifdef EXPORTS_MORE
VOX_EXPORT extern const int faulty_data;
const int faulty_data = 1;
VOX_EXPORT int faulty_function(void);
int faulty_function(void)
{
    return faulty_data;
}
#endif

#ifdef NEEDS_MORE
int faulty_nowhere(void); /* defined by nobody */
#endif

struct vox_model {
    int unused;
};

struct vox_session {
    int unused;
};

static int32_t beep_init(const struct vox_host *host, const struct vox_load *load,
                         struct vox_model **model, struct vox_error *error)
{
    (void)host;
    (void)load;
#ifdef NEEDS_MORE
    if (faulty_nowhere())
        return vox_fail(error, VOX_EMODEL, "not reached");
#endif
    *model = calloc(1, sizeof(**model));
    return *model ? VOX_OK : vox_fail(error, VOX_ENOMEM, "no memory for a model");
}

static void beep_fini(struct vox_model *model)
{
    free(model);
}

static int32_t beep_open(struct vox_model *model, struct vox_session **session,
                         struct vox_error *error)
{
    (void)model;
    *session = calloc(1, sizeof(**session));
    return *session ? VOX_OK : vox_fail(error, VOX_ENOMEM, "no memory for a session");
}

static void beep_close(struct vox_session *session)
{
    free(session);
}

static int32_t beep_speak_session(struct vox_session *session, const struct vox_job *job,
                                  struct vox_error *error)
{
    (void)session;
    int32_t code = beep_speak(job);
    return code == VOX_ECANCELLED ? vox_fail(error, code, "cancelled") : code;
}

const struct vox_entry vox_entry = {VOX_ENTRY_HEAD,
                                    .id = "faulty",
                                    .version = "1.0",
                                    .summary = "Test voice: a beep",
                                    .code_licence = "MIT",
                                    .capabilities =
                                        VOX_CAP_SEED | VOX_CAP_STREAMING | VOX_CAP_MARKS,
                                    .sample_rate = BEEP_RATE_HZ,
                                    .channels = 1,
                                    .speakers = speakers,
                                    .speaker_count = VOX_COUNT(speakers),
                                    .speaker_size = (uint32_t)sizeof(speakers[0]),
                                    .job_options = job_options,
                                    .job_option_count = VOX_COUNT(job_options),
                                    .job_option_size = (uint32_t)sizeof(job_options[0]),
                                    .init = beep_init,
                                    .fini = beep_fini,
                                    .open = beep_open,
                                    .close = beep_close,
                                    .speak = beep_speak_session,
                                    ENTRY};
