/* Opening a shared object that may need the tensor library. Inside host/plugin only. */
#ifndef PLUGIN_LIBRARY_H
#define PLUGIN_LIBRARY_H

#include "base/base.h"

/* dlopen of an absolute path, for ever. When libvoxtensor is needed and not found by the library's
 * own search path, the one that belongs to this program is opened first. The message does not name
 * the path. */
int library_open(const char *path, void **library, struct err *err);

#endif
