#include "freshet/version.h"

const char *fr_version(void)
{
    return FR_VERSION;
}
