/* What differs between the versions of libtorch that are supported, 2.6 and newer. No other file
 * asks for the version. */
#ifndef VOX_TORCH_COMPAT_H
#define VOX_TORCH_COMPAT_H

#if __has_include(<torch/headeronly/version.h>)
#include <torch/headeronly/version.h>
#else
#include <torch/csrc/api/include/torch/version.h>
#endif

#if TORCH_VERSION_MAJOR < 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR < 6)
#error "libtorch 2.6 or newer is needed"
#endif

#endif
