/* UTF-8 in and out, and white space as Python sees it. Knows no language. */
#include "internal.h"

bool unicode_decode(struct vox_str text, uint64_t at, uint32_t *character, uint32_t *size)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const unsigned char *s = (const unsigned char *)text.data + at;
    uint32_t length = s[0] < 0x80 ? 1 : s[0] < 0xC0 ? 0 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : 4;
    uint32_t c = length <= 1 ? s[0] : s[0] & (0x7Fu >> length);
    if (length == 0 || s[0] > 0xF4 || length > text.size - at)
        return false;
    for (uint32_t i = 1; i < length; i++) {
        if ((s[i] & 0xC0) != 0x80)
            return false;
        c = c << 6 | (s[i] & 0x3Fu);
    }
    *character = c;
    *size = length;
    return c >= least[length] && c <= 0x10FFFF && (c < 0xD800 || c > 0xDFFF);
}

uint32_t unicode_size(uint32_t c)
{
    return c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
}

uint32_t unicode_encode(uint32_t c, char out[5])
{
    static const uint32_t lead[] = {0, 0, 0xC0, 0xE0, 0xF0};
    uint32_t size = unicode_size(c);
    for (uint32_t i = size; i-- > 0; c >>= 6)
        out[i] = (char)(unsigned char)(i > 0 ? 0x80 | (c & 0x3F) : size == 1 ? c : lead[size] | c);
    out[size] = '\0';
    return size;
}

bool unicode_is_space(uint32_t c)
{
    return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
           c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 ||
           c == 0x202F || c == 0x205F || c == 0x3000;
}

struct vox_str unicode_strip(struct vox_str text)
{
    uint32_t c, size;
    while (text.size > 0 && unicode_decode(text, 0, &c, &size) && unicode_is_space(c)) {
        text.data += size;
        text.size -= size;
    }
    while (text.size > 0) {
        uint64_t at = text.size - 1;
        while (at > 0 && ((unsigned char)text.data[at] & 0xC0) == 0x80)
            at--;
        if (!unicode_decode(text, at, &c, &size) || !unicode_is_space(c))
            break;
        text.size = at;
    }
    return text;
}
