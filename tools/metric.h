/* metric.h - the words for metrics. */
#ifndef FR_TOOLS_METRIC_H
#define FR_TOOLS_METRIC_H

#include "freshet/index.h"

/* "l2", "cosine", "ip" or "inner_product". FR_ERR_MISUSE: another one. */
FR_NODISCARD fr_status fr_metric_read(const char *word, enum fr_metric *ret_metric);

/* The first of the words for it; static. */
const char *fr_metric_name(enum fr_metric metric);

#endif
