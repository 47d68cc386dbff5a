/* The inner loops, once for each instruction set, and the matrices they read. */
#ifndef ISA_H
#define ISA_H

#include <stddef.h>
#include <stdint.h>

#define PANEL 32 /* rows of one panel: two AVX512 registers of sums, which is what hides the latency of an FMA */
#define PADDED(n) (((n) + PANEL - 1) / PANEL * PANEL)

/* A (rows, columns) matrix as panels of 32 rows: [panel][column][row in panel]. A product with one vector then reads a
 * single linear stream and needs no sum across a register. Rows are padded with zeros to a whole panel. */
struct matrix {
    int rows, columns;
    int bits;     /* 16: IEEE half; 8: signed, times a scale */
    int group;    /* columns that share a scale; all of them in FP16 */
    void *data;
    float *scale; /* [panel][group][row in panel] */
    float *bias;  /* (padded rows), or NULL */
};

static inline int panels(const struct matrix *m) { return PADDED(m->rows) / PANEL; }

struct isa {
    const char *name;

    /* y = x W^T + bias for panels first..last: x (T, columns), y (T, 32 (last - first)), lines x_line and y_line apart.
     * `add` adds to what y holds. */
    void (*matmul)(const struct matrix *m, int first, int last, const float *x, long x_line, int T, float *y,
                   long y_line, int add);

    /* The same with one panel of the cache. */
    void (*cached)(const uint16_t *data, long columns, const float *x, long x_line, int T, float *y, long y_line);

    void (*norm)(const float *x, const float *weight, int n, float eps, float *y);
    void (*gate)(float *gate, const float *up, int n, int activation); /* gate = activation(gate) up */
    float (*most)(const float *x, int n); /* of those that are numbers; n at least 1, the first no NaN */
    void (*softmax)(float *x, int n);
    void (*to_half)(const float *x, uint16_t *y, int n); /* beyond +-65504 saturates */
    uint32_t (*read)(const void *data, size_t bytes);    /* reads and does no more than fold it into one word */
};

extern const struct isa isa_plain;
#if defined(__x86_64__)
extern const struct isa isa_avx2, isa_avx512;
#elif defined(__aarch64__)
extern const struct isa isa_neon;
#endif

/* The one of that name, or the best for NULL; NULL where this CPU has none of that name. */
const struct isa *isa_choose(const char *name);

#endif
