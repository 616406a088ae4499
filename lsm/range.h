/* range.h - a range delete: no key from start up to, but without, end has a value at seq. */
#ifndef FR_LSM_RANGE_H
#define FR_LSM_RANGE_H

#include "base/slice.h"
#include "lsm/entry.h"

struct fr_range {
    fr_slice start;
    fr_slice end;
    fr_seq seq;
};

#endif
