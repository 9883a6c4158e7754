"""One place that decides what is taken: the part, the classes, what is left out, and how that is counted.

In: `Listing`, what every reader (folder, archive, table, library) makes of its source. Out: `ImageDataset`.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from fennec.errors import DataError

from .datasets import N_NAMED, ImageDataset, Labels, Taken, count, encode_labels
from .decode import Content, UnreadableImage, check_regular, readable
from .kinds import CLOSED, STAND_INS, advice
from .parts import choose_parts
from .tables import MISSING

HASHED_BYTES = 256_000_000  # read at most in search of duplicates
HASHED_ROWS = 2_000  # pictures without a mark, read at most in search of duplicates
MARKED_ROWS = 200_000  # pictures whose marks are compared at most
PARTLY = "equal pictures were looked for in some of it"


@dataclass(slots=True)
class Row:
    """One picture, or one file that is none.

    Attributes:
        item: name, for messages.
        label: class, None where there is none.
        part: name of the part as the source has it, None outside parts.
        problem: why it is no picture to take: its kind (`.heic`), or a clause after "file" (`missing`).
    """

    item: str
    label: str | None = None
    part: str | None = None
    problem: str | None = None


@dataclass(frozen=True, eq=False)
class Listing:
    """What a reader found.

    Attributes:
        name: what to call the dataset.
        where: the source, for messages.
        rows: pictures and what is none, in a fixed order.
        load: content of the row at a position.
        mark: something cheap that differs only where contents differ (size, checksum), None where nothing is cheap.
        parts: names of the parts there are, those of the rows when None.
        chosen: parts that the reader has chosen already, all rows being theirs; None to choose among the rows.
        columns: which column serves as what.
        columns_not_used: the others.
        others: parts that were not chosen, to look for equal pictures in them.
        notes: what the user should know.
    """

    name: str
    where: str
    rows: Sequence[Row]
    load: Callable[[int], Content]
    mark: Callable[[int], Hashable] | None = None
    parts: tuple[str, ...] | None = None
    chosen: tuple[str, ...] | None = None
    columns: dict[str, str] = field(default_factory=dict)
    columns_not_used: tuple[str, ...] = ()
    others: tuple[Listing, ...] = ()
    notes: tuple[str, ...] = ()


def take(listing: Listing, split: str | None) -> ImageDataset:
    """The pictures of one part, those without a label left out where others have one; all else is counted.

    Args:
        listing: what a reader found.
        split: the part wanted, by name or meaning; the training part when None.

    Raises:
        InputError: no such part, no pictures in it, or a class of it has nothing that is read.
    """
    rows = listing.rows
    names = sorted(set(listing.parts if listing.parts is not None else filter(None, {row.part for row in rows})))
    chosen = listing.chosen
    if chosen is None:
        chosen = (
            choose_parts(names, split, listing.where, listing.columns.get("part")) if names or split is not None else ()
        )
    everything = not chosen or listing.chosen is not None
    inside = [index for index, row in enumerate(rows) if everything or row.part in chosen
              or (row.part is None and row.problem is not None)]  # fmt: skip
    outside = 0 if everything else sum(row.part is None and row.problem is None for row in rows)
    good = [index for index in inside if rows[index].problem is None]
    bad = [rows[index] for index in inside if rows[index].problem is not None]
    not_read = Counter(str(row.problem) for row in bad)
    if outside:
        not_read["without a part"] += outside
    labelled = [index for index in good if rows[index].label is not None]
    kept = labelled or good
    if not kept:
        raise DataError(_nothing(listing, chosen, not_read))
    _check_classes(listing, bad, {rows[index].label for index in labelled})
    labels: Labels | None = None
    class_names: tuple[str, ...] = ()
    if labelled:
        labels, class_names = encode_labels([_text(str(rows[index].label)) for index in labelled])
    texts = Counter(_text(str(rows[index].label)) for index in labelled)
    across_parts, across_classes, complete = _duplicates(listing, kept, chosen)
    help_ = advice(set(not_read))
    notes = [*listing.notes, *_alike(class_names), *([help_] if help_ else []), *([] if complete else [PARTLY])]
    taken = Taken(
        name=_text(listing.name),
        n_images=len(kept),
        class_counts=dict(sorted(texts.items(), key=lambda pair: (-pair[1], pair[0]))),
        part=_text(", ".join(chosen)) or None,
        other_parts=tuple(_text(name) for name in names if name not in chosen),
        not_read={
            _text(kind): n
            for kind, n in sorted(not_read.items(), key=lambda pair: (pair[0] not in CLOSED, -pair[1], pair[0]))
        },
        n_unlabelled=len(good) - len(kept),
        columns={use: _text(column) for use, column in listing.columns.items()},
        columns_not_used=tuple(map(_text, listing.columns_not_used)),
        across_parts=across_parts,
        across_classes=across_classes,
        notes=tuple(map(_text, notes)),
    )
    return ImageDataset(
        _text(listing.name),
        [_text(rows[index].item) for index in kept],
        lambda position: listing.load(kept[position]),
        labels,
        class_names,
        tuple((_text(row.item), "no such file") for row in bad if row.problem == MISSING),
        taken=taken,
    )


def _alike(class_names: Sequence[str]) -> list[str]:
    """A word on classes whose names differ only in capitals, between words, or in how accents are coded."""
    same: dict[str, list[str]] = defaultdict(list)
    for name in class_names:
        words = unicodedata.normalize("NFC", name).casefold().strip()
        same[re.sub(r"(?<=\w)[\s_-]+(?=[^\W_])", " ", words)].append(name)
    pairs = [f"'{names[0]}' and '{names[1]}'" for names in same.values() if len(names) > 1]
    more = f" (and {len(pairs) - N_NAMED} more such names)" if len(pairs) > N_NAMED else ""
    return [f"written almost alike and taken as different classes: {', '.join(pairs[:N_NAMED])}{more}"] if pairs else []


def _nothing(listing: Listing, chosen: Sequence[str], not_read: Counter[str]) -> str:
    """Why there is nothing to take."""
    place = f"part '{', '.join(chosen)}' of '{listing.where}'" if chosen else f"'{listing.where}'"
    holds = ", ".join(f"{n:,} {kind}" if kind.startswith(".") else f"{count(n, 'file')} {kind}"
                      for kind, n in not_read.most_common(5))  # fmt: skip
    help_ = advice(set(not_read))
    return f"no images in {place} (it holds {holds or 'nothing'})" + (f"; {help_}" if help_ else "")


def _check_classes(listing: Listing, bad: Sequence[Row], there: set[str | None]) -> None:
    """A class whose pictures are all of kinds that are not read makes the problem a smaller one: refused."""
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    for row in bad:
        if row.label is not None and row.label not in there and row.problem is not None:
            kinds[row.label][row.problem] += 1
    lost = {label: found for label, found in kinds.items() if any(k in STAND_INS or k == MISSING for k in found)}
    if not lost:
        return
    label = min(lost)
    holds = ", ".join(f"{n:,} {kind}" for kind, n in lost[label].most_common(3))
    more = f" (and {len(lost) - 1} more classes)" if len(lost) > 1 else ""
    help_ = advice(set(lost[label])) or "convert them to JPEG or PNG, or take it out"
    raise DataError(f"class '{label}' of '{listing.where}'{more} has no picture that is read: {holds}; {help_}")


def _duplicates(listing: Listing, kept: Sequence[int], chosen: Sequence[str]) -> tuple[int, int, bool]:
    """How many of the pictures taken are also in another part, and in another class; whether all were compared.

    Contents are read only where marks are equal, and only up to `HASHED_BYTES`.
    """
    rows = listing.rows
    mine = [(listing, index) for index in kept]
    others = [(listing, index) for index, row in enumerate(rows) if row.problem is None and chosen
              and row.part not in chosen and row.part is not None]  # fmt: skip
    others += [(other, index) for other in listing.others for index, row in enumerate(other.rows) if not row.problem]
    pool = [*mine, *others]
    if len(pool) > (MARKED_ROWS if all(each.mark for each in (listing, *listing.others)) else HASHED_ROWS):
        return 0, 0, False
    marked: dict[Hashable, list[int]] = defaultdict(list)
    for at, (source, index) in enumerate(pool):
        marked[source.mark(index) if source.mark else None].append(at)
    labels = [rows[index].label for index in kept]
    across_parts = across_classes = n_bytes = 0
    for group in marked.values():
        if len({(labels[at] if at < len(mine) else None, at < len(mine)) for at in group}) < 2:
            continue
        equal: dict[bytes, list[int]] = defaultdict(list)
        for at in group:
            source, index = pool[at]
            try:
                with readable():
                    content = source.load(index)
                    n_bytes += _size(content)
                    if n_bytes > HASHED_BYTES:
                        return across_parts, across_classes, False
                    equal[hashlib.blake2b(_bytes(content), digest_size=16).digest()].append(at)
            except UnreadableImage:
                continue
        for same in equal.values():
            here = [at for at in same if at < len(mine)]
            across_parts += len(here) if len(here) < len(same) else 0
            across_classes += len(here) if len({labels[at] for at in here}) > 1 else 0
    return across_parts, across_classes, True


def _size(content: Content) -> int:
    """Bytes of a content, before it is read."""
    if isinstance(content, (str, Path)):
        return check_regular(Path(content)).stat().st_size
    if isinstance(content, Image.Image):
        return content.width * content.height * len(content.getbands())
    return len(content)


def _bytes(content: Content) -> bytes:
    """Encoded content of a row, or the pixels of what is a picture already."""
    if isinstance(content, (str, Path)):
        return Path(content).read_bytes()
    if isinstance(content, Image.Image):
        return f"{content.mode} {content.size} ".encode() + content.tobytes()
    return content


def _text(name: str) -> str:
    """A name as text: bytes of a file system that are none are escaped, so that it can be written anywhere."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
