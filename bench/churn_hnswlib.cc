/* bench of internals: it implements churn_peer.h for hnswlib.
 *
 * churn_hnswlib.cc - M 16, efConstruction 200. What is removed is marked, and the next vector that
 * comes takes its node: later versions call that allow_replace_deleted, and do the same inside.
 */
#include <memory>
#include <unordered_map>
#include <vector>

#include <hnswlib/hnswlib.h>

#include "bench/churn_peer.h"

namespace
{

constexpr size_t links = 16, width = 200;

using graph = hnswlib::HierarchicalNSW<float>;

/* A node's label is its number; ids are kept here. */
struct index {
    std::unique_ptr<hnswlib::SpaceInterface<float>> space;
    std::unique_ptr<graph> nodes;
    std::unordered_map<uint64_t, size_t> label_of;
    std::vector<uint64_t> id_of;
    std::vector<size_t> free;
};

void *open(enum ann_metric metric, size_t dimension, size_t capacity)
{
    auto *made = new index;

    if (metric == ANN_L2)
        made->space.reset(new hnswlib::L2Space(dimension));
    else
        made->space.reset(new hnswlib::InnerProductSpace(dimension));
    made->nodes.reset(new graph(made->space.get(), capacity, links, width));
    return made;
}

void close(void *opened)
{
    delete static_cast<index *>(opened);
}

size_t take_label(index &of)
{
    if (of.free.empty()) {
        of.id_of.push_back(0);
        return of.id_of.size() - 1;
    }
    size_t label = of.free.back();
    of.free.pop_back();
    return label;
}

void put(void *opened, uint64_t id, const float *vector)
{
    index &into = *static_cast<index *>(opened);
    auto there = into.label_of.find(id);
    size_t label = there != into.label_of.end() ? there->second : take_label(into);

    into.label_of[id] = label;
    into.id_of[label] = id;
    into.nodes->addPoint(vector, label);
}

void remove(void *opened, uint64_t id)
{
    index &from = *static_cast<index *>(opened);
    auto there = from.label_of.find(id);

    if (there == from.label_of.end()) ann_die("hnswlib: is to remove what is not there");
    from.nodes->markDelete(there->second);
    from.free.push_back(there->second);
    from.label_of.erase(there);
}

size_t search(void *opened, size_t effort, const float *query, size_t k, uint64_t *ret_ids)
{
    index &in = *static_cast<index *>(opened);

    in.nodes->setEf(effort);
    auto found = in.nodes->searchKnn(query, k);
    size_t count = found.size();
    for (; !found.empty(); found.pop())
        ret_ids[found.size() - 1] = in.id_of[found.top().second];
    return count;
}

} // namespace

extern "C" {

const struct churn_peer churn_hnswlib = {"hnswlib", open, close, put, remove, search};
}
