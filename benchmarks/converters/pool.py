"""multiprocessing.Pool, each process with a TFRecordWriter of its own.

TensorFlow is imported before the processes are forked, so that none has to do it again.
"""

import os
from multiprocessing import get_context

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import tensorflow as tf
from job import HEADS, PROCESSES, parts, pixels, timed


def ints(value):
    return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))


def write(job):
    path, rows = job
    with tf.io.TFRecordWriter(path) as out:
        for image, labels in rows:
            data = tf.train.BytesList(value=[pixels(image).tobytes()])
            features = {"image": tf.train.Feature(bytes_list=data)}
            features |= {head: ints(label) for head, label in zip(HEADS, labels, strict=True)}
            example = tf.train.Example(features=tf.train.Features(feature=features))
            out.write(example.SerializeToString())


def convert(out):
    jobs = [(str(out / f"{number}.tfrecord"), rows) for number, rows in enumerate(parts())]
    with get_context("fork").Pool(PROCESSES) as pool:
        pool.map(write, jobs, chunksize=1)


if __name__ == "__main__":
    timed(convert)
