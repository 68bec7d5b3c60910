// Reference of conv2d: channels-last, zero padding, optional nearest-neighbour enlargement first.
#include "ref_gemm.h"

// The pixel that a tap reads, or NULL in the padding.
static const float *pixel(const float *x, const ht_ref_conv2d_args *a, uint32_t image, int64_t y,
                          int64_t column) {
    if (y < 0 || column < 0 || y >= (int64_t)a->in_h * a->upsample ||
        column >= (int64_t)a->in_w * a->upsample) {
        return NULL;
    }
    const uint64_t line = (uint64_t)image * a->in_h + (uint64_t)y / a->upsample;
    return x + (line * a->in_w + (uint64_t)column / a->upsample) * a->in_channels;
}

static double sum_at(const float *x, const float *w, const ht_ref_conv2d_args *a, uint32_t image,
                     uint32_t oy, uint32_t ox) {
    double sum = 0.0;
    for (uint32_t ty = 0; ty < a->kernel_h; ty++) {
        for (uint32_t tx = 0; tx < a->kernel_w; tx++) {
            const float *p = pixel(x, a, image, (int64_t)oy * a->stride + ty - a->pad_top,
                                   (int64_t)ox * a->stride + tx - a->pad_left);
            const float *tap = w + ((uint64_t)ty * a->kernel_w + tx) * a->in_channels;
            for (uint32_t c = 0; c < a->in_channels && p != NULL; c++) {
                sum += (double)p[c] * tap[c];
            }
        }
    }
    return sum;
}

void ht_ref_conv2d(const float *x, const float *w, const ht_ref_conv2d_args *a, float *out) {
    const uint64_t w_row = (uint64_t)a->kernel_h * a->kernel_w * a->in_channels;
    uint64_t row = 0;
    for (uint32_t b = 0; b < a->batch; b++) {
        for (uint32_t oy = 0; oy < a->out_h; oy++) {
            for (uint32_t ox = 0; ox < a->out_w; ox++, row++) {
                for (uint32_t n = 0; n < a->out_channels; n++) {
                    out[row * a->out_channels + n] =
                        ht_ref_finish(&a->epilogue, row, n, a->out_channels,
                                      sum_at(x, w + n * w_row, a, b, oy, ox));
                }
            }
        }
    }
}
