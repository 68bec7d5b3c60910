// SHA-256: the vectors of FIPS 180-4, lengths around a block, and files.
#include "own_folder.h"
#include "support.h"

#include "common/sha256.h"

#include <stdlib.h>
#include <string.h>

static void test_vectors(void **state) {
    (void)state;
    static const struct {
        const char *text, *hash;
    } rows[] = {
        {"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
        {"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
        {"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"},
    };
    char hash[HT_SHA256_TEXT];
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        ht_sha256(rows[i].text, strlen(rows[i].text), hash);
        assert_string_equal(hash, rows[i].hash);
    }
    char *million = malloc(1000000);
    assert_non_null(million);
    memset(million, 'a', 1000000);
    ht_sha256(million, 1000000, hash);
    assert_string_equal(hash, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    const char *path = ht_test_write(&folder, "million", million, 1000000);
    ht_sha256("", 0, hash);
    assert_true(ht_sha256_file(path, hash));
    assert_string_equal(hash, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    free(million);
    assert_false(ht_sha256_file("/nonexistent/file", hash));
}

// So many letters a, by sha256sum of GNU coreutils.
static void test_lengths(void **state) {
    (void)state;
    static const struct {
        size_t count;
        const char *hash;
    } rows[] = {
        {55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318"},
        {56, "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a"},
        {63, "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34"},
        {64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb"},
        {65, "635361c48bb9eab14198e76ea8ab7f1a41685d6ad62aa9146d301d4f17eb0ae0"},
        {119, "31eba51c313a5c08226adf18d4a359cfdfd8d2e816b13f4af952f7ea6584dcfb"},
        {120, "2f3d335432c70b580af0e8e1b3674a7c020d683aa5f73aaaedfdc55af904c21c"},
    };
    for (size_t i = 0; i < HT_COUNT(rows); ++i) {
        char text[128], hash[HT_SHA256_TEXT];
        memset(text, 'a', sizeof(text));
        ht_sha256(text, rows[i].count, hash);
        assert_string_equal(hash, rows[i].hash);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_lengths),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
