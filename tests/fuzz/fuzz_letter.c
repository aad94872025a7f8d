/* Any bytes as the record of a callback, which lies in a directory or bucket that others may write to: refused with a
 * reason, or something that can be written and read again. */
#include "callback/callback_private.h"
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char id[] = "20260131T120000-0123456789abcdef";
    struct callback *callback, *again;
    struct str text = {0}, copy = {0};
    struct err err = {0};
    str_append(&text, (const char *)data, size);
    if (record_read(&text, id, "letter", &callback, &err) == 0) {
        record_write(callback, &copy);
        require(record_read(&copy, id, "copy", &again, &err) == 0, "a letter can be read again");
        require(strcmp(again->url, callback->url) == 0, "the URL stays");
        require(again->body.len == callback->body.len &&
                    memcmp(str_text(&again->body), str_text(&callback->body), again->body.len) == 0,
                "the body's very bytes stay");
        free(callback_host_of(callback->url));
        callback_destroy(again);
        callback_destroy(callback);
    } else {
        require(err.message[0], "what is refused has a reason");
    }
    str_finish(&copy);
    str_finish(&text);
    return 0;
}
