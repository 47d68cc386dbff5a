/* No instruction set at all: what the compiler makes of vectors of four on any CPU. */
#include "isa.h"
#include "half.h"

#define ISA
#define LANES 4
#define NAME(x) plain_##x
#define MOST 4
#define SPAN_AT(n) 1
#define WIDE_AT(n) ((n) <= 1 ? 8 : 2)

typedef float four __attribute__((vector_size(16)));

typedef int32_t ints __attribute__((vector_size(16)));

/* half_to_float on four at once; weights and cache hold no infinities. */
static inline four load_half(const uint16_t *p) {
    const ints bits = {p[0], p[1], p[2], p[3]};
    const four value = (four)((bits & 0x7fff) << 13) * 0x1p112f;
    return (four)((ints)value | ((bits & 0x8000) << 16));
}
static inline four load_byte(const int8_t *p) { return (four){p[0], p[1], p[2], p[3]}; }
static inline void store_half(uint16_t *p, four v) {
    for (int i = 0; i < 4; i++) p[i] = float_to_half(v[i]);
}
static inline four fused(four a, four b, four c) { return a * b + c; } /* rounded twice: there is no instruction for it */

#include "lanes.h"

const struct isa isa_plain = TABLE("plain");
