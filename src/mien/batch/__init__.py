"""Many inputs to tables: find them, read each, write their rows in order, whatever dies on the way.

`options` holds the options of a run; `sources` finds the inputs (`stores` those in tar files, Parquet and
object stores); `read` turns one input into results (`journal` lets a killed run resume a clip); `pool`
spreads inputs over worker processes; `run` writes tables, `shards` a folder of Parquet files, here or
`on_ray`.
"""
