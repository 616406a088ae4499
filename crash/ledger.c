#include "crash/ledger.h"

#include <string.h>
#include <sys/mman.h>

#include "crash/changes.h"

/* Numbers of batches that a process has taken and not used are not used again. */
#define IDS_AHEAD 16

struct fr_ledger *fr_ledger_new(void)
{
    struct fr_ledger *ledger =
            mmap(NULL, sizeof(*ledger), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (ledger == MAP_FAILED) return NULL;
    fr_crash_report_init(&ledger->report);
    return ledger;
}

void fr_ledger_free(struct fr_ledger *ledger)
{
    if (ledger == NULL) return;
    fr_crash_report_deinit(&ledger->report);
    (void)munmap(ledger, sizeof(*ledger));
}

void fr_ledger_begin(struct fr_ledger *ledger, uint32_t first_id)
{
    memset(&ledger->history, 0, sizeof(ledger->history));
    memset(ledger->copies, 0, sizeof(ledger->copies));
    atomic_store(&ledger->issued, 0);
    atomic_store(&ledger->published, 0);
    atomic_store(&ledger->acked, 0);
    atomic_store(&ledger->ingest, 0);
    atomic_store(&ledger->copies_now, 0);
    atomic_store(&ledger->next_id, FR_CRASH_ID_NUMBER(first_id));
}

void fr_ledger_take(struct fr_ledger *ledger, struct fr_crash_run *run, bool power,
        struct fr_crash_pending *ret_pending)
{
    struct fr_ledger_copies *copies = &ledger->copies[atomic_load(&ledger->copies_now)];
    size_t most = atomic_load(&ledger->issued), ingest = atomic_load(&ledger->ingest);

    fr_crash_history_copy(&run->history, &ledger->history, most);
    run->next_id = FR_CRASH_ID_NUMBER(atomic_load(&ledger->next_id) + IDS_AHEAD);
    memcpy(run->checkpoints, copies->list, sizeof(run->checkpoints));
    *ret_pending = (struct fr_crash_pending){
            .least = atomic_load(power ? &ledger->acked : &ledger->published),
            .most = most,
            .checkpoints_acked = copies->acked,
            .checkpoints_issued = copies->issued,
            .ingest = ingest > most ? 0 : ingest}; /* one that has failed is not looked for */
}

/* The batches that may have changed are the last one and the one that is tried behind it. */
static void enter_history(struct fr_ledger *ledger, const struct fr_crash_run *run, size_t issued)
{
    const struct fr_crash_history *from = &run->history;
    struct fr_crash_history *to = &ledger->history;

    to->hashes[0] = from->hashes[0];
    for (size_t n = issued < 2 ? 0 : issued - 2; n < issued; n++) {
        to->ids[n] = from->ids[n];
        to->hashes[n + 1] = from->hashes[n + 1];
        to->progress[n + 1] = from->progress[n + 1];
    }
    memcpy(to->doubt_ids, from->doubt_ids, sizeof(to->doubt_ids));
    memcpy(to->doubt_hashes, from->doubt_hashes, sizeof(to->doubt_hashes));
    to->doubt_count = from->doubt_count;
    to->count = from->count;
}

/* They count once the index says so. */
static void enter_copies(struct fr_ledger *ledger, struct fr_crash_run *run)
{
    unsigned next = 1 - atomic_load(&ledger->copies_now);
    struct fr_ledger_copies *to = &ledger->copies[next];

    memcpy(to->list, run->checkpoints, sizeof(to->list));
    to->count = run->checkpoint_count;
    to->acked = atomic_load(&run->checkpoints_acked);
    to->issued = atomic_load(&run->checkpoints_issued);
    atomic_store(&ledger->copies_now, next);
}

/*
 * What is tried is entered before what is promised, and a promise never before the batch that it is
 * about: a death between any two of these leaves a ledger that is right.
 */
static void enter(struct fr_crash_run *run)
{
    struct fr_ledger *ledger = run->witness_ctx;
    size_t issued = atomic_load(&run->issued);

    enter_history(ledger, run, issued);
    enter_copies(ledger, run);
    atomic_store(&ledger->next_id, run->next_id);
    atomic_store(&ledger->ingest, atomic_load(&run->ingest));
    atomic_store(&ledger->issued, issued);
    atomic_store(&ledger->published, run->published);
    atomic_store(&ledger->acked, atomic_load(&run->acked));
}

void fr_ledger_keep(struct fr_ledger *ledger, struct fr_crash_run *run)
{
    run->witness = enter;
    run->witness_ctx = ledger;
}
