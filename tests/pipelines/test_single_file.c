// Models in one file: the tiny models put together under the names of such files make the pictures
// of their folders; the published sizes are recognised and configured; bad ones are refused.
#include "support.h"

#include "files.h"
#include "pipeline_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOKENIZER "tests/data/models/tiny-sd/tokenizer"

enum { MAX_LINES = 3000, LINE_BYTES = 512 };

// A line of tests/data/golden/single_file_*.txt: what a tensor is called and made of.
typedef struct line {
    char name[LINE_BYTES];
    uint32_t rank;
    uint64_t dims[4];
    char how[16]; // same, stack, turned; "" in lists of shapes
    char from[3][LINE_BYTES];
    uint32_t n_from;
    uint64_t offset; // in the file
} line;

// A file under construction, and what is changed in it.
typedef struct recipe {
    const char *leave_out;
    const char *grow;  // this tensor gets one more row
    const char *extra; // tensor of one value
    const char *swing; // values +-1 in this one
    bool gguf;         // in that container, with the names of stable-diffusion.cpp
} recipe;

static ht_context *context;

static void must(ht_status status) {
    if (status != HT_OK) {
        fail_msg("%s: %s", ht_status_name(status), ht_context_message(context));
    }
}

static uint32_t read_lines(const char *name, line *lines) {
    char path[256], text[4 * LINE_BYTES];
    uint32_t count = 0;
    snprintf(path, sizeof(path), "tests/data/golden/single_file_%s.txt", name);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(text, sizeof(text), file)) {
        line *l = &lines[count++];
        char shape[64] = "";
        assert_true(count < MAX_LINES);
        *l = (line){0};
        int n = sscanf(text, "%511s %63s %15s %511s %511s %511s", l->name, shape, l->how,
                       l->from[0], l->from[1], l->from[2]);
        assert_true(n >= 2);
        l->n_from = n > 3 ? (uint32_t)n - 3 : 0;
        for (char *at = shape; *at; at += *at == ',') {
            l->dims[l->rank++] = strtoull(at, &at, 10);
        }
    }
    fclose(file);
    return count;
}

static uint64_t count_of(const line *l) {
    uint64_t count = 1;
    for (uint32_t i = 0; i < l->rank; ++i) {
        count *= l->dims[i];
    }
    return count;
}

// Tensors of a folder's parts, opened once.
typedef struct sources {
    char folder[128];
    struct {
        char part[32];
        ht_weights *weights;
    } open[4];
} sources;

static const ht_weight_info *find_source(sources *s, const char *from) {
    char part[32] = "", path[256];
    const char *slash = strchr(from, '/');
    assert_non_null(slash);
    snprintf(part, sizeof(part), "%.*s", (int)(slash - from), from);
    size_t i = 0;
    while (s->open[i].weights && strcmp(s->open[i].part, part) != 0) {
        ++i;
    }
    if (!s->open[i].weights) {
        snprintf(path, sizeof(path), "%s/%s", s->folder, part);
        snprintf(s->open[i].part, sizeof(s->open[i].part), "%s", part);
        must(ht_weights_open(context, &(ht_weights_desc){.path = path}, &s->open[i].weights));
    }
    const ht_weight_info *info = ht_weights_find(s->open[i].weights, slash + 1);
    assert_non_null(info);
    return info;
}

static void put(int fd, uint64_t offset, const void *data, size_t bytes) {
    assert_int_equal(pwrite(fd, data, bytes, (off_t)offset), bytes);
}

static void write_line(int fd, sources *s, const line *l) {
    uint64_t at = l->offset;
    for (uint32_t i = 0; i < l->n_from; ++i) {
        const ht_weight_info *info = find_source(s, l->from[i]);
        const uint8_t *bytes = info->data; // F32, as all of the tiny models
        if (strcmp(l->how, "turned") == 0) {
            uint64_t rows = info->desc.dims[0], columns = info->desc.dims[1];
            for (uint64_t k = 0; k < rows * columns; ++k) {
                put(fd, at + 4 * k, bytes + 4 * ((k % rows) * columns + k / rows), 4);
            }
            return;
        }
        put(fd, at, bytes, info->bytes);
        at += info->bytes;
    }
}

static void swing(int fd, const line *l) {
    for (uint64_t i = 0; i < count_of(l); ++i) {
        const uint16_t half = i % 2 ? 0xbc00 : 0x3c00;
        put(fd, l->offset + 2 * i, &half, sizeof(half));
    }
}

// The header's entry of a tensor whose data begins at l->offset behind the header.
static void print_entry(FILE *header, const line *l, bool first, bool wide) {
    uint64_t end = l->offset + count_of(l) * (wide ? 4 : 2);
    fprintf(header, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", first ? "{" : ",", l->name,
            wide ? "F32" : "F16");
    for (uint32_t i = 0; i < l->rank; ++i) {
        fprintf(header, "%s%llu", i ? "," : "", (unsigned long long)l->dims[i]);
    }
    fprintf(header, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)l->offset,
            (unsigned long long)end);
}

// Places for all tensors, and the header. The file's data is left sparse.
static void write_header(int fd, line *lines, uint32_t count, bool wide) {
    char *text = NULL;
    size_t bytes = 0;
    uint64_t end = 0;
    FILE *header = open_memstream(&text, &bytes);
    assert_non_null(header);
    for (uint32_t i = 0; i < count; ++i) {
        lines[i].offset = end;
        print_entry(header, &lines[i], i == 0, wide);
        end += count_of(&lines[i]) * (wide ? 4 : 2);
    }
    fputc('}', header);
    fclose(header);
    const uint64_t length = bytes;
    put(fd, 0, &length, sizeof(length));
    put(fd, 8, text, bytes);
    free(text);
    for (uint32_t i = 0; i < count; ++i) {
        lines[i].offset += 8 + length;
    }
    assert_int_equal(ftruncate(fd, (off_t)(8 + length + end)), 0);
}

// ---- GGUF, as stable-diffusion.cpp writes it

static void replace(char name[LINE_BYTES], const char *from, const char *to) {
    char tail[LINE_BYTES];
    char *at = strstr(name, from);
    if (at) {
        snprintf(tail, sizeof(tail), "%s", at + strlen(from));
        snprintf(at, (size_t)(name + LINE_BYTES - at), "%s%s", to, tail);
    }
}

static void rename_text(char name[LINE_BYTES]) {
    static const char *const rows[][2] = {
        {"conditioner.embedders.0.", "cond_stage_model."},
        {"conditioner.embedders.1.model.transformer.resblocks.",
         "cond_stage_model.1.transformer.text_model.encoder.layers."},
        {"conditioner.embedders.1.model.", "cond_stage_model.1.transformer.text_model."},
        {"text_model.token_embedding.", "text_model.embeddings.token_embedding."},
        {"text_model.positional_embedding", "text_model.embeddings.position_embedding.weight"},
        {"text_model.ln_final.", "text_model.final_layer_norm."},
        {".attn.in_proj_", ".self_attn.in_proj."},
        {".attn.out_proj.", ".self_attn.out_proj."},
        {".ln_1.", ".layer_norm1."},
        {".ln_2.", ".layer_norm2."},
        {".mlp.c_fc.", ".mlp.fc1."},
        {".mlp.c_proj.", ".mlp.fc2."},
    };
    for (size_t i = 0; strncmp(name, "cond", 4) == 0 && i < HT_COUNT(rows); ++i) {
        replace(name, rows[i][0], rows[i][1]);
    }
}

static void print_number(FILE *to, uint64_t value, size_t bytes) {
    fwrite(&value, bytes, 1, to);
}

// Tables and places; dimensions are innermost first, all values F32.
static void write_tables(int fd, line *lines, uint32_t count) {
    char *text = NULL;
    size_t bytes = 0;
    uint64_t end = 0;
    FILE *tables = open_memstream(&text, &bytes);
    assert_non_null(tables);
    fputs("GGUF", tables);
    print_number(tables, 3, 4);
    print_number(tables, count, 8);
    print_number(tables, 0, 8);
    for (uint32_t i = 0; i < count; ++i) {
        line *l = &lines[i];
        print_number(tables, strlen(l->name), 8);
        fputs(l->name, tables);
        print_number(tables, l->rank, 4);
        for (uint32_t d = l->rank; d-- > 0;) {
            print_number(tables, l->dims[d], 8);
        }
        print_number(tables, 0, 4);
        print_number(tables, end, 8);
        l->offset = end;
        end = (end + 4 * count_of(l) + 31) / 32 * 32;
    }
    fclose(tables);
    put(fd, 0, text, bytes);
    free(text);
    const uint64_t start = (bytes + 31) / 32 * 32;
    for (uint32_t i = 0; i < count; ++i) {
        lines[i].offset += start;
    }
    assert_int_equal(ftruncate(fd, (off_t)(start + end)), 0);
}

// As `how` says: returns how many lines there are then.
static uint32_t change(line *lines, uint32_t count, const recipe *how) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; ++i) {
        if (how->leave_out && strcmp(how->leave_out, lines[i].name) == 0) {
            continue;
        }
        lines[kept] = lines[i];
        lines[kept].dims[0] += how->grow && strcmp(how->grow, lines[i].name) == 0;
        if (how->gguf) {
            rename_text(lines[kept].name);
        }
        ++kept;
    }
    if (how->extra) {
        lines[kept] = (line){.rank = 1, .dims = {1}};
        if (strstr(how->extra, "cond_proj")) {
            lines[kept] = (line){.rank = 2, .dims = {320, 256}};
        }
        snprintf(lines[kept++].name, LINE_BYTES, "%s", how->extra);
    }
    return kept;
}

// tests/data/golden/single_file_NAME.txt as a file: of `folder`'s values, or of zeros in F16.
static void write_file(const char *name, const char *folder, const char *path, const recipe *how) {
    line *lines = calloc(MAX_LINES, sizeof(*lines));
    assert_non_null(lines);
    sources s = {0};
    uint32_t count = change(lines, read_lines(name, lines), how);
    unlink(path); // what is mapped stays what it was
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    if (how->gguf) {
        write_tables(fd, lines, count);
    } else {
        write_header(fd, lines, count, folder != NULL);
    }
    snprintf(s.folder, sizeof(s.folder), "%s", folder ? folder : "");
    for (uint32_t i = 0; i < count; ++i) {
        write_line(fd, &s, &lines[i]);
        if (how->swing && strcmp(how->swing, lines[i].name) == 0) {
            swing(fd, &lines[i]);
        }
    }
    assert_int_equal(close(fd), 0);
    for (size_t i = 0; i < HT_COUNT(s.open); ++i) {
        ht_weights_destroy(&s.open[i].weights);
    }
    free(lines);
}

// ---- the same picture

static void make_picture(const char *path, const ht_pipeline_options *options, ht_image *image) {
    ht_pipeline *p;
    must(ht_pipeline_open(context, path, options, &p));
    ht_generate_params params = HT_GENERATE_DEFAULTS;
    params.prompt = "A red shiny sphere left of a blue cube.";
    params.cfg_scale = 4.5f;
    params.seed = 42;
    params.steps = 2;
    params.width = params.height = 16;
    must(ht_pipeline_generate(p, &params, NULL, image, NULL));
    ht_pipeline_destroy(&p);
}

// Bit for bit: the values are the folder's, only their names and places differ.
static void check_same(const char *name, ht_format format, const char *recipe_path, bool gguf) {
    ht_test_folder temporary;
    char folder[128];
    ht_image want, got;
    context = ht_test_context(HT_TIER_AUTO);
    ht_pipeline_options options = {.weights = format, .activations = format, .recipe = recipe_path};
    snprintf(folder, sizeof(folder), "tests/data/models/%s", name);
    make_picture(folder, &options, &want);
    ht_test_folder_open(&temporary);
    const char *path = ht_test_folder_file(&temporary, "model.safetensors");
    write_file(name, folder, path, &(recipe){.extra = "model_ema.decay", .gguf = gguf});
    options.config = folder;
    make_picture(path, &options, &got);
    assert_memory_equal(want.rgb, got.rgb, (size_t)want.width * want.height * 3);
    ht_image_clear(context, &got);
    if (strcmp(name, "tiny-sd") == 0) { // the denoiser alone out of the file
        options.denoiser = path;
        make_picture(folder, &options, &got);
        assert_memory_equal(want.rgb, got.rgb, (size_t)want.width * want.height * 3);
        ht_image_clear(context, &got);
    }
    ht_image_clear(context, &want);
    ht_test_folder_close(&temporary);
}

static void test_same_picture(void **state) {
    (void)state;
    check_same("tiny-sd", HT_FORMAT_F32, NULL, false);
    check_same("tiny-sd", HT_FORMAT_NONE, NULL, false);
    check_same("tiny-xl", HT_FORMAT_F32, NULL, false);
    check_same("tiny-sd", HT_FORMAT_NONE, "assets/recipes/w8a8.json", false);
    check_same("tiny-sd", HT_FORMAT_F32, NULL, true);
    check_same("tiny-xl", HT_FORMAT_F32, NULL, true);
}

// ---- published sizes

static ht_pipeline *open_published(const char *path, const char *prediction) {
    ht_pipeline *p;
    const ht_pipeline_options options = {.tokenizer = TOKENIZER, .prediction = prediction};
    must(ht_pipeline_open(context, path, &options, &p));
    return p;
}

static void check_unet(const ht_pipeline *p, const uint32_t *heads, const uint32_t *depth,
                       uint32_t levels) {
    assert_int_equal(p->unet.levels, levels);
    assert_int_equal(p->unet.layers_per_block, 2);
    for (uint32_t i = 0; i < levels; ++i) {
        assert_int_equal(p->unet.channels[i], 320u << (i < 2 ? i : 2));
        assert_int_equal(p->unet.heads[i], heads[i]);
        assert_int_equal(p->unet.depth[i], depth[i]);
    }
    assert_int_equal(p->vae.config.levels, 4);
    assert_int_equal(p->vae.config.channels[3], 512);
    assert_int_equal(p->vae.config.layers_per_block, 2);
}

static void check_clip(const ht_clip_config *c, uint32_t width, uint32_t layers, uint32_t heads,
                       ht_activation act, uint32_t projection) {
    assert_int_equal(c->width, width);
    assert_int_equal(c->layers, layers);
    assert_int_equal(c->heads, heads);
    assert_int_equal(c->act, act);
    assert_int_equal(c->projection, projection);
    assert_int_equal(c->intermediate, 4 * width);
    assert_int_equal(c->positions, 77);
    assert_int_equal(c->vocab_size, 49408);
}

static void test_sd1(void **state) {
    ht_test_folder *folder = *state;
    const char *path = ht_test_folder_file(folder, "sd1.safetensors");
    write_file("sd1", NULL, path, &(recipe){.extra = "betas"});
    ht_pipeline *p = open_published(path, NULL);
    assert_string_equal(p->info.class_name, "StableDiffusionPipeline");
    check_unet(p, (uint32_t[]){8, 8, 8, 8}, (uint32_t[]){1, 1, 1, 1}, 4);
    check_clip(&p->clip[0], 768, 12, 12, HT_ACT_QUICK_GELU, 0);
    assert_int_equal(p->info.width, 512);
    assert_int_equal(p->sampler.prediction, HT_PREDICT_EPSILON);
    assert_true(p->vae.config.scaling_factor == 0.18215f && !p->zero_negative && !p->clip_pad[0]);
    ht_pipeline_destroy(&p);
    p = open_published(path, "v");
    assert_int_equal(p->sampler.prediction, HT_PREDICT_V);
    ht_pipeline_destroy(&p);
}

static void test_lcm(void **state) {
    ht_test_folder *folder = *state;
    const char *path = ht_test_folder_file(folder, "lcm.safetensors");
    write_file("sd1", NULL, path,
               &(recipe){.extra = "model.diffusion_model.time_embed.cond_proj.weight"});
    ht_pipeline *p = open_published(path, NULL);
    assert_string_equal(p->info.class_name, "LatentConsistencyModelPipeline");
    assert_int_equal(p->unet.guidance_dim, 256);
    assert_int_equal(p->sampler.kind, HT_SAMPLER_LCM);
    assert_int_equal(p->info.steps, 4);
    ht_pipeline_destroy(&p);
}

static void check_sd2(const char *path, const char *asked, ht_prediction prediction,
                      uint32_t edge) {
    ht_pipeline *p = open_published(path, asked);
    check_unet(p, (uint32_t[]){5, 10, 20, 20}, (uint32_t[]){1, 1, 1, 1}, 4);
    check_clip(&p->clip[0], 1024, 23, 16, HT_ACT_GELU_ERF, 0);
    assert_int_equal(p->sampler.prediction, prediction);
    assert_int_equal(p->info.width, edge);
    assert_string_equal(p->clip_pad[0], "!");
    ht_pipeline_destroy(&p);
}

static void test_sd2(void **state) {
    ht_test_folder *folder = *state;
    const char *path = ht_test_folder_file(folder, "sd2.safetensors");
    write_file("sd2", NULL, path, &(recipe){0});
    check_sd2(path, NULL, HT_PREDICT_EPSILON, 512);
    check_sd2(path, "v", HT_PREDICT_V, 768);
    write_file("sd2", NULL, path,
               &(recipe){.swing = "model.diffusion_model.output_blocks.11.1.transformer_blocks.0."
                                  "norm1.bias"});
    check_sd2(path, NULL, HT_PREDICT_V, 768);
    check_sd2(path, "epsilon", HT_PREDICT_EPSILON, 512);
}

static void test_xl(void **state) {
    ht_test_folder *folder = *state;
    const char *path = ht_test_folder_file(folder, "xl.safetensors");
    write_file("xl", NULL, path, &(recipe){0});
    ht_pipeline *p = open_published(path, NULL);
    assert_string_equal(p->info.class_name, "StableDiffusionXLPipeline");
    check_unet(p, (uint32_t[]){5, 10, 20}, (uint32_t[]){1, 2, 10}, 3);
    check_clip(&p->clip[0], 768, 12, 12, HT_ACT_QUICK_GELU, 0);
    check_clip(&p->clip[1], 1280, 32, 20, HT_ACT_GELU_ERF, 1280);
    assert_true(p->unet.time_ids_dim == 256 && p->unet.added_dim == 2816);
    assert_true(p->vae.config.scaling_factor == 0.13025f && p->zero_negative);
    assert_int_equal(p->info.width, 1024);
    assert_int_equal(p->sampler.prediction, HT_PREDICT_EPSILON);
    ht_pipeline_destroy(&p);
    write_file("xl", NULL, path, &(recipe){.extra = "v_pred"});
    p = open_published(path, NULL);
    assert_int_equal(p->sampler.prediction, HT_PREDICT_V);
    ht_pipeline_destroy(&p);
}

// ---- refusals

static void expect_refused(const char *path, const char *const *sentence) {
    ht_pipeline *p;
    const ht_pipeline_options options = {.tokenizer = TOKENIZER};
    assert_int_not_equal(ht_pipeline_open(context, path, &options, &p), HT_OK);
    assert_null(p);
    for (; *sentence; ++sentence) {
        if (!strstr(ht_context_message(context), *sentence)) {
            fail_msg("'%s' lacks '%s'", ht_context_message(context), *sentence);
        }
    }
}
#define SAYS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_refusals(void **state) {
    static const char conv[] = "model.diffusion_model.input_blocks.3.0.op.bias";
    ht_test_folder *folder = *state;
    char path[256];
    snprintf(path, sizeof(path), "%s", ht_test_folder_file(folder, "bad.safetensors"));
    write_file("sd1", NULL, path, &(recipe){.leave_out = conv});
    expect_refused(path, SAYS("bad.safetensors", "lacks tensor", conv, "1 of 686"));
    write_file("sd1", NULL, path, &(recipe){.grow = conv});
    expect_refused(path, SAYS("bad.safetensors", conv, "[321]", "expected", "[320]"));
    write_file("sd2", NULL, path,
               &(recipe){.grow = "cond_stage_model.model.transformer.resblocks.3.attn."
                                 "in_proj_weight"});
    expect_refused(path, SAYS("resblocks.3.attn.in_proj_weight", "[3073, 1024]", "3 equal parts"));
    write_file("sd1", NULL, path,
               &(recipe){.extra = "conditioner.embedders.0.model.ln_final.weight"});
    expect_refused(path, SAYS("refiner", "Stable Diffusion 1, 2 and XL (base)"));
    ht_test_write_safetensors(
        folder, "bad.safetensors",
        "{\"lora_unet_x.lora_down.weight\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,2]"
        "}}",
        NULL, 2);
    expect_refused(path, SAYS("a LoRA"));
    ht_test_write_safetensors(
        folder, "bad.safetensors",
        "{\"something\":{\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,2]}}", NULL, 2);
    expect_refused(path, SAYS("'something'", "model.diffusion_model"));
    ht_test_write_safetensors(folder, "bad.safetensors",
                              "{\"input_blocks.0.0.weight\":{\"dtype\":\"F16\",\"shape\":[1],"
                              "\"data_offsets\":[0,2]}}",
                              NULL, 2);
    expect_refused(path, SAYS("no text encoder", "--diffusion-model"));
}

static void test_no_tokenizer(void **state) {
    ht_test_folder *folder = *state;
    ht_pipeline *p;
    const char *path = ht_test_folder_file(folder, "plain.safetensors");
    const char *const folders[] = {TOKENIZER, NULL}; // not of CLIP's size
    const ht_pipeline_options options = {.tokenizers = folders};
    write_file("sd1", NULL, path, &(recipe){0});
    assert_int_equal(ht_pipeline_open(context, path, &options, &p), HT_ERR_IO);
    assert_non_null(strstr(ht_context_message(context), "vocabulary of 49408 entries"));
}

static int open_folder(void **state) {
    static ht_test_folder folder;
    context = ht_test_context(HT_TIER_AUTO);
    ht_test_folder_open(&folder);
    *state = &folder;
    return 0;
}

static int close_folder(void **state) {
    ht_test_folder_close(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_picture),
        cmocka_unit_test_setup_teardown(test_sd1, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_lcm, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_sd2, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_xl, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_refusals, open_folder, close_folder),
        cmocka_unit_test_setup_teardown(test_no_tokenizer, open_folder, close_folder),
    };
    return ht_test_run_gpu(tests, HT_COUNT(tests));
}
