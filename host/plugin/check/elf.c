/* A bounds-checked reader of ELF's .dynsym over a mapping of the file. Knows no plugins. */
#include "plugin/check/elf.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SYMBOLS_MAX 1000000

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define ELF_DATA_NATIVE ELFDATA2LSB
#else
#define ELF_DATA_NATIVE ELFDATA2MSB
#endif

/* Copies `size` bytes from `offset`, wherever they are aligned; false beyond the end. */
static bool elf_read(const struct elf_file *elf, uint64_t offset, void *out, size_t size)
{
    if (!elf->data || offset > elf->size || size > elf->size - offset)
        return false;
    memcpy(out, (const char *)elf->data + offset, size);
    return true;
}

static int elf_map(struct elf_file *elf, const char *path, struct err *err)
{
    struct stat info = {0};
    void *data = MAP_FAILED;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool known = fd >= 0 && fstat(fd, &info) == 0;
    bool usable = known && S_ISREG(info.st_mode) && info.st_size > 0;
    if (usable)
        data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (known && !usable)
        return err_set(err, ERR_INVALID, NULL,
                       S_ISREG(info.st_mode) ? "is empty" : "is not a file");
    if (data == MAP_FAILED)
        return err_set(err, ERR_INVALID, NULL, "cannot be read: %s", strerror(error));
    elf->data = data;
    elf->size = (size_t)info.st_size;
    return 0;
}

/* This program's machine is the plugin's. */
static Elf64_Half own_machine(void)
{
    Elf64_Ehdr header = {0};
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return EM_NONE;
    ssize_t got = read(fd, &header, sizeof(header));
    close(fd);
    return got == (ssize_t)sizeof(header) ? header.e_machine : EM_NONE;
}

static int elf_check_header(const struct elf_file *elf, Elf64_Ehdr *header, struct err *err)
{
    Elf64_Half machine = own_machine();
    if (!elf_read(elf, 0, header, sizeof(*header)) || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0)
        return err_set(err, ERR_INVALID, NULL, "is not a shared object (no ELF header)");
    if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELF_DATA_NATIVE)
        return err_set(err, ERR_INVALID, NULL, "is an ELF file of another word size or byte order");
    if (header->e_type != ET_DYN)
        return err_set(err, ERR_INVALID, NULL, "is an ELF file of type %u, not a shared object",
                       header->e_type);
    if (machine != EM_NONE && header->e_machine != machine)
        return err_set(err, ERR_INVALID, NULL,
                       "is for another machine: ELF machine %u, this one is %u", header->e_machine,
                       machine);
    return 0;
}

static int elf_find_symbols(const struct elf_file *elf, const Elf64_Ehdr *header,
                            Elf64_Shdr *symbols, Elf64_Shdr *strings, struct err *err)
{
    for (uint64_t i = 0; i < header->e_shnum; i++) {
        if (!elf_read(elf, header->e_shoff + i * sizeof(*symbols), symbols, sizeof(*symbols)))
            return err_set(err, ERR_INVALID, NULL,
                           "is cut off: its section headers end behind the file");
        if (symbols->sh_type != SHT_DYNSYM)
            continue;
        if (symbols->sh_link >= header->e_shnum ||
            !elf_read(elf, header->e_shoff + symbols->sh_link * sizeof(*strings), strings,
                      sizeof(*strings)))
            return err_set(err, ERR_INVALID, NULL, "has dynamic symbols without names");
        return 0;
    }
    return err_set(err, ERR_INVALID, NULL, "has no dynamic symbol table");
}

/* The name at `offset` of the string table, or NULL when it does not end inside it. */
static const char *elf_name(const struct elf_file *elf, const Elf64_Shdr *strings, uint64_t offset)
{
    if (strings->sh_offset > elf->size || strings->sh_size > elf->size - strings->sh_offset ||
        offset >= strings->sh_size)
        return NULL;
    const char *name = (const char *)elf->data + strings->sh_offset + offset;
    return memchr(name, '\0', strings->sh_size - offset) ? name : NULL;
}

static int elf_read_symbols(struct elf_file *elf, const Elf64_Shdr *symbols,
                            const Elf64_Shdr *strings, struct err *err)
{
    uint64_t count = symbols->sh_size / sizeof(Elf64_Sym);
    if (count > SYMBOLS_MAX)
        return err_set(err, ERR_INVALID, NULL, "has %llu dynamic symbols, at most %d are read",
                       (unsigned long long)count, SYMBOLS_MAX);
    elf->symbols = mem_alloc_array(count, sizeof(*elf->symbols));
    for (uint64_t i = 1; i < count; i++) {
        Elf64_Sym symbol;
        const char *name = NULL;
        if (elf_read(elf, symbols->sh_offset + i * sizeof(symbol), &symbol, sizeof(symbol)))
            name = elf_name(elf, strings, symbol.st_name);
        if (!name)
            return err_set(err, ERR_INVALID, NULL,
                           "is cut off: its dynamic symbols end behind the file");
        if (ELF64_ST_BIND(symbol.st_info) == STB_LOCAL || name[0] == '\0')
            continue;
        elf->symbols[elf->count++] = (struct elf_symbol){
            name, symbol.st_shndx != SHN_UNDEF, ELF64_ST_TYPE(symbol.st_info) == STT_OBJECT};
    }
    return 0;
}

int elf_open(struct elf_file *elf, const char *path, struct err *err)
{
    Elf64_Ehdr header = {0};
    Elf64_Shdr symbols = {0}, strings = {0};
    *elf = (struct elf_file){0};
    int result = elf_map(elf, path, err);
    if (result == 0)
        result = elf_check_header(elf, &header, err);
    if (result == 0)
        result = elf_find_symbols(elf, &header, &symbols, &strings, err);
    if (result == 0)
        result = elf_read_symbols(elf, &symbols, &strings, err);
    if (result != 0)
        elf_close(elf);
    return result;
}

void elf_close(struct elf_file *elf)
{
    if (elf->data)
        munmap(elf->data, elf->size);
    free(elf->symbols);
    *elf = (struct elf_file){0};
}
