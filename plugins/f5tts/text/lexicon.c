/* The compiled lexicon: mapped, checked at its edges, and looked up in. make_lexicon.py describes
 * the file. Offsets and sizes are checked once; what nodes point to is checked at each step, so
 * that a damaged file cannot lead outside of the mapping. Knows nothing of how words or readings
 * are chosen. */
#include "internal.h"
#include "vox/helpers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "F5TTSLEX"
#define FORMAT 1u
#define MODEL_COUNT (1 + HMM_STATES + HMM_STATES * HMM_STATES)

enum section {
    SECTION_NOTICE,
    SECTION_WORD_LABELS,
    SECTION_WORD_CHILDREN,
    SECTION_WORD_VALUES,
    SECTION_WORD_LOGS,
    SECTION_MODEL,
    SECTION_EMISSIONS,
    SECTION_PHRASE_LABELS,
    SECTION_PHRASE_CHILDREN,
    SECTION_PHRASE_VALUES,
    SECTION_PHRASE_READINGS,
    SECTION_CHAR_READINGS,
    SECTION_SYLLABLES,
    SECTION_COUNT
};

struct header {
    char magic[8];
    uint32_t format, section_count;
    uint64_t file_size;
    struct {
        uint64_t offset, size; /* bytes */
    } sections[SECTION_COUNT];
};

/* A section as an array: its first element, and how many there are. NULL when it does not lie
 * inside the file or does not divide into elements. */
static const void *section_array(const struct f5_lexicon *lexicon, enum section section,
                                 size_t element_size, uint64_t *count)
{
    struct header header;
    memcpy(&header, lexicon->data, sizeof(header));
    uint64_t offset = header.sections[section].offset, size = header.sections[section].size;
    if (offset % 8 != 0 || offset > lexicon->size || size > lexicon->size - offset ||
        size % element_size != 0)
        return NULL;
    *count = size / element_size;
    return lexicon->data + offset;
}

static bool trie_init(const struct f5_lexicon *lexicon, struct trie *trie, enum section labels)
{
    uint64_t label_count, child_count, value_count;
    trie->labels = section_array(lexicon, labels, sizeof(uint32_t), &label_count);
    trie->children = section_array(lexicon, labels + 1, sizeof(uint32_t), &child_count);
    trie->values = section_array(lexicon, labels + 2, sizeof(uint32_t), &value_count);
    if (!trie->labels || !trie->children || !trie->values || label_count == 0 ||
        child_count != label_count + 1 || value_count != label_count)
        return false;
    trie->count = (uint32_t)label_count; /* fits: F5_LEXICON_SIZE_MAX */
    return true;
}

static bool lexicon_init(struct f5_lexicon *lexicon)
{
    uint64_t model_count, emission_count;
    const double *model = section_array(lexicon, SECTION_MODEL, sizeof(double), &model_count);
    lexicon->hmm_emission =
        section_array(lexicon, SECTION_EMISSIONS, sizeof(double), &emission_count);
    lexicon->word_logs =
        section_array(lexicon, SECTION_WORD_LOGS, sizeof(double), &lexicon->word_log_count);
    lexicon->phrase_readings = section_array(lexicon, SECTION_PHRASE_READINGS, sizeof(uint16_t),
                                             &lexicon->phrase_reading_count);
    lexicon->char_readings = section_array(lexicon, SECTION_CHAR_READINGS, sizeof(uint16_t),
                                           &lexicon->char_reading_count);
    lexicon->syllables =
        section_array(lexicon, SECTION_SYLLABLES, SYLLABLE_SIZE, &lexicon->syllable_count);
    if (!model || model_count != MODEL_COUNT || !lexicon->hmm_emission ||
        emission_count != (uint64_t)(HMM_LAST - HMM_FIRST + 1) * HMM_STATES ||
        !lexicon->word_logs || !lexicon->phrase_readings || !lexicon->char_readings ||
        !lexicon->syllables || !trie_init(lexicon, &lexicon->words, SECTION_WORD_LABELS) ||
        !trie_init(lexicon, &lexicon->phrases, SECTION_PHRASE_LABELS))
        return false;
    lexicon->unknown_log = model[0];
    lexicon->hmm_start = model + 1;
    lexicon->hmm_transition = model + 1 + HMM_STATES;
    return true;
}

static int32_t lexicon_check(struct f5_lexicon *lexicon, const char *path, struct vox_error *error)
{
    struct header header;
    memcpy(&header, lexicon->data, sizeof(header));
    if (memcmp(header.magic, MAGIC, sizeof(header.magic)) != 0)
        return vox_fail(error, VOX_EMODEL, "%s: is not an F5-TTS lexicon", path);
    if (header.format != FORMAT || header.section_count != SECTION_COUNT)
        return vox_fail(error, VOX_EMODEL,
                        "%s: lexicon of format %u with %u parts, this plugin reads %u with %u",
                        path, header.format, header.section_count, FORMAT, SECTION_COUNT);
    if (header.file_size != lexicon->size)
        return vox_fail(error, VOX_EMODEL, "%s: is %zu bytes long, its header says %llu", path,
                        lexicon->size, (unsigned long long)header.file_size);
    if (!lexicon_init(lexicon))
        return vox_fail(error, VOX_EMODEL, "%s: its parts do not fit together, build it again",
                        path);
    return VOX_OK;
}

int32_t f5_lexicon_open(const char *path, struct f5_lexicon **out, struct vox_error *error)
{
    struct f5_lexicon *lexicon = calloc(1, sizeof(*lexicon));
    int file = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    void *data = MAP_FAILED;
    int32_t code;
    *out = NULL;
    if (!lexicon) {
        code = vox_fail(error, VOX_ENOMEM, "%s: no memory", path);
        goto out;
    }
    if (file < 0 || fstat(file, &info) != 0) {
        code = vox_fail(error, VOX_EMODEL, "%s: %s", path, strerror(errno));
        goto out;
    }
    if (!S_ISREG(info.st_mode) || info.st_size < (off_t)sizeof(struct header) ||
        info.st_size > (off_t)F5_LEXICON_SIZE_MAX) {
        code = vox_fail(error, VOX_EMODEL, "%s: is not an F5-TTS lexicon", path);
        goto out;
    }
    lexicon->size = (size_t)info.st_size;
    data = mmap(NULL, lexicon->size, PROT_READ, MAP_PRIVATE, file, 0);
    if (data == MAP_FAILED) {
        code = vox_fail(error, VOX_EMODEL, "%s: %s", path, strerror(errno));
        goto out;
    }
    lexicon->data = data;
    code = lexicon_check(lexicon, path, error);
out:
    if (file >= 0)
        close(file);
    if (code == VOX_OK)
        *out = lexicon;
    else
        f5_lexicon_close(lexicon);
    return code;
}

void f5_lexicon_close(struct f5_lexicon *lexicon)
{
    if (lexicon && lexicon->data)
        munmap((void *)(uintptr_t)lexicon->data, lexicon->size);
    free(lexicon);
}

uint32_t trie_step(const struct trie *trie, uint32_t node, uint32_t character)
{
    uint32_t low = trie->children[node], end = trie->children[node + 1], high = end;
    if (low == 0 || end > trie->count)
        return 0;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (trie->labels[middle] < character)
            low = middle + 1;
        else
            high = middle;
    }
    return low < end && trie->labels[low] == character ? low : 0;
}

bool lexicon_word_log(const struct f5_lexicon *lexicon, uint32_t node, double *log)
{
    uint32_t value = lexicon->words.values[node];
    if (value == 0 || value > lexicon->word_log_count)
        return false;
    *log = lexicon->word_logs[value - 1];
    return true;
}

const uint16_t *lexicon_phrase(const struct f5_lexicon *lexicon, uint32_t node, size_t length)
{
    uint64_t value = lexicon->phrases.values[node];
    if (value == 0 || value - 1 + length > lexicon->phrase_reading_count)
        return NULL;
    return lexicon->phrase_readings + value - 1;
}

bool lexicon_syllable(const struct f5_lexicon *lexicon, uint32_t number, char out[SYLLABLE_SIZE])
{
    if (number >= lexicon->syllable_count)
        return false;
    memcpy(out, lexicon->syllables + (size_t)number * SYLLABLE_SIZE, SYLLABLE_SIZE);
    out[SYLLABLE_SIZE - 1] = '\0';
    return out[0] != '\0';
}

bool lexicon_char(const struct f5_lexicon *lexicon, uint32_t character, char out[SYLLABLE_SIZE])
{
    return character < lexicon->char_reading_count && lexicon->char_readings[character] != 0 &&
           lexicon_syllable(lexicon, lexicon->char_readings[character] - 1u, out);
}
