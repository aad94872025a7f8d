/* YAML over libyaml as an immutable tree in which every node knows where it stands: aliases and
 * merge keys resolved, ${VAR} expanded, duplicate keys and every limit checked. Manifests and YAML
 * job files are read from it.
 *
 * Typing is ours (YAML 1.2 core, and only where it cannot surprise): a plain scalar is null, true,
 * false, a JSON number or else text. `no`, `on`, `010`, `0x10` and `1_000` are text.
 */
#ifndef BASE_YAML_H
#define BASE_YAML_H

#include "base/err.h"
#include "base/str.h"

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

/* Problems found in one file, reported together in the order of their place. All zero is none. */
struct problems {
    const char *file; /* borrowed */
    struct problem *items;
    size_t count;
};

#define PROBLEMS_MAX 100 /* further ones are counted, not kept */

/* line and column from 1; 0: about the whole file. */
__attribute__((format(printf, 4, 5))) void problems_add(struct problems *p, int line, int column,
                                                        const char *format, ...);
/* Appends a line each, "file:line:column: message". */
void problems_print(const struct problems *p, struct str *out);
void problems_finish(struct problems *p);

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };

struct yaml_node {
    enum yaml_kind kind;
    int line, column; /* from 1 */
    bool plain;       /* scalar without quotes: may be typed */
    bool expanded;    /* a ${VAR} was replaced in it */
    char *text;       /* scalar: valid UTF-8, terminated, no NUL */
    size_t len;
    struct yaml_node **keys;  /* map: scalars, no two equal */
    struct yaml_node **items; /* list: the items; map: the values */
    size_t count;
};

struct yaml_limits {
    size_t bytes_max;
    size_t nodes_max; /* aliases count each time they are used */
    int depth_max;
};

#define YAML_LIMITS_DEFAULT ((struct yaml_limits){1u << 20, 100000, 64})

/* Looks up a variable for ${VAR}; NULL: not set. */
typedef const char *(*yaml_lookup)(const char *name, void *arg);

struct yaml_doc; /* owns its nodes */

/* Parses exactly one document. Every problem that can be told goes to `problems`. NULL when there
 * is no tree after them; a tree that comes with problems serves only to find more of them. `lookup`
 * NULL: ${...} stays as it is. "$${" stands for a literal "${". */
struct yaml_doc *yaml_parse(const char *text, size_t len, const struct yaml_limits *limits,
                            yaml_lookup lookup, void *arg, struct problems *problems);
/* The root; an empty document is an empty map. Borrowed until yaml_destroy. */
const struct yaml_node *yaml_root(const struct yaml_doc *doc);
void yaml_destroy(struct yaml_doc *doc);

/* The value of `key` in a map, or NULL. */
const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key);
/* The node as JSON by the typing rules above, number literals kept; the caller's. */
cJSON *yaml_to_json(const struct yaml_node *node);

#endif
