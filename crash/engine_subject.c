/*
 * engine_subject.c - slots as keys of an engine whose files are all tiny.
 *
 * A slot's key is "k00" to "k39"; the last slot's is "z". Memtables, tables, segments and levels
 * are so small that a hundred batches flush and compact many times, and that value files are
 * emptied all the time.
 */
#include "crash/engine_subject.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "crash/model.h"
#include "lsm/batch.h"
#include "lsm/engine.h"
#include "lsm/prebuilt.h"

#define KEY_ROOM 8
#define CONFIGS  48

struct key {
    char text[KEY_ROOM];
    fr_slice slice; /* of text */
};

/* Borrows from the key, which must stay where it is. */
static fr_slice key_of(size_t slot, struct key *key)
{
    int size = slot == FR_CRASH_SLOT_ID ? snprintf(key->text, KEY_ROOM, "z")
                                        : snprintf(key->text, KEY_ROOM, "k%02zu", slot % 100);

    return key->slice = fr_slice_of(key->text, (size_t)size);
}

/* FR_CRASH_SLOTS: it is no slot's. */
static size_t slot_of(fr_slice key)
{
    const uint8_t *text = key.data;

    if (key.size == 1 && text[0] == 'z') return FR_CRASH_SLOT_ID;
    if (key.size != 3 || text[0] != 'k') return FR_CRASH_SLOTS;
    if (text[1] < '0' || text[1] > '9' || text[2] < '0' || text[2] > '9') return FR_CRASH_SLOTS;
    size_t slot = (size_t)(text[1] - '0') * 10 + (size_t)(text[2] - '0');
    return slot < FR_CRASH_SLOT_ID ? slot : FR_CRASH_SLOTS;
}

/* ---- configurations */

/* The half with everything tiny; a number's remainders choose, so that each pair of choices comes.
 */
static struct fr_engine_options tiny_options(unsigned config)
{
    static const uint32_t thresholds[] = {0, 300, 64}, blocks[] = {4096, 8192, 32768};
    struct fr_engine_options options = fr_engine_options_default();

    options.memtable_size = 16 << 10;
    options.log_segment_size = config % 2 ? 20480 : 32768;
    options.table_size = 6000;
    options.cache_size = config % 5 == 4 ? 1 << 20 : 64 << 10;
    options.block_size = blocks[config / 2 % 3];
    options.value_threshold = thresholds[config % 3];
    options.compress = config / 6 % 2 == 0;
    options.direct_reads = config % 2 != 0;
    options.filter_bits = config / 12 % 2 == 0 ? 10 : 0;
    options.verify_tables = config % 4 != 3;
    options.ingest_lead = config % 7 == 6 ? 1 : 0; /* is overtaken by what is written meanwhile */
    options.picker.level0_trigger = 2;
    options.picker.level0_most = 2;
    options.picker.base_bytes = 12 << 10;
    /* Little garbage is much here, so that value files are emptied all the time. */
    options.value_file_size = 8 << 10;
    options.picker.space_percent = 102;
    options.picker.space_slack = 256;
    return options;
}

struct fr_engine_options fr_crash_engine_options(unsigned config)
{
    struct fr_engine_options options = tiny_options(config);

    if (config < CONFIGS / 2) return options;
    options.memtable_size = config % 2 ? 1 << 20 : 64 << 10;
    options.log_segment_size = 256 << 10;
    options.table_size = config % 3 ? 1 << 20 : 3000;
    options.picker.level0_trigger = 4;
    options.picker.level0_most = 8;
    options.picker.base_bytes = config % 4 ? 1 << 20 : 4 << 10;
    if (config % 3 == 0) options.memory_budget = 8 << 20;
    return options;
}

static fr_status engine_open(struct fr_env *env, const char *path, unsigned config,
        enum fr_crash_mode mode, void **ret_store)
{
    struct fr_engine_options options = fr_crash_engine_options(config % CONFIGS);
    struct fr_engine *engine;

    if (config >= CONFIGS) options.disk_reserve = 0;
    options.create = mode == FR_CRASH_MAKE;
    options.read_only = mode == FR_CRASH_READ_ONLY;
    fr_status st = fr_engine_open(env, path, &options, &engine);
    if (st == FR_OK) *ret_store = engine;
    return st;
}

static fr_status engine_close(void *store)
{
    return fr_engine_close(store);
}

static uint64_t engine_progress(void *store)
{
    return fr_engine_last_seq(store);
}

/* ---- writing */

static fr_status add_change(struct fr_batch *batch, const struct fr_crash_change *change)
{
    struct key key, end;

    (void)key_of(change->slot, &key);
    switch (change->kind) {
    case FR_CRASH_PUT:
        return fr_batch_add_put(batch, key.slice, change->bytes);
    case FR_CRASH_DELETE:
        return fr_batch_add_delete(batch, key.slice);
    case FR_CRASH_APPEND:
        return fr_batch_add_append(batch, key.slice, change->bytes);
    case FR_CRASH_DELETE_RANGE:
        return fr_batch_add_delete_range(batch, key.slice, key_of(change->end, &end));
    }
    return FR_OK;
}

static fr_status engine_write(void *store, const struct fr_crash_change *changes, size_t count,
        fr_sync sync)
{
    struct fr_batch batch = FR_BATCH_EMPTY;
    fr_slice bytes;
    fr_status st = FR_OK;

    for (size_t i = 0; i < count; i++)
        FR_TRY(add_change(&batch, &changes[i]));
    FR_TRY(fr_batch_finish(&batch, &bytes));
    st = fr_engine_write(store, bytes, batch.count, (enum fr_durability)sync);
out:
    fr_batch_deinit(&batch);
    return st;
}

static fr_status engine_act(void *store, enum fr_crash_act act, size_t slot, size_t end)
{
    fr_slice none = {0};
    struct key from, to;

    switch (act) {
    case FR_CRASH_FLUSH:
        return fr_engine_flush(store);
    case FR_CRASH_SYNC:
        return fr_engine_sync(store);
    case FR_CRASH_IDLE:
        return fr_engine_wait_idle(store);
    case FR_CRASH_COMPACT:
        if (end == 0) return fr_engine_compact_range(store, none, none);
        return fr_engine_compact_range(store, key_of(slot, &from), key_of(end, &to));
    }
    return FR_OK;
}

/* ---- reading */

/* One after the other in the iterator's order, forwards or backwards. */
static fr_status walk(struct fr_iter *it, struct fr_crash_reading *reading)
{
    bool back = reading->way == FR_CRASH_BACKWARDS;
    fr_status st;

    if (back)
        fr_iter_seek_last(it);
    else
        fr_iter_seek_first(it);
    while ((st = back ? fr_iter_prev(it) : fr_iter_next(it)) == FR_OK) {
        size_t slot = slot_of(it->entry.key);
        if (slot == FR_CRASH_SLOTS)
            fr_crash_saw_foreign(reading);
        else
            fr_crash_saw(reading, slot, it->entry.value);
    }
    return st == FR_END ? FR_OK : st;
}

static fr_status scan(struct fr_engine *engine, fr_seq at, struct fr_crash_reading *reading)
{
    struct fr_engine_scan_options options = {.at = at};
    struct fr_iter *it = NULL;

    fr_status st = fr_engine_scan(engine, &options, &it);
    if (st < 0) return st;
    st = walk(it, reading);
    fr_iter_close(it);
    return st;
}

static fr_status get_each(struct fr_engine *engine, fr_seq at, struct fr_crash_reading *reading)
{
    struct fr_engine_value value;
    struct key key;

    for (size_t i = 0; i < FR_CRASH_SLOTS; i++) {
        fr_status st = fr_engine_get(engine, key_of(i, &key), at, &value);
        if (st < 0) return st;
        if (st == FR_NOT_FOUND) {
            fr_crash_saw_nothing(reading, i);
            continue;
        }
        fr_crash_saw(reading, i, value.bytes);
        fr_engine_value_release(&value);
    }
    return FR_OK;
}

/* The first slot that has failed ends the reading; the values behind it are only released. */
static fr_status take_values(size_t count, struct fr_engine_value *values,
        const fr_status *statuses, struct fr_crash_reading *reading)
{
    fr_status st = FR_OK;

    for (size_t i = 0; i < count; i++) {
        if (statuses[i] < 0 && st == FR_OK) st = statuses[i];
        if (statuses[i] == FR_NOT_FOUND && st == FR_OK) fr_crash_saw_nothing(reading, i);
        if (statuses[i] != FR_OK) continue;
        if (st == FR_OK) fr_crash_saw(reading, i, values[i].bytes);
        fr_engine_value_release(&values[i]);
    }
    return st;
}

static fr_status get_all(struct fr_engine *engine, fr_seq at, struct fr_crash_reading *reading)
{
    struct fr_engine_value values[FR_CRASH_SLOTS] = {0};
    fr_status statuses[FR_CRASH_SLOTS] = {0};
    fr_slice keys[FR_CRASH_SLOTS];
    struct key texts[FR_CRASH_SLOTS];

    for (size_t i = 0; i < FR_CRASH_SLOTS; i++)
        keys[i] = key_of(i, &texts[i]);
    struct fr_view *view = fr_engine_view_take(engine, &at);
    uint64_t moment_us = 0;
    fr_status st = fr_engine_multi_get(engine, view, at, &moment_us, FR_CRASH_SLOTS, keys, values,
            statuses);
    if (st == FR_OK) st = take_values(FR_CRASH_SLOTS, values, statuses, reading);
    fr_engine_view_release(engine, view);
    return st;
}

static fr_status read_at(struct fr_engine *engine, fr_seq at, enum fr_crash_way way,
        struct fr_crash_reading *reading)
{
    fr_status st;

    fr_crash_reading_begin(reading, way);
    st = way == FR_CRASH_BY_SLOT   ? get_each(engine, at, reading)
         : way == FR_CRASH_AT_ONCE ? get_all(engine, at, reading)
                                   : scan(engine, at, reading);
    if (st == FR_OK) fr_crash_reading_end(reading);
    return st;
}

static fr_status engine_read(void *store, enum fr_crash_way way, struct fr_crash_reading *reading)
{
    return read_at(store, FR_SEQ_MAX, way, reading);
}

/* ---- what stays */

struct held {
    struct fr_iter *it; /* NULL: it is a snapshot */
    fr_seq seq;
};

/* An iterator has already moved, so that it holds a block when what it reads from changes. */
static fr_status hold_iterator(struct fr_engine *engine, struct held *held)
{
    struct fr_engine_scan_options options = {.at = FR_SEQ_MAX};
    fr_status st = fr_engine_scan(engine, &options, &held->it);

    for (int i = 0; i < 3 && st == FR_OK; i++)
        st = fr_iter_next(held->it);
    return st < 0 ? st : FR_OK;
}

static void engine_release(void *store, void *to_release)
{
    struct held *held = to_release;

    if (held == NULL) return;
    if (held->seq != 0) fr_engine_snapshot_release(store, held->seq - 1);
    fr_iter_close(held->it);
    fr_free(held);
}

static fr_status engine_hold(void *store, enum fr_crash_hold kind, void **ret_held)
{
    struct held *held = FR_NEW(struct held);
    fr_status st;

    if (held == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to hold a moment");
    if (kind == FR_CRASH_ITERATOR) {
        FR_TRY(hold_iterator(store, held));
    } else {
        fr_seq seq;
        FR_TRY(fr_engine_snapshot_take(store, &seq));
        held->seq = seq + 1; /* of an empty store it is 0 */
    }
    *ret_held = FR_TAKE(held);
out:
    engine_release(store, held);
    return st;
}

static fr_status engine_read_held(void *store, void *to_read, enum fr_crash_way way,
        struct fr_crash_reading *reading)
{
    struct held *held = to_read;

    if (held->it == NULL) return read_at(store, held->seq - 1, way, reading);
    fr_crash_reading_begin(reading,
            way == FR_CRASH_BACKWARDS ? FR_CRASH_BACKWARDS : FR_CRASH_FORWARDS);
    fr_status st = walk(held->it, reading);
    if (st == FR_OK) fr_crash_reading_end(reading);
    return st;
}

/* ---- other stores and files */

static fr_status engine_checkpoint(void *store, const char *path)
{
    return fr_engine_checkpoint(store, path, false);
}

static fr_status engine_prebuild(struct fr_env *env, const char *path,
        const struct fr_crash_change *changes, size_t count)
{
    struct fr_prebuilt_options options = {.compress = true, .verify = count % 2 == 0};
    struct fr_prebuilt *prebuilt = NULL;
    struct key key;
    fr_status st;

    FR_TRY(fr_prebuilt_new(env, path, &options, &prebuilt));
    for (size_t i = 0; i < count; i++) {
        (void)key_of(changes[i].slot, &key);
        FR_TRY(changes[i].kind == FR_CRASH_DELETE
                        ? fr_prebuilt_delete(prebuilt, key.slice)
                        : fr_prebuilt_put(prebuilt, key.slice, changes[i].bytes, 0));
    }
    st = fr_prebuilt_finish(prebuilt);
out:
    fr_prebuilt_free(prebuilt);
    return st;
}

static fr_status engine_ingest(void *store, const char *const *paths, size_t count, bool move)
{
    return fr_engine_ingest(store, paths, count, move);
}

static_assert((int)FR_SYNC_DEVICE == FR_DURABLE_DEVICE && (int)FR_SYNC_OS == FR_DURABLE_OS &&
                      (int)FR_SYNC_NONE == FR_DURABLE_NONE,
        "the classes of the public interface are the engine's");
static_assert(FR_CRASH_SLOTS <= FR_ENGINE_MULTI_MAX, "all slots are read at once");

const struct fr_crash_subject fr_crash_engine = {
        .name = "engine",
        .change_kinds = 1u << FR_CRASH_PUT | 1u << FR_CRASH_DELETE | 1u << FR_CRASH_APPEND |
                        1u << FR_CRASH_DELETE_RANGE,
        .configs = CONFIGS,
        .open = engine_open,
        .close = engine_close,
        .write = engine_write,
        .act = engine_act,
        .progress = engine_progress,
        .read = engine_read,
        .hold = engine_hold,
        .read_held = engine_read_held,
        .release = engine_release,
        .checkpoint = engine_checkpoint,
        .prebuild = engine_prebuild,
        .ingest = engine_ingest,
};
