/*
 * index.c - the public vector index: arguments are checked here, everything else is
 * spfresh/index.h.
 */
#include "freshet/index.h"

#include "base/alloc.h"
#include "base/thread.h"
#include "db/db_priv.h"
#include "spfresh/index.h"
#include "spfresh/stored.h"

/* One that is open, in its store's list. */
struct fr_index {
    struct fr_db *db;
    struct fr_spfresh *core;
    struct fr_index *next; /* guarded by the store's indexes_mu */
    char name[FR_INDEX_NAME_MAX + 1];
};

void fr_index_options_init(struct fr_index_options *options)
{
    *options = (struct fr_index_options){.size = sizeof(*options), .create = true, .copies = 50};
}

static fr_status check_index(const struct fr_index *index)
{
    return index != NULL ? FR_OK : FR_FAIL(FR_ERR_MISUSE, "the index is NULL");
}

static fr_status take_options(const struct fr_index_options *from, struct fr_index_options *to)
{
    fr_index_options_init(to);
    if (from == NULL) return FR_OK;
    if (from->size != sizeof(*to))
        return FR_FAIL(FR_ERR_MISUSE,
                "fr_index_options: size %zu, not %zu: use fr_index_options_init", from->size,
                sizeof(*to));
    *to = *from;
    if ((int)to->metric < 0 || to->metric > FR_METRIC_INNER_PRODUCT)
        return FR_FAIL(FR_ERR_MISUSE, "%d is no metric", (int)to->metric);
    if ((int)to->id_kind < 0 || to->id_kind > FR_ID_TEXT)
        return FR_FAIL(FR_ERR_MISUSE, "%d is no kind of ids", (int)to->id_kind);
    if (to->copies > 100)
        return FR_FAIL(FR_ERR_MISUSE, "copies are %u of 100 vectors", (unsigned)to->copies);
    return FR_OK;
}

/* ---- Those that are open ---- */

static struct fr_index **find_locked(struct fr_db *db, const char *name) FR_REQUIRES(db->indexes_mu)
{
    struct fr_index **at = &db->indexes;

    while (*at != NULL && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    return at;
}

static fr_status enlist(struct fr_db *db, struct fr_index *index)
{
    fr_status st = FR_OK;

    fr_mutex_lock(&db->indexes_mu);
    struct fr_index **at = find_locked(db, index->name);
    if (*at != NULL)
        st = FR_FAIL(FR_ERR_BUSY, "index \"%s\" is open", index->name);
    else
        *at = index;
    fr_mutex_unlock(&db->indexes_mu);
    return st;
}

static void delist(struct fr_index *index)
{
    fr_mutex_lock(&index->db->indexes_mu);
    *find_locked(index->db, index->name) = index->next;
    fr_mutex_unlock(&index->db->indexes_mu);
}

static fr_status check_names(const struct fr_db *db, const char *name)
{
    fr_status st = fr_db_check(db);

    return st < 0 ? st : fr_index_name_check(name);
}

fr_status fr_index_open(struct fr_db *db, const char *name, const struct fr_index_options *options,
        struct fr_index **ret_index)
{
    struct fr_index_options given;
    struct fr_index *index = NULL;
    fr_status st;

    FR_TRY(check_names(db, name));
    FR_TRY(take_options(options, &given));
    if (ret_index == NULL) return FR_FAIL(FR_ERR_MISUSE, "fr_index_open: no place for the index");
    index = FR_NEW(struct fr_index);
    if (index == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for an index");
    index->db = db;
    memcpy(index->name, name, strlen(name) + 1);
    st = enlist(db, index);
    if (st < 0) {
        fr_free(index);
        return st;
    }
    struct fr_spfresh_setup setup = {.create = given.create,
            .must_be_new = given.must_be_new,
            .read_only = db->follows,
            .manual = given.manual_maintenance,
            .dimension = given.dimension,
            .metric = given.metric,
            .id_kind = given.id_kind,
            .seed = given.seed,
            .copies = given.copies > 0 ? given.copies : FR_SPFRESH_NO_COPIES,
            .pin = fr_db_pin_part};
    st = fr_spfresh_open(db->engine, name, &setup, &index->core);
    if (st < 0) {
        delist(index);
        fr_free(index);
        return st;
    }
    *ret_index = index;
out:
    return st;
}

fr_status fr_index_wait_loaded(struct fr_index *index)
{
    fr_status st;

    FR_TRY(check_index(index));
    st = fr_spfresh_wait_loaded(index->core);
out:
    return st;
}

void fr_index_close(struct fr_index *index)
{
    if (index == NULL) return;
    fr_spfresh_close(index->core);
    delist(index);
    fr_free(index);
}

fr_status fr_index_drop(struct fr_db *db, const char *name)
{
    struct fr_index held = {.db = db};
    fr_status st;

    FR_TRY(check_names(db, name));
    memcpy(held.name, name, strlen(name) + 1);
    FR_TRY(enlist(db, &held)); /* so that nobody opens it meanwhile */
    st = fr_spfresh_drop(db->engine, name);
    delist(&held);
out:
    return st;
}

fr_status fr_index_next_name(struct fr_db *db, const char *after, char *ret_name)
{
    fr_status st;

    FR_TRY(check_names(db, after == NULL ? "" : after));
    if (ret_name == NULL) return FR_FAIL(FR_ERR_MISUSE, "fr_index_next_name: no place for it");
    st = fr_spfresh_next_name(db->engine, after, ret_name);
out:
    return st;
}

/* ---- Writing ---- */

static fr_status write_options(struct fr_index *index, const struct fr_write_options *how,
        enum fr_durability *ret_durability)
{
    uint64_t expires_us;
    fr_status st;

    FR_TRY(check_index(index));
    FR_TRY(fr_db_write_options(index->db, how, ret_durability, &expires_us));
    if (expires_us != 0)
        return FR_FAIL(FR_ERR_MISUSE, "vectors do not expire: expires_us is for fr_db_put");
out:
    return st;
}

fr_status fr_index_upsert(struct fr_index *index, const struct fr_write_options *how, size_t count,
        const uint64_t *ids, const float *vectors, const struct fr_payload *payloads)
{
    enum fr_durability durability;
    fr_status st;

    FR_TRY(write_options(index, how, &durability));
    if (count > 0 && (ids == NULL || vectors == NULL))
        return FR_FAIL(FR_ERR_MISUSE, "fr_index_upsert: no ids, or no vectors");
    st = fr_spfresh_upsert(index->core, durability, count, ids, vectors, payloads);
out:
    return st;
}

fr_status fr_index_delete(struct fr_index *index, const struct fr_write_options *how, size_t count,
        const uint64_t *ids, size_t *ret_count)
{
    enum fr_durability durability;
    size_t found = 0;
    fr_status st;

    FR_TRY(write_options(index, how, &durability));
    if (count > 0 && ids == NULL) return FR_FAIL(FR_ERR_MISUSE, "fr_index_delete: no ids");
    FR_TRY(fr_spfresh_delete(index->core, durability, count, ids, &found));
    if (ret_count != NULL) *ret_count = found;
out:
    return st;
}

fr_status fr_index_upsert_text(struct fr_index *index, const struct fr_write_options *how,
        size_t count, const struct fr_text_id *ids, const float *vectors,
        const struct fr_payload *payloads)
{
    enum fr_durability durability;
    fr_status st;

    FR_TRY(write_options(index, how, &durability));
    if (count > 0 && (ids == NULL || vectors == NULL))
        return FR_FAIL(FR_ERR_MISUSE, "fr_index_upsert_text: no ids, or no vectors");
    st = fr_spfresh_upsert_text(index->core, durability, count, ids, vectors, payloads);
out:
    return st;
}

fr_status fr_index_delete_text(struct fr_index *index, const struct fr_write_options *how,
        size_t count, const struct fr_text_id *ids, size_t *ret_count)
{
    enum fr_durability durability;
    size_t found = 0;
    fr_status st;

    FR_TRY(write_options(index, how, &durability));
    if (count > 0 && ids == NULL) return FR_FAIL(FR_ERR_MISUSE, "fr_index_delete_text: no ids");
    FR_TRY(fr_spfresh_delete_text(index->core, durability, count, ids, &found));
    if (ret_count != NULL) *ret_count = found;
out:
    return st;
}

/* ---- Reading ---- */

static fr_status get_row(struct fr_index *index, uint64_t id, float *ret_vector,
        struct fr_pinned *ret_payload)
{
    struct fr_engine_value value;
    fr_slice payload;
    fr_status st = fr_spfresh_get(index->core, id, ret_vector, &value, &payload);

    if (st != FR_OK) return st;
    if (ret_payload == NULL)
        fr_engine_value_release(&value);
    else
        fr_db_pin_part(&value, payload, ret_payload);
    return FR_OK;
}

fr_status fr_index_get(struct fr_index *index, uint64_t id, float *ret_vector,
        struct fr_pinned *ret_payload)
{
    fr_status st;

    FR_TRY(check_index(index));
    if (ret_vector == NULL) return FR_FAIL(FR_ERR_MISUSE, "fr_index_get: no place for the vector");
    st = get_row(index, id, ret_vector, ret_payload);
out:
    return st;
}

fr_status fr_index_get_text(struct fr_index *index, struct fr_text_id text, uint64_t *ret_id,
        float *ret_vector, struct fr_pinned *ret_payload)
{
    uint64_t id = 0;
    fr_status st;

    FR_TRY(check_index(index));
    FR_TRY(fr_spfresh_find_text(index->core, text, &id));
    if (st == FR_NOT_FOUND) return st;
    FR_TRY(get_row(index, id, ret_vector, ret_payload));
    if (st == FR_OK && ret_id != NULL) *ret_id = id;
out:
    return st;
}

static fr_status check_search(const struct fr_index *index, const struct fr_search_options *how,
        size_t count, size_t k)
{
    fr_status st;

    FR_TRY(check_index(index));
    if (how->size != sizeof(*how))
        return FR_FAIL(FR_ERR_MISUSE, "fr_search_options: size %zu, not %zu", how->size,
                sizeof(*how));
    if (count > UINT32_MAX || k > UINT32_MAX || (k > 0 && count > SIZE_MAX / 64 / k))
        return FR_FAIL(FR_ERR_LIMIT, "%zu hits for %zu queries", k, count);
out:
    return st;
}

static fr_status check_records(const struct fr_search_options *how, size_t count)
{
    for (size_t i = 0; how->ret_records != NULL && i < count; i++) {
        const struct fr_search_record *record = &how->ret_records[i];

        if (record->size != sizeof(*record))
            return FR_FAIL(FR_ERR_MISUSE, "fr_search_record %zu: size %zu, not %zu", i,
                    record->size, sizeof(*record));
        if (record->why != NULL && record->why->size != sizeof(*record->why))
            return FR_FAIL(FR_ERR_MISUSE, "fr_search_why %zu: size %zu, not %zu", i,
                    record->why->size, sizeof(*record->why));
    }
    return FR_OK;
}

/* A failure leaves nothing to be released. */
static void release_payloads(const struct fr_search_options *how, size_t count)
{
    if (how->ret_payloads == NULL) return;
    for (size_t i = 0; i < count; i++)
        fr_pinned_release(&how->ret_payloads[i]);
}

fr_status fr_index_search_batch(struct fr_index *index, const struct fr_search_options *how,
        size_t count, const float *queries, size_t k, struct fr_hit *ret_hits, size_t *ret_counts)
{
    static const struct fr_search_options usual = {.size = sizeof(usual)};
    fr_status st;

    if (how == NULL) how = &usual;
    FR_TRY(check_search(index, how, count, k));
    FR_TRY(check_records(how, count));
    if (count > 0 && (queries == NULL || ret_counts == NULL || (k > 0 && ret_hits == NULL)))
        return FR_FAIL(FR_ERR_MISUSE, "a search without a query, or without a place for hits");
    if (how->ret_payloads != NULL)
        memset(how->ret_payloads, 0, count * k * sizeof(*how->ret_payloads));
    for (size_t i = 0; how->ret_texts != NULL && i < count * k; i++)
        how->ret_texts[i].size = 0;
    st = fr_spfresh_search_batch(index->core, how, count, queries, k, ret_hits, ret_counts);
    if (st < 0) release_payloads(how, count * k);
out:
    return st;
}

fr_status fr_index_search(struct fr_index *index, const struct fr_search_options *how,
        const float *query, size_t k, struct fr_hit *ret_hits, size_t *ret_count)
{
    return fr_index_search_batch(index, how, 1, query, k, ret_hits, ret_count);
}

/* ---- Maintenance ---- */

fr_status fr_index_rebuild(struct fr_index *index, const struct fr_rebuild_options *how)
{
    uint32_t threads = how == NULL ? 0 : how->threads;
    fr_status st;

    FR_TRY(check_index(index));
    if (how != NULL && how->size != sizeof(*how))
        return FR_FAIL(FR_ERR_MISUSE, "fr_rebuild_options: size %zu, not %zu", how->size,
                sizeof(*how));
    if (threads == 0) threads = FR_MAX(fr_thread_cpu_count() / 2, 1U);
    st = fr_spfresh_rebuild(index->core, threads);
out:
    return st;
}

fr_status fr_index_maintain(struct fr_index *index, uint64_t limit_us, uint64_t *ret_left)
{
    uint64_t left = 0;
    fr_status st;

    FR_TRY(check_index(index));
    FR_TRY(fr_spfresh_maintain(index->core, limit_us, &left));
    if (ret_left != NULL) *ret_left = left;
out:
    return st;
}

fr_status fr_index_verify(struct fr_index *index)
{
    return fr_index_verify_with(index, NULL, NULL);
}

fr_status fr_index_verify_with(struct fr_index *index, const struct fr_known *known,
        struct fr_index_checked *ret_checked)
{
    fr_status st;

    FR_TRY(check_index(index));
    st = fr_spfresh_check_with(index->core, known, ret_checked);
out:
    return st;
}

fr_status fr_index_stats_get(struct fr_index *index, struct fr_index_stats *ret_stats)
{
    fr_status st;

    FR_TRY(check_index(index));
    if (ret_stats == NULL || ret_stats->size != sizeof(*ret_stats))
        return FR_FAIL(FR_ERR_MISUSE,
                "fr_index_stats: its size is not set, or is another version's");
    fr_spfresh_stats(index->core, ret_stats);
out:
    return st;
}
