/* Shows a manifest: every key's effective value with where it came from, as YAML that reads back as
 * a manifest or as JSON; and the reference of all keys. Both walk the tables. It changes nothing.
 */
#include "manifest/manifest_private.h"

#include <string.h>

/* --- values --- */

static bool name_is_secret(const char *name)
{
    static const char *const endings[] = {"key", "token", "secret", "password"};
    size_t len = strlen(name);
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        size_t size = strlen(endings[i]);
        if (len >= size && text_equal_nocase(name + len - size, endings[i]))
            return true;
    }
    return false;
}

static void secrets_hide(cJSON *node)
{
    for (cJSON *item = node->child, *next; item; item = next) {
        next = item->next;
        if (item->string && name_is_secret(item->string))
            cJSON_ReplaceItemInObjectCaseSensitive(node, item->string, cJSON_CreateString("***"));
        else
            secrets_hide(item);
    }
}

/* The effective value of a key; NULL where it has none. The caller's. */
static cJSON *value_json(const struct part *p, const struct key_spec *spec)
{
    const void *slot = part_slot(p, spec);
    const struct text_list *list = slot;
    struct str number = {0};
    cJSON *value = NULL;
    switch (spec->type) {
    case KEY_BOOL:
        return cJSON_CreateBool(*(const bool *)slot);
    case KEY_INT:
        return json_create_int64(*(const int64_t *)slot);
    case KEY_CHOICE:
        return cJSON_CreateString(spec->choices[*(const int64_t *)slot - (int64_t)spec->min]);
    case KEY_FLOAT:
        json_write_number(&number, *(const double *)slot);
        value = json_create_number(str_text(&number));
        str_finish(&number);
        return value;
    case KEY_NAMES:
    case KEY_DIRS:
        value = cJSON_CreateArray();
        for (size_t i = 0; i < list->count; i++)
            cJSON_AddItemToArray(value, cJSON_CreateString(list->items[i]));
        return value;
    case KEY_MAP:
        value = cJSON_Duplicate(*(cJSON *const *)slot, true);
        secrets_hide(value);
        return value;
    case KEY_SECRET:
        return *(char *const *)slot ? cJSON_CreateString("***") : NULL;
    default:
        return *(char *const *)slot ? cJSON_CreateString(*(char *const *)slot) : NULL;
    }
}

/* --- YAML --- */

/* Double quotes, with whatever YAML does not take as it is escaped. ${} is expanded in values, not
 * in keys. */
static void yaml_quote(struct str *out, const char *text, bool is_key)
{
    str_putc(out, '"');
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        unsigned wide = 0; /* a two- or three-byte character that must be escaped */
        if (c[0] == 0xc2 && c[1] < 0xa0)
            wide = c[1];
        else if (c[0] >= 0xe0 && c[0] < 0xf0)
            wide = (c[0] & 15u) << 12 | (c[1] & 63u) << 6 | (c[2] & 63u);
        if (*c < 0x20 || *c == 0x7f) {
            str_printf(out, "\\x%02x", *c);
        } else if (wide && (wide < 0xa0 || wide == 0x2028 || wide == 0x2029 || wide >= 0xfeff)) {
            str_printf(out, "\\u%04x", wide);
            c += wide < 0x800 ? 1 : 2;
        } else if (*c == '"' || *c == '\\') {
            str_printf(out, "\\%c", *c);
        } else if (!is_key && c[0] == '$' && c[1] == '{') {
            str_puts(out, "$$");
        } else {
            str_putc(out, (char)*c);
        }
    }
    str_putc(out, '"');
}

/* Text that reads back as itself without quotes. */
static bool text_is_simple(const char *text)
{
    return strspn(text, "/.abcdefghijklmnopqrstuvwxyz") > 0 &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-") ==
               strlen(text) &&
           strcmp(text, "true") != 0 && strcmp(text, "false") != 0 && strcmp(text, "null") != 0;
}

static void yaml_write(struct str *out, const cJSON *node)
{
    if (cJSON_IsString(node)) {
        if (text_is_simple(node->valuestring))
            str_puts(out, node->valuestring);
        else
            yaml_quote(out, node->valuestring, false);
        return;
    }
    if (!cJSON_IsArray(node) && !cJSON_IsObject(node)) {
        json_write(out, node);
        return;
    }
    str_putc(out, cJSON_IsArray(node) ? '[' : '{');
    const cJSON *item;
    cJSON_ArrayForEach(item, node)
    {
        str_puts(out, item == node->child ? "" : ", ");
        if (cJSON_IsObject(node)) {
            yaml_quote(out, item->string, true);
            str_puts(out, ": ");
        }
        yaml_write(out, item);
    }
    str_putc(out, cJSON_IsArray(node) ? ']' : '}');
}

static void source_append(struct str *out, const struct part *p, size_t i)
{
    switch ((enum value_source)p->sources[i]) {
    case SOURCE_DEFAULT:
        str_puts(out, "  # default\n");
        break;
    case SOURCE_ENVIRONMENT:
        str_printf(out, "  # from environment variable %s\n", p->variables[i]);
        break;
    case SOURCE_MANIFEST:
        str_printf(out, "  # from manifest line %d\n", p->places[i].line);
        break;
    case SOURCE_COMMAND_LINE:
        str_puts(out, "  # from the command line\n");
        break;
    }
}

/* `first` stands before the first key that is shown, `rest` before the others. */
static void part_print(const struct part *p, const char *first, const char *rest, struct str *out)
{
    const char *indent = first;
    for (size_t i = 0; i < p->section->count; i++) {
        const struct key_spec *spec = &p->section->keys[i];
        cJSON *value = spec->type < KEY_SECTION ? value_json(p, spec) : NULL;
        if (value) {
            str_printf(out, "%s%s: ", indent, spec->name);
            yaml_write(out, value);
            source_append(out, p, i);
            indent = rest;
        }
        cJSON_Delete(value);
    }
}

static void yaml_print(const struct manifest *m, struct str *out)
{
    const struct part *parts = m->private_parts->parts;
    part_print(&parts[PART_ROOT], "", "", out);
    if (!m->default_model)
        str_puts(out, "# default_model: none\n");
    for (size_t i = PART_PATHS; i < PART_MODELS; i++) {
        str_printf(out, "%s:\n", parts[i].section->name);
        part_print(&parts[i], "  ", "  ", out);
    }
    str_puts(out, "models:\n");
    for (size_t i = 0; i < m->model_count; i++)
        part_print(&parts[PART_MODELS + i], "  - ", "    ", out);
    if (m->jobs)
        str_printf(out, "# jobs: %zu, not shown\n", m->jobs->count);
}

/* --- JSON --- */

static void part_to_json(const struct part *p, cJSON *object)
{
    static const char *const words[] = {"default", "environment", "manifest", "command_line"};
    for (size_t i = 0; i < p->section->count; i++) {
        const struct key_spec *spec = &p->section->keys[i];
        if (spec->type >= KEY_SECTION)
            continue;
        cJSON *entry = cJSON_AddObjectToObject(object, spec->name);
        cJSON *value = value_json(p, spec);
        cJSON_AddItemToObject(entry, "value", value ? value : cJSON_CreateNull());
        cJSON_AddStringToObject(entry, "source", words[p->sources[i]]);
        if (p->sources[i] == SOURCE_MANIFEST)
            cJSON_AddItemToObject(entry, "line", json_create_int64(p->places[i].line));
        else if (p->sources[i] == SOURCE_ENVIRONMENT)
            cJSON_AddStringToObject(entry, "variable", p->variables[i]);
    }
}

static void json_print(const struct manifest *m, struct str *out)
{
    const struct part *parts = m->private_parts->parts;
    cJSON *root = cJSON_CreateObject();
    cJSON_AddStringToObject(root, "file", m->file);
    cJSON_AddStringToObject(root, "dir", m->dir);
    part_to_json(&parts[PART_ROOT], root);
    for (size_t i = PART_PATHS; i < PART_MODELS; i++)
        part_to_json(&parts[i], cJSON_AddObjectToObject(root, parts[i].section->name));
    cJSON *models = cJSON_AddArrayToObject(root, "models");
    for (size_t i = 0; i < m->model_count; i++) {
        cJSON *model = cJSON_CreateObject();
        part_to_json(&parts[PART_MODELS + i], model);
        cJSON_AddItemToArray(models, model);
    }
    cJSON_AddItemToObject(root, "job_count",
                          json_create_int64(m->jobs ? (int64_t)m->jobs->count : 0));
    json_write(out, root);
    str_putc(out, '\n');
    cJSON_Delete(root);
}

void manifest_print(const struct manifest *m, bool json, struct str *out)
{
    if (json)
        json_print(m, out);
    else
        yaml_print(m, out);
}
