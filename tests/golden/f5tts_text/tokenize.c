/* Runs the F5-TTS text front end over lines, so that test_text.py can compare it with upstream's:
 *
 *   tokenize LEXICON words                each line of stdin -> a JSON list of its words
 *   tokenize LEXICON tokens               each line of stdin -> a JSON list of its tokens
 *   tokenize LEXICON ids VOCAB            each line of stdin -> a JSON list of token numbers
 *   tokenize LEXICON chunks BYTES_MAX     each line of stdin -> a JSON list of chunks
 *   tokenize LEXICON reference            each line of stdin -> a JSON list of its two reference texts
 *
 * A line is a JSON string without its quotes, in which only \n, \r, \\ and \" are escaped. */
#include "text/internal.h"
#include "vox/helpers.h"

#include <stdlib.h>

struct run {
    struct f5_lexicon *lexicon;
    struct f5_vocab *vocab;
    int64_t bytes_max;
    int printed; /* items of the current list */
};

static void print_string(struct run *run, struct vox_str text)
{
    fputs(run->printed++ ? ",\"" : "\"", stdout);
    for (uint64_t i = 0; i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c < 0x20 || c == '"' || c == '\\')
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

static int32_t print_token(void *self, const char *token, uint32_t size)
{
    print_string(self, (struct vox_str){token, size});
    return VOX_OK;
}

/* Words are inside the front end, not in its header; yet many a wrong word has the right tokens. */
static int32_t run_words(struct run *run, struct vox_str line, struct vox_error *error)
{
    uint32_t *characters = calloc(line.size + 1, sizeof(*characters)), size;
    uint64_t *offsets = calloc(line.size + 1, sizeof(*offsets));
    uint8_t *starts = calloc(line.size + 1, 1);
    size_t count = 0, begin = 0;
    int32_t code = characters && offsets && starts ? VOX_OK : VOX_ENOMEM;
    for (uint64_t i = 0; code == VOX_OK && i < line.size; i += size) {
        offsets[count] = i;
        if (!unicode_decode(line, i, &characters[count++], &size))
            code = vox_fail(error, VOX_EINVAL, "not UTF-8");
    }
    if (code == VOX_OK) {
        offsets[count] = line.size;
        code = segment_words(run->lexicon, characters, count, starts, error);
    }
    for (size_t i = 1; code == VOX_OK && i <= count; i++) {
        if (starts[i]) {
            print_string(run,
                         (struct vox_str){line.data + offsets[begin], offsets[i] - offsets[begin]});
            begin = i;
        }
    }
    free(characters);
    free(offsets);
    free(starts);
    return code;
}

static int32_t run_tokens(struct run *run, struct vox_str line, struct vox_error *error)
{
    return f5_text_convert(run->lexicon, line, print_token, run, error);
}

static int32_t run_ids(struct run *run, struct vox_str line, struct vox_error *error)
{
    struct f5_tokens tokens;
    int32_t code = f5_tokenize(run->lexicon, run->vocab, line, &tokens, error);
    for (uint64_t i = 0; i < tokens.count; i++)
        printf("%s%d", i ? "," : "", tokens.ids[i]);
    f5_tokens_free(&tokens);
    return code;
}

static int32_t run_chunks(struct run *run, struct vox_str line, struct vox_error *error)
{
    struct f5_chunks chunks;
    int32_t code = f5_text_chunk(line, run->bytes_max, &chunks, error);
    for (uint64_t i = 0; i < chunks.count; i++)
        print_string(run, (struct vox_str){chunks.items[i].data, chunks.items[i].size});
    f5_chunks_free(&chunks);
    return code;
}

static int32_t run_reference(struct run *run, struct vox_str line, struct vox_error *error)
{
    struct f5_reference_text text;
    int32_t code = f5_reference_text_make(line, &text, error);
    print_string(run, (struct vox_str){text.data, text.size});
    print_string(run, (struct vox_str){text.data, text.model_size});
    f5_reference_text_free(&text);
    return code;
}

static void unescape(char *line, size_t *size)
{
    size_t out = 0;
    for (size_t i = 0; i < *size; i++) {
        char c = line[i];
        if (c == '\\' && i + 1 < *size) {
            c = line[++i];
            c = c == 'n' ? '\n' : c == 'r' ? '\r' : c;
        }
        line[out++] = c;
    }
    *size = out;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int32_t (*run)(struct run *, struct vox_str, struct vox_error *);
    } modes[] = {{"words", run_words},
                 {"tokens", run_tokens},
                 {"ids", run_ids},
                 {"chunks", run_chunks},
                 {"reference", run_reference}};
    struct vox_error error = {.size = sizeof(error)};
    struct run run = {0};
    char *line = NULL;
    size_t cap = 0, mode = 0;
    ssize_t got;
    int32_t code = VOX_EINVAL;
    while (argc > 2 && mode < VOX_COUNT(modes) && strcmp(argv[2], modes[mode].name) != 0)
        mode++;
    if (argc < 3 || mode == VOX_COUNT(modes)) {
        vox_fail(&error, code,
                 "usage: tokenize LEXICON words|tokens|ids VOCAB|chunks BYTES_MAX|reference");
        goto out;
    }
    code = f5_lexicon_open(argv[1], &run.lexicon, &error);
    if (code == VOX_OK && modes[mode].run == run_ids)
        code = f5_vocab_open(argc > 3 ? argv[3] : "", &run.vocab, &error);
    run.bytes_max = argc > 3 ? strtoll(argv[3], NULL, 10) : 0;
    while (code == VOX_OK && (got = getline(&line, &cap, stdin)) >= 0) {
        size_t size = (size_t)got - (line[got - 1] == '\n' ? 1 : 0);
        unescape(line, &size);
        run.printed = 0;
        putchar('[');
        code = modes[mode].run(&run, (struct vox_str){line, size}, &error);
        puts("]");
    }
out:
    if (code != VOX_OK)
        fprintf(stderr, "tokenize: %s\n", error.message);
    free(line);
    f5_vocab_destroy(run.vocab);
    f5_lexicon_close(run.lexicon);
    return code == VOX_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
