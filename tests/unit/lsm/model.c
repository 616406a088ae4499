#include "tests/unit/lsm/model.h"

#include <stdlib.h>

#include "lsm/place.h"

static fr_slice copy(fr_slice from)
{
    uint8_t *to = malloc(from.size + 1);

    if (from.size > 0) memcpy(to, from.data, from.size);
    return fr_slice_of(to, from.size);
}

void model_add(struct model *model, fr_slice key, fr_seq seq, uint8_t kind, fr_slice value)
{
    if (model->count == model->capacity) {
        model->capacity = model->capacity * 2 + 64;
        model->entries = realloc(model->entries, model->capacity * sizeof(struct fr_entry));
    }
    model->entries[model->count++] =
            (struct fr_entry){.key = copy(key), .value = copy(value), .seq = seq, .kind = kind};
}

static int compare(const void *a, const void *b)
{
    const struct fr_entry *x = a, *y = b;

    return fr_entry_compare(x->key, x->seq, y->key, y->seq);
}

void model_sort(struct model *model)
{
    size_t kept = 0;

    qsort(model->entries, model->count, sizeof(struct fr_entry), compare);
    for (size_t i = 0; i < model->count; i++) {
        if (kept > 0 && compare(&model->entries[i], &model->entries[kept - 1]) == 0) {
            free(fr_unconst(model->entries[i].key.data));
            free(fr_unconst(model->entries[i].value.data));
            continue;
        }
        model->entries[kept++] = model->entries[i];
    }
    model->count = kept;
}

void model_free(struct model *model)
{
    for (size_t i = 0; i < model->count; i++) {
        free(fr_unconst(model->entries[i].key.data));
        free(fr_unconst(model->entries[i].value.data));
    }
    free(model->entries);
    *model = (struct model){0};
}

static size_t make_key(struct fr_rng *rng, enum model_keys keys, uint8_t *to)
{
    static const size_t extremes[] = {1, 2, 7, 8, 9, 127, 128, 129, 4000, 65535};
    size_t size;

    switch (keys) {
    case MODEL_PREFIXED:
        size = 40 + fr_rng_below(rng, 9);
        memset(to, 'p', size);
        for (size_t i = 36; i < size; i++)
            to[i] = (uint8_t)('a' + fr_rng_below(rng, 3));
        return size;
    case MODEL_VERSIONS:
        to[0] = (uint8_t)('a' + fr_rng_below(rng, 5));
        memset(to + 1, 0xff, 3);
        return 4;
    case MODEL_EXTREME:
        size = extremes[fr_rng_below(rng, fr_rng_one_in(rng, 8) ? 10 : 8)];
        memset(to, fr_rng_one_in(rng, 2) ? 0 : 0xff, size);
        to[size - 1] = (uint8_t)fr_rng_next(rng);
        to[0] = (uint8_t)fr_rng_below(rng, 3);
        return size;
    case MODEL_NUMBERS:
        fr_put_u64(to, __builtin_bswap64(fr_rng_below(rng, 100000)));
        return 8;
    default:
        size = 1 + fr_rng_below(rng, 12);
        fr_rng_fill(rng, to, size);
        return size;
    }
}

static void add_flags(struct fr_rng *rng, struct fr_entry *entry)
{
    if (entry->kind != FR_KIND_PUT) return;
    if (fr_rng_one_in(rng, 5)) {
        entry->flags |= FR_ENTRY_EXPIRES;
        entry->expires_us = fr_rng_next(rng) >> fr_rng_below(rng, 60);
    }
    if (fr_rng_one_in(rng, 7)) {
        struct fr_place place = {fr_rng_below(rng, 5) + 1, fr_rng_below(rng, 9999), 500};
        uint8_t *bytes = malloc(FR_PLACE_SIZE_MAX);

        free(fr_unconst(entry->value.data));
        entry->value = fr_slice_of(bytes, fr_place_put(bytes, &place));
        entry->flags |= FR_ENTRY_PLACED;
    }
}

void model_fill(struct model *model, enum model_keys keys, size_t count, size_t value_max,
        uint64_t seed)
{
    static const uint8_t kinds[] = {FR_KIND_PUT, FR_KIND_PUT, FR_KIND_APPEND, FR_KIND_DELETE};
    uint8_t *key = malloc(65536), *value = malloc(value_max + 1);
    struct fr_rng rng;

    fr_rng_init(&rng, seed);
    for (size_t i = 0; i < count; i++) {
        uint8_t kind = kinds[fr_rng_below(&rng, 4)];
        size_t size = kind == FR_KIND_DELETE ? 0 : fr_rng_below(&rng, value_max + 1);
        size_t key_size = make_key(&rng, keys, key);

        fr_rng_fill(&rng, value, size);
        if (fr_rng_one_in(&rng, 2)) memset(value, 'v', size);
        model_add(model, fr_slice_of(key, key_size), 1 + fr_rng_below(&rng, 1000000), kind,
                fr_slice_of(value, size));
        add_flags(&rng, &model->entries[model->count - 1]);
    }
    model_sort(model);
    free(key);
    free(value);
}

size_t model_seek(const struct model *model, fr_slice key, fr_seq seq)
{
    size_t low = 0, high = model->count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct fr_entry *entry = &model->entries[middle];

        if (fr_entry_compare(entry->key, entry->seq, key, seq) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool model_entry_equal(const struct fr_entry *a, const struct fr_entry *b)
{
    return fr_slice_equal(a->key, b->key) && fr_slice_equal(a->value, b->value) &&
           a->seq == b->seq && a->kind == b->kind && a->flags == b->flags &&
           a->expires_us == b->expires_us;
}

/* The gap that the iterator stands in has `at` entries before it; or it stands on one. */
struct walker {
    const struct model *model;
    struct fr_iter *it;
    size_t at;
    bool on;
};

static void step_next(struct walker *w)
{
    size_t target = w->on ? w->at + 1 : w->at;
    fr_status st = fr_iter_next(w->it);

    if (target >= w->model->count) {
        cr_assert_eq(st, FR_END);
        w->at = w->model->count;
        w->on = false;
        return;
    }
    cr_assert_eq(st, FR_OK, "next to %zu: %s", target, fr_last_error());
    cr_assert(model_entry_equal(&w->it->entry, &w->model->entries[target]), "next to %zu", target);
    w->at = target;
    w->on = true;
}

static void step_prev(struct walker *w)
{
    fr_status st = fr_iter_prev(w->it);

    if (w->at == 0) {
        cr_assert_eq(st, FR_END);
        w->on = false;
        return;
    }
    cr_assert_eq(st, FR_OK, "prev to %zu: %s", w->at - 1, fr_last_error());
    w->at--;
    w->on = true;
    cr_assert(model_entry_equal(&w->it->entry, &w->model->entries[w->at]), "prev to %zu", w->at);
}

static void check_seek(struct walker *w, fr_slice key, fr_seq seq)
{
    fr_iter_seek(w->it, key, seq);
    w->at = model_seek(w->model, key, seq);
    w->on = false;
    step_next(w);
    fr_iter_seek(w->it, key, seq);
    w->at = model_seek(w->model, key, seq);
    w->on = false;
    step_prev(w);
}

static void check_seeks_around(struct walker *w, const struct fr_entry *entry)
{
    uint8_t *beside = malloc(entry->key.size + 1);

    memcpy(beside, entry->key.data, entry->key.size);
    beside[entry->key.size] = 0;
    check_seek(w, entry->key, entry->seq);
    check_seek(w, entry->key, FR_SEQ_MAX);
    check_seek(w, entry->key, entry->seq - 1);
    check_seek(w, entry->key, entry->seq + 1);
    check_seek(w, entry->key, 1);
    check_seek(w, fr_slice_of(beside, entry->key.size + 1), FR_SEQ_MAX);
    check_seek(w, fr_slice_of(beside, entry->key.size - 1), FR_SEQ_MAX);
    beside[entry->key.size - 1]++;
    check_seek(w, fr_slice_of(beside, entry->key.size), FR_SEQ_MAX);
    free(beside);
}

static void walk_at_random(struct walker *w, struct fr_rng *rng)
{
    for (int i = 0; i < 2000; i++) {
        uint64_t dice = fr_rng_below(rng, 40);

        if (dice == 0 && w->model->count > 0) {
            const struct fr_entry *entry = &w->model->entries[fr_rng_below(rng, w->model->count)];

            check_seek(w, entry->key, entry->seq);
        } else if (dice == 1) {
            fr_iter_seek_first(w->it);
            w->at = 0;
            w->on = false;
        } else if (dice == 2) {
            fr_iter_seek_last(w->it);
            w->at = w->model->count;
            w->on = false;
        } else if (dice < 22) {
            step_next(w);
        } else {
            step_prev(w);
        }
    }
}

void model_check(const struct model *model, struct fr_iter *it, uint64_t seed)
{
    struct walker w = {.model = model, .it = it};
    struct fr_rng rng;

    fr_rng_init(&rng, seed);
    for (size_t i = 0; i < model->count + 2; i++)
        step_next(&w);
    for (size_t i = 0; i < model->count + 2; i++)
        step_prev(&w);
    for (size_t i = 0; i < model->count; i += 1 + model->count / 500)
        check_seeks_around(&w, &model->entries[i]);
    check_seek(&w, fr_slice_of(NULL, 0), FR_SEQ_MAX);
    walk_at_random(&w, &rng);
}
