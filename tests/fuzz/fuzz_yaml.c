/* Any bytes into yaml_parse: refused with a problem, or a tree within its limits that is a JSON value. */
#include "base/json.h"
#include "base/yaml.h"
#include "fuzz.h"

#include <stdint.h>
#include <string.h>

#define NODES_MAX 2000
#define DEPTH_MAX 20

static const char *lookup(const char *name, void *arg)
{
    (void)arg;
    return strcmp(name, "A") == 0 ? "value" : strcmp(name, "B") == 0 ? "" : NULL;
}

/* The values below and including `node`. */
static size_t check_nodes(const struct yaml_node *node, int depth)
{
    size_t count = 1;
    require(node->line > 0 && node->column > 0, "a place");
    require(node->kind == YAML_SCALAR || depth < DEPTH_MAX, "depth");
    if (node->kind == YAML_SCALAR)
        require(strlen(node->text) == node->len && utf8_valid(node->text, node->len, NULL), "text");
    for (size_t i = 0; i < node->count; i++) {
        if (node->kind == YAML_MAP) {
            require(node->keys[i]->kind == YAML_SCALAR, "a key is text");
            require(yaml_get(node, node->keys[i]->text) == node->items[i], "keys differ");
            count++;
        }
        count += check_nodes(node->items[i], depth + 1);
    }
    return count;
}

static void check_json(const struct yaml_node *root)
{
    struct json_limits limits = {64u << 20, NODES_MAX + 1, DEPTH_MAX};
    struct err err = {0};
    struct str text = {0}, again = {0};
    cJSON *json = yaml_to_json(root);
    json_write(&text, json);
    cJSON *copy = json_parse(text.data, text.len, &limits, &err);
    require(copy != NULL, err.message);
    json_write(&again, copy);
    require(strcmp(text.data, again.data) == 0, "the same as JSON");
    cJSON_Delete(json);
    cJSON_Delete(copy);
    str_finish(&text);
    str_finish(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct yaml_limits limits = {1u << 16, NODES_MAX, DEPTH_MAX};
    struct problems problems = {.file = "fuzz"};
    struct str report = {0};
    struct yaml_doc *doc = yaml_parse((const char *)data, size, &limits, lookup, NULL, &problems);
    problems_print(&problems, &report);
    require(doc || report.len > 0, "problems or a document");
    require(utf8_valid(str_text(&report), report.len, NULL), "a report in UTF-8");
    if (doc && !report.len) {
        require(check_nodes(yaml_root(doc), 0) <= NODES_MAX, "node limit");
        check_json(yaml_root(doc));
    }
    yaml_destroy(doc);
    problems_finish(&problems);
    str_finish(&report);
    return 0;
}
