/* Reads the dynamic symbols of a shared object without running anything of it. */
#ifndef CHECK_ELF_H
#define CHECK_ELF_H

#include "base/base.h"

struct elf_symbol {
    const char *name; /* borrowed from the file's mapping */
    bool defined;     /* exported; else imported */
    bool data;        /* an object, not a function */
};

struct elf_file {
    void *data;
    size_t size;
    struct elf_symbol *symbols; /* global and weak ones */
    size_t count;
};

/* Fails with the reason when the file is no shared object for this machine, or is cut off. */
int elf_open(struct elf_file *elf, const char *path, struct err *err);
void elf_close(struct elf_file *elf);

#endif
