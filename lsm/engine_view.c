/*
 * engine_view.c - taking the current view, and publishing the next one.
 *
 * A read needs a view for as long as it lasts, and reads are many; so they neither lock nor count.
 * Instead a reference lies parked, one in each of a few stripes, and a thread keeps to one stripe:
 *
 *     take      exchange the stripe's reference for nothing; use it if it is still the current
 *               view. Otherwise (another thread of this stripe has it, or a new view was published)
 *               take a reference of one's own, under the lock.
 *     release   park the reference where there is none, if the view is still current; else drop it.
 *     publish   make the new view current, then drop what is parked in all stripes.
 *
 * Each is one or two operations on a line of memory that other threads do not touch, mostly.
 *
 * A reference that lies in a stripe belongs to whoever exchanges it for nothing: so none is dropped
 * twice or lost. A view that is not current any more is never used, because the taker looks. It
 * does not stay parked either, which would keep its files: who parks looks once more after it, and
 * who publishes looks into the stripes after the new view can be seen. These four accesses are
 * sequentially consistent; in their one order either the parked reference comes before the
 * publisher's look at the stripe, or the new view before the reader's second look, who then takes
 * the reference back. Should it be gone by then, somebody else has it, and does the same.
 */
#include "base/alloc.h"
#include "base/assert.h"
#include "base/thread.h"
#include "lsm/engine_priv.h"

static _Thread_local unsigned my_stripe;

static inline struct fr_view_stripe *stripe_of(struct fr_engine *engine)
{
    if (FR_UNLIKELY(my_stripe == 0)) my_stripe = 1 + fr_thread_number() % FR_VIEW_STRIPES;
    return &engine->stripes[my_stripe - 1];
}

struct fr_view *fr_view_ref(struct fr_view *view)
{
    atomic_fetch_add_explicit(&view->refs, 1, memory_order_relaxed);
    return view;
}

struct fr_view *fr_engine_view_or(struct fr_engine *engine, struct fr_view *view)
{
    if (view == NULL) return fr_engine_view(engine);
    atomic_fetch_add_explicit(&view->refs, 1, memory_order_relaxed);
    return view;
}

void fr_view_unref(struct fr_view *view)
{
    if (view == NULL) return;
    if (atomic_fetch_sub_explicit(&view->refs, 1, memory_order_acq_rel) > 1) return;
    if (view->active != NULL) fr_memtable_unref(view->active);
    for (size_t i = 0; i < view->sealed_count; i++)
        fr_memtable_unref(view->sealed[i]);
    fr_version_unref(view->version);
    fr_free(view);
}

struct fr_view *fr_engine_view(struct fr_engine *engine)
{
    fr_mutex_lock(&engine->mu);
    struct fr_view *view = fr_view_ref(engine->view);
    fr_mutex_unlock(&engine->mu);
    return view;
}

struct fr_view *fr_engine_view_take(struct fr_engine *engine, fr_seq *at)
{
    struct fr_view *view =
            atomic_exchange_explicit(&stripe_of(engine)->parked, NULL, memory_order_acquire);

    if (FR_UNLIKELY(view == NULL ||
                    view != atomic_load_explicit(&engine->current_view, memory_order_acquire))) {
        fr_view_unref(view);
        view = fr_engine_view(engine);
    }
    /* After the view: what it shows must have been published before it was taken. */
    if (*at == FR_SEQ_MAX) *at = fr_engine_last_seq(engine);
    return view;
}

void fr_engine_view_release(struct fr_engine *engine, struct fr_view *view)
{
    struct fr_view_stripe *stripe = stripe_of(engine);
    struct fr_view *nothing = NULL, *parked = view;

    if (view == atomic_load_explicit(&engine->current_view, memory_order_relaxed) &&
            atomic_compare_exchange_strong_explicit(&stripe->parked, &nothing, view,
                    memory_order_seq_cst, memory_order_relaxed)) {
        if (FR_LIKELY(view == atomic_load_explicit(&engine->current_view, memory_order_seq_cst)))
            return;
        if (!atomic_compare_exchange_strong_explicit(&stripe->parked, &parked, NULL,
                    memory_order_acquire, memory_order_relaxed))
            return;
    }
    fr_view_unref(view);
}

void fr_engine_unpark_views(struct fr_engine *engine)
{
    for (size_t i = 0; i < FR_VIEW_STRIPES; i++)
        fr_view_unref(atomic_exchange_explicit(&engine->stripes[i].parked, NULL,
                memory_order_seq_cst));
}

fr_status fr_view_new(struct fr_view **ret_view)
{
    struct fr_view *view = FR_NEW(struct fr_view);

    if (view == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a view of the store");
    *ret_view = view;
    return FR_OK;
}

void fr_engine_fill_view_locked(struct fr_engine *engine, struct fr_version *version,
        struct fr_view *view)
{
    struct fr_view *before = engine->view;

    atomic_init(&view->refs, 1);
    view->active = fr_memtable_ref(engine->active);
    for (size_t i = engine->sealed_count; i-- > 0;)
        view->sealed[view->sealed_count++] = fr_memtable_ref(engine->sealed[i].memtable);
    view->version = fr_version_ref(version);
    engine->view = view;
    atomic_store_explicit(&engine->current_view, view, memory_order_seq_cst);
    fr_engine_unpark_views(engine);
    fr_view_unref(before);
    fr_engine_assess_locked(engine);
}

fr_status fr_engine_publish_view_locked(struct fr_engine *engine, struct fr_version *version)
{
    struct fr_view *view = NULL;
    fr_status st = fr_view_new(&view);

    if (view != NULL) fr_engine_fill_view_locked(engine, version, view);
    return st;
}
