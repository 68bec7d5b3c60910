// Block statistics of attentions: what each order of the tokens makes of a head's map.
#include <halftone/attention.h>

#include "core.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = HT_ATTENTION_BLOCK_TOKENS, MAX_ORDERS = HT_ATTENTION_ORDERS };
static const double HELD = 0.95;        // of a row's mass
static const double EMPTY = 0.1;        // of what an even attention gives a block
static const double INDIFFERENT = 0.02; // of a score

struct ht_attention_stats {
    ht_context *context;
    ht_attention_grid grid;
    uint32_t heads, head_dim, tokens, blocks, orders, pictures;
    int32_t *order;      // [orders, tokens] token at a position
    uint32_t *block_of;  // [orders, tokens] block of a token
    float *masses;       // [heads, orders, blocks, blocks] summed over pictures
    double *incoherence; // [heads, orders] likewise
};

static uint32_t order_count(const ht_attention_grid *grid) {
    return grid->frames > 1 ? HT_ATTENTION_ORDERS : 2;
}

static uint64_t map_size(const ht_attention_stats *s) {
    return (uint64_t)s->blocks * s->blocks;
}

static void *zeros(ht_context *context, uint64_t bytes) {
    void *memory = ht_alloc(context, bytes);
    if (memory != NULL) {
        memset(memory, 0, bytes);
    }
    return memory;
}

ht_status ht_attention_stats_create(ht_context *context, const ht_attention_grid *grid,
                                    uint32_t heads, uint32_t head_dim, ht_attention_stats **out) {
    ht_attention_stats *s = zeros(context, sizeof *s);
    *out = s;
    if (s == NULL) {
        return HT_ERR_NO_MEMORY;
    }
    *s = (ht_attention_stats){.context = context,
                              .grid = *grid,
                              .heads = heads,
                              .head_dim = head_dim,
                              .tokens = ht_attention_grid_tokens(grid),
                              .orders = order_count(grid)};
    s->blocks = ht_attention_block_count(s->tokens);
    const uint64_t all = (uint64_t)s->orders * s->tokens;
    s->order = ht_alloc(context, all * sizeof *s->order);
    s->block_of = ht_alloc(context, all * sizeof *s->block_of);
    s->masses = zeros(context, heads * s->orders * map_size(s) * sizeof *s->masses);
    s->incoherence = zeros(context, (uint64_t)heads * s->orders * sizeof *s->incoherence);
    if (s->order == NULL || s->block_of == NULL || s->masses == NULL || s->incoherence == NULL) {
        ht_attention_stats_destroy(out);
        return HT_ERR_NO_MEMORY;
    }
    for (uint32_t o = 0; o < s->orders; o++) {
        int32_t *order = s->order + (uint64_t)o * s->tokens;
        ht_attention_order(grid, o, order);
        for (uint32_t n = 0; n < s->tokens; n++) {
            s->block_of[(uint64_t)o * s->tokens + (uint32_t)order[n]] = n / BLOCK;
        }
    }
    return HT_OK;
}

void ht_attention_stats_destroy(ht_attention_stats **stats) {
    ht_attention_stats *s = *stats;
    if (s != NULL) {
        ht_free(s->context, s->order);
        ht_free(s->context, s->block_of);
        ht_free(s->context, s->masses);
        ht_free(s->context, s->incoherence);
        ht_free(s->context, s);
    }
    *stats = NULL;
}

const ht_attention_grid *ht_attention_stats_grid(const ht_attention_stats *stats) {
    return &stats->grid;
}

uint32_t ht_attention_stats_heads(const ht_attention_stats *stats) {
    return stats->heads;
}

typedef struct job {
    ht_attention_stats *stats;
    const float *q, *k;
    float *maps;    // [heads, orders, blocks, blocks] of this picture
    float *largest; // the same: largest share of a query in a block
    float *shares;  // [heads, tokens] of one query
    float *keys;    // [heads, head_dim, tokens]
} job;

// Keys of a head, channel by channel, so that the loop over tokens is the inner one.
static void transpose(const ht_attention_stats *s, const float *k, float *out) {
    const uint64_t width = (uint64_t)s->heads * s->head_dim;
    for (uint32_t n = 0; n < s->tokens; n++) {
        for (uint32_t d = 0; d < s->head_dim; d++) {
            out[(uint64_t)d * s->tokens + n] = k[n * width + d];
        }
    }
}

// shares = softmax of one query over all tokens; keys [head_dim, tokens].
static void attend(const ht_attention_stats *s, const float *q, const float *keys, float *shares) {
    const float scale = 1.0f / sqrtf((float)s->head_dim);
    float highest = -INFINITY, total = 0.0f;
    memset(shares, 0, s->tokens * sizeof *shares);
    for (uint32_t d = 0; d < s->head_dim; d++) {
        const float *row = keys + (uint64_t)d * s->tokens;
        const float factor = q[d] * scale;
        for (uint32_t n = 0; n < s->tokens; n++) {
            shares[n] += factor * row[n];
        }
    }
    for (uint32_t n = 0; n < s->tokens; n++) {
        highest = shares[n] > highest ? shares[n] : highest;
    }
    for (uint32_t n = 0; n < s->tokens; n++) {
        shares[n] = expf(shares[n] - highest);
        total += shares[n];
    }
    for (uint32_t n = 0; n < s->tokens; n++) {
        shares[n] /= total;
    }
}

static uint32_t rows_in(const ht_attention_stats *s, uint32_t block) {
    const uint32_t left = s->tokens - block * BLOCK;
    return left < BLOCK ? left : BLOCK;
}

// Mean of largest / mean over the blocks that are not empty.
static double incoherence(const ht_attention_stats *s, const float *map, const float *largest) {
    double sum = 0.0;
    uint64_t count = 0;
    for (uint64_t i = 0; i < map_size(s); i++) {
        const double entries =
            (double)rows_in(s, (uint32_t)(i / s->blocks)) * rows_in(s, (uint32_t)(i % s->blocks));
        const double mean = map[i] / entries;
        if (mean * s->tokens > EMPTY) {
            sum += largest[i] / mean;
            count++;
        }
    }
    return count > 0 ? sum / (double)count : 1.0;
}

static void add_heads(void *user, uint64_t first, uint64_t count) {
    const job *j = user;
    ht_attention_stats *s = j->stats;
    const uint64_t width = (uint64_t)s->heads * s->head_dim;
    for (uint64_t head = first; head < first + count; head++) {
        float *maps = j->maps + head * s->orders * map_size(s);
        float *largest = j->largest + head * s->orders * map_size(s);
        float *shares = j->shares + head * s->tokens;
        float *keys = j->keys + head * s->head_dim * s->tokens;
        transpose(s, j->k + head * s->head_dim, keys);
        for (uint32_t n = 0; n < s->tokens; n++) {
            attend(s, j->q + n * width + head * s->head_dim, keys, shares);
            for (uint32_t o = 0; o < s->orders; o++) {
                const uint32_t *block_of = s->block_of + (uint64_t)o * s->tokens;
                const uint64_t row = o * map_size(s) + (uint64_t)block_of[n] * s->blocks;
                for (uint32_t key = 0; key < s->tokens; key++) {
                    const uint64_t at = row + block_of[key];
                    maps[at] += shares[key];
                    largest[at] = shares[key] > largest[at] ? shares[key] : largest[at];
                }
            }
        }
        for (uint32_t o = 0; o < s->orders; o++) {
            const float *map = maps + o * map_size(s);
            float *sums = s->masses + (head * s->orders + o) * map_size(s);
            s->incoherence[head * s->orders + o] += incoherence(s, map, largest + o * map_size(s));
            for (uint64_t i = 0; i < map_size(s); i++) {
                sums[i] += map[i] / (float)rows_in(s, (uint32_t)(i / s->blocks));
            }
        }
    }
}

ht_status ht_attention_stats_add(ht_attention_stats *stats, const float *q, const float *k) {
    const uint64_t bytes = stats->heads * stats->orders * map_size(stats) * sizeof(float);
    job j = {.stats = stats,
             .q = q,
             .k = k,
             .maps = zeros(stats->context, bytes),
             .largest = zeros(stats->context, bytes),
             .keys = ht_alloc(stats->context, (uint64_t)stats->heads * stats->tokens *
                                                  stats->head_dim * sizeof(float)),
             .shares =
                 ht_alloc(stats->context, (uint64_t)stats->heads * stats->tokens * sizeof(float))};
    const bool good = j.maps != NULL && j.largest != NULL && j.shares != NULL && j.keys != NULL;
    if (good) {
        ht_parallel(stats->heads, 1, add_heads, &j);
        stats->pictures++;
    }
    ht_free(stats->context, j.maps);
    ht_free(stats->context, j.largest);
    ht_free(stats->context, j.shares);
    ht_free(stats->context, j.keys);
    return good ? HT_OK : HT_ERR_NO_MEMORY;
}

void ht_attention_stats_merge(ht_attention_stats *into, const ht_attention_stats *from) {
    const uint64_t maps = (uint64_t)into->heads * into->orders;
    for (uint64_t i = 0; i < maps * map_size(into); i++) {
        into->masses[i] += from->masses[i];
    }
    for (uint64_t i = 0; i < maps; i++) {
        into->incoherence[i] += from->incoherence[i];
    }
    into->pictures += from->pictures;
}

static int falling(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return x < y ? 1 : x > y ? -1 : 0;
}

// Share of a row's blocks that hold most of its mass. `row` is sorted.
static double row_density(float *row, uint32_t blocks) {
    double total = 0.0, sum = 0.0;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < blocks; i++) {
        total += row[i];
    }
    qsort(row, blocks, sizeof *row, falling);
    while (kept < blocks && sum < HELD * total) {
        sum += row[kept++];
    }
    return (double)kept / blocks;
}

ht_attention_quality ht_attention_stats_quality(const ht_attention_stats *stats, uint32_t head,
                                                uint32_t order) {
    const uint64_t at = (uint64_t)head * stats->orders + order;
    const double pictures = stats->pictures > 0 ? stats->pictures : 1;
    ht_attention_quality q = {.density = 1.0, .incoherence = stats->incoherence[at] / pictures};
    float *row = ht_alloc(stats->context, stats->blocks * sizeof *row);
    if (row != NULL) {
        q.density = 0.0;
        for (uint32_t u = 0; u < stats->blocks; u++) {
            memcpy(row, stats->masses + at * map_size(stats) + (uint64_t)u * stats->blocks,
                   stats->blocks * sizeof *row);
            q.density += row_density(row, stats->blocks) / stats->blocks;
        }
        ht_free(stats->context, row);
    }
    return q;
}

uint32_t ht_attention_stats_order(const ht_attention_stats *stats, uint32_t head) {
    ht_attention_quality q[MAX_ORDERS];
    double sparse = 0.0, rough = 0.0, best = 0.0;
    uint32_t order = 0;
    for (uint32_t o = 0; o < stats->orders; o++) {
        q[o] = ht_attention_stats_quality(stats, head, o);
        sparse += 1.0 - q[o].density;
        rough += q[o].incoherence;
    }
    for (uint32_t o = 0; o < stats->orders; o++) {
        const double share = sparse > 0.0 ? (1.0 - q[o].density) / sparse : 0.0;
        const double score = 0.5 * share + 0.5 * (1.0 - q[o].incoherence / fmax(rough, 1e-30));
        if (o == 0 || score > best * (1.0 + INDIFFERENT)) {
            best = score;
            order = o;
        }
    }
    return order;
}

void ht_attention_stats_masses(const ht_attention_stats *stats, uint32_t head, uint32_t order,
                               float *masses) {
    const float *sums = stats->masses + ((uint64_t)head * stats->orders + order) * map_size(stats);
    const float pictures = stats->pictures > 0 ? (float)stats->pictures : 1.0f;
    for (uint64_t i = 0; i < map_size(stats); i++) {
        masses[i] = sums[i] / pictures;
    }
}
