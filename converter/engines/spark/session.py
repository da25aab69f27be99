"""Spark's context: the caller's, spark-submit's, or one that is started and ended here."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Mapping
from typing import Any

from converter.engines.spark.failure import error_of
from shardio.errors import MissingExtraError, OptionError, ShardioError, WorkerError

_MASTER = "spark.master"
_STOP_SECONDS = 10.0
# Java takes some seconds to start; a master that does not answer is waited for a minute or more.
_SILENT_SECONDS = 20.0
_PYTHON = "spark.pyspark.python"
_YARN = {"HADOOP_CONF_DIR", "YARN_CONF_DIR"}
_log = logging.getLogger("shardio.converter")
# What Spark would log is told by the error of the run, without the stack.
_DEFAULTS = {
    _MASTER: "local[*]",
    "spark.app.name": "shardio-convert",
    "spark.log.level": "OFF",
    # Progress is shown here.
    "spark.ui.showConsoleProgress": "false",
}


class SparkSession:
    """The context that jobs run in, with `properties` of Spark beside its own defaults."""

    def __init__(self, properties: Mapping[str, str]) -> None:
        try:
            import pyspark
        except ImportError as error:
            raise MissingExtraError(
                "the engine spark needs pyspark: it comes with shardio's extra [spark]"
            ) from error
        self._context: Any = pyspark.SparkContext._active_spark_context
        self._is_ours = self._context is None
        self._properties = dict(properties)
        self._error: ShardioError | None = None
        self._starting: threading.Thread | None = None
        if properties.get(_MASTER, os.environ.get("SPARK_REMOTE", "")).startswith("sc://"):
            raise OptionError(
                "Spark Connect runs no tasks of ours; name the cluster's own master, such as yarn "
                "or spark://host:7077"
            )
        if properties.get(_MASTER, "").startswith("yarn") and not os.environ.keys() & _YARN:
            raise OptionError(
                "--master yarn needs HADOOP_CONF_DIR: the folder with the cluster's core-site.xml "
                "and yarn-site.xml"
            )
        if properties and not self._is_ours:
            raise OptionError("this program has a SparkContext already; drop --master and --conf")
        if _MASTER in properties and "PYSPARK_GATEWAY_PORT" in os.environ:
            raise OptionError("spark-submit names the master; drop --master")

    def start(self) -> None:
        """Begin to start it; never waits."""
        if self._context is None and self._starting is None:
            self._starting = threading.Thread(target=self._start, name="shardio-spark", daemon=True)
            self._starting.start()

    def context(self) -> Any:
        """Return the SparkContext as soon as it has started; WorkerError where it cannot."""
        self.start()
        if self._starting is not None:
            self._starting.join(_SILENT_SECONDS)
            master = self._properties.get(_MASTER, "local")
            if self._starting.is_alive() and not master.startswith("local"):
                _log.warning("no answer from Spark at %s yet: is that its address?", master)
            self._starting.join()
        if self._error is not None:
            raise self._error
        return self._context

    def stop(self) -> None:
        """End the context, if it was started here.

        One that is still being started, since its master does not answer, ends with this process.
        """
        if self._starting is not None:
            self._starting.join(_STOP_SECONDS)
        if self._is_ours and self._context is not None:
            context, self._context = self._context, None
            end_spark(context)

    def _start(self) -> None:
        from pyspark import SparkConf, SparkContext
        from pyspark.errors import PySparkException

        master = self._properties.get(_MASTER, "local[*]")
        try:
            submitted = "PYSPARK_GATEWAY_PORT" in os.environ
            if submitted:
                SparkContext._ensure_initialized()  # then the properties are those of spark-submit
            conf = SparkConf()
            for name, value in self._properties.items():
                conf.set(name, value)
            for name, value in _DEFAULTS.items():
                conf.setIfMissing(name, value)
            context = SparkContext(conf=conf)
            if not submitted and "PYSPARK_PYTHON" not in os.environ:
                # By default it is the first python3 of the PATH, which may be another one.
                context.pythonExec = self._properties.get(_PYTHON, sys.executable)
            self._context = context
        except PySparkException as error:
            self._error = WorkerError(
                f"Spark cannot be started: {error}; it needs Java (JAVA_HOME), and a master and "
                "properties that it knows; what it said itself is above"
            )
        except Exception as error:
            self._error = error_of(str(error), [], master)


def end_spark(context: Any) -> None:
    """End a context, and the Java process that was started for it."""
    gateway = context._gateway
    context.stop()
    if gateway.proc is None:  # it is spark-submit's
        return
    kind = type(context)
    kind._gateway = kind._jvm = None
    gateway.shutdown()
    gateway.proc.stdin.close()
    gateway.proc.wait()
