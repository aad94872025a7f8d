/* Memory; see mem.h. */
#include "base/mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *require(void *ptr)
{
    if (!ptr) {
        static const char line[] = "voxhost: out of memory\n";
        ssize_t ignored = write(STDERR_FILENO, line, sizeof(line) - 1);
        (void)ignored;
        abort();
    }
    return ptr;
}

void *mem_alloc(size_t size)
{
    return require(calloc(1, size ? size : 1));
}

void *mem_alloc_array(size_t count, size_t size)
{
    return require(calloc(count ? count : 1, size ? size : 1));
}

void *mem_resize(void *ptr, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size)
        require(NULL);
    size_t total = count * size;
    return require(realloc(ptr, total ? total : 1));
}

char *mem_copy_text(const char *text, size_t len)
{
    char *copy = require(malloc(len + 1));
    if (len)
        memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

char *mem_copy_string(const char *text)
{
    return text ? mem_copy_text(text, strlen(text)) : NULL;
}
