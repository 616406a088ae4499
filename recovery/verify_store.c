/* verify_store.c - what holds a store together: SUPER, the log, and the names in the directory. */
#include <inttypes.h>

#include "base/alloc.h"
#include "io/dir.h"
#include "lsm/batch.h"
#include "lsm/super.h"
#include "lsm/version.h"
#include "recovery/verify_priv.h"
#include "wal/wal_reader.h"

/* --- SUPER --- */

/* What lies between and behind the copies was written as zeros. */
static void check_gap(struct fr_verify *v, const uint8_t *bytes, uint64_t from, uint64_t to)
{
    for (uint64_t at = from; at < to; at++) {
        if (bytes[at] == 0) continue;
        fr_findings_add(&v->findings, FR_FINDING_DAMAGE,
                FR_FAIL(FR_ERR_CORRUPT, "%s/SUPER: byte %" PRIu64 " is %u, and belongs to nothing",
                        fr_dir_path(v->dir), at, bytes[at]),
                "SUPER", at, NULL);
        return;
    }
}

static bool is_zeros(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != 0) return false;
    return true;
}

/* A slot that was never written is zeros; that is so for the second one of a new store alone. */
static void check_copy(struct fr_verify *v, const uint8_t *bytes, uint64_t offset, bool may_be_new)
{
    struct fr_super super;
    fr_status st = fr_super_decode(bytes + offset, offset, &super);

    if (st >= 0 || (may_be_new && is_zeros(bytes + offset, FR_SUPER_COPY_SIZE))) return;
    if (st == FR_ERR_CORRUPT)
        st = FR_FAIL(st, "%s/SUPER: the copy at %" PRIu64 " is damaged", fr_dir_path(v->dir),
                offset);
    fr_findings_add(&v->findings, fr_finding_kind_of(st), st, "SUPER", offset, NULL);
}

static void check_bytes(struct fr_verify *v, const uint8_t *bytes)
{
    struct fr_super super;
    uint64_t end = 0;
    bool is_new = fr_super_decode(bytes, 0, &super) == FR_OK && super.generation == 0;

    for (uint64_t generation = 0; generation < 2; generation++)
        for (unsigned copy = 0; copy < FR_SUPER_COPIES; copy++) {
            uint64_t offset = fr_super_offset(generation, copy);
            check_gap(v, bytes, end, offset);
            check_copy(v, bytes, offset, is_new && generation == 1);
            end = offset + FR_SUPER_COPY_SIZE;
        }
    check_gap(v, bytes, end, FR_SUPER_FILE_SIZE);
}

fr_status fr_verify_super(struct fr_verify *v)
{
    uint8_t *bytes = fr_alloc(FR_SUPER_FILE_SIZE);
    struct fr_file *file = NULL;
    struct fr_file_info info;
    fr_status st;

    if (bytes == NULL) return FR_FAIL(FR_ERR_NOMEM, "no memory for a superblock");
    st = fr_file_open(v->dir, "SUPER", 0, &file);
    if (st == FR_OK) st = fr_file_info_get(file, &info);
    if (st == FR_OK && info.size != FR_SUPER_FILE_SIZE)
        st = FR_FAIL(FR_ERR_CORRUPT, "%s/SUPER: is %" PRIu64 " bytes, not %d", fr_dir_path(v->dir),
                info.size, FR_SUPER_FILE_SIZE);
    if (st == FR_OK) st = fr_file_read_exact(file, 0, bytes, FR_SUPER_FILE_SIZE);
    if (st == FR_OK) check_bytes(v, bytes);
    if (st < 0 && st != FR_ERR_NOMEM) {
        fr_findings_add(&v->findings, fr_finding_kind_of(st), st, "SUPER", 0, NULL);
        st = FR_OK;
    }
    fr_file_close(file);
    fr_free(bytes);
    return st;
}

/* --- The log --- */

static fr_status read_log(struct fr_verify *v, struct fr_wal_reader *reader)
{
    uint64_t tag;
    fr_slice batch;
    fr_lsn lsn;
    fr_status st;

    v->batches = v->log_bytes = 0;
    while ((st = fr_wal_reader_next(reader, &batch, &tag, &lsn)) == FR_OK) {
        st = fr_batch_verify(batch);
        if (st < 0 && st != FR_ERR_NOMEM)
            st = FR_FAIL(st, "%s: the log's batch at lsn %" PRIu64 " is damaged",
                    fr_dir_path(v->dir), lsn);
        if (st < 0) return st;
        v->batches++;
        v->log_bytes += batch.size;
    }
    return st;
}

fr_status fr_verify_log(struct fr_verify *v, const struct fr_super *super,
        const struct fr_edit_log *log)
{
    struct fr_wal_reader_options options = {.kind = FR_WAL_KIND_LOG,
            .start = log->start,
            .durable = log->durable,
            .number = log->number};
    struct fr_wal_reader *reader = NULL;
    fr_status st;

    memcpy(options.store, super->store, FR_STORE_ID_SIZE);
    st = fr_wal_reader_open(v->dir, &options, &reader);
    if (st == FR_OK) st = read_log(v, reader);
    fr_wal_reader_close(reader);
    if (st >= 0 || st == FR_ERR_NOMEM) return st < 0 ? st : FR_OK;
    fr_findings_add(&v->findings, fr_finding_kind_of(st), st, NULL, 0, NULL);
    return FR_OK;
}

/* --- Names --- */

static bool is_known(const struct fr_verify *v, enum fr_file_kind kind, uint64_t number)
{
    for (size_t i = 0; i < v->item_count; i++)
        if (v->items[i].kind == kind && v->items[i].number == number) return true;
    return kind != FR_FILE_TABLE && kind != FR_FILE_VALUES;
}

static void check_name(struct fr_verify *v, const char *name, struct fr_verify_stats *stats)
{
    enum fr_file_kind kind;
    struct fr_file_info info;
    uint64_t number;

    if (strcmp(name, "SUPER.tmp") == 0) return;
    if (!fr_file_name_parse(name, &kind, &number)) {
        fr_findings_add(&v->findings, FR_FINDING_STRANGER,
                FR_FAIL(FR_ERR_FOREIGN, "%s/%s: is no file of a store", fr_dir_path(v->dir), name),
                name, 0, NULL);
        return;
    }
    if (!is_known(v, kind, number)) {
        fr_findings_add(&v->findings, FR_FINDING_ORPHAN,
                FR_FAIL(FR_ERR_FOREIGN,
                        "%s/%s: the version does not have it; the next opening for writing removes "
                        "it",
                        fr_dir_path(v->dir), name),
                name, 0, NULL);
        return;
    }
    if (fr_dir_stat(v->dir, name, &info) != FR_OK) return; /* it has just gone */
    stats->files++;
    stats->bytes += info.size;
}

fr_status fr_verify_names(struct fr_verify *v, struct fr_verify_stats *stats)
{
    struct fr_dir_names names = {0};
    fr_status st;

    FR_TRY(fr_dir_list(v->dir, &names));
    for (size_t i = 0; i < names.count; i++)
        check_name(v, names.names[i], stats);
    FR_TRY(fr_findings_tell(&v->findings, v->how));
out:
    fr_dir_names_deinit(&names);
    return st;
}
