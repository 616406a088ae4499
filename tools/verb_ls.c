/*
 * verb_ls.c - the files of a store, by kind. It only looks at names, sizes and SUPER, so that it
 * also works where nothing else does.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/human.h"
#include "io/dir.h"
#include "io/env.h"
#include "lsm/super.h"
#include "tools/args.h"
#include "tools/json.h"
#include "tools/verbs.h"
#include "wal/file_name.h"

static const char *const kind_names[] = {[FR_FILE_WAL] = "log",
        [FR_FILE_MANIFEST] = "manifest",
        [FR_FILE_TABLE] = "table",
        [FR_FILE_VALUES] = "values",
        [FR_FILE_SUPER] = "super",
        [FR_FILE_LOCK] = "lock"};

struct ls {
    const char *path;
    bool as_json;
    struct fr_env *env;
    struct fr_dir *dir;
    struct fr_dir_names names;
    struct fr_json json;
    uint64_t bytes, strangers;
};

static fr_status tell_file(struct ls *l, const char *name)
{
    struct fr_file_info info;
    enum fr_file_kind kind;
    uint64_t number;
    fr_status st = fr_dir_stat(l->dir, name, &info);

    if (st == FR_NOT_FOUND) return FR_OK; /* gone since the directory was read */
    if (st < 0) return st;
    bool ours = fr_file_name_parse(name, &kind, &number);
    const char *kind_name = ours ? kind_names[kind] : "not ours";
    l->bytes += ours ? info.size : 0;
    l->strangers += !ours;
    if (!l->as_json) {
        printf("%-9s %15s  %s\n", kind_name, fr_human_count(info.size).text, name);
        return FR_OK;
    }
    fr_json_begin_object(&l->json, NULL);
    fr_json_text(&l->json, "name", name);
    fr_json_text(&l->json, "kind", kind_name);
    if (ours && number > 0) fr_json_u64(&l->json, "number", number);
    fr_json_u64(&l->json, "size", info.size);
    fr_json_end_object(&l->json);
    return FR_OK;
}

static fr_status tell_files(struct ls *l)
{
    fr_status st = FR_OK;

    if (l->as_json) {
        fr_json_begin_object(&l->json, NULL);
        fr_json_text(&l->json, "directory", l->path);
        fr_json_begin_array(&l->json, "files");
    }
    for (size_t i = 0; i < l->names.count; i++)
        FR_TRY(tell_file(l, l->names.names[i]));
    if (!l->as_json) {
        printf("%-9s %15s  in all\n", "", fr_human_count(l->bytes).text);
        return FR_OK;
    }
    fr_json_end_array(&l->json);
    fr_json_u64(&l->json, "bytes", l->bytes);
    fr_json_u64(&l->json, "not_ours", l->strangers);
    fr_json_end_object(&l->json);
    FR_TRY(fr_json_print(&l->json));
out:
    return st;
}

/* Damage of SUPER is told behind the list: the files are there all the same. */
static fr_status run_ls(struct ls *l)
{
    struct fr_super super;
    fr_status st;

    FR_TRY(fr_env_open(NULL, &l->env));
    FR_TRY(fr_dir_open(l->env, l->path, 0, &l->dir));
    st = fr_super_read(l->dir, &super);
    if (st == FR_ERR_MISSING) return FR_FAIL(st, "%s: there is no store", l->path);
    fr_status of_super = st;
    struct fr_error error = {.size = sizeof(error)};
    fr_error_save(&error);
    FR_TRY(fr_dir_list(l->dir, &l->names));
    FR_TRY(tell_files(l));
    if (of_super < 0) st = fr_error_restore(&error);
out:
    return st;
}

int fr_verb_ls(int argc, char **argv)
{
    static struct ls l;
    const struct fr_option options[] = {
            {"json", 0, FR_OPTION_FLAG, NULL, "the list as one JSON object", &l.as_json},
    };
    struct fr_args args = {.verb = "ls",
            .summary = "List the files of a store with their kinds and sizes.",
            .operand_names = "DIR",
            .operands_least = 1,
            .operands_most = 1,
            .options = options,
            .option_count = FR_ARRAY_COUNT(options)};
    int code = FR_EXIT_FINE;

    if (!fr_args_parse(&args, argc, argv, &code)) return code;
    l.path = args.operands[0];
    if (run_ls(&l) < 0) code = fr_exit_failed("ls");
    fr_buf_deinit(&l.json.text);
    fr_dir_names_deinit(&l.names);
    fr_dir_close(l.dir);
    fr_env_close(l.env);
    return code;
}
