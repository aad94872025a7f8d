/* Characters to words, as rjieba.cut (jieba-rs 0.11, HMM on) does it.
 *
 *   text -> runs of ideographs, ASCII letters, digits and + # & . _ % -   (others: one word each; "\r\n")
 *   run  -> the most probable way through the dictionary's words
 *   what that leaves as single characters in a row -> once more, by a hidden Markov model or, outside
 *   U+4E00..9FD5, by a rule for things like "covid-19" and "3.5%"
 *
 * Knows nothing of readings or tokens. The sums are made in the order of the original, so that
 * equal probabilities stay equal and are decided the same way. */
#include "internal.h"
#include "vox/helpers.h"

#include <stdlib.h>

struct route {
    double log;   /* of the best way from here to the end of the run */
    uint32_t end; /* the index after its first word */
};

struct segmenter {
    const struct f5_lexicon *lexicon;
    const uint32_t *characters;
    uint8_t *starts;
    struct route *routes;            /* [count + 1] */
    uint8_t (*previous)[HMM_STATES]; /* [count]; the state before, on the best way to a state */
};

static bool is_alphanumeric(uint32_t c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

/* The ranges are those of jieba-rs; they stop at extension F. */
static bool is_ideograph(uint32_t c)
{
    return (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x4E00 && c <= 0x9FFF) ||
           (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x20000 && c <= 0x2A6DF) ||
           (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) ||
           (c >= 0x2B820 && c <= 0x2CEAF) || (c >= 0x2CEB0 && c <= 0x2EBEF) ||
           (c >= 0x2F800 && c <= 0x2FA1F);
}

static bool is_word_character(uint32_t c)
{
    return is_alphanumeric(c) || c == '+' || c == '#' || c == '&' || c == '.' || c == '_' ||
           c == '%' || c == '-' || is_ideograph(c);
}

static bool is_hmm_character(uint32_t c)
{
    return c >= HMM_FIRST && c <= HMM_LAST;
}

/* Fills routes[begin..end]: from the end of the run backwards, the best first word at each
 * character. Of equal ways the longer word wins. */
static void find_routes(struct segmenter *s, size_t begin, size_t end)
{
    const struct f5_lexicon *lexicon = s->lexicon;
    s->routes[end] = (struct route){0.0, (uint32_t)end};
    for (size_t i = end; i-- > begin;) {
        struct route best = {0.0, 0}; /* end 0: none yet */
        uint32_t node = 0;
        for (size_t next = i; next < end && next - i < WORD_MAX;) {
            double log;
            node = trie_step(&lexicon->words, node, s->characters[next]);
            if (node == 0)
                break;
            next++;
            if (!lexicon_word_log(lexicon, node, &log))
                continue;
            log += s->routes[next].log;
            if (best.end == 0 || log >= best.log)
                best = (struct route){log, (uint32_t)next};
        }
        if (best.end == 0)
            best = (struct route){lexicon->unknown_log + s->routes[i + 1].log, (uint32_t)i + 1};
        s->routes[i] = best;
    }
}

static bool is_word(const struct f5_lexicon *lexicon, const uint32_t *characters, size_t count)
{
    uint32_t node = 0;
    double log;
    for (size_t i = 0; i < count; i++) {
        node = trie_step(&lexicon->words, node, characters[i]);
        if (node == 0)
            return false;
    }
    return lexicon_word_log(lexicon, node, &log);
}

/* --- Hidden Markov model: each character begins, ends, is inside, or is a word ---------------- */

enum state { STATE_BEGIN, STATE_END, STATE_MIDDLE, STATE_SINGLE };

/* Viterbi. Equal ways are common, since one impossible character drowns all other differences: then
 * the later state wins, as in Python's jieba (the second of each pair below). */
static enum state find_states(struct segmenter *s, size_t begin, size_t end)
{
    static const enum state before[HMM_STATES][2] = {
        {STATE_END, STATE_SINGLE},   /* of begin */
        {STATE_BEGIN, STATE_MIDDLE}, /* of end */
        {STATE_BEGIN, STATE_MIDDLE}, /* of middle */
        {STATE_END, STATE_SINGLE},   /* of single */
    };
    const struct f5_lexicon *lexicon = s->lexicon;
    double logs[HMM_STATES], next[HMM_STATES];
    for (size_t i = begin; i < end; i++) {
        const double *emission =
            lexicon->hmm_emission + (s->characters[i] - HMM_FIRST) * (size_t)HMM_STATES;
        for (unsigned state = 0; state < HMM_STATES; state++) {
            if (i == begin) {
                next[state] = lexicon->hmm_start[state] + emission[state];
                continue;
            }
            unsigned a = before[state][0], b = before[state][1];
            double by_a =
                logs[a] + lexicon->hmm_transition[a * HMM_STATES + state] + emission[state];
            double by_b =
                logs[b] + lexicon->hmm_transition[b * HMM_STATES + state] + emission[state];
            next[state] = by_b >= by_a ? by_b : by_a;
            s->previous[i][state] = (uint8_t)(by_b >= by_a ? b : a);
        }
        memcpy(logs, next, sizeof(logs));
    }
    return logs[STATE_SINGLE] >= logs[STATE_END] ? STATE_SINGLE : STATE_END;
}

/* Characters begin..end are all of the model's range. A word starts after each that ends one. */
static void cut_by_model(struct segmenter *s, size_t begin, size_t end)
{
    s->starts[begin] = 1;
    if (end - begin == 1)
        return;
    enum state state = find_states(s, begin, end);
    for (size_t i = end - 1; i > begin; i--) {
        state = s->previous[i][state];
        if (state == STATE_END || state == STATE_SINGLE)
            s->starts[i] = 1;
    }
}

/* Letters and digits, joined by single . _ or -, with one % at the end, are a word; what lies
 * between such words is one too. Found by experiments with rjieba 0.2.2. */
static void cut_by_rule(struct segmenter *s, size_t begin, size_t end)
{
    const uint32_t *c = s->characters;
    size_t i = begin;
    while (i < end) {
        s->starts[i] = 1;
        if (!is_alphanumeric(c[i])) {
            while (i < end && !is_alphanumeric(c[i]))
                i++;
            continue;
        }
        while (i < end && is_alphanumeric(c[i])) {
            i++;
            if (i + 1 < end && (c[i] == '.' || c[i] == '_' || c[i] == '-') &&
                is_alphanumeric(c[i + 1]))
                i++;
        }
        if (i < end && c[i] == '%')
            i++;
    }
}

/* A row of characters that the dictionary left single. A row that is a word all the same stays
 * single. */
static void cut_singles(struct segmenter *s, size_t begin, size_t end)
{
    if (is_word(s->lexicon, s->characters + begin, end - begin)) {
        memset(s->starts + begin, 1, end - begin);
        return;
    }
    for (size_t i = begin, next; i < end; i = next) {
        bool hmm = is_hmm_character(s->characters[i]);
        for (next = i + 1; next < end && is_hmm_character(s->characters[next]) == hmm;)
            next++;
        if (hmm)
            cut_by_model(s, i, next);
        else
            cut_by_rule(s, i, next);
    }
}

static void cut_run(struct segmenter *s, size_t begin, size_t end)
{
    size_t singles = begin; /* where the row of single characters before i began */
    find_routes(s, begin, end);
    for (size_t i = begin; i < end;) {
        size_t next = s->routes[i].end;
        if (next - i > 1) {
            if (singles < i)
                cut_singles(s, singles, i);
            s->starts[i] = 1;
            singles = next;
        }
        i = next;
    }
    if (singles < end)
        cut_singles(s, singles, end);
}

int32_t segment_words(const struct f5_lexicon *lexicon, const uint32_t *characters, size_t count,
                      uint8_t *starts, struct vox_error *error)
{
    struct segmenter s = {.lexicon = lexicon, .characters = characters, .starts = starts};
    int32_t code = VOX_OK;
    s.routes = malloc((count + 1) * sizeof(*s.routes));
    s.previous = malloc((count + 1) * sizeof(*s.previous));
    if (!s.routes || !s.previous) {
        code = vox_fail(error, VOX_ENOMEM, "text of %zu characters: no memory", count);
        goto out;
    }
    for (size_t i = 0, next; i < count; i = next) {
        next = i + 1;
        if (is_word_character(characters[i])) {
            while (next < count && is_word_character(characters[next]))
                next++;
            cut_run(&s, i, next);
            continue;
        }
        starts[i] = 1;
        if (characters[i] == '\r' && next < count && characters[next] == '\n')
            next++;
    }
    starts[count] = 1;
out:
    free(s.routes);
    free(s.previous);
    return code;
}
