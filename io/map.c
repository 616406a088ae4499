#include "io/map.h"

#include <inttypes.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "io/env_priv.h"

struct fr_map {
    struct fr_file *file;
    uint8_t *data;
    uint64_t offset;
    uint64_t size;
    bool shared;
};

static fr_status check_range(struct fr_file *file, uint64_t offset, uint64_t size)
{
    struct fr_file_info info;
    fr_status st = fr_file_info_get(file, &info);

    if (st < 0) return st;
    if (!file->writable || file->direct)
        return FR_FAIL(FR_ERR_MISUSE, "%s: a map of a file that is %s", file->path,
                file->direct ? "direct" : "open for reading only");
    if (size == 0 || size > SIZE_MAX || offset % FR_MAP_ALIGNMENT != 0 || offset > info.size ||
            size > info.size - offset)
        return FR_FAIL(FR_ERR_MISUSE,
                "%s: a map of %" PRIu64 " bytes at %" PRIu64 " of a file of %" PRIu64, file->path,
                size, offset, info.size);
    return FR_OK;
}

/* A shared mapping if the backend can have an honest one; it need not say why not. */
static bool share(struct fr_map *map)
{
    const struct fr_env *env = map->file->env;
    void *data;

    if (env->ops->file_map == NULL) return false;
    if (env->ops->file_map(env->ctx, map->file->handle, map->offset, map->size, &data) < 0)
        return false;
    map->data = data;
    return true;
}

fr_status fr_map_open(struct fr_file *file, uint64_t offset, uint64_t size, unsigned flags,
        struct fr_map **ret_map)
{
    fr_status st = check_range(file, offset, size);

    if (st < 0) return st;
    struct fr_map *map = FR_NEW(struct fr_map);
    if (map == NULL) return FR_FAIL(FR_ERR_NOMEM, "%s: no memory to map it", file->path);
    *map = (struct fr_map){.file = file, .offset = offset, .size = size};
    map->shared = (flags & FR_MAP_PRIVATE) == 0 && share(map);
    if (!map->shared) map->data = fr_alloc_aligned((size_t)size, 4096);
    if (map->data == NULL) {
        fr_free(map);
        return FR_FAIL(FR_ERR_NOMEM, "%s: no memory to map %" PRIu64 " bytes", file->path, size);
    }
    *ret_map = map;
    return FR_OK;
}

void fr_map_close(struct fr_map *map)
{
    if (map == NULL) return;
    if (map->shared)
        map->file->env->ops->file_unmap(map->file->env->ctx, map->data, map->size);
    else
        fr_free(map->data);
    fr_free(map);
}

uint8_t *fr_map_data(struct fr_map *map)
{
    return map->data;
}

bool fr_map_is_shared(const struct fr_map *map)
{
    return map->shared;
}

void fr_map_relax(struct fr_map *map, uint64_t offset, uint64_t size)
{
    /* Whole pages of the largest kind: their edges may be stored to all the time. */
    uint64_t from = (offset + FR_MAP_ALIGNMENT - 1) & ~(uint64_t)(FR_MAP_ALIGNMENT - 1);
    uint64_t to = (offset + size) & ~(uint64_t)(FR_MAP_ALIGNMENT - 1);
    const struct fr_env *env = map->file->env;

    FR_ASSERT(offset <= map->size && size <= map->size - offset);
    if (map->shared && from < to) env->ops->file_relax(env->ctx, map->data + from, to - from);
}

fr_status fr_map_publish(struct fr_map *map, uint64_t offset, uint64_t size)
{
    struct fr_file *file = map->file;

    FR_ASSERT(offset <= map->size && size <= map->size - offset);
    if (!map->shared)
        return fr_file_write(file, map->offset + offset, map->data + offset, (size_t)size, 0);

    /* The stores are made, not merely planned by the compiler, when this returns. */
    atomic_thread_fence(memory_order_release);
    int poison = atomic_load_explicit(&file->poison, memory_order_acquire);
    if (poison == 0) return FR_OK;
    return fr_error_set(FR_ERR_POISONED, poison, __FILE__, __LINE__,
            "%s: no write after a sync of this file has failed", file->path);
}
