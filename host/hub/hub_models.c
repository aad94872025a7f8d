/* The models that `voxhost pull` knows by name: which files of which repository, where a plugin
 * looks for them, and under which licence they come. Nothing here is fetched by itself. */
#include "hub/hub.h"

#include <stdlib.h>
#include <string.h>

static const struct hub_model models[] = {
    {
        .name = "f5tts",
        .licence = "CC-BY-NC-4.0 (not for commercial use); the vocoder: MIT",
        .sources =
            {
                {.repo = "SWivid/F5-TTS",
                 .include = {"F5TTS_v1_Base/model_1250000.safetensors", "F5TTS_v1_Base/vocab.txt"},
                 .prefix = "F5TTS_v1_Base/"},
                {.repo = "charactr/vocos-mel-24khz",
                 .include = {"config.yaml", "pytorch_model.bin"},
                 .under = "vocos/"},
            },
    },
    {
        .name = "chatterbox",
        .licence = "MIT",
        .sources = {{.repo = "ResembleAI/chatterbox",
                     .include = {"ve.safetensors", "t3_cfg.safetensors", "s3gen.safetensors",
                                 "tokenizer.json", "conds.pt"}}},
    },
    {
        .name = "chatterbox-multilingual",
        .licence = "MIT",
        .sources = {{.repo = "ResembleAI/chatterbox",
                     .include = {"ve.safetensors", "t3_mtl23ls_v2.safetensors", "s3gen.safetensors",
                                 "grapheme_mtl_merged_expanded_v1.json", "Cangjie5_TC.json",
                                 "conds.pt"}}},
    },
    {
        .name = "higgs",
        .licence = "Boson Higgs Audio 2 Community License (derived from Llama 3; a licence of its "
                   "own above "
                   "100,000 annual users)",
        /* Both repositories have had other files under the same names since April 2026. */
        .sources = {{.repo = "bosonai/higgs-audio-v2-generation-3B-base",
                     .revision = "10840182ca4ad5d9d9113b60b9bb3c1ef1ba3f84",
                     .include = {"*.safetensors", "*.json"}},
                    {.repo = "bosonai/higgs-audio-v2-tokenizer",
                     .revision = "9d4988fbd4ad07b4cac3a5fa462741a41810dbec",
                     .include = {"config.json", "model.pth"},
                     .under = "tokenizer/"}},
    },
};
enum { MODEL_COUNT = sizeof(models) / sizeof(models[0]) };

const struct hub_model *hub_model_find(const char *name)
{
    for (size_t i = 0; i < MODEL_COUNT; i++)
        if (text_equal_nocase(models[i].name, name))
            return &models[i];
    return NULL;
}

const struct hub_model *hub_model_of_plugin(const char *file)
{
    const char *name = fs_name_of(file);
    char *bare = mem_copy_text(name, strcspn(name, "."));
    const struct hub_model *model = hub_model_find(bare);
    free(bare);
    return model;
}

void hub_model_names(struct str *out)
{
    for (size_t i = 0; i < MODEL_COUNT; i++)
        str_printf(out, "%s%s", i ? ", " : "", models[i].name);
}

char *hub_source_place(const struct hub_source *source, const char *path)
{
    size_t cut = source->prefix ? strlen(source->prefix) : 0;
    if (cut && strncmp(path, source->prefix, cut) != 0)
        cut = 0;
    return str_format("%s%s", source->under ? source->under : "", path + cut);
}
