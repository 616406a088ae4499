#include "tools/interrupt.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>

#include "base/compiler.h"

/* Any thread may ask, and the handler may run on any; relaxed: nothing else goes with it. */
static _Atomic(bool) interrupted;

static void keep(int number)
{
    (void)number;
    atomic_store_explicit(&interrupted, true, memory_order_relaxed);
}

/* What nohup or a shell has switched off stays off. */
static void keep_unless_ignored(int number, const struct sigaction *action)
{
    struct sigaction before;

    if (sigaction(number, action, &before) == 0 && before.sa_handler == SIG_IGN)
        sigaction(number, &before, NULL);
}

void fr_interrupt_watch(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_handler = keep;
    action.sa_flags = (int)SA_RESETHAND; /* without SA_RESTART: a read answers EINTR */
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < FR_ARRAY_COUNT(numbers); i++)
        keep_unless_ignored(numbers[i], &action);
}

bool fr_interrupted(void)
{
    return atomic_load_explicit(&interrupted, memory_order_relaxed);
}
