/*
 * value_format.h - the bytes of a value file, and when to believe them.
 *
 *     header page | records | footer
 *
 * Integers are little-endian. Header, FR_VALUE_HEADER_SIZE bytes:
 *
 *   offset  size  field
 *        0     8  magic     FR_VALUE_MAGIC
 *        8     4  version   FR_VALUE_VERSION
 *       12     4  features  bits that a reader must understand; none yet
 *       16    24  file id   store (2 x 8), number (lsm/file_id.h)
 *       40     4  crc       masked CRC-32C of the 40 bytes before
 *       44        zero
 *
 * Record, back to back:
 *
 *        0     4  crc       masked CRC-32C of: file id, offset of the record in the file (8), and
 *                           all of the record from here on
 *        4     4  stored    bytes of the value as it is stored
 *        8     4  size      of the value
 *       12     2  key size  1 or more
 *       14     1  compression, enum fr_codec: NONE or ZSTD
 *       15     1  zero
 *       16     8  seq       of the entry
 *       24        key, stored value
 *
 * A place (lsm/place.h) names the record's offset and the value's size. With the key, which the
 * reader has, that bounds the record from above, so one transfer gets it: stored is size, or less
 * where it is compressed. The record says whose value it is. A place that was kept while its value
 * moved leads to a file that is gone; file numbers are never used again. One that leads to another
 * key's record is corruption.
 *
 * Footer, FR_VALUE_FOOTER_SIZE bytes, the last of the file:
 *
 *        0    16  hash      fr_hash128 of all bytes before the footer: low, high
 *       16     8  count     of records
 *       24     8  bytes     of values, as they were given
 *       32    24  file id
 *       56     8  file size
 *       64     4  version
 *       68     4  crc       masked CRC-32C of the 68 bytes before
 *       72     8  magic     FR_VALUE_MAGIC
 */
#ifndef FR_LSM_VALUE_FORMAT_H
#define FR_LSM_VALUE_FORMAT_H

#include "lsm/entry.h"

#define FR_VALUE_MAGIC       0x73756c6156747246u /* "FrtValus" */
#define FR_VALUE_VERSION     1
#define FR_VALUE_HEADER_SIZE 4096
#define FR_VALUE_RECORD_SIZE 24
#define FR_VALUE_FOOTER_SIZE 80

#endif
