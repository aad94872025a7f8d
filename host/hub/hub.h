/* Weights from a model hub that speaks Hugging Face's HTTP interface: what a repository holds, and
 * its files onto disk.
 *
 *     hub_create -> hub_list -> (choose) hub_pull -> hub_record_write
 *     hub_verify                                                  later, as often as you like
 *
 * A file is fetched in ranges over several connections into FILE.part, beside which FILE.part.state
 * says what is there; both are left by a run that ends early and taken up by the next. Size and
 * digest are checked before FILE.part becomes FILE. FILE.part is also the lock: whoever holds it
 * (flock) fetches that file, others wait, and the kernel frees it when its holder dies. What was
 * fetched is recorded in the directory itself. Knows no manifest, no terminal and no environment.
 */
#ifndef HUB_H
#define HUB_H

#include "base/base.h"

#define HUB_ENDPOINT "https://huggingface.co"
#define HUB_RECORD "voxhost-pull.json" /* in each directory that was pulled into */
/* There while a pull into the directory is not complete: the files that were still missing, a line
 * each. */
#define HUB_UNFINISHED "voxhost-pull.part"

#define HUB_FILES_MAX 10000
#define HUB_JOBS_MAX 64
#define HUB_LISTING_BYTES_MAX (16u << 20)
#define HUB_DIGEST_SIZE 65 /* of SHA-256 in hex, with its end */

/* --- What there is ---------------------------------------------------------------------------- */

struct hub_file {
    char *path; /* in the repository; stays below where it starts */
    uint64_t size;
    char digest[HUB_DIGEST_SIZE]; /* SHA-256, or of 40 digits: SHA-1 of the git blob */
};

/* One repository at one commit. */
struct hub_listing {
    char *repo, *revision; /* as asked for */
    char *commit;          /* 40 hex digits */
    char *licence;         /* "" when it names none */
    struct hub_file *files;
    size_t count;
};

/* OWNER/NAME of letters, digits, ".", "_" and "-". */
bool hub_repo_valid(const char *repo);
/* Reads the answer of /api/models/REPO/revision/REV?blobs=true. A file that would leave its
 * directory is an error. `listing` is empty on failure. */
int hub_listing_parse(const char *text, size_t len, struct hub_listing *listing, struct err *err);
void hub_listing_finish(struct hub_listing *listing);
/* Is `path` wanted: some pattern of `include` (NULL or empty: all) matches and none of
 * `exclude`. A pattern is fnmatch's, where "*" matches "/" too; one that ends in "/" means all
 * below. */
bool hub_path_wanted(const char *path, const char *const *include, const char *const *exclude);

/* --- Models that are known by name ------------------------------------------------------------ */

#define HUB_SOURCES_MAX 2
#define HUB_PATTERNS_MAX 8

struct hub_source {
    const char *repo, *revision; /* NULL revision: main */
    const char *include[HUB_PATTERNS_MAX + 1];
    const char *prefix; /* cut off from paths; NULL: nothing */
    const char *under;  /* put before them, "vocos/"; NULL: nothing */
};

struct hub_model {
    const char *name; /* that of its plugin's file, where it has one, without ".so" */
    const char *licence;
    struct hub_source sources[HUB_SOURCES_MAX];
};

const struct hub_model *hub_model_find(const char *name); /* without regard to case; NULL */
void hub_model_names(struct str *out);                    /* "a, b, c" */
/* The one that a plugin's file, "f5tts.so" or a path, runs; NULL. */
const struct hub_model *hub_model_of_plugin(const char *file);
/* The place in the model's directory of a repository's file; the caller's. */
char *hub_source_place(const struct hub_source *source, const char *path);

/* --- Locks ------------------------------------------------------------------------------------ */

/* Opens and locks a file, no link, which is made; whoever holds it may rename or remove it. 1:
 * locked, *fd is the caller's, and `path` is this very file; else *fd is -1. 0: somebody else has
 * it; negative: err. Unlocked by closing it. */
int hub_lock_try(const char *path, int *fd, struct err *err);

/* --- Pulling ---------------------------------------------------------------------------------- */

struct hub_progress {
    uint64_t bytes, bytes_total; /* of what was missing */
    size_t files, files_total;
};

struct hub_options {
    const char *endpoint; /* http or https; NULL: HUB_ENDPOINT */
    const char
        *token;    /* NULL: none. Sent to the endpoint's scheme, host and port only; never shown */
    unsigned jobs; /* connections; 0: 8 */
    int64_t min_free_mb; /* have to stay free on the disk */
    const volatile sig_atomic_t *stop;
    const struct log *log;
    void (*progress)(const struct hub_progress *progress,
                     void *arg); /* some times a second; NULL */
    void *arg;
};

struct hub; /* used by one thread, but for hub_wake */

/* What `options` points to is borrowed but for the endpoint and the token. */
int hub_create(const struct hub_options *options, struct hub **hub, struct err *err);
void hub_destroy(struct hub *hub); /* takes NULL */
/* Makes hub_list and hub_pull look at *stop. `hub` is a struct hub. Async-signal-safe. */
void hub_wake(void *hub);

int hub_list(struct hub *hub, const char *repo, const char *revision, struct hub_listing *listing,
             struct err *err);

/* One file to be in place. */
struct hub_item {
    const struct hub_listing *listing; /* borrowed */
    const struct hub_file *file;       /* of it */
    const char *licence;               /* borrowed */
    char *local;                       /* below the directory; owned */
    char sha256[HUB_DIGEST_SIZE];      /* set once it is in place */
    uint64_t inode;                    /* likewise: of the file that was checked */
    int64_t mtime_ns;                  /* likewise, since 1970 */
    bool done;
    bool by_record; /* done, and not read: the record and the file's size and time say so */
};

/* Brings all items into `dir`, which is made. Two with one place, and names that we use ourselves,
 * are errors. Done are those that are there and good: by the record of an earlier pull, when size
 * and time of change are its and hub_verify has not noted the file as wrong; else by their digest.
 * All others, also those that cannot be read, are fetched. ERR_CANCELLED once *stop is set; parts
 * are left to go on with. */
int hub_pull(struct hub *hub, const char *dir, struct hub_item *items, size_t count,
             struct err *err);
void hub_items_finish(struct hub_item *items, size_t count);

/* --- The record ------------------------------------------------------------------------------- */

/* Adds the items, which are done, to the record of `dir`; what was noted of them as wrong goes.
 * ERR_STORAGE when a file is no more the one that was checked: another pull has brought another
 * revision of it meanwhile. A record that lacks only their times may stay without. */
int hub_record_write(const char *dir, const char *endpoint, const struct hub_item *items,
                     size_t count, struct err *err);

/* The record of a directory, for cJSON_Delete; NULL when there is none. A damaged one is an
 * error. */
int hub_record_read(const char *dir, cJSON **record, struct err *err);
/* The SHA-256 in a record (NULL: none) of a file in place; NULL when it is not in there. */
const char *hub_record_sha256(const cJSON *record, const char *local);
/* Has a pull into this directory begun that was not completed? */
bool hub_unfinished(const char *dir);

struct hub_check {
    bool sizes_only;      /* do not read the files; what was noted as wrong is wrong */
    bool note;            /* in the record, which of the files that were read are wrong */
    const char *repo;     /* only what came from there; NULL: all */
    const char *revision; /* and only of this revision or commit; NULL: any */
    const char *const *include, *const *exclude; /* of paths in the repository */
    const volatile sig_atomic_t *stop;
    /* One file: `wrong` is NULL when it is as recorded. */
    void (*found)(const char *local, uint64_t size, const char *wrong, void *arg);
    void *arg;
};
/* Compares the files in `dir` with the record. *checked counts them, *bad those that are missing
 * or other. Fails when there is no record that can be read, or nothing can be noted in it. The
 * record is all that is ever changed: what is wrong stays until a pull has something better. */
int hub_verify(const char *dir, const struct hub_check *check, size_t *checked, size_t *bad,
               struct err *err);

#endif
