"""Small sets in the shapes in which Q-Instruct and DQ-495K are published: every variant of every file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from distortions import apply
from tests.conftest import photograph

Values = dict[str, Any]
TOKENS = ("{q}\n<image>", "<image>\n{q}", "{q}<image>", "<image>{q}", "{q}\n<|image|>", "<|image|>{q}", "{q}")
"""The image token before and after, with and without newline, in either spelling; and none."""


def write_png(path: Path, rgb: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", np.ascontiguousarray(rgb[..., ::-1]))[1].tobytes())


def write_jpeg(path: Path, rgb: np.ndarray, quality: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    path.write_bytes(cv2.imencode(".jpg", np.ascontiguousarray(rgb[..., ::-1]), options)[1].tobytes())


def write_rows(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(rows, indent=4), encoding="utf-8")
    return path


def dialogue(*texts: str) -> list[Values]:
    return [{"from": ("human", "gpt")[k % 2], "value": text} for k, text in enumerate(texts)]


# Q-Instruct


def q_row(picture: str | None, question: str, answer: str, **more: Any) -> Values:
    row: Values = {"conversations": dialogue(question, answer), **more}
    return row if picture is None else {"image": picture, **row}


def q_instruct_rows() -> list[tuple[Values, Values]]:
    """(row, what it is to become: task, messages, pictures) of both label files."""
    one, two = "spaq_koniq/00003.jpg", "livefb_liveitw_aigc/a b.jpg"
    cases = []
    for number, form in enumerate(TOKENS):
        question = f"Is this image blurry, case {number}?"
        row = q_row(one, form.format(q=question), "yes", id=f"q{number}")
        cases.append((row, {"task": "external_question", "texts": [question, "Yes."], "pictures": [one]}))
    no_id = q_row(two, "<image>\nHow is the lighting of this building?", "The lighting is dim")
    cases.append(
        (
            no_id,
            {
                "task": "external_question",
                "texts": ["How is the lighting of this building?", "The lighting is dim."],
                "pictures": [two],
            },
        )
    )
    options = "Which part is sharp?\nA. The sky\nB. The tower\nC. None"
    for number, answer in enumerate(("B", "B.", "(B)", "The tower", "B. The tower", "the tower.")):
        question = f"Case {number}: {options}"
        row = q_row(two, f"{question}\n<image>", answer)
        texts = [question, "B. The tower"]
        cases.append((row, {"task": "external_choice", "texts": texts, "pictures": [two]}))
    long = "The image is clear in the middle, but its edges are blurred and its sky is overexposed, so fair"
    cases.append(
        (
            q_row(one, "<image>\nDescribe and evaluate the quality of the image.", long),
            {
                "task": "global_description",
                "texts": ["Describe and evaluate the quality of the image.", long + "."],
                "pictures": [one],
            },
        )
    )
    cases.append(
        (
            q_row(
                two,
                "<|image|>How would you rate the quality of this image?",
                "The quality of the image is Good",
            ),
            {
                "task": "external_rating",
                "texts": [
                    "How would you rate the quality of this image?",
                    "The quality of the image is good.",
                ],
                "pictures": [two],
            },
        )
    )
    turns = dialogue("<image>\nIs the cat sharp?", "Yes", "And its ears?", "no")
    cases.append(
        (
            {"id": 7, "image": one, "conversations": turns},
            {
                "task": "external_question",
                "texts": ["Is the cat sharp?", "Yes.", "And its ears?", "No."],
                "pictures": [one],
            },
        )
    )
    cases.append(
        (
            q_row(None, "What is a lens?", "A piece of glass"),
            {"task": "external_general", "texts": ["What is a lens?", "A piece of glass"], "pictures": []},
        )
    )
    return cases


def write_q_instruct(root: Path) -> list[Path]:
    """Both label files and the folder `images`."""
    write_jpeg(root / "images/spaq_koniq/00003.jpg", photograph("astronaut", 160))
    write_jpeg(root / "images/livefb_liveitw_aigc/a b.jpg", photograph("flower", 160))
    rows = [row for row, _ in q_instruct_rows()]
    return [
        write_rows(root / "cleaned_labels.json", rows[: len(rows) // 2]),
        write_rows(root / "qinstruct_qalign.json", rows[len(rows) // 2 :]),
    ]


# DQ-495K

BLUR = {"distortion_class": "blur", "distortion_name": "blur_gaussian", "severity": 4}
SHIFT = {
    "distortion_class": "brighten",
    "distortion_name": "brightness_brighten_shfit_HSV",
    "severity": 5,
}
BOTH = {
    "distortion_classes": ["saturate_strengthen", "compression"],
    "distortion_names": ["saturate_strengthen_YCrCb", "compression_jpeg"],
    "severities": [2, 3],
}
PRISTINE = {"distortion_class": None, "distortion_name": None, "severity": 0}
PRISTINES = {"distortion_classes": None, "distortion_names": None, "severities": 0}


def dq_row(stem: str, folder: str, **more: Any) -> Values:
    """A row with reference about a single picture."""
    row: Values = {
        "id": f"{stem}",
        "image_ref": "KADIS700K/ref_imgs_s224/china.png",
        "image_A": f"KADIS700K/{folder}/dist_imgs/{stem}.png",
        "image_B": None,
        "task_type": "quality_single_A",
    }
    row |= more
    if "query" not in row:
        row.setdefault("conversations", dialogue("What is the most critical quality issue?", "gaussian blur"))
    return {key: value for key, value in row.items() if value != "absent"}


def without_reference(**more: Any) -> Values:
    return {"image_ref": None, "task_type": "quality_single_A_noref", **more}


def pair(stem: str, folder: str, kind: str = "quality_compare", **more: Any) -> Values:
    reference = None if kind.endswith("noref") else "KADIS700K/ref_imgs_s224/china.png"
    second = f"KADIS700K/{folder}/dist_imgs/china_1.png"
    return dq_row(stem, folder, image_B=second, image_ref=reference, task_type=kind, **more)


DQ_FILES: dict[str, tuple[str, list[Values]]] = {
    "KADIS700K/refA_sd_brief/metas/train_refA_sd_mix_112k.json": (
        "external_identification",
        [dq_row("china_0", "refA_sd_brief", **BLUR), dq_row("china_1", "refA_sd_brief", **SHIFT)],
    ),
    "KADIS700K/metas_combine/train_refA_mix_sd84k_md28k.json": (
        "external_identification",
        [
            dq_row("china_2", "refA_md_brief", **BOTH),
            dq_row("china_3", "refA_sd_brief", **PRISTINE),
            dq_row("china_4", "refA_md_brief", **PRISTINES),
        ],
    ),
    "KADIS700K/refA_sd_brief/metas/test_refA_sd_single_5k.json": (
        "external_identification",
        [
            dq_row(
                "rocket_0",
                "refA_sd_brief",
                **BLUR,
                image_ref="KADIS700K/ref_imgs_s224/rocket.png",
                query="Which distortion?",
                answer="blur",
            )
        ],
    ),
    "KADIS700K/A_sd_brief/metas/train_A_sd_mix_98k_exclude.json": (
        "external_identification",
        [dq_row("china_0", "A_sd_brief", **without_reference(**BLUR))],
    ),
    "KADIS700K/A_md_brief/metas/train_A_md_mix_75k_exclude.json": (
        "external_identification",
        [dq_row("china_1", "A_md_brief", **without_reference(**BOTH))],
    ),
    "KADIS700K/metas_combine/train_A_mix_sd80k_md27k.json": (
        "external_identification",
        [dq_row("china_2", "A_md_brief", **without_reference(**BOTH))],
    ),
    "KADIS700K/A_md_brief/metas/test_A_md_single_3k_exclude.json": (
        "external_identification",
        [
            dq_row(
                "rocket_1",
                "A_md_brief",
                **without_reference(**BOTH, query="Which distortions?", answer="two"),
            )
        ],
    ),
    "KADIS700K/refA_sd_detail/metas/train_refA_sd_detail_20k.json": (
        "external_description",
        [dq_row("china_0", "refA_sd_detail", **BLUR)],
    ),
    "KADIS700K/A_md_detail/metas/train_A_md_detail_8k.json": (
        "global_description",
        [dq_row("china_0", "A_md_detail", **without_reference(**BOTH))],
    ),
    "KADIS700K/refAB_sd_detail/metas/train_refAB_sd_detail_20k.json": (
        "external_comparison_description",
        [pair("china_0", "refAB_sd_detail", distortions_A=BLUR, distortions_B=PRISTINE)],
    ),
    "KADIS700K/AB_md_detail/metas/train_AB_md_detail_8k.json": (
        "external_comparison_description",
        [pair("china_0", "AB_md_detail", "quality_compare_noref", distortions_A=BOTH, distortions_B=BLUR)],
    ),
    "KADIS700K/refAB_sd_detail/metas/test_refAB_sd_detail_200.json": (
        "",
        [pair("china_0", "refAB_sd_detail", query="Compare both.", distortions_A=BLUR, distortions_B=BLUR)],
    ),
    "BAPPS/metas/train_refAB_bapps_115k.json": (
        "external_comparison",
        [
            pair("china_0", "refAB_sd_detail", A_better_B=False),
            pair("china_2", "refAB_sd_detail", A_better_B=True),
        ],
    ),
    "KADID10K/metas/train_AB_kadid_30k.json": (
        "external_comparison",
        [pair("china_3", "AB_md_detail", "quality_compare_noref", A_better_B=True)],
    ),
    "KADIS700K/metas_combine/lamm.json": (
        "external_general",
        [
            {
                "id": "lamm_1",
                "image": "KADIS700K/ref_imgs_s224/china.png",
                "task_type": "detailed_description",
                "conversations": dialogue("What is shown?", "A palace."),
            }
        ],
    ),
}
"""Each published file in small: the task its rows get ("" for questions without an answer), and its rows."""


def pictures_of(row: Values) -> list[str]:
    keys = ("image", "image_ref", "image_A", "image_B")
    return [row[key] for key in keys if isinstance(row.get(key), str)]


def write_dq_pictures(root: Path, rows: list[Values]) -> None:
    """Files for all pictures that rows name: photographs, and versions of them that differ by their names."""
    names = ["blur_gaussian", "noise_gaussian_RGB", "compression_jpeg", "pixelate", "oversharpen"]
    for number, name in enumerate(sorted({name for row in rows for name in pictures_of(row)})):
        stem = Path(name).stem
        rgb = photograph(stem.split("_")[0], 144)
        if "dist_imgs" in name:
            rgb = apply(rgb, names[number % 5], 1 + number // 5 % 5, seed=number)
        write_png(root / name, rgb)


def write_dq_495k(root: Path) -> list[Path]:
    """All files of DQ-495K with their pictures below `root`."""
    write_dq_pictures(root, [row for _, rows in DQ_FILES.values() for row in rows])
    return [write_rows(root / name, rows) for name, (_, rows) in DQ_FILES.items()]
