// A stranger's program against the installed library: opens a context without a device.
#include <halftone/halftone.h>

#include <stdio.h>

int main(void) {
    ht_context *context = NULL;
    const ht_status status = ht_context_create(&(ht_context_desc){.host_only = true}, &context);
    printf("halftone: %s\n", ht_status_name(status));
    ht_context_destroy(&context);
    return status == HT_OK ? 0 : 1;
}
