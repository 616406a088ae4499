/* verb_backup.c - one more generation of a backup; or a look at those that are there. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "base/human.h"
#include "freshet/backup.h"
#include "tools/interrupt.h"
#include "tools/progress.h"
#include "tools/store.h"
#include "tools/verbs.h"

struct backup {
    const char *options;
    uint64_t keep, drop, rate;
    bool list, check, reread, as_json;
    struct fr_json json;
    struct fr_db *db;
    struct fr_progress progress;
    uint64_t findings;
};

static struct fr_backup_options how_of(struct backup *b)
{
    return (struct fr_backup_options){.size = sizeof(struct fr_backup_options),
            .rate = b->rate,
            .reread = b->reread,
            .progress = fr_progress_hook,
            .ctx = &b->progress};
}

/* --- Telling --- */

static const char *time_of(uint64_t us, char text[32])
{
    time_t seconds = (time_t)(us / 1000000);
    struct tm parts;

    if (gmtime_r(&seconds, &parts) == NULL || strftime(text, 32, "%Y-%m-%d %H:%M:%S", &parts) == 0)
        text[0] = '\0';
    return text;
}

static void tell_json(struct backup *b, const char *key, const struct fr_backup_info *info)
{
    fr_json_begin_object(&b->json, key);
    fr_json_u64(&b->json, "generation", info->generation);
    fr_json_text(&b->json, "status", fr_status_name(info->status));
    if (info->status == FR_OK) {
        fr_json_u64(&b->json, "created_us", info->created_us);
        fr_json_u64(&b->json, "last_seq", info->last_seq);
        fr_json_u64(&b->json, "files", info->file_count);
        fr_json_u64(&b->json, "bytes", info->file_bytes);
    }
    if (!b->list) {
        fr_json_u64(&b->json, "copied_files", info->copied_count);
        fr_json_u64(&b->json, "copied_bytes", info->copied_bytes);
    }
    fr_json_end_object(&b->json);
}

static void tell_words(const struct fr_backup_info *info)
{
    char text[32];

    printf("generation %-6" PRIu64 " ", info->generation);
    if (info->status != FR_OK)
        printf("FINDING  its list cannot be read: %s\n", fr_status_text(info->status));
    else
        printf("%s  %6s files of %10s\n", time_of(info->created_us, text),
                fr_human_count(info->file_count).text, fr_human_size(info->file_bytes).text);
}

/* --- What there is --- */

static fr_status run_list(struct backup *b, const char *path)
{
    struct fr_backup_info info = {.size = sizeof(info)};
    fr_status st;

    if (b->as_json) {
        fr_json_begin_object(&b->json, NULL);
        fr_json_begin_array(&b->json, "generations");
    }
    while ((st = fr_backup_next(path, info.generation, &info)) == FR_OK) {
        b->findings += info.status != FR_OK;
        if (b->as_json)
            tell_json(b, NULL, &info);
        else
            tell_words(&info);
    }
    if (st < 0 || !b->as_json) return st < 0 ? st : FR_OK;
    fr_json_end_array(&b->json);
    fr_json_end_object(&b->json);
    return fr_json_print(&b->json);
}

/* All files of all generations: the first that is not as it was is a finding. */
static fr_status run_check(struct backup *b, const char *path)
{
    struct fr_backup_info info = {.size = sizeof(info)};
    struct fr_backup_options how = how_of(b);
    fr_status st = fr_backup_next(path, 0, &info);

    if (st < 0) return st;
    fr_progress_begin(&b->progress);
    st = fr_backup_check(path, 0, &how);
    fr_progress_end(&b->progress);
    b->findings = st == FR_ERR_CORRUPT || st == FR_ERR_MISSING || st == FR_ERR_TOO_NEW ||
                  st == FR_ERR_FOREIGN;
    if (st < 0 && b->findings == 0) return st;
    const char *words = st < 0 ? fr_last_error() : "every file is as it was";
    if (!b->as_json) {
        printf("%s%s\n", st < 0 ? "FINDING  " : "", words);
        return FR_OK;
    }
    fr_json_begin_object(&b->json, NULL);
    fr_json_text(&b->json, "status", fr_status_name(st));
    fr_json_text(&b->json, "words", words);
    fr_json_end_object(&b->json);
    return fr_json_print(&b->json);
}

static void tell_freed(struct backup *b, uint64_t count, uint64_t freed)
{
    if (b->as_json) {
        fr_json_u64(&b->json, "dropped", count);
        fr_json_u64(&b->json, "freed_bytes", freed);
    } else {
        printf("dropped    %" PRIu64 " generations, %s freed\n", count, fr_human_size(freed).text);
    }
}

static fr_status run_drop(struct backup *b, const char *path)
{
    uint64_t freed = 0;
    fr_status st = fr_backup_drop(path, b->drop, &freed);

    if (st == FR_NOT_FOUND)
        return FR_FAIL(FR_ERR_MISSING, "%s: there is no generation %" PRIu64, path, b->drop);
    if (st < 0) return st;
    if (b->as_json) fr_json_begin_object(&b->json, NULL);
    tell_freed(b, 1, freed);
    if (!b->as_json) return FR_OK;
    fr_json_end_object(&b->json);
    return fr_json_print(&b->json);
}

/* --- A new one --- */

static fr_status drop_old(struct backup *b, const char *path)
{
    struct fr_backup_info info = {.size = sizeof(info)};
    uint64_t count = 0, dropped = 0, freed = 0, all = 0;
    fr_status st;

    while ((st = fr_backup_next(path, info.generation, &info)) == FR_OK)
        count++;
    if (st < 0) return st;
    while (count > b->keep) {
        info.generation = 0;
        FR_TRY(fr_backup_next(path, 0, &info));
        FR_TRY(fr_backup_drop(path, info.generation, &freed));
        count--;
        dropped++;
        all += freed;
    }
    tell_freed(b, dropped, all);
    st = FR_OK;
out:
    return st;
}

static fr_status run_backup(struct backup *b, const char *store, const char *path)
{
    struct fr_backup_info info = {.size = sizeof(info)};
    struct fr_backup_options how = how_of(b);
    fr_status st;

    FR_TRY(fr_store_open(store, FR_STORE_WRITE, b->options, &b->db));
    fr_progress_begin(&b->progress);
    st = fr_db_backup(b->db, path, &how, &info);
    fr_progress_end(&b->progress);
    FR_TRY(st);
    if (b->as_json) {
        fr_json_begin_object(&b->json, NULL);
        tell_json(b, "made", &info);
    } else {
        tell_words(&info);
        printf("copied     %s files of %s\n", fr_human_count(info.copied_count).text,
                fr_human_size(info.copied_bytes).text);
    }
    if (b->keep > 0) FR_TRY(drop_old(b, path));
    if (!b->as_json) return FR_OK;
    fr_json_end_object(&b->json);
    st = fr_json_print(&b->json);
out:
    return st;
}

static fr_status run(struct backup *b, const struct fr_args *args)
{
    const char *path = args->operands[args->operand_count - 1];

    if (b->list) return run_list(b, path);
    if (b->check) return run_check(b, path);
    if (b->drop > 0) return run_drop(b, path);
    return run_backup(b, args->operands[0], path);
}

/* What there is to say of a backup needs no store; making one does. */
static const char *misuse(const struct backup *b, size_t operand_count)
{
    unsigned looks = b->list + b->check + (b->drop > 0);

    if (looks > 1) return "one of --list, --check and --drop at a time";
    if (looks == 1 && operand_count != 1) return "--list, --check and --drop take a backup only";
    if (looks == 0 && operand_count != 2) return "a store and a backup are needed";
    return NULL;
}

int fr_verb_backup(int argc, char **argv)
{
    static struct backup b = {.progress = {.verb = "backup", .line_ns = FR_PROGRESS_LINE_NS}};
    const struct fr_option options[] = {
            {"keep", 'k', FR_OPTION_COUNT, "N", "then drop all generations but the newest N",
                    &b.keep},
            {"rate", 0, FR_OPTION_SIZE, "SIZE", "bytes a second to read at most", &b.rate},
            {"reread", 0, FR_OPTION_FLAG, NULL,
                    "read what the backup has already; copy anew what is damaged", &b.reread},
            {"list", 'l', FR_OPTION_FLAG, NULL, "list the generations of a backup", &b.list},
            {"check", 0, FR_OPTION_FLAG, NULL, "read all files of a backup and compare them",
                    &b.check},
            {"drop", 0, FR_OPTION_COUNT, "GENERATION", "remove a generation, never the newest",
                    &b.drop},
            FR_OPTION_QUIET(&b.progress),
            FR_OPTION_PROGRESS(&b.progress),
            FR_OPTION_STORE(&b.options),
            {"json", 0, FR_OPTION_FLAG, NULL, "as one JSON object", &b.as_json},
    };
    struct fr_args args = {.verb = "backup",
            .summary = "Add a generation to the backup in a directory: the store as it is now, "
                       "whole by\n"
                       "itself, of which only what is new is copied. Opens the store for writing.\n"
                       "--list, --check and --drop are for the backup alone. Exits with 1 if "
                       "anything\n"
                       "was found damaged.",
            .operand_names = "[STORE] BACKUP",
            .operands_least = 1,
            .operands_most = 2,
            .options = options,
            .option_count = FR_ARRAY_COUNT(options)};
    int code = FR_EXIT_FINE;

    if (!fr_args_parse(&args, argc, argv, &code)) return code;
    const char *what = misuse(&b, args.operand_count);
    if (what != NULL) return fr_args_misuse("backup", what);
    b.progress.quiet |= b.as_json;
    fr_interrupt_watch();
    fr_status st = run(&b, &args);
    return fr_store_done("backup", st, b.findings > 0 ? FR_EXIT_FINDINGS : FR_EXIT_FINE, b.db);
}
