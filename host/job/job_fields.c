/* The table of a job's fields, and configs/JOBS.md, which is made from it. */
#include "job/job_fields.h"

#include <string.h>

const char *const job_op_names[OP_COUNT] = {
    [OP_TTS] = "tts",
    [OP_VOICE_CREATE] = "voice_create",
    [OP_VOICE_LIST] = "voice_list",
    [OP_VOICE_DELETE] = "voice_delete",
    [OP_VOICE_EXPORT] = "voice_export",
    [OP_UPLOAD] = "upload",
    [OP_LIST_VOICES] = "list_voices",
    [OP_DOWNLOAD] = "download",
    [OP_STATUS] = "status",
    [OP_CAPABILITIES] = "capabilities",
};

static const char *const responses[] = {"auto", "inline", "url"};
static const char *const download_types[] = {"audio", "timing"};

const struct field_spec job_fields[FIELD_COUNT] = {
    [FIELD_ID] = {"id", TYPE_TEXT, 0, 0, NULL, 0,
                  "job-N, by its place in the file; in a worker the platform's",
                  "names the job and its audio; at most 200 bytes, no '/', no leading '.'"},
    [FIELD_OP] = {"op", TYPE_TEXT, 0, 0, job_op_names, OP_COUNT, "tts", "what to do; see below"},
    [FIELD_MODEL_TYPE] = {"model_type", TYPE_TEXT, 0, 0, NULL, 0,
                          "the manifest's default_model, or its only model",
                          "which model speaks: a model_type or alias of the manifest, in any case"},
    [FIELD_TEXT] = {"text", TYPE_TEXT, 0, 0, NULL, 0, "required, or text_file", "what to say"},
    [FIELD_TEXT_FILE] = {"text_file", TYPE_TEXT, 0, 0, NULL, 0, "none",
                         "a UTF-8 file with the text, from the job file's folder"},
    [FIELD_VOICE] =
        {"voice", TYPE_VOICE, 0, 0, NULL, 0, "the model's own",
         "a speaker of the model, a voice or NAME in paths.voices, a recording's path, URL, base64 "
         "or object key (`s3://BUCKET/KEY`, or a key below storage.voices_prefix); or all of a "
         "voice: an object of `audio` (likewise), `transcript`, `language`, `profile` (base64) and "
         "`id`. For operations on voices: the voice's id"},
    [FIELD_VOICE_TEXT] = {"voice_text", TYPE_TEXT, 0, 0, NULL, 0, "the .txt beside the recording",
                          "what is said in the recording"},
    [FIELD_VOICE_PROFILE] = {"voice_profile", TYPE_TEXT, 0, 0, NULL, 0, "made from the recording",
                             "base64 or object key of what the model made of the voice before; the "
                             "recording may be left out where the model needs no more"},
    [FIELD_LANGUAGE] = {"language", TYPE_TEXT, 0, 0, NULL, 0, "the model's own", "a BCP 47 tag"},
    [FIELD_SEED] = {"seed", TYPE_INTEGER, 0, 9223372036854775807.0, NULL, 0, "random, and reported",
                    "the same seed gives the same audio"},
    [FIELD_SPEED] = {"speed", TYPE_NUMBER, 0.25, 4, NULL, 0, "1",
                     "of speaking; 2 is twice as fast"},
    [FIELD_FORMAT] = {"format", TYPE_TEXT, 0, 0, audio_format_names, AUDIO_FORMAT_COUNT,
                      "wav, or what output ends in", "of the audio file"},
    [FIELD_ENCODING] = {"encoding", TYPE_TEXT, 0, 0, audio_encoding_names, AUDIO_ENCODING_COUNT,
                        "pcm16", "of the samples; wav and pcm have all, flac the first two"},
    [FIELD_SAMPLE_RATE] = {"sample_rate", TYPE_INTEGER, AUDIO_RATE_MIN, AUDIO_RATE_MAX, NULL, 0,
                           "the model's own", "Hz"},
    [FIELD_OUTPUT] = {"output", TYPE_TEXT, 0, 0, NULL, 0, "ID.FORMAT",
                      "relative path inside the output folder; ends in .FORMAT"},
    [FIELD_TIMESTAMPS] = {"timestamps", TYPE_NAMES, 0, 0, subtitle_format_names,
                          SUBTITLE_FORMAT_COUNT, "none",
                          "subtitle files to write beside the audio"},
    [FIELD_TIMEOUT_S] =
        {"timeout_s", TYPE_NUMBER, 0, 86400, NULL, 0, "host.job_timeout_s",
         "how long the job may run, the upload of its result included; 0: no limit"},
    [FIELD_STREAM] = {"stream", TYPE_BOOL, 0, 0, NULL, 0, "false",
                      "send the audio piece by piece as it is made; in `voxhost worker`"},
    [FIELD_OPTIONS] = {"options", TYPE_OPTIONS, 0, 0, NULL, 0,
                       "the manifest's defaults, then the plugin's",
                       "the model's own options, as `voxhost plugins` lists them"},
    [FIELD_RESPONSE] =
        {"response", TYPE_TEXT, 0, 0, responses, 3, "auto",
         "how a worker hands over audio: `inline` as base64, `url` from the "
         "storage, `auto` inline up to worker.inline_chars_max. A batch writes files "
         "and only warns"},
    [FIELD_USER_ID] = {"user_id", TYPE_TEXT, 0, 0, NULL, 0, "that of metadata",
                       "for storage.key_template; a number is its text"},
    [FIELD_STORY_ID] = {"story_id", TYPE_TEXT, 0, 0, NULL, 0, "that of metadata",
                        "for storage.key_template; a number is its text"},
    [FIELD_METADATA] =
        {"metadata", TYPE_OPTIONS, 0, 0, NULL, 0, "none",
         "at most 64 KiB; comes back in the result; kept with stored objects and new voices"},
    [FIELD_NAME] = {"name", TYPE_TEXT, 0, 0, NULL, 0, "the id", "of a new voice"},
    [FIELD_AUDIO] = {"audio", TYPE_TEXT, 0, 0, NULL, 0, "required",
                     "the recording of a new voice: URL, base64, object key, in a batch a path"},
    [FIELD_CONSENT] = {"consent", TYPE_TEXT, 0, 0, NULL, 0, "none",
                       "what the speaker has agreed to; kept with the voice"},
    [FIELD_REPLACE] = {"replace", TYPE_BOOL, 0, 0, NULL, 0,
                       "false; of an `endpoint` that is `upload`, true",
                       "a voice of that id is replaced; else one that differs is an error"},
    [FIELD_SAMPLE] = {"sample", TYPE_BOOL, 0, 0, NULL, 0, "false, with sample_text true",
                      "the new voice speaks; the job's audio is that"},
    [FIELD_SAMPLE_TEXT] = {"sample_text", TYPE_TEXT, 0, 0, NULL, 0, "a sentence with the name",
                           "what it says; `{name}` stands for the voice's name"},
    [FIELD_CURSOR] = {"cursor", TYPE_TEXT, 0, 0, NULL, 0, "the first page",
                      "`next` of the page before"},
    [FIELD_LIMIT] = {"limit", TYPE_INTEGER, 1, VOICE_LIBRARY_MAX, NULL, 0, "all",
                     "voices in a page"},
    [FIELD_JOB_ID] = {"job_id", TYPE_TEXT, 0, 0, NULL, 0, "required", "the job that is asked for"},
    [FIELD_TYPE] = {"type", TYPE_TEXT, 0, 0, download_types, 2, "audio",
                    "what of it: `timing` are its subtitles"},
    [FIELD_RETURN_WORD_TIMINGS] = {"return_word_timings", TYPE_BOOL, 0, 0, NULL, 0, "false",
                                   "older: timestamps of timing_format; a model without word "
                                   "times answers with `timing_error`"},
    [FIELD_TIMING_FORMAT] = {"timing_format", TYPE_TEXT, 0, 0, NULL, 0, "srt",
                             "older: one of timestamps, `compact` (csv) or `all`"},
    [FIELD_CALLBACK_URL] = {"callback_url", TYPE_TEXT, 0, 0, NULL, 0, "that of metadata",
                            "what the outcome of speech or of a new voice is posted to; else "
                            "callbacks.url"},
    [FIELD_ERROR_CALLBACK_URL] = {"error_callback_url", TYPE_TEXT, 0, 0, NULL, 0,
                                  "that of metadata",
                                  "the same when the job failed; else derived from callback_url, "
                                  "as callbacks.error_url"},
};

#define F(name) FIELD_BIT(FIELD_##name)
#define ANY_FIELDS                                                                           \
    (F(ID) | F(OP) | F(MODEL_TYPE) | F(TIMEOUT_S) | F(USER_ID) | F(STORY_ID) | F(METADATA) | \
     F(CALLBACK_URL) | F(ERROR_CALLBACK_URL))
#define AUDIO_FIELDS                                                                           \
    (F(LANGUAGE) | F(SEED) | F(SPEED) | F(FORMAT) | F(ENCODING) | F(SAMPLE_RATE) | F(OUTPUT) | \
     F(OPTIONS) | F(RESPONSE))
#define NEW_VOICE_FIELDS (F(VOICE) | F(NAME) | F(AUDIO) | F(VOICE_TEXT) | F(CONSENT) | F(REPLACE))

const struct op_spec job_ops[OP_COUNT] = {
    [OP_TTS] = {"tts",
                ANY_FIELDS | AUDIO_FIELDS | F(TEXT) | F(TEXT_FILE) | F(VOICE) | F(VOICE_TEXT) |
                    F(VOICE_PROFILE) | F(TIMESTAMPS) | F(STREAM) | F(RETURN_WORD_TIMINGS) |
                    F(TIMING_FORMAT),
                "speak `text`"},
    [OP_VOICE_CREATE] = {"voice_create",
                         ANY_FIELDS | AUDIO_FIELDS | NEW_VOICE_FIELDS | F(SAMPLE) | F(SAMPLE_TEXT),
                         "takes `audio` into the library as the voice `voice`, makes the model's "
                         "profile of it, speaks a sample when asked. Adds `voice`, `profile`"},
    [OP_VOICE_LIST] = {"voice_list", ANY_FIELDS | F(CURSOR) | F(LIMIT),
                       "the voices of the library in the order of ids. Adds `voices`, `count` (of "
                       "the library), `next` (null: the last page)"},
    [OP_VOICE_DELETE] = {"voice_delete", ANY_FIELDS | F(VOICE),
                         "removes `voice` and its profiles, in the storage too. Adds `voice`"},
    [OP_VOICE_EXPORT] = {"voice_export", ANY_FIELDS | F(VOICE) | F(RESPONSE),
                         "one file of a voice with its profiles, for `voxhost voices import`. Adds "
                         "`voice`, `file`"},
    [OP_UPLOAD] = {"upload", ANY_FIELDS | NEW_VOICE_FIELDS | F(LANGUAGE),
                   "older name: voice_create without profile and sample. Adds `voice`, `message`"},
    [OP_LIST_VOICES] = {"list_voices", ANY_FIELDS | F(CURSOR) | F(LIMIT),
                        "older name of voice_list. `voices` have `name` (that of a file to older "
                        "clients), `size`, "
                        "`last_modified`"},
    [OP_DOWNLOAD] = {"download", ANY_FIELDS | F(JOB_ID) | F(TYPE) | F(FORMAT) | F(RESPONSE),
                     "the stored result of `job_id`. Adds `job_id`, `type`, `file`"},
    [OP_STATUS] =
        {"status", ANY_FIELDS | F(JOB_ID),
         "how far `job_id` is, of the last 1000 jobs that this process has queued, refused "
         "ones and `status`, `capabilities` not among them. Adds `job_id`, `state` "
         "(queued, running, finished, failed), `progress`, `code` and `message` of a "
         "failure"},
    [OP_CAPABILITIES] = {"capabilities", ANY_FIELDS,
                         "what this host can do. Adds `version`, `models`, `voices` (how many), "
                         "`ops`, `formats`, `encodings`, `timestamps`, `limits`"},
};

const struct op_alias job_op_aliases[] = {
    {"result", OP_DOWNLOAD, NULL},
    {"download_file", OP_DOWNLOAD,
     "unsupported: files of a worker are not read by their path; use download with job_id"},
    {"list_files", OP_DOWNLOAD,
     "unsupported: files of a worker are not listed; use status and download with job_id"},
};
const size_t job_op_alias_count = sizeof(job_op_aliases) / sizeof(job_op_aliases[0]);

#define TTS OP_BIT(OP_TTS)
#define NEW (OP_BIT(OP_VOICE_CREATE) | OP_BIT(OP_UPLOAD))
#define OLD (OP_BIT(OP_VOICE_DELETE) | OP_BIT(OP_VOICE_EXPORT))
#define ASK (OP_BIT(OP_DOWNLOAD) | OP_BIT(OP_STATUS))
#define ALL (OP_BIT(OP_COUNT) - 1)

const struct field_alias job_aliases[] = {
    {"custom_id", FIELD_ID, ALL},
    {"job_id", FIELD_ID, ALL & ~ASK},
    {"endpoint", FIELD_OP, ALL},
    {"action", FIELD_OP, ALL},
    {"model", FIELD_MODEL_TYPE, ALL},
    {"input", FIELD_TEXT, TTS},
    {"local_voice", FIELD_VOICE, TTS},
    {"voice_id", FIELD_VOICE, TTS | NEW | OLD},
    {"ref_audio", FIELD_VOICE, TTS},
    {"reference_audio", FIELD_VOICE, TTS},
    {"voice_name", FIELD_VOICE, OLD},
    {"name", FIELD_VOICE, OLD},
    {"ref_text", FIELD_VOICE_TEXT, TTS | NEW},
    {"reference_text", FIELD_VOICE_TEXT, TTS | NEW},
    {"profile_base64", FIELD_VOICE_PROFILE, TTS},
    {"embedding_base64", FIELD_VOICE_PROFILE, TTS},
    {"profile_path", FIELD_VOICE_PROFILE, TTS},
    {"lang", FIELD_LANGUAGE, TTS | NEW},
    {"response_format", FIELD_FORMAT, TTS | NEW},
    {"output_format", FIELD_FORMAT, TTS | NEW},
    {"output_filename", FIELD_OUTPUT, TTS},
    {"params", FIELD_OPTIONS, TTS | NEW},
    {"responseFormat", FIELD_RESPONSE, TTS | NEW},
    {"voice_name", FIELD_NAME, NEW},
    {"title", FIELD_NAME, NEW},
    {"voice_file_url", FIELD_AUDIO, NEW},
    {"url_file", FIELD_AUDIO, NEW},
    {"file", FIELD_AUDIO, NEW},
    {"voice_file", FIELD_AUDIO, NEW},
    {"audio_data", FIELD_AUDIO, NEW},
    {"audio_path", FIELD_AUDIO, NEW},
    {"ref_audio", FIELD_AUDIO, NEW},
    {"reference_audio", FIELD_AUDIO, NEW},
    {"text", FIELD_SAMPLE_TEXT, OP_BIT(OP_VOICE_CREATE)},
    {"template", FIELD_SAMPLE_TEXT, OP_BIT(OP_VOICE_CREATE)},
    {"template_message", FIELD_SAMPLE_TEXT, OP_BIT(OP_VOICE_CREATE)},
};
const size_t job_alias_count = sizeof(job_aliases) / sizeof(job_aliases[0]);

#define UNUSED "is kept in metadata and changes nothing"
const struct older_field job_older_fields[] = {
    {"story_type", OLDER_KEPT, NULL},
    {"story_name", OLDER_KEPT, NULL},
    {"voice_name", OLDER_KEPT, NULL},
    {"is_kids_voice", OLDER_KEPT, NULL},
    {"project_id", OLDER_KEPT, NULL},
    {"visibility", OLDER_KEPT, NULL},
    {"voice_type", OLDER_KEPT, NULL},
    {"requestId", OLDER_KEPT, NULL},
    {"country_code", OLDER_KEPT, NULL},
    {"bucket_name", OLDER_KEPT, NULL},
    {"quality", OLDER_KEPT, UNUSED},
    {"genre", OLDER_KEPT, UNUSED},
    {"story_genre", OLDER_KEPT, UNUSED},
    {"storyGenre", OLDER_KEPT, UNUSED},
    {"output_basename", OLDER_KEPT, UNUSED ": names follow storage.key_template"},
    {"profile_filename", OLDER_KEPT, UNUSED},
    {"sample_filename", OLDER_KEPT, UNUSED},
    {"audio_format", OLDER_IGNORED, "is not looked at: the content says what it is"},
    {"timing_method", OLDER_IGNORED, "is not looked at: word times come from the model"},
    {"storage_path", OLDER_REFUSED, "unsupported: names follow storage.key_template"},
    {"text_file_url", OLDER_REFUSED, "unsupported: send the transcript as reference_text"},
    {"yt_url", OLDER_REFUSED, "unsupported: send a recording, or the URL of one"},
    {"voices", OLDER_REFUSED, "unsupported: a voice has one recording; send it as audio_data"},
    {"generated_sample", OLDER_REFUSED, "unsupported: ask for a sample with \"sample\""},
    {"file_path", OLDER_REFUSED, "unsupported: no file of the host is read by its path"},
};
const size_t job_older_field_count = sizeof(job_older_fields) / sizeof(job_older_fields[0]);

bool job_has_field(const char *name)
{
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (strcmp(job_fields[i].name, name) == 0)
            return true;
    return false;
}

/* --- The reference ---------------------------------------------------------------------------- */

static void write_fields(struct str *out)
{
    static const char *const types[] = {"text",    "text or object", "integer", "number",
                                        "boolean", "list",           "object"};
    str_puts(out, "| field | type | default | what it is |\n|---|---|---|---|\n");
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        const struct field_spec *spec = &job_fields[i];
        str_printf(out, "| `%s` | %s", spec->name, types[spec->type]);
        if (i == FIELD_SEED)
            str_puts(out, " 0..2^63-1");
        else if (spec->type == TYPE_INTEGER || spec->type == TYPE_NUMBER)
            str_printf(out, " %g..%g", spec->minimum, spec->maximum);
        for (size_t k = 0; k < spec->choice_count; k++)
            str_printf(out, "%s`%s`", k ? ", " : ": ", spec->choices[k]);
        str_printf(out, " | %s | %s", spec->fallback, spec->help);
        const char *separator = "; also read as ";
        for (size_t k = 0; k < job_alias_count; k++) {
            bool is_new = job_aliases[k].field == i;
            for (size_t other = 0; other < k && is_new; other++)
                is_new = job_aliases[other].field != i ||
                         strcmp(job_aliases[other].name, job_aliases[k].name) != 0;
            if (!is_new)
                continue;
            str_printf(out, "%s`%s`", separator, job_aliases[k].name);
            separator = ", ";
        }
        str_puts(out, " |\n");
    }
}

static void write_ops(struct str *out)
{
    str_puts(
        out,
        "\n## Operations\n\n`op` says which. All take `id`, `model_type`, `timeout_s`, "
        "`user_id`, `story_id`, `metadata`, `callback_url`, `error_callback_url`, and besides:\n\n"
        "| op | fields | what it does |\n|---|---|---|\n");
    for (size_t i = 0; i < OP_COUNT; i++) {
        const char *separator = "";
        str_printf(out, "| `%s` | ", job_ops[i].name);
        for (size_t field = 0; field < FIELD_COUNT; field++) {
            if (!(job_ops[i].fields & ~ANY_FIELDS & FIELD_BIT(field)))
                continue;
            str_printf(out, "%s`%s`", separator, job_fields[field].name);
            separator = ", ";
        }
        str_printf(out, " | %s |\n", job_ops[i].help);
    }
    str_puts(
        out,
        "\n`file` is a `path` in the output folder of a batch, else `base64` or `url`, with "
        "`filename`, `content_type`, `bytes`.\nIn a batch an operation that changes the "
        "library waits for the jobs before it, and those after it wait for it.\n"
        "`status`, `capabilities`, `voice_list` and `list_voices` wait for no other job.\n\n"
        "With a storage, `voice_create` and `upload` also put the recording, the profile and the "
        "sample there, and say their keys in `recorded_path`, `profile_path`,\n`sample_path` (and "
        "where they can be fetched in `recorded_url` ...): "
        "storage.voices_prefix`[USER_ID/][LANGUAGE/][kids/]recorded/ID_DIGEST.wav`, `profiles/`, "
        "`samples/`.\n`voice_delete` removes them, by the `user_id` that the voice was made with; "
        "so does `replace` where `language` or `is_kids_voice` become others. A recording that "
        "is named by the key of the client's own object stays there. Such a key is good in any "
        "later job on any worker, as `voice`, `audio`, "
        "`voice_profile`. What is fetched by a key or URL is used again for 10 minutes without "
        "asking.\n\n"
        "`download` finds the results of this process's last 1000 jobs, and those of every process "
        "with the same storage by storage.key_template, where that\nhas nothing but {job_id}, "
        "{random}, {user_id} and {story_id} (which the asker has to say as the job did), {date} "
        "(the last 8 days are tried) and {ext}.\nWho may send jobs and knows the id of one gets "
        "its "
        "result, as ever: ids that are left to the platform cannot be guessed, so name no "
        "guessable "
        "ones where\nstrangers send jobs. Who may not send jobs learns nothing from an id: "
        "{random} "
        "follows from it by a secret of the storage.\n");
}

static void write_older(struct str *out)
{
    str_puts(out, "\n## Requests of older clients\n\n`endpoint` and `action` are read as `op`; ");
    for (size_t i = 0; i < job_op_alias_count; i++)
        if (!job_op_aliases[i].why)
            str_printf(out, "`%s` is `%s`; ", job_op_aliases[i].name,
                       job_op_names[job_op_aliases[i].op]);
    str_puts(
        out,
        "a job with `name` and `audio_data` or `audio_path` and no `op` is "
        "`voice_create` with a sample.\nA job without `op` that has one of these fields is an "
        "older client's, and a worker answers it in the words of its system "
        "(`worker.legacy_fields`):\n`status`, the text alone in `error`, and the members "
        "that it had besides ours.\n\n"
        "| fields | status | members |\n|---|---|---|\n"
        "| `endpoint`, `local_voice`, `return_word_timings`, `timing_format`, "
        "`timing_method`, `voice_file_url` | `completed`, `success`, `ready`; of `upload` its "
        "message, of `status` QUEUED, PROCESSING, COMPLETED or ERROR | "
        "`audio_url` whatever the size, without storage `audio_data`; `error`; `text`, "
        "`timing_files` or `word_timings`, `timing_format`, `timing_method`, "
        "`word_count`; of a download `content_type`, `filename`, `format`, `audio_data`, "
        "`audio_url`, `timing_data`, `timing_url` |\n"
        "| `voice_id`, `profile_base64`, `embedding_base64`, `profile_path`, "
        "`audio_data`, `audio_path`, `story_type`, `is_kids_voice`, `responseFormat`, "
        "`action` | `success`, `error` | `message` of a failure; `voice_id`, "
        "`generation_time`, `model`, `metadata`, `callback_url`; with a URL (always, where there "
        "is a storage and the job has `story_type`, `is_kids_voice`, `user_id`, `story_id`, "
        "`metadata` or `audio_path`) `audio_path`, "
        "`storage_path`, `storage_url`, `r2_path`, `r2_url`, `firebase_path`, "
        "`firebase_url`, `file_path`, `file_size_mb`; of a new voice `voice_name`, "
        "`profile_base64`, `sample_path`, `sample_audio_path`, `embedding_path`, "
        "`r2_profile_path`, "
        "`r2_sample_path`, `created_date`, `language` |\n\n"
        "`timing_method` is `model`: word times are the model's own. They have no "
        "confidences, so there is no `timing_confidence`. The files of "
        "`return_word_timings` are laid out\nas that system did: a cue or row for each word, "
        "in csv and json with a `confidence` of 1, as stood there when none was known. A "
        "`profile_path` beside a `profile_base64` is not looked "
        "at.\n\n"
        "Besides the other names above:\n\n"
        "| field | what becomes of it |\n|---|---|\n");
    for (size_t i = 0; i < job_older_field_count; i++) {
        const struct older_field *older = &job_older_fields[i];
        str_printf(out, "| `%s` | %s |\n", older->name,
                   older->why ? older->why : "is kept in metadata");
    }
}

static const char intro[] = "# Job and result reference\n\n"
                            "Made by `voxhost config --job-reference`; do not edit.\n\n"
                            "A job is an object: a line of a JSON lines file, an element of a JSON "
                            "or YAML list, a row of a CSV file (options\n"
                            "in columns `options.NAME`). Nothing is converted: `\"16\"` is not a "
                            "number, except from CSV and YAML. Unknown fields\n"
                            "are errors. A job that is wrong names the field, the value and what "
                            "was expected; nothing of it runs.\n\n"
                            "## Fields of a job\n\n";

static const char result_text[] =
    "\n## A result\n\n"
    "A line of `results.jsonl`, and what `voxhost speak --json` prints:\n\n"
    "| field | what it is |\n|---|---|\n"
    "| `id`, `model_type` | of the job; `id` is null for a record in which no job could be seen: "
    "`record` is its number |\n"
    "| `status` | `ok` or `error` |\n"
    "| `seed` | the seed that was used |\n"
    "| `audio` | `path` (inside the output folder), or in a worker `base64` or `url` (both when "
    "the "
    "job is called back and there is a storage); `format`, "
    "`encoding`, `sample_rate`, `channels`, `duration_s`, `bytes`, `sha256` |\n"
    "| `op` | of the job, unless it is `tts`; with what the operation adds |\n"
    "| `metadata` | of the job |\n"
    "| `subtitles` | paths of the files that `timestamps` asked for |\n"
    "| `subtitle_urls` | in a worker, where the audio has a URL: theirs, by format |\n"
    "| `timing_error` | why there are no word times, where an older client asked for them |\n"
    "| `subtitle_texts` | in a worker: what would stand in them, by format |\n"
    "| `words` | `word`, `start_s`, `end_s`, and the bytes `text_begin`..`text_end` of the job's "
    "text |\n"
    "| `words_url` | in a worker with a storage, in the place of `words`: where that list is, when "
    "with it the answer would be longer than worker.body_bytes_max |\n"
    "| `warnings` | what the caller should know |\n"
    "| `timings_ms` | `queue`, `load` (part of `queue`), `voice`, `synth`, `encode`, `store`, "
    "`total` |\n"
    "| `rtf` | seconds of work per second of audio |\n"
    "| `error` | `code`, `message`, `field`, `retryable`; on failure only |\n"
    "| `job_hash` | of all that decides the audio; `--resume` goes by it |\n"
    "| `given_hash` | in a batch, of a job with a voice of the library as it stands in the file: "
    "`--resume` goes by it once that voice is deleted |\n"
    "| `line` | of the job file |\n"
    "| `crashed` | true when the job's plugin brought the process down: `--resume` does not try "
    "the same job again |\n"
    "| `told` | true once the callback of such a job is on its way, by the first `--resume` |\n\n"
    "## What `voxhost worker` answers\n\n"
    "The final body that the platform gets, and clients see as `output` and `error`:\n\n"
    "| member | what it is |\n|---|---|\n"
    "| `output` | the result above. Older clients find there as well (`worker.legacy_fields`): "
    "`audio_base64`, `audio_url`, `duration`, `sample_rate`, `job_id`. On failure always "
    "`error_code` and `error_field` |\n"
    "| `error` | on failure only: a string that holds the JSON object `error_type`, "
    "`error_message`, `error_traceback` (where), `hostname`, `worker_id`, `runpod_version`, "
    "`error_code`, `error_field` |\n"
    "| `stopPod` | true with `worker.refresh` |\n\n"
    "While a job runs, `output` is `{\"progress\": 0.25}`. A job with `stream` sends chunks: "
    "`index`, `audio_base64`, `format`, `encoding`, `sample_rate`, `channels`; the last chunk is "
    "the "
    "result, without audio. The decoded chunks, one after the other, are one audio stream of the "
    "format (`pcm`: samples alone; `wav`: a header of unknown length first). Its final `output` is "
    "the list of all chunks, or `[]` where they do not fit or `worker.stream_aggregate` is off.\n\n"
    "## Error codes\n\nThe same in every front end:\n\n| code | retry? |\n|---|---|\n";

void job_reference(struct str *out)
{
    str_puts(out, intro);
    write_fields(out);
    write_ops(out);
    write_older(out);
    str_puts(out, result_text);
#define X(constant, number, word, retryable) \
    str_printf(out, "| `%s` | %s |\n", word, retryable ? "may help" : "no");
    ERR_CODES(X)
#undef X
}
