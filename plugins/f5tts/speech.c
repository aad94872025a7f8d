/* A job from text and voice to audio. The reference is prepared (or found in the cache), the text
 * is cut into chunks that fit beside it, and each chunk is sampled, vocoded, brought back to the
 * reference's loudness and handed on before the next.
 * Source: f5_tts/infer/utils_infer.py, preprocess_ref_audio_text, infer_process,
 * infer_batch_process.
 */
#include "speech.h"

#include "stitch.h"

#include <stdio.h>
#include <stdlib.h>

#define CONTEXT_S 22.0      /* seconds of reference and speech that a chunk is planned for */
#define SHORT_TEXT_BYTES 10 /* below: spoken slowly, or words are swallowed */
#define SHORT_TEXT_SPEED 0.3
#define PIECE_BYTES_MIN 20            /* no sense in cutting a text finer than this */
#define TOKENS_PER_BYTE_MAX (4.0 / 3) /* ",ab" makes ", ab" */
#define FRAME_S ((double)F5_HOP / F5_SAMPLE_RATE)

/* What a job carries through its chunks. */
struct speech {
    struct vox_session *session;
    const struct vox_job *job;
    const struct f5_speech_options *options;
    struct f5_reference reference;
    int64_t reference_frames; /* of the wave, one less than of the mel */
    vt *reference_mel;        /* [n_ref, m] */
    struct f5_reference_text text;
    struct f5_chunk *chunks;
    struct f5_chunks packed; /* the memory behind them */
    struct f5_chunks *split; /* likewise; one per packed chunk, mostly empty */
    uint64_t count, index;
    struct f5_watch watch;
    struct f5_stitch stitch;
};

/* --- Reference -------------------------------------------------------------------------------- */

static int32_t reference_get(struct speech *s, struct vox_error *error)
{
    const struct vox_voice *voice = s->job->voice;
    struct f5_pcm pcm = {voice->pcm, voice->frames, voice->channels, voice->sample_rate};
    struct f5_reference_options options = {s->options->silence_trim, (float)s->options->target_rms};
    const struct vox_model *model = s->session->model;
    char key[F5_PROFILE_KEY_SIZE];
    struct vox_error why = {.size = sizeof(why)};
    int32_t code = f5_profile_key(&pcm, &options, key);
    if (code != VOX_OK)
        return vox_fail(error, code, "out of memory");
    if (f5_profile_load(model->cache_dir, key, &s->reference))
        return VOX_OK;
    code = f5_reference_prepare(&pcm, &options, &s->reference, error);
    if (code != VOX_OK)
        return code;
    if (f5_profile_save(model->cache_dir, key, &s->reference, &why) != VOX_OK)
        vox_logf(model->host, VOX_LOG_WARN, "the prepared reference is not kept: %s", why.message);
    return VOX_OK;
}

static int32_t reference_make(struct speech *s, struct vox_error *error)
{
    s->job->progress(s->job, 0, "reference");
    int32_t code = f5_reference_text_make(s->job->voice->transcript, &s->text, error);
    if (code != VOX_OK || (code = reference_get(s, error)) != VOX_OK)
        return code;
    if (s->reference.clipped)
        vox_warnf(s->job,
                  "voice: the recording is longer than 12 s; only its first %.1f s are used, so "
                  "voice_text should have "
                  "the words of these only",
                  s->reference.seconds);
    vt_cx *cx = s->session->cx;
    s->reference_frames = (int64_t)(s->reference.count / F5_HOP);
    s->reference_mel =
        f5_mel_of(cx, &s->session->model->mel, s->reference.samples, s->reference.count);
    return vt_status(cx, error);
}

/* --- Plan: chunks and their lengths ----------------------------------------------------------- */

/* Frames of reference and speech together, by the ratio of the texts' bytes. */
static int64_t frames_by_text(const struct speech *s, uint64_t bytes)
{
    double speed = bytes < SHORT_TEXT_BYTES ? SHORT_TEXT_SPEED : s->job->speed;
    double frames =
        (double)s->reference_frames / (double)s->text.model_size * (double)bytes / speed;
    return s->reference_frames + (int64_t)frames;
}

/* How many bytes of text fit into the model at most. */
static int64_t bytes_that_fit(const struct speech *s)
{
    double room = (double)(F5_FRAMES_MAX - s->reference_frames - 2);
    return (int64_t)(room * s->job->speed * (double)s->text.model_size /
                     (double)s->reference_frames);
}

/* And as tokens, each of which needs a frame. */
static int64_t bytes_by_tokens(const struct speech *s)
{
    return (int64_t)((F5_FRAMES_MAX - 1) / TOKENS_PER_BYTE_MAX) - (int64_t)s->text.model_size;
}

static int32_t chunk_push(struct speech *s, const struct f5_chunk *chunk, struct vox_error *error)
{
    if (chunk->size == 0) /* of a blank sentence; upstream speaks a moment of noise */
        return VOX_OK;
    struct f5_chunk *grown = realloc(s->chunks, (size_t)(s->count + 1) * sizeof(*grown));
    if (!grown)
        return vox_fail(error, VOX_ENOMEM, "out of memory");
    s->chunks = grown;
    s->chunks[s->count++] = *chunk;
    return VOX_OK;
}

/* Upstream's chunks; what the model cannot hold is split further, never cut off. */
static int32_t plan(struct speech *s, struct vox_error *error)
{
    double per_second = (double)s->text.size / s->reference.seconds;
    int64_t most = (int64_t)(per_second * (CONTEXT_S - s->reference.seconds) * s->job->speed);
    int32_t code = f5_text_chunk(s->job->text, most, &s->packed, error);
    if (code != VOX_OK)
        return code;
    s->split = calloc((size_t)s->packed.count + 1, sizeof(*s->split));
    if (!s->split)
        return vox_fail(error, VOX_ENOMEM, "out of memory");
    int64_t fit = bytes_by_tokens(s), tokens_fit = fit;
    if (s->options->fix_duration_s == 0 && bytes_that_fit(s) < fit)
        fit = bytes_that_fit(s);
    for (uint64_t i = 0; i < s->packed.count && code == VOX_OK; i++) {
        const struct f5_chunk *chunk = &s->packed.items[i];
        bool fits_in_time =
            s->options->fix_duration_s > 0 || frames_by_text(s, chunk->size) <= F5_FRAMES_MAX;
        if ((fits_in_time && (int64_t)chunk->size <= tokens_fit) || fit < PIECE_BYTES_MIN) {
            code = chunk_push(s, chunk, error);
            continue;
        }
        struct vox_str text = {chunk->data, chunk->size};
        code = f5_text_split(text, (uint64_t)fit, &s->split[i], error);
        for (uint64_t j = 0; j < s->split[i].count && code == VOX_OK; j++)
            code = chunk_push(s, &s->split[i].items[j], error);
    }
    if (code == VOX_OK && s->count == 0)
        return vox_fail(error, VOX_EINVAL, "text: has nothing to speak");
    return code;
}

/* Seconds of reference and speech for chunk i when the job fixes the whole: shared out by bytes,
 * overlaps added. */
static double fixed_seconds(const struct speech *s, uint64_t i)
{
    double total = s->options->fix_duration_s, weights = 0;
    if (s->count == 1)
        return total;
    double reference_s = (double)(s->reference_frames * F5_HOP) / F5_SAMPLE_RATE;
    for (uint64_t j = 0; j < s->count; j++)
        weights += (double)s->chunks[j].size;
    double share = total - reference_s + s->options->cross_fade_s * (double)(s->count - 1);
    return reference_s + share * (double)s->chunks[i].size / weights;
}

/* Frames of chunk i: as planned, but at least one more than reference and tokens need. */
static int64_t frames_of(const struct speech *s, uint64_t i, uint64_t tokens)
{
    int64_t least = vt_size(s->reference_mel, 0), frames;
    if (s->options->fix_duration_s > 0)
        frames = (int64_t)(fixed_seconds(s, i) * F5_SAMPLE_RATE / F5_HOP);
    else
        frames = frames_by_text(s, s->chunks[i].size);
    if ((int64_t)tokens > least)
        least = (int64_t)tokens;
    return frames > least + 1 ? frames : least + 1;
}

/* --- One chunk -------------------------------------------------------------------------------- */

static void report_step(void *arg, int64_t step)
{
    const struct speech *s = arg;
    double chunk = (double)(step + 1) / (double)(s->options->sampling.steps + 1);
    s->job->progress(s->job, ((double)s->index + chunk) / (double)s->count, "sampling");
}

/* The tokens of reference and chunk, converted together. */
static int32_t tokens_make(const struct speech *s, const struct f5_chunk *chunk,
                           struct f5_tokens *tokens, struct vox_error *error)
{
    uint64_t size = s->text.model_size + chunk->size;
    char *whole = malloc((size_t)size + 1);
    if (!whole)
        return vox_fail(error, VOX_ENOMEM, "out of memory");
    memcpy(whole, s->text.data, (size_t)s->text.model_size);
    memcpy(whole + s->text.model_size, chunk->data, (size_t)chunk->size);
    const struct vox_model *model = s->session->model;
    int32_t code =
        f5_tokenize(model->lexicon, model->vocab, (struct vox_str){whole, size}, tokens, error);
    free(whole);
    return code;
}

/* Once a job, over all of its text. */
static int32_t warn_unknown(const struct speech *s, struct vox_error *error)
{
    struct f5_tokens tokens = {0};
    struct f5_chunk all = {.data = s->job->text.data, .size = s->job->text.size};
    char examples[F5_UNKNOWN_EXAMPLES_MAX * (F5_TOKEN_SIZE_MAX + 2) + 1] = "";
    size_t len = 0;
    int32_t code = tokens_make(s, &all, &tokens, error);
    for (uint32_t i = 0; i < tokens.unknown_example_count; i++)
        len += (size_t)snprintf(examples + len, sizeof(examples) - len, " %s",
                                tokens.unknown_examples[i]);
    if (tokens.unknown_count)
        vox_warnf(s->job,
                  "text, voice_text: %llu of the tokens are not in the model's vocabulary and "
                  "become spaces:%s",
                  (unsigned long long)tokens.unknown_count, examples);
    f5_tokens_free(&tokens);
    return code;
}

/* The tap "tokens", I64 [count]. */
static void tap_tokens(vt_cx *cx, const struct f5_tokens *tokens)
{
    int64_t *ids = calloc((size_t)tokens->count + 1, sizeof(*ids));
    for (uint64_t i = 0; ids && i < tokens->count; i++)
        ids[i] = tokens->ids[i];
    if (ids)
        vt_tap(cx, "tokens", vt_from_i64(cx, ids, VT_DIMS((int64_t)tokens->count)));
    free(ids);
}

/* Samples and vocodes. The result is on the host, [count], from malloc. */
static int32_t chunk_compute(struct speech *s, const struct f5_tokens *tokens, int64_t frames,
                             float **wave, uint64_t *count, struct vox_error *error)
{
    const struct vox_model *model = s->session->model;
    vt_cx *cx = s->session->cx;
    vt *mel = f5_sample(cx, &model->dit, &s->options->sampling, &s->session->modulations,
                        s->reference_mel, tokens->ids, tokens->count, frames, &s->watch,
                        report_step, s); /* [1, n, m] */
    if (s->watch.stopped || !vt_ok(cx))
        return s->watch.stopped ? VOX_ECANCELLED : vt_status(cx, error);
    if (!vt_all_finite(cx, mel) && vt_ok(cx))
        return vox_fail(error, VOX_EINTERNAL,
                        "the model's output is not finite (chunk %llu of %llu)",
                        (unsigned long long)s->index + 1, (unsigned long long)s->count);
    mel = vt_narrow(cx, mel, 1, s->reference_frames, frames - s->reference_frames);
    vt *x = f5_vocos_decode(cx, &model->vocos, mel, &s->watch); /* [samples] */
    if (s->reference.rms < (float)s->options->target_rms) {
        x = vt_mul_s(cx, x, s->reference.rms);
        float target = (float)s->options->target_rms;
        x = vt_div(cx, x, vt_from_f32(cx, &target, VT_DIMS(1)));
    }
    vt_tap(cx, "wave", x);
    if (s->watch.stopped)
        return VOX_ECANCELLED;
    *count = (uint64_t)vt_size(x, 0);
    *wave = malloc((size_t)*count * sizeof(**wave));
    if (!*wave)
        return vox_fail(error, VOX_ENOMEM, "out of memory for %llu samples",
                        (unsigned long long)*count);
    vt_read_f32(cx, x, *wave, *count);
    return vt_status(cx, error);
}

static int32_t chunk_run(struct speech *s, struct vox_error *error)
{
    struct f5_tokens tokens = {0};
    float *wave = NULL;
    uint64_t count = 0;
    int32_t code = tokens_make(s, &s->chunks[s->index], &tokens, error);
    if (code != VOX_OK)
        return code;
    int64_t frames = frames_of(s, s->index, tokens.count);
    if (frames > F5_FRAMES_MAX) {
        code = vox_fail(
            error, VOX_EINVAL,
            "%s: reference and speech together would take %.1f s, and the model holds %.1f s: %s",
            s->options->fix_duration_s > 0 ? "options.fix_duration" : "text",
            (double)frames * FRAME_S, F5_FRAMES_MAX * FRAME_S,
            s->options->fix_duration_s > 0 ? "make it smaller" : "take a shorter reference");
        goto out;
    }
    vt_mark scope = vt_enter_i(s->session->cx, "chunk", (int64_t)s->index);
    tap_tokens(s->session->cx, &tokens);
    code = chunk_compute(s, &tokens, frames, &wave, &count, error);
    vt_leave(s->session->cx, scope, NULL);
    if (code == VOX_OK)
        code = f5_stitch_add(&s->stitch, wave, count, error);
out:
    f5_tokens_free(&tokens);
    free(wave);
    return code;
}

/* --- The job ---------------------------------------------------------------------------------- */

static void speech_finish(struct speech *s)
{
    f5_reference_finish(&s->reference);
    f5_reference_text_free(&s->text);
    for (uint64_t i = 0; s->split && i < s->packed.count; i++)
        f5_chunks_free(&s->split[i]);
    free(s->split);
    f5_chunks_free(&s->packed);
    free(s->chunks);
    f5_stitch_finish(&s->stitch);
}

int32_t f5_speech_run(struct vox_session *session, const struct vox_job *job,
                      const struct f5_speech_options *options, struct vox_error *error)
{
    struct speech s = {.session = session, .job = job, .options = options, .watch = {.job = job}};
    s.stitch = (struct f5_stitch){.job = job,
                                  .fade = (uint64_t)(options->cross_fade_s * F5_SAMPLE_RATE),
                                  .keep = options->remove_silence};
    vt_seed(session->cx, (uint64_t)job->seed);
    int32_t code = reference_make(&s, error);
    if (code == VOX_OK)
        code = plan(&s, error);
    if (code == VOX_OK)
        code = warn_unknown(&s, error);
    for (s.index = 0; code == VOX_OK && s.index < s.count; s.index++)
        code = f5_watch_stopped(&s.watch) ? VOX_ECANCELLED : chunk_run(&s, error);
    if (code == VOX_OK)
        code = f5_stitch_end(&s.stitch, error);
    if (code == VOX_OK)
        job->progress(job, 1, "done");
    speech_finish(&s);
    return code;
}
