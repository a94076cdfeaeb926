"""Masks made elsewhere, which take a proposer's place: one file a source, which `regions.proposer` names.

A file has three functions:
- `find(config, refs, cache)`: a function from a picture's id to what there is of it, which can be pickled.
  `refs` are the photographs, `cache` has hashes of files. Raises InputError for a place that can't be read.
- `identity(found)`: what the regions depend on, as text; a shard's key holds it.
- `read(found, height, width)`: the picture's candidates at its size. Raises SampleError.
"""

from schemas.plugins import PlugIns

GIVEN = PlugIns("source of masks", "flows.stages.given", functions=("find", "identity", "read"))
