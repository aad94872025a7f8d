/* Which words are shown together, and how they are spelled. Knows no file format.
 *
 * Words become units: a unit is what one stretch of the source text says, since a model may say
 * several words for one written ("$5") and leave punctuation out of its ranges. Units become
 * sentences, which end at a full stop, a blank line or a pause; and sentences become cues of a line
 * each.
 */
#include "audio/subtitle.h"

#include <stdlib.h>
#include <string.h>

#define CUE_CHARS_MAX 42
#define CUE_PAUSE_S 0.7

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct unit {
    struct str text;     /* as it is shown */
    uint64_t begin, end; /* bytes of the source text; equal: not from it */
    double start_s, end_s;
    size_t chars;      /* of the text */
    bool space_before; /* in the source */
    bool last;         /* of its sentence */
};

/* --- Text ------------------------------------------------------------------------------------- */

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_char_start(char c)
{
    return ((unsigned char)c & 0xc0) != 0x80;
}

/* Appends with runs of white space as one space, and none at the ends. */
static void append_collapsed(struct str *out, const char *text, size_t len)
{
    bool space = false;
    for (size_t i = 0; i < len; i++) {
        if (is_space(text[i])) {
            space = true;
            continue;
        }
        if (space && out->len)
            str_putc(out, ' ');
        space = false;
        str_putc(out, text[i]);
    }
}

static size_t count_chars(const struct str *text)
{
    size_t count = 0;
    for (size_t i = 0; i < text->len; i++)
        count += is_char_start(text->data[i]);
    return count;
}

static bool has_blank_line(const char *text, size_t len)
{
    size_t newlines = 0;
    for (size_t i = 0; i < len && newlines < 2; i++) {
        if (text[i] == '\n')
            newlines++;
        else if (!is_space(text[i]))
            newlines = 0;
    }
    return newlines == 2;
}

/* The length of the first of `ends` that the text ends with, or 0. */
static size_t end_len(const char *text, size_t len, const char *const *ends, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(ends[i]);
        if (len >= size && memcmp(text + len - size, ends[i], size) == 0)
            return size;
    }
    return 0;
}

/* True for "Dr." and "J.", after which a sentence goes on. */
static bool is_abbreviation(const char *text, size_t len)
{
    static const char *const titles[] = {"Mr.", "Mrs.", "Ms.", "Dr.", "Prof.", "St."};
    return (len == 2 && text[0] >= 'A' && text[0] <= 'Z' && text[1] == '.') ||
           (len > 2 && end_len(text, len, titles, COUNT(titles)) == len);
}

static bool ends_sentence(const struct str *unit, bool space_after)
{
    static const char *const closers[] = {"\"", "'", ")", "]", "”", "’", "»", "」", "』", "）"};
    static const char *const stops[] = {".", "!", "?", "…"};
    static const char *const wide_stops[] = {"。", "！", "？"};
    const char *text = str_text(unit);
    size_t len = unit->len, cut;
    if (is_abbreviation(text, len))
        return false;
    while ((cut = end_len(text, len, closers, COUNT(closers))) > 0)
        len -= cut;
    return end_len(text, len, wide_stops, COUNT(wide_stops)) > 0 ||
           (space_after && end_len(text, len, stops, COUNT(stops)) > 0);
}

/* --- Units ------------------------------------------------------------------------------------ */

/* Words of one stretch of text are one unit; words without a range, or with one that cannot be,
 * stand for themselves. */
static size_t units_from_words(struct unit *units, const struct audio_word *words, size_t count,
                               const char *text)
{
    size_t text_len = strlen(text);
    size_t unit_count = 0;
    struct unit *source = NULL; /* the last unit from the text */
    for (size_t i = 0; i < count; i++) {
        const struct audio_word *word = &words[i];
        bool from_text = word->text_begin < word->text_end && word->text_end <= text_len &&
                         is_char_start(text[word->text_begin]) &&
                         is_char_start(text[word->text_end]) &&
                         (!source || word->text_begin >= source->begin);
        if (from_text && source && word->text_begin < source->end) {
            if (word->text_end > source->end)
                source->end = word->text_end;
            source->end_s = word->end_s;
            continue;
        }
        struct unit *unit = &units[unit_count++];
        *unit = (struct unit){.start_s = word->start_s, .end_s = word->end_s, .space_before = true};
        if (from_text) {
            unit->begin = word->text_begin;
            unit->end = word->text_end;
            source = unit;
        } else {
            append_collapsed(&unit->text, word->word, strlen(word->word));
        }
    }
    return unit_count;
}

/* Gives the text between two units to the first, but what touches the second ("(", an opening
 * quote) to that. NULL for `first` or `second`: the ends of the text, of which only what touches
 * counts. */
static void share_gap(const char *text, size_t text_len, struct unit *first, struct unit *second)
{
    uint64_t from = first ? first->end : 0, to = second ? second->begin : text_len;
    uint64_t left = from, right = to;
    while (left < to && !is_space(text[left]))
        left++;
    while (right > from && !is_space(text[right - 1]))
        right--;
    if (!first)
        second->begin = right;
    else if (!second)
        first->end = left;
    else if (left == to) /* no white space between them */
        first->end = to;
    else
        first->end = second->begin = right;
    if (first && second) {
        second->space_before = left < to || second != first + 1;
        first->last = has_blank_line(text + from, (size_t)(to - from));
    }
}

static void spell_units(struct unit *units, size_t count, const char *text, size_t text_len)
{
    struct unit *before = NULL;
    for (size_t i = 0; i <= count; i++) {
        struct unit *unit = i < count ? &units[i] : NULL;
        if (unit && unit->begin == unit->end)
            continue;
        if (before || unit)
            share_gap(text, text_len, before, unit);
        before = unit;
    }
    for (size_t i = 0; i < count; i++) {
        struct unit *unit = &units[i];
        if (unit->begin < unit->end)
            append_collapsed(&unit->text, text + unit->begin, (size_t)(unit->end - unit->begin));
        unit->chars = count_chars(&unit->text);
    }
    for (size_t i = 0; i < count; i++) {
        const struct unit *next = i + 1 < count ? &units[i + 1] : NULL;
        units[i].last |= !next || ends_sentence(&units[i].text, next->space_before) ||
                         next->start_s - units[i].end_s > CUE_PAUSE_S;
    }
}

/* --- Cues ------------------------------------------------------------------------------------- */

/* How many units the next cue takes. */
static size_t cue_take(const struct unit *units)
{
    size_t take = 1, chars = units[0].chars;
    while (!units[take - 1].last) {
        size_t more = units[take].chars + (units[take].space_before ? 1 : 0);
        if (chars + more > CUE_CHARS_MAX)
            break;
        chars += more;
        take++;
    }
    /* Not one word alone at the end of a sentence, when it has neighbours to spare. */
    if (take >= 3 && !units[take - 1].last && units[take].last &&
        units[take - 1].chars + 1 + units[take].chars <= CUE_CHARS_MAX)
        take--;
    return take;
}

static struct cue cue_from_units(const struct unit *units, size_t count)
{
    struct str text = {0};
    struct cue cue = {.start_s = units[0].start_s, .end_s = units[count - 1].end_s};
    for (size_t i = 0; i < count; i++) {
        if (i && units[i].space_before)
            str_putc(&text, ' ');
        str_append(&text, str_text(&units[i].text), units[i].text.len);
    }
    if (!(cue.end_s >= cue.start_s))
        cue.end_s = cue.start_s;
    cue.text = str_take(&text);
    return cue;
}

struct cue *subtitle_cues(const char *text, const struct audio_word *words, size_t count,
                          size_t *cue_count)
{
    size_t text_len = strlen(text), cues_made = 0;
    struct unit *units = mem_alloc_array(count, sizeof(*units));
    struct cue *cues = mem_alloc_array(count, sizeof(*cues));
    size_t unit_count = units_from_words(units, words, count, text);
    spell_units(units, unit_count, text, text_len);
    for (size_t i = 0; i < unit_count;) {
        size_t take = cue_take(&units[i]);
        cues[cues_made++] = cue_from_units(&units[i], take);
        i += take;
    }
    for (size_t i = 0; i < unit_count; i++)
        str_finish(&units[i].text);
    free(units);
    *cue_count = cues_made;
    return cues;
}
