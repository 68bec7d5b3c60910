// Tests of the window, in the order in which they run.
#ifndef HT_TEST_GUI_H
#define HT_TEST_GUI_H

// test_gui_runs.c
void test_generate(void **state);
void test_cancel(void **state);
void test_queue(void **state);
void test_sentence(void **state);
void test_close_while_running(void **state);
void test_cancel_memory(void **state);
void test_memory(void **state);
// test_gui_pages.c
void test_names(void **state);
void test_settings_of_pictures(void **state);
void test_drop(void **state);
void test_mask(void **state);
void test_clip(void **state);
void test_compare(void **state);
void test_gallery(void **state);
void test_pack(void **state);
void test_windows(void **state);
void test_remembered(void **state);
// test_gui_more.c
void test_more_fields(void **state);
void test_refused_fields(void **state);

#endif
