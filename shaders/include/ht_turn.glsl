// Rotary positions: two pairs of neighbours turned by the cosine and the sine of each.
#ifndef HT_TURN_GLSL
#define HT_TURN_GLSL

vec4 ht_turn(vec4 v, vec4 turn) {
    return vec4(v.x * turn.x - v.y * turn.y, v.x * turn.y + v.y * turn.x,
                v.z * turn.z - v.w * turn.w, v.z * turn.w + v.w * turn.z);
}

#endif
