/* Conformance cases on the file itself and on what opening it brings into the process. */
#include "plugin/check/cases.h"
#include "plugin/check/elf.h"

#include <stdio.h>
#include <string.h>

static const char *const banned_imports[] = {
    "setenv",     "unsetenv",    "putenv", "clearenv", "exit",      "_exit",  "_Exit",
    "quick_exit", "chdir",       "fchdir", "umask",    "setlocale", "signal", "sigaction",
    "sigset",     "sigprocmask", "fork",   "vfork",    "system",    "popen",  "daemon",
};

/* Common in libraries that are linked in, and harmless unless they are reached; other cases watch
 * for that. */
static const char *const noted_imports[] = {
    "getenv",  "secure_getenv", "abort", "__assert_fail",   "stdout",
    "stderr",  "printf",        "puts",  "putchar",         "perror",
    "vprintf", "__printf_chk",  "raise", "pthread_sigmask",
};

static bool is_one_of(const char *name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static void add_name(struct str *list, const char *name)
{
    str_printf(list, "%s%.64s", list->len ? ", " : "", name);
}

static bool file_open(struct check_cx *cx, struct elf_file *elf)
{
    struct err err = {0};
    if (elf_open(elf, cx->path, &err) == 0)
        return true;
    cx_fail(cx, "%s", err.message);
    return false;
}

enum check_outcome check_shared_object(struct check_cx *cx)
{
    struct elf_file elf;
    if (!file_open(cx, &elf))
        return CHECK_FAIL;
    elf_close(&elf);
    return CHECK_PASS;
}

enum check_outcome check_exported_symbols(struct check_cx *cx)
{
    const size_t shown_max = 8;
    struct elf_file elf;
    struct str others = {0};
    size_t other_count = 0;
    bool found = false, data = false;
    enum check_outcome outcome = CHECK_PASS;
    if (!file_open(cx, &elf))
        return CHECK_FAIL;
    for (size_t i = 0; i < elf.count; i++) {
        const struct elf_symbol *symbol = &elf.symbols[i];
        if (!symbol->defined)
            continue;
        if (strcmp(symbol->name, "vox_entry") == 0) {
            found = true;
            data = symbol->data;
        } else if (other_count++ < shown_max) {
            add_name(&others, symbol->name);
        }
    }
    if (!found)
        outcome = cx_fail(cx, "vox_entry is not exported");
    else if (!data)
        outcome = cx_fail(cx, "vox_entry is not data");
    else if (other_count > 0)
        outcome =
            cx_fail(cx, "%zu more symbols are exported (%s%s): link with the SDK's plugin.map",
                    other_count, str_text(&others), other_count > shown_max ? ", ..." : "");
    str_finish(&others);
    elf_close(&elf);
    return outcome;
}

enum check_outcome check_banned_imports(struct check_cx *cx)
{
    struct elf_file elf;
    struct str banned = {0}, noted = {0};
    enum check_outcome outcome = CHECK_PASS;
    if (!file_open(cx, &elf))
        return CHECK_FAIL;
    for (size_t i = 0; i < elf.count; i++) {
        const char *name = elf.symbols[i].name;
        if (elf.symbols[i].defined)
            continue;
        if (is_one_of(name, banned_imports, sizeof(banned_imports) / sizeof(*banned_imports)))
            add_name(&banned, name);
        if (is_one_of(name, noted_imports, sizeof(noted_imports) / sizeof(*noted_imports)))
            add_name(&noted, name);
    }
    if (banned.len)
        outcome = cx_fail(cx, "imports %s", str_text(&banned));
    else if (noted.len)
        str_printf(&cx->reason, "imports %s, which no job should reach", str_text(&noted));
    str_finish(&banned);
    str_finish(&noted);
    elf_close(&elf);
    return outcome;
}

enum check_outcome check_opens(struct check_cx *cx)
{
    return cx_open(cx) ? CHECK_PASS : CHECK_FAIL;
}

/* Two OpenMP runtimes in one process each start a thread per processor, and can deadlock. */
enum check_outcome check_single_openmp(struct check_cx *cx)
{
    static const char *const runtimes[] = {"libgomp", "libomp", "libiomp5"};
    struct str maps = {0}, found = {0};
    struct err err = {0};
    size_t count = 0;
    enum check_outcome outcome = CHECK_PASS;
    if (fs_read_file("/proc/self/maps", (size_t)16 << 20, &maps, &err) != 0)
        return cx_skip(cx, "%s", err.message);
    for (size_t i = 0; i < sizeof(runtimes) / sizeof(*runtimes); i++) {
        char part[32];
        snprintf(part, sizeof(part), "/%s.so", runtimes[i]);
        char hashed[32];
        snprintf(hashed, sizeof(hashed), "/%s-", runtimes[i]);
        if (strstr(str_text(&maps), part) || strstr(str_text(&maps), hashed)) {
            add_name(&found, runtimes[i]);
            count++;
        }
    }
    if (count > 1)
        outcome = cx_fail(cx, "brings %zu OpenMP runtimes: %s", count, str_text(&found));
    str_finish(&maps);
    str_finish(&found);
    return outcome;
}
