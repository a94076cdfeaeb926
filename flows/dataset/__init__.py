"""The finished dataset: its card, its checks, its report, its exports and its recipes."""
