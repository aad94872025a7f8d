/* The config.yaml of a Vocos folder: the few sizes that the weights do not tell. Knows no tensors.
 */
#ifndef F5TTS_VOCOS_CONFIG_H
#define F5TTS_VOCOS_CONFIG_H

#include "vox/helpers.h"

struct vocos_config {
    int64_t mels, dim, ff_dim, layers; /* backbone.init_args */
    int64_t fft, hop;                  /* head.init_args */
};

/* Reads and checks it: a mel feature extractor, a VocosBackbone and an ISTFTHead with centred
 * padding; anything else is VOX_EMODEL "unsupported: ...". [any] */
int32_t vocos_config_read(const char *path, struct vocos_config *config, struct vox_error *error);

#endif
