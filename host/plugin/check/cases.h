/* The table of conformance cases, in the order in which they run. A case that needs another one is
 * skipped when that one did not pass, so that one fault is one failure.
 */
#ifndef CHECK_CASES_H
#define CHECK_CASES_H

#include "plugin/check/harness.h"

/* X(function, name, needs, the clause of the contract) */
#define CHECK_CASES(X)                                                                             \
    /* The file: file.c */                                                                         \
    X(shared_object, "is-shared-object", "", "the file is a shared object for this machine")       \
    X(exported_symbols, "exported-symbols", "is-shared-object",                                    \
      "vox_entry is exported, and nothing else")                                                   \
    X(banned_imports, "banned-imports", "is-shared-object",                                        \
      "calls nothing that changes the process: exit, setenv, chdir, signal ...")                   \
    X(opens, "opens", "is-shared-object", "opens with all symbols bound, and has vox_entry")       \
    X(single_openmp, "single-openmp", "opens",                                                     \
      "brings at most one OpenMP runtime into the process")                                        \
    /* The entry: entry.c */                                                                       \
    X(entry_magic, "entry-magic", "opens", "vox_entry begins with VOX_MAGIC")                      \
    X(abi_major, "abi-major", "entry-magic", "built for the ABI of this host")                     \
    X(entry_size, "entry-size", "abi-major", "the size of vox_entry covers all that is required")  \
    X(required_functions, "required-functions", "entry-size",                                      \
      "init, fini, open, close and speak are there")                                               \
    X(identity, "identity", "entry-size", "id and version are there, every text is one line")      \
    X(capabilities, "capabilities-consistent", "entry-size",                                       \
      "capabilities, rate and channels fit together")                                              \
    X(languages, "languages-wellformed", "entry-size", "languages are BCP 47 and not repeated")    \
    X(speakers, "speakers-wellformed", "entry-size",                                               \
      "speakers have ids of their own and BCP 47 languages")                                       \
    X(option_schemas, "option-schemas", "entry-size",                                              \
      "options have names of their own, ranges, and defaults inside them")                         \
    X(entry_accepted, "entry-accepted", "required-functions", "the host takes the entry")          \
    X(unknown_extension, "unknown-extension-null", "entry-accepted",                               \
      "an unknown extension is NULL")                                                              \
    /* Models and sessions: model.c */                                                             \
    X(init_ready, "init-ready", "entry-accepted",                                                  \
      "init returns VOX_OK and a model, fini frees it")                                            \
    X(init_bad_model_dir, "init-bad-model-dir", "init-ready",                                      \
      "a model_dir that does not exist is refused with a line, or not needed")                     \
    X(init_bad_device, "init-bad-device", "init-ready",                                            \
      "a device that does not exist is refused with a line, or not used")                          \
    X(open_ready, "open-ready", "init-ready", "open returns VOX_OK and a session, close frees it") \
    X(open_close_many, "open-close-x100", "open-ready", "a hundred sessions one after the other")  \
    X(open_no_leak, "open-no-leak", "open-ready",                                                  \
      "memory does not grow with the number of sessions")                                          \
    X(reload_no_leak, "reload-no-leak", "init-ready",                                              \
      "memory does not grow with the number of loads")                                             \
    X(failure_message, "failure-message", "open-ready",                                            \
      "a failure has a known code and one line of UTF-8 that says why")                            \
    /* Audio: speak.c */                                                                           \
    X(speak_works, "speak-works", "open-ready", "speak returns VOX_OK and audio")                  \
    X(begin_once, "begin-once", "speak-works", "begin is called once")                             \
    X(begin_first, "begin-before-write", "speak-works", "begin comes before the first write")      \
    X(format_sane, "format-sane", "speak-works",                                                   \
      "8000..192000 Hz, 1..8 channels, in a struct of full size")                                  \
    X(format_declared, "format-as-declared", "format-sane",                                        \
      "the format is the native one, where the entry declares one")                                \
    X(samples_given, "samples-given", "format-sane", "a write of frames brings samples")           \
    X(samples_finite, "finite-samples", "samples-given", "no sample is NaN or infinite")           \
    X(samples_level, "nominal-level", "finite-samples",                                            \
      "samples are nominally -1..1, not integers")                                                 \
    X(samples_heard, "not-silent", "finite-samples", "the audio is not silence")                   \
    X(speak_twice, "speak-twice", "speak-works", "a session speaks a second job")                  \
    X(same_seed, "same-seed-same-audio", "speak-twice", "the same job gives the same audio")       \
    X(no_trace, "job-leaves-no-trace", "same-seed-same-audio",                                     \
      "a used session speaks as a new one does")                                                   \
    X(seed_range, "seed-range", "speak-works", "seeds 0 and 2^63-1 work")                          \
    X(seed_changes, "seed-changes-audio", "not-silent",                                            \
      "another seed gives other audio (VOX_CAP_SEED)")                                             \
    X(speed_range, "speed-range", "speak-works", "speeds 0.25 and 4 work (VOX_CAP_SPEED)")         \
    X(speed_changes, "speed-changes-length", "speed-range",                                        \
      "half the speed is longer than twice the speed (VOX_CAP_SPEED)")                             \
    X(speakers_speak, "speakers-speak", "speak-works", "every speaker of the entry speaks")        \
    X(speakers_differ, "speakers-differ", "speakers-speak", "two speakers do not sound the same")  \
    X(speaker_default, "first-speaker-is-default", "same-seed-same-audio",                         \
      "no voice is the first speaker")                                                             \
    X(unknown_voice, "unknown-voice-refused", "speak-works",                                       \
      "an unknown speaker is VOX_ENOTFOUND")                                                       \
    X(languages_speak, "languages-speak", "speak-works", "every language of the entry is spoken")  \
    X(unknown_language, "unknown-language", "speak-works",                                         \
      "an unknown language is spoken, or refused with a line")                                     \
    X(text_short, "one-letter-text", "speak-works",                                                \
      "one letter is spoken, or refused with a line")                                              \
    X(text_punctuation, "punctuation-only", "speak-works",                                         \
      "punctuation is spoken, or refused with a line")                                             \
    X(text_utf8, "utf8-text", "speak-works",                                                       \
      "any script and emoji are spoken, or refused with a line")                                   \
    X(text_long, "long-text", "speak-works",                                                       \
      "20,000 characters are spoken, or refused with a line")                                      \
    /* Callbacks, errors, cancelling: flow.c */                                                    \
    X(marks_reported, "marks-reported", "speak-works", "words are marked (VOX_CAP_MARKS)")         \
    X(marks_words, "marks-words", "speak-works",                                                   \
      "marks are words of UTF-8, not more than the text has bytes")                                \
    X(marks_ordered, "marks-ordered", "speak-works", "marks come in order of start")               \
    X(marks_text, "marks-in-text", "speak-works", "marks lie in the text, between its characters") \
    X(marks_audio, "marks-in-audio", "speak-works",                                                \
      "marks lie in the audio and end after they start")                                           \
    X(log_lines, "log-lines", "speak-works", "log messages are lines of UTF-8 with a known level") \
    X(progress_range, "progress-range", "speak-works", "progress is 0..1 and names its stage")     \
    X(warnings_lines, "warnings-are-lines", "speak-works", "warnings are lines of UTF-8, and few") \
    X(same_thread, "callbacks-on-own-thread", "speak-works",                                       \
      "a job's functions are called on the thread of speak")                                       \
    X(not_after_speak, "nothing-after-speak", "speak-works",                                       \
      "a job's functions are not called after speak")                                              \
    X(cancel_at_once, "cancel-at-once", "speak-works",                                             \
      "a job that is cancelled from the start ends with VOX_ECANCELLED")                           \
    X(cancel_midway, "cancel-midway", "cancel-at-once",                                            \
      "a job that is cancelled midway ends with VOX_ECANCELLED, soon")                             \
    X(begin_error, "begin-error-propagates", "speak-works",                                        \
      "when begin fails, speak returns its code and writes nothing")                               \
    X(write_error, "write-error-propagates", "speak-works",                                        \
      "when write fails, speak returns its code")                                                  \
    X(nothing_after_error, "nothing-after-error", "speak-works",                                   \
      "after begin or write has failed, neither is called again")                                  \
    X(session_survives, "session-survives-failure", "same-seed-same-audio",                        \
      "after a failed job the session is as good as new")                                          \
    X(old_host, "old-host", "speak-works",                                                         \
      "a function that the job's size leaves out is not called")                                   \
    X(future_host, "future-host", "speak-works",                                                   \
      "larger structs of a later host are taken, and left alone")                                  \
    X(thread_changes, "session-changes-thread", "speak-works",                                     \
      "the calls for a session come from different threads")                                       \
    X(parallel, "two-sessions-parallel", "same-seed-same-audio",                                   \
      "two sessions at once speak as one does alone")                                              \
    /* Profiles of voices: profile.c */                                                            \
    X(profile_extension, "profile-extension", "speak-works",                                       \
      "vox.profile/1 is whole, and the plugin has VOX_CAP_CLONING")                                \
    X(profile_made, "profile-made", "profile-extension",                                           \
      "make returns VOX_OK and 1 byte to VOX_PROFILE_SIZE_MAX")                                    \
    X(profile_deterministic, "profile-deterministic", "profile-made",                              \
      "the same recording gives the same profile, in any session")                                 \
    X(profile_sink, "profile-sink", "profile-made",                                                \
      "the sink is used in make, on its thread, and not after it has failed")                      \
    X(profile_write_error, "profile-write-error", "profile-made",                                  \
      "when write fails, make returns its code")                                                   \
    X(profile_cancelled, "profile-cancelled", "profile-made",                                      \
      "a make that is cancelled from the start ends with VOX_ECANCELLED, soon")                    \
    X(profile_odd_recordings, "profile-odd-recordings", "profile-made",                            \
      "short, silent and unusual recordings give a profile, or are refused with a line")           \
    X(profile_taken, "profile-taken", "profile-made",                                              \
      "check takes what make made, and speak speaks with it")                                      \
    X(profile_alone, "profile-alone", "profile-taken",                                             \
      "a profile without its recording sounds as with it (VOX_PROFILE_ALONE)")                     \
    X(profile_damaged, "profile-damaged", "profile-taken",                                         \
      "check refuses what is cut, longer or no profile with VOX_EINVAL and a line")                \
    X(profile_changed, "profile-changed", "profile-taken",                                         \
      "a profile with a changed byte is refused or spoken with, and does no harm")                 \
    X(profile_survives, "profile-session-survives", "profile-made",                                \
      "after a make that was stopped the session is as good as new")                               \
    X(profile_no_leak, "profile-no-leak", "profile-made",                                          \
      "memory does not grow with the number of profiles")                                          \
    /* The process: process.c, scratch.c */                                                        \
    X(no_stdio, "no-stdio", "speak-works", "nothing is written to standard output or error")       \
    X(no_environment, "ignores-environment", "same-seed-same-audio",                               \
      "environment variables change nothing")                                                      \
    X(keeps_environment, "keeps-environment", "speak-works",                                       \
      "environment variables are left alone")                                                      \
    X(keeps_directory, "keeps-directory", "speak-works", "the working directory is left alone")    \
    X(keeps_locale, "keeps-locale", "speak-works", "the locale is left alone")                     \
    X(keeps_signals, "keeps-signals", "speak-works", "signal handlers and masks are left alone")   \
    X(keeps_umask, "keeps-umask", "speak-works", "the file mode mask is left alone")               \
    X(no_stray_files, "no-stray-files", "speak-works", "files are written in cache_dir only")      \
    X(scratch_refused, "scratch-refused", "speak-works",                                           \
      "a job that gets no scratch folder is spoken without, or fails with VOX_ESINK")              \
    X(scratch_let_go, "scratch-let-go", "speak-works",                                             \
      "a job's scratch folder is not used any more when speak has returned")                       \
    X(no_descriptor_leak, "no-descriptor-leak", "speak-works",                                     \
      "open files do not grow with the number of jobs")                                            \
    X(no_thread_leak, "no-thread-leak", "speak-works",                                             \
      "threads do not grow with the number of jobs and loads")                                     \
    X(no_leak, "no-leak", "speak-works", "memory does not grow with the number of jobs")

#define X(function, name, needs, clause) enum check_outcome check_##function(struct check_cx *cx);
CHECK_CASES(X)
#undef X

struct check_case {
    const char *name, *needs, *clause;
    enum check_outcome (*run)(struct check_cx *cx);
};

extern const struct check_case check_cases[];
extern const size_t check_case_count;

/* The case of that name, or NULL. */
const struct check_case *check_case_find(const char *name);
/* True when the case is `name` or needs it, directly or through others. */
bool check_case_needs(const struct check_case *c, const char *name);
/* Runs one case in this process: opens the library as far as the case needs it, and closes what it
 * left. */
enum check_outcome check_case_run(const struct check_case *c, struct check_cx *cx);

/* --- Measuring the process: process.c ----------------------------------------------------- */

struct process_state *process_state_create(void);
void process_state_destroy(struct process_state *state);

/* What profile.c made for a cx. */
void makings_destroy(struct making *first);

/* Runs `step` over and over and fails when memory grows with it. */
enum check_outcome check_growth(struct check_cx *cx, bool (*step)(struct check_cx *cx),
                                const char *what);

#endif
