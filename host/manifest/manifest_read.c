/* The table walker: reads one section of the YAML tree, value by value, as its table says, then the
 * environment and the defaults for what the section does not say. Every wrong value is reported at
 * its place and reading goes on. It must not know any key by name.
 */
#include "manifest/manifest_private.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static bool name_fits(const char *text)
{
    size_t len = strlen(text);
    size_t good = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
    return len > 0 && len <= MODEL_TYPE_SIZE_MAX && good == len && !strchr("._-", text[0]);
}

static bool path_fits(const char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++)
        if (iscntrl((unsigned char)text[i]))
            return false;
    return len > 0 && len <= MANIFEST_PATH_SIZE_MAX && text[0] != '~';
}

/* auto, cpu, cuda, cuda:N with N below 1000 and no leading zero. */
static bool device_fits(const char *text)
{
    if (strcmp(text, "auto") == 0 || strcmp(text, "cpu") == 0 || strcmp(text, "cuda") == 0)
        return true;
    if (strncmp(text, "cuda:", 5) != 0)
        return false;
    const char *digits = text + 5;
    size_t len = strlen(digits);
    return len >= 1 && len <= 3 && strspn(digits, "0123456789") == len &&
           (digits[0] != '0' || len == 1);
}

/* Goes into headers and URLs: no control characters. */
static bool line_fits(const char *text)
{
    size_t len = strlen(text);
    if (len == 0 || len > MANIFEST_TEXT_SIZE_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    return true;
}

static bool text_fits(enum key_type type, const char *text)
{
    switch (type) {
    case KEY_NAME:
    case KEY_NAMES:
        return name_fits(text);
    case KEY_DEVICE:
        return device_fits(text);
    case KEY_TEXT:
    case KEY_SECRET:
        return line_fits(text);
    default:
        return path_fits(text);
    }
}

/* Reports "expected integer 1..256, got "fast"". */
static void value_wrong(struct reader *r, const char *label, const struct key_spec *spec,
                        const struct yaml_node *node)
{
    struct str line = {0};
    str_printf(&line, "%s: expected ", label);
    key_expected(spec, &line);
    if (spec->type == KEY_SECRET) {
        str_puts(&line, ", got something else (not shown)");
    } else if (node->kind == YAML_SCALAR) {
        char shown[80];
        cJSON *value = yaml_to_json(node);
        str_printf(&line, ", got %s", json_show(value, shown, sizeof(shown)));
        cJSON_Delete(value);
    } else if (node->kind == YAML_LIST) {
        str_printf(&line, ", got a list of %zu", node->count);
    } else {
        str_puts(&line, ", got a map");
    }
    bool is_path = spec->type == KEY_FILE || spec->type == KEY_DIR || spec->type == KEY_DIRS;
    if (is_path && node->kind == YAML_SCALAR && strncmp(node->text, "~/", 2) == 0)
        str_puts(&line, " (\"~\" is not expanded: use ${HOME})");
    problems_add(r->problems, node->line, node->column, "%s", str_text(&line));
    str_finish(&line);
}

static bool choice_store(const struct key_spec *spec, const char *text, int64_t *slot)
{
    for (size_t i = 0; spec->choices[i]; i++) {
        if (strcmp(spec->choices[i], text) == 0) {
            *slot = (int64_t)spec->min + (int64_t)i;
            return true;
        }
    }
    return false;
}

/* `value` is the scalar, typed; text keys take numbers and booleans as they were written. */
static bool scalar_store(const struct key_spec *spec, const struct yaml_node *node,
                         const cJSON *value, void *slot)
{
    int64_t integer;
    switch (spec->type) {
    case KEY_BOOL:
        *(bool *)slot = cJSON_IsTrue(value);
        return cJSON_IsBool(value);
    case KEY_INT:
        if (!json_int64(value, &integer) || (double)integer < spec->min ||
            (double)integer > spec->max)
            return false;
        *(int64_t *)slot = integer;
        return true;
    case KEY_FLOAT:
        *(double *)slot = value->valuedouble;
        return cJSON_IsNumber(value) && value->valuedouble >= spec->min &&
               value->valuedouble <= spec->max;
    case KEY_CHOICE:
        return choice_store(spec, node->text, slot);
    default:
        if (cJSON_IsNull(value) || !text_fits(spec->type, node->text))
            return false;
        value_free(spec, slot);
        *(char **)slot = mem_copy_text(node->text, node->len);
        return true;
    }
}

static bool list_read(struct reader *r, const char *label, const struct key_spec *spec,
                      const struct yaml_node *node, struct text_list *slot)
{
    if (node->kind != YAML_LIST || (double)node->count > spec->max) {
        value_wrong(r, label, spec, node);
        return false;
    }
    struct key_spec item_spec = *spec;
    item_spec.type = spec->type == KEY_NAMES ? KEY_NAME : KEY_DIR;
    struct text_list list = {mem_alloc_array(node->count, sizeof(char *)), node->count};
    bool ok = true;
    for (size_t i = 0; i < node->count; i++) {
        char *item_label = str_format("%s[%zu]", label, i);
        ok = value_read(r, item_label, &item_spec, node->items[i], &list.items[i]) && ok;
        free(item_label);
    }
    if (ok) {
        value_free(spec, slot);
        *slot = list;
    } else {
        value_free(spec, &list);
    }
    return ok;
}

/* Options go to a plugin, which checks them; here only that their names can be written and
 * shown. */
static bool option_names_check(struct reader *r, const char *label, const struct yaml_node *node)
{
    for (size_t i = 0; i < node->count; i++) {
        const struct yaml_node *key = node->kind == YAML_MAP ? node->keys[i] : NULL;
        if (key && (key->len == 0 || key->len > OPTION_NAME_SIZE_MAX)) {
            problems_add(r->problems, key->line, key->column,
                         "%s: expected option names of 1 to %d bytes", label, OPTION_NAME_SIZE_MAX);
            return false;
        }
        if (!option_names_check(r, label, node->items[i]))
            return false;
    }
    return true;
}

bool value_read(struct reader *r, const char *label, const struct key_spec *spec,
                const struct yaml_node *node, void *slot)
{
    if (spec->type == KEY_NAMES || spec->type == KEY_DIRS)
        return list_read(r, label, spec, node, slot);
    if (spec->type == KEY_MAP && node->kind == YAML_MAP) {
        if (!option_names_check(r, label, node))
            return false;
        value_free(spec, slot);
        *(cJSON **)slot = yaml_to_json(node);
        return true;
    }
    bool ok = false;
    if (spec->type != KEY_MAP && node->kind == YAML_SCALAR) {
        cJSON *value = yaml_to_json(node);
        ok = scalar_store(spec, node, value, slot);
        cJSON_Delete(value);
    }
    if (!ok)
        value_wrong(r, label, spec, node);
    return ok;
}

/* Splits `text` (changed) into scalars; empty items are left out. */
static struct yaml_node *list_split(char *text, char separator, struct yaml_node *list)
{
    size_t cap = 1;
    for (const char *c = text; *c; c++)
        cap += *c == separator;
    struct yaml_node *scalars = mem_alloc_array(cap, sizeof(*scalars));
    list->items = mem_alloc_array(cap, sizeof(struct yaml_node *));
    for (char *item = text, *next; item; item = next) {
        next = strchr(item, separator);
        if (next)
            *next++ = '\0';
        if (*item) {
            struct yaml_node *scalar = &scalars[list->count];
            *scalar = (struct yaml_node){
                .kind = YAML_SCALAR, .plain = true, .text = item, .len = strlen(item)};
            list->items[list->count++] = scalar;
        }
    }
    return scalars;
}

bool value_read_text(struct reader *r, const char *label, const struct key_spec *spec,
                     const char *text, char separator, void *slot)
{
    size_t bad;
    if (!utf8_valid(text, strlen(text), &bad)) {
        problems_add(r->problems, 0, 0, "%s: not valid UTF-8 at byte %zu", label, bad);
        return false;
    }
    char *copy = mem_copy_string(text);
    struct yaml_node node = {.kind = YAML_SCALAR, .plain = true, .text = copy, .len = strlen(copy)};
    struct yaml_node *scalars = NULL;
    if (spec->type == KEY_NAMES || spec->type == KEY_DIRS) {
        node = (struct yaml_node){.kind = YAML_LIST};
        scalars = list_split(copy, separator, &node);
    }
    bool ok = value_read(r, label, spec, &node, slot);
    free(node.items);
    free(scalars);
    free(copy);
    return ok;
}

void hint_append(struct str *out, const char *word, const char *const *candidates, size_t count)
{
    const char *meant = suggest(word, candidates, count);
    if (meant)
        str_printf(out, " (did you mean \"%s\"?)", meant);
}

void key_unknown(struct reader *r, struct place place, const char *label, const struct section *s,
                 const char *name)
{
    const char **names = mem_alloc_array(s->count, sizeof(*names));
    struct str line = {0}, known = {0};
    size_t count = 0;
    for (size_t i = 0; i < s->count; i++) {
        if (s->keys[i].type != KEY_UNSUPPORTED) {
            str_printf(&known, "%s%s", count == 0 ? "" : ", ", s->keys[i].name);
            names[count++] = s->keys[i].name;
        }
    }
    str_printf(&line, "%s: unknown key", label);
    size_t len = line.len;
    hint_append(&line, name, names, count);
    if (line.len == len)
        str_printf(&line, " (known here: %s)", str_text(&known));
    problems_add(r->problems, place.line, place.column, "%s", str_text(&line));
    str_finish(&known);
    str_finish(&line);
    free(names);
}

static void entry_read(struct reader *r, struct part *p, const struct yaml_node *key,
                       const struct yaml_node *value)
{
    struct place place = {key->line, key->column};
    char shown[80];
    size_t len = utf8_cut(key->text, key->len, sizeof(shown) - 1);
    memcpy(shown, key->text, len);
    shown[len] = '\0';
    char *label = part_label(p, shown);
    int found = section_find(p->section, key->text);
    if (found < 0) {
        key_unknown(r, place, label, p->section, key->text);
    } else if (p->section->keys[found].type == KEY_UNSUPPORTED) {
        problems_add(r->problems, place.line, place.column,
                     "%s: unsupported: section \"%s\" is not part of this version", label, label);
    } else {
        const struct key_spec *spec = &p->section->keys[found];
        p->sources[found] = SOURCE_MANIFEST;
        p->places[found] = place;
        if (spec->type < KEY_SECTION)
            value_read(r, label, spec, value, part_slot(p, spec));
    }
    free(label);
}

/* True when the name begins as one of this family does. */
static bool family_has(const char *family, const char *name)
{
    while (*family) {
        size_t len = strcspn(family, " ");
        if (strncmp(name, family, len) == 0)
            return true;
        family += len + (family[len] == ' ');
    }
    return false;
}

/* The first variable of a key, of a family unless that is NULL, that is set to something; *name is
 * the caller's. */
static const char *variable_find(const struct reader *r, const struct key_spec *spec,
                                 const char *family, char **name)
{
    for (const char *at = r->input->getenv ? spec->env : NULL; at && *at;) {
        size_t len = strcspn(at, " ");
        *name = mem_copy_text(at, len);
        const char *text = family && !family_has(family, *name)
                               ? NULL
                               : r->input->getenv(*name, r->input->getenv_arg);
        if (text && text[0])
            return text;
        free(*name);
        at += len + (at[len] == ' ');
    }
    *name = NULL;
    return NULL;
}

/* NULL: none is in use. */
static const char *family_find(const struct reader *r, const struct section *s)
{
    for (const char *const *family = manifest_families; *family; family++) {
        for (size_t i = 0; i < s->count; i++) {
            char *name = NULL;
            if (s->keys[i].flags & KEY_FAMILY_SIGN)
                variable_find(r, &s->keys[i], *family, &name);
            free(name);
            if (name)
                return *family;
        }
    }
    return NULL;
}

/* Variables that others set may have a choice in capitals; NULL: it is no choice of the key. */
static const char *choice_find(const struct key_spec *spec, const char *text)
{
    if (spec->type != KEY_CHOICE)
        return NULL;
    for (size_t i = 0; spec->choices[i]; i++)
        if (text_equal_nocase(spec->choices[i], text))
            return spec->choices[i];
    for (size_t i = 0; spec->lowest && spec->lowest[i]; i++)
        if (text_equal_nocase(spec->lowest[i], text))
            return spec->choices[0];
    return NULL;
}

/* A key that the section does not name; `family` is the one in use, or NULL. */
static void absent_read(struct reader *r, struct part *p, size_t i, const char *family)
{
    const struct key_spec *spec = &p->section->keys[i];
    const char *text = NULL;
    if (!(spec->flags & KEY_FAMILY))
        text = variable_find(r, spec, NULL, &p->variables[i]);
    else if (family)
        text = variable_find(r, spec, family, &p->variables[i]);
    if (text) {
        char *label = str_format("environment variable %s", p->variables[i]);
        const char *choice = choice_find(spec, text);
        p->sources[i] = SOURCE_ENVIRONMENT;
        value_read_text(r, label, spec, choice ? choice : text, ':', part_slot(p, spec));
        free(label);
    } else if (spec->fallback) {
        value_read_text(r, spec->name, spec, spec->fallback, ',', part_slot(p, spec));
    } else if (spec->type == KEY_MAP) {
        *(cJSON **)part_slot(p, spec) = cJSON_CreateObject();
    } else if (spec->flags & KEY_REQUIRED) {
        struct str expected = {0};
        char *label = part_label(p, spec->name);
        key_expected(spec, &expected);
        problems_add(r->problems, p->place.line, p->place.column, "%s: missing, expected %s", label,
                     str_text(&expected));
        free(label);
        str_finish(&expected);
    }
}

void part_read(struct reader *r, struct part *p, const struct yaml_node *map)
{
    if (map && map->kind != YAML_MAP) {
        const char *got = map->kind == YAML_LIST ? "a list" : map->len ? "text" : "nothing";
        problems_add(r->problems, map->line, map->column, "%s: expected a map of keys, got %s",
                     p->path, got);
        return;
    }
    for (size_t i = 0; map && i < map->count; i++)
        entry_read(r, p, map->keys[i], map->items[i]);
    const char *family = family_find(r, p->section);
    for (size_t i = 0; i < p->section->count; i++)
        if (p->sources[i] == SOURCE_DEFAULT)
            absent_read(r, p, i, family);
}
