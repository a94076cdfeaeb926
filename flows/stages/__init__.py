"""The stages of a build, a file each: which shards it has and how one is made."""
