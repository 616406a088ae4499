/*
 * ring_faults_test.c - the engine on a real ring whose answers are not the kernel's.
 *
 * What the engine reads by rings is what it reads at once, for many keys. A store on the disk with
 * direct reads is opened again for each case, so that nothing is cached, and all slots are asked
 * for in one call, while one attempt or many of them fail, stop short, are cancelled or come back
 * in another order. The answer is right, or it is the error, in its documented status; and as soon
 * as the ring is well again so is the answer. Nothing crashes, hangs or leaks.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/rng.h"
#include "crash/changes.h"
#include "crash/engine_subject.h"
#include "crash/model.h"
#include "io/uring_faults.h"
#include "tests/unit/io/test_world.h"

#define BATCHES 60
#define CONFIG  5 /* with direct reads, and nearly all values in files of their own */

struct bed {
    struct test_world world;
    struct fr_crash_model model;
    char path[96];
    void *store;
};

static void fill(struct bed *bed)
{
    struct fr_crash_changes changes;

    must(fr_crash_engine.open(bed->world.env, bed->path, CONFIG, FR_CRASH_MAKE, &bed->store));
    for (uint32_t id = 1; id <= BATCHES; id++) {
        fr_crash_changes_make(&fr_crash_engine, id, &changes);
        must(fr_crash_model_apply(&bed->model, changes.list, changes.count));
        must(fr_crash_engine.write(bed->store, changes.list, changes.count, FR_SYNC_NONE));
    }
    must(fr_crash_engine.act(bed->store, FR_CRASH_FLUSH, 0, 0));
    must(fr_crash_engine.close(FR_TAKE(bed->store)));
}

static void open_bed(struct bed *bed)
{
    *bed = (struct bed){.world = test_world_open()};
    snprintf(bed->path, sizeof(bed->path), "%s/store", bed->world.path);
    fill(bed);
}

static void close_bed(struct bed *bed)
{
    fr_crash_model_deinit(&bed->model);
    test_world_close(&bed->world);
}

static void open_store(struct bed *bed)
{
    must(fr_crash_engine.open(bed->world.env, bed->path, CONFIG, FR_CRASH_READ_ONLY, &bed->store));
}

static void close_store(struct bed *bed)
{
    must(fr_crash_engine.close(FR_TAKE(bed->store)));
}

/* All slots in one call. What is known of them is right, and all is known if it answers FR_OK. */
static fr_status read_at_once(struct bed *bed)
{
    struct fr_crash_reading reading = {0};
    fr_status st = fr_crash_engine.read(bed->store, FR_CRASH_AT_ONCE, &reading);

    cr_assert_null(fr_crash_reading_fault(&reading));
    cr_assert_eq(fr_crash_reading_differs(&reading, &bed->model), FR_CRASH_SLOTS);
    if (st == FR_OK)
        cr_assert_eq(fr_crash_reading_hash(&reading), fr_crash_model_hash(&bed->model));
    return st;
}

static uint64_t live_blocks(void)
{
    struct fr_alloc_stats stats;

    fr_alloc_stats_get(&stats);
    return stats.live_count;
}

/* ---- one attempt of all, or all from it on */

struct one_fault {
    _Atomic(unsigned) attempts;
    unsigned nth;
    bool forever;
    struct fr_uring_verdict verdict;
};

static void spoil_nth(void *ctx, const struct fr_io_request *request,
        struct fr_uring_verdict *verdict)
{
    struct one_fault *fault = ctx;
    unsigned number = atomic_fetch_add(&fault->attempts, 1) + 1;

    (void)request;
    if (number == fault->nth || (number > fault->nth && fault->forever)) *verdict = fault->verdict;
}

/* The status of reading with that fault; afterwards all is well. How many attempts there were. */
static unsigned read_with(struct bed *bed, struct one_fault *fault, fr_status *ret_status)
{
    struct fr_uring_faults faults = {.ctx = fault, .attempt = spoil_nth};
    uint64_t live = live_blocks();

    open_store(bed);
    fr_uring_faults_set(&faults);
    *ret_status = read_at_once(bed);
    fr_uring_faults_set(NULL);
    must(read_at_once(bed));
    close_store(bed);
    cr_assert_eq(live_blocks(), live, "%llu blocks are left",
            (unsigned long long)(live_blocks() - live));
    return fault->attempts;
}

/* Each attempt in turn. */
static void sweep(struct bed *bed, struct fr_uring_verdict verdict, bool forever, fr_status wanted)
{
    struct one_fault fault = {.nth = 1, .forever = forever, .verdict = verdict};
    unsigned hits = 0;
    fr_status st;

    for (; read_with(bed, &fault, &st) >= fault.nth; hits++) {
        cr_assert_eq(st, wanted, "error %d at attempt %u: %s", verdict.os_error, fault.nth,
                st < 0 ? fr_last_error() : "nothing is said");
        fault.nth++;
        fault.attempts = 0;
    }
    if (hits == 0) cr_skip_test("this file system has no direct reads");
    cr_assert_gt(hits, 3);
    must(st);
}

Test(ring_faults, an_attempt_that_fails_is_told_in_its_status, .timeout = 60)
{
    static const struct {
        int os_error;
        fr_status status;
    } answers[] = {{EIO, FR_ERR_IO}, {ENOMEM, FR_ERR_NOMEM}, {EBADF, FR_ERR_IO},
            {EINVAL, FR_ERR_IO}, {ENODATA, FR_ERR_IO}};
    struct bed bed;

    open_bed(&bed);
    for (size_t i = 0; i < FR_ARRAY_COUNT(answers); i++)
        for (int forever = 0; forever < 2; forever++)
            sweep(&bed, (struct fr_uring_verdict){.os_error = answers[i].os_error}, forever,
                    answers[i].status);
    close_bed(&bed);
}

Test(ring_faults, an_attempt_that_was_put_off_or_cancelled_is_made_again, .timeout = 60)
{
    static const int errors[] = {EINTR, EAGAIN, ECANCELED};
    struct bed bed;

    open_bed(&bed);
    for (size_t i = 0; i < FR_ARRAY_COUNT(errors); i++)
        for (int done = 0; done < 2; done++)
            sweep(&bed, (struct fr_uring_verdict){.os_error = errors[i], .done = done}, false,
                    FR_OK);
    close_bed(&bed);
}

Test(ring_faults, a_short_or_late_attempt_is_not_noticed, .timeout = 60)
{
    static const size_t sizes[] = {1, 511, 512, 4096, SIZE_MAX};
    struct bed bed;

    open_bed(&bed);
    for (size_t i = 0; i < FR_ARRAY_COUNT(sizes); i++)
        for (int late = 0; late < 2; late++)
            sweep(&bed, (struct fr_uring_verdict){.short_by = sizes[i], .late = late}, false,
                    FR_OK);
    sweep(&bed, (struct fr_uring_verdict){.late = true}, true, FR_OK);
    close_bed(&bed);
}

/* A ring that puts off everything for ever is given up at some time, with an error. */
Test(ring_faults, a_ring_that_never_does_anything_does_not_hang_the_reader, .timeout = 60)
{
    struct one_fault fault = {.nth = 1, .forever = true, .verdict = {.os_error = ECANCELED}};
    struct bed bed;
    fr_status st;

    open_bed(&bed);
    if (read_with(&bed, &fault, &st) > 0) cr_assert_eq(st, FR_ERR_IO, "%s", fr_last_error());
    close_bed(&bed);
}

/* ---- everything at once, by several readers */

static int refuse_some(void *ctx)
{
    static const int errors[] = {EBUSY, EAGAIN, EINTR, ENOMEM};
    uint64_t dice = fr_mix64(atomic_fetch_add((_Atomic(uint64_t) *)ctx, 1));

    return dice % 3 == 0 ? errors[dice / 3 % FR_ARRAY_COUNT(errors)] : 0;
}

static unsigned flood_some(void *ctx)
{
    return fr_mix64(atomic_fetch_add((_Atomic(uint64_t) *)ctx, 1)) % 64 == 0 ? 300 : 0;
}

static void spoil_some(void *ctx, const struct fr_io_request *request,
        struct fr_uring_verdict *verdict)
{
    static const int errors[] = {0, 0, 0, EINTR, EAGAIN, ECANCELED};
    uint64_t dice = fr_mix64(atomic_fetch_add((_Atomic(uint64_t) *)ctx, 1));

    (void)request;
    verdict->os_error = errors[dice % FR_ARRAY_COUNT(errors)];
    verdict->late = dice >> 8 & 1;
    verdict->done = dice >> 9 & 1;
    if (dice >> 10 & 1) verdict->short_by = dice >> 11 & 4095;
}

static void *read_often(void *ctx)
{
    for (int i = 0; i < 10; i++)
        must(read_at_once(ctx));
    return NULL;
}

Test(ring_faults, many_readers_of_a_ring_that_is_never_well_all_read_what_is_there, .timeout = 100)
{
    enum { READERS = 4 };
    static _Atomic(uint64_t) count;
    struct fr_uring_faults faults = {
            .ctx = &count, .attempt = spoil_some, .enter = refuse_some, .flood = flood_some};
    uint64_t live = live_blocks();
    pthread_t readers[READERS];
    struct bed bed;

    open_bed(&bed);
    for (int round = 0; round < 10; round++) {
        open_store(&bed);
        fr_uring_faults_set(&faults);
        for (int i = 0; i < READERS; i++)
            cr_assert_eq(pthread_create(&readers[i], NULL, read_often, &bed), 0);
        for (int i = 0; i < READERS; i++)
            pthread_join(readers[i], NULL);
        fr_uring_faults_set(NULL);
        close_store(&bed);
    }
    close_bed(&bed);
    cr_assert_eq(live_blocks(), live);
}
