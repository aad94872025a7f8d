/* Text to chunks that one run of the network speaks, and the reference's transcript as upstream has
 * it. Knows nothing of tokens. Source: f5-tts 1.1.22, infer/utils_infer.py, chunk_text,
 * preprocess_ref_audio_text, infer_batch_process. */
#include "internal.h"
#include "vox/helpers.h"

#include <stdlib.h>

#define SPLIT_BYTES_MIN 4u /* any character fits */

struct chunker {
    struct f5_chunks *chunks;
    struct vox_error *error;
    uint64_t chunk_cap;
    uint64_t used;       /* bytes of chunks->text in finished chunks */
    uint64_t size;       /* of the chunk in the making, which lies behind them */
    uint64_t begin, end; /* its sentences in the source */
};

static bool is_ascii_mark(uint32_t c)
{
    return c < 0x80 && c != 0 && strchr(";:,.!?", (int)c);
}

static bool is_wide_mark(uint32_t c)
{
    return c == 0xFF1B || c == 0xFF1A || c == 0xFF0C || c == 0x3002 || c == 0xFF01 || c == 0xFF1F;
}

static int32_t decode_at(struct vox_str text, uint64_t at, uint32_t *c, uint32_t *size,
                         struct vox_error *error)
{
    if (unicode_decode(text, at, c, size))
        return VOX_OK;
    return vox_fail(error, VOX_EINVAL, "text: byte %llu is not UTF-8", (unsigned long long)at);
}

/* Finds the end of the sentence that begins at `begin`, and where the next begins: upstream's
 * (?<=[;:,.!?])\s+|(?<=[；：，。！？]). */
static int32_t find_sentence(struct vox_str text, uint64_t begin, uint64_t *end, uint64_t *next,
                             struct vox_error *error)
{
    uint32_t before = 0, c, size;
    *end = *next = text.size;
    for (uint64_t i = begin; i < text.size; i += size) {
        int32_t code = decode_at(text, i, &c, &size, error);
        if (code != VOX_OK)
            return code;
        if (is_wide_mark(before)) {
            *end = *next = i;
            return VOX_OK;
        }
        if (is_ascii_mark(before) && unicode_is_space(c)) {
            *end = *next = i;
            while (*next < text.size && unicode_decode(text, *next, &c, &size) &&
                   unicode_is_space(c))
                *next += size;
            return VOX_OK;
        }
        before = c;
    }
    return VOX_OK;
}

static int32_t add_chunk(struct chunker *cx, struct vox_str data, uint64_t begin, uint64_t end)
{
    struct f5_chunks *chunks = cx->chunks;
    if (chunks->count == cx->chunk_cap) {
        uint64_t cap = cx->chunk_cap ? 2 * cx->chunk_cap : 16;
        struct f5_chunk *items = realloc(chunks->items, cap * sizeof(*items));
        if (!items)
            return vox_fail(cx->error, VOX_ENOMEM, "%llu chunks: no memory",
                            (unsigned long long)cap);
        chunks->items = items;
        cx->chunk_cap = cap;
    }
    chunks->items[chunks->count++] = (struct f5_chunk){data.data, data.size, begin, end};
    return VOX_OK;
}

/* Ends the chunk in the making, if there is one. */
static int32_t finish_chunk(struct chunker *cx, struct vox_str source)
{
    struct vox_str all = {cx->chunks->text + cx->used, cx->size};
    if (cx->size == 0)
        return VOX_OK;
    struct vox_str range =
        unicode_strip((struct vox_str){source.data + cx->begin, cx->end - cx->begin});
    uint64_t begin = (uint64_t)(range.data - source.data);
    cx->used += cx->size;
    cx->size = 0;
    return add_chunk(cx, unicode_strip(all), begin, begin + range.size);
}

static void add_sentence(struct chunker *cx, struct vox_str source, uint64_t begin, uint64_t end)
{
    char *out = cx->chunks->text + cx->used + cx->size;
    if (cx->size == 0)
        cx->begin = begin;
    cx->end = end;
    memcpy(out, source.data + begin, end - begin);
    cx->size += end - begin;
    if ((unsigned char)source.data[end - 1] < 0x80) {
        out[end - begin] = ' ';
        cx->size++;
    }
}

static int32_t open_chunks(struct vox_str text, struct f5_chunks *chunks, struct vox_error *error)
{
    memset(chunks, 0, sizeof(*chunks));
    if (text.size > F5_TEXT_SIZE_MAX)
        return vox_fail(error, VOX_EINVAL, "text: is %llu bytes long, expected at most %u",
                        (unsigned long long)text.size, F5_TEXT_SIZE_MAX);
    /* A space is added for white space that was dropped, and once at the end. */
    chunks->text = malloc(text.size + 1);
    if (!chunks->text)
        return vox_fail(error, VOX_ENOMEM, "text of %llu bytes: no memory",
                        (unsigned long long)text.size);
    return VOX_OK;
}

int32_t f5_text_chunk(struct vox_str text, int64_t bytes_max, struct f5_chunks *chunks,
                      struct vox_error *error)
{
    struct chunker cx = {.chunks = chunks, .error = error};
    uint64_t most = bytes_max > 0 ? (uint64_t)bytes_max : 0;
    int32_t code = open_chunks(text, chunks, error);
    for (uint64_t at = 0, end, next; code == VOX_OK && at < text.size; at = next) {
        code = find_sentence(text, at, &end, &next, error);
        if (code == VOX_OK && cx.size + (end - at) > most)
            code = finish_chunk(&cx, text);
        if (code == VOX_OK)
            add_sentence(&cx, text, at, end);
    }
    if (code == VOX_OK)
        code = finish_chunk(&cx, text);
    if (code != VOX_OK)
        f5_chunks_free(chunks);
    return code;
}

/* Where to cut text that is longer than `most`: 0 < result <= most, between two characters. */
static uint64_t find_cut(struct vox_str text, uint64_t most)
{
    uint64_t sentence = 0, comma = 0, space = 0, last = 0;
    uint32_t c = 0, size = 0, before = 0;
    for (uint64_t i = 0; i <= most && unicode_decode(text, i, &c, &size); i += size) {
        bool after_ascii = is_ascii_mark(before) && unicode_is_space(c);
        bool after_comma = (after_ascii && before == ',') || before == 0xFF0C || before == 0x3001;
        last = i;
        if (after_comma)
            comma = i;
        else if (after_ascii || is_wide_mark(before))
            sentence = i;
        if (unicode_is_space(c))
            space = i;
        before = c;
    }
    return sentence > most / 2 ? sentence : comma > most / 2 ? comma : space > 0 ? space : last;
}

int32_t f5_text_split(struct vox_str text, uint64_t bytes_max, struct f5_chunks *chunks,
                      struct vox_error *error)
{
    struct chunker cx = {.chunks = chunks, .error = error};
    uint64_t most = bytes_max < SPLIT_BYTES_MIN ? SPLIT_BYTES_MIN : bytes_max;
    uint32_t c, size;
    int32_t code = open_chunks(text, chunks, error);
    for (uint64_t i = 0; code == VOX_OK && i < text.size; i += size)
        code = decode_at(text, i, &c, &size, error);
    struct vox_str rest = {chunks->text, code == VOX_OK ? text.size : 0};
    if (rest.size > 0)
        memcpy(chunks->text, text.data, text.size);
    rest = unicode_strip(rest);
    while (code == VOX_OK && rest.size > 0) {
        uint64_t cut = rest.size > most ? find_cut(rest, most) : rest.size;
        struct vox_str piece = unicode_strip((struct vox_str){rest.data, cut});
        uint64_t begin = (uint64_t)(piece.data - chunks->text);
        code = add_chunk(&cx, piece, begin, begin + piece.size);
        rest = unicode_strip((struct vox_str){rest.data + cut, rest.size - cut});
    }
    if (code != VOX_OK)
        f5_chunks_free(chunks);
    return code;
}

void f5_chunks_free(struct f5_chunks *chunks)
{
    free(chunks->items);
    free(chunks->text);
    memset(chunks, 0, sizeof(*chunks));
}

/* --- Reference text --------------------------------------------------------------------------- */

static bool ends_with(struct vox_str text, const char *end)
{
    size_t size = strlen(end);
    return text.size >= size && memcmp(text.data + text.size - size, end, size) == 0;
}

int32_t f5_reference_text_make(struct vox_str transcript, struct f5_reference_text *text,
                               struct vox_error *error)
{
    const char *ending = ". ";
    memset(text, 0, sizeof(*text));
    if (transcript.size > F5_TEXT_SIZE_MAX)
        return vox_fail(error, VOX_EINVAL, "transcript: is %llu bytes long, expected at most %u",
                        (unsigned long long)transcript.size, F5_TEXT_SIZE_MAX);
    if (unicode_strip(transcript).size == 0)
        return vox_fail(error, VOX_EINVAL, "transcript: is blank");
    if (ends_with(transcript, ". ") || ends_with(transcript, "。"))
        ending = "";
    else if (ends_with(transcript, "."))
        ending = " ";
    text->data = malloc(transcript.size + sizeof(". ") + 1);
    if (!text->data)
        return vox_fail(error, VOX_ENOMEM, "transcript of %llu bytes: no memory",
                        (unsigned long long)transcript.size);
    memcpy(text->data, transcript.data, transcript.size);
    memcpy(text->data + transcript.size, ending, strlen(ending));
    text->size = text->model_size = transcript.size + strlen(ending);
    if ((unsigned char)text->data[text->size - 1] < 0x80)
        text->data[text->model_size++] = ' ';
    text->data[text->model_size] = '\0';
    return VOX_OK;
}

void f5_reference_text_free(struct f5_reference_text *text)
{
    free(text->data);
    memset(text, 0, sizeof(*text));
}
