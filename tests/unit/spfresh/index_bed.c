#include "tests/unit/spfresh/index_bed.h"

#include "base/assert.h"

struct index_bed bed;

static struct fr_engine_options engine_options(void)
{
    struct fr_engine_options options = fr_engine_options_default();

    options.memtable_size = 512 << 10;
    options.table_size = 256 << 10;
    options.cache_size = 256 << 10;
    options.memory_budget = bed.budget;
    return options;
}

void bed_set_budget(uint64_t bytes)
{
    bed.budget = bytes / 3 * 4;
    struct fr_engine_options options = engine_options();
    fr_engine_retune(bed.engine, &options);
}

void bed_open_engine(void)
{
    struct fr_engine_options options = engine_options();

    must(fr_engine_open(bed.world.env, fr_dir_path(bed.world.dir), &options, &bed.engine));
}

void bed_open_index(void)
{
    must(fr_spfresh_open(bed.engine, "", &bed.setup, &bed.index));
}

void bed_open(enum fr_metric metric)
{
    memset(&bed, 0, sizeof(bed));
    bed.world = test_world_open();
    bed.setup = (struct fr_spfresh_setup){
            .create = true, .manual = true, .dimension = DIM, .metric = metric, .seed = 7};
    fr_rng_init(&bed.rng, 1);
    bed_open_engine();
    bed_open_index();
}

static void close_both(void)
{
    fr_spfresh_close(bed.index);
    fr_status st = fr_engine_close(bed.engine);
    cr_assert(st == FR_OK || bed.may_be_poisoned, "%s", fr_last_error());
}

void bed_close(void)
{
    close_both();
    test_world_close(&bed.world);
}

void bed_reopen(void)
{
    close_both();
    bed_open_engine();
    bed_open_index();
}

void bed_draw(struct fr_rng *rng, float *x)
{
    size_t cluster = fr_rng_below(rng, 30);

    for (size_t i = 0; i < DIM; i++)
        x[i] = (float)(cluster * 7 % (i + 5)) + 2 * (float)fr_rng_double(rng) + 0.1F;
}

void bed_put_of(uint64_t first, uint64_t span, size_t count)
{
    uint64_t ids[64];
    float vectors[64][DIM];

    for (size_t i = 0; i < count; i++) {
        ids[i] = first + fr_rng_below(&bed.rng, span);
        bed_draw(&bed.rng, vectors[i]);
        bed.count += !bed.there[ids[i]];
        bed.there[ids[i]] = true;
        memcpy(bed.vectors[ids[i]], vectors[i], sizeof(vectors[i]));
    }
    FR_ASSERT(fr_spfresh_upsert(bed.index, FR_DURABLE_OS, count, ids, vectors[0], NULL) == FR_OK);
}

void bed_delete_of(uint64_t first, uint64_t span, size_t count)
{
    size_t expected = 0, deleted;
    uint64_t ids[64];

    for (size_t i = 0; i < count; i++) {
        ids[i] = first + fr_rng_below(&bed.rng, span);
        expected += bed.there[ids[i]];
        bed.there[ids[i]] = false;
    }
    bed.count -= expected;
    FR_ASSERT(fr_spfresh_delete(bed.index, FR_DURABLE_OS, count, ids, &deleted) == FR_OK);
    FR_ASSERT(deleted == expected);
}

void bed_maintain(void)
{
    uint64_t left;

    must(fr_spfresh_maintain(bed.index, 0, &left));
    cr_assert_eq(left, 0);
}

struct fr_index_stats bed_stats(void)
{
    struct fr_index_stats stats = {.size = sizeof(stats)};

    fr_spfresh_stats(bed.index, &stats);
    return stats;
}

void bed_check_found(bool exhaustive)
{
    static struct fr_hit hits[IDS + 1];
    static bool seen[IDS];
    struct fr_search_options how = {.postings = 1000000, .exhaustive = exhaustive};
    size_t count;

    memset(seen, 0, sizeof(seen));
    must(fr_spfresh_search(bed.index, &how, bed.vectors[0], IDS + 1, hits, &count));
    cr_assert_eq(count, bed.count, "%zu found of %zu", count, bed.count);
    for (size_t i = 0; i < count; i++) {
        cr_assert_lt(hits[i].id, IDS);
        cr_assert(bed.there[hits[i].id]);
        cr_assert_not(seen[hits[i].id]);
        seen[hits[i].id] = true;
        if (i > 0) cr_assert_geq(hits[i].distance, hits[i - 1].distance);
    }
}

void bed_check_all(void)
{
    must(fr_spfresh_check(bed.index));
    bed_check_found(false);
}

void bed_check_vectors(void)
{
    for (uint64_t id = 0; id < IDS; id++) {
        struct fr_engine_value value;
        float vector[DIM];
        fr_slice payload;
        fr_status st = fr_spfresh_get(bed.index, id, vector, &value, &payload);

        cr_assert_eq(st, bed.there[id] ? FR_OK : FR_NOT_FOUND);
        if (st != FR_OK) continue;
        cr_assert_eq(memcmp(vector, bed.vectors[id], sizeof(vector)), 0);
        fr_engine_value_release(&value);
    }
}
