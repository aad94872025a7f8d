/* Memory; see mem.h. */
#include "base/mem.h"

#include <link.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
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

/* Segments that are not writable are as in their files, so nothing is lost. A debugger's
 * breakpoints would be. */
static int forget_code(struct dl_phdr_info *object, size_t size, void *arg)
{
    uintptr_t page = *(const uintptr_t *)arg;
    (void)size;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &object->dlpi_phdr[i];
        uintptr_t begin = object->dlpi_addr + segment->p_vaddr;
        uintptr_t from = (begin + page - 1) / page * page;
        uintptr_t to = (begin + segment->p_filesz) / page * page;
        if (segment->p_type == PT_LOAD && !(segment->p_flags & PF_W) && to > from)
            madvise((void *)from, to - from, MADV_DONTNEED); /* NOLINT: the loader tells integers */
    }
    return 0;
}

void mem_forget_start(void)
{
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    dl_iterate_phdr(forget_code, &page);
}
