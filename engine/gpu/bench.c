// The device's own ceilings: a copy loop, and loops of each unit that multiplies.
#include "gpu.h"

#include "bench.shared.h"

#include <halftone/bench.h>

enum { COPY_BYTES = 96 << 20, LOCAL = 128, REPEATS = 5 };

typedef struct run {
    ht_context *context;
    ht_vk_commands *commands;
    ht_vk_range from, to;
    bool cpu;
} run;

// Best time of a dispatch, in seconds. The first run is a warm-up: drivers compile there.
static ht_status time_dispatch(run *r, const ht_vk_dispatch_desc *dispatch, double *seconds) {
    ht_status status = HT_OK;
    uint64_t best = UINT64_MAX;
    HT_TRY(ht_vk_commands_begin(r->commands));
    ht_vk_timestamp(r->commands, 0);
    HT_TRY(ht_vk_dispatch(r->commands, dispatch));
    ht_vk_timestamp(r->commands, 1);
    HT_TRY(ht_vk_commands_end(r->commands));
    for (int i = 0; i <= REPEATS; i++) {
        uint64_t times[2];
        HT_TRY(ht_vk_commands_run(r->commands));
        HT_TRY(ht_vk_commands_times(r->commands, times, 2));
        const uint64_t took = times[1] - times[0];
        if (i > 0 && took < best) {
            best = took;
        }
    }
    *seconds = best == 0 ? 1e-9 : (double)best * 1e-9;
fail:
    return status;
}

static ht_status measure_copy(run *r, double *bytes_per_s) {
    ht_status status = HT_OK;
    double seconds;
    const ht_push_bench push = {
        .from = r->from.address, .to = r->to.address, .count = COPY_BYTES / 16};
    ht_vk_dispatch_desc dispatch = {.kernel = HT_KERNEL_bench_copy,
                                    .constants = {LOCAL},
                                    .n_constants = 1,
                                    .push = &push,
                                    .push_bytes = sizeof push,
                                    .label = "copy ceiling"};
    ht_vk_split_groups(r->context, push.count / LOCAL, dispatch.groups);
    HT_TRY(time_dispatch(r, &dispatch, &seconds));
    *bytes_per_s = 2.0 * COPY_BYTES / seconds;
fail:
    return status;
}

// Operations per second of a kernel whose workgroups do `per_group` of them.
static ht_status measure_unit(run *r, ht_vk_dispatch_desc *dispatch, const ht_push_bench *push,
                              double per_group, double *ops_per_s) {
    ht_status status = HT_OK;
    double seconds;
    dispatch->push = push;
    dispatch->push_bytes = sizeof *push;
    dispatch->label = "arithmetic ceiling";
    dispatch->groups[0] = r->cpu ? 16 : 32768;
    dispatch->groups[1] = dispatch->groups[2] = 1;
    HT_TRY(time_dispatch(r, dispatch, &seconds));
    *ops_per_s = per_group * dispatch->groups[0] / seconds;
fail:
    return status;
}

static ht_status measure_peak(run *r, double *flops_per_s) {
    // The chains settle at 1: no denormals, no infinities.
    const ht_push_bench push = {
        .to = r->to.address, .rounds = r->cpu ? 4096 : 1024, .factor = 0.5f, .addend = 0.5f};
    ht_vk_dispatch_desc dispatch = {
        .kernel = HT_KERNEL_bench_peak, .constants = {LOCAL}, .n_constants = 1};
    const double ops = 2.0 * HT_BENCH_CHAINS * HT_BENCH_STEPS * push.rounds * LOCAL;
    return measure_unit(r, &dispatch, &push, ops, flops_per_s);
}

static ht_status measure_dot(run *r, double *ops_per_s) {
    const ht_push_bench push = {
        .to = r->to.address, .count = 0x01020304, .rounds = r->cpu ? 1024 : 512};
    ht_vk_dispatch_desc dispatch = {
        .kernel = HT_KERNEL_bench_dot, .constants = {LOCAL}, .n_constants = 1};
    const double ops = 8.0 * HT_BENCH_CHAINS * HT_BENCH_STEPS * push.rounds * LOCAL;
    return measure_unit(r, &dispatch, &push, ops, ops_per_s);
}

static ht_status measure_matrix(run *r, ht_vk_element element, double *ops_per_s) {
    static const ht_vk_kernel KERNELS[] = {[HT_VK_F16] = HT_KERNEL_bench_matrix_f16,
                                           [HT_VK_S8] = HT_KERNEL_bench_matrix_s8,
                                           [HT_VK_E4M3] = HT_KERNEL_bench_matrix_e4m3};
    const ht_vk_limits *limits = ht_vk_get_limits(r->context);
    const ht_vk_matrix *shape = &limits->matrix[element];
    if (shape->m == 0) {
        return HT_OK;
    }
    const ht_push_bench push = {.to = r->to.address, .rounds = r->cpu ? 64 : 1024};
    ht_vk_dispatch_desc dispatch = {
        .kernel = KERNELS[element],
        .constants = {LOCAL, [10] = shape->m, [12] = shape->n, [13] = shape->k},
        .n_constants = 14,
        .subgroup_size = limits->matrix_subgroup};
    const double ops = 2.0 * shape->m * shape->n * shape->k * HT_BENCH_MATRICES * push.rounds *
                       (LOCAL / limits->matrix_subgroup);
    return measure_unit(r, &dispatch, &push, ops, ops_per_s);
}

const char *ht_bench_unit_name(ht_bench_unit unit) {
    static const char *const names[] = {[HT_BENCH_F32] = "f32",
                                        [HT_BENCH_DOT] = "dot",
                                        [HT_BENCH_MATRIX_F16] = "matrix f16",
                                        [HT_BENCH_MATRIX_S8] = "matrix s8",
                                        [HT_BENCH_MATRIX_E4M3] = "matrix e4m3"};
    return names[unit];
}

ht_status ht_bench_measure(ht_context *context, ht_bench_ceilings *ceilings) {
    ht_status status = HT_OK;
    *ceilings = (ht_bench_ceilings){0};
    if (context->host_only) {
        return ht_fail(context, HT_ERR_INVALID, "bench: this context has no device");
    }
    run r = {.context = context, .cpu = ht_context_device(context)->type == HT_DEVICE_CPU};
    double *ops = ceilings->ops_per_s;
    HT_TRY(ht_vk_alloc(context, COPY_BYTES, "bench source", &r.from));
    HT_TRY(ht_vk_alloc(context, COPY_BYTES, "bench target", &r.to));
    HT_TRY(ht_vk_commands_create(context, 2, &r.commands));
    HT_TRY(measure_copy(&r, &ceilings->copy_bytes_per_s));
    HT_TRY(measure_peak(&r, &ops[HT_BENCH_F32]));
    HT_TRY(measure_dot(&r, &ops[HT_BENCH_DOT]));
    HT_TRY(measure_matrix(&r, HT_VK_F16, &ops[HT_BENCH_MATRIX_F16]));
    HT_TRY(measure_matrix(&r, HT_VK_S8, &ops[HT_BENCH_MATRIX_S8]));
    HT_TRY(measure_matrix(&r, HT_VK_E4M3, &ops[HT_BENCH_MATRIX_E4M3]));
fail:
    ht_vk_commands_destroy(&r.commands);
    ht_vk_free(context, &r.to);
    ht_vk_free(context, &r.from);
    return status;
}
