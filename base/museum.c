#include "base/museum.h"

#if defined(FR_MUSEUM_ALL)

#include <stdlib.h>

unsigned fr_museum_shown;

static __attribute__((constructor)) void choose_exhibit(void)
{
    const char *chosen = getenv("FRESHET_MUSEUM");

    if (chosen != NULL) fr_museum_shown = (unsigned)strtoul(chosen, NULL, 10);
}

#else

typedef int fr_museum_is_closed; /* a file must have something in it */

#endif
