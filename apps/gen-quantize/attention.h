// Tables of attentions: made from prompts, put into packed files, drawn.
#ifndef HT_QUANTIZE_ATTENTION_H
#define HT_QUANTIZE_ATTENTION_H

#include "quantize.h"

// Watch the attentions of the float model on the prompts of a file, and write options->attention.
// False after a message, and when stopped.
bool quantize_attention_collect(const quantize_options *options, const char *prompts,
                                ht_app_log *log, const volatile int *stop);
// What the packed file carries of options->attention; free(). NULL after a message.
char *quantize_attention_text(const quantize_options *options, ht_app_log *log);
// attention_plot.c: draw options->show_attention. False after a message.
bool quantize_attention_show(const quantize_options *options, ht_app_log *log);

#endif
