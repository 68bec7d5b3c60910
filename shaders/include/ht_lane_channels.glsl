// Which channels of a head a lane of the CPU attention kernels owns: four neighbouring ones in each
// of CHUNKS parts of 4 * LANES, and TAIL (0, 1 or 2) neighbouring ones in the part behind them, so
// that heads of 40 or 72 channels leave no lane without work. Packed results have no tail.
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

// The lane's channels of a row of v.
void load_channels(uint64_t at, out float v[WIDTH]) {
    [[unroll]] for (uint c = 0u; c < CHUNKS; c++) {
        uint quad = min(c * LANES + gl_SubgroupInvocationID, head_quads() - 1u);
        vec4 four =
            ht_decode(ht_load_raw(at, FORMAT_V, PACKED_K, quad, push.head_dim), FORMAT_V);
        [[unroll]] for (uint e = 0u; e < 4u; e++) {
            v[4u * c + e] = four[e];
        }
    }
    [[unroll]] for (uint e = 0u; e < TAIL; e++) {
        v[4u * CHUNKS + e] = ht_load(unpackUint2x32(at), FORMAT_V,
                                     min(tail_channel() + e, push.head_dim - 1u));
    }
}

// Largest size in the group that a lane's quad of chunk `c` is in: part of a chunk, or several.
float group_size(const float sizes[CHUNKS], uint c) {
    uint quads = ht_pack_group_quads(FORMAT_RESULT); // 4, 8 or 16; as many lanes
    float size = 0.0;
    if (quads > LANES) {
        uint parts = quads / LANES;
        [[unroll]] for (uint p = 0u; p < 4u; p++) {
            uint at = min(c / parts * parts + p, CHUNKS - 1u);
            size = p < parts ? max(size, sizes[at]) : size;
        }
        return subgroupMax(size);
    }
    uint mine = gl_SubgroupInvocationID / quads;
    [[unroll]] for (uint j = 0u; j < 4u; j++) {
        if (j * quads < LANES) {
            float top = subgroupMax(mine == j ? sizes[c] : 0.0);
            size = mine == j ? top : size;
        }
    }
    return size;
}

vec4 quad_of(uint i, uint c) {
    uint at = i * WIDTH + 4u * c;
    return vec4(results[at], results[at + 1u], results[at + 2u], results[at + 3u]);
}

void store_packed(uint row, uint head, uint i) {
    float sizes[CHUNKS];
    [[unroll]] for (uint c = 0u; c < CHUNKS; c++) {
        bool own = c * LANES + gl_SubgroupInvocationID < head_quads();
        sizes[c] = own ? ht_size4(ht_limited4(quad_of(i, c))) : 0.0;
    }
    [[unroll]] for (uint c = 0u; c < CHUNKS; c++) {
        uint quad = c * LANES + gl_SubgroupInvocationID;
        float size = group_size(sizes, c);
        if (quad < head_quads()) {
            store_head_packed(row, head, quad, ht_limited4(quad_of(i, c)), size);
        }
    }
}

// Row i of the results, finished.
void store_channels(uint row, uint head, uint i) {
    if (ht_is_packed(FORMAT_RESULT)) {
        store_packed(row, head, i);
        return;
    }
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
