// The machine-readable report of a run.
#include "gen.h"

#include "common/files.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static uint64_t peak_host_bytes(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}

bool gen_report_write(const gen_report *report, ht_app_log *log) {
    const char *path = report->options->json;
    char why[512] = "out of memory";
    json_t *pictures = json_array();
    for (size_t i = 0; i < report->count; ++i) {
        json_array_append_new(pictures,
                              ht_job_report_json(&report->options->job, &report->pictures[i]));
    }
    json_t *json =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:f, s:f, s:I, s:o}", "version", HT_VERSION, "model",
                  report->model_path, "device", report->device, "driver", report->driver, "recipe",
                  report->options->job.recipe ? report->options->job.recipe
                  : report->options->job.fp32 ? "fp32"
                                              : "fp16",
                  "open_seconds", report->open_seconds, "total_seconds", report->total_seconds,
                  "peak_host_bytes", (json_int_t)peak_host_bytes(), "pictures", pictures);
    char *text = json ? json_dumps(json, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) : NULL;
    bool good = text != NULL;
    if (good && !*path) {
        good = puts(text) >= 0 && fflush(stdout) == 0;
        snprintf(why, sizeof(why), "cannot write to standard output");
    } else if (good) {
        good = ht_file_write(path, text, strlen(text), true, why, sizeof(why));
    }
    if (!good) {
        ht_app_say(log, HT_LOG_ERROR, "no report: %s", why);
    }
    free(text);
    json_decref(json);
    return good;
}
