// Which blocks of some attentions are kept: a budget that all share.
#include <halftone/attention.h>

#include <math.h>
#include <string.h>

enum { BLOCK = HT_ATTENTION_BLOCK_TOKENS, CODES = 256, STEPS = 8 /* of a power of two */ };

uint8_t ht_attention_mass_code(float mass) {
    const float code = mass > 0.0f ? roundf(-(float)STEPS * log2f(mass)) : CODES - 1;
    return (uint8_t)(code < 0.0f ? 0.0f : code > CODES - 1 ? CODES - 1 : code);
}

// Text, the short last block, the diagonal.
static bool always(const ht_attention_grid *grid, uint32_t blocks, uint32_t u, uint32_t v) {
    const uint32_t text = ht_attention_block_count(grid->text);
    const bool tail = ht_attention_grid_tokens(grid) % BLOCK != 0;
    return u == v || u < text || v < text || (tail && (u + 1 == blocks || v + 1 == blocks));
}

void ht_attention_keep(const ht_attention_masses *layers, size_t count, double density) {
    uint64_t of_code[CODES] = {0};
    uint64_t total = 0, fixed = 0, above = 0;
    for (size_t i = 0; i < count; i++) {
        const ht_attention_masses *l = &layers[i];
        const uint32_t blocks = ht_attention_block_count(ht_attention_grid_tokens(&l->grid));
        const uint64_t map = (uint64_t)blocks * blocks;
        for (uint64_t n = 0; n < l->heads * map; n++) {
            const uint32_t u = (uint32_t)(n % map / blocks), v = (uint32_t)(n % blocks);
            l->keep[n] = always(&l->grid, blocks, u, v);
            fixed += l->keep[n];
            of_code[l->codes[n]] += l->keep[n] == 0;
        }
        total += l->heads * map;
    }
    const double wanted = density * (double)total - (double)fixed;
    const uint64_t budget = wanted > 0.0 ? (uint64_t)(wanted + 0.5) : 0;
    uint32_t cut = 0; // codes below are kept, of this one as many as are left
    while (cut < CODES - 1 && above + of_code[cut] <= budget) {
        above += of_code[cut++];
    }
    // Spread over all that are as good, so that no layer loses for being last.
    const uint64_t left = budget - above < of_code[cut] ? budget - above : of_code[cut];
    uint64_t seen = 0;
    for (size_t i = 0; i < count; i++) {
        const ht_attention_masses *l = &layers[i];
        const uint64_t blocks = ht_attention_block_count(ht_attention_grid_tokens(&l->grid));
        for (uint64_t n = 0; n < l->heads * blocks * blocks; n++) {
            if (l->keep[n] == 0 && l->codes[n] == cut && of_code[cut] > 0) {
                l->keep[n] = (seen + 1) * left / of_code[cut] > seen * left / of_code[cut];
                seen++;
            } else if (l->keep[n] == 0) {
                l->keep[n] = l->codes[n] < cut;
            }
        }
    }
}
