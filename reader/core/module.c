/* The module `reader.core._core`: what Python calls, and who owns which memory meanwhile.
 *
 * reader/fetch/core_fetch.py is the caller, and reader/fetch/numpy_fetch.py the same in NumPy, which
 * judges this.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "workers.h"

static const char NAME[] = "reader.core._core.Layout";

static void free_layout(PyObject *capsule) {
    Layout *layout = PyCapsule_GetPointer(capsule, NAME);
    free(layout->expected);
    free(layout->places);
    free(layout->widths);
    free(layout);
}

PyDoc_STRVAR(layout_doc,
"layout(head, image_bytes, tail_bytes, places, widths, instructions)\n--\n\n"
"Describe records: the bytes before their pixels, the sizes of pixels and tail, and the places\n"
"of the numbers within the tail, each a varint of 5 bytes or a float of 4. Where the processor\n"
"can, it computes CRCs by an instruction of its own if `instructions` is 1, and by multiplying\n"
"polynomials if it is 2; if 0, by tables.");

static PyObject *make_layout(PyObject *self, PyObject *arguments) {
    (void)self;
    const char *head, *widths;
    Py_ssize_t head_bytes, image, tail, numbers;
    PyObject *places;
    int instructions;
    if (!PyArg_ParseTuple(arguments, "y#nnO!y#i", &head, &head_bytes, &image, &tail, &PyTuple_Type,
                          &places, &widths, &numbers, &instructions))
        return NULL;
    if (head_bytes < HEADER || image < 1 || tail < 0 || image > PY_SSIZE_T_MAX / 4 ||
        numbers != PyTuple_Size(places)) {
        PyErr_SetString(PyExc_ValueError, "sizes out of range");
        return NULL;
    }
    Layout *layout = calloc(1, sizeof *layout);
    if (layout == NULL) return PyErr_NoMemory();
    layout->head = (size_t)head_bytes;
    layout->image = (size_t)image;
    layout->tail = (size_t)tail;
    layout->stride = layout->head + layout->image + layout->tail + FOOTER;
    layout->integers = (size_t)numbers;
    layout->expected = malloc(layout->head);
    layout->places = malloc((layout->integers + 1) * sizeof *layout->places);
    layout->widths = malloc(layout->integers + 1);
    if (layout->expected == NULL || layout->places == NULL || layout->widths == NULL) {
        PyErr_NoMemory();
        goto fail;
    }
    memcpy(layout->expected, head, layout->head);
    for (size_t i = 0; i < layout->integers; i++) {
        Py_ssize_t place = PyLong_AsSsize_t(PyTuple_GetItem(places, (Py_ssize_t)i));
        if (place == -1 && PyErr_Occurred()) goto fail;
        int width = widths[i];
        if ((width != VARINT && width != FLOAT) || place < 0 || place > tail - width) {
            PyErr_SetString(PyExc_ValueError, "a number is not within the tail");
            goto fail;
        }
        layout->places[i] = (size_t)place;
        layout->widths[i] = (uint8_t)width;
    }
    choose_crc(&layout->crc, instructions, layout->image, layout->expected + HEADER,
               layout->head - HEADER);
    PyObject *capsule = PyCapsule_New(layout, NAME, free_layout);
    if (capsule != NULL) return capsule;
fail:
    free(layout->expected);
    free(layout->places);
    free(layout->widths);
    free(layout);
    return NULL;
}

static const char MAP[] = "reader.core._core.Map";

typedef struct {
    void *memory;
    size_t size;
} Map;

static void free_map(PyObject *capsule) {
    Map *map = PyCapsule_GetPointer(capsule, MAP);
    munmap(map->memory, map->size);
    free(map);
}

PyDoc_STRVAR(map_doc,
"map(file, size)\n--\n\n"
"Map the first `size` bytes of a file, for reading by `read`; returns the map, which is undone\n"
"when it is forgotten, and its address.");

static PyObject *make_map(PyObject *self, PyObject *arguments) {
    (void)self;
    int file;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(arguments, "in", &file, &size)) return NULL;
    Map *map = malloc(sizeof *map);
    if (map == NULL) return PyErr_NoMemory();
    map->size = size > 0 ? (size_t)size : 0;
    map->memory = mmap(NULL, map->size, PROT_READ, MAP_SHARED, file, 0);
    if (map->memory == MAP_FAILED) {
        free(map);
        return PyErr_SetFromErrno(PyExc_OSError);
    }
    /* Else a record that is not in memory brings its neighbours along, which nobody asked for. */
    madvise(map->memory, map->size, MADV_RANDOM);
    PyObject *capsule = PyCapsule_New(map, MAP, free_map);
    if (capsule == NULL) {
        munmap(map->memory, map->size);
        free(map);
        return NULL;
    }
    return Py_BuildValue("NL", capsule, (long long)(uintptr_t)map->memory);
}

PyDoc_STRVAR(locate_doc,
"locate(ids, ends, ready, descriptors, bases, stride, files, offsets, addresses)\n--\n\n"
"Find records by their number in the set (int64): for each shard the end of its records in that\n"
"numbering (int64), whether it is ready (bool), its file descriptor (int32) and the address of its\n"
"map (int64) are given. Fills `files` (int32), `offsets` and `addresses` (int64). Returns 2, or 1\n"
"where a shard has no map, or 0 where one is not ready: then the arrays are not complete.");

/* Whether a buffer holds `count` items of `size` bytes, each where such an item may be. */
static int fits(const Py_buffer *buffer, size_t count, size_t size) {
    return (size_t)buffer->len == count * size && (uintptr_t)buffer->buf % size == 0;
}

static PyObject *locate(PyObject *self, PyObject *arguments) {
    (void)self;
    Py_buffer ids, ends, ready, descriptors, bases, files, offsets, addresses;
    Py_ssize_t stride;
    if (!PyArg_ParseTuple(arguments, "y*y*y*y*y*nw*w*w*", &ids, &ends, &ready, &descriptors, &bases,
                          &stride, &files, &offsets, &addresses))
        return NULL;
    PyObject *result = NULL;
    size_t count = (size_t)ids.len / 8, shards = (size_t)ends.len / 8;
    if (!fits(&ids, count, 8) || !fits(&files, count, 4) || !fits(&offsets, count, 8) ||
        !fits(&addresses, count, 8) || !fits(&ends, shards, 8) || !fits(&ready, shards, 1) ||
        !fits(&descriptors, shards, 4) || !fits(&bases, shards, 8)) {
        PyErr_SetString(PyExc_ValueError, "the arrays do not fit each other");
        goto done;
    }
    const int64_t *end = ends.buf, *base = bases.buf;
    int found = 2;
    size_t shard = 0;
    for (size_t i = 0; i < count; i++) {
        int64_t id = ((const int64_t *)ids.buf)[i];
        if (id < 0 || shards == 0 || id >= end[shards - 1]) {
            PyErr_Format(PyExc_IndexError, "no record %lld", (long long)id);
            goto done;
        }
        if (id >= end[shard] || (shard && id < end[shard - 1])) {
            size_t low = 0, high = shards - 1;
            while (low < high) {
                size_t middle = (low + high) / 2;
                if (id < end[middle])
                    high = middle;
                else
                    low = middle + 1;
            }
            shard = low;
        }
        int file = ((const int32_t *)descriptors.buf)[shard];
        if (file < 0 || !((const uint8_t *)ready.buf)[shard]) {
            found = 0;
            break;
        }
        int64_t offset = (id - (shard ? end[shard - 1] : 0)) * stride;
        ((int32_t *)files.buf)[i] = file;
        ((int64_t *)offsets.buf)[i] = offset;
        ((int64_t *)addresses.buf)[i] = base[shard] + offset;
        if (base[shard] == 0) found = 1;
    }
    result = PyLong_FromLong(found);
done:
    PyBuffer_Release(&ids);
    PyBuffer_Release(&ends);
    PyBuffer_Release(&ready);
    PyBuffer_Release(&descriptors);
    PyBuffer_Release(&bases);
    PyBuffer_Release(&files);
    PyBuffer_Release(&offsets);
    PyBuffer_Release(&addresses);
    return result;
}

PyDoc_STRVAR(permute_doc,
"permute(keys, high_bits, low_bits, size, first, values)\n--\n\n"
"Fill `values` (int64) with what stands at the positions from `first` on in a permutation of\n"
"range(size): a Feistel network with a round for each of `keys` (uint64), as in\n"
"shardio/permutation.py.");

static PyObject *permute(PyObject *self, PyObject *arguments) {
    (void)self;
    Py_buffer keys, values;
    int high, low;
    unsigned long long size, first;
    if (!PyArg_ParseTuple(arguments, "y*iiKKw*", &keys, &high, &low, &size, &first, &values))
        return NULL;
    PyObject *result = NULL;
    const uint64_t multiplier = 0x9e3779b97f4a7c15, *key = keys.buf;
    size_t rounds = (size_t)keys.len / 8, count = (size_t)values.len / 8;
    int fit = fits(&keys, rounds, 8) && fits(&values, count, 8) && low > 0 && high > 0 &&
              high < 32 && low < 32 && rounds % 2 == 0;
    /* Else a value could be sent through for ever. */
    if (!fit || first > size || count > size - first || size > 1ULL << (high + low)) {
        PyErr_SetString(PyExc_ValueError, "no such permutation");
        goto done;
    }
    for (size_t i = 0; i < count; i++) {
        uint64_t value = first + i;
        do {
            uint64_t left = value >> low, right = value & ((1ULL << low) - 1);
            for (size_t k = 0; k < rounds; k += 2) {
                uint64_t mixed = (right ^ key[k]) * multiplier;
                left ^= (mixed ^ mixed >> 32) * multiplier >> (64 - high);
                mixed = (left ^ key[k + 1]) * multiplier;
                right ^= (mixed ^ mixed >> 32) * multiplier >> (64 - low);
            }
            value = left << low | right;
        } while (value >= size);
        ((int64_t *)values.buf)[i] = (int64_t)value;
    }
    result = Py_NewRef(Py_None);
done:
    PyBuffer_Release(&keys);
    PyBuffer_Release(&values);
    return result;
}

PyDoc_STRVAR(labels_doc,
"labels(integers, most, labels)\n--\n\n"
"Turn (n, heads + 1) integers (int64) into (heads, n) labels (int32). Returns whether none is\n"
"larger than `most` of its head (int64).");

static PyObject *make_labels(PyObject *self, PyObject *arguments) {
    (void)self;
    Py_buffer integers, most, labels;
    if (!PyArg_ParseTuple(arguments, "y*y*w*", &integers, &most, &labels)) return NULL;
    PyObject *result = NULL;
    size_t heads = (size_t)most.len / 8, count = (size_t)integers.len / (8 * (heads + 1));
    if (!fits(&integers, count * (heads + 1), 8) || !fits(&most, heads, 8) ||
        !fits(&labels, count * heads, 4)) {
        PyErr_SetString(PyExc_ValueError, "the arrays do not fit each other");
        goto done;
    }
    int wrong = 0;
    for (size_t head = 0; head < heads; head++) {
        const int64_t *from = (const int64_t *)integers.buf + head;
        int64_t limit = ((const int64_t *)most.buf)[head];
        int32_t *to = (int32_t *)labels.buf + head * count;
        for (size_t i = 0; i < count; i++, from += heads + 1) {
            wrong |= *from > limit;
            to[i] = (int32_t)*from;
        }
    }
    result = PyBool_FromLong(!wrong);
done:
    PyBuffer_Release(&integers);
    PyBuffer_Release(&most);
    PyBuffer_Release(&labels);
    return result;
}

/* Work, and what it needs from Python. */
typedef struct {
    Work work;
    PyObject *layout, *kept;
    Py_buffer files, offsets, images, integers, faults, addresses;
} Read;

static void free_read(Read *read) {
    PyBuffer_Release(&read->files); /* nothing, where it was never got */
    PyBuffer_Release(&read->offsets);
    PyBuffer_Release(&read->images);
    PyBuffer_Release(&read->integers);
    PyBuffer_Release(&read->faults);
    PyBuffer_Release(&read->addresses);
    Py_XDECREF(read->layout);
    Py_XDECREF(read->kept);
    free(read);
}

/* Make the work that the arguments of `begin` and `read` describe. */
static Read *make_read(PyObject *arguments) {
    PyObject *capsule, *mapped, *kept = NULL;
    int scaled, verify, slow = 0;
    Read *read = calloc(1, sizeof *read);
    if (read == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    if (!PyArg_ParseTuple(arguments, "Oy*y*Ow*pw*w*p|pO", &capsule, &read->files, &read->offsets,
                          &mapped, &read->images, &scaled, &read->integers, &read->faults, &verify,
                          &slow, &kept)) {
        free(read); /* what had been parsed was released */
        return NULL;
    }
    Layout *layout = PyCapsule_GetPointer(capsule, NAME);
    if (layout == NULL) goto fail;
    if (mapped != Py_None && PyObject_GetBuffer(mapped, &read->addresses, PyBUF_SIMPLE)) goto fail;
    size_t count = (size_t)read->files.len / sizeof(int32_t);
    size_t image = layout->image * (scaled ? sizeof(float) : 1);
    if (!fits(&read->files, count, 4) || !fits(&read->offsets, count, 8) ||
        !fits(&read->faults, count, 8) || !fits(&read->integers, count * layout->integers, 8) ||
        (read->addresses.obj && !fits(&read->addresses, count, 8)) ||
        (size_t)read->images.len / image < count ||
        (scaled && (uintptr_t)read->images.buf % sizeof(float))) {
        PyErr_SetString(PyExc_ValueError, "the arrays do not fit each other");
        goto fail;
    }
    read->layout = Py_NewRef(capsule);
    read->kept = Py_XNewRef(kept);
    read->work = (Work){
        .job = {
            .layout = layout,
            .files = read->files.buf,
            .offsets = read->offsets.buf,
            .addresses = read->addresses.buf,
            .pixels = scaled ? NULL : read->images.buf,
            .floats = scaled ? read->images.buf : NULL,
            .integers = read->integers.buf,
            .faults = read->faults.buf,
            .verify = verify,
        },
        .count = count,
        .part = PART_BYTES / layout->stride + 1,
        .slow = slow,
    };
    size_t part = count / MAX_IO_WORKERS + 1;
    if (slow && part < read->work.part) read->work.part = part;
    return read;
fail:
    free_read(read);
    return NULL;
}

/* Wait for the work; returns how many records are not fine, or -1 and an error. */
static Py_ssize_t end_read(Read *read) {
    Work *work = &read->work;
    if (!is_done(work)) {
        Py_BEGIN_ALLOW_THREADS
        end_work(work);
        Py_END_ALLOW_THREADS
    }
    if (work->failed) {
        PyErr_NoMemory();
        return -1;
    }
    Py_ssize_t wrong = 0;
    for (size_t i = 0; i < work->count; i++) wrong += work->job.faults[i] != FINE;
    return wrong;
}

PyDoc_STRVAR(read_doc,
"read(layout, files, offsets, addresses, images, scaled, integers, faults, verify)\n--\n\n"
"Read records: of each its file descriptor (int32), the byte at which it starts (int64), and its\n"
"address in a map (int64), or None for all. `images` is filled with pixels (uint8) or, `scaled`,\n"
"with pixels / 255 (float32), `integers` (int64) with the numbers of each, and `faults` (int64)\n"
"with 0 for a record that is fine, 1 for one that is damaged, 2 + n where its file ended after n\n"
"bytes of it, and -errno. Returns how many are not fine.");

static PyObject *read_records(PyObject *self, PyObject *arguments) {
    (void)self;
    Read *read = make_read(arguments);
    if (read == NULL) return NULL;
    if (read->work.count > read->work.part) { /* less is done sooner than told */
        begin_work(&read->work);
    } else {
        keep_work(&read->work);
    }
    Py_ssize_t wrong = end_read(read);
    free_read(read);
    return wrong < 0 ? NULL : PyLong_FromSsize_t(wrong);
}

static const char READ[] = "reader.core._core.Read";

static void free_read_capsule(PyObject *capsule) {
    Read *read = PyCapsule_GetPointer(capsule, READ);
    Py_BEGIN_ALLOW_THREADS
    give_up_work(&read->work);
    Py_END_ALLOW_THREADS
    free_read(read);
}

PyDoc_STRVAR(begin_doc,
"begin(layout, files, offsets, addresses, images, scaled, integers, faults, verify, slow, kept)\n"
"--\n\n"
"Begin to `read`, and return at once what `wait` takes; forgotten, it ends without being waited\n"
"for. From a slow disk, `slow`, many reads are under way at once. `kept` lives as long.");

static PyObject *begin_read(PyObject *self, PyObject *arguments) {
    (void)self;
    Read *read = make_read(arguments);
    if (read == NULL) return NULL;
    PyObject *capsule = PyCapsule_New(read, READ, free_read_capsule);
    if (capsule == NULL)
        free_read(read);
    else
        begin_work(&read->work);
    return capsule;
}

/* Whether the kernel has a part of a file in its cache, as far as it says of some bytes; not of the
 * first and the last, which share pages with what is beside them. */
static int is_cached(int file, int64_t offset, int64_t size) {
    for (int eighth = 1; eighth < 8; eighth += 2) {
        uint8_t byte;
        struct iovec buffer = {&byte, 1};
        off_t place = (off_t)(offset + size * eighth / 8);
        if (preadv2(file, &buffer, 1, place, RWF_NOWAIT) != 1) return 0;
    }
    return 1;
}

/* How much of a file's disk the kernel reads for one advice, as far as Linux says: of a disk, of the
 * disk of a partition, of other file systems. Fewer and larger requests take less of a processor. */
static int64_t piece_of(int file) {
    static const char *const places[] = {"dev/block/%u:%u/bdi", "dev/block/%u:%u/../bdi",
                                         "class/bdi/%u:%u"};
    static dev_t known; /* the caller has the interpreter's lock */
    static int64_t piece;
    struct stat about;
    if (fstat(file, &about)) return LEAST_PIECE;
    if (piece && known == about.st_dev) return piece;
    long long found = 0;
    for (size_t i = 0; i < sizeof places / sizeof *places && found <= 0; i++) {
        char path[128], form[64];
        snprintf(form, sizeof form, "/sys/%s/read_ahead_kb", places[i]);
        snprintf(path, sizeof path, form, major(about.st_dev), minor(about.st_dev));
        FILE *text = fopen(path, "re");
        if (text == NULL) continue;
        if (fscanf(text, "%lld", &found) != 1) found = 0;
        fclose(text);
    }
    known = about.st_dev;
    piece = found >= MOST_PIECE >> 10 ? MOST_PIECE : found << 10;
    if (piece < LEAST_PIECE) piece = LEAST_PIECE;
    return piece;
}

PyDoc_STRVAR(advise_doc,
"advise(file, offset, size, kept)\n--\n\n"
"Let the kernel read a part of a file ahead, and return at once what has to be kept until it has\n"
"been; or None, where it was read before. `kept` lives as long.");

static PyObject *advise(PyObject *self, PyObject *arguments) {
    (void)self;
    int file;
    long long offset, size;
    PyObject *kept;
    if (!PyArg_ParseTuple(arguments, "iLLO", &file, &offset, &size, &kept)) return NULL;
    if (size <= 0 || size > INT64_MAX / 8 || is_cached(file, offset, size)) Py_RETURN_NONE;
    Read *read = calloc(1, sizeof *read);
    if (read == NULL) return PyErr_NoMemory();
    int64_t piece = piece_of(file);
    read->work = (Work){.file = file, .offset = offset, .size = size, .piece = piece, .slow = 1};
    /* One thread for all of it: in this order the pieces become large requests. */
    read->work.part = read->work.count = (size_t)((size + piece - 1) / piece);
    PyObject *capsule = PyCapsule_New(read, READ, free_read_capsule);
    if (capsule == NULL) {
        free(read);
        return NULL;
    }
    read->kept = Py_NewRef(kept);
    begin_work(&read->work);
    return capsule;
}

PyDoc_STRVAR(wait_doc,
"wait(begun)\n--\n\n"
"Wait until what was begun is done, and help with it. Returns how many records are not fine, the\n"
"seconds that all threads took for it, how often they had to wait for the storage, and the CPU\n"
"seconds of the threads that only read, estimated.");

static PyObject *wait_read(PyObject *self, PyObject *capsule) {
    (void)self;
    Read *read = PyCapsule_GetPointer(capsule, READ);
    if (read == NULL) return NULL;
    if (read->layout == NULL) {
        PyErr_SetString(PyExc_ValueError, "advice is not waited for");
        return NULL;
    }
    Py_ssize_t wrong = end_read(read);
    if (wrong < 0) return NULL;
    return Py_BuildValue("ndLd", wrong, (double)read->work.nanoseconds / 1e9,
                         (long long)read->work.waits, (double)read->work.cpu / 1e9);
}

static PyMethodDef methods[] = {
    {"layout", make_layout, METH_VARARGS, layout_doc},
    {"map", make_map, METH_VARARGS, map_doc},
    {"locate", locate, METH_VARARGS, locate_doc},
    {"read", read_records, METH_VARARGS, read_doc},
    {"begin", begin_read, METH_VARARGS, begin_doc},
    {"advise", advise, METH_VARARGS, advise_doc},
    {"wait", wait_read, METH_O, wait_doc},
    {"permute", permute, METH_VARARGS, permute_doc},
    {"labels", make_labels, METH_VARARGS, labels_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "reader.core._core", "Reads records of fixed size, compiled.", -1, methods,
    NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__core(void) {
    make_crc_tables();
    pthread_atfork(NULL, NULL, forget_threads);
    return PyModule_Create(&module);
}
