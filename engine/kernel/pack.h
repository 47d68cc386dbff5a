/* Which parts a model of a shape has, for model.c to make room for. */
#ifndef PACK_H
#define PACK_H

#include "kernel.h"

/* Rows of a part of a layer, elements of a vector; 0 where this shape has no such part there. */
int part_rows(const struct kernel_shape *shape, int layer, int part);

#endif
