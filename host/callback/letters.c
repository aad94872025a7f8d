/* Dead letters for people: what there is, and sending one again. Knows no queue. */
#include "callback/callback_private.h"

#include <stdlib.h>
#include <string.h>

static void show(const struct callback *callback, const struct callback_visitor *visitor)
{
    char *url = mem_copy_text(callback->url, strcspn(callback->url, "?"));
    const struct callback_letter letter = {
        .id = callback->id,
        .job_id = callback->job_id,
        .url = url,
        .created = callback->created,
        .last_error = callback->last_error,
        .attempts = callback->attempts,
        .is_error = callback->is_error,
    };
    visitor->each(&letter, visitor->arg);
    free(url);
}

int callback_letters(const char *dir, const struct callback_visitor *visitor, struct err *err)
{
    struct text_list ids = {0};
    spool_adopt(dir);
    int result = spool_ids(dir, &ids, err);
    for (size_t i = 0; i < ids.count && result == 0; i++) {
        struct callback *callback;
        struct err why = {0};
        char *path = str_format("%s/%s.json", dir, ids.items[i]);
        if (spool_read(path, &callback, &why) == 0)
            show(callback, visitor);
        else
            visitor->wrong(&why, visitor->arg);
        callback_destroy(callback);
        free(path);
    }
    text_list_finish(&ids);
    return result;
}

/* Sends it and says where its record goes. */
static int send_letter(const struct callback_options *options, struct spool *spool,
                       struct callback *callback, const atomic_int *stop, struct err *err)
{
    struct callback_answer answer;
    struct err ignored;
    struct http_client *client = http_client_create("voxhost/" VOXHOST_VERSION);
    if (!client)
        return err_set(err, ERR_INTERNAL, NULL, "libcurl cannot be opened");
    enum callback_fate fate = callback_try(options, client, callback, stop, &answer);
    http_client_destroy(client);
    if (fate == CALLBACK_TAKEN) {
        spool_drop(spool, callback);
        return 0;
    }
    *err = answer.err;
    if (err->code != ERR_CANCELLED) {
        callback->attempts++;
        free(callback->last_error);
        callback->last_error = mem_copy_string(err->message);
    }
    spool_bury(spool, callback, &ignored); /* else spool_close puts it back as it was */
    return err->code;
}

int callback_replay(const struct callback_options *options, const char *id, const atomic_int *stop,
                    struct err *err)
{
    struct spool *spool = NULL;
    struct callback *callback = NULL;
    size_t adopted;
    int result = spool_open(options->manifest->dead_letters, &spool, &adopted, err);
    if (result == 0)
        result = spool_claim(spool, id, &callback, err);
    if (result == 0)
        result = send_letter(options, spool, callback, stop, err);
    callback_destroy(callback);
    spool_close(spool);
    return result;
}
