/*
 * verb_dump.c - what is in a file of a store, or where an item of a store is, record by record.
 *
 * Files are read as they are: no store is opened or locked, so a file that was copied elsewhere, or
 * is all that is left, will do. What kind a file is of is said by its first bytes, and if these are
 * gone by its name. A directory is all of its files.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/coding.h"
#include "io/dir.h"
#include "io/env.h"
#include "io/file.h"
#include "lsm/filter_format.h"
#include "lsm/super_format.h"
#include "lsm/table_format.h"
#include "lsm/value_format.h"
#include "recovery/backup_format.h"
#include "tools/dump_item.h"
#include "tools/index_rows.h"
#include "tools/store.h"
#include "tools/text_code.h"
#include "tools/vector_id.h"
#include "tools/verbs.h"
#include "wal/file_name.h"

enum kind {
    KIND_LOG,
    KIND_MANIFEST,
    KIND_SUPER,
    KIND_TABLE,
    KIND_VALUES,
    KIND_FILTER,
    KIND_BACKUP,
    KIND_NONE
};

static const char *const kind_names[] = {[KIND_LOG] = "log",
        [KIND_MANIFEST] = "manifest",
        [KIND_SUPER] = "super",
        [KIND_TABLE] = "table",
        [KIND_VALUES] = "values",
        [KIND_FILTER] = "filter",
        [KIND_BACKUP] = "backup"};

struct dump_verb {
    struct fr_dump d;
    struct fr_env *env;
    const char *as;                  /* a kind, or NULL */
    const char *key, *row, *posting; /* words; NULL: not asked for */
    const char *index, *options;
    struct fr_text_form form; /* of the key */
    struct fr_buf key_bytes;
    bool missed;
};

/* ---- What kind ---- */

static enum kind kind_by_magic(fr_slice head)
{
    static const struct {
        const char *magic;
        enum kind kind;
    } magics[] = {{"FRESHWAL", KIND_LOG}, {FR_SUPER_MAGIC, KIND_SUPER}, {"FrtTable", KIND_TABLE},
            {"FrtValus", KIND_VALUES}, {"FrtBckup", KIND_BACKUP}};

    if (head.size >= 16 && memcmp(head.data, "FRESHWAL", 8) == 0 &&
            fr_get_u32(head.data + 12) == FR_WAL_KIND_MANIFEST)
        return KIND_MANIFEST;
    for (size_t i = 0; i < FR_ARRAY_COUNT(magics) && head.size >= 8; i++)
        if (memcmp(head.data, magics[i].magic, 8) == 0) return magics[i].kind;
    if (head.size >= 4 && fr_get_u32(head.data) == FR_FILTER_MAGIC) return KIND_FILTER;
    return KIND_NONE;
}

static enum kind kind_by_name(const char *name)
{
    static const enum kind kinds[FR_FILE_KIND_COUNT] = {[FR_FILE_WAL] = KIND_LOG,
            [FR_FILE_MANIFEST] = KIND_MANIFEST,
            [FR_FILE_TABLE] = KIND_TABLE,
            [FR_FILE_VALUES] = KIND_VALUES,
            [FR_FILE_SUPER] = KIND_SUPER,
            [FR_FILE_LOCK] = KIND_NONE};
    enum fr_file_kind kind;
    uint64_t number;

    if (fr_backup_list_name_parse(name, &number)) return KIND_BACKUP;
    return fr_file_name_parse(name, &kind, &number) ? kinds[kind] : KIND_NONE;
}

static enum kind kind_by_word(const char *word)
{
    enum kind kind = KIND_LOG;

    while (kind < KIND_NONE && strcmp(word, kind_names[kind]) != 0)
        kind++;
    return kind;
}

static fr_status guess_kind(const struct dump_verb *v, struct fr_file *file, const char *name,
        enum kind *ret_kind)
{
    uint8_t head[16];
    size_t size;
    fr_status st;

    if (v->as != NULL) {
        *ret_kind = kind_by_word(v->as);
        return FR_OK;
    }
    FR_TRY(fr_file_read(file, 0, head, sizeof(head), &size));
    *ret_kind = kind_by_magic(fr_slice_of(head, size));
    if (*ret_kind == KIND_NONE) *ret_kind = kind_by_name(name);
    if (*ret_kind == KIND_NONE)
        return FR_FAIL(FR_ERR_FOREIGN,
                "%s: neither its first bytes nor its name are those of a "
                "store's file; --as says what to take it for",
                fr_file_path(file));
out:
    return st;
}

/* ---- A file ---- */

static void dump_kind(struct dump_verb *v, enum kind kind, struct fr_file *file, const char *name,
        uint64_t size)
{
    enum fr_file_kind name_kind;
    uint64_t number = 0;

    switch (kind) {
    case KIND_LOG:
    case KIND_MANIFEST:
        if (!fr_file_name_parse(name, &name_kind, &number)) number = 0;
        fr_dump_log(&v->d, file, size, number, kind == KIND_MANIFEST);
        break;
    case KIND_SUPER:
        fr_dump_super(&v->d, file, size);
        break;
    case KIND_TABLE:
        fr_dump_table(&v->d, file, size);
        break;
    case KIND_VALUES:
        fr_dump_values(&v->d, file, size);
        break;
    case KIND_FILTER:
        fr_dump_filter(&v->d, file, size);
        break;
    case KIND_BACKUP:
        fr_dump_backup(&v->d, file, size);
        break;
    case KIND_NONE:
        break;
    }
}

static fr_status dump_in(struct dump_verb *v, struct fr_dir *dir, const char *name)
{
    struct fr_file *file = NULL;
    struct fr_file_info info;
    enum kind kind = KIND_NONE;
    fr_status st;

    FR_TRY(fr_file_open(dir, name, 0, &file));
    FR_TRY(fr_file_info_get(file, &info));
    FR_TRY(guess_kind(v, file, name, &kind));
    fr_dump_file(&v->d, fr_file_path(file), kind_names[kind], info.size);
    dump_kind(v, kind, file, name, info.size);
    st = v->d.status < 0 ? v->d.status : FR_OK;
out:
    fr_file_close(file);
    return st;
}

static fr_status dump_file(struct dump_verb *v, const char *path)
{
    struct fr_dir *parent = NULL;
    char name[FR_NAME_MAX + 1];
    fr_status st;

    FR_TRY(fr_dir_open_parent(v->env, path, &parent, name));
    FR_TRY(dump_in(v, parent, name));
out:
    fr_dir_close(parent);
    return st;
}

/* ---- A store ---- */

/* Files that are ours, in the order of their numbers; those that are gone meanwhile are none. */
static fr_status dump_files(struct dump_verb *v, struct fr_dir *dir)
{
    struct fr_dir_names names = {0};
    size_t count = 0;
    fr_status st;

    FR_TRY(fr_dir_list(dir, &names));
    for (size_t i = 0; i < names.count && v->d.status == FR_OK; i++) {
        if (kind_by_name(names.names[i]) == KIND_NONE) continue;
        count++;
        st = dump_in(v, dir, names.names[i]);
        if (st < 0 && st != FR_ERR_MISSING) goto out;
    }
    st = FR_OK;
    if (count == 0) st = FR_FAIL(FR_ERR_MISSING, "%s: there is no store", fr_dir_path(dir));
out:
    fr_dir_names_deinit(&names);
    return st;
}

static fr_status read_item(struct dump_verb *v, struct fr_dump_item *ret_item)
{
    struct fr_dump_item item = {.index = v->index, .options = v->options};
    fr_status st;

    if (v->key != NULL) {
        FR_TRY(fr_text_read(&v->form, v->key, &v->key_bytes));
        if (v->key_bytes.size == 0) return FR_FAIL(FR_ERR_MISUSE, "no key is empty");
        item.kind = FR_DUMP_KEY;
        item.key = fr_buf_slice(&v->key_bytes);
    } else {
        item.kind = v->row != NULL ? FR_DUMP_ROW : FR_DUMP_POSTING;
        item.word = v->row;
        if (v->posting != NULL) FR_TRY(fr_id_read(v->posting, &item.number));
    }
    *ret_item = item;
    st = FR_OK;
out:
    return st;
}

static fr_status dump_store(struct dump_verb *v, const char *path)
{
    bool asks = v->key != NULL || v->row != NULL || v->posting != NULL;
    struct fr_dir *dir = NULL;
    struct fr_dump_item item;
    fr_status st;

    if (asks) FR_TRY(read_item(v, &item));
    FR_TRY(fr_dir_open(v->env, path, 0, &dir));
    if (asks) {
        FR_TRY(fr_dump_item(&v->d, dir, path, &item));
        if (st == FR_NOT_FOUND) {
            fprintf(stderr, "freshet dump: %s: a reader sees no such item\n", path);
            v->missed = true;
        }
    } else {
        FR_TRY(dump_files(v, dir));
    }
out:
    fr_dir_close(dir);
    return st;
}

static fr_status dump_path(struct dump_verb *v, const char *path)
{
    struct stat about;

    if (stat(path, &about) != 0)
        return FR_FAIL(errno == ENOENT ? FR_ERR_MISSING : FR_ERR_IO, "%s: %s", path,
                strerror(errno));
    if (S_ISDIR(about.st_mode)) return dump_store(v, path);
    if (v->key != NULL || v->row != NULL || v->posting != NULL)
        return FR_FAIL(FR_ERR_MISUSE, "%s: items are those of a store, which is a directory", path);
    return dump_file(v, path);
}

/* ---- The verb ---- */

static fr_status check_words(const struct dump_verb *v)
{
    if ((v->key != NULL) + (v->row != NULL) + (v->posting != NULL) > 1)
        return FR_FAIL(FR_ERR_MISUSE, "--key, --row or --posting: one item at a time");
    if (v->as != NULL && kind_by_word(v->as) == KIND_NONE)
        return FR_FAIL(FR_ERR_MISUSE,
                "\"%.40s\" is none of log, manifest, super, table, values, filter, backup", v->as);
    return FR_OK;
}

/* The first damage is the failure of all: files go on being told behind it. */
static fr_status fail_damaged(const struct fr_dump *d)
{
    if (d->damages == 1) return FR_FAIL(d->first.status, "%s", d->first.text);
    return FR_FAIL(d->first.status, "%.300s; %" PRIu64 " places are damaged", d->first.text,
            d->damages);
}

static fr_status run_dump(struct dump_verb *v, const struct fr_args *args)
{
    fr_status st;

    FR_TRY(check_words(v));
    FR_TRY(fr_env_open(NULL, &v->env));
    for (size_t i = 0; i < args->operand_count && v->d.status == FR_OK; i++)
        FR_TRY(dump_path(v, args->operands[i]));
    if (v->d.damages > 0) st = fail_damaged(&v->d);
out:
    return st;
}

/* A reader that has gone wants no more. */
static bool print(void *ctx, fr_slice text)
{
    (void)ctx;
    return fwrite(text.data, 1, text.size, stdout) == text.size && !ferror(stdout);
}

int fr_verb_dump(int argc, char **argv)
{
    static struct dump_verb v = {.d = {.print = print}, .index = ""};
    struct fr_dump_how *how = &v.d.how;
    const struct fr_option options[] = {
            {"as", 0, FR_OPTION_TEXT, "KIND",
                    "take it for a log, manifest, super, table, values, filter or backup", &v.as},
            {"key", 'k', FR_OPTION_TEXT, "KEY", "of a store: where this key is", &v.key},
            {"hex-key", 0, FR_OPTION_FLAG, NULL, "the key is hex digits", &v.form.hex},
            {"row", 'r', FR_OPTION_TEXT, "ID", "of a store: the row of this vector", &v.row},
            {"posting", 'p', FR_OPTION_TEXT, "NUMBER", "of a store: this posting of the index",
                    &v.posting},
            FR_OPTION_INDEX(&v.index, "of rows and postings; without it the one without name"),
            {"values", 0, FR_OPTION_FLAG, NULL,
                    "values and payloads too, not only their size and checksum", &how->values},
            {"hex", 'x', FR_OPTION_FLAG, NULL, "each record's bytes below it", &how->hex},
            {"limit", 'n', FR_OPTION_COUNT, "COUNT", "records of each file (0: all)", &how->limit},
            {"only", 0, FR_OPTION_TEXT, "NAMES", "records of these names, as \"block,entry\"",
                    &how->only},
            FR_OPTION_STORE(&v.options),
            {"json", 0, FR_OPTION_FLAG, NULL, "each record as a JSON object on a line",
                    &how->as_json},
    };
    struct fr_args args = {.verb = "dump",
            .summary = "Print what is in files of a store, record by record, each with its offset; "
                       "of a\n"
                       "directory, in all of its files, or where in them one key, row or posting "
                       "is and\n"
                       "what a reader sees of it. Opens and locks no store for files, changes "
                       "nothing,\n"
                       "and goes on behind damage, which it names; then it exits with 4.",
            .operand_names = "PATH...",
            .operands_least = 1,
            .operands_most = SIZE_MAX,
            .options = options,
            .option_count = FR_ARRAY_COUNT(options)};
    int code = FR_EXIT_FINE;

    if (!fr_args_parse(&args, argc, argv, &code)) return code;
    if (run_dump(&v, &args) < 0)
        code = fr_exit_failed("dump");
    else if (v.missed)
        code = FR_EXIT_FINDINGS;
    fr_dump_deinit(&v.d);
    fr_buf_deinit(&v.key_bytes);
    fr_env_close(v.env);
    return code;
}
