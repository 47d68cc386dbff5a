/* The read floor: what a step of one token has to read, read and not computed with. */
#include "model.h"

static void read_part(struct desk *desk, const struct isa *isa, const void *data, size_t panel_bytes, int from, int to) {
    desk->word ^= isa->read((const char *)data + (size_t)from * panel_bytes, (size_t)(to - from) * panel_bytes);
    desk->bytes += (int64_t)((size_t)(to - from) * panel_bytes);
}

/* This thread's panels of a matrix, and their scales. */
static void read_matrix(const struct kernel *k, const struct matrix *m, int i, int n) {
    const int from = share(panels(m), i, n), to = share(panels(m), i + 1, n);
    const size_t columns = (size_t)m->columns, groups = (columns + (size_t)m->group - 1) / (size_t)m->group;
    read_part(&k->desks[i], k->isa, m->data, PANEL * columns * (size_t)m->bits / 8, from, to);
    if (m->scale) read_part(&k->desks[i], k->isa, m->scale, PANEL * groups * sizeof(float), from, to);
}

static void walk(void *argument, int i, int n) {
    const struct kernel *k = argument;
    k->desks[i].word = 0;
    k->desks[i].bytes = 0;
    for (const struct layer *l = k->layers; l < k->layers + k->shape.layers; l++) {
        const struct matrix *const parts[] = {&l->qkv, &l->out, &l->gate, &l->up, &l->down,
                                              &l->spare_gate, &l->spare_up, &l->spare_down};
        for (int m = 0; m < (l->taught ? 8 : 5); m++) read_matrix(k, parts[m], i, n);
    }
    read_matrix(k, k->shape.tied ? &k->embedding : &k->head, i, n);
}

uint32_t kernel_read(struct kernel *k, int64_t *bytes) {
    uint32_t word = 0;
    for (int i = 0; i < k->shape.threads; i++) k->desks[i].word = 0, k->desks[i].bytes = 0;
    pool_run(k->pool, walk, k);
    *bytes = 0;
    for (int i = 0; i < k->shape.threads; i++) word ^= k->desks[i].word, *bytes += k->desks[i].bytes;
    return word;
}
