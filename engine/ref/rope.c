// Reference of rope: pairs of neighbours turned by the angles of a table.
#include "ref.h"

void ht_ref_rope(const float *x, uint64_t rows, uint32_t width, const float *table, uint32_t tokens,
                 uint32_t head, float *out) {
    for (uint64_t r = 0; r < rows; r++) {
        const float *turns = table + r % tokens * head;
        for (uint32_t c = 0; c < width; c += 2) {
            const double a = x[r * width + c], b = x[r * width + c + 1];
            const double cosine = turns[c % head], sine = turns[c % head + 1];
            out[r * width + c] = (float)(a * cosine - b * sine);
            out[r * width + c + 1] = (float)(a * sine + b * cosine);
        }
    }
}
