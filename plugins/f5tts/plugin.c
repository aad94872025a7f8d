/* The F5-TTS plugin: zero-shot voice cloning by flow matching (arXiv 2410.06885).
 *
 *     job -> reference/ (the voice, prepared and kept) -+
 *         -> text/ (chunks, tokens) --------------------+-> speech.c -> sampler.c, dit.c -> vocos.c -> job->write
 *     init -> files below model_dir -> checkpoint.c, vocos.c -> weights, shared by all sessions
 *
 * This file is the ABI's side: options, files of a model, life cycle. MODEL.md tells the rest.
 */
#include "speech.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define PATH_SIZE_MAX 4096
#define THREADS_MAX 1024

/* --- Options ---------------------------------------------------------------------------------- */

static const char *const archs[] = {"v1", "v0", NULL};
static const char *const dtypes[] = {"fp32", "bf16", "auto", NULL};
static const char *const ode_methods[] = {"euler", "midpoint", NULL};

#define OPTION(kind, option_name, json, ...)                                               \
    {                                                                                      \
        .size = sizeof(struct vox_option), .type = VOX_OPTION_##kind, .name = option_name, \
        .fallback = json, __VA_ARGS__                                                      \
    }

enum { LOAD_ARCH, LOAD_CHECKPOINT, LOAD_VOCAB, LOAD_VOCODER, LOAD_DTYPE, LOAD_THREADS };
static const struct vox_option load_options[] = {
    OPTION(
        CHOICE, "arch", NULL, .choices = archs,
        .help =
            "which F5-TTS; by default told from the checkpoint's name, since no weight tells it"),
    OPTION(STRING, "checkpoint", NULL,
           .help = "weights; by default the only *.safetensors, else the only *.pt, in model_dir"),
    OPTION(STRING, "vocab", "\"vocab.txt\"", .help = "symbols, one a line"),
    OPTION(STRING, "vocoder", "\"vocos\"",
           .help = "folder with config.yaml and pytorch_model.bin or model.safetensors"),
    OPTION(CHOICE, "dtype", "\"fp32\"", .choices = dtypes,
           .help = "of the transformer; auto: bf16 where the device multiplies it in hardware"),
    OPTION(INT, "threads", "0", .maximum = THREADS_MAX,
           .help = "for one operation; 0: one per core"),
};

enum {
    JOB_NFE_STEP,
    JOB_CFG_STRENGTH,
    JOB_SWAY,
    JOB_CROSS_FADE,
    JOB_TARGET_RMS,
    JOB_FIX_DURATION,
    JOB_REMOVE_SILENCE,
    JOB_ODE_METHOD,
    JOB_SILENCE_TRIM
};
static const struct vox_option job_options[] = {
    OPTION(INT, "nfe_step", "32", .minimum = 1, .maximum = F5_STEPS_MAX,
           .help = "steps from noise to speech; 5, 6, 7, 10, 12 and 16 use a pruned grid"),
    OPTION(FLOAT, "cfg_strength", "2.0", .maximum = 100,
           .help = "classifier-free guidance; 0: none, twice as fast"),
    OPTION(FLOAT, "sway_sampling_coef", "-1.0", .minimum = -1, .maximum = 1,
           .help = "bends the time grid; negative: more steps at the start; 0: even"),
    OPTION(FLOAT, "cross_fade_duration", "0.15", .maximum = 10,
           .help = "seconds over which chunks of a long text overlap"),
    OPTION(FLOAT, "target_rms", "0.1", .minimum = 0.0001, .maximum = 1,
           .help = "loudness to which a quieter reference is raised for the model"),
    OPTION(
        FLOAT, "fix_duration", NULL, .minimum = 0.01, .maximum = 3600,
        .help =
            "seconds of reference and speech together; by default from the lengths of the texts"),
    OPTION(BOOL, "remove_silence", "false",
           .help = "cuts long silences out of the speech; it then comes at the end only"),
    OPTION(CHOICE, "ode_method", "\"euler\"", .choices = ode_methods,
           .help = "midpoint asks the network twice a step"),
    OPTION(BOOL, "silence_trim", "true",
           .help =
               "cuts silences out of the reference and clips it to 12 s; false: takes it as it is"),
};

/* --- Files of a model ------------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *end)
{
    size_t size = strlen(text), len = strlen(end);
    return size >= len && strcasecmp(text + size - len, end) == 0;
}

/* An option's path: below model_dir unless absolute. */
static int32_t path_of(const struct vox_load *load, struct vox_str name, char *path,
                       struct vox_error *error)
{
    bool absolute = name.size && name.data[0] == '/';
    int len = snprintf(path, PATH_SIZE_MAX, "%.*s%s%.*s", absolute ? 0 : (int)load->model_dir.size,
                       load->model_dir.data, absolute ? "" : "/", (int)name.size, name.data);
    if (len >= PATH_SIZE_MAX)
        return vox_fail(error, VOX_EMODEL, "a path in the options has over %d bytes",
                        PATH_SIZE_MAX - 1);
    return VOX_OK;
}

/* The only file of that kind in model_dir; how many there are. -1, and errno: the folder cannot be
 * read. */
static int only_file(const char *folder, const char *end, char *path)
{
    DIR *dir = opendir(folder);
    int found = 0, length = 0;
    if (!dir)
        return -1;
    for (struct dirent *entry; (entry = readdir(dir));)
        if (entry->d_name[0] != '.' && ends_with(entry->d_name, end) && found++ == 0)
            length = snprintf(path, PATH_SIZE_MAX, "%s/%s", folder, entry->d_name);
    closedir(dir);
    errno = ENAMETOOLONG;
    return length < PATH_SIZE_MAX ? found : -1;
}

static int32_t checkpoint_path(const struct vox_load *load, char *path, struct vox_error *error)
{
    static const char *const ends[] = {".safetensors", ".pt"};
    const struct vox_value *option = &load->options[LOAD_CHECKPOINT];
    if (option->is_set)
        return path_of(load, option->string, path, error);
    char folder[PATH_SIZE_MAX];
    snprintf(folder, sizeof(folder), "%.*s", (int)load->model_dir.size, load->model_dir.data);
    for (size_t i = 0; i < 2; i++) {
        int found = only_file(folder, ends[i], path);
        if (found < 0)
            return vox_fail(error, VOX_EMODEL, "model_dir: %.400s: %s", folder, strerror(errno));
        if (found > 1)
            return vox_fail(error, VOX_EMODEL,
                            "model_dir: %.380s has %d files *%s: name one in options.checkpoint",
                            folder, found, ends[i]);
        if (found == 1)
            return VOX_OK;
    }
    return vox_fail(error, VOX_EMODEL, "model_dir: %.400s has no *.safetensors and no *.pt",
                    folder);
}

/* Does the name have this word, whatever its case, with neither letter nor digit beside it? */
static bool has_word(const char *name, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = name; *at; at++)
        if (strncasecmp(at, word, len) == 0 && (at == name || !isalnum((unsigned char)at[-1])) &&
            !isalnum((unsigned char)at[len]))
            return true;
    return false;
}

/* v1 and v0 have the same weights and differ in how they are used. Official names tell, of the file
 * or its folder: F5TTS_v1_Base/..., F5TTS_Base/... */
static int32_t arch_of(const struct vox_load *load, const char *checkpoint, bool *v1,
                       struct vox_error *error)
{
    static const char *const v0_names[] = {"v0", "F5TTS_Base", "F5TTS_Small"};
    const struct vox_value *option = &load->options[LOAD_ARCH];
    *v1 = option->is_set && option->integer == 0;
    if (option->is_set)
        return VOX_OK;
    const char *name = checkpoint + strlen(checkpoint);
    for (int parts = 0; name > checkpoint && parts < 2; parts++)
        for (name--; name > checkpoint && name[-1] != '/'; name--)
            ;
    *v1 = has_word(name, "v1");
    bool v0 = false;
    for (size_t i = 0; i < sizeof(v0_names) / sizeof(v0_names[0]); i++)
        v0 = v0 || has_word(name, v0_names[i]);
    if (*v1 != v0)
        return VOX_OK;
    return vox_fail(error, VOX_EMODEL,
                    "options.arch: cannot be told from the name %.200s: set it to v1 "
                    "(F5TTS_v1_Base and newer models) or v0 "
                    "(F5TTS_Base and most older fine-tunes)",
                    name);
}

/* --- Life cycle ------------------------------------------------------------------------------- */

static void model_fini(struct vox_model *model)
{
    vt_close(model->cx); /* its tensors use the files' memory */
    f5_dit_finish(&model->dit);
    f5_vocos_finish(&model->vocos);
    f5_vocab_destroy(model->vocab);
    f5_lexicon_close(model->lexicon);
    free((char *)(uintptr_t)model->setup.device.data);
    free(model->cache_dir);
    free(model);
}

static char *copy_of(struct vox_str s)
{
    return strndup(s.data ? s.data : "", s.size);
}

static int32_t load_texts(struct vox_model *model, const struct vox_load *load,
                          struct vox_error *error)
{
    char path[PATH_SIZE_MAX];
    snprintf(path, sizeof(path), "%.*s/f5tts.lexicon", (int)load->plugin_dir.size,
             load->plugin_dir.data);
    int32_t code = f5_lexicon_open(path, &model->lexicon, error);
    if (code != VOX_OK ||
        (code = path_of(load, load->options[LOAD_VOCAB].string, path, error)) != VOX_OK)
        return code;
    return f5_vocab_open(path, &model->vocab, error);
}

static uint32_t type_of(const struct vox_model *model, const struct vox_load *load)
{
    enum { FP32, BF16, AUTO };
    int64_t choice = load->options[LOAD_DTYPE].integer;
    return choice == BF16 || (choice == AUTO && vt_has_fast_bf16(model->cx)) ? VT_BF16 : VT_F32;
}

/* What upstream takes without a word, and whoever made the file may not have meant. */
static void warn_of_vocab(const struct vox_model *model)
{
    const struct f5_vocab *vocab = model->vocab;
    if (f5_vocab_line_count(vocab) > f5_vocab_size(vocab))
        vox_logf(model->host, VOX_LOG_WARN,
                 "options.vocab: has equal lines: symbols beyond the text table fail their jobs");
    if (f5_vocab_lookup(vocab, vox_text(" ")) != 0)
        vox_logf(model->host, VOX_LOG_WARN,
                 "options.vocab: line 1 is not a single space, and stands for unknown characters");
    if (f5_vocab_is_cut(vocab))
        vox_logf(model->host, VOX_LOG_WARN,
                 "options.vocab: the last line has no end, so its last character is cut off, as "
                 "upstream does");
}

static int32_t load_weights(struct vox_model *model, const struct vox_load *load,
                            struct vox_error *error)
{
    char path[PATH_SIZE_MAX] = "";
    bool v1 = false;
    int32_t code = checkpoint_path(load, path, error);
    if (code != VOX_OK || (code = arch_of(load, path, &v1, error)) != VOX_OK)
        return code;
    code = f5_dit_load(model->cx, &model->dit, path, v1, type_of(model, load), model->host, error);
    if (code != VOX_OK)
        return code;
    uint32_t symbols = f5_vocab_size(model->vocab);
    if (model->dit.config.vocab_rows != (int64_t)symbols + 1)
        return vox_fail(error, VOX_EMODEL,
                        "options.vocab: has %u symbols, and the checkpoint %lld (its text table "
                        "has one row more): take the "
                        "vocab.txt that came with this checkpoint",
                        symbols, (long long)model->dit.config.vocab_rows - 1);
    warn_of_vocab(model);
    code = path_of(load, load->options[LOAD_VOCODER].string, path, error);
    if (code == VOX_OK)
        code = f5_vocos_load(model->cx, &model->vocos, path, model->host, error);
    return code;
}

static int32_t model_load(struct vox_model *model, const struct vox_load *load,
                          struct vox_error *error)
{
    int32_t code = vt_open(&model->setup, &model->cx, error);
    if (code != VOX_OK || (code = load_texts(model, load, error)) != VOX_OK ||
        (code = vt_begin(model->cx, error)) != VOX_OK)
        return code;
    code = load_weights(model, load, error);
    if (code == VOX_OK) {
        f5_mel_make(model->cx, &model->mel);
        code = vt_status(model->cx, error);
    }
    vt_end(model->cx);
    return code;
}

static int32_t model_init(const struct vox_host *host, const struct vox_load *load,
                          struct vox_model **out, struct vox_error *error)
{
    struct vox_model *model = calloc(1, sizeof(*model));
    if (!model)
        return vox_fail(error, VOX_ENOMEM, "out of memory");
    char *device = copy_of(load->device);
    model->host = host;
    model->cache_dir = copy_of(load->cache_dir);
    model->setup = (struct vt_setup){.size = sizeof(model->setup),
                                     .threads = (uint32_t)load->options[LOAD_THREADS].integer,
                                     .device = {device, load->device.size}};
    int32_t code = device && model->cache_dir ? model_load(model, load, error)
                                              : vox_fail(error, VOX_ENOMEM, "out of memory");
    if (code != VOX_OK) {
        model_fini(model);
        return code;
    }
    const struct f5_config *c = &model->dit.config;
    vox_logf(host, VOX_LOG_INFO, "F5-TTS %s, width %lld, %lld blocks, %s; %s",
             c->mask_padding ? "v1" : "v0", (long long)c->dim, (long long)c->depth,
             c->type == VT_BF16 ? "bf16" : "fp32", vt_about());
    vox_logf(host, VOX_LOG_WARN,
             "the official F5-TTS weights are CC-BY-NC-4.0: not for commercial use; fine-tunes of "
             "them too");
    *out = model;
    return VOX_OK;
}

static void session_close(struct vox_session *session)
{
    vt_close(session->cx);
    free(session);
}

static int32_t session_open(struct vox_model *model, struct vox_session **out,
                            struct vox_error *error)
{
    struct vox_session *session = calloc(1, sizeof(*session));
    if (!session)
        return vox_fail(error, VOX_ENOMEM, "out of memory");
    session->model = model;
    int32_t code = vt_open(&model->setup, &session->cx, error);
    if (code != VOX_OK) {
        session_close(session);
        return code;
    }
    *out = session;
    return VOX_OK;
}

static int32_t session_speak(struct vox_session *session, const struct vox_job *job,
                             struct vox_error *error)
{
    const struct vox_value *o = job->options;
    struct f5_speech_options options = {
        .sampling = {.steps = o[JOB_NFE_STEP].integer,
                     .cfg_strength = o[JOB_CFG_STRENGTH].number,
                     .sway = o[JOB_SWAY].number,
                     .midpoint = o[JOB_ODE_METHOD].integer == 1},
        .cross_fade_s = o[JOB_CROSS_FADE].number,
        .target_rms = o[JOB_TARGET_RMS].number,
        .fix_duration_s = o[JOB_FIX_DURATION].number,
        .remove_silence = o[JOB_REMOVE_SILENCE].integer != 0,
        .silence_trim = o[JOB_SILENCE_TRIM].integer != 0,
    };
    if (!job->voice || !job->voice->frames)
        return vox_fail(
            error, VOX_EINVAL,
            "voice: F5-TTS has no voice of its own: give a recording and its voice_text");
    int32_t code = vt_begin(session->cx, error);
    if (code == VOX_OK) {
        code = f5_speech_run(session, job, &options, error);
        vt_end(session->cx);
    }
    return code;
}

const struct vox_entry vox_entry = {
    VOX_ENTRY_HEAD,
    .id = "f5tts",
    .version = "1.1.22",
    .summary = "F5-TTS: speaks with the voice of a short recording (flow matching, DiT, Vocos)",
    .code_licence = "MIT",
    .weights_licence = "CC-BY-NC-4.0",
    .capabilities = VOX_CAP_CLONING | VOX_CAP_NEEDS_VOICE | VOX_CAP_NEEDS_TRANSCRIPT |
                    VOX_CAP_STREAMING | VOX_CAP_SEED | VOX_CAP_SPEED | VOX_CAP_TENSORS,
    .sample_rate = F5_SAMPLE_RATE,
    .channels = 1,
    .load_options = load_options,
    .load_option_count = VOX_COUNT(load_options),
    .load_option_size = sizeof(struct vox_option),
    .job_options = job_options,
    .job_option_count = VOX_COUNT(job_options),
    .job_option_size = sizeof(struct vox_option),
    .init = model_init,
    .fini = model_fini,
    .open = session_open,
    .close = session_close,
    .speak = session_speak,
};
