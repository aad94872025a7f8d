/* Conformance cases on loading models and opening sessions. */
#include "plugin/check/cases.h"

#include <stdlib.h>

#define OPEN_COUNT 100

/* --- Loading ---------------------------------------------------------------------------------- */

enum check_outcome check_init_ready(struct check_cx *cx)
{
    if (cx_load(cx))
        return CHECK_PASS;
    if (cx->init_code != VOX_EMODEL || !cx->entry->weights_licence || cx->options->model_dir)
        return CHECK_FAIL;
    char *why = str_take(&cx->reason);
    cx_skip(cx, "%s; where its weights are is for --model-dir to say", why);
    free(why);
    return CHECK_SKIP;
}

/* init may succeed, or fail as it should. */
static enum check_outcome expect_init(struct check_cx *cx, const char *model_dir,
                                      const char *device)
{
    struct vox_error error;
    int32_t code = cx_init_model(cx, model_dir, device, &error);
    if (code == VOX_OK)
        return cx->model ? CHECK_PASS : cx_fail(cx, "init returned VOX_OK and no model");
    cx->model = NULL;
    return cx_failure_is_proper(cx, "init", code, &error) ? CHECK_PASS : CHECK_FAIL;
}

enum check_outcome check_init_bad_model_dir(struct check_cx *cx)
{
    char *missing = fs_join(cx->work_dir, "no-such-folder/model");
    enum check_outcome outcome =
        expect_init(cx, missing, cx->options->device ? cx->options->device : "auto");
    cx_down(cx); /* while its load struct is valid */
    free(missing);
    return outcome;
}

enum check_outcome check_init_bad_device(struct check_cx *cx)
{
    return expect_init(cx, NULL, "cuda:9999");
}

static bool reload(struct check_cx *cx)
{
    bool loaded = cx_load(cx);
    cx_down(cx);
    return loaded;
}

enum check_outcome check_reload_no_leak(struct check_cx *cx)
{
    return check_growth(cx, reload, "load");
}

/* --- Sessions --------------------------------------------------------------------------------- */

enum check_outcome check_open_ready(struct check_cx *cx)
{
    return cx_session(cx) ? CHECK_PASS : CHECK_FAIL;
}

static bool reopen(struct check_cx *cx)
{
    struct vox_session *session = NULL;
    if (!cx_open_session(cx, &session))
        return false;
    cx->entry->close(session);
    return true;
}

enum check_outcome check_open_close_many(struct check_cx *cx)
{
    if (!cx_load(cx))
        return CHECK_FAIL;
    for (int i = 0; i < OPEN_COUNT; i++)
        if (!reopen(cx))
            return CHECK_FAIL;
    return CHECK_PASS;
}

enum check_outcome check_open_no_leak(struct check_cx *cx)
{
    return cx_load(cx) ? check_growth(cx, reopen, "session") : CHECK_FAIL;
}

/* --- Failures --------------------------------------------------------------------------------- */

/* A failure that only hands on what the host said needs no words. */
static bool failure_is_proper(struct check_cx *cx, const struct take *take)
{
    const struct vox_error *error = &take->answer.error;
    for (size_t i = 0; i < sizeof(take->answer.tail); i++)
        if (take->answer.tail[i] != take->given.tail[i]) {
            cx_fail(cx, "speak wrote behind the error struct");
            return false;
        }
    if (take->code == VOX_OK || take->code == VOX_ECANCELLED || take->code == VOX_ESINK)
        return true;
    return cx_failure_is_proper(cx, "speak", take->code, error);
}

/* Asks for what may fail, and looks at how. */
enum check_outcome check_failure_message(struct check_cx *cx)
{
    static const struct vox_voice nobody = {.size = (uint32_t)sizeof(nobody),
                                            .id = {"no-such-speaker", 15}};
    struct take *usual = take_create(cx), *unknown = take_create(cx);
    if (!cx_session(cx))
        return CHECK_FAIL;
    unknown->given.job.voice = &nobody;
    take_speak(usual, cx->session);
    if (!failure_is_proper(cx, usual))
        return CHECK_FAIL;
    if (usual->code == VOX_EINTERNAL || usual->code == VOX_EDEVICE)
        return CHECK_PASS;
    take_speak(unknown, cx->session);
    return failure_is_proper(cx, unknown) ? CHECK_PASS : CHECK_FAIL;
}
