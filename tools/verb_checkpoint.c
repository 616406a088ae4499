/* verb_checkpoint.c - a store of its own with all that another one holds now. */
#include "tools/store.h"
#include "tools/verbs.h"

int fr_verb_checkpoint(int argc, char **argv)
{
    static struct fr_checkpoint_options how = {.size = sizeof(how)};
    static const char *store_options;
    const struct fr_option options[] = {
            {"copy", 'c', FR_OPTION_FLAG, NULL, "copy the files, even where links can be had",
                    &how.copy},
            FR_OPTION_STORE(&store_options),
    };
    struct fr_args args = {.verb = "checkpoint",
            .summary =
                    "Make a store TO with all that the store DIR holds now. Its tables are linked\n"
                    "where the file system can do that, else copied; from then on the two are "
                    "apart.\n"
                    "Opens DIR for writing.",
            .operand_names = "DIR TO",
            .operands_least = 2,
            .operands_most = 2,
            .options = options,
            .option_count = FR_ARRAY_COUNT(options)};
    struct fr_db *db = NULL;
    int code = FR_EXIT_FINE;

    if (!fr_args_parse(&args, argc, argv, &code)) return code;
    fr_status st = fr_store_open(args.operands[0], FR_STORE_WRITE, store_options, &db);
    if (st >= 0) st = fr_db_checkpoint(db, args.operands[1], &how);
    return fr_store_done("checkpoint", st, FR_EXIT_FINE, db);
}
