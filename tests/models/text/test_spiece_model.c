// spiece.model: its fields, and files that are damaged.
#include "files.h"
#include "spiece_builder.h"
#include "support.h"

#include "text/unigram.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef ht_test_reader fixture;

static void refuse(fixture *f, const spiece *model, ht_status status, const char *part) {
    ht_tokenizer *tokenizer = NULL;
    const char *path = ht_test_write(&f->folder, "spiece.model", model->bytes, model->count);
    const ht_status got = ht_tokenizer_open(f->context, path, &tokenizer);
    const char *message = ht_context_message(f->context);
    if (got != status || !strstr(message, part) || !strstr(message, path)) {
        fail_msg("status %s, sentence \"%s\", expected \"%s\"", ht_status_name(got), message, part);
    }
    assert_null(tokenizer);
}

static ht_tokenizer *open_model(fixture *f, const spiece *model) {
    ht_tokenizer *tokenizer = NULL;
    const char *path = ht_test_write(&f->folder, "spiece.model", model->bytes, model->count);
    if (ht_tokenizer_open(f->context, path, &tokenizer) != HT_OK) {
        fail_msg("%s", ht_context_message(f->context));
    }
    return tokenizer;
}

static void expect_ids(ht_tokenizer *tokenizer, const char *text, const int32_t *want,
                       size_t count) {
    int32_t ids[64];
    ht_tokenized result;
    assert_int_equal(ht_tokenizer_encode(tokenizer, text, strlen(text), ids, 64, &result), HT_OK);
    assert_int_equal(result.count, count);
    assert_memory_equal(ids, want, count * sizeof *ids);
}
#define EXPECT(tokenizer, text, ...)                                                               \
    expect_ids(tokenizer, text, (const int32_t[]){__VA_ARGS__},                                    \
               sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

#define MARK "\xe2\x96\x81"

static void test_best_path(void **state) {
    fixture *f = *state;
    spiece model = {.count = 0};
    spiece_specials(&model);
    spiece_piece(&model, MARK, -2, 0);     // 3
    spiece_piece(&model, "a", -3, 0);      // 4
    spiece_piece(&model, "b", -3, 0);      // 5
    spiece_piece(&model, "ab", -5, 0);     // 6: better than a + b
    spiece_piece(&model, MARK "a", -6, 0); // 7: worse than mark + a
    spiece_piece(&model, "bb", -7, 0);     // 8: worse than b + b
    spiece_piece(&model, "c", -1, 5);      // 9: unused
    ht_tokenizer *tokenizer = open_model(f, &model);
    const ht_tokenizer_info *info = ht_tokenizer_get_info(tokenizer);
    assert_int_equal(info->vocab, 10);
    assert_int_equal(info->pad, 0);
    assert_int_equal(info->eos, 1);
    assert_int_equal(info->unk, 2);
    EXPECT(tokenizer, "", 1);
    EXPECT(tokenizer, "   ", 1);
    EXPECT(tokenizer, "a", 3, 4, 1);
    EXPECT(tokenizer, "ab", 3, 6, 1);
    EXPECT(tokenizer, " abb  b ", 3, 6, 5, 3, 5, 1);
    EXPECT(tokenizer, "cxyz", 3, 2, 1); // unknown ones become one
    EXPECT(tokenizer, "xaxx", 3, 2, 4, 2, 1);
    EXPECT(tokenizer, "</s>", 3, 2, 1); // typed special tokens are text
    EXPECT(tokenizer,
           "a\xff"
           "b",
           3, 4, 2, 5, 1); // invalid bytes become U+FFFD
    ht_tokenizer_destroy(&tokenizer);
}

static void test_user_defined_pieces(void **state) {
    fixture *f = *state;
    spiece model = {.count = 0};
    spiece_specials(&model);
    spiece_piece(&model, MARK, -2, 0);   // 3
    spiece_piece(&model, "a", -3, 0);    // 4
    spiece_piece(&model, "b", -3, 0);    // 5
    spiece_piece(&model, "<sep>", 0, 4); // 6
    spiece_piece(&model, "ab", 0, 4);    // 7: taken though a + b scores less
    ht_tokenizer *tokenizer = open_model(f, &model);
    EXPECT(tokenizer, "a<sep>b", 3, 4, 6, 5, 1);
    EXPECT(tokenizer, "aab<sep", 3, 4, 7, 2, 1);
    ht_tokenizer_destroy(&tokenizer);
}

static void test_byte_fallback(void **state) {
    fixture *f = *state;
    spiece model = {.count = 0}, trainer = {.count = 0};
    spiece_specials(&model);
    spiece_piece(&model, MARK, -2, 0);    // 3
    spiece_piece(&model, "a", -3, 0);     // 4
    spiece_piece(&model, "<0xC3>", 0, 6); // 5
    spiece_piece(&model, "<0xA9>", 0, 6); // 6
    spiece_number(&trainer, 35, 1);
    spiece_bytes(&model, 2, trainer.bytes, trainer.count);
    ht_tokenizer *tokenizer = open_model(f, &model);
    assert_true(ht_tokenizer_get_info(tokenizer)->byte_fallback);
    EXPECT(tokenizer, "a\xc3\xa9", 3, 4, 5, 6, 1);
    // A character with a byte that has no piece stays unknown as a whole.
    EXPECT(tokenizer, "a\xc3\xa8\xc3\xa9", 3, 4, 2, 5, 6, 1);
    ht_tokenizer_destroy(&tokenizer);
}

static void test_normaliser_flags(void **state) {
    fixture *f = *state;
    spiece model = {.count = 0}, flags = {.count = 0};
    spiece_specials(&model);
    spiece_piece(&model, MARK, -2, 0); // 3
    spiece_piece(&model, "a", -3, 0);  // 4
    spiece_piece(&model, " ", -3, 0);  // 5
    const size_t base = model.count;
    spiece_number(&flags, 3, 0); // no dummy prefix
    spiece_number(&flags, 4, 0); // keep runs of spaces
    spiece_bytes(&model, 3, flags.bytes, flags.count);
    ht_tokenizer *tokenizer = open_model(f, &model);
    EXPECT(tokenizer, "a  a ", 4, 3, 3, 4, 3, 1);
    EXPECT(tokenizer, " ", 3, 1);
    ht_tokenizer_destroy(&tokenizer);
    model.count = base;
    flags.count = 0;
    spiece_number(&flags, 5, 0); // spaces stay spaces
    spiece_bytes(&model, 3, flags.bytes, flags.count);
    tokenizer = open_model(f, &model);
    EXPECT(tokenizer, "a  a ", 5, 4, 5, 4, 1);
    ht_tokenizer_destroy(&tokenizer);
}

static void test_special_ids_of_the_trainer(void **state) {
    fixture *f = *state;
    spiece model = {.count = 0}, trainer = {.count = 0};
    spiece_piece(&model, "[unk]", 0, 2);
    spiece_piece(&model, "a", -1, 0);
    spiece_piece(&model, "[end]", 0, 3);
    spiece_piece(&model, "[pad]", 0, 3);
    const size_t base = model.count;
    refuse(f, &model, HT_ERR_IO, "<pad> is -1");
    spiece_number(&trainer, 42, 2);
    spiece_number(&trainer, 43, 3);
    spiece_bytes(&model, 2, trainer.bytes, trainer.count);
    ht_tokenizer *tokenizer = open_model(f, &model);
    assert_int_equal(ht_tokenizer_get_info(tokenizer)->eos, 2);
    assert_int_equal(ht_tokenizer_get_info(tokenizer)->pad, 3);
    assert_int_equal(ht_tokenizer_get_info(tokenizer)->unk, 0);
    ht_tokenizer_destroy(&tokenizer);
    model.count = base;
    trainer.count = 0;
    spiece_number(&trainer, 43, 4);
    spiece_bytes(&model, 2, trainer.bytes, trainer.count);
    refuse(f, &model, HT_ERR_IO, "<pad> is 4");
}

static void test_refusals(void **state) {
    fixture *f = *state;
    spiece good = {.count = 0};
    spiece_specials(&good);
    spiece_piece(&good, "a", -1, 0);
    spiece model = good;
    spiece_piece(&model, "a", -2, 0);
    refuse(f, &model, HT_ERR_IO, "piece 'a' appears twice");
    model = good;
    spiece_piece(&model, "", -2, 0);
    refuse(f, &model, HT_ERR_IO, "piece 4 has 0 bytes");
    model = good;
    spiece_piece(&model, "\xff", -2, 0);
    refuse(f, &model, HT_ERR_IO, "piece 4");
    model = good;
    spiece_piece(&model, "b", NAN, 0);
    refuse(f, &model, HT_ERR_IO, "score nan");
    model = good;
    spiece_piece(&model, "b", -INFINITY, 0);
    refuse(f, &model, HT_ERR_IO, "score -inf");
    model = good;
    spiece_piece(&model, "b", -1, 7);
    refuse(f, &model, HT_ERR_IO, "malformed piece type");
    model = good;
    spiece_piece(&model, "<other>", 0, 2);
    refuse(f, &model, HT_ERR_IO, "2 are unknown");
    model.count = 0;
    spiece_piece(&model, "a", -1, 0);
    refuse(f, &model, HT_ERR_IO, "0 are unknown");
    model = good;
    spiece_bytes(&model, 2, "\x18\x02", 2); // model_type 2
    refuse(f, &model, HT_ERR_UNSUPPORTED, "type 2, expected 1");
    model = good;
    spiece_bytes(&model, 3, "\x12\x03xyz", 5); // a charsmap of three bytes
    refuse(f, &model, HT_ERR_IO, "character map of 3 bytes");
    model = good;
    spiece_raw(&model, "\x0b", 1); // wire type 3
    refuse(f, &model, HT_ERR_IO, "malformed model at byte");
    model = good;
    spiece_raw(&model, "\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11); // a length of 2^64 - 1
    refuse(f, &model, HT_ERR_IO, "malformed model at byte");
    model = good;
    spiece_raw(&model, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11); // an endless number
    refuse(f, &model, HT_ERR_IO, "malformed model at byte");
    model = good;
    spiece_raw(&model, "\x00\x00", 2); // field number 0
    refuse(f, &model, HT_ERR_IO, "malformed model at byte");
}

// The committed model cut at many places: refused, or (between two fields) still sound.
static void test_cuts(void **state) {
    fixture *f = *state;
    size_t bytes = 0, refused = 0, tried = 0;
    uint8_t *whole =
        ht_test_read_file("tests/data/models/tiny-pixart/tokenizer/spiece.model", &bytes);
    for (size_t length = 1; length < bytes; length += length < 4000 ? 7 : 9973) {
        ht_tokenizer *tokenizer = NULL;
        int32_t ids[32];
        const char *path = ht_test_write(&f->folder, "spiece.model", whole, length);
        tried++;
        if (ht_tokenizer_open(f->context, path, &tokenizer) == HT_OK) {
            assert_int_equal(ht_tokenizer_encode(tokenizer, "a red ball", 10, ids, 32, NULL),
                             HT_OK);
            ht_tokenizer_destroy(&tokenizer);
        } else {
            refused++;
            assert_null(tokenizer);
        }
    }
    assert_true(refused > tried / 2);
    free(whole);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_best_path, ht_test_reader_open, ht_test_reader_close),
        cmocka_unit_test_setup_teardown(test_user_defined_pieces, ht_test_reader_open,
                                        ht_test_reader_close),
        cmocka_unit_test_setup_teardown(test_byte_fallback, ht_test_reader_open,
                                        ht_test_reader_close),
        cmocka_unit_test_setup_teardown(test_normaliser_flags, ht_test_reader_open,
                                        ht_test_reader_close),
        cmocka_unit_test_setup_teardown(test_special_ids_of_the_trainer, ht_test_reader_open,
                                        ht_test_reader_close),
        cmocka_unit_test_setup_teardown(test_refusals, ht_test_reader_open, ht_test_reader_close),
        cmocka_unit_test_setup_teardown(test_cuts, ht_test_reader_open, ht_test_reader_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
