// Results in packed formats: recording of quantize.comp, and addresses for kernels that pack.
#ifndef HT_OP_QUANTIZE_H
#define HT_OP_QUANTIZE_H

#include "formats.h"
#include "op_util.h"

#include "quantize.shared.h"

// Where the parts of a packed result lie.
typedef struct ht_op_packed {
    ht_packed_layout layout;
    uint64_t codes, scales;
    uint64_t tensor; // NVFP4's scale of the tensor, which is 1 in activations; 0: none
    uint32_t quads;  // of a padded row
} ht_op_packed;
ht_op_packed ht_op_packed_result(const ht_op_call *call);

// Does the format have one scale a row?
bool ht_op_packs_rows(ht_format format);
// Can activations be packed into it? Not where codes have a zero point.
bool ht_op_can_pack(ht_format format);
// For `packs`: an op that writes whole rows can pack whatever can be packed.
bool ht_op_packs_any(const ht_op_call *call, ht_format format);

// How input 0 becomes the values that are packed (quantize.shared.h).
typedef struct ht_op_quantize_source {
    uint32_t kind; // HT_QUANTIZE_VALUES, ..
    ht_activation act;
    uint64_t factors; // NORMALISED: address, and rows that share some
    uint32_t item;
} ht_op_quantize_source;
// call->out = what comes of input 0, packed.
ht_status ht_op_record_quantize(const ht_op_call *call, const ht_op_quantize_source *source,
                                ht_vk_commands *commands);

#endif
