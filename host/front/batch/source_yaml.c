/* YAML job files, read whole, and the manifest's own list; see job_source_private.h. */
#include "front/batch/job_source_private.h"

#include <string.h>

#define YAML_NODES_MAX 1000000
#define PROBLEMS_SHOWN 3

/* The whole input into source->record. */
static int read_all(struct job_source *source, struct err *err)
{
    struct input *in = &source->in;
    int code;
    while ((code = input_fill(in, err)) > 0) {
        size_t len = in->len - in->at;
        if (len > JOB_YAML_BYTES_MAX - source->record.len)
            return err_set(err, ERR_INVALID, NULL,
                           "%s: larger than the limit of %u bytes for YAML, which is read whole "
                           "(use JSON lines)",
                           source->name, JOB_YAML_BYTES_MAX);
        str_append(&source->record, in->data + in->at, len);
        in->at += len;
    }
    return code;
}

/* The first few problems on one line. */
static int fail_problems(const struct problems *problems, struct err *err)
{
    struct problems first = *problems;
    struct str text = {0};
    if (first.count > PROBLEMS_SHOWN)
        first.count = PROBLEMS_SHOWN;
    problems_print(&first, &text);
    while (text.len && text.data[text.len - 1] == '\n')
        text.data[--text.len] = '\0';
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] == '\n')
            text.data[i] = ';';
    if (problems->count > first.count)
        str_printf(&text, "; and %zu more", problems->count - first.count);
    err_set(err, ERR_INVALID, NULL, "%s", str_text(&text));
    str_finish(&text);
    return ERR_INVALID;
}

static int fail_root(const struct job_source *source, const struct yaml_node *node, struct err *err)
{
    return err_set(err, ERR_INVALID, NULL,
                   "%s:%d:%d: expected a list of jobs, or a map with nothing but the list \"jobs\"",
                   source->name, node->line, node->column);
}

/* The list of jobs in a YAML file. */
static int find_list(struct job_source *source, const struct yaml_node *root, struct err *err)
{
    const struct yaml_node *list = root;
    if (root->kind == YAML_MAP && root->count > 0) {
        list = yaml_get(root, "jobs");
        for (size_t i = 0; list && i < root->count; i++)
            if (strcmp(root->keys[i]->text, "jobs") != 0)
                return fail_root(source, root->keys[i], err);
        if (list && list->kind == YAML_MAP)
            return fail_root(source, list, err);
    }
    if (!list)
        return fail_root(source, root, err);
    if (list->kind == YAML_SCALAR && !(list->plain && list->len == 0))
        return fail_root(source, list, err);
    source->yaml.list = list->count ? list : NULL; /* "jobs:" with nothing behind it is no job */
    return 0;
}

static int open_yaml(struct job_source *source, struct err *err)
{
    const struct yaml_limits limits = {JOB_YAML_BYTES_MAX, YAML_NODES_MAX, 64};
    struct problems problems = {.file = source->name};
    int code = read_all(source, err);
    if (code)
        return code;
    source->yaml.doc =
        yaml_parse(str_text(&source->record), source->record.len, &limits, NULL, NULL, &problems);
    str_finish(&source->record);
    if (source->yaml.doc && !problems.count)
        code = find_list(source, yaml_root(source->yaml.doc), err);
    else
        code = fail_problems(&problems, err);
    problems_finish(&problems);
    return code;
}

static int open_list(struct job_source *source, struct err *err)
{
    const struct yaml_node *list = source->yaml.list;
    if (list && list->kind != YAML_LIST)
        return err_set(err, ERR_INVALID, "jobs", "%s:%d:%d: jobs: expected a list", source->name,
                       list->line, list->column);
    return 0;
}

static int next_node(struct job_source *source, struct job_record *record, struct err *err)
{
    const struct yaml_node *list = source->yaml.list;
    if (!list || source->yaml.next == list->count)
        return 0;
    const struct yaml_node *node = list->items[source->yaml.next++];
    record->line = (uint64_t)node->line;
    record->loose = true;
    if (node->kind != YAML_MAP) {
        err_set(&record->err, ERR_INVALID, NULL, "expected a map with the fields of a job, got %s",
                node->kind == YAML_LIST ? "a list" : "a single value");
        return 1;
    }
    record->json = yaml_to_json(node);
    if (!record->json)
        return err_set(err, ERR_NO_MEMORY, NULL, "out of memory");
    return 1;
}

static double fraction_of_nodes(const struct job_source *source)
{
    const struct yaml_node *list = source->yaml.list;
    return list && list->count ? (double)source->yaml.next / (double)list->count : 1;
}

static void close_yaml(struct job_source *source)
{
    yaml_destroy(source->yaml.doc);
}

const struct source_driver source_yaml = {open_yaml, next_node, fraction_of_nodes, close_yaml};
const struct source_driver source_list = {open_list, next_node, fraction_of_nodes, NULL};
