/* compiler.h - all that is not plain C17, in one place. */
#ifndef FR_BASE_COMPILER_H
#define FR_BASE_COMPILER_H

#include "freshet/api.h"

#define FR_LIKELY(x)           __builtin_expect(!!(x), 1)
#define FR_UNLIKELY(x)         __builtin_expect(!!(x), 0)
#define FR_PRINTF(text, first) __attribute__((format(printf, text, first)))
#define FR_NORETURN            __attribute__((noreturn))
#define FR_COLD                __attribute__((cold, noinline))
#define FR_UNUSED              __attribute__((unused))
/* Reads beside a writer bytes whose values it then disregards; ThreadSanitizer cannot know that. */
#define FR_RACES __attribute__((no_sanitize("thread")))

#define FR_INLINE         static inline __attribute__((always_inline))
#define FR_ALIGNED(n)     __attribute__((aligned(n)))
#define FR_ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* The struct that holds this member. */
#define FR_CONTAINER_OF(p, type, member)                                                           \
    ((type *)(void *)((char *)(p) - __builtin_offsetof(type, member)))

/* Yield a pointer and forget it: what was owned here is owned by the reader of this line. */
#define FR_TAKE(p)                                                                                 \
    __extension__({                                                                                \
        __typeof__(p) fr_taken_ = (p);                                                             \
        (p) = NULL;                                                                                \
        fr_taken_;                                                                                 \
    })

/* Drop const for an interface that has one pointer for both directions. The only such place. */
static inline void *fr_unconst(const void *p)
{
    union {
        const void *in;
        void *out;
    } u = {.in = p};
    return u.out;
}

#define FR_MIN(a, b)                                                                               \
    __extension__({                                                                                \
        __typeof__(a) fr_a_ = (a);                                                                 \
        __typeof__(b) fr_b_ = (b);                                                                 \
        fr_a_ < fr_b_ ? fr_a_ : fr_b_;                                                             \
    })
#define FR_MAX(a, b)                                                                               \
    __extension__({                                                                                \
        __typeof__(a) fr_a_ = (a);                                                                 \
        __typeof__(b) fr_b_ = (b);                                                                 \
        fr_a_ > fr_b_ ? fr_a_ : fr_b_;                                                             \
    })

/*
 * Locks, for Clang's analysis. It understands functions in C but no struct members, where the
 * comment above the fields is the contract. GCC would warn about the attributes.
 */
#if defined(__clang__)
#define FR_CAPABILITY       __attribute__((capability("mutex")))
#define FR_REQUIRES(...)    __attribute__((requires_capability(__VA_ARGS__)))
#define FR_ACQUIRES(...)    __attribute__((acquire_capability(__VA_ARGS__)))
#define FR_RELEASES(...)    __attribute__((release_capability(__VA_ARGS__)))
#define FR_NO_LOCK_ANALYSIS __attribute__((no_thread_safety_analysis))
#else
#define FR_CAPABILITY
#define FR_REQUIRES(...)
#define FR_ACQUIRES(...)
#define FR_RELEASES(...)
#define FR_NO_LOCK_ANALYSIS
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FR_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define FR_SANITIZED 1
#endif
#if __has_feature(thread_sanitizer)
#define FR_SANITIZED_THREAD 1
#endif
#endif

#endif
