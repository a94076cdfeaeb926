"""The learning proof: a tiny model from scratch, stage one on built rows, and what it then generates."""
