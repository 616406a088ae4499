#include "tests/unit/lsm/test_crash.h"

#include "tests/unit/io/test_world.h"

static void on_point(void *ctx, const struct fr_sim_point *point)
{
    struct test_crash *crash = ctx;
    struct fr_sim_crash_options options = {
            .images_max = crash->images_max == 0 ? 24 : crash->images_max};

    (void)point;
    cr_assert_lt(crash->count, TEST_CRASHES_MAX);
    struct test_crash_point *p = &crash->points[crash->count++];
    must(fr_sim_crash_open(crash->sim, &options, &p->crash));
    p->acked = crash->acked;
    p->issued = crash->issued;
}

void test_crash_watch(struct test_crash *crash, struct fr_sim *sim)
{
    crash->sim = sim;
    fr_sim_set_hook(sim, on_point, crash);
}

size_t test_crash_check(struct test_crash *crash, const char *path,
        void (*check)(void *ctx, struct fr_dir *dir, const struct test_crash_point *point),
        void *ctx)
{
    struct fr_sim_image *image;
    size_t images = 0;
    struct fr_dir *dir;
    struct fr_sim *sim;
    fr_status st;

    fr_sim_set_hook(crash->sim, NULL, NULL);
    for (size_t i = 0; i < crash->count; i++) {
        while ((st = fr_sim_crash_next(crash->points[i].crash, &image)) == FR_OK) {
            must(fr_sim_image_boot(image, 1, &sim));
            must(fr_dir_open(fr_sim_env(sim), path, 0, &dir));
            check(ctx, dir, &crash->points[i]);
            fr_dir_close(dir);
            fr_sim_close(sim);
            fr_sim_image_free(image);
            images++;
        }
        cr_assert_eq(st, FR_END);
        fr_sim_crash_close(crash->points[i].crash);
    }
    crash->count = 0;
    return images;
}
