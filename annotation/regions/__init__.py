"""Regions of a picture: candidates from a proposer, filtered, made disjoint, named, turned into records."""

from annotation.regions.make_regions import RegionResult, load, propose, propose_all

__all__ = ["RegionResult", "load", "propose", "propose_all"]
