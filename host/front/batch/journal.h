/* results.jsonl: one line per job that has ended, in the order in which they end. It is appended to
 * under a lock, so that several shards may share a folder, and rewritten (beside it, then renamed)
 * when a run begins: without --resume our shard's lines go; with it those stay that are ok and whose
 * files are still there (audio byte for byte, what else an operation has left by its size), and the
 * jobs behind them are not done again. A line that a killed run wrote in part goes as well.
 */
#ifndef BATCH_JOURNAL_H
#define BATCH_JOURNAL_H

#include "base/base.h"
#include "front/batch/shard.h"
#include "job/job.h"
#include "store/store.h"

#define JOURNAL_NAME "results.jsonl"

struct journal;

struct journal_options {
    struct store *store;
    const struct log *log;
    struct shard shard;
    bool resume;
    const volatile sig_atomic_t *stop;
};

/* Reads and rewrites what is there. [main] */
int journal_open(const struct journal_options *options, struct journal **journal, struct err *err);
enum journal_state {
    JOURNAL_NEW, /* to be done; a kept result of another job under its id is replaced when the journal closes */
    JOURNAL_DONE,         /* a kept result came from this very job */
    JOURNAL_CRASHED,      /* this very job brought the process down before, and has its line */
    JOURNAL_CRASHED_TOLD, /* and journal_tell_crashed was called for it */
};
/* What an earlier run says of a job. [main] */
enum journal_state journal_look(struct journal *journal, const struct job *job);
/* Is there a kept result of a job that was given so? For one whose voice is not there any more, so
 * that its hash cannot be known. [main] */
bool journal_has_given(struct journal *journal, const char *id, const char *given_hash);
/* A result under this id is about to be written: a kept one goes when the journal closes. [main] */
void journal_supersede(struct journal *journal, const char *id);
/* The kept result of an id as far as result_read tells; NULL: there is none. The caller's. Reads the
 * whole file. [main] */
struct result *journal_find(struct journal *journal, const char *id);
const char *journal_path(const struct journal *journal); /* absolute; borrowed */
/* How many results were kept. */
uint64_t journal_kept(const struct journal *journal);
/* Appends the result's line; after a failure the journal takes no more. [any] */
int journal_append(struct journal *journal, const struct result *result, struct err *err);
/* Notes that the callback of a job that crashed is on its way: its line is replaced. `hash`: the job's.
 * [main] */
int journal_tell_crashed(struct journal *journal, const struct result *result, const char *hash,
                         struct err *err);
/* Removes results that were replaced, closes, frees. [main] */
int journal_close(struct journal *journal, struct err *err);

#endif
