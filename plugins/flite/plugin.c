/* The flite plugin: five small English voices that need no files and no device.
 *
 *     job->text -> text.c (tokens, with their bytes) -> speech.c (utterances) -> libflite -> job->write
 *                   fold.c (Unicode to ASCII)             cage.c (memory, noise, errors around libflite)
 *
 * This file is the ABI's side: the entry, the life cycle, and the checks of a job. A session owns its
 * voices, because flite counts references to a voice's values without locks. */
#include "speech.h"

#include "vox/helpers.h"

#include <strings.h>

#define VOICE_COUNT 5

struct vox_model {
    const struct vox_host *host;
};

struct vox_session {
    struct cage voices_cage; /* owns `voices` */
    struct cage job_cage;
    cst_voice *voices[VOICE_COUNT]; /* in the order of `speakers` */
    struct speech speech;
};

/* flite's voices keep themselves in a global each, to be made once. */
#define VOICE_DECLARE(name, global)                     \
    cst_voice *register_cmu_us_##name(const char *dir); \
    extern cst_voice *global
VOICE_DECLARE(slt, cmu_us_slt_cg);
VOICE_DECLARE(rms, cmu_us_rms_cg);
VOICE_DECLARE(awb, cmu_us_awb_cg);
VOICE_DECLARE(kal, cmu_us_kal_diphone);
VOICE_DECLARE(kal16, cmu_us_kal16_diphone);

static const struct voice_maker {
    cst_voice *(*make)(const char *dir);
    cst_voice **global;
} makers[VOICE_COUNT] = {
    {register_cmu_us_slt, &cmu_us_slt_cg},          {register_cmu_us_rms, &cmu_us_rms_cg},
    {register_cmu_us_awb, &cmu_us_awb_cg},          {register_cmu_us_kal, &cmu_us_kal_diphone},
    {register_cmu_us_kal16, &cmu_us_kal16_diphone},
};

#define SPEAKER(name, text)                                                                  \
    {                                                                                        \
        .size = sizeof(struct vox_speaker), .id = name, .language = "en-US", .summary = text \
    }
static const struct vox_speaker speakers[VOICE_COUNT] = {
    SPEAKER("slt", "US English woman, statistical, 16 kHz"),
    SPEAKER("rms", "US English man, statistical, 16 kHz"),
    SPEAKER("awb", "Scottish man speaking US English, statistical, 16 kHz"),
    SPEAKER("kal", "US English man, diphones, 8 kHz"),
    SPEAKER("kal16", "US English man, diphones, 16 kHz"),
};

static const char *const languages[] = {"en", "en-US", NULL};

static int32_t model_init(const struct vox_host *host, const struct vox_load *load,
                          struct vox_model **model, struct vox_error *error)
{
    if (load->device.size && !vox_str_is(load->device, "auto") && !vox_str_is(load->device, "cpu"))
        return vox_fail(error, VOX_EUNSUPPORTED, "device: flite runs on the CPU only, got \"%.*s\"",
                        (int)load->device.size, load->device.data);
    *model = calloc(1, sizeof(**model));
    if (!*model)
        return vox_fail(error, VOX_ENOMEM, "out of memory");
    (*model)->host = host;
    return VOX_OK;
}

static void model_fini(struct vox_model *model)
{
    free(model);
}

/* Runs in the voices' cage. Takes each voice out of flite's global, so that the next session gets another;
 * the host opens one session at a time, so nobody else is in here. */
static void voices_make(void *arg)
{
    struct vox_session *session = arg;
    for (int i = 0; i < VOICE_COUNT; i++) {
        session->voices[i] = makers[i].make(NULL);
        *makers[i].global = NULL;
    }
}

static void session_close(struct vox_session *session)
{
    cage_empty(&session->voices_cage);
    free(session);
}

static int32_t session_open(struct vox_model *model, struct vox_session **session,
                            struct vox_error *error)
{
    struct vox_session *s = calloc(1, sizeof(*s));
    int32_t code;
    (void)model;
    if (!s)
        return vox_fail(error, VOX_ENOMEM, "out of memory");
    cage_init(&s->voices_cage);
    cage_init(&s->job_cage);
    code = cage_run(&s->voices_cage, NULL, error, voices_make, s);
    if (code != VOX_OK) {
        session_close(s);
        return code;
    }
    *session = s;
    return VOX_OK;
}

static int32_t voice_find(const struct vox_session *session, const struct vox_voice *voice,
                          const cst_voice **found, struct vox_error *error)
{
    *found = session->voices[0];
    if (!voice)
        return VOX_OK;
    if (voice->frames)
        return vox_fail(error, VOX_EUNSUPPORTED, "voice: flite cannot speak like a recording");
    for (int i = 0; i < VOICE_COUNT; i++) {
        *found = session->voices[i];
        if (vox_str_is(voice->id, speakers[i].id))
            return VOX_OK;
    }
    return vox_fail(error, VOX_ENOTFOUND,
                    "voice: flite has slt, rms, awb, kal and kal16, not \"%.*s\"",
                    (int)voice->id.size, voice->id.data);
}

/* English of any region will do. */
static bool is_english(struct vox_str language)
{
    return language.size == 0 || (language.size >= 2 && strncasecmp(language.data, "en", 2) == 0 &&
                                  (language.size == 2 || language.data[2] == '-'));
}

static int32_t session_speak(struct vox_session *session, const struct vox_job *job,
                             struct vox_error *error)
{
    const cst_voice *voice;
    int32_t code;
    if (!is_english(job->language))
        return vox_fail(error, VOX_EUNSUPPORTED,
                        "language: flite speaks English only, got \"%.*s\"",
                        (int)job->language.size, job->language.data);
    code = voice_find(session, job->voice, &voice, error);
    if (code != VOX_OK)
        return code;
    return speech_run(&session->speech, &session->job_cage, voice, job, error);
}

const struct vox_entry vox_entry = {
    VOX_ENTRY_HEAD,
    .id = "flite",
    .version = "2.2",
    .summary = "Small built-in English voices (CMU Flite)",
    .code_licence = "MIT-Festival",
    .weights_licence = "MIT-Festival",
    .capabilities = VOX_CAP_SPEED | VOX_CAP_STREAMING | VOX_CAP_MARKS,
    .sample_rate = 16000,
    .channels = 1,
    .languages = languages,
    .speakers = speakers,
    .speaker_count = VOICE_COUNT,
    .speaker_size = sizeof(struct vox_speaker),
    .init = model_init,
    .fini = model_fini,
    .open = session_open,
    .close = session_close,
    .speak = session_speak,
};
