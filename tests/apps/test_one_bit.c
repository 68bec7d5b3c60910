// The models with one-bit weights that ship: what their files hold, how large they are, and that they draw
// what held-out prompts say.
#include "support.h"

#include "own_folder.h"

#include <halftone/weights.h>

#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { PROMPTS = 4 };

// Limits of bytes are of half floats: what the models aim at, or have.
static const struct {
    const char *name, *file, *parent;
    double binary_ratio, file_ratio;
    uint32_t one_sign, two_signs; // layers
} models[] = {
    {"scenes-dit-w1a8", "assets/models/scenes-dit-w1a8/transformer",
     "assets/models/scenes-dit/transformer", 0.08, 0.15, 54, 10},
    {"scenes-unet-w1a4", "assets/models/scenes-unet-w1a4/unet", "assets/models/scenes-unet/unet",
     0.08, 0.15, 51, 35},
};

static double file_bytes(const char *folder_path) {
    char path[256];
    struct stat info;
    snprintf(path, sizeof(path), "%s/diffusion_pytorch_model.safetensors", folder_path);
    assert_int_equal(stat(path, &info), 0);
    return (double)info.st_size;
}

static void test_files(void **state) {
    (void)state;
    ht_context *context = NULL;
    assert_int_equal(ht_context_create(&(ht_context_desc){.host_only = true}, &context), HT_OK);
    for (size_t m = 0; m < HT_COUNT(models); ++m) {
        ht_weights *weights = NULL;
        uint32_t one = 0, two = 0;
        double bytes = 0, halves = 0;
        assert_int_equal(
            ht_weights_open(context, &(ht_weights_desc){.path = models[m].file}, &weights), HT_OK);
        for (size_t i = 0; i < ht_weights_count(weights); ++i) {
            const ht_weight_info *info = ht_weights_get(weights, i);
            if (info->desc.format == HT_FORMAT_BIN1 || info->desc.format == HT_FORMAT_BIN2) {
                one += info->desc.format == HT_FORMAT_BIN1;
                two += info->desc.format == HT_FORMAT_BIN2;
                bytes += (double)info->bytes;
                halves += 2 * (double)ht_desc_count(&info->desc);
            }
        }
        const double whole = file_bytes(models[m].file) / file_bytes(models[m].parent);
        print_message("%s: %u layers of one sign, %u of two, %.4f of half floats; file %.3f\n",
                      models[m].name, one, two, bytes / halves, whole);
        assert_int_equal(one, models[m].one_sign);
        assert_int_equal(two, models[m].two_signs);
        assert_true(bytes / halves <= models[m].binary_ratio);
        assert_true(whole <= models[m].file_ratio);
        ht_weights_destroy(&weights);
    }
    ht_context_destroy(&context);
}

// The smaller of the two formats' activations, in linear layers and convolutions. 313 of 320 held-out prompts
// are right, the first 20 among them; one may differ where sums are ordered otherwise.
static void test_draws(void **state) {
    (void)state;
    char command[1024], path[256];
    snprintf(path, sizeof(path), "%s/e", folder.path);
    snprintf(command, sizeof(command),
             "'%s' -m '%s' --recipes 'packed=%s/diffusion_pytorch_model.safetensors' --limit %d "
             "-o '%s' -q",
             HT_GEN_EVAL_PATH, models[1].name, models[1].file, PROMPTS, path);
    assert_int_equal(system(command), 0);
    snprintf(command, sizeof(command), "%s/report.json", path);
    json_t *report = json_load_file(command, 0, NULL);
    assert_non_null(report);
    json_t *recipe = json_array_get(json_object_get(report, "recipes"), 0);
    assert_true(json_number_value(json_object_get(recipe, "adherence")) >= 1 - 1.0 / PROMPTS);
    json_decref(report);
    snprintf(command, sizeof(command), "rm -r '%s'", path);
    assert_int_equal(system(command), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),
        cmocka_unit_test_setup_teardown(test_draws, open_folder, close_folder),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}
