/* What a stranger's first program does: C11 and C++17 alike, public headers only. */
#include <stdio.h>
#include <string.h>

#include <freshet/freshet.h>

int main(void)
{
    if (strcmp(fr_version(), FR_VERSION) != 0) {
        printf("library %s, headers %s\n", fr_version(), FR_VERSION);
        return 1;
    }
    if (strcmp(fr_status_name(FR_ERR_CORRUPT), "FR_ERR_CORRUPT") != 0) {
        printf("FR_ERR_CORRUPT is called %s\n", fr_status_name(FR_ERR_CORRUPT));
        return 1;
    }
    if (fr_last_error()[0] != '\0') {
        printf("an error before anything was done: %s\n", fr_last_error());
        return 1;
    }
    printf("freshet %s\n", fr_version());
    return 0;
}
