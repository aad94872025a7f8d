/* The verb `voices`: the library of voices below paths.voices, from the command line. Opens no
 * plugin. */
#include "front/inspect.h"
#include "voice/voice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    ACTION_LIST,
    ACTION_ADD,
    ACTION_SHOW,
    ACTION_RM,
    ACTION_EXPORT,
    ACTION_IMPORT,
    ACTION_COUNT
};

static const char *const action_names[ACTION_COUNT] = {"list", "add",    "show",
                                                       "rm",   "export", "import"};

struct voices_arguments {
    struct app_arguments common;
    int action;          /* -1: not read yet */
    const char *subject; /* an id, or import's file */
    const char *audio, *text, *text_file, *language, *name, *consent, *output, *as;
    cJSON *metadata;
    bool json, replace;
    unsigned allowed; /* the actions that every option given so far belongs to */
};

/* --- Printing --------------------------------------------------------------------------------- */

static void print_line(const char *label, const char *text, struct str *out)
{
    if (text)
        str_printf(out, "  %-11s %s\n", label, text);
}

static void print_voice(const struct voice_entry *entry, const struct text_list *profiles,
                        struct str *out)
{
    char *sound = entry->is_plain ? str_format("%s, %llu bytes", entry->format,
                                               (unsigned long long)entry->reference.bytes)
                                  : str_format("%s, %.2f s, %u Hz, %u channel%s", entry->format,
                                               entry->duration_s, entry->sample_rate,
                                               entry->channels, entry->channels == 1 ? "" : "s");
    struct str metadata = {0};
    if (entry->metadata)
        json_write(&metadata, entry->metadata);
    str_printf(out, "%s\n", entry->id);
    print_line("name", strcmp(entry->name, entry->id) == 0 ? NULL : entry->name, out);
    print_line("language", entry->language, out);
    print_line("recording", sound, out);
    print_line("transcript", entry->transcript, out);
    print_line("consent", entry->consent, out);
    print_line("metadata", metadata.data, out);
    print_line("created", entry->created[0] ? entry->created : NULL, out);
    print_line("updated", entry->updated[0] ? entry->updated : NULL, out);
    for (size_t i = 0; i < profiles->count; i++)
        print_line("profile", profiles->items[i], out);
    free(sound);
    str_finish(&metadata);
}

/* One line a voice. */
static void print_row(const struct voice_entry *entry, struct str *out)
{
    char length[32] = "plain";
    if (!entry->is_plain)
        snprintf(length, sizeof(length), "%.1f s", entry->duration_s);
    str_printf(out, "%-24s %-8s %9s  %s%s\n", entry->id, entry->language ? entry->language : "-",
               length, entry->transcript ? "" : "(no transcript) ",
               strcmp(entry->name, entry->id) == 0 ? "" : entry->name);
}

static void print_json(const struct voice_entry *entry, const struct text_list *profiles,
                       struct str *out)
{
    voice_entry_write(entry, out);
    if (profiles) {
        out->len--; /* the brace */
        str_puts(out, ",\"profiles\":[");
        for (size_t i = 0; i < profiles->count; i++) {
            str_puts(out, i ? "," : "");
            json_write_string(out, profiles->items[i], strlen(profiles->items[i]));
        }
        str_puts(out, "]}");
    }
}

/* --- The actions ------------------------------------------------------------------------------ */

static int list_voices(const struct voices_arguments *arguments, const char *dir, struct str *out,
                       struct err *err)
{
    struct voice_list list;
    int result = voice_library_list(dir, NULL, 0, &list, err);
    if (result != 0)
        return result;
    str_puts(out, arguments->json ? "{\"voices\":[" : "");
    for (size_t i = 0; i < list.count; i++) {
        if (arguments->json) {
            str_puts(out, i ? "," : "");
            voice_entry_write(&list.items[i], out);
        } else {
            print_row(&list.items[i], out);
        }
    }
    if (arguments->json)
        str_printf(out, "],\"count\":%zu}\n", list.count);
    else if (list.total == 0)
        str_printf(out, "No voices in %s\n", dir);
    for (size_t i = 0; i < list.unreadable.count; i++)
        result = err_set(err, ERR_INVALID, NULL, "%s%s", list.unreadable.items[i],
                         list.unreadable.count > 1 ? " (and others)" : "");
    voice_list_finish(&list);
    return result;
}

static int show_voice(const struct voices_arguments *arguments, const char *dir, struct str *out,
                      struct err *err)
{
    struct voice_entry entry;
    struct text_list profiles = {0};
    int result = voice_library_get(dir, arguments->subject, &entry, err);
    if (result != 0)
        return result;
    voice_library_profiles(dir, &entry, &profiles);
    if (arguments->json) {
        print_json(&entry, &profiles, out);
        str_putc(out, '\n');
    } else {
        print_voice(&entry, &profiles, out);
    }
    text_list_finish(&profiles);
    voice_entry_finish(&entry);
    return 0;
}

static void print_taken(const struct voices_arguments *arguments, struct voice_entry *entry,
                        struct str *out)
{
    struct text_list none = {0};
    if (arguments->json) {
        voice_entry_write(entry, out);
        str_putc(out, '\n');
    } else {
        print_voice(entry, &none, out);
    }
    voice_entry_finish(entry);
}

/* A recording that lies in the manifest's storage. */
static int read_object(const char *url, const struct manifest *manifest, struct str *bytes,
                       struct err *err)
{
    const struct manifest_storage *place = &manifest->storage;
    struct storage *storage = NULL;
    const char *key = storage_key_of(place, url);
    int result = 0;
    if (place->type == STORAGE_NONE)
        return err_set(err, ERR_UNSUPPORTED, "audio",
                       "unsupported: there is no storage to read objects from (the manifest's "
                       "`storage`)");
    if (!key)
        return err_set(err, ERR_INVALID, "audio",
                       "expected an object of the manifest's own bucket, s3://%s/KEY",
                       place->bucket ? place->bucket : "storage");
    result = storage_open(place, &storage, err);
    if (result == 0)
        result =
            storage_read(storage, key, (size_t)manifest->host.fetch_mb_max << 20, NULL, bytes, err);
    storage_close(storage);
    return result;
}

static int add_voice(const struct voices_arguments *arguments, const struct manifest *manifest,
                     struct str *out, struct err *err)
{
    char *here = fs_current_dir();
    struct voice_entry entry;
    struct str text = {0}, recording = {0};
    struct voice_import import = {
        .id = arguments->subject,
        .name = arguments->name,
        .audio = arguments->audio,
        .base_dir = here,
        .fetch = {manifest->host.fetch_private, manifest->host.fetch_timeout_s,
                  (size_t)manifest->host.fetch_mb_max << 20, NULL},
        .transcript = arguments->text,
        .language = arguments->language,
        .consent = arguments->consent,
        .metadata = arguments->metadata,
        .replace = arguments->replace,
    };
    int result = 0;
    if (strncmp(arguments->audio, "s3://", 5) == 0) {
        result = read_object(arguments->audio, manifest, &recording, err);
        import.audio = NULL;
        import.data = recording.data;
        import.len = recording.len;
    }
    if (result == 0 && arguments->text_file) {
        result = fs_read_text(arguments->text_file, VOICE_TRANSCRIPT_BYTES_MAX, &text, err);
        while (text.len && strchr(" \t\r\n", text.data[text.len - 1]))
            text.data[--text.len] = '\0';
        if (result == 0 && strlen(str_text(&text)) != text.len)
            result =
                err_set(err, ERR_INVALID, "transcript", "%s: has a NUL byte", arguments->text_file);
        import.transcript = str_text(&text);
    }
    if (result == 0)
        result = voice_library_put(manifest->paths.voices, &import, &entry, err);
    if (result == 0)
        print_taken(arguments, &entry, out);
    str_finish(&text);
    str_finish(&recording);
    free(here);
    return result;
}

static int remove_voice(const struct voices_arguments *arguments, const struct manifest *manifest,
                        struct err *err)
{
    struct err note = {0};
    int result = voice_library_remove(manifest->paths.voices, arguments->subject, err);
    if (result == 0 && manifest->storage.type != STORAGE_NONE) {
        err_set(&note, ERR_UNSUPPORTED, NULL,
                "what the storage has of the voice stays there: to remove it too, delete a voice "
                "with the operation voice_delete");
        app_complain(&note);
    }
    return result;
}

/* Under another name first: an export that failed leaves nothing. */
static int export_voice(const struct voices_arguments *arguments, const char *dir, struct err *err)
{
    struct str bytes = {0};
    int result = voice_library_export(dir, arguments->subject, &bytes, err);
    char *temp = str_format("%s.%llx.part", arguments->output, (unsigned long long)random_u64());
    if (result == 0 && strcmp(arguments->output, "-") == 0) {
        if (fs_write_all(STDOUT_FILENO, bytes.data, bytes.len) != 0)
            result = err_set(err, ERR_STORAGE, NULL, "standard output cannot be written");
    } else if (result == 0) {
        result = fs_write_file(temp, bytes.data, bytes.len, err);
        if (result == 0 && rename(temp, arguments->output) != 0)
            result = err_set(err, ERR_STORAGE, NULL, "%s: cannot be written", arguments->output);
        if (result != 0)
            unlink(temp);
    }
    free(temp);
    str_finish(&bytes);
    return result;
}

static int import_voice(const struct voices_arguments *arguments, const char *dir, struct str *out,
                        struct err *err)
{
    struct str bytes = {0};
    struct voice_entry entry;
    int result = fs_read_file(arguments->subject, VOICE_PORTABLE_BYTES_MAX, &bytes, err);
    if (result == 0) {
        result = voice_library_import(dir, str_text(&bytes), bytes.len, arguments->as,
                                      arguments->replace, &entry, err);
        if (result == 0)
            print_taken(arguments, &entry, out);
        else if (!err->field[0])
            err_prefix(err, "%s", arguments->subject);
    }
    str_finish(&bytes);
    return result;
}

static int act(const struct voices_arguments *arguments, const struct manifest *manifest,
               const struct log *log, struct str *out, struct err *err)
{
    const char *dir = manifest->paths.voices;
    bool takes = arguments->action == ACTION_ADD || arguments->action == ACTION_IMPORT;
    if (takes && fs_check_room(dir, 0, manifest->host.min_free_mb, log, err) != 0)
        return err->code;
    switch (arguments->action) {
    case ACTION_ADD:
        return add_voice(arguments, manifest, out, err);
    case ACTION_SHOW:
        return show_voice(arguments, dir, out, err);
    case ACTION_RM:
        return remove_voice(arguments, manifest, err);
    case ACTION_EXPORT:
        return export_voice(arguments, dir, err);
    case ACTION_IMPORT:
        return import_voice(arguments, dir, out, err);
    default:
        return list_voices(arguments, dir, out, err);
    }
}

/* --- Arguments -------------------------------------------------------------------------------- */

enum { KEY_TEXT_FILE = 256, KEY_CONSENT, KEY_META, KEY_REPLACE, KEY_AS };

#define OF(action) (1u << (action))

/* Which action an option belongs to. */
static unsigned actions_of(int key)
{
    switch (key) {
    case 'a':
    case 't':
    case KEY_TEXT_FILE:
    case 'l':
    case 'n':
    case KEY_CONSENT:
    case KEY_META:
        return OF(ACTION_ADD);
    case KEY_REPLACE:
        return OF(ACTION_ADD) | OF(ACTION_IMPORT);
    case KEY_AS:
        return OF(ACTION_IMPORT);
    case 'o':
        return OF(ACTION_EXPORT);
    case 'j':
        return OF(ACTION_LIST) | OF(ACTION_SHOW) | OF(ACTION_ADD) | OF(ACTION_IMPORT);
    default:
        return ~0u;
    }
}

static void add_metadata(struct voices_arguments *arguments, const char *pair,
                         struct argp_state *state)
{
    const char *equals = strchr(pair, '=');
    if (!equals || equals == pair)
        argp_error(state, "--meta: expected KEY=VALUE, got \"%s\"", pair);
    char *key = mem_copy_text(pair, (size_t)(equals - pair));
    if (!arguments->metadata)
        arguments->metadata = cJSON_CreateObject();
    if (json_get(arguments->metadata, key))
        argp_error(state, "--meta: \"%s\" is given twice", key);
    cJSON_AddStringToObject(arguments->metadata, key, equals + 1);
    free(key);
}

static void take_word(struct voices_arguments *arguments, const char *word,
                      struct argp_state *state)
{
    if (arguments->action >= 0 && arguments->subject)
        argp_error(state, "too many arguments: \"%s\"", word);
    if (arguments->action >= 0) {
        arguments->subject = word;
        return;
    }
    for (int i = 0; i < ACTION_COUNT; i++)
        if (strcmp(word, action_names[i]) == 0)
            arguments->action = i;
    if (arguments->action < 0) {
        const char *meant = suggest(word, action_names, ACTION_COUNT);
        argp_error(state,
                   "unknown action \"%s\"%s%s%s, expected list, add, show, rm, export or import",
                   word, meant ? " (did you mean \"" : "", meant ? meant : "", meant ? "\"?)" : "");
    }
}

static void check_words(const struct voices_arguments *arguments, struct argp_state *state)
{
    int action = arguments->action;
    if (action < 0)
        argp_error(state, "expected an action: list, add, show, rm, export or import");
    if (!(arguments->allowed & OF(action)))
        argp_error(state, "an option that was given is not one of \"%s\"", action_names[action]);
    if (action == ACTION_LIST && arguments->subject)
        argp_error(state, "list takes no argument; show does");
    if (action == ACTION_ADD && !arguments->subject && !arguments->name)
        argp_error(state, "add: expected an ID, or --name");
    if (action == ACTION_ADD && !arguments->audio)
        argp_error(state, "add: expected --audio FILE or URL");
    if (arguments->text && arguments->text_file)
        argp_error(state, "add: --text and --text-file exclude each other");
    if (action > ACTION_ADD && !arguments->subject)
        argp_error(state, "%s: expected %s", action_names[action],
                   action == ACTION_IMPORT ? "a FILE" : "an ID");
    if (action == ACTION_EXPORT && !arguments->output)
        argp_error(state, "export: expected -o FILE");
}

static error_t parse(int key, char *argument, struct argp_state *state)
{
    struct voices_arguments *arguments = state->input;
    const struct {
        int key;
        const char **text;
    } texts[] = {
        {'a', &arguments->audio},    {'t', &arguments->text},
        {'l', &arguments->language}, {'n', &arguments->name},
        {'o', &arguments->output},   {KEY_TEXT_FILE, &arguments->text_file},
        {KEY_AS, &arguments->as},    {KEY_CONSENT, &arguments->consent},
    };
    arguments->allowed &= actions_of(key);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (texts[i].key == key) {
            *texts[i].text = argument;
            return 0;
        }
    }
    switch (key) {
    case ARGP_KEY_INIT:
        state->child_inputs[0] = &arguments->common;
        return 0;
    case 'j':
        arguments->json = true;
        return 0;
    case KEY_REPLACE:
        arguments->replace = true;
        return 0;
    case KEY_META:
        add_metadata(arguments, argument, state);
        return 0;
    case ARGP_KEY_ARG:
        take_word(arguments, argument, state);
        return 0;
    case ARGP_KEY_END:
        check_words(arguments, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const struct argp_option options[] = {
    {"audio", 'a', "FILE|URL|OBJECT", 0,
     "add: the recording, OBJECT being s3://BUCKET/KEY in the manifest's storage; its content "
     "decides the format",
     0},
    {"text", 't', "TEXT", 0, "add: what is said in the recording; default: the .txt beside FILE",
     0},
    {"text-file", KEY_TEXT_FILE, "FILE", 0, "add: a UTF-8 file with what is said", 0},
    {"language", 'l', "TAG", 0, "add: of the recording, such as \"en\" or \"pt-BR\"", 0},
    {"name", 'n', "NAME", 0, "add: for people; without an ID the id is made of it", 0},
    {"consent", KEY_CONSENT, "NOTE", 0, "add: who allowed this voice to be used, and for what", 0},
    {"meta", KEY_META, "KEY=VALUE", 0, "add: anything else to keep with it; may be repeated", 0},
    {"replace", KEY_REPLACE, NULL, 0, "add, import: in place of the voice of this id", 0},
    {"output", 'o', "FILE", 0, "export: the file to write; \"-\" is standard output", 0},
    {"as", KEY_AS, "ID", 0, "import: under this id", 0},
    {"json", 'j', NULL, 0, "Print JSON", 0},
    {0},
};
static const struct argp_child children[] = {{&app_argp, 0, NULL, 0}, {0}};
static const struct argp argp = {
    options,
    parse,
    "list\nadd [ID] --audio FILE|URL|OBJECT\nshow ID\nrm ID\nexport ID -o FILE\nimport FILE",
    "Keep the voices that models clone: recordings with their transcripts, below paths.voices. A "
    "job "
    "names one by its id as its \"voice\".\v"
    "A voice is added or replaced as a whole or not at all; several processes may use one library "
    "at the same time. What models make of a voice is kept beside it and goes when it is replaced. "
    "A plain NAME.wav with NAME.txt in the folder is a voice as well. m4a and webm need the "
    "program "
    "ffmpeg. An exported file is a tar with checksums that can be imported elsewhere.\n\n"
    "Exit codes: 0 done; 1 there is no such voice, or it cannot be taken in; 2 wrong use or "
    "manifest.\n\n"
    "Examples:\n"
    "  voxhost voices add anna --audio anna.wav --text \"What she says in it.\" --language en\n"
    "  voxhost voices list --json | jq -r '.voices[].id'\n"
    "  voxhost voices export anna -o anna.voice.tar",
    children,
    NULL,
    NULL,
};

int verb_voices(int argc, char **argv)
{
    struct voices_arguments arguments = {.action = -1, .allowed = ~0u};
    struct str text = {0};
    struct err err = {0};
    struct app app;
    app_parse(&argp, "voices", argc, argv, &arguments);
    int exit_code = app_open(&app, &arguments.common);
    if (exit_code != 0)
        return exit_code;
    if (act(&arguments, app.manifest, &app.log, &text, &err) != 0) {
        app_complain(&err);
        exit_code = EXIT_JOBS_FAILED;
    }
    exit_code = inspect_print(&text, exit_code);
    cJSON_Delete(arguments.metadata);
    str_finish(&text);
    return app_close(&app, exit_code);
}
