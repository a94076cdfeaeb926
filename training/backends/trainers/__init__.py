"""Other trainers, one per file: `script(options, config)` returns the run as a POSIX shell script."""
