/* What the fuzz targets of job files share: a file of the bytes is read to its end and every record is
 * checked.
 */
#ifndef FUZZ_RECORDS_H
#define FUZZ_RECORDS_H

#include "front/batch/job_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void require(bool holds, const char *what, const struct err *err)
{
    if (holds)
        return;
    fprintf(stderr, "broken: %s (%s)\n", what, err->message);
    abort();
}

static void check_strings(const cJSON *node, const struct err *err)
{
    const cJSON *child;
    if (node->type == cJSON_String)
        require(utf8_valid(node->valuestring, strlen(node->valuestring), NULL), "UTF-8", err);
    cJSON_ArrayForEach(child, node) check_strings(child, err);
}

static void check_source(struct job_source *source, size_t lines, size_t size)
{
    struct job_record record;
    struct err err = {0};
    uint64_t number = 0, line = 1;
    int code;
    while ((code = job_source_next(source, &record, &err)) > 0) {
        require(record.number == ++number && number <= size, "the number", &record.err);
        require(record.line >= line && record.line <= lines, "the line", &record.err);
        require((record.json == NULL) == (record.err.code == ERR_INVALID), "job or error",
                &record.err);
        require(record.json ? cJSON_IsObject(record.json) : record.err.message[0], "which",
                &record.err);
        if (record.json)
            check_strings(record.json, &record.err);
        require(*job_source_place(source, &record) == '/', "the place", &record.err);
        line = record.line;
        cJSON_Delete(record.json);
    }
    require(code == 0, "the end", &err);
    require(job_source_next(source, &record, &err) == 0, "the end stays", &err);
}

static void records_check(enum job_file_format format, const uint8_t *data, size_t size)
{
    char path[64];
    struct err err = {0};
    struct job_source *source = NULL;
    struct job_source_options options = {.path = path, .format = format};
    size_t lines = 1;
    for (size_t i = 0; i < size; i++)
        lines += data[i] == '\n';
    int fd = memfd_create("jobs", MFD_CLOEXEC);
    require(fd >= 0 && fs_write_all(fd, data, size) == 0, "the file", &err);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    int code = job_source_open(&options, &source, &err);
    require((code == 0) == (source != NULL) &&
                (code == 0 || (code == ERR_INVALID && err.message[0])),
            "opened or refused with a reason", &err);
    if (source)
        check_source(source, lines, size);
    job_source_close(source);
    close(fd);
}

#endif
