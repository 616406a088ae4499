#include "spfresh/row_digest.h"

#include <string.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "lsm/engine.h"
#include "spfresh/code.h"
#include "spfresh/index.h"
#include "spfresh/stored.h"

/* An index, and what its vectors are coded in. */
struct coded {
    struct fr_index_key kind; /* of v/ */
    uint32_t dimension;
    struct fr_space space;
};

struct fr_row_digests {
    struct coded *indexes;
    size_t count, capacity;
    size_t dims_max, dimension_max;
};

/* ---- Spaces ---- */

static fr_status get(struct fr_engine *engine, struct fr_index_key key,
        struct fr_engine_value *ret_value)
{
    return fr_engine_get(engine, fr_index_key_slice(&key), FR_SEQ_MAX, ret_value);
}

static fr_status read_options(struct fr_engine *engine, const struct fr_index_key *prefix,
        struct fr_stored_options *ret_options)
{
    struct fr_engine_value value;
    fr_status st = get(engine, fr_key_options(prefix), &value);

    if (st != FR_OK) return st;
    st = fr_stored_read_options(value.bytes, ret_options);
    fr_engine_value_release(&value);
    return st;
}

static fr_status read_space(struct fr_engine *engine, const struct fr_index_key *prefix,
        struct fr_space *space)
{
    struct fr_engine_value value;
    uint32_t generation;
    fr_status st = get(engine, fr_key_space(prefix), &value);

    if (st != FR_OK) return st;
    st = fr_stored_read_space(value.bytes, space, &generation);
    fr_engine_value_release(&value);
    return st;
}

/* FR_OK: its rows have digests. All else, but want of memory: they have none. */
static fr_status read_coded(struct fr_engine *engine, const char *name, struct coded *ret)
{
    struct fr_stored_options options;
    struct fr_index_key prefix;
    fr_status st;

    fr_key_prefix(name, &prefix);
    FR_TRY(read_options(engine, &prefix, &options));
    if (st != FR_OK || options.id_kind != FR_ID_U64) return FR_NOT_FOUND;
    ret->kind = fr_key_kind(&prefix, 'v');
    ret->dimension = options.dimension;
    FR_TRY(fr_space_init(&ret->space, options.metric, options.dimension, options.seed));
    st = read_space(engine, &prefix, &ret->space);
    if (st != FR_OK) fr_space_deinit(&ret->space);
out:
    return st;
}

static fr_status add(struct fr_row_digests *digests, const struct coded *coded)
{
    if (digests->count == digests->capacity) {
        size_t capacity = 4 + 2 * digests->capacity;
        struct coded *indexes = fr_realloc(digests->indexes, capacity * sizeof(*indexes));

        if (indexes == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for digests of rows");
        digests->indexes = indexes;
        digests->capacity = capacity;
    }
    digests->indexes[digests->count++] = *coded;
    digests->dims_max = FR_MAX(digests->dims_max, coded->space.dims);
    digests->dimension_max = FR_MAX(digests->dimension_max, (size_t)coded->dimension);
    return FR_OK;
}

static fr_status add_named(struct fr_row_digests *digests, struct fr_engine *engine,
        const char *name)
{
    struct coded coded;
    fr_status st = read_coded(engine, name, &coded);

    if (st != FR_OK) return st == FR_ERR_NOMEM ? st : FR_OK;
    st = add(digests, &coded);
    if (st < 0) fr_space_deinit(&coded.space);
    return st;
}

fr_status fr_row_digests_open(struct fr_engine *engine, struct fr_row_digests **ret_digests)
{
    struct fr_row_digests *digests = FR_NEW(struct fr_row_digests);
    char name[FR_INDEX_NAME_MAX + 1];
    fr_status st, found;

    if (digests == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for digests of rows");
    for (found = fr_spfresh_next_name(engine, NULL, name); found == FR_OK;
            found = fr_spfresh_next_name(engine, name, name))
        FR_TRY(add_named(digests, engine, name));
    *ret_digests = FR_TAKE(digests);
    st = FR_OK;
out:
    fr_row_digests_close(digests);
    return st;
}

void fr_row_digests_close(struct fr_row_digests *digests)
{
    if (digests == NULL) return;
    for (size_t i = 0; i < digests->count; i++)
        fr_space_deinit(&digests->indexes[i].space);
    fr_free(digests->indexes);
    fr_free(digests);
}

/* ---- Rows ---- */

struct fr_row_digester {
    const struct fr_row_digests *digests;
    size_t last; /* the index whose row came last */
    float *vector, *x;
    int8_t *high;
    uint8_t *low;
};

fr_status fr_row_digester_new(const struct fr_row_digests *digests,
        struct fr_row_digester **ret_digester)
{
    struct fr_row_digester *d = NULL;

    *ret_digester = NULL;
    if (digests == NULL || digests->count == 0) return FR_OK;
    d = FR_NEW(struct fr_row_digester);
    if (d == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for digests of rows");
    d->digests = digests;
    d->vector = fr_alloc(digests->dimension_max * sizeof(float));
    d->x = fr_alloc_aligned(digests->dims_max * sizeof(float), 64);
    d->high = fr_alloc(digests->dims_max);
    d->low = fr_alloc(fr_row_low_size(digests->dims_max));
    if (d->vector != NULL && d->x != NULL && d->high != NULL && d->low != NULL) {
        *ret_digester = d;
        return FR_OK;
    }
    fr_row_digester_free(d);
    return FR_FAIL(FR_ERR_NOMEM, "no memory for digests of rows");
}

void fr_row_digester_free(struct fr_row_digester *d)
{
    if (d == NULL) return;
    fr_free(d->vector);
    fr_free(d->x);
    fr_free(d->high);
    fr_free(d->low);
    fr_free(d);
}

static bool is_of(const struct coded *coded, fr_slice key)
{
    return key.size >= coded->kind.size &&
           memcmp(key.data, coded->kind.bytes, coded->kind.size) == 0;
}

static const struct coded *find_coded(struct fr_row_digester *d, fr_slice key)
{
    const struct fr_row_digests *digests = d->digests;

    if (is_of(&digests->indexes[d->last], key)) return &digests->indexes[d->last];
    for (size_t i = 0; i < digests->count; i++)
        if (is_of(&digests->indexes[i], key)) {
            d->last = i;
            return &digests->indexes[i];
        }
    return NULL;
}

uint64_t fr_row_digest(struct fr_row_digester *d, fr_slice key, fr_slice value)
{
    const struct coded *coded = d == NULL ? NULL : find_coded(d, key);
    fr_slice payload;
    uint64_t id;

    if (coded == NULL || fr_key_read_vector(&coded->kind, key, &id) < 0 ||
            fr_stored_read_vector(value, coded->dimension, d->vector, &payload) < 0)
        return 0;
    fr_space_map_row(&coded->space, d->vector, d->x);
    float scale = fr_row_encode(d->x, coded->space.dims, d->high, d->low);
    return fr_code_digest(scale, d->high, d->low, coded->space.dims);
}

uint64_t fr_code_digest(float scale, const int8_t *high, const uint8_t *low, size_t dims)
{
    uint64_t digest = fr_hash64(fr_slice_of(high, dims));
    uint32_t bits;

    memcpy(&bits, &scale, sizeof(bits));
    digest = fr_hash_fold(digest ^ FR_HASH_K0, fr_hash64(fr_slice_of(low, fr_row_low_size(dims))));
    digest = fr_hash_fold(digest ^ FR_HASH_K1, bits ^ FR_HASH_K2);
    return digest != 0 ? digest : 1;
}
