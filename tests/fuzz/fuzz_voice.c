/* Any bytes as a portable voice file, as voice.json, as a packed profile and as a recording in
 * base64: refused with a reason, or something that can be written and read again. */
#include "fuzz.h"
#include "voice/voice_private.h"

#include <stdlib.h>
#include <string.h>

static void check_entry(const struct voice_entry *entry)
{
    struct str text = {0};
    struct voice_entry again;
    struct err err = {0};
    require(voice_id_valid(entry->id), "an id is one");
    require(voice_id_valid(entry->reference.name), "a file stays in its folder");
    voice_entry_write(entry, &text);
    require(entry_parse(text.data, text.len, "again", &again, &err) == 0,
            "an entry can be read again");
    require(strcmp(again.id, entry->id) == 0, "the id stays");
    voice_entry_finish(&again);
    str_finish(&text);
}

static void check_portable(const uint8_t *data, size_t size)
{
    struct voice_parcel parcel, again;
    struct str bytes = {0};
    struct err err = {0};
    if (portable_read(data, size, &parcel, &err) != 0) {
        require(err.message[0], "a refused file has a reason");
        return;
    }
    check_entry(&parcel.entry);
    portable_write(&parcel, &bytes);
    require(portable_read(bytes.data, bytes.len, &again, &err) == 0, "a voice can be read again");
    require(again.reference.len == parcel.reference.len, "its recording is whole");
    require(again.profile_count == parcel.profile_count, "its profiles are all there");
    parcel_finish(&parcel);
    parcel_finish(&again);
    str_finish(&bytes);
}

static void check_base64(const char *text, size_t size)
{
    struct str bytes = {0}, again = {0}, copy = {0};
    struct err err = {0};
    if (reference_decode_base64(text, size, &bytes, &err) == 0) {
        str_append_base64(&copy, bytes.data, bytes.len);
        require(reference_decode_base64(copy.data, copy.len, &again, &err) == 0 &&
                    again.len == bytes.len && memcmp(again.data, bytes.data, bytes.len) == 0,
                "base64 can be written and read again");
    } else {
        require(err.message[0], "refused base64 has a reason");
    }
    str_finish(&bytes);
    str_finish(&again);
    str_finish(&copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct voice_entry entry;
    struct str packed = {0};
    struct vox_str blob;
    struct err err = {0};
    check_portable(data, size);
    if (entry_parse((const char *)data, size, "voice.json", &entry, &err) == 0) {
        check_entry(&entry);
        voice_entry_finish(&entry);
    }
    str_append(&packed, (const char *)data, size);
    if (size)
        check_base64(packed.data, size);
    if (size && profile_unpack(&packed, NULL, &blob))
        require(blob.size > 0 && blob.size < size, "a profile is a part of it");
    free(profile_about(&packed));
    str_finish(&packed);
    return 0;
}
