"""Many files over many workers: find them, read them, give their rows in order.

`sources` finds the inputs, `held` and `store` those in tar, Parquet and object stores; `fetch` gets their
bytes; `copies` names their annotated copies; `work` reads one input, `pool` spreads them over processes,
`run` is the whole. Into a folder of shards: `plan` says what the run is of, `shard` writes one, `sharded` is
the whole, here or `on_ray`.
"""
