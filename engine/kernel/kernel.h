/* A decode step for small Llama and Qwen3 models: packed weights and the cache of keys and values in, logits out.
 *
 * One object holds one model and one sequence, and is used by one thread at a time; inside, a step may use several.
 * Every function that can fail gives 0 where it did what it was asked, and changes nothing where it did not.
 */
#ifndef KERNEL_H
#define KERNEL_H

#include <stdint.h>

#define KERNEL_VERSION 5 /* of this interface: the binding refuses a library of another */
#define MAX_BLOCK 64 /* positions that one pass over the weights reads */

#if defined(_WIN32)
#define PUBLIC __declspec(dllexport)
#else
#define PUBLIC __attribute__((visibility("default")))
#endif

enum { SILU = 0, RELU2 = 1 };
enum { NUMBER_32 = 0, NUMBER_16 = 1, NUMBER_B16 = 2 }; /* FP32, FP16 and BF16: of what is put */
enum { FAILED_ARGUMENT = 1, FAILED_MEMORY = 2, FAILED_NUMBER = 3, FAILED_MISSING = 4, FAILED_SHAPE = 5 };

/* The letters are those of engine/blocks.py. */
struct kernel_shape {
    int32_t vocab;      /* V */
    int32_t positions;  /* that the cache has room for */
    int32_t layers;
    int32_t heads;      /* H */
    int32_t kv_heads;   /* K, a divisor of H */
    int32_t width;      /* C */
    int32_t head_dim;   /* D, even */
    int32_t units;      /* F, the core's */
    int32_t spare;      /* units for style packs and lessons, always in FP16 */
    int32_t activation; /* of gates: SILU or RELU2 */
    int32_t qk_norm;    /* whether queries and keys are normed head by head */
    int32_t tied;       /* whether the head reads the embedding's matrix */
    int32_t attention_bias, ffn_bias;
    int32_t bits;       /* of a weight: 16 or 8 */
    int32_t group;      /* columns that share a scale when bits is 8; 0 is a whole row */
    int32_t threads;
    float eps;
};

/* What `kernel_put` names; the first three have no layer. */
enum part {
    EMBEDDING, HEAD, FINAL_NORM,
    ATTENTION_NORM, QKV, OUT, Q_NORM, K_NORM, QKV_BIAS, OUT_BIAS,
    FFN_NORM, GATE, UP, DOWN, GATE_BIAS, UP_BIAS, DOWN_BIAS,
    PARTS
};

struct kernel;

PUBLIC int kernel_version(void);

/* The instruction sets that this library and this CPU have, best first, by name, separated by blanks. */
PUBLIC const char *kernel_isas(void);

/* Bytes that a kernel of this shape takes, all of its work space included; 0: such a shape is not known. */
PUBLIC int64_t kernel_needs(const struct kernel_shape *shape);

/* Room for a model; until every weight of it was put no step is taken. cos and sin: (positions, head_dim).
 * isa: one of those names, or NULL for the first. */
PUBLIC int kernel_new(const struct kernel_shape *shape, const float *cos, const float *sin, const char *isa,
                      struct kernel **kernel);
PUBLIC void kernel_free(struct kernel *k);
PUBLIC const char *kernel_isa(const struct kernel *k);
PUBLIC int kernel_threads(const struct kernel *k);

/* Packs rows first_row.. of a matrix (rows, columns), or numbers first_row.. of a vector, which has one column. They may
 * come in any order and more than once. Numbers that FP16 cannot hold are refused. Lines lie `stride` apart. */
PUBLIC int kernel_put(struct kernel *k, int layer, int part, const void *data, int number, int first_row, int rows,
                      int columns, int64_t stride);

/* Rows first_row.. of an embedding or head, or numbers first_row.. of the final norm, as they are computed with: FP16 without
 * a change, int8 times its scale. A tied head is the embedding. values: (rows, columns) without gaps. */
PUBLIC int kernel_take(const struct kernel *k, int part, int first_row, int rows, int columns, float *values);

/* How many rows were not put yet; where there are some, *layer and *part are the first place that lacks any. */
PUBLIC int64_t kernel_missing(const struct kernel *k, int *layer, int *part);

/* Writes `count` spare units from number `first` on: gate and up (count, C), down (C, count) with lines `stride` apart.
 * All NULL takes them away. */
PUBLIC int kernel_attach(struct kernel *k, int layer, int first, int count, const void *gate, const void *up,
                         const void *down, int number, int64_t stride);

/* Which of all layers' spare units first.. take part from the next step on: (count,) bytes, 0 for those that are as if they
 * were blank. NULL: all. */
PUBLIC int kernel_admit(struct kernel *k, int first, int count, const uint8_t *admitted);

/* Reads n tokens at positions start, start + 1, ...; what the cache held there is overwritten, and every position before
 * start must have been read. logits: (n, V) if `all`, else (1, V) behind the last token; NULL: only fill the cache. */
PUBLIC int kernel_step(struct kernel *k, const int64_t *tokens, int n, int start, float *logits, int all);

/* The same from position 0 on without logits; of the last layer, at each position, what its feed-forward reads (n, C), and the
 * residual stream behind it (n, C), before the final norm. */
PUBLIC int kernel_features(struct kernel *k, const int64_t *tokens, int n, float *fed, float *residual);

/* Takes positions from..to out of the `length` that are filled: those behind move forward, keys turned back by as much. */
PUBLIC int kernel_drop(struct kernel *k, int from, int to, int length);

/* Reads all weights that a step of one token reads, on the same threads in the same shares, and computes nothing: no step can
 * take less time. *bytes: how many they are. A word that depends on each of them. */
PUBLIC uint32_t kernel_read(struct kernel *k, int64_t *bytes);

/* How a token is drawn; engine/sampling.py says what each number means. */
struct sampling {
    float temperature; /* 0: the likeliest */
    float top_p;
    float penalty;
    int32_t top_k;   /* 0: off */
    int32_t not_now; /* an id that may not come yet; -1: none */
};

/* From logits (V,) the distribution (V,) that a token is drawn from; its sum is at most 1, not scaled up to it. At temperature 0 it
 * is 1 on one id. never: (V,) bytes, 1 for ids that are not drawn; penalized: (V,) bytes, 1 for ids that the penalty
 * may turn down, NULL for any; recent: the ids that it looks back on. room: 2 V floats. */
PUBLIC int sampler_process(const float *logits, int vocab, const struct sampling *params, const uint8_t *never,
                           const uint8_t *penalized, const int64_t *recent, int n_recent, float *room,
                           float *probabilities);

/* One id, by a number that is uniform in [0, 1). */
PUBLIC int sampler_draw(const float *probabilities, int vocab, double uniform);

/* A text that grows, and how. The caller gives all of its memory. */
struct text {
    struct sampling params;   /* `not_now` apart, which `end` and `early` say */
    int32_t vocab;            /* V */
    int32_t end;              /* the id that ends it; -1: there is none */
    int32_t window, filled;   /* ids that the penalty looks back on, and how many of them there are */
    int64_t *recent;          /* (window,), the newest last */
    const uint8_t *never, *penalized;
    float *room;              /* 3 V */
};

/* Ids drawn from logits (rows, V), one after the other, as long as they are those guessed, and the first that is not, or all
 * rows': each as by the two above. `end` is the last that is drawn; it may not come from a row whose bit in `early` is set.
 * guesses: rows - 1. uniforms: rows, at most 32. How many were drawn; 0: a row holds no number that may be drawn. */
PUBLIC int sampler_follow(struct text *text, const float *logits, int rows, const int64_t *guesses, const double *uniforms,
                          uint32_t early, int64_t *drawn);

/* ---- drafts: engine/draft.py */

#define MOST_GUESSES 15 /* of a pass */
#define MOST_ORDERS 8

/* The tables of a DraftTable (engine/draft_table.py), which outlive the drafter. */
struct draft_table {
    const uint8_t *tags, *sure; /* (slots,) */
    const void *ids;            /* (slots,) of id_bytes, 1 or 2 */
    int64_t slots;
    int32_t id_bytes, n_orders;
    int32_t orders[MOST_ORDERS]; /* lengths of contexts, longest first */
};

struct drafter;

/* text_orders: two lengths of contexts, longest first, 0 for none, by which the text itself is looked up. costs: what each of
 * the at most `most` guesses of a pass adds to it, in passes without one. */
PUBLIC int drafter_new(const struct draft_table *table, const int32_t *text_orders, const double *costs, int most,
                       struct drafter **drafter);
PUBLIC void drafter_free(struct drafter *d);

/* Forgets the text and takes this one. */
PUBLIC void drafter_begin(struct drafter *d, const int64_t *ids, int64_t n);

/* A pass wrote these ids behind the text: so the newest guesses are judged. */
PUBLIC void drafter_wrote(struct drafter *d, const int64_t *ids, int n);

/* At most `most` guesses of what follows; how many. */
PUBLIC int drafter_guess(struct drafter *d, int most, int64_t *guesses);

#endif
