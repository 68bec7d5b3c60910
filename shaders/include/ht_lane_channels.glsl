// Which channels of a head a lane of the CPU attention kernels owns: four neighbouring ones in each
// of CHUNKS parts of 4 * LANES, and TAIL (0, 1 or 2) neighbouring ones in the part behind them, so
// that heads of 40 or 72 channels leave no lane without work.
// Needs LANES, TILE_M, CHUNKS, TAIL and ht_attention.glsl.
#ifndef HT_LANE_CHANNELS_GLSL
#define HT_LANE_CHANNELS_GLSL

const uint WIDTH = 4u * CHUNKS + TAIL; // channels of a lane

float results[TILE_M * WIDTH];

uint head_quads() { return (push.head_dim + 3u) / 4u; }

uint tail_channel() { return 4u * CHUNKS * LANES + TAIL * gl_SubgroupInvocationID; }

void clear_results() {
    [[unroll]] for (uint n = 0u; n < TILE_M * WIDTH; n++) {
        results[n] = 0.0;
    }
}

void shrink_results(uint i, float factor) {
    [[unroll]] for (uint w = 0u; w < WIDTH; w++) {
        results[i * WIDTH + w] *= factor;
    }
}

vec4 quad_of(uint i, uint c) {
    uint at = i * WIDTH + 4u * c;
    return vec4(results[at], results[at + 1u], results[at + 2u], results[at + 3u]);
}

// Row i of the results, finished, as floats.
void store_channels(uint row, uint head, uint i) {
    [[unroll]] for (uint c = 0u; c < CHUNKS; c++) {
        uint quad = c * LANES + gl_SubgroupInvocationID;
        if (quad < head_quads()) {
            store_head(row, head, quad, quad_of(i, c));
        }
    }
    [[unroll]] for (uint e = 0u; e < TAIL; e++) {
        uint channel = tail_channel() + e;
        if (channel < push.head_dim) {
            ht_store(push.result, FORMAT_RESULT,
                     (row * push.heads + head) * push.head_dim + channel,
                     results[i * WIDTH + 4u * CHUNKS + e]);
        }
    }
}

#endif
