"""Datasets of others to merge in: their annotation files cut and parsed, their pictures stored."""
