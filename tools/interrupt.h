/*
 * interrupt.h - Ctrl-C as a question: a verb that can end tidily asks now and then whether it
 * should. The second one is not asked but obeyed.
 */
#ifndef FR_TOOLS_INTERRUPT_H
#define FR_TOOLS_INTERRUPT_H

#include <stdbool.h>

/* From here on SIGINT, SIGTERM and SIGHUP are kept. Reads that wait are ended by them. */
void fr_interrupt_watch(void);

/* Has one come? Any thread. */
bool fr_interrupted(void);

#endif
