// Tables of attentions: made from prompts, put into packed files, drawn.
#ifndef HT_QUANTIZE_ATTENTION_H
#define HT_QUANTIZE_ATTENTION_H

#include "quantize.h"

// What an attention by integer codes lost against floats, summed up over runs: by codes of four bits and
// of eight.
enum { QUANTIZE_ATTENTION_WAYS = 2 };
typedef struct quantize_attention_error {
    double difference, size;    // of |floats - codes| and of |floats|
    double product, squares[2]; // floats times codes, and of each
} quantize_attention_error;
// attention_error.c: add what a run loses.
ht_status quantize_attention_errors(ht_context *context, const ht_attention_run *run,
                                    quantize_attention_error errors[QUANTIZE_ATTENTION_WAYS]);
double quantize_attention_l1(const quantize_attention_error *error); // relative
double quantize_attention_cosine(const quantize_attention_error *error);
// The fewest bits that lose little enough; 0: floats.
int quantize_attention_bits(const quantize_attention_error errors[QUANTIZE_ATTENTION_WAYS]);

// Watch the attentions of the float model on the prompts of a file, and write options->attention.
// False after a message, and when stopped.
bool quantize_attention_collect(const quantize_options *options, const char *prompts,
                                ht_app_log *log, const volatile int *stop);
// What the packed file carries of options->attention; free(). NULL after a message.
char *quantize_attention_text(const quantize_options *options, ht_app_log *log);
// attention_plot.c: draw options->show_attention. False after a message.
bool quantize_attention_show(const quantize_options *options, ht_app_log *log);

#endif
