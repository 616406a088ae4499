#include "spfresh/select.h"

#include "base/compiler.h"

/* Below, insertion sorts. */
#define SMALL 16

FR_INLINE bool found_before(struct fr_found a, struct fr_found b)
{
    return a.distance < b.distance || (a.distance == b.distance && a.slot < b.slot);
}

FR_INLINE bool wanted_before(struct fr_wanted a, struct fr_wanted b)
{
    return a.bound < b.bound;
}

/*
 * The same three steps for each type: insertion, a partition around the median of three, and from
 * these a sort of the first count of all. What lies behind is only not less.
 */
#define DEFINE_SORT(name, type, before)                                                            \
    static void insert_##name(type *items, size_t size)                                            \
    {                                                                                              \
        for (size_t i = 1; i < size; i++) {                                                        \
            type item = items[i];                                                                  \
            size_t to = i;                                                                         \
                                                                                                   \
            for (; to > 0 && before(item, items[to - 1]); to--)                                    \
                items[to] = items[to - 1];                                                         \
            items[to] = item;                                                                      \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    static type middle_##name(type a, type b, type c)                                              \
    {                                                                                              \
        if (before(b, a)) {                                                                        \
            type swap = a;                                                                         \
            a = b;                                                                                 \
            b = swap;                                                                              \
        }                                                                                          \
        if (before(c, a)) return a;                                                                \
        return before(c, b) ? c : b;                                                               \
    }                                                                                              \
                                                                                                   \
    /* Hoare's: all before the answer are not after the pivot, all from it on not before it. */    \
    static size_t part_##name(type *items, size_t size)                                            \
    {                                                                                              \
        type pivot = middle_##name(items[0], items[size / 2], items[size - 1]);                    \
        size_t low = 0, high = size - 1;                                                           \
                                                                                                   \
        for (;;) {                                                                                 \
            while (before(items[low], pivot))                                                      \
                low++;                                                                             \
            while (before(pivot, items[high]))                                                     \
                high--;                                                                            \
            if (low >= high) return low > 0 ? low : 1;                                             \
            type swap = items[low];                                                                \
            items[low++] = items[high];                                                            \
            items[high--] = swap;                                                                  \
        }                                                                                          \
    }                                                                                              \
                                                                                                   \
    static void first_##name(type *items, size_t size, size_t count, bool sorted)                  \
    {                                                                                              \
        while (size > SMALL) {                                                                     \
            size_t cut = part_##name(items, size);                                                 \
                                                                                                   \
            if (cut < count) {                                                                     \
                if (sorted) first_##name(items, cut, cut, true);                                   \
                items += cut;                                                                      \
                size -= cut;                                                                       \
                count -= cut;                                                                      \
            } else if (cut == count && !sorted) {                                                  \
                return;                                                                            \
            } else {                                                                               \
                size = cut;                                                                        \
            }                                                                                      \
        }                                                                                          \
        insert_##name(items, size);                                                                \
    }

DEFINE_SORT(found, struct fr_found, found_before)
DEFINE_SORT(wanted, struct fr_wanted, wanted_before)

size_t fr_select_found(struct fr_found *found, size_t size, size_t count)
{
    count = FR_MIN(count, size);
    if (count > 0) first_found(found, size, count, true);
    return count;
}

size_t fr_select_wanted(struct fr_wanted *wanted, size_t size, size_t count)
{
    count = FR_MIN(count, size);
    if (count > 0 && count < size) first_wanted(wanted, size, count, false);
    return count;
}

void fr_sort_wanted(struct fr_wanted *wanted, size_t size)
{
    first_wanted(wanted, size, size, true);
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
