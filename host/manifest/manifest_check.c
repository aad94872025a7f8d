/* What follows from several keys together: absolute paths and derived defaults first, then names
 * and directories that clash. It looks at the disk only to see where symbolic links lead, and which
 * tier holds a model; it makes nothing.
 */
#include "manifest/manifest_private.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static struct part *model_part(const struct manifest *m, size_t i)
{
    return &m->private_parts->parts[PART_MODELS + i];
}

struct place key_place(const struct part *p, const char *key)
{
    int i = section_find(p->section, key);
    return p->sources[i] == SOURCE_MANIFEST ? p->places[i] : p->place;
}

void dir_resolve(struct reader *r, const struct part *p, const char *key, char **dir,
                 const char *base, const char *fallback)
{
    const char *relative = *dir ? *dir : fallback;
    char *path = base && relative ? fs_absolute(base, relative) : NULL;
    free(*dir);
    *dir = path;
    if (path && strlen(path) > MANIFEST_PATH_SIZE_MAX) {
        struct place place = key_place(p, key);
        problems_add(
            r->problems, place.line, place.column,
            "%s.%s: expected path of at most %d bytes, with what it starts from it has %zu",
            p->path, key, MANIFEST_PATH_SIZE_MAX, strlen(path));
    }
}

/* Where a relative model_dir lies: in the first tier that holds it, else under paths.models. */
static void model_dir_choose(const struct manifest_paths *paths, struct manifest_model *model)
{
    const char *relative = model->model_dir ? model->model_dir : model->model_type;
    if (!paths->models || !relative || relative[0] == '/')
        return;
    for (size_t i = 0; i <= paths->model_tiers.count; i++) {
        const char *base = i == 0 ? paths->models : paths->model_tiers.items[i - 1];
        bool is_dir = base && !manifest_tier_is_bucket(base);
        char *path = is_dir ? fs_absolute(base, relative) : NULL;
        if (path && manifest_dir_holds_model(path)) {
            free(model->model_dir);
            model->model_dir = path;
            return;
        }
        free(path);
    }
}

/* "s3://BUCKET" or "s3://BUCKET/PREFIX"; cuts off a "/" at its end. */
static bool bucket_valid(char *tier)
{
    const char *bucket = tier + strlen(MANIFEST_BUCKET_TIER);
    size_t len = strlen(tier);
    if (!manifest_tier_is_bucket(tier) || bucket[0] == '\0' || bucket[0] == '/' ||
        strpbrk(bucket, "?#@: "))
        return false;
    if (tier[len - 1] == '/')
        tier[--len] = '\0';
    const char *slash = strchr(bucket, '/');
    return !slash || fs_path_is_inside(slash + 1);
}

/* Buckets come last: they are asked only when a model is loaded, and it has been decided by then
 * which directory holds it. */
static void tiers_resolve(struct reader *r, const struct part *paths)
{
    struct text_list *tiers = &r->m->paths.model_tiers;
    struct place place = key_place(paths, "model_tiers");
    const char *bucket = NULL;
    for (size_t i = 0; i < tiers->count; i++) {
        char *tier = tiers->items[i];
        bool is_url = tier && strstr(tier, "://");
        if (is_url && !bucket_valid(tier))
            problems_add(r->problems, place.line, place.column,
                         "paths.model_tiers[%zu]: expected a directory or s3://BUCKET/PREFIX, got "
                         "\"%s\"",
                         i, tier);
        else if (is_url)
            bucket = tier;
        else if (tier && bucket)
            problems_add(r->problems, place.line, place.column,
                         "paths.model_tiers[%zu]: the directory \"%s\" stands behind the bucket "
                         "\"%s\": expected the directories first",
                         i, tier, bucket);
        if (!is_url)
            dir_resolve(r, paths, "model_tiers", &tiers->items[i], r->m->dir, NULL);
    }
}

bool manifest_tier_is_bucket(const char *tier)
{
    return strncmp(tier, MANIFEST_BUCKET_TIER, strlen(MANIFEST_BUCKET_TIER)) == 0;
}

static void model_resolve(struct reader *r, const struct part *p, struct manifest_model *model)
{
    if (r->m->paths.model_tiers.count > 0)
        model_dir_choose(&r->m->paths, model);
    dir_resolve(r, p, "model_dir", &model->model_dir, r->m->paths.models, model->model_type);
    dir_resolve(r, p, "cache_dir", &model->cache_dir, r->m->paths.cache, model->model_type);
    if (model->sessions == 0)
        model->sessions = r->input->cpu_count < 1 ? 1 : r->input->cpu_count;
    if (model->sessions > MANIFEST_SESSIONS_MAX)
        model->sessions = MANIFEST_SESSIONS_MAX;
}

bool manifest_dir_holds_model(const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;
    bool any = false, complete = true;
    while (dir && complete && (entry = readdir(dir))) {
        size_t len = strlen(entry->d_name);
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        any = true;
        complete = len < 5 || strcmp(entry->d_name + len - 5, ".part") != 0;
    }
    if (dir)
        closedir(dir);
    return any && complete;
}

void manifest_resolve(struct reader *r)
{
    struct manifest *m = r->m;
    const struct part *paths = &m->private_parts->parts[PART_PATHS];
    const struct part *host = &m->private_parts->parts[PART_HOST];
    dir_resolve(r, paths, "models", &m->paths.models, m->dir, NULL);
    dir_resolve(r, paths, "cache", &m->paths.cache, m->dir, NULL);
    dir_resolve(r, paths, "voices", &m->paths.voices, m->dir, NULL);
    tiers_resolve(r, paths);
    for (size_t i = 0; i < m->host.plugin_path.count; i++)
        dir_resolve(r, host, "plugin_path", &m->host.plugin_path.items[i], m->dir, NULL);
    for (size_t i = 0; i < m->model_count; i++)
        model_resolve(r, model_part(m, i), &m->models[i]);
    callbacks_resolve(r);
    storage_resolve(r);
}

/* --- names --- */

/* Name `at` of a model: its model_type, then its aliases; NULL after the last. */
static const char *model_name(const struct manifest_model *model, size_t at)
{
    if (at == 0)
        return model->model_type ? model->model_type : "";
    return at <= model->aliases.count ? model->aliases.items[at - 1] : NULL;
}

static char *name_label(const struct part *p, size_t at)
{
    return at == 0 ? part_label(p, "model_type") : str_format("%s.aliases[%zu]", p->path, at - 1);
}

/* Reports name `at` of model `i` when it stands before: in an earlier model or earlier in this
 * one. */
static void name_check(struct reader *r, size_t i, size_t at, const char *name)
{
    for (size_t j = 0; j <= i; j++) {
        const char *other;
        for (size_t k = 0; (other = model_name(&r->m->models[j], k)) && (j < i || k < at); k++) {
            if (!*name || !text_equal_nocase(name, other))
                continue;
            const struct part *here = model_part(r->m, i), *there = model_part(r->m, j);
            struct place place = key_place(here, at == 0 ? "model_type" : "aliases");
            char *label = name_label(here, at), *other_label = name_label(there, k);
            problems_add(r->problems, place.line, place.column,
                         "%s: \"%s\" is already the name at %s (line %d)", label, name, other_label,
                         key_place(there, k == 0 ? "model_type" : "aliases").line);
            free(label);
            free(other_label);
            return;
        }
    }
}

static void default_model_check(struct reader *r)
{
    const struct manifest *m = r->m;
    if (!m->default_model || manifest_model_find(m, m->default_model))
        return;
    const char **names =
        mem_alloc_array(m->model_count * (MANIFEST_ALIASES_MAX + 1) + 1, sizeof(*names));
    size_t count = 0;
    for (size_t i = 0; i < m->model_count; i++) {
        const char *name;
        for (size_t k = 0; (name = model_name(&m->models[i], k)); k++)
            names[count++] = name;
    }
    struct str line = {0};
    str_printf(&line, "default_model: no model is called \"%s\"", m->default_model);
    hint_append(&line, m->default_model, names, count);
    const struct part *root = &m->private_parts->parts[PART_ROOT];
    struct place place = key_place(root, "default_model");
    problems_add(r->problems, place.line, place.column, "%s", str_text(&line));
    str_finish(&line);
    free(names);
}

/* --- directories --- */

/* Where a path really is: links of what exists are followed. */
struct location {
    char *folded; /* lower case, so that "F5" and "f5" clash on every file system; "" is the root;
                     NULL: unknown */
    bool exists;
    dev_t device;
    ino_t inode;
};

/* Returns 0, or the errno of a link that leads in a circle (ELOOP) or nowhere (ENOENT). */
static int location_find(const char *path, struct location *at)
{
    char *head = mem_copy_string(path);
    size_t len = strlen(head);
    char *real = NULL;
    int error = 0;
    struct stat st;
    while (len > 0 && !(real = realpath(head, NULL))) {
        error = errno;
        if (error == ELOOP || (error == ENOENT && lstat(head, &st) == 0))
            goto out;
        error = 0;
        len = (size_t)(strrchr(head, '/') - head);
        head[len] = '\0';
    }
    at->folded = str_format("%s%s", real && strcmp(real, "/") != 0 ? real : "", path + len);
    for (char *c = at->folded; *c; c++)
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c);
    if (stat(path, &st) == 0) {
        at->exists = true;
        at->device = st.st_dev;
        at->inode = st.st_ino;
    }
out:
    free(real);
    free(head);
    return error;
}

static bool location_equal(const struct location *a, const struct location *b)
{
    return strcmp(a->folded, b->folded) == 0 ||
           (a->exists && b->exists && a->device == b->device && a->inode == b->inode);
}

static bool location_inside(const struct location *inner, const struct location *outer)
{
    size_t len = strlen(outer->folded);
    return strncmp(inner->folded, outer->folded, len) == 0 && inner->folded[len] == '/';
}

static void dir_clash(struct reader *r, size_t i, const char *relation, size_t j, const char *key)
{
    const struct part *here = model_part(r->m, i), *there = model_part(r->m, j);
    struct place place = key_place(here, "cache_dir");
    problems_add(r->problems, place.line, place.column,
                 "%s.cache_dir: \"%s\" %s the %s of %s (line %d)", here->path,
                 r->m->models[i].cache_dir, relation, key, there->path, key_place(there, key).line);
}

static void cache_dirs_compare(struct reader *r, const struct location *caches, size_t i, size_t j)
{
    if (location_equal(&caches[i], &caches[j]))
        dir_clash(r, i, "is the same directory as", j, "cache_dir");
    else if (location_inside(&caches[i], &caches[j]))
        dir_clash(r, i, "lies inside", j, "cache_dir");
    else if (location_inside(&caches[j], &caches[i]))
        dir_clash(r, i, "contains", j, "cache_dir");
}

static void cache_dir_check(struct reader *r, const struct location *caches,
                            const struct location *models, size_t i)
{
    for (size_t j = 0; j < r->m->model_count; j++) {
        if (j < i && caches[j].folded)
            cache_dirs_compare(r, caches, i, j);
        if (models[j].folded && location_equal(&caches[i], &models[j]))
            dir_clash(r, i, "is the same directory as", j, "model_dir");
        else if (models[j].folded && location_inside(&models[j], &caches[i]))
            dir_clash(r, i, "contains", j, "model_dir");
    }
}

static void cache_dir_locate(struct reader *r, size_t i, struct location *at)
{
    const char *dir = r->m->models[i].cache_dir;
    int error = dir ? location_find(dir, at) : 0;
    if (error != 0) {
        const struct part *p = model_part(r->m, i);
        struct place place = key_place(p, "cache_dir");
        problems_add(r->problems, place.line, place.column,
                     "%s.cache_dir: \"%s\" has a symbolic link that leads %s", p->path, dir,
                     error == ELOOP ? "in a circle" : "nowhere");
    }
}

static void dirs_check(struct reader *r)
{
    size_t count = r->m->model_count;
    struct location *caches = mem_alloc_array(count + 1, sizeof(*caches));
    struct location *models = mem_alloc_array(count + 1, sizeof(*models));
    for (size_t i = 0; i < count; i++) {
        cache_dir_locate(r, i, &caches[i]);
        if (r->m->models[i].model_dir)
            location_find(r->m->models[i].model_dir, &models[i]);
    }
    for (size_t i = 0; i < count; i++)
        if (caches[i].folded)
            cache_dir_check(r, caches, models, i);
    for (size_t i = 0; i < count; i++) {
        free(caches[i].folded);
        free(models[i].folded);
    }
    free(caches);
    free(models);
}

void manifest_check(struct reader *r)
{
    for (size_t i = 0; i < r->m->model_count; i++) {
        const char *name;
        for (size_t at = 0; (name = model_name(&r->m->models[i], at)); at++)
            name_check(r, i, at, name);
    }
    default_model_check(r);
    dirs_check(r);
    storage_check(r);
    callbacks_check(r);
}
