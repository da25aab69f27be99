"""The engine spark where no Spark runs: what belongs to it, and what its failures say."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from converter.engines import engine_for
from converter.engines.spark import session
from converter.engines.spark.failure import TaskFailedError, error_of
from shardio.errors import OptionError, StorageError, WorkerError


def test_properties_of_spark_belong_to_its_engine() -> None:
    with pytest.raises(OptionError, match=r"^--master and --conf are for --engine spark$"):
        engine_for("inline", spark={"spark.master": "local"})


def test_a_failure_is_told_without_javas_stack() -> None:
    java = "An error occurred while calling o1.x.\n: org.apache.spark.SparkException: Job aborted: "
    stack = "\n\tat org.apache.spark.scheduler.DAGScheduler\n"
    told = TaskFailedError.of(StorageError("/out: disk full"), "train-0", "m1")
    error = error_of(f"{java}Task 0 in stage 0.0 failed: {told}{stack}", ["train-0"], "yarn")
    assert (type(error), str(error)) == (StorageError, "train-0 on m1: /out: disk full")
    told = TaskFailedError.of(KeyError("it"), "train-0", "m1")
    error = error_of(f"{java}{told}{stack}", ["train-0"], "yarn")
    assert (type(error), str(error)) == (WorkerError, "train-0 on m1: KeyError: 'it'")
    lost = "Task 1 in stage 0.0 failed 4 times, most recent failure: Lost task 1.3 in stage 0.0 "
    lost += "(TID 7) (h executor 2): ExecutorLostFailure (executor 2 exited ...)"
    error = error_of(f"{java}{lost}{stack}", ["train-0", "train-1"], "yarn")
    assert str(error).startswith("train-1: the executor died each time")
    error = error_of(f"{java}ModuleNotFoundError: No module named 'converter'{stack}", [], "yarn")
    assert "has no module converter: ship" in str(error)
    error = error_of(f"{java}no master{stack}", [], "spark://h:1")
    assert str(error) == "Spark at spark://h:1 failed: Job aborted: no master"
    cause = f"Caused by: a.IOException: first{stack}Caused by: a.ConnectException: refused{stack}"
    error = error_of(f"{java}An error has occurred.{stack}{cause}", [], "k8s://h")
    assert str(error) == "Spark at k8s://h failed: Job aborted: An error has occurred: refused"
    worker = "org.apache.spark.api.python.PythonException: Traceback (most recent call last):\n"
    worker += '  File "worker.py", line 9, in main\nRuntimeError: Python 3.11 is not 3.12\n'
    error = error_of(f"{java}{worker}{stack}", [], "yarn")
    assert str(error) == "Python of a Spark executor failed: RuntimeError: Python 3.11 is not 3.12"


def test_a_master_that_does_not_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyspark")
    told = threading.Event()
    said: list[str] = []

    def warning(text: str, *words: object) -> None:
        said.append(text % words)
        told.set()

    monkeypatch.setattr(session, "_log", SimpleNamespace(warning=warning))
    monkeypatch.setattr(session, "_SILENT_SECONDS", 0.0)
    monkeypatch.setattr(session.SparkSession, "_start", lambda _: told.wait(60))
    session.SparkSession({"spark.master": "spark://host:1"}).context()
    assert said == ["no answer from Spark at spark://host:1 yet: is that its address?"]
