// Pieces sorted by their bytes: walking byte by byte narrows a range of them. As good as a trie
// for prompts, and with nothing to build but the order.
#include "unigram_internal.h"

#include <stdlib.h>
#include <string.h>

static int compare_keys(const void *a, const void *b) {
    const ht_piece_key *x = a, *y = b;
    const uint32_t shorter = x->bytes < y->bytes ? x->bytes : y->bytes;
    const int order = memcmp(x->text, y->text, shorter);
    return order != 0 ? order : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static bool is_matched(ht_piece_type type) {
    return type == HT_PIECE_NORMAL || type == HT_PIECE_USER_DEFINED || type == HT_PIECE_UNUSED;
}

ht_status ht_piece_index_build(ht_tokenizer *tokenizer) {
    ht_context *context = tokenizer->context;
    tokenizer->index = ht_alloc(context, tokenizer->n_pieces * sizeof *tokenizer->index);
    if (!tokenizer->index) {
        return HT_ERR_NO_MEMORY;
    }
    uint32_t count = 0;
    for (uint32_t i = 0; i < tokenizer->n_pieces; i++) {
        const ht_piece *piece = &tokenizer->pieces[i];
        if (is_matched(piece->type)) {
            tokenizer->index[count++] = (ht_piece_key){piece->text, piece->bytes, (int32_t)i};
        }
    }
    tokenizer->n_index = count;
    qsort(tokenizer->index, count, sizeof *tokenizer->index, compare_keys);
    for (uint32_t i = 1; i < count; i++) {
        if (compare_keys(&tokenizer->index[i - 1], &tokenizer->index[i]) == 0) {
            return ht_fail(context, HT_ERR_IO, "tokenizer '%s': piece '%.*s' appears twice",
                           tokenizer->path, (int)tokenizer->index[i].bytes,
                           tokenizer->index[i].text);
        }
    }
    return HT_OK;
}

ht_piece_walk ht_piece_walk_start(const ht_tokenizer *tokenizer) {
    return (ht_piece_walk){.high = tokenizer->n_index};
}

// First key of the walk's range whose next byte is at least `byte` (0..256). A key that ends here
// comes before all of them.
static uint32_t lower_bound(const ht_tokenizer *tokenizer, const ht_piece_walk *walk,
                            uint32_t byte) {
    uint32_t low = walk->low, high = walk->high;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const ht_piece_key *key = &tokenizer->index[middle];
        if (key->bytes <= walk->depth || (uint8_t)key->text[walk->depth] < byte) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool ht_piece_walk_step(const ht_tokenizer *tokenizer, ht_piece_walk *walk, char byte,
                        int32_t *id) {
    const uint32_t low = lower_bound(tokenizer, walk, (uint8_t)byte);
    walk->high = lower_bound(tokenizer, walk, (uint32_t)(uint8_t)byte + 1);
    walk->low = low;
    walk->depth++;
    if (walk->low == walk->high) {
        return false;
    }
    const ht_piece_key *first = &tokenizer->index[walk->low];
    *id = first->bytes == walk->depth ? first->id : -1;
    return true;
}
