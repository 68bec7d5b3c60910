// A folder for tests that make files: `folder`, with setup and teardown for cmocka.
#ifndef HT_TEST_OWN_FOLDER_H
#define HT_TEST_OWN_FOLDER_H

#include "files.h"

static ht_test_folder folder;

static int open_folder(void **state) {
    (void)state;
    ht_test_folder_open(&folder);
    return 0;
}

static int close_folder(void **state) {
    (void)state;
    ht_test_folder_close(&folder);
    return 0;
}

#endif
