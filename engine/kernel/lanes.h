/* The inner loops, written once. A file that includes this has defined
 *   ISA          the target attribute of its functions,
 *   LANES        floats in a register,
 *   NAME(x)      the name of a function in this instruction set,
 *   MOST         positions at once; what lies between 8 and it is done in two turns,
 *   SPAN_AT(T)   panels at once for T positions, 1 or 2,
 *   WIDE_AT(T)   registers of rows at once, where it is one panel,
 *   load_half, load_byte, store_half: registers from and to memory,
 *   fused(a, b, c): a b + c, rounded once where the CPU can.
 * Vectors are those of GCC and Clang, so that + and * are the CPU's own. The compiler may fuse none of them by itself
 * (-ffp-contract=off): which ones it chose would differ from one of the functions below to the next.
 */
#include <math.h>
#include <string.h>

#include "kernel.h"

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t ivec __attribute__((vector_size(4 * LANES)));
typedef int32_t ivec_at __attribute__((vector_size(4 * LANES), aligned(1), may_alias));
typedef float vec_at __attribute__((vector_size(4 * LANES), aligned(4), may_alias)); /* anywhere in memory */

#define INLINE static inline __attribute__((always_inline)) ISA
#define READ_STREAMS 4
#define ASK(from, byte, NEAR) __builtin_prefetch((const void *)((uintptr_t)(from) + (uintptr_t)(byte)), 0, NEAR)
#define UNROLL _Pragma("GCC unroll 32")

INLINE vec load(const float *p) { return *(const vec_at *)p; }
INLINE void store(float *p, vec v) { *(vec_at *)p = v; }
INLINE vec either(ivec mask, vec yes, vec no) { return (vec)(((ivec)yes & mask) | ((ivec)no & ~mask)); }

static inline ISA float across(vec v) {
    float sum = 0;
    for (int i = 0; i < LANES; i++) sum += v[i];
    return sum;
}

/* Some panels, one behind the other. */
struct stretch {
    const void *data;
    const float *scale, *bias; /* scale: of int8 alone; bias: or NULL */
    int panels;
    long columns, group; /* group: columns that share a scale */
};

/* Asks for what is read next: the memory is further away than a CPU looks ahead by itself. Where a panel is read at once,
 * that is 64 columns on, or as far into the panels behind; where it takes several turns, which later find it in the cache,
 * each asks for its share of the next panel. Behind the last panel nothing is read, only asked for. */
INLINE void fetch(struct stretch m, int at, long c, const int SPAN, const int WIDE, const int BITS) {
    const int turns = PANEL / LANES / WIDE;
    const long bytes = PANEL * BITS / 8, ahead = c + 1024 / BITS;
    if (turns > 1) {
        const long line = m.columns + (at / LANES / WIDE * m.columns + c) / turns;
        ASK(m.data, line * bytes, 2);
        return;
    }
    const long line = ahead < m.columns ? ahead : ahead + (SPAN - 1) * m.columns;
    UNROLL for (int i = 0; i < SPAN; i++) ASK(m.data, (i * m.columns + line) * bytes, 3);
}

/* Products of SPAN panels with T positions, WIDE registers of a panel's rows at a time. A sum adds its columns in their order
 * whatever T, SPAN and WIDE are, so that a position's logits are the same, bit for bit, alone and among others; what hides an
 * FMA's latency is rows side by side. The last four arguments are constants where this is inlined. */
INLINE void tile(struct stretch m, const float *x, long x_line, float *y, long y_line, int add, const int T,
                 const int SPAN, const int WIDE, const int BITS) {
    const long scales = (m.columns + m.group - 1) / m.group * PANEL;
    for (int at = 0; at < PANEL; at += WIDE * LANES) {
        for (long from = 0; from < m.columns; from += m.group) {
            const long to = from + m.group < m.columns ? from + m.group : m.columns;
            vec sum[32];
            UNROLL for (int i = 0; i < T * SPAN * WIDE; i++) sum[i] = (vec){0};
            for (long c = from; c < to; c++) {
                fetch(m, at, c, SPAN, WIDE, BITS);
                vec weight[16], factor[16]; /* the fewer of them stay in registers, the others come one by one */
                UNROLL for (int n = 0; n < T * SPAN * WIDE; n++) {
                    const int by_weight = T < SPAN * WIDE, t = by_weight ? n % T : n / (SPAN * WIDE);
                    const int i = by_weight ? n / T : n % (SPAN * WIDE);
                    if (t == 0) {
                        const long place = (i / WIDE * m.columns + c) * PANEL + at + i % WIDE * LANES;
                        weight[i] = BITS == 8 ? load_byte((const int8_t *)m.data + place)
                                              : load_half((const uint16_t *)m.data + place);
                    }
                    if (i == 0) factor[t] = x[t * x_line + c] - (vec){0};
                    sum[t * SPAN * WIDE + i] = fused(weight[i], factor[t], sum[t * SPAN * WIDE + i]);
                }
            }
            UNROLL for (int t = 0; t < T; t++) {
                UNROLL for (int i = 0; i < SPAN * WIDE; i++) {
                    const long lane = at + i % WIDE * LANES, row = i / WIDE * PANEL + lane;
                    vec total = sum[t * SPAN * WIDE + i];
                    if (BITS == 8) total *= load(m.scale + i / WIDE * scales + from / m.group * PANEL + lane);
                    if (add || from) total += load(y + t * y_line + row);
                    if (m.bias && !from) total += load(m.bias + row);
                    store(y + t * y_line + row, total);
                }
            }
        }
    }
}

/* One panel, or two where T positions leave registers for them; how many it was. */
INLINE int tile_panels(struct stretch m, const float *x, long x_line, float *y, long y_line, int add, const int T,
                       const int BITS) {
    const int whole = PANEL / LANES;
    if (SPAN_AT(T) == 2 && m.panels >= 2) return tile(m, x, x_line, y, y_line, add, T, 2, whole, BITS), 2;
    return tile(m, x, x_line, y, y_line, add, T, 1, WIDE_AT(T), BITS), 1;
}

/* Several tiles of positions read one panel after the other, which then comes from the first cache. */
INLINE int tile_positions(struct stretch m, const float *x, long x_line, int T, float *y, long y_line, int add,
                          const int BITS) {
    int done = 1;
    if (T > 8 || T > MOST) m.panels = 1; /* more than one tile */
    for (int t = 0, n; t < T; t += n) {
        n = T - t >= MOST ? MOST : T - t > 8 ? 8 : T - t;
        switch (n) {
#define CASE(n)                                                                                                        \
    case n:                                                                                                            \
        done = tile_panels(m, x + t * x_line, x_line, y + t * y_line, y_line, add, n, BITS);                             \
        break;
            CASE(1) CASE(2) CASE(3) CASE(4)
#if MOST > 4
            CASE(5) CASE(6)
#endif
#if MOST > 6
            CASE(7) CASE(8)
#endif
#if MOST > 8
            CASE(MOST)
#endif
#undef CASE
        }
    }
    return done;
}

static ISA void NAME(cached)(const uint16_t *data, long columns, const float *x, long x_line, int T, float *y,
                             long y_line) {
    tile_positions((struct stretch){data, NULL, NULL, 1, columns, columns}, x, x_line, T, y, y_line, 0, 16);
}

static ISA void NAME(matmul)(const struct matrix *m, int first, int last, const float *x, long x_line, int T, float *y,
                             long y_line, int add) {
    const long columns = m->columns, scales = (columns + m->group - 1) / m->group * PANEL;
    for (int p = first; p < last;) {
        const float *scale = m->scale ? m->scale + p * scales : NULL, *bias = m->bias ? m->bias + p * PANEL : NULL;
        const char *data = (const char *)m->data + p * columns * PANEL * m->bits / 8;
        const struct stretch from = {data, scale, bias, last - p, columns, m->group};
        float *to = y + (p - first) * PANEL;
        p += m->bits == 8 ? tile_positions(from, x, x_line, T, to, y_line, add, 8)
                          : tile_positions(from, x, x_line, T, to, y_line, add, 16);
    }
}

static ISA void NAME(norm)(const float *x, const float *weight, int n, float eps, float *y) {
    vec squares = {0};
    int i = 0;
    for (; i + LANES <= n; i += LANES) squares = fused(load(x + i), load(x + i), squares);
    float sum = across(squares);
    for (; i < n; i++) sum += x[i] * x[i];
    const float scale = 1.0f / sqrtf(sum / (float)n + eps);
    for (i = 0; i < n; i++) y[i] = x[i] * scale * weight[i];
}

/* e^x to 2 units in the last place: x = n ln 2 + r, a polynomial for e^r (Cephes), n into the exponent's bits. */
INLINE vec exponential(vec x) {
    const vec zero = {0}, low = zero - 87.0f, high = zero + 88.0f, round = zero + 12582912.0f; /* 1.5 x 2^23 */
    x = either(x > low, x, low); /* a NaN becomes the least value here, and is found in the logits */
    x = either(x < high, x, high);
    const vec shifted = fused(x, zero + 1.44269504f, round); /* the sum's last bits are the nearest integer */
    const vec n = shifted - round;
    const vec r = fused(n, zero + 2.12194440e-4f, fused(n, zero - 0.693359375f, x)); /* ln 2 in two parts, so that r is exact */
    vec p = zero + 1.9875691500e-4f;
    p = fused(p, r, zero + 1.3981999507e-3f);
    p = fused(p, r, zero + 8.3334519073e-3f);
    p = fused(p, r, zero + 4.1665795894e-2f);
    p = fused(p, r, zero + 1.6666665459e-1f);
    p = fused(p, r, zero + 5.0000001201e-1f);
    p = fused(p, r * r, r) + 1.0f;
    return (vec)((ivec)p + (((ivec)shifted - (ivec)round) << 23));
}

INLINE vec gated(vec gate, vec up, int activation) {
    if (activation == SILU) return gate * up / (1.0f + exponential(-gate));
    gate = either(gate > (vec){0}, gate, (vec){0});
    return gate * gate * up;
}

static ISA void NAME(gate)(float *gate, const float *up, int n, int activation) { /* n: whole panels */
    for (int i = 0; i < n; i += LANES) store(gate + i, gated(load(gate + i), load(up + i), activation));
}

static ISA float NAME(most)(const float *x, int n) {
    float most = x[0];
    vec tops = (vec){0} + most;
    int i = 0;
    for (; i + LANES <= n; i += LANES) tops = either(load(x + i) > tops, load(x + i), tops);
    for (int lane = 0; lane < LANES; lane++) most = tops[lane] > most ? tops[lane] : most;
    for (; i < n; i++) most = x[i] > most ? x[i] : most;
    return most;
}

static ISA void NAME(softmax)(float *x, int n) {
    const float most = NAME(most)(x, n);
    vec sums = {0};
    float rest[LANES] = {0};
    int i;
    for (i = 0; i + LANES <= n; i += LANES) {
        const vec e = exponential(load(x + i) - most);
        sums += e;
        store(x + i, e);
    }
    if (i < n) {
        for (int lane = 0; lane < LANES; lane++) rest[lane] = i + lane < n ? x[i + lane] - most : -INFINITY;
        store(rest, exponential(load(rest)));
    }
    float sum = across(sums);
    for (int lane = 0; i + lane < n; lane++) sum += x[i + lane] = rest[lane];
    const float scale = 1.0f / sum;
    for (i = 0; i < n; i++) x[i] *= scale;
}

static ISA void NAME(to_half)(const float *x, uint16_t *y, int n) {
    const vec most = (vec){0} + 65504.0f;
    float rest[LANES] = {0};
    uint16_t last[LANES];
    int i = 0;
    for (; i + LANES <= n; i += LANES) {
        vec v = load(x + i);
        v = either(v < most, v, most);
        store_half(y + i, either(v > -most, v, -most));
    }
    if (i == n) return;
    memcpy(rest, x + i, sizeof(float) * (size_t)(n - i));
    vec v = load(rest);
    v = either(v < most, v, most);
    store_half(last, either(v > -most, v, -most));
    memcpy(y + i, last, sizeof(uint16_t) * (size_t)(n - i));
}

/* From several places at once, as the products do: one stream alone does not reach what the memory gives. */
static ISA uint32_t NAME(read)(const void *data, size_t bytes) {
    const size_t part = bytes / READ_STREAMS / sizeof(ivec) * sizeof(ivec);
    const char *from = data;
    ivec folded[READ_STREAMS] = {0};
    for (size_t i = 0; i < part; i += sizeof(ivec)) {
        UNROLL for (int j = 0; j < READ_STREAMS; j++) {
            ASK(from, (size_t)j * part + i + 2048, 3);
            folded[j] ^= *(const ivec_at *)(from + (size_t)j * part + i);
        }
    }
    for (int j = 1; j < READ_STREAMS; j++) folded[0] ^= folded[j];
    uint32_t word = 0;
    for (int lane = 0; lane < LANES; lane++) word ^= (uint32_t)folded[0][lane];
    for (size_t i = READ_STREAMS * part; i < bytes; i++) word ^= (uint32_t)(uint8_t)from[i] << 8 * (i & 3);
    return word;
}

#define TABLE(name)                                                                                                    \
    { name, NAME(matmul), NAME(cached), NAME(norm), NAME(gate), NAME(most), NAME(softmax), NAME(to_half), NAME(read) }
