/* What one kernel holds. */
#ifndef MODEL_H
#define MODEL_H

#include <stddef.h>

#include "isa.h"
#include "kernel.h"
#include "pool.h"

#define QUERY_BLOCK 16 /* positions whose attention is computed at once: their scores stay in the second cache */

struct layer {
    float *attention_norm, *q_norm, *k_norm, *ffn_norm; /* (C,), (D,), (D,), (C,) */
    struct matrix qkv;                                  /* ((H + 2K) D, C) */
    struct matrix out;                                  /* (C, H D) */
    struct matrix gate, up, down;                       /* (F, C), (F, C), (C, F) */
    /* Spare units stand in matrices of their own: FP16 whatever the core's bits are, and passed over while they are blank. */
    struct matrix spare_gate, spare_up, spare_down;
    uint8_t *adds; /* (spare,): 1 for units that are not blank */
    int taught;    /* whether any of those is admitted */
    /* Both halves of the cache have the layout of a panel, so that attention is two matrix products:
     * keys [K][positions / 32][D][32], where positions are the rows, and
     * values [K][D / 32][positions][32], where positions are the columns. */
    uint16_t *keys, *values;
};

/* What one thread writes on; nobody else reads it. */
struct desk {
    float *normed;  /* (MAX_BLOCK, C) */
    float *queries; /* (rows, D), rows = queries of one key head at QUERY_BLOCK positions */
    float *scores;  /* (rows, positions) */
    float *mixed;   /* (rows, D) */
    float *panel;   /* (MAX_BLOCK, PANEL): logits of one panel of the head */
    uint16_t *half; /* (D) */
    uint32_t word;  /* what kernel_read found, and in how many bytes */
    int64_t bytes;
};

struct kernel {
    struct kernel_shape shape;
    const struct isa *isa;
    struct pool *pool;
    struct layer *layers;
    struct matrix embedding, head; /* (V, C); `head` has no data where it is tied */
    float *final_norm;             /* (C,) */
    uint8_t *closed;               /* (spare,): 1 for units that do not take part */
    int closes;                    /* whether any is */
    float *cos, *sin;              /* (positions, D) */
    /* Lines are padded to whole panels. */
    float *x;           /* (MAX_BLOCK, C), the residual stream */
    float *qkv_out;     /* (MAX_BLOCK, (H + 2K) D) */
    float *attended;    /* (MAX_BLOCK, H D) */
    float *gates, *ups; /* (MAX_BLOCK, F + spare) */
    struct desk *desks; /* one for each thread */
    uint8_t **there;    /* [layer][part]: a byte for each row, 1 where it was put */
    int64_t missing;    /* rows that were not */
    char *memory;       /* all of the above */
    size_t size, mapped;
};

/* The i-th of n equal shares of `total` ends where the next begins. */
static inline int share(int total, int i, int n) { return (int)((int64_t)total * i / n); }

#endif
