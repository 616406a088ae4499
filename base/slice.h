/* slice.h - bytes that belong to somebody else. Whoever hands one out says until when it is valid.
 */
#ifndef FR_BASE_SLICE_H
#define FR_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct fr_slice {
    const uint8_t *data; /* may be NULL if size is 0 */
    size_t size;
} fr_slice;

static inline fr_slice fr_slice_of(const void *data, size_t size)
{
    return (fr_slice){.data = data, .size = size};
}

static inline fr_slice fr_slice_of_text(const char *text)
{
    return fr_slice_of(text, strlen(text));
}

static inline bool fr_slice_equal(fr_slice a, fr_slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* Order by bytes, a prefix before what it begins: negative, zero or positive. */
static inline int fr_slice_compare(fr_slice a, fr_slice b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);

    if (order != 0) return order;
    return (a.size > b.size) - (a.size < b.size);
}

static inline bool fr_slice_starts_with(fr_slice text, fr_slice prefix)
{
    return text.size >= prefix.size &&
           (prefix.size == 0 || memcmp(text.data, prefix.data, prefix.size) == 0);
}

#endif
