/*
 * pace.h - how fast writers may go, from what the background still owes.
 *
 * Writers go as fast as they can until half of the memory for memtables waits for its flush. From
 * there they are paced by the byte: the more is owed, the slower, so that they settle at the speed
 * that the background reaches and never come to where they would have to stand still.
 *
 *     room      bytes that memtables still take before a writer would have to wait
 *     progress  bytes of the memtable being flushed that are done already, by the flush's speed
 *     credit    room + progress: what there is to spend until that flush frees its memtable
 *
 * A flush that takes longer than its speed promised earns no further credit: what is left of room
 * is spread over the time that it may still take, so that it never ends.
 *
 * Memory comes back one memtable at a time, so room is a saw; credit is smooth. It must not fall
 * below one memtable: the rest of a flush's time has to be lived through before room grows again.
 * Pressure is 0 with half of the allowance as credit and 1 with one memtable. What compaction owes
 * is another pressure, from tables in level 0, bytes over the levels' sizes, and garbage in value
 * files. Each pressure has a speed of its own to follow: that of flushes, and that at which
 * compaction takes tables out of level 0 while it is also busy with everything below. The rate is
 * the lower of
 *
 *     speed * gain(pressure)      gain: 8 at 0, 1 at 3/4, then down to 1/32
 *
 * The gain is steep, and the speed only has to be about right: if it is wrong by a factor of two,
 * writers settle at another pressure. What goes wrong elsewhere is avoided: a rate that is stepped
 * by a fixed factor at each event hunts around the right one; a stop at a count of tables is a
 * cliff; a sleep of a whole millisecond for a small write is a stall by itself. Compaction's
 * pressure never takes the rate below an eighth of its speed, because it is a promise about space
 * and read cost, not a lack of room.
 *
 * All of this is arithmetic over times that the caller brings. One thread at a time for each half,
 * as said below.
 */
#ifndef FR_LSM_PACE_H
#define FR_LSM_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is owed, as of the last change of memtables or version. */
struct fr_pace_debt {
    uint64_t memtable_size;
    unsigned memtables_max;  /* how many there may be, the active one included */
    unsigned sealed_count;   /* of those, sealed */
    uint64_t flushing_bytes; /* of the one that is being flushed; 0: none is */
    uint64_t flush_start_us;
    size_t level0_tables;
    size_t level0_trigger;
    uint64_t compaction_bytes; /* over the levels' targets */
    uint64_t compaction_soft;  /* from here on that is pressure */
    uint64_t garbage_bytes;    /* in value files */
    uint64_t garbage_soft;
};

/* Speeds in bytes of memtable per microsecond. Guarded by whoever owns it. */
struct fr_pace_speeds {
    double flush;         /* 0: none is known yet */
    double memtable;      /* bytes of a flushed one, on the average */
    double drained_bytes; /* taken out of level 0, fading */
    double work_us;       /* by compactions of all levels, fading likewise */
};

/* A memtable of so many bytes was flushed in that time. */
void fr_pace_add_flush(struct fr_pace_speeds *speeds, uint64_t bytes, uint64_t duration_us);

/* A compaction took so many tables out of level 0, perhaps none, and that time. */
void fr_pace_add_compaction(struct fr_pace_speeds *speeds, size_t level0_tables,
        uint64_t duration_us);

/* 0 to 1 and above: what compaction owes, of what it may. */
double fr_pace_compaction_pressure(const struct fr_pace_debt *debt);

/* Whether writers are paced at all with that debt, however full the active memtable is. */
bool fr_pace_is_due(const struct fr_pace_debt *debt);

/* No limit. */
#define FR_PACE_FREE 1e18

/* Bytes per microsecond that may go on now, with so many in the active memtable. */
double fr_pace_rate(const struct fr_pace_speeds *speeds, const struct fr_pace_debt *debt,
        uint64_t active_bytes, uint64_t now_us);

/*
 * A bucket of bytes: filled at a rate, up to what that makes in FR_PACE_BURST_US, and emptied by
 * writes, also below nothing; what is missing then is waited for. The leading writer's own. Time
 * that was lost otherwise is not made up for beyond that: a burst would only be waited for later.
 */
struct fr_pace_bucket {
    double bytes;
    uint64_t filled_us; /* 0: not in use */
};

#define FR_PACE_BURST_US 500

/* Fill it up to now at that rate. A bucket that was not in use begins empty. */
void fr_pace_fill(struct fr_pace_bucket *bucket, double rate, uint64_t now_us);

/* Microseconds at that rate until nothing is missing any more. */
uint64_t fr_pace_wait_us(const struct fr_pace_bucket *bucket, double rate);

#endif
