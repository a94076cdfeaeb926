"""The learning proof: split photographs, a build per side, training, and points scored on the test side."""
