#include "lsm/pace.h"

#include "base/compiler.h"

/* Before the first flush has been seen. */
#define FLUSH_GUESS 100.0

/* Below that no store is slowed: 64 KB a second, so that a write of any size comes to its end. */
#define RATE_LEAST 0.064

/* The share of a new flush in the average. */
#define FLUSH_WEIGHT 0.3

/* Compactions of so long ago count for half. */
#define FADE_US 30e6

/* The pressure at which writers go as fast as the background, and the gains around it. */
#define SETTLED    0.75
#define GAIN_FIRST 8.0
#define GAIN_LAST  (1.0 / 32)

/* Tables in level 0, in triggers, from which they are pressure, and at which it is 1. */
#define LEVEL0_SOFT 3
#define LEVEL0_FULL 9

/* Debt and garbage are at a pressure of 1 with so many times of where they begin to be any. */
#define DEBT_FULL 4.0

#define COMPACTION_SHARE_LEAST 0.125

void fr_pace_add_flush(struct fr_pace_speeds *speeds, uint64_t bytes, uint64_t duration_us)
{
    double speed = (double)bytes / (double)FR_MAX(duration_us, (uint64_t)1);
    double weight = speeds->flush == 0 ? 1 : FLUSH_WEIGHT;

    if (bytes == 0) return;
    speeds->flush += weight * (speed - speeds->flush);
    speeds->memtable += weight * ((double)bytes - speeds->memtable);
}

void fr_pace_add_compaction(struct fr_pace_speeds *speeds, size_t level0_tables,
        uint64_t duration_us)
{
    double duration = (double)FR_MAX(duration_us, (uint64_t)1);
    double keep = FADE_US / (FADE_US + duration);

    speeds->drained_bytes = speeds->drained_bytes * keep + (double)level0_tables * speeds->memtable;
    speeds->work_us = speeds->work_us * keep + duration;
}

static double excess(uint64_t owed, uint64_t soft)
{
    if (soft == 0 || owed <= soft) return 0;
    return (double)(owed - soft) / ((double)soft * (DEBT_FULL - 1));
}

double fr_pace_compaction_pressure(const struct fr_pace_debt *debt)
{
    double tables = (double)debt->level0_tables / (double)FR_MAX(debt->level0_trigger, (size_t)1);
    double pressure = (tables - LEVEL0_SOFT) / (LEVEL0_FULL - LEVEL0_SOFT);

    pressure = FR_MAX(pressure, excess(debt->compaction_bytes, debt->compaction_soft));
    pressure = FR_MAX(pressure, excess(debt->garbage_bytes, debt->garbage_soft));
    return FR_MAX(pressure, 0.0);
}

bool fr_pace_is_due(const struct fr_pace_debt *debt)
{
    if (2 * (debt->sealed_count + 1) > debt->memtables_max) return true;
    return fr_pace_compaction_pressure(debt) > 0;
}

static double gain(double pressure)
{
    if (pressure < SETTLED) {
        double left = 1 - pressure / SETTLED;
        return 1 + (GAIN_FIRST - 1) * left * left;
    }
    return FR_MAX(1 - (pressure - SETTLED) / (1 - SETTLED), GAIN_LAST);
}

/* A flush that takes longer than the average is a slower one. */
static double flush_speed(const struct fr_pace_speeds *speeds, const struct fr_pace_debt *debt,
        double elapsed_us)
{
    double speed = speeds->flush == 0 ? FLUSH_GUESS : speeds->flush;
    double bytes = (double)debt->flushing_bytes;

    return debt->flushing_bytes > 0 && elapsed_us * speed > bytes ? bytes / elapsed_us : speed;
}

/*
 * A flush that is late has not done what its speed promised. It takes as long again as it is late,
 * and a quarter of its time: room is spent so that some is always left, however late it gets.
 */
static double late_rate(const struct fr_pace_speeds *speeds, const struct fr_pace_debt *debt,
        double elapsed_us, double room)
{
    double speed = speeds->flush == 0 ? FLUSH_GUESS : speeds->flush;
    double expected_us = (double)debt->flushing_bytes / speed;

    if (debt->flushing_bytes == 0 || elapsed_us <= expected_us) return FR_PACE_FREE;
    return room / (elapsed_us - expected_us + expected_us / 4);
}

static double memory_rate(const struct fr_pace_speeds *speeds, const struct fr_pace_debt *debt,
        uint64_t active_bytes, uint64_t now_us)
{
    double size = (double)debt->memtable_size, allowance = size * debt->memtables_max;
    double elapsed_us = (double)(now_us - FR_MIN(debt->flush_start_us, now_us));
    double speed = flush_speed(speeds, debt, elapsed_us);
    double progress = FR_MIN(elapsed_us * speed, (double)debt->flushing_bytes);
    double room = allowance - size * debt->sealed_count - FR_MIN((double)active_bytes, size);
    room = FR_MAX(room, 0.0);
    double credit = room + progress;
    double begins = FR_MAX(allowance / 2, size * 1.5), ends = size;

    if (credit >= begins) return FR_PACE_FREE;
    double late = late_rate(speeds, debt, elapsed_us, room);
    double rate = speed * gain((begins - credit) / (begins - ends));
    return FR_MIN(rate, late);
}

static double compaction_rate(const struct fr_pace_speeds *speeds, const struct fr_pace_debt *debt)
{
    double pressure = fr_pace_compaction_pressure(debt);
    double speed = speeds->flush == 0 ? FLUSH_GUESS : speeds->flush;

    if (pressure <= 0) return FR_PACE_FREE;
    if (speeds->drained_bytes > 0) speed = speeds->drained_bytes / speeds->work_us;
    return speed * FR_MAX(gain(pressure), COMPACTION_SHARE_LEAST);
}

double fr_pace_rate(const struct fr_pace_speeds *speeds, const struct fr_pace_debt *debt,
        uint64_t active_bytes, uint64_t now_us)
{
    double memory = memory_rate(speeds, debt, active_bytes, now_us);
    double compaction = compaction_rate(speeds, debt);

    double rate = FR_MIN(memory, compaction);

    return FR_MAX(rate, RATE_LEAST);
}

void fr_pace_fill(struct fr_pace_bucket *bucket, double rate, uint64_t now_us)
{
    if (bucket->filled_us == 0) {
        bucket->bytes = 0;
    } else if (now_us > bucket->filled_us) {
        bucket->bytes += rate * (double)(now_us - bucket->filled_us);
        bucket->bytes = FR_MIN(bucket->bytes, rate * FR_PACE_BURST_US);
    }
    bucket->filled_us = FR_MAX(now_us, (uint64_t)1);
}

uint64_t fr_pace_wait_us(const struct fr_pace_bucket *bucket, double rate)
{
    return bucket->bytes >= 0 ? 0 : (uint64_t)(-bucket->bytes / rate) + 1;
}
