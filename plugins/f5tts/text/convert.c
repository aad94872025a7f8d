/* Text to tokens, and tokens to numbers. What a token is depends on the word it stands in:
 *
 *   word of ASCII only            its characters, with a space before a longer word unless one is there
 *   word of 3-byte characters     a space and the syllable of each ideograph; others as they are
 *   mixed word                    the same, but each ideograph is read by itself
 *
 * Knows nothing of how words are found or read. Source: f5-tts 1.1.22, model/utils.py,
 * convert_char_to_pinyin and list_str_to_idx. */
#include "internal.h"
#include "vox/helpers.h"

#include <stdlib.h>

struct conversion {
    const struct f5_lexicon *lexicon;
    const uint32_t *word; /* the current one */
    f5_token_put *put;
    void *self;
    char last; /* the last token when it is one byte, else 0 */
    bool any;  /* a token was put */
};

/* Upstream's custom_trans. */
static uint32_t replaced(uint32_t c)
{
    return c == ';'                     ? ','
           : c == 0x201C || c == 0x201D ? '"'
           : c == 0x2018 || c == 0x2019 ? '\''
                                        : c;
}

/* Upstream's is_chinese: ideographs, and bopomofo and the enclosed forms before them. */
static bool has_space_before(uint32_t c)
{
    return c >= 0x3100 && c <= 0x9FFF;
}

static int32_t put_token(struct conversion *cx, const char *token, uint32_t size)
{
    cx->last = size == 1 ? token[0] : '\0';
    cx->any = true;
    return cx->put(cx->self, token, size);
}

static int32_t put_character(struct conversion *cx, uint32_t c)
{
    char token[5];
    uint32_t size = unicode_encode(c, token);
    return put_token(cx, token, size);
}

static int32_t put_reading(void *self, size_t index, const char *syllable, uint32_t size)
{
    struct conversion *cx = self;
    int32_t code = has_space_before(cx->word[index]) ? put_token(cx, " ", 1) : VOX_OK;
    return code != VOX_OK ? code : put_token(cx, syllable, size);
}

static int32_t put_ascii_word(struct conversion *cx, size_t length)
{
    bool space = cx->any && length > 1 && (cx->last == '\0' || !strchr(" :'\"", cx->last));
    int32_t code = space ? put_token(cx, " ", 1) : VOX_OK;
    for (size_t i = 0; i < length && code == VOX_OK; i++)
        code = put_character(cx, cx->word[i]);
    return code;
}

static int32_t put_mixed_word(struct conversion *cx, size_t length)
{
    int32_t code = VOX_OK;
    for (size_t i = 0; i < length && code == VOX_OK; i++) {
        if (has_space_before(cx->word[i]))
            code = pinyin_read(cx->lexicon, cx->word + i, 1, i, put_reading, cx);
        else
            code = put_character(cx, cx->word[i]);
    }
    return code;
}

static int32_t put_word(struct conversion *cx, const uint32_t *word, size_t length)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < length; i++)
        bytes += unicode_size(word[i]);
    cx->word = word;
    if (bytes == length)
        return put_ascii_word(cx, length);
    if (bytes == 3 * (uint64_t)length)
        return pinyin_read(cx->lexicon, word, length, 0, put_reading, cx);
    return put_mixed_word(cx, length);
}

/* The characters of the text, replaced; `characters` holds text.size. */
static int32_t decode_text(struct vox_str text, uint32_t *characters, size_t *count,
                           struct vox_error *error)
{
    uint32_t size;
    *count = 0;
    for (uint64_t i = 0; i < text.size; i += size) {
        if (!unicode_decode(text, i, &characters[*count], &size))
            return vox_fail(error, VOX_EINVAL, "text: byte %llu is not UTF-8",
                            (unsigned long long)i);
        characters[*count] = replaced(characters[*count]);
        ++*count;
    }
    return VOX_OK;
}

int32_t f5_text_convert(const struct f5_lexicon *lexicon, struct vox_str text, f5_token_put *put,
                        void *self, struct vox_error *error)
{
    struct conversion cx = {.lexicon = lexicon, .put = put, .self = self};
    uint32_t *characters; /* [count] */
    uint8_t *starts;      /* [count + 1]: 1 where a word begins, and at the end */
    size_t count = 0;
    int32_t code;
    if (text.size > F5_TEXT_SIZE_MAX)
        return vox_fail(error, VOX_EINVAL, "text: is %llu bytes long, expected at most %u",
                        (unsigned long long)text.size, F5_TEXT_SIZE_MAX);
    characters = calloc(text.size + 1, sizeof(*characters));
    starts = calloc(text.size + 1, 1);
    if (!characters || !starts) {
        code = vox_fail(error, VOX_ENOMEM, "text of %llu bytes: no memory",
                        (unsigned long long)text.size);
        goto out;
    }
    code = decode_text(text, characters, &count, error);
    if (code == VOX_OK)
        code = segment_words(lexicon, characters, count, starts, error);
    for (size_t i = 0, next; code == VOX_OK && i < count; i = next) {
        for (next = i + 1; !starts[next];)
            next++;
        code = put_word(&cx, characters + i, next - i);
    }
out:
    free(characters);
    free(starts);
    return code;
}

/* --- Numbers ---------------------------------------------------------------------------------- */

struct numbering {
    const struct f5_vocab *vocab;
    struct f5_tokens *tokens;
    uint64_t cap;
    struct vox_error *error;
};

/* White space is no loss: 0 is a space. */
static void note_unknown(struct f5_tokens *tokens, const char *token, uint32_t size)
{
    uint32_t character, character_size;
    if (unicode_decode((struct vox_str){token, size}, 0, &character, &character_size) &&
        character_size == size && unicode_is_space(character))
        return;
    tokens->unknown_count++;
    for (uint32_t i = 0; i < tokens->unknown_example_count; i++)
        if (strcmp(tokens->unknown_examples[i], token) == 0)
            return;
    if (tokens->unknown_example_count == F5_UNKNOWN_EXAMPLES_MAX)
        return;
    memcpy(tokens->unknown_examples[tokens->unknown_example_count++], token, size + 1);
}

static int32_t put_number(void *self, const char *token, uint32_t size)
{
    struct numbering *n = self;
    struct f5_tokens *tokens = n->tokens;
    if (tokens->count == n->cap) {
        uint64_t cap = n->cap ? 2 * n->cap : 256;
        int32_t *ids = realloc(tokens->ids, cap * sizeof(*ids));
        if (!ids)
            return vox_fail(n->error, VOX_ENOMEM, "%llu tokens: no memory",
                            (unsigned long long)cap);
        tokens->ids = ids;
        n->cap = cap;
    }
    int32_t id = f5_vocab_lookup(n->vocab, (struct vox_str){token, size});
    if (id < 0)
        note_unknown(tokens, token, size);
    tokens->ids[tokens->count++] = id < 0 ? 0 : id;
    return VOX_OK;
}

int32_t f5_tokenize(const struct f5_lexicon *lexicon, const struct f5_vocab *vocab,
                    struct vox_str text, struct f5_tokens *tokens, struct vox_error *error)
{
    struct numbering numbering = {.vocab = vocab, .tokens = tokens, .error = error};
    memset(tokens, 0, sizeof(*tokens));
    int32_t code = f5_text_convert(lexicon, text, put_number, &numbering, error);
    if (code != VOX_OK)
        f5_tokens_free(tokens);
    return code;
}

void f5_tokens_free(struct f5_tokens *tokens)
{
    free(tokens->ids);
    memset(tokens, 0, sizeof(*tokens));
}
