/* From logits to a token: engine/sampling.py in C, step by step in the same order. */
#include <math.h>
#include <string.h>

#include "isa.h"
#include "kernel.h"

/* A heap of ids, the largest value on top and of equal ones the lowest id, which is how a stable sort orders them. */
struct heap {
    const float *value;
    int32_t *id;
    int n;
};

static int before(const struct heap *h, int32_t a, int32_t b) {
    return h->value[a] > h->value[b] || (h->value[a] == h->value[b] && a < b);
}

static void sink(struct heap *h, int i) {
    for (int child; (child = 2 * i + 1) < h->n; i = child) {
        if (child + 1 < h->n && before(h, h->id[child + 1], h->id[child])) child++;
        if (!before(h, h->id[child], h->id[i])) return;
        const int32_t id = h->id[i];
        h->id[i] = h->id[child];
        h->id[child] = id;
    }
}

static void build(struct heap *h) {
    for (int i = h->n / 2 - 1; i >= 0; i--) sink(h, i);
}

static int32_t pop(struct heap *h) {
    const int32_t top = h->id[0];
    h->id[0] = h->id[--h->n];
    sink(h, 0);
    return top;
}

/* From the logits anew each time, so that an id which comes twice is turned down once. */
static void penalize(float *scores, const float *logits, int vocab, float penalty, const uint8_t *never,
                     const uint8_t *penalized, const int64_t *recent, int n) {
    for (int i = 0; i < n; i++) {
        const int64_t id = recent[i];
        if (id < 0 || id >= vocab || never[id] || (penalized && !penalized[id])) continue;
        scores[id] = logits[id] > 0 ? logits[id] / penalty : logits[id] * penalty;
    }
}

/* -inf for all that lie below the k-th largest; equal ones stay. */
static void keep_top(float *scores, int vocab, int top_k, int32_t *room) {
    struct heap heap = {scores, room, vocab};
    for (int i = 0; i < vocab; i++) room[i] = i;
    build(&heap);
    for (int i = 1; i < top_k; i++) pop(&heap);
    const float least = scores[pop(&heap)];
    for (int i = 0; i < vocab; i++)
        if (scores[i] < least) scores[i] = -INFINITY;
}

/* The fewest of the likeliest whose sum reaches top_p. They are few and near the top, so the search begins there and goes
 * further down only where that was not enough; each turn gives what a sort of all would. */
static void keep_nucleus(const float *p, int vocab, float top_p, float most, int32_t *room, float *kept) {
    const float hopeless = (1.0f - top_p) / (float)vocab * 0.5f; /* all of these together are less than what is cut */
    memset(kept, 0, sizeof(float) * (size_t)vocab);
    for (float least = most / 64.0f;; least /= 64.0f) {
        struct heap heap = {p, room, 0};
        for (int i = 0; i < vocab; i++) { /* no branch: which are above is not to be foretold */
            room[heap.n] = i;
            heap.n += p[i] >= least;
        }
        build(&heap);
        double sum = 0;
        while (heap.n > 0) {
            const int32_t id = pop(&heap);
            sum += p[id];
            /* Rounded where torch rounds, so that an id at the very edge is kept here if it is kept there. */
            if (!((float)sum - p[id] < top_p)) return;
            kept[id] = p[id];
        }
        if (!(least > hopeless)) return;
    }
}

int sampler_process(const float *logits, int vocab, const struct sampling *params, const uint8_t *never,
                    const uint8_t *penalized, const int64_t *recent, int n_recent, float *room, float *probabilities) {
    const int banned = params->not_now >= 0 && params->not_now < vocab ? params->not_now : -1;
    float *scores = room;
    int32_t *ids = (int32_t *)(room + vocab);
    int sound = 1;
    for (int i = 0; i < vocab; i++) {
        sound &= logits[i] < INFINITY; /* a NaN is not */
        scores[i] = never[i] ? -INFINITY : logits[i];
    }
    if (params->penalty != 1.0f) penalize(scores, logits, vocab, params->penalty, never, penalized, recent, n_recent);
    if (banned >= 0) scores[banned] = -INFINITY;
    const struct isa *isa = isa_choose(NULL);
    const float most = isa->most(scores, vocab);
    if (!sound || !(most > -INFINITY)) return FAILED_NUMBER;
    if (params->temperature == 0) {
        int best = 0;
        while (scores[best] != most) best++;
        memset(probabilities, 0, sizeof(float) * (size_t)vocab);
        probabilities[best] = 1;
        return 0;
    }
    for (int i = 0; i < vocab; i++) scores[i] /= params->temperature;
    if (params->top_k > 0 && params->top_k < vocab) keep_top(scores, vocab, params->top_k, ids);
    float *p = params->top_p < 1 ? scores : probabilities;
    if (p != scores) memcpy(p, scores, sizeof(float) * (size_t)vocab);
    isa->softmax(p, vocab);
    for (int i = 0; i < vocab; i++) p[i] = p[i] < 1e-37f ? 0 : p[i]; /* the exponential's least value is above zero */
    if (params->top_p < 1) keep_nucleus(p, vocab, params->top_p, isa->most(p, vocab), ids, probabilities);
    return 0;
}

int sampler_draw(const float *probabilities, int vocab, double uniform) {
    double sums[4] = {0}, so_far = 0; /* four, or each addition waits for the one before */
    int last = 0, i = 0;
    for (; i + 4 <= vocab; i += 4)
        for (int j = 0; j < 4; j++) sums[j] += probabilities[i + j];
    for (; i < vocab; i++) sums[0] += probabilities[i];
    const double sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    for (i = 0; i < vocab; i++) {
        if (!(probabilities[i] > 0)) continue;
        last = i; /* of those that can come: where rounding leaves the sum short of its end */
        if ((so_far += probabilities[i]) > uniform * sum) return i;
    }
    return last;
}

static void remember(struct text *text, int64_t id) {
    if (text->filled == text->window) memmove(text->recent, text->recent + 1, sizeof(int64_t) * (size_t)(--text->filled));
    text->recent[text->filled++] = id;
}

int sampler_follow(struct text *text, const float *logits, int rows, const int64_t *guesses, const double *uniforms,
                   uint32_t early, int64_t *drawn) {
    struct sampling params = text->params;
    const int V = text->vocab;
    float *p = text->room + 2 * (long)V;
    for (int row = 0; row < rows; row++) {
        params.not_now = early >> row & 1 ? text->end : -1;
        if (sampler_process(logits + (long)row * V, V, &params, text->never, text->penalized, text->recent, text->filled,
                            text->room, p))
            return 0;
        drawn[row] = sampler_draw(p, V, uniforms[row]);
        remember(text, drawn[row]);
        if (drawn[row] == text->end || row + 1 == rows || drawn[row] != guesses[row]) return row + 1;
    }
    return 0;
}
