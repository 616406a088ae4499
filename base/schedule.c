#include "base/schedule.h"

_Atomic(const struct fr_schedule *) fr_schedule_set;
