"""Datasets of others: a file for each reads one row of its annotation files."""
