/* A job's text as flite's tokens, one at a time, each with the bytes that it came from. */
#ifndef FLITE_TEXT_H
#define FLITE_TEXT_H

#include "fold.h"
#include "vox/plugin.h"

#include <stdbool.h>

/* Of each part of a token, with its terminator. What is longer is cut: of white space the rest is dropped,
 * a word goes on in the next token. */
#define TOKEN_PART_CAP 200

struct text_token {
    char space[TOKEN_PART_CAP];       /* white space before the token */
    char opening[TOKEN_PART_CAP];     /* punctuation before the name */
    char name[TOKEN_PART_CAP];        /* never empty */
    char punctuation[TOKEN_PART_CAP]; /* punctuation after the name */
    uint64_t begin, end;              /* the name's bytes in the text */
};

struct text {
    struct vox_str source; /* borrowed */
    uint64_t at;           /* of the next character in the source */
    char ascii[FOLD_SIZE_MAX];
    int ascii_size, ascii_next; /* the current character as flite reads it */
    uint64_t begin, end;        /* the current character in the source */
    uint64_t skipped;           /* characters that cannot be spoken */
    uint32_t skipped_first;     /* the first of them */
};

/* `source` is borrowed until the last text_next(). */
void text_init(struct text *text, struct vox_str source);

/* Reads the next token; false at the end. */
bool text_next(struct text *text, struct text_token *token);

#endif
