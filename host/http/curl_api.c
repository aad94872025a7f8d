/* Opens libcurl once for the process; see curl_api.h. Knows no requests. */
#include "http/curl_api.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
/* Written inside `once`, read only after it. */
static struct curl_api api;
static bool opened;
static char reason[256];

static void open_once(void)
{
    static const char *const names[] = {
#define X(name) "curl_" #name,
        CURL_FUNCTIONS(X)
#undef X
    };
    void **const places[] = {
#define X(name) (void **)&api.name,
        CURL_FUNCTIONS(X)
#undef X
    };
    void *library = dlopen("libcurl.so.4", RTLD_LAZY | RTLD_LOCAL | RTLD_NODELETE);
    for (size_t i = 0; library && i < sizeof(names) / sizeof(names[0]); i++) {
        *places[i] = dlsym(library, names[i]);
        if (!*places[i])
            library = NULL;
    }
    if (!library) {
        const char *text = dlerror();
        snprintf(reason, sizeof(reason), "%s", text ? text : "libcurl.so.4 lacks a function");
    } else if (api.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        snprintf(reason, sizeof(reason), "libcurl did not start");
    } else {
        opened = true;
    }
}

const struct curl_api *curl_api_open(const char **why)
{
    pthread_once(&once, open_once);
    if (why)
        *why = reason;
    return opened ? &api : NULL;
}
