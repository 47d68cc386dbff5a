/* Which instruction sets this CPU has. */
#include <string.h>

#include "isa.h"
#include "kernel.h"

static int list(const struct isa *found[4]) {
    int n = 0;
#if defined(__x86_64__)
    __builtin_cpu_init();
    /* GCC and Clang ask the operating system as well: registers that it does not save do not count. */
    const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl"))
        found[n++] = &isa_avx512;
    if (avx2) found[n++] = &isa_avx2;
#elif defined(__aarch64__)
    found[n++] = &isa_neon;
#endif
    found[n++] = &isa_plain;
    return n;
}

const struct isa *isa_choose(const char *name) {
    const struct isa *found[4];
    const int n = list(found);
    for (int i = 0; i < n; i++)
        if (!name || !strcmp(name, found[i]->name)) return found[i];
    return NULL;
}

const char *kernel_isas(void) {
    static char names[64]; /* the same bytes from every thread */
    const struct isa *found[4];
    const int n = list(found);
    size_t at = 0;
    for (int i = 0; i < n; i++) {
        const size_t length = strlen(found[i]->name);
        memcpy(names + at, found[i]->name, length);
        at += length;
        names[at++] = i + 1 < n ? ' ' : 0;
    }
    return names;
}
