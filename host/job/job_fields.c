/* The table of a job's fields, and configs/JOBS.md, which is made from it. */
#include "job/job_fields.h"

#include <string.h>

static const char *const ops[] = {"tts"};

const struct field_spec job_fields[FIELD_COUNT] = {
    [FIELD_ID] = {"id", TYPE_TEXT, 0, 0, NULL, 0, "job-N, by its place in the file",
                  "names the job and its audio; at most 200 bytes, no '/', no leading '.'"},
    [FIELD_OP] = {"op", TYPE_TEXT, 0, 0, ops, 1, "tts", "what to do"},
    [FIELD_MODEL_TYPE] = {"model_type", TYPE_TEXT, 0, 0, NULL, 0,
                          "the manifest's default_model, or its only model",
                          "which model speaks: a model_type or alias of the manifest, in any case"},
    [FIELD_TEXT] = {"text", TYPE_TEXT, 0, 0, NULL, 0, "required, or text_file", "what to say"},
    [FIELD_TEXT_FILE] = {"text_file", TYPE_TEXT, 0, 0, NULL, 0, "none",
                         "a UTF-8 file with the text, from the job file's folder"},
    [FIELD_VOICE] =
        {"voice", TYPE_TEXT, 0, 0, NULL, 0, "the model's own",
         "a speaker of the model, a NAME in paths.voices, a recording's path or URL, or base64"},
    [FIELD_VOICE_TEXT] = {"voice_text", TYPE_TEXT, 0, 0, NULL, 0, "the .txt beside the recording",
                          "what is said in the recording"},
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
    [FIELD_TIMEOUT_S] = {"timeout_s", TYPE_NUMBER, 0, 86400, NULL, 0, "host.job_timeout_s",
                         "how long the job may run; 0: no limit"},
    [FIELD_STREAM] = {"stream", TYPE_BOOL, 0, 0, NULL, 0, "false",
                      "send the audio piece by piece as it is made; in `voxhost worker`"},
    [FIELD_OPTIONS] = {"options", TYPE_OPTIONS, 0, 0, NULL, 0,
                       "the manifest's defaults, then the plugin's",
                       "the model's own options, as `voxhost plugins` lists them"},
};

const struct field_alias job_aliases[JOB_ALIAS_COUNT] = {
    {"custom_id", FIELD_ID},         {"job_id", FIELD_ID},
    {"model", FIELD_MODEL_TYPE},     {"input", FIELD_TEXT},
    {"local_voice", FIELD_VOICE},    {"voice_id", FIELD_VOICE},
    {"ref_audio", FIELD_VOICE},      {"reference_audio", FIELD_VOICE},
    {"ref_text", FIELD_VOICE_TEXT},  {"reference_text", FIELD_VOICE_TEXT},
    {"lang", FIELD_LANGUAGE},        {"response_format", FIELD_FORMAT},
    {"output_format", FIELD_FORMAT}, {"output_filename", FIELD_OUTPUT},
    {"params", FIELD_OPTIONS},
};

bool job_has_field(const char *name)
{
    for (size_t i = 0; i < FIELD_COUNT; i++)
        if (strcmp(job_fields[i].name, name) == 0)
            return true;
    return false;
}

/* --- The reference ---------------------------------------------------------------------------------- */

static void write_fields(struct str *out)
{
    static const char *const types[] = {"text", "integer", "number", "boolean", "list", "object"};
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
        for (size_t k = 0; k < JOB_ALIAS_COUNT; k++) {
            if (job_aliases[k].field != i)
                continue;
            str_printf(out, "%s`%s`", separator, job_aliases[k].name);
            separator = ", ";
        }
        str_puts(out, " |\n");
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
    "| `audio` | `path` (inside the output folder), or in a worker `base64` or `url`; `format`, "
    "`encoding`, `sample_rate`, `channels`, `duration_s`, `bytes`, `sha256` |\n"
    "| `subtitles` | paths of the files that `timestamps` asked for |\n"
    "| `subtitle_texts` | in a worker: what would stand in them, by format |\n"
    "| `words` | `word`, `start_s`, `end_s`, and the bytes `text_begin`..`text_end` of the job's "
    "text |\n"
    "| `warnings` | what the caller should know |\n"
    "| `timings_ms` | `queue`, `load` (part of `queue`), `voice`, `synth`, `encode`, `store`, "
    "`total` |\n"
    "| `rtf` | seconds of work per second of audio |\n"
    "| `error` | `code`, `message`, `field`, `retryable`; on failure only |\n"
    "| `job_hash` | of all that decides the audio; `--resume` goes by it |\n"
    "| `line` | of the job file |\n"
    "| `crashed` | true when the job's plugin brought the process down: `--resume` does not try "
    "the same job again |\n\n"
    "## What `voxhost worker` answers\n\n"
    "The final body that the platform gets, and clients see as `output` and `error`:\n\n"
    "| member | what it is |\n|---|---|\n"
    "| `output` | the result above. Older clients find there as well (`worker.legacy_fields`): "
    "`audio_base64`, `audio_url`, `duration`, `sample_rate`, `job_id`; on failure `error_code` and "
    "`error_field` |\n"
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
    str_puts(out, result_text);
#define X(constant, number, word, retryable) \
    str_printf(out, "| `%s` | %s |\n", word, retryable ? "may help" : "no");
    ERR_CODES(X)
#undef X
}
