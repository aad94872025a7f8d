/* The smallest working plugin: one short click for every character of the text, a silence for a space.
 * Copy the folder, rename it, and replace what the functions do; the order in which the host calls them is
 * told at the top of vox/plugin.h.
 */
#include <vox/helpers.h>
#include <vox/plugin.h>

#include <stdlib.h>

#define RATE_HZ 16000
#define CLICK_FRAMES 960 /* 60 ms a character */

/* What a job may set. The host checks type and range; values arrive in the order of this table. */
enum { OPTION_PITCH_HZ };

static const struct vox_option job_options[] = {
    [OPTION_PITCH_HZ] = {.size = (uint32_t)sizeof(struct vox_option),
                         .type = VOX_OPTION_INT,
                         .name = "pitch_hz",
                         .help = "pitch of the clicks",
                         .fallback = "500",
                         .minimum = 50,
                         .maximum = 4000},
};

/* Weights: read once in init, then shared by all sessions and never changed. */
struct vox_model {
    float envelope[CLICK_FRAMES];
};

/* What changes while a job runs. Sessions of one model may run at the same time. */
struct vox_session {
    const struct vox_model *model;
    float pcm[CLICK_FRAMES];
};

static int32_t template_init(const struct vox_host *host, const struct vox_load *load,
                             struct vox_model **model, struct vox_error *error)
{
    (void)load; /* a real plugin reads its weights from load->model_dir here */
    struct vox_model *made = malloc(sizeof(*made));
    if (!made)
        return vox_fail(error, VOX_ENOMEM, "no memory for the model");
    for (int i = 0; i < CLICK_FRAMES; i++)
        made->envelope[i] = 0.3f * (float)(CLICK_FRAMES - i) / CLICK_FRAMES;
    vox_logf(host, VOX_LOG_DEBUG, "envelope of %d frames", CLICK_FRAMES);
    *model = made;
    return VOX_OK;
}

static void template_fini(struct vox_model *model)
{
    free(model);
}

static int32_t template_open(struct vox_model *model, struct vox_session **session,
                             struct vox_error *error)
{
    struct vox_session *made = malloc(sizeof(*made));
    if (!made)
        return vox_fail(error, VOX_ENOMEM, "no memory for a session");
    made->model = model;
    *session = made;
    return VOX_OK;
}

static void template_close(struct vox_session *session)
{
    free(session);
}

static int32_t template_speak(struct vox_session *session, const struct vox_job *job,
                              struct vox_error *error)
{
    const struct vox_format format = {
        .size = (uint32_t)sizeof(format), .sample_rate = RATE_HZ, .channels = 1};
    int64_t turn = 2 * job->options[OPTION_PITCH_HZ].integer; /* half waves per second */
    int32_t code = job->begin(job, &format);
    for (uint64_t c = 0; c < job->text.size && code == VOX_OK; c++) {
        if (((unsigned char)job->text.data[c] & 0xc0) == 0x80)
            continue; /* not the first byte of a character */
        if (job->cancelled(job))
            return vox_fail(error, VOX_ECANCELLED, "cancelled");
        for (int i = 0; i < CLICK_FRAMES; i++) {
            float sign = i * turn / RATE_HZ % 2 ? -1.0f : 1.0f;
            session->pcm[i] = job->text.data[c] == ' ' ? 0 : sign * session->model->envelope[i];
        }
        code = job->write(job, session->pcm, CLICK_FRAMES);
    }
    return code;
}

const struct vox_entry vox_entry = {
    VOX_ENTRY_HEAD,
    .id = "template",
    .version = "0.1",
    .summary = "A click for every character",
    .code_licence = "MIT",
    .capabilities = VOX_CAP_STREAMING,
    .sample_rate = RATE_HZ,
    .channels = 1,
    .job_options = job_options,
    .job_option_count = VOX_COUNT(job_options),
    .job_option_size = (uint32_t)sizeof(job_options[0]),
    .init = template_init,
    .fini = template_fini,
    .open = template_open,
    .close = template_close,
    .speak = template_speak,
};
