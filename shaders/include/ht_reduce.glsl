// Sums and maxima over a workgroup, for any subgroup size.
#ifndef HT_REDUCE_GLSL
#define HT_REDUCE_GLSL

#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require

shared float ht_subgroup_sums[gl_WorkGroupSize.x];

// Every invocation must call it; each gets the sum. Without barriers when the workgroup is one
// subgroup.
float ht_group_sum(float value) {
    float sum = subgroupAdd(value);
    if (gl_NumSubgroups > 1u) {
        barrier(); // the sums of the last call have been read
        if (subgroupElect()) {
            ht_subgroup_sums[gl_SubgroupID] = sum;
        }
        barrier();
        sum = 0.0;
        for (uint i = 0u; i < gl_NumSubgroups; i++) {
            sum += ht_subgroup_sums[i];
        }
    }
    return sum;
}

// The same for integers, exactly.
shared int ht_subgroup_counts[gl_WorkGroupSize.x];
int ht_group_count(int value) {
    int count = subgroupAdd(value);
    if (gl_NumSubgroups > 1u) {
        barrier();
        if (subgroupElect()) {
            ht_subgroup_counts[gl_SubgroupID] = count;
        }
        barrier();
        count = 0;
        for (uint i = 0u; i < gl_NumSubgroups; i++) {
            count += ht_subgroup_counts[i];
        }
    }
    return count;
}

// The same for the largest value.
float ht_group_max(float value) {
    float top = subgroupMax(value);
    if (gl_NumSubgroups > 1u) {
        barrier();
        if (subgroupElect()) {
            ht_subgroup_sums[gl_SubgroupID] = top;
        }
        barrier();
        for (uint i = 0u; i < gl_NumSubgroups; i++) {
            top = max(top, ht_subgroup_sums[i]);
        }
    }
    return top;
}

#endif
