/*
 * index_tiers.c - an index that may have less memory than its postings take.
 *
 * What of an index is where:
 *
 *     centroids, and tiers above    in memory, always
 *     signs of postings             in memory as far as the store's budget allows
 *     the rest of these: entries,   in memory as far as the budget allows beyond that
 *     and the rows that they list
 *     the same, whole               in the store, under p/ (spfresh/stored.h), and perhaps in a
 *                                   file of the index's own
 *     vectors                       in value files
 *
 * Opening adds up what all postings would take. If indexes may have that much (three quarters of
 * the budget for all of the store's), they are loaded and stay, in chunks of rows that lie in huge
 * pages. Else the index is bounded, and its postings come and go while it is searched:
 *
 *     WAITING ----> CLAIMED ----> LOADED        by whoever loads it (index_load.c)
 *        ^             ^             |
 *        |             |          CLAIMED       by whoever needs the room
 *        |             |             |
 *        +- CLAIMED <- + -------- LEAN          signs go when there is nothing else left to go
 *
 * Signs are a tenth of a posting, most postings that a search scans have nothing to be measured in
 * them, and the others some rows. So a search scans what is lean, and reads the rows that it would
 * measure (index_aside.c). Loaded are postings of which not even signs are there, those whose rows
 * cannot be read by themselves, what there is room for, and now and then what is read for want of
 * room; the signs of what is loaded again are taken over.
 *
 * Before a posting is loaded others leave for it, if it needs that: by the clock, those that no
 * search has wanted since it last came by. They are hidden first; when all searches that had begun
 * by then have ended, they are freed, each by itself (fr_rows_take_piece). No search waits for
 * that but the one that loads. An answer is what it would be with everything in memory: a search
 * begins again until all that it wants to scan is there.
 *
 * What a search had to load it has pinned until it has ended, so that many of them cannot take
 * from each other for ever what each has just loaded. So searches under way may hold more than the
 * budget, if that is less than what they scan.
 *
 * Which ids there are nobody knows meanwhile. That no two postings have the same one, which loading
 * sees to when everything stays, each search sees to in its answer.
 *
 * A bounded index is one that is not written. Writing and maintaining take all postings, and so
 * does asking for all of them: the first call that needs that makes all postings leave, lays out
 * rows in chunks, and loads everything; codes leave again as they come (index_cold.c). The next
 * opening is bounded again.
 *
 * The budget is looked at whenever something is loaded, after each search, and now and then.
 */
#include "base/alloc.h"
#include "base/assert.h"
#include "base/cover.h"
#include "base/log.h"
#include "spfresh/index_priv.h"
#include "spfresh/tree_priv.h"

/* Postings that leave together: they wait for searches once. And what leaves at least, of all that
 * there may be, for the same reason. */
#define LEAVE_MAX   64
#define LEAVE_PARTS 256

/* Between two looks at the budget, if nobody searches. */
#define LOOK_US 200000

/* ---- The budget ---- */

static bool has_room(const struct fr_spfresh *index, size_t bytes)
{
    return fr_spfresh_room(index) >= bytes;
}

/* The count of vectors is as of postings' last being written as a whole. */
static size_t bytes_of_all(const struct fr_tree *tree, size_t vectors)
{
    size_t postings = FR_MAX(tree->tiers[1].live_count, (size_t)1);
    size_t each = (vectors + vectors / 4) / postings + 1;

    return postings * fr_tree_posting_bytes(tree, each) + 2 * vectors * sizeof(fr_slot) +
           vectors * tree->options.copies / 100 *
                   (fr_block_size(tree->space->dims) / FR_BLOCK_VECTORS +
                           sizeof(struct fr_node_entry));
}

/* Less than that cannot be, if it is to be written: with all codes in a file (index_cold.c). */
static size_t bytes_of_least(const struct fr_tree *tree, size_t vectors)
{
    size_t code = tree->space->dims + fr_row_low_size(tree->space->dims);

    return bytes_of_all(tree, vectors) - vectors * code;
}

fr_status fr_spfresh_bound(struct fr_spfresh *index, struct fr_tree *tree, size_t vectors)
{
    struct fr_loading *l = &index->loading;
    fr_status st;

    if (has_room(index, bytes_of_all(tree, vectors))) return FR_OK;
    if (!index->read_only && has_room(index, bytes_of_least(tree, vectors))) {
        FR_COVER("index: it is loaded, but for codes");
        return FR_OK;
    }
    FR_COVER("index: it is bounded");
    fr_log(FR_LOG_INFO, "spfresh",
            "index \"%s\": its postings take about %zu MiB, more than the memory budget has for "
            "them: they come and go while it is searched",
            index->name, bytes_of_all(tree, vectors) >> 20);
    l->pins = fr_alloc_zeroed(l->slot_count, sizeof(*l->pins));
    if (l->pins == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to load an index");
    FR_TRY(fr_spfresh_asides_open(index));
    FR_TRY(fr_tree_begin_rows(tree, true));
    atomic_store_explicit(&l->is_bounded, true, memory_order_release);
out:
    return st;
}

/* ---- Pins ---- */

fr_status fr_spfresh_pin_found(struct fr_spfresh *index, const struct fr_found *found, size_t count,
        struct fr_pins *pins)
{
    struct fr_loading *l = &index->loading;
    size_t needed = pins->count + count;

    if (!fr_spfresh_is_bounded(index)) return FR_OK;
    if (needed > pins->capacity) {
        uint32_t *grown = fr_realloc(pins->numbers, 2 * needed * sizeof(*grown));

        if (grown == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to load %zu postings", count);
        pins->numbers = grown;
        pins->capacity = 2 * needed;
    }
    fr_mutex_lock(&l->mu);
    for (size_t i = 0; i < count; i++) {
        pins->numbers[pins->count++] = found[i].slot;
        l->pins[found[i].slot]++;
    }
    fr_mutex_unlock(&l->mu);
    return FR_OK;
}

static void unpin(struct fr_spfresh *index, struct fr_pins *pins)
{
    struct fr_loading *l = &index->loading;

    if (pins->count == 0) return;
    fr_mutex_lock(&l->mu);
    while (pins->count > 0) {
        uint32_t *pin = &l->pins[pins->numbers[--pins->count]];

        FR_ASSERT(*pin > 0);
        (*pin)--;
    }
    fr_mutex_unlock(&l->mu);
}

void fr_spfresh_search_over(struct fr_spfresh *index, struct fr_pins *pins)
{
    unpin(index, pins);
    fr_spfresh_make_room(index, 0);
}

/* ---- Leaving ---- */

/* Those that leave together. */
struct leaving {
    uint32_t numbers[LEAVE_MAX];
    struct fr_node *nodes[LEAVE_MAX];
    size_t count;
    bool keeps_signs;
};

/* Whether the clock's hand, which is at this posting, takes it. */
static bool may_leave_locked(struct fr_spfresh *index, uint32_t number, enum fr_posting_state state)
        FR_REQUIRES(index->loading.mu)
{
    const struct fr_loading *l = &index->loading;

    if (l->states[number] != state || l->pins[number] > 0) return false;
    /* It is there as long as its state says so. */
    struct fr_node *node = fr_tree_node(fr_spfresh_tree(index), 1, number);
    if (!atomic_load_explicit(&node->was_wanted, memory_order_relaxed)) return true;
    atomic_store_explicit(&node->was_wanted, false, memory_order_relaxed);
    return false;
}

/* What is won if it leaves, but for its signs if it is whole. */
static size_t bytes_of(const struct fr_tree *tree, const struct fr_node *node)
{
    size_t count = atomic_load_explicit(&node->count, memory_order_relaxed);
    size_t lean = fr_tree_lean_bytes(tree, count);

    return node->is_lean ? lean : fr_tree_posting_bytes(tree, count) - lean;
}

/* Two turns of the hand at the most: after the first nothing is wanted. */
static void choose_locked(struct fr_spfresh *index, size_t bytes, enum fr_posting_state state,
        struct leaving *ret) FR_REQUIRES(index->loading.mu)
{
    const struct fr_tree *tree = fr_spfresh_tree(index);
    struct fr_loading *l = &index->loading;
    size_t steps = 2 * (size_t)l->slot_count, freed = 0;

    ret->count = 0;
    ret->keeps_signs = state == FR_POSTING_LOADED;
    while (steps-- > 0 && freed < bytes && ret->count < LEAVE_MAX) {
        uint32_t number = l->hand;

        l->hand = number + 1 < l->slot_count ? number + 1 : 0;
        if (!may_leave_locked(index, number, state)) continue;
        l->states[number] = FR_POSTING_CLAIMED;
        freed += bytes_of(tree, fr_tree_node(tree, 1, number));
        ret->numbers[ret->count++] = number;
    }
    l->leaving_bytes += freed;
}

/* NULL: there is no memory for them, and the posting goes as a whole. */
static struct fr_node *signs_of(struct fr_tree *tree, uint32_t number)
{
    struct fr_node *lean = NULL;

    return fr_node_new_lean(&tree->pieces, fr_tree_node(tree, 1, number), &lean) < 0 ? NULL : lean;
}

/* They were claimed. */
static size_t let_leave(struct fr_spfresh *index, struct leaving *l)
{
    struct fr_tree *tree = fr_spfresh_tree(index);
    size_t bytes = 0;

    for (size_t i = 0; i < l->count; i++)
        l->nodes[i] = fr_tree_evict_hide(tree, l->numbers[i],
                l->keeps_signs ? signs_of(tree, l->numbers[i]) : NULL);
    fr_epoch_wait(&tree->epoch); /* who has seen them has ended */
    for (size_t i = 0; i < l->count; i++) {
        bytes += bytes_of(tree, l->nodes[i]);
        fr_tree_evict_free(tree, l->nodes[i]);
    }
    return bytes;
}

/* They have left. */
static void settle_locked(struct fr_spfresh *index, const struct leaving *leaving)
        FR_REQUIRES(index->loading.mu)
{
    const struct fr_tree *tree = fr_spfresh_tree(index);
    struct fr_loading *l = &index->loading;

    for (size_t i = 0; i < leaving->count; i++) {
        bool has_signs = fr_tree_node(tree, 1, leaving->numbers[i]) != NULL;

        l->states[leaving->numbers[i]] = has_signs ? FR_POSTING_LEAN : FR_POSTING_WAITING;
        l->lean += has_signs;
    }
    if (leaving->keeps_signs) {
        l->left += leaving->count;
        l->evictions += leaving->count;
    } else {
        l->lean -= leaving->count;
    }
    fr_cond_broadcast(&l->changed);
}

/* Answers whether any have left. */
static bool evict(struct fr_spfresh *index, size_t bytes, bool signs_too)
{
    struct fr_loading *l = &index->loading;
    struct leaving leaving = {.count = 0};

    fr_mutex_lock(&index->loading.mu);
    /* What others are about to give back counts as given back. */
    bool is_needed = fr_spfresh_is_bounded(index) && !l->is_switching && l->leaving_bytes < bytes;
    if (is_needed) choose_locked(index, bytes - l->leaving_bytes, FR_POSTING_LOADED, &leaving);
    if (is_needed && leaving.count == 0 && signs_too)
        choose_locked(index, bytes - l->leaving_bytes, FR_POSTING_LEAN, &leaving);
    fr_mutex_unlock(&index->loading.mu);
    if (leaving.count == 0) return false;
    FR_COVER("index: postings leave");
    size_t freed = let_leave(index, &leaving);
    fr_mutex_lock(&index->loading.mu);
    l->leaving_bytes -= freed;
    settle_locked(index, &leaving);
    fr_mutex_unlock(&index->loading.mu);
    return true;
}

static void make_room(struct fr_spfresh *index, size_t coming, bool signs_too)
{
    while (fr_spfresh_is_bounded(index)) {
        size_t most = fr_engine_indexes_most(index->engine);
        size_t used = fr_engine_indexes_bytes(index->engine) + coming;

        if (used <= most || !evict(index, FR_MAX(used - most, most / LEAVE_PARTS), signs_too))
            return;
    }
}

void fr_spfresh_make_room(struct fr_spfresh *index, size_t coming)
{
    make_room(index, coming, true);
}

/* false: nothing was about to leave, or there is no time to wait for it. */
static bool wait_for_leaving(struct fr_spfresh *index)
{
    struct fr_loading *l = &index->loading;
    bool has_waited = false;

    fr_mutex_lock(&l->mu);
    while (l->leaving_bytes > 0 && !atomic_load_explicit(&l->stop, memory_order_relaxed) &&
            !atomic_load_explicit(&l->all_wanted, memory_order_relaxed)) {
        has_waited = true;
        fr_cond_wait(&l->changed, &l->mu);
    }
    fr_mutex_unlock(&l->mu);
    return has_waited;
}

/* What others are making room with is theirs: who finds none left waits until they have. */
bool fr_spfresh_make_lean(struct fr_spfresh *index, size_t coming)
{
    do
        make_room(index, coming, false);
    while (!has_room(index, coming) && wait_for_leaving(index));
    return has_room(index, coming);
}

/* ---- From bounded to whole ---- */

static bool any_claimed_locked(const struct fr_spfresh *index) FR_REQUIRES(index->loading.mu)
{
    const struct fr_loading *l = &index->loading;

    return memchr(l->states, FR_POSTING_CLAIMED, l->slot_count) != NULL;
}

/* Nothing is claimed while this goes on: who wants to waits, with nothing claimed (index_load.c).
 */
static void begin_switch(struct fr_spfresh *index)
{
    struct fr_loading *l = &index->loading;

    fr_mutex_lock(&index->loading.mu);
    l->is_switching = true;
    while (any_claimed_locked(index))
        fr_cond_wait(&l->changed, &index->loading.mu);
    fr_mutex_unlock(&index->loading.mu);
}

static void end_switch(struct fr_spfresh *index)
{
    struct fr_loading *l = &index->loading;

    fr_mutex_lock(&l->mu);
    l->left = l->total;
    for (uint32_t number = 0; number < l->slot_count; number++)
        if (l->states[number] != FR_POSTING_LOST) l->states[number] = FR_POSTING_WAITING;
    l->lean = 0;
    l->is_switching = false;
    fr_cond_broadcast(&l->changed);
    fr_mutex_unlock(&l->mu);
}

/* All of them, pinned or not: who has pinned them loads them again. */
static void let_all_leave(struct fr_spfresh *index)
{
    const struct fr_tree *tree = fr_spfresh_tree(index);
    struct leaving leaving = {.count = 0};

    for (uint32_t number = 0; number < index->loading.slot_count; number++) {
        if (!fr_spfresh_is_posting(index, number) || fr_tree_node(tree, 1, number) == NULL)
            continue;
        leaving.numbers[leaving.count++] = number;
        if (leaving.count < LEAVE_MAX) continue;
        (void)let_leave(index, &leaving);
        leaving.count = 0;
    }
    (void)let_leave(index, &leaving);
}

fr_status fr_spfresh_unbound(struct fr_spfresh *index)
{
    struct fr_loading *l = &index->loading;

    if (!fr_spfresh_is_bounded(index)) return FR_OK;
    FR_COVER("index: it is not bounded any more");
    begin_switch(index);
    let_all_leave(index);
    fr_status st = fr_tree_begin_rows(fr_spfresh_tree(index), false);
    /* Release: whoever sees it loads into chunks. */
    if (st == FR_OK) atomic_store_explicit(&l->is_bounded, false, memory_order_release);
    if (st == FR_OK) fr_spfresh_asides_empty(index);
    end_switch(index);
    return st;
}

void fr_spfresh_wait_unbounded(struct fr_spfresh *index)
{
    struct fr_loading *l = &index->loading;

    while (fr_spfresh_is_bounded(index) && fr_spfresh_is_loading(index)) {
        fr_spfresh_make_room(index, 0);
        fr_mutex_lock(&l->mu);
        bool stop = atomic_load_explicit(&l->stop, memory_order_relaxed);
        if (!stop) (void)fr_cond_wait_for(&l->changed, &l->mu, LOOK_US);
        fr_mutex_unlock(&l->mu);
        if (stop) return;
    }
}

void fr_spfresh_tiers_count(struct fr_spfresh *index, struct fr_index_stats *ret_stats)
{
    struct fr_loading *l = &index->loading;

    fr_mutex_lock(&l->mu);
    ret_stats->loads = l->loads;
    ret_stats->evictions = l->evictions;
    ret_stats->lean = l->lean;
    fr_mutex_unlock(&l->mu);
}
