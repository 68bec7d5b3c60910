// Packed formats as grids: for programs that choose codes and scales by a rule of their own, and
// then have them packed. A value is (value of a code) * scale. Formats with zero points (INT4Z)
// have none.
#ifndef HALFTONE_GRID_H
#define HALFTONE_GRID_H

#include <halftone/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { HT_GRID_MAX = 256 };

// True for minifloats, symmetric integers and sums of signs.
HT_API bool ht_format_has_grid(ht_format format);
// Values of the codes, ascending, 0 once (or not at all); returns how many.
HT_API uint32_t ht_format_grid(ht_format format, float values[HT_GRID_MAX]);
// Values along a row that share a scale; 0: the whole row.
HT_API uint32_t ht_format_group(ht_format format);
// Outer scales are f32 by which those of groups are multiplied: NVFP4 has one for the tensor, FP4_I8 one
// for each row (ht_packed_layout.outers). This is the one of a tensor or row whose largest size is
// `largest`; 1 in other formats.
HT_API float ht_format_outer_scale(ht_format format, float largest);
// The scale that is read back where `wanted` is asked for: the nearest that the format stores times
// `outer` (E8M0: the power of two at or below).
HT_API float ht_format_scale(ht_format format, float wanted, float outer);
// Scales to try for a group whose largest size is `largest`, from the greatest down, as packing by
// HT_SCALE_SEARCH tries them; returns how many.
enum { HT_SCALE_TRIES = 40 };
HT_API uint32_t ht_format_scale_tries(ht_format format, float largest, float outer,
                                      float tries[HT_SCALE_TRIES]);
// The same of outer scales, for a row; 0 where rows have none.
HT_API uint32_t ht_format_row_scale_tries(ht_format format, float largest,
                                          float tries[HT_SCALE_TRIES]);
// Pack with outer scales [outers] (NULL where there are none) and scales [rows][groups] that
// ht_format_scale gave (of sums of signs the first of a row's counts); each value becomes the nearest code.
HT_API void ht_desc_pack_scaled(const ht_tensor_desc *desc, const float *outer, const float *scales,
                                const float *values, void *packed);

#ifdef __cplusplus
}
#endif
#endif
