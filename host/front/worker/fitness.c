/* Fitness checks; see fitness.h. */
#include "front/worker/fitness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#define GIB 1073741824.0

/* The number of a variable, 0 when it is not set. ERR_INVALID when it is none. */
static int read_number(yaml_lookup lookup, void *arg, const char *name, double *number,
                       struct err *err)
{
    const char *text = lookup(name, arg);
    *number = 0;
    if (!text || !text[0])
        return 0;
    if (!json_number_valid(text, strlen(text)) || strtod(text, NULL) < 0)
        return err_set(err, ERR_INVALID, name, "expected a number, got \"%.40s\"", text);
    *number = strtod(text, NULL);
    return 0;
}

/* The first number of a file, or after `label`; negative when there is none. */
static double number_in(const char *path, const char *label)
{
    struct str text = {0};
    struct err none;
    double number = -1;
    if (fs_read_file(path, 1u << 16, &text, &none) == 0) {
        const char *at = label ? strstr(str_text(&text), label) : str_text(&text);
        char *end = NULL;
        if (at)
            number = strtod(at + (label ? strlen(label) : 0), &end);
        if (!at || end == at + (label ? strlen(label) : 0))
            number = -1;
    }
    str_finish(&text);
    return number;
}

/* What this machine and this container still have. */
static double free_memory(void)
{
    double free_bytes = number_in("/proc/meminfo", "MemAvailable:") * 1024;
    double limit = number_in("/sys/fs/cgroup/memory.max", NULL);
    double used = number_in("/sys/fs/cgroup/memory.current", NULL);
    if (limit >= 0 && used >= 0 && limit - used < free_bytes)
        free_bytes = limit - used;
    return free_bytes;
}

int fitness_check(yaml_lookup lookup, void *arg, const char *cache_dir, struct err *err)
{
    double memory_gb, disk_percent;
    struct statvfs disk;
    const char *skip = lookup("RUNPOD_SKIP_AUTO_SYSTEM_CHECKS", arg);
    if (skip && text_equal_nocase(skip, "true"))
        return 0;
    if (read_number(lookup, arg, "RUNPOD_MIN_MEMORY_GB", &memory_gb, err) != 0 ||
        read_number(lookup, arg, "RUNPOD_MIN_DISK_PERCENT", &disk_percent, err) != 0)
        return err->code;
    if (memory_gb > 0 && free_memory() < memory_gb * GIB)
        return err_set(err, ERR_NO_MEMORY, "memory",
                       "%.2f GB are free, RUNPOD_MIN_MEMORY_GB asks for %.2f", free_memory() / GIB,
                       memory_gb);
    if (disk_percent > 0 && (statvfs(cache_dir, &disk) == 0 || statvfs("/", &disk) == 0)) {
        double percent = 100.0 * (double)disk.f_bavail / (double)disk.f_blocks;
        if (percent < disk_percent)
            return err_set(err, ERR_STORAGE, "disk",
                           "%.1f %% are free, RUNPOD_MIN_DISK_PERCENT asks for %.1f", percent,
                           disk_percent);
    }
    return 0;
}
