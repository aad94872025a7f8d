/* Subtitles: each format to the byte, how words become cues, and escapes. */
#include "audio_test.h"

struct timed {
    const char *word; /* as it stands in the text, or else not from it */
    double start_s, end_s;
};

/* Word marks whose ranges are where the words stand in `text`, one after the other. */
static struct audio_word *make_words(const char *text, const struct timed *timed, size_t count)
{
    struct audio_word *words = mem_alloc_array(count, sizeof(*words));
    const char *from = text;
    for (size_t i = 0; i < count; i++) {
        const char *at = strstr(from, timed[i].word);
        words[i] = (struct audio_word){.word = mem_copy_string(timed[i].word),
                                       .start_s = timed[i].start_s,
                                       .end_s = timed[i].end_s};
        if (!at)
            continue;
        from = at + strlen(timed[i].word);
        words[i].text_begin = (uint64_t)(at - text);
        words[i].text_end = (uint64_t)(from - text);
    }
    return words;
}

static void free_words(struct audio_word *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(words[i].word);
    free(words);
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void check(enum subtitle_format format, const char *text, const struct timed *timed,
                  size_t count, const char *want)
{
    struct str out = {0};
    struct audio_word *words = make_words(text, timed, count);
    subtitle_write(format, text, words, count, &out);
    assert_string_equal(str_text(&out), want);
    str_finish(&out);
    free_words(words, count);
}

/* One word after the other, without pauses; expects the cues' texts, one a line. */
static void check_cues(const char *text, const char *said, const char *want)
{
    struct timed timed[64];
    char copy[512], *rest = copy;
    size_t count = 0;
    struct str srt = {0}, got = {0};
    snprintf(copy, sizeof(copy), "%s", said);
    for (char *word; (word = strsep(&rest, " ")) != NULL; count++)
        timed[count] = (struct timed){word, (double)count, (double)count + 1};
    struct audio_word *words = make_words(text, timed, count);
    subtitle_write(SUBTITLE_SRT, text, words, count, &srt);
    rest = srt.data;
    size_t line_index = 0;
    for (char *line; (line = strsep(&rest, "\n")) != NULL; line_index++)
        if (line_index % 4 == 2)
            str_printf(&got, "%s\n", line);
    assert_string_equal(str_text(&got), want);
    str_finish(&srt);
    str_finish(&got);
    free_words(words, count);
}

static const char hello[] = "Hello, world! Good-bye <now> & \"then\" {x}.";
static const struct timed hello_words[] = {
    {"Hello", 0.05, 0.5}, {"world", 0.5, 1.0004}, {"Good", 1.25, 1.5},   {"bye", 1.5, 1.75},
    {"now", 1.75, 2},     {"then", 2, 2.5},       {"x", 3661.25, 3661.5}};

static void srt_is_written(void **state)
{
    (void)state;
    check(SUBTITLE_SRT, hello, hello_words, COUNT(hello_words),
          "1\n00:00:00,050 --> 00:00:01,000\nHello, world!\n\n"
          "2\n00:00:01,250 --> 00:00:02,500\nGood-bye <now> & \"then\"\n\n"
          "3\n01:01:01,250 --> 01:01:01,500\n{x}.\n\n");
}

static void vtt_is_written_and_escaped(void **state)
{
    (void)state;
    check(SUBTITLE_VTT, hello, hello_words, COUNT(hello_words),
          "WEBVTT\n\n"
          "00:00:00.050 --> 00:00:01.000\nHello, world!\n\n"
          "00:00:01.250 --> 00:00:02.500\nGood-bye &lt;now&gt; &amp; \"then\"\n\n"
          "01:01:01.250 --> 01:01:01.500\n{x}.\n\n");
}

static void ass_is_written_and_escaped(void **state)
{
    (void)state;
    struct str out = {0};
    struct audio_word *words = make_words(hello, hello_words, COUNT(hello_words));
    subtitle_write(SUBTITLE_ASS, hello, words, COUNT(hello_words), &out);
    assert_memory_equal(out.data, "[Script Info]\nScriptType: v4.00+\n", 33);
    assert_non_null(strstr(out.data, "\n\n[V4+ Styles]\nFormat: Name, "));
    const char *events = strstr(out.data, "\n[Events]\n");
    assert_non_null(events);
    assert_string_equal(
        events, "\n[Events]\n"
                "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text\n"
                "Dialogue: 0,0:00:00.05,0:00:01.00,Default,,0,0,0,,Hello, world!\n"
                "Dialogue: 0,0:00:01.25,0:00:02.50,Default,,0,0,0,,Good-bye <now> & \"then\"\n"
                "Dialogue: 0,1:01:01.25,1:01:01.50,Default,,0,0,0,,\\{x\\}.\n");
    str_finish(&out);
    free_words(words, COUNT(hello_words));
    struct timed path = {"C:\\new", 0, 1};
    words = make_words("C:\\new", &path, 1);
    subtitle_write(SUBTITLE_ASS, "C:\\new", words, 1, &out);
    assert_non_null(strstr(out.data, ",,C:\\\xe2\x81\xa0new\n"));
    str_finish(&out);
    free_words(words, 1);
}

static void csv_has_a_row_for_each_word(void **state)
{
    (void)state;
    static const struct timed words[] = {{"one", 0, 0.5}, {"a,\"b\"", 0.5, 1.25}};
    check(SUBTITLE_CSV, "one a,\"b\"", words, COUNT(words),
          "word,start,end,text_begin,text_end\r\n"
          "one,0.000,0.500,0,3\r\n"
          "\"a,\"\"b\"\"\",0.500,1.250,4,9\r\n");
}

static void json_has_an_object_for_each_word(void **state)
{
    (void)state;
    static const struct timed words[] = {{"one", 0, 0.5}, {"\"b\"", 0.5, 1.25}};
    check(SUBTITLE_JSON, "one \"b\"", words, COUNT(words),
          "{\"words\":[\n"
          "{\"word\":\"one\",\"start\":0.000,\"end\":0.500,\"text_begin\":0,\"text_end\":3},\n"
          "{\"word\":\"\\\"b\\\"\",\"start\":0.500,\"end\":1.250,\"text_begin\":4,\"text_end\":7}\n"
          "]}\n");
}

static void no_words_make_an_empty_file_of_each_format(void **state)
{
    (void)state;
    check(SUBTITLE_SRT, "text", NULL, 0, "");
    check(SUBTITLE_VTT, "text", NULL, 0, "WEBVTT\n\n");
    check(SUBTITLE_CSV, "text", NULL, 0, "word,start,end,text_begin,text_end\r\n");
    check(SUBTITLE_JSON, "text", NULL, 0, "{\"words\":[\n]}\n");
}

static void cues_hold_a_line_of_42_characters(void **state)
{
    (void)state;
    /* 42 characters fit, 43 do not */
    check_cues("aaaaaaaaa bbbbbbbbb ccccccccc ddddddddddd. x",
               "aaaaaaaaa bbbbbbbbb ccccccccc ddddddddddd",
               "aaaaaaaaa bbbbbbbbb ccccccccc ddddddddddd.\n");
    check_cues("aaaaaaaaa bbbbbbbbb ccccccccc ddddddddddddd e f",
               "aaaaaaaaa bbbbbbbbb ccccccccc ddddddddddddd e f",
               "aaaaaaaaa bbbbbbbbb ccccccccc\nddddddddddddd e f\n");
    /* counted in characters, not bytes */
    check_cues("ääääääääää öööööööööö üüüüüüüüüü ßßßßßßßßß",
               "ääääääääää öööööööööö üüüüüüüüüü ßßßßßßßßß",
               "ääääääääää öööööööööö üüüüüüüüüü ßßßßßßßßß\n");
    /* a word that is longer has a cue of its own */
    check_cues("so aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa it is",
               "so aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa it is",
               "so\naaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\nit is\n");
}

static void the_last_word_is_not_left_alone(void **state)
{
    (void)state;
    check_cues("aaaaaaaaa bbbbbbbbb ccccccccc ddddddddd end.",
               "aaaaaaaaa bbbbbbbbb ccccccccc ddddddddd end",
               "aaaaaaaaa bbbbbbbbb ccccccccc\nddddddddd end.\n");
}

static void cues_end_with_sentences_and_paragraphs(void **state)
{
    (void)state;
    check_cues("Yes. \"No!\" (Why?) Dr. J. Smith is 3.5 m… here",
               "Yes No Why Dr J Smith is 3.5 m here",
               "Yes.\n\"No!\"\n(Why?)\nDr. J. Smith is 3.5 m…\nhere\n");
    check_cues("A title\n\nand\nmore", "A title and more", "A title\nand more\n");
    check_cues("你好。再见！好", "你好 再见 好", "你好。\n再见！\n好\n");
}

static void cues_end_at_pauses(void **state)
{
    (void)state;
    static const struct timed words[] = {{"one", 0, 1}, {"two", 1.7, 2}, {"three", 2.75, 3}};
    check(SUBTITLE_SRT, "one two three", words, COUNT(words),
          "1\n00:00:00,000 --> 00:00:02,000\none two\n\n"
          "2\n00:00:02,750 --> 00:00:03,000\nthree\n\n");
}

static void punctuation_stays_with_its_word(void **state)
{
    (void)state;
    check_cues("— \"Oh\", he said; (really) - well-known  \n text",
               "Oh he said really well known text",
               "\"Oh\", he said; (really) - well-known text\n");
    check_cues("said. (Never) more", "said Never more", "said.\n(Never) more\n");
}

/* "$5" is said as two words; "uh" is not in the text; ranges that cannot be are not followed. */
static void words_and_text_need_not_match(void **state)
{
    (void)state;
    static char said[][8] = {"five", "dollars", "uh", "today", "back", "far", "cut", "nan"};
    static const uint64_t ranges[][2] = {{9, 11}, {9, 11},   {0, 0},   {12, 17},
                                         {0, 4},  {12, 900}, {19, 20}, {0, 0}};
    struct audio_word words[COUNT(said)];
    for (size_t i = 0; i < COUNT(said); i++)
        words[i] =
            (struct audio_word){said[i], ranges[i][0], ranges[i][1], (double)i, (double)i + 1};
    words[7].start_s = NAN;
    struct str out = {0};
    subtitle_write(SUBTITLE_SRT, "It costs $5 today \xc3\xa4\xc3\xb6", words, COUNT(words), &out);
    assert_true(utf8_valid(out.data, out.len, NULL));
    str_finish(&out);
    subtitle_write(SUBTITLE_SRT, "It costs $5 today \xc3\xa4\xc3\xb6", words, 4, &out);
    assert_string_equal(str_text(&out), "1\n00:00:00,000 --> 00:00:04,000\n$5 uh today\n\n");
    str_finish(&out);
}

static void names_go_both_ways(void **state)
{
    (void)state;
    for (int i = 0; i < SUBTITLE_FORMAT_COUNT; i++)
        assert_int_equal(subtitle_format_from(subtitle_format_names[i]), i);
    assert_int_equal(subtitle_format_from("sub"), -1);
}

/* Required-behaviour A.8: what clients of an older system parse. */
static void older_layouts_have_a_cue_for_each_word(void **state)
{
    static const struct timed timed[] = {{"Hello,", 0, 0.5}, {"\"you\"", 0.5, 3661.25}};
    static const struct {
        enum subtitle_format format;
        bool compact;
        const char *want; /* all of it, or what it has at its end */
    } cases[] = {
        {SUBTITLE_SRT, false,
         "1\n00:00:00,000 --> 00:00:00,500\nHello,\n\n"
         "2\n00:00:00,500 --> 01:01:01,250\n\"you\"\n\n"},
        {SUBTITLE_VTT, false,
         "WEBVTT\n\n00:00:00.000 --> 00:00:00.500\nHello,\n\n"
         "00:00:00.500 --> 01:01:01.250\n\"you\"\n\n"},
        {SUBTITLE_CSV, false,
         "word,start_time,end_time,confidence\n\"Hello,\",0.000,0.500,1.000\n"
         "\"\"\"you\"\"\",0.500,3661.250,1.000\n"},
        {SUBTITLE_CSV, true,
         "word,start,end\n\"Hello,\",0.000,0.500\n\"\"\"you\"\"\",0.500,3661.250\n"},
        {SUBTITLE_ASS, false,
         "Dialogue: 0,0:00:00.00,0:00:00.50,Default,,0,0,0,,Hello,\n"
         "Dialogue: 0,0:00:00.50,1:01:01.25,Default,,0,0,0,,\"you\"\n"},
    };
    const char *text = "Hello, \"you\"";
    struct audio_word *words = make_words(text, timed, COUNT(timed));
    struct str out = {0};
    struct err err;
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const struct subtitle_older older = {"j1", "en", cases[i].compact};
        size_t len = strlen(cases[i].want);
        str_clear(&out);
        subtitle_write_older(cases[i].format, &older, words, COUNT(timed), &out);
        assert_true(out.len >= len);
        assert_string_equal(out.data + out.len - len, cases[i].want);
        assert_true(out.len == len || cases[i].format == SUBTITLE_ASS);
    }
    str_clear(&out);
    const struct subtitle_older older = {"j1", "en", false};
    subtitle_write_older(SUBTITLE_JSON, &older, words, COUNT(timed), &out);
    cJSON *json = json_parse(out.data, out.len, &JSON_LIMITS_DEFAULT, &err);
    const cJSON *data = json_get(json, "timing_data");
    const cJSON *word = cJSON_GetArrayItem(json_get(data, "words"), 1);
    assert_string_equal(json_get(json, "job_id")->valuestring, "j1");
    assert_string_equal(json_get(data, "full_text")->valuestring, "Hello, \"you\"");
    assert_string_equal(json_get(data, "method")->valuestring, "model");
    assert_true(json_get(data, "total_duration")->valuedouble > 3661);
    assert_string_equal(json_get(word, "word")->valuestring, "\"you\"");
    assert_true(json_get(word, "start_time")->valuedouble > 0.49);
    assert_true(json_get(word, "confidence")->valuedouble > 0.99);
    cJSON_Delete(json);
    str_clear(&out); /* no words at all */
    subtitle_write_older(SUBTITLE_JSON, &older, NULL, 0, &out);
    json = json_parse(out.data, out.len, &JSON_LIMITS_DEFAULT, &err);
    assert_non_null(json);
    cJSON_Delete(json);
    str_clear(&out);
    subtitle_write_older(SUBTITLE_SRT, &older, NULL, 0, &out);
    assert_int_equal(out.len, 0);
    str_finish(&out);
    free_words(words, COUNT(timed));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(srt_is_written),
        cmocka_unit_test(vtt_is_written_and_escaped),
        cmocka_unit_test(ass_is_written_and_escaped),
        cmocka_unit_test(csv_has_a_row_for_each_word),
        cmocka_unit_test(json_has_an_object_for_each_word),
        cmocka_unit_test(no_words_make_an_empty_file_of_each_format),
        cmocka_unit_test(cues_hold_a_line_of_42_characters),
        cmocka_unit_test(older_layouts_have_a_cue_for_each_word),
        cmocka_unit_test(the_last_word_is_not_left_alone),
        cmocka_unit_test(cues_end_with_sentences_and_paragraphs),
        cmocka_unit_test(cues_end_at_pauses),
        cmocka_unit_test(punctuation_stays_with_its_word),
        cmocka_unit_test(words_and_text_need_not_match),
        cmocka_unit_test(names_go_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
