"""The contract: rows, Arrow schema, build configuration, atomic shards and the content-addressed store."""

__version__ = "0.1.0"
