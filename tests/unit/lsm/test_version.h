/*
 * test_version.h - versions without files, for tests, and changes of them from text.
 *
 * A change is a row of words:
 *
 *     +1:7:a-c:100     table 7 to level 1, from a to c, 100 bytes; and behind that, if wanted,
 *       :v9=40         it points to 40 bytes of value file 9
 *       :d70 :a70      of its 100 entries 70 are deletes, or fragments
 *       :open          its largest key is the end of a range, which it does not cover
 *       :busy          a compaction has it
 *       :ra-c          it has a range delete from a to c
 *       :s3            its least sequence number
 *     -1:7             table 7 from level 1
 *     >1:7             table 7 from level 1 to the next
 *     +v9:1000         value file 9, with 1000 bytes of values
 *     -v9
 *
 * A table's sequence numbers are its own number, so in level 0 the highest is the newest.
 */
#ifndef FR_TESTS_UNIT_LSM_TEST_VERSION_H
#define FR_TESTS_UNIT_LSM_TEST_VERSION_H

#include "base/buf.h"
#include "lsm/version.h"

struct test_version {
    struct fr_obsolete obsolete;
    struct fr_version *version;
};

void test_version_open(struct test_version *t);
void test_version_close(struct test_version *t);

/* Apply the words; on FR_OK what it dropped is marked. edit, if not NULL, gets the fields. */
fr_status test_version_change(struct test_version *t, const char *words, struct fr_buf *edit);

/* Tables by level, as "1:7 1:8", in a buffer that the next call overwrites. */
const char *test_version_print(const struct fr_version *version);

/* The obsolete files, sorted, as "t7 v9"; taken off the list. The same buffer. */
const char *test_version_obsolete(struct test_version *t);

#endif
