/* The disks that this process writes to; see disks.h. */
#include "front/disks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

const char *const disk_use_names[DISK_USE_COUNT] = {"results", "cache",     "voices",
                                                    "storage", "callbacks", "models"};

static struct disk *disk_of(struct disk_list *disks, dev_t device)
{
    for (size_t i = 0; i < disks->count; i++)
        if (disks->items[i].device == device)
            return &disks->items[i];
    return NULL;
}

static void look_at(struct disk_list *disks, enum disk_use use, const char *dir,
                    int64_t min_free_mb)
{
    struct stat info = {0};
    uint64_t free_bytes, total_bytes;
    if (!dir)
        return;
    char *there = fs_existing_above(dir);
    int reason = stat(there, &info) == 0 ? 0 : errno;
    struct disk *disk = reason == 0 ? disk_of(disks, info.st_dev) : NULL;
    if (!disk && disks->count < DISKS_MAX) {
        disk = &disks->items[disks->count++];
        *disk = (struct disk){.dir = mem_copy_string(dir), .device = info.st_dev};
        if (reason == 0 && fs_disk_bytes(there, &free_bytes, &total_bytes) != 0)
            reason = errno;
        disk->reason = reason;
        if (reason == 0) {
            disk->free_mb = free_bytes >> 20;
            disk->total_mb = total_bytes >> 20;
            disk->low = disk->free_mb < (uint64_t)min_free_mb;
        }
    }
    if (disk)
        disk->uses |= 1u << use;
    free(there);
}

void disks_look(const struct manifest *manifest, const char *out, struct disk_list *disks)
{
    int64_t min_free_mb = manifest->host.min_free_mb;
    *disks = (struct disk_list){0};
    look_at(disks, DISK_RESULTS, out, min_free_mb);
    for (size_t i = 0; i < manifest->model_count; i++)
        look_at(disks, DISK_CACHE, manifest->models[i].cache_dir, min_free_mb);
    look_at(disks, DISK_VOICES, manifest->paths.voices, min_free_mb);
    if (manifest->storage.type == STORAGE_FILE)
        look_at(disks, DISK_STORAGE, manifest->storage.dir, min_free_mb);
    look_at(disks, DISK_CALLBACKS, manifest->callbacks.letters_dir, min_free_mb);
    if (manifest->paths.copy_up)
        look_at(disks, DISK_MODELS, manifest->paths.models, min_free_mb);
}

void disks_finish(struct disk_list *disks)
{
    for (size_t i = 0; i < disks->count; i++)
        free(disks->items[i].dir);
    disks->count = 0;
}

void disk_write_uses(const struct disk *disk, const char *between, struct str *out)
{
    const char *before = "";
    for (unsigned i = 0; i < DISK_USE_COUNT; i++) {
        if (!(disk->uses & (1u << i)))
            continue;
        str_printf(out, "%s%s", before, disk_use_names[i]);
        before = between;
    }
}

static void log_disk(const struct disk *disk, const struct log *log, enum log_level level)
{
    struct str uses = {0};
    disk_write_uses(disk, ", ", &uses);
    if (disk->reason)
        LOG_EVENT(log, LOG_WARN, "disk", "free space is unknown", LOG_TEXT("dir", disk->dir),
                  LOG_TEXT("uses", str_text(&uses)), LOG_TEXT("reason", strerror(disk->reason)));
    else
        LOG_EVENT(log, disk->low ? LOG_WARN : level, "disk",
                  disk->low ? "has less free than host.min_free_mb wants" : "in use",
                  LOG_TEXT("dir", disk->dir), LOG_TEXT("uses", str_text(&uses)),
                  LOG_NUMBER("free_mb", disk->free_mb), LOG_NUMBER("total_mb", disk->total_mb));
    str_finish(&uses);
}

void disks_log(const struct disk_list *disks, const struct log *log, enum log_level level)
{
    for (size_t i = 0; i < disks->count; i++)
        log_disk(&disks->items[i], log, level);
}

static void write_disk(const struct disk *disk, struct str *out)
{
    str_puts(out, "{\"dir\":");
    json_write_string(out, disk->dir, strlen(disk->dir));
    str_puts(out, ",\"uses\":[\"");
    disk_write_uses(disk, "\",\"", out);
    str_puts(out, "\"]");
    if (disk->reason) {
        const char *reason = strerror(disk->reason);
        str_puts(out, ",\"error\":");
        json_write_string(out, reason, strlen(reason));
    } else {
        str_printf(out, ",\"free_mb\":%llu,\"total_mb\":%llu,\"low\":%s",
                   (unsigned long long)disk->free_mb, (unsigned long long)disk->total_mb,
                   disk->low ? "true" : "false");
    }
    str_putc(out, '}');
}

void disks_write(const struct disk_list *disks, struct str *out)
{
    str_putc(out, '[');
    for (size_t i = 0; i < disks->count; i++) {
        if (i)
            str_putc(out, ',');
        write_disk(&disks->items[i], out);
    }
    str_putc(out, ']');
}
