/* The F5-TTS text front end. The first byte chooses: any bytes as text, through tokens and chunks with a tiny
 * lexicon; the rest as a lexicon file; or a well-formed file whose section, named by the second byte, holds
 * the rest, used on fixed text. Nothing may be read outside of the file, and what comes out must be UTF-8. */
#include "../unit/f5tts/lexicon_image.h"
#include "vox/helpers.h"

#include <stdbool.h>

#define MODES 3
#define FIXED_TEXT "C++ 一定不是你好老师银行,e-mail龘㐀\U00020000. ok"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds, const char *what, const struct vox_error *error)
{
    if (holds)
        return;
    fprintf(stderr, "broken: %s (%s)\n", what, error->message);
    abort();
}

static int32_t check_token(void *self, const char *token, uint32_t size)
{
    struct vox_error error = {.size = sizeof(error)};
    require(size >= 1 && size <= F5_TOKEN_SIZE_MAX && strlen(token) == size, "token", &error);
    ++*(uint64_t *)self;
    return VOX_OK;
}

/* Of pieces in order: inside the text, UTF-8, and within the limit unless it is 0. */
static void check_chunks(const struct f5_chunks *chunks, struct vox_str text, uint64_t bytes_max)
{
    struct vox_error error = {.size = sizeof(error)};
    for (uint64_t i = 0; i < chunks->count; i++) {
        const struct f5_chunk *c = &chunks->items[i];
        struct f5_chunks again;
        require(c->begin <= c->end && c->end <= text.size, "range", &error);
        require(i == 0 || c->begin >= chunks->items[i - 1].end, "order", &error);
        require(bytes_max == 0 || (c->size > 0 && c->size <= bytes_max), "size", &error);
        require(f5_text_chunk((struct vox_str){c->data, c->size}, 0, &again, &error) == VOX_OK,
                "a chunk is UTF-8", &error);
        f5_chunks_free(&again);
    }
}

static void run_text(const struct f5_lexicon *lexicon, struct vox_str text)
{
    struct vox_error error = {.size = sizeof(error)};
    struct f5_reference_text reference;
    struct f5_chunks chunks;
    uint64_t count = 0;
    int32_t code = f5_text_convert(lexicon, text, check_token, &count, &error);
    require(code == VOX_OK || (code == VOX_EINVAL && error.message[0]), "a refusal has a reason",
            &error);
    for (int64_t most = -1; most < 40; most += 10) {
        require(f5_text_chunk(text, most, &chunks, &error) == code, "chunks", &error);
        check_chunks(&chunks, text, 0);
        f5_chunks_free(&chunks);
        require(f5_text_split(text, (uint64_t)(most + 5), &chunks, &error) == code, "split",
                &error);
        check_chunks(&chunks, text, (uint64_t)(most + 5));
        f5_chunks_free(&chunks);
    }
    if (f5_reference_text_make(text, &reference, &error) == VOX_OK)
        require(reference.size >= text.size && reference.model_size <= text.size + 3, "reference",
                &error);
    f5_reference_text_free(&reference);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vox_error error = {.size = sizeof(error)};
    struct lexicon_image image = image_tiny();
    struct f5_lexicon *lexicon = NULL;
    unsigned mode = size > 0 ? data[0] % MODES : 0;
    struct vox_str rest = {(const char *)data + (size > 0), size - (size > 0)};
    unsigned char *bytes = NULL;
    size_t bytes_size;
    if (mode == 0 && rest.size > 0 && memchr(rest.data, 0, rest.size))
        return 0; /* the host lets no NUL in */
    if (mode == 2 && rest.size > 0) {
        unsigned section = (unsigned char)rest.data[0] % IMAGE_SECTIONS;
        image.data[section] = rest.data + 1;
        image.size[section] = rest.size - 1;
    }
    bytes = image_bytes(&image, &bytes_size);
    int32_t code = mode == 1 ? image_open_bytes(rest.data, rest.size, &lexicon, &error)
                             : image_open_bytes(bytes, bytes_size, &lexicon, &error);
    require(code == VOX_OK || (code == VOX_EMODEL && error.message[0]), "a refusal has a reason",
            &error);
    require(code == VOX_OK || mode != 0, "the tiny lexicon is whole", &error);
    if (code == VOX_OK)
        run_text(lexicon, mode == 0 ? rest : vox_text(FIXED_TEXT));
    f5_lexicon_close(lexicon);
    free(bytes);
    return 0;
}
