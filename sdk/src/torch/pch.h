/* The precompiled header of libvoxtensor: what every file of it includes anyway. Operators are
 * included one by one, from ATen/ops, by the file that calls them: all of ATen costs eight
 * seconds a file. */
#ifndef VOX_TORCH_PCH_H
#define VOX_TORCH_PCH_H

#include <ATen/core/Tensor.h>

#include <c10/core/InferenceMode.h>
#include <c10/util/Exception.h>
#include <c10/util/FunctionRef.h>

#include <cstdint>
#include <deque>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#endif
