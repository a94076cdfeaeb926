"""The commands of iqa-spider: each file reads its options and calls what does the work."""
