/* What the files of manifest/ share: the tables of keys, the values' sources, and the steps of a
 * load in their order: part_read, override_apply, manifest_resolve, manifest_check.
 */
#ifndef MANIFEST_PRIVATE_H
#define MANIFEST_PRIVATE_H

#include "manifest/manifest.h"

#define MANIFEST_VERSION 1
#define MANIFEST_PATH_SIZE_MAX 4095 /* what Linux takes */
#define MANIFEST_PLUGIN_PATH_MAX 32
#define OPTION_NAME_SIZE_MAX 128
#define MANIFEST_TEXT_SIZE_MAX 4096 /* session tokens are long */

enum key_type {
    KEY_NAME,        /* char *: [A-Za-z0-9][A-Za-z0-9._-]* */
    KEY_NAMES,       /* struct text_list */
    KEY_FILE,        /* char *: a file's name or path, kept as written */
    KEY_DIR,         /* char *: made absolute by manifest_resolve */
    KEY_DIRS,        /* struct text_list of the same */
    KEY_DEVICE,      /* char * */
    KEY_TEXT,        /* char *: one line */
    KEY_SECRET,      /* char *: the same, never shown */
    KEY_BOOL,        /* bool */
    KEY_INT,         /* int64_t */
    KEY_FLOAT,       /* double */
    KEY_CHOICE,      /* int64_t: `min` stands for the first choice, and so on */
    KEY_MAP,         /* cJSON *: an object of any options */
    KEY_SECTION,     /* this and the rest have no slot: a map with a table of its own */
    KEY_LIST,        /* read entry by entry, or by who runs it */
    KEY_UNSUPPORTED, /* known, and refused loudly */
};

enum key_flags {
    KEY_REQUIRED = 1,
    KEY_FILE_ONLY = 2,   /* not on the command line */
    KEY_FAMILY = 4,      /* only variables of the section's family (manifest_families) give it */
    KEY_FAMILY_SIGN = 8, /* the first family with a variable of such a key is the section's */
};

/* One row of a table. */
struct key_spec {
    const char *name;
    enum key_type type;
    unsigned flags;
    size_t offset;
    double min, max;            /* numbers: the range; lists: `max` items */
    const char *const *choices; /* ends with NULL */
    const char *const *lowest;  /* what variables may also call the first of them; ends with NULL */
    const char *fallback;       /* the default as text; NULL: none */
    const char *fallback_note;  /* what the default is when no text says it */
    const char
        *env; /* variables that may give it, parted by blanks, the first that is set; or NULL */
    const char *help;
};

struct section {
    const char *name; /* "" for the top level */
    const char *help;
    const struct key_spec *keys;
    size_t count;
};

extern const struct section manifest_root_section, manifest_paths_section, manifest_host_section,
    manifest_storage_section, manifest_callbacks_section, manifest_worker_section,
    manifest_model_section;

/* Sets of variables of which a section uses only one, known by how names begin, parted by blanks;
 * ends with NULL. */
extern const char *const manifest_families[];

struct place {
    int line, column;
};

/* One section of one manifest: its values and where each came from. */
struct part {
    const struct section *section;
    char *path; /* "", "host", "models[1]" */
    void *base;
    struct place place;
    unsigned char *sources; /* enum value_source of each key */
    char **variables;       /* of each key that the environment gave: its name */
    struct place *places;   /* of each key that stands in the manifest */
};

/* Model i is part PART_MODELS + i. */
enum { PART_ROOT, PART_PATHS, PART_HOST, PART_STORAGE, PART_CALLBACKS, PART_WORKER, PART_MODELS };

struct manifest_private {
    struct yaml_doc *doc;
    struct part *parts;
    size_t part_count;
};

struct reader {
    const struct manifest_input *input;
    struct manifest *m;
    struct problems *problems;
};

/* The index of a key, or -1. */
int section_find(const struct section *s, const char *name);
void *part_slot(const struct part *p, const struct key_spec *spec);
/* "models[1].sessions"; owned by the caller. */
char *part_label(const struct part *p, const char *key);
/* What a key takes: "integer 1..256". */
void key_expected(const struct key_spec *spec, struct str *out);
void value_free(const struct key_spec *spec, void *slot);

/* Reads a section, then the environment and the defaults for what it does not say. NULL: no
 * section. */
void part_read(struct reader *r, struct part *p, const struct yaml_node *map);
/* Reads one value into its slot; `label` stands in messages. */
bool value_read(struct reader *r, const char *label, const struct key_spec *spec,
                const struct yaml_node *node, void *slot);
/* The same from text outside the file; the items of a list are parted by `separator`. */
bool value_read_text(struct reader *r, const char *label, const struct key_spec *spec,
                     const char *text, char separator, void *slot);
/* Reports a key that no table has, with the key that was probably meant. */
void key_unknown(struct reader *r, struct place place, const char *label, const struct section *s,
                 const char *name);
/* ` (did you mean "x"?)`, or nothing. */
void hint_append(struct str *out, const char *word, const char *const *candidates, size_t count);

/* Lays "host.log_level=debug" over what was read. */
void override_apply(struct reader *r, const char *text);

/* Makes paths absolute and fills in the defaults that follow from other keys. */
void manifest_resolve(struct reader *r);
/* The same for the section `storage`: its type, its endpoint, one place for its keys. */
void storage_resolve(struct reader *r);
/* Reports what is wrong with templates, prefixes and URLs of the section `storage`. */
void storage_check(struct reader *r);
/* Makes the directory of dead letters absolute. */
void callbacks_resolve(struct reader *r);
/* Reports what is wrong with the section `callbacks`. */
void callbacks_check(struct reader *r);
/* Where a key of a part stands, else where the part does. */
struct place key_place(const struct part *p, const char *key);
/* Makes what stands at `dir`, the value of `key`, absolute. */
void dir_resolve(struct reader *r, const struct part *p, const char *key, char **dir,
                 const char *base, const char *fallback);
/* Reports what no single key can be wrong about: names and directories that clash. */
void manifest_check(struct reader *r);

#endif
