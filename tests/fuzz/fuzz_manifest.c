/* Any bytes as a manifest: no crash, a report exactly when refused, and what is accepted prints as a
 * manifest that reads back to the same values.
 */
#include "manifest/manifest.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
    if (!condition)
        abort();
}

static const char *lookup(const char *name, void *arg)
{
    (void)arg;
    return strcmp(name, "HOME") == 0 ? "/home/fuzz" : NULL;
}

/* Bytes to a manifest, or NULL. */
static struct manifest *parse(const char *text, size_t len)
{
    const struct manifest_input input = {.getenv = lookup, .cpu_count = 2};
    struct manifest *m = NULL;
    struct str report = {0};
    int code = manifest_parse(text, len, "fuzz.yaml", "/fuzz", &input, &m, &report);
    require((code == 0) == (m != NULL) && (code == 0) == (report.len == 0));
    str_finish(&report);
    return m;
}

/* The print without comments, which tell lines. */
static void values_print(const struct manifest *m, struct str *values)
{
    struct str print = {0};
    manifest_print(m, false, &print);
    for (char *line = print.data, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        *end = '\0';
        char *comment = strrchr(line, '#');
        str_append(values, line, comment ? (size_t)(comment - line) : strlen(line));
        str_putc(values, '\n');
    }
    str_finish(&print);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct manifest *m = parse((const char *)data, size);
    if (!m)
        return 0;
    struct str print = {0}, values = {0}, values_again = {0};
    manifest_print(m, false, &print);
    values_print(m, &values);
    if (print.len <= YAML_LIMITS_DEFAULT.bytes_max) { /* escapes and resolved aliases take room */
        struct manifest *again = parse(print.data, print.len);
        require(again);
        values_print(again, &values_again);
        /* `jobs` is only a comment in both, so nothing of it is left to compare. */
        require(strncmp(str_text(&values), str_text(&values_again), values_again.len) == 0);
        manifest_destroy(again);
    }
    str_finish(&print);
    str_finish(&values);
    str_finish(&values_again);
    manifest_destroy(m);
    return 0;
}
