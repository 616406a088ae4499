/* alloc.h - where the library's memory comes from. */
#ifndef FRESHET_ALLOC_H
#define FRESHET_ALLOC_H

#include <stddef.h>

#include "freshet/api.h"
#include "freshet/status.h"

FR_BEGIN_DECLS

/*
 * The host's own allocator. Each function gets ctx. allocate answers NULL when there is no memory;
 * alignment is a power of two, and at least that of the largest basic type. release gets what
 * allocate gave, never NULL, with the size and alignment that were asked for. All may be called
 * from any thread.
 */
struct fr_allocator {
    size_t size; /* sizeof(struct fr_allocator) */
    void *(*allocate)(void *ctx, size_t size, size_t alignment);
    void (*release)(void *ctx, void *memory, size_t size, size_t alignment);
    void *ctx;
};

/*
 * Use this allocator from now on; NULL goes back to the C library's. Call it before anything else
 * of the library and from one thread. FR_ERR_MISUSE: a function is missing, or the library already
 * holds memory, which would later go back to the wrong place.
 */
FR_API FR_NODISCARD fr_status fr_set_allocator(const struct fr_allocator *allocator);

FR_END_DECLS

#endif
