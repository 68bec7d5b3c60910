// Which blocks of residual stacks are on the device. Blocks lie on a stack of their own: in the order of
// the file, one behind the other in a few allocations, so that the last ones can go, and come again,
// while the others stay where they are.
#include "stack.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 1 << 20, BLOCK_ALIGNMENT = 16 };

typedef struct place {
    ht_stack *stack;
    uint32_t shard, block;
    uint32_t chunk; // where it is on the device
    uint64_t begin; // there
} place;

typedef struct chunk {
    ht_vk_range range;
    uint64_t used;
} chunk;

typedef struct ht_stacks {
    place *places; // in the order of the files
    uint32_t count, loaded, wanted;
    uint64_t fixed, bytes, read;
    chunk *chunks;
    uint32_t n_chunks;
    bool in_use; // a graph has a stack: what is wanted is on the device
} ht_stacks;

static uint64_t taken(const place *p) {
    return (p->stack->at.bytes + BLOCK_ALIGNMENT - 1) / BLOCK_ALIGNMENT * BLOCK_ALIGNMENT;
}

// ---- the order

static int by_offset(const void *a, const void *b) {
    const place *x = a, *y = b;
    const uint64_t at = x->stack->block[x->block].offset, other = y->stack->block[y->block].offset;
    if (x->shard != y->shard) {
        return x->shard < y->shard ? -1 : 1;
    }
    return at < other ? -1 : at > other;
}

// Bytes on the device of everything that is no stack.
static uint64_t fixed_bytes(const ht_weights *weights) {
    uint64_t sum = 0;
    for (uint32_t i = 0; i < weights->n_entries; i++) {
        const ht_weights_entry *entry = &weights->entries[i];
        ht_tensor_desc desc = entry->info.desc;
        if (entry->stack) {
            sum += sizeof(ht_stack_table);
        } else if (entry->parts[HT_PART_CODES]) {
            sum += entry->info.bytes;
        } else if (desc.format != HT_FORMAT_NONE) {
            desc.format = desc.rank < 2                       ? HT_FORMAT_F32
                          : weights->format != HT_FORMAT_NONE ? weights->format
                                                              : desc.format;
            sum += ht_desc_bytes(&desc);
        }
    }
    return sum;
}

static ht_status get_stacks(ht_weights *weights, ht_stacks **out) {
    uint32_t count = 0;
    *out = weights->stacks;
    if (*out) {
        return HT_OK;
    }
    for (uint32_t i = 0; i < weights->n_entries; i++) {
        count += weights->entries[i].stack ? weights->entries[i].stack->blocks : 0;
    }
    ht_stacks *all = ht_alloc(weights->context, sizeof *all);
    place *places = all ? ht_alloc(weights->context, (count + 1) * sizeof *places) : NULL;
    if (!places) {
        ht_free(weights->context, all);
        return HT_ERR_NO_MEMORY;
    }
    *all = (ht_stacks){.places = places};
    for (uint32_t i = 0; i < weights->n_entries; i++) {
        const ht_weights_entry *entry = &weights->entries[i];
        ht_stack *stack = entry->stack;
        for (uint32_t b = 0; stack && !stack->listed && b < stack->blocks; b++) {
            places[all->count++] = (place){stack, entry->shard, b, 0, 0};
        }
        if (stack) {
            stack->listed = true;
        }
    }
    if (all->count > 0) {
        qsort(places, all->count, sizeof *places, by_offset);
    }
    all->wanted = all->count;
    all->fixed = fixed_bytes(weights);
    *out = weights->stacks = all;
    return HT_OK;
}

// ---- blocks come and go

static ht_status write_table(ht_weights *weights, const ht_stack *stack) {
    ht_stack_table table = {.count = stack->loaded};
    if (!stack->table.block) {
        return HT_OK;
    }
    for (uint32_t b = 0; b < stack->loaded; b++) {
        table.blocks[b] = stack->block[b].address;
    }
    return ht_vk_write(weights->context, &stack->table, 0, &table, sizeof table);
}

// A chunk with room for the next block: no larger than what is still to come.
static ht_status take_chunk(ht_weights *weights, ht_stacks *all, uint64_t bytes) {
    uint64_t rest = 0;
    if (all->n_chunks > 0) {
        const chunk *last = &all->chunks[all->n_chunks - 1];
        if (last->range.bytes - last->used >= bytes) {
            return HT_OK;
        }
    }
    for (uint32_t i = all->loaded; i < all->wanted && rest < CHUNK_BYTES; i++) {
        rest += taken(&all->places[i]);
    }
    rest = rest > CHUNK_BYTES ? CHUNK_BYTES : rest;
    chunk *larger = ht_realloc(weights->context, all->chunks, (all->n_chunks + 1) * sizeof *larger);
    if (!larger) {
        return HT_ERR_NO_MEMORY;
    }
    all->chunks = larger;
    larger[all->n_chunks] = (chunk){0};
    const ht_status status = ht_vk_alloc(weights->context, rest > bytes ? rest : bytes,
                                         "blocks of weights", &larger[all->n_chunks].range);
    if (status == HT_OK) {
        weights->device_bytes += larger[all->n_chunks].range.bytes;
        all->n_chunks++;
    }
    return status;
}

static ht_status load_next(ht_weights *weights, ht_stacks *all) {
    place *p = &all->places[all->loaded];
    ht_stack *stack = p->stack;
    const uint8_t *data = stack->block[p->block].data;
    ht_status status = HT_OK;
    if (!ht_stack_is_finite(&stack->at, data)) {
        return ht_fail(
            weights->context, HT_ERR_IO,
            "weights '%s': block %u of a stack, at byte %llu, has magnitudes that are no "
            "numbers",
            weights->path, p->block, (unsigned long long)stack->block[p->block].offset);
    }
    HT_TRY(take_chunk(weights, all, taken(p)));
    chunk *to = &all->chunks[all->n_chunks - 1];
    p->chunk = all->n_chunks - 1;
    p->begin = to->used;
    HT_TRY(ht_vk_write(weights->context, &to->range, p->begin, data, stack->at.bytes));
    to->used += taken(p);
    stack->block[p->block].address = to->range.address + p->begin;
    stack->loaded = p->block + 1;
    all->bytes += stack->at.bytes;
    all->read += stack->at.bytes;
    all->loaded++;
    status = write_table(weights, stack);
    ht_file_map_forget(&weights->shards[p->shard].map, stack->block[p->block].offset,
                       stack->at.bytes);
fail:
    return status;
}

static ht_status drop_last(ht_weights *weights, ht_stacks *all) {
    const place *p = &all->places[--all->loaded];
    chunk *from = &all->chunks[p->chunk];
    p->stack->loaded = p->block;
    p->stack->block[p->block].address = 0;
    all->bytes -= p->stack->at.bytes;
    from->used = p->begin;
    if (from->used == 0) {
        weights->device_bytes -= from->range.bytes;
        ht_vk_free(weights->context, &from->range);
        all->n_chunks--;
    }
    return write_table(weights, p->stack);
}

static ht_status move_to_wanted(ht_weights *weights, ht_stacks *all) {
    ht_status status = HT_OK;
    while (status == HT_OK && all->in_use && all->loaded != all->wanted) {
        status = all->loaded < all->wanted ? load_next(weights, all) : drop_last(weights, all);
    }
    return status;
}

// ---- budgets

// Blocks of the order until every stack has its first.
static uint32_t least_blocks(const ht_stacks *all) {
    uint32_t least = 0;
    for (uint32_t i = 0; i < all->count; i++) {
        least = all->places[i].block == 0 ? i + 1 : least;
    }
    return least;
}

static uint64_t bytes_of(const ht_stacks *all, uint32_t blocks) {
    uint64_t sum = all->fixed;
    for (uint32_t i = 0; i < blocks; i++) {
        sum += taken(&all->places[i]);
    }
    return sum;
}

ht_status ht_weights_budget(ht_weights *weights, uint64_t bytes) {
    ht_stacks *all = NULL;
    ht_status status = get_stacks(weights, &all);
    if (status != HT_OK) {
        return status;
    }
    if (all->count == 0) {
        return ht_fail(
            weights->context, HT_ERR_INVALID,
            "weights '%s': nothing in it is a residual stack, so that it cannot be fitted "
            "to a budget; pack it with the recipe 'stack'",
            weights->path);
    }
    uint32_t wanted = least_blocks(all);
    uint64_t sum = bytes_of(all, wanted);
    if (sum > bytes) {
        return ht_fail(
            weights->context, HT_ERR_INVALID,
            "weights '%s': a budget of %llu bytes is too small; the first block of every "
            "layer and what is no stack take %llu",
            weights->path, (unsigned long long)bytes, (unsigned long long)sum);
    }
    while (wanted < all->count && sum + taken(&all->places[wanted]) <= bytes) {
        sum += taken(&all->places[wanted++]);
    }
    all->wanted = wanted;
    return move_to_wanted(weights, all);
}

ht_status ht_weights_stack_state(ht_weights *weights, ht_stack_state *out) {
    ht_stacks *all = NULL;
    ht_status status = get_stacks(weights, &all);
    *out = (ht_stack_state){0};
    if (status == HT_OK && all->count > 0) {
        *out = (ht_stack_state){.blocks = all->count,
                                .loaded = all->loaded,
                                .bytes = all->bytes,
                                .read = all->read,
                                .least = bytes_of(all, least_blocks(all)),
                                .most = bytes_of(all, all->count)};
    }
    return status;
}

// ---- for graphs

ht_status ht_stack_device(ht_weights *weights, ht_weights_entry *entry, const ht_tensor_desc *desc,
                          uint64_t *address) {
    ht_stack *stack = entry->stack;
    ht_stacks *all = NULL;
    ht_status status = HT_OK;
    if ((desc->rank != 2 && desc->rank != 4) ||
        ht_desc_count(desc) != stack->at.rows * stack->at.width) {
        return ht_fail(
            weights->context, HT_ERR_UNSUPPORTED,
            "weights '%s': tensor '%s' is a residual stack, which serves linear layers and "
            "two-dimensional convolutions only",
            entry->info.file, entry->info.name);
    }
    HT_TRY(get_stacks(weights, &all));
    all->in_use = true;
    HT_TRY(move_to_wanted(weights, all));
    if (!stack->table.block) {
        if (!weights->has_arena) {
            ht_vk_arena_init(&weights->arena, weights->context, "weights");
            weights->has_arena = true;
        }
        HT_TRY(ht_vk_arena_take(&weights->arena, sizeof(ht_stack_table), &stack->table));
        weights->device_bytes += sizeof(ht_stack_table);
        HT_TRY(write_table(weights, stack));
    }
    *address = stack->table.address;
fail:
    return status;
}

ht_status ht_weights_stack_floats(ht_weights *weights, const char *name, float *values,
                                  uint64_t count) {
    const ht_weights_entry *entry = ht_weights_lookup(weights->entries, weights->n_entries, name);
    const ht_stack *stack = entry->stack;
    memset(values, 0, count * sizeof *values);
    for (uint32_t b = 0; b < stack->loaded; b++) {
        ht_stack_add(&stack->at, stack->block[b].data, values);
    }
    return HT_OK;
}

void ht_stacks_release(ht_weights *weights) {
    ht_stacks *all = weights->stacks;
    if (all) {
        for (uint32_t i = 0; i < all->n_chunks; i++) {
            ht_vk_free(weights->context, &all->chunks[i].range);
        }
        ht_free(weights->context, all->chunks);
        ht_free(weights->context, all->places);
        ht_free(weights->context, all);
        weights->stacks = NULL;
    }
}
