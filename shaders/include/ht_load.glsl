// Loads and stores by device address. Addresses are uvec2; formats are the wire numbers of
// formats.def, given as specialization constants so that the branches vanish.
#ifndef HT_LOAD_GLSL
#define HT_LOAD_GLSL

#extension GL_EXT_buffer_reference2 : require
#extension GL_EXT_buffer_reference_uvec2 : require
#extension GL_EXT_scalar_block_layout : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_16bit_storage : require
#extension GL_EXT_shader_explicit_arithmetic_types_int16 : require

#define HT_FORMAT(id, wire, bits, kind, exponent, mantissa, top, group, scale) \
    const uint HT_FORMAT_##id = wire;
#include "../engine/formats/formats.def"
#undef HT_FORMAT

layout(buffer_reference, scalar, buffer_reference_align = 4) buffer HtF32 { float v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer HtU32 { uint v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 4) buffer HtI32 { int v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 2) buffer HtU16 { uint16_t v[]; };
layout(buffer_reference, scalar, buffer_reference_align = 8) buffer HtU32x2 { uvec2 v[]; };

bool ht_present(uvec2 address) { return (address.x | address.y) != 0u; }

float ht_bf16(uint bits) { return uintBitsToFloat(bits << 16); }

// Round to nearest even; a NaN stays one.
uint ht_bf16_bits(float value) {
    uint bits = floatBitsToUint(value);
    uint rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    return isnan(value) ? 0x7fc0u : rounded;
}

// Round to nearest even; a NaN stays one. Spelled out because packHalf2x16 may round otherwise, and
// because some drivers expand it to three times the code.
uint ht_f16_bits(float value) {
    uint bits = floatBitsToUint(value);
    uint size = bits & 0x7fffffffu;
    uint normal = min((size + 0xc8000fffu + (size >> 13 & 1u)) >> 13, 0x7c00u);
    uint small = floatBitsToUint(uintBitsToFloat(size) + 0.5) - 0x3f000000u;
    uint finite = size < 0x38800000u ? small : normal;
    return (size > 0x7f800000u ? 0x7e00u : finite) | (bits >> 16 & 0x8000u);
}

uint ht_f16_pair(vec2 values) { return ht_f16_bits(values.x) | ht_f16_bits(values.y) << 16; }

// One value at `index`.
float ht_load(uvec2 address, uint format, uint index) {
    if (format == HT_FORMAT_F32) {
        return HtF32(address).v[index];
    }
    uint bits = uint(HtU16(address).v[index]);
    return format == HT_FORMAT_F16 ? unpackHalf2x16(bits).x : ht_bf16(bits);
}

void ht_store(uvec2 address, uint format, uint index, float value) {
    if (format == HT_FORMAT_F32) {
        HtF32(address).v[index] = value;
    } else if (format == HT_FORMAT_F16) {
        HtU16(address).v[index] = uint16_t(ht_f16_bits(value));
    } else {
        HtU16(address).v[index] = uint16_t(ht_bf16_bits(value));
    }
}

// The workgroup's number in a grid made by ht_vk_split_groups.
#define HT_GROUP (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x)

#endif
