#include "tools/bench_data.h"

#include <inttypes.h>
#include <math.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/rng.h"
#include "tools/index_rows.h"
#include "tools/interrupt.h"
#include "tools/vector_file.h"

/* Of the surface that vectors lie near, and how far from it they are. */
#define SURFACE_DIMENSIONS 24
#define NOISE              0.15

static fr_status check_buf(const struct fr_buf *buf)
{
    return fr_buf_status(buf) < 0 ? FR_FAIL(FR_ERR_NOMEM, "no memory for the vectors") : FR_OK;
}

void fr_bench_data_deinit(struct fr_bench_data *data)
{
    fr_buf_deinit(&data->vectors);
    fr_buf_deinit(&data->queries);
}

/* --- Made --- */

/* Normally distributed (Box and Muller). */
static double normal(struct fr_rng *rng)
{
    double radius = sqrt(-2 * log(1 - fr_rng_double(rng)));

    return radius * cos(2 * 3.14159265358979323846 * fr_rng_double(rng));
}

/* axes has a row for each dimension of the surface. */
static void make_vector(struct fr_rng *rng, const float *axes, uint32_t dimension, float *to)
{
    for (uint32_t i = 0; i < dimension; i++)
        to[i] = (float)(NOISE * normal(rng));
    for (unsigned axis = 0; axis < SURFACE_DIMENSIONS; axis++) {
        float along = (float)normal(rng);
        const float *from = axes + (size_t)axis * dimension;
        for (uint32_t i = 0; i < dimension; i++)
            to[i] += along * from[i];
    }
}

static fr_status make_rows(struct fr_bench_data *data, struct fr_rng *rng, const float *axes,
        size_t count, struct fr_buf *to)
{
    uint8_t *at = fr_buf_extend(to, count * data->dimension * sizeof(float));

    if (at == NULL) return check_buf(to);
    for (size_t i = 0; i < count && !fr_interrupted(); i++)
        make_vector(rng, axes, data->dimension, (float *)(void *)at + i * data->dimension);
    return FR_OK;
}

fr_status fr_bench_data_make(struct fr_bench_data *data, uint64_t seed)
{
    size_t values = (size_t)SURFACE_DIMENSIONS * data->dimension;
    float *axes = fr_alloc(values * sizeof(*axes));
    struct fr_rng rng;
    fr_status st = FR_OK;

    if (axes == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to make vectors");
    fr_rng_init(&rng, seed);
    for (size_t i = 0; i < values; i++)
        axes[i] = (float)(normal(&rng) / sqrt(SURFACE_DIMENSIONS));
    FR_TRY(make_rows(data, &rng, axes, data->count, &data->vectors));
    FR_TRY(make_rows(data, &rng, axes, data->query_count, &data->queries));
out:
    fr_free(axes);
    return st;
}

/* --- From files --- */

static fr_status take_rows(struct fr_bench_data *data, struct fr_vector_reader *reader,
        const char *path, size_t most, struct fr_buf *to)
{
    struct fr_vector_row row;
    fr_status st = FR_OK;

    for (size_t i = 0; i < most && !fr_interrupted(); i++) {
        FR_TRY(fr_vector_reader_next(reader, &row));
        if (st == FR_END) break;
        if (data->dimension == 0) data->dimension = row.dimension;
        if (row.dimension != data->dimension)
            return FR_FAIL(FR_ERR_MISUSE,
                    "%s: %s: a vector of dimension %" PRIu32 ", where %" PRIu32 " is expected",
                    path, fr_vector_reader_place(reader), row.dimension, data->dimension);
        fr_buf_append(to, row.vector, row.dimension * sizeof(float));
    }
    st = check_buf(to);
out:
    return st;
}

static fr_status read_file(struct fr_bench_data *data, const char *path, const char *format,
        size_t most, struct fr_buf *to)
{
    struct fr_vector_reader *reader = NULL;
    fr_status st;

    FR_TRY(fr_vector_reader_open(path, format, fr_interrupted, &reader));
    FR_TRY(take_rows(data, reader, path, most, to));
    if (to->size == 0) st = FR_FAIL(FR_ERR_MISUSE, "%s: there is no vector in it", path);
out:
    fr_vector_reader_free(reader);
    return st;
}

fr_status fr_bench_data_read_queries(struct fr_bench_data *data, const char *path,
        const char *format)
{
    fr_status st;

    FR_TRY(read_file(data, path, format, data->query_count, &data->queries));
    FR_ASSERT(data->dimension > 0);
    data->query_count = data->queries.size / (data->dimension * sizeof(float));
out:
    return st;
}

/* The last vectors become the queries. */
static fr_status split_queries(struct fr_bench_data *data, const char *path)
{
    FR_ASSERT(data->dimension > 0);
    size_t row = data->dimension * sizeof(float), rows = data->vectors.size / row;

    if (rows <= data->query_count)
        return FR_FAIL(FR_ERR_MISUSE, "%s: has %zu vectors, which are not enough for %zu queries",
                path, rows, data->query_count);
    size_t size = data->query_count * row;
    data->vectors.size -= size;
    fr_buf_append(&data->queries, data->vectors.data + data->vectors.size, size);
    return check_buf(&data->queries);
}

fr_status fr_bench_data_read(struct fr_bench_data *data, const char *path, const char *format,
        const char *queries_path)
{
    size_t own = queries_path == NULL ? data->query_count : 0;
    fr_status st;

    data->dimension = 0;
    FR_TRY(read_file(data, path, format, data->count + own, &data->vectors));
    FR_TRY(queries_path == NULL ? split_queries(data, path)
                                : fr_bench_data_read_queries(data, queries_path, NULL));
    data->count = data->vectors.size / (data->dimension * sizeof(float));
out:
    return st;
}

/* --- Out of an index --- */

fr_status fr_bench_data_sample(struct fr_bench_data *data, struct fr_index_rows *rows,
        uint64_t row_count)
{
    uint64_t step = FR_MAX(row_count / data->query_count, (uint64_t)1);
    size_t wanted = data->query_count;
    struct fr_vector_row row;
    fr_status st = FR_OK;

    data->dimension = rows->options.dimension;
    data->query_count = 0;
    for (uint64_t i = 0; data->query_count < wanted && !fr_interrupted(); i++) {
        FR_TRY(fr_index_rows_next(rows, &row));
        if (st == FR_END) break;
        if (i % step != 0) continue;
        fr_buf_append(&data->queries, row.vector, row.dimension * sizeof(float));
        data->query_count++;
    }
    st = check_buf(&data->queries);
    if (st == FR_OK && data->query_count == 0)
        st = FR_FAIL(FR_ERR_MISUSE, "index \"%s\": there is no vector in it", rows->name);
out:
    return st;
}
