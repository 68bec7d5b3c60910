// gen-batch from the outside: what a file of jobs becomes, what is refused, failures, parts and merging.
#include "batch_support.h"

#include <stdlib.h>

// The jobs that a file becomes, by number; decref.
static json_t *expand(const char *arguments) {
    static char output[1 << 18];
    json_t *jobs = json_array();
    ht_batch_write("jobs.jsonl", NULL);
    const int code = ht_batch("", arguments, output, sizeof(output));
    if (code != 0) {
        fail_msg("gen-batch %s: exit code %d\n%s", arguments, code, output);
    }
    for (int i = 0; i < 64; ++i) {
        json_array_append_new(jobs, json_null());
    }
    size_t count = 0;
    for (char *line = output, *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        json_t *job = *line == '{' ? json_loads(line, 0, NULL) : NULL;
        if (job) {
            const size_t number = (size_t)json_integer_value(json_object_get(job, "number"));
            assert_true(number > 0 && number <= 64);
            json_array_set_new(jobs, number - 1, job);
            ++count;
        }
    }
    while (json_array_size(jobs) > count) {
        assert_true(json_is_null(json_array_get(jobs, json_array_size(jobs) - 1)));
        json_array_remove(jobs, json_array_size(jobs) - 1);
    }
    return jobs;
}

static const char *text_of(const json_t *jobs, size_t number, const char *key) {
    const json_t *job = json_object_get(json_array_get(jobs, number - 1), "job");
    const char *text = json_string_value(json_object_get(job, key));
    return text ? text : "";
}

static double number_of(const json_t *jobs, size_t number, const char *key) {
    const json_t *job = json_object_get(json_array_get(jobs, number - 1), "job");
    return json_number_value(json_object_get(job, key));
}

static const char *path_of(const json_t *jobs, size_t number) {
    return json_string_value(
        json_array_get(json_object_get(json_array_get(jobs, number - 1), "paths"), 0));
}

static void test_matrix(void **state) {
    (void)state;
    ht_batch_begin(
        "{\"prompt\": \"x\", \"name\": \"[recipe]/[seed]-[cfg_scale]\", \"matrix\": "
        "{\"seed\": \"1-2, 7\", \"recipe\": [\"fp16\", \"w4a8\"], \"cfg\": "
        "\"1-2 [3]\"}}\n"
        "{\"prompts\": [\"a\", \"b\"], \"steps\": 3, \"batch_count\": 2, \"seed\": 4}\n");
    json_t *jobs = expand("jobs.jsonl -o out --dry-run");
    assert_int_equal(json_array_size(jobs), 3 * 2 * 3 + 4);
    assert_true(number_of(jobs, 1, "seed") == 1 && number_of(jobs, 18, "seed") == 7);
    assert_string_equal(text_of(jobs, 3, "recipe"), "fp16");
    assert_string_equal(text_of(jobs, 4, "recipe"), "w4a8");
    assert_true(number_of(jobs, 2, "cfg_scale") == 1.5);
    assert_string_equal(path_of(jobs, 18), "w4a8/7-2.png");
    assert_string_equal(text_of(jobs, 20, "prompt"), "a");
    assert_true(number_of(jobs, 20, "seed") == 5 && number_of(jobs, 21, "seed") == 4);
    assert_true(number_of(jobs, 19, "steps") == 3 && number_of(jobs, 1, "steps") == 2);
    assert_string_equal(path_of(jobs, 22), "00022-5.png");
    json_decref(jobs);
}

// The program's defaults, the file's, flags, jobs: each replaces those before, also in other words.
static void test_defaults(void **state) {
    (void)state;
    ht_batch_begin(
        "{\"prompt\": \"x\"}\n{\"prompt\": \"y\", \"recipe\": \"w4a4\", \"steps\": 9}\n");
    json_t *jobs = expand("jobs.jsonl -o out --dry-run --w4a8 --steps 5");
    assert_string_equal(text_of(jobs, 1, "recipe"), "w4a8");
    assert_string_equal(text_of(jobs, 2, "recipe"), "w4a4");
    assert_true(number_of(jobs, 1, "steps") == 5 && number_of(jobs, 2, "steps") == 9);
    assert_true(number_of(jobs, 1, "width") == 32);
    json_decref(jobs);
    ht_batch_write("jobs.jsonl",
                   "{\"defaults\": {\"w8a8\": true, \"steps\": 3}}\n{\"prompt\": \"x\"}");
    jobs = expand("jobs.jsonl -o out --dry-run --fp16 -m ./tiny");
    assert_string_equal(text_of(jobs, 1, "recipe"), "fp16");
    assert_true(number_of(jobs, 1, "steps") == 3);
    json_decref(jobs);
    ht_batch_write("prompts.txt", "# a list\none\n\ntwo\n");
    jobs = expand("prompts.txt -o out --dry-run -m ./tiny --seed 3");
    assert_string_equal(text_of(jobs, 2, "prompt"), "two");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(jobs, 1), "line")), 4);
    json_decref(jobs);
}

static void test_wildcards(void **state) {
    (void)state;
    ht_batch_write("color.txt", "red\n# none\ndeep __shade__\n");
    ht_batch_write("shade.txt", "green\n{sky|navy} blue\n");
    ht_batch_begin("{\"prompt\": \"{a|b|c}\", \"matrix\": {\"seed\": \"1-20\"}}\n"
                   "{\"prompt\": \"{2$$x|y|z}, __color__\", \"seed\": 5, \"wildcards\": \".\"}\n"
                   "{\"prompt\": \"{a|b} __x__\", \"literal\": true}\n"
                   "{\"prompt\": \"\\\\{a\\\\|b\\\\} \\\\(c\\\\) a__b__c {3$$ + $$p|{q|q}|p}\", "
                   "\"negative\": \"{n|n}\", \"wildcards\": \".\"}\n");
    ht_batch_write("b.txt", "B\n");
    json_t *jobs = expand("jobs.jsonl -o out --dry-run");
    size_t seen[3] = {0};
    for (size_t i = 1; i <= 20; ++i) {
        const char *prompt = text_of(jobs, i, "prompt");
        assert_true(prompt[0] >= 'a' && prompt[0] <= 'c' && !prompt[1]);
        ++seen[prompt[0] - 'a'];
    }
    assert_true(seen[0] > 0 && seen[1] > 0 && seen[2] > 0);
    char first[128];
    snprintf(first, sizeof(first), "%s", text_of(jobs, 21, "prompt"));
    assert_true(first[0] != first[3] && strchr("xyz", first[0]) && strchr("xyz", first[3]));
    assert_true(strstr(first, "red") || strstr(first, "green") || strstr(first, "blue"));
    assert_string_equal(text_of(jobs, 22, "prompt"), "{a|b} __x__");
    const char *last = text_of(jobs, 23, "prompt");
    assert_true(strncmp(last, "{a|b} \\(c\\) aBc ", 16) == 0);
    assert_true(strlen(last) == 16 + 9 && strchr(last, 'q') && strstr(last, " + "));
    assert_string_equal(text_of(jobs, 23, "negative_prompt"), "n");
    json_t *again = expand("jobs.jsonl -o out --dry-run");
    assert_true(json_equal(jobs, again)); // by the seed, also of jobs without one
    json_decref(again);
    json_decref(jobs);
}

// A line that is put in front moves the others, and changes neither keys nor seeds.
static void test_keys(void **state) {
    (void)state;
    ht_batch_begin("{\"prompt\": \"x\"}\n{\"prompt\": \"x\"}\n");
    json_t *jobs = expand("jobs.jsonl -o out --dry-run");
    ht_batch_begin("{\"prompt\": \"new\"}\n{\"prompt\": \"x\"}\n{\"prompt\": \"x\"}\n");
    json_t *more = expand("jobs.jsonl -o out --dry-run");
    for (size_t i = 0; i < 2; ++i) {
        const json_t *a = json_array_get(jobs, i), *b = json_array_get(more, i + 1);
        assert_true(json_equal(json_object_get(a, "key"), json_object_get(b, "key")));
        assert_true(json_equal(json_object_get(a, "job"), json_object_get(b, "job")));
    }
    assert_true(number_of(jobs, 1, "seed") != number_of(jobs, 2, "seed"));
    json_decref(jobs);
    json_decref(more);
}

// Of the command line; the file of jobs is empty.
static const struct {
    const char *arguments;
    int code;
    const char *part;
} bad_flags[] = {
    {"", 2, "there is no file of jobs"},
    {"jobs.jsonl", 2, "--output says"},
    {"a b -o out", 2, "'b' is not a flag"},
    {"jobs.jsonl -o out --retyr", 2, "did you mean --retry?"},
    {"jobs.jsonl -o out --prompt x", 2, "prompts are in the file"},
    {"jobs.jsonl -o out --shard 5/4", 2, "expected I/N"},
    {"jobs.jsonl -o out --shard 0/4", 2, "expected I/N"},
    {"jobs.jsonl -o out --shard -1/4", 2, "expected I/N"},
    {"jobs.jsonl -o out --literal --wildcards .", 2, "exclude each other"},
    {"merge", 2, "merge needs the folder"},
    {"merge nowhere", 1, "'nowhere' is not a folder"},
    {"merge .", 1, "no plan.json"},
    {"none.jsonl -o out", 2, "'none.jsonl': No such file"},
    {"jobs.jsonl -o out", 2, "holds no job"},
};

// Of the file of jobs, all with exit code 2.
static const struct {
    const char *lines, *part;
    const char *more; // flags
} bad_lines[] = {
    {"# only\n\n", "holds no job", NULL},
    {"{\"prompt\": \"x\"}\n{\"promt\": 1}\n",
     "'jobs.jsonl' line 2: there is no field \"promt\"; did you mean \"prompt\"?", NULL},
    {"{\"prompt\": \"x\", \"prompt\": \"y\"}", "line 1: duplicate object key", NULL},
    {"{\"prompt\": \"x\"", "line 1: '}' expected", NULL},
    {"{\"prompt\": \"\\u0000\"}", "line 1: ", NULL},
    {"{\"prompt\": \"\xff\"}", "line 1: unable to decode", NULL},
    {"[]", "line 1: expected an object", NULL},
    {"17", "line 1: ", NULL},
    {"{}", "line 1: there is no --prompt", NULL},
    {"{\"prompt\": \"x\", \"seed\": 1e400}", "line 1: ", NULL},
    {"{\"prompt\": \"x\", \"steps\": -1}",
     "line 1: \"steps\": expected a whole number from 1 to 1000", NULL},
    {"{\"prompt\": \"x\", \"mask\": \"m\"}", "line 1: --mask needs --init-image", NULL},
    {"{\"prompt\": \"x\", \"w4a8\": true, \"fp32\": true}", "line 1: --fp32 leaves nothing", NULL},
    {"{\"prompt\": \"x\"}\n{\"defaults\": {}}", "line 2: \"defaults\" belong into the first line",
     NULL},
    {"{\"defaults\": {\"stepz\": 1}}", "line 1: there is no field", NULL},
    {"{\"defaults\": 1}", "line 1: expected {\"defaults\"", NULL},
    {"{\"defaults\": {}, \"prompt\": \"x\"}", "line 1: expected {", NULL},
    {"{\"defaults\": {\"prompt\": \"x\"}}", "hold no \"prompt\"", NULL},
    {"{\"prompt\": \"x\", \"matrix\": 1}", "expected an object of lists", NULL},
    {"{\"prompt\": \"x\", \"matrix\": {\"seed\": []}}", "is empty", NULL},
    {"{\"prompt\": \"x\", \"matrix\": {\"seed\": \"1-\"}}", "\"seed\": expected numbers and ranges",
     NULL},
    {"{\"prompt\": \"x\", \"matrix\": {\"seed\": \"1-2 (+0)\"}}", "expected numbers and ranges",
     NULL},
    {"{\"prompt\": \"x\", \"matrix\": {\"seed\": \"1-999999999\"}}", "expected numbers and ranges",
     NULL},
    {"{\"prompt\": \"x\", \"matrix\": {\"sampler\": \"euler\"}}",
     "\"sampler\": expected a list of values", NULL},
    {"{\"prompt\": \"x\", \"matrix\": {\"odd\": [1]}}", "there is no field \"odd\"", NULL},
    {"{\"prompt\": \"x\", \"matrix\": {\"cfg\": [1], \"cfg_scale\": [2]}}",
     "has two lists of values", NULL},
    {"{\"prompt\": \"x\", \"prompts\": [\"y\"]}", "exclude each other", NULL},
    {"{\"prompts\": \"y\"}", "expected a list of texts", NULL},
    {"{\"prompt_file\": \"none.txt\"}", "'none.txt': No such file", NULL},
    {"{\"prompt\": \"x\", \"matrix\": {\"seed\": \"1-2000\", \"steps\": \"1-1000\"}}",
     "more than 1000000 jobs", NULL},
    {"{\"prompt\": \"x\", \"name\": \"../x\"}", "expected a path inside the output folder", NULL},
    {"{\"prompt\": \"x\", \"name\": \"/x\"}", "inside the output", NULL},
    {"{\"prompt\": \"x\", \"name\": \".parts/x\"}", "inside the output", NULL},
    {"{\"prompt\": \"x\", \"name\": \"[odd]\"}", "there is no [odd]", NULL},
    {"{\"prompt\": \"x\", \"name\": 4}", "\"name\": expected a text", NULL},
    {"{\"prompt\": \"{a|b\"}", "a { has no }", NULL},
    {"{\"prompt\": \"__a__\"}", "line 1: the prompt has __a__", NULL},
    {"{\"prompt\": \"__none__\"}", "none.txt': No such", "--wildcards ."},
    {"{\"prompt\": \"__../a__\"}", "out of the folder", "--wildcards ."},
    {"{\"prompt\": \"__loop__\"}", "in a circle", "--wildcards ."},
};

static void refuse(const char *lines, const char *arguments, int expected, const char *part) {
    char output[8192];
    ht_batch_write("jobs.jsonl", lines);
    const int code = ht_batch("", arguments, output, sizeof(output));
    if (code != expected || !strstr(output, part)) {
        fail_msg("gen-batch %s with\n%s\nexit code %d, expected %d with '%s':\n%s", arguments,
                 lines, code, expected, part, output);
    }
}

static void test_refusals(void **state) {
    (void)state;
    char arguments[256], deep[4096] = "{\"prompt\": ";
    ht_batch_write("loop.txt", "{2$$__loop__|__loop__}\n");
    for (size_t i = 0; i < HT_COUNT(bad_flags); ++i) {
        refuse("", bad_flags[i].arguments, bad_flags[i].code, bad_flags[i].part);
    }
    for (size_t i = 0; i < HT_COUNT(bad_lines); ++i) {
        const char *more = bad_lines[i].more;
        snprintf(arguments, sizeof(arguments), "jobs.jsonl -o out %s", more ? more : "");
        refuse(bad_lines[i].lines, arguments, 2, bad_lines[i].part);
    }
    memset(deep + strlen(deep), '[', 3000);
    refuse(deep, "jobs.jsonl -o out", 2, "line 1: ");
}

// A failing job is recorded and passed over, and done again when asked to; exit codes.
static void test_failures(void **state) {
    (void)state;
    char output[8192];
    ht_batch_fresh();
    ht_batch_begin(
        "{\"prompt\": \"x\", \"seed\": 1}\n"
        "{\"prompt\": \"x\", \"init_image\": \"later.png\", \"seed\": 2, \"id\": \"late\"}\n"
        "{\"prompt\": \"x\", \"model\": \"./none\"}\n"
        "{\"prompt\": \"y\", \"model\": \"./none\"}\n"
        "{\"prompt\": \"x\", \"seed\": 3}\n");
    assert_int_equal(ht_batch("", "jobs.jsonl -o out", output, sizeof(output)), 1);
    json_t *results = ht_batch_results("results.jsonl");
    assert_int_equal(json_array_size(results), 5);
    assert_int_equal(ht_batch_count(results, "done"), 2);
    const json_t *late = NULL;
    for (size_t i = 0; i < 5; ++i) {
        const json_t *record = json_array_get(results, i);
        const char *error = json_string_value(json_object_get(record, "error"));
        const json_int_t line = json_integer_value(json_object_get(record, "line"));
        late = line == 3 ? record : late;
        assert_true((line == 2 || line == 6) ? !error : error != NULL);
        assert_true(line != 4 || strstr(error, "there is no model './none'"));
        assert_true(line != 5 || strstr(error, "there is no model './none'"));
    }
    assert_string_equal(json_string_value(json_object_get(late, "id")), "late");
    json_decref(results);
    assert_int_equal(ht_batch("", "jobs.jsonl -o out", output, sizeof(output)), 1);
    assert_non_null(strstr(output, "0 done now, 2 before, 3 failed"));
    ht_batch_shell("cp out/00001-1.png later.png");
    assert_int_equal(
        ht_batch("", "jobs.jsonl -o out// --retry --contact-sheet", output, sizeof(output)), 1);
    assert_non_null(strstr(output, "1 done now, 2 before, 2 failed"));
    assert_non_null(strstr(output, "out/00002-2.png\n"));
    ht_batch_shell("test -s out/contact-sheet.png && test -s out/00002-2.png");
    assert_int_equal(ht_batch("", "merge out", output, sizeof(output)), 1);
    assert_non_null(strstr(output, "5 jobs: 3 done, 2 failed, 0 not there"));
    results = ht_batch_results("results.jsonl");
    assert_int_equal(json_array_size(results), 5); // of the one that failed first, one line
    json_decref(results);
}

// Four parts at once, then one file; Slurm's variables say which part.
static void test_parts(void **state) {
    (void)state;
    char output[16384];
    ht_batch_fresh();
    ht_batch_begin("{\"prompt\": \"x\", \"matrix\": {\"seed\": \"1-10\"}}\n{\"prompt\": \"y\", "
                   "\"batch_size\": 2, \"seed\": 50}\n");
    ht_batch_shell("for i in 3 5 7 9; do SLURM_ARRAY_TASK_ID=$i SLURM_ARRAY_TASK_MIN=3 "
                   "SLURM_ARRAY_TASK_MAX=9 SLURM_ARRAY_TASK_STEP=2 SLURM_ARRAY_TASK_COUNT=4 "
                   "'" HT_BATCH_PATH "' jobs.jsonl -o out -q & done; wait");
    ht_batch_check("results-1-of-4.jsonl", 2);
    assert_int_equal(ht_batch("", "merge out --contact-sheet", output, sizeof(output)), 0);
    assert_non_null(strstr(output, "11 jobs: 11 done, 0 failed, 0 not there; 4 files merged"));
    ht_batch_check("results.jsonl", 11);
    ht_batch_shell("test ! -e out/results-1-of-4.jsonl && test -e out/contact-sheet.png");
    assert_int_equal(ht_batch("", "jobs.jsonl -o out --shard 2/3", output, sizeof(output)), 0);
    assert_non_null(strstr(output, "0 done now, 4 before"));
    ht_batch_shell("printf x >> out/00003-3.png");
    assert_int_equal(ht_batch("", "merge out", output, sizeof(output)), 1);
    assert_non_null(strstr(output, "'out/00003-3.png' is not what was recorded"));
    ht_batch_shell("rm out/00003-3.png");
    assert_int_equal(ht_batch("", "jobs.jsonl -o out", output, sizeof(output)), 0);
    assert_non_null(strstr(output, "1 done now, 10 before"));
    assert_int_equal(ht_batch("SLURM_ARRAY_TASK_ID=4 SLURM_ARRAY_TASK_MIN=1 "
                              "SLURM_ARRAY_TASK_MAX=4 SLURM_ARRAY_TASK_COUNT=3",
                              "jobs.jsonl -o out", output, sizeof(output)),
                     2);
    assert_non_null(strstr(output, "not evenly spaced"));
}

// Clips beside pictures: a name's ending says which, and models of pictures fail as any job.
static void test_clips(void **state) {
    (void)state;
    char output[8192];
    ht_batch_fresh();
    ht_batch_begin(
        "{\"prompt\": \"x\", \"model\": \"./wan\", \"frames\": 5, \"matrix\": {\"seed\": "
        "[1, 2]}, \"name\": \"[seed].gif\"}\n"
        "{\"prompt\": \"x\", \"seed\": 3}\n"
        "{\"prompt\": \"x\", \"frames\": 5, \"name\": \"never.gif\"}\n");
    const int code = ht_batch("", "jobs.jsonl -o out", output, sizeof(output));
    if (strstr(output, "built without libavcodec")) {
        assert_int_equal(code, 2);
        print_message("SKIPPED: without libavcodec, clips have NOT been tested\n");
        return;
    }
    assert_int_equal(code, 1);
    assert_non_null(strstr(output, "3 done now, 0 before, 1 failed"));
    assert_non_null(strstr(output, "makes pictures, not clips"));
    ht_batch_shell(
        "test \"$(head -c 6 out/1.gif)\" = GIF89a && test -s out/2.gif && "
        "test -s out/00003-3.png && ! cmp -s out/1.gif out/2.gif && test ! -e out/never.gif");
    assert_int_equal(ht_batch("", "merge out", output, sizeof(output)), 1);
    assert_non_null(strstr(output, "4 jobs: 3 done, 1 failed, 0 not there"));
    ht_batch_write("jobs.jsonl", "{\"prompt\": \"x\", \"frames\": 5, \"name\": \"[seed].png\"}");
    assert_int_equal(ht_batch("", "jobs.jsonl -o out", output, sizeof(output)), 2);
    assert_non_null(strstr(output, "clips can be written as"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matrix),    cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_wildcards), cmocka_unit_test(test_keys),
        cmocka_unit_test(test_refusals),  cmocka_unit_test(test_failures),
        cmocka_unit_test(test_parts),     cmocka_unit_test(test_clips),
    };
    ht_batch_open();
    const int result = ht_test_run_gpu(tests, HT_COUNT(tests));
    ht_batch_close();
    return result;
}
