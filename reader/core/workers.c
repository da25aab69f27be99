#include "workers.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <time.h>

enum { MAX_WORKERS = 3 };
enum { STACK_BYTES = 1 << 18 };
/* A thread that sleeps takes some time to wake up: for so many turns it looks for work first. */
enum { TURNS = 200 };
/* Nanoseconds a record: from memory it takes less, and from a disk more. */
enum { QUICK = 20000 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ended = PTHREAD_COND_INITIALIZER;
static _Atomic(Work *) queue; /* what has parts that nobody has taken */

/* Threads of a kind: how many there are, -1 before the first job of a process, and how many of them
 * sleep until work comes. */
typedef struct {
    int count, asleep;
    pthread_cond_t came;
} Threads;

static Threads workers = {-1, 0, PTHREAD_COND_INITIALIZER};
static Threads io_workers = {-1, 0, PTHREAD_COND_INITIALIZER}; /* they take slow work only */
static int process; /* counts the forks on the way to this one */

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

/* The time that this thread has used of a processor. */
static int64_t cpu_now(void) {
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

/* Of the parts that a thread of ours has read, the first ones are measured and then each so many-th,
 * which stands for as many: to ask the kernel takes a while. */
enum { EACH = 16 };
static __thread unsigned parts_read;

static int next_weight(void) {
    unsigned turn = parts_read++;
    return turn < EACH ? 1 : turn % EACH ? 0 : EACH;
}

/* How often this thread gave up the processor to wait for something, at its last count. */
static __thread long known_waits;

static long count_waits(void) {
    struct rusage usage;
    if (getrusage(RUSAGE_THREAD, &usage)) return 0;
    long more = usage.ru_nvcsw - known_waits;
    known_waits = usage.ru_nvcsw;
    return more;
}

static void unqueue(Work *work) {
    Work *one = atomic_load(&queue);
    if (one == work) {
        atomic_store(&queue, work->after);
        return;
    }
    for (; one; one = one->after)
        if (one->after == work) one->after = work->after;
}

/* Let the kernel begin to read pieces of a file. That waits where the disk's queue is full. */
static void advise_part(const Work *work, size_t first, size_t stop) {
    for (size_t i = first; i < stop; i++) {
        int64_t start = (int64_t)i * work->piece, left = work->size - start;
        posix_fadvise(work->file, work->offset + start, left < work->piece ? left : work->piece,
                      POSIX_FADV_WILLNEED);
    }
}

/* Read one more part. The caller has the lock, and has it again afterwards. */
/* Take a part; `ours` says that the thread is one of ours, whose CPU time nobody else counts. */
static void take_part(Work *work, int ours) {
    size_t first = work->next, left = work->count - first;
    size_t stop = first + (left > work->part ? work->part : left);
    work->next = stop;
    work->busy++;
    if (stop == work->count) unqueue(work);
    pthread_mutex_unlock(&lock);
    int weight = ours ? next_weight() : 0;
    int64_t cpu = weight ? cpu_now() : 0;
    int64_t begun = now();
    int failed = 0;
    if (work->job.layout)
        failed = read_part(&work->job, first, stop);
    else
        advise_part(work, first, stop);
    int64_t taken = now() - begun;
    if (weight) cpu = (cpu_now() - cpu) * weight;
    /* Where it was quick it cannot have waited often. */
    long waits = taken > QUICK * (int64_t)(stop - first) ? count_waits() : 0;
    pthread_mutex_lock(&lock);
    work->failed |= failed;
    work->nanoseconds += taken;
    work->waits += waits;
    work->cpu += cpu;
    /* The last of it: with the lock given up, `work` may be gone. */
    if (--work->busy == 0 && work->next == work->count) pthread_cond_broadcast(&ended);
}

static void sleep_until_work(Threads *threads) {
    threads->asleep++;
    pthread_cond_wait(&threads->came, &lock);
    threads->asleep--;
    count_waits();
}

static void *worker_main(void *argument) {
    (void)argument;
    pthread_mutex_lock(&lock);
    for (;;) {
        Work *work = atomic_load(&queue);
        if (work) {
            take_part(work, 1);
            continue;
        }
        pthread_mutex_unlock(&lock);
        for (int i = 0; i < TURNS && !atomic_load(&queue); i++) sched_yield();
        pthread_mutex_lock(&lock);
        if (!atomic_load(&queue)) sleep_until_work(&workers);
    }
    return NULL;
}

static void *io_worker_main(void *argument) {
    (void)argument;
    pthread_mutex_lock(&lock);
    for (;;) {
        Work *work = atomic_load(&queue);
        while (work && !work->slow) work = work->after;
        if (work)
            take_part(work, 1);
        else
            sleep_until_work(&io_workers);
    }
    return NULL;
}

static void start_threads(Threads *threads, int wanted, void *(*work)(void *)) {
    sigset_t all, old;
    sigfillset(&all);
    pthread_attr_t detached;
    threads->count = 0;
    if (pthread_attr_init(&detached)) return;
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&detached, STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are for the threads of others */
    for (; threads->count < wanted; threads->count++) {
        pthread_t thread;
        if (pthread_create(&thread, &detached, work, NULL)) break;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&detached);
}

/* Make sure that there are threads for the work, and wake them; the caller has the lock. */
static void wake_threads(const Work *work) {
    if (workers.count < 0) {
        cpu_set_t cpus;
        int wanted = sched_getaffinity(0, sizeof cpus, &cpus) ? 1 : CPU_COUNT(&cpus) - 1;
        start_threads(&workers, wanted < 1 ? 1 : wanted > MAX_WORKERS ? MAX_WORKERS : wanted, worker_main);
    }
    if (workers.asleep) pthread_cond_broadcast(&workers.came);
    if (!work->slow) return;
    if (io_workers.count < 0) start_threads(&io_workers, MAX_IO_WORKERS, io_worker_main);
    if (io_workers.asleep) pthread_cond_broadcast(&io_workers.came);
}

void forget_threads(void) {
    process++;
    atomic_store(&queue, NULL);
    pthread_mutex_init(&lock, NULL);
    for (Threads *threads = &workers; threads; threads = threads == &workers ? &io_workers : NULL) {
        threads->count = -1;
        threads->asleep = 0;
        pthread_cond_init(&threads->came, NULL);
    }
    pthread_cond_init(&ended, NULL);
    forget_record_locks();
}

void begin_work(Work *work) {
    work->process = process;
    if (work->count == 0) return;
    pthread_mutex_lock(&lock);
    Work *before = NULL, *after = atomic_load(&queue);
    /* Whoever reads waits for it, and nobody for advice. */
    for (; after && (after->job.layout || !work->job.layout); after = after->after) before = after;
    work->after = after;
    if (before)
        before->after = work;
    else
        atomic_store(&queue, work);
    wake_threads(work);
    pthread_mutex_unlock(&lock);
}

void keep_work(Work *work) { work->process = process; }

/* Wait until nobody reads for it any more; the caller has the lock. */
static void wait_for_parts(Work *work) {
    for (int i = 0; i < TURNS && work->busy; i++) {
        pthread_mutex_unlock(&lock);
        sched_yield();
        pthread_mutex_lock(&lock);
    }
    while (work->busy) pthread_cond_wait(&ended, &lock);
}

int is_done(Work *work) {
    if (work->process != process) return 0;
    pthread_mutex_lock(&lock);
    int done = work->next == work->count && work->busy == 0;
    pthread_mutex_unlock(&lock);
    return done;
}

void end_work(Work *work) {
    count_waits();
    pthread_mutex_lock(&lock);
    if (work->process != process) { /* begun by another process: nobody here has a part of it */
        work->process = process;
        work->next = 0;
        work->busy = 0;
    }
    while (work->next < work->count) take_part(work, 0);
    wait_for_parts(work);
    pthread_mutex_unlock(&lock);
}

void give_up_work(Work *work) {
    if (work->process != process) return;
    pthread_mutex_lock(&lock);
    if (work->next < work->count) unqueue(work);
    work->next = work->count;
    wait_for_parts(work);
    pthread_mutex_unlock(&lock);
}
