// Normalisation with a hand-made table of replacements, and with damaged ones.
#include "support.h"

#include "text/unigram_internal.h"

#include <stdlib.h>
#include <string.h>

// A double-array trie where each inner node owns 256 units: wasteful, and simple to write.
typedef struct table {
    uint32_t units[256 * 8];
    uint32_t n_blocks; // block 0 holds the root only
    char strings[64];
    uint32_t string_bytes;
    uint8_t bytes[4 + 4 * 256 * 8 + 64];
    size_t count;
} table;

static const uint32_t node_leaf = 1u << 8, leaf_value = 0x80000000u;

static void table_init(table *t) {
    memset(t, 0, sizeof *t);
    t->n_blocks = 2;
    t->units[0] = 256u << 10; // children of the root lie in block 1
}

static void table_add(table *t, const char *key, const char *replacement) {
    uint32_t at = 0, base = 256;
    for (const char *c = key; *c; c++) {
        const uint32_t label = (uint8_t)*c;
        at = base + label;
        if (t->units[at] == 0) {
            base = 256 * t->n_blocks++;
            t->units[at] = (at ^ base) << 10 | label;
        } else {
            base = at ^ (t->units[at] >> 10);
        }
    }
    t->units[at] |= node_leaf;
    t->units[base] = t->string_bytes | leaf_value;
    strcpy(t->strings + t->string_bytes, replacement);
    t->string_bytes += (uint32_t)strlen(replacement) + 1;
}

static void table_pack(table *t) {
    const uint32_t trie_bytes = 4 * 256 * t->n_blocks;
    memcpy(t->bytes, &trie_bytes, 4);
    memcpy(t->bytes + 4, t->units, trie_bytes);
    memcpy(t->bytes + 4 + trie_bytes, t->strings, t->string_bytes);
    t->count = 4 + trie_bytes + t->string_bytes;
}

static ht_tokenizer new_tokenizer(void) {
    static char path[] = "test";
    ht_tokenizer tokenizer = {
        .path = path,
        .add_dummy_prefix = true,
        .remove_extra_whitespaces = true,
        .escape_whitespaces = true,
    };
    const ht_context_desc desc = {.host_only = true};
    assert_int_equal(ht_context_create(&desc, &tokenizer.context), HT_OK);
    return tokenizer;
}

static void expect(ht_tokenizer *tokenizer, const char *text, size_t bytes, const char *want) {
    ht_normalised out = {0};
    assert_int_equal(ht_normalise(tokenizer, text, bytes, &out), HT_OK);
    if (out.bytes != strlen(want) || (out.bytes && memcmp(out.text, want, out.bytes) != 0)) {
        fail_msg("\"%s\" becomes \"%.*s\", expected \"%s\"", text, (int)out.bytes, out.text, want);
    }
    for (uint32_t i = 1; i < out.bytes; i++) {
        assert_true(out.origin[i - 1] <= out.origin[i] && out.origin[i] < bytes);
    }
    ht_normalised_free(tokenizer, &out);
}
#define EXPECT(tokenizer, text, want) expect(tokenizer, text, sizeof(text) - 1, want)
#define MARK "\xe2\x96\x81"

static void test_spaces(void **state) {
    (void)state;
    ht_tokenizer tokenizer = new_tokenizer();
    EXPECT(&tokenizer, "", "");
    EXPECT(&tokenizer, "   ", "");
    EXPECT(&tokenizer, "hello  world ", MARK "hello" MARK "world");
    EXPECT(&tokenizer, "  a", MARK "a");
    EXPECT(&tokenizer, "a\tb", MARK "a\tb"); // without a table a tab is a character
    ht_context_destroy(&tokenizer.context);
}

static void test_replacements(void **state) {
    (void)state;
    static table t;
    ht_tokenizer tokenizer = new_tokenizer();
    table_init(&t);
    table_add(&t, "\t", " ");
    table_add(&t, "a", "X");
    table_add(&t, "abc", "longest");
    table_add(&t, "z", "");
    table_add(&t, "s", " in ");
    table_pack(&t);
    assert_int_equal(ht_charsmap_open(&tokenizer, t.bytes, t.count), HT_OK);
    EXPECT(&tokenizer, "a", MARK "X");
    EXPECT(&tokenizer, "ab", MARK "Xb"); // "ab" leads to "abc" but is no key itself
    EXPECT(&tokenizer, "abcd", MARK "longestd");
    EXPECT(&tokenizer, "qzq", MARK "qq");
    EXPECT(&tokenizer, "zz", "");
    EXPECT(&tokenizer, "\t\tq\t", MARK "q");
    EXPECT(&tokenizer, "q s q", MARK "q" MARK "in" MARK "q");
    EXPECT(&tokenizer, "\xc3\xa9", MARK "\xc3\xa9");
    EXPECT(&tokenizer, "\xff", MARK "\xef\xbf\xbd");
    EXPECT(&tokenizer, "\xe2\x96", MARK "\xef\xbf\xbd\xef\xbf\xbd");
    ht_context_destroy(&tokenizer.context);
}

static void refuse_map(ht_tokenizer *tokenizer, const void *data, size_t bytes) {
    assert_int_equal(ht_charsmap_open(tokenizer, data, bytes), HT_ERR_IO);
    assert_non_null(strstr(ht_context_message(tokenizer->context), "character map"));
    assert_int_equal(tokenizer->charsmap.n_units, 0);
}

static void test_malformed_tables(void **state) {
    (void)state;
    ht_tokenizer tokenizer = new_tokenizer();
    assert_int_equal(ht_charsmap_open(&tokenizer, NULL, 0), HT_OK);
    refuse_map(&tokenizer, "\4\0\0", 3);
    refuse_map(&tokenizer, "\0\0\0\0\0", 5);      // no trie
    refuse_map(&tokenizer, "\3\0\0\0abc", 8);     // not whole units
    refuse_map(&tokenizer, "\4\0\0\0abcd", 8);    // no strings
    refuse_map(&tokenizer, "\10\0\0\0abcd\0", 9); // trie past the end
    refuse_map(&tokenizer,
               "\xff\xff\xff\xff"
               "abcd",
               9);
    refuse_map(&tokenizer, "\4\0\0\0abcdx", 9); // last string without an end
    assert_int_equal(ht_charsmap_open(&tokenizer, (const uint8_t *)"\4\0\0\0abcd\0", 9), HT_OK);
    ht_context_destroy(&tokenizer.context);
}

// Random units and text: every index must stay inside, whatever the numbers say.
static void test_random_tables(void **state) {
    (void)state;
    static uint8_t bytes[4 + 4 * 512 + 64];
    uint64_t seed = 3;
    ht_tokenizer tokenizer = new_tokenizer();
    for (int round = 0; round < 2000; round++) {
        const uint32_t trie_bytes = 4 * 512;
        char text[64];
        for (size_t i = 0; i < sizeof bytes; i++) {
            bytes[i] = (uint8_t)ht_test_random(&seed);
        }
        // Labels that match, so that walks go deep.
        for (uint32_t i = 0; i < 512; i++) {
            bytes[4 + 4 * i] = (uint8_t)i;
            bytes[4 + 4 * i + 3] &= round % 2 ? 0x7f : 0x00;
        }
        memcpy(bytes, &trie_bytes, 4);
        bytes[sizeof bytes - 1] = 0;
        for (size_t i = 0; i < sizeof text; i++) {
            text[i] = (char)ht_test_random(&seed);
        }
        ht_normalised out = {0};
        assert_int_equal(ht_charsmap_open(&tokenizer, bytes, sizeof bytes), HT_OK);
        assert_int_equal(ht_normalise(&tokenizer, text, sizeof text, &out), HT_OK);
        ht_normalised_free(&tokenizer, &out);
    }
    ht_context_destroy(&tokenizer.context);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spaces),
        cmocka_unit_test(test_replacements),
        cmocka_unit_test(test_malformed_tables),
        cmocka_unit_test(test_random_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
