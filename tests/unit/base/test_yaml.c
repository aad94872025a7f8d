/* YAML in: the tree, the typing, merges, variables, limits, and every problem with its place. */
#include "base/json.h"
#include "base/mem.h"
#include "base/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

static const char *lookup(const char *name, void *arg)
{
    static const char *const set[][2] = {
        {"HOME", "/home/me"},
        {"N", "16"},
        {"EMPTY", ""},
        {"_x9", "y"},
        {"BAD", "a\xff"},
        {"YES", "true"},
        {"TRICK", "a: [b, ${N}] # c"},
    };
    if (arg)
        ++*(int *)arg;
    for (size_t i = 0; i < sizeof(set) / sizeof(set[0]); i++)
        if (strcmp(set[i][0], name) == 0)
            return set[i][1];
    return NULL;
}

/* Of an exact-size copy, so that a sanitizer sees every byte read past the end. */
static struct yaml_doc *parse_bytes(const char *text, size_t len, const struct yaml_limits *limits,
                                    yaml_lookup look, struct problems *problems)
{
    char *copy = malloc(len ? len : 1);
    assert_non_null(copy);
    memcpy(copy, text, len);
    size_t before = problems->count;
    struct yaml_doc *doc = yaml_parse(copy, len, limits, look, NULL, problems);
    free(copy);
    if (doc && problems->count > before) {
        yaml_destroy(doc); /* it only serves to find more problems */
        return NULL;
    }
    return doc;
}

static struct yaml_doc *parse_with(const char *text, yaml_lookup look)
{
    struct problems problems = {0};
    struct yaml_doc *doc = parse_bytes(text, strlen(text), &YAML_LIMITS_DEFAULT, look, &problems);
    if (!doc) {
        struct str out = {0};
        problems_print(&problems, &out);
        fail_msg("%s\n%s", text, str_text(&out));
    }
    return doc;
}

static struct yaml_doc *parse(const char *text)
{
    return parse_with(text, NULL);
}

static void assert_json_with(const char *text, yaml_lookup look, const char *expected)
{
    struct yaml_doc *doc = parse_with(text, look);
    cJSON *json = yaml_to_json(yaml_root(doc));
    struct str out = {0};
    json_write(&out, json);
    assert_string_equal(str_text(&out), expected);
    str_finish(&out);
    cJSON_Delete(json);
    yaml_destroy(doc);
}

static void assert_json(const char *text, const char *expected)
{
    assert_json_with(text, NULL, expected);
}

static void assert_problems_bytes(const char *text, size_t len, const struct yaml_limits *limits,
                                  const char *expected)
{
    struct problems problems = {.file = "f"};
    struct yaml_doc *doc = parse_bytes(text, len, limits, lookup, &problems);
    if (doc)
        fail_msg("taken: %s", text);
    struct str out = {0};
    problems_print(&problems, &out);
    assert_string_equal(str_text(&out), expected);
    str_finish(&out);
    problems_finish(&problems);
}

static void assert_problems(const char *text, const char *expected)
{
    assert_problems_bytes(text, strlen(text), &YAML_LIMITS_DEFAULT, expected);
}

/* --- The tree -------------------------------------------------------------------------------------- */

static void documents_become_the_same_values_as_json(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"a: 1\nb: [x, 'y', \"z\"]\nc:\n  - d: {e: f}\n",
         "{\"a\":1,\"b\":[\"x\",\"y\",\"z\"],\"c\":[{\"d\":{\"e\":\"f\"}}]}"},
        {"{\"a\": [1, 2.5e3, true, null, \"x\\n\\u00e9\"]}",
         "{\"a\":[1,2.5e3,true,null,\"x\\n\xc3\xa9\"]}"},
        {"- a\n- - b\n  - c\n-\n  d: e\n", "[\"a\",[\"b\",\"c\"],{\"d\":\"e\"}]"},
        {"text: |\n  one\n  two\nfolded: >-\n  one\n  two\n",
         "{\"text\":\"one\\ntwo\\n\",\"folded\":\"one two\"}"},
        {"plain: one\n  two\n", "{\"plain\":\"one two\"}"},
        {"[a: b, ? c : d]", "[{\"a\":\"b\"},{\"c\":\"d\"}]"},
        {"{a, b: }", "{\"a\":null,\"b\":null}"},
        {"? a\n: b\n", "{\"a\":\"b\"}"},
        {"just text", "\"just text\""},
        {"--- # first\na: 1\n...\n", "{\"a\":1}"},
        {"%YAML 1.1\n---\na: 1\n", "{\"a\":1}"},
        {"1: a\ntrue: b\n\"\": c\n", "{\"1\":\"a\",\"true\":\"b\",\"\":\"c\"}"},
        {"a: \"\\x41\\u20ac\\U0001f600\\/\\e\"",
         "{\"a\":\"A\xe2\x82\xac\xf0\x9f\x98\x80/\\u001b\"}"},
        {"'it''s': 'a\\n'", "{\"it's\":\"a\\\\n\"}"},
        {"a: http://x/y#z # comment\n", "{\"a\":\"http://x/y#z\"}"},
        {"\xef\xbb\xbf"
         "a: 1\r\nb: 2\r\n",
         "{\"a\":1,\"b\":2}"},
        {"a:\t1\nb: [\t2 ]\n", "{\"a\":1,\"b\":[2]}"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_json(cases[i][0], cases[i][1]);
}

static void only_plain_scalars_of_json_are_typed(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"null", "null"},
        {"~", "null"},
        {"", "null"},
        {"true", "true"},
        {"false", "false"},
        {"0", "0"},
        {"-0", "-0"},
        {"16", "16"},
        {"1e3", "1e3"},
        {"1E+2", "1E+2"},
        {"-1.50", "-1.50"},
        {"9007199254740993", "9007199254740993"},
        {"no", "\"no\""},
        {"on", "\"on\""},
        {"yes", "\"yes\""},
        {"off", "\"off\""},
        {"True", "\"True\""},
        {"NULL", "\"NULL\""},
        {"010", "\"010\""},
        {"0x10", "\"0x10\""},
        {"0o7", "\"0o7\""},
        {"1_000", "\"1_000\""},
        {"+1", "\"+1\""},
        {".5", "\".5\""},
        {"1.", "\"1.\""},
        {".inf", "\".inf\""},
        {".nan", "\".nan\""},
        {"1e999", "\"1e999\""},
        {"1:30", "\"1:30\""},
        {"2026-11-21", "\"2026-11-21\""},
        {"y", "\"y\""},
        {"'16'", "\"16\""},
        {"\"true\"", "\"true\""},
        {"''", "\"\""},
        {"!!str 16", "\"16\""},
        {"!!str", "\"\""},
        {"!!str null", "\"null\""},
        {"|-\n  16", "\"16\""},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *text = str_format("k: %s\n", cases[i][0]);
        char *expected = str_format("{\"k\":%s}", cases[i][1]);
        assert_json(text, expected);
        free(text);
        free(expected);
    }
}

static void an_empty_document_is_an_empty_map(void **state)
{
    (void)state;
    static const char *const cases[] = {"",      "\n\n",       "# nothing\n",
                                        "---\n", "---\n...\n", "\xef\xbb\xbf"};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct yaml_doc *doc = parse(cases[i]);
        assert_int_equal(yaml_root(doc)->kind, YAML_MAP);
        assert_int_equal(yaml_root(doc)->count, 0);
        assert_int_equal(yaml_root(doc)->line, 1);
        assert_int_equal(yaml_root(doc)->column, 1);
        yaml_destroy(doc);
    }
    yaml_destroy(NULL);
    struct problems problems = {0};
    struct yaml_doc *none = yaml_parse(NULL, 0, &YAML_LIMITS_DEFAULT, NULL, NULL, &problems);
    assert_non_null(none);
    yaml_destroy(none);
}

static void assert_place(const struct yaml_node *node, int line, int column)
{
    assert_non_null(node);
    assert_int_equal(node->line, line);
    assert_int_equal(node->column, column);
}

static void every_node_knows_its_place(void **state)
{
    (void)state;
    static const char text[] = "# c\r\n"
                               "a: 1\r\n"
                               "\xc3\xa9: [x, {y: 'z'}]\r\n"
                               "b:\r\n"
                               "  - &q two\r\n"
                               "  - *q\r\n";
    for (int bom = 0; bom < 2; bom++) {
        char *with = str_format("%s%s", bom ? "\xef\xbb\xbf" : "", text);
        struct yaml_doc *doc = parse(with);
        const struct yaml_node *root = yaml_root(doc), *e = yaml_get(root, "\xc3\xa9");
        assert_place(root, 2, 1);
        assert_place(root->keys[0], 2, 1);
        assert_place(yaml_get(root, "a"), 2, 4);
        assert_place(e, 3, 4);
        assert_place(e->items[0], 3, 5);
        assert_place(yaml_get(e->items[1], "y"), 3, 12);
        assert_place(yaml_get(root, "b")->items[0], 5, 5);
        assert_place(yaml_get(root, "b")->items[1], 6, 5); /* where the alias stands */
        assert_null(yaml_get(root, "A"));
        assert_null(yaml_get(e, "y"));
        yaml_destroy(doc);
        free(with);
    }
}

/* --- Aliases and merges ---------------------------------------------------------------------------- */

static void aliases_and_merges_are_resolved(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"a: &x 1\nb: *x\n", "{\"a\":1,\"b\":1}"},
        {"a: &x [1, &y {k: v}]\nb: *x\nc: *y\n",
         "{\"a\":[1,{\"k\":\"v\"}],\"b\":[1,{\"k\":\"v\"}],\"c\":{\"k\":\"v\"}}"},
        {"a: &x 1\nb: &x 2\nc: *x\n", "{\"a\":1,\"b\":2,\"c\":2}"},
        {"&k key: 1\nother: *k\n", "{\"key\":1,\"other\":\"key\"}"},
        {"a: &x name\n*x : 1\n", "{\"a\":\"name\",\"name\":1}"},
        {"a: &x\nb: *x\n", "{\"a\":null,\"b\":null}"},
        /* explicit keys win wherever they stand, and come first */
        {"base: &b {x: 1, y: 2}\nm:\n  <<: *b\n  y: 3\n",
         "{\"base\":{\"x\":1,\"y\":2},\"m\":{\"y\":3,\"x\":1}}"},
        {"base: &b {x: 1, y: 2}\nm:\n  y: 3\n  <<: *b\n",
         "{\"base\":{\"x\":1,\"y\":2},\"m\":{\"y\":3,\"x\":1}}"},
        /* of a list the earlier map wins */
        {"m:\n  <<: [{x: 1, y: 1}, {y: 2, z: 2}]\n  q: 0\n",
         "{\"m\":{\"q\":0,\"x\":1,\"y\":1,\"z\":2}}"},
        {"<<: {a: 1}\n", "{\"a\":1}"},
        {"<<: []\n", "{}"},
        {"a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b, z: 3}\n",
         "{\"a\":{\"x\":1},\"b\":{\"y\":2,\"x\":1},\"c\":{\"z\":3,\"y\":2,\"x\":1}}"},
        {"'<<': 1\n", "{\"<<\":1}"},
        {"!!str <<: 1\n", "{\"<<\":1}"},
        {"a: <<\n", "{\"a\":\"<<\"}"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_json(cases[i][0], cases[i][1]);
}

static void wrong_aliases_and_merges_are_problems(void **state)
{
    (void)state;
    assert_problems("a: *x\nb: &x 1\n", "f:1:4: the alias \"x\" names no anchor before it\n");
    assert_problems("a: &x\n  b: *x\n", "f:2:6: the alias \"x\" stands inside what it names\n");
    assert_problems("- &x [[*x]]\n", "f:1:8: the alias \"x\" stands inside what it names\n");
    assert_problems("a: &x {<<: *x}\n",
                    "f:1:12: the alias \"x\" stands inside what it names\n"
                    "f:1:12: expected a map, or a list of maps, to merge by <<\n");
    assert_problems("<<: 5\n", "f:1:5: expected a map, or a list of maps, to merge by <<\n");
    assert_problems("<<: [{a: 1}, [], x]\n",
                    "f:1:14: expected a map, or a list of maps, to merge by <<\n"
                    "f:1:18: expected a map, or a list of maps, to merge by <<\n");
    assert_problems("<<: {a: 1}\n<<: {b: 1}\n",
                    "f:2:1: the key \"<<\" is already in this map; merge a list of maps instead\n");
}

/* --- Keys and tags --------------------------------------------------------------------------------- */

static void wrong_keys_are_problems(void **state)
{
    (void)state;
    assert_problems("a: 1\nb: 2\na: 3\n\"b\": 4\n'\\x61': 5\n",
                    "f:3:1: the key \"a\" is already in this map, at 1:1\n"
                    "f:4:1: the key \"b\" is already in this map, at 2:1\n");
    assert_problems("x:\n  - {k: 1, \"\\x6b\": 2, k: 3}\n",
                    "f:2:12: the key \"k\" is already in this map, at 2:6\n"
                    "f:2:23: the key \"k\" is already in this map, at 2:6\n");
    assert_problems("a: 1\n<<: {a: 2, b: 0}\na: 3\n",
                    "f:3:1: the key \"a\" is already in this map, at 1:1\n");
    assert_problems("\"a\\n\": 1\n\"a\\n\": 1\n",
                    "f:2:1: the key \"a\\n\" is already in this map, at 1:1\n");
    assert_problems("? [a, b]\n: 1\n? {c: d}\n: 2\n?\n: 3\n",
                    "f:1:3: expected text as a key, got a list\n"
                    "f:3:3: expected text as a key, got a map\n"
                    "f:5:2: expected a key before ':'\n");
    assert_problems("a: &x [1]\n*x : 2\n", "f:2:1: expected text as a key, got a list\n");
}

static void tags_are_refused_by_name(void **state)
{
    (void)state;
    assert_problems("a: !!int 3\nb: !mine x\nc: !!python/object:os.system [x]\nd: !<x:y> z\n"
                    "e: !!str [a]\nf: !!binary aGk=\n",
                    "f:1:4: unsupported: tag \"!!int\"\n"
                    "f:2:4: unsupported: tag \"!mine\"\n"
                    "f:3:4: unsupported: tag \"!!python/object:os.system\" on a list or map\n"
                    "f:4:4: unsupported: tag \"x:y\"\n"
                    "f:5:4: unsupported: tag \"!!str\" on a list or map\n"
                    "f:6:4: unsupported: tag \"!!binary\"\n");
}

/* --- Variables ------------------------------------------------------------------------------------- */

static void variables_are_expanded_in_values(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"a: ${HOME}/x\n", "{\"a\":\"/home/me/x\"}"},
        {"a: \"${HOME}${N}\"\n", "{\"a\":\"/home/me16\"}"},
        {"a: '${_x9}'\n", "{\"a\":\"y\"}"},
        {"a: ${N}\nb: '${N}'\nc: ${YES}\n", "{\"a\":16,\"b\":\"16\",\"c\":true}"},
        {"a: ${NO:-7}\nb: ${EMPTY:-8}\nc: ${N:-9}\n", "{\"a\":7,\"b\":8,\"c\":16}"},
        {"a: ${EMPTY}\nb: ${NO:-}\n", "{\"a\":\"\",\"b\":\"\"}"},
        {"a: x ${NO:-a b:c-$d} y\n", "{\"a\":\"x a b:c-$d y\"}"},
        {"a: $${HOME}\nb: $$${HOME}\nc: $HOME $$ $ {x}\n",
         "{\"a\":\"${HOME}\",\"b\":\"$${HOME}\",\"c\":\"$HOME $$ $ {x}\"}"},
        {"a: ${N}$${N}${N}\n", "{\"a\":\"16${N}16\"}"},
        {"a: ${TRICK}\n", "{\"a\":\"a: [b, ${N}] # c\"}"}, /* one text, expanded once */
        {"a: &x ${N}\nb: *x\n", "{\"a\":16,\"b\":16}"},
        {"${N}: 1\n", "{\"${N}\":1}"}, /* keys are not */
        {"a: |\n  l1\n  ${HOME}\n", "{\"a\":\"l1\\n/home/me\\n\"}"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_json_with(cases[i][0], lookup, cases[i][1]);
    assert_json("a: ${N} $${N} ${\n", "{\"a\":\"${N} $${N} ${\"}"); /* without a lookup */
}

static void nodes_say_whether_they_were_expanded(void **state)
{
    (void)state;
    struct yaml_doc *doc = parse_with("a: ${N}\nb: 16\nc: $${N}\nd: '${N}'\n", lookup);
    const struct yaml_node *root = yaml_root(doc);
    assert_true(yaml_get(root, "a")->expanded && yaml_get(root, "a")->plain);
    assert_int_equal(yaml_get(root, "a")->len, 2);
    assert_false(yaml_get(root, "b")->expanded);
    assert_false(yaml_get(root, "c")->expanded);
    assert_true(yaml_get(root, "d")->expanded && !yaml_get(root, "d")->plain);
    yaml_destroy(doc);
}

static void the_lookup_gets_its_argument(void **state)
{
    (void)state;
    int calls = 0;
    struct problems problems = {0};
    static const char text[] = "a: ${N} ${NO:-x} $${N}\n";
    struct yaml_doc *doc =
        yaml_parse(text, strlen(text), &YAML_LIMITS_DEFAULT, lookup, &calls, &problems);
    assert_non_null(doc);
    assert_int_equal(calls, 2);
    yaml_destroy(doc);
}

static void wrong_variables_are_problems_at_their_place(void **state)
{
    (void)state;
    assert_problems("a: x${NO}\n",
                    "f:1:5: expected a variable that is set, or a default, got \"${NO}\"\n");
    assert_problems("\xc3\xa9: '${N} ''\xc3\xa9'' ${NO}'\n",
                    "f:1:16: expected a variable that is set, or a default, got \"${NO}\"\n");
    assert_problems("a: |\n  one\n\n    ${NO}\n",
                    "f:4:5: expected a variable that is set, or a default, got \"${NO}\"\n");
    assert_problems("a: \"one\n  $${x} ${NO}\"\n",
                    "f:2:9: expected a variable that is set, or a default, got \"${NO}\"\n");
    assert_problems("a: \"\\x24{NO}\"\n", /* hidden by an escape: where the text begins */
                    "f:1:4: expected a variable that is set, or a default, got \"${NO}\"\n");
    assert_problems("a: y ${N\nb: '${'\n", "f:1:6: expected '}' after ${, got \"${N\"\n"
                                           "f:2:5: expected '}' after ${, got \"${\"\n");
    assert_problems("a: ${}\nb: ${9x}\nc: ${a.b}\nd: ${N-x}\ne: ${:-x}\nf: ${ N }\n",
                    "f:1:4: expected ${NAME} or ${NAME:-default}, got \"${}\"\n"
                    "f:2:4: expected ${NAME} or ${NAME:-default}, got \"${9x}\"\n"
                    "f:3:4: expected ${NAME} or ${NAME:-default}, got \"${a.b}\"\n"
                    "f:4:4: expected ${NAME} or ${NAME:-default}, got \"${N-x}\"\n"
                    "f:5:4: expected ${NAME} or ${NAME:-default}, got \"${:-x}\"\n"
                    "f:6:4: expected ${NAME} or ${NAME:-default}, got \"${ N }\"\n");
    assert_problems("a: ${NO:-${N}}\n",
                    "f:1:4: expected a default without ${, got \"${NO:-${N}\"\n");
    assert_problems("a: ${BAD}\n", "f:1:4: expected a variable that holds UTF-8, got \"${BAD}\"\n");
    assert_problems("a: {b: ${N}}\n", "f:1:9: did not find expected ',' or '}': inside [] and {} "
                                      "write \"${...}\" in quotes\n");
}

/* --- Syntax and bytes ------------------------------------------------------------------------------ */

static void syntax_errors_say_where_and_what(void **state)
{
    (void)state;
    assert_problems("a: 1\n b: 2\n", "f:2:3: mapping values are not allowed in this context\n");
    assert_problems(
        "a: [1, 2\nb: 3\n",
        "f:2:2: did not find expected ',' or ']' (while parsing a flow sequence at 1:4)\n");
    assert_problems("a: \"x\n", "f:2:1: found unexpected end of stream (while scanning a quoted "
                                "scalar at 1:4)\n");
    assert_problems("a:\n\t- b\n", "f:2:1: found character that cannot start any token (while "
                                   "scanning for the next token at 2:1)\n");
    assert_problems("a: b: c\n", "f:1:5: mapping values are not allowed in this context\n");
    assert_problems("a: @x\n", "f:1:4: found character that cannot start any token (while scanning "
                               "for the next token at 1:4)\n");
    assert_problems("a: \"\\q\"\n", "f:1:5: found unknown escape character (while parsing a quoted "
                                    "scalar at 1:4)\n");
    assert_problems("a: 1\n---\nb: 2\n",
                    "f:2:1: expected one document, a second one begins here\n");
    assert_problems("--- a\n--- b\n", "f:2:1: expected one document, a second one begins here\n");
}

static void broken_bytes_are_refused_at_their_place(void **state)
{
    (void)state;
    assert_problems("a: 1\nb: \xff\n", "f:2:4: the byte 0xff is not UTF-8\n");
    assert_problems("\xc3\xa9: \xed\xa0\x80\n", "f:1:4: the byte 0xed is not UTF-8\n");
    assert_problems("a: 1\r\nb: \x01\r\n", "f:2:4: control characters are not allowed: U+0001\n");
    assert_problems_bytes("a: b\0c\n", 7, &YAML_LIMITS_DEFAULT,
                          "f:1:5: control characters are not allowed: U+0000\n");
    assert_problems("a: \"x\\0y\"\n", "f:1:4: a text must not hold a NUL character\n");
    assert_problems_bytes("\xff\xfe"
                          "a\0",
                          4, &YAML_LIMITS_DEFAULT, "f:1:1: the byte 0xff is not UTF-8\n");
}

static void problems_of_one_file_come_together_by_place(void **state)
{
    (void)state;
    assert_problems(
        "a: ${NO}\na: !!int 1\nb: *none\n? [x]\n: ${}\nc: [\n",
        "f:1:4: expected a variable that is set, or a default, got \"${NO}\"\n"
        "f:2:4: unsupported: tag \"!!int\"\n"
        "f:3:4: the alias \"none\" names no anchor before it\n"
        "f:4:3: expected text as a key, got a list\n"
        "f:5:3: expected ${NAME} or ${NAME:-default}, got \"${}\"\n"
        "f:7:1: did not find expected node content (while parsing a flow node at 7:1)\n");
}

/* --- Limits ---------------------------------------------------------------------------------------- */

static void each_limit_holds_exactly(void **state)
{
    (void)state;
    static const struct {
        struct yaml_limits limits;
        const char *fits, *too_much, *problem;
    } cases[] = {
        {{5, 99, 9}, "a: 1\n", "a: 12\n", "f: 6 bytes, more than the limit of 5\n"},
        {{99, 5, 9},
         "{a: [1, 2]}",
         "{a: [1, 2, 3]}",
         "f:1:12: more values, each use of an alias counted, than the limit of 5\n"},
        {{99, 6, 9},
         "[&a [1], *a, 2]",
         "[&a [1], *a, *a]",
         "f:1:14: more values, each use of an alias counted, than the limit of 6\n"},
        {{99, 99, 2}, "[[1]]", "[[[1]]]", "f:1:3: nested deeper than the limit of 2\n"},
        {{99, 99, 2},
         "[&a [1], *a]",
         "[&a [1], [*a]]",
         "f:1:11: nested deeper than the limit of 2\n"},
        {{99, 99, 0}, "x", "[]", "f:1:1: nested deeper than the limit of 0\n"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct problems problems = {0};
        struct yaml_doc *doc =
            parse_bytes(cases[i].fits, strlen(cases[i].fits), &cases[i].limits, NULL, &problems);
        assert_non_null(doc);
        yaml_destroy(doc);
        assert_problems_bytes(cases[i].too_much, strlen(cases[i].too_much), &cases[i].limits,
                              cases[i].problem);
    }
}

static void a_billion_laughs_stop_at_the_limits(void **state)
{
    (void)state;
    struct str text = {0};
    str_puts(&text, "a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 12; i++) {
        str_printf(&text, "a%d: &a%d [", i, i);
        for (int j = 0; j < 9; j++)
            str_printf(&text, "%s*a%d", j ? ", " : "", i - 1);
        str_puts(&text, "]\n");
    }
    assert_problems(text.data, "f:6:10: more values, each use of an alias counted, than the limit "
                               "of 100000\n");
    str_clear(&text);
    str_puts(&text, "m0: &m0 {x: 1, y: 2, z: 3}\n"); /* by merging */
    for (int i = 1; i < 40; i++)
        str_printf(&text, "m%d: &m%d {<<: *m%d, p%d: *m%d, q%d: *m%d}\n", i, i, i - 1, i, i - 1, i,
                   i - 1);
    struct problems problems = {0};
    assert_null(parse_bytes(text.data, text.len, &YAML_LIMITS_DEFAULT, NULL, &problems));
    assert_int_equal(problems.count, 1);
    problems_finish(&problems);
    str_finish(&text);
}

static void one_big_text_used_often_stops_at_the_byte_limit(void **state)
{
    (void)state;
    struct str text = {0};
    str_puts(&text, "- &a \"");
    for (int i = 0; i < 50000; i++)
        str_puts(&text, "abcdefghij");
    str_puts(&text, "\"\n- *a\n- *a\n- *a\n");
    assert_problems(text.data, "f:4:3: more bytes of text by aliases and variables than the limit "
                               "of 1048576\n");
    str_finish(&text);
}

static const char *huge(const char *name, void *arg)
{
    (void)name;
    return arg;
}

static void big_variables_stop_at_the_byte_limit(void **state)
{
    (void)state;
    struct problems problems = {0};
    struct yaml_limits limits = {100, 100, 9};
    char value[41];
    memset(value, 'v', 40);
    value[40] = '\0';
    struct yaml_doc *doc = yaml_parse("['${A}${A}']", 12, &limits, huge, value, &problems);
    assert_non_null(doc);
    yaml_destroy(doc);
    yaml_destroy(yaml_parse("['${A}${A}${A}']", 16, &limits, huge, value, &problems));
    assert_int_equal(problems.count, 1);
    problems_finish(&problems);
}

/* Each takes quadratic time or a deep stack in a reader without these limits. */
static void hostile_files_end_at_once(void **state)
{
    (void)state;
    static const char *const units[] = {
        "[",     "{",     "- ",    "? ",     "{a: ", "[\n", "!t ",    "%TAG !a! b\n",
        "&a ",   "*a : ", "${",    "- &a\n", "a\n",  "#\n", "\"\\\n", "<<: *a\n",
        "- |\n", ": ",    "[a]: ", "- *a\n"};
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        struct str text = {0};
        struct problems problems = {0};
        while (text.len < 500000)
            str_puts(&text, units[i]);
        yaml_destroy(parse_bytes(text.data, text.len, &YAML_LIMITS_DEFAULT, lookup, &problems));
        problems_finish(&problems);
        str_finish(&text);
    }
}

/* --- Problems -------------------------------------------------------------------------------------- */

static void problems_are_printed_by_place_and_bounded(void **state)
{
    (void)state;
    struct problems p = {.file = "m.yaml"};
    struct str out = {0};
    problems_print(&p, &out);
    assert_int_equal(out.len, 0);
    problems_add(&p, 3, 2, "c %d", 1);
    problems_add(&p, 3, 2, "c %d", 2);
    problems_add(&p, 3, 1, "b");
    problems_add(&p, 10, 1, "d\x1b[31m\n");
    problems_add(&p, 0, 0, "a");
    problems_print(&p, &out);
    assert_string_equal(out.data, "m.yaml: a\nm.yaml:3:1: b\nm.yaml:3:2: c 1\nm.yaml:3:2: c 2\n"
                                  "m.yaml:10:1: d?[31m?\n");
    while (p.count < PROBLEMS_MAX + 7)
        problems_add(&p, 20, 1, "e");
    str_clear(&out);
    problems_print(&p, &out);
    assert_non_null(strstr(out.data, "m.yaml:20:1: e\nand 7 more\n"));
    problems_finish(&p);
    assert_int_equal(p.count, 0);
    p.file = NULL;
    problems_add(&p, 1, 2, "x:");
    problems_add(&p, 0, 0, "y");
    str_clear(&out);
    problems_print(&p, &out);
    assert_string_equal(out.data, "y\n1:2: x:\n");
    problems_finish(&p);
    str_finish(&out);
}

static void earlier_problems_do_not_spoil_a_good_file(void **state)
{
    (void)state;
    struct problems p = {0};
    problems_add(&p, 1, 1, "other");
    struct yaml_doc *doc = parse_bytes("a: 1", 4, &YAML_LIMITS_DEFAULT, NULL, &p);
    assert_non_null(doc);
    assert_int_equal(p.count, 1);
    yaml_destroy(doc);
    problems_finish(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_become_the_same_values_as_json),
        cmocka_unit_test(only_plain_scalars_of_json_are_typed),
        cmocka_unit_test(an_empty_document_is_an_empty_map),
        cmocka_unit_test(every_node_knows_its_place),
        cmocka_unit_test(aliases_and_merges_are_resolved),
        cmocka_unit_test(wrong_aliases_and_merges_are_problems),
        cmocka_unit_test(wrong_keys_are_problems),
        cmocka_unit_test(tags_are_refused_by_name),
        cmocka_unit_test(variables_are_expanded_in_values),
        cmocka_unit_test(nodes_say_whether_they_were_expanded),
        cmocka_unit_test(the_lookup_gets_its_argument),
        cmocka_unit_test(wrong_variables_are_problems_at_their_place),
        cmocka_unit_test(syntax_errors_say_where_and_what),
        cmocka_unit_test(broken_bytes_are_refused_at_their_place),
        cmocka_unit_test(problems_of_one_file_come_together_by_place),
        cmocka_unit_test(each_limit_holds_exactly),
        cmocka_unit_test(a_billion_laughs_stop_at_the_limits),
        cmocka_unit_test(one_big_text_used_often_stops_at_the_byte_limit),
        cmocka_unit_test(big_variables_stop_at_the_byte_limit),
        cmocka_unit_test(hostile_files_end_at_once),
        cmocka_unit_test(problems_are_printed_by_place_and_bounded),
        cmocka_unit_test(earlier_problems_do_not_spoil_a_good_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
