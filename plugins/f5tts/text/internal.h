/* What the files of the text front end share: characters, the mapped lexicon, and the two steps
 * between text and tokens. Not for use outside this directory. */
#ifndef F5TTS_TEXT_INTERNAL_H
#define F5TTS_TEXT_INTERNAL_H

#include "text.h"

#include <stdbool.h>
#include <stddef.h>

#define WORD_MAX 32   /* characters of a word in the dictionary, as in make_lexicon.py */
#define PHRASE_MAX 16 /* characters of a phrase with readings of its own, likewise */
#define HMM_FIRST 0x4E00u
#define HMM_LAST 0x9FD5u
#define HMM_STATES 4 /* begin, end, middle of a word, single */
#define SYLLABLE_SIZE 8

/* --- Characters (unicode.c) ------------------------------------------------------------------- */

/* Decodes the character at `at` < text.size and its size in bytes; false when it is not UTF-8. */
bool unicode_decode(struct vox_str text, uint64_t at, uint32_t *character, uint32_t *size);
/* Bytes of the character in UTF-8. */
uint32_t unicode_size(uint32_t character);
/* Writes the character as terminated UTF-8 and returns its size. */
uint32_t unicode_encode(uint32_t character, char out[5]);
/* What Python's str.strip() and \s take for white space. */
bool unicode_is_space(uint32_t character);
/* The text without white space at both ends. */
struct vox_str unicode_strip(struct vox_str text);

/* --- Lexicon (lexicon.c) ---------------------------------------------------------------------- */

/* Nodes in breadth-first order, children sorted by label: see make_lexicon.py. */
struct trie {
    const uint32_t *labels;   /* [count] */
    const uint32_t *children; /* [count + 1] */
    const uint32_t *values;   /* [count] */
    uint32_t count;
};

struct f5_lexicon {
    const unsigned char *data; /* the mapping */
    size_t size;
    struct trie words, phrases;
    const double *word_logs; /* [word_log_count] */
    uint64_t word_log_count;
    double unknown_log;           /* of a character that is no word */
    const double *hmm_start;      /* [HMM_STATES] */
    const double *hmm_transition; /* [from][to] */
    const double *hmm_emission;   /* [HMM_LAST - HMM_FIRST + 1][HMM_STATES] */
    const uint16_t *phrase_readings;
    uint64_t phrase_reading_count;
    const uint16_t *char_readings; /* by code point; syllable + 1 */
    uint64_t char_reading_count;
    const char *syllables; /* [syllable_count][SYLLABLE_SIZE] */
    uint64_t syllable_count;
};

/* The child of `node` for the character, or 0. The root is node 0. */
uint32_t trie_step(const struct trie *trie, uint32_t node, uint32_t character);

/* ln of the probability of the word that ends at the node; false when none does. */
bool lexicon_word_log(const struct f5_lexicon *lexicon, uint32_t node, double *log);
/* The readings of the phrase of `length` characters that ends at the node; NULL when none does. */
const uint16_t *lexicon_phrase(const struct f5_lexicon *lexicon, uint32_t node, size_t length);
/* Copies a syllable, terminated; false when the number is none. */
bool lexicon_syllable(const struct f5_lexicon *lexicon, uint32_t number, char out[SYLLABLE_SIZE]);
/* Copies the first reading of the character, terminated; false when it has none. */
bool lexicon_char(const struct f5_lexicon *lexicon, uint32_t character, char out[SYLLABLE_SIZE]);

/* --- Words and readings (segment.c, pinyin.c) ------------------------------------------------- */

/* Marks in starts[count + 1] (zero on entry) where a word begins, and the end: rjieba.cut(text). */
int32_t segment_words(const struct f5_lexicon *lexicon, const uint32_t *characters, size_t count,
                      uint8_t *starts, struct vox_error *error);

/* Calls put for each character of a word with its syllable, or with the character itself when it
 * has no reading: pypinyin.lazy_pinyin(word, style=TONE3, tone_sandhi=True). `first` is the index
 * of the word's first character, handed on. Returns the first code of put that is not VOX_OK. */
typedef int32_t pinyin_put(void *self, size_t index, const char *syllable, uint32_t size);
int32_t pinyin_read(const struct f5_lexicon *lexicon, const uint32_t *word, size_t length,
                    size_t first, pinyin_put *put, void *self);

#endif
