/* Opens plugin libraries and checks their entries. Libraries are never closed: what they start
 * (threads, runtimes, thread-local destructors) cannot be taken back. Knows no models.
 */
#include "plugin/plugin.h"

#include "plugin/library.h"

#include <ctype.h>
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef VOXHOST_INSTALLED_PLUGINS
#define VOXHOST_INSTALLED_PLUGINS "../lib/voxhost/plugins"
#endif

#if UINTPTR_MAX > UINT32_MAX
#define ELFCLASS_HERE ELFCLASS64
#else
#define ELFCLASS_HERE ELFCLASS32
#endif
#if defined(__x86_64__)
#define ELF_MACHINE_HERE EM_X86_64
#elif defined(__aarch64__)
#define ELF_MACHINE_HERE EM_AARCH64
#else
#define ELF_MACHINE_HERE header.e_machine /* not known: dlopen decides */
#endif

#define OPTIONS_MAX 1024 /* as vox/plugin.h says */
#define SPEAKERS_MAX 4096

struct plugin {
    struct plugin *next;
    char *path;
    dev_t device;
    ino_t inode;
    const struct vox_entry *entry;
    pthread_mutex_t load_lock;
};

/* What dlopen gave is the process's, not ours: one list, as there is one dynamic linker. */
static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static struct plugin *opened; /* guarded by open_lock */

/* --- Finding ---------------------------------------------------------------------------------- */

void plugin_dirs(const struct text_list *search, struct text_list *dirs)
{
    char *program = fs_program_dir();
    for (size_t i = 0; search && i < search->count; i++)
        text_list_add(dirs, mem_copy_string(search->items[i]));
    text_list_add(dirs, fs_join(program, "plugins"));
    text_list_add(dirs, fs_absolute(program, VOXHOST_INSTALLED_PLUGINS));
    free(program);
}

char *plugin_find(const char *name, const char *first_dir, const struct text_list *search,
                  struct err *err)
{
    struct text_list dirs = {0};
    struct str tried = {0};
    char *found = NULL;
    if (name[0] == '/')
        return mem_copy_string(name);
    if (first_dir)
        text_list_add(&dirs, mem_copy_string(first_dir));
    plugin_dirs(search, &dirs);
    for (size_t i = 0; i < dirs.count && !found; i++) {
        char *path = fs_absolute(dirs.items[i], name);
        if (access(path, F_OK) == 0)
            found = path;
        else
            free(path);
        str_printf(&tried, "%s%s", i ? ", " : "", dirs.items[i]);
    }
    if (!found)
        err_set(err, ERR_MODEL_FAILED, NULL, "plugin \"%s\" is in none of: %s", name,
                str_text(&tried));
    str_finish(&tried);
    text_list_finish(&dirs);
    return found;
}

/* --- Checking --------------------------------------------------------------------------------- */

static bool is_id(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_");
    return len > 0 && len <= 64 && text[len] == '\0';
}

static int check_schema(struct option_schema schema, const char *what, struct err *err)
{
    if (schema.count > OPTIONS_MAX)
        return err_set(err, ERR_MODEL_FAILED, NULL, "%u %s options are declared, at most %d",
                       schema.count, what, OPTIONS_MAX);
    if (schema.count && (!schema.options || schema.stride < sizeof(struct vox_option)))
        return err_set(err, ERR_MODEL_FAILED, NULL,
                       "%u %s options are declared, but not in elements of at least %zu bytes",
                       schema.count, what, sizeof(struct vox_option));
    for (uint32_t i = 0; i < schema.count; i++) {
        const struct vox_option *option = option_at(schema, i);
        if (!option->name || !is_id(option->name))
            return err_set(err, ERR_MODEL_FAILED, NULL,
                           "%s option %u has no name of letters, digits, - and _", what, i);
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(option->name, option_at(schema, j)->name) == 0)
                return err_set(err, ERR_MODEL_FAILED, NULL, "%s option \"%s\" stands twice", what,
                               option->name);
        if (option->type < VOX_OPTION_BOOL || option->type > VOX_OPTION_CHOICE)
            return err_set(err, ERR_MODEL_FAILED, NULL, "%s option \"%s\" has the unknown type %u",
                           what, option->name, option->type);
        if (!(option->minimum <= option->maximum))
            return err_set(err, ERR_MODEL_FAILED, NULL,
                           "%s option \"%s\" has a minimum over its maximum", what, option->name);
        if (option->type == VOX_OPTION_CHOICE && (!option->choices || !option->choices[0]))
            return err_set(err, ERR_MODEL_FAILED, NULL, "%s option \"%s\" has no choices", what,
                           option->name);
    }
    struct option_set defaults;
    struct err why = {0};
    if (options_check(schema, NULL, NULL, false, &defaults, &why) != 0)
        return err_set(err, ERR_MODEL_FAILED, NULL, "%s default of %s: %s", what, why.field,
                       why.message);
    option_set_finish(&defaults);
    return 0;
}

static int check_speakers(const struct vox_entry *entry, struct err *err)
{
    if (entry->speaker_count > SPEAKERS_MAX)
        return err_set(err, ERR_MODEL_FAILED, NULL, "%u speakers are declared, at most %d",
                       entry->speaker_count, SPEAKERS_MAX);
    if (entry->speaker_count &&
        (!entry->speakers || entry->speaker_size < sizeof(struct vox_speaker)))
        return err_set(err, ERR_MODEL_FAILED, NULL,
                       "%u speakers are declared, but not in elements of at least %zu bytes",
                       entry->speaker_count, sizeof(struct vox_speaker));
    for (uint32_t i = 0; i < entry->speaker_count; i++) {
        const char *id = plugin_speaker(entry, i)->id;
        if (!id || !id[0])
            return err_set(err, ERR_MODEL_FAILED, NULL, "speaker %u has no id", i);
        for (uint32_t j = 0; j < i; j++)
            if (text_equal_nocase(id, plugin_speaker(entry, j)->id))
                return err_set(err, ERR_MODEL_FAILED, NULL, "speaker \"%s\" stands twice", id);
    }
    return 0;
}

static int check_functions(const struct vox_entry *entry, struct err *err)
{
    const char *missing = !entry->init    ? "init"
                          : !entry->fini  ? "fini"
                          : !entry->open  ? "open"
                          : !entry->close ? "close"
                          : !entry->speak ? "speak"
                                          : NULL;
    if (missing)
        return err_set(err, ERR_MODEL_FAILED, NULL, "vox_entry.%s is NULL", missing);
    return 0;
}

int plugin_entry_check(const struct vox_entry *entry, struct err *err)
{
    if (entry->magic != VOX_MAGIC)
        return err_set(err, ERR_MODEL_FAILED, NULL,
                       "vox_entry begins with %08x, expected %08x: not a voxhost plugin",
                       entry->magic, VOX_MAGIC);
    if (entry->abi_major != VOX_ABI_MAJOR)
        return err_set(
            err, ERR_MODEL_FAILED, NULL,
            "was built for plugin ABI %u.%u, this host has %u.%u: rebuild it with this host's SDK",
            entry->abi_major, entry->abi_minor, VOX_ABI_MAJOR, VOX_ABI_MINOR);
    if (!VOX_HAS(entry, speak))
        return err_set(err, ERR_MODEL_FAILED, NULL, "vox_entry has %u bytes, expected at least %zu",
                       entry->size, offsetof(struct vox_entry, speak) + sizeof(entry->speak));
    if (!entry->id || !is_id(entry->id))
        return err_set(err, ERR_MODEL_FAILED, NULL,
                       "vox_entry.id: expected letters, digits, - and _");
    if (!entry->version || !entry->version[0])
        return err_set(err, ERR_MODEL_FAILED, NULL, "vox_entry.version is missing");
    int result = check_functions(entry, err);
    if (result == 0)
        result = check_speakers(entry, err);
    if (result == 0)
        result = check_schema(plugin_load_schema(entry), "load", err);
    if (result == 0)
        result = check_schema(plugin_job_schema(entry), "job", err);
    return result;
}

/* --- Opening ---------------------------------------------------------------------------------- */

/* Does every segment lie inside the file? The dynamic linker maps them unasked, and a file that was
 * cut off kills the process on the first touch of what is missing. */
static bool segments_fit(int fd, const ElfW(Ehdr) * header, off_t size)
{
    for (unsigned i = 0; i < header->e_phnum; i++) {
        ElfW(Phdr) segment;
        off_t at = (off_t)(header->e_phoff + (size_t)i * sizeof(segment));
        if (pread(fd, &segment, sizeof(segment), at) != (ssize_t)sizeof(segment))
            return false;
        if (segment.p_type == PT_LOAD &&
            (segment.p_offset > (size_t)size || segment.p_filesz > (size_t)size - segment.p_offset))
            return false;
    }
    return true;
}

/* Before dlopen, whose own messages for such files are hard to read. */
static int check_elf(const char *path, struct stat *info, struct err *err)
{
    ElfW(Ehdr) header;
    const char *wrong = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe must not block */
    if (fd < 0)
        return err_set(err, ERR_MODEL_FAILED, NULL, "%s: cannot be read: %s", path,
                       strerror(errno));
    if (fstat(fd, info) != 0 || !S_ISREG(info->st_mode))
        wrong = "is not a file";
    else if (pread(fd, &header, sizeof(header), 0) != (ssize_t)sizeof(header) ||
             memcmp(header.e_ident, ELFMAG, SELFMAG) != 0)
        wrong = "is not a shared object (no ELF header)";
    else if (header.e_ident[EI_CLASS] != ELFCLASS_HERE || header.e_machine != ELF_MACHINE_HERE)
        wrong = "is built for another kind of machine";
    else if (header.e_type != ET_DYN)
        wrong = "is not a shared object (another type of ELF file)";
    else if (header.e_phentsize != sizeof(ElfW(Phdr)) || !segments_fit(fd, &header, info->st_size))
        wrong = "is a damaged shared object (was it cut off?)";
    close(fd);
    return wrong ? err_set(err, ERR_MODEL_FAILED, NULL, "%s: %s", path, wrong) : 0;
}

static int load_library(const char *path, const struct vox_entry **entry, struct err *err)
{
    void *library;
    if (library_open(path, &library, err) != 0) {
        err_prefix(err, "%s", path);
        return err->code;
    }
    *entry = dlsym(library, "vox_entry");
    if (!*entry)
        return err_set(err, ERR_MODEL_FAILED, NULL,
                       "%s: has no symbol vox_entry: not a voxhost plugin", path);
    if (plugin_entry_check(*entry, err) != 0) {
        err_prefix(err, "%s", path);
        return err->code;
    }
    return 0;
}

/* Constructors of the library run in here. */
static int open_library(const char *path, const struct vox_entry **entry, struct err *err)
{
    crash_enter(NULL, "plugin file %s while it was opened", path);
    int result = load_library(path, entry, err);
    crash_leave();
    return result;
}

int plugin_open(const char *path, struct plugin **out, struct err *err)
{
    struct stat info = {0};
    *out = NULL;
    int result = check_elf(path, &info, err);
    if (result != 0)
        return result;
    pthread_mutex_lock(&open_lock);
    for (struct plugin *p = opened; p && !*out; p = p->next)
        if (p->device == info.st_dev && p->inode == info.st_ino)
            *out = p;
    const struct vox_entry *entry = NULL;
    if (!*out && (result = open_library(path, &entry, err)) == 0) {
        struct plugin *plugin = mem_alloc(sizeof(*plugin));
        plugin->path = mem_copy_string(path);
        plugin->device = info.st_dev;
        plugin->inode = info.st_ino;
        plugin->entry = entry;
        pthread_mutex_init(&plugin->load_lock, NULL);
        plugin->next = opened;
        opened = plugin;
        *out = plugin;
    }
    pthread_mutex_unlock(&open_lock);
    return result;
}

const struct vox_entry *plugin_entry(const struct plugin *plugin)
{
    return plugin->entry;
}

const char *plugin_path(const struct plugin *plugin)
{
    return plugin->path;
}

void plugin_lock(struct plugin *plugin)
{
    pthread_mutex_lock(&plugin->load_lock);
}

bool plugin_lock_unless(struct plugin *plugin, const atomic_int *stop)
{
    const struct timespec pause = {0, 5000000};
    while (pthread_mutex_trylock(&plugin->load_lock) != 0) {
        if (atomic_load(stop) != 0)
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

void plugin_unlock(struct plugin *plugin)
{
    pthread_mutex_unlock(&plugin->load_lock);
}

const struct vox_speaker *plugin_speaker(const struct vox_entry *entry, uint32_t index)
{
    const char *base = (const char *)entry->speakers;
    return (const struct vox_speaker *)(const void *)(base + (size_t)index * entry->speaker_size);
}

/* --- What plugins say ------------------------------------------------------------------------- */

enum err_code plugin_code(int32_t code)
{
    switch (code) {
    case VOX_EINVAL:
        return ERR_INVALID;
    case VOX_ENOTFOUND:
        return ERR_VOICE_NOT_FOUND;
    case VOX_EUNSUPPORTED:
        return ERR_UNSUPPORTED;
    case VOX_ENOMEM:
        return ERR_NO_MEMORY;
    case VOX_ECANCELLED:
        return ERR_CANCELLED;
    case VOX_EMODEL:
    case VOX_EDEVICE:
        return ERR_MODEL_FAILED;
    case VOX_ESINK:
        return ERR_STORAGE;
    default:
        return ERR_INTERNAL;
    }
}

void plugin_text(const char *data, size_t size_max, struct str *out)
{
    size_t len = strnlen(data, size_max), bad = 0;
    if (!utf8_valid(data, len, &bad))
        len = bad;
    for (size_t i = 0; i < len; i++)
        str_putc(out, iscntrl((unsigned char)data[i]) ? ' ' : data[i]);
}

int plugin_failure(struct err *err, const char *who, const char *call, int32_t code,
                   const struct vox_error *error)
{
    struct str text = {0};
    plugin_text(error->message, sizeof(error->message), &text);
    if (code < VOX_ESINK || code > VOX_OK)
        err_set(err, ERR_INTERNAL, NULL, "%s: %s returned the unknown code %d%s%s", who, call, code,
                text.len ? ": " : "", str_text(&text));
    else
        err_set(err, plugin_code(code), NULL, "%s: %s%s", who, text.len ? "" : call,
                text.len ? str_text(&text) : " failed without saying why");
    str_finish(&text);
    return err->code;
}
