/* Any bytes as a hub's list of a repository: what passes can be fetched and stays below its
 * directory. */
#include "fuzz.h"
#include "hub/hub.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hub_listing listing;
    struct err err = {0};
    static const char *const include[] = {"*.safetensors", "[a-", "sub/", NULL};
    if (hub_listing_parse((const char *)data, size, &listing, &err) != 0) {
        require(err.message[0] && !strchr(err.message, '\n'), "a refusal is one line");
        require(!listing.files && !listing.commit, "a refused list is empty");
        return 0;
    }
    require(strlen(listing.commit) == 40, "a list has a commit");
    require(listing.licence && !strchr(listing.licence, '\n'), "a licence is one line");
    for (size_t i = 0; i < listing.count; i++) {
        const struct hub_file *file = &listing.files[i];
        size_t digits = strlen(file->digest);
        require(fs_path_is_inside(file->path), "a file stays below its directory");
        require(digits == 40 || digits == 64, "a file has a digest");
        require(i == 0 || strcmp(listing.files[i - 1].path, file->path) < 0,
                "no file stands twice");
        hub_path_wanted(file->path, include, NULL);
    }
    hub_listing_finish(&listing);
    return 0;
}
