// The results as a table and as JSON.
#include "bench.h"

#include <string.h>

// Rate of what limits the op, in giga per second, and the ceiling's.
static void rate(const bench_result *r, const ht_bench_ceilings *ceilings, double *giga,
                 double *share) {
    const double flops = bench_flops(r->what);
    const double work = flops > 0.0 ? flops : bench_bytes(r->what, r->format);
    const double ceiling = flops > 0.0 ? ceilings->ops_per_s[r->unit] : ceilings->copy_bytes_per_s;
    *giga = r->median_s > 0.0 ? work / r->median_s * 1e-9 : 0.0;
    *share = ceiling > 0.0 ? *giga * 1e9 / ceiling : 0.0;
}

// Shape, and the pair of formats where it is not floats times floats.
static const char *what_of(const bench_result *r, char *text, size_t bytes) {
    bench_shape(r->what, text, bytes);
    if (r->what->w != HT_FORMAT_NONE) {
        const size_t length = strlen(text);
        snprintf(text + length, bytes - length, ", %s x %s",
                 r->what->x ? ht_format_name(r->what->x) : "float", ht_format_name(r->what->w));
    }
    return text;
}

static const char *unit_of(const bench_result *r) {
    return bench_flops(r->what) > 0.0 ? ht_bench_unit_name(r->unit) : "copy";
}

void bench_print(const bench_result *r, const ht_bench_ceilings *ceilings) {
    char shape[96];
    char against[16] = "";
    double giga;
    double share;
    if (r == NULL) {
        printf("ceilings: copy %.1f GB/s", ceilings->copy_bytes_per_s * 1e-9);
        for (int unit = 0; unit < HT_BENCH_UNITS; unit++) {
            if (ceilings->ops_per_s[unit] > 0.0) {
                printf(", %s %.1f Gop/s", ht_bench_unit_name((ht_bench_unit)unit),
                       ceilings->ops_per_s[unit] * 1e-9);
            }
        }
        printf("\n\n%-24s %-11s %-44s %10s %10s %10s %12s %8s %-11s %9s %s\n", "case", "op", "shape",
               "median ms", "best ms", "cpu ms", "rate", "ceiling", "of", "first ms", "against");
        return;
    }
    rate(r, ceilings, &giga, &share);
    if (r->against > 0.0) {
        snprintf(against, sizeof against, " %.3f", r->against);
    }
    printf("%-24s %-11s %-44s %10.3f %10.3f %10.3f %7.1f %s %7.1f%% %-11s %9.1f%s\n", r->what->name,
           bench_op_name(r->what->op), what_of(r, shape, sizeof shape), r->median_s * 1e3,
           r->best_s * 1e3, r->processor_s * 1e3, giga,
           bench_flops(r->what) > 0.0 ? "GF/s" : "GB/s", share * 100.0, unit_of(r),
           r->first_s * 1e3, against);
    fflush(stdout);
}

// Device names come from drivers: keep what JSON takes as it is.
static void print_text(FILE *file, const char *text) {
    fputc('"', file);
    for (; *text != '\0'; text++) {
        const unsigned char c = (unsigned char)*text;
        fputc(c < 32 || c == '"' || c == '\\' ? '?' : c, file);
    }
    fputc('"', file);
}

static void print_result(FILE *file, const bench_result *r, const ht_bench_ceilings *ceilings) {
    char shape[64];
    double giga;
    double share;
    const double flops = bench_flops(r->what);
    rate(r, ceilings, &giga, &share);
    fprintf(file,
            "    {\"case\": \"%s\", \"op\": \"%s\", \"shape\": \"%s\", \"activations\": \"%s\", "
            "\"weights\": \"%s\", \"repeats\": %u, \"median_ms\": %.6f, \"best_ms\": %.6f, "
            "\"processor_ms\": %.3f, \"first_ms\": %.3f, "
            "\"gflops\": %.3f, \"gbytes_per_s\": %.3f, \"ceiling_share\": %.4f, \"ceiling_of\": "
            "\"%s\", \"against_first\": %.4f}",
            r->what->name, bench_op_name(r->what->op), bench_shape(r->what, shape, sizeof shape),
            ht_format_name(r->what->x ? r->what->x : r->format),
            ht_format_name(r->what->w ? r->what->w : HT_FORMAT_F16), r->repeats, r->median_s * 1e3,
            r->best_s * 1e3, r->processor_s * 1e3, r->first_s * 1e3, flops / r->median_s * 1e-9,
            bench_bytes(r->what, r->format) / r->median_s * 1e-9, share, unit_of(r),
            r->against);
}

void bench_print_json(FILE *file, ht_context *context, const ht_bench_ceilings *ceilings,
                      const bench_result *results, size_t count) {
    const ht_device_info *device = ht_context_device(context);
    fprintf(file, "{\n  \"halftone\": \"%s\",\n  \"device\": ", HT_VERSION);
    print_text(file, device->name);
    fprintf(file, ",\n  \"driver\": ");
    print_text(file, device->driver);
    fprintf(file, ",\n  \"tier\": \"%s\",\n", ht_tier_name(ht_context_tier(context)));
    fprintf(file, "  \"ceilings\": {\"copy_gbytes_per_s\": %.3f, \"gops\": {",
            ceilings->copy_bytes_per_s * 1e-9);
    for (int unit = 0; unit < HT_BENCH_UNITS; unit++) {
        fprintf(file, "%s\"%s\": %.3f", unit == 0 ? "" : ", ",
                ht_bench_unit_name((ht_bench_unit)unit), ceilings->ops_per_s[unit] * 1e-9);
    }
    fprintf(file, "}},\n");
    fprintf(file, "  \"results\": [");
    for (size_t i = 0; i < count; i++) {
        fprintf(file, "%s\n", i == 0 ? "" : ",");
        print_result(file, &results[i], ceilings);
    }
    fprintf(file, "\n  ]\n}\n");
}
