// Reference of rows gathered from a table.
#include "ref.h"

#include <string.h>

void ht_ref_embedding(const float *table, uint64_t rows, uint64_t width, const float *ids,
                      uint64_t n, float *out) {
    for (uint64_t i = 0; i < n; i++) {
        double id = ids[i];
        id = id < 0.0 ? 0.0 : id;
        id = id > (double)(rows - 1) ? (double)(rows - 1) : id;
        memcpy(out + i * width, table + (uint64_t)id * width, width * sizeof *out);
    }
}
