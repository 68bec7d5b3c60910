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

// How one output position along an axis reads the input: positions first..first+count-1 with
// triangle weights as wide as the reduction.
typedef struct window {
    double centre, radius;
    int64_t first, last;
} window;

static window window_at(uint32_t i, double scale, double offset, uint32_t length) {
    window w = {.centre = (i + 0.5) * scale + offset, .radius = scale > 1 ? scale : 1};
    w.first = (int64_t)ceil(w.centre - w.radius - 0.5);
    w.last = (int64_t)floor(w.centre + w.radius - 0.5);
    w.first = w.first < 0 ? 0 : w.first;
    w.last = w.last > (int64_t)length - 1 ? (int64_t)length - 1 : w.last;
    return w;
}

static double weight_at(const window *w, int64_t position) {
    double distance = fabs((double)position + 0.5 - w->centre) / w->radius;
    return distance < 1 ? 1 - distance : 0;
}

// Rows of `in` to `columns` pixels each.
static void resize_rows(const ht_image *in, double scale, double offset, uint32_t columns,
                        float *out) {
    for (uint32_t x = 0; x < columns; ++x) {
        window w = window_at(x, scale, offset, in->width);
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
                out[((size_t)y * columns + x) * 3 + c] = (float)(sum[c] / (total > 0 ? total : 1));
            }
        }
    }
}

ht_status ht_image_resize(ht_context *context, const ht_image *in, ht_image *out) {
    double across = (double)in->width / out->width, down = (double)in->height / out->height;
    double scale = across < down ? across : down;
    double left = (in->width - scale * out->width) / 2;
    double top = (in->height - scale * out->height) / 2;
    float *rows = ht_alloc(context, (size_t)out->width * in->height * 3 * sizeof(*rows));
    if (!rows) {
        return HT_ERR_NO_MEMORY;
    }
    resize_rows(in, scale, left, out->width, rows);
    for (uint32_t y = 0; y < out->height; ++y) {
        window w = window_at(y, scale, top, in->height);
        for (size_t i = 0; i < (size_t)out->width * 3; ++i) {
            double sum = 0, total = 0;
            for (int64_t r = w.first; r <= w.last; ++r) {
                double weight = weight_at(&w, r);
                total += weight;
                sum += weight * rows[(size_t)r * out->width * 3 + i];
            }
            double value = sum / (total > 0 ? total : 1);
            value = value < 0 ? 0 : value > 255 ? 255 : value;
            out->rgb[(size_t)y * out->width * 3 + i] = (uint8_t)(value + 0.5);
        }
    }
    ht_free(context, rows);
    return HT_OK;
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
