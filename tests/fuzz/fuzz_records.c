// Files of results of gen-batch: what is accepted names pictures inside the folder.
#include "fuzz.h"

#include "gen-batch/batch.h"

#include <jansson.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    char why[BATCH_WHY];
    size_t whole = 0, i;
    ht_app_log log = {.program = "fuzz", .silent = true};
    json_t *records = json_object(), *record, *picture;
    const char *key;
    const char *path = fuzz_file("results.jsonl", data, bytes, NULL, 0);
    if (batch_results_read(path, records, true, &whole, &log, why, sizeof(why))) {
        fuzz_require(whole <= bytes, "whole lines are a part of the file");
    }
    json_object_foreach(records, key, record) {
        fuzz_require(strlen(key) < BATCH_KEY && !strchr(key, '/'), "keys are names of files");
        json_array_foreach(json_object_get(record, "pictures"), i, picture) {
            const char *name = json_string_value(json_object_get(picture, "path"));
            fuzz_require(name && batch_name_is_inside(name), "pictures stay inside");
        }
    }
    json_decref(records);
    return 0;
}
