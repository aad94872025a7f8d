/* Reads the config.yaml of a Vocos folder with libyaml's documents. Files of the official kind have
 * forty lines; limits are far above.
 */
#include "vocos_config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

#define FILE_SIZE_MAX 65536
#define SIZE_MAX_OF_A_LAYER 65536

/* The value at a path of keys separated by '.', or NULL. */
static yaml_node_t *node_at(yaml_document_t *document, const char *path)
{
    yaml_node_t *node = yaml_document_get_root_node(document);
    while (node && *path) {
        size_t len = strcspn(path, ".");
        yaml_node_t *found = NULL;
        if (node->type != YAML_MAPPING_NODE)
            return NULL;
        for (yaml_node_pair_t *p = node->data.mapping.pairs.start; p < node->data.mapping.pairs.top;
             p++) {
            yaml_node_t *key = yaml_document_get_node(document, p->key);
            if (key && key->type == YAML_SCALAR_NODE && key->data.scalar.length == len &&
                memcmp(key->data.scalar.value, path, len) == 0)
                found = yaml_document_get_node(document, p->value);
        }
        node = found;
        path += len + (path[len] == '.');
    }
    return node;
}

static const char *text_at(yaml_document_t *document, const char *path)
{
    yaml_node_t *node = node_at(document, path);
    return node && node->type == YAML_SCALAR_NODE ? (const char *)node->data.scalar.value : NULL;
}

static int32_t size_at(yaml_document_t *document, const char *path, int64_t *size,
                       struct vox_error *error)
{
    const char *text = text_at(document, path);
    char *end = NULL;
    *size = text ? strtoll(text, &end, 10) : 0;
    if (!text || end == text || *end || *size < 1 || *size > SIZE_MAX_OF_A_LAYER)
        return vox_fail(error, VOX_EMODEL, "%s: expected integer 1..%d, got %s", path,
                        SIZE_MAX_OF_A_LAYER, text ? text : "nothing");
    return VOX_OK;
}

static int32_t text_is(yaml_document_t *document, const char *path, const char *expected,
                       struct vox_error *error)
{
    const char *text = text_at(document, path);
    if (text && strcmp(text, expected) == 0)
        return VOX_OK;
    return vox_fail(error, VOX_EMODEL, "%s: unsupported: expected %s, got %s", path, expected,
                    text ? text : "nothing");
}

static int32_t check(yaml_document_t *d, struct vocos_config *config, struct vox_error *error)
{
    static const struct {
        const char *path, *expected;
    } classes[] = {
        {"feature_extractor.class_path", "vocos.feature_extractors.MelSpectrogramFeatures"},
        {"backbone.class_path", "vocos.models.VocosBackbone"},
        {"head.class_path", "vocos.heads.ISTFTHead"},
        {"head.init_args.padding", "center"},
    };
    const struct {
        const char *path;
        int64_t *size;
    } sizes[] = {
        {"backbone.init_args.input_channels", &config->mels},
        {"backbone.init_args.dim", &config->dim},
        {"backbone.init_args.intermediate_dim", &config->ff_dim},
        {"backbone.init_args.num_layers", &config->layers},
        {"head.init_args.n_fft", &config->fft},
        {"head.init_args.hop_length", &config->hop},
    };
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
        if (text_is(d, classes[i].path, classes[i].expected, error) != VOX_OK)
            return VOX_EMODEL;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        if (size_at(d, sizes[i].path, sizes[i].size, error) != VOX_OK)
            return VOX_EMODEL;
    const char *adanorm = text_at(d, "backbone.init_args.adanorm_num_embeddings");
    if (adanorm && strcmp(adanorm, "null") != 0 && strcmp(adanorm, "~") != 0 && *adanorm)
        return vox_fail(error, VOX_EMODEL,
                        "backbone.init_args.adanorm_num_embeddings: unsupported");
    return VOX_OK;
}

int32_t vocos_config_read(const char *path, struct vocos_config *config, struct vox_error *error)
{
    unsigned char *bytes = malloc(FILE_SIZE_MAX);
    FILE *file = fopen(path, "rb");
    yaml_parser_t parser;
    yaml_document_t document;
    int32_t code = VOX_EMODEL;
    if (!bytes || !file) {
        code = bytes ? vox_fail(error, VOX_EMODEL, "vocoder: %.400s cannot be read: %s", path,
                                strerror(errno))
                     : vox_fail(error, VOX_ENOMEM, "out of memory");
        goto out;
    }
    size_t size = fread(bytes, 1, FILE_SIZE_MAX, file);
    if (size == FILE_SIZE_MAX) {
        vox_fail(error, VOX_EMODEL, "vocoder: %s: has over %d bytes", path, FILE_SIZE_MAX - 1);
        goto out;
    }
    if (!yaml_parser_initialize(&parser)) {
        code = vox_fail(error, VOX_ENOMEM, "out of memory");
        goto out;
    }
    yaml_parser_set_input_string(&parser, bytes, size);
    if (yaml_parser_load(&parser, &document)) {
        struct vox_error inner = {.size = sizeof(inner)};
        code = check(&document, config, &inner);
        if (code != VOX_OK)
            vox_fail(error, code, "vocoder: %s: %.300s", path, inner.message);
        yaml_document_delete(&document);
    } else {
        vox_fail(error, VOX_EMODEL, "vocoder: %s:%zu: is not YAML: %s", path,
                 parser.problem_mark.line + 1, parser.problem ? parser.problem : "no reason given");
    }
    yaml_parser_delete(&parser);
out:
    if (file)
        fclose(file);
    free(bytes);
    return code;
}
