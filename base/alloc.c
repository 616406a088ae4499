/*
 * alloc.c - one gate for all memory.
 *
 * Each block is preceded by a header of 16 bytes which remembers its size and alignment, because
 * the host's release function is told both, and so that live bytes can be counted, and the account
 * that it is charged to (base/account.h). With an alignment above 16 the header still lies directly
 * in front of what the caller gets, at the end of a gap as wide as the alignment:
 *
 *     alignment 16:   [header][ caller's bytes ...
 *     alignment 64:   [ gap 48 ][header][ caller's bytes ...
 *
 * Large blocks come from the system one by one and go back to it. The C library would begin so,
 * but learns from each that is given back to keep the next ones: then as much memory as there ever
 * was of memtables and buffers stays with the process, whatever the store's budget is.
 */
#define FR_ALLOW_MALLOC
#include "base/alloc.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "base/account.h"
#include "base/assert.h"
#include "base/status.h"

#define HEADER_SIZE   16
#define ALIGNMENT_MAX ((size_t)1 << 20)
#define HUGE_PAGE     ((size_t)2 << 20)
#define PAGE          ((size_t)4096)

/* A call and a fault for each page are little beside filling such a block. */
#define LARGE ((size_t)512 << 10)

/* What the C library needs for a block besides, and rounds up to. */
#define CHUNK_HEADER 8
#define CHUNK_UNIT   ((size_t)16)

struct header {
    uint64_t size;
    fr_charge charge;
    uint16_t alignment_log2;
    uint32_t magic;
};
static_assert(sizeof(struct header) == HEADER_SIZE, "the caller's bytes must stay aligned");
static_assert(_Alignof(max_align_t) <= HEADER_SIZE, "");

/* In front of a live block, and of one that was given back: a double free is an abort, not a
 * riddle. */
#define MAGIC_LIVE 0x66726c76u
#define MAGIC_DEAD 0x66726478u

/* Under a sanitizer all blocks are its own, or it would not see behind their ends. */
static bool is_large(size_t size, size_t alignment)
{
#ifdef FR_SANITIZED
    (void)size, (void)alignment;
    return false;
#else
    return size >= LARGE && alignment <= PAGE;
#endif
}

static size_t round_up(size_t size, size_t unit)
{
    return (size + unit - 1) & ~(unit - 1);
}

static void *allocate_pages(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

static void *default_allocate(void *ctx, size_t size, size_t alignment)
{
    (void)ctx;
    if (is_large(size, alignment)) return allocate_pages(round_up(size, PAGE));
    if (alignment <= HEADER_SIZE) return malloc(size);
    return aligned_alloc(alignment, round_up(size, alignment));
}

static void default_release(void *ctx, void *memory, size_t size, size_t alignment)
{
    (void)ctx;
    if (is_large(size, alignment))
        (void)munmap(memory, round_up(size, PAGE));
    else
        free(memory);
}

static const struct fr_allocator default_allocator = {
        .size = sizeof(struct fr_allocator),
        .allocate = default_allocate,
        .release = default_release,
};

/* Constant once the library is in use. */
static struct fr_allocator allocator = {
        .size = sizeof(struct fr_allocator),
        .allocate = default_allocate,
        .release = default_release,
};

/* Statistics only: nothing is ordered by them, hence relaxed everywhere. */
static _Atomic(uint64_t) live_bytes;
static _Atomic(uint64_t) live_count;
static _Atomic(uint64_t) call_count;

/* The test's wish for this thread. */
static _Thread_local uint64_t fail_countdown;
static _Thread_local bool fail_forever;
static _Thread_local bool fail_hit;

fr_status fr_set_allocator(const struct fr_allocator *wanted)
{
    if (atomic_load_explicit(&live_count, memory_order_relaxed) != 0)
        return FR_FAIL(FR_ERR_MISUSE, "fr_set_allocator: the library already holds memory");
    if (wanted == NULL) wanted = &default_allocator;
    if (wanted->size != sizeof(*wanted) || wanted->allocate == NULL || wanted->release == NULL)
        return FR_FAIL(FR_ERR_MISUSE, "fr_set_allocator: size or a function is not set");
    allocator = *wanted;
    return FR_OK;
}

void fr_alloc_fail_at(uint64_t n, bool forever)
{
    fail_countdown = n;
    fail_forever = forever;
    fail_hit = false;
}

bool fr_alloc_fault_hit(void)
{
    return fail_hit;
}

static bool must_fail(void)
{
    if (FR_LIKELY(fail_countdown == 0)) return false;
    if (fail_countdown > 1) {
        fail_countdown--;
        return false;
    }
    if (!fail_forever) fail_countdown = 0;
    fail_hit = true;
    return true;
}

static struct header *header_of(void *memory)
{
    return (struct header *)(void *)((char *)memory - HEADER_SIZE);
}

/* What a block takes from the system, as far as that can be told: this is what is charged. */
static size_t footprint(size_t size, size_t gap)
{
    size_t whole = gap + size;

    if (is_large(whole, gap)) return round_up(whole, PAGE);
    return round_up(whole + CHUNK_HEADER, CHUNK_UNIT);
}

static void *allocate(size_t size, size_t alignment, fr_charge charge)
{
    FR_ASSERT((alignment & (alignment - 1)) == 0 && alignment <= ALIGNMENT_MAX);

    size_t gap = alignment < HEADER_SIZE ? HEADER_SIZE : alignment;
    if (size == 0) size = 1;
    atomic_fetch_add_explicit(&call_count, 1, memory_order_relaxed);
    if (FR_UNLIKELY(size > SIZE_MAX / 2) || must_fail()) return NULL;

    char *raw = allocator.allocate(allocator.ctx, gap + size, gap);
    if (raw == NULL) return NULL;

    *header_of(raw + gap) = (struct header){.size = size,
            .charge = charge,
            .alignment_log2 = (uint16_t)__builtin_ctzl(gap),
            .magic = MAGIC_LIVE};
    fr_account_add(charge, footprint(size, gap));
    atomic_fetch_add_explicit(&live_bytes, size, memory_order_relaxed);
    atomic_fetch_add_explicit(&live_count, 1, memory_order_relaxed);
    return raw + gap;
}

void *fr_alloc_aligned(size_t size, size_t alignment)
{
    return allocate(size, alignment, fr_account_current());
}

void *fr_alloc(size_t size)
{
    return fr_alloc_aligned(size, HEADER_SIZE);
}

/* Pages of the system's are zeros, and cost nothing before they are looked at. */
static bool is_new(size_t size)
{
    return allocator.allocate == default_allocate && is_large(HEADER_SIZE + size, HEADER_SIZE);
}

void *fr_alloc_zeroed(size_t count, size_t size)
{
    if (size != 0 && count > SIZE_MAX / size) return NULL;

    void *memory = fr_alloc(count * size);
    if (memory != NULL && !is_new(count * size)) memset(memory, 0, count * size);
    return memory;
}

void fr_alloc_prefer_huge(void *memory, size_t size)
{
    uintptr_t from = ((uintptr_t)memory + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1);
    uintptr_t to = ((uintptr_t)memory + size) & ~(uintptr_t)(HUGE_PAGE - 1);

    int before = errno;

    if (from < to)
        (void)madvise((char *)memory + (from - (uintptr_t)memory), to - from, MADV_HUGEPAGE);
    errno = before;
}

size_t fr_alloc_drop(void *memory, size_t size)
{
    char *bytes = memory;
    size_t ahead = (size_t)(-(uintptr_t)memory & (PAGE - 1));
    size_t whole = size < ahead ? 0 : (size - ahead) & ~(PAGE - 1);
    int before = errno;

    if (whole > 0 && madvise(bytes + ahead, whole, MADV_DONTNEED) < 0) whole = 0;
    errno = before;
    if (whole == 0) {
        memset(bytes, 0, size);
        return 0;
    }
    memset(bytes, 0, ahead);
    memset(bytes + ahead + whole, 0, size - ahead - whole);
    return whole;
}

void *fr_realloc(void *memory, size_t size)
{
    if (memory == NULL) return fr_alloc(size);

    struct header *header = header_of(memory);
    FR_ASSERT(header->magic == MAGIC_LIVE);
    /* It stays on the account that it is on, whoever makes it larger. */
    void *moved = allocate(size, (size_t)1 << header->alignment_log2, header->charge);
    if (moved == NULL) return NULL;
    memcpy(moved, memory, FR_MIN((size_t)header->size, size));
    fr_free(memory);
    return moved;
}

void fr_free(void *memory)
{
    if (memory == NULL) return;

    struct header *header = header_of(memory);
    FR_ASSERT(header->magic == MAGIC_LIVE);
    size_t size = (size_t)header->size;
    size_t gap = (size_t)1 << header->alignment_log2;
    header->magic = MAGIC_DEAD;
    fr_account_take(header->charge, footprint(size, gap));
    atomic_fetch_sub_explicit(&live_bytes, size, memory_order_relaxed);
    atomic_fetch_sub_explicit(&live_count, 1, memory_order_relaxed);
    allocator.release(allocator.ctx, (char *)memory - gap, gap + size, gap);
}

void fr_alloc_charge(void *memory, fr_charge charge)
{
    struct header *header = header_of(memory);
    size_t bytes = footprint((size_t)header->size, (size_t)1 << header->alignment_log2);

    FR_ASSERT(header->magic == MAGIC_LIVE);
    fr_account_take(header->charge, bytes);
    header->charge = charge;
    fr_account_add(charge, bytes);
}

void fr_alloc_stats_get(struct fr_alloc_stats *ret_stats)
{
    ret_stats->live_bytes = atomic_load_explicit(&live_bytes, memory_order_relaxed);
    ret_stats->live_count = atomic_load_explicit(&live_count, memory_order_relaxed);
    ret_stats->call_count = atomic_load_explicit(&call_count, memory_order_relaxed);
}
