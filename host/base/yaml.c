/* Problems found in a file, and what can be asked of the tree that yaml_parse.c builds; see
 * yaml.h. */
#include "base/yaml.h"

#include "base/json.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

struct problem {
    int line, column;
    char *message;
};

/* --- Problems --------------------------------------------------------------------------------- */

/* A message is one line on a terminal, whatever the file holds. */
static void hide_controls(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

void problems_add(struct problems *p, int line, int column, const char *format, ...)
{
    if (p->count++ >= PROBLEMS_MAX)
        return;
    if (!p->items)
        p->items = mem_alloc_array(PROBLEMS_MAX, sizeof(*p->items));
    struct str message = {0};
    va_list args;
    va_start(args, format);
    str_vprintf(&message, format, args);
    va_end(args);
    struct problem *problem = &p->items[p->count - 1];
    *problem = (struct problem){line, column, str_take(&message)};
    hide_controls(problem->message);
}

static size_t kept_count(const struct problems *p)
{
    return p->count < PROBLEMS_MAX ? p->count : PROBLEMS_MAX;
}

/* Of two pointers into `items`: by place, then in the order in which they were found. */
static int compare_problems(const void *a, const void *b)
{
    const struct problem *left = *(const struct problem *const *)a;
    const struct problem *right = *(const struct problem *const *)b;
    if (left->line != right->line)
        return left->line < right->line ? -1 : 1;
    if (left->column != right->column)
        return left->column < right->column ? -1 : 1;
    return (left > right) - (left < right);
}

void problems_print(const struct problems *p, struct str *out)
{
    const struct problem *order[PROBLEMS_MAX];
    size_t kept = kept_count(p);
    for (size_t i = 0; i < kept; i++)
        order[i] = &p->items[i];
    qsort(order, kept, sizeof(const struct problem *), compare_problems);
    for (size_t i = 0; i < kept; i++) {
        if (p->file)
            str_printf(out, "%s:", p->file);
        if (order[i]->line)
            str_printf(out, "%d:%d:", order[i]->line, order[i]->column);
        str_printf(out, "%s%s\n", out->len && out->data[out->len - 1] == ':' ? " " : "",
                   order[i]->message);
    }
    if (p->count > kept)
        str_printf(out, "and %zu more\n", p->count - kept);
}

void problems_finish(struct problems *p)
{
    for (size_t i = 0; i < kept_count(p); i++)
        free(p->items[i].message);
    free(p->items);
    *p = (struct problems){0};
}

/* --- The tree --------------------------------------------------------------------------------- */

const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key)
{
    if (map->kind != YAML_MAP)
        return NULL;
    for (size_t i = 0; i < map->count; i++)
        if (strcmp(map->keys[i]->text, key) == 0)
            return map->items[i];
    return NULL;
}

static bool is_null(const struct yaml_node *node)
{
    if (node->len == 0)
        return !node->expanded; /* ${VAR} that is set to nothing is an empty text */
    return strcmp(node->text, "null") == 0 || strcmp(node->text, "~") == 0;
}

static cJSON *scalar_to_json(const struct yaml_node *node)
{
    if (!node->plain)
        return cJSON_CreateString(node->text);
    if (is_null(node))
        return cJSON_CreateNull();
    if (strcmp(node->text, "true") == 0 || strcmp(node->text, "false") == 0)
        return cJSON_CreateBool(node->text[0] == 't');
    if (json_number_valid(node->text, node->len))
        return json_create_number(node->text);
    return cJSON_CreateString(node->text);
}

/* As deep as the tree, which yaml_parse has bounded. */
cJSON *yaml_to_json(const struct yaml_node *node)
{
    if (node->kind == YAML_SCALAR)
        return scalar_to_json(node);
    cJSON *json = node->kind == YAML_MAP ? cJSON_CreateObject() : cJSON_CreateArray();
    for (size_t i = 0; i < node->count; i++) {
        cJSON *item = yaml_to_json(node->items[i]);
        if (node->kind == YAML_MAP)
            cJSON_AddItemToObject(json, node->keys[i]->text, item);
        else
            cJSON_AddItemToArray(json, item);
    }
    return json;
}
