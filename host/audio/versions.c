/* The versions of the libraries that audio stands on, as they are at run time. */
#include "audio/audio.h"

#include <sndfile.h>
#include <soxr.h>

const char *audio_sndfile_version(void)
{
    return sf_version_string();
}

const char *audio_soxr_version(void)
{
    return soxr_version();
}
