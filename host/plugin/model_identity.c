/* Which checkpoint a model is: a digest over what decides what it computes, without reading
 * weights. */
#include "plugin/model_private.h"

#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILES_MAX 10000 /* of a model's folder; further ones do not count */
#define DEPTH_MAX 8

static int compare_names(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* Name, size and time of every file: another checkpoint of the same shape has another time. */
static void add_files(struct str *out, const char *dir)
{
    char *const paths[] = {(char *)dir, NULL};
    FTS *tree = fts_open(paths, FTS_LOGICAL | FTS_NOCHDIR, compare_names);
    const FTSENT *item;
    size_t count = 0, skip = strlen(dir);
    while (tree && count < FILES_MAX && (item = fts_read(tree))) {
        if (item->fts_level > DEPTH_MAX)
            fts_set(tree, (FTSENT *)item, FTS_SKIP);
        if (item->fts_info != FTS_F)
            continue;
        count++;
        str_printf(out, "%s %lld %lld.%09ld\n", item->fts_path + skip,
                   (long long)item->fts_statp->st_size, (long long)item->fts_statp->st_mtim.tv_sec,
                   item->fts_statp->st_mtim.tv_nsec);
    }
    if (tree)
        fts_close(tree);
}

void model_identity(struct model *model, char out[DIGEST_HEX_SIZE])
{
    pthread_mutex_lock(&model->identity_lock);
    if (!model->identity[0]) {
        struct str text = {0};
        if (model->config->options)
            json_write_canonical(&text, model->config->options);
        str_putc(&text, '\n');
        add_files(&text, model->config->model_dir);
        digest_of(str_text(&text), text.len, model->identity);
        str_finish(&text);
    }
    memcpy(out, model->identity, DIGEST_HEX_SIZE);
    pthread_mutex_unlock(&model->identity_lock);
}
