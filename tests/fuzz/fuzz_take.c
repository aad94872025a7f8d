/* Any bytes as the answer to a take: whatever it holds, each job has an id that can be answered or a reason why not, and
 * what is read of it is strict JSON. */
#include "front/worker/queue_private.h"
#include "fuzz.h"

#include <string.h>

static void look(const struct taken *taken, void *arg)
{
    size_t *count = arg;
    ++*count;
    require(taken->id || taken->err.message[0], "a job without an id has a reason");
    require(taken->input || taken->err.message[0], "a job without an input has a reason");
    require(!taken->input || taken->json, "an input is part of a job");
    require(!taken->id || utf8_valid(taken->id, strlen(taken->id), NULL), "an id is UTF-8");
    if (!taken->json)
        return;
    struct str text = {0};
    struct err err = {0};
    struct json_limits limits = {64u << 20, 1000000, 64};
    json_write(&text, taken->json);
    cJSON *again = json_parse(text.data, text.len, &limits, &err);
    require(again != NULL, "a job can be written and read again");
    cJSON_Delete(again);
    str_finish(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str body = {0};
    size_t count = 0;
    str_append(&body, (const char *)data, size);
    bool readable = take_parse(&body, look, &count);
    require(readable || count == 0, "what is not readable has no jobs");
    str_finish(&body);
    return 0;
}
