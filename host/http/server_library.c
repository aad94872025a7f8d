/* Opens libmicrohttpd at run time, once for the process. Knows nothing of what it is used for. */
#include "http/server_private.h"

#include <dlfcn.h>
#include <stdio.h>

static struct {
    pthread_once_t once;
    struct mhd functions;
    char reason[256]; /* "": it is open */
} library = {.once = PTHREAD_ONCE_INIT};

static void note_reason(const char *reason)
{
    snprintf(library.reason, sizeof(library.reason), "%s", reason ? reason : "unknown reason");
}

static void open_library(void)
{
    /* The ABI of every release from 0.9.34 on. */
    void *handle = dlopen("libmicrohttpd.so.12", RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!handle) {
        note_reason(dlerror());
        return;
    }
#define X(name)                                                      \
    *(void **)&library.functions.name = dlsym(handle, "MHD_" #name); \
    if (!library.functions.name) {                                   \
        note_reason(dlerror());                                      \
        return;                                                      \
    }
    MHD_FUNCTIONS(X)
#undef X
}

const struct mhd *server_library(struct err *err)
{
    pthread_once(&library.once, open_library);
    if (library.reason[0]) {
        err_set(err, ERR_INTERNAL, NULL, "the HTTP server needs libmicrohttpd: %s", library.reason);
        return NULL;
    }
    return &library.functions;
}
