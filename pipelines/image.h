// Pictures in host memory: 8-bit RGB, and f32 with interleaved channels in -1..1.
#ifndef HALFTONE_PIPELINES_IMAGE_H
#define HALFTONE_PIPELINES_IMAGE_H

#include <halftone/context.h>

// 8-bit RGB, rows from the top, no padding. Zeroed: no picture.
typedef struct ht_image {
    uint32_t width, height;
    uint8_t *rgb; // width * height * 3, from ht_alloc
} ht_image;

HT_API ht_status ht_image_create(ht_context *context, uint32_t width, uint32_t height,
                                 ht_image *out);
HT_API void ht_image_clear(ht_context *context, ht_image *image);

// Weights by distance: of 1 (linear), 2 (Keys 1981, a = -1/2) or 3 (windowed sinc) pixels.
typedef enum ht_filter { HT_FILTER_TRIANGLE, HT_FILTER_BICUBIC, HT_FILTER_LANCZOS } ht_filter;

// Scale so that the whole of `out` (its size set, its pixels allocated) is covered, and cut what
// sticks out evenly; averaging when the picture gets smaller.
HT_API ht_status ht_image_resize(ht_context *context, const ht_image *in, ht_image *out);
// The same with another filter than the triangle.
HT_API ht_status ht_image_resize_by(ht_context *context, const ht_image *in, ht_filter filter,
                                    ht_image *out);
// Planes of floats, [channels, h, w], likewise; between the four nearest values, or the nearest one.
HT_API void ht_planes_resize(const float *in, uint32_t channels, const uint32_t from[2],
                             const uint32_t to[2], bool nearest, float *out);

// round((x / 2 + 0.5) * 255), clamped.   values [height, width, 3]
HT_API void ht_image_from_floats(const float *values, ht_image *out);
HT_API void ht_image_to_floats(const ht_image *image, float *values);

// [channels, positions] <-> [positions, channels]
HT_API void ht_planes_to_pixels(const float *planes, uint32_t channels, size_t positions,
                                float *pixels);
HT_API void ht_pixels_to_planes(const float *pixels, uint32_t channels, size_t positions,
                                float *planes);

#endif
