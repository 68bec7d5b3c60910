// The sorted index: walking it finds exactly the pieces that a plain search finds.
#include "support.h"

#include "text/unigram_internal.h"

#include <stdlib.h>
#include <string.h>

enum { COUNT = 500, MAX_BYTES = 6 };

// Distinct strings over three letters, one of them a byte above 127.
static void make_pieces(ht_tokenizer *tokenizer, char texts[COUNT][MAX_BYTES], ht_piece *pieces) {
    static const char letters[] = "ab\xc3";
    uint64_t seed = 9;
    for (uint32_t i = 0; i < COUNT;) {
        const uint32_t bytes = 1 + ht_test_random(&seed) % MAX_BYTES;
        bool fresh = true;
        for (uint32_t k = 0; k < bytes; k++) {
            texts[i][k] = letters[ht_test_random(&seed) % 3];
        }
        for (uint32_t j = 0; j < i && fresh; j++) {
            fresh = pieces[j].bytes != bytes || memcmp(pieces[j].text, texts[i], bytes) != 0;
        }
        if (fresh) {
            pieces[i] = (ht_piece){.text = texts[i], .bytes = bytes, .type = HT_PIECE_NORMAL};
            i++;
        }
    }
    tokenizer->pieces = pieces;
    tokenizer->n_pieces = COUNT;
}

static int32_t plain_search(const ht_piece *pieces, const char *text, uint32_t bytes) {
    for (int32_t i = 0; i < COUNT; i++) {
        if (pieces[i].bytes == bytes && memcmp(pieces[i].text, text, bytes) == 0) {
            return i;
        }
    }
    return -1;
}

static bool any_starts_with(const ht_piece *pieces, const char *text, uint32_t bytes) {
    for (int32_t i = 0; i < COUNT; i++) {
        if (pieces[i].bytes >= bytes && memcmp(pieces[i].text, text, bytes) == 0) {
            return true;
        }
    }
    return false;
}

static void test_walks_agree_with_plain_search(void **state) {
    (void)state;
    static char texts[COUNT][MAX_BYTES];
    static ht_piece pieces[COUNT];
    static const char letters[] = "ab\xc3z";
    ht_tokenizer tokenizer = {0};
    uint64_t seed = 4;
    assert_int_equal(ht_context_create(&(ht_context_desc){.host_only = true}, &tokenizer.context),
                     HT_OK);
    make_pieces(&tokenizer, texts, pieces);
    assert_int_equal(ht_piece_index_build(&tokenizer), HT_OK);
    assert_int_equal(tokenizer.n_index, COUNT);
    for (int round = 0; round < 3000; round++) {
        char text[MAX_BYTES + 2];
        int32_t id = 0;
        ht_piece_walk walk = ht_piece_walk_start(&tokenizer);
        for (uint32_t i = 0; i < sizeof text; i++) {
            text[i] = letters[ht_test_random(&seed) % 4];
            const bool more = ht_piece_walk_step(&tokenizer, &walk, text[i], &id);
            assert_int_equal(more, any_starts_with(pieces, text, i + 1));
            if (!more) {
                break;
            }
            assert_int_equal(id, plain_search(pieces, text, i + 1));
        }
    }
    ht_free(tokenizer.context, tokenizer.index);
    ht_context_destroy(&tokenizer.context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_walks_agree_with_plain_search),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
