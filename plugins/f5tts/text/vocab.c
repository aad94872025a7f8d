/* vocab.txt: the token of each line and the number of each token. Knows nothing of how tokens are
 * made. */
#include "internal.h"
#include "vox/helpers.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SLOT_FREE UINT32_MAX

struct f5_vocab {
    char *text; /* the file */
    struct vox_str *lines;
    uint32_t line_count;
    uint32_t token_count; /* different lines */
    uint32_t *slots;      /* open addressing: line numbers, or SLOT_FREE */
    uint32_t slot_mask;
    bool is_cut; /* the last line has no end */
};

/* FNV-1a. */
static uint32_t hash(struct vox_str token)
{
    uint32_t h = 2166136261u;
    for (uint64_t i = 0; i < token.size; i++)
        h = (h ^ (unsigned char)token.data[i]) * 16777619u;
    return h;
}

static bool is_equal(struct vox_str a, struct vox_str b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* The token's slot, or the free one where it belongs. */
static uint32_t *find_slot(const struct f5_vocab *vocab, struct vox_str token)
{
    uint32_t i = hash(token) & vocab->slot_mask;
    while (vocab->slots[i] != SLOT_FREE && !is_equal(vocab->lines[vocab->slots[i]], token))
        i = (i + 1) & vocab->slot_mask;
    return &vocab->slots[i];
}

/* The caller frees *text; of a failure it is NULL. */
static int32_t read_file(const char *path, char **text, uint64_t *size, struct vox_error *error)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    char *data = NULL;
    uint64_t used = 0;
    int32_t code = VOX_EMODEL;
    if (file < 0 || fstat(file, &info) != 0) {
        vox_fail(error, code, "%s: %s", path, strerror(errno));
        goto out;
    }
    if (!S_ISREG(info.st_mode) || info.st_size == 0 || info.st_size > (off_t)F5_VOCAB_SIZE_MAX) {
        vox_fail(error, code, "%s: expected a file of 1..%u bytes", path, F5_VOCAB_SIZE_MAX);
        goto out;
    }
    data = malloc((size_t)info.st_size);
    if (!data) {
        code = vox_fail(error, VOX_ENOMEM, "%s: no memory", path);
        goto out;
    }
    while (used < (uint64_t)info.st_size) {
        ssize_t got = read(file, data + used, (size_t)info.st_size - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            vox_fail(error, code, "%s: %s", path, got < 0 ? strerror(errno) : "was cut while read");
            goto out;
        }
        used += (uint64_t)got;
    }
    code = VOX_OK;
out:
    if (file >= 0)
        close(file);
    if (code != VOX_OK) {
        free(data);
        data = NULL;
    }
    *text = data;
    *size = used;
    return code;
}

/* Cuts the next line off `rest`, without its end: LF, CR LF or CR, as Python's text files have it.
 */
static struct vox_str next_line(struct vox_str *rest)
{
    struct vox_str line = {rest->data, 0};
    while (line.size < rest->size && rest->data[line.size] != '\n' && rest->data[line.size] != '\r')
        line.size++;
    uint64_t used = line.size;
    if (used < rest->size)
        used += rest->data[used] == '\r' && used + 1 < rest->size && rest->data[used + 1] == '\n'
                    ? 2
                    : 1;
    rest->data += used;
    rest->size -= used;
    return line;
}

static int32_t check_utf8(const char *path, struct vox_str text, struct vox_error *error)
{
    uint32_t c, size;
    for (uint64_t i = 0; i < text.size; i += size)
        if (!unicode_decode(text, i, &c, &size))
            return vox_fail(error, VOX_EMODEL, "%s: byte %llu is not UTF-8", path,
                            (unsigned long long)i);
    return VOX_OK;
}

/* Where the last character of a line, which is not empty, begins. */
static uint64_t last_character(struct vox_str line)
{
    uint64_t at = line.size - 1;
    while (at > 0 && ((unsigned char)line.data[at] & 0xC0) == 0x80)
        at--;
    return at;
}

static int32_t index_lines(struct f5_vocab *vocab, const char *path, struct vox_str text,
                           struct vox_error *error)
{
    uint64_t count = 0, slots = 16;
    assert(text.size > 0);
    for (struct vox_str rest = text; rest.size > 0; count++)
        next_line(&rest);
    if (count > F5_VOCAB_LINES_MAX)
        return vox_fail(error, VOX_EMODEL, "%s: has %llu lines, expected at most %d", path,
                        (unsigned long long)count, F5_VOCAB_LINES_MAX);
    while (slots < 2 * count)
        slots *= 2;
    vocab->lines = calloc(count, sizeof(*vocab->lines));
    vocab->slots = malloc(slots * sizeof(*vocab->slots));
    if (!vocab->lines || !vocab->slots)
        return vox_fail(error, VOX_ENOMEM, "%s: no memory", path);
    memset(vocab->slots, 0xFF, slots * sizeof(*vocab->slots));
    vocab->slot_mask = (uint32_t)(slots - 1);
    char last = text.data[text.size - 1];
    vocab->is_cut = last != '\n' && last != '\r';
    while (text.size > 0) {
        struct vox_str line = next_line(&text);
        if (text.size == 0 && vocab->is_cut)
            line.size = last_character(line);
        vocab->lines[vocab->line_count] = line;
        uint32_t *slot = find_slot(vocab, line);
        vocab->token_count += *slot == SLOT_FREE;
        *slot = vocab->line_count++;
    }
    return VOX_OK;
}

int32_t f5_vocab_open(const char *path, struct f5_vocab **out, struct vox_error *error)
{
    struct f5_vocab *vocab = calloc(1, sizeof(*vocab));
    struct vox_str text = {NULL, 0};
    int32_t code;
    *out = NULL;
    if (!vocab)
        return vox_fail(error, VOX_ENOMEM, "%s: no memory", path);
    code = read_file(path, &vocab->text, &text.size, error);
    text.data = vocab->text;
    if (code == VOX_OK)
        code = check_utf8(path, text, error);
    if (code == VOX_OK)
        code = index_lines(vocab, path, text, error);
    if (code == VOX_OK)
        *out = vocab;
    else
        f5_vocab_destroy(vocab);
    return code;
}

void f5_vocab_destroy(struct f5_vocab *vocab)
{
    if (!vocab)
        return;
    free(vocab->text);
    free(vocab->lines);
    free(vocab->slots);
    free(vocab);
}

uint32_t f5_vocab_size(const struct f5_vocab *vocab)
{
    return vocab->token_count;
}

uint32_t f5_vocab_line_count(const struct f5_vocab *vocab)
{
    return vocab->line_count;
}

bool f5_vocab_is_cut(const struct f5_vocab *vocab)
{
    return vocab->is_cut;
}

int32_t f5_vocab_lookup(const struct f5_vocab *vocab, struct vox_str token)
{
    uint32_t line = *find_slot(vocab, token);
    return line == SLOT_FREE ? -1 : (int32_t)line;
}
