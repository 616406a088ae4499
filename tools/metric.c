#include "tools/metric.h"

#include <string.h>

#include "base/compiler.h"
#include "base/status.h"

static const struct {
    const char *name;
    enum fr_metric metric;
} metrics[] = {{"l2", FR_METRIC_L2}, {"cosine", FR_METRIC_COSINE}, {"ip", FR_METRIC_INNER_PRODUCT},
        {"inner_product", FR_METRIC_INNER_PRODUCT}};

fr_status fr_metric_read(const char *word, enum fr_metric *ret_metric)
{
    for (size_t i = 0; i < FR_ARRAY_COUNT(metrics); i++) {
        if (strcmp(metrics[i].name, word) != 0) continue;
        *ret_metric = metrics[i].metric;
        return FR_OK;
    }
    return FR_FAIL(FR_ERR_MISUSE, "no metric is called \"%.40s\": know l2, cosine and ip", word);
}

const char *fr_metric_name(enum fr_metric metric)
{
    for (size_t i = 0; i < FR_ARRAY_COUNT(metrics); i++)
        if (metrics[i].metric == metric) return metrics[i].name;
    return "unknown";
}
