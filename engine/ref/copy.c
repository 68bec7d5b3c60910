// Reference of every op that only moves values: cast, concat, permute, slice, upsample.
#include "ref.h"

void ht_ref_copy(const float *x, const ht_ref_view *from, uint32_t rank, const uint32_t *dims,
                 const ht_ref_view *to, float *out) {
    uint64_t count = 1;
    for (uint32_t d = 0; d < rank; d++) {
        count *= dims[d];
    }
    for (uint64_t i = 0; i < count; i++) {
        uint64_t rest = i;
        uint64_t in_at = from->offset;
        uint64_t out_at = to->offset;
        for (uint32_t d = rank; d-- > 0;) {
            in_at += rest % dims[d] * from->strides[d];
            out_at += rest % dims[d] * to->strides[d];
            rest /= dims[d];
        }
        out[out_at] = x[in_at];
    }
}
