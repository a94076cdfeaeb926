"""A model that reads the facts it is told and writes right dialogues: for the fault server.

It knows nothing but the request's own JSON, so every test that uses it goes the whole way: sample to prompt,
prompt to request, reply to row.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from annotation.qa import GrammarBackend, Request
from annotation.qa.lexicon import load_lexicon, normalize
from annotation.qa.tasks import Draft
from annotation.qa.vlm import facts
from schemas import masks
from schemas.records import Ask, Distortion, Region, Sample, SampleKind, SourceImage, Task
from tests.annotation.qa.samples import mask_at

GRAMMAR = GrammarBackend()
PLACES = {facts.place(words): words for words in masks.position_words("thirds")}
SOURCE = SourceImage(id="0" * 16, sha256="0" * 64, uri="test:fake", license=None, width=60, height=60)
KINDS: dict[str, SampleKind] = {"grounding_hyd": "hyd", "grounding_sid": "sid", "grounding_dao": "dao"}


def user_texts(request: dict[str, Any]) -> list[str]:
    """What the user said, turn by turn, pictures left out."""
    said = []
    for message in request["messages"]:
        content = message["content"]
        if message["role"] == "user":
            parts = [content] if isinstance(content, str) else [c.get("text", "") for c in content]
            said.append("\n".join(part for part in parts if part))
    return said


def task_of(request: dict[str, Any]) -> Task | None:
    """The task whose dialogue is asked for, None in the turns before."""
    asked = request.get("response_format")
    return asked["json_schema"]["name"] if asked else None


def told(request: dict[str, Any]) -> dict[str, Any]:
    """The facts that the request tells."""
    (text,) = re.findall(r"^FACTS\n(.*)\nEND OF FACTS$", "\n".join(user_texts(request)), re.S | re.M)
    found: dict[str, Any] = json.loads(text)
    return found


def answer(request: dict[str, Any]) -> str:
    """A right reply, the same for the same request."""
    task = task_of(request)
    if task is None:
        said = hashlib.sha256(json.dumps(request["messages"]).encode()).hexdigest()
        return f"A description of what can be seen, number {said[:12]}."
    draft, sample = scene(request, task)
    written = GRAMMAR.write(Request(draft, sample, 1, (), int(request["seed"]), None)).messages
    pairs = [
        {"question": written[i].content, "answer": written[i + 1].content} for i in range(0, len(written), 2)
    ]
    return json.dumps({"dialogue": pairs})


def contradict(request: dict[str, Any], right: str) -> str:
    """A reply that claims damage which isn't there; turns before the dialogue stay as they are."""
    if task_of(request) is None:
        return right
    reply = json.loads(right)
    damage = "posterization" if "quantization" not in json.dumps(told(request)) else "pixelation"
    reply["dialogue"][-1]["answer"] += f" There is also severe {damage}."
    return json.dumps(reply)


def break_schema(request: dict[str, Any], right: str) -> str:
    """A reply that is JSON, or nearly, and no dialogue; turns before the dialogue stay as they are."""
    if task_of(request) is None:
        return right
    way = int(hashlib.sha256(right.encode()).hexdigest(), 16) % 4
    return (
        right[: len(right) // 2],
        right.replace('"dialogue"', '"dialog"'),
        right.replace('"answer"', '"reply"'),
        json.dumps({"dialogue": []}),
    )[way]


def scene(request: dict[str, Any], task: Task) -> tuple[Draft, Sample]:
    """The draft and the sample as far as the request tells them."""
    known = told(request)
    asked = next(text for text in user_texts(request)[3:] if text.startswith("Write "))
    regions = [_region(i, entry, known) for i, entry in enumerate(known["regions"])]
    regions += [_region(len(regions) + i, entry, known) for i, entry in enumerate(known.get("undamaged", []))]
    whole = bool(known["whole_picture"])
    subject = None if whole or task == "global_description" else _subject(asked, task, regions)
    if subject is not None and task in ("local_description", "referring_short", "referring_long"):
        about = re.search(r"about(?: the quality of)? (the .+)\.", asked)
        assert about is not None, asked
        if about[1] != f"the {subject.label}":
            assert about[1] == f"the {subject.label} {facts.place(subject.position)}"
            other = "center" if subject.position != "center" else "left"
            regions.append(subject.model_copy(update={"region_id": "twin", "position": other}))
            regions[-1] = regions[-1].model_copy(update={"distortions": []})
    end = "most" if re.search(r"\bmost\b", asked) else "least"
    ask: Ask | None = {
        "grounding_hyd": "worst" if end == "most" else "best",
        "grounding_sid": "strongest" if end == "most" else "weakest",
        "grounding_dao": "order",
    }.get(task)  # type: ignore[assignment]
    targets = [subject.region_id] if subject is not None else []
    sample = Sample(
        sample_id="fake",
        kind="whole" if whole else KINDS.get(task, "single"),
        source_image=SOURCE,
        regions=regions,
        target_region_ids=targets,
        whole_image=whole,
        ask=ask,
        ask_order=_order(asked, subject) if task == "grounding_dao" and subject else [],
        seed=0,
    )
    return Draft("row", "fake", task, tuple(targets), whole, subject.region_id if subject else None), sample


def _region(number: int, entry: dict[str, Any], known: dict[str, Any]) -> Region:
    damage = entry.get("damage", known.get("damage", []) if known["whole_picture"] else [])
    mask = mask_at(0)
    return Region(
        region_id=f"r{number}",
        label=entry["name"],
        label_score=None,
        bbox=masks.bounding_box(mask),
        area=int(mask.sum()),
        mask=masks.encode(mask),
        position=PLACES[entry["place"]],
        distortions=[_distortion(d, order) for order, d in enumerate(damage, start=1)],
    )


def _distortion(damage: dict[str, Any], order: int) -> Distortion:
    lexicon = load_lexicon()
    name = min(lexicon.phrase(normalize(damage["name"])).names)
    (level,) = frozenset.intersection(*(lexicon.severity[word] for word in damage["strength"]))
    return Distortion(name=name, category=lexicon.group(name).category, level=level, order=order)


def _subject(asked: str, task: Task, regions: list[Region]) -> Region:
    if not task.startswith("grounding"):
        return regions[0]
    found = re.search(r"calls the region the (.+), and says that it is (.+)\.", asked)
    assert found is not None, asked
    return next(r for r in regions if (r.label, facts.place(r.position)) == (found[1], found[2]))


def _order(asked: str, subject: Region) -> list[str]:
    found = re.search(r"which region shows (.+) that was there before (.+?)\. It", asked)
    assert found is not None, asked
    names = {facts.damage_name(d.name): d.name for d in subject.distortions}
    return [names[found[1]], names[found[2]]]
