/* Weights from a file's layout into panels. */
#include "pack.h"

#include <math.h>
#include <string.h>

#include "half.h"
#include "model.h"

#define MOST_HALF 65504.0f

int part_rows(const struct kernel_shape *s, int layer, int part) {
    const int read = (s->heads + 2 * s->kv_heads) * s->head_dim;
    if (part <= FINAL_NORM && layer > 0) return 0;
    switch (part) {
    case EMBEDDING: return s->vocab;
    case HEAD: return s->tied ? 0 : s->vocab;
    case FINAL_NORM: case ATTENTION_NORM: case FFN_NORM: case OUT: case DOWN: return s->width;
    case QKV: return read;
    case Q_NORM: case K_NORM: return s->qk_norm ? s->head_dim : 0;
    case QKV_BIAS: return s->attention_bias ? read : 0;
    case OUT_BIAS: return s->attention_bias ? s->width : 0;
    case GATE: case UP: return s->units;
    case GATE_BIAS: case UP_BIAS: return s->ffn_bias ? s->units : 0;
    case DOWN_BIAS: return s->ffn_bias ? s->width : 0;
    default: return 0;
    }
}

static struct matrix *matrix_of(struct kernel *k, struct layer *l, int part) {
    switch (part) {
    case EMBEDDING: return &k->embedding;
    case HEAD: return &k->head;
    case QKV: return &l->qkv;
    case OUT: return &l->out;
    case GATE: return &l->gate;
    case UP: return &l->up;
    case DOWN: return &l->down;
    default: return NULL;
    }
}

static float *vector_of(struct kernel *k, struct layer *l, int part) {
    switch (part) {
    case FINAL_NORM: return k->final_norm;
    case ATTENTION_NORM: return l->attention_norm;
    case FFN_NORM: return l->ffn_norm;
    case Q_NORM: return l->q_norm;
    case K_NORM: return l->k_norm;
    case QKV_BIAS: return l->qkv.bias;
    case OUT_BIAS: return l->out.bias;
    case GATE_BIAS: return l->gate.bias;
    case UP_BIAS: return l->up.bias;
    default: return l->down.bias;
    }
}

/* Some lines of a matrix as the caller has them. */
struct source {
    const void *data;
    int number;
    int64_t stride; /* elements from one line to the next */
};

static float at(struct source from, int row, int column) {
    const int64_t place = row * from.stride + column;
    if (from.number == NUMBER_16) return half_to_float(((const uint16_t *)from.data)[place]);
    if (from.number == NUMBER_32) return ((const float *)from.data)[place];
    const uint32_t bits = (uint32_t)((const uint16_t *)from.data)[place] << 16; /* BF16 is the upper half of FP32 */
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static int fits(struct source from, int rows, int columns) {
    if (from.number == NUMBER_16) {
        int beyond = 0;
        for (int row = 0; row < rows; row++)
            for (int c = 0; c < columns; c++)
                beyond |= (((const uint16_t *)from.data)[row * from.stride + c] & 0x7c00) == 0x7c00;
        return !beyond;
    }
    for (int row = 0; row < rows; row++)
        for (int c = 0; c < columns; c++)
            if (!(fabsf(at(from, row, c)) <= MOST_HALF)) return 0; /* nor does a NaN */
    return 1;
}

static void pack_half(struct matrix *m, struct source from, int first_row, int first_column, int rows, int columns) {
    for (int row = 0; row < rows; row++) {
        const size_t n = (size_t)(first_row + row);
        uint16_t *lane = (uint16_t *)m->data + n / PANEL * (size_t)m->columns * PANEL + n % PANEL;
        lane += (size_t)first_column * PANEL;
        if (from.data && from.number == NUMBER_16)
            for (int c = 0; c < columns; c++)
                lane[(size_t)c * PANEL] = ((const uint16_t *)from.data)[row * from.stride + c];
        else
            for (int c = 0; c < columns; c++) lane[(size_t)c * PANEL] = from.data ? float_to_half(at(from, row, c)) : 0;
    }
}

/* Symmetric: the largest weight of a row's group becomes +-127. */
static void pack_bytes(struct matrix *m, struct source from, int first_row, int rows) {
    const int groups = (m->columns + m->group - 1) / m->group;
    for (int row = 0; row < rows; row++) {
        const size_t n = (size_t)(first_row + row), panel = n / PANEL, lane = n % PANEL;
        int8_t *data = (int8_t *)m->data + panel * (size_t)m->columns * PANEL + lane;
        for (int g = 0; g < groups; g++) {
            const int end = m->columns - g * m->group > m->group ? (g + 1) * m->group : m->columns;
            float most = 0;
            for (int c = g * m->group; c < end; c++) most = fmaxf(most, fabsf(at(from, row, c)));
            const float scale = most / 127.0f, turns = scale > 0 ? 1.0f / scale : 0;
            m->scale[(panel * (size_t)groups + (size_t)g) * PANEL + lane] = scale;
            for (int c = g * m->group; c < end; c++) data[(size_t)c * PANEL] = (int8_t)lrintf(at(from, row, c) * turns);
        }
    }
}

int kernel_put(struct kernel *k, int layer, int part, const void *data, int number, int first_row, int rows,
               int columns, int64_t stride) {
    if (part < 0 || part >= PARTS || !data || layer < 0 || layer >= k->shape.layers) return FAILED_ARGUMENT;
    if (number < NUMBER_32 || number > NUMBER_B16) return FAILED_ARGUMENT;
    const int all = part_rows(&k->shape, layer, part);
    if (rows < 1 || first_row < 0 || rows > all || first_row > all - rows) return FAILED_ARGUMENT;
    const struct source from = {data, number, stride};
    struct layer *l = &k->layers[layer];
    struct matrix *m = matrix_of(k, l, part);
    if (columns != (m ? m->columns : 1) || stride < columns) return FAILED_ARGUMENT;
    if (!fits(from, rows, columns)) return FAILED_NUMBER;
    float *vector = m ? NULL : vector_of(k, l, part) + first_row;
    if (m && m->bits == 8) pack_bytes(m, from, first_row, rows);
    else if (m) pack_half(m, from, first_row, 0, rows, columns);
    else
        for (int i = 0; i < rows; i++) vector[i] = at(from, i, 0);
    uint8_t *there = k->there[layer * PARTS + part] + first_row;
    for (int i = 0; i < rows; i++) k->missing -= !there[i], there[i] = 1;
    return 0;
}

int64_t kernel_missing(const struct kernel *k, int *layer, int *part) {
    for (int place = 0; k->missing && place < k->shape.layers * PARTS; place++)
        for (int row = 0; row < part_rows(&k->shape, place / PARTS, place % PARTS); row++)
            if (!k->there[place][row]) {
                *layer = place / PARTS, *part = place % PARTS;
                return k->missing;
            }
    return k->missing;
}

/* The numbers of one row, or one number of a vector. */
static void take_row(const struct matrix *m, size_t row, float *values) {
    const size_t panel = row / PANEL, lane = row % PANEL, columns = (size_t)m->columns;
    const size_t groups = (columns + (size_t)m->group - 1) / (size_t)m->group;
    for (size_t c = 0; c < columns; c++) {
        const size_t place = (panel * columns + c) * PANEL + lane;
        values[c] = m->bits == 16 ? half_to_float(((const uint16_t *)m->data)[place])
                                  : (float)((const int8_t *)m->data)[place] *
                                        m->scale[(panel * groups + c / (size_t)m->group) * PANEL + lane];
    }
}

int kernel_take(const struct kernel *k, int part, int first_row, int rows, int columns, float *values) {
    const struct matrix *m = part == HEAD && !k->shape.tied ? &k->head : &k->embedding;
    const int all = part == FINAL_NORM ? k->shape.width : m->rows;
    if (part < EMBEDDING || part > FINAL_NORM || columns != (part == FINAL_NORM ? 1 : m->columns)) return FAILED_ARGUMENT;
    if (rows < 1 || first_row < 0 || rows > all || first_row > all - rows) return FAILED_ARGUMENT;
    if (k->missing) return FAILED_MISSING;
    if (part == FINAL_NORM) memcpy(values, k->final_norm + first_row, sizeof(float) * (size_t)rows);
    else
        for (int row = 0; row < rows; row++)
            take_row(m, (size_t)(first_row + row), values + (size_t)row * (size_t)columns);
    return 0;
}

static void count_taught(const struct kernel *k, struct layer *l) {
    l->taught = 0;
    for (int unit = 0; unit < k->shape.spare && !l->taught; unit++) l->taught = l->adds[unit] && !k->closed[unit];
}

int kernel_attach(struct kernel *k, int layer, int first, int count, const void *gate, const void *up,
                  const void *down, int number, int64_t stride) {
    const int spare = k->shape.spare, C = k->shape.width;
    if (layer < 0 || layer >= k->shape.layers || first < 0 || count < 0 || first > spare - count) return FAILED_ARGUMENT;
    if (!gate != !up || !gate != !down || (down && stride < count)) return FAILED_ARGUMENT;
    if (number < NUMBER_32 || number > NUMBER_B16) return FAILED_ARGUMENT;
    const struct source gates = {gate, number, C}, ups = {up, number, C}, downs = {down, number, stride};
    if (gate && !(fits(gates, count, C) && fits(ups, count, C) && fits(downs, C, count))) return FAILED_NUMBER;
    struct layer *l = &k->layers[layer];
    pack_half(&l->spare_gate, gates, first, 0, count, C);
    pack_half(&l->spare_up, ups, first, 0, count, C);
    pack_half(&l->spare_down, downs, 0, first, C, count);
    for (int unit = first; unit < first + count; unit++) { /* its column of the panels below each other */
        const uint16_t *down = (const uint16_t *)l->spare_down.data + (size_t)unit * PANEL;
        int adds = 0;
        for (int c = 0; c < C && gate && !adds; c++)
            adds = (down[(size_t)(c / PANEL) * (size_t)spare * PANEL + c % PANEL] & 0x7fff) != 0;
        l->adds[unit] = (uint8_t)adds;
    }
    count_taught(k, l);
    return 0;
}

int kernel_admit(struct kernel *k, int first, int count, const uint8_t *admitted) {
    const int spare = k->shape.spare;
    if (first < 0 || count < 0 || first > spare - count) return FAILED_ARGUMENT;
    for (int unit = 0; unit < count; unit++) k->closed[first + unit] = admitted && !admitted[unit];
    k->closes = memchr(k->closed, 1, (size_t)spare) != NULL;
    for (int layer = 0; layer < k->shape.layers; layer++) count_taught(k, &k->layers[layer]);
    return 0;
}
