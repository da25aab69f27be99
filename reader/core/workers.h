/* Threads that read records.
 *
 * A job is cut into parts, which threads take one after the other, and the caller too
 * when it waits for the job. So a job is under way as soon as it is begun. Jobs are done in the
 * order in which they were begun, but for those whose callers wait. A child process has none of the
 * threads: it makes its own, and does alone what was begun before the fork.
 */
#pragma once

#include "records.h"

enum { PART_BYTES = 1 << 18 };
/* What comes from slow storage is cut into as many parts as there may be requests in flight, and has
 * threads of its own besides, which mostly sleep. */
enum { MAX_IO_WORKERS = 16 };
/* Advice is given for pieces of so many bytes at least, and at most: of more than it reads ahead on
 * a disk the kernel would read the start only. */
enum { LEAST_PIECE = 1 << 17, MOST_PIECE = 1 << 22 };

typedef struct Work {
    Job job; /* or, where it has no layout, advice for `size` bytes of a file, in pieces: */
    int file;
    int64_t offset, size, piece;
    size_t count, part;
    int slow; /* from a slow disk */
    int process;
    /* Of others' threads, with `lock`: */
    size_t next; /* the first record that nobody has taken */
    int busy;    /* parts that are being read */
    int failed;
    int64_t nanoseconds, waits, cpu;
    struct Work *after;
} Work;

/* Start to do a piece of work; it may be under way when this returns. */
void begin_work(Work *work);

/* Take work that was not begun: `end_work` does it then. */
void keep_work(Work *work);

/* Whether all of it was done. */
int is_done(Work *work);

/* Do what is left of it, and wait for the rest. */
void end_work(Work *work);

/* Begin no more parts of it, and wait for those that are being read. */
void give_up_work(Work *work);

/* In a child process there is none of the threads. */
void forget_threads(void);
