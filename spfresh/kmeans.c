#include "spfresh/kmeans.h"

#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"
#include "base/rng.h"

#define ITERATIONS 10

/* Of two groups the smaller has so large a part at least. */
#define SMALLEST_PART 5

struct grouping {
    const struct fr_kernels *kernels;
    const float *vectors;
    size_t count, dims, k;
    float *scratch;
    float *centroids;
    uint32_t *groups;
};

void fr_mean(const float *vectors, size_t count, size_t dims, float *ret_mean)
{
    memset(ret_mean, 0, dims * sizeof(float));
    for (size_t n = 0; n < count; n++)
        for (size_t i = 0; i < dims; i++)
            ret_mean[i] += vectors[n * dims + i];
    for (size_t i = 0; i < dims; i++)
        ret_mean[i] /= (float)count;
}

static const float *vector(const struct grouping *g, size_t n)
{
    return g->vectors + n * g->dims;
}

/* A vector drawn with a chance in proportion to its square distance from the nearest centroid so
 * far. */
static size_t draw(const struct grouping *g, struct fr_rng *rng, double total)
{
    double left = fr_rng_double(rng) * total;

    for (size_t n = 0; n < g->count; n++) {
        left -= (double)g->scratch[n];
        if (left < 0) return n;
    }
    for (size_t n = g->count; n-- > 0;)
        if (g->scratch[n] > 0) return n;
    return 0;
}

/* The answer is how many centroids differ. */
static size_t seed_centroids(struct grouping *g, struct fr_rng *rng)
{
    size_t chosen = fr_rng_below(rng, g->count);

    for (size_t n = 0; n < g->count; n++)
        g->scratch[n] = INFINITY;
    for (size_t made = 0;; made++) {
        double total = 0;

        if (made == g->k) return made;
        memcpy(g->centroids + made * g->dims, vector(g, chosen), g->dims * sizeof(float));
        for (size_t n = 0; n < g->count; n++) {
            float distance = g->kernels->l2(vector(g, n), vector(g, chosen), g->dims);

            g->scratch[n] = fminf(g->scratch[n], distance);
            total += (double)g->scratch[n];
        }
        if (!(total > 0)) return made + 1;
        chosen = draw(g, rng, total);
    }
}

static bool assign(struct grouping *g)
{
    bool changed = false;

    for (size_t n = 0; n < g->count; n++) {
        uint32_t best = 0;
        float least = INFINITY;

        for (uint32_t group = 0; group < g->k; group++) {
            float distance = g->kernels->l2(vector(g, n), g->centroids + group * g->dims, g->dims);
            if (distance >= least) continue;
            least = distance;
            best = group;
        }
        changed |= g->groups[n] != best;
        g->groups[n] = best;
    }
    return changed;
}

static size_t group_size(const struct grouping *g, uint32_t group)
{
    size_t size = 0;

    for (size_t n = 0; n < g->count; n++)
        size += g->groups[n] == group;
    return size;
}

static float *centroid(const struct grouping *g, uint32_t group)
{
    return g->centroids + group * g->dims;
}

static void add(float *sum, const float *x, size_t dims)
{
    for (size_t i = 0; i < dims; i++)
        sum[i] += x[i];
}

/* A group without vectors keeps its centroid. */
static void update(struct grouping *g)
{
    for (uint32_t group = 0; group < g->k; group++)
        if (group_size(g, group) > 0) memset(centroid(g, group), 0, g->dims * sizeof(float));
    for (size_t n = 0; n < g->count; n++)
        add(centroid(g, g->groups[n]), vector(g, n), g->dims);
    for (uint32_t group = 0; group < g->k; group++) {
        float size = (float)group_size(g, group);

        for (size_t i = 0; size > 0 && i < g->dims; i++)
            centroid(g, group)[i] /= size;
    }
}

/* How much nearer a vector is to the first of two centroids. */
static float preference(const struct grouping *g, size_t n)
{
    return g->kernels->l2(vector(g, n), g->centroids + g->dims, g->dims) -
           g->kernels->l2(vector(g, n), g->centroids, g->dims);
}

/* Those of the larger group that mind least change over, until the smaller is large enough. */
static void even_out(struct grouping *g)
{
    size_t first = group_size(g, 0), least = g->count / SMALLEST_PART;
    uint32_t large = 2 * first >= g->count ? 0 : 1;
    size_t small_size = FR_MIN(first, g->count - first);

    for (size_t n = 0; n < g->count; n++)
        g->scratch[n] = large == 0 ? preference(g, n) : -preference(g, n);
    for (; small_size < least; small_size++) {
        size_t next = g->count;

        for (size_t n = 0; n < g->count; n++)
            if (g->groups[n] == large && (next == g->count || g->scratch[n] < g->scratch[next]))
                next = n;
        g->groups[next] = 1 - large;
    }
    update(g);
}

/* Groups without vectors go: the last ones take their places. */
static size_t drop_empty(struct grouping *g)
{
    for (uint32_t group = 0; group < g->k;) {
        if (group_size(g, group) > 0) {
            group++;
            continue;
        }
        uint32_t last = (uint32_t)--g->k;
        memmove(g->centroids + group * g->dims, g->centroids + last * g->dims,
                g->dims * sizeof(float));
        for (size_t n = 0; n < g->count; n++)
            if (g->groups[n] == last) g->groups[n] = group;
    }
    return g->k;
}

/* NOLINTBEGIN(readability-non-const-parameter): they are filled by way of the struct */
size_t fr_kmeans(const struct fr_kernels *kernels, const float *vectors, size_t count, size_t dims,
        size_t k, uint64_t seed, float *scratch, float *ret_centroids, uint32_t *ret_groups)
{
    /* NOLINTEND(readability-non-const-parameter) */
    struct grouping g = {.kernels = kernels,
            .vectors = vectors,
            .count = count,
            .dims = dims,
            .k = k,
            .scratch = scratch,
            .centroids = ret_centroids,
            .groups = ret_groups};
    struct fr_rng rng;

    FR_ASSERT(count > 0);
    FR_ASSERT(k > 0);
    fr_rng_init(&rng, seed);
    g.k = seed_centroids(&g, &rng);
    memset(ret_groups, 0, count * sizeof(*ret_groups));
    for (int i = 0; i < ITERATIONS && (assign(&g) || i == 0); i++)
        update(&g);
    if (drop_empty(&g) == 2) even_out(&g);
    return g.k;
}
