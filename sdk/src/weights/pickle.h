/* A pickle machine that cannot run anything: it builds nodes for what a checkpoint is made of, and
 * one opaque node for everything else. Knows neither files nor the table of weights.
 */
#ifndef WEIGHTS_PICKLE_H
#define WEIGHTS_PICKLE_H

#include "weights_file.h"

enum pickle_kind {
    PICKLE_OPAQUE, /* None, floats, bytes, and objects of any class that is not known */
    PICKLE_INT,    /* also True and False */
    PICKLE_TEXT,
    PICKLE_TUPLE,
    PICKLE_LIST,
    PICKLE_DICT, /* items: key, value, key, value, ... */
    PICKLE_GLOBAL,
    PICKLE_STORAGE,
    PICKLE_TENSOR,
};

struct pickle_node {
    uint8_t kind;
    uint8_t global;  /* which one; see pickle.c */
    uint8_t is_open; /* for who walks the nodes: against cycles */
    uint32_t dtype;  /* of a global, storage or tensor; 0: none, a storage of bytes */
    uint64_t count;  /* items, or bytes of text */
    union {
        int64_t integer;
        const char *text; /* in the pickle */
        struct {
            uint32_t *at; /* indices of nodes */
            uint64_t cap;
        } items;
        struct {
            uint32_t key, count; /* a text and an int */
        } storage;
        struct {
            uint32_t storage, offset, dims, strides; /* a storage, an int, two tuples */
        } tensor;
    };
};

struct pickle {
    const uint8_t *at, *begin, *end;
    const char *why;           /* what is wrong, once something is */
    struct pickle_node *nodes; /* node 0 is opaque */
    uint64_t node_count, node_cap;
    uint32_t *stack, *memo;
    uint64_t stack_count, stack_cap, memo_count, memo_cap;
    uint64_t *marks; /* how high the stack was at each mark */
    uint64_t mark_count, mark_cap;
    uint32_t root;
    bool is_stopped;
};

extern const char PICKLE_NO_MEMORY[]; /* `why` is that very pointer */

/* Runs one pickle that begins at `bytes`; true when it came to its end: then `root` is its value
 * and `at` is behind it. Nodes of earlier runs stay. */
bool pickle_run(struct pickle *p, const uint8_t *bytes, const uint8_t *end);
void pickle_finish(struct pickle *p);

/* The value of a text key of a dictionary, or 0. */
uint32_t pickle_get(const struct pickle *p, uint32_t dict, const char *key);

#endif
