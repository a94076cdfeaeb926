"""The learning proof: photographs split, a build for each side, training, and points measured on the rest."""
