/*
 * filter_format.h - the bytes of a filter: which keys a table may have.
 *
 * A Bloom filter cut in lines of 64 bytes, so that a question touches one line of the processor's
 * cache. The hash of a key (fr_hash64) chooses a line by its upper half and bits in it by its lower
 * half. Little-endian:
 *
 *   offset  size  field
 *        0     4  magic     FR_FILTER_MAGIC
 *        4     1  version   FR_FILTER_VERSION
 *        5     1  kind      1: this one. Others are FR_ERR_TOO_NEW.
 *        6     1  probes    bits per key, 1..FR_FILTER_PROBES_MAX
 *        7     1  zero
 *        8     4  lines     at least 1
 *       12     4  crc       masked CRC-32C of the bytes 0..11, 16..63 and the lines
 *       16     8  keys      how many were added
 *       24    40  zero
 *       64  64 n  lines
 *
 * Line: ((hash >> 32) * lines) >> 32. Bits: h is the lower half of the hash; each probe takes the
 * upper nine bits of h as the number of a bit (bit b is bit b % 8 of byte b / 8 of the line), then
 * multiplies h by FR_FILTER_STEP modulo 2^32.
 *
 * A filter that has lost a bit hides a key that is there. So it has a checksum of its own, besides
 * that of the frame it is stored in; and a builder asks the finished bytes for every key before it
 * hands them out.
 */
#ifndef FR_LSM_FILTER_FORMAT_H
#define FR_LSM_FILTER_FORMAT_H

#define FR_FILTER_MAGIC       0x46465246u /* "FRFF" */
#define FR_FILTER_VERSION     1
#define FR_FILTER_KIND_BLOOM  1
#define FR_FILTER_HEADER_SIZE 64
#define FR_FILTER_LINE_SIZE   64
#define FR_FILTER_PROBES_MAX  16
#define FR_FILTER_STEP        0x9e3779b9u

/* More bits per key than this buy nothing: a line has room for few keys then. */
#define FR_FILTER_BITS_MAX 40

#endif
