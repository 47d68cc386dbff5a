/* One step: tokens in, logits out. Each thread walks through all of it and does its share of every product; they meet
 * where one's share is read by another. */
#include <math.h>
#include <string.h>

#include "half.h"
#include "model.h"

struct step {
    struct kernel *k;
    const int64_t *tokens;
    int T, start;
    float *logits;
    int all; /* whether every position's logits are wanted */
    float *fed, *residual; /* or NULL: see kernel_features */
};

static long line(int n) { return PADDED((long)n); }

static void embed(const struct step *s) {
    const struct kernel *k = s->k;
    const int C = k->shape.width;
    for (int t = 0; t < s->T; t++) {
        const size_t row = (size_t)s->tokens[t];
        const uint16_t *lane = (const uint16_t *)k->embedding.data + row / PANEL * (size_t)C * PANEL + row % PANEL;
        float *x = k->x + t * line(C);
        for (int c = 0; c < C; c++) x[c] = half_to_float(lane[(size_t)c * PANEL]);
    }
}

/* Each head's halves turned against each other by its position's angles; the layout is that of engine.blocks.rotate. */
static void rotate(float *x, const float *cos, const float *sin, int D) {
    for (int d = 0; d < D / 2; d++) {
        const float first = x[d], second = x[d + D / 2];
        x[d] = first * cos[d] - second * sin[d];
        x[d + D / 2] = second * cos[d + D / 2] + first * sin[d + D / 2];
    }
}

/* New keys and values of one key head into the cache; keys are turned first. */
static void remember(const struct step *s, const struct layer *l, struct desk *desk, int head) {
    const struct kernel *k = s->k;
    const int D = k->shape.head_dim, H = k->shape.heads, K = k->shape.kv_heads;
    const long positions = PADDED((long)k->shape.positions), wide = line(D);
    for (int t = 0; t < s->T; t++) {
        const long p = s->start + t;
        float *key = k->qkv_out + t * line((H + 2 * K) * D) + (long)(H + head) * D, *value = key + (long)K * D;
        if (k->shape.qk_norm) k->isa->norm(key, l->k_norm, D, k->shape.eps, key);
        rotate(key, k->cos + p * D, k->sin + p * D, D);
        k->isa->to_half(key, desk->half, D);
        uint16_t *lane = l->keys + head * positions * D + p / PANEL * D * PANEL + p % PANEL;
        for (int d = 0; d < D; d++) lane[(long)d * PANEL] = desk->half[d];
        k->isa->to_half(value, desk->half, D);
        for (int d = 0; d < D; d += PANEL)
            memcpy(l->values + head * positions * wide + d * positions + p * PANEL, desk->half + d,
                   sizeof(uint16_t) * (size_t)(D - d < PANEL ? D - d : PANEL));
    }
}

/* Attention of all queries that read one key head, at n positions from `from` on. */
static void attend(const struct step *s, const struct layer *l, struct desk *desk, int head, int from, int n) {
    const struct kernel *k = s->k;
    const int D = k->shape.head_dim, H = k->shape.heads, K = k->shape.kv_heads, shared = H / K;
    const long positions = PADDED((long)k->shape.positions), wide = line(D);
    const int seen = s->start + from + n, rows = n * shared; /* seen: by the last of them */
    const float scale = 1.0f / sqrtf((float)D);
    for (int row = 0; row < rows; row++) {
        const int t = from + row / shared;
        const long p = s->start + t;
        float *query = desk->queries + (long)row * D;
        memcpy(query, k->qkv_out + t * line((H + 2 * K) * D) + (long)(head * shared + row % shared) * D,
               sizeof(float) * (size_t)D);
        if (k->shape.qk_norm) k->isa->norm(query, l->q_norm, D, k->shape.eps, query);
        rotate(query, k->cos + p * D, k->sin + p * D, D);
        for (int d = 0; d < D; d++) query[d] *= scale;
    }
    for (long p = 0; p < seen; p += PANEL)
        k->isa->cached(l->keys + head * positions * D + p * D, D, desk->queries, D, rows, desk->scores + p, positions);
    for (int row = 0; row < rows; row++) {
        float *score = desk->scores + row * positions;
        const int own = s->start + from + row / shared + 1; /* a position sees those before it and itself */
        k->isa->softmax(score, own);
        memset(score + own, 0, sizeof(float) * (size_t)(seen - own));
    }
    for (long d = 0; d < D; d += PANEL)
        k->isa->cached(l->values + head * positions * wide + d * positions, seen, desk->scores, positions, rows,
                       desk->mixed + d, wide);
    for (int row = 0; row < rows; row++)
        memcpy(k->attended + (long)(from + row / shared) * H * D + (long)(head * shared + row % shared) * D,
               desk->mixed + row * wide, sizeof(float) * (size_t)D);
}

static void norm_all(const struct step *s, const float *weight, int from, float *normed) {
    const int C = s->k->shape.width;
    for (int t = from; t < s->T; t++)
        s->k->isa->norm(s->k->x + t * line(C), weight, C, s->k->shape.eps, normed + t * line(C));
}

static void matmul(const struct step *s, const struct matrix *m, int i, int n, const float *x, long x_line, float *y,
                   long y_line, int add) {
    const int first = share(panels(m), i, n), last = share(panels(m), i + 1, n);
    s->k->isa->matmul(m, first, last, x, x_line, s->T, y + first * PANEL, y_line, add);
}

/* Gates and ups of this thread's units, and their product, into s->k->gates. */
static void units(const struct step *s, const struct matrix *gate, const struct matrix *up, int at, int i, int n,
                  const float *x) {
    const struct kernel *k = s->k;
    const long wide = line(k->shape.units) + line(k->shape.spare);
    const int first = share(panels(gate), i, n) * PANEL, last = share(panels(gate), i + 1, n) * PANEL;
    matmul(s, gate, i, n, x, line(k->shape.width), k->gates + at, wide, 0);
    matmul(s, up, i, n, x, line(k->shape.width), k->ups + at, wide, 0);
    for (int t = 0; t < s->T; t++)
        k->isa->gate(k->gates + t * wide + at + first, k->ups + t * wide + at + first, last - first, k->shape.activation);
}

/* The same of the spare units. What one gives that is closed is zero: adding that changes no sum, not by a bit. */
static void spare_units(const struct step *s, const struct layer *l, int at, int i, int n, const float *x) {
    const struct kernel *k = s->k;
    const int all = panels(&l->spare_gate), spare = k->shape.spare;
    const int first = share(all, i, n) * PANEL, last = share(all, i + 1, n) * PANEL;
    units(s, &l->spare_gate, &l->spare_up, at, i, n, x);
    for (int t = 0; t < s->T && k->closes; t++) {
        float *gates = k->gates + t * (line(k->shape.units) + line(spare)) + at;
        for (int unit = first; unit < last && unit < spare; unit++)
            if (k->closed[unit]) gates[unit] = 0;
    }
}

/* C numbers of each position, whose lines lie padded, to where they lie without gaps. */
static void hand_out(const struct step *s, const float *lines, float *to) {
    const int C = s->k->shape.width;
    for (int t = 0; t < s->T; t++) memcpy(to + (long)t * C, lines + t * line(C), sizeof(float) * (size_t)C);
}

/* This thread's panels of the logits, each by way of its desk: the caller's lines have no room for padding. */
static void read_out(const struct step *s, struct desk *desk, int i, int n) {
    const struct kernel *k = s->k;
    const int V = k->shape.vocab, from = s->all ? 0 : s->T - 1;
    const struct matrix *head = k->shape.tied ? &k->embedding : &k->head;
    const long wide = line(k->shape.width);
    norm_all(s, k->final_norm, from, desk->normed);
    for (int p = share(panels(head), i, n); p < share(panels(head), i + 1, n); p++) {
        const int rows = V - p * PANEL < PANEL ? V - p * PANEL : PANEL;
        k->isa->matmul(head, p, p + 1, desk->normed + from * wide, wide, s->T - from, desk->panel, PANEL, 0);
        for (int t = 0; t < s->T - from; t++)
            memcpy(s->logits + (long)t * V + p * PANEL, desk->panel + t * PANEL, sizeof(float) * (size_t)rows);
    }
}

static void walk(void *argument, int i, int n) {
    const struct step *s = argument;
    struct kernel *k = s->k;
    struct desk *desk = &k->desks[i];
    const struct kernel_shape *shape = &k->shape;
    const int C = shape->width, H = shape->heads, K = shape->kv_heads, D = shape->head_dim, core = PADDED(shape->units);
    const long wide = line(shape->units) + line(shape->spare);
    if (i == 0) embed(s);
    pool_meet(k->pool);
    for (const struct layer *l = k->layers; l < k->layers + shape->layers; l++) {
        norm_all(s, l->attention_norm, 0, desk->normed);
        matmul(s, &l->qkv, i, n, desk->normed, line(C), k->qkv_out, line((H + 2 * K) * D), 0);
        pool_meet(k->pool);
        for (int head = share(K, i, n); head < share(K, i + 1, n); head++) {
            remember(s, l, desk, head);
            for (int t = 0; t < s->T; t += QUERY_BLOCK)
                attend(s, l, desk, head, t, s->T - t < QUERY_BLOCK ? s->T - t : QUERY_BLOCK);
        }
        pool_meet(k->pool);
        matmul(s, &l->out, i, n, k->attended, (long)H * D, k->x, line(C), 1);
        pool_meet(k->pool);
        norm_all(s, l->ffn_norm, 0, desk->normed);
        units(s, &l->gate, &l->up, 0, i, n, desk->normed);
        if (l->taught) spare_units(s, l, core, i, n, desk->normed);
        if (s->fed && i == 0 && l == k->layers + shape->layers - 1) hand_out(s, desk->normed, s->fed);
        pool_meet(k->pool);
        matmul(s, &l->down, i, n, k->gates, wide, k->x, line(C), 1);
        if (l->taught) matmul(s, &l->spare_down, i, n, k->gates + core, wide, k->x, line(C), 1);
        pool_meet(k->pool);
    }
    if (s->residual && i == 0) hand_out(s, k->x, s->residual);
    if (s->logits) read_out(s, desk, i, n);
}

static int step(struct kernel *k, const int64_t *tokens, int n, int start, float *logits, int all, float *fed,
                float *residual) {
    const long C = k->shape.width;
    if (k->missing) return FAILED_MISSING;
    if (n < 1 || start < 0 || n > k->shape.positions - start) return FAILED_ARGUMENT;
    for (int t = 0; t < n; t++)
        if (tokens[t] < 0 || tokens[t] >= k->shape.vocab) return FAILED_ARGUMENT;
    for (int t = 0; t < n; t += MAX_BLOCK) {
        const int T = n - t < MAX_BLOCK ? n - t : MAX_BLOCK;
        float *out = !logits ? NULL : all ? logits + (long)t * k->shape.vocab : t + T == n ? logits : NULL;
        struct step step = {k, tokens + t, T, start + t, out, all, fed ? fed + t * C : NULL, residual ? residual + t * C : NULL};
        pool_run(k->pool, walk, &step);
    }
    return 0;
}

int kernel_step(struct kernel *k, const int64_t *tokens, int n, int start, float *logits, int all) {
    return step(k, tokens, n, start, logits, all, NULL, NULL);
}

int kernel_features(struct kernel *k, const int64_t *tokens, int n, float *fed, float *residual) {
    return step(k, tokens, n, 0, NULL, 0, fed, residual);
}

/* Keys are held as they were turned for their position. Turning back by a distance is turning by it with the other
 * sign, and the table's row for that distance has its angles. */
static void turn_back(struct kernel *k, const struct layer *l, int head, long from, long to, int length) {
    const int D = k->shape.head_dim;
    const long positions = PADDED((long)k->shape.positions), wide = line(D), distance = to - from;
    const float *cos = k->cos + distance * D, *sin = k->sin + distance * D;
    uint16_t *keys = l->keys + head * positions * D, *values = l->values + head * positions * wide;
    float *key = k->desks[0].queries;
    for (long p = to; p < length; p++) {
        const long q = p - distance;
        uint16_t *old = keys + p / PANEL * D * PANEL + p % PANEL, *new = keys + q / PANEL * D * PANEL + q % PANEL;
        for (int d = 0; d < D; d++) key[d] = half_to_float(old[(long)d * PANEL]);
        for (int d = 0; d < D / 2; d++) {
            const float first = key[d], second = key[d + D / 2];
            key[d] = first * cos[d] + second * sin[d];
            key[d + D / 2] = second * cos[d + D / 2] - first * sin[d + D / 2];
        }
        k->isa->to_half(key, k->desks[0].half, D);
        for (int d = 0; d < D; d++) new[(long)d * PANEL] = k->desks[0].half[d];
    }
    for (long d = 0; d < D; d += PANEL)
        memmove(values + d * positions + from * PANEL, values + d * positions + to * PANEL,
                sizeof(uint16_t) * PANEL * (size_t)(length - to));
}

int kernel_drop(struct kernel *k, int from, int to, int length) {
    if (from < 0 || from > to || to > length || length > k->shape.positions) return FAILED_ARGUMENT;
    if (from == to || to == length) return 0;
    for (int layer = 0; layer < k->shape.layers; layer++)
        for (int head = 0; head < k->shape.kv_heads; head++) turn_back(k, &k->layers[layer], head, from, to, length);
    return 0;
}
