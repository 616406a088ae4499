/*
 * code.h - how a mapped vector is written down twice: as a row of the store, and as signs in a
 * posting.
 *
 * The row
 *
 *   Twelve bits for each dimension: x = scale * v with v = 16 * high + low - 8, high a signed
 *   byte and low four bits. The high byte alone is v rounded to a multiple of 16. The scale is the
 *   row's own, so that its largest value just fits. Low nibbles lie as the kernels want them:
 *   of 32 dimensions the first half in the low nibbles of 16 bytes, the second in the high ones.
 *   Rows are what everything else is made from again: vectors stay on disk.
 *
 * The signs
 *
 *   r = x - c is what a posting's centroid c leaves of x, and s its signs, plus or minus one. With
 *   a = |r|^2 / sum |r_i|, a * s is the best stand-in for r that signs allow (RaBitQ's estimator;
 *   J. Gao and C. Long, "RaBitQ: quantizing high-dimensional vectors with a theoretical error bound
 *   for approximate nearest neighbor search"), and so
 *
 *       |x - q|^2 = |r|^2 + |c - q|^2 + 2 <r,c> - 2 <r,q>
 *                 ~ |r|^2 + 2a <s,c>          (add: the vector's)
 *                 + |c - q|^2                 (offset: the posting's and the query's)
 *                 - 2a <s,q>                  (factor -2a, and one table for the query)
 *
 *   What errs is <s,q-c>, with a deviation of about 0.6 |q-c| in units in which signs are one;
 *   so a bound that holds nearly always gives <s,q> that much slack. Factors are halves. One
 *   that does not fit makes the bound minus infinity or so: such a vector is always looked at.
 *
 * A block holds FR_BLOCK_VECTORS vectors' signs: a row of 64 bytes for each 32 dimensions, in it
 * four bytes for each vector, in byte t the group of four dimensions 4t in the low nibble and 16 +
 * 4t in the high one; then the adds, then the factors.
 */
#ifndef FR_SPFRESH_CODE_H
#define FR_SPFRESH_CODE_H

#include "spfresh/kernels.h"

/* The slack for one standard deviation, and a distance of one. */
#define FR_CODE_DEVIATION 0.6f

static inline size_t fr_row_low_size(size_t dims)
{
    return dims / 2;
}

static inline size_t fr_block_size(size_t dims)
{
    return dims / FR_CODE_DIMS * FR_BLOCK_ROW_SIZE + FR_BLOCK_TAIL_SIZE;
}

static inline size_t fr_query_table_size(size_t dims)
{
    return dims / FR_CODE_DIMS * FR_TABLE_ROW_SIZE;
}

/* Write down dims floats, and answer the scale. */
float fr_row_encode(const float *x, size_t dims, int8_t *ret_high, uint8_t *ret_low);

/* The same, but so that the high bytes say it all: what centroids are. */
float fr_row_encode_coarse(const float *x, size_t dims, int8_t *ret_high, uint8_t *ret_low);

void fr_row_decode(const int8_t *high, const uint8_t *low, float scale, size_t dims, float *ret_x);

/* Write a vector's signs and factors into a lane of a block, and answer |x - c|^2. */
float fr_block_put(uint8_t *block, size_t lane, const float *x, const float *centroid, size_t dims);

/* The same again, of a vector that is in a lane of another block of the same posting. */
void fr_block_copy(uint8_t *block, size_t lane, const uint8_t *from, size_t from_lane,
        size_t block_size);

/* Make a lane's bound as high as can be, whatever the query. */
void fr_block_hide(uint8_t *block, size_t block_size, size_t lane);

/* Fill a query's table, of fr_query_table_size, and what turns its sums into <s,q>. */
void fr_query_table_fill(const float *query, size_t dims, uint8_t *ret_table, float *ret_step,
        float *ret_base);

#endif
