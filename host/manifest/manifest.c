/* The way of a manifest from a file to a checked struct: read, parse, walk the sections, lay the
 * command line over it, resolve, check. Also finds a model by name. What stands in a section is the
 * tables' business.
 */
#include "manifest/manifest_private.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const unsigned char default_manifest[] = {
#include "default_manifest.inc"
};

/* --- parts --- */

static void part_init(struct part *p, const struct section *s, char *path, void *base,
                      const struct yaml_node *node)
{
    p->section = s;
    p->path = path;
    p->base = base;
    p->place = (struct place){node->line, node->column};
    p->sources = mem_alloc_array(s->count, sizeof(*p->sources));
    p->variables = mem_alloc_array(s->count, sizeof(*p->variables));
    p->places = mem_alloc_array(s->count, sizeof(*p->places));
}

static void part_finish(struct part *p)
{
    for (size_t i = 0; i < p->section->count; i++) {
        if (p->section->keys[i].type < KEY_SECTION)
            value_free(&p->section->keys[i], part_slot(p, &p->section->keys[i]));
        free(p->variables[i]);
    }
    free(p->variables);
    free(p->path);
    free(p->sources);
    free(p->places);
}

/* The `models` list, or an empty one after reporting what stands there. */
static const struct yaml_node *models_find(struct reader *r, const struct yaml_node *root)
{
    static const struct yaml_node none = {.kind = YAML_LIST};
    const struct yaml_node *models = yaml_get(root, "models");
    if (!models)
        return &none; /* reported as missing */
    if (models->kind != YAML_LIST || models->count == 0) {
        problems_add(r->problems, models->line, models->column,
                     "models: expected a list of at least one model");
        return &none;
    }
    if (models->count > MANIFEST_MODELS_MAX) {
        const struct yaml_node *extra = models->items[MANIFEST_MODELS_MAX];
        problems_add(r->problems, extra->line, extra->column,
                     "models: expected at most %d models, got %zu", MANIFEST_MODELS_MAX,
                     models->count);
        return &none;
    }
    return models;
}

static void models_read(struct reader *r, const struct yaml_node *models)
{
    struct manifest *m = r->m;
    m->models = mem_alloc_array(models->count, sizeof(*m->models));
    m->model_count = models->count;
    for (size_t i = 0; i < models->count; i++) {
        struct part *p = &m->private_parts->parts[PART_MODELS + i];
        struct manifest_model *model = &m->models[i];
        part_init(p, &manifest_model_section, str_format("models[%zu]", i), model,
                  models->items[i]);
        m->private_parts->part_count++;
        model->line = p->place.line;
        model->column = p->place.column;
        model->sources = p->sources;
        part_read(r, p, models->items[i]);
    }
}

static void root_read(struct reader *r, const struct yaml_node *root)
{
    struct manifest *m = r->m;
    const struct {
        const struct section *section;
        void *base;
    } sections[] = {
        [PART_PATHS] = {&manifest_paths_section, &m->paths},
        [PART_HOST] = {&manifest_host_section, &m->host},
        [PART_STORAGE] = {&manifest_storage_section, &m->storage},
        [PART_CALLBACKS] = {&manifest_callbacks_section, &m->callbacks},
        [PART_WORKER] = {&manifest_worker_section, &m->worker},
    };
    const struct yaml_node *models = models_find(r, root);
    struct manifest_private *own = m->private_parts;
    own->parts = mem_alloc_array(PART_MODELS + models->count, sizeof(*own->parts));
    own->part_count = PART_MODELS;
    part_init(&own->parts[PART_ROOT], &manifest_root_section, mem_copy_string(""), m, root);
    part_read(r, &own->parts[PART_ROOT], root);
    for (size_t i = PART_PATHS; i < PART_MODELS; i++) {
        const char *name = sections[i].section->name;
        const struct yaml_node *map = yaml_get(root, name);
        part_init(&own->parts[i], sections[i].section, mem_copy_string(name), sections[i].base,
                  map ? map : root);
        part_read(r, &own->parts[i], map);
    }
    models_read(r, models);
    m->jobs = yaml_get(root, "jobs");
    if (m->jobs && m->jobs->kind != YAML_LIST)
        problems_add(r->problems, m->jobs->line, m->jobs->column, "jobs: expected a list of jobs");
}

/* --- load --- */

static void document_read(struct reader *r, const char *text, size_t len)
{
    const struct manifest_input *input = r->input;
    if (text_is_blank(text, len)) {
        problems_add(r->problems, 0, 0, "the manifest is empty");
        return;
    }
    struct yaml_doc *doc =
        yaml_parse(text, len, &YAML_LIMITS_DEFAULT, input->getenv, input->getenv_arg, r->problems);
    if (!doc)
        return;
    r->m->private_parts->doc = doc;
    const struct yaml_node *root = yaml_root(doc);
    if (root->kind != YAML_MAP) {
        problems_add(r->problems, root->line, root->column,
                     "a manifest is a map of sections, this is %s",
                     root->kind == YAML_LIST ? "a list" : "plain text");
        return;
    }
    if (root->count == 0) {
        problems_add(r->problems, 0, 0, "the manifest says nothing");
        return;
    }
    root_read(r, root);
    for (size_t i = 0; i < input->override_count; i++)
        override_apply(r, input->overrides[i]);
    manifest_resolve(r);
    manifest_check(r);
}

int manifest_parse(const char *text, size_t len, const char *name, const char *dir,
                   const struct manifest_input *input, struct manifest **out, struct str *report)
{
    struct problems problems = {.file = name};
    struct manifest *m = mem_alloc(sizeof(*m));
    m->file = mem_copy_string(name);
    m->dir = mem_copy_string(dir);
    m->private_parts = mem_alloc(sizeof(*m->private_parts));
    struct reader r = {.input = input, .m = m, .problems = &problems};
    document_read(&r, text, len);
    int code = problems.count == 0 ? 0 : ERR_INVALID;
    if (code != 0) {
        problems_print(&problems, report);
        manifest_destroy(m);
        m = NULL;
    }
    *out = m;
    problems_finish(&problems);
    return code;
}

/* An absolute path from a variable, or NULL; XDG says to ignore relative ones. */
static const char *folder_from(const struct manifest_input *input, const char *variable)
{
    const char *path = input->getenv ? input->getenv(variable, input->getenv_arg) : NULL;
    return path && path[0] == '/' ? path : NULL;
}

/* Could we write in `dir`, or make it below what is there already? */
static bool is_usable(const char *dir)
{
    char *path = mem_copy_string(dir);
    while (access(path, F_OK) != 0 && strcmp(path, "/") != 0) {
        char *above = fs_dir_of(path);
        free(path);
        path = above;
    }
    bool usable = access(path, W_OK | X_OK) == 0;
    free(path);
    return usable;
}

/* A user without a home of its own, as containers have, gets a folder in /tmp. */
static char *builtin_dir(const struct manifest_input *input)
{
    const char *folder = folder_from(input, "XDG_CACHE_HOME");
    if (folder)
        return fs_absolute(folder, "voxhost");
    folder = folder_from(input, "HOME");
    char *dir = folder ? fs_absolute(folder, ".cache/voxhost") : NULL;
    if (dir && is_usable(dir))
        return dir;
    free(dir);
    return str_format("/tmp/voxhost-%lu", (unsigned long)getuid());
}

int manifest_load(const struct manifest_input *input, struct manifest **out, struct str *report)
{
    struct str text = {0};
    struct err err;
    char *dir = NULL;
    *out = NULL;
    int code = 0;
    if (input->file) {
        code = fs_read_file(input->file, YAML_LIMITS_DEFAULT.bytes_max, &text, &err);
        char *current = fs_current_dir(), *folder = fs_dir_of(input->file);
        dir = fs_absolute(current, folder);
        free(current);
        free(folder);
    } else {
        manifest_embedded(&text);
        dir = builtin_dir(input);
    }
    if (code != 0) {
        str_printf(report, "%s\n", err.message);
    } else {
        code = manifest_parse(str_text(&text), text.len, input->file ? input->file : "(built-in)",
                              dir, input, out, report);
    }
    free(dir);
    str_finish(&text);
    return code;
}

void manifest_destroy(struct manifest *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->private_parts->part_count; i++)
        part_finish(&m->private_parts->parts[i]);
    free(m->private_parts->parts);
    free(m->callbacks.letters_dir);
    yaml_destroy(m->private_parts->doc);
    free(m->private_parts);
    free(m->models);
    free(m->file);
    free(m->dir);
    free(m);
}

void manifest_owned_dirs(const struct manifest *m, struct text_list *dirs)
{
    const struct manifest_storage *storage = &m->storage;
    const char *letters = manifest_letters_prefix(&m->callbacks);
    text_list_add(dirs, mem_copy_string(m->paths.models));
    text_list_add(dirs, mem_copy_string(m->paths.voices));
    text_list_add(dirs, mem_copy_string(m->callbacks.letters_dir));
    for (size_t i = 0; i < m->paths.model_tiers.count; i++)
        text_list_add(dirs, mem_copy_string(m->paths.model_tiers.items[i]));
    for (size_t i = 0; i < m->model_count; i++)
        text_list_add(dirs, mem_copy_string(m->models[i].model_dir));
    if (letters && storage->type == STORAGE_FILE) {
        char *root = fs_absolute(storage->dir, storage->prefix ? storage->prefix : "");
        text_list_add(dirs, fs_absolute(root, letters));
        free(root);
    }
}

const struct manifest_model *manifest_model_find(const struct manifest *m, const char *name)
{
    for (size_t i = 0; i < m->model_count; i++) {
        const struct manifest_model *model = &m->models[i];
        if (model->model_type && text_equal_nocase(model->model_type, name))
            return model;
        for (size_t k = 0; k < model->aliases.count; k++)
            if (text_equal_nocase(model->aliases.items[k], name))
                return model;
    }
    return NULL;
}

const char *manifest_default_model(const struct manifest *m)
{
    return !m->default_model && m->model_count == 1 ? m->models[0].model_type : m->default_model;
}

/* Whether `node` is where `value` came from; the command line may have laid another one over it. */
static bool is_source_of(const struct yaml_node *node, const cJSON *value)
{
    cJSON *read = yaml_to_json(node);
    bool same = cJSON_Compare(read, value, true);
    cJSON_Delete(read);
    return same;
}

void manifest_place(const struct manifest *m, const struct manifest_model *model,
                    const char *section, const char *name, int *line, int *column)
{
    const struct yaml_node *models = yaml_get(yaml_root(m->private_parts->doc), "models");
    const struct yaml_node *map = yaml_get(models->items[model - m->models], section);
    const cJSON *values = strcmp(section, "options") == 0 ? model->options : model->defaults;
    *line = model->line;
    *column = model->column;
    for (size_t i = 0; map && map->kind == YAML_MAP && i < map->count; i++) {
        if (strcmp(map->keys[i]->text, name) == 0 &&
            is_source_of(map->items[i], json_get(values, name))) {
            *line = map->keys[i]->line;
            *column = map->keys[i]->column;
        }
    }
}

void manifest_embedded(struct str *out)
{
    str_append(out, (const char *)default_manifest, sizeof(default_manifest) - 1);
}
