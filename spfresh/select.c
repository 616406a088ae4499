#include "spfresh/select.h"

#include <string.h>

#include "base/assert.h"
#include "base/compiler.h"

/* Below, insertion sorts. */
#define SMALL 16

/* Below, partitions alone do: to spread costs something for each bucket. */
#define SPREAD_MIN 40

#define BUCKETS 128

FR_INLINE bool before(struct fr_found a, struct fr_found b)
{
    return a.distance < b.distance || (a.distance == b.distance && a.slot < b.slot);
}

static void insert(struct fr_found *items, size_t size)
{
    for (size_t i = 1; i < size; i++) {
        struct fr_found item = items[i];
        size_t to = i;

        for (; to > 0 && before(item, items[to - 1]); to--)
            items[to] = items[to - 1];
        items[to] = item;
    }
}

static struct fr_found middle(struct fr_found a, struct fr_found b, struct fr_found c)
{
    if (before(b, a)) {
        struct fr_found swap = a;
        a = b;
        b = swap;
    }
    if (before(c, a)) return a;
    return before(c, b) ? c : b;
}

/* Hoare's, around the median of three: all before the answer are not after the pivot, all from it
 * on not before it. */
static size_t part(struct fr_found *items, size_t size)
{
    struct fr_found pivot = middle(items[0], items[size / 2], items[size - 1]);
    size_t low = 0, high = size - 1;

    for (;;) {
        while (before(items[low], pivot))
            low++;
        while (before(pivot, items[high]))
            high--;
        if (low >= high) return low > 0 ? low : 1;
        struct fr_found swap = items[low];
        items[low++] = items[high];
        items[high--] = swap;
    }
}

/* The first count of all, sorted. */
static void sort_first(struct fr_found *items, size_t size, size_t count)
{
    while (size > SMALL) {
        size_t cut = part(items, size);

        if (cut < count) {
            sort_first(items, cut, cut);
            items += cut;
            size -= cut;
            count -= cut;
        } else {
            size = cut;
        }
    }
    insert(items, size);
}

/* Where a distance belongs if they were spread evenly. */
struct spread {
    float least, scale;
};

static struct spread find_spread(const struct fr_found *found, size_t size)
{
    float least = found[0].distance, most = least;

    for (size_t i = 1; i < size; i++) {
        least = found[i].distance < least ? found[i].distance : least;
        most = found[i].distance > most ? found[i].distance : most;
    }
    float scale = most > least ? (BUCKETS - 1) / (most - least) : 0;
    return (struct spread){.least = least, .scale = scale < 1e30f ? scale : 0};
}

FR_INLINE size_t bucket_of(struct spread spread, float distance)
{
    return (size_t)((distance - spread.least) * spread.scale);
}

/* Into buckets, nearer ones first; answers where each ends. */
static void spread_out(struct fr_found *found, size_t size, struct fr_found *scratch,
        uint32_t ret_ends[BUCKETS])
{
    struct spread spread = find_spread(found, size);
    uint32_t sum = 0;

    memset(ret_ends, 0, BUCKETS * sizeof(ret_ends[0]));
    for (size_t i = 0; i < size; i++) {
        scratch[i] = found[i];
        ret_ends[bucket_of(spread, found[i].distance)]++;
    }
    for (size_t i = 0; i < BUCKETS; i++) {
        uint32_t start = sum;
        sum += ret_ends[i];
        ret_ends[i] = start;
    }
    for (size_t i = 0; i < size; i++)
        found[ret_ends[bucket_of(spread, scratch[i].distance)]++] = scratch[i];
}

/*
 * Of all buckets up to count. If the distances are spread well they are small, and what is out of
 * order is near to its place. A large one is sorted by itself, and the last of these only as far as
 * is wanted.
 */
static void sort_buckets(struct fr_found *found, size_t count, const uint32_t ends[BUCKETS])
{
    size_t end = 0, reach = 0;

    for (size_t i = 0; end < count; i++) {
        size_t start = end;

        end = reach = ends[i];
        if (end - start <= SMALL) continue;
        reach = FR_MIN(end, count);
        sort_first(found + start, end - start, reach - start);
    }
    insert(found, reach);
}

size_t fr_select_found(struct fr_found *found, size_t size, size_t count, struct fr_found *scratch)
{
    uint32_t ends[BUCKETS];

    count = FR_MIN(count, size);
    if (count == 0) return 0;
    if (size < SPREAD_MIN) {
        sort_first(found, size, count);
        return count;
    }
    spread_out(found, size, scratch, ends);
    sort_buckets(found, count, ends);
    return count;
}

/* Whole numbers in the order of the floats. */
FR_INLINE int32_t to_order(float value)
{
    int32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits ^ ((bits >> 31) & INT32_MAX);
}

FR_INLINE float from_order(int32_t order)
{
    int32_t bits = order ^ ((order >> 31) & INT32_MAX);
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

float fr_select_limit(const struct fr_kernels *kernels, const float *values, size_t size,
        size_t count, size_t most)
{
    int32_t low = INT32_MAX, high = INT32_MIN;

    FR_ASSERT(count > 0);
    FR_ASSERT(count <= size);
    for (size_t i = 0; i < size; i++) {
        int32_t order = to_order(values[i]);

        low = order < low ? order : low;
        high = order > high ? order : high;
    }
    /* The limit is between low and high; high would do. */
    while (low < high) {
        int32_t between = (int32_t)(low + ((int64_t)high - low) / 2);
        size_t within = kernels->count_within(values, size, from_order(between));

        if (within < count) {
            low = between + 1;
            continue;
        }
        high = between;
        if (within <= most) break;
    }
    return from_order(high);
}

static void sift_down(float *heap, size_t count)
{
    size_t at = 0;

    for (;;) {
        size_t child = 2 * at + 1;

        if (child >= count) return;
        if (child + 1 < count && heap[child + 1] > heap[child]) child++;
        if (heap[at] >= heap[child]) return;
        float swap = heap[at];
        heap[at] = heap[child];
        heap[child] = swap;
        at = child;
    }
}

void fr_heap_push(float *heap, size_t *count, size_t k, float value)
{
    if (*count == k) {
        if (k == 0 || value >= heap[0]) return;
        heap[0] = value;
        sift_down(heap, k);
        return;
    }
    size_t at = (*count)++;
    for (; at > 0 && heap[(at - 1) / 2] < value; at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = value;
}
