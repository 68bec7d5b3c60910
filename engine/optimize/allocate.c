// Knapsacks of formats.
#include "allocate.h"

#include "core.h"

#include <glpk.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- closed form

void ht_allocate_baq(const double *loss, const double *sizes, uint32_t count, double mean,
                     double least, double most, double *bits) {
    double total = 0;
    for (uint32_t i = 0; i < count; i++) {
        total += sizes[i];
        bits[i] = NAN; // not clipped
    }
    double budget = mean * total;
    for (uint32_t round = 0; round <= count; round++) { // each clips one or ends
        double size = 0, logs = 0, worst = 0;
        uint32_t at = count;
        for (uint32_t i = 0; i < count; i++) {
            size += isnan(bits[i]) ? sizes[i] : 0;
            logs += isnan(bits[i]) ? sizes[i] * log2(fmax(loss[i], 1e-300)) : 0;
        }
        if (size == 0) {
            return;
        }
        const double level = budget / size - logs / size / 2;
        for (uint32_t i = 0; i < count; i++) {
            const double wanted = level + log2(fmax(loss[i], 1e-300)) / 2;
            const double beyond = fmax(least - wanted, wanted - most);
            if (isnan(bits[i]) && beyond > worst) {
                worst = beyond;
                at = i;
            }
        }
        if (at < count) {
            bits[at] = level + log2(fmax(loss[at], 1e-300)) / 2 < least ? least : most;
            budget -= bits[at] * sizes[at];
            continue;
        }
        for (uint32_t i = 0; i < count; i++) {
            bits[i] = isnan(bits[i]) ? level + log2(fmax(loss[i], 1e-300)) / 2 : bits[i];
        }
        return;
    }
}

// ---- greedy

// A step from one choice of a layer to the next on its hull.
typedef struct hull_step {
    uint32_t layer, choice;
    uint64_t bytes; // more
    double gain;    // loss saved per byte
} hull_step;

static int by_gain(const void *a, const void *b) {
    const hull_step *x = a, *y = b;
    if (x->gain != y->gain) {
        return x->gain < y->gain ? 1 : -1;
    }
    if (x->layer != y->layer) {
        return x->layer < y->layer ? -1 : 1;
    }
    return x->bytes < y->bytes ? -1 : x->bytes > y->bytes;
}

// The choice that saves most loss per byte from `from` on; the layer's count when none does.
static uint32_t next_on_hull(const ht_allocation_layer *l, uint32_t from, double *gain) {
    uint32_t best = l->count;
    *gain = 0;
    for (uint32_t i = 0; i < l->count; i++) {
        const ht_choice *c = &l->choices[i], *f = &l->choices[from];
        if (c->bytes > f->bytes && c->loss < f->loss) {
            const double saved = (f->loss - c->loss) / (double)(c->bytes - f->bytes);
            if (saved > *gain) {
                *gain = saved;
                best = i;
            }
        }
    }
    return best;
}

static uint32_t smallest(const ht_allocation_layer *l) {
    uint32_t best = 0;
    for (uint32_t i = 1; i < l->count; i++) {
        const ht_choice *c = &l->choices[i], *b = &l->choices[best];
        if (c->bytes < b->bytes || (c->bytes == b->bytes && c->loss < b->loss)) {
            best = i;
        }
    }
    return best;
}

bool ht_allocate_greedy(ht_context *context, const ht_allocation *p, uint32_t *choices) {
    uint32_t n_steps = 0, most = 1;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < p->count; i++) {
        choices[i] = smallest(&p->layers[i]);
        bytes += p->layers[i].choices[choices[i]].bytes;
        most += p->layers[i].count;
    }
    hull_step *steps = bytes <= p->bytes ? ht_alloc(context, most * sizeof *steps) : NULL;
    for (uint32_t i = 0; steps && i < p->count; i++) {
        double gain;
        uint32_t from = choices[i], next;
        while ((next = next_on_hull(&p->layers[i], from, &gain)) < p->layers[i].count) {
            const ht_choice *c = p->layers[i].choices;
            steps[n_steps++] = (hull_step){i, next, c[next].bytes - c[from].bytes, gain};
            from = next;
        }
    }
    if (steps) {
        qsort(steps, n_steps, sizeof *steps, by_gain);
    }
    for (uint32_t s = 0; steps && s < n_steps; s++) {
        const hull_step *step = &steps[s];
        const ht_choice *c = p->layers[step->layer].choices;
        const uint64_t grown = bytes - c[choices[step->layer]].bytes + c[step->choice].bytes;
        if (c[step->choice].bytes > c[choices[step->layer]].bytes && grown <= p->bytes) {
            bytes = grown;
            choices[step->layer] = step->choice;
        }
    }
    ht_free(context, steps);
    return steps != NULL;
}

// ---- integer program

typedef struct program {
    const ht_allocation *problem;
    const uint32_t *start;
    glp_prob *glp;
    uint32_t columns;
    double unit; // of the losses, for the solver's tolerances
} program;

// Columns are the choices in order; row l is "one choice of layer l", then bytes, then work.
static void build(program *p) {
    const ht_allocation *a = p->problem;
    const bool work = isfinite(a->work);
    const int rows = (int)a->count + 1 + work;
    int at = 1;
    glp_set_obj_dir(p->glp, GLP_MIN);
    glp_add_rows(p->glp, rows);
    for (uint32_t l = 0; l < a->count; l++) {
        glp_set_row_bnds(p->glp, (int)l + 1, GLP_FX, 1, 1);
    }
    glp_set_row_bnds(p->glp, (int)a->count + 1, GLP_UP, 0, (double)a->bytes);
    if (work) {
        glp_set_row_bnds(p->glp, rows, GLP_UP, 0, a->work);
    }
    glp_add_cols(p->glp, (int)p->columns);
    for (uint32_t l = 0; l < a->count; l++) {
        for (uint32_t i = 0; i < a->layers[l].count; i++, at++) {
            const ht_choice *c = &a->layers[l].choices[i];
            const int index[] = {0, (int)l + 1, (int)a->count + 1, rows};
            const double value[] = {0, 1, (double)c->bytes, c->work};
            glp_set_col_kind(p->glp, at, GLP_BV);
            glp_set_obj_coef(p->glp, at, c->loss / p->unit);
            glp_set_mat_col(p->glp, at, work ? 3 : 2, index, value);
        }
    }
}

// GLPK asks here; the greedy solution is the first bound.
static void offer_start(glp_tree *tree, void *user) {
    program *p = user;
    const ht_allocation *a = p->problem;
    if (!p->start || glp_ios_reason(tree) != GLP_IHEUR) {
        return;
    }
    double *x = calloc(p->columns + 1, sizeof *x);
    int at = 1;
    for (uint32_t l = 0; x && l < a->count; l++) {
        x[at + (int)p->start[l]] = 1;
        at += (int)a->layers[l].count;
    }
    if (x) {
        glp_ios_heur_sol(tree, x);
    }
    free(x);
    p->start = NULL; // once
}

static ht_status solve(ht_context *context, program *p, double *bound) {
    glp_smcp simplex;
    glp_iocp integer;
    glp_init_smcp(&simplex);
    glp_init_iocp(&integer);
    simplex.msg_lev = integer.msg_lev = GLP_MSG_OFF;
    integer.cb_func = offer_start;
    integer.cb_info = p;
    integer.cov_cuts = GLP_ON;
    integer.mip_gap = 1e-4; // a solution is within this share of the best there is
    integer.tm_lim = 60000;
    if (glp_simplex(p->glp, &simplex) != 0 || glp_get_status(p->glp) != GLP_OPT) {
        return ht_fail(context, HT_ERR_UNSUPPORTED,
                       "no choice of formats is within %llu bytes and the activations' bits",
                       (unsigned long long)p->problem->bytes);
    }
    *bound = glp_get_obj_val(p->glp) * p->unit;
    glp_intopt(p->glp, &integer);
    const int status = glp_mip_status(p->glp);
    return status == GLP_OPT || status == GLP_FEAS
               ? HT_OK
               : ht_fail(context, HT_ERR_UNSUPPORTED, "no choice of formats meets both budgets");
}

static double work_of(const ht_allocation *a, const uint32_t *choices) {
    double work = 0;
    for (uint32_t l = 0; l < a->count; l++) {
        work += a->layers[l].choices[choices[l]].work;
    }
    return work;
}

static void read_solution(const program *p, uint32_t *choices, ht_allocated *out) {
    const ht_allocation *a = p->problem;
    int at = 1;
    for (uint32_t l = 0; l < a->count; l++) {
        double most = -1;
        for (uint32_t i = 0; i < a->layers[l].count; i++, at++) {
            if (glp_mip_col_val(p->glp, at) > most) {
                most = glp_mip_col_val(p->glp, at);
                choices[l] = i;
            }
        }
        const ht_choice *c = &a->layers[l].choices[choices[l]];
        out->loss += c->loss;
        out->bytes += c->bytes;
        out->work += c->work;
    }
}

ht_status ht_allocate(ht_context *context, const ht_allocation *problem, uint32_t *choices,
                      ht_allocated *out) {
    program p = {.problem = problem, .unit = 0};
    uint64_t least = 0;
    *out = (ht_allocated){0};
    for (uint32_t l = 0; l < problem->count; l++) {
        const ht_allocation_layer *layer = &problem->layers[l];
        p.columns += layer->count;
        least += layer->choices[smallest(layer)].bytes;
        for (uint32_t i = 0; i < layer->count; i++) {
            p.unit = fmax(p.unit, fabs(layer->choices[i].loss));
        }
    }
    p.unit = p.unit > 0 ? p.unit : 1;
    if (least > problem->bytes) {
        return ht_fail(context, HT_ERR_UNSUPPORTED,
                       "%llu bytes are too few: the smallest formats take %llu",
                       (unsigned long long)problem->bytes, (unsigned long long)least);
    }
    const bool fits =
        ht_allocate_greedy(context, problem, choices) && work_of(problem, choices) <= problem->work;
    p.start = fits ? choices : NULL;
    const int terminal = glp_term_out(GLP_OFF); // its cuts speak whatever the level
    p.glp = glp_create_prob();
    build(&p);
    const ht_status status = solve(context, &p, &out->bound);
    glp_term_out(terminal);
    if (status == HT_OK) {
        read_solution(&p, choices, out);
    }
    glp_delete_prob(p.glp);
    return status;
}
