/* cJSON behind a strict layer. cJSON alone rounds integers over 2^53, cuts strings at \u0000, and
 * takes invalid UTF-8, raw control characters, "01" and trailing text; none of that passes here.
 *
 * A number node keeps its literal in `valuestring` beside cJSON's double, so nothing is rounded on
 * the way through. Strings hold no NUL, so they are plain C strings.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/err.h"
#include "base/str.h"

#include <cjson/cJSON.h>
#include <stdint.h>

struct json_limits {
    size_t bytes_max;
    size_t nodes_max; /* values of any kind */
    int depth_max;    /* nested arrays and objects */
};

#define JSON_LIMITS_DEFAULT ((struct json_limits){8u << 20, 100000, 64})

/* Parses exactly one RFC 8259 value. On failure returns NULL and says what is wrong at which byte:
 * also for duplicate keys, NUL in strings, numbers beyond a double, and each limit.
 * The result is the caller's, freed by cJSON_Delete. */
cJSON *json_parse(const char *text, size_t len, const struct json_limits *limits, struct err *err);

/* The node as a 64-bit integer, exactly: "16" yes; "16.0", "1e2", 2^63 no. */
bool json_int64(const cJSON *node, int64_t *value);
cJSON *json_create_int64(int64_t value);        /* keeps the literal, as a parsed number does */
cJSON *json_create_number(const char *literal); /* a checked JSON number literal */
/* True when the text is one JSON number within a double's range. */
bool json_number_valid(const char *text, size_t len);

/* Member by exact name, or NULL. */
const cJSON *json_get(const cJSON *object, const char *name);
/* Its text, borrowed, when it is a string; else NULL. */
const char *json_text(const cJSON *object, const char *name);

/* "string", "integer", "number", "true", ... for messages. */
const char *json_kind(const cJSON *node);
/* The value as it would stand in JSON, cut to fit `size`, for messages: got "fast". */
const char *json_show(const cJSON *node, char *buf, size_t size);

/* Appends text as a JSON string with quotes; invalid UTF-8 becomes U+FFFD. */
void json_write_string(struct str *out, const char *text, size_t len);
/* A member of an object that is being written: a comma, unless it is the first, the key and a colon. */
void json_write_key(struct str *out, const char *key);
/* A whole member; nothing for NULL. */
void json_write_text(struct str *out, const char *key, const char *text);
/* Appends a number that reads back as the same double, or null for NaN and infinities. */
void json_write_number(struct str *out, double number);
/* Appends a value compactly; number literals as they were. */
void json_write(struct str *out, const cJSON *node);
/* The same with the keys of every object sorted: equal values give equal bytes. */
void json_write_canonical(struct str *out, const cJSON *node);

#endif
