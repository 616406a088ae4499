/* verb_delete.c - keys, a range of keys, or vectors go. */
#include "base/alloc.h"
#include "freshet/index.h"
#include "tools/index_rows.h"
#include "tools/key_range.h"
#include "tools/vector_id.h"
#include "tools/verbs.h"

struct delete
{
    struct fr_text_form form;
    const char *options;
    const char *index_name; /* NULL: keys and values */
    bool whole_index;
    struct fr_key_range range;
    struct fr_db *db;
    struct fr_index *index;
    struct fr_buf key;
    struct fr_batch *batch;
};

static fr_status add_keys(struct delete *d, char *const *words, size_t count)
{
    fr_status st = FR_OK;

    for (size_t i = 0; i < count; i++) {
        fr_buf_clear(&d->key);
        FR_TRY(fr_text_read(&d->form, words[i], &d->key));
        FR_TRY(fr_batch_delete(d->batch, d->key.data, d->key.size));
    }
out:
    return st;
}

/* The engine wants both ends. No key is above the longest one of 0xff alone, which stays. */
static fr_status last_end(struct fr_buf *to)
{
    uint8_t *at = fr_buf_extend(to, UINT16_MAX);

    if (at == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a key");
    memset(at, 0xff, UINT16_MAX);
    return FR_OK;
}

static fr_status add_range(struct delete *d)
{
    struct fr_key_range *range = &d->range;
    fr_status st;

    FR_TRY(fr_key_range_read(range, &d->form));
    if (range->to.size == 0) FR_TRY(last_end(&range->to));
    if (range->from.size == 0) fr_buf_u8(&range->from, 0); /* no key is below this one */
    FR_TRY(fr_batch_delete_range(d->batch, range->from.data, range->from.size, range->to.data,
            range->to.size));
out:
    return st;
}

static fr_status delete_keys(struct delete *d, const struct fr_args *args)
{
    fr_status st;

    FR_TRY(fr_batch_new(&d->batch));
    if (fr_key_range_given(&d->range)) FR_TRY(add_range(d));
    FR_TRY(add_keys(d, args->operands + 1, args->operand_count - 1));
    FR_TRY(fr_store_open(args->operands[0], FR_STORE_WRITE, d->options, &d->db));
    FR_TRY(fr_db_write(d->db, NULL, d->batch));
out:
    return st;
}

static fr_status delete_numbers(struct delete *d, char *const *words, size_t count)
{
    fr_status st = FR_OK;

    for (size_t i = 0; i < count; i++) {
        uint64_t id = 0;
        FR_TRY(fr_id_read(words[i], &id));
        fr_buf_append(&d->key, &id, sizeof(id));
    }
    FR_TRY(fr_buf_status(&d->key));
    st = fr_index_delete(d->index, NULL, count, (const uint64_t *)(const void *)d->key.data, NULL);
out:
    return st;
}

/* The texts stand one behind the other; where they are is known when the last has come. */
static fr_status delete_texts(struct delete *d, char *const *words, size_t count)
{
    struct fr_text_id *ids = fr_alloc(count * sizeof(*ids));
    const char *at;
    fr_status st = ids == NULL ? FR_FAIL(FR_ERR_NOMEM, "no memory for ids") : FR_OK;

    for (size_t i = 0; i < count && st >= 0; i++) {
        size_t before = d->key.size;
        st = fr_text_read(&d->form, words[i], &d->key);
        ids[i].size = d->key.size - before;
    }
    if (st < 0) goto out;
    at = (const char *)d->key.data;
    for (size_t i = 0; i < count; at += ids[i++].size)
        ids[i].data = at;
    st = fr_index_delete_text(d->index, NULL, count, ids, NULL);
out:
    fr_free(ids);
    return st;
}

static fr_status delete_index(struct delete *d, const char *path)
{
    fr_status st = fr_store_open(path, FR_STORE_WRITE, d->options, &d->db);

    return st < 0 ? st : fr_index_drop(d->db, d->index_name);
}

/* The buffer for keys has the ids then. What they are, the index says. */
static fr_status delete_vectors(struct delete *d, const struct fr_args *args)
{
    struct fr_index_stats stats = {.size = sizeof(stats)};
    struct fr_index_options options;
    size_t count = args->operand_count - 1;
    fr_status st;

    fr_index_options_init(&options);
    options.create = false;
    FR_TRY(fr_store_open(args->operands[0], FR_STORE_WRITE, d->options, &d->db));
    FR_TRY(fr_index_open(d->db, d->index_name, &options, &d->index));
    FR_TRY(fr_index_stats_get(d->index, &stats));
    FR_TRY(stats.id_kind == FR_ID_TEXT ? delete_texts(d, args->operands + 1, count)
                                       : delete_numbers(d, args->operands + 1, count));
out:
    return st;
}

/* Words for options that do not go together, or NULL. */
static const char *find_misuse(const struct delete *d, const struct fr_args *args)
{
    bool has_words = args->operand_count > 1, has_range = fr_key_range_given(&d->range);

    if (d->index_name == NULL && d->whole_index) return "--whole goes with --index";
    if (d->index_name != NULL && has_range) return "vectors are deleted by id, not by range";
    if (d->whole_index) return has_words ? "--whole takes no ids" : NULL;
    if (!has_words && !has_range)
        return d->index_name != NULL ? "needs ids, or --whole" : "needs keys or a range";
    return NULL;
}

static fr_status run(struct delete *d, const struct fr_args *args)
{
    if (d->whole_index) return delete_index(d, args->operands[0]);
    return d->index_name != NULL ? delete_vectors(d, args) : delete_keys(d, args);
}

int fr_verb_delete(int argc, char **argv)
{
    static struct delete d;
    const struct fr_option options[] = {
            FR_OPTION_FROM(&d.range),
            FR_OPTION_TO(&d.range),
            FR_OPTION_PREFIX(&d.range),
            FR_OPTION_INDEX(&d.index_name, "vectors of that index, \"\" for the one without name"),
            {"whole", 0, FR_OPTION_FLAG, NULL,
                    "with --index: the index itself, and all that is in it", &d.whole_index},
            FR_OPTION_HEX(&d.form),
            FR_OPTION_BASE64(&d.form),
            FR_OPTION_STORE(&d.options),
    };
    struct fr_args args = {.verb = "delete",
            .summary =
                    "Delete keys, a range of keys, or all keys with a prefix; or, with --index,\n"
                    "vectors by their ids. All or nothing. Deleting what is not there is fine. "
                    "Writes to the store.",
            .operand_names = "DIR [KEY...]",
            .operands_least = 1,
            .operands_most = SIZE_MAX,
            .options = options,
            .option_count = FR_ARRAY_COUNT(options)};
    int code = FR_EXIT_FINE;

    if (!fr_args_parse(&args, argc, argv, &code)) return code;
    const char *misuse = find_misuse(&d, &args);
    if (misuse != NULL) return fr_args_misuse("delete", misuse);
    fr_status st = run(&d, &args);
    fr_index_close(d.index);
    code = fr_store_done("delete", st, FR_EXIT_FINE, d.db);
    fr_batch_free(d.batch);
    fr_buf_deinit(&d.key);
    fr_key_range_deinit(&d.range);
    return code;
}
