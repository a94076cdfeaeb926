"""Runs of other trainers, written from the same options: a shell script that a person reads and starts."""
