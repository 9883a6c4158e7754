"""The words in which the catalog says what weights were trained on and how.

In: `data/vocabulary.csv`, one line a word. Out: words with numbers of images, and texts of people put into them.
"""

from __future__ import annotations

from functools import cache

from fennec.errors import InputError, did_you_mean
from fennec.settings import data_dir

KINDS = ("data", "method")
# What papers and earlier versions call the same thing.
SPELLINGS = {"imagenet": "imagenet-1k", "imagenet-22k": "imagenet-21k", "imagenet-11k": "imagenet-21k",
             "in1k": "imagenet-1k", "in12k": "imagenet-12k", "in21k": "imagenet-21k", "in22k": "imagenet-21k",
             "yfcc100m": "yfcc-100m", "yfcc15m": "yfcc-15m", "dfn2b": "dfn-2b", "dfn5b": "dfn-5b",
             "datacomp": "datacomp-1b", "datacompxl": "datacomp-1b", "laion2b": "laion-2b", "laion400m": "laion-400m",
             "laion-aesthetic": "laion-a", "lvd142m": "lvd-142m", "lvd1689m": "lvd-1689m", "openai": "wit-400m",
             "random": "none", "scratch": "none"}  # fmt: skip


@cache
def load_vocabulary(kind: str) -> dict[str, int | None]:
    """Words of a kind, `data` or `method`, with the number of different images where that is known."""
    import pandas as pd

    table = pd.read_csv(data_dir() / "vocabulary.csv")
    table = table[table["kind"] == kind]
    counts = zip(table["word"], table["images"], strict=True)
    return {str(word): None if images != images else int(images) for word, images in counts}


def in_words(text: str, kind: str) -> str:
    """A text in the words of the vocabulary.

    Args:
        text: one word or several joined by `+`; usual spellings are understood, an empty text stays empty.
        kind: `data` or `method`.

    Raises:
        InputError: a word that the vocabulary does not have; the nearest are offered.

    Example:
        >>> in_words("ImageNet-22k+imagenet-1k", "data"), in_words("ssl:mae", "method")
        ('imagenet-21k+imagenet-1k', 'mae')
    """
    known = load_vocabulary(kind)
    found = []
    for part in filter(None, (part.strip().lower().removeprefix("ssl:") for part in text.split("+"))):
        word = part if part in known else SPELLINGS.get(part, part)
        if word not in known:
            advice = "; 'other' stands for data without a word" if kind == "data" else "; 'unknown' is a word too"
            raise InputError(f"no pre-training {kind} '{part}'{did_you_mean(part, known)}{advice}")
        found.append(word)
    return "+".join(found)


def images_in(text: str) -> int | None:
    """Different images of the largest data set among words joined by `+`, None where no number is known."""
    known = load_vocabulary("data")
    counts = [count for word in text.split("+") if (count := known.get(word)) is not None]
    return max(counts, default=None)
