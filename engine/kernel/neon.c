#if defined(__aarch64__)
#include <arm_neon.h>

#include "isa.h"

#define ISA
#define LANES 4
#define NAME(x) neon_##x
#define MOST 6 /* 24 sums, 4 weights and a factor of 32 registers */
#define SPAN_AT(n) ((n) <= 1 ? 2 : 1)
#define WIDE_AT(n) ((n) <= 2 ? 8 : 4)

static inline __attribute__((always_inline)) float32x4_t load_half(const uint16_t *p) {
    return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)));
}
static inline __attribute__((always_inline)) float32x4_t load_byte(const int8_t *p) {
    const int8_t four[8] = {p[0], p[1], p[2], p[3]};
    return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(vld1_s8(four)))));
}
static inline __attribute__((always_inline)) void store_half(uint16_t *p, float32x4_t v) {
    vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(v)));
}
static inline __attribute__((always_inline)) float32x4_t fused(float32x4_t a, float32x4_t b, float32x4_t c) {
    return vfmaq_f32(c, a, b);
}

#include "lanes.h"

const struct isa isa_neon = TABLE("neon");
#else
typedef int nothing;
#endif
