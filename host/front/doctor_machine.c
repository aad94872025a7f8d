/* The doctor's look at the machine: what this program runs with and on. Knows no manifest. Each
 * probe that fails is a finding, never a reason to stop.
 */
#include "front/disks.h"
#include "front/inspect.h"

#include "audio/audio.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <gnu/libc-version.h>
#include <openssl/crypto.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <yaml.h>

#define SYSTEM_FILE_SIZE_MAX (1u << 20)
#define MEMORY_LOW_MB 256u
#define OPEN_FILES_LOW 256u
#define TMP_LOW_MB 16

/* --- Shared with doctor.c --------------------------------------------------------------------- */

int doctor_try_dir(const char *dir)
{
    int fd = open(dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600); /* a file that never has a name */
    if (fd >= 0) {
        close(fd);
        return 0;
    }
    if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
        return errno;
    return access(dir, W_OK | X_OK) == 0 ? 0 : errno;
}

void doctor_check_space(struct doctor *doctor, const char *subject, const char *dir,
                        int64_t min_free_mb, enum doctor_level level, const char *advice)
{
    uint64_t free_bytes;
    if (fs_disk_bytes(dir, &free_bytes, NULL) != 0) {
        doctor_report(doctor, DOCTOR_WARN, subject, NULL, "free space of %s is unknown: %s", dir,
                      strerror(errno));
        return;
    }
    uint64_t free_mb = free_bytes >> 20;
    if (free_mb < (uint64_t)min_free_mb)
        doctor_report(doctor, level, subject, advice,
                      "the disk of %s has %llu MB free, wanted are %lld MB", dir,
                      (unsigned long long)free_mb, (long long)min_free_mb);
    else
        doctor_report(doctor, DOCTOR_OK, subject, NULL, "the disk of %s has %llu MB free", dir,
                      (unsigned long long)free_mb);
}

static void check_disk(struct doctor *doctor, const struct disk *disk, int64_t min_free_mb)
{
    struct str uses = {0};
    disk_write_uses(disk, ", ", &uses);
    if (disk->reason)
        doctor_report(doctor, DOCTOR_WARN, "disk", NULL, "free space of %s (%s) is unknown: %s",
                      disk->dir, str_text(&uses), strerror(disk->reason));
    else if (disk->low)
        doctor_report(doctor, DOCTOR_WARN, "disk",
                      "free some, or lower host.min_free_mb: new work is refused there",
                      "the disk of %s (%s) has %llu of %llu MB free, wanted are %lld MB", disk->dir,
                      str_text(&uses), (unsigned long long)disk->free_mb,
                      (unsigned long long)disk->total_mb, (long long)min_free_mb);
    else
        doctor_report(doctor, DOCTOR_OK, "disk", NULL,
                      "the disk of %s (%s) has %llu of %llu MB free", disk->dir, str_text(&uses),
                      (unsigned long long)disk->free_mb, (unsigned long long)disk->total_mb);
    str_finish(&uses);
}

void doctor_check_disks(struct doctor *doctor, const struct manifest *manifest, const char *here)
{
    struct disk_list disks;
    disks_look(manifest, here, &disks);
    for (size_t i = 0; i < disks.count; i++)
        check_disk(doctor, &disks.items[i], manifest->host.min_free_mb);
    disks_finish(&disks);
}

/* --- Software --------------------------------------------------------------------------------- */

static void check_libraries(struct doctor *doctor)
{
    doctor_report(doctor, DOCTOR_OK, "voxhost", NULL, "%s, plugin ABI %d.%d", VOXHOST_VERSION,
                  VOX_ABI_MAJOR, VOX_ABI_MINOR);
    doctor_report(doctor, DOCTOR_OK, "libraries", NULL,
                  "libyaml %s, cJSON %s, %s, %s, %s, glibc %s", yaml_get_version_string(),
                  cJSON_Version(), audio_sndfile_version(), audio_soxr_version(),
                  OpenSSL_version(OPENSSL_VERSION), gnu_get_libc_version());
}

/* Costs a third of a second where there is one, since libtorch comes with it. */
static void check_tensors(struct doctor *doctor)
{
    struct str about = {0};
    struct err err = {0};
    if (plugin_tensors_about(&about, &err) != 0)
        doctor_report(doctor, DOCTOR_WARN, "tensors",
                      "plugins that compute with tensors cannot run", "%s", err.message);
    else
        doctor_report(
            doctor, DOCTOR_OK, "tensors", NULL, "%s",
            about.len ? str_text(&about)
                      : "not built (WITH_TORCH=OFF): plugins that compute with tensors cannot run");
    str_finish(&about);
}

/* Encodes a tenth of a second of silence into nothing. */
static int try_encoder(enum audio_format format, int fd, struct err *err)
{
    enum { RATE_HZ = 48000, FRAMES = RATE_HZ / 10 };
    static const float silence[FRAMES];
    struct audio_spec spec = {.format = format, .encoding = AUDIO_PCM16, .sample_rate = RATE_HZ};
    struct audio_info info;
    struct sink *sink = NULL;
    int result = sink_open_stream(fd, &spec, &sink, err);
    if (result == 0)
        result = sink_begin(sink, RATE_HZ, 1, err);
    if (result == 0)
        result = sink_write(sink, silence, FRAMES, err);
    if (result == 0)
        result = sink_finish(sink, &info, err);
    sink_destroy(sink);
    return result;
}

static void check_encoders(struct doctor *doctor)
{
    struct str good = {0};
    int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        doctor_report(doctor, DOCTOR_WARN, "encoders", "make it available to this process",
                      "not tried, /dev/null cannot be opened: %s", strerror(errno));
        return;
    }
    for (int i = 0; i < AUDIO_FORMAT_COUNT; i++) {
        struct err err = {0};
        if (try_encoder((enum audio_format)i, fd, &err) == 0)
            str_printf(&good, "%s%s", good.len ? ", " : "", audio_format_names[i]);
        else
            doctor_report(doctor, DOCTOR_WARN, "encoders",
                          "install a libsndfile (1.1 or newer) that has it", "no %s: %s",
                          audio_format_names[i], err.message);
    }
    close(fd);
    doctor_report(doctor, DOCTOR_OK, "encoders", NULL, "%s", str_text(&good));
    str_finish(&good);
}

/* --- Hardware --------------------------------------------------------------------------------- */

static void append_features(struct str *out)
{
#if defined(__x86_64__)
    __builtin_cpu_init();
    static const char *const names[] = {"avx", "avx2", "fma", "avx512f"};
    const bool has[] = {__builtin_cpu_supports("avx") != 0, __builtin_cpu_supports("avx2") != 0,
                        __builtin_cpu_supports("fma") != 0, __builtin_cpu_supports("avx512f") != 0};
    for (size_t i = 0; i < sizeof(has) / sizeof(has[0]); i++)
        if (has[i])
            str_printf(out, " %s", names[i]);
#else
    (void)out;
#endif
}

/* The content of a small file of /proc or /sys; empty when it cannot be read. */
static void read_system_file(const char *path, struct str *out)
{
    struct err err;
    str_clear(out);
    if (fs_read_file(path, SYSTEM_FILE_SIZE_MAX, out, &err) != 0)
        str_clear(out);
}

static void check_cpu(struct doctor *doctor)
{
    struct str features = {0}, quota = {0};
    struct utsname system = {0};
    cpu_set_t usable;
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    int count =
        sched_getaffinity(0, sizeof(usable), &usable) == 0 ? CPU_COUNT(&usable) : (int)online;
    uname(&system);
    append_features(&features);
    read_system_file("/sys/fs/cgroup/cpu.max", &quota);
    char *end = NULL;
    double quota_us = strtod(str_text(&quota), &end), period_us = strtod(end, NULL);
    doctor_report(doctor, DOCTOR_OK, "cpu", NULL, "%s, %d of %ld CPUs%s%s", system.machine, count,
                  online, features.len ? "," : "", str_text(&features));
    if (quota_us > 0 && period_us > 0 && quota_us / period_us < count)
        doctor_report(doctor, DOCTOR_WARN, "cpu", "set models[].sessions to match",
                      "this container may use only %.1f CPUs at a time", quota_us / period_us);
    str_finish(&features);
    str_finish(&quota);
}

static bool memory_line(const char *text, const char *name, uint64_t *mb)
{
    const char *at = strstr(text, name);
    if (at)
        *mb = strtoull(at + strlen(name), NULL, 10) >> 10;
    return at != NULL;
}

static void check_memory(struct doctor *doctor)
{
    struct str text = {0};
    uint64_t total_mb = 0, available_mb = 0;
    read_system_file("/proc/meminfo", &text);
    if (memory_line(str_text(&text), "MemTotal:", &total_mb) &&
        memory_line(str_text(&text), "MemAvailable:", &available_mb)) {
        bool low = available_mb < MEMORY_LOW_MB;
        doctor_report(doctor, low ? DOCTOR_WARN : DOCTOR_OK, "memory",
                      low ? "end other programs" : NULL, "%llu MB available of %llu MB",
                      (unsigned long long)available_mb, (unsigned long long)total_mb);
    } else {
        doctor_report(doctor, DOCTOR_WARN, "memory", NULL, "unknown: /proc/meminfo does not tell");
    }
    read_system_file("/sys/fs/cgroup/memory.max", &text);
    uint64_t limit_mb = strtoull(str_text(&text), NULL, 10) >> 20;
    if (limit_mb > 0 && limit_mb < total_mb)
        doctor_report(doctor, DOCTOR_OK, "memory", NULL, "this container may use %llu MB",
                      (unsigned long long)limit_mb);
    str_finish(&text);
}

static void check_devices(struct doctor *doctor)
{
    glob_t found = {0};
    size_t count = glob("/dev/nvidia[0-9]*", 0, NULL, &found) == 0 ? found.gl_pathc : 0;
    void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    globfree(&found);
    doctor->has_gpu = count > 0 && driver;
    if (doctor->has_gpu)
        doctor_report(doctor, DOCTOR_OK, "devices", NULL, "%zu NVIDIA GPU%s with a driver", count,
                      count == 1 ? "" : "s");
    else if (count > 0)
        doctor_report(doctor, DOCTOR_WARN, "devices",
                      "install the driver's libraries, or start the container with GPU access",
                      "%zu NVIDIA GPU%s, but libcuda.so.1 cannot be loaded; models run on the CPU",
                      count, count == 1 ? "" : "s");
    else
        doctor_report(doctor, DOCTOR_OK, "devices", NULL, "no GPU found; models run on the CPU");
}

/* --- Limits ----------------------------------------------------------------------------------- */

static void check_limits(struct doctor *doctor)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) != 0)
        doctor_report(doctor, DOCTOR_WARN, "limits", NULL, "open files: unknown: %s",
                      strerror(errno));
    else if (files.rlim_cur < OPEN_FILES_LOW)
        doctor_report(doctor, DOCTOR_WARN, "limits", "raise it with ulimit -n",
                      "at most %llu open files", (unsigned long long)files.rlim_cur);
    else if (files.rlim_cur == RLIM_INFINITY)
        doctor_report(doctor, DOCTOR_OK, "limits", NULL, "open files: no limit");
    else
        doctor_report(doctor, DOCTOR_OK, "limits", NULL, "open files: %llu",
                      (unsigned long long)files.rlim_cur);
}

static void check_tmp(struct doctor *doctor)
{
    int why = doctor_try_dir("/tmp");
    if (why != 0)
        doctor_report(doctor, DOCTOR_WARN, "/tmp", "voxhost check needs it",
                      "cannot be written: %s", strerror(why));
    else
        doctor_check_space(doctor, "/tmp", "/tmp", TMP_LOW_MB, DOCTOR_WARN, "free some");
}

void doctor_check_machine(struct doctor *doctor)
{
    check_libraries(doctor);
    check_tensors(doctor);
    check_encoders(doctor);
    check_cpu(doctor);
    check_memory(doctor);
    check_devices(doctor);
    check_limits(doctor);
    check_tmp(doctor);
}
