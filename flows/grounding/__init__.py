"""Asking a model about a picture from the command line: regions, questions, results, calibration."""
