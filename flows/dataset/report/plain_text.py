"""Numbers, durations, sizes and catalog names as a person reads them."""

from __future__ import annotations


def number(value: int) -> str:
    """1234567 -> 1,234,567."""
    return f"{value:,}"


def percent(share: float) -> str:
    """0.123 -> 12.3%; a share that isn't nothing never reads 0%."""
    if 0 < share < 0.001:
        return "<0.1%"
    return f"{100 * share:.0f}%" if share in (0.0, 1.0) else f"{100 * share:.1f}%"


def seconds(value: float) -> str:
    """A duration as a person says it: 0.42 s, 12.3 s, 4 min 05 s, 2 h 07 min."""
    if value < 10:
        return f"{value:.2f} s"
    if value < 60:
        return f"{value:.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(count: int) -> str:
    """Bytes in decimal units: 999 B, 12.3 kB, 4.5 MB."""
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 999.5:
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def words(slug: str) -> str:
    """local_description -> local description."""
    return slug.replace("_", " ")


def plural(count: int, one: str, many: str = "") -> str:
    """3, "row" -> "3 rows"."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"
