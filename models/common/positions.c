// Rotary positions on a grid.
#include "positions.h"

#include <math.h>

float *ht_rotary_grid(const ht_rotary_axis axes[3], float *table) {
    const uint32_t plane = axes[1].count * axes[2].count;
    for (uint32_t t = 0; t < axes[0].count * plane; ++t) {
        const uint32_t at[3] = {t / plane, t / axes[2].count % axes[1].count, t % axes[2].count};
        for (uint32_t i = 0; i < 3; ++i) {
            const ht_rotary_axis *axis = &axes[i];
            const double place = axis->first + axis->step * at[i];
            for (uint32_t j = 0; j < axis->width / 2; ++j) {
                const double angle = place * pow(10000.0, -2.0 * j / axis->width);
                *table++ = (float)cos(angle);
                *table++ = (float)sin(angle);
            }
        }
    }
    return table;
}
