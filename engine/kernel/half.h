/* IEEE half precision in plain C, for packing and for CPUs that have no conversion. */
#ifndef HALF_H
#define HALF_H

#include <stdint.h>
#include <string.h>

static inline float half_to_float(uint16_t half) {
    uint32_t bits = (uint32_t)(half & 0x7fff) << 13, sign = (uint32_t)(half & 0x8000) << 16;
    float value, power = 0x1p112f; /* what the two exponents' biases differ by; exact for subnormals too */
    memcpy(&value, &bits, 4);
    value *= power;
    memcpy(&bits, &value, 4);
    if ((half & 0x7c00) == 0x7c00) bits |= 0x7f800000u; /* infinity and NaN */
    bits |= sign;
    memcpy(&value, &bits, 4);
    return value;
}

/* To nearest, ties to even; beyond the largest half saturates, so that no sum over it can become a NaN. */
static inline uint16_t float_to_half(float value) {
    uint32_t bits, sign;
    memcpy(&bits, &value, 4);
    sign = bits >> 16 & 0x8000;
    bits &= 0x7fffffffu;
    if (bits > 0x7f800000u) return (uint16_t)(sign | 0x7e00);
    if (bits >= 0x477ff000u) return (uint16_t)(sign | 0x7bff);
    if (bits < 0x38800000u) { /* subnormal: adding 0.5 leaves the rounding to the adder */
        float shifted;
        memcpy(&shifted, &bits, 4);
        shifted += 0.5f;
        memcpy(&bits, &shifted, 4);
        return (uint16_t)(sign | (bits - 0x3f000000u));
    }
    bits += 0xc8000fffu + (bits >> 13 & 1); /* the exponent's bias, then half a unit less for even ones */
    return (uint16_t)(sign | bits >> 13);
}

#endif
