#include "crash/sequences.h"

#include <stdio.h>

#include "base/alloc.h"
#include "crash/changes.h"
#include "crash/enumerate.h"
#include "crash/workload.h"

#define BASE_BATCHES 6

static const char *const names[FR_CRASH_SEQUENCE_KINDS] = {"put", "append", "delete",
        "delete range", "batch", "sync", "flush", "compact", "snapshot", "reopen", "ingest",
        "checkpoint"};

static uint32_t single(struct fr_crash_run *run, enum fr_crash_change_kind kind)
{
    return FR_CRASH_ID_OF(kind) | FR_CRASH_ID_NUMBER(run->next_id++);
}

/* The sync classes go round with the places, so that each operation comes with each of them. */
static fr_status run_one(struct fr_crash_run *run, unsigned kind, fr_sync sync)
{
    run->step++;
    fr_crash_count(run->report, FR_CRASH_STEPS, 1);
    switch (kind) {
    case 0:
        return fr_crash_run_write(run, single(run, FR_CRASH_PUT), sync);
    case 1:
        return fr_crash_run_write(run, single(run, FR_CRASH_APPEND), sync);
    case 2:
        return fr_crash_run_write(run, single(run, FR_CRASH_DELETE), sync);
    case 3:
        return fr_crash_run_write(run, single(run, FR_CRASH_DELETE_RANGE), sync);
    case 4:
        return fr_crash_run_write(run, 0, sync);
    case 5:
        return fr_crash_run_act(run, FR_CRASH_SYNC, 0, 0);
    case 6:
        return fr_crash_run_act(run, FR_CRASH_FLUSH, 0, 0);
    case 7:
        return fr_crash_run_act(run, FR_CRASH_COMPACT, 0, 0);
    case 8:
        if (run->subject->hold == NULL) return fr_crash_run_tend(run);
        return fr_crash_run_hold(run, sync == FR_SYNC_OS ? FR_CRASH_ITERATOR : FR_CRASH_SNAPSHOT);
    case 9:
        return fr_crash_run_reopen(run);
    case 10:
        if (run->subject->ingest == NULL) return fr_crash_run_act(run, FR_CRASH_IDLE, 0, 0);
        return fr_crash_run_ingest(run, sync != FR_SYNC_OS);
    default:
        return fr_crash_run_checkpoint(run);
    }
}

/* The store that each sequence begins on: the same disk, opened. */
struct base {
    struct fr_sim_image *image;
    struct fr_crash_history history;
};

static fr_status make_base(const struct fr_crash_sequences *sequences,
        struct fr_crash_report *report, struct base *ret_base)
{
    struct fr_crash_run *run = fr_crash_run_new(sequences->subject, report, sequences->seed);
    struct fr_sim_options options = {.seed = sequences->seed};
    struct fr_sim *sim;
    fr_status st;

    if (run == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a run");
    atomic_store(&run->no_images, true);
    FR_TRY(fr_sim_open(&options, &sim));
    fr_crash_enumerate_take(run, sim);
    FR_TRY(fr_crash_run_open(run));
    for (unsigned i = 0; i < BASE_BATCHES; i++) {
        FR_TRY(fr_crash_run_write(run, 0, FR_SYNC_OS));
        if (i == BASE_BATCHES / 2) FR_TRY(fr_crash_run_act(run, FR_CRASH_FLUSH, 0, 0));
    }
    FR_TRY(fr_crash_run_tend(run)); /* other configurations begin on it, with all that is derived */
    FR_TRY(fr_crash_run_close(run));
    FR_TRY(fr_sim_image_take(sim, &ret_base->image));
    fr_crash_history_copy(&ret_base->history, &run->history, run->history.count);
out:
    fr_crash_run_free(run);
    return st;
}

/* What is held is read once more in the end. */
static fr_status read_held(struct fr_crash_run *run)
{
    fr_status st = FR_OK;

    for (int kind = 0; kind < FR_CRASH_HOLDS; kind++)
        if (run->held[kind].held != NULL) FR_TRY(fr_crash_run_hold(run, (enum fr_crash_hold)kind));
out:
    return st;
}

static fr_status run_kinds(struct fr_crash_run *run, unsigned number, unsigned length)
{
    unsigned left = number;
    fr_status st = FR_OK;

    for (unsigned i = 0; i < length; i++, left /= FR_CRASH_SEQUENCE_KINDS) {
        FR_TRY(run_one(run, left % FR_CRASH_SEQUENCE_KINDS, (fr_sync)((number + i) % 3)));
        FR_TRY(fr_crash_enumerate_check(run));
    }
    FR_TRY(read_held(run));
    FR_TRY(fr_crash_enumerate_now(run));
    FR_TRY(fr_crash_enumerate_check(run));
out:
    return st;
}

/* The crash points of opening the base are the first sequence's. */
static fr_status run_sequence(struct fr_crash_run *run, const struct base *base, unsigned number,
        unsigned length)
{
    struct fr_sim *sim;
    fr_status st;

    fr_crash_history_copy(&run->history, &base->history, base->history.count);
    FR_TRY(fr_sim_image_boot(base->image, run->seed, &sim));
    fr_crash_enumerate_take(run, sim);
    FR_TRY(fr_crash_run_rewind(run, base->history.count));
    atomic_store(&run->no_images, number != 0);
    FR_TRY(fr_crash_run_open(run));
    atomic_store(&run->no_images, false);
    FR_TRY(run_kinds(run, number, length));
    fr_crash_count(run->report, FR_CRASH_SEQUENCES, 1);
out:
    return st;
}

static void tell_sequence(struct fr_crash_report *report, unsigned number, unsigned length)
{
    char words[100] = "";
    size_t size = 0;

    for (unsigned i = 0; i < length && size < sizeof(words); i++) {
        size += (size_t)snprintf(words + size, sizeof(words) - size, "%s%s", i == 0 ? "" : ", ",
                names[number % FR_CRASH_SEQUENCE_KINDS]);
        number /= FR_CRASH_SEQUENCE_KINDS;
    }
    fr_crash_report_explain(report, words);
}

static fr_status try_sequence(const struct fr_crash_sequences *sequences,
        struct fr_crash_report *report, const struct base *base, unsigned number)
{
    struct fr_crash_run *run = fr_crash_run_new(sequences->subject, report, sequences->seed);

    if (run == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a run");
    run->next_id += BASE_BATCHES;
    run->config = number % (sequences->subject->configs / 2);
    run->plan = (struct fr_crash_plan){.points_one_in = 1,
            .images_per_point = 8,
            .deeper_one_in = 150,
            .again_one_in = 50,
            .step = fr_crash_workload_step};
    fr_rng_init(&run->rng, sequences->seed + number);
    fr_status st = run_sequence(run, base, number, sequences->length);
    fr_crash_run_free(run);
    if (st == FR_ERR_CANCELLED) tell_sequence(report, number, sequences->length);
    return st;
}

fr_status fr_crash_sequences_run(const struct fr_crash_sequences *sequences,
        struct fr_crash_report *report)
{
    unsigned count = 1, step = sequences->parts == 0 ? 1 : sequences->parts;
    struct base *base = FR_NEW(struct base);
    fr_status st;

    if (base == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a run");
    for (unsigned i = 0; i < sequences->length; i++)
        count *= FR_CRASH_SEQUENCE_KINDS;
    FR_TRY(make_base(sequences, report, base));
    for (unsigned i = sequences->part; i < count; i += step) {
        if (sequences->over != NULL && sequences->over(sequences->over_ctx)) break;
        FR_TRY(try_sequence(sequences, report, base, i));
    }
out:
    fr_sim_image_free(base->image);
    fr_free(base);
    return st;
}
