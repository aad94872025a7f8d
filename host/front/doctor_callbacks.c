/* The doctor's look at callbacks: can they be signed, and kept when nobody takes them? Says nothing
 * where the manifest has none; sends none and makes nothing. */
#include "front/inspect.h"

#include <errno.h>
#include <string.h>

#define SUBJECT "callbacks"

void doctor_check_callbacks(struct doctor *doctor, const struct manifest_callbacks *manifest)
{
    int reason = doctor_try_dir(manifest->dead_letters);
    if (!manifest->url && !manifest->error_url && !manifest->secret)
        return;
    if (!manifest->secret)
        doctor_report(doctor, DOCTOR_WARN, SUBJECT,
                      "set callbacks.secret to what the receiver checks signatures by",
                      "are not signed: there is no callbacks.secret");
    else
        doctor_report(doctor, DOCTOR_OK, SUBJECT, NULL, "are signed in the header %s",
                      manifest->signature_header);
    if (reason != 0 && reason != ENOENT) /* it is made when it is needed */
        doctor_report(doctor, DOCTOR_WARN, SUBJECT,
                      "make callbacks.dead_letters writable, else what nobody takes is lost",
                      "%s cannot be written: %s", manifest->dead_letters, strerror(reason));
}
