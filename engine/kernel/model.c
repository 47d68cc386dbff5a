/* A kernel's memory: counted, taken in one piece, given back. */
#define _GNU_SOURCE
#include "model.h"

#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "pack.h"

/* A build under AddressSanitizer puts a forbidden gap behind each piece of the one mapping; else its ends alone are watched. */
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#define GAP 64
#define FORBID(from, size) ASAN_POISON_MEMORY_REGION(from, size)
#define ALLOW(from, size) ASAN_UNPOISON_MEMORY_REGION(from, size)
#else
#define GAP 0
#define FORBID(from, size) ((void)0)
#define ALLOW(from, size) ((void)0)
#endif

#define HUGE_PAGE ((size_t)2 << 20)
#define ALIGNED 64

/* Everything is laid out twice: first with no memory, which counts it, then for good. */
struct layout {
    char *memory;
    size_t used;
};

static void *take(struct layout *l, size_t count, size_t size) {
    char *here = l->memory ? l->memory + l->used : NULL;
    const size_t whole = (count * size + ALIGNED - 1) / ALIGNED * ALIGNED + GAP;
    if (here) FORBID(here + count * size, whole - count * size);
    l->used += whole;
    return here;
}

static void take_matrix(struct layout *l, struct matrix *m, int rows, int columns, int bits, int group, int biased) {
    const size_t wide = PADDED((size_t)rows);
    *m = (struct matrix){.rows = rows, .columns = columns, .bits = bits};
    m->group = bits == 8 && group > 0 && group < columns ? group : columns;
    m->data = take(l, wide * (size_t)columns, (size_t)bits / 8);
    if (bits == 8) m->scale = take(l, wide * (size_t)((columns + m->group - 1) / m->group), sizeof(float));
    if (biased) m->bias = take(l, wide, sizeof(float));
}

static void take_weights(struct kernel *k, struct layout *l) {
    const struct kernel_shape *s = &k->shape;
    const size_t C = PADDED((size_t)s->width), D = (size_t)s->head_dim;
    const int read = (s->heads + 2 * s->kv_heads) * s->head_dim;
    take_matrix(l, &k->embedding, s->vocab, s->width, 16, 0, 0); /* a row of it is read as it is, so it stays FP16 */
    for (int i = 0; i < s->layers; i++) {
        struct layer none, *layer = k->layers ? &k->layers[i] : &none;
        layer->attention_norm = take(l, C, sizeof(float));
        layer->ffn_norm = take(l, C, sizeof(float));
        layer->q_norm = take(l, D, sizeof(float));
        layer->k_norm = take(l, D, sizeof(float));
        take_matrix(l, &layer->qkv, read, s->width, s->bits, s->group, s->attention_bias);
        take_matrix(l, &layer->out, s->width, s->heads * s->head_dim, s->bits, s->group, s->attention_bias);
        take_matrix(l, &layer->gate, s->units, s->width, s->bits, s->group, s->ffn_bias);
        take_matrix(l, &layer->up, s->units, s->width, s->bits, s->group, s->ffn_bias);
        take_matrix(l, &layer->down, s->width, s->units, s->bits, s->group, s->ffn_bias);
        take_matrix(l, &layer->spare_gate, s->spare, s->width, 16, 0, 0);
        take_matrix(l, &layer->spare_up, s->spare, s->width, 16, 0, 0);
        take_matrix(l, &layer->spare_down, s->width, s->spare, 16, 0, 0);
        layer->adds = take(l, (size_t)s->spare, 1);
    }
    take_matrix(l, &k->head, s->tied ? 0 : s->vocab, s->width, s->bits, s->group, 0);
    k->final_norm = take(l, C, sizeof(float));
    k->closed = take(l, (size_t)s->spare, 1);
    k->cos = take(l, (size_t)s->positions * D, sizeof(float));
    k->sin = take(l, (size_t)s->positions * D, sizeof(float));
    k->there = take(l, (size_t)s->layers * PARTS, sizeof *k->there);
    for (int place = 0; place < s->layers * PARTS; place++) {
        uint8_t *there = take(l, (size_t)part_rows(s, place / PARTS, place % PARTS), 1);
        if (k->there) k->there[place] = there;
    }
}

static void take_cache(struct kernel *k, struct layout *l) {
    const struct kernel_shape *s = &k->shape;
    const size_t D = (size_t)s->head_dim, S = PADDED((size_t)s->positions), K = (size_t)s->kv_heads;
    for (int i = 0; i < s->layers; i++) {
        struct layer none, *layer = k->layers ? &k->layers[i] : &none;
        layer->keys = take(l, K * S * D, sizeof(uint16_t));
        layer->values = take(l, K * S * PADDED(D), sizeof(uint16_t));
    }
}

static void take_work_space(struct kernel *k, struct layout *l) {
    const struct kernel_shape *s = &k->shape;
    const size_t C = PADDED((size_t)s->width), D = (size_t)s->head_dim, S = PADDED((size_t)s->positions);
    const size_t read = (size_t)(s->heads + 2 * s->kv_heads) * D, units = PADDED((size_t)s->units) + PADDED((size_t)s->spare);
    const size_t rows = QUERY_BLOCK * (size_t)(s->heads / s->kv_heads);
    k->x = take(l, MAX_BLOCK * C, sizeof(float));
    k->qkv_out = take(l, MAX_BLOCK * PADDED(read), sizeof(float));
    k->attended = take(l, MAX_BLOCK * (size_t)s->heads * D, sizeof(float));
    k->gates = take(l, MAX_BLOCK * units, sizeof(float));
    k->ups = take(l, MAX_BLOCK * units, sizeof(float));
    for (int i = 0; i < s->threads; i++) {
        struct desk none, *desk = k->desks ? &k->desks[i] : &none;
        desk->normed = take(l, MAX_BLOCK * C, sizeof(float));
        desk->queries = take(l, rows * D, sizeof(float));
        desk->scores = take(l, rows * S, sizeof(float));
        desk->mixed = take(l, rows * PADDED(D), sizeof(float));
        desk->panel = take(l, MAX_BLOCK * PANEL, sizeof(float));
        desk->half = take(l, PADDED(D), sizeof(uint16_t));
    }
}

static void lay_out(struct kernel *k, struct layout *l) {
    k->layers = take(l, (size_t)k->shape.layers, sizeof *k->layers);
    k->desks = take(l, (size_t)k->shape.threads, sizeof *k->desks);
    take_weights(k, l);
    take_cache(k, l);
    take_work_space(k, l);
}

/* Zeroed, and in huge pages where the system gives them: a step reads all of it, some 10,000 small pages. */
static int allocate(struct kernel *k, size_t size) {
#if defined(__linux__)
    char *memory = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return FAILED_MEMORY;
    k->memory = memory;
    k->mapped = size + HUGE_PAGE;
    char *aligned = (char *)(((uintptr_t)memory + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE);
    madvise(aligned, size / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
#else
    k->memory = calloc(1, size + ALIGNED);
    if (!k->memory) return FAILED_MEMORY;
    char *aligned = (char *)(((uintptr_t)k->memory + ALIGNED - 1) / ALIGNED * ALIGNED);
#endif
    struct layout layout = {aligned, 0};
    k->size = size;
    lay_out(k, &layout);
    return 0;
}

static int known(const struct kernel_shape *s) {
    const int64_t most = 1 << 22; /* of one size; all products below then stay within 64 bits, and rows within 32 */
    const int32_t sizes[] = {s->vocab, s->positions, s->heads, s->kv_heads, s->width, s->head_dim, s->units};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i] < 1 || sizes[i] > most) return 0;
    return s->layers >= 1 && s->layers <= 4096 && s->heads % s->kv_heads == 0 && s->head_dim % 2 == 0 && s->spare >= 0 &&
           s->spare <= most && (s->heads + 2 * (int64_t)s->kv_heads) * s->head_dim <= most &&
           (s->activation == SILU || s->activation == RELU2) && (s->bits == 16 || s->bits == 8) && s->group >= 0 &&
           s->threads >= 1 && s->threads <= MAX_THREADS;
}

int kernel_version(void) { return KERNEL_VERSION; }

int64_t kernel_needs(const struct kernel_shape *shape) {
    struct kernel kernel = {.shape = *shape};
    struct layout count = {NULL, 0};
    if (!known(shape)) return 0;
    lay_out(&kernel, &count);
    return (int64_t)count.used;
}

int kernel_new(const struct kernel_shape *shape, const float *cos, const float *sin, const char *isa,
               struct kernel **kernel) {
    const int64_t size = kernel_needs(shape);
    if (!size || !isa_choose(isa)) return FAILED_SHAPE;
    struct kernel *k = calloc(1, sizeof *k);
    if (!k) return FAILED_MEMORY;
    k->shape = *shape;
    k->isa = isa_choose(isa);
    k->pool = pool_new(shape->threads);
    if (!k->pool || allocate(k, (size_t)size)) {
        kernel_free(k);
        return FAILED_MEMORY;
    }
    const size_t table = (size_t)shape->positions * (size_t)shape->head_dim * sizeof(float);
    memcpy(k->cos, cos, table);
    memcpy(k->sin, sin, table);
    for (int place = 0; place < shape->layers * PARTS; place++)
        k->missing += part_rows(shape, place / PARTS, place % PARTS);
    *kernel = k;
    return 0;
}

void kernel_free(struct kernel *k) {
    if (!k) return;
    pool_free(k->pool);
#if defined(__linux__)
    if (k->memory) {
        ALLOW(k->memory, k->mapped);
        munmap(k->memory, k->mapped);
    }
#else
    free(k->memory);
#endif
    free(k);
}

const char *kernel_isa(const struct kernel *k) { return k->isa->name; }
int kernel_threads(const struct kernel *k) { return pool_threads(k->pool); }
