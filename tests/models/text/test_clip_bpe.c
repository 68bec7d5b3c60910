// CLIP's tokenizer against transformers, its two kinds of files, and damaged ones.
#include "files.h"
#include "support.h"

#include "text/clip_bpe.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

typedef ht_test_reader fixture;

#define FOLDER "tests/data/models/tiny-sd/tokenizer"

static ht_clip_tokenizer *open_folder(ht_context *context, const char *folder) {
    ht_clip_tokenizer *tokenizer = NULL;
    if (ht_clip_tokenizer_open(context, folder, &tokenizer) != HT_OK) {
        fail_msg("%s", ht_context_message(context));
    }
    return tokenizer;
}

static void check_case(ht_clip_tokenizer *tokenizer, const json_t *entry) {
    enum { CAPACITY = 8192 };
    static int32_t ids[CAPACITY];
    const json_t *text = json_object_get(entry, "text"), *want = json_object_get(entry, "ids");
    size_t count = 0;
    assert_int_equal(ht_clip_tokenizer_encode(tokenizer, json_string_value(text),
                                              json_string_length(text), ids, CAPACITY, &count),
                     HT_OK);
    bool same = count == json_array_size(want);
    for (size_t i = 0; same && i < count; ++i) {
        same = ids[i] == json_integer_value(json_array_get(want, i));
    }
    if (!same) {
        char *shown = json_dumps(text, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
        char *expected = json_dumps(want, JSON_ENCODE_ANY | JSON_COMPACT);
        print_message("%.80s: expected %.200s, got %zu:", shown, expected, count);
        for (size_t i = 0; i < count && i < 20; ++i) {
            print_message(" %d", ids[i]);
        }
        print_message("\n");
        free(shown);
        free(expected);
        fail();
    }
}

static void test_golden(void **state) {
    fixture *f = *state;
    json_t *golden = json_load_file("tests/data/golden/clip_tokenizer.json", JSON_ALLOW_NUL, NULL);
    assert_non_null(golden);
    ht_clip_tokenizer *tokenizer = open_folder(f->context, FOLDER);
    const ht_clip_tokenizer_info *info = ht_clip_tokenizer_get_info(tokenizer);
    assert_int_equal(info->start, json_integer_value(json_object_get(golden, "start")));
    assert_int_equal(info->end, json_integer_value(json_object_get(golden, "end")));
    assert_int_equal(info->pad, json_integer_value(json_object_get(golden, "pad")));
    assert_int_equal(info->vocab, json_integer_value(json_object_get(golden, "vocab")));
    assert_int_equal(info->max_length, 20);
    size_t i;
    json_t *entry;
    json_array_foreach(json_object_get(golden, "cases"), i, entry) {
        check_case(tokenizer, entry);
    }
    assert_true(i >= 500);
    json_decref(golden);
    ht_clip_tokenizer_destroy(&tokenizer);
}

// The second tokenizer of SDXL pads with "!".
static void test_padding(void **state) {
    fixture *f = *state;
    ht_clip_tokenizer *tokenizer = open_folder(f->context, "tests/data/models/tiny-xl/tokenizer_2");
    assert_int_equal(ht_clip_tokenizer_get_info(tokenizer)->pad, 0);
    ht_clip_tokenizer_destroy(&tokenizer);
}

#define VOCAB                                                                                      \
    "{\"a\":0,\"b\":1,\"a</w>\":2,\"b</w>\":3,\"ab</w>\":4,\"<|startoftext|>\":5,"                 \
    "\"<|endoftext|>\":6}"

static void expect(fixture *f, ht_status want, const char *part) {
    static const int32_t ids[] = {4, 0, 4, 6, 2};
    ht_clip_tokenizer *tokenizer = NULL;
    ht_status status = ht_clip_tokenizer_open(f->context, f->folder.path, &tokenizer);
    if (status != want) {
        fail_msg("%s: %s", ht_status_name(status), ht_context_message(f->context));
    }
    if (want != HT_OK && !strstr(ht_context_message(f->context), part)) {
        fail_msg("'%s' has no '%s'", ht_context_message(f->context), part);
    }
    if (want == HT_OK) {
        int32_t got[8];
        size_t count;
        const char *text = "Ab  aab<|endoftext|> a";
        assert_int_equal(ht_clip_tokenizer_encode(tokenizer, text, strlen(text), got, 8, &count),
                         HT_OK);
        assert_int_equal(count, 5);
        assert_memory_equal(got, ids, sizeof(ids));
        // What does not fit is counted, not stored.
        got[2] = -7;
        assert_int_equal(ht_clip_tokenizer_encode(tokenizer, text, strlen(text), got, 2, &count),
                         HT_OK);
        assert_int_equal(count, 5);
        assert_int_equal(got[2], -7);
    }
    ht_clip_tokenizer_destroy(&tokenizer);
}

static void write_text(fixture *f, const char *name, const char *text) {
    ht_test_write(&f->folder, name, text, strlen(text));
}

// Merges alone: ids are those of the bytes, of the bytes that end a word, then of the merges.
static void test_merges_alone(void **state) {
    static const int32_t want[] = {513, 514, 256, 126, 94 + 256};
    fixture *f = *state;
    int32_t got[8];
    size_t count;
    write_text(f, "bpe_simple_vocab_16e6.txt",
               "\"bpe_simple_vocab_16e6.txt#version: 0.2\ni n\nt h\nin g</w>\n");
    ht_clip_tokenizer *tokenizer = open_folder(f->context, f->folder.path);
    const ht_clip_tokenizer_info *info = ht_clip_tokenizer_get_info(tokenizer);
    assert_int_equal(info->vocab, 512 + 3 + 2);
    assert_int_equal(info->start, 515);
    assert_int_equal(info->pad, 516);
    assert_int_equal(ht_clip_tokenizer_encode(tokenizer, "Thing! \xc2\xa1", 9, got, 8, &count),
                     HT_OK);
    assert_int_equal(count, 5);
    assert_memory_equal(got, want, sizeof(want));
    assert_int_equal(ht_clip_tokenizer_pad_with(tokenizer, "!"), HT_OK);
    assert_int_equal(info->pad, 0);
    assert_int_equal(ht_clip_tokenizer_pad_with(tokenizer, "nothing"), HT_ERR_IO);
    ht_clip_tokenizer_destroy(&tokenizer);
    write_text(f, "bpe_simple_vocab_16e6.txt", "in\n");
    expect(f, HT_ERR_IO, "merge 0 is not two symbols");
    // Twice the same result of merging has no id of its own.
    write_text(f, "bpe_simple_vocab_16e6.txt", "a bc\nab c\n");
    expect(f, HT_ERR_IO, "has no id of its own");
}

static void test_files(void **state) {
    fixture *f = *state;
    expect(f, HT_ERR_IO, "neither vocab.json nor tokenizer.json");
    write_text(f, "tokenizer.json", "{\"model\":{\"type\":\"Unigram\"}}");
    expect(f, HT_ERR_UNSUPPORTED, "a Unigram model");
    write_text(f, "tokenizer.json",
               "{\"model\":{\"type\":\"BPE\",\"end_of_word_suffix\":\"</w>\",\"vocab\":" VOCAB
               ",\"merges\":[[\"a\",\"b</w>\"]]}}");
    expect(f, HT_OK, "");
    write_text(f, "tokenizer.json",
               "{\"model\":{\"type\":\"BPE\",\"end_of_word_suffix\":\"</w>\",\"vocab\":" VOCAB
               ",\"merges\":[\"a b</w>\"]}}");
    expect(f, HT_OK, "");
    write_text(f, "vocab.json", VOCAB);
    expect(f, HT_ERR_IO, "merges.txt': no such file");
    write_text(f, "merges.txt", "#version: 0.2\r\na b</w>\r\n\r\n");
    expect(f, HT_OK, "");
    write_text(f, "merges.txt", "a b</w> c\n");
    expect(f, HT_ERR_IO, "merge 0 is not two symbols");
    write_text(f, "merges.txt", "ab\n");
    expect(f, HT_ERR_IO, "merge 0 is not two symbols");
    write_text(f, "merges.txt", "a b</w>\n");
    write_text(f, "vocab.json", "{\"a\":0,\"b\":1,\"c\":1,\"d\":2}");
    expect(f, HT_ERR_IO, "'c' has no id of its own below 4");
    write_text(f, "vocab.json", "{\"a\":0,\"b\":1,\"c\":9,\"d\":2}");
    expect(f, HT_ERR_IO, "'c' has no id of its own below 4");
    write_text(f, "vocab.json", "{\"a\":0,\"b\":1,\"c\":3,\"d\":2}");
    expect(f, HT_ERR_IO, "no <|startoftext|>");
    write_text(f, "vocab.json", "[1]");
    expect(f, HT_ERR_IO, "not a JSON object");
    write_text(f, "vocab.json", "{\"a\":");
    expect(f, HT_ERR_IO, "vocab.json");
}

static void test_long_text(void **state) {
    fixture *f = *state;
    ht_clip_tokenizer *tokenizer = open_folder(f->context, FOLDER);
    size_t bytes = (64 << 10) + 1, count;
    char *text = malloc(bytes);
    assert_non_null(text);
    memset(text, 'a', bytes);
    assert_int_equal(ht_clip_tokenizer_encode(tokenizer, text, bytes, NULL, 0, &count),
                     HT_ERR_INVALID);
    memset(text, '\xff', 4096); // each becomes U+FFFD, which no merge knows: 3 symbols
    assert_int_equal(ht_clip_tokenizer_encode(tokenizer, text, 4096, NULL, 0, &count), HT_OK);
    assert_int_equal(count, 3 * 4096);
    free(text);
    ht_clip_tokenizer_destroy(&tokenizer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_golden, ht_test_reader_open, ht_test_reader_close),
        cmocka_unit_test_setup_teardown(test_padding, ht_test_reader_open, ht_test_reader_close),
        cmocka_unit_test_setup_teardown(test_merges_alone, ht_test_reader_open,
                                        ht_test_reader_close),
        cmocka_unit_test_setup_teardown(test_files, ht_test_reader_open, ht_test_reader_close),
        cmocka_unit_test_setup_teardown(test_long_text, ht_test_reader_open, ht_test_reader_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
