/* bench of internals: it implements ann_engine.h for faiss.
 *
 * ann_faiss.cc - faiss twice: an inverted file of product codes of four bits, scanned in registers,
 * whose best are measured again by the vectors themselves; and its own HNSW, with the parameters of
 * hnswlib's. Both keep the vectors as 32-bit floats.
 *
 * Searches are single-threaded: the number of OpenMP's threads is one of each thread's own
 * settings, and a session is opened by the thread that searches.
 *
 * faiss chooses its instructions when it is compiled, and packages choose those that every machine
 * has. Such a library is told in the output: it says little of what faiss can do.
 */
#include <omp.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include <faiss/IndexHNSW.h>
#include <faiss/IndexIVF.h>
#include <faiss/IndexRefine.h>
#include <faiss/index_factory.h>
#include <faiss/index_io.h>
#include <faiss/utils/utils.h>

#include "bench/ann_engine.h"

namespace
{

/* Of an inverted file: lists that are scanned, and how many times k are measured again. */
struct effort {
    size_t lists;
    float measured;
};

constexpr effort efforts[] = {{2, 4}, {4, 4}, {6, 6}, {8, 8}, {12, 8}, {16, 10}, {24, 12}, {32, 14},
        {48, 16}, {64, 20}, {96, 24}, {128, 32}, {192, 40}, {256, 50}};
constexpr size_t effort_count = sizeof(efforts) / sizeof(efforts[0]);

constexpr int links = 16, width = 200;
constexpr int ladder[] = {10, 14, 20, 28, 40, 56, 80, 110, 160, 220, 320, 450, 640};
constexpr size_t ladder_count = sizeof(ladder) / sizeof(ladder[0]);

faiss::MetricType metric_of(const struct ann_job *job)
{
    return job->metric == ANN_L2 ? faiss::METRIC_L2 : faiss::METRIC_INNER_PRODUCT;
}

/* Two dimensions share a code of four bits, or as few as can be where they do not come in pairs. */
size_t codes_of(size_t dimension)
{
    size_t share = 2;

    while (dimension % share != 0)
        share++;
    return dimension / share;
}

std::string lists_and_codes(const struct ann_set &base)
{
    auto lists = static_cast<size_t>(4 * std::sqrt(static_cast<double>(base.count)));

    return "IVF" + std::to_string(std::max<size_t>(lists, 1)) + ",PQ" +
           std::to_string(codes_of(base.dimension)) + "x4fs,RFlat";
}

faiss::Index *make_lists(const struct ann_job *job)
{
    const struct ann_set &base = *job->base;

    return faiss::index_factory(static_cast<int>(base.dimension), lists_and_codes(base).c_str(),
            metric_of(job));
}

faiss::Index *make_graph(const struct ann_job *job)
{
    auto *made = new faiss::IndexHNSWFlat(static_cast<int>(job->base->dimension), links,
            metric_of(job));

    made->hnsw.efConstruction = width;
    return made;
}

bool exists(const std::string &path)
{
    FILE *file = path.empty() ? nullptr : fopen(path.c_str(), "rb");

    if (file != nullptr) fclose(file);
    return file != nullptr;
}

void save(const faiss::Index &index, const std::string &path)
{
    std::string unfinished = path + ".unfinished";

    faiss::write_index(&index, unfinished.c_str());
    if (rename(unfinished.c_str(), path.c_str()) != 0)
        ann_die("faiss: cannot write %s", path.c_str());
}

void tell_instructions()
{
    std::string options = faiss::get_compile_options();

    if (options.find("AVX") == std::string::npos && options.find("NEON") == std::string::npos)
        fprintf(stderr, "bench_ann: faiss was compiled for any machine (%s): it can be faster\n",
                options.c_str());
}

/* The kinds have a file each. */
void *build(const struct ann_job *job, struct ann_built *ret_built, const char *kind,
        faiss::Index *(*make)(const struct ann_job *job))
try {
    std::string cache = job->cache == nullptr ? "" : std::string(job->cache) + "." + kind;
    const auto count = static_cast<faiss::Index::idx_t>(job->base->count);

    tell_instructions();
    ret_built->was_cached = exists(cache);
    ret_built->accounted = 0;
    if (ret_built->was_cached) return faiss::read_index(cache.c_str());
    omp_set_num_threads(static_cast<int>(job->threads));
    std::unique_ptr<faiss::Index> made(make(job));
    made->train(count, job->base->vectors);
    made->add(count, job->base->vectors);
    if (!cache.empty()) save(*made, cache);
    return made.release();
} catch (const std::exception &failure) {
    ann_die("faiss: %s", failure.what());
}

void *build_lists(const struct ann_job *job, struct ann_built *ret_built)
{
    return build(job, ret_built, "ivfpq", make_lists);
}

void *build_graph(const struct ann_job *job, struct ann_built *ret_built)
{
    return build(job, ret_built, "hnsw", make_graph);
}

void name_effort(size_t level, char *ret_text, size_t size)
{
    snprintf(ret_text, size, "%zu lists %gk", efforts[level].lists,
            static_cast<double>(efforts[level].measured));
}

void name_width(size_t level, char *ret_text, size_t size)
{
    snprintf(ret_text, size, "ef %d", ladder[level]);
}

void *session_open(void *opened)
{
    omp_set_num_threads(1);
    return opened;
}

void session_close(void *)
{
}

void search(faiss::Index &index, const float *query, size_t k, uint32_t *ret_ids)
try {
    thread_local std::vector<faiss::Index::idx_t> labels;
    thread_local std::vector<float> distances;

    labels.resize(k);
    distances.resize(k);
    index.search(1, query, static_cast<faiss::Index::idx_t>(k), distances.data(), labels.data());
    for (size_t i = 0; i < k; i++)
        ret_ids[i] = labels[i] < 0 ? UINT32_MAX : static_cast<uint32_t>(labels[i]);
} catch (const std::exception &failure) {
    ann_die("faiss: %s", failure.what());
}

/* All threads search at the same level, so they may all set it. */
void search_lists(void *session, size_t level, const float *query, size_t k, uint32_t *ret_ids)
{
    auto &refined = *static_cast<faiss::IndexRefine *>(static_cast<faiss::Index *>(session));
    auto &lists = *static_cast<faiss::IndexIVF *>(refined.base_index);

    if (lists.nprobe != efforts[level].lists) lists.nprobe = efforts[level].lists;
    if (refined.k_factor != efforts[level].measured) refined.k_factor = efforts[level].measured;
    search(refined, query, k, ret_ids);
}

void search_graph(void *session, size_t level, const float *query, size_t k, uint32_t *ret_ids)
{
    auto &graph = *static_cast<faiss::IndexHNSW *>(static_cast<faiss::Index *>(session));

    if (graph.hnsw.efSearch != ladder[level]) graph.hnsw.efSearch = ladder[level];
    search(graph, query, k, ret_ids);
}

} // namespace

extern "C" {

const struct ann_engine ann_faiss_ivfpq = {"faiss-ivfpq",
        "4 sqrt(n) lists, 4 bits for 2 dimensions, fast scan, measured again by floats",
        build_lists, effort_count, name_effort, session_open, session_close, search_lists};

const struct ann_engine ann_faiss_hnsw = {"faiss-hnsw", "M 16, efConstruction 200, built at once",
        build_graph, ladder_count, name_width, session_open, session_close, search_graph};
}
