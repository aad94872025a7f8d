/* Envelopes; see envelope.h. */
#include "front/worker/envelope.h"

/* Members are looked for one by one. What has more is over JOB_METADATA_BYTES_MAX, or nearly. */
#define MEMBERS_MAX 2000

void envelope_open(cJSON *envelope)
{
    cJSON *input = cJSON_GetObjectItemCaseSensitive(envelope, "input");
    cJSON *outer = cJSON_GetObjectItemCaseSensitive(envelope, "metadata");
    if (!cJSON_IsObject(input) || !cJSON_IsObject(outer))
        return;
    cJSON *inner = cJSON_GetObjectItemCaseSensitive(input, "metadata");
    if (inner && !cJSON_IsNull(inner) && !cJSON_IsObject(inner))
        return; /* what is wrong with it is said elsewhere */
    if (cJSON_GetArraySize(outer) > MEMBERS_MAX || cJSON_GetArraySize(inner) > MEMBERS_MAX)
        return;
    cJSON_DetachItemViaPointer(envelope, outer);
    for (cJSON *member = inner ? inner->child : NULL, *next; member; member = next) {
        next = member->next;
        cJSON_DeleteItemFromObjectCaseSensitive(outer, member->string);
        cJSON_DetachItemViaPointer(inner, member);
        cJSON_AddItemToObject(outer, member->string, member);
    }
    cJSON_DeleteItemFromObjectCaseSensitive(input, "metadata");
    cJSON_AddItemToObject(input, "metadata", outer);
}
