// index.html: the table, and per prompt the pictures of all recipes side by side.
#include "eval.h"

#include "common/files.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char head[] =
    "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\"><title>gen-eval</title>\n<style>\n"
    "body{font:15px/1.4 system-ui,sans-serif;margin:1.5em;color:#222;background:#fff}\n"
    "table{border-collapse:collapse;margin:1em 0}th,td{padding:.25em .8em;text-align:right;"
    "border-bottom:1px solid #ddd}th:first-child,td:first-child{text-align:left}\n"
    "section{margin:1.6em 0}h2{font-size:1em;margin:.3em 0}\n"
    ".row{display:flex;flex-wrap:wrap;gap:10px}figure{margin:0}img{display:block;"
    "image-rendering:pixelated;width:192px;background:#eee}\n"
    "figcaption{font-size:.85em;max-width:192px}.bad{color:#b00}.good{color:#070}\n</style>\n";

static void put_text(FILE *out, const char *text) {
    for (; *text; ++text) {
        switch (*text) {
        case '&': fputs("&amp;", out); break;
        case '<': fputs("&lt;", out); break;
        case '>': fputs("&gt;", out); break;
        case '"': fputs("&quot;", out); break;
        default: fputc(*text, out); break;
        }
    }
}

static void put_figure(FILE *out, double value, int digits) {
    if (isfinite(value)) {
        fprintf(out, "<td>%.*f</td>", digits, value);
    } else {
        fputs("<td>–</td>", out);
    }
}

static void put_table(FILE *out, const eval *e) {
    fputs("<table><tr><th>recipe<th>PSNR dB<th>SSIM<th>latent SQNR dB<th>adherence %"
          "<th>denoiser MiB<th>planned MiB<th>peak MiB<th>s per step</tr>\n",
          out);
    for (uint32_t i = 0; i < e->done; ++i) {
        const eval_recipe *r = &e->recipes[i];
        fprintf(out, "<tr><td>%s</td>", r->name);
        put_figure(out, r->psnr, 2);
        put_figure(out, i > 0 ? r->ssim : NAN, 4);
        put_figure(out, r->sqnr, 2);
        put_figure(out, e->judging ? r->right * 100 : NAN, 2);
        put_figure(out, (double)r->parts[1].weight_bytes / (1 << 20), 2);
        put_figure(out, (double)r->planned_peak / (1 << 20), 1);
        put_figure(out, (double)r->measured_peak / (1 << 20), 1);
        put_figure(out, r->step_seconds, 3);
        fputs("</tr>\n", out);
    }
    fputs("</table>\n", out);
}

static void put_verdict(FILE *out, const eval *e, const eval_prompt *prompt,
                        const eval_picture *p) {
    if (!e->judging || !prompt->wants) {
        return;
    }
    if (p->right) {
        fputs("<br><span class=\"good\">all there</span>", out);
        return;
    }
    fputs("<br><span class=\"bad\">", out);
    for (uint32_t h = 0; h < e->judge.config.heads; ++h) {
        const ht_judge_head *judged = &e->judge.config.head[h];
        if (prompt->want[h] >= 0 && prompt->want[h] != p->read[h]) {
            put_text(out, judged->name);
            fputs(": ", out);
            put_text(out, judged->classes[p->read[h]]);
            fputs("; ", out);
        }
    }
    fputs("</span>", out);
}

static void put_prompt(FILE *out, const eval *e, size_t index) {
    const eval_prompt *prompt = &e->prompts.items[index];
    fputs("<section><h2>", out);
    put_text(out, prompt->text);
    fprintf(out, " (seed %llu)</h2><div class=\"row\">\n",
            (unsigned long long)e->recipes[0].pictures[index].seed);
    for (uint32_t i = 0; i < e->done; ++i) {
        const eval_recipe *r = &e->recipes[i];
        const eval_picture *p = &r->pictures[index];
        char path[PATH_MAX];
        eval_picture_path(e, r->name, index, true, path);
        fprintf(out, "<figure><img loading=\"lazy\" src=\"%s\" alt=\"%s\"><figcaption>%s", path,
                r->name, r->name);
        if (i > 0 && p->mse == 0) {
            fputs(", the same", out);
        } else if (i > 0) {
            fprintf(out, ", %.1f dB, SSIM %.3f", p->psnr, p->ssim);
        }
        put_verdict(out, e, prompt, p);
        fputs("</figcaption></figure>\n", out);
    }
    fputs("</div></section>\n", out);
}

bool eval_page_write(const eval *e) {
    char path[PATH_MAX], why[PATH_MAX + 256] = "out of memory";
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    if (out) {
        fputs(head, out);
        fputs("<h1>", out);
        put_text(out, e->model_path);
        fprintf(out, "</h1>\n<p>%zu prompts, %u steps, guidance %g, on ", e->prompts.count,
                e->steps, (double)e->cfg_scale);
        put_text(out, e->device);
        fprintf(out, ". Pictures are compared with those of %s.</p>\n", e->recipes[0].name);
        put_table(out, e);
        for (size_t i = 0; i < e->prompts.count; ++i) {
            put_prompt(out, e, i);
        }
        fputs("</html>\n", out);
    }
    bool good = out && !ferror(out);
    good = out && fclose(out) == 0 && good;
    snprintf(path, sizeof(path), "%s/index.html", e->options->output);
    good = good && ht_file_write(path, text, bytes, e->options->overwrite, why, sizeof(why));
    if (!good) {
        ht_app_say(e->log, HT_LOG_ERROR, "no page: %s", why);
    }
    free(text);
    return good;
}
