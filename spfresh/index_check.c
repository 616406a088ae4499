/*
 * index_check.c - whether memory, what is derived and the rows say the same.
 *
 *     tree       what must hold in it (tree_check.c)
 *     rows       each row of v/ has an id in the map, and the code of its vector; no id has none;
 *                where ids are text, each row has one, whose entry in t/ has its number
 *     postings   each centroid of c/ and posting of p/ is as in memory; there are no others;
 *                not of an index that has given up what is derived, or writing altogether
 *
 * What is stored of a kind is cut into pieces, in the order of their keys, and several threads take
 * one after the other. One whose piece fails takes no more, and walks over pieces behind that one
 * end where they are; those before it go on. So what is answered is what the first piece of all
 * has, as if one thread had walked over them: it does not matter who was faster.
 *
 * Of a row that somebody has read before, and found whole, there may be a digest of its code
 * (spfresh/row_digest.h). If that is the digest of the code in memory, the row is not read again;
 * else, whatever the reason, it is read and compared. Such rows are gathered, a few at a time, for
 * what is in memory lies anywhere there.
 *
 * The caller of it all holds the index's lock meanwhile, and no write is in flight: the others
 * read the map and the tree, which do not change.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/cover.h"
#include "lsm/known.h"
#include "spfresh/index_priv.h"
#include "spfresh/row_digest.h"
#include "spfresh/tree_priv.h"

#define THREADS_MAX 16

/* Fewer rows or postings are not worth a walk of their own; and so many pieces for each thread are
 * enough for them to end at about the same time. */
#define PIECE_ROWS     1024
#define PIECE_POSTINGS 64
#define PIECES_EACH    16
#define PIECES_MAX     (PIECES_EACH * THREADS_MAX)

/* Ids that are drawn to cut the rows by, for each piece: so none is much larger than others. */
#define DRAWN 16

/* Rows with a digest that are looked up at once. */
#define GATHERED 32

struct check;

typedef fr_status visit_fn(struct check *check, const struct fr_index_key *kind, fr_slice key,
        fr_slice value);

/* Some of the keys of a kind. */
struct piece {
    struct fr_index_key kind, lower, upper;
    visit_fn *visit;
};

/* What all threads share. */
struct walks {
    struct fr_spfresh *index;
    struct fr_tree *tree;
    const struct fr_known *known;     /* or NULL */
    struct fr_index_checked *checked; /* or NULL */
    struct piece *pieces;             /* room for PIECES_MAX, and one more */
    size_t piece_count, pieces_most;

    _Atomic(size_t) next;   /* relaxed: the piece that is taken next */
    _Atomic(size_t) failed; /* relaxed: none behind this one matters any more */
};

/* And what each has of its own. */
struct check {
    struct walks *walks;
    struct fr_spfresh *index;
    struct fr_tree *tree;
    struct fr_thread thread;
    size_t rows, texts, centroids, postings;
    uint64_t keys, key_bytes, value_bytes; /* that were walked over */
    float *vector, *x;
    int8_t *high;
    uint8_t *low;
    struct fr_code_room room;
    struct fr_id_set ids;

    /* Rows that are known: the digest of the next one that is visited, or 0; and those gathered. */
    struct fr_known_reader known;
    uint64_t digest;
    uint64_t gathered_ids[GATHERED], gathered_digests[GATHERED];
    size_t gathered;

    size_t failed; /* the piece, if status of failure is not 0 */
    struct fr_error failure;
};

/* The row's text has an entry, which says that it is this one. */
static fr_status check_text_of(struct check *check, uint64_t id, fr_slice payload)
{
    struct fr_engine_value entry;
    uint64_t other = 0;
    fr_slice text;
    fr_status st;

    FR_TRY(fr_stored_split_text(&payload, &text));
    struct fr_index_key key = fr_key_text(&check->index->prefix, text);
    FR_TRY(fr_engine_get(check->index->engine, fr_index_key_slice(&key), FR_SEQ_MAX, &entry));
    if (st == FR_OK) {
        st = fr_stored_read_text(entry.bytes, &other);
        fr_engine_value_release(&entry);
    }
    if (st == FR_NOT_FOUND || (st == FR_OK && other != id))
        return FR_FAIL(FR_ERR_CORRUPT, "vector %" PRIu64 " has the id of another one, or none", id);
out:
    return st;
}

static fr_status check_text(struct check *check, const struct fr_index_key *kind, fr_slice key,
        fr_slice value)
{
    uint64_t id;
    fr_slice text;
    fr_status st;

    FR_TRY(fr_key_read_text(kind, key, &text));
    FR_TRY(fr_stored_read_text(value, &id));
    check->texts++;
out:
    return st;
}

static fr_status check_vector(struct check *check, uint64_t id, fr_slice value)
{
    const struct fr_rows *rows = &check->tree->tiers[0];
    fr_slice payload;
    fr_status st;

    FR_TRY(fr_stored_read_vector(value, check->index->options.dimension, check->vector, &payload));
    if (check->index->options.id_kind == FR_ID_TEXT) FR_TRY(check_text_of(check, id, payload));
    fr_slot slot = fr_id_map_find(&check->index->map, id);
    if (slot == FR_SLOT_NONE || !fr_row_is_live(fr_rows_row(rows, slot)))
        return FR_FAIL(FR_ERR_CORRUPT, "vector %" PRIu64 " is a row and not in the index", id);
    fr_space_map_row(check->tree->space, check->vector, check->x);
    bool is_its_own = false;
    struct fr_code code = {.high = check->high, .low = check->low};
    code.scale = fr_row_encode(check->x, rows->dims, check->high, check->low);
    FR_TRY(fr_tree_has_code(check->tree, slot, &code, &check->room, &is_its_own));
    if (!is_its_own)
        return FR_FAIL(FR_ERR_CORRUPT, "vector %" PRIu64 " has the code of another one", id);
    check->rows++;
out:
    return st;
}

/* One whose digest was not that of the code in memory. */
static fr_status read_vector(struct check *check, uint64_t id)
{
    struct fr_index_key key = fr_key_vector(&check->index->prefix, id);
    struct fr_engine_value value;
    fr_status st;

    FR_COVER("index: a row is read for its digest is another one");
    FR_TRY(fr_engine_get(check->index->engine, fr_index_key_slice(&key), FR_SEQ_MAX, &value));
    if (st != FR_OK) return FR_FAIL(FR_ERR_CORRUPT, "vector %" PRIu64 " comes and goes", id);
    st = check_vector(check, id, value.bytes);
    fr_engine_value_release(&value);
out:
    return st;
}

static void fetch_code(const struct fr_rows *rows, fr_slot slot)
{
    if (fr_rows_any_cold(rows)) return; /* others come too late anyway */
    const int8_t *high = fr_rows_high(rows, slot);
    const uint8_t *low = fr_rows_low(rows, slot);

    for (size_t at = 0; at < rows->dims; at += 64)
        __builtin_prefetch(high + at);
    for (size_t at = 0; at < fr_row_low_size(rows->dims); at += 64)
        __builtin_prefetch(low + at);
}

static fr_status check_digest(struct check *check, fr_slot slot, uint64_t id, uint64_t digest)
{
    uint64_t own = 0;
    fr_status st;

    if (slot != FR_SLOT_NONE && fr_row_is_live(fr_rows_row(&check->tree->tiers[0], slot)))
        FR_TRY(fr_tree_code_digest(check->tree, slot, &check->room, &own));
    if (own != digest) return read_vector(check, id);
    check->rows++;
    return FR_OK;
out:
    return st;
}

/* In the order in which they came. */
static fr_status check_gathered(struct check *check)
{
    const struct fr_id_map *map = &check->index->map;
    const struct fr_rows *rows = &check->tree->tiers[0];
    const uint64_t *ids = check->gathered_ids;
    size_t count = check->gathered;
    fr_slot slots[GATHERED];
    fr_status st = FR_OK;

    check->gathered = 0;
    for (size_t i = 0; i < count; i++)
        fr_id_map_fetch(map, ids[i]);
    for (size_t i = 0; i < count; i++)
        fr_id_map_fetch_row(map, ids[i]);
    for (size_t i = 0; i < count; i++) {
        slots[i] = fr_id_map_find(map, ids[i]);
        if (slots[i] != FR_SLOT_NONE) fetch_code(rows, slots[i]);
    }
    for (size_t i = 0; i < count; i++)
        FR_TRY(check_digest(check, slots[i], ids[i], check->gathered_digests[i]));
out:
    return st;
}

static fr_status gather(struct check *check, uint64_t id, uint64_t digest)
{
    check->gathered_ids[check->gathered] = id;
    check->gathered_digests[check->gathered++] = digest;
    return check->gathered < GATHERED ? FR_OK : check_gathered(check);
}

static fr_status check_row(struct check *check, const struct fr_index_key *kind, fr_slice key,
        fr_slice value)
{
    uint64_t digest = check->digest, id = 0;
    fr_status st;

    check->digest = 0;
    FR_TRY(fr_key_read_vector(kind, key, &id));
    if (digest != 0) return gather(check, id, digest);
    FR_TRY(check_gathered(check)); /* what is told is what comes first */
    st = check_vector(check, id, value);
out:
    return st;
}

/* What the row says is known: nobody looks at its bytes. */
static bool is_known(void *ctx, const struct fr_entry *entry, fr_slice *ret_value)
{
    struct check *check = ctx;
    uint64_t size = 0, digest = 0;

    if (!fr_known_find(&check->known, entry, &size, &digest) || digest == 0) return false;
    check->digest = digest;
    *ret_value = fr_slice_of(NULL, size);
    return true;
}

static fr_status check_centroid(struct check *check, const struct fr_index_key *kind, fr_slice key,
        fr_slice value)
{
    const struct fr_rows *rows = &check->tree->tiers[1];
    struct fr_stored_centroid centroid;
    uint32_t number = 0;
    fr_status st;

    FR_TRY(fr_key_read_number(kind, key, &number));
    FR_TRY(fr_stored_read_centroid(value, rows->dims, &centroid));
    if (number >= rows->slot_count || !fr_row_is_live(fr_rows_row(rows, number)) ||
            memcmp(centroid.high, fr_rows_high(rows, number), rows->dims) != 0)
        return FR_FAIL(FR_ERR_CORRUPT, "centroid %" PRIu32 " is stored, but not in memory", number);
    check->centroids++;
out:
    return st;
}

static fr_status read_ids(struct check *check, uint32_t number, fr_slice value)
{
    struct fr_bytes in = fr_bytes_of(value);
    struct fr_stored_record record;
    fr_status st;

    fr_id_set_clear(&check->ids);
    while ((st = fr_stored_read_record(&in, check->tree->space->dims, number, &record)) == FR_OK) {
        FR_TRY(fr_id_set_reserve(&check->ids, 1));
        if (record.came)
            fr_id_set_put(&check->ids, record.id, check);
        else
            fr_id_set_remove(&check->ids, record.id);
    }
out:
    return st < 0 ? st : FR_OK;
}

static fr_status check_posting(struct check *check, const struct fr_index_key *kind, fr_slice key,
        fr_slice value)
{
    const struct fr_rows *rows = &check->tree->tiers[0];
    uint32_t number = 0;
    fr_status st;

    FR_TRY(fr_key_read_number(kind, key, &number));
    FR_TRY(read_ids(check, number, value));
    const struct fr_node *node =
            number < check->tree->tiers[1].slot_count ? fr_tree_node(check->tree, 1, number) : NULL;
    for (uint32_t place = 0; node != NULL && place < node->count; place++) {
        if (!fr_entry_is_own(rows, node, place)) continue;
        uint64_t id = fr_rows_row(rows, node->entries[place].slot)->id;
        if (fr_id_set_find(&check->ids, id) == NULL)
            return FR_FAIL(FR_ERR_CORRUPT, "posting %" PRIu32 " is stored without %" PRIu64, number,
                    id);
        fr_id_set_remove(&check->ids, id);
        check->postings++;
    }
    if (check->ids.count > 0)
        return FR_FAIL(FR_ERR_CORRUPT, "posting %" PRIu32 " is stored with %zu too many", number,
                check->ids.count);
out:
    return st;
}

/* ---- Pieces ---- */

static void add_piece(struct walks *walks, struct fr_index_key kind, struct fr_index_key lower,
        visit_fn *visit)
{
    struct piece *piece = &walks->pieces[walks->piece_count++];

    *piece = (struct piece){
            .kind = kind, .lower = lower, .upper = fr_key_behind(&kind), .visit = visit};
}

/* The same of what follows the last one, which ends there. */
static void cut_piece(struct walks *walks, struct fr_index_key at)
{
    struct piece *last = &walks->pieces[walks->piece_count - 1];

    last->upper = at;
    add_piece(walks, last->kind, at, last->visit);
}

static int compare_ids(const void *a, const void *b)
{
    const uint64_t *left = a, *right = b;

    return *left < *right ? -1 : *left > *right;
}

/* Where ids lie in the map is as good as drawn. */
static size_t draw_ids(const struct fr_id_map *map, uint64_t *ids, size_t count)
{
    size_t drawn = 0;

    for (size_t at = 0; at <= map->mask && drawn < count; at++)
        if (map->slots[at] != FR_SLOT_NONE)
            ids[drawn++] = fr_rows_row(map->rows, map->slots[at])->id;
    return drawn;
}

static fr_status cut_rows(struct walks *walks)
{
    struct fr_spfresh *index = walks->index;
    struct fr_index_key kind = fr_key_kind(&index->prefix, 'v');
    size_t count = FR_MIN(index->map.count / PIECE_ROWS, walks->pieces_most);

    walks->piece_count = 0;
    add_piece(walks, kind, kind, check_row);
    if (count < 2) return FR_OK;
    uint64_t *ids = fr_alloc(count * DRAWN * sizeof(*ids));
    if (ids == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to check an index");
    size_t drawn = draw_ids(&index->map, ids, count * DRAWN);
    qsort(ids, drawn, sizeof(*ids), compare_ids);
    for (size_t i = DRAWN; i < drawn; i += DRAWN)
        cut_piece(walks, fr_key_vector(&index->prefix, ids[i]));
    fr_free(ids);
    return FR_OK;
}

static void cut_texts(struct walks *walks)
{
    struct fr_index_key kind = fr_key_kind(&walks->index->prefix, 't');

    walks->piece_count = 0;
    add_piece(walks, kind, kind, check_text);
}

static void cut_derived(struct walks *walks)
{
    const struct fr_spfresh *index = walks->index;
    struct fr_index_key centroids = fr_key_generation(&index->prefix, 'c', index->generation);
    struct fr_index_key postings = fr_key_generation(&index->prefix, 'p', index->generation);
    size_t slots = walks->tree->tiers[1].slot_count;
    size_t count = FR_MIN(slots / PIECE_POSTINGS, walks->pieces_most);

    walks->piece_count = 0;
    add_piece(walks, centroids, centroids, check_centroid);
    add_piece(walks, postings, postings, check_posting);
    for (size_t i = 1; i < count; i++)
        cut_piece(walks,
                fr_key_posting(&index->prefix, index->generation, (uint32_t)(i * slots / count)));
}

/* ---- Walks ---- */

/* What was gathered comes before what has failed. */
static fr_status end_piece(struct check *check, fr_status st)
{
    struct fr_error failure;

    if (st == FR_END) st = FR_OK;
    if (st >= 0) return check_gathered(check);
    fr_error_save(&failure);
    st = check_gathered(check);
    return st < 0 ? st : fr_error_restore(&failure);
}

/* Until it has nothing that could be answered any more. */
static fr_status walk_piece(struct check *check, size_t number)
{
    struct walks *walks = check->walks;
    const struct piece *piece = &walks->pieces[number];
    struct fr_engine_scan_options options = {.at = FR_SEQ_MAX,
            .lower = fr_index_key_slice(&piece->lower),
            .upper = fr_index_key_slice(&piece->upper),
            .no_cache = true};
    struct fr_iter *it = NULL;
    fr_status st;

    if (piece->visit == check_row) {
        options.known = is_known;
        options.known_ctx = check;
    }
    FR_TRY(fr_engine_scan(check->index->engine, &options, &it));
    while (atomic_load_explicit(&walks->failed, memory_order_relaxed) > number &&
            (st = fr_iter_next(it)) == FR_OK) {
        FR_TRY(piece->visit(check, &piece->kind, it->entry.key, it->entry.value));
        check->keys++;
        check->key_bytes += it->entry.key.size;
        check->value_bytes += it->entry.value.size;
    }
    st = end_piece(check, st);
out:
    check->gathered = 0;
    fr_iter_close(it);
    return st;
}

static void note_failure(struct check *check, size_t number)
{
    _Atomic(size_t) *failed = &check->walks->failed;
    size_t before = atomic_load_explicit(failed, memory_order_relaxed);

    fr_error_save(&check->failure);
    check->failed = number;
    while (number < before && !atomic_compare_exchange_weak_explicit(failed, &before, number,
                                      memory_order_relaxed, memory_order_relaxed))
        continue;
}

static void walk_main(void *arg)
{
    struct check *check = arg;
    struct walks *walks = check->walks;
    size_t number;

    while ((number = atomic_fetch_add_explicit(&walks->next, 1, memory_order_relaxed)) <
            FR_MIN(walks->piece_count,
                    atomic_load_explicit(&walks->failed, memory_order_relaxed))) {
        if (walk_piece(check, number) >= 0) continue;
        note_failure(check, number);
        return;
    }
}

/*
 * The caller is one of them; so all is walked over also where the system refuses another thread.
 * Each has two pieces or more, or it is not worth a thread.
 */
static fr_status walk_pieces(struct walks *walks, struct check *checks, size_t count)
{
    const struct check *first = NULL;

    count = FR_MIN(count, walks->piece_count / 2 + (walks->piece_count < 2));
    atomic_store_explicit(&walks->next, 0, memory_order_relaxed);
    atomic_store_explicit(&walks->failed, SIZE_MAX, memory_order_relaxed);
    if (count > 1) FR_COVER("index: several walks check");
    for (size_t i = 1; i < count; i++)
        if (fr_thread_start(&checks[i].thread, "fr-check", walk_main, &checks[i]) < 0) break;
    walk_main(&checks[0]);
    for (size_t i = 1; i < count; i++)
        fr_thread_join(&checks[i].thread);
    for (size_t i = 0; i < count; i++)
        if (checks[i].failure.status < 0 && (first == NULL || checks[i].failed < first->failed))
            first = &checks[i];
    return first != NULL ? fr_error_restore(&first->failure) : FR_OK;
}

/* ---- All of it ---- */

static struct check add_up(const struct check *checks, size_t count)
{
    struct check sum = {0};

    for (size_t i = 0; i < count; i++) {
        sum.rows += checks[i].rows;
        sum.texts += checks[i].texts;
        sum.centroids += checks[i].centroids;
        sum.postings += checks[i].postings;
        sum.keys += checks[i].keys;
        sum.key_bytes += checks[i].key_bytes;
        sum.value_bytes += checks[i].value_bytes;
    }
    return sum;
}

/* All keys that begin so were read, and the pieces of a walk are all of them. */
static void note_range(struct walks *walks, const struct fr_index_key *kind)
{
    struct fr_index_checked *checked = walks->checked;

    if (checked == NULL) return;
    checked->lower[checked->range_count] = *kind;
    checked->upper[checked->range_count++] = fr_key_behind(kind);
}

static void note_kind(struct walks *walks, char kind)
{
    struct fr_index_key keys = fr_key_kind(&walks->index->prefix, kind);

    note_range(walks, &keys);
}

static void note_generation(struct walks *walks, char kind)
{
    const struct fr_spfresh *index = walks->index;
    struct fr_index_key keys = fr_key_generation(&index->prefix, kind, index->generation);

    note_range(walks, &keys);
}

static void note_sums(struct walks *walks, const struct check *checks, size_t count)
{
    struct check sum = add_up(checks, count);

    if (walks->checked == NULL) return;
    walks->checked->keys = sum.keys;
    walks->checked->key_bytes = sum.key_bytes;
    walks->checked->value_bytes = sum.value_bytes;
}

static fr_status check_rows(struct walks *walks, struct check *checks, size_t count)
{
    const struct fr_spfresh *index = walks->index;
    size_t live = walks->tree->tiers[0].live_count;
    fr_status st;

    FR_TRY(cut_rows(walks));
    FR_TRY(walk_pieces(walks, checks, count));
    size_t rows = add_up(checks, count).rows;
    if (rows != index->map.count || rows != live)
        return FR_FAIL(FR_ERR_CORRUPT, "%zu rows, %zu ids, %zu vectors in the tree", rows,
                index->map.count, live);
    note_kind(walks, 'v');
    if (index->options.id_kind != FR_ID_TEXT) return FR_OK;
    cut_texts(walks);
    FR_TRY(walk_pieces(walks, checks, count));
    size_t texts = add_up(checks, count).texts;
    if (texts != rows) return FR_FAIL(FR_ERR_CORRUPT, "%zu ids of text for %zu rows", texts, rows);
    note_kind(walks, 't');
out:
    return st;
}

static fr_status check_derived(struct walks *walks, struct check *checks, size_t count)
{
    size_t live = walks->tree->tiers[1].live_count;
    fr_status st;

    cut_derived(walks);
    FR_TRY(walk_pieces(walks, checks, count));
    struct check sum = add_up(checks, count);
    if (sum.centroids != live || sum.postings != sum.rows)
        return FR_FAIL(FR_ERR_CORRUPT,
                "%zu centroids are stored of %zu, their postings have %zu vectors of %zu",
                sum.centroids, live, sum.postings, sum.rows);
    note_generation(walks, 'c');
    note_generation(walks, 'p');
out:
    return st;
}

static fr_status check_all(struct walks *walks, struct check *checks, size_t count)
{
    struct fr_spfresh *index = walks->index;
    fr_status st;

    FR_TRY(fr_tree_check(walks->tree));
    FR_TRY(check_rows(walks, checks, count));
    if (index->derived == FR_DERIVED_GOOD && index->failure.status == FR_OK)
        FR_TRY(check_derived(walks, checks, count));
    note_sums(walks, checks, count);
out:
    return st;
}

static fr_status init_check(struct check *check, struct walks *walks)
{
    const struct fr_spfresh *index = walks->index;
    size_t dims = index->space.dims;

    check->walks = walks;
    check->index = walks->index;
    check->vector = fr_alloc(index->options.dimension * sizeof(float));
    check->x = fr_alloc_aligned(dims * sizeof(float), 64);
    check->high = fr_alloc(dims);
    check->low = fr_alloc(fr_row_low_size(dims));
    if (check->vector == NULL || check->x == NULL || check->high == NULL || check->low == NULL)
        return FR_FAIL(FR_ERR_NOMEM, "no memory to check an index");
    fr_status st = fr_known_reader_init(&check->known, walks->known);
    return st < 0 ? st : fr_code_room_init(&check->room, dims);
}

static void deinit_check(struct check *check)
{
    fr_free(check->vector);
    fr_free(check->x);
    fr_free(check->high);
    fr_free(check->low);
    fr_code_room_deinit(&check->room);
    fr_id_set_deinit(&check->ids);
    fr_known_reader_deinit(&check->known);
}

static fr_status check_quiet(struct walks *walks, struct check *checks, size_t count)
{
    struct fr_spfresh *index = walks->index;

    fr_mutex_lock(&index->mu);
    fr_spfresh_quiesce_locked(index);
    walks->tree = fr_spfresh_tree(index);
    for (size_t i = 0; i < count; i++)
        checks[i].tree = walks->tree;
    fr_tree_bury(walks->tree); /* the dead are not counted */
    fr_status st = check_all(walks, checks, count);
    fr_spfresh_resume_locked(index);
    fr_mutex_unlock(&index->mu);
    return st;
}

static fr_status check_by(struct fr_spfresh *index, size_t threads, const struct fr_known *known,
        struct fr_index_checked *ret_checked)
{
    size_t count = FR_MIN(threads, (size_t)THREADS_MAX);
    struct walks walks = {.index = index,
            .known = known,
            .checked = ret_checked,
            .pieces_most = count * PIECES_EACH};
    struct check *checks = NULL;
    fr_status st;

    if (fr_spfresh_tree(index) == NULL) return FR_OK;
    FR_TRY(fr_spfresh_wait_loaded(index));
    checks = fr_alloc_zeroed(count, sizeof(*checks));
    walks.pieces = fr_alloc((PIECES_MAX + 1) * sizeof(*walks.pieces));
    if (checks == NULL || walks.pieces == NULL)
        FR_TRY(FR_FAIL(FR_ERR_NOMEM, "no memory to check an index"));
    for (size_t i = 0; i < count; i++)
        FR_TRY(init_check(&checks[i], &walks));
    fr_spfresh_hold_copies(index);
    st = check_quiet(&walks, checks, count);
    fr_spfresh_let_copies(index);
out:
    for (size_t i = 0; checks != NULL && i < count; i++)
        deinit_check(&checks[i]);
    fr_free(checks);
    fr_free(walks.pieces);
    return st;
}

fr_status fr_spfresh_check_by(struct fr_spfresh *index, size_t threads)
{
    return check_by(index, threads, NULL, NULL);
}

fr_status fr_spfresh_check(struct fr_spfresh *index)
{
    return fr_spfresh_check_with(index, NULL, NULL);
}

/* Half of the processors, but two if there are. */
fr_status fr_spfresh_check_with(struct fr_spfresh *index, const struct fr_known *known,
        struct fr_index_checked *ret_checked)
{
    unsigned processors = fr_thread_cpu_count(), half = FR_MAX(processors / 2, 2U);

    if (ret_checked != NULL) *ret_checked = (struct fr_index_checked){0};
    return check_by(index, FR_MIN(processors, half), known, ret_checked);
}
