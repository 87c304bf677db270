"""Sub-package `cpu`: everything that only makes a CPU faster. The engine computes the same results without it.

`plan.py` is the surface to the rest of the engine and the file to read first. `prepare` calls `make_fast`, which
decides once per model what its passes use and records that as a `Plan`; training, scoring and decoding look it up with
`plan_of(model)`. The default `Plan()` is the plain path. It is used on every other device, and everywhere while the
environment variable SYS2FT_PLAIN is 1.

| file | what it does |
|---|---|
| `shared_inputs` | layers that read the same tensor (q, k and v; gate and up) as one matrix product |
| `shortcuts` | normalisation and gated activations with fewer passes over memory |
| `parallel` | runs two training passes concurrently, each with half of the cores |
| `kernels` | bounds the number of compiled kernels that oneDNN keeps |

Three more are switched by the plan, but are implemented where the data is: attention in float32 for passes with a
gradient (`trees/path_attention.py`), one low-rank product per long part of a batch (`adapters/low_rank.py`), and the
allocator settings (`models/allocator.py`, since a model is loaded before the engine sees it).
"""
