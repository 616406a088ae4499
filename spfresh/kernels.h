/*
 * kernels.h - the inner loops of the index, one table of them for each instruction set.
 *
 * The scalar table is the definition. The others give the same answers bit for bit: sums of floats
 * run in FR_LANES lanes, element i in lane i modulo FR_LANES, each step one fused multiplication
 * and addition; then the lanes are added in the order that fr_lanes_fold has. So the same history
 * builds the same index on any machine, and a test compares for equality.
 *
 * Codes have a number of dimensions that FR_CODE_DIMS divides; plain vectors have any. Nothing has
 * to be aligned. Floats are finite. Any thread.
 */
#ifndef FR_SPFRESH_KERNELS_H
#define FR_SPFRESH_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#define FR_LANES     64
#define FR_CODE_DIMS 32 /* as many as a row of a block holds of each of its vectors */

/* Vectors in a block of a posting, and the bytes of one row of it (spfresh/block.h). */
#define FR_BLOCK_VECTORS   16
#define FR_BLOCK_ROW_SIZE  64
#define FR_TABLE_ROW_SIZE  128 /* the query's table for one row */
#define FR_BLOCK_TAIL_SIZE 64  /* two factors of 16 bits for each vector */

/* a·b, a·a and b·b: what an angle is made of. */
struct fr_dots {
    float ab, aa, bb;
};

/* What signs and factors are made of: of r = x - c, with s the signs of r. */
struct fr_residual {
    float square;    /* |r|^2 */
    float magnitude; /* sum |r_i| */
    float signed_c;  /* <s,c> */
};

/*
 * How a block's sums become bounds. With <s,q> = step * sum + base the signs' inner product with
 * the query, a vector's bound is
 *
 *     add + offset + factor * (<s,q> + slack)
 *
 * where add and factor are the vector's own. Those not above the limit are wanted.
 */
struct fr_scan {
    const uint8_t *table; /* FR_TABLE_ROW_SIZE bytes for each row */
    size_t row_count;
    float step, base;
    float offset, slack, limit;
};

struct fr_kernels {
    const char *name;
    uint64_t needs; /* features, see base/cpu.h */

    float (*l2)(const float *a, const float *b, size_t n); /* squared */
    float (*dot)(const float *a, const float *b, size_t n);
    struct fr_dots (*dots)(const float *a, const float *b, size_t n);

    int32_t (*dot_i8)(const int8_t *a, const int8_t *b, size_t dims);
    /*
     * Of a query and a row of the store, whose vector is scale times the codes: by the high eight
     * bits alone (times 16), or by all twelve. By l2_row8 a search measures rows first and asks
     * whether they are alive then, so a writer may be filling them with another vector.
     */
    float (*l2_row8)(const float *query, const int8_t *high, float scale, size_t dims);
    float (*dot_row8)(const float *query, const int8_t *high, float scale, size_t dims);
    float (*l2_row12)(const float *query, const int8_t *high, const uint8_t *low, float scale,
            size_t dims);
    float (*dot_row12)(const float *query, const int8_t *high, const uint8_t *low, float scale,
            size_t dims);

    /*
     * The bounds of one block's vectors, and a bit for each that is wanted. Lanes that no vector
     * has are answered too: it's the caller who knows how many there are. A writer may be filling
     * those meanwhile.
     */
    uint32_t (*scan)(const uint8_t *block, const struct fr_scan *scan,
            float ret_bounds[FR_BLOCK_VECTORS]);

    /*
     * Of the first count vectors of a run of blocks those that are wanted: their bounds, and their
     * places in the run, in order. The answer is how many. Both have room for all vectors of the
     * blocks, and what lies behind the answer may have been written to.
     */
    size_t (*scan_run)(const uint8_t *blocks, size_t count, const struct fr_scan *scan,
            float *ret_bounds, uint32_t *ret_places);

    /* How many values are not above a limit. */
    size_t (*count_within)(const float *values, size_t n, float limit);

    /* What a centroid leaves of a vector, and its signs, a bit each; zero counts as plus. */
    struct fr_residual (*residual)(const float *x, const float *c, size_t dims,
            uint32_t *ret_signs);

    /* Hadamard's transform of n floats in place, not scaled. n is a power of two. */
    void (*hadamard)(float *x, size_t n);
};

/* The best that this machine has: chosen at the first call. */
const struct fr_kernels *fr_kernels_get(void);

/* All that the features in use allow, best last, the definition first; NULL when there are no more.
 */
const struct fr_kernels *fr_kernels_variants(size_t index);

#endif
