/* Conformance cases on vox_entry: what a host reads before it calls anything. */
#include "plugin/check/cases.h"

#include <string.h>

#define COUNT_MAX 4096     /* of speakers, options, languages, choices */
#define TEXT_SIZE_MAX 1024 /* of any text of the entry */
#define KNOWN_CAPABILITIES ((VOX_CAP_TENSORS << 1) - 1)

enum check_outcome check_entry_magic(struct check_cx *cx)
{
    if (cx->entry->magic == VOX_MAGIC)
        return CHECK_PASS;
    return cx_fail(cx, "vox_entry begins with 0x%08x, expected 0x%08x", cx->entry->magic,
                   VOX_MAGIC);
}

enum check_outcome check_abi_major(struct check_cx *cx)
{
    if (cx->entry->abi_major == VOX_ABI_MAJOR)
        return CHECK_PASS;
    return cx_fail(cx, "built for ABI %u.%u, this host has %d.%d", cx->entry->abi_major,
                   cx->entry->abi_minor, VOX_ABI_MAJOR, VOX_ABI_MINOR);
}

enum check_outcome check_entry_size(struct check_cx *cx)
{
    if (VOX_HAS(cx->entry, speak))
        return CHECK_PASS;
    return cx_fail(cx, "vox_entry has %u bytes, expected %zu or more", cx->entry->size,
                   offsetof(struct vox_entry, speak) + sizeof(cx->entry->speak));
}

enum check_outcome check_required_functions(struct check_cx *cx)
{
    const struct vox_entry *entry = cx->entry;
    const char *missing = !entry->init    ? "init"
                          : !entry->fini  ? "fini"
                          : !entry->open  ? "open"
                          : !entry->close ? "close"
                          : !entry->speak ? "speak"
                                          : NULL;
    return missing ? cx_fail(cx, "vox_entry.%s is NULL", missing) : CHECK_PASS;
}

/* --- Texts ------------------------------------------------------------------------------------ */

static bool is_line(const char *text)
{
    size_t len = strnlen(text, TEXT_SIZE_MAX + 1);
    return len > 0 && len <= TEXT_SIZE_MAX && text_is_line(text, len);
}

static bool is_lower(char c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return is_lower(c) || (c >= 'A' && c <= 'Z');
}

static bool is_id(const char *text)
{
    size_t i = 0;
    while (is_letter(text[i]) || is_digit(text[i]) || text[i] == '-' || text[i] == '_')
        i++;
    return i > 0 && i <= 64 && text[i] == '\0';
}

static bool is_snake_case(const char *text)
{
    size_t i = 0;
    while (is_lower(text[i]) || is_digit(text[i]) || text[i] == '_')
        i++;
    return is_lower(text[0]) && i <= 64 && text[i] == '\0';
}

/* The shape of BCP 47: parts of 1 to 8 letters or digits, the first of 2 to 8 letters. */
static bool is_language(const char *text)
{
    size_t part = 0, letters = 0;
    bool first = true;
    for (size_t i = 0; i <= 35; i++) {
        if (text[i] == '-' || text[i] == '\0') {
            if (part < (first ? 2u : 1u) || part > 8 || (first && letters != part))
                return false;
            if (text[i] == '\0')
                return true;
            first = false;
            part = letters = 0;
        } else if (is_letter(text[i]) || is_digit(text[i])) {
            letters += is_letter(text[i]);
            part++;
        } else {
            return false;
        }
    }
    return false;
}

enum check_outcome check_identity(struct check_cx *cx)
{
    const struct vox_entry *entry = cx->entry;
    const struct {
        const char *name, *text;
    } optional[] = {{"summary", entry->summary},
                    {"code_licence", entry->code_licence},
                    {"weights_licence", entry->weights_licence}};
    if (!entry->id || !is_id(entry->id))
        return cx_fail(cx, "id: expected letters, digits, '-' and '_'");
    if (!entry->version || !is_line(entry->version))
        return cx_fail(cx, "version: expected one line of text");
    for (size_t i = 0; i < sizeof(optional) / sizeof(*optional); i++)
        if (optional[i].text && !is_line(optional[i].text))
            return cx_fail(cx, "%s: expected one line of text, or NULL", optional[i].name);
    return CHECK_PASS;
}

enum check_outcome check_capabilities(struct check_cx *cx)
{
    const struct vox_entry *entry = cx->entry;
    const uint64_t caps = entry->capabilities;
    if (caps & ~KNOWN_CAPABILITIES && entry->abi_minor <= VOX_ABI_MINOR)
        return cx_fail(cx, "capabilities has bits 0x%llx, which ABI %d.%d does not know",
                       (unsigned long long)(caps & ~KNOWN_CAPABILITIES), VOX_ABI_MAJOR,
                       VOX_ABI_MINOR);
    if (caps & (VOX_CAP_NEEDS_VOICE | VOX_CAP_NEEDS_TRANSCRIPT) && !(caps & VOX_CAP_CLONING))
        return cx_fail(cx, "needs a recording, but does not have VOX_CAP_CLONING");
    if (caps & VOX_CAP_NEEDS_VOICE && entry->speaker_count > 0)
        return cx_fail(cx, "has VOX_CAP_NEEDS_VOICE, and speakers of its own");
    if (entry->sample_rate && (entry->sample_rate < 8000 || entry->sample_rate > 192000))
        return cx_fail(cx, "sample_rate is %u, expected 0 or 8000..192000", entry->sample_rate);
    if (entry->channels > 8)
        return cx_fail(cx, "channels is %u, expected 0..8", entry->channels);
    return CHECK_PASS;
}

enum check_outcome check_languages(struct check_cx *cx)
{
    const char *const *languages = cx->entry->languages;
    for (size_t i = 0; languages && languages[i]; i++) {
        if (i >= COUNT_MAX)
            return cx_fail(cx, "more than %d languages, or no NULL at the end", COUNT_MAX);
        if (!is_language(languages[i]))
            return cx_fail(cx, "languages[%zu]: expected BCP 47, such as \"en\" or \"pt-BR\"", i);
        for (size_t j = 0; j < i; j++)
            if (text_equal_nocase(languages[i], languages[j]))
                return cx_fail(cx, "language \"%s\" stands twice", languages[i]);
    }
    return CHECK_PASS;
}

enum check_outcome check_speakers(struct check_cx *cx)
{
    const struct vox_entry *entry = cx->entry;
    const size_t size_min = offsetof(struct vox_speaker, summary) + sizeof(const char *);
    if (entry->speaker_count == 0)
        return CHECK_PASS;
    if (!entry->speakers || entry->speaker_count > COUNT_MAX)
        return cx_fail(cx, "%u speakers at %s", entry->speaker_count,
                       entry->speakers ? "an array" : "NULL");
    if (entry->speaker_size < size_min)
        return cx_fail(cx, "speaker_size is %u, expected %zu or more", entry->speaker_size,
                       size_min);
    for (uint32_t i = 0; i < entry->speaker_count; i++) {
        const struct vox_speaker *speaker = plugin_speaker(entry, i);
        if (!speaker->id || !is_line(speaker->id))
            return cx_fail(cx, "speakers[%u]: has no id", i);
        if (speaker->language && speaker->language[0] && !is_language(speaker->language))
            return cx_fail(cx, "speaker \"%s\": language is not BCP 47", speaker->id);
        if (speaker->summary && !is_line(speaker->summary))
            return cx_fail(cx, "speaker \"%s\": summary is not one line", speaker->id);
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(speaker->id, plugin_speaker(entry, j)->id) == 0)
                return cx_fail(cx, "speaker \"%s\" stands twice", speaker->id);
    }
    return CHECK_PASS;
}

/* --- Option schemas --------------------------------------------------------------------------- */

/* What is wrong with the choices, or NULL. */
static const char *choices_fault(const char *const *choices)
{
    if (!choices || !choices[0])
        return "a choice without choices";
    for (size_t i = 0; choices[i]; i++) {
        if (i >= COUNT_MAX)
            return "too many choices, or no NULL at the end";
        if (!is_line(choices[i]))
            return "a choice is not one line";
        for (size_t j = 0; j < i; j++)
            if (strcmp(choices[i], choices[j]) == 0)
                return "a choice stands twice";
    }
    return NULL;
}

static const char *option_fault(const struct vox_option *option)
{
    if (option->type < VOX_OPTION_BOOL || option->type > VOX_OPTION_CHOICE)
        return "an unknown type";
    if (!option->help || !is_line(option->help))
        return "help is not one line";
    if (!(option->minimum <= option->maximum))
        return "minimum is above maximum";
    return option->type == VOX_OPTION_CHOICE ? choices_fault(option->choices) : NULL;
}

/* The default goes the way of a value that a user gives. */
static bool fallback_fits(const struct vox_option *option, struct err *err)
{
    struct option_schema one = {option, 1, (uint32_t)sizeof(*option)};
    struct option_set set = {0};
    if (!option->fallback)
        return true;
    cJSON *value =
        json_parse(option->fallback, strlen(option->fallback), &JSON_LIMITS_DEFAULT, err);
    cJSON *given = cJSON_CreateObject();
    bool fits = value != NULL && cJSON_AddItemToObject(given, option->name, value) &&
                options_check(one, given, NULL, false, &set, err) == 0;
    option_set_finish(&set);
    cJSON_Delete(given);
    return fits;
}

static enum check_outcome check_schema(struct check_cx *cx, struct option_schema schema,
                                       const char *what)
{
    const size_t size_min = offsetof(struct vox_option, choices) + sizeof(const char *const *);
    struct err err = {0};
    if (schema.count == 0)
        return CHECK_PASS;
    if (!schema.options || schema.count > COUNT_MAX)
        return cx_fail(cx, "%u %s options at %s", schema.count, what,
                       schema.options ? "an array" : "NULL");
    if (schema.stride < size_min)
        return cx_fail(cx, "%s_option_size is %u, expected %zu or more", what, schema.stride,
                       size_min);
    for (uint32_t i = 0; i < schema.count; i++) {
        const struct vox_option *option = option_at(schema, i);
        if (!option->name || !is_snake_case(option->name))
            return cx_fail(cx, "%s option %u: expected a name in snake_case", what, i);
        const char *fault = option_fault(option);
        if (fault)
            return cx_fail(cx, "%s option \"%s\": %s", what, option->name, fault);
        if (!fallback_fits(option, &err))
            return cx_fail(cx, "%s option \"%s\": default: %s", what, option->name, err.message);
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(option->name, option_at(schema, j)->name) == 0)
                return cx_fail(cx, "%s option \"%s\" stands twice", what, option->name);
    }
    return CHECK_PASS;
}

enum check_outcome check_option_schemas(struct check_cx *cx)
{
    enum check_outcome outcome = check_schema(cx, plugin_load_schema(cx->entry), "load");
    return outcome == CHECK_PASS ? check_schema(cx, plugin_job_schema(cx->entry), "job") : outcome;
}

/* --- The host's view -------------------------------------------------------------------------- */

enum check_outcome check_entry_accepted(struct check_cx *cx)
{
    struct err err = {0};
    if (plugin_entry_check(cx->entry, &err) != 0)
        return cx_fail(cx, "%s", err.message);
    return CHECK_PASS;
}

enum check_outcome check_unknown_extension(struct check_cx *cx)
{
    static const char *const ids[] = {"vox.no-such-extension/1", "", "vox.profile/4294967295"};
    if (!VOX_HAS(cx->entry, extension) || !cx->entry->extension)
        return cx_skip(cx, "the plugin has no extension function");
    for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++)
        if (cx->entry->extension(ids[i]))
            return cx_fail(cx, "extension(\"%s\") is not NULL", ids[i]);
    return CHECK_PASS;
}
