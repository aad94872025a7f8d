/* The command line's settings, laid over what the file said: "host.log_level=debug",
 * "models.flite.sessions=2", "models.flite.options.voice=slt". The values are read by the same
 * tables.
 */
#include "manifest/manifest_private.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* One setting, taken apart. */
struct setting {
    char *label; /* "--set host.log_level" */
    char *path;  /* "host.log_level" */
    char *key;   /* within `path`: "log_level", "options.voice" */
    const char *value;
    struct part *part;
};

__attribute__((format(printf, 3, 4))) static void complain(struct reader *r, const char *label,
                                                           const char *format, ...)
{
    struct str line = {0};
    va_list args;
    va_start(args, format);
    str_vprintf(&line, format, args);
    va_end(args);
    problems_add(r->problems, 0, 0, "%s: %s", label, str_text(&line));
    str_finish(&line);
}

/* The model whose model_type begins `rest`, before a dot; a model_type may have dots itself, so the
 * longest wins. */
static struct part *model_part_find(struct reader *r, const char *rest)
{
    struct part *best = NULL;
    size_t best_len = 0;
    for (size_t i = 0; i < r->m->model_count; i++) {
        const char *name = r->m->models[i].model_type;
        size_t len = name ? strlen(name) : 0;
        if (len > best_len && strncasecmp(rest, name, len) == 0 && rest[len] == '.') {
            best = &r->m->private_parts->parts[PART_MODELS + i];
            best_len = len;
        }
    }
    return best;
}

static void model_unknown(struct reader *r, const char *label, const char *rest)
{
    const char **names = mem_alloc_array(r->m->model_count + 1, sizeof(*names));
    size_t count = 0;
    for (size_t i = 0; i < r->m->model_count; i++)
        if (r->m->models[i].model_type)
            names[count++] = r->m->models[i].model_type;
    struct str line = {0};
    char *name = mem_copy_text(rest, strcspn(rest, "."));
    str_printf(&line, "no model_type is \"%s\"", name);
    hint_append(&line, name, names, count);
    complain(r, label, "%s", str_text(&line));
    str_finish(&line);
    free(name);
    free(names);
}

/* Finds the section that the path of `s` begins with. */
static bool section_choose(struct reader *r, struct setting *s)
{
    struct part *parts = r->m->private_parts->parts;
    if (strncmp(s->path, "models.", 7) == 0) {
        s->part = model_part_find(r, s->path + 7);
        if (!s->part) {
            model_unknown(r, s->label, s->path + 7);
            return false;
        }
        s->key = s->path + 7 + strlen(((struct manifest_model *)s->part->base)->model_type) + 1;
        return true;
    }
    s->part = &parts[PART_ROOT];
    s->key = s->path;
    for (size_t i = PART_PATHS; i < PART_MODELS; i++) {
        size_t len = strlen(parts[i].section->name);
        if (strncmp(s->path, parts[i].section->name, len) == 0 && s->path[len] == '.') {
            s->part = &parts[i];
            s->key = s->path + len + 1;
        }
    }
    return true;
}

/* One option: strict JSON where the text begins like a string, list or map, else as in the file. */
static cJSON *option_parse(struct reader *r, const struct setting *s)
{
    size_t bad;
    if (!utf8_valid(s->value, strlen(s->value), &bad)) {
        complain(r, s->label, "not valid UTF-8 at byte %zu", bad);
        return NULL;
    }
    if (s->value[0] && strchr("\"[{", s->value[0])) {
        struct err err;
        cJSON *value = json_parse(s->value, strlen(s->value), &JSON_LIMITS_DEFAULT, &err);
        if (!value)
            complain(r, s->label, "%s", err.message);
        return value;
    }
    char *copy = mem_copy_string(s->value);
    struct yaml_node node = {.kind = YAML_SCALAR, .plain = true, .text = copy, .len = strlen(copy)};
    cJSON *value = yaml_to_json(&node);
    free(copy);
    return value;
}

static void option_set(struct reader *r, const struct setting *s, const char *name, cJSON **map)
{
    size_t bad;
    size_t len = strlen(name);
    if (len == 0 || len > OPTION_NAME_SIZE_MAX || !utf8_valid(name, len, &bad)) {
        complain(r, s->label, "expected option names of 1 to %d bytes", OPTION_NAME_SIZE_MAX);
        return;
    }
    cJSON *value = option_parse(r, s);
    if (!value || !*map) {
        cJSON_Delete(value);
        return;
    }
    cJSON_DeleteItemFromObjectCaseSensitive(*map, name);
    cJSON_AddItemToObject(*map, name, value);
}

static void setting_apply(struct reader *r, struct setting *s)
{
    char *dot = strchr(s->key, '.');
    char *option = NULL;
    int found = section_find(s->part->section, s->key);
    if (found < 0 && dot) {
        *dot = '\0';
        found = section_find(s->part->section, s->key);
        if (found >= 0 && s->part->section->keys[found].type == KEY_MAP) {
            option = dot + 1;
        } else {
            *dot = '.';
            found = -1;
        }
    }
    if (found < 0) {
        key_unknown(r, (struct place){0}, s->label, s->part->section, s->key);
        return;
    }
    const struct key_spec *spec = &s->part->section->keys[found];
    void *slot = part_slot(s->part, spec);
    if (spec->type >= KEY_SECTION || (spec->flags & KEY_FILE_ONLY))
        complain(r, s->label, "can only be said in the manifest");
    else if (option)
        option_set(r, s, option, slot);
    else if (spec->type == KEY_MAP)
        complain(r, s->label, "expected %s.NAME=VALUE", s->path);
    else
        value_read_text(r, s->label, spec, s->value, ',', slot);
    s->part->sources[found] = SOURCE_COMMAND_LINE;
}

void override_apply(struct reader *r, const char *text)
{
    size_t len = strcspn(text, "=");
    if (len == 0 || text[len] == '\0') {
        struct str label = {0};
        str_printf(&label, "--set %.80s", text);
        complain(r, str_text(&label), "expected KEY=VALUE");
        str_finish(&label);
        return;
    }
    struct setting s = {.path = mem_copy_text(text, len), .value = text + len + 1};
    s.label = str_format("--set %.80s", s.path);
    if (section_choose(r, &s))
        setting_apply(r, &s);
    free(s.label);
    free(s.path);
}
