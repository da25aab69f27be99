"""An accumulator of made shards: Spark adds each task once, however often it was tried."""

from __future__ import annotations

from pyspark.accumulators import AccumulatorParam

from converter.engines.spark.task import Made


class MadeShards(AccumulatorParam[list[Made]]):  # type: ignore[misc]
    """Lists that are joined; the driver's grows as tasks end."""

    def zero(self, value: list[Made]) -> list[Made]:
        """Return what nothing was added to."""
        return []

    def addInPlace(self, value1: list[Made], value2: list[Made]) -> list[Made]:
        """Join two lists in the first one."""
        value1.extend(value2)
        return value1
