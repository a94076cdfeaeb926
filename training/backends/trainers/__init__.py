"""Other trainers, one a file: `script(options, config)` gives a run of theirs as a POSIX shell script."""
