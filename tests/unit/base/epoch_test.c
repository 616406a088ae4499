#include "base/epoch.h"

#include <criterion/criterion.h>

#include "base/alloc.h"
#include "base/thread.h"

struct object {
    struct fr_epoch_item item;
    _Atomic(bool) *freed;
    uint64_t value;
};

static void free_object(struct fr_epoch_item *item)
{
    struct object *object = (struct object *)(void *)item;

    if (object->freed != NULL) atomic_store(object->freed, true);
    object->value = 0;
    fr_free(object);
}

static struct object *object_new(uint64_t value, _Atomic(bool) *freed)
{
    struct object *object = FR_NEW(struct object);

    cr_assert_not_null(object);
    object->value = value;
    object->freed = freed;
    return object;
}

static struct fr_epoch epoch;

Test(epoch, what_nobody_can_look_at_is_freed_at_once)
{
    _Atomic(bool) freed = false;

    fr_epoch_init(&epoch);
    fr_epoch_retire(&epoch, &object_new(1, &freed)->item, free_object);
    cr_assert(atomic_load(&freed));
    fr_epoch_deinit(&epoch);
}

Test(epoch, what_a_reader_may_look_at_stays_until_it_leaves)
{
    _Atomic(bool) freed = false;

    fr_epoch_init(&epoch);
    unsigned reader = fr_epoch_enter(&epoch);
    fr_epoch_retire(&epoch, &object_new(1, &freed)->item, free_object);
    unsigned late = fr_epoch_enter(&epoch);
    fr_epoch_reclaim(&epoch);
    cr_assert_not(atomic_load(&freed));
    fr_epoch_leave(&epoch, reader);
    fr_epoch_reclaim(&epoch);
    cr_assert(atomic_load(&freed), "who entered later could not find it");
    fr_epoch_leave(&epoch, late);
    fr_epoch_deinit(&epoch);
}

Test(epoch, the_end_frees_all)
{
    _Atomic(bool) freed = false;

    fr_epoch_init(&epoch);
    unsigned reader = fr_epoch_enter(&epoch);
    fr_epoch_retire(&epoch, &object_new(1, &freed)->item, free_object);
    fr_epoch_leave(&epoch, reader);
    fr_epoch_deinit(&epoch);
    cr_assert(atomic_load(&freed));
}

#define READERS 3
#define SWAPS   20000

static _Atomic(struct object *) current;
static _Atomic(bool) done;
static _Atomic(unsigned) bad;

static void read_on(void *arg)
{
    (void)arg;
    while (!atomic_load(&done)) {
        unsigned reader = fr_epoch_enter(&epoch);
        const struct object *object = atomic_load(&current);

        for (int i = 0; i < 10; i++)
            if (object->value != 77) atomic_fetch_add(&bad, 1);
        fr_epoch_leave(&epoch, reader);
    }
}

/* Under a sanitizer a use after the free is an error of its own. */
Test(epoch, readers_never_see_what_was_freed)
{
    struct fr_thread threads[READERS];

    fr_epoch_init(&epoch);
    atomic_store(&current, object_new(77, NULL));
    for (int i = 0; i < READERS; i++)
        cr_assert_eq(fr_thread_start(&threads[i], "reader", read_on, NULL), FR_OK);
    for (int i = 0; i < SWAPS; i++) {
        struct object *old = atomic_exchange(&current, object_new(77, NULL));

        fr_epoch_retire(&epoch, &old->item, free_object);
        if (i % 1000 == 0) fr_epoch_wait(&epoch);
    }
    atomic_store(&done, true);
    for (int i = 0; i < READERS; i++)
        fr_thread_join(&threads[i]);
    cr_assert_eq(atomic_load(&bad), 0);
    fr_free(atomic_load(&current));
    fr_epoch_deinit(&epoch);
}
