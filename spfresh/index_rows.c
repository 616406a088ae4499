/*
 * index_rows.c - searches that want more than codes: vectors as they were put, and payloads.
 *
 * Rows of hits are read in the order of their keys, as many at once as the engine takes, and those
 * of several queries together: what two queries have found is read once, unless its payload is
 * handed out to both. An exhaustive search walks over all rows; any number of queries share the
 * walk, some rows at a time, so that neither rows nor queries are far away.
 */
#include <math.h>

#include "base/alloc.h"
#include "spfresh/index_search.h"

/* Rows that are read together. */
#define ROWS_AT_ONCE FR_ENGINE_MULTI_MAX

/* What is read ahead when all rows are. */
#define READAHEAD ((size_t)2 << 20)

/* Rows that are compared with one query after the other, and their values: they stay in the first
 * cache. */
#define BLOCK_ROWS   128
#define BLOCK_VALUES 4096

/* A row that is wanted for a hit. */
struct fr_row_wish {
    uint64_t id;
    uint32_t answer; /* whose hit, and which */
    uint32_t hit;
};

/* A hit that is to be sorted, and what goes with it. */
struct fr_ranked {
    struct fr_hit hit;
    struct fr_pinned payload;
    struct fr_text text;
};

static fr_status reserve_wishes(struct fr_work *work, size_t count)
{
    if (count <= work->wish_capacity) return FR_OK;
    struct fr_row_wish *wishes = fr_realloc(work->wishes, count * sizeof(*wishes));
    if (wishes == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to read %zu rows", count);
    work->wishes = wishes;
    struct fr_ranked *ranked = fr_realloc(work->ranked, count * sizeof(*ranked));
    if (ranked == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory to read %zu rows", count);
    work->ranked = ranked;
    work->wish_capacity = count;
    return FR_OK;
}

static fr_status reserve_vectors(float **vectors, size_t values)
{
    if (*vectors != NULL) return FR_OK;
    *vectors = fr_alloc_aligned(values * sizeof(float), 64);
    return *vectors != NULL ? FR_OK : FR_FAIL(FR_ERR_NOMEM, "no memory for a search");
}

/* ---- Distances ---- */

static float length_of(const struct fr_space *space, const float *x)
{
    return sqrtf(space->kernels->dot(x, x, space->dimension));
}

/* Of a row's vector, if it matters. */
static float length_for(const struct fr_space *space, const float *vector)
{
    return space->metric == FR_METRIC_COSINE ? length_of(space, vector) : 0;
}

/* Between a query and a row's own vector. */
static float measure(const struct fr_space *space, const struct fr_answer *answer,
        const float *vector, float length)
{
    const float *query = answer->query;

    if (space->metric == FR_METRIC_L2) return space->kernels->l2(query, vector, space->dimension);
    float product = space->kernels->dot(query, vector, space->dimension);
    if (space->metric == FR_METRIC_INNER_PRODUCT) return -product;
    float lengths = answer->length * length;
    return lengths > 0 ? 1 - product / lengths : 1;
}

static int compare_hits(const void *a, const void *b)
{
    const struct fr_hit *x = a, *y = b;

    if (x->distance != y->distance) return x->distance < y->distance ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static int compare_ranked(const void *a, const void *b)
{
    const struct fr_ranked *x = a, *y = b;

    return compare_hits(&x->hit, &y->hit);
}

/* Nearest first, payloads and texts along with their hits. */
static void sort_answer(struct fr_work *work, struct fr_answer *answer, bool extras)
{
    struct fr_ranked *ranked = work->ranked;

    if (!extras) {
        qsort(answer->hits, answer->count, sizeof(*answer->hits), compare_hits);
        return;
    }
    for (size_t i = 0; i < answer->count; i++) {
        ranked[i].hit = answer->hits[i];
        if (answer->payloads != NULL) ranked[i].payload = answer->payloads[i];
        if (answer->texts != NULL) ranked[i].text = answer->texts[i];
    }
    qsort(ranked, answer->count, sizeof(*ranked), compare_ranked);
    for (size_t i = 0; i < answer->count; i++) {
        answer->hits[i] = ranked[i].hit;
        if (answer->payloads != NULL) answer->payloads[i] = ranked[i].payload;
        if (answer->texts != NULL) answer->texts[i] = ranked[i].text;
    }
}

/* ---- Rows of hits ---- */

struct reading {
    const struct fr_asking *asking;
    struct fr_work *work;
    struct fr_answer *answers;
    bool exact, extras;
};

static int compare_wishes(const void *a, const void *b)
{
    const struct fr_row_wish *x = a, *y = b;

    if (x->id != y->id) return x->id < y->id ? -1 : 1;
    if (x->answer != y->answer) return x->answer < y->answer ? -1 : 1;
    return x->hit < y->hit ? -1 : x->hit > y->hit;
}

static size_t make_wishes(struct reading *reading, size_t answer_count)
{
    struct fr_row_wish *wishes = reading->work->wishes;
    size_t count = 0;

    for (uint32_t i = 0; i < answer_count; i++)
        for (uint32_t j = 0; j < reading->answers[i].count; j++)
            wishes[count++] = (struct fr_row_wish){
                    .id = reading->answers[i].hits[j].id, .answer = i, .hit = j};
    qsort(wishes, count, sizeof(*wishes), compare_wishes);
    return count;
}

/* Wishes that the row of the first one serves. */
static size_t count_served(const struct reading *reading, const struct fr_row_wish *wishes,
        size_t count)
{
    size_t served = 1;

    /* A value is handed out once. */
    if (reading->extras && reading->asking->how->ret_payloads != NULL) return 1;
    while (served < count && wishes[served].id == wishes[0].id)
        served++;
    return served;
}

static void count_row(struct fr_search_record *record, size_t size)
{
    record->rows_read++;
    record->bytes_read += size;
}

/* Text and payload of a row; those of a hit where they were asked for. */
static void serve_extras(struct reading *reading, const struct fr_row_wish *wish,
        const struct fr_engine_value *value, fr_slice text, fr_slice payload, bool *ret_handed_out)
{
    struct fr_answer *answer = &reading->answers[wish->answer];

    if (answer->texts != NULL && text.size > 0) {
        answer->texts[wish->hit].size = text.size;
        memcpy(answer->texts[wish->hit].data, text.data, text.size);
    }
    if (answer->payloads == NULL) return;
    reading->asking->index->pin(value, payload, &answer->payloads[wish->hit]);
    *ret_handed_out = true;
}

/* *ret_handed_out: the value is somebody's now. */
static fr_status serve(struct reading *reading, const struct fr_row_wish *wishes, size_t served,
        const struct fr_engine_value *value, bool *ret_handed_out)
{
    const struct fr_spfresh *index = reading->asking->index;
    float *vector = reading->work->row;
    fr_slice payload, text = {NULL, 0};
    fr_status st;

    FR_TRY(fr_stored_read_vector(value->bytes, index->options.dimension, vector, &payload));
    if (index->options.id_kind == FR_ID_TEXT) FR_TRY(fr_stored_split_text(&payload, &text));
    float length = length_for(&index->space, vector);
    for (size_t i = 0; i < served; i++) {
        struct fr_answer *answer = &reading->answers[wishes[i].answer];

        if (answer->record != NULL) count_row(answer->record, value->bytes.size);
        if (reading->exact)
            answer->hits[wishes[i].hit].distance = measure(&index->space, answer, vector, length);
        if (reading->extras)
            serve_extras(reading, &wishes[i], value, text, payload, ret_handed_out);
    }
out:
    return st;
}

/* The keys of as many rows as are read at once; the answer is how many wishes they serve. */
static size_t choose_rows(const struct reading *reading, const struct fr_row_wish *wishes,
        size_t count, struct fr_index_key *keys, fr_slice *slices, size_t *ret_rows)
{
    const struct fr_spfresh *index = reading->asking->index;
    size_t served = 0, rows = 0;

    while (served < count && rows < ROWS_AT_ONCE) {
        keys[rows] = fr_key_vector(&index->prefix, wishes[served].id);
        slices[rows] = fr_index_key_slice(&keys[rows]);
        rows++;
        served += count_served(reading, wishes + served, count - served);
    }
    *ret_rows = rows;
    return served;
}

static fr_status read_keys(struct fr_engine *engine, size_t count, const fr_slice *keys,
        struct fr_engine_value *values, fr_status *statuses)
{
    fr_seq at = FR_SEQ_MAX;
    struct fr_view *view = fr_engine_view_take(engine, &at);
    fr_status st =
            fr_engine_multi_get(engine, view, at, &(uint64_t){0}, count, keys, values, statuses);

    fr_engine_view_release(engine, view);
    return st;
}

/* One that was deleted since it was found keeps the distance by which it was, and has no payload.
 */
static fr_status read_some(struct reading *reading, const struct fr_row_wish *wishes, size_t count,
        size_t *ret_served)
{
    struct fr_engine_value values[ROWS_AT_ONCE];
    struct fr_index_key keys[ROWS_AT_ONCE];
    fr_slice slices[ROWS_AT_ONCE];
    fr_status statuses[ROWS_AT_ONCE] = {0};
    size_t rows, at = 0;

    *ret_served = choose_rows(reading, wishes, count, keys, slices, &rows);
    fr_status st = read_keys(reading->asking->index->engine, rows, slices, values, statuses);
    for (size_t i = 0; st == FR_OK && i < rows; i++) {
        size_t served = count_served(reading, wishes + at, count - at);
        bool handed_out = false;

        /* After a failure the others are only given back. */
        if (statuses[i] == FR_OK) {
            fr_status of_one = serve(reading, wishes + at, served, &values[i], &handed_out);
            if (!handed_out) fr_engine_value_release(&values[i]);
            statuses[i] = of_one;
        }
        at += served;
    }
    for (size_t i = 0; st == FR_OK && i < rows; i++)
        if (statuses[i] < 0) st = statuses[i];
    return st;
}

fr_status fr_search_read_rows(const struct fr_asking *asking, struct fr_work *work,
        struct fr_answer *answers, size_t count, bool exact, bool extras)
{
    struct reading reading = {
            .asking = asking, .work = work, .answers = answers, .exact = exact, .extras = extras};
    uint64_t start_ns = fr_search_record_now(asking);
    size_t wished = 0, at = 0, served;
    fr_status st;

    for (size_t i = 0; i < count; i++)
        wished += answers[i].count;
    FR_TRY(reserve_wishes(work, wished));
    FR_TRY(reserve_vectors(&work->row, asking->index->options.dimension));
    wished = make_wishes(&reading, count);
    for (; at < wished; at += served)
        FR_TRY(read_some(&reading, work->wishes + at, wished - at, &served));
    for (size_t i = 0; exact && i < count; i++)
        sort_answer(work, &answers[i], extras);
    /* With a limit distances are read while the tree is searched. */
    fr_search_record_reading(asking, answers, count, start_ns, extras || !asking->how->limited);
out:
    return st;
}

/* ---- All rows ---- */

/* The k least so far, the largest on top. */
static void sift_down(struct fr_hit *hits, size_t count, size_t at)
{
    for (;;) {
        size_t largest = at;

        for (size_t child = 2 * at + 1; child <= 2 * at + 2 && child < count; child++)
            if (compare_hits(&hits[child], &hits[largest]) > 0) largest = child;
        if (largest == at) return;
        struct fr_hit hit = hits[at];
        hits[at] = hits[largest];
        hits[largest] = hit;
        at = largest;
    }
}

static void keep_hit(struct fr_answer *answer, size_t k, struct fr_hit hit)
{
    struct fr_hit *hits = answer->hits;

    if (answer->count < k) {
        hits[answer->count++] = hit;
        for (size_t at = answer->count / 2; answer->count == k && at-- > 0;)
            sift_down(hits, k, at);
    } else if (compare_hits(&hit, &hits[0]) < 0) {
        hits[0] = hit;
        sift_down(hits, k, 0);
    }
}

/* A walk over all rows: some of them are read, then compared with each query. */
struct walk {
    const struct fr_asking *asking;
    struct fr_work *work;
    struct fr_answer *answers;
    size_t answer_count;
    struct fr_index_key kind;
    struct fr_iter *it;
    uint64_t ids[BLOCK_ROWS];
    float lengths[BLOCK_ROWS];
    size_t rows, rows_max;
    uint64_t rows_read, bytes_read;
};

static size_t rows_in_block(const struct fr_spfresh *index)
{
    size_t rows = FR_MAX(BLOCK_VALUES / index->options.dimension, 1U);

    return FR_MIN(rows, (size_t)BLOCK_ROWS);
}

/* FR_END: there are no more behind these. */
static fr_status read_block(struct walk *w)
{
    uint32_t dimension = w->asking->index->options.dimension;
    fr_slice payload;
    fr_status st = FR_OK;

    for (w->rows = 0; w->rows < w->rows_max; w->rows++) {
        FR_TRY(fr_iter_next(w->it));
        if (st == FR_END) break;
        FR_TRY(fr_key_read_vector(&w->kind, w->it->entry.key, &w->ids[w->rows]));
        float *vector = w->work->rows + w->rows * dimension;
        FR_TRY(fr_stored_read_vector(w->it->entry.value, dimension, vector, &payload));
        w->lengths[w->rows] = length_for(&w->asking->index->space, vector);
        w->rows_read++;
        w->bytes_read += w->it->entry.value.size;
    }
out:
    return st;
}

static void compare_block(struct walk *w)
{
    const struct fr_space *space = &w->asking->index->space;

    for (size_t i = 0; i < w->answer_count; i++) {
        struct fr_answer *answer = &w->answers[i];

        for (size_t n = 0; n < w->rows; n++) {
            const float *vector = w->work->rows + n * space->dimension;
            struct fr_hit hit = {
                    .id = w->ids[n], .distance = measure(space, answer, vector, w->lengths[n])};
            keep_hit(answer, w->asking->k, hit);
        }
    }
}

static void end_answer(const struct walk *w, struct fr_answer *answer)
{
    qsort(answer->hits, answer->count, sizeof(*answer->hits), compare_hits);
    fr_search_keep_limit(w->asking, answer);
    if (answer->record == NULL) return;
    answer->record->rows_read = w->rows_read;
    answer->record->bytes_read = w->bytes_read;
    fr_search_record_all(w->asking, w->work, answer);
}

fr_status fr_search_all_rows(const struct fr_asking *asking, struct fr_work *work,
        struct fr_answer *answers, size_t count)
{
    struct fr_spfresh *index = asking->index;
    struct walk w = {.asking = asking,
            .work = work,
            .answers = answers,
            .answer_count = count,
            .kind = fr_key_kind(&index->prefix, 'v'),
            .rows_max = rows_in_block(index)};
    struct fr_engine_scan_options options = {.at = FR_SEQ_MAX,
            .prefix = fr_index_key_slice(&w.kind),
            .readahead_max = READAHEAD,
            .no_cache = true};
    uint64_t start_ns = fr_search_record_now(asking);
    fr_status st;

    FR_TRY(reserve_vectors(&work->rows, w.rows_max * index->options.dimension));
    FR_TRY(fr_engine_scan(index->engine, &options, &w.it));
    do {
        FR_TRY(read_block(&w));
        compare_block(&w);
    } while (st != FR_END);
    st = FR_OK;
    fr_search_record_reading(asking, answers, count, start_ns, true);
    for (size_t i = 0; i < count; i++)
        end_answer(&w, &answers[i]);
out:
    fr_iter_close(w.it);
    return st;
}
