"""The engine `spark`: the jobs are tasks of a Spark job; only here is pyspark imported."""
