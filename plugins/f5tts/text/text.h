/* The text front end of F5-TTS: text to the token numbers that the network reads, and text to
 * chunks.
 *
 *     text -> f5_text_chunk -> (reference text + chunk) -> f5_tokenize -> numbers
 *                                                            |
 *              segment.c (words) -> pinyin.c (readings) -> convert.c (tokens) -> vocab.c (numbers)
 *
 * What comes out is what f5-tts 1.1.22 makes with rjieba 0.2.2 and pypinyin 0.55.0. Nothing in here
 * knows of audio, tensors or the host. Lexicon and vocabulary never change once open and may be
 * shared by threads; a call keeps its scratch to itself. Text is UTF-8 without NUL, as the ABI has
 * it. */
#ifndef F5TTS_TEXT_H
#define F5TTS_TEXT_H

#include "vox/plugin.h"

#include <stdbool.h>

#define F5_TEXT_SIZE_MAX (4u << 20)      /* bytes of one call's text */
#define F5_VOCAB_LINES_MAX 1000000       /* of vocab.txt */
#define F5_VOCAB_SIZE_MAX (64u << 20)    /* bytes of vocab.txt */
#define F5_LEXICON_SIZE_MAX (256u << 20) /* bytes of the lexicon */
#define F5_UNKNOWN_EXAMPLES_MAX 8
#define F5_TOKEN_SIZE_MAX 7 /* bytes: "zhuang1", or one character */

/* --- Vocabulary: vocab.txt, one token per line, line number = token number -------------------- */

struct f5_vocab;

/* Reads a vocab.txt as upstream does: lines end with LF, CRLF or CR; a last line without an end
 * loses its last character; of equal lines the last counts. Fails when the file is empty, has too
 * many lines or is not UTF-8. *vocab is the caller's. [any] */
int32_t f5_vocab_open(const char *path, struct f5_vocab **vocab, struct vox_error *error);
void f5_vocab_destroy(struct f5_vocab *vocab);

/* Number of different tokens; the checkpoint's text embedding has one row more. [any] */
uint32_t f5_vocab_size(const struct f5_vocab *vocab);
/* Number of lines: every number is below it. More than the size when lines are equal. [any] */
uint32_t f5_vocab_line_count(const struct f5_vocab *vocab);
/* Did the last line lose a character? [any] */
bool f5_vocab_is_cut(const struct f5_vocab *vocab);
/* The token's number, or -1. [any] */
int32_t f5_vocab_lookup(const struct f5_vocab *vocab, struct vox_str token);

/* --- Lexicon: the file that make_lexicon.py writes -------------------------------------------- */

struct f5_lexicon;

/* Maps the file; checks that its parts lie inside it and fit together, in constant time. A file
 * that is damaged further inside gives wrong words, never a read outside of it. *lexicon is the
 * caller's. [any] */
int32_t f5_lexicon_open(const char *path, struct f5_lexicon **lexicon, struct vox_error *error);
void f5_lexicon_close(struct f5_lexicon *lexicon);

/* --- Tokens ----------------------------------------------------------------------------------- */

struct f5_tokens {
    int32_t *ids; /* [count]; the caller's, until f5_tokens_free */
    uint64_t count;
    uint64_t
        unknown_count; /* how many of them, white space aside, the vocabulary lacks; they are 0, a space */
    uint32_t unknown_example_count; /* the first different ones */
    char unknown_examples[F5_UNKNOWN_EXAMPLES_MAX][F5_TOKEN_SIZE_MAX + 1]; /* terminated */
};

/* Text to token numbers; `tokens` is empty after a failure. Upstream: convert_char_to_pinyin
 * followed by list_str_to_idx. Memory and time are linear in the text. [any] */
int32_t f5_tokenize(const struct f5_lexicon *lexicon, const struct f5_vocab *vocab,
                    struct vox_str text, struct f5_tokens *tokens, struct vox_error *error);
void f5_tokens_free(struct f5_tokens *tokens);

/* Takes one token, terminated, borrowed for the call; a negative VOX_E* code ends the conversion.
 */
typedef int32_t f5_token_put(void *self, const char *token, uint32_t size);

/* Text to tokens as text: upstream's convert_char_to_pinyin for one string. [any] */
int32_t f5_text_convert(const struct f5_lexicon *lexicon, struct vox_str text, f5_token_put *put,
                        void *self, struct vox_error *error);

/* --- Chunks ----------------------------------------------------------------------------------- */

struct f5_chunk {
    const char *data; /* in the list's own memory */
    uint64_t size;
    uint64_t begin, end; /* the bytes of the source from its first to its last character; of a blank
                          * chunk an empty range */
};

struct f5_chunks {
    struct f5_chunk *items; /* the caller's, with the text, until f5_chunks_free */
    uint64_t count;
    char *text;
};

/* Packs sentences into chunks of up to `bytes_max` bytes, exactly as upstream's chunk_text: a
 * longer sentence is a chunk of its own (of every sentence when bytes_max <= 0), spaces between
 * sentences become one, and a blank sentence can make an empty chunk. [any] */
int32_t f5_text_chunk(struct vox_str text, int64_t bytes_max, struct f5_chunks *chunks,
                      struct vox_error *error);

/* Cuts text that is longer than `bytes_max` (at least 4) into pieces that are not: at the last
 * sentence mark or comma in the second half of what fits, else at the last space, else between two
 * characters. Not upstream's: for what the model could not hold otherwise. White space at the cuts
 * is dropped. [any] */
int32_t f5_text_split(struct vox_str text, uint64_t bytes_max, struct f5_chunks *chunks,
                      struct vox_error *error);
void f5_chunks_free(struct f5_chunks *chunks);

/* --- Reference text --------------------------------------------------------------------------- */

struct f5_reference_text {
    char *data;    /* terminated; the caller's, until f5_reference_text_free */
    uint64_t size; /* with the ending of preprocess_ref_audio_text; max_chars counts these bytes */
    uint64_t
        model_size; /* with the space that infer_batch_process adds after a one-byte character; the
                          * model reads these, and the duration counts them */
};

/* The transcript of the reference with the endings that upstream gives it: ". " unless it ends with
 * "。" or ". " (after "." the space alone). A blank transcript is refused: upstream would transcribe
 * here. [any] */
int32_t f5_reference_text_make(struct vox_str transcript, struct f5_reference_text *text,
                               struct vox_error *error);
void f5_reference_text_free(struct f5_reference_text *text);

#endif
