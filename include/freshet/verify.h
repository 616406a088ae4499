/*
 * verify.h - whether all that a store says of itself holds.
 *
 * By depth:
 *
 * FR_VERIFY_FILES: every byte of every file (SUPER, manifest, log, tables, value files), which of
 * them are missing and which nobody names, and that each pointer into a value file leads to its
 * value.
 *
 * FR_VERIFY_ENGINE: besides, what the files say together: keys in order, levels that do not
 * overlap, newer entries above older ones, the manifest's figures and the tables' own.
 *
 * What is wrong is a finding, and all of them are told, not the first alone. Nothing is changed.
 * What an index says of its rows is fr_index_verify() (index.h).
 */
#ifndef FRESHET_VERIFY_H
#define FRESHET_VERIFY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freshet/api.h"
#include "freshet/db.h"
#include "freshet/status.h"

FR_BEGIN_DECLS

typedef enum fr_verify_depth { FR_VERIFY_FILES = 0, FR_VERIFY_ENGINE = 1 } fr_verify_depth;

typedef enum fr_finding_kind {
    FR_FINDING_DAMAGE = 1,     /* bytes are not what was written */
    FR_FINDING_MISSING = 2,    /* a file is not there */
    FR_FINDING_DISAGREE = 3,   /* two things that are whole say different things of each other */
    FR_FINDING_POINTER = 4,    /* an entry's value is not where it should be */
    FR_FINDING_UNREADABLE = 5, /* the system refuses to read it */
    FR_FINDING_TOO_NEW = 6,    /* made by a later version */
    /*
     * No harm: a crash leaves it, or somebody put it there. It is told, and not counted among the
     * findings: a table or value file that no version has, a file that is not of a store.
     */
    FR_FINDING_ORPHAN = 16,
    FR_FINDING_STRANGER = 17
} fr_finding_kind;

/* The kind's name, as "damage"; static. */
FR_API const char *fr_finding_kind_name(fr_finding_kind kind);

/* Valid in the call. */
struct fr_finding {
    size_t size; /* sizeof(struct fr_finding) */
    fr_finding_kind kind;
    fr_status status;
    const char *file; /* its name in the store; "" if it is about several */
    uint64_t offset;  /* in the file; 0 also where there is none to name */
    const char *words;
};

/* All zeros and the size are fine. */
struct fr_verify_options {
    size_t size; /* sizeof(struct fr_verify_options) */
    fr_verify_depth depth;
    uint64_t rate;    /* bytes a second that are read at most (0: no limit) */
    unsigned threads; /* that read and check (0: two, if there are as many processors) */
    uint64_t memory;  /* to look up pointers in: 16 bytes for a value; what does not fit is done in
                         several walks over the tables (0: 256 MiB) */
    /* Called by the calling thread for each finding; false: give up, FR_ERR_CANCELLED (NULL). */
    bool (*finding)(void *ctx, const struct fr_finding *finding);
    /*
     * Called now and then by the calling thread; what has been read of tables and value files and
     * what there is to read, in bytes. What is done behind that, for FR_VERIFY_ENGINE, is not
     * counted. false: give up, FR_ERR_CANCELLED (NULL).
     */
    bool (*progress)(void *ctx, uint64_t done_bytes, uint64_t total_bytes);
    void *ctx;
};

/* The caller sets size. */
struct fr_verify_stats {
    size_t size;       /* sizeof(struct fr_verify_stats) */
    uint64_t findings; /* orphans and strangers are not counted */
    uint64_t untold;   /* of them: too many in one file to be told one by one */
    uint64_t files;
    uint64_t bytes;   /* of these files */
    uint64_t entries; /* in tables */
    uint64_t values;  /* in value files */
    uint64_t batches; /* in the log */
};

/*
 * Of the store in a directory: nobody writes to it, or somebody does meanwhile. FR_OK: it was
 * looked at, whatever was found. FR_ERR_MISSING: there is no store. FR_ERR_NOMEM; FR_ERR_BUSY: the
 * writer is faster than this.
 */
FR_API FR_NODISCARD fr_status fr_verify(const char *path, const struct fr_verify_options *how,
        struct fr_verify_stats *ret_stats);

/*
 * Of an open store, whose files are held until the end: SUPER, manifest and log while they are
 * written, then its tables and value files as of a moment. What else lies in the directory is left
 * to fr_verify(). FR_ERR_BUSY: writers are faster than this.
 */
FR_API FR_NODISCARD fr_status fr_db_verify(struct fr_db *db, const struct fr_verify_options *how,
        struct fr_verify_stats *ret_stats);

FR_END_DECLS

#endif
