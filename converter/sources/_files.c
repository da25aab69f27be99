/* Whole files of this machine, read ahead by threads that need no interpreter.
 *
 * A slow disk or server is waited for in many threads at once. Those of Python would wait for each
 * other, too: for the interpreter, some five times a file. What is odd about a file (it is not
 * there, no regular file, too large, grows, cannot be read) is left to the caller, who reads it in
 * Python and finds the same.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { STACK_BYTES = 1 << 16 };
/* While it waits, Python may handle a signal after so many nanoseconds. */
enum { PATIENCE = 100 * 1000 * 1000 };

enum { UNREAD, READ, ODD, TAKEN };

typedef struct {
    char *path;
    uint8_t *data;
    size_t size;
    int state;
} File;

/* Files are numbered in the order of their use. Room goes to whoever comes first, and always to the
 * file that is waited for: so one file may be above the limit. */
typedef struct {
    pthread_mutex_t lock;
    pthread_cond_t turn, room, read;
    size_t count, next, needed; /* the first that no thread has begun; the one that is waited for */
    size_t ahead;               /* so many files after that one may be begun */
    size_t used, limit, most;   /* bytes; of all, and of one file */
    size_t waiting;             /* threads that wait for room */
    int closed, users;          /* threads, and the owner: the last one frees it */
    pid_t process;
    File files[];
} Reading;

static void free_reading(Reading *reading) {
    for (size_t i = 0; i < reading->count; i++) {
        free(reading->files[i].path);
        free(reading->files[i].data);
    }
    pthread_cond_destroy(&reading->turn);
    pthread_cond_destroy(&reading->room);
    pthread_cond_destroy(&reading->read);
    pthread_mutex_destroy(&reading->lock);
    free(reading);
}

/* Give the lock back, and everything with it where nobody else is left. */
static void leave(Reading *reading) {
    int last = --reading->users == 0;
    pthread_mutex_unlock(&reading->lock);
    if (last) free_reading(reading);
}

/* Wait for room; returns whether there is some. */
static int take_room(Reading *reading, size_t number, size_t size) {
    pthread_mutex_lock(&reading->lock);
    reading->waiting++;
    while (!reading->closed && number > reading->needed &&
           (size > reading->limit || reading->used > reading->limit - size))
        pthread_cond_wait(&reading->room, &reading->lock);
    reading->waiting--;
    int open = !reading->closed;
    if (open) reading->used += size;
    pthread_mutex_unlock(&reading->lock);
    return open;
}

static void give_room(Reading *reading, size_t size) {
    reading->used -= size;
    if (reading->waiting) pthread_cond_broadcast(&reading->room);
}

/* Read `size` bytes and see that no more follow; NULL where that is not so. */
static uint8_t *read_all(int descriptor, size_t size) {
    uint8_t *data = malloc(size + 1);
    if (data && read(descriptor, data, size + 1) == (ssize_t)size) return data;
    free(data);
    return NULL;
}

static void read_file(Reading *reading, size_t number) {
    File *file = &reading->files[number];
    int state = ODD;
    struct stat status;
    int descriptor = open(file->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (descriptor >= 0) {
        if (fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) && status.st_size >= 0 &&
            (uint64_t)status.st_size <= reading->most) {
            size_t size = (size_t)status.st_size;
            if (take_room(reading, number, size)) {
                file->size = size;
                file->data = read_all(descriptor, size);
                if (file->data) state = READ;
            }
        }
        close(descriptor);
    }
    pthread_mutex_lock(&reading->lock);
    if (state == ODD) {
        give_room(reading, file->size);
        file->size = 0;
    }
    file->state = state;
    if (number == reading->needed) pthread_cond_signal(&reading->read);
    pthread_mutex_unlock(&reading->lock);
}

static void *serve(void *argument) {
    Reading *reading = argument;
    pthread_mutex_lock(&reading->lock);
    for (;;) {
        while (!reading->closed && reading->next < reading->count &&
               reading->next > reading->needed + reading->ahead)
            pthread_cond_wait(&reading->turn, &reading->lock);
        if (reading->closed || reading->next == reading->count) break;
        size_t number = reading->next++;
        pthread_mutex_unlock(&reading->lock);
        read_file(reading, number);
        pthread_mutex_lock(&reading->lock);
    }
    /* Those that wait for a turn have none, either. */
    pthread_cond_broadcast(&reading->turn);
    leave(reading);
    return NULL;
}

/* Start threads; returns how many there are. */
static int start_threads(Reading *reading, int wanted) {
    sigset_t all, old;
    sigfillset(&all);
    pthread_attr_t detached; /* a server may hang for minutes: nobody waits for them */
    if (pthread_attr_init(&detached)) return 0;
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&detached, STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are for Python's own */
    pthread_mutex_lock(&reading->lock);
    int started = 0;
    for (; started < wanted; started++) {
        pthread_t thread;
        if (pthread_create(&thread, &detached, serve, reading)) break;
        reading->users++;
    }
    pthread_mutex_unlock(&reading->lock);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&detached);
    return started;
}

/* ------------------------------------------------------------------ Python */

static const char NAME[] = "converter.sources._files.Reading";

static void forget(PyObject *capsule) {
    Reading *reading = PyCapsule_GetPointer(capsule, NAME);
    /* In a child process there are no threads, and one of them may have had the lock. */
    if (reading->process != getpid()) return;
    pthread_mutex_lock(&reading->lock);
    reading->closed = 1;
    pthread_cond_broadcast(&reading->turn);
    pthread_cond_broadcast(&reading->room);
    leave(reading);
}

PyDoc_STRVAR(begin_doc,
"begin(paths, threads, ahead, limit, most)\n--\n\n"
"Begin to read files, by their paths (bytes), in so many threads. Up to `ahead` files after the one\n"
"that is taken next are read, as long as all together have at most `limit` bytes, and of no file\n"
"more than `most`. Returns what `take` needs; nothing more is begun once that is forgotten.\n"
"Raises MemoryError, and OSError where no thread can be started.");

static PyObject *begin(PyObject *self, PyObject *arguments) {
    (void)self;
    PyObject *paths;
    int threads;
    Py_ssize_t ahead, limit, most;
    if (!PyArg_ParseTuple(arguments, "O!innn", &PyList_Type, &paths, &threads, &ahead, &limit,
                          &most))
        return NULL;
    if (threads < 1 || ahead < 0 || limit < 0 || most < 0) {
        PyErr_SetString(PyExc_ValueError, "a number is too small");
        return NULL;
    }
    size_t count = (size_t)PyList_GET_SIZE(paths);
    Reading *reading = calloc(1, sizeof *reading + count * sizeof(File));
    if (reading == NULL) return PyErr_NoMemory();
    reading->ahead = (size_t)ahead;
    reading->limit = (size_t)limit;
    reading->most = (size_t)most;
    reading->process = getpid();
    reading->users = 1;
    pthread_mutex_init(&reading->lock, NULL);
    pthread_condattr_t steady;
    pthread_condattr_init(&steady);
    pthread_condattr_setclock(&steady, CLOCK_MONOTONIC);
    pthread_cond_init(&reading->read, &steady);
    pthread_condattr_destroy(&steady);
    pthread_cond_init(&reading->turn, NULL);
    pthread_cond_init(&reading->room, NULL);
    for (; reading->count < count; reading->count++) {
        char *path; /* raises where it has a null byte */
        if (PyBytes_AsStringAndSize(PyList_GET_ITEM(paths, (Py_ssize_t)reading->count), &path,
                                    NULL) < 0)
            break;
        reading->files[reading->count].path = strdup(path);
        if (reading->files[reading->count].path == NULL) {
            PyErr_NoMemory();
            break;
        }
    }
    PyObject *capsule = reading->count < count ? NULL : PyCapsule_New(reading, NAME, forget);
    if (capsule == NULL) {
        free_reading(reading);
        return NULL;
    }
    if (count && start_threads(reading, (size_t)threads < count ? threads : (int)count) == 0) {
        Py_DECREF(capsule);
        errno = EAGAIN;
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    return capsule;
}

/* Wait for a file for a while, with the lock; returns whether it is there. */
static int wait_for(Reading *reading, const File *file) {
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_nsec += PATIENCE;
    end.tv_sec += end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    while (file->state == UNREAD)
        if (pthread_cond_timedwait(&reading->read, &reading->lock, &end)) break;
    return file->state != UNREAD;
}

PyDoc_STRVAR(take_doc,
"take(reading, number)\n--\n\n"
"Return the bytes of a file, once, as soon as it is read; None where the caller should read it.\n"
"Files are taken in the order of their numbers; some may be left out.");

static PyObject *take(PyObject *self, PyObject *arguments) {
    (void)self;
    PyObject *capsule;
    Py_ssize_t number;
    if (!PyArg_ParseTuple(arguments, "On", &capsule, &number)) return NULL;
    Reading *reading = PyCapsule_GetPointer(capsule, NAME);
    if (reading == NULL) return NULL;
    if (number < 0 || (size_t)number >= reading->count) {
        PyErr_Format(PyExc_IndexError, "no file %zd of %zu", number, reading->count);
        return NULL;
    }
    if (reading->process != getpid()) Py_RETURN_NONE;
    File *file = &reading->files[number];
    /* The threads have the lock for moments only, and never wait for Python with it. */
    pthread_mutex_lock(&reading->lock);
    if ((size_t)number > reading->needed + 1)
        pthread_cond_broadcast(&reading->turn);
    else
        pthread_cond_signal(&reading->turn);
    reading->needed = (size_t)number;
    if (reading->waiting) pthread_cond_broadcast(&reading->room);
    while (file->state == UNREAD) {
        int there;
        pthread_mutex_unlock(&reading->lock);
        Py_BEGIN_ALLOW_THREADS
        pthread_mutex_lock(&reading->lock);
        there = wait_for(reading, file);
        pthread_mutex_unlock(&reading->lock);
        Py_END_ALLOW_THREADS
        if (!there && PyErr_CheckSignals() < 0) return NULL;
        pthread_mutex_lock(&reading->lock);
    }
    uint8_t *data = file->data;
    size_t size = file->size;
    int state = file->state;
    file->data = NULL;
    file->state = TAKEN;
    if (state == READ) give_room(reading, size);
    pthread_mutex_unlock(&reading->lock);
    if (state != READ) Py_RETURN_NONE;
    PyObject *bytes = PyBytes_FromStringAndSize((const char *)data, (Py_ssize_t)size);
    free(data);
    return bytes;
}

static PyMethodDef methods[] = {
    {"begin", begin, METH_VARARGS, begin_doc},
    {"take", take, METH_VARARGS, take_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "converter.sources._files", "Whole files, read ahead.", -1, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__files(void) {
    return PyModule_Create(&module);
}
