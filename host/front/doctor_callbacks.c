/* The doctor's look at callbacks: can they be signed, and kept when nobody takes them? Says nothing
 * where the manifest has none; sends none, and makes nothing that it does not remove. */
#include "front/inspect.h"

#include "store/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SUBJECT "callbacks"
#define TRIAL "voxhost-doctor"

static int try_letter(const struct manifest *manifest, const char *prefix, struct err *err)
{
    struct storage *storage = NULL;
    char *key = str_format("%s" TRIAL, prefix);
    const struct storage_put put = {
        .key = key, .content_type = "text/plain", .data = TRIAL, .len = strlen(TRIAL)};
    int result = storage_open(&manifest->storage, &storage, err);
    if (result == 0)
        result = storage_put(storage, &put, err);
    if (result == 0)
        result = storage_delete(storage, key, NULL, err);
    storage_close(storage);
    free(key);
    return result;
}

static void check_storage(struct doctor *doctor, const struct manifest *manifest,
                          const char *prefix, bool try_storage)
{
    struct err err = {0};
    if (!try_storage)
        doctor_report(doctor, DOCTOR_OK, SUBJECT, NULL,
                      "dead letters go to the storage below \"%s\" (--storage tries it)", prefix);
    else if (try_letter(manifest, prefix, &err) == 0)
        doctor_report(doctor, DOCTOR_OK, SUBJECT, NULL,
                      "the storage takes dead letters below \"%s\"", prefix);
    else
        doctor_report(doctor, DOCTOR_FAIL, SUBJECT,
                      "give the key the right to put and delete objects there, or name a directory "
                      "in callbacks.dead_letters; until then dead letters stay on disk",
                      "the storage does not take dead letters below \"%s\": %s", prefix,
                      err.message);
}

void doctor_check_callbacks(struct doctor *doctor, const struct manifest *manifest,
                            bool try_storage)
{
    const struct manifest_callbacks *callbacks = &manifest->callbacks;
    const char *prefix = manifest_letters_prefix(callbacks);
    int reason = doctor_try_dir(callbacks->letters_dir);
    if (!callbacks->url && !callbacks->error_url && !callbacks->secret && !prefix)
        return;
    if (!callbacks->secret)
        doctor_report(doctor, DOCTOR_WARN, SUBJECT,
                      "set callbacks.secret to what the receiver checks signatures by",
                      "are not signed: there is no callbacks.secret");
    else
        doctor_report(doctor, DOCTOR_OK, SUBJECT, NULL, "are signed in the header %s",
                      callbacks->signature_header);
    if (reason != 0 && reason != ENOENT) /* it is made when it is needed */
        doctor_report(doctor, DOCTOR_WARN, SUBJECT,
                      prefix ? "make it writable, else what is still to be sent is lost with the "
                               "process"
                             : "make callbacks.dead_letters writable, else what nobody takes is "
                               "lost",
                      "%s cannot be written: %s", callbacks->letters_dir, strerror(reason));
    if (prefix)
        check_storage(doctor, manifest, prefix, try_storage);
}
