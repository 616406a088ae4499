/*
 * sim_world.h - a simulated machine for tests, driven below the front: each call is one attempt.
 *
 * Helpers end the test if a call that the test does not ask about fails.
 */
#ifndef FR_TESTS_UNIT_IO_SIM_WORLD_H
#define FR_TESTS_UNIT_IO_SIM_WORLD_H

#include "base/buf.h"
#include "io/env_priv.h"
#include "io/sim.h"

struct world {
    struct fr_sim *sim;
    fr_handle root;
};

struct world world_open(const struct fr_sim_options *options);
struct world world_of(struct fr_sim *sim); /* takes it */
void world_close(struct world *w);

fr_handle world_create(struct world *w, const char *name);
fr_handle world_open_file(struct world *w, const char *name);
void world_close_file(struct world *w, fr_handle file);

/* Single attempts; the answer is the backend's. */
int world_try_create(struct world *w, const char *name, fr_handle *ret_file);
int64_t world_write(struct world *w, fr_handle file, uint64_t offset, const void *data,
        size_t size);
int64_t world_write_dsync(struct world *w, fr_handle file, uint64_t offset, const void *data,
        size_t size);
int64_t world_read(struct world *w, fr_handle file, uint64_t offset, void *data, size_t size);
int world_sync(struct world *w, fr_handle file);
int world_sync_dir(struct world *w);
int world_rename(struct world *w, const char *from, const char *to);
int world_unlink(struct world *w, const char *name);

/* size bytes of one value. */
void world_fill(struct world *w, fr_handle file, uint64_t offset, char value, size_t size);

void world_fault(struct world *w, const struct fr_sim_fault *fault);

/* A name's content on the image as text, in static memory; NULL if there is no such file. */
const char *image_text(const struct fr_sim_image *image, const char *name, size_t *ret_size);

/* Calls check for each image of a crash now; answers how many images it said yes to. */
typedef bool (*image_fn)(const struct fr_sim_image *image, void *ctx);
unsigned crash_count(struct world *w, const struct fr_sim_crash_options *options, image_fn check,
        void *ctx);

/* How many images a crash now has in all. */
unsigned crash_total(struct world *w, const struct fr_sim_crash_options *options);

/* One hash over the hashes of all images in their order. */
uint64_t crash_hash(struct world *w, const struct fr_sim_crash_options *options);

#endif
