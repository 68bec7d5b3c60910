// conv2d by Winograd's F(4 x 4, 3 x 3): a transformation of x and one of w, 36 matrix products, and
// one back with the epilogue (shaders/include/ht_winograd.glsl). A quarter of the multiplications.
// Filters are transformed anew in each run: kept, they would take eight times the memory of f16.
#include "gemm.h"

enum {
    PRODUCTS = 36,
    SIDE = 4, // of a tile of results
    // Tiles are taken in chunks of this size, which stay in the last-level cache.
    CHUNK_BYTES = 16 << 20,
    MAX_FILTER_BYTES = 64 << 20,
    // Fewer pixels do not pay for transforming w, fewer channels not for transforming x.
    MIN_PIXELS = 1024,
    MIN_CHANNELS = 64,
};

typedef struct plan {
    uint32_t tiles, chunk; // all, and at once
    uint64_t filter_bytes, x_bytes, product_bytes;
} plan;

static plan make_plan(const ht_push_gemm *push) {
    const uint32_t across = (push->out_w + SIDE - 1) / SIDE;
    const uint32_t down = (push->out_h + SIDE - 1) / SIDE;
    const uint64_t value = PRODUCTS * sizeof(float);
    plan p = {.tiles = push->rows / (push->out_h * push->out_w) * across * down};
    p.chunk = ht_op_min(CHUNK_BYTES / (value * (push->depth + push->columns)) + 1, p.tiles);
    p.filter_bytes = value * push->columns * push->depth;
    p.x_bytes = value * p.chunk * push->depth;
    p.product_bytes = value * p.chunk * push->columns;
    return p;
}

// Kernels load and store words of 64 bits. While the graph is built the addresses are 0.
static bool is_aligned(const ht_op_call *call) {
    uint64_t all = call->out_address;
    for (uint32_t i = 0; i < call->n_inputs; i++) {
        all |= call->in_address[i];
    }
    return all % 8 == 0;
}

bool ht_op_use_winograd(const ht_op_call *call, const ht_push_gemm *push) {
    const uint64_t both = (uint64_t)push->depth + push->columns;
    return is_aligned(call) && ht_op_use_cpu_kernel(call) && ht_op_is_float(&call->in[GEMM_X]) &&
           ht_op_is_float(&call->in[GEMM_W]) && push->kernel_h == 3 && push->kernel_w == 3 &&
           push->stride == 1 && push->depth % 4 == 0 && push->columns % 4 == 0 &&
           (uint64_t)push->out_h * push->out_w >= MIN_PIXELS &&
           2 * (uint64_t)push->depth * push->columns >= MIN_CHANNELS * both &&
           make_plan(push).filter_bytes <= MAX_FILTER_BYTES;
}

uint64_t ht_op_winograd_scratch(const ht_push_gemm *push) {
    const plan p = make_plan(push);
    return p.filter_bytes + p.x_bytes + p.product_bytes;
}

static ht_status transform(const ht_op_call *call, ht_vk_kernel kernel, const ht_push_gemm *push,
                           ht_activation act, uint64_t quads, ht_vk_commands *commands) {
    ht_vk_dispatch_desc dispatch = {
        .kernel = kernel,
        .constants = {0, call->in[GEMM_X].format, call->in[GEMM_W].format, call->out.format,
                      ht_op_gemm_format(call, GEMM_GATE), ht_op_gemm_format(call, GEMM_RESIDUAL),
                      act, true, true},
        .n_constants = 9,
        .push = push,
        .push_bytes = sizeof *push,
    };
    return ht_op_dispatch_flat(call, commands, &dispatch, quads);
}

// The products of `rows` tiles, for each of the 36 places.
static ht_status multiply(const ht_op_call *call, const plan *p, uint32_t rows, uint32_t depth,
                          uint32_t columns, ht_vk_commands *commands) {
    ht_op_call linear = {.context = call->context,
                         .label = call->label,
                         .n_inputs = GEMM_W + 1,
                         .in = {{.format = HT_FORMAT_F32, .rank = 2, .dims = {rows, depth}},
                                {.format = HT_FORMAT_F32, .rank = 2, .dims = {columns, depth}}},
                         .out = {.format = HT_FORMAT_F32, .rank = 2, .dims = {rows, columns}}};
    const uint64_t filters = call->scratch_address;
    const uint64_t x = filters + p->filter_bytes;
    const uint64_t products = x + p->x_bytes;
    ht_status status = HT_OK;
    for (uint64_t i = 0; i < PRODUCTS; i++) {
        ht_push_gemm push = ht_op_linear_push(rows, columns, depth);
        linear.in_address[GEMM_X] = x + i * rows * depth * sizeof(float);
        linear.in_address[GEMM_W] = filters + i * columns * depth * sizeof(float);
        linear.out_address = products + i * rows * columns * sizeof(float);
        HT_TRY(ht_op_record_gemm(&linear, &push, HT_ACT_NONE, commands));
    }
fail:
    return status;
}

ht_status ht_op_record_winograd(const ht_op_call *call, const ht_push_gemm *geometry,
                                ht_activation act, ht_vk_commands *commands) {
    const plan p = make_plan(geometry);
    const uint64_t x_quads = geometry->depth / 4;
    const uint64_t columns = geometry->columns;
    ht_push_gemm push = *geometry;
    ht_status status = HT_OK;
    ht_op_gemm_addresses(call, &push);
    const uint64_t x = push.x, result = push.result;
    push.result = call->scratch_address;
    HT_TRY(transform(call, HT_KERNEL_winograd_weights, &push, act, columns * x_quads, commands));
    for (uint32_t first = 0; first < p.tiles; first += p.chunk) {
        push.band = first;
        push.tiles_m = (uint32_t)ht_op_min(p.chunk, p.tiles - first);
        push.x = x;
        push.result = call->scratch_address + p.filter_bytes;
        HT_TRY(transform(call, HT_KERNEL_winograd_input, &push, act, push.tiles_m * x_quads,
                         commands));
        ht_vk_barrier(commands);
        HT_TRY(multiply(call, &p, push.tiles_m, push.depth, push.columns, commands));
        ht_vk_barrier(commands);
        push.x = call->scratch_address + p.filter_bytes + p.x_bytes;
        push.result = result;
        HT_TRY(transform(call, HT_KERNEL_winograd_output, &push, act,
                         push.tiles_m * (columns / 4), commands));
    }
fail:
    return status;
}
