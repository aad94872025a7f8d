/* Any bytes as a page of a bucket's list: whatever it holds, only keys that could be ours come out, and a page that says that
 * there are more says how to get them. */
#include "fuzz.h"
#include "store/store_private.h"

#include <stdlib.h>
#include <string.h>

static int look(const struct storage_object *object, void *arg)
{
    size_t *count = arg, bad;
    require(fs_path_is_inside(object->key), "a key is a relative path");
    require(utf8_valid(object->key, strlen(object->key), &bad), "a key is UTF-8");
    return ++*count == 1000;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t count = 0;
    struct str token = {0};
    struct err err = {0};
    char word[S3_WORD_SIZE];
    char *xml = mem_copy_text((const char *)data, size);
    const struct s3_listing listing = {.name = "b", .base = "p/", .each = look, .arg = &count};
    int result = s3_list_read(&listing, xml, &token, &err);
    require(result >= 0 || err.message[0], "a failure has a reason");
    require(result >= 0 || token.len == 0, "a failure is not continued");
    s3_xml_word(xml, "Code", word);
    require(strlen(word) < S3_WORD_SIZE, "a word has its limit");
    str_finish(&token);
    free(xml);
    return 0;
}
