"""Many files over many workers: find them, read them, give their rows in order.

`sources` finds the inputs, `copies` names their annotated copies, `work` reads one input,
`pool` spreads them over processes, `run` is the whole.
"""
