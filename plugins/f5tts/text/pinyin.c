/* A word to the syllables of its characters, as pypinyin.lazy_pinyin does it with TONE3 and tone
 * sandhi: the longest phrase with readings of its own, else character by character; then the tones
 * of 3-3, 不 and 一. Knows nothing of how text was cut into words.
 * Source: pypinyin 0.55.0, seg/mmseg.py, converter.py, contrib/tone_sandhi.py. */
#include "internal.h"

#include <string.h>

#define YI 0x4E00u /* 一 */
#define BU 0x4E0Du /* 不 */

struct reading {
    char syllable[SYLLABLE_SIZE]; /* "hao3"; a neutral tone has no digit */
    char *tone;                   /* the digit in it, or its terminator */
};

static bool has_tone(const struct reading *reading, char tone)
{
    return *reading->tone == tone;
}

static void set_tone(struct reading *reading, char tone)
{
    if (*reading->tone != '\0')
        *reading->tone = tone;
}

/* Of third tones at the end of the word all but the last become second tones; counted from the
 * front, wherever the third tones stand, as the original has it. */
static void change_third(struct reading *readings, size_t count)
{
    size_t last_row = 0, left;
    for (size_t i = 0; i < count; i++)
        last_row = has_tone(&readings[i], '3') ? last_row + 1 : 0;
    left = last_row > 0 ? last_row - 1 : 0;
    for (size_t i = 0; i < count && left > 0; i++) {
        if (has_tone(&readings[i], '3')) {
            set_tone(&readings[i], '2');
            left--;
        }
    }
}

/* 不 and 一: second tone before a fourth, else fourth; the last of a word has the tone `final`. */
static void change_before_fourth(struct reading *readings, const uint32_t *word, size_t count,
                                 uint32_t character, char final)
{
    for (size_t i = 0; i < count; i++) {
        if (word[i] != character)
            continue;
        if (i + 1 == count)
            set_tone(&readings[i], final);
        else if (!has_tone(&readings[i + 1], '4'))
            set_tone(&readings[i], '4');
        else if (has_tone(&readings[i], '4'))
            set_tone(&readings[i], '2');
    }
}

/* One phrase, or one character (`numbers` NULL). */
static int32_t read_phrase(const struct f5_lexicon *lexicon, const uint32_t *word, size_t count,
                           const uint16_t *numbers, size_t first, pinyin_put *put, void *self)
{
    struct reading readings[PHRASE_MAX];
    int32_t code = VOX_OK;
    for (size_t i = 0; i < count; i++) {
        struct reading *r = &readings[i];
        bool known = numbers ? lexicon_syllable(lexicon, numbers[i], r->syllable)
                             : lexicon_char(lexicon, word[i], r->syllable);
        if (!known)
            unicode_encode(word[i], r->syllable);
        size_t size = strlen(r->syllable);
        bool digit = r->syllable[size - 1] >= '1' && r->syllable[size - 1] <= '4';
        r->tone = r->syllable + size - (known && digit ? 1 : 0);
    }
    change_third(readings, count);
    change_before_fourth(readings, word, count, BU, '4');
    change_before_fourth(readings, word, count, YI, '1');
    for (size_t i = 0; i < count && code == VOX_OK; i++)
        code = put(self, first + i, readings[i].syllable, (uint32_t)strlen(readings[i].syllable));
    return code;
}

int32_t pinyin_read(const struct f5_lexicon *lexicon, const uint32_t *word, size_t length,
                    size_t first, pinyin_put *put, void *self)
{
    int32_t code = VOX_OK;
    for (size_t i = 0, step; i < length && code == VOX_OK; i += step) {
        const uint16_t *numbers = NULL;
        uint32_t node = 0;
        size_t depth = 0;
        step = 1;
        while (depth < PHRASE_MAX && i + depth < length) {
            node = trie_step(&lexicon->phrases, node, word[i + depth]);
            if (node == 0)
                break;
            depth++;
            const uint16_t *found = lexicon_phrase(lexicon, node, depth);
            if (found) {
                numbers = found;
                step = depth;
            }
        }
        code = read_phrase(lexicon, word + i, step, numbers, first + i, put, self);
        if (numbers || node == 0)
            continue;
        /* All that is left begins some phrase but holds none at its start: the original then reads
         * it character by character and looks for no phrase further on. */
        for (; step < length - i && code == VOX_OK; step++)
            code = read_phrase(lexicon, word + i + step, 1, NULL, first + i + step, put, self);
    }
    return code;
}
