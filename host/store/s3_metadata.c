/* What is kept with an object of a bucket: members of JSON as headers. */
#include "store/store_private.h"

#include <stdlib.h>
#include <string.h>

#define PREFIX "x-amz-meta-"

bool s3_is_header_text(const char *text)
{
    for (const char *c = text; *c; c++)
        if (*c < 0x20 || *c >= 0x7f || (*c == ' ' && (c == text || c[1] == ' ' || !c[1])))
            return false;
    return true;
}

/* What goes into a header as it is, else "base64:" and its bytes. */
static char *value_of(const cJSON *item)
{
    struct str text = {0}, value = {0};
    if (cJSON_IsString(item))
        str_puts(&text, item->valuestring);
    else
        json_write(&text, item);
    if (s3_is_header_text(str_text(&text)) && strncmp(str_text(&text), "base64:", 7) != 0)
        return text.data ? str_take(&text) : mem_copy_string("");
    str_puts(&value, "base64:");
    str_append_base64(&value, text.data, text.len);
    str_finish(&text);
    return str_take(&value);
}

static bool is_name(const char *name)
{
    return *name &&
           name[strspn(
               name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")] == '\0';
}

static bool has_name(const struct text_list *texts, const char *name)
{
    for (size_t i = 0; i < texts->count; i += 2)
        if (strcmp(texts->items[i], name) == 0)
            return true;
    return false;
}

/* One member, when there is room beside the `bytes` of the others. What is null is left out. */
static int add_member(const cJSON *item, struct text_list *texts, size_t *bytes, struct err *err)
{
    if (!item->string || !is_name(item->string))
        return err_set(err, ERR_INVALID, "metadata",
                       "expected names of letters, digits, \"-\", \"_\" and \".\"");
    if (cJSON_IsNull(item))
        return 0;
    char *name = str_format(PREFIX "%s", item->string), *value = value_of(item);
    size_t len = strlen(item->string) + strlen(value);
    int code = 0;
    for (char *c = name; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a');
    if (has_name(texts, name) || texts->count / 2 == STORAGE_METADATA_MAX)
        code = err_set(err, ERR_INVALID, "metadata",
                       "expected at most %d names that differ in more than capitals",
                       STORAGE_METADATA_MAX);
    else if (*bytes + len > STORAGE_METADATA_BYTES_MAX)
        code = err_set(err, ERR_TOO_LARGE, "metadata", "expected at most %d bytes",
                       STORAGE_METADATA_BYTES_MAX);
    if (code != 0) {
        free(name);
        free(value);
        return code;
    }
    *bytes += len;
    text_list_add(texts, name);
    text_list_add(texts, value);
    return 0;
}

int s3_metadata_read(const cJSON *metadata, struct text_list *texts, struct err *err)
{
    const cJSON *item;
    size_t bytes = 0;
    cJSON_ArrayForEach(item, metadata)
    {
        if (add_member(item, texts, &bytes, err) != 0)
            return err->code;
    }
    return 0;
}

char *s3_metadata_fit(cJSON *metadata)
{
    enum { NAMED_MAX = 10, NAME_BYTES_MAX = 64 };
    struct text_list texts = {0};
    struct str warning = {0};
    size_t bytes = 0, count = 0;
    cJSON *item = metadata && metadata->child ? metadata->child->prev : NULL; /* the last */
    while (item) {
        cJSON *before = item == metadata->child ? NULL : item->prev;
        struct err err = {0};
        if (add_member(item, &texts, &bytes, &err) != 0) {
            const char *name = item->string ? item->string : "";
            if (++count <= NAMED_MAX) {
                str_puts(&warning, count == 1 ? "metadata is not kept in the storage: " : ", ");
                json_write_string(&warning, name, utf8_cut(name, strlen(name), NAME_BYTES_MAX));
                str_printf(&warning, " (%s)", err.message);
            }
            cJSON_Delete(cJSON_DetachItemViaPointer(metadata, item));
        }
        item = before;
    }
    if (count > NAMED_MAX)
        str_printf(&warning, " and %zu more", count - NAMED_MAX);
    text_list_finish(&texts);
    return count ? str_take(&warning) : NULL;
}
