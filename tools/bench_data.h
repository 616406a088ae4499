/*
 * bench_data.h - vectors and queries for `freshet bench`: from files, out of an index, or made.
 *
 * What is made lies near a surface of few dimensions, as what models put out does: of values that
 * were all independent every vector would be about as far away as any other.
 */
#ifndef FR_TOOLS_BENCH_DATA_H
#define FR_TOOLS_BENCH_DATA_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/status.h"

struct fr_index_rows;

struct fr_bench_data {
    uint32_t dimension;
    size_t count, query_count;
    struct fr_buf vectors; /* floats, one vector after the other; queries likewise */
    struct fr_buf queries;
};

void fr_bench_data_deinit(struct fr_bench_data *data);

static inline const float *fr_bench_vector(const struct fr_bench_data *data, size_t i)
{
    return (const float *)(const void *)data->vectors.data + i * data->dimension;
}

static inline const float *fr_bench_query(const struct fr_bench_data *data, size_t i)
{
    return (const float *)(const void *)data->queries.data + i * data->dimension;
}

/* dimension, count and query_count are set; the rest is made. */
FR_NODISCARD fr_status fr_bench_data_make(struct fr_bench_data *data, uint64_t seed);

/*
 * Vectors from a file, count at the most, and queries from another one. Without that the last
 * query_count vectors of those are the queries, and not among the others. Sets what was unknown.
 */
FR_NODISCARD fr_status fr_bench_data_read(struct fr_bench_data *data, const char *path,
        const char *format, const char *queries_path);

/* Only queries: those of a file, or vectors of an index from all over it. */
FR_NODISCARD fr_status fr_bench_data_read_queries(struct fr_bench_data *data, const char *path,
        const char *format);
FR_NODISCARD fr_status fr_bench_data_sample(struct fr_bench_data *data, struct fr_index_rows *rows,
        uint64_t row_count);

#endif
