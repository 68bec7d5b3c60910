// gen-batch killed at any moment, and started again: nothing twice, nothing lost, nothing partial.
#include "batch_support.h"

#include "files.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { JOBS = 200, KILLS = 20 };

static void sleep_us(long us) {
    const struct timespec time = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    nanosleep(&time, NULL);
}

static size_t lines_of(const char *file) {
    char path[512];
    size_t lines = 0;
    snprintf(path, sizeof(path), "%s/out/%s", ht_batch_folder(), file);
    FILE *in = fopen(path, "rb");
    for (int c; in && (c = fgetc(in)) != EOF;) {
        lines += c == '\n';
    }
    if (in) {
        fclose(in);
    }
    return lines;
}

static pid_t start(void) {
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        if (chdir(ht_batch_folder()) == 0 && freopen("log.txt", "a", stdout) &&
            freopen("log.txt", "a", stderr)) {
            execl(HT_BATCH_PATH, HT_BATCH_PATH, "jobs.jsonl", "-o", "out", (char *)NULL);
        }
        _exit(127);
    }
    return child;
}

// End it when so many lines are there and some more time has passed, whatever it is at. Returns false
// when it had ended by itself.
static bool end_after(pid_t child, int how, size_t lines, long us) {
    int status;
    for (int i = 0; lines_of("results.jsonl") < lines; ++i) {
        if (waitpid(child, &status, WNOHANG) != 0) {
            return false;
        }
        assert_true(i < 600000); // ten minutes
        sleep_us(1000);
    }
    sleep_us(us);
    kill(child, how);
    assert_int_equal(waitpid(child, &status, 0), child);
    return how == SIGKILL ? WIFSIGNALED(status) : WIFEXITED(status) && WEXITSTATUS(status) == 130;
}

static void test_killed(void **state) {
    (void)state;
    char output[8192], lines[256];
    uint64_t random = 20261129;
    int killed = 0;
    ht_batch_fresh();
    snprintf(lines, sizeof(lines), "{\"prompt\": \"x\", \"matrix\": {\"seed\": \"1-%d\"}}\n", JOBS);
    ht_batch_begin(lines);
    for (int i = 0; i < KILLS; ++i) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        // The first ones while it starts, then after a few more jobs, within about one.
        const size_t more = i < 3 ? 0 : 1 + (random >> 40) % 5;
        const long us = i < 3 ? (long)(random >> 33) % 50000 : (long)(random >> 33) % 5000;
        killed += end_after(start(), SIGKILL, lines_of("results.jsonl") + more, us);
    }
    assert_int_equal(killed, KILLS);
    const size_t before = lines_of("results.jsonl");
    assert_true(before < JOBS);
    assert_int_equal(ht_batch("", "jobs.jsonl -o out", output, sizeof(output)), 0);
    snprintf(lines, sizeof(lines), "%zu done now, %zu before, 0 failed, 0 left", JOBS - before,
             before);
    assert_non_null(strstr(output, lines));
    ht_batch_check("results.jsonl", JOBS);
}

static void test_stopped(void **state) {
    (void)state;
    char output[8192];
    ht_batch_fresh();
    ht_batch_begin("{\"prompt\": \"x\", \"matrix\": {\"seed\": \"1-60\"}}\n");
    assert_true(end_after(start(), SIGINT, 3, 5000));
    assert_true(end_after(start(), SIGTERM, lines_of("results.jsonl") + 2, 1000));
    ht_batch_check("results.jsonl", lines_of("results.jsonl"));
    assert_int_equal(ht_batch("", "jobs.jsonl -o out", output, sizeof(output)), 0);
    ht_batch_check("results.jsonl", 60);
}

// The two moments that a kill seldom meets: in the middle of a line, and between a line and the name.
static void test_torn(void **state) {
    (void)state;
    char output[8192];
    ht_batch_fresh();
    ht_batch_begin("{\"prompt\": \"x\", \"matrix\": {\"seed\": \"1-4\"}}\n");
    assert_int_equal(ht_batch("", "jobs.jsonl -o out", output, sizeof(output)), 0);
    ht_batch_shell("truncate -s -40 out/results.jsonl && mkdir out/.parts && "
                   "mv out/00002-2.png out/.parts/$(sed -n 2p out/results.jsonl | "
                   "sed 's/.*\"key\":\"\\([^\"]*\\).*/\\1/').0 && : >out/.parts/none.0");
    assert_int_equal(ht_batch("", "jobs.jsonl -o out", output, sizeof(output)), 0);
    assert_non_null(strstr(output, "1 done now, 3 before, 0 failed, 0 left"));
    ht_batch_shell("rm -r out/.parts");
    ht_batch_check("results.jsonl", 4);
    ht_batch_shell("printf 'odd\\n{\"key\":\"../x\"}\\n' >> out/results.jsonl");
    assert_int_equal(ht_batch("", "jobs.jsonl -o out", output, sizeof(output)), 0);
    assert_non_null(strstr(output, "line 5 is none of ours"));
    assert_non_null(strstr(output, "line 6 is none of ours"));
}

// Two at work in one folder.
static void test_locked(void **state) {
    (void)state;
    char output[8192];
    ht_batch_fresh();
    ht_batch_begin("{\"prompt\": \"x\", \"matrix\": {\"seed\": \"1-500\"}}\n");
    const pid_t child = start();
    while (lines_of("results.jsonl") < 1) {
        sleep_us(1000);
    }
    assert_int_equal(ht_batch("", "jobs.jsonl -o out", output, sizeof(output)), 1);
    assert_non_null(strstr(output, "another gen-batch is at work with 'out/results.jsonl'"));
    assert_int_equal(ht_batch("", "merge out", output, sizeof(output)), 1);
    assert_non_null(strstr(output, "still at work"));
    assert_true(end_after(child, SIGKILL, 1, 0));
}

// Results that cannot be written end the run with a sentence: no job fails by that, none is recorded.
static void test_unwritable(void **state) {
    (void)state;
    char output[8192];
    ht_batch_fresh();
    ht_batch_begin("{\"prompt\": \"x\", \"seed\": 1}\n{\"prompt\": \"x\", \"seed\": 2}\n");
    ht_batch_shell("mkdir -p out/00001-1.png");
    assert_int_equal(ht_batch("", "jobs.jsonl -o out", output, sizeof(output)), 1);
    assert_non_null(strstr(output, "cannot write 'out/00001-1.png': it is a folder"));
    assert_int_equal(lines_of("results.jsonl"), 0);
    ht_batch_shell("rmdir out/00001-1.png && rm out/results.jsonl && "
                   "ln -s /dev/full out/results.jsonl");
    assert_int_equal(ht_batch("", "jobs.jsonl -o out", output, sizeof(output)), 1);
    assert_non_null(strstr(output, "cannot open 'out/results.jsonl'"));
    ht_batch_shell("test ! -e out/00001-1.png && rm out/results.jsonl && : >file");
    assert_int_equal(ht_batch("", "jobs.jsonl -o file", output, sizeof(output)), 1);
    assert_non_null(strstr(output, "cannot make the folder 'file'"));
    assert_int_equal(ht_batch("", "jobs.jsonl -o out", output, sizeof(output)), 0);
    ht_batch_check("results.jsonl", 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed), cmocka_unit_test(test_stopped), cmocka_unit_test(test_torn),
        cmocka_unit_test(test_locked), cmocka_unit_test(test_unwritable),
    };
    ht_batch_open();
    const int result = ht_test_run_gpu(tests, HT_COUNT(tests));
    ht_batch_close();
    return result;
}
