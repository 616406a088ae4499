/* store_id.h - whether there is a store, and whose files these are, where SUPER does not say. */
#ifndef FR_RECOVERY_STORE_ID_H
#define FR_RECOVERY_STORE_ID_H

#include <stdint.h>

#include "base/status.h"
#include "wal/wal_format.h"

struct fr_dir;

/* FR_ERR_MISSING: there is no file of a store. That is no store in trouble, but none. */
FR_NODISCARD fr_status fr_store_check(struct fr_dir *dir);

/* From the header of any table or value file that is whole. Zeros, if there is none. */
FR_NODISCARD fr_status fr_store_id_guess(struct fr_dir *dir, uint8_t ret_store[FR_STORE_ID_SIZE]);

#endif
