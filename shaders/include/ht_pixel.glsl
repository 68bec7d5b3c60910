// Where the rows of a gemm kernel read x. Include after gemm.shared.h and ht_epilogue.glsl.
#ifndef HT_PIXEL_GLSL
#define HT_PIXEL_GLSL

struct Pixel { // where a row of the result reads x
    uint image;
    int y, x; // of tap (0, 0), upsampled and padded
};

Pixel pixel_of(uint row) {
    uint line = row / push.out_w;
    uint image = line / push.out_h;
    return Pixel(image, int((line - image * push.out_h) * push.stride) - push.pad_top,
                 int((row - line * push.out_w) * push.stride) - push.pad_left);
}

// The pixel of x (a row of its values) that `p` reads at a tap; valid = 0 in the padding.
uint pixel_row(Pixel p, int tap_y, int tap_x, out uint valid) {
    int y = p.y + tap_y;
    int x = p.x + tap_x;
    bool inside = y >= 0 && x >= 0 && y < int(push.in_h * push.upsample) &&
                  x < int(push.in_w * push.upsample);
    valid = inside ? 0xffffffffu : 0u;
    if (push.upsample == 2u) { // the only other size; a shift instead of a division per lane
        y >>= 1;
        x >>= 1;
    }
    return inside ? (p.image * push.in_h + uint(y)) * push.in_w + uint(x) : 0u;
}

// Address of its first channel, when x is not packed.
uint64_t pixel_address(Pixel p, int tap_y, int tap_x, out uint valid) {
    uint at = pixel_row(p, tap_y, tap_x, valid);
    return packUint2x32(push.x) + uint64_t(at) * (push.depth * ht_value_bytes(FORMAT_X));
}

#endif
