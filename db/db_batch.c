/* db_batch.c - batches of the public interface: plain pointers in front of lsm/batch.h. */
#include "base/alloc.h"
#include "freshet/db.h"
#include "lsm/batch.h"

fr_status fr_batch_new(struct fr_batch **ret_batch)
{
    struct fr_batch *batch = FR_NEW(struct fr_batch);

    if (batch == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a batch");
    *ret_batch = batch;
    return FR_OK;
}

void fr_batch_free(struct fr_batch *batch)
{
    if (batch == NULL) return;
    fr_batch_deinit(batch);
    fr_free(batch);
}

void fr_batch_clear(struct fr_batch *batch)
{
    fr_batch_reset(batch);
}

size_t fr_batch_count(const struct fr_batch *batch)
{
    return batch->count;
}

size_t fr_batch_bytes(const struct fr_batch *batch)
{
    return batch->bytes.size;
}

fr_status fr_batch_put(struct fr_batch *batch, const void *key, size_t key_size, const void *value,
        size_t value_size)
{
    return fr_batch_add_put(batch, fr_slice_of(key, key_size), fr_slice_of(value, value_size));
}

fr_status fr_batch_put_until(struct fr_batch *batch, const void *key, size_t key_size,
        const void *value, size_t value_size, uint64_t expires_us)
{
    if (expires_us == 0) return fr_batch_put(batch, key, key_size, value, value_size);
    return fr_batch_add_put_until(batch, fr_slice_of(key, key_size), fr_slice_of(value, value_size),
            expires_us);
}

fr_status fr_batch_delete(struct fr_batch *batch, const void *key, size_t key_size)
{
    return fr_batch_add_delete(batch, fr_slice_of(key, key_size));
}

fr_status fr_batch_delete_range(struct fr_batch *batch, const void *start, size_t start_size,
        const void *end, size_t end_size)
{
    return fr_batch_add_delete_range(batch, fr_slice_of(start, start_size),
            fr_slice_of(end, end_size));
}

fr_status fr_batch_append(struct fr_batch *batch, const void *key, size_t key_size,
        const void *fragment, size_t fragment_size)
{
    return fr_batch_add_append(batch, fr_slice_of(key, key_size),
            fr_slice_of(fragment, fragment_size));
}
