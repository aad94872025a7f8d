/* The manifest: what is read, where values come from, what is refused and how it is said. The corpora of
 * tests/e2e/data/manifests run here and, through the real program, end to end.
 */
#include "manifest_helper.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Parses what must be refused with exactly `expected`. */
static void refuse_with(const char *text, const char *const *environment,
                        const char *const *overrides, size_t count, const char *expected)
{
    struct manifest_input input = input_of(environment);
    input.overrides = overrides;
    input.override_count = count;
    struct manifest *m = (struct manifest *)1;
    struct str report = {0};
    int code = manifest_parse(text, strlen(text), "m.yaml", "/base", &input, &m, &report);
    assert_string_equal(str_text(&report), expected);
    assert_true(code < 0);
    assert_null(m);
    str_finish(&report);
}

static void set_refused(const char *override, const char *expected)
{
    refuse_with(MODEL, NULL, &override, 1, expected);
}

static void file_write(const char *dir, const char *name, const void *data, size_t len)
{
    char *path = fs_join(dir, name);
    int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fs_write_all(fd, data, len), 0);
    close(fd);
    free(path);
}

static char *folder_make(void)
{
    char *dir = str_format("%s/manifest_test_XXXXXX", BUILD_DIR);
    assert_non_null(mkdtemp(dir));
    return dir;
}

/* --- what is read --- */

static void minimal_manifest_has_all_defaults(void **state)
{
    (void)state;
    struct manifest *m = parse(MODEL);
    assert_int_equal(m->version, 1);
    assert_null(m->default_model);
    assert_null(m->jobs);
    assert_string_equal(m->file, "m.yaml");
    assert_string_equal(m->dir, "/base");
    assert_string_equal(m->paths.models, "/base/models");
    assert_string_equal(m->paths.cache, "/base/cache");
    assert_string_equal(m->paths.voices, "/base/voices");
    assert_int_equal(m->host.log_level, LOG_INFO);
    assert_int_equal(m->host.log_format, LOG_FORMAT_AUTO);
    assert_int_equal(m->host.concurrency, 0);
    assert_int_equal(m->host.min_free_mb, 64);
    assert_int_equal(m->host.text_bytes_max, 1000000);
    assert_true(m->host.job_timeout_s == 0 && m->host.load_timeout_s == 600);
    assert_true(m->host.cancel_grace_s == 10 && m->host.drain_s == 30);
    assert_int_equal(m->host.plugin_path.count, 0);
    assert_int_equal(m->model_count, 1);
    const struct manifest_model *model = &m->models[0];
    assert_string_equal(model->model_type, "flite");
    assert_string_equal(model->plugin, "flite.so");
    assert_string_equal(model->model_dir, "/base/models/flite");
    assert_string_equal(model->cache_dir, "/base/cache/flite");
    assert_string_equal(model->device, "auto");
    assert_true(model->preload && model->required);
    assert_int_equal(model->sessions, 1);
    assert_int_equal(model->aliases.count, 0);
    assert_true(cJSON_IsObject(model->options) && !model->options->child);
    assert_true(cJSON_IsObject(model->defaults) && !model->defaults->child);
    assert_int_equal(model->line, 3);
    assert_int_equal(model->column, 5);
    manifest_destroy(m);
}

static void every_key_is_read(void **state)
{
    (void)state;
    struct manifest_input input = input_of(NULL);
    input.file = CORPUS "/good/full.yaml";
    struct manifest *m = NULL;
    struct str report = {0};
    assert_int_equal(manifest_load(&input, &m, &report), 0);
    assert_string_equal(m->default_model, "F5-TTS");
    assert_string_equal(m->paths.cache, "/var/cache/voxhost");
    char *dir = fs_absolute("/", CORPUS "/good");
    char *models = fs_join(dir, "m"), *voices = fs_absolute(dir, "../voices");
    char *weights = fs_join(models, "weights/f5"), *plugins = fs_join(dir, "plugins");
    assert_string_equal(m->dir, dir);
    assert_string_equal(m->paths.models, models);
    assert_string_equal(m->paths.voices, voices);
    assert_int_equal(m->host.log_level, LOG_DEBUG);
    assert_int_equal(m->host.log_format, LOG_FORMAT_JSON);
    assert_int_equal(m->host.concurrency, 4);
    assert_int_equal(m->host.min_free_mb, 0);
    assert_int_equal(m->host.text_bytes_max, 5000);
    assert_true(m->host.job_timeout_s == 12.5 && m->host.load_timeout_s == 60);
    assert_true(m->host.cancel_grace_s == 1 && m->host.drain_s == 0);
    assert_int_equal(m->host.plugin_path.count, 2);
    assert_string_equal(m->host.plugin_path.items[0], plugins);
    assert_string_equal(m->host.plugin_path.items[1], "/usr/lib/voxhost/plugins");
    assert_int_equal(m->model_count, 2);
    const struct manifest_model *f5 = &m->models[0];
    assert_int_equal(f5->aliases.count, 2);
    assert_string_equal(f5->aliases.items[1], "f5-tts");
    assert_string_equal(f5->model_dir, weights);
    assert_string_equal(f5->cache_dir, "/var/cache/voxhost/f5");
    assert_string_equal(f5->device, "cuda:1");
    assert_false(f5->preload || f5->required);
    assert_int_equal(f5->sessions, 2);
    struct str options = {0};
    json_write(&options, f5->options);
    assert_string_equal(str_text(&options),
                        "{\"arch\":\"v1\",\"half\":true,\"weights\":[\"a\",\"b\"],"
                        "\"vocoder\":{\"kind\":\"vocos\",\"bins\":100}}");
    str_clear(&options);
    json_write(&options, f5->defaults);
    assert_string_equal(str_text(&options), "{\"nfe_steps\":16,\"cfg\":2.0}");
    assert_int_equal(m->models[1].sessions, 6);
    assert_string_equal(m->models[1].plugin, "./plugins/flite.so");
    assert_non_null(m->jobs);
    assert_int_equal(m->jobs->count, 1);
    str_finish(&options);
    str_finish(&report);
    free(dir);
    free(models);
    free(voices);
    free(weights);
    free(plugins);
    manifest_destroy(m);
}

static void good_corpus_is_accepted(void **state)
{
    (void)state;
    DIR *dir = opendir(CORPUS "/good");
    assert_non_null(dir);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] == '.')
            continue;
        char *path = fs_join(CORPUS "/good", entry->d_name);
        struct manifest_input input = input_of(NULL);
        input.file = path;
        struct manifest *m = NULL;
        struct str report = {0};
        if (manifest_load(&input, &m, &report) != 0)
            fail_msg("%s", str_text(&report));
        manifest_destroy(m);
        str_finish(&report);
        free(path);
        count++;
    }
    closedir(dir);
    assert_true(count >= 4);
}

static void models_are_found_by_name_and_alias_in_any_case(void **state)
{
    (void)state;
    struct manifest *m = parse("version: 1\nmodels:\n"
                               "  - {model_type: F5, plugin: a.so, aliases: [Cloner]}\n"
                               "  - {model_type: flite, plugin: b.so}\n");
    assert_ptr_equal(manifest_model_find(m, "f5"), &m->models[0]);
    assert_ptr_equal(manifest_model_find(m, "CLONER"), &m->models[0]);
    assert_ptr_equal(manifest_model_find(m, "Flite"), &m->models[1]);
    assert_null(manifest_model_find(m, "f"));
    assert_null(manifest_model_find(m, ""));
    manifest_destroy(m);
}

static void sessions_zero_is_one_per_cpu_within_the_limit(void **state)
{
    (void)state;
    const char *text = MODEL "    sessions: 0\n";
    struct manifest_input input = {.cpu_count = 1000};
    struct str report = {0};
    struct manifest *m = NULL;
    assert_int_equal(manifest_parse(text, strlen(text), "m", "/", &input, &m, &report), 0);
    assert_int_equal(m->models[0].sessions, MANIFEST_SESSIONS_MAX);
    manifest_destroy(m);
    input.cpu_count = 0;
    assert_int_equal(manifest_parse(text, strlen(text), "m", "/", &input, &m, &report), 0);
    assert_int_equal(m->models[0].sessions, 1);
    manifest_destroy(m);
    str_finish(&report);
}

static void limits_themselves_are_allowed(void **state)
{
    (void)state;
    struct str text = {0};
    str_puts(&text, "version: 1\nmodels:\n");
    for (int i = 0; i < MANIFEST_MODELS_MAX; i++) {
        str_printf(&text, "  - {model_type: m%d, plugin: a.so, sessions: 256, aliases: [", i);
        for (int k = 0; k < MANIFEST_ALIASES_MAX; k++)
            str_printf(&text, "%sm%d-%d", k ? ", " : "", i, k);
        str_puts(&text, "]}\n");
    }
    struct manifest *m = parse(str_text(&text));
    assert_int_equal(m->model_count, MANIFEST_MODELS_MAX);
    assert_non_null(manifest_model_find(m, "M63-31"));
    manifest_destroy(m);
    str_finish(&text);
}

/* --- where values come from --- */

static void environment_gives_what_the_manifest_does_not_say(void **state)
{
    (void)state;
    const char *environment[] = {
        "VOXHOST_CACHE=/env/cache", "VOXHOST_MODELS=relative",    "VOXHOST_VOICES=",
        "VOXHOST_LOG_LEVEL=error",  "VOXHOST_LOG_FORMAT=text",    "VOXHOST_CONCURRENCY=7",
        "VOXHOST_DRAIN_S=2.5",      "VOXHOST_PLUGIN_PATH=/a::b:", NULL};
    struct manifest *m = parse_with(MODEL "host: {log_level: warn}\n", environment, NULL, 0);
    assert_int_equal(m->host.log_level, LOG_WARN);
    assert_int_equal(m->host.log_format, LOG_FORMAT_TEXT);
    assert_int_equal(m->host.concurrency, 7);
    assert_true(m->host.drain_s == 2.5);
    assert_string_equal(m->paths.cache, "/env/cache");
    assert_string_equal(m->paths.models, "/base/relative");
    assert_string_equal(m->paths.voices, "/base/voices");
    assert_string_equal(m->models[0].cache_dir, "/env/cache/flite");
    assert_int_equal(m->host.plugin_path.count, 2);
    assert_string_equal(m->host.plugin_path.items[0], "/a");
    assert_string_equal(m->host.plugin_path.items[1], "/base/b");
    manifest_destroy(m);
}

static void ambient_library_variables_change_nothing(void **state)
{
    (void)state;
    const char *environment[] = {"HF_HOME=/hf", "TRANSFORMERS_CACHE=/t", "XDG_CACHE_HOME=/x", NULL};
    struct manifest *m = parse_with(MODEL, environment, NULL, 0);
    assert_string_equal(m->models[0].cache_dir, "/base/cache/flite");
    manifest_destroy(m);
}

static void wrong_environment_value_names_the_variable(void **state)
{
    (void)state;
    const char *environment[] = {"VOXHOST_LOG_LEVEL=loud", "VOXHOST_CONCURRENCY=many",
                                 "VOXHOST_CACHE=~/x", NULL};
    refuse_with(MODEL, environment, NULL, 0,
                "m.yaml: environment variable VOXHOST_CACHE: expected path of at most 4095 bytes, "
                "got \"~/x\" (\"~\" is "
                "not expanded: use ${HOME})\n"
                "m.yaml: environment variable VOXHOST_LOG_LEVEL: expected one of debug, info, "
                "warn, error, got \"loud\"\n"
                "m.yaml: environment variable VOXHOST_CONCURRENCY: expected integer 0..1024, got "
                "\"many\"\n");
    const char *bytes[] = {"VOXHOST_CACHE=/a\xff", NULL};
    refuse_with(MODEL, bytes, NULL, 0,
                "m.yaml: environment variable VOXHOST_CACHE: not valid UTF-8 at byte 2\n");
}

static void command_line_wins_over_manifest_and_environment(void **state)
{
    (void)state;
    const char *environment[] = {"VOXHOST_LOG_LEVEL=error", "VOXHOST_CACHE=/env", NULL};
    const char *overrides[] = {"host.log_level=debug",
                               "paths.cache=/set",
                               "default_model=other",
                               "host.plugin_path=x,/y",
                               "models.a.b.sessions=3",
                               "models.A.device=cpu",
                               "models.a.aliases=other,third",
                               "models.a.options.voice=kal",
                               "models.a.options.half=true",
                               "models.a.options.list=[1, \"x\"]",
                               "models.a.options.text=\"16\"",
                               "models.a.defaults.steps=16",
                               "models.a.options.dotted.name=",
                               "models.a.preload=false",
                               "host.drain_s=1e1",
                               "models.a.plugin=b=c.so"};
    struct manifest *m =
        parse_with("version: 1\ndefault_model: a\nhost: {log_level: warn}\nmodels:\n"
                   "  - {model_type: a, plugin: a.so, options: {voice: slt, keep: 1}}\n"
                   "  - {model_type: a.b, plugin: a.so}\n",
                   environment, overrides, sizeof(overrides) / sizeof(overrides[0]));
    assert_int_equal(m->host.log_level, LOG_DEBUG);
    assert_true(m->host.drain_s == 10);
    assert_string_equal(m->default_model, "other");
    assert_string_equal(m->models[0].cache_dir, "/set/a");
    assert_string_equal(m->host.plugin_path.items[0], "/base/x");
    assert_string_equal(m->host.plugin_path.items[1], "/y");
    assert_int_equal(m->models[0].sessions, 1);
    assert_int_equal(m->models[1].sessions, 3);
    assert_string_equal(m->models[0].device, "cpu");
    assert_string_equal(m->models[0].plugin, "b=c.so");
    assert_false(m->models[0].preload);
    assert_int_equal(m->models[0].aliases.count, 2);
    struct str options = {0};
    json_write_canonical(&options, m->models[0].options);
    assert_string_equal(str_text(&options),
                        "{\"dotted.name\":null,\"half\":true,\"keep\":1,\"list\":[1,\"x\"],"
                        "\"text\":\"16\",\"voice\":\"kal\"}");
    str_clear(&options);
    json_write(&options, m->models[0].defaults);
    assert_string_equal(str_text(&options), "{\"steps\":16}");
    str_finish(&options);
    manifest_destroy(m);
}

static void wrong_settings_are_refused(void **state)
{
    (void)state;
    set_refused("host.log_levle=debug",
                "m.yaml: --set host.log_levle: unknown key (did you mean \"log_level\"?)\n");
    set_refused("host.concurrency=\"2\"", "m.yaml: --set host.concurrency: expected integer "
                                          "0..1024, got \"\\\"2\\\"\"\n");
    set_refused("nonsense", "m.yaml: --set nonsense: expected KEY=VALUE\n");
    set_refused("=x", "m.yaml: --set =x: expected KEY=VALUE\n");
    set_refused("version=1", "m.yaml: --set version: can only be said in the manifest\n");
    set_refused("models=x", "m.yaml: --set models: can only be said in the manifest\n");
    set_refused("models.flite.model_type=x",
                "m.yaml: --set models.flite.model_type: can only be said in the manifest\n");
    set_refused("models.fltie.sessions=2",
                "m.yaml: --set models.fltie.sessions: no model_type is \"fltie\" (did you mean "
                "\"flite\"?)\n");
    set_refused("models.flite.sesions=2", "m.yaml: --set models.flite.sesions: unknown key (did "
                                          "you mean \"sessions\"?)\n");
    set_refused("models.flite.sessions.x=2",
                "m.yaml: --set models.flite.sessions.x: unknown key (did you mean "
                "\"sessions\"?)\n");
    set_refused("models.flite.options=x",
                "m.yaml: --set models.flite.options: expected models.flite.options.NAME=VALUE\n");
    set_refused("models.flite.options.=x", "m.yaml: --set models.flite.options.: expected option "
                                           "names of 1 to 128 bytes\n");
    set_refused("models.flite.aliases=x,flite",
                "m.yaml:3:5: models[0].aliases[1]: \"flite\" is already the name at "
                "models[0].model_type (line 3)\n");
    set_refused("default_model=x", "m.yaml:1:1: default_model: no model is called \"x\"\n");
}

static void sources_of_model_keys_are_kept(void **state)
{
    (void)state;
    const char *override = "models.flite.sessions=2";
    struct manifest *m = parse_with(MODEL, NULL, &override, 1);
    int counts[4] = {0};
    for (size_t i = 0; i < 11; i++)
        counts[m->models[0].sources[i]]++;
    assert_int_equal(counts[SOURCE_MANIFEST], 2);
    assert_int_equal(counts[SOURCE_COMMAND_LINE], 1);
    assert_int_equal(counts[SOURCE_DEFAULT], 8);
    manifest_destroy(m);
}

/* --- the embedded manifest --- */

static void check_place(const struct manifest *m, size_t model, const char *section,
                        const char *name, int line, int column)
{
    int got_line = -1, got_column = -1;
    manifest_place(m, &m->models[model], section, name, &got_line, &got_column);
    if (got_line != line || got_column != column)
        fail_msg("models[%zu].%s.%s: at %d:%d, not %d:%d", model, section, name, got_line,
                 got_column, line, column);
}

static void places_of_options_are_known(void **state)
{
    (void)state;
    const char *const overrides[] = {"models.a.options.steps=2", "models.a.options.new=1",
                                     "models.b.defaults.speed=3"};
    struct manifest *m = parse_with("version: 1\n"
                                    "models:\n"
                                    "  - model_type: a\n"
                                    "    plugin: p.so\n"
                                    "    options: &shared\n"
                                    "      steps: 1\n"
                                    "      voice: x\n"
                                    "    defaults: {speed: 1,  voice: y}\n"
                                    "  - model_type: b\n"
                                    "    plugin: p.so\n"
                                    "    options:\n"
                                    "      <<: *shared\n"
                                    "      voice: z\n"
                                    "  - {model_type: c, plugin: p.so}\n",
                                    NULL, overrides, 3);
    check_place(m, 0, "options", "voice", 7, 7);
    check_place(m, 0, "defaults", "speed", 8, 16);
    check_place(m, 0, "defaults", "voice", 8, 27);
    check_place(m, 0, "options", "steps", 3, 5); /* from the command line */
    check_place(m, 0, "options", "new", 3, 5);
    check_place(m, 1, "options", "steps", 6, 7); /* merged */
    check_place(m, 1, "options", "voice", 13, 7);
    check_place(m, 1, "defaults", "speed", 9, 5);
    check_place(m, 2, "options", "voice", 14, 5);
    manifest_destroy(m);
}

static void embedded_manifest_serves_flite_from_a_users_cache(void **state)
{
    (void)state;
    const char *xdg[] = {"XDG_CACHE_HOME=/xdg", "HOME=/home/me", NULL};
    const char *relative_xdg[] = {"XDG_CACHE_HOME=xdg", "HOME=/home/me", NULL};
    char *fallback = str_format("/tmp/voxhost-%lu/cache/flite", (unsigned long)getuid());
    const struct {
        const char *const *environment;
        const char *cache_dir;
    } cases[] = {{xdg, "/xdg/voxhost/cache/flite"},
                 {relative_xdg, "/home/me/.cache/voxhost/cache/flite"},
                 {NULL, fallback}};
    for (size_t i = 0; i < 3; i++) {
        struct manifest_input input = input_of(cases[i].environment);
        struct manifest *m = NULL;
        struct str report = {0};
        assert_int_equal(manifest_load(&input, &m, &report), 0);
        assert_string_equal(m->file, "(built-in)");
        assert_string_equal(m->models[0].model_type, "flite");
        assert_string_equal(m->models[0].cache_dir, cases[i].cache_dir);
        assert_int_equal(m->models[0].sessions, 6);
        manifest_destroy(m);
        str_finish(&report);
    }
    free(fallback);
}

static void embedded_text_is_configs_default(void **state)
{
    (void)state;
    struct str embedded = {0}, file = {0};
    struct err err;
    manifest_embedded(&embedded);
    assert_int_equal(fs_read_file(REPOSITORY "/configs/default.yaml", 1 << 20, &file, &err), 0);
    assert_string_equal(str_text(&embedded), str_text(&file));
    str_finish(&embedded);
    str_finish(&file);
}

/* --- what is refused --- */

/* The report of a broken manifest must hold every text after "# expect: " at the top of its file, and
 * no line without one of them. */
static void expectations_check(const char *path, const struct str *text, const char *report)
{
    static const char mark[] = "# expect: ";
    char *expected[32];
    size_t count = 0;
    const char *at = str_text(text);
    for (; strncmp(at, mark, sizeof(mark) - 1) == 0 && count < 32; at += strcspn(at, "\n") + 1) {
        at += sizeof(mark) - 1;
        expected[count++] = mem_copy_text(at, strcspn(at, "\n"));
        if (!*expected[count - 1] || !strstr(report, expected[count - 1]))
            fail_msg("%s: expected \"%s\" in:\n%s", path, expected[count - 1], report);
    }
    for (const char *line = report; *line; line += strcspn(line, "\n") + 1) {
        char *copy = mem_copy_text(line, strcspn(line, "\n"));
        size_t i = 0;
        while (i < count && !strstr(copy, expected[i]))
            i++;
        if (i == count)
            fail_msg("%s: not expected: %s", path, copy);
        free(copy);
    }
    while (count > 0)
        free(expected[--count]);
}

static int line_count(const char *text)
{
    int count = 0;
    for (; *text; text++)
        count += *text == '\n';
    return count;
}

static void broken_corpus_is_refused_with_place_and_reason(void **state)
{
    (void)state;
    DIR *dir = opendir(CORPUS);
    assert_non_null(dir);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (!strstr(entry->d_name, ".yaml"))
            continue;
        char *path = fs_join(CORPUS, entry->d_name);
        struct manifest_input input = input_of(NULL);
        input.file = path;
        struct manifest *m = NULL;
        struct str report = {0}, text = {0};
        struct err err;
        assert_int_equal(fs_read_file(path, 2 << 20, &text, &err), 0);
        if (manifest_load(&input, &m, &report) == 0)
            fail_msg("%s was accepted", path);
        assert_null(m);
        expectations_check(path, &text, str_text(&report));
        str_finish(&report);
        str_finish(&text);
        free(path);
        count++;
    }
    closedir(dir);
    assert_true(count >= 100);
}

static void all_problems_come_in_one_report_in_order(void **state)
{
    (void)state;
    refuse_with("version: 2\n"
                "host: {log_level: loud}\n"
                "models:\n"
                "  - model_type: f5\n"
                "    plugin: f5.so\n"
                "    sesions: 2\n"
                "  - model_type: F5\n"
                "    sessions: \"16\"\n"
                "default_model: other\n",
                NULL, NULL, 0,
                "m.yaml:1:10: version: expected 1 (no other is supported), got 2\n"
                "m.yaml:2:19: host.log_level: expected one of debug, info, warn, error, got "
                "\"loud\"\n"
                "m.yaml:6:5: models[0].sesions: unknown key (did you mean \"sessions\"?)\n"
                "m.yaml:7:5: models[1].plugin: missing, expected path of at most 4095 bytes\n"
                "m.yaml:7:5: models[1].model_type: \"F5\" is already the name at "
                "models[0].model_type (line 4)\n"
                "m.yaml:7:5: models[1].cache_dir: \"/base/cache/F5\" is the same directory as the "
                "cache_dir of models[0] (line 4)\n"
                "m.yaml:8:15: models[1].sessions: expected integer 0..256, got \"16\"\n"
                "m.yaml:9:1: default_model: no model is called \"other\"\n");
}

static void paths_that_grow_too_long_are_refused(void **state)
{
    (void)state;
    struct str text = {0};
    str_puts(&text, MODEL "    cache_dir: /");
    for (size_t i = 0; i < 4094; i++)
        str_putc(&text, 'c');
    manifest_destroy(parse(str_text(&text)));
    str_puts(&text, "c");
    refuse_with(
        str_text(&text), NULL, NULL, 0,
        "m.yaml:5:16: models[0].cache_dir: expected path of at most 4095 bytes, got "
        "\"/cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc...\n");
    str_clear(&text);
    str_puts(&text, MODEL "    model_dir: ");
    for (size_t i = 0; i < 4095; i++)
        str_putc(&text, 'm');
    refuse_with(str_text(&text), NULL, NULL, 0,
                "m.yaml:5:5: models[0].model_dir: expected path of at most 4095 bytes, with what "
                "it starts from it has 4108\n");
    str_finish(&text);
}

static void load_refused(const char *file, const char *part)
{
    struct manifest_input input = input_of(NULL);
    input.file = file;
    struct manifest *m = (struct manifest *)1;
    struct str report = {0};
    assert_true(manifest_load(&input, &m, &report) < 0);
    assert_null(m);
    if (!strstr(str_text(&report), part) || !strstr(str_text(&report), file))
        fail_msg("expected \"%s\" in: %s", part, str_text(&report));
    assert_int_equal(line_count(str_text(&report)), 1);
    str_finish(&report);
}

static void files_that_are_no_manifests_get_one_line(void **state)
{
    (void)state;
    char *dir = folder_make();
    char *missing = fs_join(dir, "missing.yaml"), *empty = fs_join(dir, "empty.yaml");
    char *large = fs_join(dir, "large.yaml");
    file_write(dir, "empty.yaml", " \n\n", 3);
    struct str text = {0};
    str_puts(&text, MODEL "#");
    while (text.len <= YAML_LIMITS_DEFAULT.bytes_max)
        str_puts(&text, "0123456789abcdef");
    file_write(dir, "large.yaml", text.data, text.len);
    load_refused(missing, "No such file");
    load_refused(dir, "irectory");
    load_refused(empty, "the manifest is empty");
    load_refused(large, "1048576");
    str_finish(&text);
    assert_int_equal(tree_remove(dir, &(struct err){0}), 0);
    free(missing);
    free(empty);
    free(large);
    free(dir);
}

static void cache_directories_joined_by_a_link_are_refused(void **state)
{
    (void)state;
    char *dir = folder_make();
    char *real = fs_join(dir, "real"), *link = fs_join(dir, "link");
    assert_int_equal(mkdir(real, 0700), 0);
    assert_int_equal(symlink(real, link), 0);
    char *text = str_format("version: 1\nmodels:\n"
                            "  - {model_type: a, plugin: p.so, cache_dir: \"%s/not/yet\"}\n"
                            "  - {model_type: b, plugin: p.so, cache_dir: \"%s/not\"}\n"
                            "  - {model_type: c, plugin: p.so, cache_dir: \"%s/nothing\"}\n",
                            real, link, link);
    char *expected = str_format("m.yaml:4:35: models[1].cache_dir: \"%s/not\" contains the "
                                "cache_dir of models[0] (line 3)\n",
                                link);
    refuse_with(text, NULL, NULL, 0, expected);
    unlink(link);
    rmdir(real);
    rmdir(dir);
    free(text);
    free(expected);
    free(real);
    free(link);
    free(dir);
}

static void settings_can_make_cache_directories_clash(void **state)
{
    (void)state;
    const char *override = "models.b.cache_dir=a";
    refuse_with("version: 1\nmodels:\n  - {model_type: a, plugin: p.so}\n"
                "  - {model_type: b, plugin: p.so}\n",
                NULL, &override, 1,
                "m.yaml:4:5: models[1].cache_dir: \"/base/cache/a\" is the same directory as the "
                "cache_dir of models[0] (line 3)\n");
}

static void example_manifest_is_accepted(void **state)
{
    (void)state;
    struct manifest_input input = input_of(NULL);
    input.file = REPOSITORY "/configs/example.yaml";
    struct manifest *m = NULL;
    struct str report = {0};
    if (manifest_load(&input, &m, &report) != 0)
        fail_msg("%s", str_text(&report));
    assert_non_null(manifest_model_find(m, "flite"));
    manifest_destroy(m);
    str_finish(&report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(minimal_manifest_has_all_defaults),
        cmocka_unit_test(every_key_is_read),
        cmocka_unit_test(good_corpus_is_accepted),
        cmocka_unit_test(models_are_found_by_name_and_alias_in_any_case),
        cmocka_unit_test(sessions_zero_is_one_per_cpu_within_the_limit),
        cmocka_unit_test(limits_themselves_are_allowed),
        cmocka_unit_test(environment_gives_what_the_manifest_does_not_say),
        cmocka_unit_test(ambient_library_variables_change_nothing),
        cmocka_unit_test(wrong_environment_value_names_the_variable),
        cmocka_unit_test(command_line_wins_over_manifest_and_environment),
        cmocka_unit_test(wrong_settings_are_refused),
        cmocka_unit_test(sources_of_model_keys_are_kept),
        cmocka_unit_test(places_of_options_are_known),
        cmocka_unit_test(embedded_manifest_serves_flite_from_a_users_cache),
        cmocka_unit_test(embedded_text_is_configs_default),
        cmocka_unit_test(broken_corpus_is_refused_with_place_and_reason),
        cmocka_unit_test(all_problems_come_in_one_report_in_order),
        cmocka_unit_test(paths_that_grow_too_long_are_refused),
        cmocka_unit_test(files_that_are_no_manifests_get_one_line),
        cmocka_unit_test(cache_directories_joined_by_a_link_are_refused),
        cmocka_unit_test(settings_can_make_cache_directories_clash),
        cmocka_unit_test(example_manifest_is_accepted),
    };
    return cmocka_run_group_tests_name("manifest", tests, NULL, NULL);
}
