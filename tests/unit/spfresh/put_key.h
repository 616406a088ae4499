/*
 * put_key.h - what an index has stored is changed behind its back.
 */
#ifndef FR_TEST_PUT_KEY_H
#define FR_TEST_PUT_KEY_H

#include "lsm/batch.h"
#include "spfresh/index_priv.h"
#include "tests/unit/io/test_world.h"

/* NULL bytes: there is no such key any more. */
static inline void put_key(struct fr_engine *engine, struct fr_index_key key, const void *bytes,
        size_t size)
{
    struct fr_batch batch = FR_BATCH_EMPTY;
    fr_slice all;

    if (bytes == NULL)
        must(fr_batch_add_delete(&batch, fr_index_key_slice(&key)));
    else
        must(fr_batch_add_put(&batch, fr_index_key_slice(&key), fr_slice_of(bytes, size)));
    must(fr_batch_finish(&batch, &all));
    must(fr_engine_write(engine, all, batch.count, FR_DURABLE_OS));
    fr_batch_deinit(&batch);
}

#endif
