/* One job through flite: tokens to utterances, utterances to audio, as flite_ts_to_speech
 * (src/synth/flite.c) does for the program's -f, with the audio taken at flite's streaming callback and the
 * words read off the finished utterance. Sees flite through its headers; knows nothing of models and
 * sessions. All of it runs in a cage: a failure leaves through cage_fail(), and cage_empty() frees. */
#include "speech.h"

#include "vox/helpers.h"

#include <string.h>

#define STAGE "speak"

static void fail_from_host(int32_t code)
{
    cage_fail(code, "the host takes no more audio");
}

static void begin(struct speech *speech, int rate_hz)
{
    const struct vox_job *job = speech->job;
    struct vox_format format = {.size = sizeof(format), .channels = 1};
    int32_t code;
    if (speech->begun)
        return;
    format.sample_rate = (uint32_t)rate_hz;
    speech->begun = true;
    code = job->begin(job, &format);
    if (code != VOX_OK)
        fail_from_host(code);
}

/* --- Words -------------------------------------------------------------------------------------- */

/* The end of a segment, in seconds of its utterance; of none: 0. */
static double segment_end(const cst_item *segment)
{
    return segment ? (double)item_feat_float(segment, "end") : 0.0;
}

/* Reports one word; one without sound (a lone punctuation mark) is left out. */
static void mark_word(struct speech *speech, const cst_item *word, double start_s)
{
    const cst_item *first = path_to_item(word, "R:SylStructure.daughter1.daughter1.R:Segment");
    const cst_item *last = path_to_item(word, "R:SylStructure.daughtern.daughtern.R:Segment");
    const cst_item *token = item_parent(item_as(word, "Token"));
    const char *name = item_feat_string(word, "name");
    int index = item_feat_int(token, "token_index");
    struct vox_mark mark = {.size = sizeof(mark)};
    int32_t code;
    if (!first || !last)
        return;
    mark.word = vox_text(name[0] == '_' && name[1] ? name + 1 : name); /* "_a": the letter */
    mark.text_begin = speech->token_begin[index];
    mark.text_end = speech->token_end[index];
    mark.start_s = start_s + segment_end(item_prev(first));
    mark.end_s = start_s + segment_end(last);
    code = speech->job->mark(speech->job, &mark);
    if (code != VOX_OK)
        cage_fail(code, "the host takes no more marks");
}

static void mark_words(struct speech *speech, const cst_utterance *utterance, int rate_hz)
{
    double start_s = (double)speech->frames / rate_hz;
    if (!VOX_HAS(speech->job, mark) || !speech->job->mark)
        return;
    for (const cst_item *word = relation_head(utt_relation(utterance, "Word")); word;
         word = item_next(word))
        mark_word(speech, word, start_s);
}

/* --- Audio -------------------------------------------------------------------------------------- */

/* How far the job is when `share` of the utterance is spoken. */
static void report_progress(struct speech *speech, double share)
{
    double begin = (double)speech->token_begin[0];
    double length = (double)(speech->text_end - speech->token_begin[0]);
    double size = (double)speech->job->text.size;
    speech->job->progress(speech->job, (begin + length * share) / size, STAGE);
}

static void write_samples(struct speech *speech, const short *samples, int count)
{
    for (int done = 0; done < count;) {
        int frames = count - done < CHUNK_FRAMES ? count - done : CHUNK_FRAMES;
        int32_t code;
        for (int i = 0; i < frames; i++)
            speech->pcm[i] = (float)samples[done + i] * (1.0f / 32768.0f);
        if (speech->job->cancelled(speech->job))
            cage_fail(VOX_ECANCELLED, "cancelled");
        code = speech->job->write(speech->job, speech->pcm, (uint64_t)frames);
        if (code != VOX_OK)
            fail_from_host(code);
        speech->frames += (uint64_t)frames;
        done += frames;
    }
}

/* flite's streaming callback: samples start..start+size of the wave are ready. */
static int take_chunk(const cst_wave *wave, int start, int size, int last,
                      cst_audio_streaming_info *stream)
{
    struct speech *speech = stream->userdata;
    (void)last;
    if (start == 0) {
        begin(speech, wave->sample_rate);
        mark_words(speech, stream->utt, wave->sample_rate);
    }
    write_samples(speech, wave->samples + start, size);
    if (wave->num_samples > 0)
        report_progress(speech, (double)(start + size) / wave->num_samples);
    return CST_AUDIO_STREAM_CONT;
}

/* In place of the voice's wave_synth_func: an utterance in which nothing is spoken makes no audio. */
static cst_utterance *make_wave(cst_utterance *utterance)
{
    cst_audio_streaming_info *stream =
        val_audio_streaming_info(utt_feat_val(utterance, "streaming_info"));
    struct speech *speech = stream->userdata;
    if (!relation_head(utt_relation(utterance, "Syllable")))
        return utterance;
    speech->spoken = true;
    return (*val_uttfunc(feat_val(speech->voice->features, "wave_synth_func")))(utterance);
}

/* --- Utterances --------------------------------------------------------------------------------- */

/* Appends speech->token to the utterance's tokens as number `index`. */
static void token_append(struct speech *speech, cst_relation *tokens, int index)
{
    const struct text_token *token = &speech->token;
    cst_item *item = relation_append(tokens, NULL);
    item_set_string(item, "name", token->name);
    item_set_string(item, "whitespace", token->space);
    item_set_string(item, "prepunctuation", token->opening);
    item_set_string(item, "punc", token->punctuation);
    item_set_int(item, "token_index", index);
    speech->token_begin[index] = token->begin;
    speech->token_end[index] = token->end;
}

/* About how long the token is when spoken, in letters of ordinary text: a digit or a symbol becomes a
 * word, as does each letter of what is spelled. */
static int token_letters(const struct text_token *token)
{
    bool spelled = !strpbrk(token->name, "aeiouy");
    int letters = 1;
    for (const char *c = token->name; *c; c++)
        letters += !spelled && ((*c >= 'a' && *c <= 'z') || *c == '\'') ? 1 : 6;
    return letters;
}

/* Whether the utterance of `letters` ends before speech->token: where flite ends it, or where it must. */
static bool is_break(struct speech *speech, cst_relation *tokens, int letters)
{
    cst_tokenstream stream = {.whitespace = speech->token.space};
    cst_breakfunc breaks = val_breakfunc(feat_val(speech->voice->features, "utt_break"));
    double slow = speech->job->speed > 1.0 ? 1.0 : speech->job->speed;
    if (letters > UTTERANCE_LETTERS_MAX * slow)
        return true;
    if (letters > UTTERANCE_COMMA_LETTERS * slow &&
        strpbrk(item_feat_string(relation_tail(tokens), "punc"), ",;"))
        return true;
    return breaks(&stream, speech->token.name, tokens);
}

/* Collects the tokens of one utterance; returns whether more text follows. */
static bool tokens_collect(struct speech *speech, cst_utterance *utterance)
{
    cst_relation *tokens = utt_relation_create(utterance, "Token");
    int letters = 0, count = 0;
    bool more;
    do {
        letters += token_letters(&speech->token);
        token_append(speech, tokens, count++);
        more = text_next(&speech->text, &speech->token);
    } while (more && count < UTTERANCE_TOKENS_MAX && !is_break(speech, tokens, letters));
    speech->text_end = more ? speech->token.begin : speech->job->text.size;
    return more;
}

static void utterance_speak(struct speech *speech, cst_utterance *utterance)
{
    cst_audio_streaming_info *stream = new_audio_streaming_info();
    stream->min_buffsize = CHUNK_FRAMES;
    stream->asc = take_chunk;
    stream->userdata = speech;
    utt_init(utterance, (cst_voice *)(uintptr_t)speech->voice);
    utt_set_feat(utterance, "streaming_info", audio_streaming_info_val(stream));
    utt_set_feat(utterance, "wave_synth_func", uttfunc_val(make_wave));
    if (speech->job->speed != 1.0) {
        double own = (double)get_param_float(speech->voice->features, "duration_stretch", 1.0f);
        utt_set_feat_float(utterance, "duration_stretch", (float)(own / speech->job->speed));
    }
    if (!utt_synth_tokens(utterance))
        cage_fail(VOX_EINTERNAL, "flite could not speak the text");
}

static void speak_all(void *arg)
{
    struct speech *speech = arg;
    bool more = text_next(&speech->text, &speech->token);
    while (more) {
        cst_utterance *utterance = new_utterance();
        more = tokens_collect(speech, utterance);
        utterance_speak(speech, utterance);
        cage_empty(speech->cage);
    }
}

int32_t speech_run(struct speech *speech, struct cage *cage, const cst_voice *voice,
                   const struct vox_job *job, struct vox_error *error)
{
    int32_t code;
    speech->job = job;
    speech->voice = voice;
    speech->cage = cage;
    speech->frames = 0;
    speech->begun = speech->spoken = false;
    text_init(&speech->text, job->text);
    code = cage_run(cage, job, error, speak_all, speech);
    cage_empty(cage);
    if (code != VOX_OK)
        return code;
    if (!speech->spoken)
        return vox_fail(error, VOX_EINVAL, "text: holds no word that an English voice can speak");
    if (speech->text.skipped)
        vox_warnf(job, "%llu characters that flite cannot speak were skipped, the first is U+%04X",
                  (unsigned long long)speech->text.skipped, (unsigned)speech->text.skipped_first);
    return VOX_OK;
}
