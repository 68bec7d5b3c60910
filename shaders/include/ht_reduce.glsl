// Sums and maxima over a workgroup, for any subgroup size. Include after the layout of the workgroup: before,
// gl_WorkGroupSize is 1.
#ifndef HT_REDUCE_GLSL
#define HT_REDUCE_GLSL

#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_arithmetic : require

// Workgroups of up to 16 are one subgroup: only the CPU tier has them (ht_op_row_local). This is a constant
// since a barrier that is there, even if nothing comes to it, makes lavapipe keep all values of a
// workgroup in memory that it asks for each time.
bool ht_are_several_subgroups() {
    return gl_WorkGroupSize.x > 16u && gl_NumSubgroups > 1u;
}

shared float ht_subgroup_sums[gl_WorkGroupSize.x];

// Every invocation must call it; each gets the sum. Without barriers when the workgroup is one
// subgroup.
float ht_group_sum(float value) {
    float sum = subgroupAdd(value);
    if (ht_are_several_subgroups()) {
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
    if (ht_are_several_subgroups()) {
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
    if (ht_are_several_subgroups()) {
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
