/* Word times as subtitle files. What a cue shows is decided in subtitle_cues.c; here is only how
 * each format writes it.
 */
#include "audio/subtitle.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define WORD_JOINER "\xe2\x81\xa0" /* U+2060 */

const char *const subtitle_format_names[SUBTITLE_FORMAT_COUNT] = {"srt", "vtt", "csv", "json",
                                                                  "ass"};

int subtitle_format_from(const char *name)
{
    for (int i = 0; i < SUBTITLE_FORMAT_COUNT; i++)
        if (strcmp(subtitle_format_names[i], name) == 0)
            return i;
    return -1;
}

/* --- Times ------------------------------------------------------------------------------------ */

/* In `per_second` parts; nothing that is no time can come out. */
static unsigned long long ticks(double seconds, double per_second)
{
    double value = round(seconds * per_second);
    return value > 0 && value < 1e15 ? (unsigned long long)value : 0;
}

/* "00:00:01,250" */
static void put_time_ms(struct str *out, double seconds, char point)
{
    unsigned long long ms = ticks(seconds, 1000);
    str_printf(out, "%02llu:%02llu:%02llu%c%03llu", ms / 3600000, ms / 60000 % 60, ms / 1000 % 60,
               point, ms % 1000);
}

/* "0:00:01.25" */
static void put_time_cs(struct str *out, double seconds)
{
    unsigned long long cs = ticks(seconds, 100);
    str_printf(out, "%llu:%02llu:%02llu.%02llu", cs / 360000, cs / 6000 % 60, cs / 100 % 60,
               cs % 100);
}

/* "1.250" */
static void put_seconds(struct str *out, double seconds)
{
    unsigned long long ms = ticks(seconds, 1000);
    str_printf(out, "%llu.%03llu", ms / 1000, ms % 1000);
}

/* --- Cues ------------------------------------------------------------------------------------- */

static void put_srt(struct str *out, size_t index, const struct cue *cue)
{
    str_printf(out, "%zu\n", index + 1);
    put_time_ms(out, cue->start_s, ',');
    str_puts(out, " --> ");
    put_time_ms(out, cue->end_s, ',');
    str_printf(out, "\n%s\n\n", cue->text);
}

static void put_vtt(struct str *out, size_t index, const struct cue *cue)
{
    (void)index;
    put_time_ms(out, cue->start_s, '.');
    str_puts(out, " --> ");
    put_time_ms(out, cue->end_s, '.');
    str_putc(out, '\n');
    for (const char *p = cue->text; *p; p++) {
        if (*p == '&')
            str_puts(out, "&amp;");
        else if (*p == '<')
            str_puts(out, "&lt;");
        else if (*p == '>')
            str_puts(out, "&gt;");
        else
            str_putc(out, *p);
    }
    str_puts(out, "\n\n");
}

static void put_ass(struct str *out, size_t index, const struct cue *cue)
{
    (void)index;
    str_puts(out, "Dialogue: 0,");
    put_time_cs(out, cue->start_s);
    str_putc(out, ',');
    put_time_cs(out, cue->end_s);
    str_puts(out, ",Default,,0,0,0,,");
    for (const char *p = cue->text; *p; p++) {
        if (*p == '{' || *p == '}')
            str_putc(out, '\\'); /* else a block of override tags */
        str_putc(out, *p);
        if (*p == '\\')
            str_puts(out, WORD_JOINER); /* else "\N" is a line break; there is no escape for it */
    }
    str_putc(out, '\n');
}

static const char ass_head[] =
    "[Script Info]\n"
    "ScriptType: v4.00+\n"
    "PlayResX: 1280\n"
    "PlayResY: 720\n"
    "WrapStyle: 0\n"
    "ScaledBorderAndShadow: yes\n"
    "\n"
    "[V4+ Styles]\n"
    "Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, "
    "Bold, Italic, Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, "
    "Shadow, Alignment, MarginL, MarginR, MarginV, Encoding\n"
    "Style: Default,Arial,48,&H00FFFFFF,&H00FFFFFF,&H00000000,&H80000000,0,0,0,0,100,100,0,0,1,2,"
    "1,2,40,40,40,1\n"
    "\n"
    "[Events]\n"
    "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n";

/* --- Words ------------------------------------------------------------------------------------ */

/* RFC 4180 */
static void put_csv_field(struct str *out, const char *text)
{
    if (!strpbrk(text, ",\"\r\n")) {
        str_puts(out, text);
        return;
    }
    str_putc(out, '"');
    for (const char *p = text; *p; p++) {
        if (*p == '"')
            str_putc(out, '"');
        str_putc(out, *p);
    }
    str_putc(out, '"');
}

static void put_csv(struct str *out, const struct audio_word *words, size_t count)
{
    str_puts(out, "word,start,end,text_begin,text_end\r\n");
    for (size_t i = 0; i < count; i++) {
        put_csv_field(out, words[i].word);
        str_putc(out, ',');
        put_seconds(out, words[i].start_s);
        str_putc(out, ',');
        put_seconds(out, words[i].end_s);
        str_printf(out, ",%llu,%llu\r\n", (unsigned long long)words[i].text_begin,
                   (unsigned long long)words[i].text_end);
    }
}

static void put_json(struct str *out, const struct audio_word *words, size_t count)
{
    str_puts(out, "{\"words\":[");
    for (size_t i = 0; i < count; i++) {
        str_puts(out, i ? ",\n{\"word\":" : "\n{\"word\":");
        json_write_string(out, words[i].word, strlen(words[i].word));
        str_puts(out, ",\"start\":");
        put_seconds(out, words[i].start_s);
        str_puts(out, ",\"end\":");
        put_seconds(out, words[i].end_s);
        str_printf(out, ",\"text_begin\":%llu,\"text_end\":%llu}",
                   (unsigned long long)words[i].text_begin, (unsigned long long)words[i].text_end);
    }
    str_puts(out, "\n]}\n");
}

/* --- As an older system wrote them ------------------------------------------------------------ */

static void put_older_csv(struct str *out, bool compact, const struct audio_word *words,
                          size_t count)
{
    str_puts(out, compact ? "word,start,end\n" : "word,start_time,end_time,confidence\n");
    for (size_t i = 0; i < count; i++) {
        put_csv_field(out, words[i].word);
        str_putc(out, ',');
        put_seconds(out, words[i].start_s);
        str_putc(out, ',');
        put_seconds(out, words[i].end_s);
        str_puts(out, compact ? "\n" : ",1.000\n");
    }
}

static void put_older_json(struct str *out, const struct subtitle_older *older,
                           const struct audio_word *words, size_t count)
{
    struct str text = {0};
    char now[CLOCK_TEXT_SIZE];
    clock_text(now);
    str_puts(out, "{\n  \"job_id\": ");
    json_write_string(out, older->job_id, strlen(older->job_id));
    str_puts(out, ",\n  \"timing_data\": {\n    \"words\": [");
    for (size_t i = 0; i < count; i++) {
        str_puts(out, i ? ",\n      {\"word\": " : "\n      {\"word\": ");
        json_write_string(out, words[i].word, strlen(words[i].word));
        str_puts(out, ", \"start_time\": ");
        put_seconds(out, words[i].start_s);
        str_puts(out, ", \"end_time\": ");
        put_seconds(out, words[i].end_s);
        str_puts(out, ", \"confidence\": 1.0}");
        str_printf(&text, "%s%s", i ? " " : "", words[i].word);
    }
    str_puts(out, "\n    ],\n    \"full_text\": ");
    json_write_string(out, str_text(&text), text.len);
    str_puts(out, ",\n    \"total_duration\": ");
    put_seconds(out, count ? words[count - 1].end_s : 0);
    str_puts(out, ",\n    \"confidence\": 1.0");
    if (older->language) {
        str_puts(out, ",\n    \"language\": ");
        json_write_string(out, older->language, strlen(older->language));
    }
    str_printf(out, ",\n    \"method\": \"model\"\n  },\n  \"generated_at\": \"%s\"\n}\n", now);
    str_finish(&text);
}

/* --- Formats ---------------------------------------------------------------------------------- */

struct format {
    const char *head;
    void (*put_cue)(struct str *out, size_t index, const struct cue *cue);
    void (*put_words)(struct str *out, const struct audio_word *words, size_t count);
};

static const struct format formats[SUBTITLE_FORMAT_COUNT] = {
    [SUBTITLE_SRT] = {.head = "", .put_cue = put_srt},
    [SUBTITLE_VTT] = {.head = "WEBVTT\n\n", .put_cue = put_vtt},
    [SUBTITLE_ASS] = {.head = ass_head, .put_cue = put_ass},
    [SUBTITLE_CSV] = {.put_words = put_csv},
    [SUBTITLE_JSON] = {.put_words = put_json},
};

void subtitle_write(enum subtitle_format format, const char *text, const struct audio_word *words,
                    size_t count, struct str *out)
{
    const struct format *as = &formats[format];
    if (as->put_words) {
        as->put_words(out, words, count);
        return;
    }
    size_t cue_count = 0;
    struct cue *cues = subtitle_cues(text, words, count, &cue_count);
    str_puts(out, as->head);
    for (size_t i = 0; i < cue_count; i++) {
        as->put_cue(out, i, &cues[i]);
        free(cues[i].text);
    }
    free(cues);
}

void subtitle_write_older(enum subtitle_format format, const struct subtitle_older *older,
                          const struct audio_word *words, size_t count, struct str *out)
{
    const struct format *as = &formats[format];
    if (format == SUBTITLE_CSV) {
        put_older_csv(out, older->compact, words, count);
        return;
    }
    if (format == SUBTITLE_JSON) {
        put_older_json(out, older, words, count);
        return;
    }
    str_puts(out, as->head);
    for (size_t i = 0; i < count; i++) {
        const struct cue cue = {words[i].word, words[i].start_s, words[i].end_s};
        as->put_cue(out, i, &cue);
    }
}
