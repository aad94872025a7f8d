/* What every module stands on: errors, strings, strict JSON and YAML, log, clock, files, digests.
 * The one header of host/base; it sees no other module. All functions are [any] unless said
 * otherwise.
 */
#ifndef BASE_H
#define BASE_H

#include "base/clock.h"
#include "base/crash.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/own_dir.h"
#include "base/str.h"
#include "base/sync.h"
#include "base/tree.h"
#include "base/yaml.h"

#endif
