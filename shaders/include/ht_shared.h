// Compiled by C and GLSL: how a push-constant struct is written once for both.
// All fields are 4-byte scalars or 8-byte device addresses (addresses first, so that the offsets of
// both languages agree); at most 128 bytes.
#ifndef HT_SHARED_H
#define HT_SHARED_H

#ifndef VULKAN // C (glslang defines VULKAN)
#include <stdint.h>
#define HT_PUSH(name) typedef struct ht_push_##name
#define HT_PUSH_END(name)                                                                          \
    ht_push_##name;                                                                                \
    _Static_assert(sizeof(ht_push_##name) <= 128, "push constants are limited to 128 bytes")
#define HT_ADDRESS uint64_t
#define HT_UINT uint32_t
#define HT_INT int32_t
#define HT_FLOAT float
#else // GLSL
#define HT_PUSH(name) layout(push_constant, scalar) uniform PushBlock
#define HT_PUSH_END(name) push
#define HT_ADDRESS uvec2
#define HT_UINT uint
#define HT_INT int
#define HT_FLOAT float
#endif

#endif
