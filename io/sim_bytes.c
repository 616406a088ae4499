/*
 * sim_bytes.c - file contents as pages that are shared until somebody writes.
 *
 * A file is a map of pages; a copy of the file is a second reference on the map. The first write to
 * either copies the map (pointers), then the one page (4 KiB). So an image of a disk costs a
 * pointer per file, and what was hashed once stays hashed.
 */
#include "io/sim_priv.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/hash.h"

static bool is_shared(_Atomic(uint32_t) *refs)
{
    return atomic_load_explicit(refs, memory_order_acquire) != 1;
}

static void add_ref(_Atomic(uint32_t) *refs)
{
    atomic_fetch_add_explicit(refs, 1, memory_order_relaxed);
}

static bool drop_ref(_Atomic(uint32_t) *refs)
{
    return atomic_fetch_sub_explicit(refs, 1, memory_order_acq_rel) == 1;
}

uint64_t fr_sim_hash(uint64_t hash, const void *data, size_t size)
{
    return fr_mix64(fr_mix64(hash) ^ fr_hash64(fr_slice_of(data, size)));
}

struct fr_sim_blob *fr_sim_blob_new(const void *data, size_t size)
{
    struct fr_sim_blob *blob = fr_alloc(sizeof(*blob) + size);

    if (blob == NULL) return NULL;
    atomic_init(&blob->refs, 1);
    blob->size = size;
    if (size > 0) memcpy(blob->bytes, data, size);
    return blob;
}

struct fr_sim_blob *fr_sim_blob_of_text(const char *text)
{
    return fr_sim_blob_new(text, strlen(text) + 1);
}

struct fr_sim_blob *fr_sim_blob_ref(struct fr_sim_blob *blob)
{
    if (blob != NULL) add_ref(&blob->refs);
    return blob;
}

void fr_sim_blob_unref(struct fr_sim_blob *blob)
{
    if (blob != NULL && drop_ref(&blob->refs)) fr_free(blob);
}

static struct fr_sim_page *page_new(const struct fr_sim_page *from)
{
    struct fr_sim_page *page = fr_alloc(sizeof(*page));

    if (page == NULL) return NULL;
    atomic_init(&page->refs, 1);
    atomic_init(&page->hash, 0);
    if (from != NULL)
        memcpy(page->bytes, from->bytes, sizeof(page->bytes));
    else
        memset(page->bytes, 0, sizeof(page->bytes));
    return page;
}

static void page_unref(struct fr_sim_page *page)
{
    if (page != NULL && drop_ref(&page->refs)) fr_free(page);
}

static struct fr_sim_map *map_new(size_t count)
{
    struct fr_sim_map *map =
            fr_alloc_zeroed(1, sizeof(*map) + count * sizeof(struct fr_sim_page *));

    if (map == NULL) return NULL;
    atomic_init(&map->refs, 1);
    atomic_init(&map->hash, 0);
    map->count = count;
    return map;
}

static void map_unref(struct fr_sim_map *map)
{
    if (map == NULL || !drop_ref(&map->refs)) return;
    for (size_t i = 0; i < map->count; i++)
        page_unref(map->pages[i]);
    fr_free(map);
}

static struct fr_sim_map *map_copy(const struct fr_sim_map *from, size_t count)
{
    struct fr_sim_map *map = map_new(count);

    if (map == NULL) return NULL;
    for (size_t i = 0; i < from->count; i++) {
        if (from->pages[i] == NULL) continue;
        map->pages[i] = from->pages[i];
        add_ref(&map->pages[i]->refs);
    }
    map->held = from->held;
    return map;
}

/* A map of our own with at least count slots, ready to be changed. */
static int own_map(struct fr_sim_bytes *bytes, size_t count)
{
    struct fr_sim_map *map = bytes->map;
    size_t old_count = map == NULL ? 0 : map->count;
    size_t wanted = old_count;

    if (count > old_count) wanted = FR_MAX(count, old_count + old_count / 2 + 4);
    if (map != NULL && wanted == old_count && !is_shared(&map->refs)) {
        atomic_store_explicit(&map->hash, 0, memory_order_relaxed);
        return 0;
    }
    map = map == NULL ? map_new(wanted) : map_copy(map, wanted);
    if (map == NULL) return -ENOMEM;
    map_unref(bytes->map);
    bytes->map = map;
    return 0;
}

/* A page of our own, ready to be changed; the map is ours already. */
static int own_page(struct fr_sim_map *map, size_t index)
{
    struct fr_sim_page *old = map->pages[index];

    if (old != NULL && !is_shared(&old->refs)) {
        atomic_store_explicit(&old->hash, 0, memory_order_relaxed);
        return 0;
    }
    struct fr_sim_page *page = page_new(old);
    if (page == NULL) return -ENOMEM;
    page_unref(old);
    map->pages[index] = page;
    if (old == NULL) map->held++;
    return 0;
}

static void set_page(struct fr_sim_map *map, size_t index, struct fr_sim_page *page)
{
    struct fr_sim_page *old = map->pages[index];

    if (page != NULL) add_ref(&page->refs);
    map->held += (size_t)(page != NULL) - (size_t)(old != NULL);
    map->pages[index] = page;
    page_unref(old);
}

struct fr_sim_bytes fr_sim_bytes_share(const struct fr_sim_bytes *bytes)
{
    if (bytes->map != NULL) add_ref(&bytes->map->refs);
    return *bytes;
}

void fr_sim_bytes_deinit(struct fr_sim_bytes *bytes)
{
    map_unref(bytes->map);
    *bytes = (struct fr_sim_bytes){0};
}

static const struct fr_sim_page *page_at(const struct fr_sim_bytes *bytes, uint64_t index)
{
    if (bytes->map == NULL || index >= bytes->map->count) return NULL;
    return bytes->map->pages[index];
}

/* The part of a range that lies in the page where it starts. */
static size_t part_in_page(uint64_t offset, uint64_t size)
{
    return (size_t)FR_MIN(size, FR_SIM_PAGE_SIZE - offset % FR_SIM_PAGE_SIZE);
}

void fr_sim_bytes_read(const struct fr_sim_bytes *bytes, uint64_t offset, void *to, size_t size)
{
    uint8_t *at = to;

    for (size_t part; size > 0; offset += part, at += part, size -= part) {
        const struct fr_sim_page *page = page_at(bytes, offset / FR_SIM_PAGE_SIZE);

        part = part_in_page(offset, size);
        if (page != NULL)
            memcpy(at, page->bytes + offset % FR_SIM_PAGE_SIZE, part);
        else
            memset(at, 0, part);
    }
}

int fr_sim_bytes_reserve(struct fr_sim_bytes *bytes, uint64_t offset, uint64_t size)
{
    if (size == 0) return 0;

    size_t first = (size_t)(offset / FR_SIM_PAGE_SIZE);
    size_t last = (size_t)((offset + size - 1) / FR_SIM_PAGE_SIZE);
    int rc = own_map(bytes, last + 1);
    for (size_t i = first; rc == 0 && i <= last; i++)
        rc = own_page(bytes->map, i);
    return rc;
}

int fr_sim_bytes_write(struct fr_sim_bytes *bytes, uint64_t offset, const void *data, size_t size)
{
    const uint8_t *at = data;
    int rc = fr_sim_bytes_reserve(bytes, offset, size);

    if (rc != 0) return rc;
    for (size_t part; size > 0; offset += part, at += part, size -= part) {
        struct fr_sim_page *page = bytes->map->pages[offset / FR_SIM_PAGE_SIZE];

        part = part_in_page(offset, size);
        memcpy(page->bytes + offset % FR_SIM_PAGE_SIZE, at, part);
    }
    return 0;
}

/* Own the page if it is there and only a part of it is to be changed. */
static int reserve_part(struct fr_sim_bytes *bytes, uint64_t offset, size_t part)
{
    if (part == FR_SIM_PAGE_SIZE || page_at(bytes, offset / FR_SIM_PAGE_SIZE) == NULL) return 0;
    return own_page(bytes->map, (size_t)(offset / FR_SIM_PAGE_SIZE));
}

static void zero_part(struct fr_sim_bytes *bytes, uint64_t offset, size_t part)
{
    size_t index = (size_t)(offset / FR_SIM_PAGE_SIZE);

    if (bytes->map->pages[index] == NULL) return;
    if (part == FR_SIM_PAGE_SIZE)
        set_page(bytes->map, index, NULL);
    else
        memset(bytes->map->pages[index]->bytes + offset % FR_SIM_PAGE_SIZE, 0, part);
}

int fr_sim_bytes_zero(struct fr_sim_bytes *bytes, uint64_t offset, uint64_t size)
{
    uint64_t end = bytes->map == NULL ? 0 : (uint64_t)bytes->map->count * FR_SIM_PAGE_SIZE;
    size_t part;

    if (offset >= end) return 0;
    size = FR_MIN(size, end - offset);
    int rc = own_map(bytes, 0);
    for (uint64_t at = offset; rc == 0 && at < offset + size; at += part) {
        part = part_in_page(at, offset + size - at);
        rc = reserve_part(bytes, at, part);
    }
    for (uint64_t at = offset; rc == 0 && at < offset + size; at += part) {
        part = part_in_page(at, offset + size - at);
        zero_part(bytes, at, part);
    }
    return rc;
}

int fr_sim_bytes_cut(struct fr_sim_bytes *bytes, uint64_t size)
{
    int rc = fr_sim_bytes_zero(bytes, size, UINT64_MAX - size);

    if (rc == 0) bytes->size = size;
    return rc;
}

int fr_sim_bytes_adopt(struct fr_sim_bytes *bytes, const struct fr_sim_bytes *from, uint64_t offset,
        uint64_t size)
{
    if (size == 0) return 0;

    uint64_t first = offset / FR_SIM_PAGE_SIZE;
    uint64_t last = (offset + size - 1) / FR_SIM_PAGE_SIZE;
    size_t slots = FR_MAX(bytes->map == NULL ? 0 : bytes->map->count,
            from->map == NULL ? 0 : from->map->count);
    if (first >= slots) return 0; /* zeros here and there */
    last = FR_MIN(last, (uint64_t)slots - 1);

    int rc = own_map(bytes, (size_t)last + 1);
    for (uint64_t i = first; rc == 0 && i <= last; i++)
        set_page(bytes->map, (size_t)i,
                i < (from->map == NULL ? 0 : from->map->count) ? from->map->pages[i] : NULL);
    return rc;
}

uint64_t fr_sim_bytes_held(const struct fr_sim_bytes *bytes)
{
    return bytes->map == NULL ? 0 : bytes->map->held;
}

uint64_t fr_sim_bytes_missing(const struct fr_sim_bytes *bytes, uint64_t offset, uint64_t size)
{
    uint64_t missing = 0;

    for (uint64_t i = offset / FR_SIM_PAGE_SIZE; i * FR_SIM_PAGE_SIZE < offset + size; i++)
        missing += page_at(bytes, i) == NULL;
    return missing;
}

static uint64_t page_hash(struct fr_sim_page *page)
{
    uint64_t hash = atomic_load_explicit(&page->hash, memory_order_relaxed);

    if (hash != 0) return hash;
    hash = fr_sim_hash(1, page->bytes, sizeof(page->bytes)) | 1;
    atomic_store_explicit(&page->hash, hash, memory_order_relaxed);
    return hash;
}

static bool is_zero_page(const struct fr_sim_page *page)
{
    return page->bytes[0] == 0 && memcmp(page->bytes, page->bytes + 1, FR_SIM_PAGE_SIZE - 1) == 0;
}

/* A page of zeros and no page at all are the same content. */
static uint64_t map_hash(struct fr_sim_map *map)
{
    uint64_t hash = atomic_load_explicit(&map->hash, memory_order_relaxed);

    if (hash != 0) return hash;
    for (size_t i = 0; i < map->count; i++) {
        if (map->pages[i] == NULL || is_zero_page(map->pages[i])) continue;
        hash += fr_mix64(page_hash(map->pages[i]) ^ fr_mix64(i));
    }
    hash |= 1;
    atomic_store_explicit(&map->hash, hash, memory_order_relaxed);
    return hash;
}

uint64_t fr_sim_bytes_hash(const struct fr_sim_bytes *bytes)
{
    uint64_t hash = bytes->map == NULL ? 1 : map_hash(bytes->map);

    return fr_mix64(hash ^ fr_mix64(bytes->size));
}
