// From the tensors of a file to a pair of factors. Every kind is made of matrices that are given
// whole or as factors, one of LoRA or two of LoHa and LoKr, whose products are again of low rank:
//   LoHa  (u1 d1) o (u2 d2): row (i, j) of down is d1[i] o d2[j], column (i, j) of up likewise
//   LoKr  (u1 d1) (x) (u2 d2) = (u1 (x) u2) (d1 (x) d2)
#include "lora_internal.h"

#include <math.h>
#include <string.h>

// A matrix [rows, columns * taps] as a file has it.
typedef struct part {
    const ht_weight_info *whole;     // or NULL, and
    const ht_weight_info *a, *b, *t; // a [rows, r] b [r, ..], or with t: a b' with b'[i] = t[i] b
    bool turned;                     // with t, a is [r, rows]
    uint32_t rows, columns, taps, rank;
} part;

typedef enum kind { LORA, LOHA, LOKR } kind;

typedef struct plan {
    kind kind;
    part parts[2];
    uint32_t count;
    uint32_t rank;    // of the branch
    uint32_t divisor; // of alpha; 0: alpha does not count
} plan;

static const char *const role_names[HT_LORA_ROLES] = {
    "lora_down",  "lora_up",   "lora_mid",  "alpha",    "hada_w1_a", "hada_w1_b",
    "hada_t1",    "hada_w2_a", "hada_w2_b", "hada_t2",  "lokr_w1",   "lokr_w1_a",
    "lokr_w1_b",  "lokr_w2",   "lokr_w2_a", "lokr_w2_b", "lokr_t2",
};

static bool any(const ht_lora_change *change, ht_lora_role first, ht_lora_role last) {
    for (uint32_t i = first; i <= last; ++i) {
        if (change->tensors[i]) {
            return true;
        }
    }
    return false;
}

static ht_status lacks(ht_context *context, const ht_lora_layer *layer,
                       const ht_lora_change *change, ht_lora_role role) {
    return ht_fail(context, HT_ERR_IO, "'%s' changes layer '%s' but has no %s for it",
                   ht_weights_path(change->file), layer->name, role_names[role]);
}

static ht_status unfit(ht_context *context, const ht_lora_layer *layer,
                       const ht_lora_change *change, const ht_weight_info *info) {
    char shape[128];
    const uint32_t *d = layer->dims;
    return ht_fail(context, HT_ERR_IO,
                   "'%s': tensor '%s' is %s%s, which does not go with layer '%s' of this model, %u "
                   "values to %u by a %u x %u kernel; it is for another model, or damaged",
                   ht_weights_path(change->file), info->name, info->dtype,
                   info->desc.rank > 0
                       ? strchr(ht_desc_text(&info->desc, shape, sizeof(shape)), '[')
                       : "",
                   layer->name, d[1], d[0], d[2], d[3]);
}

// Is the tensor [rows, columns], counting what is behind the first dimension together? 0: any.
static bool is_matrix(const ht_weight_info *info, uint32_t rows, uint64_t columns) {
    const ht_tensor_desc *d = &info->desc;
    const bool number = d->format == HT_FORMAT_F32 || d->format == HT_FORMAT_F16 ||
                        d->format == HT_FORMAT_BF16;
    return number && d->rank >= 2 && (rows == 0 || d->dims[0] == rows) && d->dims[0] > 0 &&
           ht_desc_count(d) / d->dims[0] > 0 &&
           (columns == 0 || ht_desc_count(d) / d->dims[0] == columns);
}

// Sets the part's rank; the tensor that does not fit, or NULL.
static const ht_weight_info *check_part(part *p) {
    const uint64_t wide = (uint64_t)p->columns * p->taps;
    if (p->whole) {
        p->rank = p->rows < wide ? p->rows : (uint32_t)wide;
        return is_matrix(p->whole, p->rows, wide) ? NULL : p->whole;
    }
    p->turned = p->turned && p->t;
    const uint32_t inner = p->b->desc.rank > 0 ? p->b->desc.dims[0] : 0;
    if (!is_matrix(p->b, 0, p->t ? p->columns : wide)) {
        return p->b;
    }
    p->rank = p->t ? p->t->desc.rank > 0 ? p->t->desc.dims[0] : 0 : inner;
    if (p->t && (!is_matrix(p->t, 0, (uint64_t)inner * p->taps) || p->t->desc.dims[1] != inner)) {
        return p->t;
    }
    const bool fits =
        p->turned ? is_matrix(p->a, p->rank, p->rows) : is_matrix(p->a, p->rows, p->rank);
    return fits ? NULL : p->a;
}

static ht_status plan_lora(ht_context *context, const ht_lora_layer *layer,
                           const ht_lora_change *change, plan *out) {
    const ht_weight_info *const *t = change->tensors;
    if (!t[HT_LORA_DOWN] || !t[HT_LORA_UP]) {
        return lacks(context, layer, change, t[HT_LORA_DOWN] ? HT_LORA_UP : HT_LORA_DOWN);
    }
    out->count = 1;
    out->parts[0] = (part){.a = t[HT_LORA_UP], .b = t[HT_LORA_DOWN], .t = t[HT_LORA_MID]};
    return HT_OK;
}

// Two matrices, each whole (when the kind has that) or as factors.
static ht_status plan_two(ht_context *context, const ht_lora_layer *layer,
                          const ht_lora_change *change, plan *out) {
    static const ht_lora_role roles[2][2][4] = {
        // whole (ROLES: never), a, b, t
        {{HT_LORA_ROLES, HT_LOHA_W1_A, HT_LOHA_W1_B, HT_LOHA_T1},
         {HT_LORA_ROLES, HT_LOHA_W2_A, HT_LOHA_W2_B, HT_LOHA_T2}},
        {{HT_LOKR_W1, HT_LOKR_W1_A, HT_LOKR_W1_B, HT_LORA_ROLES},
         {HT_LOKR_W2, HT_LOKR_W2_A, HT_LOKR_W2_B, HT_LOKR_T2}}};
    out->count = 2;
    for (uint32_t i = 0; i < 2; ++i) {
        const ht_lora_role *r = roles[out->kind == LOKR][i];
        part *p = &out->parts[i];
        p->turned = true;
        p->whole = r[0] == HT_LORA_ROLES ? NULL : change->tensors[r[0]];
        p->a = change->tensors[r[1]];
        p->b = change->tensors[r[2]];
        p->t = r[3] == HT_LORA_ROLES ? NULL : change->tensors[r[3]];
        if (!p->whole && (!p->a || !p->b)) {
            return lacks(context, layer, change, p->a ? r[2] : r[1]);
        }
    }
    return HT_OK;
}

// Sizes of the parts. Of LoKr the first says how the layer is divided.
static const ht_weight_info *size_parts(const ht_lora_layer *layer, plan *out) {
    const uint32_t *d = layer->dims;
    for (uint32_t i = 0; i < out->count; ++i) {
        part *p = &out->parts[i];
        p->rows = d[0];
        p->columns = d[1];
        p->taps = d[2] * d[3];
    }
    if (out->kind != LOKR) {
        return NULL;
    }
    part *first = &out->parts[0], *second = &out->parts[1];
    const ht_weight_info *rows = first->whole ? first->whole : first->a;
    const ht_weight_info *columns = first->whole ? first->whole : first->b;
    if (rows->desc.rank != 2 || columns->desc.rank != 2) {
        return rows;
    }
    first->rows = rows->desc.dims[0];
    first->columns = columns->desc.dims[1];
    first->taps = 1;
    if (first->rows == 0 || first->columns == 0 || d[0] % first->rows != 0 ||
        d[1] % first->columns != 0) {
        return rows;
    }
    second->rows = d[0] / first->rows;
    second->columns = d[1] / first->columns;
    return NULL;
}

static ht_status check_rank(ht_context *context, const ht_lora_layer *layer,
                            const ht_lora_change *change, const plan *p) {
    const uint64_t rank = (uint64_t)p->parts[0].rank * (p->count > 1 ? p->parts[1].rank : 1);
    const uint32_t most = p->count > 1 ? HT_LORA_MAX_PRODUCT_RANK : HT_LORA_MAX_RANK;
    return rank <= most
               ? HT_OK
               : ht_fail(context, HT_ERR_UNSUPPORTED,
                         "'%s': the %s of layer '%s' is a change of rank %llu; beside packed "
                         "weights at most %u can be computed",
                         ht_weights_path(change->file),
                         p->kind == LORA   ? "LoRA"
                         : p->kind == LOHA ? "LoHa"
                                           : "LoKr",
                         layer->name, (unsigned long long)rank, most);
}

static ht_status make_plan(ht_context *context, const ht_lora_layer *layer,
                           const ht_lora_change *change, plan *out) {
    *out = (plan){.kind = any(change, HT_LOHA_W1_A, HT_LOHA_T2)   ? LOHA
                          : any(change, HT_LOKR_W1, HT_LOKR_T2) ? LOKR
                                                                : LORA};
    ht_status status = out->kind == LORA ? plan_lora(context, layer, change, out)
                                         : plan_two(context, layer, change, out);
    if (status != HT_OK) {
        return status;
    }
    const ht_weight_info *bad = size_parts(layer, out);
    for (uint32_t i = 0; i < out->count && !bad; ++i) {
        bad = check_part(&out->parts[i]);
    }
    if (bad) {
        return unfit(context, layer, change, bad);
    }
    out->rank = out->parts[0].rank * (out->count > 1 ? out->parts[1].rank : 1);
    for (uint32_t i = 0; i < out->count; ++i) {
        const part *p = &out->parts[i];
        out->divisor = p->whole ? out->divisor : p->b->desc.dims[0];
    }
    return check_rank(context, layer, change, out);
}

ht_status ht_lora_check(ht_context *context, const ht_lora_layer *layer, ht_lora_change *change) {
    plan p;
    const ht_weight_info *alpha = change->tensors[HT_LORA_ALPHA];
    ht_status status = make_plan(context, layer, change, &p);
    if (status == HT_OK && alpha && ht_desc_count(&alpha->desc) != 1) {
        status = unfit(context, layer, change, alpha);
    }
    if (status == HT_OK && alpha) {
        status = ht_weights_read_f32(change->file, alpha->name, &change->alpha, 1);
    }
    if (status == HT_OK && alpha && !isfinite(change->alpha)) {
        status = ht_fail(context, HT_ERR_IO, "'%s': tensor '%s' is not a number",
                         ht_weights_path(change->file), alpha->name);
    }
    change->rank = p.rank;
    if (p.divisor == 0) {
        change->alpha = 1;
    } else {
        change->alpha = !isnan(change->alpha) ? change->alpha / (float)p.divisor : 1;
    }
    return status;
}

// ---- values

typedef struct factors {
    float *up, *down; // [rows, rank], [rank, columns * taps]
} factors;

static float *read_values(ht_context *context, const ht_lora_change *change,
                          const ht_weight_info *info, ht_status *status) {
    const size_t count = ht_desc_count(&info->desc);
    float *values = *status == HT_OK ? ht_alloc(context, count * sizeof(*values)) : NULL;
    if (*status == HT_OK && !values) {
        *status = HT_ERR_NO_MEMORY;
    }
    if (values) {
        *status = ht_weights_read_f32(change->file, info->name, values, count);
    }
    for (size_t i = 0; *status == HT_OK && i < count; ++i) {
        if (!isfinite(values[i])) {
            *status = ht_fail(context, HT_ERR_IO,
                              "'%s': value %zu of tensor '%s' is not a number",
                              ht_weights_path(change->file), i, info->name);
        }
    }
    return values;
}

// [n, n] with ones on the diagonal
static float *identity(ht_context *context, uint32_t n, ht_status *status) {
    float *values = *status == HT_OK ? ht_alloc(context, (size_t)n * n * sizeof(*values)) : NULL;
    if (!values) {
        *status = *status == HT_OK ? HT_ERR_NO_MEMORY : *status;
        return NULL;
    }
    for (size_t i = 0; i < (size_t)n * n; ++i) {
        values[i] = i / n == i % n ? 1.0f : 0.0f;
    }
    return values;
}

// [columns, rows] -> [rows, columns]
static float *turn(ht_context *context, float *in, uint32_t rows, uint32_t columns,
                   ht_status *status) {
    float *out = in ? ht_alloc(context, (size_t)rows * columns * sizeof(*out)) : NULL;
    *status = in && !out ? HT_ERR_NO_MEMORY : *status;
    for (size_t i = 0; out && i < (size_t)rows * columns; ++i) {
        out[i] = in[i % columns * rows + i / columns];
    }
    ht_free(context, in);
    return out;
}

// t [r, q, taps] and b [q, columns] -> [r, columns, taps]
static float *through_kernel(ht_context *context, const part *p, const float *t, const float *b,
                             ht_status *status) {
    const size_t columns = p->columns, taps = p->taps, inner = p->b->desc.dims[0];
    float *out = ht_alloc(context, p->rank * columns * taps * sizeof(*out));
    if (!out) {
        *status = HT_ERR_NO_MEMORY;
        return NULL;
    }
    for (size_t i = 0; i < p->rank; ++i) {
        for (size_t k = 0; k < columns * taps; ++k) {
            double sum = 0;
            for (size_t j = 0; j < inner; ++j) {
                sum += (double)t[(i * inner + j) * taps + k % taps] * b[j * columns + k / taps];
            }
            out[i * columns * taps + k] = (float)sum;
        }
    }
    return out;
}

static ht_status read_part(ht_context *context, const ht_lora_change *change, const part *p,
                           factors *out) {
    ht_status status = HT_OK;
    if (p->whole) {
        float *values = read_values(context, change, p->whole, &status);
        float *unit = identity(context, p->rank, &status);
        out->up = p->rank == p->rows ? unit : values;
        out->down = p->rank == p->rows ? values : unit;
        return status;
    }
    out->up = read_values(context, change, p->a, &status);
    out->down = read_values(context, change, p->b, &status);
    if (status == HT_OK && p->turned) {
        out->up = turn(context, out->up, p->rows, p->rank, &status);
    }
    if (status == HT_OK && p->t) {
        float *b = out->down, *t = read_values(context, change, p->t, &status);
        out->down = status == HT_OK ? through_kernel(context, p, t, b, &status) : NULL;
        ht_free(context, b);
        ht_free(context, t);
    }
    return status;
}

static void put_one(const plan *p, const factors *f, float scale, float *down, float *up,
                    uint32_t stride) {
    const part *one = &p->parts[0];
    memcpy(down, f->down, (size_t)one->rank * one->columns * one->taps * sizeof(*down));
    for (size_t o = 0; o < one->rows; ++o) {
        for (size_t i = 0; i < one->rank; ++i) {
            up[o * stride + i] = scale * f->up[o * one->rank + i];
        }
    }
}

// Row (i, j) and column (i, j) of the products of two.
static void put_two(const plan *p, const factors f[2], float scale, float *down, float *up,
                    uint32_t stride, const uint32_t dims[4]) {
    const part *first = &p->parts[0], *second = &p->parts[1];
    const size_t wide = (size_t)dims[1] * dims[2] * dims[3], r2 = second->rank;
    const size_t wide_1 = (size_t)first->columns * first->taps;
    const size_t wide_2 = (size_t)second->columns * second->taps;
    const bool kron = p->kind == LOKR;
    for (size_t r = 0; r < p->rank; ++r) {
        const float *d1 = f[0].down + r / r2 * wide_1, *d2 = f[1].down + r % r2 * wide_2;
        for (size_t k = 0; k < wide; ++k) {
            down[r * wide + k] = d1[kron ? k / wide_2 : k] * d2[kron ? k % wide_2 : k];
        }
        for (size_t o = 0; o < dims[0]; ++o) {
            const size_t o1 = kron ? o / second->rows : o, o2 = kron ? o % second->rows : o;
            up[o * stride + r] =
                scale * f[0].up[o1 * first->rank + r / r2] * f[1].up[o2 * r2 + r % r2];
        }
    }
}

ht_status ht_lora_pair(ht_context *context, const ht_lora_layer *layer,
                       const ht_lora_change *change, float *down, float *up, uint32_t stride) {
    plan p;
    factors f[2] = {{0}, {0}};
    ht_status status = make_plan(context, layer, change, &p);
    for (uint32_t i = 0; status == HT_OK && i < p.count; ++i) {
        status = read_part(context, change, &p.parts[i], &f[i]);
    }
    const float scale = change->scale * change->alpha;
    if (status == HT_OK && p.count == 1) {
        put_one(&p, &f[0], scale, down, up, stride);
    } else if (status == HT_OK) {
        put_two(&p, f, scale, down, up, stride, layer->dims);
    }
    for (uint32_t i = 0; i < 2; ++i) {
        ht_free(context, f[i].up);
        ht_free(context, f[i].down);
    }
    return status;
}
