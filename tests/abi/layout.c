/* Prints the layout of everything in vox/plugin.h and vox/ext that crosses between host and plugin;
 * test_layout.py compares the text with abi.golden. The compiler checks the type of each field as well. A struct has no
 * padding, so each field begins where the one before it ended: a field that is missing here, or a hole,
 * ends the program with status 1.
 */
#include "vox/ext/profile.h"
#include "vox/ext/scratch.h"
#include "vox/plugin.h"

#include <inttypes.h>
#include <stdio.h>

static size_t end;     /* of the field before */
static int hole_count; /* fields that begin elsewhere */

static void print_field(const char *name, size_t offset, size_t size, const char *type)
{
    if (offset != end) {
        fprintf(stderr, "layout.c: %s is at %zu, the field before it ended at %zu\n", name, offset,
                end);
        hole_count++;
    }
    end = offset + size;
    printf("  %zu %zu %s: %s\n", offset, size, name, type);
}

static void print_struct(const char *name, size_t size, size_t alignment)
{
    printf("%s: size %zu, alignment %zu\n", name, size, alignment);
    end = 0;
}

static void print_end(const char *name, size_t size)
{
    if (size != end) {
        fprintf(stderr, "layout.c: %s has %zu bytes, its fields end at %zu\n", name, size, end);
        hole_count++;
    }
}

#define BEGIN(name) print_struct(#name, sizeof(struct name), _Alignof(struct name))
#define END(name) print_end(#name, sizeof(struct name))

/* An array counts as a pointer to its element. */
#define FIELD(name, field, ...)                                                                   \
    do {                                                                                          \
        _Static_assert(_Generic(((struct name *)0)->field, __VA_ARGS__ : 1, default : 0),         \
                       #name "." #field ": another type than layout.c says");                     \
        size_t size = sizeof(((struct name *)0)->field); /* NOLINT(bugprone-sizeof-expression) */ \
        print_field(#name "." #field, offsetof(struct name, field), size, #__VA_ARGS__);          \
    } while (0)

#define VALUE(name) printf("%s = %" PRId64 "\n", #name, (int64_t)(name))

static void print_values(void)
{
    VALUE(VOX_MAGIC);
    VALUE(VOX_ABI_MAJOR);
    VALUE(VOX_ABI_MINOR);
    VALUE(VOX_OK);
    VALUE(VOX_EINVAL);
    VALUE(VOX_ENOTFOUND);
    VALUE(VOX_EUNSUPPORTED);
    VALUE(VOX_ENOMEM);
    VALUE(VOX_ECANCELLED);
    VALUE(VOX_EMODEL);
    VALUE(VOX_EINTERNAL);
    VALUE(VOX_EDEVICE);
    VALUE(VOX_ESINK);
    VALUE(VOX_OPTION_BOOL);
    VALUE(VOX_OPTION_INT);
    VALUE(VOX_OPTION_FLOAT);
    VALUE(VOX_OPTION_STRING);
    VALUE(VOX_OPTION_CHOICE);
    VALUE(VOX_LOG_DEBUG);
    VALUE(VOX_LOG_INFO);
    VALUE(VOX_LOG_WARN);
    VALUE(VOX_LOG_ERROR);
    VALUE(VOX_CAP_CLONING);
    VALUE(VOX_CAP_NEEDS_VOICE);
    VALUE(VOX_CAP_NEEDS_TRANSCRIPT);
    VALUE(VOX_CAP_STREAMING);
    VALUE(VOX_CAP_MARKS);
    VALUE(VOX_CAP_SEED);
    VALUE(VOX_CAP_SPEED);
    VALUE(VOX_CAP_TENSORS);
}

/* What host and plugin tell each other around a job. */
static void print_small_structs(void)
{
    BEGIN(vox_error);
    FIELD(vox_error, size, uint32_t);
    FIELD(vox_error, code, int32_t);
    FIELD(vox_error, message, char *);
    END(vox_error);

    BEGIN(vox_str);
    FIELD(vox_str, data, const char *);
    FIELD(vox_str, size, uint64_t);
    END(vox_str);

    BEGIN(vox_option);
    FIELD(vox_option, size, uint32_t);
    FIELD(vox_option, type, uint32_t);
    FIELD(vox_option, name, const char *);
    FIELD(vox_option, help, const char *);
    FIELD(vox_option, fallback, const char *);
    FIELD(vox_option, minimum, double);
    FIELD(vox_option, maximum, double);
    FIELD(vox_option, choices, const char *const *);
    END(vox_option);

    BEGIN(vox_value);
    FIELD(vox_value, type, uint32_t);
    FIELD(vox_value, is_set, uint32_t);
    FIELD(vox_value, integer, int64_t);
    FIELD(vox_value, number, double);
    FIELD(vox_value, string, struct vox_str);
    END(vox_value);

    BEGIN(vox_format);
    FIELD(vox_format, size, uint32_t);
    FIELD(vox_format, sample_rate, uint32_t);
    FIELD(vox_format, channels, uint32_t);
    FIELD(vox_format, reserved, uint32_t);
    END(vox_format);

    BEGIN(vox_mark);
    FIELD(vox_mark, size, uint32_t);
    FIELD(vox_mark, reserved, uint32_t);
    FIELD(vox_mark, word, struct vox_str);
    FIELD(vox_mark, text_begin, uint64_t);
    FIELD(vox_mark, text_end, uint64_t);
    FIELD(vox_mark, start_s, double);
    FIELD(vox_mark, end_s, double);
    END(vox_mark);

    BEGIN(vox_speaker);
    FIELD(vox_speaker, size, uint32_t);
    FIELD(vox_speaker, reserved, uint32_t);
    FIELD(vox_speaker, id, const char *);
    FIELD(vox_speaker, language, const char *);
    FIELD(vox_speaker, summary, const char *);
    END(vox_speaker);
}

static void print_lent_structs(void)
{
    BEGIN(vox_host);
    FIELD(vox_host, size, uint32_t);
    FIELD(vox_host, abi_major, uint16_t);
    FIELD(vox_host, abi_minor, uint16_t);
    FIELD(vox_host, self, void *);
    FIELD(vox_host, log, void (*)(const struct vox_host *, uint32_t, struct vox_str));
    FIELD(vox_host, extension, const void *(*)(const struct vox_host *, const char *));
    END(vox_host);

    BEGIN(vox_load);
    FIELD(vox_load, size, uint32_t);
    FIELD(vox_load, sessions, uint32_t);
    FIELD(vox_load, model_type, struct vox_str);
    FIELD(vox_load, model_dir, struct vox_str);
    FIELD(vox_load, cache_dir, struct vox_str);
    FIELD(vox_load, plugin_dir, struct vox_str);
    FIELD(vox_load, device, struct vox_str);
    FIELD(vox_load, options, const struct vox_value *);
    FIELD(vox_load, option_count, uint32_t);
    FIELD(vox_load, reserved, uint32_t);
    END(vox_load);

    BEGIN(vox_voice);
    FIELD(vox_voice, size, uint32_t);
    FIELD(vox_voice, sample_rate, uint32_t);
    FIELD(vox_voice, channels, uint32_t);
    FIELD(vox_voice, reserved, uint32_t);
    FIELD(vox_voice, id, struct vox_str);
    FIELD(vox_voice, pcm, const float *);
    FIELD(vox_voice, frames, uint64_t);
    FIELD(vox_voice, transcript, struct vox_str);
    FIELD(vox_voice, language, struct vox_str);
    FIELD(vox_voice, profile, struct vox_str);
    END(vox_voice);
}

static void print_job(void)
{
    BEGIN(vox_job);
    FIELD(vox_job, size, uint32_t);
    FIELD(vox_job, reserved, uint32_t);
    FIELD(vox_job, id, struct vox_str);
    FIELD(vox_job, text, struct vox_str);
    FIELD(vox_job, language, struct vox_str);
    FIELD(vox_job, voice, const struct vox_voice *);
    FIELD(vox_job, seed, int64_t);
    FIELD(vox_job, speed, double);
    FIELD(vox_job, options, const struct vox_value *);
    FIELD(vox_job, option_count, uint32_t);
    FIELD(vox_job, reserved2, uint32_t);
    FIELD(vox_job, self, void *);
    FIELD(vox_job, cancelled, int32_t(*)(const struct vox_job *));
    FIELD(vox_job, progress, void (*)(const struct vox_job *, double, const char *));
    FIELD(vox_job, begin, int32_t(*)(const struct vox_job *, const struct vox_format *));
    FIELD(vox_job, write, int32_t(*)(const struct vox_job *, const float *, uint64_t));
    FIELD(vox_job, mark, int32_t(*)(const struct vox_job *, const struct vox_mark *));
    FIELD(vox_job, warn, void (*)(const struct vox_job *, struct vox_str));
    END(vox_job);
}

static void print_entry(void)
{
    BEGIN(vox_entry);
    FIELD(vox_entry, magic, uint32_t);
    FIELD(vox_entry, abi_major, uint16_t);
    FIELD(vox_entry, abi_minor, uint16_t);
    FIELD(vox_entry, size, uint32_t);
    FIELD(vox_entry, reserved, uint32_t);
    FIELD(vox_entry, id, const char *);
    FIELD(vox_entry, version, const char *);
    FIELD(vox_entry, summary, const char *);
    FIELD(vox_entry, code_licence, const char *);
    FIELD(vox_entry, weights_licence, const char *);
    FIELD(vox_entry, capabilities, uint64_t);
    FIELD(vox_entry, sample_rate, uint32_t);
    FIELD(vox_entry, channels, uint32_t);
    FIELD(vox_entry, languages, const char *const *);
    FIELD(vox_entry, speakers, const struct vox_speaker *);
    FIELD(vox_entry, speaker_count, uint32_t);
    FIELD(vox_entry, speaker_size, uint32_t);
    FIELD(vox_entry, load_options, const struct vox_option *);
    FIELD(vox_entry, load_option_count, uint32_t);
    FIELD(vox_entry, load_option_size, uint32_t);
    FIELD(vox_entry, job_options, const struct vox_option *);
    FIELD(vox_entry, job_option_count, uint32_t);
    FIELD(vox_entry, job_option_size, uint32_t);
    FIELD(vox_entry, init,
          int32_t(*)(const struct vox_host *, const struct vox_load *, struct vox_model **,
                     struct vox_error *));
    FIELD(vox_entry, fini, void (*)(struct vox_model *));
    FIELD(vox_entry, open,
          int32_t(*)(struct vox_model *, struct vox_session **, struct vox_error *));
    FIELD(vox_entry, close, void (*)(struct vox_session *));
    FIELD(vox_entry, speak,
          int32_t(*)(struct vox_session *, const struct vox_job *, struct vox_error *));
    FIELD(vox_entry, extension, const void *(*)(const char *));
    END(vox_entry);
}

static void print_profile(void)
{
    VALUE(VOX_PROFILE_SIZE_MAX);
    VALUE(VOX_PROFILE_ALONE);
    BEGIN(vox_profile_sink);
    FIELD(vox_profile_sink, size, uint32_t);
    FIELD(vox_profile_sink, reserved, uint32_t);
    FIELD(vox_profile_sink, self, void *);
    FIELD(vox_profile_sink, cancelled, int32_t(*)(const struct vox_profile_sink *));
    FIELD(vox_profile_sink, write,
          int32_t(*)(const struct vox_profile_sink *, const void *, uint64_t));
    END(vox_profile_sink);
    BEGIN(vox_profile);
    FIELD(vox_profile, size, uint32_t);
    FIELD(vox_profile, revision, uint32_t);
    FIELD(vox_profile, flags, uint64_t);
    FIELD(vox_profile, make,
          int32_t(*)(struct vox_session *, const struct vox_voice *,
                     const struct vox_profile_sink *, struct vox_error *));
    FIELD(vox_profile, check, int32_t(*)(struct vox_session *, struct vox_str, struct vox_error *));
    END(vox_profile);
}

static void print_scratch(void)
{
    BEGIN(vox_scratch);
    FIELD(vox_scratch, size, uint32_t);
    FIELD(vox_scratch, reserved, uint32_t);
    FIELD(vox_scratch, dir, const char *(*)(const struct vox_job *));
    END(vox_scratch);
}

int main(void)
{
    print_values();
    print_small_structs();
    print_lent_structs();
    print_job();
    print_entry();
    print_profile();
    print_scratch();
    return hole_count ? 1 : 0;
}
