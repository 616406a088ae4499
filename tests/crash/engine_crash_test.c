/*
 * engine_crash_test.c - a store, and every disk that a crash may leave of it.
 *
 * A seeded workload writes, flushes, compacts, reopens and dies on a simulated machine whose
 * memtables, tables and segments are tiny. Around each change of the disk the plug is pulled, by
 * whichever thread made the change, and each disk that may be left is opened again. What is found
 * must be the state after some prefix of the batches, and reach at least as far as was
 * acknowledged; the same again when the recovery is crashed itself, and after writing on.
 *
 * The engine's own threads make the interleavings vary, so a seed repeats the workload, not the
 * schedule.
 */
#define FR_ALLOW_MALLOC
#include <criterion/criterion.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/cover.h"
#include "base/hash.h"
#include "base/mutex.h"
#include "base/rng.h"
#include "io/sim.h"
#include "lsm/batch.h"
#include "lsm/engine.h"

#define must(call)                                                                                 \
    do {                                                                                           \
        fr_status must_st_ = (call);                                                               \
        cr_assert(must_st_ == FR_OK, "seed %llu: %s: %s: %s", (unsigned long long)seed_now, #call, \
                fr_status_name(must_st_), must_st_ < 0 ? fr_last_error() : "");                    \
    } while (0)

#define KEYS        40 /* and one more, which each batch puts: the batch's id */
#define VALUE_BYTES 1200
#define HISTORY_MAX 2048
#define PENDING_MAX 512
#define DEPTH_MAX   3

static uint64_t seed_now;
static _Atomic(unsigned long) points_seen, images_seen, images_left;
static unsigned long recoveries, recoveries_by_depth[DEPTH_MAX + 1], kills, reopenings, opens_told;

/* The latest values, by key. */
struct model {
    struct {
        bool there;
        struct fr_buf bytes;
    } values[KEYS + 1];
};

/* What was committed, in order. A batch follows from its id. [n] is after n batches. */
struct history {
    uint32_t ids[HISTORY_MAX];
    uint64_t hashes[HISTORY_MAX + 1];
    fr_seq seqs[HISTORY_MAX + 1];
    size_t count;
};

struct pending {
    struct fr_sim_image *image;
    size_t least, most; /* batches */
};

struct bed {
    struct fr_sim *sim;
    struct fr_engine *engine; /* NULL: closed */
    struct fr_engine_options options;
    struct history h;
    struct model model;
    struct fr_rng rng;
    uint32_t next_id;
    size_t published;
    bool lied;
    unsigned depth;
    unsigned points_one_in; /* crash at each n-th change */
    unsigned images_per_point;
    bool snapshot_held;
    fr_seq snapshot;
    uint64_t snapshot_hash;

    /* Read by the hook, on any thread. */
    _Atomic(size_t) acked;
    _Atomic(size_t) issued;
    _Atomic(bool) no_images;

    struct fr_mutex mu; /* rank FR_RANK_SIM: the hook is called without the machine's lock */

    /* Guarded by mu. */
    struct pending pending[PENDING_MAX];
    size_t pending_count;
    uint64_t changes;
    uint64_t seen[1 << 12]; /* hashes of images, by chance overwritten */
};

static struct fr_engine_options tiny_options(uint64_t seed)
{
    struct fr_engine_options options = fr_engine_options_default();

    options.memtable_size = 16 << 10;
    options.log_segment_size = seed % 2 ? 20480 : 32768;
    options.table_size = 6000;
    options.cache_size = 64 << 10;
    options.block_size = 4096;
    options.value_threshold = seed % 3 == 0 ? 0 : 300;
    options.direct_reads = seed % 2 != 0; /* as run_history lets the machine have them */
    options.picker.level0_trigger = 2;
    options.picker.level0_most = 2;
    options.picker.base_bytes = 12 << 10;
    /* Little garbage is much here, so that value files are emptied all the time. */
    options.value_file_size = 8 << 10;
    options.picker.space_percent = 102;
    options.picker.space_slack = 256;
    return options;
}

/* ---- batches and the model */

static fr_slice key_of(size_t index, char *text, size_t size)
{
    int length = index == KEYS ? snprintf(text, size, "z") : snprintf(text, size, "k%02zu", index);

    return fr_slice_of(text, (size_t)length);
}

static void model_deinit(struct model *model)
{
    for (size_t i = 0; i <= KEYS; i++)
        fr_buf_deinit(&model->values[i].bytes);
    memset(model, 0, sizeof(*model));
}

static void model_set(struct model *model, size_t index, fr_slice bytes, bool append)
{
    if (!append || !model->values[index].there) fr_buf_clear(&model->values[index].bytes);
    model->values[index].there = true;
    fr_buf_append(&model->values[index].bytes, bytes.data, bytes.size);
}

static uint64_t value_hash(size_t index, fr_slice bytes)
{
    return fr_mix64(fr_hash64(bytes) + index * 0x9e3779b97f4a7c15u);
}

static uint64_t model_hash(const struct model *model)
{
    uint64_t hash = 0;

    for (size_t i = 0; i <= KEYS; i++)
        if (model->values[i].there) hash += value_hash(i, fr_buf_slice(&model->values[i].bytes));
    return hash;
}

/* One operation of a batch, into the batch and into the model; either may be NULL. */
static void add_operation(struct fr_rng *rng, struct fr_batch *batch, struct model *model)
{
    size_t index = fr_rng_below(rng, KEYS), end = index + 1 + fr_rng_below(rng, 8);
    uint64_t dice = fr_rng_below(rng, 20);
    uint8_t bytes[VALUE_BYTES];
    size_t size = fr_rng_one_in(rng, 4) ? fr_rng_below(rng, VALUE_BYTES) : fr_rng_below(rng, 60);
    char text[16], end_text[16];
    fr_slice key = key_of(index, text, sizeof(text)), value = fr_slice_of(bytes, size);

    fr_rng_fill(rng, bytes, size);
    end = FR_MIN(end, (size_t)KEYS);
    if (dice < 1) {
        if (batch != NULL)
            must(fr_batch_add_delete_range(batch, key, key_of(end, end_text, sizeof(end_text))));
        for (size_t i = index; model != NULL && i < end; i++)
            model->values[i].there = false;
    } else if (dice < 4) {
        if (batch != NULL) must(fr_batch_add_delete(batch, key));
        if (model != NULL) model->values[index].there = false;
    } else if (dice < 9) {
        if (batch != NULL) must(fr_batch_add_append(batch, key, value));
        if (model != NULL) model_set(model, index, value, true);
    } else {
        if (batch != NULL) must(fr_batch_add_put(batch, key, value));
        if (model != NULL) model_set(model, index, value, false);
    }
}

static void run_batch(uint32_t id, struct fr_batch *batch, struct model *model)
{
    struct fr_rng rng;
    char text[16], key_text[16];
    fr_slice key = key_of(KEYS, key_text, sizeof(key_text));
    fr_slice value = fr_slice_of(text, (size_t)snprintf(text, sizeof(text), "%u", id));

    fr_rng_init(&rng, id);
    uint64_t count = fr_rng_below(&rng, 5), at = fr_rng_below(&rng, count + 1);
    for (uint64_t i = 0; i <= count; i++) {
        if (i == at && batch != NULL) must(fr_batch_add_put(batch, key, value));
        if (i == at && model != NULL) model_set(model, KEYS, value, false);
        if (i < count) add_operation(&rng, batch, model);
    }
}

/* ---- what a store holds */

static size_t index_of(fr_slice key)
{
    const char *text = (const char *)key.data;

    if (key.size == 1 && text[0] == 'z') return KEYS;
    cr_assert(key.size == 3 && text[0] == 'k', "seed %llu: a key that nobody wrote",
            (unsigned long long)seed_now);
    return (size_t)(text[1] - '0') * 10 + (size_t)(text[2] - '0');
}

/* The hash of all that a scan shows, as model_hash. FR_OK, or what the scan has answered. */
static fr_status scan_hash(struct fr_engine *engine, fr_seq at, bool backwards, uint64_t *ret_hash)
{
    struct fr_engine_scan_options options = {.at = at};
    size_t last = backwards ? KEYS + 1 : 0; /* where the next key may be at the least, or most */
    struct fr_iter *it;

    fr_status st = fr_engine_scan(engine, &options, &it);
    if (st < 0) return st;
    *ret_hash = 0;
    if (backwards) fr_iter_seek_last(it);
    while ((st = backwards ? fr_iter_prev(it) : fr_iter_next(it)) == FR_OK) {
        size_t index = index_of(it->entry.key);
        cr_assert(backwards ? index < last : index >= last, "seed %llu: keys out of order",
                (unsigned long long)seed_now);
        last = backwards ? index : index + 1;
        *ret_hash += value_hash(index, it->entry.value);
    }
    fr_iter_close(it);
    return st == FR_END ? FR_OK : st;
}

static fr_status get_hash(struct fr_engine *engine, fr_seq at, uint64_t *ret_hash)
{
    struct fr_engine_value value;
    char text[16];

    *ret_hash = 0;
    for (size_t i = 0; i <= KEYS; i++) {
        fr_status st = fr_engine_get(engine, key_of(i, text, sizeof(text)), at, &value);
        if (st == FR_NOT_FOUND) continue;
        if (st < 0) return st;
        *ret_hash += value_hash(i, value.bytes);
        fr_engine_value_release(&value);
    }
    return FR_OK;
}

/* Both ways of the scan and the gets must say the same. */
static fr_status store_hash(struct fr_engine *engine, fr_seq at, uint64_t *ret_hash)
{
    uint64_t backwards, gets;
    fr_status st;

    if ((st = scan_hash(engine, at, false, ret_hash)) < 0) return st;
    if ((st = scan_hash(engine, at, true, &backwards)) < 0) return st;
    if ((st = get_hash(engine, at, &gets)) < 0) return st;
    cr_assert(*ret_hash == backwards && *ret_hash == gets,
            "seed %llu: forwards %llx, backwards %llx, by gets %llx", (unsigned long long)seed_now,
            (unsigned long long)*ret_hash, (unsigned long long)backwards, (unsigned long long)gets);
    return FR_OK;
}

/* Which prefix of the history an opened store holds: one of [least, most]. */
static size_t find_prefix(struct fr_engine *engine, const struct history *h, size_t least,
        size_t most, const char *origin)
{
    struct fr_engine_value value;
    char text[32] = "nothing";
    uint64_t hash;

    must(store_hash(engine, FR_SEQ_MAX, &hash));
    for (size_t n = most + 1; n-- > least;) {
        if (h->hashes[n] != hash) continue;
        cr_assert(fr_engine_last_seq(engine) >= h->seqs[n] || n == most,
                "seed %llu, %s: sequence number %llu after %zu batches, which had reached %llu",
                (unsigned long long)seed_now, origin,
                (unsigned long long)fr_engine_last_seq(engine), n, (unsigned long long)h->seqs[n]);
        return n;
    }
    if (fr_engine_get(engine, fr_slice_of("z", 1), FR_SEQ_MAX, &value) == FR_OK) {
        snprintf(text, sizeof(text), "%.*s", (int)value.bytes.size, (const char *)value.bytes.data);
        fr_engine_value_release(&value);
    }
    for (size_t n = 0; n <= most; n++)
        if (h->hashes[n] == hash)
            cr_assert(false, "seed %llu, %s: only %zu batches of %zu that were acknowledged",
                    (unsigned long long)seed_now, origin, n, least);
    cr_assert(false,
            "seed %llu, %s: no prefix in [%zu, %zu], the newest batch is %s; wanted %u..%u",
            (unsigned long long)seed_now, origin, least, most, text,
            least > 0 ? h->ids[least - 1] : 0, most > 0 ? h->ids[most - 1] : 0);
    return 0;
}

/* ---- the machine and its crashes */

/* On a thread of the engine no assertion can end the test in an orderly way. */
static void must_here(fr_status st)
{
    if (st >= 0) return;
    fprintf(stderr, "seed %llu: %s\n", (unsigned long long)seed_now, fr_last_error());
    abort();
}

static bool is_new_locked(struct bed *bed, uint64_t key) FR_REQUIRES(bed->mu)
{
    uint64_t *seen = &bed->seen[key % FR_ARRAY_COUNT(bed->seen)];

    if (*seen == key) return false;
    *seen = key;
    return true;
}

static void keep_image(struct bed *bed, struct fr_sim_image *image, size_t least, size_t most)
{
    uint64_t key = fr_mix64(fr_sim_image_hash(image) + least);

    atomic_fetch_add(&images_seen, 1);
    fr_mutex_lock(&bed->mu);
    if (bed->pending_count == PENDING_MAX) {
        atomic_fetch_add(&images_left, 1);
    } else if (is_new_locked(bed, key)) {
        bed->pending[bed->pending_count++] = (struct pending){image, least, most};
        image = NULL;
    }
    fr_mutex_unlock(&bed->mu);
    fr_sim_image_free(image);
}

static void crash_now(struct bed *bed)
{
    struct fr_sim_crash_options options = {
            .exhaustive_max = 4, .samples_max = 8, .images_max = bed->images_per_point};
    size_t least = atomic_load(&bed->acked), most;
    struct fr_sim_crash *crash;
    struct fr_sim_image *image;

    must_here(fr_sim_crash_open(bed->sim, &options, &crash));
    most = atomic_load(&bed->issued);
    while (fr_sim_crash_next(crash, &image) == FR_OK)
        keep_image(bed, image, least, most);
    fr_sim_crash_close(crash);
}

static void on_change(void *ctx, const struct fr_sim_point *point)
{
    struct bed *bed = ctx;

    if (!point->after || atomic_load(&bed->no_images)) return;
    fr_mutex_lock(&bed->mu);
    bool due = bed->changes++ % bed->points_one_in == 0;
    fr_mutex_unlock(&bed->mu);
    if (!due) return;
    atomic_fetch_add(&points_seen, 1);
    crash_now(bed);
}

static bool take_pending(struct bed *bed, struct pending *ret_pending)
{
    fr_mutex_lock(&bed->mu);
    bool any = bed->pending_count > 0;
    if (any) *ret_pending = bed->pending[--bed->pending_count];
    fr_mutex_unlock(&bed->mu);
    return any;
}

static struct bed *bed_new(uint64_t seed)
{
    struct bed *bed = calloc(1, sizeof(*bed));

    fr_rng_init(&bed->rng, seed);
    fr_mutex_init(&bed->mu, FR_RANK_SIM);
    bed->options = tiny_options(seed);
    bed->next_id = (uint32_t)(seed * 100000);
    bed->points_one_in = 1;
    bed->images_per_point = 4;
    return bed;
}

static void bed_take(struct bed *bed, struct fr_sim *sim)
{
    bed->sim = sim;
    fr_sim_set_hook(sim, on_change, bed);
}

static void bed_open(struct bed *bed)
{
    must(fr_engine_open(fr_sim_env(bed->sim), "store", &bed->options, &bed->engine));
}

static void all_acked(struct bed *bed)
{
    bed->published = bed->h.count;
    atomic_store(&bed->acked, bed->h.count);
}

static void bed_free(struct bed *bed)
{
    struct pending pending;

    atomic_store(&bed->no_images, true);
    (void)fr_engine_close(bed->engine);
    fr_sim_close(bed->sim);
    while (take_pending(bed, &pending))
        fr_sim_image_free(pending.image);
    model_deinit(&bed->model);
    fr_mutex_deinit(&bed->mu);
    free(bed);
}

/* The history ends after n batches from here on. */
static void bed_rewind(struct bed *bed, size_t n)
{
    model_deinit(&bed->model);
    for (size_t i = 0; i < n; i++)
        run_batch(bed->h.ids[i], NULL, &bed->model);
    cr_assert_eq(model_hash(&bed->model), bed->h.hashes[n]);
    bed->h.count = n;
    atomic_store(&bed->issued, n);
    all_acked(bed);
}

/* ---- recovering */

/* How an opening refuses what a lying sync has left. A segment of the log may be an earlier one. */
static bool is_told(fr_status st)
{
    return st == FR_ERR_CORRUPT || st == FR_ERR_MISSING || st == FR_ERR_FOREIGN;
}

static void check_pending(struct bed *bed);
static void step(struct bed *bed);

/*
 * A disk that a crash has left: recovered, and crashed meanwhile if the depth allows it; then, now
 * and then, written on, and opened again.
 */
static void check_image(struct bed *from, const struct pending *p)
{
    struct bed *bed = bed_new(fr_rng_next(&from->rng) % 1000000);
    const char *origin = fr_sim_image_origin(p->image);
    struct fr_sim *sim;

    memcpy(&bed->h, &from->h, sizeof(bed->h));
    bed->options = from->options;
    bed->next_id = from->next_id + 1000000 * (from->depth + 1);
    bed->depth = from->depth + 1;
    bed->images_per_point = 3;
    bed->points_one_in = bed->depth == 1 ? 3 : 5;
    bool deeper = bed->depth < DEPTH_MAX && fr_rng_one_in(&from->rng, bed->depth == 1 ? 40 : 80);
    bool goes_on = fr_rng_one_in(&from->rng, bed->depth == 1 ? 32 : 100);
    bool again = fr_rng_one_in(&from->rng, 8);
    if (from->lied) deeper = goes_on = again = false;
    atomic_store(&bed->no_images, !deeper);
    atomic_store(&bed->acked, p->least);
    atomic_store(&bed->issued, p->most);
    must(fr_sim_image_boot(p->image, fr_rng_next(&from->rng), &sim));
    bed_take(bed, sim);
    fr_status st = fr_engine_open(fr_sim_env(sim), "store", &bed->options, &bed->engine);
    recoveries++;
    recoveries_by_depth[bed->depth]++;
    if (from->lied && is_told(st)) {
        opens_told++;
        bed_free(bed);
        return;
    }
    cr_assert(st == FR_OK, "seed %llu, %s, depth %u: %s", (unsigned long long)seed_now, origin,
            bed->depth, fr_last_error());
    uint64_t hash;
    if (from->lied && (st = store_hash(bed->engine, FR_SEQ_MAX, &hash)) < 0) {
        cr_assert(is_told(st), "%s", fr_last_error());
        opens_told++;
        bed_free(bed);
        return;
    }
    size_t n = find_prefix(bed->engine, &bed->h, from->lied ? 0 : p->least, p->most, origin);
    if (deeper) {
        /* What the first recovery has shown the second one must show. */
        fr_mutex_lock(&bed->mu);
        for (size_t i = 0; i < bed->pending_count; i++)
            bed->pending[i].least = bed->pending[i].most = n;
        fr_mutex_unlock(&bed->mu);
    }
    bed_rewind(bed, n);
    if (deeper) check_pending(bed);
    for (int i = 0; goes_on && i < 8; i++) {
        step(bed);
        check_pending(bed);
    }
    if (goes_on || again) {
        fr_status closed = fr_engine_close(FR_TAKE(bed->engine));
        cr_assert_eq(closed, FR_OK, "seed %llu: %s", (unsigned long long)seed_now, fr_last_error());
        bed_open(bed);
        cr_assert_eq(find_prefix(bed->engine, &bed->h, bed->h.count, bed->h.count, origin),
                bed->h.count);
    }
    bed_free(bed);
    if (!again) return;
    /* The same disk once more, without a crash. */
    struct fr_engine *engine;
    must(fr_sim_image_boot(p->image, 7, &sim));
    must(fr_engine_open(fr_sim_env(sim), "store", &from->options, &engine));
    cr_assert_eq(find_prefix(engine, &from->h, n, n, origin), n);
    must(fr_engine_close(engine));
    fr_sim_close(sim);
    recoveries++;
}

static void check_pending(struct bed *bed)
{
    struct pending pending;

    while (take_pending(bed, &pending)) {
        check_image(bed, &pending);
        fr_sim_image_free(pending.image);
    }
}

/* ---- the workload */

static fr_status try_write(struct bed *bed, enum fr_durability durability)
{
    struct fr_batch batch = FR_BATCH_EMPTY;
    struct history *h = &bed->h;
    struct model next = {0};
    uint32_t id = bed->next_id++;
    fr_slice bytes;

    if (h->count == HISTORY_MAX) return FR_OK;
    size_t n = h->count, issued = atomic_load(&bed->issued);
    uint64_t hash = h->hashes[n + 1];
    for (size_t i = 0; i <= KEYS; i++)
        if (bed->model.values[i].there)
            model_set(&next, i, fr_buf_slice(&bed->model.values[i].bytes), false);
    run_batch(id, &batch, &next);
    h->hashes[n + 1] = model_hash(&next);
    h->seqs[n + 1] = fr_engine_last_seq(bed->engine) + batch.count;
    atomic_store(&bed->issued, n + 1);
    must(fr_batch_finish(&batch, &bytes));
    fr_status st = fr_engine_write(bed->engine, bytes, batch.count, durability);
    fr_batch_deinit(&batch);
    if (st < 0) model_deinit(&next);
    if (st == FR_ERR_POISONED) { /* not tried: the one that failed before may still be there */
        h->hashes[n + 1] = hash;
        atomic_store(&bed->issued, issued);
        return st;
    }
    h->ids[n] = id;
    if (st < 0) return st;
    model_deinit(&bed->model);
    bed->model = next;
    h->count++;
    if (durability != FR_DURABLE_NONE) bed->published = h->count;
    if (durability == FR_DURABLE_DEVICE) all_acked(bed);
    return FR_OK;
}

static void drop_snapshot(struct bed *bed)
{
    if (bed->snapshot_held) fr_engine_snapshot_release(bed->engine, bed->snapshot);
    bed->snapshot_held = false;
}

static void do_snapshot(struct bed *bed)
{
    uint64_t hash;

    if (!bed->snapshot_held) {
        must(fr_engine_snapshot_take(bed->engine, &bed->snapshot));
        bed->snapshot_hash = model_hash(&bed->model);
        bed->snapshot_held = true;
        return;
    }
    must(store_hash(bed->engine, bed->snapshot, &hash));
    cr_assert_eq(hash, bed->snapshot_hash, "seed %llu: a snapshot has changed",
            (unsigned long long)seed_now);
    drop_snapshot(bed);
}

static void do_compact(struct bed *bed)
{
    size_t index = fr_rng_below(&bed->rng, KEYS);
    fr_slice none = fr_slice_of(NULL, 0);
    char text[16], end_text[16];

    if (fr_rng_one_in(&bed->rng, 2))
        must(fr_engine_compact_range(bed->engine, none, none));
    else
        must(fr_engine_compact_range(bed->engine, key_of(index, text, sizeof(text)),
                key_of(FR_MIN(index + 10, (size_t)KEYS), end_text, sizeof(end_text))));
    all_acked(bed);
}

static void do_reopen(struct bed *bed)
{
    drop_snapshot(bed);
    must(fr_engine_close(FR_TAKE(bed->engine)));
    all_acked(bed);
    bed_open(bed);
    (void)find_prefix(bed->engine, &bed->h, bed->h.count, bed->h.count, "reopened");
    reopenings++;
}

/* The process dies: all that was published is there. */
static void do_kill(struct bed *bed)
{
    struct fr_sim *heir;

    drop_snapshot(bed);
    atomic_store(&bed->no_images, true);
    must(fr_sim_kill(bed->sim, &heir));
    (void)fr_engine_close(FR_TAKE(bed->engine));
    fr_sim_close(bed->sim);
    check_pending(bed);
    bed_take(bed, heir);
    bed_open(bed);
    bed_rewind(bed,
            find_prefix(bed->engine, &bed->h, bed->published, atomic_load(&bed->issued), "killed"));
    atomic_store(&bed->no_images, bed->depth >= DEPTH_MAX);
    kills++;
}

static void step(struct bed *bed)
{
    uint64_t dice = fr_rng_below(&bed->rng, 64), hash;

    if (dice < 16)
        must(try_write(bed, FR_DURABLE_DEVICE));
    else if (dice < 34)
        must(try_write(bed, FR_DURABLE_OS));
    else if (dice < 50)
        must(try_write(bed, FR_DURABLE_NONE));
    else if (dice < 53)
        do_snapshot(bed);
    else if (dice < 54)
        do_compact(bed);
    else if (dice < 56) {
        must(fr_engine_flush(bed->engine));
        all_acked(bed);
    } else if (dice < 58) {
        must(fr_engine_sync(bed->engine));
        all_acked(bed);
    } else if (dice < 61) {
        must(store_hash(bed->engine, FR_SEQ_MAX, &hash));
        cr_assert_eq(hash, model_hash(&bed->model), "seed %llu: a wrong answer",
                (unsigned long long)seed_now);
    } else if (dice < 62)
        must(fr_engine_wait_idle(bed->engine));
    else if (dice < 63)
        do_reopen(bed);
    else
        do_kill(bed);
}

static void run_history(uint64_t seed, unsigned steps, unsigned points_one_in)
{
    struct bed *bed = bed_new(seed);
    struct fr_sim_options options = {.seed = seed};
    struct fr_sim *sim;

    seed_now = seed;
    if (seed % 4 == 0) options.short_one_in = options.interrupt_one_in = 7;
    if (seed % 2) options.direct_alignment = 512;
    bed->points_one_in = points_one_in;
    must(fr_sim_open(&options, &sim));
    bed_take(bed, sim);
    bed_open(bed);
    check_pending(bed);
    for (unsigned i = 0; i < steps; i++) {
        step(bed);
        check_pending(bed);
    }
    bed_free(bed);
}

static unsigned long from_environment(const char *name, unsigned long usual)
{
    const char *given = getenv(name);

    return given == NULL ? usual : strtoul(given, NULL, 10);
}

#ifdef FR_SANITIZED
#define SEEDS_USUAL 2
#else
#define SEEDS_USUAL 5
#endif

Test(engine_crash, what_survives_is_a_prefix_with_all_that_was_acknowledged, .timeout = 600)
{
    unsigned long first = from_environment("FR_TEST_SEED", 1);
    unsigned long count = from_environment("FR_TEST_SEEDS", SEEDS_USUAL);
    unsigned steps = (unsigned)from_environment("FR_TEST_STEPS", 150);
    unsigned one_in = (unsigned)from_environment("FR_TEST_POINTS_ONE_IN", 3);

    for (unsigned long i = 0; i < count; i++)
        run_history(first + i, steps, i == 0 ? 1 : one_in);
    fprintf(stderr,
            "%lu crash points, %lu images, %lu left out, %lu recoveries (%lu, %lu, %lu by depth), "
            "%lu kills, %lu reopenings\n",
            points_seen, images_seen, images_left, recoveries, recoveries_by_depth[1],
            recoveries_by_depth[2], recoveries_by_depth[3], kills, reopenings);
    cr_assert_gt(recoveries_by_depth[2], 50);
    uint64_t moved = fr_cover_count("output: a value leaves a file that is to be emptied");
    cr_log_info("%llu values moved, %llu garbage jobs", (unsigned long long)moved,
            (unsigned long long)fr_cover_count("compaction: a value file is emptied"));
    cr_assert_gt(moved, 0);
}

/* ---- faults */

struct fault_count {
    unsigned runs, hit, failed, poisoned, opens_failed;
};

static bool loses_pages(const struct fr_sim_fault *fault)
{
    return fault->kind >= FR_SIM_FAULT_SYNC_NOW;
}

static bool is_lie(const struct fr_sim_fault *fault)
{
    return fault->kind == FR_SIM_FAULT_SYNC_LATE || fault->kind == FR_SIM_FAULT_SYNC_LIE;
}

/* An answer that a fault may have: its own, or that writing has stopped since. */
static bool tell(const struct fr_sim_fault *fault, fr_status st, struct fault_count *counts)
{
    if (st >= 0) return true;
    fr_status own = fault->os_error == ENOSPC ? FR_ERR_NOSPACE : FR_ERR_IO;
    cr_assert(st == own || st == FR_ERR_POISONED, "seed %llu, %s of %u number %llu: %s: %s",
            (unsigned long long)seed_now, fault->forever ? "all" : "one", fault->ops,
            (unsigned long long)fault->nth, fr_status_name(st), fr_last_error());
    if (st == FR_ERR_POISONED)
        counts->poisoned++;
    else
        counts->failed++;
    return false;
}

/* One step; whatever is answered must be right, or be a failure that is allowed. */
static bool fault_step(struct bed *bed, const struct fr_sim_fault *fault,
        struct fault_count *counts)
{
    uint64_t dice = fr_rng_below(&bed->rng, 32), hash;
    fr_slice none = fr_slice_of(NULL, 0);
    fr_status st;

    if (dice < 24) return tell(fault, try_write(bed, (enum fr_durability)(dice % 3)), counts);
    if (dice < 28) {
        st = store_hash(bed->engine, FR_SEQ_MAX, &hash);
        cr_assert(st < 0 || hash == model_hash(&bed->model), "seed %llu: a wrong answer",
                (unsigned long long)seed_now);
        return tell(fault, st, counts);
    }
    st = dice < 29   ? fr_engine_compact_range(bed->engine, none, none)
         : dice < 31 ? fr_engine_flush(bed->engine)
                     : fr_engine_sync(bed->engine);
    if (st == FR_OK) all_acked(bed);
    return tell(fault, st, counts);
}

static void fault_steps(struct bed *bed, const struct fr_sim_fault *fault,
        struct fault_count *counts)
{
    unsigned failures = 0;

    for (unsigned i = 0; i < 50 && failures < 12; i++) {
        if (!fault_step(bed, fault, counts)) failures++;
        if (i != 25) continue;
        bool ok = tell(fault, fr_engine_close(FR_TAKE(bed->engine)), counts);
        if (ok) all_acked(bed);
        if (!ok) return;
        fr_status st = fr_engine_open(fr_sim_env(bed->sim), "store", &bed->options, &bed->engine);
        if (!tell(fault, st, counts)) {
            counts->opens_failed++;
            bed->engine = NULL;
            return;
        }
    }
}

/* After the fault: power is lost, and the process dies; both times a prefix is found. */
static bool fault_run(const struct fr_sim_fault *fault, uint64_t seed, struct fault_count *counts)
{
    struct bed *bed = bed_new(seed);
    struct fr_sim_options options = {.seed = seed};
    struct fr_sim *sim, *heir;

    seed_now = seed;
    atomic_store(&bed->no_images, true);
    bed->images_per_point = 6;
    must(fr_sim_open(&options, &sim));
    bed_take(bed, sim);
    must(fr_sim_fault_add(sim, fault));
    fr_status st = fr_engine_open(fr_sim_env(sim), "store", &bed->options, &bed->engine);
    if (tell(fault, st, counts)) {
        fault_steps(bed, fault, counts);
    } else {
        counts->opens_failed++;
        bed->engine = NULL;
    }
    bool hit = fr_sim_fault_hits(sim) > 0;
    fr_sim_fault_clear(sim);
    bed->lied = hit && is_lie(fault);
    crash_now(bed);
    check_pending(bed);
    must(fr_sim_kill(sim, &heir));
    (void)fr_engine_close(FR_TAKE(bed->engine));
    fr_sim_close(sim);
    bed_take(bed, heir);
    /* Pages that a failed sync has lost are no matter of the process alone. */
    size_t least = hit && loses_pages(fault) ? atomic_load(&bed->acked) : bed->published;
    st = fr_engine_open(fr_sim_env(heir), "store", &bed->options, &bed->engine);
    /* A late sync owes each file an error, which a new process may be the one to get. */
    for (unsigned i = 0; bed->lied && st == FR_ERR_IO && i < 8; i++)
        st = fr_engine_open(fr_sim_env(heir), "store", &bed->options, &bed->engine);
    if (bed->lied && is_told(st)) {
        opens_told++;
        bed->engine = NULL;
    } else {
        must(st);
        bed_rewind(bed, find_prefix(bed->engine, &bed->h, bed->lied ? 0 : least,
                                atomic_load(&bed->issued), "killed"));
        for (unsigned i = 0; !bed->lied && i < 6; i++)
            must(try_write(bed, FR_DURABLE_OS));
        if (!bed->lied) do_reopen(bed);
    }
    if (st < 0) bed->engine = NULL;
    bed_free(bed);
    counts->runs++;
    counts->hit += hit;
    return hit;
}

static void fault_sweep(enum fr_sim_op op, enum fr_sim_fault_kind kind, unsigned variant,
        const char *name, struct fault_count *counts)
{
    struct fr_sim_fault fault = {.ops = FR_SIM_MASK(op),
            .kind = kind,
            .name = name,
            .forever = variant % 2,
            .os_error = variant / 2 ? ENOSPC : EIO};
    unsigned long finer = from_environment("FR_TEST_FAULTS", 1);

    for (fault.nth = 1; fault.nth < 2000; fault.nth += 1 + fault.nth / finer)
        if (!fault_run(&fault, from_environment("FR_TEST_SEED", 1) + fault.nth + variant, counts))
            break;
}

Test(engine_crash, after_any_fault_the_store_is_a_prefix_with_all_that_was_acknowledged,
        .timeout = 600)
{
    static const enum fr_sim_op ops[] = {FR_SIM_WRITE, FR_SIM_SYNC, FR_SIM_SYNC_DIR, FR_SIM_CREATE,
            FR_SIM_RENAME, FR_SIM_UNLINK, FR_SIM_READ, FR_SIM_OPEN};
    static const enum fr_sim_fault_kind kinds[] = {FR_SIM_FAULT_ERROR, FR_SIM_FAULT_ERROR_AFTER,
            FR_SIM_FAULT_SYNC_NOW, FR_SIM_FAULT_SYNC_LATE, FR_SIM_FAULT_SYNC_LIE};
    static const char *const names[] = {NULL, "*.table", "*.manifest", "*.wal", "*.values"};
    struct fault_count counts = {0};

    for (size_t op = 0; op < FR_ARRAY_COUNT(ops); op++)
        for (size_t kind = 0; kind < FR_ARRAY_COUNT(kinds); kind++)
            for (unsigned variant = 0; variant < 4; variant++) {
                bool is_sync = ops[op] == FR_SIM_SYNC || ops[op] == FR_SIM_SYNC_DIR;
                if (kinds[kind] >= FR_SIM_FAULT_SYNC_NOW && !is_sync) continue;
                if (kinds[kind] != FR_SIM_FAULT_ERROR && variant >= 2) continue;
                size_t name = (op + kind * 2 + variant) % FR_ARRAY_COUNT(names);
                fault_sweep(ops[op], kinds[kind], variant, NULL, &counts);
                if (name != 0 && ops[op] != FR_SIM_SYNC_DIR)
                    fault_sweep(ops[op], kinds[kind], variant, names[name], &counts);
            }
    fprintf(stderr,
            "%u runs with faults, %u hit, %u answers failed, %u poisoned, %u openings failed, "
            "%lu told of a lie\n",
            counts.runs, counts.hit, counts.failed, counts.poisoned, counts.opens_failed,
            opens_told);
    cr_assert_gt(counts.failed, 50);
    cr_assert_gt(counts.poisoned, 50);
}
