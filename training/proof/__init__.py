"""The learning proof: a tiny model from scratch, stage one on built rows, points read from what it generates."""
