/* Credentials from a file as AWS's own tools write it: INI, of which the section [default]
 * counts. */
#include "store/store_private.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#define FILE_SIZE_MAX (64u << 10)

/* Without the blanks around it; changes the text. */
static char *trim(char *text)
{
    while (isspace((unsigned char)*text))
        text++;
    size_t len = strlen(text);
    while (len > 0 && isspace((unsigned char)text[len - 1]))
        text[--len] = '\0';
    return text;
}

static void take_line(char *line, bool *is_default, struct s3_credentials *credentials)
{
    const struct {
        const char *name;
        char **value;
    } known[] = {{"aws_access_key_id", &credentials->access_key},
                 {"aws_secret_access_key", &credentials->secret_key},
                 {"aws_session_token", &credentials->session_token}};
    char *text = trim(line), *equals = strchr(text, '=');
    if (*text == '[') {
        text[strcspn(text, "]")] = '\0';
        *is_default = strcmp(trim(text + 1), "default") == 0;
    }
    if (!*is_default || *text == '#' || *text == ';' || !equals)
        return;
    *equals = '\0';
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (text_equal_nocase(trim(text), known[i].name)) {
            free(*known[i].value);
            *known[i].value = mem_copy_string(trim(equals + 1));
        }
    }
}

int s3_credentials_read(const char *path, struct s3_credentials *credentials, struct err *err)
{
    struct str text = {0};
    bool is_default = false;
    *credentials = (struct s3_credentials){0};
    int result = fs_read_file(path, FILE_SIZE_MAX, &text, err);
    if (result != 0) {
        struct err why = *err;
        result = err_set(err, ERR_INVALID, "storage.credentials_file", "%s", why.message);
        goto out;
    }
    for (char *line = text.data, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        take_line(line, &is_default, credentials);
    }
    if (!credentials->access_key || !credentials->secret_key)
        result = err_set(err, ERR_INVALID, "storage.credentials_file",
                         "%s: has no section [default] with aws_access_key_id and "
                         "aws_secret_access_key",
                         path);
out:
    str_finish(&text);
    if (result != 0)
        s3_credentials_finish(credentials);
    return result;
}

void s3_credentials_finish(struct s3_credentials *credentials)
{
    free(credentials->access_key);
    free(credentials->secret_key);
    free(credentials->session_token);
    *credentials = (struct s3_credentials){0};
}
