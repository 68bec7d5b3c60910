// tokenizer.json: its parts, what is not supported, and files that are damaged.
#include "files.h"
#include "support.h"

#include "text/unigram.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef ht_test_reader fixture;

#define SPECIALS "[\"<pad>\",0],[\"</s>\",0.0],[\"<unk>\",0]"
#define VOCAB SPECIALS ",[\"\\u2581\",-2],[\"a\",-3.5],[\"b\",-3]"
#define MODEL "\"model\":{\"type\":\"Unigram\",\"unk_id\":2,\"vocab\":[" VOCAB "]}"
#define ADDED                                                                                      \
    "\"added_tokens\":[{\"id\":0,\"content\":\"<pad>\",\"special\":true},"                         \
    "{\"id\":1,\"content\":\"</s>\",\"special\":true}]"
#define METASPACE                                                                                  \
    "{\"type\":\"Metaspace\",\"replacement\":\"\\u2581\",\"prepend_scheme\":\"always\"}"
#define SPLIT                                                                                      \
    "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"WhitespaceSplit\"}," METASPACE "]}"

static ht_status open_text(fixture *f, const char *text, ht_tokenizer **out) {
    const char *path = ht_test_write(&f->folder, "tokenizer.json", text, strlen(text));
    return ht_tokenizer_open(f->context, path, out);
}

static void expect(fixture *f, const char *json, const char *text, const int32_t *want,
                   size_t count) {
    ht_tokenizer *tokenizer = NULL;
    int32_t ids[64];
    ht_tokenized result;
    if (open_text(f, json, &tokenizer) != HT_OK) {
        fail_msg("%s", ht_context_message(f->context));
    }
    assert_int_equal(ht_tokenizer_encode(tokenizer, text, strlen(text), ids, 64, &result), HT_OK);
    assert_int_equal(result.count, count);
    assert_memory_equal(ids, want, count * sizeof *ids);
    ht_tokenizer_destroy(&tokenizer);
}
#define EXPECT(f, json, text, ...)                                                                 \
    expect(f, json, text, (const int32_t[]){__VA_ARGS__},                                          \
           sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

static void test_spaces_follow_the_steps(void **state) {
    fixture *f = *state;
    // Split at spaces: runs collapse, one mark in front.
    EXPECT(f, "{" MODEL "," ADDED ",\"pre_tokenizer\":" SPLIT "}", " a  b ", 3, 4, 3, 5, 1);
    // The same by Strip and Replace.
    EXPECT(f,
           "{" MODEL "," ADDED ",\"pre_tokenizer\":" METASPACE
           ",\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Strip\"},"
           "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\" {2,}\"},\"content\":\"\\u2581\"}]}}",
           " a  b ", 3, 4, 3, 5, 1);
    // Neither: every space counts.
    EXPECT(f, "{" MODEL "," ADDED ",\"pre_tokenizer\":" METASPACE "}", "a  b", 3, 4, 3, 3, 5, 1);
    // No mark in front.
    EXPECT(f,
           "{" MODEL "," ADDED ",\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":"
           "\"\\u2581\",\"prepend_scheme\":\"never\"}}",
           "a b", 4, 3, 5, 1);
    EXPECT(f,
           "{" MODEL "," ADDED ",\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":"
           "\"\\u2581\",\"add_prefix_space\":false}}",
           "a b", 4, 3, 5, 1);
}

static void test_added_tokens(void **state) {
    fixture *f = *state;
    // Special ones never come out of text; others do, whole. Ids beyond the vocabulary are ignored.
    static const char json[] =
        "{\"model\":{\"unk_id\":2,\"vocab\":[" VOCAB ",[\"ab\",-100],[\"ba\",0]]},"
        "\"added_tokens\":[{\"id\":0,\"content\":\"<pad>\",\"special\":true},"
        "{\"id\":1,\"content\":\"</s>\",\"special\":true},"
        "{\"id\":6,\"content\":\"ab\",\"special\":false},"
        "{\"id\":7,\"content\":\"ba\",\"special\":true},"
        "{\"id\":99,\"content\":\"far\",\"special\":true}],"
        "\"normalizer\":null,\"pre_tokenizer\":" SPLIT "}";
    EXPECT(f, json, "ab", 3, 6, 1);
    EXPECT(f, json, "bba", 3, 5, 5, 4, 1);
}

static void test_byte_pieces(void **state) {
    fixture *f = *state;
    static char json[16384];
    for (int flag = 0; flag < 3; flag++) {
        // 0: all 256 and no flag, 1: one and the flag, 2: all and the flag is false
        size_t length = (size_t)snprintf(json, sizeof json,
                                         "{" ADDED ",\"pre_tokenizer\":" SPLIT
                                         ",\"model\":{\"unk_id\":2,%s\"vocab\":[" VOCAB,
                                         flag == 0   ? ""
                                         : flag == 1 ? "\"byte_fallback\":true,"
                                                     : "\"byte_fallback\":false,");
        for (int i = flag == 1 ? 0x7e : 0; i < (flag == 1 ? 0x7f : 256); i++) {
            length += (size_t)snprintf(json + length, sizeof json - length, ",[\"<0x%02X>\",0]", i);
        }
        snprintf(json + length, sizeof json - length, "]}}");
        if (flag == 0) {
            EXPECT(f, json, "a~", 3, 4, 6 + 0x7e, 1);
        } else if (flag == 1) {
            EXPECT(f, json, "a~", 3, 4, 6, 1);
        } else {
            EXPECT(f, json, "a~", 3, 4, 2, 1);
        }
    }
}

typedef struct bad_row {
    const char *text;
    ht_status status;
    const char *part;
} bad_row;

#define VOCAB_OF(rows)                                                                             \
    "{\"model\":{\"type\":\"Unigram\",\"unk_id\":2,\"vocab\":[" rows "]}," ADDED "}"

static const bad_row bad_rows[] = {
    {"", HT_ERR_IO, "0 bytes"},
    {"{", HT_ERR_IO, "line 1"},
    {"[]", HT_ERR_UNSUPPORTED, "model of type '(none)'"},
    {"{\"a\":1,\"a\":2}", HT_ERR_IO, "duplicate"},
    {"{\"model\":{\"type\":\"BPE\",\"vocab\":{}}}", HT_ERR_UNSUPPORTED, "model of type 'BPE'"},
    {"{\"model\":{\"vocab\":{\"a\":1}}}", HT_ERR_UNSUPPORTED, "model of type '(none)'"},
    {VOCAB_OF(SPECIALS ",[\"a\"]"), HT_ERR_IO, "vocab entry 3 is not"},
    {VOCAB_OF(SPECIALS ",[\"a\",\"b\"]"), HT_ERR_IO, "vocab entry 3 is not"},
    {VOCAB_OF(SPECIALS ",[1,2]"), HT_ERR_IO, "vocab entry 3 is not"},
    {VOCAB_OF(SPECIALS ",7"), HT_ERR_IO, "vocab entry 3 is not"},
    {VOCAB_OF(SPECIALS ",[\"\",1]"), HT_ERR_IO, "piece 3 has 0 bytes"},
    {VOCAB_OF(SPECIALS ",[\"a\",1e300]"), HT_ERR_IO, "score inf"},
    {VOCAB_OF(SPECIALS ",[\"a\",1],[\"a\",2]"), HT_ERR_IO, "piece 'a' appears twice"},
    {"{\"model\":{\"vocab\":[" VOCAB "]}," ADDED "}", HT_ERR_IO, "unk_id is not"},
    {"{\"model\":{\"unk_id\":-1,\"vocab\":[" VOCAB "]}," ADDED "}", HT_ERR_IO, "unk_id is not"},
    {"{\"model\":{\"unk_id\":6,\"vocab\":[" VOCAB "]}," ADDED "}", HT_ERR_IO, "unk_id is not"},
    {"{" MODEL "}", HT_ERR_IO, "</s> is -1"},
    {"{" MODEL ",\"added_tokens\":[{\"id\":0}]}", HT_ERR_IO, "added token without"},
    {"{" MODEL ",\"added_tokens\":[{\"id\":-1,\"content\":\"x\"}]}", HT_ERR_IO,
     "added token without"},
    {"{" MODEL ",\"added_tokens\":[{\"id\":4,\"content\":\"x\"}]}", HT_ERR_IO,
     "added token 'x' has the id of piece 'a'"},
    {"{" MODEL "," ADDED ",\"normalizer\":{\"type\":\"Lowercase\"}}", HT_ERR_UNSUPPORTED,
     "normalizer of type 'Lowercase'"},
    {"{" MODEL "," ADDED ",\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},"
     "\"content\":\"b\"}}",
     HT_ERR_UNSUPPORTED, "normalizer of type 'Replace'"},
    {"{" MODEL "," ADDED ",\"normalizer\":[]}", HT_ERR_UNSUPPORTED, "normalizer of type '(none)'"},
    {"{" MODEL "," ADDED ",\"pre_tokenizer\":{\"type\":\"ByteLevel\"}}", HT_ERR_UNSUPPORTED,
     "pre_tokenizer of type 'ByteLevel'"},
    {"{" MODEL "," ADDED ",\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\"}}",
     HT_ERR_IO, "U+2581"},
    {"{" MODEL "," ADDED ",\"normalizer\":{\"type\":\"Precompiled\"}}", HT_ERR_IO,
     "precompiled_charsmap is not one string"},
    {"{" MODEL "," ADDED ",\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":"
     "\"a-b\"}}",
     HT_ERR_IO, "not base64"},
    {"{" MODEL "," ADDED ",\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":"
     "\"AAAAAA==\"}}",
     HT_ERR_IO, "character map of 4 bytes"},
};

static void test_refusals(void **state) {
    fixture *f = *state;
    for (size_t i = 0; i < HT_COUNT(bad_rows); i++) {
        ht_tokenizer *tokenizer = NULL;
        const ht_status status = open_text(f, bad_rows[i].text, &tokenizer);
        const char *message = ht_context_message(f->context);
        if (status != bad_rows[i].status || !strstr(message, bad_rows[i].part) ||
            !strstr(message, "tokenizer.json")) {
            fail_msg("row %zu: status %s, sentence \"%s\", expected \"%s\"", i,
                     ht_status_name(status), message, bad_rows[i].part);
        }
        assert_null(tokenizer);
    }
}

static void test_too_many_values(void **state) {
    fixture *f = *state;
    const size_t bytes = 10 << 20;
    char *text = malloc(bytes);
    ht_tokenizer *tokenizer = NULL;
    for (size_t i = 0; i < bytes; i += 2) {
        memcpy(text + i, "0,", 2);
    }
    memcpy(text, "[ ", 2);
    memcpy(text + bytes - 2, "0]", 2);
    const char *path = ht_test_write(&f->folder, "tokenizer.json", text, bytes);
    assert_int_equal(ht_tokenizer_open(f->context, path, &tokenizer), HT_ERR_IO);
    assert_non_null(strstr(ht_context_message(f->context), "too many values"));
    free(text);
}

static void test_cuts(void **state) {
    fixture *f = *state;
    size_t bytes = 0;
    uint8_t *whole =
        ht_test_read_file("tests/data/models/tiny-pixart/tokenizer/tokenizer.json", &bytes);
    while (bytes > 0 && whole[bytes - 1] <= ' ') {
        bytes--;
    }
    for (size_t length = 1; length < bytes; length += 9973) {
        ht_tokenizer *tokenizer = NULL;
        const char *path = ht_test_write(&f->folder, "tokenizer.json", whole, length);
        assert_int_equal(ht_tokenizer_open(f->context, path, &tokenizer), HT_ERR_IO);
        assert_null(tokenizer);
    }
    free(whole);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_spaces_follow_the_steps, ht_test_reader_open,
                                        ht_test_reader_close),
        cmocka_unit_test_setup_teardown(test_added_tokens, ht_test_reader_open,
                                        ht_test_reader_close),
        cmocka_unit_test_setup_teardown(test_byte_pieces, ht_test_reader_open,
                                        ht_test_reader_close),
        cmocka_unit_test_setup_teardown(test_refusals, ht_test_reader_open, ht_test_reader_close),
        cmocka_unit_test_setup_teardown(test_too_many_values, ht_test_reader_open,
                                        ht_test_reader_close),
        cmocka_unit_test_setup_teardown(test_cuts, ht_test_reader_open, ht_test_reader_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
