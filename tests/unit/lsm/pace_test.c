/*
 * pace_test.c - the pace of writers, against a simulated background: a flush that takes its time
 * for each memtable, a compaction that takes tables out of level 0. Time is a variable.
 */
#include "lsm/pace.h"

#include <criterion/criterion.h>

#include "base/compiler.h"

#define MEMTABLE  ((uint64_t)32 << 20)
#define WRITE     528
#define WRITE_US  1.0 /* a write that nobody holds */
#define SECOND_US 1000000.0

struct plant {
    struct fr_pace_speeds speeds;
    struct fr_pace_debt debt;
    struct fr_pace_bucket bucket;
    double now_us, flush_done_us, compaction_done_us;
    double flush_speed;      /* bytes per microsecond, of the plant */
    double compaction_speed; /* likewise; 0: compaction has no part in it */
    size_t compacting_tables;
    uint64_t active_bytes, written_bytes;
    uint64_t waited_us, stopped_us, longest_us, paced_count, write_count;
};

static struct plant plant_of(double flush_speed, double compaction_speed)
{
    return (struct plant){.flush_speed = flush_speed,
            .compaction_speed = compaction_speed,
            .now_us = 1000,
            .debt = {.memtable_size = MEMTABLE, .memtables_max = 4, .level0_trigger = 4}};
}

static void begin_flush(struct plant *p)
{
    if (p->debt.flushing_bytes > 0 || p->debt.sealed_count == 0) return;
    p->debt.flushing_bytes = MEMTABLE;
    p->debt.flush_start_us = (uint64_t)p->now_us;
    p->flush_done_us = p->now_us + (double)MEMTABLE / p->flush_speed;
}

static void begin_compaction(struct plant *p)
{
    if (p->compaction_speed == 0 || p->compacting_tables > 0 || p->debt.level0_tables < 4) return;
    p->compacting_tables = p->debt.level0_tables;
    p->compaction_done_us =
            p->now_us + (double)(p->compacting_tables * MEMTABLE) / p->compaction_speed;
}

static void run_background(struct plant *p)
{
    if (p->debt.flushing_bytes > 0 && p->now_us >= p->flush_done_us) {
        fr_pace_add_flush(&p->speeds, MEMTABLE,
                (uint64_t)(p->flush_done_us - (double)p->debt.flush_start_us));
        p->debt.flushing_bytes = 0;
        p->debt.sealed_count--;
        if (p->compaction_speed > 0) p->debt.level0_tables++;
    }
    if (p->compacting_tables > 0 && p->now_us >= p->compaction_done_us) {
        fr_pace_add_compaction(&p->speeds, p->compacting_tables,
                (uint64_t)((double)(p->compacting_tables * MEMTABLE) / p->compaction_speed));
        p->debt.level0_tables -= p->compacting_tables;
        p->compacting_tables = 0;
    }
    begin_flush(p);
    begin_compaction(p);
}

static void pace(struct plant *p)
{
    uint64_t waited_us = 0, wait_us;
    bool charged = false;

    while (fr_pace_is_due(&p->debt)) {
        double rate = fr_pace_rate(&p->speeds, &p->debt, p->active_bytes, (uint64_t)p->now_us);
        fr_pace_fill(&p->bucket, rate, (uint64_t)p->now_us);
        if (!charged) p->bucket.bytes -= WRITE;
        charged = true;
        wait_us = fr_pace_wait_us(&p->bucket, rate);
        if (wait_us == 0) break;
        wait_us = FR_MIN(wait_us, (uint64_t)1000);
        p->now_us += (double)wait_us;
        waited_us += wait_us;
        run_background(p);
    }
    if (!fr_pace_is_due(&p->debt)) p->bucket = (struct fr_pace_bucket){0};
    p->waited_us += waited_us;
    p->paced_count += waited_us > 0;
    p->longest_us = FR_MAX(p->longest_us, waited_us);
}

/* One write; between them the caller thinks for a while. */
static void write_one(struct plant *p, double think_us)
{
    p->now_us += think_us;
    run_background(p);
    pace(p);
    if (p->active_bytes + WRITE > MEMTABLE) {
        double start_us = p->now_us;
        while (p->debt.sealed_count >= p->debt.memtables_max - 1) {
            p->now_us += 10;
            run_background(p);
        }
        p->stopped_us += (uint64_t)(p->now_us - start_us);
        p->debt.sealed_count++;
        p->active_bytes = 0;
    }
    p->active_bytes += WRITE;
    p->written_bytes += WRITE;
    p->write_count++;
    p->now_us += WRITE_US;
}

static void run(struct plant *p, double seconds, double think_us)
{
    double end_us = p->now_us + seconds * SECOND_US;

    while (p->now_us < end_us)
        write_one(p, think_us);
}

Test(pace, a_write_waits_for_nothing_while_the_background_keeps_up)
{
    struct plant p = plant_of(200, 0);

    run(&p, 5, WRITE / 180.0 - WRITE_US); /* nine tenths of what flushes carry */
    cr_assert_eq(p.waited_us, 0);
    cr_assert_eq(p.stopped_us, 0);
}

Test(pace, a_burst_goes_free_up_to_half_of_the_memory)
{
    struct plant p = plant_of(50, 0);

    while (p.written_bytes < 2 * MEMTABLE - WRITE)
        write_one(&p, 0);
    cr_assert_eq(p.waited_us, 0);
}

Test(pace, overload_settles_at_the_speed_of_the_flush_and_never_stops)
{
    static const double speeds[] = {20, 60, 150, 300};

    for (size_t i = 0; i < FR_ARRAY_COUNT(speeds); i++) {
        struct plant p = plant_of(speeds[i], 0);
        run(&p, 5, 0);
        uint64_t before = p.written_bytes;
        p.longest_us = p.waited_us = 0;
        run(&p, 20, 0);
        double rate = (double)(p.written_bytes - before) / (20 * SECOND_US);
        cr_assert_gt(rate, 0.93 * speeds[i], "%f of %f", rate, speeds[i]);
        cr_assert_lt(rate, 1.07 * speeds[i], "%f of %f", rate, speeds[i]);
        cr_assert_eq(p.stopped_us, 0, "%llu us at %f", (unsigned long long)p.stopped_us, speeds[i]);
        cr_assert_lt(p.longest_us, 2000, "%llu us at %f", (unsigned long long)p.longest_us,
                speeds[i]);
    }
}

Test(pace, waits_are_many_and_small)
{
    struct plant p = plant_of(100, 0);

    run(&p, 5, 0);
    p.paced_count = p.write_count = p.waited_us = 0;
    run(&p, 10, 0);
    cr_assert_gt(p.paced_count, p.write_count / 2);
    cr_assert_lt(p.waited_us / p.paced_count, 10);
}

Test(pace, a_flush_that_becomes_slower_is_followed_without_a_stop)
{
    struct plant p = plant_of(200, 0);

    run(&p, 5, 0);
    p.flush_speed = 60;
    run(&p, 10, 0);
    cr_assert_eq(p.stopped_us, 0, "%llu us", (unsigned long long)p.stopped_us);
    p.flush_speed = 150;
    uint64_t before = p.written_bytes;
    run(&p, 10, 0);
    cr_assert_gt((double)(p.written_bytes - before), 0.85 * 150 * 10 * SECOND_US);
    cr_assert_eq(p.stopped_us, 0);
}

Test(pace, a_compaction_slower_than_the_flush_is_followed)
{
    struct plant p = plant_of(300, 80);

    run(&p, 30, 0);
    uint64_t before = p.written_bytes;
    size_t most = 0;
    for (int i = 0; i < 30; i++) {
        run(&p, 1, 0);
        most = FR_MAX(most, p.debt.level0_tables);
    }
    double rate = (double)(p.written_bytes - before) / (30 * SECOND_US);
    cr_assert_gt(rate, 0.75 * 80, "%f", rate);
    cr_assert_lt(rate, 1.25 * 80, "%f", rate);
    cr_assert_lt(most, 60, "%zu tables in level 0", most);
    cr_assert_eq(p.stopped_us, 0);
}

Test(pace, debt_of_compaction_never_takes_all_speed_away)
{
    struct fr_pace_speeds speeds = {0};
    struct fr_pace_debt debt = {.memtable_size = MEMTABLE,
            .memtables_max = 4,
            .level0_trigger = 4,
            .garbage_bytes = UINT64_C(1) << 50,
            .garbage_soft = 1 << 20};

    fr_pace_add_flush(&speeds, MEMTABLE, 320000);
    fr_pace_add_compaction(&speeds, 4, 1000000);
    cr_assert_gt(fr_pace_rate(&speeds, &debt, 0, 1), 10);
}

Test(pace, a_flush_that_does_not_end_slows_writers_down_and_down)
{
    struct fr_pace_speeds speeds = {0};
    struct fr_pace_debt debt = {.memtable_size = MEMTABLE,
            .memtables_max = 4,
            .sealed_count = 3,
            .flushing_bytes = MEMTABLE,
            .flush_start_us = 1000,
            .level0_trigger = 4};

    fr_pace_add_flush(&speeds, MEMTABLE, 320000);
    double soon = fr_pace_rate(&speeds, &debt, MEMTABLE / 2, 1000 + 320000);
    double late = fr_pace_rate(&speeds, &debt, MEMTABLE - 4096, 1000 + 3200000);
    cr_assert_lt(late, soon / 20);
    cr_assert_gt(late, 0);
}

Test(pace, a_bucket_forgives_what_is_short_and_forgets_what_is_long_ago)
{
    struct fr_pace_bucket bucket = {0};

    fr_pace_fill(&bucket, 100, 1000);
    cr_assert_eq(fr_pace_wait_us(&bucket, 100), 0);
    bucket.bytes -= 1000;
    cr_assert_eq(fr_pace_wait_us(&bucket, 100), 11);
    fr_pace_fill(&bucket, 100, 1100); /* slept far too long */
    cr_assert_float_eq(bucket.bytes, 9000, 1);
    fr_pace_fill(&bucket, 100, 100 * 1000 * 1000);
    cr_assert_float_eq(bucket.bytes, 100.0 * FR_PACE_BURST_US, 1);
    fr_pace_fill(&bucket, 100, 5); /* a clock that goes back gives nothing */
    cr_assert_float_eq(bucket.bytes, 100.0 * FR_PACE_BURST_US, 1);
}
