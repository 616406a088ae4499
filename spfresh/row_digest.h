/*
 * row_digest.h - 64 bits of the code of a row's vector.
 *
 * Who checks all files of a store unpacks the rows of its indexes anyway. If it keeps a digest of
 * each row's code, the check of an index (spfresh/index_check.c) has only to compare that with the
 * digest of the code in memory, and need not read the row. Digests that differ prove nothing: the
 * row is read then and compared, so it does not matter if an index has got another space since.
 *
 * Rows with ids of text have none, for the check needs their texts.
 */
#ifndef FR_SPFRESH_ROW_DIGEST_H
#define FR_SPFRESH_ROW_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"
#include "base/status.h"

struct fr_engine;
struct fr_row_digests;
struct fr_row_digester;

/* The spaces of all indexes in a store, but of those whose space cannot be read. FR_ERR_NOMEM. */
FR_NODISCARD fr_status fr_row_digests_open(struct fr_engine *engine,
        struct fr_row_digests **ret_digests);
void fr_row_digests_close(struct fr_row_digests *digests);

/* What one thread needs; NULL if no row has a digest. FR_ERR_NOMEM. */
FR_NODISCARD fr_status fr_row_digester_new(const struct fr_row_digests *digests,
        struct fr_row_digester **ret_digester);
void fr_row_digester_free(struct fr_row_digester *digester);

/* Of a key and its value. 0: it has none. digester may be NULL. */
uint64_t fr_row_digest(struct fr_row_digester *digester, fr_slice key, fr_slice value);

/* Of a code; never 0. */
uint64_t fr_code_digest(float scale, const int8_t *high, const uint8_t *low, size_t dims);

#endif
