/* verb_restore.c - a store out of a backup. */
#include <inttypes.h>
#include <stdio.h>

#include "base/human.h"
#include "freshet/backup.h"
#include "tools/interrupt.h"
#include "tools/progress.h"
#include "tools/store.h"
#include "tools/verbs.h"

struct restore {
    uint64_t generation, rate;
    bool as_json;
    struct fr_progress progress;
};

static fr_status tell(const struct restore *r, const char *store, const struct fr_backup_info *info)
{
    struct fr_json json = FR_JSON_EMPTY;

    if (!r->as_json) {
        printf("%s: generation %" PRIu64 ", %s files of %s, each compared with its hash\n", store,
                info->generation, fr_human_count(info->file_count).text,
                fr_human_size(info->file_bytes).text);
        return FR_OK;
    }
    fr_json_begin_object(&json, NULL);
    fr_json_u64(&json, "generation", info->generation);
    fr_json_u64(&json, "created_us", info->created_us);
    fr_json_u64(&json, "last_seq", info->last_seq);
    fr_json_u64(&json, "files", info->file_count);
    fr_json_u64(&json, "bytes", info->file_bytes);
    fr_json_end_object(&json);
    return fr_json_print(&json);
}

int fr_verb_restore(int argc, char **argv)
{
    static struct restore r = {.progress = {.verb = "restore", .line_ns = FR_PROGRESS_LINE_NS}};
    const struct fr_option options[] = {
            {"generation", 'g', FR_OPTION_COUNT, "N", "this one (the newest)", &r.generation},
            {"rate", 0, FR_OPTION_SIZE, "SIZE", "bytes a second to read at most", &r.rate},
            FR_OPTION_QUIET(&r.progress),
            FR_OPTION_PROGRESS(&r.progress),
            {"json", 0, FR_OPTION_FLAG, NULL, "as one JSON object", &r.as_json},
    };
    struct fr_args args = {.verb = "restore",
            .summary = "Make a store of a generation of a backup, compare every file with its "
                       "hash, and\n"
                       "only then give the store its name. Changes nothing in the backup.",
            .operand_names = "BACKUP STORE",
            .operands_least = 2,
            .operands_most = 2,
            .options = options,
            .option_count = FR_ARRAY_COUNT(options)};
    struct fr_backup_info info = {.size = sizeof(info)};
    int code = FR_EXIT_FINE;

    if (!fr_args_parse(&args, argc, argv, &code)) return code;
    struct fr_backup_options how = {
            .size = sizeof(how), .rate = r.rate, .progress = fr_progress_hook, .ctx = &r.progress};
    r.progress.quiet |= r.as_json;
    fr_interrupt_watch();
    fr_progress_begin(&r.progress);
    fr_status st = fr_backup_restore(args.operands[0], r.generation, args.operands[1], &how, &info);
    fr_progress_end(&r.progress);
    if (st >= 0) st = tell(&r, args.operands[1], &info);
    return fr_store_done("restore", st, FR_EXIT_FINE, NULL);
}
