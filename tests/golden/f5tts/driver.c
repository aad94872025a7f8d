/* See driver.h. */
#include "driver.h"

#include "vox/helpers.h"

#include <ftw.h>
#include <setjmp.h>
#include <sndfile.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define CASES_SIZE_MAX (1u << 20)
#define PATH_SIZE_MAX 4096

/* --- Fixture ---------------------------------------------------------------------------------- */

static cJSON *cases_read(void)
{
    char *text = calloc(1, CASES_SIZE_MAX);
    FILE *file = fopen(TEST_DATA "/cases.json", "rb");
    assert_non_null(text);
    assert_non_null(file);
    size_t size = fread(text, 1, CASES_SIZE_MAX, file);
    fclose(file);
    cJSON *cases = cJSON_ParseWithLength(text, size);
    free(text);
    assert_true(cJSON_IsArray(cases));
    return cases;
}

cJSON *driver_case_find(const cJSON *cases, const char *name)
{
    cJSON *at;
    cJSON_ArrayForEach(at, cases)
    {
        if (strcmp(cJSON_GetStringValue(cJSON_GetObjectItem(at, "name")), name) == 0)
            return at;
    }
    fail_msg("cases.json has no case %s", name);
    return NULL;
}

int driver_fixture_init(void **state)
{
    struct driver_fixture *f = calloc(1, sizeof(*f));
    assert_non_null(f);
    f->cases = cases_read();
    snprintf(f->cache_dir, sizeof(f->cache_dir), "/tmp/golden-f5tts-XXXXXX");
    assert_non_null(mkdtemp(f->cache_dir));
    *state = f;
    return 0;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *at)
{
    (void)info;
    (void)type;
    (void)at;
    return remove(path);
}

int driver_fixture_finish(void **state)
{
    struct driver_fixture *f = *state;
    cJSON_Delete(f->cases);
    int code = nftw(f->cache_dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    free(f);
    return code;
}

static const cJSON *member(const cJSON *of_case, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(of_case, name);
    assert_non_null(item);
    return item;
}

static struct vox_str text_of(const cJSON *of_case, const char *name)
{
    return vox_text(cJSON_GetStringValue(member(of_case, name)));
}

/* --- Options: what the case has under an option's name, else the schema's default ------------- */

static struct vox_value value_of(const struct vox_option *option, const cJSON *item)
{
    struct vox_value value = {.type = option->type, .is_set = 1};
    if (option->type == VOX_OPTION_BOOL) {
        value.integer = cJSON_IsTrue(item);
    } else if (option->type == VOX_OPTION_INT || option->type == VOX_OPTION_FLOAT) {
        assert_true(cJSON_IsNumber(item));
        value.number = item->valuedouble;
        if (option->type == VOX_OPTION_INT)
            value.integer = (int64_t)item->valuedouble;
    } else {
        assert_true(cJSON_IsString(item));
        value.string = vox_text(item->valuestring);
    }
    if (option->type == VOX_OPTION_CHOICE) {
        while (option->choices[value.integer] &&
               strcmp(option->choices[value.integer], item->valuestring) != 0)
            value.integer++;
        assert_non_null(option->choices[value.integer]);
    }
    return value;
}

/* One value per option, in the schema's order; `texts` owns their strings. */
static struct vox_value *values_make(const struct vox_option *options, uint32_t count,
                                     const cJSON *of_case, cJSON **texts)
{
    struct vox_value *values = calloc(count, sizeof(*values));
    *texts = cJSON_CreateObject();
    assert_non_null(values);
    for (uint32_t i = 0; i < count; i++) {
        const cJSON *given = cJSON_GetObjectItemCaseSensitive(of_case, options[i].name);
        cJSON *item = NULL;
        values[i].type = options[i].type;
        if (given && !cJSON_IsNull(given))
            item = cJSON_Duplicate(given, 1);
        else if (options[i].fallback)
            item = cJSON_Parse(options[i].fallback);
        if (!item)
            continue;
        cJSON_AddItemToObject(*texts, options[i].name, item);
        values[i] = value_of(&options[i], item);
    }
    return values;
}

/* --- Model ------------------------------------------------------------------------------------ */

static void host_log(const struct vox_host *host, uint32_t level, struct vox_str message)
{
    (void)host;
    if (level > VOX_LOG_INFO)
        print_message("%.*s\n", (int)message.size, message.data);
}

static const void *host_extension(const struct vox_host *host, const char *id)
{
    (void)host;
    (void)id;
    return NULL;
}

static const struct vox_host host = {.size = sizeof(host),
                                     .abi_major = VOX_ABI_MAJOR,
                                     .abi_minor = VOX_ABI_MINOR,
                                     .log = host_log,
                                     .extension = host_extension};

void driver_model_init(struct driver_model *model, const cJSON *of_case, const char *cache_dir)
{
    struct vox_error error = {.size = sizeof(error)};
    *model = (struct driver_model){0};
    model->values =
        values_make(vox_entry.load_options, vox_entry.load_option_count, of_case, &model->texts);
    model->load = (struct vox_load){.size = sizeof(model->load),
                                    .sessions = 2,
                                    .model_type = text_of(of_case, "name"),
                                    .model_dir = vox_text(TEST_DATA),
                                    .cache_dir = vox_text(cache_dir),
                                    .plugin_dir = vox_text(BUILD_DIR "/plugins"),
                                    .device = vox_text("cpu"),
                                    .options = model->values,
                                    .option_count = vox_entry.load_option_count};
    if (vox_entry.init(&host, &model->load, &model->model, &error) != VOX_OK)
        fail_msg("init: %s", error.message);
}

void driver_model_finish(struct driver_model *model)
{
    vox_entry.fini(model->model);
    free(model->values);
    cJSON_Delete(model->texts);
}

struct vox_session *driver_session_open(struct driver_model *model)
{
    struct vox_error error = {.size = sizeof(error)};
    struct vox_session *session = NULL;
    if (vox_entry.open(model->model, &session, &error) != VOX_OK)
        fail_msg("open: %s", error.message);
    return session;
}

/* --- Job -------------------------------------------------------------------------------------- */

static int32_t job_cancelled(const struct vox_job *job)
{
    const struct driver_job *self = job->self;
    return self->cancel || (self->cancel_after > 0 && self->fraction >= self->cancel_after);
}

static void job_progress(const struct vox_job *job, double fraction, const char *stage)
{
    struct driver_job *self = job->self;
    (void)stage;
    self->fraction = fraction;
}

static int32_t job_begin(const struct vox_job *job, const struct vox_format *format)
{
    (void)job;
    return format->sample_rate == vox_entry.sample_rate && format->channels == 1 ? VOX_OK
                                                                                 : VOX_ESINK;
}

static int32_t job_write(const struct vox_job *job, const float *pcm, uint64_t frames)
{
    struct driver_job *self = job->self;
    float *grown = realloc(self->wave, (size_t)(self->count + frames) * sizeof(*grown));
    if (!grown)
        return VOX_ESINK;
    memcpy(grown + self->count, pcm, (size_t)frames * sizeof(*grown));
    self->wave = grown;
    self->count += frames;
    return VOX_OK;
}

static int32_t job_mark(const struct vox_job *job, const struct vox_mark *mark)
{
    (void)job;
    (void)mark;
    return VOX_OK;
}

static void job_warn(const struct vox_job *job, struct vox_str message)
{
    (void)job;
    print_message("%.*s\n", (int)message.size, message.data);
}

static void voice_read(struct vox_voice *voice, const cJSON *of_case)
{
    char path[PATH_SIZE_MAX];
    SF_INFO info = {0};
    snprintf(path, sizeof(path), "%s/references/%s", TEST_DATA,
             cJSON_GetStringValue(member(of_case, "reference")));
    SNDFILE *file = sf_open(path, SFM_READ, &info);
    assert_non_null(file);
    float *pcm = calloc((size_t)(info.frames * info.channels), sizeof(*pcm));
    assert_non_null(pcm);
    assert_int_equal(sf_readf_float(file, pcm, info.frames), info.frames);
    sf_close(file);
    *voice = (struct vox_voice){.size = sizeof(*voice),
                                .sample_rate = (uint32_t)info.samplerate,
                                .channels = (uint32_t)info.channels,
                                .pcm = pcm,
                                .frames = (uint64_t)info.frames,
                                .transcript = text_of(of_case, "ref_text")};
}

void driver_job_init(struct driver_job *job, const cJSON *of_case)
{
    *job = (struct driver_job){0};
    voice_read(&job->voice, of_case);
    job->values =
        values_make(vox_entry.job_options, vox_entry.job_option_count, of_case, &job->texts);
    job->job = (struct vox_job){.size = sizeof(job->job),
                                .id = text_of(of_case, "name"),
                                .text = text_of(of_case, "gen_text"),
                                .voice = &job->voice,
                                .seed = (int64_t)member(of_case, "seed")->valuedouble,
                                .speed = member(of_case, "speed")->valuedouble,
                                .options = job->values,
                                .option_count = vox_entry.job_option_count,
                                .self = job,
                                .cancelled = job_cancelled,
                                .progress = job_progress,
                                .begin = job_begin,
                                .write = job_write,
                                .mark = job_mark,
                                .warn = job_warn};
}

void driver_job_finish(struct driver_job *job)
{
    free((float *)(uintptr_t)job->voice.pcm);
    free(job->values);
    free(job->wave);
    cJSON_Delete(job->texts);
}

int32_t driver_job_run(struct driver_job *job, struct vox_session *session, struct vox_error *error)
{
    job->count = 0;
    job->fraction = 0;
    job->cancel = false;
    return vox_entry.speak(session, &job->job, error);
}
