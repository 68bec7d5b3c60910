// The device's own ceilings: a copy loop and a multiply-add loop.
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

static ht_status measure_peak(run *r, double *flops_per_s) {
    ht_status status = HT_OK;
    double seconds;
    // The chains settle at 1: no denormals, no infinities.
    const ht_push_bench push = {
        .to = r->to.address, .rounds = r->cpu ? 4096 : 1024, .factor = 0.5f, .addend = 0.5f};
    const uint32_t groups = r->cpu ? 16 : 32768;
    ht_vk_dispatch_desc dispatch = {.kernel = HT_KERNEL_bench_peak,
                                    .constants = {LOCAL},
                                    .n_constants = 1,
                                    .push = &push,
                                    .push_bytes = sizeof push,
                                    .groups = {groups, 1, 1},
                                    .label = "arithmetic ceiling"};
    HT_TRY(time_dispatch(r, &dispatch, &seconds));
    const double per_invocation = 2.0 * HT_BENCH_CHAINS * HT_BENCH_STEPS * push.rounds;
    *flops_per_s = per_invocation * groups * LOCAL / seconds;
fail:
    return status;
}

ht_status ht_bench_measure(ht_context *context, ht_bench_ceilings *ceilings) {
    ht_status status = HT_OK;
    *ceilings = (ht_bench_ceilings){0.0, 0.0};
    if (context->host_only) {
        return ht_fail(context, HT_ERR_INVALID, "bench: this context has no device");
    }
    run r = {.context = context, .cpu = ht_context_device(context)->type == HT_DEVICE_CPU};
    HT_TRY(ht_vk_alloc(context, COPY_BYTES, "bench source", &r.from));
    HT_TRY(ht_vk_alloc(context, COPY_BYTES, "bench target", &r.to));
    HT_TRY(ht_vk_commands_create(context, 2, &r.commands));
    HT_TRY(measure_copy(&r, &ceilings->copy_bytes_per_s));
    HT_TRY(measure_peak(&r, &ceilings->f32_flops_per_s));
fail:
    ht_vk_commands_destroy(&r.commands);
    ht_vk_free(context, &r.to);
    ht_vk_free(context, &r.from);
    return status;
}
