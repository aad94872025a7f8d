/* Unicode to the ASCII that flite reads: accents off Latin letters, typographic characters to their
 * typewriter forms. Each character is taken alone; text.c keeps track of where it came from. */
#include "fold.h"

#include <stddef.h>
#include <string.h>

struct fold {
    uint32_t character;
    char ascii[FOLD_SIZE_MAX + 1];
};

/* The letter under the accents, from the Unicode decompositions and names; '?': none. */
#define LATIN_FIRST 0xC0u
static const char latin[] = "AAAAAA?CEEEEIIII?NOOOOO?OUUUUY??aaaaaa?ceeeeiiii?nooooo?ouuuuy?y"
                            "AaAaAaCcCcCcCcDdDdEeEeEeEeEeGgGgGgGgHhHhIiIiIiIiI???JjKk?LlLlLlL"
                            "lLlNnNnNn???OoOoOo??RrRrRrSsSsSsSsTtTtTtUuUuUuUuUuUuWwYyYZzZzZz?"
                            "bBBb???Cc?DDd????FfG???IKkl??NnOOo??Pp?????tTtTUu?VYyZz?????????"
                            "?????D??L??N?AaIiOoUuUuUuUuUu?AaAa??GgGgKkOoOo??j?D?Gg??NnAa??Oo"
                            "AaAaEeEeIiIiOoOoRrRrUuUuSsTt??HhNd??ZzAaEeOoOoOoOoYylnt???ACcLTs"
                            "z??B??EeJj?qRrYy";
#define LATIN_EXTRA_FIRST 0x1E00u
static const char latin_extra[] =
    "AaBbBbBbCcDdDdDdDdDdEeEeEeEeEeFfGgHhHhHhHhHhIiIiKkKkKkLlLlLlLlMm"
    "MmMmNnNnNnNnOoOoOoOoPpPpRrRrRrRrSsSsSsSsSsTtTtTtTtUuUuUuUuUuVvVv"
    "WwWwWwWwWwXxXxYyZzZzZzhtwya?????AaAaAaAaAaAaAaAaAaAaAaAaEeEeEeEe"
    "EeEeEeEeIiIiOoOoOoOoOoOoOoOoOoOoOoOoUuUuUuUuUuUuUuYyYyYyYy????Yy";

/* What is no accented letter. An empty form is silent. */
static const struct fold others[] = {
    {0x00A0, " "},   {0x00A1, ""},     {0x00AB, "\""},   {0x00AD, ""},     {0x00B4, "'"},
    {0x00BB, "\""},  {0x00BC, " 1/4"}, {0x00BD, " 1/2"}, {0x00BE, " 3/4"}, {0x00BF, ""},
    {0x00C6, "AE"},  {0x00D0, "D"},    {0x00DE, "Th"},   {0x00DF, "ss"},   {0x00E6, "ae"},
    {0x00F0, "d"},   {0x00FE, "th"},   {0x0131, "i"},    {0x0132, "IJ"},   {0x0133, "ij"},
    {0x0138, "k"},   {0x0149, "'n"},   {0x014A, "Ng"},   {0x014B, "ng"},   {0x0152, "OE"},
    {0x0153, "oe"},  {0x017F, "s"},    {0x018F, "e"},    {0x0259, "e"},    {0x02B9, "'"},
    {0x02BB, "'"},   {0x02BC, "'"},    {0x1E9E, "SS"},   {0x1680, " "},    {0x200B, ""},
    {0x200C, ""},    {0x200D, ""},     {0x200E, ""},     {0x200F, ""},     {0x2010, "-"},
    {0x2011, "-"},   {0x2012, "-"},    {0x2013, "-"},    {0x2014, ", "},   {0x2015, ", "},
    {0x2018, "'"},   {0x2019, "'"},    {0x201A, "'"},    {0x201B, "'"},    {0x201C, "\""},
    {0x201D, "\""},  {0x201E, "\""},   {0x201F, "\""},   {0x2022, " "},    {0x2024, "."},
    {0x2025, ".."},  {0x2026, "..."},  {0x2028, "\n"},   {0x2029, "\n\n"}, {0x202F, " "},
    {0x2032, "'"},   {0x2033, "\""},   {0x2039, "'"},    {0x203A, "'"},    {0x2044, "/"},
    {0x205F, " "},   {0x2060, ""},     {0x2212, "-"},    {0x3000, " "},    {0x3001, ", "},
    {0x3002, ". "},  {0xFB00, "ff"},   {0xFB01, "fi"},   {0xFB02, "fl"},   {0xFB03, "ffi"},
    {0xFB04, "ffl"}, {0xFE0E, ""},     {0xFE0F, ""},     {0xFEFF, ""},
};

static char letter_find(uint32_t c)
{
    if (c >= LATIN_FIRST && c - LATIN_FIRST < sizeof(latin) - 1)
        return latin[c - LATIN_FIRST];
    if (c >= LATIN_EXTRA_FIRST && c - LATIN_EXTRA_FIRST < sizeof(latin_extra) - 1)
        return latin_extra[c - LATIN_EXTRA_FIRST];
    if (c >= 0xFF01 && c <= 0xFF5E) /* full width */
        return (char)(c - 0xFF01 + '!');
    if ((c >= 0x2000 && c <= 0x200A) || c == 0x85)
        return ' ';
    return '?';
}

int fold_is_combining(uint32_t character)
{
    return character >= 0x300 && character <= 0x36F;
}

int fold_char(uint32_t character, char ascii[FOLD_SIZE_MAX])
{
    char letter;
    if (character < 0x80) {
        int control = character < 0x20 || character == 0x7F;
        int space = character == '\t' || character == '\n' || character == '\r';
        ascii[0] = control && !space ? ' ' : (char)character;
        return 1;
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (others[i].character == character) {
            size_t size = strlen(others[i].ascii);
            memcpy(ascii, others[i].ascii, size);
            return (int)size;
        }
    }
    letter = letter_find(character);
    if (letter != '?' || character == 0xFF1F) {
        ascii[0] = letter;
        return 1;
    }
    return fold_is_combining(character) ? 0 : -1;
}
