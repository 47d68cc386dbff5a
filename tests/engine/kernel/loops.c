/* Every instruction set's inner loops against plain sums in double precision; then a whole small model, each set against
 * the plain one. For CPUs that the Python tests do not reach, and for valgrind. `loops NAME...` runs those alone. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "half.h"
#include "isa.h"
#include "kernel.h"

static uint32_t state = 1;
static float number(void) { /* in [-1, 1) */
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / 8388608.0f - 1.0f;
}

static int wrong = 0;
static void near(const char *isa, const char *what, double found, double expected, double most) {
    if (fabs(found - expected) <= most) return;
    if (wrong++ < 20) printf("%s: %s is %g, not %g\n", isa, what, found, expected);
}

static void test_products(const struct isa *isa, int rows, int columns, int T, int bits, int group, int add) {
    const int wide = PADDED(rows), groups = (columns + group - 1) / group;
    struct matrix m = {rows, columns, bits, group, NULL, NULL, NULL};
    m.data = calloc((size_t)wide * (size_t)columns, (size_t)bits / 8);
    m.scale = calloc((size_t)wide * (size_t)groups, sizeof(float));
    m.bias = calloc((size_t)wide, sizeof(float));
    float *x = malloc(sizeof(float) * (size_t)(T * columns)), *y = malloc(sizeof(float) * (size_t)(T * wide));
    float *before = malloc(sizeof(float) * (size_t)(T * wide));
    for (int i = 0; i < wide * columns; i++)
        if (bits == 8) ((int8_t *)m.data)[i] = (int8_t)(number() * 127);
        else ((uint16_t *)m.data)[i] = float_to_half(number());
    for (int i = 0; i < wide * groups; i++) m.scale[i] = number() / 127;
    for (int i = 0; i < wide; i++) m.bias[i] = number();
    for (int i = 0; i < T * columns; i++) x[i] = number();
    for (int i = 0; i < T * wide; i++) before[i] = y[i] = number();
    isa->matmul(&m, 0, panels(&m), x, columns, T, y, wide, add);
    for (int t = 0; t < T; t++)
        for (int r = 0; r < wide; r++) {
            double sum = m.bias[r] + (add ? before[t * wide + r] : 0);
            for (int c = 0; c < columns; c++) {
                const int place = (r / PANEL * columns + c) * PANEL + r % PANEL;
                const double scale = m.scale[(r / PANEL * groups + c / group) * PANEL + r % PANEL];
                sum += x[t * columns + c] * (bits == 8 ? ((int8_t *)m.data)[place] * scale
                                                       : (double)half_to_float(((uint16_t *)m.data)[place]));
            }
            near(isa->name, "a product", y[t * wide + r], sum, 1e-5 * (columns + 1));
        }
    free(m.data), free(m.scale), free(m.bias), free(x), free(y), free(before);
}

static void test_lines(const struct isa *isa, int n) {
    float *x = malloc(sizeof(float) * (size_t)n), *y = malloc(sizeof(float) * (size_t)n);
    uint16_t *half = malloc(2 * (size_t)n);
    double squares = 0, sum = 0;
    for (int i = 0; i < n; i++) x[i] = y[i] = 30 * number();
    for (int i = 0; i < n; i++) squares += (double)x[i] * x[i], sum += exp(x[i]);
    isa->softmax(y, n);
    for (int i = 0; i < n; i++) near(isa->name, "softmax", y[i], exp(x[i]) / sum, 1e-5);
    isa->norm(x, x, n, 1e-5f, y);
    for (int i = 0; i < n; i++) near(isa->name, "norm", y[i], x[i] / sqrt(squares / n + 1e-5) * x[i], 1e-3);
    isa->to_half(x, half, n);
    for (int i = 0; i < n; i++) near(isa->name, "half", half[i], float_to_half(x[i]), 0);
    if (n % PANEL == 0)
        for (int activation = SILU; activation <= RELU2; activation++) {
            memcpy(y, x, sizeof(float) * (size_t)n);
            isa->gate(y, x, n, activation);
            for (int i = 0; i < n; i++) {
                const double gate = activation == SILU ? x[i] / (1 + exp(-(double)x[i])) : x[i] > 0 ? x[i] * x[i] : 0;
                near(isa->name, "gate", y[i], gate * x[i], 1e-6 * fabs(gate * x[i]) + 1e-5);
            }
        }
    free(x), free(y), free(half);
}

static void test_halves(const struct isa *isa) { /* every half but NaN and infinity there and back */
    for (uint32_t i = 0; i < 0x10000; i++) {
        if ((i & 0x7c00) == 0x7c00) continue;
        uint16_t back;
        const float value = half_to_float((uint16_t)i);
        isa->to_half(&value, &back, 1);
        near(isa->name, "a half there and back", back, i, 0);
        near("packing", "a half there and back", float_to_half(value), i, 0);
    }
    const float beyond[] = {1e6f, -1e6f, INFINITY, 65520.0f, 65519.0f};
    const uint16_t most[] = {0x7bff, 0xfbff, 0x7bff, 0x7bff, 0x7bff};
    uint16_t back[5];
    isa->to_half(beyond, back, 5);
    for (int i = 0; i < 5; i++) near(isa->name, "saturation", back[i], most[i], 0);
    for (int i = 0; i < 5; i++) near("packing", "saturation", float_to_half(beyond[i]), most[i], 0);
}

static struct kernel *small(const char *isa, int bits) {
    const struct kernel_shape shape = {.vocab = 50, .positions = 70, .layers = 2, .heads = 6, .kv_heads = 3, .width = 40,
                                       .head_dim = 12, .units = 60, .spare = 5, .qk_norm = 1, .attention_bias = 1,
                                       .ffn_bias = 1, .bits = bits, .group = 16, .threads = 2, .eps = 1e-5f};
    static float cos_table[70 * 12], sin_table[70 * 12], weights[200 * 200];
    for (int p = 0; p < 70; p++)
        for (int d = 0; d < 12; d++) {
            cos_table[p * 12 + d] = cosf((float)p / (float)(1 + d % 6));
            sin_table[p * 12 + d] = sinf((float)p / (float)(1 + d % 6));
        }
    struct kernel *k = NULL;
    if (kernel_new(&shape, cos_table, sin_table, isa, &k)) return NULL;
    const struct { int part, rows, columns; } all[] = {
        {EMBEDDING, 50, 40}, {HEAD, 50, 40}, {FINAL_NORM, 40, 1}, {ATTENTION_NORM, 40, 1}, {QKV, 144, 40}, {OUT, 40, 72},
        {Q_NORM, 12, 1}, {K_NORM, 12, 1}, {QKV_BIAS, 144, 1}, {OUT_BIAS, 40, 1}, {FFN_NORM, 40, 1}, {GATE, 60, 40},
        {UP, 60, 40}, {DOWN, 40, 60}, {GATE_BIAS, 60, 1}, {UP_BIAS, 60, 1}, {DOWN_BIAS, 40, 1},
    };
    const int64_t token = 1;
    state = 7;
    for (int layer = 0; layer < 2; layer++) {
        for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
            if (layer && all[i].part <= FINAL_NORM) continue;
            if (kernel_step(k, &token, 1, 0, NULL, 0) != FAILED_MISSING) wrong++;
            const int rows = all[i].rows, columns = all[i].columns, half = rows / 2; /* in two pieces, the last one first */
            for (int j = 0; j < rows * columns; j++) weights[j] = number() * 0.4f;
            if (kernel_put(k, layer, all[i].part, weights + half * columns, NUMBER_32, half, rows - half, columns, columns) ||
                kernel_put(k, layer, all[i].part, weights, NUMBER_32, 0, half, columns, columns)) wrong++;
        }
        if (kernel_attach(k, layer, 2, 3, weights, weights + 300, weights + 600, NUMBER_32, 3)) wrong++;
    }
    return k;
}

static void test_model(const char *isa, int bits) {
    struct kernel *one = small(isa, bits), *other = small("plain", bits);
    if (!one || !other) {
        wrong++;
    } else {
        int64_t ids[70];
        static float found[70 * 50], expected[70 * 50];
        for (int i = 0; i < 70; i++) ids[i] = (int64_t)(25 + 25 * number());
        for (int at = 0, next = 1, n; at < 70; at += n, next += 5) {
            n = next < 70 - at ? next : 70 - at;
            if (kernel_step(one, ids + at, n, at, found + at * 50, 1)) wrong++;
            if (kernel_step(other, ids + at, n, at, expected + at * 50, 1)) wrong++;
        }
        if (kernel_drop(one, 3, 33, 69) || kernel_drop(other, 3, 33, 69)) wrong++;
        if (kernel_step(one, ids, 1, 39, found, 1) || kernel_step(other, ids, 1, 39, expected, 1)) wrong++;
        for (int i = 0; i < 70 * 50; i++) near(isa, "a logit", found[i], expected[i], 5e-3);
        const uint8_t none[5] = {0}, some[5] = {1, 0, 1, 0, 1}; /* of the five spare units, the last three of which add something */
        static float fed[2][70 * 40], residual[2][70 * 40];
        for (int i = 0; i < 2; i++) {
            if (kernel_admit(one, 0, 5, i ? some : none) || kernel_admit(other, 0, 5, i ? some : none)) wrong++;
            if (kernel_features(one, ids, 70, fed[0], residual[0]) || kernel_features(other, ids, 70, fed[1], residual[1]))
                wrong++;
            for (int j = 0; j < 70 * 40; j++) near(isa, "what the last layer reads", fed[0][j], fed[1][j], 5e-3);
            for (int j = 0; j < 70 * 40; j++) near(isa, "the residual stream", residual[0][j], residual[1][j], 2e-2);
        }
        int64_t bytes, others;
        near(isa, "what is read", kernel_read(one, &bytes), kernel_read(other, &others), 0);
        near(isa, "bytes read", (double)bytes, (double)others, 0);
    }
    kernel_free(one);
    kernel_free(other);
}

int main(int count, char **names) {
    char all[64], *name;
    strcpy(all, kernel_isas());
    for (int i = 1; (name = count > 1 ? (i < count ? names[i] : NULL) : strtok(i == 1 ? all : NULL, " ")); i++) {
        const struct isa *isa = isa_choose(name);
        if (!isa) return fprintf(stderr, "this CPU does not have %s\n", name), 2;
        for (int T = 1; T <= 9; T++)
            for (int columns = 1; columns <= 70; columns += 23)
                for (int add = 0; add < 2; add++) {
                    test_products(isa, 40, columns, T, 16, columns, add);
                    test_products(isa, 33, columns, T, 8, columns, add);
                    test_products(isa, 64, columns, T, 8, 16, add);
                }
        for (int n = 1; n <= 96; n++) test_lines(isa, n);
        test_halves(isa);
        test_model(name, 16);
        test_model(name, 8);
        printf("%s: %s\n", isa->name, wrong ? "wrong" : "right");
    }
    return wrong != 0;
}
