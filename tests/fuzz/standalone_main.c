/* Runs a fuzz target over every file of the directories given as arguments, so that a corpus is a plain
 * test with any compiler. Links with one fuzz_*.c and knows nothing of what it tests.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_SIZE_MAX (16u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path)
{
    struct stat info;
    FILE *file = fopen(path, "rb");
    uint8_t *data = NULL;
    int result = -1;
    if (!file || fstat(fileno(file), &info) != 0 || info.st_size > FILE_SIZE_MAX)
        goto out;
    size_t size = (size_t)info.st_size;
    data = malloc(size ? size : 1); /* exact, so that a sanitizer sees reads past the end */
    if (!data || fread(data, 1, size, file) != size)
        goto out;
    result = LLVMFuzzerTestOneInput(data, size);
out:
    if (result != 0)
        fprintf(stderr, "%s: cannot be run\n", path);
    free(data);
    if (file)
        fclose(file);
    return result;
}

/* The number of files run, or -1. */
static int run_dir(const char *path)
{
    struct dirent **names;
    int count = scandir(path, &names, NULL, alphasort), run = 0, failed = 0;
    if (count < 0) {
        perror(path);
        return -1;
    }
    for (int i = 0; i < count; i++) {
        char file[4096];
        int len = snprintf(file, sizeof(file), "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.') {
            failed |= len >= (int)sizeof(file) || run_file(file) != 0;
            run++;
        }
        free(names[i]);
    }
    free(names);
    return failed ? -1 : run;
}

int main(int argc, char **argv)
{
    int result = argc > 1 ? EXIT_SUCCESS : EXIT_FAILURE;
    for (int i = 1; i < argc; i++) {
        int run = run_dir(argv[i]);
        printf("%s: %d files\n", argv[i], run);
        if (run <= 0)
            result = EXIT_FAILURE;
    }
    return result;
}
