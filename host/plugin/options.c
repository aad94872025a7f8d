/* Checks option values against a plugin's schema, so that a plugin sees only what it can use. */
#include "plugin/plugin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct option_schema plugin_load_schema(const struct vox_entry *entry)
{
    return (struct option_schema){entry->load_options, entry->load_option_count,
                                  entry->load_option_size};
}

struct option_schema plugin_job_schema(const struct vox_entry *entry)
{
    return (struct option_schema){entry->job_options, entry->job_option_count,
                                  entry->job_option_size};
}

const struct vox_option *option_at(struct option_schema schema, uint32_t index)
{
    const char *base = (const char *)schema.options;
    return (const struct vox_option *)(const void *)(base + (size_t)index * schema.stride);
}

static bool is_limited(const struct vox_option *option)
{
    return option->minimum != 0 || option->maximum != 0;
}

void option_expected(const struct vox_option *option, struct str *out)
{
    switch (option->type) {
    case VOX_OPTION_BOOL:
        str_puts(out, "true or false");
        return;
    case VOX_OPTION_INT:
    case VOX_OPTION_FLOAT:
        str_puts(out, option->type == VOX_OPTION_INT ? "integer" : "number");
        if (is_limited(option)) {
            str_putc(out, ' ');
            json_write_number(out, option->minimum);
            str_puts(out, "..");
            json_write_number(out, option->maximum);
        }
        return;
    case VOX_OPTION_CHOICE:
        str_puts(out, "one of ");
        for (size_t i = 0; option->choices[i]; i++)
            str_printf(out, "%s%s", i ? ", " : "", option->choices[i]);
        return;
    default:
        str_puts(out, "string");
    }
}

/* --- One value -------------------------------------------------------------------------------- */

static bool read_number(const struct vox_option *option, const cJSON *given,
                        struct vox_value *value)
{
    if (!cJSON_IsNumber(given))
        return false;
    value->number = given->valuedouble;
    if (option->type == VOX_OPTION_INT) {
        if (!json_int64(given, &value->integer))
            return false;
        value->number = (double)value->integer;
    }
    return !is_limited(option) ||
           (value->number >= option->minimum && value->number <= option->maximum);
}

static void keep_string(struct vox_value *value, const char *text)
{
    value->string.size = strlen(text);
    value->string.data = mem_copy_string(text);
}

static bool read_value(const struct vox_option *option, const cJSON *given, struct vox_value *value)
{
    switch (option->type) {
    case VOX_OPTION_BOOL:
        value->integer = cJSON_IsTrue(given);
        return cJSON_IsBool(given);
    case VOX_OPTION_INT:
    case VOX_OPTION_FLOAT:
        return read_number(option, given, value);
    case VOX_OPTION_CHOICE:
        for (int64_t i = 0; cJSON_IsString(given) && option->choices[i]; i++) {
            if (strcmp(option->choices[i], given->valuestring) == 0) {
                value->integer = i;
                keep_string(value, given->valuestring);
                return true;
            }
        }
        return false;
    default:
        if (!cJSON_IsString(given))
            return false;
        keep_string(value, given->valuestring);
        return true;
    }
}

/* Text from CSV as what the option wants, and a number from YAML as the text that it was. NULL: as
 * it is. */
static cJSON *loosen(const struct vox_option *option, const cJSON *given)
{
    bool wants_text = option->type == VOX_OPTION_STRING || option->type == VOX_OPTION_CHOICE;
    if (wants_text)
        return cJSON_IsNumber(given) && given->valuestring ? cJSON_CreateString(given->valuestring)
                                                           : NULL;
    if (!cJSON_IsString(given))
        return NULL;
    const char *text = given->valuestring;
    if (option->type == VOX_OPTION_BOOL)
        return strcmp(text, "true") == 0    ? cJSON_CreateTrue()
               : strcmp(text, "false") == 0 ? cJSON_CreateFalse()
                                            : NULL;
    return json_number_valid(text, strlen(text)) ? json_create_number(text) : NULL;
}

static int check_value(const struct vox_option *option, const cJSON *given, bool loose,
                       struct vox_value *value, struct err *err)
{
    cJSON *loosened = loose ? loosen(option, given) : NULL;
    bool good = read_value(option, loosened ? loosened : given, value);
    cJSON_Delete(loosened);
    if (good) {
        value->is_set = 1;
        return 0;
    }
    struct str expected = {0};
    char shown[128], field[128];
    option_expected(option, &expected);
    snprintf(field, sizeof(field), "options.%s", option->name);
    err_set(err, ERR_INVALID, field, "expected %s, got %s", str_text(&expected),
            option->type == VOX_OPTION_STRING ? json_kind(given) /* a secret may stand there */
                                              : json_show(given, shown, sizeof(shown)));
    str_finish(&expected);
    return ERR_INVALID;
}

/* --- The set ---------------------------------------------------------------------------------- */

static const struct vox_option *find(struct option_schema schema, const char *name)
{
    for (uint32_t i = 0; i < schema.count; i++)
        if (strcmp(option_at(schema, i)->name, name) == 0)
            return option_at(schema, i);
    return NULL;
}

static int check_names(struct option_schema schema, const cJSON *given, struct err *err)
{
    const cJSON *member;
    if (!given)
        return 0;
    if (!cJSON_IsObject(given))
        return err_set(err, ERR_INVALID, "options", "expected an object of options, got %s",
                       json_kind(given));
    cJSON_ArrayForEach(member, given)
    {
        if (find(schema, member->string))
            continue;
        const char **names = mem_alloc_array(schema.count, sizeof(*names));
        for (uint32_t i = 0; i < schema.count; i++)
            names[i] = option_at(schema, i)->name;
        const char *meant = suggest(member->string, names, schema.count);
        struct str text = {0};
        if (meant)
            str_printf(&text, "did you mean \"%s\"?", meant);
        else
            str_puts(&text, schema.count ? "it has: " : "it has none");
        for (uint32_t i = 0; !meant && i < schema.count; i++)
            str_printf(&text, "%s%s", i ? ", " : "", names[i]);
        char field[128];
        snprintf(field, sizeof(field), "options.%s", member->string);
        err_set(err, ERR_INVALID, field, "unknown option of this model (%s)", str_text(&text));
        str_finish(&text);
        free(names);
        return ERR_INVALID;
    }
    return 0;
}

static const cJSON *present(const cJSON *object, const char *name)
{
    const cJSON *value = object ? json_get(object, name) : NULL;
    return value && !cJSON_IsNull(value) ? value : NULL;
}

static int check_option(const struct vox_option *option, const cJSON *given, const cJSON *defaults,
                        bool loose, struct vox_value *value, struct err *err)
{
    const cJSON *chosen = present(given, option->name);
    value->type = option->type;
    if (chosen)
        return check_value(option, chosen, loose, value, err);
    chosen = present(defaults, option->name);
    if (chosen)
        return check_value(option, chosen, false, value, err);
    if (!option->fallback)
        return 0;
    cJSON *fallback =
        json_parse(option->fallback, strlen(option->fallback), &JSON_LIMITS_DEFAULT, err);
    if (!fallback) {
        snprintf(err->field, sizeof(err->field), "options.%s", option->name);
        return err->code;
    }
    int result = check_value(option, fallback, false, value, err);
    cJSON_Delete(fallback);
    return result;
}

int options_check(struct option_schema schema, const cJSON *given, const cJSON *defaults,
                  bool loose, struct option_set *set, struct err *err)
{
    *set =
        (struct option_set){mem_alloc_array(schema.count, sizeof(struct vox_value)), schema.count};
    int result = check_names(schema, given, err);
    if (result == 0)
        result = check_names(schema, defaults, err);
    for (uint32_t i = 0; i < schema.count && result == 0; i++)
        result = check_option(option_at(schema, i), given, defaults, loose, &set->values[i], err);
    if (result != 0)
        option_set_finish(set);
    return result;
}

void option_set_finish(struct option_set *set)
{
    for (uint32_t i = 0; i < set->count; i++)
        free((void *)set->values[i].string.data);
    free(set->values);
    *set = (struct option_set){0};
}

void option_set_write(struct option_schema schema, const struct option_set *set, struct str *out)
{
    bool first = true;
    str_putc(out, '{');
    for (uint32_t i = 0; i < set->count; i++) {
        const struct vox_value *value = &set->values[i];
        const char *name = option_at(schema, i)->name;
        if (!value->is_set)
            continue;
        if (!first)
            str_putc(out, ',');
        first = false;
        json_write_string(out, name, strlen(name));
        str_putc(out, ':');
        if (value->type == VOX_OPTION_BOOL)
            str_puts(out, value->integer ? "true" : "false");
        else if (value->type == VOX_OPTION_INT)
            str_printf(out, "%lld", (long long)value->integer);
        else if (value->type == VOX_OPTION_FLOAT)
            json_write_number(out, value->number);
        else
            json_write_string(out, value->string.data, value->string.size);
    }
    str_putc(out, '}');
}
