/* Lexicon files for tests, made in memory: the sections as given, or a tiny lexicon of a few words. The
 * layout is described in make_lexicon.py. */
#ifndef LEXICON_IMAGE_H
#define LEXICON_IMAGE_H

#include "text/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
    IMAGE_NOTICE,
    IMAGE_WORDS, /* labels, children, values */
    IMAGE_WORD_LOGS = 4,
    IMAGE_MODEL,
    IMAGE_EMISSIONS,
    IMAGE_PHRASES, /* labels, children, values */
    IMAGE_PHRASE_READINGS = 10,
    IMAGE_CHAR_READINGS,
    IMAGE_SYLLABLES,
    IMAGE_SECTIONS
};

#define IMAGE_EMISSION_COUNT ((0x9FD5 - 0x4E00 + 1) * 4)
#define IMAGE_NODES_MAX 128
#define IMAGE_CHARS 0x9FFF

struct lexicon_image {
    const void *data[IMAGE_SECTIONS];
    size_t size[IMAGE_SECTIONS]; /* bytes */
};

/* Opens bytes as a file would be. */
static inline int32_t image_open_bytes(const void *data, size_t size, struct f5_lexicon **lexicon,
                                       struct vox_error *error)
{
    char path[64];
    int file = memfd_create("lexicon", MFD_CLOEXEC);
    int32_t code = VOX_EINTERNAL;
    if (file >= 0 && write(file, data, size) == (ssize_t)size) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
        code = f5_lexicon_open(path, lexicon, error);
    }
    if (file >= 0)
        close(file);
    return code;
}

/* The file's bytes; the caller frees them. */
static inline unsigned char *image_bytes(const struct lexicon_image *image, size_t *size)
{
    uint64_t head[3 + 2 * IMAGE_SECTIONS], at = sizeof(head);
    for (int i = 0; i < IMAGE_SECTIONS; i++) {
        head[3 + 2 * i] = at;
        head[4 + 2 * i] = image->size[i];
        at += (image->size[i] + 7) / 8 * 8;
    }
    unsigned char *bytes = calloc(at, 1);
    if (!bytes)
        abort();
    memcpy(head, "F5TTSLEX", 8);
    head[1] = 1 | (uint64_t)IMAGE_SECTIONS << 32;
    head[2] = at;
    memcpy(bytes, head, sizeof(head));
    for (int i = 0; i < IMAGE_SECTIONS; i++)
        if (image->size[i])
            memcpy(bytes + head[3 + 2 * i], image->data[i], image->size[i]);
    *size = at;
    return bytes;
}

/* --- A tiny lexicon ------------------------------------------------------------------------------------- */

struct image_word {
    uint32_t text[4]; /* ends with 0 */
    uint32_t value;
};

struct image_trie {
    uint32_t labels[IMAGE_NODES_MAX], children[IMAGE_NODES_MAX + 1], values[IMAGE_NODES_MAX];
    uint32_t count;
};

/* Words are sorted, so that the nodes of each depth come out in order. */
static inline void image_trie_make(struct image_trie *trie, const struct image_word *words,
                                   size_t word_count)
{
    uint32_t first_word[IMAGE_NODES_MAX] = {0}, depth_of[IMAGE_NODES_MAX] = {0};
    memset(trie, 0, sizeof(*trie));
    trie->count = 1;
    for (uint32_t node = 0; node < trie->count; node++) {
        uint32_t depth = depth_of[node];
        trie->children[node] = trie->count;
        for (size_t w = first_word[node]; w < word_count; w++) {
            const uint32_t *text = words[w].text;
            if (memcmp(text, words[first_word[node]].text, depth * sizeof(*text)) != 0)
                break;
            if (text[depth] == 0) {
                trie->values[node] = words[w].value;
            } else if (trie->children[node] == trie->count ||
                       trie->labels[trie->count - 1] != text[depth]) {
                first_word[trie->count] = (uint32_t)w;
                depth_of[trie->count] = depth + 1;
                trie->labels[trie->count++] = text[depth];
            }
        }
    }
    trie->children[trie->count] = trie->count;
}

static inline void image_add_trie(struct lexicon_image *image, int section,
                                  const struct image_trie *trie)
{
    image->data[section] = trie->labels;
    image->data[section + 1] = trie->children;
    image->data[section + 2] = trie->values;
    image->size[section] = image->size[section + 2] = trie->count * sizeof(uint32_t);
    image->size[section + 1] = (trie->count + 1) * sizeof(uint32_t);
}

/* Words: C++, 一, 一定, 不, 不是, 你好, 好老师, 是, 银行; phrases: 一定, 你好, 好老师, 银行; the rest by characters. The
 * model calls every character single. The image points into static memory. */
static inline struct lexicon_image image_tiny(void)
{
    static const struct image_word words[] = {
        {{'C', '+', '+'}, 1},  {{0x4E00}, 2},         {{0x4E00, 0x5B9A}, 1},         {{0x4E0D}, 2},
        {{0x4E0D, 0x662F}, 1}, {{0x4F60, 0x597D}, 1}, {{0x597D, 0x8001, 0x5E08}, 1}, {{0x662F}, 2},
        {{0x94F6, 0x884C}, 1}};
    static const struct image_word phrases[] = {{{0x4E00, 0x5B9A}, 1},
                                                {{0x4F60, 0x597D}, 8},
                                                {{0x597D, 0x8001, 0x5E08}, 3},
                                                {{0x94F6, 0x884C}, 6}};
    static const char syllables[][8] = {"yi1",  "ding4", "bu4",   "shi4",  "hao3", "lao3",
                                        "shi1", "yin2",  "hang2", "xing2", "de",   "ni3"};
    static const uint16_t readings[] = {0, 1, 4, 5, 6, 7, 8, 11, 4};
    static const struct {
        uint32_t character;
        uint16_t syllable;
    } chars[] = {{0x4E00, 0}, {0x5B9A, 1}, {0x4E0D, 2}, {0x662F, 3},  {0x597D, 4}, {0x8001, 5},
                 {0x5E08, 6}, {0x94F6, 7}, {0x884C, 9}, {0x7684, 10}, {0x4F60, 11}};
    static const double logs[] = {-8.0, -6.0};
    static struct image_trie word_trie, phrase_trie;
    static uint16_t char_readings[IMAGE_CHARS];
    static double model[21], emissions[IMAGE_EMISSION_COUNT];
    struct lexicon_image image = {{"notice"}, {6}};
    image_trie_make(&word_trie, words, sizeof(words) / sizeof(words[0]));
    image_trie_make(&phrase_trie, phrases, sizeof(phrases) / sizeof(phrases[0]));
    for (size_t i = 0; i < sizeof(chars) / sizeof(chars[0]); i++)
        char_readings[chars[i].character] = (uint16_t)(chars[i].syllable + 1);
    model[0] = -12.0;
    model[4] = 5.0; /* a single at the start, and after a single */
    model[5 + 3 * 4 + 3] = 5.0;
    image_add_trie(&image, IMAGE_WORDS, &word_trie);
    image_add_trie(&image, IMAGE_PHRASES, &phrase_trie);
    const struct {
        int section;
        const void *data;
        size_t size;
    } rest[] = {{IMAGE_WORD_LOGS, logs, sizeof(logs)},
                {IMAGE_MODEL, model, sizeof(model)},
                {IMAGE_EMISSIONS, emissions, sizeof(emissions)},
                {IMAGE_PHRASE_READINGS, readings, sizeof(readings)},
                {IMAGE_CHAR_READINGS, char_readings, sizeof(char_readings)},
                {IMAGE_SYLLABLES, syllables, sizeof(syllables)}};
    for (size_t i = 0; i < sizeof(rest) / sizeof(rest[0]); i++) {
        image.data[rest[i].section] = rest[i].data;
        image.size[rest[i].section] = rest[i].size;
    }
    return image;
}

#endif
