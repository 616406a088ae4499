/*
 * index_options.c - what an index is: m/options, and what to do where it cannot be read. And which
 * indexes there are.
 *
 * Options are two dozen bytes, and a damaged block may take them along while all rows are whole.
 * Rows are the truth then, too: they say the dimension, and entries in t/ say that ids are text.
 * What nobody else knows is the metric, so whoever opens the index has to name it; with a wrong
 * one, answers would be wrong without a word. The seed may be any other one: what is derived goes
 * by it, and is made anew.
 *
 * The same where there are rows and no options at all: a repair has left them out, for they could
 * not be read.
 */
#include <stdio.h>

#include "base/cover.h"
#include "base/log.h"
#include "base/rng.h"
#include "spfresh/index_priv.h"

static fr_status get(struct fr_spfresh *index, struct fr_index_key key,
        struct fr_engine_value *ret_value)
{
    return fr_engine_get_in(index->engine, index->loading.view, fr_index_key_slice(&key),
            index->loading.at, ret_value);
}

/* ---- A new index ---- */

static fr_status add_options(const struct fr_spfresh *index, struct fr_batch *batch)
{
    struct fr_index_key key = fr_key_options(&index->prefix);
    struct fr_buf value = FR_BUF_EMPTY;
    fr_status st;

    fr_stored_put_options(&value, &index->options);
    FR_TRY(fr_buf_status(&value));
    st = fr_batch_add_put(batch, fr_index_key_slice(&key), fr_buf_slice(&value));
out:
    fr_buf_deinit(&value);
    return st;
}

static fr_status write_batch(struct fr_spfresh *index, struct fr_batch *batch)
{
    fr_slice bytes;
    fr_status st;

    FR_TRY(fr_batch_finish(batch, &bytes));
    st = fr_engine_write(index->engine, bytes, batch->count, FR_DURABLE_DEVICE);
out:
    return st;
}

static fr_status make_options(struct fr_spfresh *index, const struct fr_spfresh_setup *setup)
{
    struct fr_batch batch = FR_BATCH_EMPTY;
    fr_status st;

    if (!setup->create || setup->read_only)
        return FR_FAIL(FR_ERR_MISSING, "there is no index \"%s\"", index->name);
    if (setup->dimension == 0 || setup->dimension > FR_DIMENSION_MAX)
        return FR_FAIL(FR_ERR_MISUSE, "a new index needs a dimension, 1 to %d, not %u",
                FR_DIMENSION_MAX, setup->dimension);
    index->options =
            (struct fr_stored_options){.metric = setup->metric == 0 ? FR_METRIC_L2 : setup->metric,
                    .id_kind = setup->id_kind == 0 ? FR_ID_U64 : setup->id_kind,
                    .dimension = setup->dimension,
                    .seed = setup->seed == 0 ? fr_rng_entropy() : setup->seed};
    FR_TRY(add_options(index, &batch));
    st = write_batch(index, &batch);
out:
    fr_batch_deinit(&batch);
    return st;
}

/* ---- Rows without options ---- */

/* What the rows say. */
struct evidence {
    bool any;           /* there are some, or something that is damaged */
    uint32_t dimension; /* 0: none can be read */
    bool texts;
    bool texts_unsure; /* none was found, but damage */
};

static fr_status pass_over(void *ctx, fr_slice low, fr_slice high)
{
    (void)low;
    (void)high;
    *(bool *)ctx = true;
    return FR_OK;
}

/* Past damage, which is noted: damaged is a bool. */
static fr_status scan_kind(struct fr_engine *engine, struct fr_view *view, fr_seq at,
        const struct fr_index_key *kind, void *damaged, struct fr_iter **ret_iter)
{
    struct fr_engine_scan_options options = {.at = at,
            .view = view,
            .prefix = fr_index_key_slice(kind),
            .no_cache = true,
            .damage = pass_over,
            .damage_ctx = damaged};

    return fr_engine_scan(engine, &options, ret_iter);
}

/* The first row that says it. */
static fr_status look_at_rows(struct fr_spfresh *index, struct evidence *evidence)
{
    struct fr_index_key kind = fr_key_kind(&index->prefix, 'v');
    struct fr_iter *it = NULL;
    fr_status st;

    FR_TRY(scan_kind(index->engine, index->loading.view, index->loading.at, &kind, &evidence->any,
            &it));
    while ((st = fr_iter_next(it)) == FR_OK) {
        evidence->any = true;
        st = fr_stored_read_dimension(it->entry.value, &evidence->dimension);
        if (st != FR_ERR_CORRUPT) break;
    }
out:
    fr_iter_close(it);
    return st == FR_END ? FR_OK : st;
}

static fr_status look_at_texts(struct fr_spfresh *index, struct evidence *evidence)
{
    struct fr_index_key kind = fr_key_kind(&index->prefix, 't');
    struct fr_iter *it = NULL;
    bool damaged = false;
    fr_status st;

    FR_TRY(scan_kind(index->engine, index->loading.view, index->loading.at, &kind, &damaged, &it));
    FR_TRY(fr_iter_next(it));
    evidence->texts = st == FR_OK;
    evidence->texts_unsure = damaged && !evidence->texts;
out:
    fr_iter_close(it);
    return st < 0 ? st : FR_OK;
}

static fr_status look_for_evidence(struct fr_spfresh *index, struct evidence *evidence)
{
    fr_status st;

    FR_TRY(look_at_rows(index, evidence));
    FR_TRY(look_at_texts(index, evidence));
out:
    return st;
}

static const char *name_of(enum fr_id_kind kind)
{
    return kind == FR_ID_TEXT ? "text" : "numbers";
}

/* Whoever opens it must not say otherwise, and must say what the rows do not. */
static fr_status compare(const struct fr_spfresh *index, const struct evidence *evidence,
        const struct fr_spfresh_setup *setup, const char *why)
{
    enum fr_id_kind ids = evidence->texts ? FR_ID_TEXT : FR_ID_U64;

    if (setup->must_be_new)
        return FR_FAIL(FR_ERR_EXISTS, "there are rows of an index \"%s\"", index->name);
    if (evidence->dimension != 0 && setup->dimension != 0 &&
            setup->dimension != evidence->dimension)
        return FR_FAIL(FR_ERR_MISUSE, "index \"%s\" has rows of dimension %u, not %u", index->name,
                evidence->dimension, setup->dimension);
    if (!evidence->texts_unsure && setup->id_kind != 0 && setup->id_kind != ids)
        return FR_FAIL(FR_ERR_MISUSE, "index \"%s\" has rows whose ids are %s", index->name,
                name_of(ids));
    if (setup->metric == 0)
        return FR_FAIL(FR_ERR_CORRUPT,
                "index \"%s\": %s; its rows, of dimension %u, are there: open it with its metric, "
                "and it is made anew from them (freshet rebuild --metric)",
                index->name, why, evidence->dimension);
    if (evidence->dimension == 0 && setup->dimension == 0)
        return FR_FAIL(FR_ERR_CORRUPT,
                "index \"%s\": %s, and no row says its dimension: open it with that, too",
                index->name, why);
    if (evidence->texts_unsure && setup->id_kind == 0)
        return FR_FAIL(FR_ERR_CORRUPT,
                "index \"%s\": %s, and whether its ids are text cannot be read: open it with their "
                "kind, too",
                index->name, why);
    return FR_OK;
}

/* The options, and that what is derived does not go by them. */
static fr_status write_taken_up(struct fr_spfresh *index)
{
    struct fr_index_key space = fr_key_space(&index->prefix);
    struct fr_batch batch = FR_BATCH_EMPTY;
    fr_status st;

    FR_TRY(add_options(index, &batch));
    FR_TRY(fr_batch_add_delete(&batch, fr_index_key_slice(&space)));
    st = write_batch(index, &batch);
    if (st == FR_ERR_NOSPACE) st = FR_OK; /* they are looked for again the next time */
out:
    fr_batch_deinit(&batch);
    return st;
}

static fr_status take_up(struct fr_spfresh *index, const struct evidence *evidence,
        const struct fr_spfresh_setup *setup, const char *why)
{
    enum fr_id_kind ids = evidence->texts ? FR_ID_TEXT : FR_ID_U64;
    fr_status st;

    FR_TRY(compare(index, evidence, setup, why));
    FR_COVER("index: its options were lost");
    fr_log(FR_LOG_WARN, "spfresh",
            "index \"%s\": %s; it is taken up with the metric that was named, and built anew from "
            "its rows",
            index->name, why);
    index->options = (struct fr_stored_options){.metric = setup->metric,
            .id_kind = setup->id_kind != 0 ? setup->id_kind : ids,
            .dimension = evidence->dimension != 0 ? evidence->dimension : setup->dimension,
            .seed = setup->seed == 0 ? fr_rng_entropy() : setup->seed};
    index->options_lost = true;
    if (!setup->read_only) st = write_taken_up(index);
out:
    return st;
}

/* ---- Those that are there ---- */

static fr_status agree(const struct fr_spfresh *index, const struct fr_spfresh_setup *setup)
{
    const struct fr_stored_options *options = &index->options;

    if (setup->must_be_new) return FR_FAIL(FR_ERR_EXISTS, "there is an index \"%s\"", index->name);
    if (setup->dimension != 0 && setup->dimension != options->dimension)
        return FR_FAIL(FR_ERR_MISUSE, "index \"%s\" has dimension %u, not %u", index->name,
                options->dimension, setup->dimension);
    if (setup->metric != 0 && setup->metric != options->metric)
        return FR_FAIL(FR_ERR_MISUSE, "index \"%s\" has metric %d, not %d", index->name,
                (int)options->metric, (int)setup->metric);
    if (setup->id_kind != 0 && setup->id_kind != options->id_kind)
        return FR_FAIL(FR_ERR_MISUSE, "index \"%s\" has ids of kind %d, not %d", index->name,
                (int)options->id_kind, (int)setup->id_kind);
    return FR_OK;
}

static fr_status read_options(struct fr_spfresh *index)
{
    struct fr_engine_value value;
    fr_status st = get(index, fr_key_options(&index->prefix), &value);

    if (st != FR_OK) return st;
    st = fr_stored_read_options(value.bytes, &index->options);
    fr_engine_value_release(&value);
    return st;
}

fr_status fr_spfresh_find_options(struct fr_spfresh *index, const struct fr_spfresh_setup *setup)
{
    struct evidence evidence = {0};
    char why[FR_ERROR_TEXT_MAX] = "its options are not there";
    fr_status found = read_options(index), st;

    if (found == FR_OK) return agree(index, setup);
    if (found != FR_NOT_FOUND && found != FR_ERR_CORRUPT) return found;
    if (found == FR_ERR_CORRUPT)
        (void)snprintf(why, sizeof(why), "its options are damaged (%.300s)", fr_last_error());
    FR_TRY(look_for_evidence(index, &evidence));
    if (found == FR_NOT_FOUND && !evidence.any) return make_options(index, setup);
    st = take_up(index, &evidence, setup, why);
out:
    return st;
}

/* ---- Names ---- */

/* Of one that cannot be opened, too: its options are damaged, or there are rows without any. */
static fr_status is_there(struct fr_engine *engine, const struct fr_index_key *prefix)
{
    struct fr_index_key key = fr_key_options(prefix), rows = fr_key_kind(prefix, 'v');
    struct fr_engine_value value;
    struct fr_iter *it = NULL;
    bool damaged = false;
    fr_status st = fr_engine_get(engine, fr_index_key_slice(&key), FR_SEQ_MAX, &value);

    if (st == FR_OK) fr_engine_value_release(&value);
    if (st == FR_ERR_CORRUPT) return FR_OK;
    if (st != FR_NOT_FOUND) return st;
    FR_TRY(scan_kind(engine, NULL, FR_SEQ_MAX, &rows, &damaged, &it));
    st = fr_iter_next(it);
    if (st == FR_END) st = damaged ? FR_OK : FR_NOT_FOUND;
out:
    fr_iter_close(it);
    return st;
}

fr_status fr_spfresh_drop(struct fr_engine *engine, const char *name)
{
    struct fr_batch batch = FR_BATCH_EMPTY;
    struct fr_index_key prefix;
    fr_slice bytes;
    fr_status st;

    fr_key_prefix(name, &prefix);
    struct fr_index_key behind = fr_key_behind(&prefix);
    FR_TRY(is_there(engine, &prefix));
    if (st == FR_NOT_FOUND) return FR_FAIL(FR_ERR_MISSING, "there is no index \"%s\"", name);
    FR_TRY(fr_batch_add_delete_range(&batch, fr_index_key_slice(&prefix),
            fr_index_key_slice(&behind)));
    FR_TRY(fr_batch_finish(&batch, &bytes));
    st = fr_engine_write(engine, bytes, batch.count, FR_DURABLE_DEVICE);
out:
    fr_batch_deinit(&batch);
    return st;
}

/* "spfresh/" is before "spfresh@": the default index is the first, as its name is. */
fr_status fr_spfresh_next_name(struct fr_engine *engine, const char *after, char *ret_name)
{
    bool damaged = false;
    struct fr_engine_scan_options options = {
            .at = FR_SEQ_MAX, .damage = pass_over, .damage_ctx = &damaged};
    struct fr_index_key from;
    struct fr_iter *it = NULL;
    fr_status st;

    fr_key_prefix(after == NULL ? "" : after, &from);
    if (after != NULL) from = fr_key_behind(&from);
    options.lower = fr_index_key_slice(&from);
    FR_TRY(fr_engine_scan(engine, &options, &it));
    while ((st = fr_iter_next(it)) == FR_OK) {
        struct fr_index_key prefix;

        if (fr_key_read_name(it->entry.key, ret_name) < 0) {
            st = FR_END;
            break;
        }
        fr_key_prefix(ret_name, &prefix);
        FR_TRY(is_there(engine, &prefix));
        if (st == FR_OK) break;
        struct fr_index_key behind = fr_key_behind(&prefix);
        fr_iter_seek(it, fr_index_key_slice(&behind), FR_SEQ_MAX);
    }
out:
    fr_iter_close(it);
    return st;
}
