/*
 * index_subject.c - slots as vectors of an index whose postings are tiny, over a tiny engine.
 *
 * A slot is one to eight vectors, so that a few slots fill a posting. The first has the slot's
 * bytes as its payload, the others a hash of them; where they lie follows from the same hash, near
 * one of a few centres that all slots share, and some of them exactly there. So each write moves
 * vectors from posting to posting, and a few are all alike.
 *
 * Reading is by searches for all, by ids and by what is stored, which must agree. What no reading
 * shows is asked of fr_spfresh_check(), and of how the index was opened: a crash alone never costs
 * what is derived. Some configurations give that up every now and then, to have it written anew;
 * others damage it before they open it, so that there are crashes while it is made from the rows.
 * There, opening by the rows is right. Some build the whole index anew beside what is in use, and
 * put that in its place.
 */
#include "crash/index_subject.h"

#include <stdio.h>

#include "base/alloc.h"
#include "base/assert.h"
#include "base/rng.h"
#include "crash/changes.h"
#include "crash/engine_subject.h"
#include "crash/model.h"
#include "lsm/batch.h"
#include "spfresh/index.h"
#include "spfresh/stored.h"

#define CONFIGS 24
#define DIM     8
#define CENTRES 7

/* Vectors of a slot at the most; of all slots; and of a batch that puts. */
#define PARTS     8
#define ALL       (PARTS * FR_CRASH_SLOTS)
#define BATCH_MAX (PARTS * FR_CRASH_CHANGES_MAX)

struct store {
    struct fr_engine *engine;
    struct fr_spfresh *index;
    unsigned config;
    unsigned flushes, compactions;
};

/* ---- what a slot is made of */

static unsigned parts_of(size_t slot)
{
    return slot == FR_CRASH_SLOT_ID ? 1 : 1 + (unsigned)slot % PARTS;
}

static uint64_t id_of(size_t slot, unsigned part)
{
    return (uint64_t)slot << 40 | part;
}

/* FR_CRASH_SLOTS: it is no slot's. */
static size_t slot_of(uint64_t id)
{
    uint64_t slot = id >> 40, part = id & ((UINT64_C(1) << 40) - 1);

    return slot < FR_CRASH_SLOTS && part < parts_of(slot) ? slot : FR_CRASH_SLOTS;
}

/* Every fourth lies where others do, too. No vector is zero: the cosine wants a direction. */
static void make_vector(uint64_t hash, unsigned part, float *to)
{
    struct fr_rng rng;

    fr_rng_init(&rng, fr_mix64(hash + part));
    uint64_t centre = fr_rng_below(&rng, CENTRES);
    bool alike = fr_rng_one_in(&rng, 4);
    for (unsigned i = 0; i < DIM; i++) {
        to[i] = 1 + (float)(fr_mix64(centre * DIM + i) % 16);
        if (!alike) to[i] += (float)fr_rng_double(&rng) * 4;
    }
}

struct fr_crash_index_work fr_crash_index_work;

/* ---- opening */

/* With a thread that maintains; else it is done where the harness says so. */
static bool has_thread(unsigned config)
{
    return config % 3 == 2;
}

/* With a thread that loads; else whoever needs a posting does it. */
static bool is_unhurried(unsigned config)
{
    return config % 5 == 4;
}

static bool gives_up(unsigned config)
{
    return config % 4 == 3;
}

static bool spoils(unsigned config)
{
    return config % 4 == 1;
}

static bool renews(unsigned config)
{
    return config % 3 != 1;
}

static struct fr_spfresh_setup setup_of(unsigned config, enum fr_crash_mode mode)
{
    return (struct fr_spfresh_setup){.read_only = mode == FR_CRASH_READ_ONLY,
            .manual = !has_thread(config),
            .unhurried = is_unhurried(config),
            .split_limit = config % 2 ? 20 : 12,
            .merge_limit = config % 2 ? 6 : 3};
}

static void free_store(struct store *store)
{
    struct fr_error why;

    if (store == NULL) return;
    fr_error_save(&why);
    fr_spfresh_close(store->index);
    (void)fr_engine_close(store->engine);
    fr_free(store);
    if (why.status < 0) (void)fr_error_restore(&why);
}

/* The first, where none counts. */
static fr_status find_generation(struct fr_engine *engine, const struct fr_index_key *prefix,
        uint32_t *ret_generation)
{
    struct fr_index_key key = fr_key_space(prefix);
    struct fr_engine_value value;

    *ret_generation = FR_GENERATION_FIRST;
    fr_status st = fr_engine_get(engine, fr_index_key_slice(&key), FR_SEQ_MAX, &value);
    if (st != FR_OK) return st < 0 ? st : FR_OK;
    st = fr_stored_read_generation(value.bytes, ret_generation);
    fr_engine_value_release(&value);
    return st;
}

/* A centroid that cannot be, found at opening; or such a posting, which loading finds. */
static fr_status spoil(struct fr_engine *engine, bool centroid)
{
    struct fr_index_key prefix, key;
    struct fr_batch batch = FR_BATCH_EMPTY;
    uint32_t generation;
    fr_slice bytes;
    fr_status st;

    fr_key_prefix("", &prefix);
    FR_TRY(find_generation(engine, &prefix, &generation));
    key = centroid ? fr_key_centroid(&prefix, generation, 1, 5000000)
                   : fr_key_posting(&prefix, generation, 1);
    FR_TRY(fr_batch_add_put(&batch, fr_index_key_slice(&key), fr_slice_of("?", 1)));
    FR_TRY(fr_batch_finish(&batch, &bytes));
    st = fr_engine_write(engine, bytes, batch.count, FR_DURABLE_NONE);
out:
    fr_batch_deinit(&batch);
    return st;
}

/* What a store is made as, another configuration takes as it is. */
static fr_status open_index(struct store *store, enum fr_crash_mode mode)
{
    struct fr_spfresh_setup setup = setup_of(store->config, mode);

    fr_status st = fr_spfresh_open(store->engine, "", &setup, &store->index);
    if (st != FR_ERR_MISSING || mode != FR_CRASH_MAKE) return st;
    setup.create = true;
    setup.dimension = DIM;
    setup.metric = (enum fr_metric)(1 + store->config / 2 % 3);
    setup.seed = 1 + store->config;
    return fr_spfresh_open(store->engine, "", &setup, &store->index);
}

static fr_status index_open(struct fr_env *env, const char *path, unsigned config,
        enum fr_crash_mode mode, void **ret_store)
{
    struct fr_engine_options options = fr_crash_engine_options(config % CONFIGS);
    struct store *store = FR_NEW(struct store);
    fr_status st;

    if (store == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a store");
    options.create = mode == FR_CRASH_MAKE;
    options.read_only = mode == FR_CRASH_READ_ONLY;
    store->config = config;
    FR_TRY(fr_engine_open(env, path, &options, &store->engine));
    if (spoils(config) && mode == FR_CRASH_MAKE && fr_engine_last_seq(store->engine) % 4 == 1)
        FR_TRY(spoil(store->engine, fr_engine_last_seq(store->engine) % 8 == 1));
    FR_TRY(open_index(store, mode));
    *ret_store = FR_TAKE(store);
out:
    free_store(store);
    return st;
}

static void count_work(struct fr_spfresh *index)
{
    struct fr_crash_index_work *work = &fr_crash_index_work;
    struct fr_index_stats stats = {.size = sizeof(stats)};

    fr_spfresh_stats(index, &stats);
    atomic_fetch_add_explicit(&work->splits, stats.splits, memory_order_relaxed);
    atomic_fetch_add_explicit(&work->merges, stats.merges, memory_order_relaxed);
    atomic_fetch_add_explicit(&work->moved, stats.moved, memory_order_relaxed);
    atomic_fetch_add_explicit(&work->rebuilt, stats.rebuilt != 0, memory_order_relaxed);
    atomic_fetch_add_explicit(&work->renewed, stats.rebuilds, memory_order_relaxed);
}

static fr_status index_close(void *to_close)
{
    struct store *store = to_close;

    count_work(store->index);
    fr_spfresh_close(store->index);
    fr_status st = fr_engine_close(store->engine);
    fr_free(store);
    return st;
}

/* ---- writing */

struct upsert {
    size_t count;
    uint64_t ids[BATCH_MAX];
    uint64_t hashes[BATCH_MAX]; /* the payloads but the first of each slot */
    struct fr_payload payloads[BATCH_MAX];
    float vectors[BATCH_MAX][DIM];
};

static void add_put(struct upsert *upsert, const struct fr_crash_change *change)
{
    uint64_t hash = fr_crash_slot_hash(change->slot, change->bytes);

    for (unsigned part = 0; part < parts_of(change->slot); part++) {
        size_t i = upsert->count++;

        upsert->ids[i] = id_of(change->slot, part);
        upsert->hashes[i] = hash;
        upsert->payloads[i] = part == 0
                                      ? (struct fr_payload){change->bytes.data, change->bytes.size}
                                      : (struct fr_payload){&upsert->hashes[i], sizeof(hash)};
        make_vector(hash, part, upsert->vectors[i]);
    }
}

static fr_status put_all(struct store *store, const struct fr_crash_change *changes, size_t count,
        fr_sync sync)
{
    struct upsert upsert;

    upsert.count = 0;
    for (size_t i = 0; i < count; i++)
        add_put(&upsert, &changes[i]);
    return fr_spfresh_upsert(store->index, (enum fr_durability)sync, upsert.count, upsert.ids,
            upsert.vectors[0], upsert.payloads);
}

static fr_status delete_all(struct store *store, const struct fr_crash_change *changes,
        size_t count, fr_sync sync)
{
    bool gone[FR_CRASH_SLOTS] = {0};
    uint64_t ids[ALL];
    size_t id_count = 0, deleted;

    for (size_t i = 0; i < count; i++) {
        size_t end = changes[i].kind == FR_CRASH_DELETE ? changes[i].slot + 1 : changes[i].end;
        for (size_t slot = changes[i].slot; slot < end; slot++)
            gone[slot] = true;
    }
    for (size_t slot = 0; slot < FR_CRASH_SLOTS; slot++)
        for (unsigned part = 0; gone[slot] && part < parts_of(slot); part++)
            ids[id_count++] = id_of(slot, part);
    return fr_spfresh_delete(store->index, (enum fr_durability)sync, id_count, ids, &deleted);
}

static fr_status index_write(void *store, const struct fr_crash_change *changes, size_t count,
        fr_sync sync)
{
    FR_ASSERT(count <= FR_CRASH_CHANGES_MAX);
    if (changes[0].kind == FR_CRASH_PUT) return put_all(store, changes, count, sync);
    return delete_all(store, changes, count, sync);
}

/* ---- what it does besides */

static fr_status tend_for(struct store *store, uint64_t limit_us)
{
    uint64_t left;

    return fr_spfresh_maintain(store->index, limit_us, &left);
}

static fr_status index_tend(void *store)
{
    return tend_for(store, 1);
}

static fr_status flush(struct store *store)
{
    fr_status st = FR_OK;

    if (gives_up(store->config) && store->flushes++ % 2 == 0)
        FR_TRY(fr_spfresh_forget_derived(store->index));
    st = fr_engine_flush(store->engine);
out:
    return st;
}

static fr_status compact(struct store *store)
{
    fr_slice none = {0};
    fr_status st = FR_OK;

    if (renews(store->config) && store->compactions++ % 2 == 0)
        FR_TRY(fr_spfresh_rebuild(store->index, 1));
    st = fr_engine_compact_range(store->engine, none, none);
out:
    return st;
}

static fr_status index_act(void *to_act, enum fr_crash_act act, size_t slot, size_t end)
{
    struct store *store = to_act;
    fr_status st = FR_OK;

    (void)slot;
    (void)end;
    switch (act) {
    case FR_CRASH_FLUSH:
        return flush(store);
    case FR_CRASH_SYNC:
        return fr_engine_sync(store->engine);
    case FR_CRASH_COMPACT:
        return compact(store);
    case FR_CRASH_IDLE:
        FR_TRY(tend_for(store, 0));
        st = fr_engine_wait_idle(store->engine);
    }
out:
    return st;
}

/* ---- reading */

/* Which vectors there are, by slot and part, as somebody has found them. */
struct found {
    bool there[FR_CRASH_SLOTS][PARTS];
};

static void find(struct found *found, uint64_t id, struct fr_crash_reading *reading)
{
    size_t slot = slot_of(id);

    if (slot == FR_CRASH_SLOTS) {
        fr_crash_saw_foreign(reading);
        return;
    }
    bool *there = &found->there[slot][id & (PARTS - 1)];
    if (*there) fr_crash_saw_wrong(reading, "a vector is found twice");
    *there = true;
}

static fr_status search(struct fr_spfresh *index, bool exhaustive, struct found *found,
        struct fr_crash_reading *reading)
{
    struct fr_search_options how = {.postings = 1000000, .exhaustive = exhaustive};
    struct fr_hit hits[ALL + 1];
    float query[DIM];
    size_t count;
    fr_status st;

    make_vector(fr_mix64(reading->way), 0, query);
    FR_TRY(fr_spfresh_search(index, &how, query, ALL + 1, hits, &count));
    for (size_t i = 0; i < count; i++)
        find(found, hits[i].id, reading);
out:
    return st;
}

static fr_status scan_rows(struct store *store, struct found *found,
        struct fr_crash_reading *reading)
{
    struct fr_engine_scan_options options = {.at = FR_SEQ_MAX};
    struct fr_index_key prefix, kind;
    struct fr_iter *it = NULL;
    uint64_t id = 0;
    fr_status st;

    fr_key_prefix("", &prefix);
    kind = fr_key_kind(&prefix, 'v');
    options.prefix = fr_index_key_slice(&kind);
    FR_TRY(fr_engine_scan(store->engine, &options, &it));
    while ((st = fr_iter_next(it)) == FR_OK) {
        FR_TRY(fr_key_read_vector(&kind, it->entry.key, &id));
        find(found, id, reading);
    }
    if (st == FR_END) st = FR_OK;
out:
    fr_iter_close(it);
    return st;
}

/* The vector as it was put, if the payload is what the slot has; FR_NOT_FOUND. */
static fr_status get_part(struct fr_spfresh *index, size_t slot, unsigned part,
        struct fr_engine_value *ret_value, fr_slice *ret_payload, float *ret_vector)
{
    return fr_spfresh_get(index, id_of(slot, part), ret_vector, ret_value, ret_payload);
}

/* A part that is there, beside the slot's hash. */
static void judge_part(struct fr_crash_reading *reading, uint64_t hash, unsigned part,
        fr_slice payload, const float *vector)
{
    float wanted[DIM];

    make_vector(hash, part, wanted);
    if (!fr_slice_equal(fr_slice_of(vector, sizeof(wanted)), fr_slice_of(wanted, sizeof(wanted))))
        fr_crash_saw_wrong(reading, "a vector is not what was put with its payload");
    if (part > 0 && !fr_slice_equal(payload, fr_slice_of(&hash, sizeof(hash))))
        fr_crash_saw_wrong(reading, "the vectors of one slot are of different batches");
}

/* The slot by its ids; and whether each is there must be what was found, unless that is NULL. */
static fr_status read_slot(struct store *store, size_t slot, const struct found *found,
        struct fr_crash_reading *reading)
{
    uint64_t hash = 0;

    for (unsigned part = 0; part < parts_of(slot); part++) {
        struct fr_engine_value value;
        float vector[DIM];
        fr_slice payload;

        fr_status st = get_part(store->index, slot, part, &value, &payload, vector);
        if (st < 0) return st;
        if (found != NULL && found->there[slot][part] != (st == FR_OK))
            fr_crash_saw_wrong(reading, st == FR_OK ? "a vector that is there is not found"
                                                    : "a vector is found that is not there");
        if (part > 0 && (st == FR_OK) != (hash != 0))
            fr_crash_saw_wrong(reading, "some vectors of a slot are there, and others are not");
        if (st == FR_NOT_FOUND) continue;
        if (part == 0) hash = fr_crash_slot_hash(slot, payload);
        judge_part(reading, hash, part, payload, vector);
        if (part == 0) fr_crash_saw(reading, slot, payload);
        fr_engine_value_release(&value);
    }
    if (hash == 0 && reading->way == FR_CRASH_BY_SLOT) fr_crash_saw_nothing(reading, slot);
    return FR_OK;
}

static fr_status read_slots(struct store *store, const struct found *found,
        struct fr_crash_reading *reading)
{
    bool back = reading->way == FR_CRASH_BACKWARDS;
    fr_status st = FR_OK;

    for (size_t i = 0; i < FR_CRASH_SLOTS; i++)
        FR_TRY(read_slot(store, back ? FR_CRASH_SLOTS - 1 - i : i, found, reading));
    fr_crash_reading_end(reading);
out:
    return st;
}

static fr_status index_read(void *to_read, enum fr_crash_way way, struct fr_crash_reading *reading)
{
    struct found found = {0};
    struct store *store = to_read;
    fr_status st = FR_OK;

    fr_crash_reading_begin(reading, way);
    if (way == FR_CRASH_AT_ONCE)
        FR_TRY(scan_rows(store, &found, reading));
    else if (way != FR_CRASH_BY_SLOT)
        FR_TRY(search(store->index, way == FR_CRASH_BACKWARDS, &found, reading));
    st = read_slots(store, way == FR_CRASH_BY_SLOT ? NULL : &found, reading);
out:
    return st;
}

/* ---- what no reading shows */

static fr_status index_verify(void *to_verify, bool hurt)
{
    struct store *store = to_verify;
    struct fr_index_stats stats = {.size = sizeof(stats)};
    uint64_t most = hurt || spoils(store->config) ? 2 : gives_up(store->config) ? 1 : 0;

    fr_status st = fr_spfresh_wait_loaded(store->index);
    if (st < 0) return st;
    fr_spfresh_stats(store->index, &stats);
    if (stats.rebuilt > most)
        return FR_FAIL(FR_ERR_CORRUPT, "what is derived was %s, and nothing but a crash was there",
                stats.rebuilt == 1 ? "not complete" : "damaged");
    return fr_spfresh_check(store->index);
}

static fr_status index_checkpoint(void *store, const char *path)
{
    return fr_engine_checkpoint(((struct store *)store)->engine, path, false);
}

static_assert((PARTS & (PARTS - 1)) == 0, "a part is the low bits of an id");

const struct fr_crash_subject fr_crash_index = {
        .name = "index",
        .change_kinds = 1u << FR_CRASH_PUT | 1u << FR_CRASH_DELETE | 1u << FR_CRASH_DELETE_RANGE,
        .configs = CONFIGS,
        .unmixed = true,
        .open = index_open,
        .close = index_close,
        .write = index_write,
        .act = index_act,
        .tend = index_tend,
        .read = index_read,
        .verify = index_verify,
        .checkpoint = index_checkpoint,
};
