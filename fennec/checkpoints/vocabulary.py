"""The words in which the catalog says what weights were trained on and how.

In: `data/vocabulary.csv`, one line a word. Out: words with numbers of images, the subjects that they are limited to,
and texts of people put into them.
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


@cache
def load_subjects() -> dict[str, frozenset[str]]:
    """Words of both kinds with the subjects that they are limited to; none for what shows things of all kinds."""
    import pandas as pd

    table = pd.read_csv(data_dir() / "vocabulary.csv", keep_default_na=False)
    return {
        word: frozenset(filter(None, text.split("/")))
        for word, text in zip(table["word"], table["subject"], strict=True)
    }


@cache
def only_for(data: str, method: str, finetuned_on: str) -> frozenset[str]:
    """Subjects that weights were trained for and for nothing else; empty where they have seen things of all kinds.

    Args:
        data: words of pre-training data joined by `+`.
        method: words of pre-training methods joined by `+`.
        finetuned_on: data that they were trained on afterwards, joined by `+`; words without an entry count as nothing.

    Example:
        >>> sorted(only_for("sat-493m", "dinov3", "")), sorted(only_for("sat-493m", "dinov3", "imagenet-1k"))
        (['aerial', 'satellite'], [])
    """
    subjects = load_subjects()
    later = [subjects[word] for word in finetuned_on.split("+") if word in subjects]
    first = [subjects.get(word, frozenset()) for word in data.split("+")]
    aims = [subjects[word] for word in method.split("+") if subjects.get(word)]
    if not all(later):
        return frozenset()
    if all(first):
        return frozenset().union(*first, *aims, *later)
    return frozenset().union(*aims, *later) if aims else frozenset()


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
