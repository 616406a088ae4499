/* db_batch.c - batches of the public interface: plain pointers in front of lsm/batch.h. */
#include "base/alloc.h"
#include "base/status.h"
#include "freshet/db.h"
#include "lsm/batch.h"

/* Bytes at no address are none; limits are the builder's business. */
static fr_status check(const struct fr_batch *batch, const void *key, size_t key_size,
        const void *value, size_t value_size)
{
    if (batch == NULL) return FR_FAIL(FR_ERR_MISUSE, "the batch is NULL");
    if ((key == NULL && key_size > 0) || (value == NULL && value_size > 0))
        return FR_FAIL(FR_ERR_MISUSE, "a key or value is NULL, but not empty");
    return FR_OK;
}

fr_status fr_batch_new(struct fr_batch **ret_batch)
{
    if (ret_batch == NULL) return FR_FAIL(FR_ERR_MISUSE, "fr_batch_new: no place for it");
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
    if (batch != NULL) fr_batch_reset(batch);
}

size_t fr_batch_count(const struct fr_batch *batch)
{
    return batch == NULL ? 0 : batch->count;
}

size_t fr_batch_bytes(const struct fr_batch *batch)
{
    return batch == NULL ? 0 : batch->bytes.size;
}

fr_status fr_batch_put(struct fr_batch *batch, const void *key, size_t key_size, const void *value,
        size_t value_size)
{
    return fr_batch_put_until(batch, key, key_size, value, value_size, 0);
}

fr_status fr_batch_put_until(struct fr_batch *batch, const void *key, size_t key_size,
        const void *value, size_t value_size, uint64_t expires_us)
{
    fr_slice k = fr_slice_of(key, key_size), v = fr_slice_of(value, value_size);
    fr_status st;

    FR_TRY(check(batch, key, key_size, value, value_size));
    if (expires_us == 0) return fr_batch_add_put(batch, k, v);
    st = fr_batch_add_put_until(batch, k, v, expires_us);
out:
    return st;
}

fr_status fr_batch_delete(struct fr_batch *batch, const void *key, size_t key_size)
{
    fr_status st;

    FR_TRY(check(batch, key, key_size, NULL, 0));
    st = fr_batch_add_delete(batch, fr_slice_of(key, key_size));
out:
    return st;
}

fr_status fr_batch_delete_range(struct fr_batch *batch, const void *start, size_t start_size,
        const void *end, size_t end_size)
{
    fr_status st;

    FR_TRY(check(batch, start, start_size, end, end_size));
    st = fr_batch_add_delete_range(batch, fr_slice_of(start, start_size),
            fr_slice_of(end, end_size));
out:
    return st;
}

fr_status fr_batch_append(struct fr_batch *batch, const void *key, size_t key_size,
        const void *fragment, size_t fragment_size)
{
    fr_status st;

    FR_TRY(check(batch, key, key_size, fragment, fragment_size));
    st = fr_batch_add_append(batch, fr_slice_of(key, key_size),
            fr_slice_of(fragment, fragment_size));
out:
    return st;
}
