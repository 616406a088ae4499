#include "base/alloc.h"
#include "base/assert.h"
#include "lsm/engine_priv.h"

struct fr_view *fr_engine_view(struct fr_engine *engine)
{
    fr_mutex_lock(&engine->mu);
    struct fr_view *view = engine->view;
    atomic_fetch_add_explicit(&view->refs, 1, memory_order_relaxed);
    fr_mutex_unlock(&engine->mu);
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

fr_status fr_engine_publish_view_locked(struct fr_engine *engine, struct fr_version *version)
{
    struct fr_view *view = FR_NEW(struct fr_view), *before = engine->view;

    if (view == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a view of the store");
    atomic_init(&view->refs, 1);
    view->active = fr_memtable_ref(engine->active);
    for (size_t i = engine->sealed_count; i-- > 0;)
        view->sealed[view->sealed_count++] = fr_memtable_ref(engine->sealed[i].memtable);
    view->version = fr_version_ref(version);
    engine->view = view;
    fr_view_unref(before);
    return FR_OK;
}
