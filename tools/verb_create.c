/* verb_create.c - a store, and an index in it. */
#include "spfresh/stored.h"
#include "tools/index_rows.h"
#include "tools/metric.h"
#include "tools/store.h"
#include "tools/vector_id.h"
#include "tools/verbs.h"

struct create {
    const char *index_name, *metric_name, *ids_name, *options;
    uint64_t dimension, seed;
    struct fr_db *db;
    struct fr_index *index;
};

/* Before the store is made: a word that was mistyped leaves nothing behind. */
static fr_status read_index_options(struct create *c, struct fr_index_options *ret_options)
{
    fr_status st;

    fr_index_options_init(ret_options);
    ret_options->must_be_new = true;
    ret_options->seed = c->seed;
    FR_TRY(fr_index_name_check(c->index_name));
    if (c->metric_name != NULL) FR_TRY(fr_metric_read(c->metric_name, &ret_options->metric));
    if (c->ids_name != NULL) FR_TRY(fr_id_kind_read(c->ids_name, &ret_options->id_kind));
    if (c->dimension > FR_DIMENSION_MAX)
        return FR_FAIL(FR_ERR_MISUSE, "--dimension: it is from 1 to %d", FR_DIMENSION_MAX);
    ret_options->dimension = (uint32_t)c->dimension;
out:
    return st;
}

static fr_status run_create(struct create *c, const char *path)
{
    struct fr_index_options options;
    bool with_index = c->dimension > 0;
    fr_status st;

    FR_TRY(read_index_options(c, &options));
    FR_TRY(fr_store_open(path, with_index ? FR_STORE_CREATE : FR_STORE_NEW, c->options, &c->db));
    if (with_index) FR_TRY(fr_index_open(c->db, c->index_name, &options, &c->index));
out:
    return st;
}

int fr_verb_create(int argc, char **argv)
{
    static struct create c = {.index_name = ""};
    const struct fr_option options[] = {
            {"dimension", 'd', FR_OPTION_COUNT, "N", "with an index for vectors of so many values",
                    &c.dimension},
            {"metric", 'm', FR_OPTION_TEXT, "METRIC", "of the index: l2, cosine or ip (l2)",
                    &c.metric_name},
            FR_OPTION_IDS(&c.ids_name, "what it calls its vectors: number or text (number)"),
            FR_OPTION_INDEX(&c.index_name, "what it is called (nothing)"),
            {"seed", 0, FR_OPTION_COUNT, "N", "of its random rotation (any)", &c.seed},
            FR_OPTION_STORE(&c.options),
    };
    struct fr_args args = {.verb = "create",
            .summary = "Make a store, or, with --dimension, an index in one, which is made if "
                       "there is\n"
                       "none. What is there already is left alone. Writes.",
            .operand_names = "DIR",
            .operands_least = 1,
            .operands_most = 1,
            .options = options,
            .option_count = FR_ARRAY_COUNT(options)};
    int code = FR_EXIT_FINE;

    if (!fr_args_parse(&args, argc, argv, &code)) return code;
    bool of_index = c.metric_name != NULL || c.ids_name != NULL || c.index_name[0] != '\0';
    if (c.dimension == 0 && of_index) return fr_args_misuse("create", "an index needs --dimension");
    fr_status st = run_create(&c, args.operands[0]);
    fr_index_close(c.index);
    return fr_store_done("create", st, FR_EXIT_FINE, c.db);
}
