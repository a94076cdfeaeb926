"""How rows of several sources become one dataset: duplicates, contradictions, splits, mixture, licenses."""
