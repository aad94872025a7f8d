/* results.jsonl; see journal.h. */
#include "front/batch/journal.h"

#include "front/batch/id_index.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the index holds for an id whose result does not count. Others: see below. */
#define NOT_DONE 1
/* Before an id in the index: its kept result is being replaced. No id begins so. */
#define SUPERSEDED "\x01"
#define CRASHED "\x02"
#define GIVEN "\x03" /* its value: the first 64 bits of given_hash */

struct journal {
    struct journal_options options;
    char *path;
    /* While reading what was there: the number of the line that counts for an id. After that: the
     * first 64 bits of the hash of the job whose result was kept. */
    struct id_index *index;
    uint64_t kept;
    bool superseded; /* a kept result is being replaced */
    pthread_mutex_t lock;
    /* guarded by lock */
    int fd;
    off_t size, end; /* the file's size when it was locked; its size after our last line */
    bool failed;
};

/* --- The file, under the lock that all processes respect -------------------------------------- */

static int io_error(const struct journal *journal, struct err *err)
{
    return err_set(err, ERR_STORAGE, NULL, "%s: cannot be written: %s", journal->path,
                   strerror(errno));
}

/* The signal that ends the run must not cost the results that are still to be written. */
static int lock_fd(int fd)
{
    int result;
    while ((result = flock(fd, LOCK_EX)) != 0 && errno == EINTR)
        ;
    return result;
}

/* Opens the file as it is now and locks it; a file that was replaced while we waited is opened
 * anew. Told by its name and not by its count of links: over NFS, or with a hard link of
 * somebody's, a replaced file keeps one. */
static int lock_file(struct journal *journal, struct err *err)
{
    for (;;) {
        struct stat ours, named;
        if (journal->fd < 0)
            journal->fd = open(journal->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
        if (journal->fd < 0 || lock_fd(journal->fd) != 0 || fstat(journal->fd, &ours) != 0)
            return io_error(journal, err);
        if (stat(journal->path, &named) == 0 && named.st_dev == ours.st_dev &&
            named.st_ino == ours.st_ino) {
            journal->size = ours.st_size;
            return 0;
        }
        close(journal->fd);
        journal->fd = -1;
        journal->end = 0;
    }
}

static void unlock_file(struct journal *journal)
{
    flock(journal->fd, LOCK_UN);
}

/* --- Reading lines ---------------------------------------------------------------------------- */

/* What a line of the file says, as far as it matters here. */
struct entry {
    const char *text;
    size_t len;
    uint64_t number;
    cJSON *json; /* NULL: not a result */
    const char *id;
    bool ok;      /* it counts: its job is not done again */
    bool crashed; /* it counts because its job brought the process down */
    bool told;    /* and whoever asked for a callback has it */
    char default_id[32];
    uint64_t hash, given; /* given 0: the line has none */
};

static uint64_t hash_prefix(const char *hex)
{
    char head[17] = "";
    memcpy(head, hex, strnlen(hex, 16));
    return strtoull(head, NULL, 16);
}

static void parse_entry(struct entry *entry)
{
    struct err none;
    struct json_limits limits = {.bytes_max = SIZE_MAX, .nodes_max = SIZE_MAX, .depth_max = 16};
    entry->json = json_parse(entry->text, entry->len, &limits, &none);
    entry->id = json_text(entry->json, "id");
    const char *status = json_text(entry->json, "status"),
               *hash = json_text(entry->json, "job_hash");
    int64_t record;
    entry->crashed = entry->json && cJSON_IsTrue(json_get(entry->json, "crashed"));
    entry->told = entry->crashed && cJSON_IsTrue(json_get(entry->json, "told"));
    entry->ok = entry->id && status && hash && (strcmp(status, "ok") == 0 || entry->crashed);
    entry->hash = entry->ok ? hash_prefix(hash) : 0;
    const char *given = json_text(entry->json, "given_hash");
    entry->given = given ? hash_prefix(given) : 0;
    if (!entry->id && status && json_int64(json_get(entry->json, "record"), &record)) {
        snprintf(entry->default_id, sizeof(entry->default_id), "job-%lld", (long long)record);
        entry->id = entry->default_id; /* it only tells the shard */
    }
}

static bool are_there(const struct journal *journal, const cJSON *names)
{
    const cJSON *name;
    cJSON_ArrayForEach(name, names)
    {
        if (!cJSON_IsString(name) || !fs_path_is_inside(name->valuestring))
            return false;
        char *path = fs_join(store_dir(journal->options.store), name->valuestring);
        bool there = access(path, F_OK) == 0;
        free(path);
        if (!there)
            return false;
    }
    return true;
}

/* Has the file its size, and its digest if the line has one? */
static bool is_whole(const struct journal *journal, const cJSON *file)
{
    const char *name = json_text(file, "path"), *expected = json_text(file, "sha256");
    int64_t size;
    char found[DIGEST_HEX_SIZE];
    struct stat info;
    if (!name || !fs_path_is_inside(name) || !json_int64(json_get(file, "bytes"), &size))
        return false;
    char *path = fs_join(store_dir(journal->options.store), name);
    bool whole = stat(path, &info) == 0 && info.st_size == size &&
                 (!expected || (digest_of_file(path, found) == 0 && strcmp(found, expected) == 0));
    free(path);
    return whole;
}

/* Are the files that the line names still there, the audio byte for byte? Speech has audio; an
 * operation may have left no file. */
static bool is_intact(const struct journal *journal, const struct entry *entry)
{
    const cJSON *audio = json_get(entry->json, "audio"), *file = json_get(entry->json, "file");
    if (entry->crashed)
        return true;
    if (!audio && !json_text(entry->json, "op"))
        return false;
    return (!audio || (json_text(audio, "sha256") && is_whole(journal, audio))) &&
           (!file || is_whole(journal, file)) &&
           are_there(journal, json_get(entry->json, "subtitles"));
}

/* Calls `each` with every line, the last one too when its end is missing. */
static int for_lines(struct journal *journal,
                     int (*each)(struct journal *, struct entry *, void *, struct err *), void *arg,
                     struct err *err)
{
    char *line = NULL;
    size_t cap = 0;
    int result = 0;
    struct entry entry = {0};
    FILE *file = fopen(journal->path, "re");
    if (!file)
        return io_error(journal, err);
    for (ssize_t len; result == 0 && (len = getline(&line, &cap, file)) > 0;) {
        entry.text = line;
        entry.len = (size_t)len;
        entry.number++;
        parse_entry(&entry);
        result = each(journal, &entry, arg, err);
        cJSON_Delete(entry.json);
        if (result == 0 && journal->options.stop && *journal->options.stop)
            result = err_set(err, ERR_CANCELLED, NULL, "stopped while reading %s", journal->path);
    }
    if (result == 0 && !feof(file)) /* an error, or no memory for the line */
        result = io_error(journal, err);
    free(line);
    fclose(file);
    return result;
}

/* --- Rewriting -------------------------------------------------------------------------------- */

struct rewrite {
    FILE *out;
    bool at_end; /* only drops what was replaced; the rest of this run stays as it is */
    uint64_t changed, broken;
};

/* First pass: of several results of one job the last one counts. */
static int note_last(struct journal *journal, struct entry *entry, void *arg, struct err *err)
{
    (void)arg;
    uint64_t previous;
    if (!entry->ok)
        return 0;
    return id_index_put(journal->index, entry->id, entry->number + NOT_DONE, true, &previous, err);
}

#define MARKED 1
#define GONE 2 /* no mark any more */
#define TOLD 3

/* Marks beside the hashes in the index, for few ids. */
static bool mark(struct journal *journal, const char *kind, const char *id, uint64_t value)
{
    struct err none;
    uint64_t previous;
    char *key = str_format("%s%s", kind, id);
    int result = id_index_put(journal->index, key, value, true, &previous, &none);
    free(key);
    return result == 0;
}

/* 0: there is none. */
static uint64_t mark_of(struct journal *journal, const char *kind, const char *id)
{
    struct err none;
    uint64_t found = 0;
    char *key = str_format("%s%s", kind, id);
    int result = id_index_get(journal->index, key, &found, &none);
    free(key);
    return result == 0 ? found : 0;
}

/* Is it the result that was kept at the begin, of a job that was done again since? Only the first
 * one that looks so: the job may be the same as before. */
static bool is_replaced(struct journal *journal, const struct entry *entry, uint64_t kept_hash)
{
    return entry->ok && entry->hash == kept_hash &&
           mark_of(journal, SUPERSEDED, entry->id) == MARKED &&
           mark(journal, SUPERSEDED, entry->id, GONE);
}

/* `indexed`: what the index holds for the id. */
static bool is_kept(struct journal *journal, const struct entry *entry,
                    const struct rewrite *rewrite, uint64_t indexed)
{
    if (!entry->id)
        return false;
    if (rewrite->at_end)
        return !is_replaced(journal, entry, indexed);
    if (!shard_has(&journal->options.shard, entry->id))
        return true;
    return entry->ok && indexed == entry->number + NOT_DONE && journal->options.resume &&
           is_intact(journal, entry);
}

/* Second pass. */
static int copy_kept(struct journal *journal, struct entry *entry, void *arg, struct err *err)
{
    struct rewrite *rewrite = arg;
    uint64_t indexed = 0, previous;
    if (entry->id && id_index_get(journal->index, entry->id, &indexed, err) != 0)
        return err->code;
    bool kept = is_kept(journal, entry, rewrite, indexed);
    bool ended = entry->text[entry->len - 1] == '\n';
    rewrite->broken += !entry->id;
    rewrite->changed += !kept || !ended;
    if (kept && (fwrite(entry->text, 1, entry->len, rewrite->out) != entry->len ||
                 (!ended && fputc('\n', rewrite->out) == EOF)))
        return io_error(journal, err);
    if (rewrite->at_end || !entry->ok || indexed != entry->number + NOT_DONE)
        return 0;
    bool ours = kept && shard_has(&journal->options.shard, entry->id);
    journal->kept += ours;
    if (ours && entry->crashed)
        mark(journal, CRASHED, entry->id, entry->told ? TOLD : MARKED);
    if (ours && entry->given)
        mark(journal, GIVEN, entry->id, entry->given);
    return id_index_put(journal->index, entry->id, ours ? entry->hash : NOT_DONE, true, &previous,
                        err);
}

/* With the lock of the file. */
static int rewrite_file(struct journal *journal, bool at_end, struct err *err)
{
    struct rewrite rewrite = {.at_end = at_end};
    char *temp = store_temp(journal->options.store);
    int result = at_end ? 0 : for_lines(journal, note_last, NULL, err);
    if (result == 0 && !(rewrite.out = fopen(temp, "we")))
        result = io_error(journal, err);
    if (result == 0)
        result = for_lines(journal, copy_kept, &rewrite, err);
    if (rewrite.out && fclose(rewrite.out) != 0 && result == 0)
        result = io_error(journal, err);
    if (result == 0 && rewrite.changed && rename(temp, journal->path) != 0)
        result = io_error(journal, err);
    if (rewrite.broken)
        LOG_EVENT(journal->options.log, LOG_WARN, "batch", "lines that are no results were dropped",
                  LOG_TEXT("file", journal->path), LOG_NUMBER("lines", rewrite.broken));
    unlink(temp);
    free(temp);
    return result;
}

/* --- Public ----------------------------------------------------------------------------------- */

int journal_open(const struct journal_options *options, struct journal **out, struct err *err)
{
    struct journal *journal = mem_alloc(sizeof(*journal));
    journal->options = *options;
    journal->path = fs_join(store_dir(options->store), JOURNAL_NAME);
    journal->fd = -1;
    sync_mutex_init(&journal->lock);
    *out = journal;
    journal->index = id_index_create(store_dir(options->store));
    int result = lock_file(journal, err);
    if (result == 0) {
        result = rewrite_file(journal, false, err);
        unlock_file(journal);
    }
    if (result != 0) {
        struct err none;
        *out = NULL;
        journal_close(journal, &none);
    }
    return result;
}

/* The hash of the job whose result was kept under this id; 0: none. */
static uint64_t kept_hash(struct journal *journal, const char *id)
{
    struct err none;
    uint64_t hash = 0;
    if (!journal->options.resume || id_index_get(journal->index, id, &hash, &none) != 0)
        return 0;
    return hash == NOT_DONE ? 0 : hash;
}

void journal_supersede(struct journal *journal, const char *id)
{
    if (kept_hash(journal, id) && mark(journal, SUPERSEDED, id, MARKED))
        journal->superseded = true;
}

enum journal_state journal_look(struct journal *journal, const struct job *job)
{
    uint64_t hash = kept_hash(journal, job->id);
    if (!hash || hash != hash_prefix(job->hash)) {
        journal_supersede(journal, job->id);
        return JOURNAL_NEW;
    }
    uint64_t crashed = mark_of(journal, CRASHED, job->id);
    if (crashed)
        return crashed == TOLD ? JOURNAL_CRASHED_TOLD : JOURNAL_CRASHED;
    return JOURNAL_DONE;
}

bool journal_has_given(struct journal *journal, const char *id, const char *given_hash)
{
    return kept_hash(journal, id) && mark_of(journal, GIVEN, id) == hash_prefix(given_hash);
}

/* A line that is looked for. */
struct wanted {
    const char *id;
    struct result *found;
};

static int note_wanted(struct journal *journal, struct entry *entry, void *arg, struct err *err)
{
    (void)journal;
    (void)err;
    struct wanted *wanted = arg;
    if (!entry->ok || entry->crashed || strcmp(entry->id, wanted->id) != 0)
        return 0;
    result_destroy(wanted->found); /* the last one counts */
    wanted->found = result_read(entry->json);
    return 0;
}

struct result *journal_find(struct journal *journal, const char *id)
{
    struct wanted wanted = {.id = id};
    struct err none;
    if (kept_hash(journal, id))
        for_lines(journal, note_wanted, &wanted, &none);
    return wanted.found;
}

const char *journal_path(const struct journal *journal)
{
    return journal->path;
}

uint64_t journal_kept(const struct journal *journal)
{
    return journal->kept;
}

/* Writes journal->line behind what is there. A line that a killed run tore must not swallow it, and
 * what of it does not fit on the disk must not stay. */
static int append_line(struct journal *journal, const struct str *line, struct err *err)
{
    char last = '\n';
    if (journal->size != journal->end && journal->size > 0 &&
        pread(journal->fd, &last, 1, journal->size - 1) != 1)
        return io_error(journal, err);
    if ((last == '\n' || fs_write_all(journal->fd, "\n", 1) == 0) &&
        fs_write_all(journal->fd, line->data, line->len) == 0) {
        journal->end = journal->size + (off_t)line->len + (last != '\n');
        return 0;
    }
    io_error(journal, err);
    return ftruncate(journal->fd, journal->size) == 0 ? err->code : io_error(journal, err);
}

/* Takes the line. */
static int append(struct journal *journal, struct str *line, struct err *err)
{
    int code = 0;
    pthread_mutex_lock(&journal->lock);
    if (journal->failed)
        code = err_set(err, ERR_STORAGE, NULL, "%s: an earlier result could not be written",
                       journal->path);
    if (code == 0)
        code = lock_file(journal, err);
    if (code == 0) {
        code = append_line(journal, line, err);
        unlock_file(journal);
    }
    journal->failed = code != 0;
    pthread_mutex_unlock(&journal->lock);
    str_finish(line);
    return code;
}

int journal_append(struct journal *journal, const struct result *result, struct err *err)
{
    struct str line = {0};
    result_write(result, &line);
    str_putc(&line, '\n');
    return append(journal, &line, err);
}

int journal_tell_crashed(struct journal *journal, const struct result *result, const char *hash,
                         struct err *err)
{
    struct str line = {0};
    str_putc(&line, '{');
    result_write_members(result, &line);
    str_printf(&line, ",\"crashed\":true,\"told\":true,\"job_hash\":\"%s\"}\n", hash);
    journal_supersede(journal, result->id);
    return append(journal, &line, err);
}

int journal_close(struct journal *journal, struct err *err)
{
    int result = 0;
    journal->options.stop = NULL; /* what was replaced goes on a signal too */
    if (journal->superseded && !journal->failed) {
        result = lock_file(journal, err);
        if (result == 0) {
            result = rewrite_file(journal, true, err);
            unlock_file(journal);
        }
    }
    if (journal->fd >= 0)
        close(journal->fd);
    id_index_destroy(journal->index);
    pthread_mutex_destroy(&journal->lock);
    free(journal->path);
    free(journal);
    return result;
}
