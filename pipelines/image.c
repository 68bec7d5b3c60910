// Pictures in host memory.
#include "image.h"

#include <math.h>

ht_status ht_image_create(ht_context *context, uint32_t width, uint32_t height, ht_image *out) {
    *out = (ht_image){.width = width, .height = height};
    out->rgb = ht_alloc(context, (size_t)width * height * 3);
    return out->rgb ? HT_OK : HT_ERR_NO_MEMORY;
}

void ht_image_clear(ht_context *context, ht_image *image) {
    ht_free(context, image->rgb);
    *image = (ht_image){0};
}

static double sinc(double x) {
    const double pi = 3.14159265358979323846;
    return x == 0 ? 1 : sin(pi * x) / (pi * x);
}

// Weight at a distance, and the distance from which on it is 0.
static double weigh(ht_filter filter, double x) {
    switch (filter) {
    case HT_FILTER_BICUBIC:
        return x < 1   ? (1.5 * x - 2.5) * x * x + 1
               : x < 2 ? ((-0.5 * x + 2.5) * x - 4) * x + 2
                       : 0;
    case HT_FILTER_LANCZOS: return x < 3 ? sinc(x) * sinc(x / 3) : 0;
    default: return x < 1 ? 1 - x : 0;
    }
}

static double reach(ht_filter filter) {
    return filter == HT_FILTER_LANCZOS ? 3 : filter == HT_FILTER_BICUBIC ? 2 : 1;
}

// How one output position along an axis reads the input: positions first..last, with weights as wide
// as the reduction.
typedef struct window {
    ht_filter filter;
    double centre, scale;
    int64_t first, last;
} window;

static window window_at(ht_filter filter, uint32_t i, double scale, double offset,
                        uint32_t length) {
    window w = {.filter = filter, .centre = (i + 0.5) * scale + offset};
    w.scale = scale > 1 ? scale : 1;
    double radius = w.scale * reach(filter);
    w.first = (int64_t)ceil(w.centre - radius - 0.5);
    w.last = (int64_t)floor(w.centre + radius - 0.5);
    w.first = w.first < 0 ? 0 : w.first;
    w.last = w.last > (int64_t)length - 1 ? (int64_t)length - 1 : w.last;
    return w;
}

static double weight_at(const window *w, int64_t position) {
    return weigh(w->filter, fabs((double)position + 0.5 - w->centre) / w->scale);
}

static double to_byte_range(double value) {
    return value < 0 ? 0 : value > 255 ? 255 : value;
}

// Rows of `in` to `columns` pixels each. What overshoots is cut here already, as Pillow does it.
static void resize_rows(const ht_image *in, ht_filter filter, double scale, double offset,
                        uint32_t columns, float *out) {
    for (uint32_t x = 0; x < columns; ++x) {
        window w = window_at(filter, x, scale, offset, in->width);
        for (uint32_t y = 0; y < in->height; ++y) {
            double sum[3] = {0}, total = 0;
            for (int64_t i = w.first; i <= w.last; ++i) {
                const uint8_t *pixel = in->rgb + ((size_t)y * in->width + (size_t)i) * 3;
                double weight = weight_at(&w, i);
                total += weight;
                for (int c = 0; c < 3; ++c) {
                    sum[c] += weight * pixel[c];
                }
            }
            for (int c = 0; c < 3; ++c) {
                out[((size_t)y * columns + x) * 3 + c] = (float)to_byte_range(sum[c] / total);
            }
        }
    }
}

// The part of `from` that covers `to` without changing its proportions: steps of the input per
// output, and where it begins.
static double cover(const uint32_t from[2], const uint32_t to[2], double begin[2]) {
    double down = (double)from[0] / to[0], across = (double)from[1] / to[1];
    double scale = across < down ? across : down;
    begin[0] = (from[0] - scale * to[0]) / 2;
    begin[1] = (from[1] - scale * to[1]) / 2;
    return scale;
}

ht_status ht_image_resize_by(ht_context *context, const ht_image *in, ht_filter filter,
                             ht_image *out) {
    double begin[2];
    double scale = cover((uint32_t[]){in->height, in->width},
                         (uint32_t[]){out->height, out->width}, begin);
    float *rows = ht_alloc(context, (size_t)out->width * in->height * 3 * sizeof(*rows));
    if (!rows) {
        return HT_ERR_NO_MEMORY;
    }
    resize_rows(in, filter, scale, begin[1], out->width, rows);
    for (uint32_t y = 0; y < out->height; ++y) {
        window w = window_at(filter, y, scale, begin[0], in->height);
        for (size_t i = 0; i < (size_t)out->width * 3; ++i) {
            double sum = 0, total = 0;
            for (int64_t r = w.first; r <= w.last; ++r) {
                double weight = weight_at(&w, r);
                total += weight;
                sum += weight * rows[(size_t)r * out->width * 3 + i];
            }
            double value = to_byte_range(sum / total);
            out->rgb[(size_t)y * out->width * 3 + i] = (uint8_t)(value + 0.5);
        }
    }
    ht_free(context, rows);
    return HT_OK;
}

ht_status ht_image_resize(ht_context *context, const ht_image *in, ht_image *out) {
    return ht_image_resize_by(context, in, HT_FILTER_TRIANGLE, out);
}

// Two neighbours along an axis and the share of the second.
static float neighbours(uint32_t i, double scale, double begin, uint32_t length, bool nearest,
                        uint32_t at[2]) {
    double x = nearest ? floor(i * scale + begin) : (i + 0.5) * scale + begin - 0.5;
    x = x < 0 ? 0 : x > length - 1 ? length - 1 : x;
    at[0] = (uint32_t)x;
    at[1] = at[0] + 1 < length ? at[0] + 1 : at[0];
    return (float)(x - at[0]);
}

void ht_planes_resize(const float *in, uint32_t channels, const uint32_t from[2],
                      const uint32_t to[2], bool nearest, float *out) {
    double begin[2], scale = cover(from, to, begin);
    for (uint32_t y = 0; y < to[0]; ++y) {
        uint32_t rows[2], columns[2];
        float down = neighbours(y, scale, begin[0], from[0], nearest, rows);
        for (uint32_t x = 0; x < to[1]; ++x) {
            float across = neighbours(x, scale, begin[1], from[1], nearest, columns);
            for (uint32_t c = 0; c < channels; ++c) {
                const float *a = in + ((size_t)c * from[0] + rows[0]) * from[1];
                const float *b = in + ((size_t)c * from[0] + rows[1]) * from[1];
                float top = a[columns[0]] * (1 - across) + a[columns[1]] * across;
                float bottom = b[columns[0]] * (1 - across) + b[columns[1]] * across;
                out[((size_t)c * to[0] + y) * to[1] + x] = top * (1 - down) + bottom * down;
            }
        }
    }
}

void ht_image_from_floats(const float *values, ht_image *out) {
    size_t count = (size_t)out->width * out->height * 3;
    for (size_t i = 0; i < count; ++i) {
        float unit = values[i] * 0.5f + 0.5f;
        unit = unit < 0 ? 0 : unit > 1 ? 1 : unit;
        out->rgb[i] = (uint8_t)rintf(unit * 255.0f);
    }
}

void ht_image_to_floats(const ht_image *image, float *values) {
    size_t count = (size_t)image->width * image->height * 3;
    for (size_t i = 0; i < count; ++i) {
        values[i] = (float)image->rgb[i] / 127.5f - 1.0f;
    }
}

void ht_planes_to_pixels(const float *planes, uint32_t channels, size_t positions, float *pixels) {
    for (uint32_t c = 0; c < channels; ++c) {
        for (size_t i = 0; i < positions; ++i) {
            pixels[i * channels + c] = planes[c * positions + i];
        }
    }
}

void ht_pixels_to_planes(const float *pixels, uint32_t channels, size_t positions, float *planes) {
    for (uint32_t c = 0; c < channels; ++c) {
        for (size_t i = 0; i < positions; ++i) {
            planes[c * positions + i] = pixels[i * channels + c];
        }
    }
}
