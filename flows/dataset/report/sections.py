"""The sections of the report page below the gallery."""

from __future__ import annotations

from collections.abc import Mapping

from flows.dataset.report import charts
from flows.dataset.report.cards import CATEGORIES
from flows.dataset.report.data import ReportData, share
from flows.dataset.report.markup import esc, number, percent, plural, seconds, size, words
from schemas.records import SPLITS

_LEVELS = tuple(f"level {k}" for k in range(1, 6))
_MAX_GROUPS = 60
_MAX_DUPLICATES = 20
_MAX_KEPT_OUT = 200


def tasks(data: ReportData) -> str:
    """Rows by task and split, the splits, the sources and the licences."""
    by_task = charts.figure(
        "Rows by task",
        charts.stacked(
            [(task, [splits[s] for s in SPLITS]) for task, splits in data.tasks.items()],
            ("task", "rows"),
            SPLITS,
            "splits",
            words,
        )
        + charts.legend(SPLITS, "splits"),
    )
    rows = [
        [
            f"<b>{esc(split)}</b>",
            number(data.splits[split]),
            number(data.split_pictures[split]),
            number(data.split_photographs[split]),
        ]
        for split in SPLITS
    ]
    for source, splits in data.sources.items():
        rows += [
            [f'<span class="sub">{esc(source, 60)}, {esc(split)}</span>', number(count), "", ""]
            for split, count in splits.items()
            if count and len(data.sources) > 1
        ]
    leak = (
        "No photograph is in two splits."
        if data.shared_photographs == 0
        else f'<strong class="bad">{plural(data.shared_photographs, "photograph is", "photographs are")} '
        "in two splits.</strong>"
    )
    split_table = charts.figure(
        "Splits", charts.table(("split", "rows", "pictures", "photographs"), rows, (1, 2, 3)), leak
    )
    origin = charts.figure(
        "Where the rows come from",
        charts.bars([(name, sum(n.values())) for name, n in data.sources.items()], ("source", "rows"))
        + "<h4>Text written by</h4>"
        + charts.bars(list(data.generators.items()), ("generator", "rows"))
        + "<h4>Licence of the photograph</h4>"
        + charts.bars(list(data.licenses.items())[:12], ("licence", "rows")),
    )
    return f'<div class="panels">{by_task}{split_table}{origin}</div>'


def merged(data: ReportData) -> str:
    """What merging did with the sources: rows kept, twice, contradicting, removed for an evaluation set."""
    build = data.build
    licences = charts.figure(
        "Sources and licences",
        charts.table(
            ("source", "licence", "rows"),
            [
                [esc(source, 60), esc(licence, 160), number(count)]
                for (source, licence), count in data.source_licenses.items()
            ],
            (2,),
        ),
    )
    steps = charts.figure(
        "What merging did",
        _counts(build.merged, "Nothing was merged."),
        "Evaluation pictures go first; then refused licences, repeated dialogues, contradictions, and what "
        "the mixture leaves out. What was injected and measured here counts more than what another generator "
        "says it did, and that more than what people wrote.",
    )
    rows = [
        [
            esc(entry.source, 40),
            f"<code>{esc(entry.uri, 90)}</code>",
            f"<code>{esc(entry.picture, 90)}</code>",
            esc(entry.how, 20),
        ]
        for entry in build.kept_out[:_MAX_KEPT_OUT]
    ]
    kept_out = charts.figure(
        "Pictures of evaluation sets, removed",
        charts.table(("source", "picture", "is or shows", "kind"), rows)
        if rows
        else '<p class="empty">No picture of an evaluation set was found.</p>',
        plural(len(build.kept_out), "picture")
        + (
            f", the first {_MAX_KEPT_OUT} shown; all are in <code>manifest.json</code>."
            if len(build.kept_out) > _MAX_KEPT_OUT
            else "."
        ),
        "wide",
    )
    return f'<div class="panels">{licences}{steps}</div>{kept_out}'


def distortions(data: ReportData) -> str:
    """Types within their classes, cut by level; levels; measured strength."""
    if not data.distortions:
        return '<p class="empty">No row carries a distortion.</p>'
    groups = []
    for category, total in data.categories.items():
        colour = f"c{CATEGORIES.index(category)}" if category in CATEGORIES else "c99"
        groups.append(
            f'<tr class="class"><th scope="rowgroup" colspan="2"><i class="dot {colour}"></i>'
            f"{esc(words(category))}</th>"
            f'<td class="n">{number(total)}</td></tr>'
        )
    most = max(kind.total for kind in data.distortions)
    lines = []
    for heading, category in zip(groups, data.categories, strict=True):
        lines.append(f"<tbody>{heading}")
        for kind in data.distortions:
            if kind.category == category:
                pieces = charts.strip(kind.levels, _LEVELS, most)
                lines.append(
                    f'<tr><th scope="row"><code>{_breakable(kind.name)}</code></th>'
                    f'<td class="bar" aria-hidden="true">{pieces}</td>'
                    f'<td class="n">{number(kind.total)}</td></tr>'
                )
        lines.append("</tbody>")
    unused = sorted(set(data.build.catalogue) - {kind.name for kind in data.distortions})
    note = ""
    if unused:
        note = "Never injected: " + ", ".join(f"<code>{esc(name)}</code>" for name in unused) + "."
    types = charts.figure(
        "Types within their classes",
        charts.legend(_LEVELS, "levels")
        + '<table class="bars levels types"><thead class="sr">'
        + "<tr><th>type</th><th></th><th>injected</th></tr></thead>"
        + "".join(lines)
        + "</table>",
        note,
    )
    by_class = charts.figure(
        "Classes", charts.bars(list(data.categories.items()), ("class", "injected"), words)
    )
    by_level = charts.figure(
        "Levels",
        charts.bars([(_LEVELS[k], count) for k, count in enumerate(data.levels)], ("level", "injected")),
    )
    strength = charts.figure(
        "Measured strength of distorted regions",
        charts.columns(
            data.strengths,
            [(k / 2, f"{k / 2:g}") for k in range(8)],
            _told("Histogram of perceptual strength", data.strengths.quantile(0.5), ""),
        ),
        "0 is identical to the photograph; 3.41 is the end of the scale.",
    )
    by_strength = charts.figure(
        "Strength by level",
        charts.ranges(
            list(zip(_LEVELS, data.strengths_by_level, strict=True)), ("level", "median strength"), "", 2
        ),
        "Regions with one distortion. Line: the middle 90%; box: the middle half; tick and number: the "
        "median.",
    )
    return f'<div class="panels">{types}{by_class}{by_level}{strength}{by_strength}</div>'


def regions(data: ReportData) -> str:
    """Size, place, and what the filters dropped."""
    sizes = charts.figure(
        "Size of distorted regions",
        charts.columns(
            data.sizes,
            [
                (2.0**k / 1024, text)
                for k, text in enumerate(
                    ("0.1%", "0.2%", "0.4%", "0.8%", "1.6%", "3%", "6%", "13%", "25%", "50%", "100%")
                )
            ],
            _told("Histogram of region area as a share of the picture", data.sizes.quantile(0.5), " of it"),
        ),
        f"Share of the picture, on a logarithmic scale. Median {percent(data.sizes.quantile(0.5) or 0.0)}.",
    )
    across = 3 if data.build.position_grid == "thirds" else 2
    place = charts.figure(
        "The place the text names", charts.grid(data.positions, across), "Share of distorted regions."
    )
    centre = charts.figure(
        "Centroids",
        charts.density(
            data.density, "Map of where the centroids of distorted regions lie, darkest where most do"
        ),
        "All pictures stretched to one frame, smoothed by one cell.",
    )
    dropped = charts.figure(
        "Regions dropped, by rule",
        charts.bars(list(data.filters.items()), ("rule", "regions"), lambda rule: rule.replace("-", " "))
        if data.filters
        else '<p class="empty">No region was dropped.</p>',
    )
    return f'<div class="panels">{place}{centre}{sizes}{dropped}</div>'


def texts(data: ReportData) -> str:
    """Length and variety of answers."""
    length = charts.figure(
        "Words in an answer",
        charts.ranges([(words(t.task), t.words) for t in data.text], ("task", "median words"), "", 0),
        "Line: the middle 90%; box: the middle half; tick and number: the median.",
    )
    variety = charts.figure(
        "Different answers",
        charts.table(
            ("task", "answers", "different", "share"),
            [
                [
                    esc(words(t.task)),
                    number(t.answers),
                    number(t.distinct),
                    percent(share(t.distinct, t.answers)),
                ]
                for t in data.text
            ],
            (1, 2, 3),
        ),
        f"Over all tasks {number(data.distinct_answers)} of {plural(data.answers, 'answer')} "
        f"({percent(share(data.distinct_answers, data.answers))}) and "
        f"{plural(data.distinct_questions, 'question')} are different.",
    )
    repeated = ""
    if data.repeated_answers:
        repeated = charts.figure(
            "Most repeated answers",
            charts.table(
                ("answer", "times"),
                [[esc(text, 160), number(times)] for text, times in data.repeated_answers],
                (1,),
            ),
        )
    return f'<div class="panels">{length}{variety}{repeated}</div>'


def balances(data: ReportData) -> str:
    """How even the counts are."""
    rows = [
        [
            f"<b>{esc(b.what)}</b>",
            number(b.groups),
            f"{b.evenness:.3f}",
            f"{b.imbalance:.3f}",
            f"{b.chi_square:,.1f}",
            f"{esc(words(b.largest[0]), 40)} <small>{number(b.largest[1])}</small>",
            f"{esc(words(b.smallest[0]), 40)} <small>{number(b.smallest[1])}</small>",
        ]
        for b in data.balance
    ]
    head = ("of", "groups", "evenness", "imbalance", "chi-square", "most", "least")
    return charts.figure(
        "Against equal counts",
        charts.table(head, rows, (1, 2, 3, 4)),
        "Evenness is the entropy over its maximum: 1 is equal. Imbalance is the square root of chi-square "
        "over its maximum: 0 is equal, 1 is everything in one group; it doesn't grow with the dataset. "
        "Places follow the photographs, so they need not be equal.",
        "wide",
    )


def build(data: ReportData) -> str:
    """Time, shards, plans that failed, duplicates and quarantine."""
    summary = data.build
    total = sum(summary.seconds.values())
    most = max(summary.seconds.values(), default=0.0) or 1.0
    lines = []
    for stage in dict.fromkeys((*summary.seconds, *summary.shards)):
        spent, count = summary.seconds.get(stage, 0.0), summary.shards.get(stage)
        made = f"{number(count.new)} new, {number(count.reused)} reused" if count else ""
        lines.append(
            f'<tr><th scope="row">{esc(words(stage))}</th><td class="bar" aria-hidden="true">'
            f'<i class="p0" style="width:{100 * spent / most:.2f}%"></i></td>'
            f'<td class="n">{seconds(spent)}</td><td class="n muted">{made}</td></tr>'
        )
    by = f" with {plural(summary.workers, 'worker')} ({esc(summary.runner)})" if summary.workers else ""
    new = sum(count.new for count in summary.shards.values())
    reused = sum(count.reused for count in summary.shards.values())
    time = charts.figure(
        "Time and shards by stage",
        '<table class="bars one stages"><thead class="sr"><tr><th>stage</th><th></th><th>time</th><th>'
        f"shards</th></tr></thead><tbody>{''.join(lines)}</tbody></table>",
        f"{seconds(total)} in all{by}; {plural(new, 'shard')} made, {number(reused)} reused"
        + (f"; {size(summary.dataset_bytes)} on disk." if summary.dataset_bytes else "."),
    )
    skips = charts.figure(
        "Samples that couldn't be planned",
        _counts(summary.skips, "Every wanted sample was planned."),
        "A photograph without two fitting regions, or without a margin, gives fewer samples."
        if summary.skips
        else "",
    )
    refusals = charts.figure(
        "Dialogues refused by a check",
        _counts(summary.refusals, "Every dialogue passed at its first attempt.", "dialogues"),
        "Each was written again, and its row set aside when the last attempt failed too."
        if summary.refusals
        else "",
    )
    inputs = ""
    if summary.inputs:
        inputs = f"{plural(summary.inputs, 'file')} given. "
    copies = charts.figure(
        "Duplicate photographs left out",
        charts.table(
            ("left out", "kept", "kind"),
            [
                [f"<code>{esc(d.uri, 90)}</code>", f"<code>{esc(d.kept, 90)}</code>", esc(d.kind, 20)]
                for d in summary.duplicates[:_MAX_DUPLICATES]
            ],
        )
        if summary.duplicates
        else '<p class="empty">No photograph was given twice.</p>',
        inputs
        + (
            f"{plural(len(summary.duplicates), 'duplicate')}, the first {_MAX_DUPLICATES} shown."
            if len(summary.duplicates) > _MAX_DUPLICATES
            else plural(len(summary.duplicates), "duplicate") + "."
        ),
    )
    return f'<div class="panels">{time}{skips}{refusals}{copies}</div>{_quarantine(data)}'


def _quarantine(data: ReportData) -> str:
    if not data.quarantine:
        return charts.figure("Quarantine", '<p class="empty">Nothing was quarantined.</p>', kind="wide")
    rows = [
        [
            esc(words(group.stage), 40),
            f"<b>{esc(group.reason, 60)}</b>",
            number(group.count),
            "".join(
                f'<p class="example"><code>{esc(source, 120)}</code> {esc(error, 240)}</p>'
                for source, error in group.examples
            ),
        ]
        for group in data.quarantine[:_MAX_GROUPS]
    ]
    left = len(data.quarantine) - _MAX_GROUPS
    return charts.figure(
        "Quarantine",
        charts.table(("stage", "reason", "samples", "for example"), rows, (2,)),
        f"{plural(data.quarantined, 'sample')} set aside; all are in <code>quarantine.parquet</code>."
        + (f" {plural(left, 'more reason is', 'more reasons are')} not shown." if left > 0 else ""),
        "wide",
    )


def _counts(counts: Mapping[str, int], nothing: str, what: str = "samples") -> str:
    if not counts:
        return f'<p class="empty">{nothing}</p>'
    ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))
    return charts.bars(ordered, ("reason", what), words)


def _breakable(name: str) -> str:
    """A catalogue name that may break after its underscores."""
    return esc(name, 60).replace("_", "_<wbr>")


def _told(what: str, median: float | None, unit: str) -> str:
    if median is None:
        return f"{what}: empty"
    return f"{what}, median {percent(median) if unit else f'{median:.2f}'}{unit}"
