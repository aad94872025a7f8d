/* From libyaml's events to the tree of yaml.h, in one pass over one document.
 *
 * Children wait on a stack until their list or map ends; a map then merges, looks for duplicate
 * keys and takes its entries into the arena of the document. What an alias names is shared, but it
 * is counted at every use with all below it, so neither the tree nor what is made of it can outgrow
 * the limits. Knows no schema.
 */
#include "base/json.h"
#include "base/mem.h"
#include "base/yaml.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define CHUNK_SIZE 16384
#define TAG_DIRECTIVES_MAX 100 /* libyaml compares each with all before it */
#define SHOWN_MAX 60           /* bytes of the file in a message */
#define TAG_PREFIX "tag:yaml.org,2002:"
#define NAME_FIRST "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"

struct chunk {
    struct chunk *next;
    size_t used, size;
    max_align_t data[];
};

struct yaml_doc {
    struct chunk *chunks;
    const struct yaml_node *root;
};

struct node {
    struct yaml_node pub; /* first: a pointer to one is a pointer to the other */
    size_t nodes, bytes;  /* values and their text, all below included */
    int height;           /* 0 for a scalar */
    bool open;            /* its end has not been read */
};

struct anchor {
    const char *name;
    const struct node *node; /* the latest of that name */
};

struct pair {
    struct yaml_node *key, *value;
    size_t rank; /* explicit ones first, then merged ones in the order of their precedence */
    bool merged, dropped;
};

struct build {
    struct yaml_doc *doc;
    const char *text;
    size_t len;
    yaml_parser_t parser;
    const struct yaml_limits *limits;
    yaml_lookup lookup;
    void *arg;
    struct problems *problems;
    struct yaml_node **stack; /* children of the open lists and maps; keys before their values */
    size_t stack_len, stack_cap;
    struct pair *entries; /* of the map that ends now */
    size_t entries_len, entries_cap;
    void *anchors;      /* tsearch tree of struct anchor */
    size_t nodes;       /* so far, each use of an alias counted */
    size_t extra_bytes; /* text that came by aliases and variables */
    bool failed;        /* nothing more can be told about this file */
};

static struct yaml_node *build_node(struct build *b, yaml_event_t *event, int depth);

/* --- Places ----------------------------------------------------------------------------------- */

#define PROBLEM(b, mark, ...) \
    problems_add((b)->problems, (int)(mark).line + 1, (int)(mark).column + 1, __VA_ARGS__)

/* Moves a mark, from 0, over `len` bytes. Columns are characters. */
static void advance(yaml_mark_t *mark, const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\n' || (text[i] == '\r' && (i + 1 == len || text[i + 1] != '\n'))) {
            mark->line++;
            mark->column = 0;
        } else if (((unsigned char)text[i] & 0xc0) != 0x80) {
            mark->column++;
        }
    }
}

static yaml_mark_t mark_of_byte(const struct build *b, size_t at)
{
    yaml_mark_t mark = {0};
    advance(&mark, b->text, at);
    return mark;
}

/* libyaml's index counts characters. */
static size_t byte_of_mark(const struct build *b, yaml_mark_t mark)
{
    size_t at = 0;
    for (size_t left = mark.index; left > 0 && at < b->len; left--) {
        at++;
        while (at < b->len && ((unsigned char)b->text[at] & 0xc0) == 0x80)
            at++;
    }
    return at;
}

/* The text as JSON writes it, cut; the caller's. */
static char *quoted(const char *text)
{
    struct str s = {0};
    json_write_string(&s, text, utf8_cut(text, strlen(text), SHOWN_MAX));
    return str_take(&s);
}

/* --- Memory and limits ------------------------------------------------------------------------ */

static void *arena_alloc(struct yaml_doc *doc, size_t size)
{
    size = (size + sizeof(max_align_t) - 1) / sizeof(max_align_t) * sizeof(max_align_t);
    struct chunk *chunk = doc->chunks;
    if (!chunk || chunk->size - chunk->used < size) {
        size_t room = size > CHUNK_SIZE ? size : CHUNK_SIZE;
        chunk = mem_alloc(sizeof(*chunk) + room);
        *chunk = (struct chunk){.next = doc->chunks, .size = room};
        doc->chunks = chunk;
    }
    char *data = (char *)chunk->data + chunk->used;
    chunk->used += size;
    return data;
}

static char *arena_copy(struct yaml_doc *doc, const char *text, size_t len)
{
    char *copy = arena_alloc(doc, len + 1);
    memcpy(copy, text, len);
    return copy; /* terminated: the arena is zeroed */
}

static bool fail_limit(struct build *b, yaml_mark_t mark, const char *what, size_t limit)
{
    PROBLEM(b, mark, "%s than the limit of %zu", what, limit);
    b->failed = true;
    return false;
}

static bool count_nodes(struct build *b, yaml_mark_t mark, size_t count)
{
    b->nodes += count;
    return b->nodes <= b->limits->nodes_max ||
           fail_limit(b, mark, "more values, each use of an alias counted,", b->limits->nodes_max);
}

static bool count_extra_bytes(struct build *b, yaml_mark_t mark, size_t count)
{
    b->extra_bytes += count;
    return b->extra_bytes <= b->limits->bytes_max ||
           fail_limit(b, mark, "more bytes of text by aliases and variables", b->limits->bytes_max);
}

static bool check_depth(struct build *b, yaml_mark_t mark, int depth)
{
    return depth <= b->limits->depth_max ||
           fail_limit(b, mark, "nested deeper", (size_t)b->limits->depth_max);
}

static void push(struct build *b, struct yaml_node *node)
{
    if (b->stack_len == b->stack_cap) {
        b->stack_cap = b->stack_cap ? 2 * b->stack_cap : 64;
        b->stack = mem_resize(b->stack, b->stack_cap, sizeof(struct yaml_node *));
    }
    b->stack[b->stack_len++] = node;
}

static struct node *new_node(struct build *b, enum yaml_kind kind, yaml_mark_t mark)
{
    struct node *node = arena_alloc(b->doc, sizeof(*node));
    node->pub.kind = kind;
    node->pub.line = (int)mark.line + 1;
    node->pub.column = (int)mark.column + 1;
    node->nodes = 1;
    return node;
}

/* --- Variables -------------------------------------------------------------------------------- */

/* How many "${" the text has; `place` becomes the nth of them, from 0. */
static size_t find_variable(const char *text, size_t len, size_t nth, const char **place)
{
    size_t count = 0;
    for (size_t i = 0; i + 1 < len; i++)
        if (text[i] == '$' && text[i + 1] == '{' && count++ == nth)
            *place = text + i;
    return count;
}

/* The nth "${" of a scalar as the file shows it, or where the scalar begins when escapes hide
 * it. */
static yaml_mark_t mark_of_variable(const struct build *b, const yaml_event_t *event, size_t nth)
{
    const char *decoded = (const char *)event->data.scalar.value;
    const char *begin = b->text + byte_of_mark(b, event->start_mark);
    const char *end = b->text + byte_of_mark(b, event->end_mark);
    const char *ignored, *place = begin;
    yaml_mark_t mark = event->start_mark;
    if (find_variable(begin, (size_t)(end - begin), nth, &place) ==
        find_variable(decoded, strlen(decoded), nth, &ignored))
        advance(&mark, begin, (size_t)(place - begin));
    return mark;
}

static const char *fail_variable(struct build *b, const yaml_event_t *event, size_t nth,
                                 const char *what, const char *text, size_t len)
{
    yaml_mark_t mark = event->start_mark;
    if (b->problems->count < PROBLEMS_MAX) /* it costs a pass over the file */
        mark = mark_of_variable(b, event, nth);
    char *copy = mem_copy_text(text, len), *shown = quoted(copy);
    PROBLEM(b, mark, "%s, got %s", what, shown);
    free(shown);
    free(copy);
    return NULL;
}

/* Appends what "${", the nth of the scalar, at `begin` stands for. Returns what follows it, or
 * NULL. */
static const char *expand_variable(struct build *b, const yaml_event_t *event, size_t nth,
                                   const char *begin, struct str *out)
{
    const char *close = strchr(begin, '}'), *name = begin + 2;
    if (!close)
        return fail_variable(b, event, nth, "expected '}' after ${", begin, strlen(begin));
    size_t shown_len = (size_t)(close + 1 - begin);
    size_t name_len = strspn(name, NAME_FIRST "0123456789");
    const char *fallback = strncmp(name + name_len, ":-", 2) == 0 ? name + name_len + 2 : NULL;
    if (name_len == 0 || !strchr(NAME_FIRST, *name) || (!fallback && name[name_len] != '}'))
        return fail_variable(b, event, nth, "expected ${NAME} or ${NAME:-default}", begin,
                             shown_len);
    if (fallback && memmem(fallback, (size_t)(close - fallback), "${", 2))
        return fail_variable(b, event, nth, "expected a default without ${", begin, shown_len);

    char *key = mem_copy_text(name, name_len);
    const char *value = b->lookup(key, b->arg);
    free(key);
    size_t len = value ? strlen(value) : 0;
    if (fallback && len == 0) {
        value = fallback;
        len = (size_t)(close - fallback);
    }
    if (!value)
        return fail_variable(b, event, nth, "expected a variable that is set, or a default", begin,
                             shown_len);
    if (!utf8_valid(value, len, NULL))
        return fail_variable(b, event, nth, "expected a variable that holds UTF-8", begin,
                             shown_len);
    if (!count_extra_bytes(b, event->start_mark, len))
        return NULL;
    str_append(out, value, len);
    return close + 1;
}

/* Appends the scalar's text; true when a variable was replaced in it. */
static bool expand(struct build *b, const yaml_event_t *event, struct str *out)
{
    const char *at = (const char *)event->data.scalar.value, *dollar;
    bool expanded = false;
    for (size_t nth = 0; at && (dollar = strstr(at, "${")); nth++) {
        str_append(out, at, (size_t)(dollar - at));
        if (dollar > at && dollar[-1] == '$') {
            str_putc(out, '{');
            at = dollar + 2;
        } else {
            at = expand_variable(b, event, nth, dollar, out);
            expanded = true;
        }
    }
    if (!at) {
        at = (const char *)
                 event->data.scalar.value; /* as written: it serves to find more problems */
        str_clear(out);
    }
    str_puts(out, at);
    return expanded;
}

/* --- Scalars, anchors, aliases ---------------------------------------------------------------- */

static int compare_anchors(const void *a, const void *b)
{
    return strcmp(((const struct anchor *)a)->name, ((const struct anchor *)b)->name);
}

static void set_anchor(struct build *b, const yaml_char_t *name, const struct node *node)
{
    if (!name)
        return;
    struct anchor *anchor = arena_alloc(b->doc, sizeof(*anchor));
    anchor->name = arena_copy(b->doc, (const char *)name, strlen((const char *)name));
    struct anchor **found = tsearch(anchor, &b->anchors, compare_anchors);
    if (found)
        (*found)->node = node;
}

static void refuse_tag(struct build *b, const yaml_event_t *event, const char *tag)
{
    bool standard = strncmp(tag, TAG_PREFIX, strlen(TAG_PREFIX)) == 0;
    char *copy =
        str_format("%s%s", standard ? "!!" : "", standard ? tag + strlen(TAG_PREFIX) : tag);
    char *shown = quoted(copy);
    PROBLEM(b, event->start_mark, "unsupported: tag %s%s", shown,
            event->type == YAML_SCALAR_EVENT ? "" : " on a list or map");
    free(shown);
    free(copy);
}

static struct yaml_node *make_scalar(struct build *b, const yaml_event_t *event, bool is_key)
{
    const char *tag = (const char *)event->data.scalar.tag;
    const char *value = (const char *)event->data.scalar.value;
    bool is_text = tag && strcmp(tag, TAG_PREFIX "str") == 0;
    if (tag && !is_text)
        refuse_tag(b, event, tag);
    if (strlen(value) != event->data.scalar.length)
        PROBLEM(b, event->start_mark, "a text must not hold a NUL character");

    struct node *node = new_node(b, YAML_SCALAR, event->start_mark);
    struct str text = {0};
    if (b->lookup && !is_key)
        node->pub.expanded = expand(b, event, &text);
    else
        str_puts(&text, value);
    node->pub.plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !is_text;
    node->pub.text = arena_copy(b->doc, str_text(&text), text.len);
    node->pub.len = node->bytes = text.len;
    str_finish(&text);
    set_anchor(b, event->data.scalar.anchor, node);
    return &node->pub;
}

/* What the alias names, standing where the alias stands. */
static struct yaml_node *use_alias(struct build *b, const yaml_event_t *event, int depth)
{
    struct anchor wanted = {.name = (const char *)event->data.alias.anchor};
    struct anchor **found = tfind(&wanted, &b->anchors, compare_anchors);
    struct node *node = new_node(b, YAML_SCALAR, event->start_mark);
    if (!found || (*found)->node->open) {
        char *shown = quoted(wanted.name);
        PROBLEM(b, event->start_mark,
                found ? "the alias %s stands inside what it names"
                      : "the alias %s names no anchor before it",
                shown);
        free(shown);
        node->pub.text = arena_copy(b->doc, "", 0);
        return &node->pub;
    }
    const struct node *target = (*found)->node;
    int line = node->pub.line, column = node->pub.column;
    if (!count_nodes(b, event->start_mark, target->nodes - 1) ||
        !count_extra_bytes(b, event->start_mark, target->bytes) ||
        !check_depth(b, event->start_mark, depth + target->height))
        return NULL;
    *node = *target;
    node->pub.line = line;
    node->pub.column = column;
    return &node->pub;
}

/* --- Lists and maps --------------------------------------------------------------------------- */

/* The parent counts what is counted of its child. */
static void count_child(struct node *parent, const struct yaml_node *child)
{
    const struct node *node = (const struct node *)child;
    parent->nodes += node->nodes;
    parent->bytes += node->bytes;
    if (node->height >= parent->height)
        parent->height = node->height + 1;
}

static void close_list(struct build *b, struct node *list, size_t first)
{
    size_t count = b->stack_len - first;
    list->pub.items = arena_alloc(b->doc, count * sizeof(struct yaml_node *));
    list->pub.count = count;
    for (size_t i = 0; i < count; i++) {
        list->pub.items[i] = b->stack[first + i];
        count_child(list, list->pub.items[i]);
    }
}

static void add_entry(struct build *b, struct yaml_node *key, struct yaml_node *value, bool merged)
{
    if (b->entries_len == b->entries_cap) {
        b->entries_cap = b->entries_cap ? 2 * b->entries_cap : 64;
        b->entries = mem_resize(b->entries, b->entries_cap, sizeof(*b->entries));
    }
    b->entries[b->entries_len] = (struct pair){key, value, b->entries_len, merged, false};
    b->entries_len++;
}

static bool is_merge(const struct yaml_node *key)
{
    return key->plain && strcmp(key->text, "<<") == 0;
}

static void merge_map(struct build *b, const struct yaml_node *map)
{
    if (map->kind != YAML_MAP) {
        problems_add(b->problems, map->line, map->column,
                     "expected a map, or a list of maps, to merge by <<");
        return;
    }
    for (size_t i = 0; i < map->count; i++)
        add_entry(b, map->keys[i], map->items[i], true);
}

static int compare_by_key(const void *a, const void *b)
{
    const struct pair *left = a, *right = b;
    int order = strcmp(left->key->text, right->key->text);
    return order ? order : (left->rank > right->rank) - (left->rank < right->rank);
}

static int compare_by_rank(const void *a, const void *b)
{
    const struct pair *left = a, *right = b;
    return (left->rank > right->rank) - (left->rank < right->rank);
}

/* Of equal keys the first stays: merged ones give way, explicit ones are a mistake. */
static void drop_duplicates(struct build *b)
{
    struct pair *entries = b->entries;
    size_t kept = 0;
    qsort(entries, b->entries_len, sizeof(*entries), compare_by_key);
    for (size_t i = 1; i < b->entries_len; i++) {
        if (strcmp(entries[kept].key->text, entries[i].key->text) != 0) {
            kept = i;
            continue;
        }
        entries[i].dropped = true;
        if (entries[i].merged)
            continue;
        const struct yaml_node *key = entries[i].key, *earlier = entries[kept].key;
        char *shown = quoted(key->text);
        problems_add(b->problems, key->line, key->column,
                     "the key %s is already in this map, at %d:%d", shown, earlier->line,
                     earlier->column);
        free(shown);
    }
    qsort(entries, b->entries_len, sizeof(*entries), compare_by_rank);
}

static void collect_entries(struct build *b, size_t first)
{
    const struct yaml_node *merge = NULL;
    b->entries_len = 0;
    for (size_t i = first; i < b->stack_len; i += 2) {
        const struct yaml_node *key = b->stack[i];
        if (!is_merge(key))
            add_entry(b, b->stack[i], b->stack[i + 1], false);
        else if (merge)
            problems_add(b->problems, key->line, key->column,
                         "the key \"<<\" is already in this map; merge a list of maps instead");
        else
            merge = b->stack[i + 1];
    }
    if (merge && merge->kind == YAML_LIST) {
        for (size_t i = 0; i < merge->count; i++)
            merge_map(b, merge->items[i]);
    } else if (merge) {
        merge_map(b, merge);
    }
}

static void close_map(struct build *b, struct node *map, size_t first)
{
    collect_entries(b, first);
    if (b->entries_len > 1)
        drop_duplicates(b);
    map->pub.keys = arena_alloc(b->doc, b->entries_len * sizeof(struct yaml_node *));
    map->pub.items = arena_alloc(b->doc, b->entries_len * sizeof(struct yaml_node *));
    for (size_t i = 0; i < b->entries_len; i++) {
        const struct pair *entry = &b->entries[i];
        if (entry->dropped)
            continue;
        map->pub.keys[map->pub.count] = entry->key;
        map->pub.items[map->pub.count++] = entry->value;
        count_child(map, entry->key);
        count_child(map, entry->value);
    }
}

/* --- Events ----------------------------------------------------------------------------------- */

/* "${X}" without quotes inside [] or {} is what people run into first. */
static bool is_bare_variable(const struct build *b, yaml_mark_t mark)
{
    size_t at = byte_of_mark(b, mark);
    return b->lookup && at > 0 && at < b->len && b->text[at - 1] == '$' && b->text[at] == '{';
}

static void add_syntax_problem(struct build *b)
{
    const yaml_parser_t *p = &b->parser;
    const char *problem = p->problem ? p->problem : "not YAML";
    b->failed = true;
    if (p->error == YAML_MEMORY_ERROR) {
        problems_add(b->problems, 0, 0, "out of memory");
    } else if (p->error == YAML_READER_ERROR) {
        PROBLEM(b, mark_of_byte(b, p->problem_offset), "%s: U+%04X", problem,
                (unsigned)p->problem_value);
    } else if (is_bare_variable(b, p->problem_mark)) {
        PROBLEM(b, p->problem_mark, "%s: inside [] and {} write \"${...}\" in quotes", problem);
    } else if (p->context) {
        PROBLEM(b, p->problem_mark, "%s (%s at %zu:%zu)", problem, p->context,
                p->context_mark.line + 1, p->context_mark.column + 1);
    } else {
        PROBLEM(b, p->problem_mark, "%s", problem);
    }
}

static bool next_event(struct build *b, yaml_event_t *event)
{
    if (yaml_parser_parse(&b->parser, event))
        return true;
    add_syntax_problem(b);
    return false;
}

/* The key that begins with `event`, which it takes over; NULL after a problem. */
static struct yaml_node *build_key(struct build *b, yaml_event_t *event, int depth)
{
    yaml_mark_t mark = event->start_mark;
    struct yaml_node *key;
    if (event->type == YAML_SCALAR_EVENT) {
        key = count_nodes(b, mark, 1) ? make_scalar(b, event, true) : NULL;
        yaml_event_delete(event);
    } else {
        key = build_node(b, event, depth);
    }
    if (!key)
        return NULL;
    if (key->kind != YAML_SCALAR)
        PROBLEM(b, mark, "expected text as a key, got a %s",
                key->kind == YAML_MAP ? "map" : "list");
    else if (key->plain && key->len == 0)
        PROBLEM(b, mark, "expected a key before ':'");
    else
        return key;
    return NULL;
}

/* Pushes the children of an open list or map until its end. */
static bool build_children(struct build *b, bool is_map, int depth)
{
    for (;;) {
        yaml_event_t event;
        struct yaml_node *key = NULL, *value;
        if (!next_event(b, &event))
            return false;
        if (event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&event);
            return true;
        }
        if (is_map) {
            key = build_key(b, &event, depth);
            if (b->failed || !next_event(b, &event))
                return false;
        }
        value = build_node(b, &event, depth);
        if (!value)
            return false;
        if (key)
            push(b, key);
        if (key || !is_map)
            push(b, value);
    }
}

static struct yaml_node *build_container(struct build *b, const yaml_event_t *event, int depth)
{
    bool is_map = event->type == YAML_MAPPING_START_EVENT;
    const yaml_char_t *tag =
        is_map ? event->data.mapping_start.tag : event->data.sequence_start.tag;
    const yaml_char_t *anchor =
        is_map ? event->data.mapping_start.anchor : event->data.sequence_start.anchor;
    if (!check_depth(b, event->start_mark, depth + 1))
        return NULL;
    if (tag)
        refuse_tag(b, event, (const char *)tag);
    struct node *node = new_node(b, is_map ? YAML_MAP : YAML_LIST, event->start_mark);
    node->height = 1;
    node->open = true;
    set_anchor(b, anchor, node);
    size_t first = b->stack_len;
    if (!build_children(b, is_map, depth + 1))
        return NULL;
    if (is_map)
        close_map(b, node, first);
    else
        close_list(b, node, first);
    b->stack_len = first;
    node->open = false;
    return &node->pub;
}

/* The value that begins with `event`, which it takes over; NULL once the build has failed. `depth`
 * is the number of lists and maps around it. */
static struct yaml_node *build_node(struct build *b, yaml_event_t *event, int depth)
{
    struct yaml_node *node = NULL;
    if (count_nodes(b, event->start_mark, 1)) {
        if (event->type == YAML_SCALAR_EVENT)
            node = make_scalar(b, event, false);
        else if (event->type == YAML_ALIAS_EVENT)
            node = use_alias(b, event, depth);
        else
            node = build_container(b, event, depth);
    }
    yaml_event_delete(event);
    return b->failed ? NULL : node;
}

/* --- The document ----------------------------------------------------------------------------- */

static bool check_text(struct build *b)
{
    size_t bad, directives = 0;
    if (b->len > b->limits->bytes_max) {
        problems_add(b->problems, 0, 0, "%zu bytes, more than the limit of %zu", b->len,
                     b->limits->bytes_max);
        return false;
    }
    if (!utf8_valid(b->text, b->len, &bad)) {
        PROBLEM(b, mark_of_byte(b, bad), "the byte 0x%02x is not UTF-8",
                (unsigned char)b->text[bad]);
        return false;
    }
    const char *at = b->text, *end = b->text + b->len;
    while ((at = memmem(at, (size_t)(end - at), "%TAG", 4))) {
        if ((at == b->text || at[-1] == '\n' || at[-1] == '\r') &&
            ++directives > TAG_DIRECTIVES_MAX)
            return fail_limit(b, mark_of_byte(b, (size_t)(at - b->text)), "more %TAG lines",
                              TAG_DIRECTIVES_MAX);
        at += 4;
    }
    return true;
}

static void set_root(struct build *b, const struct yaml_node *root, yaml_mark_t mark)
{
    if (!root || (root->kind == YAML_SCALAR && root->plain && root->len == 0 && !root->expanded))
        root = &new_node(b, YAML_MAP, mark)->pub;
    b->doc->root = root;
}

static void build_document(struct build *b)
{
    yaml_event_t event;
    if (!next_event(b, &event)) /* the start of the stream */
        return;
    yaml_event_delete(&event);
    if (!next_event(b, &event))
        return;
    yaml_mark_t mark = event.start_mark;
    bool empty = event.type == YAML_STREAM_END_EVENT;
    yaml_event_delete(&event);
    if (empty) {
        set_root(b, NULL, (yaml_mark_t){0});
        return;
    }
    if (!next_event(b, &event))
        return;
    struct yaml_node *root = build_node(b, &event, 0);
    if (!root || !next_event(b, &event)) /* the end of the document */
        return;
    yaml_event_delete(&event);
    if (!next_event(b, &event))
        return;
    if (event.type != YAML_STREAM_END_EVENT)
        PROBLEM(b, event.start_mark, "expected one document, a second one begins here");
    yaml_event_delete(&event);
    set_root(b, root, mark);
}

static void keep(void *anchor)
{
    (void)anchor; /* the arena's */
}

struct yaml_doc *yaml_parse(const char *text, size_t len, const struct yaml_limits *limits,
                            yaml_lookup lookup, void *arg, struct problems *problems)
{
    if (!text)
        text = "";
    bool bom = len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0;
    struct build b = {.text = bom ? text + 3 : text,
                      .len = bom ? len - 3 : len,
                      .limits = limits,
                      .lookup = lookup,
                      .arg = arg,
                      .problems = problems};
    if (!check_text(&b))
        return NULL;
    if (!yaml_parser_initialize(&b.parser)) {
        problems_add(problems, 0, 0, "out of memory");
        return NULL;
    }
    yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&b.parser, (const unsigned char *)b.text, b.len);
    b.doc = mem_alloc(sizeof(*b.doc));
    build_document(&b);
    yaml_parser_delete(&b.parser);
    tdestroy(b.anchors, keep);
    free(b.stack);
    free(b.entries);
    if (b.doc->root)
        return b.doc;
    yaml_destroy(b.doc);
    return NULL;
}

const struct yaml_node *yaml_root(const struct yaml_doc *doc)
{
    return doc->root;
}

void yaml_destroy(struct yaml_doc *doc)
{
    if (!doc)
        return;
    while (doc->chunks) {
        struct chunk *next = doc->chunks->next;
        free(doc->chunks);
        doc->chunks = next;
    }
    free(doc);
}
