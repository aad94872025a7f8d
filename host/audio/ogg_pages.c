/* Ogg pages with a serial number of ours. libsndfile draws one by the time of day, and the same
 * audio would never twice make the same file. The number stands in every page, under its checksum.
 * Source of the layout: RFC 3533, section 6.
 */
#include "audio/audio_private.h"

#include <stdlib.h>
#include <string.h>

#define PAGE_HEAD_SIZE 27 /* before the table of segments */
#define PAGE_MAX (PAGE_HEAD_SIZE + 255 + 255 * 255)
#define SERIAL_OFFSET 14
#define CHECKSUM_OFFSET 22
#define SEGMENTS_OFFSET 26
#define SERIAL 1

struct ogg_pages {
    struct output *output; /* borrowed */
    size_t len;
    uint32_t checksums[256]; /* of each byte */
    uint8_t page[PAGE_MAX];  /* what has come of the next page */
};

struct ogg_pages *ogg_pages_create(struct output *output)
{
    struct ogg_pages *pages = mem_alloc(sizeof(*pages));
    pages->output = output;
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t sum = i << 24;
        for (int bit = 0; bit < 8; bit++)
            sum = sum << 1 ^ (sum >> 31 ? 0x04c11db7u : 0);
        pages->checksums[i] = sum;
    }
    return pages;
}

void ogg_pages_destroy(struct ogg_pages *pages)
{
    free(pages);
}

/* How long the page is, as far as what has come of it tells. */
static size_t page_size(const struct ogg_pages *pages)
{
    if (pages->len < PAGE_HEAD_SIZE)
        return PAGE_HEAD_SIZE;
    size_t segments = pages->page[SEGMENTS_OFFSET], size = PAGE_HEAD_SIZE + segments;
    if (pages->len >= size)
        for (size_t i = 0; i < segments; i++)
            size += pages->page[PAGE_HEAD_SIZE + i];
    return size;
}

static void put_le32(uint8_t *out, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

static size_t page_send(struct ogg_pages *pages)
{
    uint32_t sum = 0;
    put_le32(pages->page + SERIAL_OFFSET, SERIAL);
    put_le32(pages->page + CHECKSUM_OFFSET, 0);
    for (size_t i = 0; i < pages->len; i++)
        sum = sum << 8 ^ pages->checksums[sum >> 24 ^ pages->page[i]];
    put_le32(pages->page + CHECKSUM_OFFSET, sum);
    size_t put = output_write(pages->output, pages->page, pages->len);
    pages->len = 0;
    return put;
}

size_t ogg_pages_write(struct ogg_pages *pages, const void *data, size_t len)
{
    const uint8_t *p = data;
    size_t left = len;
    while (left) {
        size_t lack = page_size(pages) - pages->len;
        size_t step = left < lack ? left : lack;
        memcpy(pages->page + pages->len, p, step);
        pages->len += step;
        p += step;
        left -= step;
        if (pages->len >= PAGE_HEAD_SIZE && pages->len == page_size(pages) && page_send(pages) == 0)
            return 0;
    }
    return len;
}
