/* engine_subject.h - the storage engine as a subject, with all that it can do. */
#ifndef FR_CRASH_ENGINE_SUBJECT_H
#define FR_CRASH_ENGINE_SUBJECT_H

#include "crash/subject.h"
#include "lsm/engine.h"

/* Of which all files are tiny, or, with a higher number, not so tiny; config is below 48. */
struct fr_engine_options fr_crash_engine_options(unsigned config);

extern const struct fr_crash_subject fr_crash_engine;

#endif
