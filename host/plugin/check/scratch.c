/* Conformance cases on the folder for a job's temporary files (vox/ext/scratch.h). */
#include "plugin/check/cases.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAPS_SIZE_MAX (16u << 20)

static enum check_outcome not_asked(struct check_cx *cx)
{
    return cx_skip(cx, "the plugin asks for no scratch folder");
}

enum check_outcome check_scratch_refused(struct check_cx *cx)
{
    struct take *take = take_create(cx);
    if (!cx_session(cx))
        return CHECK_FAIL;
    take->scratch_refused = true;
    take_speak(take, cx->session);
    if (take->scratch_count == 0)
        return not_asked(cx);
    if (take->code != VOX_OK && take->code != VOX_ESINK)
        return cx_fail(cx, "without a scratch folder speak returned %s, expected VOX_ESINK",
                       code_name(take->code));
    return CHECK_PASS;
}

static bool has_open_file(const char *folder)
{
    DIR *descriptors = opendir("/proc/self/fd");
    const struct dirent *entry;
    bool found = false;
    while (!found && descriptors && (entry = readdir(descriptors))) {
        char target[512];
        ssize_t len = readlinkat(dirfd(descriptors), entry->d_name, target, sizeof(target));
        found = len > (ssize_t)strlen(folder) && strncmp(target, folder, strlen(folder)) == 0;
    }
    if (descriptors)
        closedir(descriptors);
    return found;
}

static bool has_mapped_file(const char *folder)
{
    struct str maps = {0};
    struct err err = {0};
    bool found = fs_read_file("/proc/self/maps", MAPS_SIZE_MAX, &maps, &err) == 0 &&
                 strstr(str_text(&maps), folder);
    str_finish(&maps);
    return found;
}

/* The host has removed it by then: an open file keeps its room on the disk, and a path that is kept
 * belongs to nobody. */
enum check_outcome check_scratch_let_go(struct check_cx *cx)
{
    const struct take *take = cx_speak(cx);
    enum check_outcome outcome = CHECK_PASS;
    if (!take)
        return CHECK_FAIL;
    if (!take->scratch[0])
        return not_asked(cx);
    char *folder = fs_join(take->scratch, "");
    if (has_open_file(folder))
        outcome = cx_fail(cx, "a file in the job's scratch folder is still open after speak");
    else if (has_mapped_file(folder))
        outcome = cx_fail(cx, "a file in the job's scratch folder is still mapped after speak");
    else if (!cx_speak(cx))
        outcome = CHECK_FAIL;
    if (outcome == CHECK_PASS) {
        cx_down(cx);
        if (access(take->scratch, F_OK) == 0)
            outcome = cx_fail(cx, "a job's scratch folder was made again after the job");
    }
    free(folder);
    return outcome;
}
