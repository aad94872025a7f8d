/* What config, plugins and doctor share; see inspect.h. */
#include "front/inspect.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int inspect_print(const struct str *text, int exit_code)
{
    if (fs_write_all(STDOUT_FILENO, str_text(text), text->len) == 0)
        return exit_code;
    fprintf(stderr, "voxhost: standard output cannot be written: %s\n", strerror(errno));
    return EXIT_JOBS_FAILED;
}
