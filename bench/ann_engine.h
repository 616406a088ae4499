/*
 * ann_engine.h - what bench_ann asks of an index, and nothing more. For C and C++.
 *
 * An engine is a table of functions, one static object per adapter. An index is made once, in a
 * child process of its own, and then searched by one or more threads, each with a session. Nothing
 * here returns a status: a benchmark whose engine fails has no result, so an adapter calls
 * ann_die(), which ends the process, and the parent then ends the run.
 */
#ifndef FR_BENCH_ANN_ENGINE_H
#define FR_BENCH_ANN_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum ann_metric { ANN_L2, ANN_COSINE, ANN_INNER_PRODUCT };

/* Rows one after the other; a vector's id is its place. With ANN_COSINE all have the length one. */
struct ann_set {
    float *vectors;
    size_t count, dimension;
};

struct ann_job {
    const struct ann_set *base;
    enum ann_metric metric;
    unsigned threads;  /* to build with, if the engine can */
    const char *cache; /* a file for the engine's own use, or NULL */
};

struct ann_built {
    uint64_t accounted; /* bytes by the engine's own count; 0: it has none */
    bool was_cached;    /* loaded, so the time says nothing */
};

struct ann_engine {
    const char *name;
    const char *about;

    void *(*build)(const struct ann_job *job, struct ann_built *ret_built);

    /* How hard to look, from little on; the text is for the table. */
    size_t level_count;
    void (*level_name)(size_t level, char *ret_text, size_t size);

    void *(*session_open)(void *index);
    void (*session_close)(void *session);

    /* The ids of the k nearest, or UINT32_MAX where there are fewer. */
    void (*search)(void *session, size_t level, const float *query, size_t k, uint32_t *ret_ids);
};

/* Print what went wrong and end this process. */
#ifdef __cplusplus
[[noreturn]]
#else
_Noreturn
#endif
void ann_die(const char *format, ...) __attribute__((format(printf, 1, 2)));

extern const struct ann_engine ann_freshet;
extern const struct ann_engine ann_hnswlib;
extern const struct ann_engine ann_hnswlib_huge;
extern const struct ann_engine ann_faiss_ivfpq;
extern const struct ann_engine ann_faiss_hnsw;

#ifdef __cplusplus
}
#endif

#endif
