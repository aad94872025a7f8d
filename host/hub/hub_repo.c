/* What a repository holds: its name, its list of files as the hub tells it, and which of them
 * are wanted. Everything here comes from outside and is checked here. Asks nobody: that is
 * hub_request.c. */
#include "hub/hub_private.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#define REPO_PART_MAX 96
#define LICENCE_SIZE_MAX 512
#define COMMIT_DIGITS 40

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), cut = strlen(end);
    return len >= cut && strcmp(text + len - cut, end) == 0;
}

/* --- Names ------------------------------------------------------------------------------------ */

static bool repo_part_valid(const char *part, size_t len)
{
    if (len == 0 || len > REPO_PART_MAX || part[0] == '.' || part[0] == '-')
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = part[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!plain && c != '.' && c != '_' && c != '-')
            return false;
        if (c == '.' && i + 1 < len && part[i + 1] == '.')
            return false;
    }
    return true;
}

bool hub_repo_valid(const char *repo)
{
    const char *slash = strchr(repo, '/');
    return slash && repo_part_valid(repo, (size_t)(slash - repo)) &&
           repo_part_valid(slash + 1, strlen(slash + 1));
}

static bool pattern_matches(const char *pattern, const char *path)
{
    bool matches = fnmatch(pattern, path, 0) == 0;
    if (!matches && ends_with(pattern, "/")) {
        char *all = str_format("%s*", pattern);
        matches = fnmatch(all, path, 0) == 0;
        free(all);
    }
    return matches;
}

bool hub_path_wanted(const char *path, const char *const *include, const char *const *exclude)
{
    bool wanted = !include || !include[0];
    for (size_t i = 0; include && include[i] && !wanted; i++)
        wanted = pattern_matches(include[i], path);
    for (size_t i = 0; exclude && exclude[i] && wanted; i++)
        wanted = !pattern_matches(exclude[i], path);
    return wanted;
}

/* --- The list --------------------------------------------------------------------------------- */

static int parse_file(const cJSON *entry, size_t index, struct hub_file *file, struct err *err)
{
    char shown[120];
    const cJSON *name = json_get(entry, "rfilename"), *lfs = json_get(entry, "lfs");
    const char *path = json_text(entry, "rfilename");
    if (!path)
        return err_set(err, ERR_STORAGE, NULL, "the hub's list: file %zu has no name", index);
    json_show(name, shown, sizeof(shown));
    if (!fs_path_is_inside(path))
        return err_set(err, ERR_STORAGE, NULL,
                       "the hub's list: file %s would lie outside the directory", shown);
    bool is_lfs = cJSON_IsObject(lfs);
    const char *digest = is_lfs ? json_text(lfs, "sha256") : json_text(entry, "blobId");
    const cJSON *size = is_lfs ? json_get(lfs, "size") : json_get(entry, "size");
    int64_t bytes = -1;
    if (!size || !json_int64(size, &bytes) || bytes < 0)
        return err_set(err, ERR_STORAGE, NULL,
                       "the hub's list: file %s has no size (does the endpoint know ?blobs=true?)",
                       shown);
    if ((uint64_t)bytes > HUB_CHUNK_SIZE * HUB_CHUNKS_MAX)
        return err_set(err, ERR_STORAGE, NULL, "the hub's list: file %s is larger than %llu bytes",
                       shown, (unsigned long long)(HUB_CHUNK_SIZE * HUB_CHUNKS_MAX));
    if (!digest || !hub_digest_valid(digest) || (is_lfs && strlen(digest) == COMMIT_DIGITS))
        return err_set(err, ERR_STORAGE, NULL,
                       "the hub's list: file %s has no digest to check it by", shown);
    file->path = mem_copy_string(path);
    file->size = (uint64_t)bytes;
    memcpy(file->digest, digest, strlen(digest) + 1);
    return 0;
}

static void parse_licence(const cJSON *root, struct hub_listing *listing)
{
    const cJSON *card = json_get(root, "cardData"), *licence = json_get(card, "license");
    const char *name = json_text(card, "license_name"), *link = json_text(card, "license_link");
    if (cJSON_IsArray(licence))
        licence = licence->child;
    struct str text = {0};
    if (name)
        str_puts(&text, name);
    else if (cJSON_IsString(licence))
        str_puts(&text, licence->valuestring);
    if (link && text.len)
        str_printf(&text, " (%s)", link);
    if (text.len > LICENCE_SIZE_MAX)
        text.data[text.len = utf8_cut(text.data, text.len, LICENCE_SIZE_MAX)] = '\0';
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f)
            text.data[i] = ' ';
    listing->licence = mem_copy_string(str_text(&text));
    str_finish(&text);
}

static int compare_paths(const void *a, const void *b)
{
    const struct hub_file *one = a, *other = b;
    return strcmp(one->path, other->path);
}

/* One path twice, or one that is another's directory, cannot both be made. */
static int check_paths(struct hub_listing *listing, struct err *err)
{
    qsort(listing->files, listing->count, sizeof(*listing->files), compare_paths);
    for (size_t i = 1; i < listing->count; i++)
        if (strcmp(listing->files[i - 1].path, listing->files[i].path) == 0)
            return err_set(err, ERR_STORAGE, NULL, "the hub's list: file \"%s\" stands twice",
                           listing->files[i].path);
    return 0;
}

int hub_listing_parse(const char *text, size_t len, struct hub_listing *listing, struct err *err)
{
    const struct json_limits limits = {HUB_LISTING_BYTES_MAX, (size_t)32 * HUB_FILES_MAX, 32};
    int result = 0;
    *listing = (struct hub_listing){0};
    cJSON *root = json_parse(text, len, &limits, err);
    if (!root) {
        err_prefix(err, "the hub's list");
        return err->code = ERR_STORAGE;
    }
    const cJSON *entry, *files = json_get(root, "siblings");
    const char *commit = json_text(root, "sha");
    size_t count = cJSON_IsArray(files) ? (size_t)cJSON_GetArraySize(files) : 0;
    if (!commit || strlen(commit) != COMMIT_DIGITS || !hub_digest_valid(commit)) {
        result = err_set(err, ERR_STORAGE, NULL, "the hub's list has no commit");
        goto out;
    }
    if (!cJSON_IsArray(files) || count > HUB_FILES_MAX) {
        result =
            err_set(err, ERR_STORAGE, NULL, "the hub's list: expected at most %d files, got %zu",
                    HUB_FILES_MAX, count);
        goto out;
    }
    listing->files = mem_alloc_array(count + 1, sizeof(*listing->files));
    cJSON_ArrayForEach(entry, files)
    {
        result = parse_file(entry, listing->count, &listing->files[listing->count], err);
        if (result != 0)
            goto out;
        listing->count++;
    }
    result = check_paths(listing, err);
    listing->commit = mem_copy_string(commit);
    parse_licence(root, listing);
out:
    cJSON_Delete(root);
    if (result != 0)
        hub_listing_finish(listing);
    return result;
}

void hub_listing_finish(struct hub_listing *listing)
{
    for (size_t i = 0; i < listing->count; i++)
        free(listing->files[i].path);
    free(listing->files);
    free(listing->repo);
    free(listing->revision);
    free(listing->commit);
    free(listing->licence);
    *listing = (struct hub_listing){0};
}

int hub_list(struct hub *hub, const char *repo, const char *revision, struct hub_listing *listing,
             struct err *err)
{
    struct str url = {0}, body = {0};
    str_printf(&url, "%s/api/models/%s/revision/", hub->endpoint, repo);
    hub_url_append(&url, revision, false);
    str_puts(&url, "?blobs=true");
    char *what = str_format("revision \"%s\"", revision);
    int result = hub_get(hub, str_text(&url), repo, what, &body, err);
    if (result == 0) {
        result = hub_listing_parse(str_text(&body), body.len, listing, err);
        if (result != 0)
            err_prefix(err, "%s", repo);
    }
    if (result == 0) {
        listing->repo = mem_copy_string(repo);
        listing->revision = mem_copy_string(revision);
    }
    free(what);
    str_finish(&url);
    str_finish(&body);
    return result;
}
