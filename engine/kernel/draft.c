/* Guesses of what a model writes next: engine/draft.py says what for. What followed the same ids in the text itself, and
 * what a table says mostly follows them; each guess is of a kind, and of each kind the share that was right is known. */
#include <stdlib.h>
#include <string.h>

#include "kernel.h"

#define TEXT_ORDERS 2     /* lengths of the text's contexts, longest first */
#define MOST_ORDER 32     /* of any context */
#define TIMES 4           /* how often in succession the same id must have followed for nothing more to be learnt of it */
#define BUCKETS 16        /* of the table's probabilities */
#define PRIOR_WEIGHT 24.0 /* a prior counts as much as so many guesses */
#define MEMORY 512.0      /* an estimate of acceptance looks back over so many guesses */
#define RECENT 0.98       /* what a pass keeps of the weight of those before it, in the estimate of speed */
#define MOST_CONTEXTS (1 << 16) /* of the text: a very long one begins its index anew */
#define MOST_ID (1 << 28)

/* Of the two lengths: how often what followed follows again, before any of it was judged. */
static const double text_priors[TEXT_ORDERS] = {0.5, 0.35};

/* Both said the same; the text's guess against the table's, or alone; the table's against the text's, or alone. Within each
 * a kind says how firmly the text spoke, and how firmly the table. */
enum { NO_TEXT = TEXT_ORDERS * TIMES, NO_TABLE = BUCKETS, KINDS = (NO_TEXT + 1) * (NO_TABLE + 1) };
enum { AGREED = 0, TEXT_ALONE = KINDS, TABLE_ALONE = 2 * KINDS, ALL_KINDS = 3 * KINDS };

/* A context's hash is that of engine/draft_table.py: a polynomial of its ids modulo a prime, newest first. */
#define PRIME 4294967291u
#define FACTOR 1540483477u
#define TURN 668265263u

struct entry {
    uint32_t context;
    int32_t followed; /* the id that did last * TIMES + how often in succession, from 0; -1: an empty place */
};

struct drafter {
    struct draft_table table;
    double costs[MOST_GUESSES]; /* of each guess of a pass */
    int most;                   /* guesses of a pass */
    int text_orders[TEXT_ORDERS], reach;
    int64_t tail[MOST_ORDER]; /* the newest ids, the last one last */
    int length;               /* how many of them there are */
    struct entry *index;      /* a hash table of `room` places, a power of two; at most half of them are taken */
    size_t room, known;
    double accepted[ALL_KINDS], weight[ALL_KINDS]; /* the share of a kind's guesses that is right; from how many that is known */
    int64_t guesses[MOST_GUESSES];                 /* the newest, which were not judged yet; -1 of them: nothing was asked */
    int kinds[MOST_GUESSES], guessed;
    double written, spent; /* ids and costs of the passes of late, in passes of one position */
};

static uint32_t extended(uint32_t hashed, int64_t id) { return (uint32_t)((hashed + (uint64_t)id + 1) * FACTOR % PRIME); }

/* Hashes of the newest 1, 2, 3 ... ids, as many as a context may have; how many those are. */
static int hash_all(const int64_t *ids, int n, int reach, uint32_t *hashes) {
    uint32_t hashed = 0;
    n = n < reach ? n : reach;
    for (int i = 1; i <= n; i++) hashes[i] = hashed = extended(hashed, ids[-i]);
    return n;
}

static struct entry *place_of(const struct drafter *d, uint32_t context) {
    size_t place = (context * (uint64_t)0x9E3779B97F4A7C15u >> 32) & (d->room - 1);
    while (d->index[place].followed >= 0 && d->index[place].context != context) place = (place + 1) & (d->room - 1);
    return &d->index[place];
}

static void empty(struct drafter *d) {
    for (size_t i = 0; i < d->room; i++) d->index[i].followed = -1;
    d->known = 0;
}

/* Twice the room; without memory for it the index begins anew. */
static void grow(struct drafter *d) {
    struct entry *old = d->index, *wider = malloc(2 * d->room * sizeof *wider);
    const size_t room = d->room;
    if (!wider || d->known > MOST_CONTEXTS) {
        free(wider);
        empty(d);
        return;
    }
    d->index = wider;
    d->room = 2 * room;
    empty(d);
    for (size_t i = 0; i < room; i++)
        if (old[i].followed >= 0) *place_of(d, old[i].context) = old[i], d->known++;
    free(old);
}

static void learn(struct drafter *d, uint32_t context, int64_t id) {
    struct entry *entry = place_of(d, context);
    const int fresh = entry->followed < 0, again = !fresh && entry->followed / TIMES == id;
    const int times = again ? entry->followed % TIMES + 1 : 0;
    *entry = (struct entry){context, (int32_t)id * TIMES + (times < TIMES ? times : TIMES - 1)};
    d->known += (size_t)fresh;
    if (2 * d->known > d->room) grow(d);
}

static void take_in(struct drafter *d, int64_t id) {
    uint32_t hashes[MOST_ORDER + 1];
    const int n = hash_all(d->tail + d->length, d->length, d->reach, hashes);
    for (int i = 0; i < TEXT_ORDERS; i++)
        if (d->text_orders[i] && d->text_orders[i] <= n && id >= 0 && id < MOST_ID) learn(d, hashes[d->text_orders[i]], id);
    if (d->length == MOST_ORDER) memmove(d->tail, d->tail + 1, sizeof *d->tail * (size_t)(--d->length));
    d->tail[d->length++] = id;
}

/* What the table says mostly follows a context of this hash, and in which bucket its probability lies; -1: nothing. */
static int64_t find(const struct draft_table *t, uint32_t hashed, int *bucket) {
    const uint8_t tag = hashed >> 20 & 0xFF;
    for (int i = 0; i < 2; i++) {
        const uint64_t slot = (i ? hashed * (uint64_t)TURN % PRIME : hashed) % (uint64_t)t->slots;
        if (t->tags[slot] != tag || !t->sure[slot]) continue;
        *bucket = t->sure[slot] * BUCKETS >> 8;
        return t->id_bytes == 1 ? ((const uint8_t *)t->ids)[slot] : ((const uint16_t *)t->ids)[slot];
    }
    return -1;
}

/* The likelier of what text and table say, and of which kind it is; -1: neither says anything. */
static int64_t guess(const struct drafter *d, const uint32_t *hashes, int n, int *kind) {
    int64_t told = -1, listed;
    int firmly = NO_TEXT, bucket;
    for (int i = 0; i < TEXT_ORDERS && told < 0; i++) {
        if (!d->text_orders[i] || d->text_orders[i] > n) continue;
        const int32_t followed = place_of(d, hashes[d->text_orders[i]])->followed;
        if (followed >= 0) told = followed / TIMES, firmly = i * TIMES + followed % TIMES;
    }
    for (int i = 0; i < d->table.n_orders; i++) {
        if (d->table.orders[i] > n || (listed = find(&d->table, hashes[d->table.orders[i]], &bucket)) < 0) continue;
        *kind = firmly * (NO_TABLE + 1) + bucket;
        if (told == listed) return told; /* AGREED is 0 */
        if (d->accepted[TEXT_ALONE + *kind] > d->accepted[TABLE_ALONE + *kind]) return *kind += TEXT_ALONE, told;
        return *kind += TABLE_ALONE, listed;
    }
    *kind = TEXT_ALONE + firmly * (NO_TABLE + 1) + NO_TABLE;
    return told;
}

/* Before any was judged: as if text and table knew nothing of each other. */
static void expect(struct drafter *d) {
    for (int firmly = 0; firmly <= NO_TEXT; firmly++) {
        const double often = firmly < NO_TEXT ? 1 - firmly % TIMES / (2.0 * TIMES) : 0;
        const double text = firmly < NO_TEXT ? 1 - (1 - text_priors[firmly / TIMES]) * often : 0;
        for (int bucket = 0; bucket <= NO_TABLE; bucket++) {
            const double table = bucket < NO_TABLE ? (bucket + 0.5) / BUCKETS : 0;
            const int kind = firmly * (NO_TABLE + 1) + bucket;
            d->accepted[AGREED + kind] = 1 - (1 - text) * (1 - table);
            d->accepted[TEXT_ALONE + kind] = text * (1 - table) / (1 - text * table); /* both cannot be right */
            d->accepted[TABLE_ALONE + kind] = table * (1 - text) / (1 - text * table);
        }
    }
    for (int kind = 0; kind < ALL_KINDS; kind++) d->weight[kind] = PRIOR_WEIGHT;
}

int drafter_new(const struct draft_table *table, const int32_t *text_orders, const double *costs, int most,
                struct drafter **drafter) {
    struct drafter *d = calloc(1, sizeof *d);
    if (!d) return FAILED_MEMORY;
    *d = (struct drafter){.table = *table, .most = most, .room = 1024, .guessed = -1, .written = 1, .spent = 1};
    d->index = malloc(d->room * sizeof *d->index);
    int code = !d->index ? FAILED_MEMORY : 0;
    if (table->slots < 1 || table->n_orders < 0 || table->n_orders > MOST_ORDERS || most < 0 || most > MOST_GUESSES)
        code = FAILED_ARGUMENT;
    for (int i = 0; !code && i < TEXT_ORDERS + table->n_orders; i++) {
        const int order = i < TEXT_ORDERS ? text_orders[i] : table->orders[i - TEXT_ORDERS];
        code = order < (i < TEXT_ORDERS ? 0 : 1) || order > MOST_ORDER ? FAILED_ARGUMENT : 0;
        if (i < TEXT_ORDERS) d->text_orders[i] = order;
        if (order > d->reach) d->reach = order;
    }
    if (code) {
        drafter_free(d);
        return code;
    }
    memcpy(d->costs, costs, sizeof *costs * (size_t)most);
    empty(d);
    expect(d);
    *drafter = d;
    return 0;
}

void drafter_free(struct drafter *d) {
    if (d) free(d->index);
    free(d);
}

void drafter_begin(struct drafter *d, const int64_t *ids, int64_t n) {
    empty(d);
    d->length = 0;
    d->guessed = -1;
    for (int64_t i = 0; i < n; i++) take_in(d, ids[i]);
}

void drafter_wrote(struct drafter *d, const int64_t *ids, int n) {
    int right = 0;
    while (right < d->guessed && right < n && ids[right] == d->guesses[right]) right++;
    for (int i = 0; i < d->guessed && i <= right && i < n; i++) { /* those behind the first wrong one were not tried */
        const int kind = d->kinds[i];
        d->weight[kind] += d->weight[kind] < MEMORY;
        d->accepted[kind] += ((i < right) - d->accepted[kind]) / d->weight[kind];
    }
    if (d->guessed >= 0) {
        d->written = RECENT * d->written + n;
        d->spent = RECENT * d->spent + 1;
        for (int i = 0; i < d->guessed; i++) d->spent += d->costs[i];
    }
    d->guessed = -1;
    for (int i = 0; i < n; i++) take_in(d, ids[i]);
}

int drafter_guess(struct drafter *d, int most, int64_t *guesses) {
    const double pace = d->written / d->spent; /* ids that are written in the time of a pass of one position */
    double right = 1;                          /* probability that all guesses so far are */
    int64_t ids[MOST_ORDER + MOST_GUESSES];
    uint32_t hashes[MOST_ORDER + 1];
    int n = d->length, kind;
    memcpy(ids, d->tail, sizeof *ids * (size_t)n);
    d->guessed = 0;
    while (d->guessed < most && d->guessed < d->most) {
        const int64_t id = guess(d, hashes, hash_all(ids + n, n, d->reach, hashes), &kind);
        if (id < 0 || (right *= d->accepted[kind]) < d->costs[d->guessed] * pace) break;
        d->kinds[d->guessed] = kind;
        guesses[d->guessed] = d->guesses[d->guessed] = ids[n++] = id;
        d->guessed++;
    }
    return d->guessed;
}
