/* Reads records of fixed size from files: pixels into a batch, integers from their padded varints
 * and floats as their 32 bits, every checksum compared, all in one pass and without the
 * interpreter's lock.
 *
 * A record comes from a memory map, where there is one, and otherwise by preadv, which takes twice
 * as long. What is checked and used is always a copy. A map may fault where the file was cut or
 * cannot be read: then the copy ends there, and preadv says what is wrong (see `guard`).
 *
 *     head      framing header, then the data up to the first pixel; the same in every record
 *     pixels    image bytes
 *     tail      numbers at known places: a varint padded to five bytes, or a float of four
 *     footer    masked CRC32C of the data: what follows the framing header, up to here
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "crc.h"

enum { HEADER = 12, FOOTER = 4, FLOAT = 4, VARINT = 5 };
/* What a record may be, besides fine; below 0 it is an errno, and from CUT on the file ended after
 * CUT less bytes of the record. */
enum { FINE = 0, DAMAGED = 1, CUT = 2 };

typedef struct {
    size_t head, image, tail, stride;
    uint8_t *expected; /* the head */
    size_t integers;
    size_t *places; /* of the numbers within the tail */
    uint8_t *widths; /* of each: FLOAT or VARINT */
    Crc crc;
} Layout;

typedef struct {
    const Layout *layout;
    const int32_t *files;
    const int64_t *offsets;
    const int64_t *addresses; /* of records in a map; 0 for one that has to be read */
    uint8_t *pixels;          /* or, where that is NULL, */
    float *floats;
    int64_t *integers;
    int64_t *faults;
    int verify;
} Job;

/* Read records `first` to `stop`; returns -1 without memory. */
int read_part(const Job *job, size_t first, size_t stop);

/* In a child process: no thread holds a lock. */
void forget_record_locks(void);
