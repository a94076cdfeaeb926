"""The photographs that remain after ingest: near duplicates and evaluation pictures are left out."""

from __future__ import annotations

from dataclasses import dataclass, field

from flows.stages.ingest import ingested
from flows.stages.keepout import KeepOut, evaluation_sets, listed_hashes
from flows.stages.known import Known
from schemas.dataset import KeptOut
from schemas.pictures import near_duplicates
from schemas.records import OWN_SOURCE


@dataclass
class Survivors:
    """The pictures that remain: `by_shard` lists their ids for each ingest key, `dropped` maps near
    duplicates to the picture that stays, `uris` names every ingested picture, `kept_out` are evaluation
    pictures.
    """

    by_shard: dict[str, list[str]] = field(default_factory=dict)
    dropped: dict[str, str] = field(default_factory=dict)
    uris: dict[str, str] = field(default_factory=dict)
    kept_out: list[KeptOut] = field(default_factory=list)


def survivors(known: Known) -> Survivors:
    """What survives of the pictures ingested so far."""
    return known.once(_survivors, "ingest", "keepout")


def _survivors(known: Known) -> Survivors:
    found = Survivors()
    prints: list[tuple[str, str]] = []
    for manifest in known.manifests("ingest"):
        for entry in ingested(manifest):
            name = entry["source_image"]["id"]
            prints.append((name, entry["fingerprint"]))
            found.uris[name] = entry["source_image"]["uri"]
            found.by_shard.setdefault(manifest.key, []).append(name)
    found.dropped = near_duplicates(prints, known.config.ingest.near_duplicate_bits)
    found.kept_out, gone = _evaluation_pictures(known)
    left = {
        key: [name for name in names if name not in found.dropped and name not in gone]
        for key, names in found.by_shard.items()
    }
    found.by_shard = {key: names for key, names in left.items() if names}
    return found


def _evaluation_pictures(known: Known) -> tuple[list[KeptOut], set[str]]:
    """Our photographs that are, or show, an evaluation picture, and their ids."""
    keys = [manifest.key for manifest in known.manifests("keepout")]
    hashes = listed_hashes(evaluation_sets(known))
    if not (keys or hashes):
        return [], set()
    lookup = KeepOut(keys, hashes, known.config.merge.keep_out_bits, known.store)
    kept_out, gone = [], set()
    for manifest in known.manifests("ingest"):
        for entry in ingested(manifest):
            source = entry["source_image"]
            found = lookup.match(source["sha256"], "", entry["fingerprint"])
            if found is not None:
                gone.add(source["id"])
                kept_out.append(
                    KeptOut(source=OWN_SOURCE, uri=source["uri"], pixels="", picture=found[0], how=found[1])
                )
    return kept_out, gone
