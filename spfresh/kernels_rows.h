/*
 * kernels_rows.h - the loops over rows of the store, for the sets of instructions whose registers
 * make up the lanes. A set defines struct lanes with fold, VALUE_REGISTERS, load_row8 and
 * load_row12, broadcast, add_values_l2 and add_values_dot.
 *
 * Not alone: it is part of kernels_avx2.c, kernels_avx512.c and kernels_neon.c.
 */
#ifndef FR_SPFRESH_KERNELS_ROWS_H
#define FR_SPFRESH_KERNELS_ROWS_H

FR_RACES static float l2_row8(const float *query, const int8_t *high, float scale, size_t dims)
{
    struct lanes lanes = {0};
    size_t i = 0;

    for (; i + FR_LANES <= dims; i += FR_LANES) {
        add_values_l2(&lanes, 0, query + i, load_row8(high + i), broadcast(scale));
        add_values_l2(&lanes, VALUE_REGISTERS, query + i + FR_CODE_DIMS,
                load_row8(high + i + FR_CODE_DIMS), broadcast(scale));
    }
    if (i < dims) add_values_l2(&lanes, 0, query + i, load_row8(high + i), broadcast(scale));
    return fold(&lanes);
}

static float dot_row8(const float *query, const int8_t *high, float scale, size_t dims)
{
    struct lanes lanes = {0};
    size_t i = 0;

    for (; i + FR_LANES <= dims; i += FR_LANES) {
        add_values_dot(&lanes, 0, query + i, load_row8(high + i));
        add_values_dot(&lanes, VALUE_REGISTERS, query + i + FR_CODE_DIMS,
                load_row8(high + i + FR_CODE_DIMS));
    }
    if (i < dims) add_values_dot(&lanes, 0, query + i, load_row8(high + i));
    return scale * fold(&lanes);
}

static float l2_row12(const float *query, const int8_t *high, const uint8_t *low, float scale,
        size_t dims)
{
    struct lanes lanes = {0};
    size_t i = 0;

    for (; i + FR_LANES <= dims; i += FR_LANES) {
        add_values_l2(&lanes, 0, query + i, load_row12(high + i, low + i / 2), broadcast(scale));
        add_values_l2(&lanes, VALUE_REGISTERS, query + i + FR_CODE_DIMS,
                load_row12(high + i + FR_CODE_DIMS, low + (i + FR_CODE_DIMS) / 2),
                broadcast(scale));
    }
    if (i < dims)
        add_values_l2(&lanes, 0, query + i, load_row12(high + i, low + i / 2), broadcast(scale));
    return fold(&lanes);
}

static float dot_row12(const float *query, const int8_t *high, const uint8_t *low, float scale,
        size_t dims)
{
    struct lanes lanes = {0};
    size_t i = 0;

    for (; i + FR_LANES <= dims; i += FR_LANES) {
        add_values_dot(&lanes, 0, query + i, load_row12(high + i, low + i / 2));
        add_values_dot(&lanes, VALUE_REGISTERS, query + i + FR_CODE_DIMS,
                load_row12(high + i + FR_CODE_DIMS, low + (i + FR_CODE_DIMS) / 2));
    }
    if (i < dims) add_values_dot(&lanes, 0, query + i, load_row12(high + i, low + i / 2));
    return scale * fold(&lanes);
}

#endif
