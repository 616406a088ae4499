/*
 * repair.h - a store out of what can still be read of a damaged one.
 *
 * The damaged store is only read. What is made is a store of its own, with every key whose value is
 * certain: all of its entries that count could be read, and nothing that could not be read may have
 * changed it since. What is not certain is told, row by row, with what could be read of it, and
 * left out. So a repaired store may lack keys, and says which; it never has a wrong value.
 *
 * What is derived in an index that has lost anything is left out too: opening the index for the
 * first time makes it anew from the rows. If its options are lost, they have to be named then.
 */
#ifndef FRESHET_REPAIR_H
#define FRESHET_REPAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freshet/api.h"
#include "freshet/status.h"

FR_BEGIN_DECLS

typedef enum fr_loss_kind {
    FR_LOSS_KEYS = 1,    /* between two keys there may have been others, or newer values */
    FR_LOSS_VALUE = 2,   /* a row whose value cannot be read */
    FR_LOSS_STALE = 3,   /* a row with a value that something lost may have changed since */
    FR_LOSS_LOG = 4,     /* the last writes, from some sequence number on */
    FR_LOSS_HISTORY = 5, /* nobody says which files count: what was deleted may be back */
    FR_LOSS_DERIVED = 6, /* no loss: what is derived in an index is left out, to be made anew */
    FR_LOSS_OPTIONS = 7  /* an index's options, with all of its rows kept: see fr_index_open() */
} fr_loss_kind;

/* The kind's name, as "stale"; static. */
FR_API const char *fr_loss_kind_name(fr_loss_kind kind);

/* Valid in the call. */
struct fr_loss {
    size_t size; /* sizeof(struct fr_loss) */
    fr_loss_kind kind;
    const void *key; /* of the row; of KEYS: the first that may be lost; NULL: any */
    size_t key_size;
    const void *end; /* of KEYS: the last one that may be lost; NULL: any behind */
    size_t end_size;
    uint64_t seq;      /* of the row; of KEYS: the newest that may be lost; of LOG: the first */
    const void *value; /* of the row, as far as it could be read; NULL: it could not */
    size_t value_size;
    const char *words;
};

/* All zeros and the size are fine. */
struct fr_repair_options {
    size_t size; /* sizeof(struct fr_repair_options) */
    /* Rows that something lost may have changed are told all the same, and are put into the new
     * store as they are (false). */
    bool keep_stale;
    /* Called by the calling thread for each loss; false: give up, FR_ERR_CANCELLED (NULL). */
    bool (*loss)(void *ctx, const struct fr_loss *loss);
    /*
     * Called now and then by the calling thread; entries of tables that have been read and that
     * there are to read, each as often as that is done; total 0: nobody knows. false: give up,
     * FR_ERR_CANCELLED (NULL).
     */
    bool (*progress)(void *ctx, uint64_t done_entries, uint64_t total_entries);
    void *ctx;
};

/* The caller sets size. */
struct fr_repair_stats {
    size_t size;            /* sizeof(struct fr_repair_stats) */
    uint64_t files;         /* tables, value files and the log: that were asked */
    uint64_t damaged_files; /* of them: that could not be read, or not whole */
    uint64_t keys;          /* that are, or would be, in the new store */
    uint64_t value_bytes;
    uint64_t lost_spans;  /* losses of kind KEYS */
    uint64_t quarantined; /* rows that are left out: VALUE and STALE */
    uint64_t stale_kept;
    uint64_t derived_dropped; /* keys of indexes that will be made anew */
    bool log_cut;
    bool history_lost;
};

/*
 * Say what could be saved of the store in a directory and what is lost; and with to, which must be
 * free, make a store of it there. It has its name once it is whole, durable and was verified. The
 * damaged store is locked until then, and nothing in it is written. FR_OK: it was done, whatever
 * was lost. FR_ERR_MISSING: there is no store. FR_ERR_EXISTS: to is taken. FR_ERR_BUSY: somebody
 * has the damaged store open for writing.
 */
FR_API FR_NODISCARD fr_status fr_repair(const char *path, const char *to,
        const struct fr_repair_options *how, struct fr_repair_stats *ret_stats);

FR_END_DECLS

#endif
