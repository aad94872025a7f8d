/* Every fault of faulty.so, one line each: name, what carries it out, its argument, what it breaks.
 * The load option `fault` takes a name of LOAD_FAULTS, the job option `fault` one of SPEAK_FAULTS.
 * Faults that a library shows before it runs are libraries of their own, listed in CMakeLists.txt.
 */
#ifndef FAULTS_H
#define FAULTS_H

#include "vox/helpers.h"
#include "vox/plugin.h"

/* clang-format off: a table */

#define LOAD_FAULTS(X)                                                   \
    X(none, "behaves well")                                              \
    X(init_fails, "init fails with VOX_EMODEL")                          \
    X(init_no_memory, "init fails with VOX_ENOMEM")                      \
    X(init_device, "init fails with VOX_EDEVICE")                        \
    X(init_silent, "init fails and gives no message")                    \
    X(init_unknown_code, "init returns a code that does not exist, -99") \
    X(init_positive_code, "init returns 7, neither VOX_OK nor an error") \
    X(init_no_model, "init returns VOX_OK and no model")                 \
    X(init_hangs, "init takes hang_ms")                                  \
    X(init_crashes, "init raises SIGSEGV")                               \
    X(init_exits, "init calls exit(0)")                                  \
    X(init_prints, "init writes to standard output")                     \
    X(open_fails, "open fails with VOX_ENOMEM")                          \
    X(open_no_session, "open returns VOX_OK and no session")             \
    X(open_hangs, "open takes hang_ms")                                  \
    X(open_crashes, "open raises SIGSEGV")                               \
    X(close_leaks, "close frees nothing: 1 MiB a session")               \
    X(close_hangs, "close takes hang_ms")                                \
    X(close_crashes, "close raises SIGSEGV")                             \
    X(fini_leaks, "fini frees nothing: 1 MiB a model")                   \
    X(fini_hangs, "fini takes hang_ms")                                  \
    X(fini_crashes, "fini raises SIGSEGV")

#define SPEAK_FAULTS(X)                                                                           \
    X(none, beep, 0, "behaves well: a short beep, a mark for each word")                          \
    /* Codes and messages */                                                                      \
    X(returns_einval, fail_with, VOX_EINVAL, "fails with VOX_EINVAL")                             \
    X(returns_enotfound, fail_with, VOX_ENOTFOUND, "fails with VOX_ENOTFOUND")                    \
    X(returns_eunsupported, fail_with, VOX_EUNSUPPORTED, "fails with VOX_EUNSUPPORTED")           \
    X(returns_enomem, fail_with, VOX_ENOMEM, "fails with VOX_ENOMEM")                             \
    X(returns_ecancelled, fail_with, VOX_ECANCELLED, "says cancelled, and nobody asked")          \
    X(returns_emodel, fail_with, VOX_EMODEL, "fails with VOX_EMODEL")                             \
    X(returns_einternal, fail_with, VOX_EINTERNAL, "fails with VOX_EINTERNAL")                    \
    X(returns_edevice, fail_with, VOX_EDEVICE, "fails with VOX_EDEVICE")                          \
    X(returns_esink, fail_with, VOX_ESINK, "says refused, and nothing was")                       \
    X(returns_unknown_code, fail_with, -99, "returns a code that does not exist")                 \
    X(returns_positive_code, fail_with, 7, "returns neither VOX_OK nor an error")                 \
    X(fails_after_audio, fail_after_audio, 0, "fails with VOX_EINVAL after half the beep")        \
    X(message_empty, fail_silently, 0, "fails without a message")                                 \
    X(message_two_lines, fail_in_two_lines, 0, "its message is two lines")                        \
    X(message_not_utf8, fail_not_utf8, 0, "its message is not UTF-8")                             \
    X(message_unterminated, fail_unterminated, 0, "its message has no end")                       \
    X(message_other_code, fail_with_other_code, 0,                                                \
      "returns VOX_EINVAL, the message has VOX_EMODEL")                                           \
    X(session_spoiled, spoil_session, 0, "fails with VOX_EINVAL, and so does every later job")    \
    /* begin and write */                                                                         \
    X(never_begins, never_begin, 0, "returns VOX_OK without begin")                               \
    X(no_audio, begin_only, 0, "returns VOX_OK without a write")                                  \
    X(write_before_begin, write_before_begin, 0, "writes, then begins")                           \
    X(begin_twice, begin_twice, 0, "begins twice")                                                \
    X(format_rate_zero, begin_with_rate, 0, "sample rate 0")                                      \
    X(format_rate_low, begin_with_rate, 100, "sample rate 100")                                   \
    X(format_rate_high, begin_with_rate, 4000000000, "sample rate 4000000000")                    \
    X(format_channels_zero, begin_with_channels, 0, "0 channels")                                 \
    X(format_channels_many, begin_with_channels, 99, "99 channels")                               \
    X(format_size_zero, begin_without_size, 0, "its struct vox_format has size 0")                \
    X(write_nan, write_nan, 0, "writes NaN")                                                      \
    X(write_infinity, write_infinity, 0, "writes infinity")                                       \
    X(write_null, write_null, 0, "writes 160 frames at NULL")                                     \
    X(write_other_thread, write_other_thread, 0, "writes from a thread of its own")               \
    X(write_late, write_late, 0, "keeps its job and writes to it in the next one")                \
    X(error_ignored, ignore_error, 0, "goes on after write failed, returns VOX_OK")               \
    X(error_replaced, replace_error, 0, "returns VOX_EINVAL when begin or write failed")          \
    X(write_after_error, write_after_error, 0, "writes once more after write failed")             \
    /* Marks, progress, warnings */                                                               \
    X(marks_unordered, marks_unordered, 0, "the second mark starts before the first")             \
    X(mark_past_text, mark_text_range, 1000000000, "text range ends far behind the text")         \
    X(mark_range_reversed, mark_text_range, -1, "text range ends before it begins")               \
    X(mark_negative_time, mark_time, -1, "starts at -1 s")                                        \
    X(mark_past_audio, mark_time, 3600, "starts an hour behind the audio")                        \
    X(mark_time_reversed, mark_time_reversed, 0, "ends before it starts")                         \
    X(mark_time_nan, mark_time_nan, 0, "its times are NaN")                                       \
    X(mark_not_utf8, mark_not_utf8, 0, "its word is not UTF-8")                                   \
    X(marks_flood, mark_flood, 1000000, "a million marks")                                        \
    X(progress_huge, progress_huge, 0, "progress 1e300")                                          \
    X(progress_nan, progress_nan, 0, "progress NaN")                                              \
    X(progress_no_stage, progress_no_stage, 0, "the stage is NULL")                               \
    X(warning_not_utf8, warning_not_utf8, 0, "a warning that is not UTF-8")                       \
    X(warning_long, warning_long, 1048576, "a warning of 1 MiB")                                  \
    X(warnings_flood, warning_flood, 100000, "100,000 warnings")                                  \
    /* Time, cancellation, determinism */                                                         \
    X(hangs, hang, 0, "sleeps hang_ms before it begins, whatever cancelled says")                 \
    X(ignores_cancel, ignore_cancel, 0,                                                           \
      "writes a block every 10 ms for hang_ms, never asks cancelled")                             \
    X(cancel_is_ok, cancel_is_ok, 0, "like ignores_cancel, but ends when cancelled, with VOX_OK") \
    X(nondeterministic, beep_nondeterministic, 0, "the same seed gives other audio each time")    \
    X(ignores_seed, beep_without_seed, 0, "every seed gives the same audio")                      \
    X(shares_state, beep_shared, 0, "parallel sessions disturb each other's audio")               \
    /* The process */                                                                             \
    X(crashes, crash, 0, "raises SIGSEGV")                                                        \
    X(crashes_after_audio, crash_after_audio, 0, "raises SIGSEGV after half the beep")            \
    X(aborts, abort_process, 0, "calls abort")                                                    \
    X(exits, exit_process, 0, "calls exit(0)")                                                    \
    X(leaks_memory, leak_memory, 1048576, "loses 1 MiB a job")                                    \
    X(leaks_descriptor, leak_descriptor, 0, "loses one file descriptor a job")                    \
    X(leaves_thread, leave_thread, 0, "starts a thread that lives on")                            \
    X(prints_stdout, print_to, 1, "writes to standard output")                                    \
    X(prints_stderr, print_to, 2, "writes to standard error")                                     \
    X(reads_environment, read_environment, 0, "speaks only when there is a PATH variable")        \
    X(changes_environment, change_environment, 0, "sets VOX_FAULTY")                              \
    X(changes_directory, change_directory, 0, "changes the working directory to /")               \
    X(changes_locale, change_locale, 0, "changes the locale to C.UTF-8")                          \
    X(changes_signal, change_signal, 0, "takes SIGTERM over")                                     \
    X(blocks_signal, block_signal, 0, "blocks SIGTERM in the thread of speak")                    \
    X(changes_umask, change_umask, 0, "sets the file mode mask to 0")                             \
    X(writes_stray_file, write_stray_file, 0, "writes faulty-stray.txt in the working directory") \
    /* Temporary files */                                                                         \
    X(scratch_fails, scratch_fail, 0, "leaves a temporary file and fails with VOX_EINVAL")        \
    X(scratch_hangs, scratch_hang, 0, "leaves a temporary file and hangs as `hangs` does")        \
    X(scratch_crashes, scratch_crash, 0, "leaves a temporary file and raises SIGSEGV")            \
    X(scratch_kept_open, scratch_keep_open, 0, "has a temporary file open after the job")         \
    X(scratch_kept_path, scratch_keep_path, 0, "uses the scratch folder of an earlier job")       \
    X(scratch_needed, scratch_need, 0, "raises SIGSEGV when there is no scratch folder")

/* clang-format on */

enum load_fault {
#define X(name, text) LOAD_##name,
    LOAD_FAULTS(X)
#undef X
};

#define BALLAST_SIZE ((size_t)1 << 20) /* of a model and of a session, so that a leak shows */

struct vox_model {
    const struct vox_host *host;
    int64_t fault; /* enum load_fault */
    int64_t hang_ms;
    _Atomic uint32_t shared_phase; /* beep_shared: all sessions turn this one */
    _Atomic uint32_t job_count;    /* beep_nondeterministic */
    char *ballast;
};

struct vox_session {
    struct vox_model *model;
    int spoiled;
    const struct vox_job *late_job; /* write_late: the job before; invalid by then */
    int kept_file;                  /* scratch_keep_open; 0: none */
    char kept_path[1024];           /* scratch_keep_path; "": none */
    char *ballast;
};

/* What a fault works on. */
struct call {
    struct vox_session *session;
    const struct vox_job *job;
    struct vox_error *error;
    int64_t hang_ms;
    int64_t argument;
};

/* Carries a fault out inside speak and returns what speak returns. */
#define X(name, run, argument, text) int32_t fault_##run(struct call *call);
SPEAK_FAULTS(X)
#undef X

void fault_sleep_ms(int64_t ms);

#endif
