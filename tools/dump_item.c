#include "tools/dump_item.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/alloc.h"
#include "freshet/db.h"
#include "spfresh/stored.h"
#include "tools/dump_find.h"
#include "tools/store.h"
#include "tools/vector_id.h"

struct item_dump {
    struct fr_dump *d;
    const struct fr_dump_item *item;
    uint64_t number;            /* of the row or the posting */
    uint32_t generation;        /* of the posting: the one that counts, the first if none does */
    struct fr_db *db;           /* NULL: it cannot be opened */
    struct fr_index_key prefix; /* of an index */
    struct fr_index_key key;
    fr_slice key_bytes;
    struct fr_space space; /* of a posting's index */
};

/* A failure of a decoder whose words do not say what it has read. */
static void damage_of(struct item_dump *t, const char *what, uint64_t offset, fr_status st)
{
    struct fr_error error = {.size = sizeof(error)};

    fr_error_save(&error);
    (void)!FR_FAIL(st, "index \"%s\", %s %" PRIu64 ": %.300s", t->item->index, what, t->number,
            error.text);
    fr_dump_damage(t->d, offset);
}

/* ---- A row ---- */

static fr_status read_options(struct item_dump *t, struct fr_stored_options *ret_options)
{
    struct fr_index_key key = fr_key_options(&t->prefix);
    struct fr_pinned value = {.data = NULL};
    fr_status st;

    FR_TRY(fr_db_get(t->db, NULL, key.bytes, key.size, &value));
    if (st == FR_NOT_FOUND)
        FR_TRY(FR_FAIL(FR_ERR_MISSING, "the store has no index \"%s\"", t->item->index));
    FR_TRY(fr_stored_read_options(fr_slice_of(value.data, value.size), ret_options));
out:
    fr_pinned_release(&value);
    return st;
}

static void tell_row(struct item_dump *t, const struct fr_stored_options *options, fr_slice value,
        float *vector)
{
    struct fr_dump *d = t->d;
    fr_slice payload, text = {.size = 0};
    fr_status st = fr_stored_read_vector(value, options->dimension, vector, &payload);

    if (st == FR_OK && options->id_kind == FR_ID_TEXT) st = fr_stored_split_text(&payload, &text);

    if (st < 0) {
        damage_of(t, "row", 0, st);
        return;
    }
    size_t head = FR_STORED_VECTOR_HEAD, size = options->dimension * sizeof(float);
    fr_dump_begin(d, 0, "row");
    fr_dump_u64(d, "id", t->number);
    if (options->id_kind == FR_ID_TEXT) fr_dump_key(d, "text", text);
    fr_dump_u64(d, "dimension", options->dimension);
    if (d->how.values)
        fr_dump_floats(d, "vector", vector, options->dimension);
    else
        fr_dump_value(d, "vector", fr_slice_of(value.data + head, size));
    fr_dump_value(d, "payload", payload);
    fr_dump_end(d, 0, value);
}

static fr_status dump_row(struct item_dump *t, fr_slice value)
{
    struct fr_stored_options options = {.dimension = 0};
    float *vector = NULL;
    fr_status st;

    FR_TRY(read_options(t, &options));
    vector = fr_alloc(options.dimension * sizeof(float));
    if (vector == NULL) FR_TRY(FR_FAIL(FR_ERR_NOMEM, "no memory for a vector"));
    tell_row(t, &options, value, vector);
out:
    fr_free(vector);
    return st;
}

/* ---- A posting ---- */

static void tell_centroid(struct item_dump *t, fr_slice value)
{
    struct fr_stored_centroid centroid;
    fr_status st = fr_stored_read_centroid(value, t->space.dims, &centroid);

    if (st < 0) {
        damage_of(t, "the centroid of posting", 0, st);
        return;
    }
    fr_dump_begin(t->d, 0, "centroid");
    fr_dump_u64(t->d, "posting", t->number);
    fr_dump_u64(t->d, "count", centroid.count);
    fr_dump_float(t->d, "radius", centroid.radius);
    fr_dump_float(t->d, "scale", centroid.scale);
    /* Without the code: a vector can be told from it. */
    fr_dump_end(t->d, 0,
            fr_slice_of(value.data, (size_t)((const uint8_t *)centroid.high - value.data)));
}

static fr_status dump_centroid(struct item_dump *t)
{
    struct fr_index_key key = fr_key_centroid(&t->prefix, t->generation, 1, (uint32_t)t->number);
    struct fr_pinned value = {.data = NULL};
    fr_status st;

    FR_TRY(fr_db_get(t->db, NULL, key.bytes, key.size, &value));
    if (st == FR_OK) tell_centroid(t, fr_slice_of(value.data, value.size));
    if (st == FR_NOT_FOUND) {
        (void)!FR_FAIL(FR_ERR_CORRUPT, "there is none");
        damage_of(t, "the centroid of posting", 0, FR_ERR_CORRUPT);
    }
    st = FR_OK;
out:
    fr_pinned_release(&value);
    return st;
}

static void tell_record(struct item_dump *t, const struct fr_stored_record *record, uint64_t at,
        fr_slice raw)
{
    fr_dump_begin(t->d, at, record->came ? "came" : "left");
    fr_dump_u64(t->d, "id", record->id);
    if (record->came) fr_dump_float(t->d, "scale", record->scale);
    if (record->came) raw.size = (size_t)((const uint8_t *)record->high - raw.data);
    fr_dump_end(t->d, at, raw);
}

/* Nothing says where a record ends that cannot be read, so the first one of these is the last. */
static void dump_records(struct item_dump *t, fr_slice value)
{
    struct fr_bytes in = fr_bytes_of(value);
    struct fr_stored_record record;
    fr_status st = FR_OK;

    while (st == FR_OK && !fr_dump_full(t->d)) {
        size_t at = fr_bytes_offset(&in);

        st = fr_stored_read_record(&in, t->space.dims, (uint32_t)t->number, &record);
        if (st == FR_OK)
            tell_record(t, &record, at, fr_slice_of(value.data + at, fr_bytes_offset(&in) - at));
        else if (st < 0)
            damage_of(t, "posting", at, st);
    }
}

static fr_status dump_posting(struct item_dump *t, fr_slice value)
{
    struct fr_stored_options options = {.dimension = 0};
    fr_status st;

    FR_TRY(read_options(t, &options));
    FR_TRY(fr_space_init(&t->space, options.metric, options.dimension, options.seed));
    FR_TRY(dump_centroid(t));
    dump_records(t, value);
out:
    return st;
}

/* ---- Any ---- */

/* The number that a text has in the index. FR_NOT_FOUND: none; or ids are numbers. */
static fr_status find_text(struct item_dump *t)
{
    struct fr_stored_options options = {.dimension = 0};
    struct fr_pinned value = {.data = NULL};
    fr_slice text = fr_slice_of_text(t->item->word);
    fr_status st;

    FR_TRY(read_options(t, &options));
    if (options.id_kind != FR_ID_TEXT || text.size == 0 || text.size > FR_TEXT_ID_MAX)
        return FR_NOT_FOUND;
    struct fr_index_key key = fr_key_text(&t->prefix, text);
    FR_TRY(fr_db_get(t->db, NULL, key.bytes, key.size, &value));
    if (st == FR_OK) FR_TRY(fr_stored_read_text(fr_slice_of(value.data, value.size), &t->number));
out:
    fr_pinned_release(&value);
    return st;
}

/* Where no index says otherwise, ids are numbers; and so are those that texts have. */
static fr_status make_row_key(struct item_dump *t)
{
    fr_status st = t->db == NULL ? FR_NOT_FOUND : find_text(t);

    if (st != FR_OK) FR_TRY(fr_id_read(t->item->word, &t->number));
    t->key = fr_key_vector(&t->prefix, t->number);
    t->key_bytes = fr_index_key_slice(&t->key);
    st = FR_OK;
out:
    return st;
}

static fr_status find_generation(struct item_dump *t)
{
    struct fr_index_key key = fr_key_space(&t->prefix);
    struct fr_pinned value = {.data = NULL};
    fr_status st;

    t->generation = FR_GENERATION_FIRST;
    if (t->db == NULL) return FR_OK;
    FR_TRY(fr_db_get(t->db, NULL, key.bytes, key.size, &value));
    /* One that is damaged names none. */
    if (st == FR_OK)
        (void)!fr_stored_read_generation(fr_slice_of(value.data, value.size), &t->generation);
    st = FR_OK;
out:
    fr_pinned_release(&value);
    return st;
}

static fr_status make_posting_key(struct item_dump *t)
{
    fr_status st;

    if (t->item->number > UINT32_MAX)
        return FR_FAIL(FR_ERR_MISUSE, "a posting's number is below 2^32");
    FR_TRY(find_generation(t));
    t->key = fr_key_posting(&t->prefix, t->generation, (uint32_t)t->item->number);
    t->key_bytes = fr_index_key_slice(&t->key);
out:
    return st;
}

static fr_status make_key(struct item_dump *t)
{
    const struct fr_dump_item *item = t->item;
    fr_status st;

    t->key_bytes = item->key;
    t->number = item->number;
    if (item->kind == FR_DUMP_KEY) return FR_OK;
    FR_TRY(fr_index_name_check(item->index));
    fr_key_prefix(item->index, &t->prefix);
    st = item->kind == FR_DUMP_ROW ? make_row_key(t) : make_posting_key(t);
out:
    return st;
}

/* What a reader sees: all that was told before, folded. */
static void tell_seen(struct item_dump *t, fr_slice value)
{
    fr_dump_begin(t->d, 0, "seen");
    fr_dump_key(t->d, "key", t->key_bytes);
    fr_dump_value(t->d, "value", value);
    fr_dump_end(t->d, 0, t->item->kind == FR_DUMP_KEY ? value : fr_slice_of(NULL, 0));
}

static fr_status dump_seen(struct item_dump *t, const char *path)
{
    struct fr_pinned value = {.data = NULL};
    fr_status st;

    fr_dump_file(t->d, path, "store", FR_DUMP_NO_SIZE);
    FR_TRY(fr_db_get(t->db, NULL, t->key_bytes.data, t->key_bytes.size, &value));
    if (st == FR_NOT_FOUND) return st;
    fr_slice bytes = fr_slice_of(value.data, value.size);
    tell_seen(t, bytes);
    if (t->item->kind == FR_DUMP_ROW) FR_TRY(dump_row(t, bytes));
    if (t->item->kind == FR_DUMP_POSTING) FR_TRY(dump_posting(t, bytes));
    st = FR_OK;
out:
    fr_pinned_release(&value);
    return st;
}

/* Files first, also if the store cannot be opened; that is the answer then. */
fr_status fr_dump_item(struct fr_dump *d, struct fr_dir *dir, const char *path,
        const struct fr_dump_item *item)
{
    struct item_dump t = {.d = d, .item = item};
    struct fr_error error = {.size = sizeof(error)};
    fr_status st, opened = fr_store_open(path, FR_STORE_READ, item->options, &t.db);

    if (opened < 0) fr_error_save(&error);
    FR_TRY(make_key(&t));
    FR_TRY(fr_dump_find(d, dir, path, t.key_bytes));
    FR_TRY(opened < 0 ? fr_error_restore(&error) : dump_seen(&t, path));
out:
    fr_space_deinit(&t.space);
    if (fr_db_close(t.db) < 0 && st >= 0) st = FR_ERR_IO;
    return st;
}
