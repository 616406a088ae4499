/* version.h - which library this is: at compile time by macro, at run time by function. */
#ifndef FRESHET_VERSION_H
#define FRESHET_VERSION_H

#include "freshet/api.h"

FR_BEGIN_DECLS

#define FR_VERSION_MAJOR 0
#define FR_VERSION_MINOR 1
#define FR_VERSION_PATCH 0
#define FR_VERSION       "0.1.0"

/* The version of the library that runs, as "0.1.0"; compare with FR_VERSION. Static. Any thread. */
FR_API const char *fr_version(void);

FR_END_DECLS

#endif
