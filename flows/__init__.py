"""Prefect flows: one file a stage, the build, runners, schedule and the command line."""
