#if defined(__x86_64__)
#include <immintrin.h>

#include "isa.h"

#define ISA __attribute__((target("avx512f,avx512bw,avx512vl,avx2,fma,f16c")))
#define LANES 16
#define NAME(x) avx512_##x
#define MOST 12 /* 24 sums, 2 weights and a factor of 32 registers */
#define SPAN_AT(n) ((n) <= 6 ? 2 : 1)
#define WIDE_AT(n) 2

static inline __attribute__((always_inline)) ISA __m512 load_half(const uint16_t *p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
static inline __attribute__((always_inline)) ISA __m512 load_byte(const int8_t *p) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p)));
}
static inline __attribute__((always_inline)) ISA void store_half(uint16_t *p, __m512 v) {
    _mm256_storeu_si256((__m256i *)p, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
static inline __attribute__((always_inline)) ISA __m512 fused(__m512 a, __m512 b, __m512 c) {
    return _mm512_fmadd_ps(a, b, c);
}

#include "lanes.h"

const struct isa isa_avx512 = TABLE("avx512");
#else
typedef int nothing; /* an empty file is no C */
#endif
