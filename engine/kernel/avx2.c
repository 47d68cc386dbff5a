#if defined(__x86_64__)
#include <immintrin.h>

#include "isa.h"

#define ISA __attribute__((target("avx2,fma,f16c")))
#define LANES 8
#define NAME(x) avx2_##x
#define MOST 6 /* 12 sums, 2 weights and a factor of 16 registers */
#define SPAN_AT(n) ((n) <= 1 ? 2 : 1)
#define WIDE_AT(n) ((n) <= 3 ? 4 : 2)

static inline __attribute__((always_inline)) ISA __m256 load_half(const uint16_t *p) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p));
}
static inline __attribute__((always_inline)) ISA __m256 load_byte(const int8_t *p) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p)));
}
static inline __attribute__((always_inline)) ISA void store_half(uint16_t *p, __m256 v) {
    _mm_storeu_si128((__m128i *)p, _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
static inline __attribute__((always_inline)) ISA __m256 fused(__m256 a, __m256 b, __m256 c) {
    return _mm256_fmadd_ps(a, b, c);
}

#include "lanes.h"

const struct isa isa_avx2 = TABLE("avx2");
#else
typedef int nothing;
#endif
