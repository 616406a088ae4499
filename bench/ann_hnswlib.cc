/* bench of internals: it implements ann_engine.h for hnswlib.
 *
 * ann_hnswlib.cc - M 16, efConstruction 200, vectors of 32-bit floats: what most people compare
 * with. Twice, since half of what a search waits for is address translation: with pages as malloc
 * gives them, and with huge ones where the kernel has them.
 */
#include <sys/mman.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include <hnswlib/hnswlib.h>

#include "bench/ann_engine.h"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

namespace
{

constexpr size_t links = 16, width = 200;
constexpr size_t ladder[] = {10, 14, 20, 28, 40, 56, 80, 110, 160, 220, 320, 450, 640};
constexpr size_t level_count = sizeof(ladder) / sizeof(ladder[0]);

using graph = hnswlib::HierarchicalNSW<float>;

struct index {
    std::unique_ptr<hnswlib::SpaceInterface<float>> space;
    std::unique_ptr<graph> nodes;
};

/* The first alone: until there is an entry point, threads would race for it. */
void fill(graph &nodes, const struct ann_set &base, unsigned threads)
{
    std::atomic<size_t> next{1};
    std::vector<std::thread> workers;
    auto add = [&] {
        for (size_t n; (n = next++) < base.count;)
            nodes.addPoint(base.vectors + n * base.dimension, n);
    };

    nodes.addPoint(base.vectors, 0);
    for (unsigned i = 0; i < threads; i++)
        workers.emplace_back(add);
    for (auto &worker : workers)
        worker.join();
}

bool exists(const char *path)
{
    FILE *file = path == nullptr ? nullptr : fopen(path, "rb");

    if (file != nullptr) fclose(file);
    return file != nullptr;
}

void save(graph &nodes, const char *path)
{
    std::string unfinished = std::string(path) + ".unfinished";

    nodes.saveIndex(unfinished);
    if (rename(unfinished.c_str(), path) != 0) ann_die("hnswlib: cannot write %s", path);
}

void *build(const struct ann_job *job, struct ann_built *ret_built)
{
    const struct ann_set &base = *job->base;
    auto *made = new index;

    if (job->metric == ANN_L2)
        made->space.reset(new hnswlib::L2Space(base.dimension));
    else
        made->space.reset(new hnswlib::InnerProductSpace(base.dimension));
    ret_built->was_cached = exists(job->cache);
    if (ret_built->was_cached) {
        made->nodes.reset(new graph(made->space.get(), job->cache));
    } else {
        made->nodes.reset(new graph(made->space.get(), base.count, links, width));
        fill(*made->nodes, base, job->threads);
        if (job->cache != nullptr) save(*made->nodes, job->cache);
    }
    ret_built->accounted = 0;
    return made;
}

/* The vectors and the links of the lowest level, which nearly all of a search reads. */
void *build_huge(const struct ann_job *job, struct ann_built *ret_built)
{
    constexpr uintptr_t page = static_cast<uintptr_t>(2) << 20;
    auto *made = static_cast<index *>(build(job, ret_built));
    uintptr_t start = reinterpret_cast<uintptr_t>(made->nodes->data_level0_memory_);
    uintptr_t end = start + made->nodes->max_elements_ * made->nodes->size_data_per_element_;

    start = (start + page - 1) / page * page;
    end = end / page * page;
    if (start < end) {
        void *memory = reinterpret_cast<void *>(start);

        (void)madvise(memory, end - start, MADV_HUGEPAGE);
        if (madvise(memory, end - start, MADV_COLLAPSE) != 0)
            fprintf(stderr, "bench_ann: hnswlib's memory may not be in huge pages\n");
    }
    return made;
}

void level_name(size_t level, char *ret_text, size_t size)
{
    snprintf(ret_text, size, "ef %zu", ladder[level]);
}

void *session_open(void *opened)
{
    return opened;
}

void session_close(void *)
{
}

/* All threads search at the same level, so they may all set it. */
void search(void *session, size_t level, const float *query, size_t k, uint32_t *ret_ids)
{
    graph &nodes = *static_cast<index *>(session)->nodes;

    if (nodes.ef_ != ladder[level]) nodes.setEf(ladder[level]);
    auto found = nodes.searchKnn(query, k);
    for (size_t i = found.size(); i < k; i++)
        ret_ids[i] = UINT32_MAX;
    for (; !found.empty(); found.pop())
        ret_ids[found.size() - 1] = static_cast<uint32_t>(found.top().second);
}

} // namespace

extern "C" {

const struct ann_engine ann_hnswlib = {"hnswlib", "M 16, efConstruction 200, built at once", build,
        level_count, level_name, session_open, session_close, search};

const struct ann_engine ann_hnswlib_huge = {"hnswlib-huge", "the same with huge pages", build_huge,
        level_count, level_name, session_open, session_close, search};
}
