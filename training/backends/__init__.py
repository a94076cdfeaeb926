"""Training runs for other trainers, from the same options: a shell script to read and start yourself."""
