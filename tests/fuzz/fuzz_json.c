/* Any bytes into json_parse: refused with a reason, or a value that writing and reading keep as it is. */
#include "base/json.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds, const char *what, const struct err *err)
{
    if (holds)
        return;
    fprintf(stderr, "broken: %s (%s)\n", what, err->message);
    abort();
}

/* Every number has a literal that is one; every string is UTF-8. */
static void check_nodes(const cJSON *node, const struct err *err)
{
    const cJSON *child;
    if (cJSON_IsNumber(node))
        require(json_number_valid(node->valuestring, strlen(node->valuestring)), "number", err);
    if (cJSON_IsString(node))
        require(utf8_valid(node->valuestring, strlen(node->valuestring), NULL), "string", err);
    cJSON_ArrayForEach(child, node)
    {
        require(!child->string || json_get(node, child->string) == child, "key", err);
        check_nodes(child, err);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_limits limits = {64u << 20, 1000, 64};
    struct err err = {0};
    struct str text = {0}, canonical = {0}, again = {0};
    cJSON *json = json_parse((const char *)data, size, &limits, &err);
    if (!json) {
        require(err.code == ERR_INVALID && err.message[0], "a refusal has a reason", &err);
        return 0;
    }
    check_nodes(json, &err);
    json_write(&text, json);
    json_write_canonical(&canonical, json);
    cJSON *copy = json_parse(text.data, text.len, &limits, &err);
    require(copy != NULL, "what was written can be read", &err);
    json_write_canonical(&again, copy);
    require(strcmp(canonical.data, again.data) == 0, "it is the same value", &err);
    cJSON_Delete(copy);
    cJSON_Delete(json);
    str_finish(&text);
    str_finish(&canonical);
    str_finish(&again);
    return 0;
}
