/* Opens shared objects by the dynamic linker, and knows where this program's tensor library lies,
 * which only some of them need: libvoxtensor, and libtorch below it, cost time and memory, so
 * nothing else opens them. Knows no plugins.
 */
#include "plugin/library.h"

#include "plugin/plugin.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TENSORS_NAME "libvoxtensor.so.1"
#define OPEN_FLAGS (RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)

/* Below the program's folder: of a build tree, of an installation. */
static const char *const folders[] = {"lib", "../lib"};

static const char *last_reason(void)
{
    const char *why = dlerror();
    return why ? why : "no reason given";
}

/* Is it a library of that name that the dynamic linker's message calls missing? Its length there;
 * 0: no. */
static size_t missing(const char *why, const char *name)
{
    const char *end = strstr(why, ": cannot open shared object file");
    return end && strncmp(why, name, strlen(name)) == 0 ? (size_t)(end - why) : 0;
}

static int explain(const char *why, struct err *err)
{
    size_t len = missing(why, "libtorch");
    if (!len)
        len = missing(why, "libc10");
    if (len)
        return err_set(err, ERR_MODEL_FAILED, NULL,
                       "needs libtorch, whose %.*s is not found: put libtorch back where it was "
                       "when voxhost was "
                       "built, or build again with LIBTORCH_DIR",
                       (int)len, why);
    if (missing(why, TENSORS_NAME))
        return err_set(err, ERR_MODEL_FAILED, NULL,
                       "needs " TENSORS_NAME
                       " (the tensor library), which this installation does not have: build "
                       "voxhost with WITH_TORCH=ON");
    return err_set(err, ERR_MODEL_FAILED, NULL, "cannot be loaded: %s", why);
}

/* *library stays NULL when this program has none. */
static int open_tensors(void **library, struct err *err)
{
    char *program = fs_program_dir();
    int result = 0;
    for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]) && !*library && result == 0; i++) {
        char *folder = fs_absolute(program, folders[i]), *path = fs_join(folder, TENSORS_NAME);
        if (access(path, F_OK) == 0 && !(*library = dlopen(path, OPEN_FLAGS)))
            result = explain(last_reason(), err);
        free(path);
        free(folder);
    }
    free(program);
    return result;
}

int library_open(const char *path, void **library, struct err *err)
{
    *library = dlopen(path, OPEN_FLAGS);
    if (*library)
        return 0;
    char *why = mem_copy_string(last_reason());
    void *tensors = NULL;
    int result = missing(why, TENSORS_NAME) ? open_tensors(&tensors, err) : 0;
    if (tensors && !(*library = dlopen(path, OPEN_FLAGS))) { /* it is found by its name now */
        free(why);
        why = mem_copy_string(last_reason());
    }
    if (result == 0 && !*library) {
        size_t len = strlen(path);
        bool repeats = strncmp(why, path, len) == 0 && why[len] == ':';
        result = explain(repeats ? why + len + 1 + strspn(why + len + 1, " ") : why, err);
    }
    free(why);
    return result;
}

int plugin_tensors_about(struct str *about, struct err *err)
{
    void *library = NULL;
    const char *(*say)(void) = NULL;
    int result = open_tensors(&library, err);
    if (result != 0 || !library)
        return result;
    *(void **)&say = dlsym(library, "vt_about");
    if (!say)
        return err_set(err, ERR_MODEL_FAILED, NULL, "%s", last_reason());
    const char *text = say();
    plugin_text(text, strlen(text), about);
    return 0;
}
