/* engine_subject.h - the storage engine as a subject, with all that it can do. */
#ifndef FR_CRASH_ENGINE_SUBJECT_H
#define FR_CRASH_ENGINE_SUBJECT_H

#include "crash/subject.h"

extern const struct fr_crash_subject fr_crash_engine;

#endif
