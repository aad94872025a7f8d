/* One plugin as the verb `plugins` shows it, read from its entry alone: a JSON object, and the text
 * for people that is made of that object. Knows no folders.
 */
#include "front/inspect.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PLUGIN_TEXT_SIZE_MAX 4096 /* of one text in an entry */
#define COLUMNS_MAX 100

/* --- An entry as JSON ------------------------------------------------------------------------- */

static const struct capability {
    uint64_t bit;
    const char *name, *words;
} capabilities[] = {
    {VOX_CAP_CLONING, "cloning", "speaks with the voice of a recording"},
    {VOX_CAP_NEEDS_VOICE, "needs_voice", "needs a recording (has no voice of its own)"},
    {VOX_CAP_NEEDS_TRANSCRIPT, "needs_transcript", "needs the recording's transcript"},
    {VOX_CAP_STREAMING, "streaming", "writes audio while it speaks"},
    {VOX_CAP_MARKS, "marks", "reports word times"},
    {VOX_CAP_SEED, "seed", "varies with the seed"},
    {VOX_CAP_SPEED, "speed", "changes its speed"},
    {VOX_CAP_TENSORS, "tensors", "computes with libvoxtensor"},
};
enum { CAPABILITY_COUNT = sizeof(capabilities) / sizeof(capabilities[0]) };

static const char *const option_types[] = {"", "bool", "int", "float", "string", "choice"};

static void add_text(cJSON *object, const char *name, const char *text)
{
    struct str clean = {0};
    if (text)
        plugin_text(text, PLUGIN_TEXT_SIZE_MAX, &clean);
    cJSON_AddItemToObject(object, name,
                          text ? cJSON_CreateString(str_text(&clean)) : cJSON_CreateNull());
    str_finish(&clean);
}

/* "CC-BY-NC-4.0" and the like: a part NC, or the word written out. */
static bool licence_is_non_commercial(const char *licence)
{
    for (const char *part = licence; part && *part;) {
        size_t len = strcspn(part, "- ()+,;/");
        if ((len == 2 && strncasecmp(part, "NC", 2) == 0) ||
            strncasecmp(part, "noncommercial", 13) == 0 ||
            strncasecmp(part, "non-commercial", 14) == 0)
            return true;
        part += len;
        part += strspn(part, "- ()+,;/");
    }
    return false;
}

static cJSON *option_json(const struct vox_option *option)
{
    cJSON *object = cJSON_CreateObject();
    struct str expected = {0};
    struct err err;
    const char *fallback = option->fallback;
    option_expected(option, &expected);
    add_text(object, "name", option->name);
    cJSON_AddStringToObject(object, "type", option_types[option->type]);
    add_text(object, "expected", str_text(&expected));
    if ((option->type == VOX_OPTION_INT || option->type == VOX_OPTION_FLOAT) &&
        (option->minimum != 0 || option->maximum != 0)) {
        cJSON_AddNumberToObject(object, "minimum", option->minimum);
        cJSON_AddNumberToObject(object, "maximum", option->maximum);
    }
    if (option->type == VOX_OPTION_CHOICE) {
        cJSON *choices = cJSON_AddArrayToObject(object, "choices");
        for (size_t i = 0; option->choices[i]; i++)
            cJSON_AddItemToArray(choices, cJSON_CreateString(option->choices[i]));
    }
    cJSON *value =
        fallback ? json_parse(fallback, strlen(fallback), &JSON_LIMITS_DEFAULT, &err) : NULL;
    cJSON_AddItemToObject(object, "default", value ? value : cJSON_CreateNull());
    add_text(object, "help", option->help);
    str_finish(&expected);
    return object;
}

static void add_schema(cJSON *object, const char *name, struct option_schema schema)
{
    cJSON *array = cJSON_AddArrayToObject(object, name);
    for (uint32_t i = 0; i < schema.count; i++)
        cJSON_AddItemToArray(array, option_json(option_at(schema, i)));
}

static void add_voices(cJSON *object, const struct vox_entry *entry)
{
    cJSON *languages = entry->languages ? cJSON_CreateArray() : cJSON_CreateNull();
    for (size_t i = 0; entry->languages && entry->languages[i]; i++)
        cJSON_AddItemToArray(languages, cJSON_CreateString(entry->languages[i]));
    cJSON_AddItemToObject(object, "languages", languages);
    cJSON_AddNumberToObject(object, "sample_rate", entry->sample_rate);
    cJSON_AddNumberToObject(object, "channels", entry->channels);
    cJSON *speakers = cJSON_AddArrayToObject(object, "speakers");
    for (uint32_t i = 0; entry->speakers && i < entry->speaker_count; i++) {
        const struct vox_speaker *speaker = plugin_speaker(entry, i);
        cJSON *item = cJSON_CreateObject();
        add_text(item, "id", speaker->id);
        add_text(item, "language", speaker->language);
        add_text(item, "summary", speaker->summary);
        cJSON_AddItemToArray(speakers, item);
    }
}

static void add_entry(cJSON *object, const struct vox_entry *entry)
{
    char *abi = str_format("%u.%u", entry->abi_major, entry->abi_minor);
    add_text(object, "id", entry->id);
    add_text(object, "version", entry->version);
    add_text(object, "summary", entry->summary);
    cJSON_AddStringToObject(object, "abi", abi);
    add_text(object, "code_licence", entry->code_licence);
    add_text(object, "weights_licence", entry->weights_licence);
    cJSON_AddBoolToObject(object, "non_commercial",
                          licence_is_non_commercial(entry->code_licence) ||
                              licence_is_non_commercial(entry->weights_licence));
    cJSON *can = cJSON_AddArrayToObject(object, "capabilities");
    for (size_t i = 0; i < CAPABILITY_COUNT; i++)
        if (entry->capabilities & capabilities[i].bit)
            cJSON_AddItemToArray(can, cJSON_CreateString(capabilities[i].name));
    add_voices(object, entry);
    add_schema(object, "load_options", plugin_load_schema(entry));
    add_schema(object, "job_options", plugin_job_schema(entry));
    free(abi);
}

cJSON *plugin_sheet_create(const char *path, const char *hidden_by)
{
    cJSON *object = cJSON_CreateObject();
    struct plugin *plugin = NULL;
    struct err err = {0};
    int result = hidden_by ? 0 : plugin_open(path, &plugin, &err);
    add_text(object, "path", path);
    add_text(object, "error", result == 0 ? NULL : err.message);
    add_text(object, "hidden_by", hidden_by);
    if (plugin)
        add_entry(object, plugin_entry(plugin));
    return object;
}

/* --- The same as text ------------------------------------------------------------------------- */

static size_t text_columns(const char *text, size_t len)
{
    size_t columns = 0;
    for (size_t i = 0; i < len; i++)
        columns += ((unsigned char)text[i] & 0xc0u) != 0x80u;
    return columns;
}

/* Appends a line that begins with `label`, its text from `column` on, broken at spaces. */
static void put_line(struct str *out, size_t column, const char *label, const char *text)
{
    size_t at = column;
    str_printf(out, "%-*s", (int)column, label);
    if (text_columns(label, strlen(label)) > column)
        str_printf(out, "\n%*s", (int)column, "");
    for (text += strspn(text, " "); *text; text += strspn(text, " ")) {
        size_t len = strcspn(text, " "), columns = text_columns(text, len);
        if (at > column && at + 1 + columns > COLUMNS_MAX) {
            str_printf(out, "\n%*s", (int)column, "");
            at = column;
        } else if (at > column) {
            str_putc(out, ' ');
            at++;
        }
        str_append(out, text, len);
        at += columns;
        text += len;
    }
    str_putc(out, '\n');
}

enum { LABEL_COLUMN = 14, OPTION_COLUMN = 24 };

static void put_capabilities(struct str *out, const cJSON *plugin)
{
    struct str words = {0};
    const cJSON *name;
    cJSON_ArrayForEach(name, json_get(plugin, "capabilities"))
    {
        for (size_t i = 0; i < CAPABILITY_COUNT; i++)
            if (strcmp(capabilities[i].name, name->valuestring) == 0)
                str_printf(&words, "%s%s", words.len ? "; " : "", capabilities[i].words);
    }
    put_line(out, LABEL_COLUMN, "  can", words.len ? str_text(&words) : "nothing beyond speaking");
    str_finish(&words);
}

static void put_licence(struct str *out, const cJSON *plugin)
{
    const char *code = json_text(plugin, "code_licence"),
               *weights = json_text(plugin, "weights_licence");
    struct str line = {0};
    str_printf(&line, "code: %s; weights: %s%s", code ? code : "not stated",
               weights ? weights : "has none",
               cJSON_IsTrue(json_get(plugin, "non_commercial")) ? "  NOT FOR COMMERCIAL USE" : "");
    put_line(out, LABEL_COLUMN, "  licence", str_text(&line));
    str_finish(&line);
}

static void put_voices(struct str *out, const cJSON *plugin)
{
    struct str line = {0};
    const cJSON *item;
    double rate = json_get(plugin, "sample_rate")->valuedouble;
    double channels = json_get(plugin, "channels")->valuedouble;
    cJSON_ArrayForEach(item, json_get(plugin, "languages"))
        str_printf(&line, "%s%s", line.len ? ", " : "", item->valuestring);
    put_line(out, LABEL_COLUMN, "  languages", line.len ? str_text(&line) : "any");
    str_clear(&line);
    if (rate > 0)
        str_printf(&line, "%.0f Hz, ", rate);
    else
        str_puts(&line, "rate depends on the model, ");
    if (channels > 0)
        str_printf(&line, "%.0f channel%s", channels, channels > 1 ? "s" : "");
    else
        str_puts(&line, "channels depend on the model");
    put_line(out, LABEL_COLUMN, "  audio", str_text(&line));
    const char *label = "  speakers";
    cJSON_ArrayForEach(item, json_get(plugin, "speakers"))
    {
        const char *id = json_text(item, "id"), *language = json_text(item, "language");
        const char *summary = json_text(item, "summary");
        str_clear(&line);
        str_printf(&line, "%s%s%s%s%s%s%s", id ? id : "?", language ? " (" : "",
                   language ? language : "", language ? ")" : "", summary ? ": " : "",
                   summary ? summary : "", label[2] ? "; the default" : "");
        put_line(out, LABEL_COLUMN, label, str_text(&line));
        label = "  ";
    }
    str_finish(&line);
}

static void put_schema(struct str *out, const cJSON *schema, const char *title)
{
    struct str line = {0}, label = {0};
    const cJSON *option;
    str_printf(out, "  %s:%s\n", title, schema->child ? "" : " none");
    cJSON_ArrayForEach(option, schema)
    {
        const cJSON *fallback = json_get(option, "default");
        const char *help = json_text(option, "help");
        str_clear(&line);
        str_clear(&label);
        str_printf(&label, "    %s ", json_text(option, "name"));
        str_puts(&line, json_text(option, "expected"));
        if (!cJSON_IsNull(fallback)) {
            str_puts(&line, "; default ");
            json_write(&line, fallback);
        }
        put_line(out, OPTION_COLUMN, str_text(&label), str_text(&line));
        if (help && *help)
            put_line(out, OPTION_COLUMN, "", help);
    }
    str_finish(&line);
    str_finish(&label);
}

void plugin_sheet_print(const cJSON *plugin, struct str *out)
{
    const char *path = json_text(plugin, "path"), *error = json_text(plugin, "error");
    const char *hidden_by = json_text(plugin, "hidden_by"), *summary = json_text(plugin, "summary");
    if (out->len)
        str_putc(out, '\n');
    if (error || hidden_by) {
        size_t len = strlen(path);
        if (error && strncmp(error, path, len) == 0 && error[len] == ':')
            error += len + 1;
        str_printf(out, "%s\n", fs_name_of(path));
        put_line(out, LABEL_COLUMN, "  path", path);
        put_line(out, LABEL_COLUMN, error ? "  unusable" : "  hidden by",
                 error ? error : hidden_by);
        return;
    }
    str_printf(out, "%s %s\n", json_text(plugin, "id"), json_text(plugin, "version"));
    if (summary && *summary)
        put_line(out, 2, " ", summary);
    put_line(out, LABEL_COLUMN, "  path", path);
    put_line(out, LABEL_COLUMN, "  ABI", json_text(plugin, "abi"));
    put_licence(out, plugin);
    put_capabilities(out, plugin);
    put_voices(out, plugin);
    put_schema(out, json_get(plugin, "load_options"), "load options (models[].options)");
    put_schema(out, json_get(plugin, "job_options"), "job options (options of a job)");
}
