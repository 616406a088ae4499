/* bench of internals: it reads vectors, and uses the kernels to see who is nearest. */
#include "bench/ann_data.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "spfresh/kernels.h"

#define CENTRES         1000
#define FLAT_DIMS       16
#define THREADS_MAX     64
#define QUERIES_AT_ONCE 16

const char *const ann_kind_names[ANN_KINDS] = {
        "clustered", "flat", "sphere", "drift", "duplicates"};

static float *room_for(size_t count, size_t dimension)
{
    float *vectors = fr_alloc(count * dimension * sizeof(float) + 1);

    if (vectors == NULL) ann_die("no memory for %zu vectors", count);
    return vectors;
}

/* Box and Muller's: two evenly distributed numbers make a normal one. */
static float normal(struct fr_rng *rng)
{
    double u = 1 - fr_rng_double(rng), v = fr_rng_double(rng);

    return (float)(sqrt(-2 * log(u)) * cos(2 * 3.14159265358979323846 * v));
}

static void fill_normal(struct fr_rng *rng, float *x, size_t n, float deviation)
{
    for (size_t i = 0; i < n; i++)
        x[i] = deviation * normal(rng);
}

/* What vectors are made from. */
struct maker {
    struct fr_rng rng;
    enum ann_kind kind;
    size_t dimension, count;
    float *centres; /* or, if flat, the directions of the surface */
    float *courses; /* where the centres drift */
    float latent[FLAT_DIMS];
};

/* Few of the centres get most: the square of an even number prefers the first. */
static size_t pick_centre(struct maker *maker)
{
    double even = fr_rng_double(&maker->rng);

    return (size_t)(even * even * CENTRES);
}

static void make_clustered(struct maker *maker, float when, float *x)
{
    size_t centre = pick_centre(maker) * maker->dimension;

    for (size_t i = 0; i < maker->dimension; i++) {
        float drift = maker->courses == NULL ? 0 : when * maker->courses[centre + i];
        x[i] = maker->centres[centre + i] + drift + 0.5f * normal(&maker->rng);
    }
}

/* A curved surface: each direction's length is a wave of a latent sum. */
static void make_flat(struct maker *maker, float *x)
{
    fill_normal(&maker->rng, maker->latent, FLAT_DIMS, 1);
    for (size_t i = 0; i < maker->dimension; i++) {
        const float *direction = maker->centres + i * FLAT_DIMS;
        float sum = 0;

        for (size_t j = 0; j < FLAT_DIMS; j++)
            sum += direction[j] * maker->latent[j];
        x[i] = sinf(0.5f * sum) + 0.02f * normal(&maker->rng);
    }
}

static void make_one(struct maker *maker, float when, float *x)
{
    if (maker->kind == ANN_FLAT)
        make_flat(maker, x);
    else if (maker->kind == ANN_SPHERE)
        fill_normal(&maker->rng, x, maker->dimension, 1);
    else
        make_clustered(maker, when, x);
}

static void init_maker(struct maker *maker)
{
    size_t rows = maker->kind == ANN_FLAT ? FLAT_DIMS : CENTRES;
    size_t n = rows * maker->dimension;

    maker->centres = room_for(rows, maker->dimension);
    fill_normal(&maker->rng, maker->centres, n, 1);
    if (maker->kind != ANN_DRIFT) return;
    maker->courses = room_for(rows, maker->dimension);
    fill_normal(&maker->rng, maker->courses, n, 1);
}

/* Two of three are copies; of the same ones often, since low numbers are preferred. */
static bool make_copy(struct maker *maker, float *vectors, size_t n)
{
    if (maker->kind != ANN_DUPLICATES || n == 0 || fr_rng_below(&maker->rng, 3) == 0) return false;
    double even = fr_rng_double(&maker->rng);
    size_t from = (size_t)(even * even * even * (double)n);
    memcpy(vectors + n * maker->dimension, vectors + from * maker->dimension,
            maker->dimension * sizeof(float));
    return true;
}

void ann_make(enum ann_kind kind, size_t count, size_t query_count, size_t dimension, uint64_t seed,
        struct ann_set *ret_base, struct ann_set *ret_queries)
{
    struct maker maker = {.kind = kind, .dimension = dimension, .count = count};
    struct ann_set base = {room_for(count, dimension), count, dimension};
    struct ann_set queries = {room_for(query_count, dimension), query_count, dimension};

    fr_rng_init(&maker.rng, seed);
    init_maker(&maker);
    for (size_t n = 0; n < count; n++)
        if (!make_copy(&maker, base.vectors, n))
            make_one(&maker, (float)n / (float)count, base.vectors + n * dimension);
    for (size_t n = 0; n < query_count; n++)
        make_one(&maker, 1, queries.vectors + n * dimension);
    if (kind == ANN_SPHERE) {
        ann_normalise(&base);
        ann_normalise(&queries);
    }
    fr_free(maker.centres);
    fr_free(maker.courses);
    *ret_base = base;
    *ret_queries = queries;
}

/* What a file's name says of it. */
struct layout {
    const char *suffix;
    size_t value_size;
    bool has_rows_headed; /* the dimension stands in front of each row, not both in front of all */
};

static const struct layout layouts[] = {{".u8bin", 1, false}, {".fbin", 4, false},
        {".ibin", 4, false}, {".bvecs", 1, true}, {".fvecs", 4, true}, {".ivecs", 4, true}};

static const struct layout *layout_of(const char *path)
{
    for (size_t i = 0; i < FR_ARRAY_COUNT(layouts); i++) {
        size_t length = strlen(path), end = strlen(layouts[i].suffix);
        if (length >= end && strcmp(path + length - end, layouts[i].suffix) == 0)
            return &layouts[i];
    }
    ann_die("%s: none of .u8bin, .fbin, .fvecs, .bvecs, .ibin, .ivecs", path);
}

struct rows {
    const char *path;
    const struct layout *layout;
    FILE *file;
    uint32_t count, dimension; /* no count if rows are headed: as many as there are */
    void *row;
};

static struct rows open_rows(const char *path)
{
    struct rows rows = {.path = path, .layout = layout_of(path), .file = fopen(path, "rb")};
    uint32_t head[2];

    if (rows.file == NULL || fread(head, sizeof(uint32_t), 2, rows.file) != 2)
        ann_die("%s: cannot be read", path);
    if (rows.layout->has_rows_headed) {
        rewind(rows.file);
        rows.count = UINT32_MAX;
        rows.dimension = head[0];
    } else {
        rows.count = head[0];
        rows.dimension = head[1];
    }
    if (rows.dimension == 0 || rows.dimension > 1u << 16)
        ann_die("%s: %u is no dimension", path, rows.dimension);
    rows.row = fr_alloc(rows.dimension * rows.layout->value_size);
    if (rows.row == NULL) ann_die("no memory for a row");
    return rows;
}

static bool next_row(struct rows *rows)
{
    uint32_t dimension;

    if (rows->layout->has_rows_headed) {
        if (fread(&dimension, sizeof(dimension), 1, rows->file) != 1) return false;
        if (dimension != rows->dimension) ann_die("%s: rows differ in length", rows->path);
    }
    if (fread(rows->row, rows->layout->value_size, rows->dimension, rows->file) != rows->dimension)
        ann_die("%s: ends inside a row", rows->path);
    return true;
}

static void close_rows(struct rows *rows)
{
    fclose(rows->file);
    fr_free(rows->row);
}

static void to_floats(const struct rows *rows, float *x)
{
    if (rows->layout->value_size == sizeof(float)) {
        memcpy(x, rows->row, rows->dimension * sizeof(float));
        return;
    }
    for (size_t i = 0; i < rows->dimension; i++)
        x[i] = ((const uint8_t *)rows->row)[i];
}

void ann_read(const char *path, size_t limit, struct ann_set *ret_set)
{
    struct rows rows = open_rows(path);
    size_t most = limit > 0 && limit < rows.count ? limit : rows.count;
    size_t room = rows.layout->has_rows_headed ? 1024 : most;
    struct ann_set set = {room_for(room, rows.dimension), 0, rows.dimension};

    while (set.count < most && next_row(&rows)) {
        if (set.count == room) {
            room *= 2;
            set.vectors = fr_realloc(set.vectors, room * set.dimension * sizeof(float));
            if (set.vectors == NULL) ann_die("no memory for %s", path);
        }
        to_floats(&rows, set.vectors + set.count++ * set.dimension);
    }
    if (set.count == 0) ann_die("%s: is empty", path);
    close_rows(&rows);
    *ret_set = set;
}

void ann_normalise(struct ann_set *set)
{
    for (size_t n = 0; n < set->count; n++) {
        float *x = set->vectors + n * set->dimension;
        float length = sqrtf(fr_kernels_get()->dot(x, x, set->dimension));

        for (size_t i = 0; length > 0 && i < set->dimension; i++)
            x[i] /= length;
    }
}

float ann_distance(enum ann_metric metric, const float *a, const float *b, size_t dimension)
{
    const struct fr_kernels *kernels = fr_kernels_get();

    return metric == ANN_INNER_PRODUCT ? -kernels->dot(a, b, dimension)
                                       : kernels->l2(a, b, dimension);
}

static float farthest_listed(const struct rows *rows, const struct ann_set *base,
        const float *query, enum ann_metric metric, size_t k)
{
    const uint32_t *ids = rows->row;
    float farthest = -INFINITY;

    for (size_t i = 0; i < k; i++) {
        if (ids[i] >= base->count) ann_die("%s: the base has no vector %u", rows->path, ids[i]);
        farthest = fmaxf(farthest,
                ann_distance(metric, query, base->vectors + (size_t)ids[i] * base->dimension,
                        base->dimension));
    }
    return farthest;
}

static void read_truth(const char *path, const struct ann_set *base, const struct ann_set *queries,
        enum ann_metric metric, size_t k, float *ret_farthest)
{
    struct rows rows = open_rows(path);

    if (rows.dimension < k) ann_die("%s: has only %u neighbours each", path, rows.dimension);
    for (size_t q = 0; q < queries->count; q++) {
        if (q >= rows.count || !next_row(&rows)) ann_die("%s: has too few rows", path);
        ret_farthest[q] =
                farthest_listed(&rows, base, queries->vectors + q * base->dimension, metric, k);
    }
    close_rows(&rows);
}

/* The work of all who look at everything, in groups of queries: the base is read once for each. */
struct exact {
    const struct ann_set *base, *queries;
    enum ann_metric metric;
    size_t k;
    float *farthest;
    _Atomic(size_t) next; /* relaxed: it only deals out work */
};

/* nearest is sorted, and full from the start. */
static void insert(float *nearest, size_t k, float distance)
{
    size_t at = k - 1;

    if (!(distance < nearest[at])) return;
    for (; at > 0 && nearest[at - 1] > distance; at--)
        nearest[at] = nearest[at - 1];
    nearest[at] = distance;
}

static void look_at_all(struct exact *exact, size_t start, size_t count, float *nearest)
{
    size_t dimension = exact->base->dimension;

    for (size_t i = 0; i < count * exact->k; i++)
        nearest[i] = INFINITY;
    for (size_t n = 0; n < exact->base->count; n++)
        for (size_t i = 0; i < count; i++)
            insert(nearest + i * exact->k, exact->k,
                    ann_distance(exact->metric, exact->queries->vectors + (start + i) * dimension,
                            exact->base->vectors + n * dimension, dimension));
    for (size_t i = 0; i < count; i++)
        exact->farthest[start + i] = nearest[i * exact->k + exact->k - 1];
}

static void *run_exact(void *given)
{
    struct exact *exact = given;
    float *nearest = fr_alloc(QUERIES_AT_ONCE * exact->k * sizeof(float));
    size_t start;

    if (nearest == NULL) ann_die("no memory");
    while ((start = atomic_fetch_add_explicit(&exact->next, QUERIES_AT_ONCE,
                    memory_order_relaxed)) < exact->queries->count)
        look_at_all(exact, start, FR_MIN(exact->queries->count - start, (size_t)QUERIES_AT_ONCE),
                nearest);
    fr_free(nearest);
    return NULL;
}

void ann_truth(const char *path, const struct ann_set *base, const struct ann_set *queries,
        enum ann_metric metric, size_t k, unsigned threads, float *ret_farthest)
{
    struct exact exact = {
            .base = base, .queries = queries, .metric = metric, .k = k, .farthest = ret_farthest};
    pthread_t ids[THREADS_MAX];

    if (path != NULL) {
        read_truth(path, base, queries, metric, k, ret_farthest);
        return;
    }
    threads = FR_MIN(threads, (unsigned)THREADS_MAX);
    for (unsigned i = 0; i < threads; i++)
        if (pthread_create(&ids[i], NULL, run_exact, &exact) != 0) ann_die("cannot start a thread");
    for (unsigned i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
}
