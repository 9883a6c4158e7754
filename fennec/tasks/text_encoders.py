"""Texts become rows whose products say how alike they are.

In: texts. Out: rows of length 1, or of zeros where nothing of a text is known, shape (n_texts, n_features).
`WordPieces` needs no download: words, and pieces of them, each the heavier the fewer tasks have it. `TextTower` is any
text tower of open_clip, or any sentence encoder of transformers.
Sources: Salton & Buckley 1988 (tf-idf); Radford et al. 2021 (CLIP); Reimers & Gurevych 2019 (sentence encoders).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from fennec.checkpoints.loaders import build_open_clip
from fennec.checkpoints.weights import download
from fennec.errors import ArtifactError, FennecError, InputError, MissingExtraError, said
from fennec.files import damaged, read_as
from fennec.settings import default_device

if TYPE_CHECKING:
    import torch
    from scipy.sparse import csr_matrix

Rows = NDArray[np.float64]

WORD = re.compile(r"[^\W\d_]{2,}")
PLURAL = re.compile(r"(?<=ss)es$|(?<=\w\w[^s])s$")
# Words that say nothing of a task, beside those that say nothing of anything.
OF_ANY_TASK = frozenset({"class", "classification", "dataset", "image", "kind", "photo", "photograph", "picture"})
BATCH_SIZE = 64  # texts at once
N_SPECIAL = 2  # places that some encoders keep free
ADVICE = "leave --text-encoder out, which needs no download"


@dataclass(frozen=True)
class Pooling:
    """What sentence-transformers say of how words become one row."""

    pooling_mode_cls_token: bool = False


class TextEncoder(Protocol):
    """What turns texts into rows.

    Attributes:
        name: what it is called.
    """

    name: str

    def fit(self, texts: Sequence[str]) -> Self:
        """Learn which words are rare; nothing for an encoder that comes trained."""

    def encode(self, texts: Sequence[str]) -> Rows | csr_matrix:
        """Rows of length 1 or 0, shape (n_texts, n_features)."""


class WordPieces:
    """Words without their plural, and pieces of four and five letters: half of the likeness each.

    Pieces alone prove nothing, as any two languages share some: a text without a known word has a row of zeros.
    """

    name = "words"

    def fit(self, texts: Sequence[str]) -> Self:
        """Learn which words and pieces are rare."""
        from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS, TfidfVectorizer

        self.empty_ = ENGLISH_STOP_WORDS
        self.words_ = TfidfVectorizer(analyzer=self.words, sublinear_tf=True).fit(texts)
        self.pieces_ = TfidfVectorizer(analyzer="char_wb", ngram_range=(4, 5), sublinear_tf=True)
        self.pieces_.fit(self._plain(texts))
        return self

    def encode(self, texts: Sequence[str]) -> csr_matrix:
        """Rows of length 1 or 0, shape (n_texts, n_features)."""
        from scipy.sparse import diags, hstack

        words, pieces = self.words_.transform(texts), self.pieces_.transform(self._plain(texts))
        known = np.asarray(words.getnnz(axis=1) > 0, dtype=np.float64)
        return hstack([words, diags(known) @ pieces], format="csr") * np.sqrt(0.5)

    def words(self, text: str) -> list[str]:
        """Words that may say something, without the s of a plural."""
        found = [word for word in WORD.findall(text.lower()) if word not in self.empty_]
        return [word for word in (PLURAL.sub("", word) for word in found) if word not in OF_ANY_TASK]

    def _plain(self, texts: Sequence[str]) -> list[str]:
        return [" ".join(self.words(text)) for text in texts]


class TextTower:
    """A network that was trained to put alike texts near one another.

    Args:
        name: what it was loaded as.
        forward: maps texts to features, shape (n_texts, n_features).
    """

    def __init__(self, name: str, forward: Callable[[list[str]], torch.Tensor]) -> None:
        self.name = name
        self._forward = forward

    def fit(self, texts: Sequence[str]) -> Self:
        """Nothing to learn."""
        return self

    def encode(self, texts: Sequence[str]) -> Rows:
        """Rows of length 1, shape (n_texts, n_features); zeros for an empty text."""
        import torch

        with torch.inference_mode():
            parts = [
                self._forward(list(texts[at : at + BATCH_SIZE])).float().cpu().numpy()
                for at in range(0, len(texts), BATCH_SIZE)
            ]
        rows = np.concatenate(parts).astype(np.float64)
        if not np.isfinite(rows).all():
            raise InputError(f"text encoder '{self.name}' gives features that are not finite; take another")
        rows[[not text.strip() for text in texts]] = 0.0
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        return np.asarray(rows / np.where(lengths > 0, lengths, 1.0))


def load_text_encoder(spec: str | Path, *, device: str | None = None) -> TextEncoder:
    """A text tower or a sentence encoder.

    Args:
        spec: of open_clip `ViT-B-32/openai`, `hf-hub:ORG/NAME`, or a folder with `open_clip_config.json`; of
            transformers `hf:ORG/NAME`, or a folder with its `config.json`.
        device: `cpu`, `cuda`, ...; the default device when None.

    Raises:
        InputError: nothing has this name.
        MissingExtraError: a sentence encoder, and transformers is not installed.
        OfflineError: the weights must be downloaded and the hub cannot be reached.
        ArtifactError: local weights are damaged or do not fit.
    """
    name, folder = str(spec), Path(str(spec).removeprefix("local-dir:"))
    place = device or default_device()
    if name.startswith("hf:") or (folder / "config.json").is_file():
        return _sentence_encoder(name.removeprefix("hf:"), place)
    if folder.is_dir() and not (folder / "open_clip_config.json").is_file():
        raise InputError(
            f"no text encoder in '{folder}': it has neither open_clip_config.json nor the config.json of transformers"
        )
    if "/" not in name.removeprefix("open_clip:") and not folder.is_dir():  # told before a library of seconds is loaded
        raise InputError(f"no text encoder '{name}'; expected ARCHITECTURE/TAG of open_clip such as ViT-B-32/openai, "
                         "hf-hub:ORG/NAME, hf:ORG/NAME, or a folder")  # fmt: skip
    return _open_clip_tower(name, folder, place)


def _open_clip_tower(name: str, folder: Path, device: str) -> TextTower:
    import open_clip

    if name.startswith("hf-hub:") or folder.is_dir():
        source = name if name.startswith("hf-hub:") else f"local-dir:{folder}"
        try:
            clip = download(lambda: open_clip.create_model(source, precision="fp32"), name, ADVICE)
        except FennecError:
            raise
        except Exception as error:  # open_clip's own
            raise ArtifactError(f"cannot load text encoder '{name}': {said(error)}") from error
        tokenizer = download(lambda: open_clip.get_tokenizer(source), name, ADVICE)
    else:
        architecture, _, tag = name.removeprefix("open_clip:").rpartition("/")
        clip = build_open_clip(architecture, tag, None, advice=ADVICE)[0]
        tokenizer = download(lambda: open_clip.get_tokenizer(architecture), name, ADVICE)
    clip.eval().to(device)
    return TextTower(
        folder.name if folder.is_dir() else name, lambda texts: clip.encode_text(tokenizer(texts).to(device))
    )


def _sentence_encoder(source: str, device: str) -> TextTower:
    """The mean over words, or the first, where the folder of sentence-transformers says so."""
    try:
        from transformers import AutoModel, AutoTokenizer
    except ImportError as error:
        raise MissingExtraError(
            f"text encoder '{source}' needs transformers; pip install 'fennec-recommender[hf]'"
        ) from error
    try:
        tokenizer = download(lambda: AutoTokenizer.from_pretrained(source), source, ADVICE)
        model = download(lambda: AutoModel.from_pretrained(source), source, ADVICE).eval().to(device)
    except FennecError:
        raise
    except Exception as error:  # transformers' own
        raise ArtifactError(f"cannot load text encoder '{source}': {said(error)}") from error
    first = _takes_first(Path(source))
    places = getattr(model.config, "max_position_embeddings", None) or tokenizer.model_max_length
    longest = min(tokenizer.model_max_length, places - N_SPECIAL)

    def forward(texts: list[str]) -> torch.Tensor:
        batch = tokenizer(texts, padding=True, truncation=True, max_length=longest, return_tensors="pt").to(device)
        states: torch.Tensor = model(**batch).last_hidden_state  # (n_texts, n_words, n_features)
        weight: Any = batch["attention_mask"][..., None].float()
        return states[:, 0] if first else (states * weight).sum(1) / weight.sum(1)

    return TextTower(Path(source).name, forward)


def _takes_first(folder: Path) -> bool:
    stated = folder / "1_Pooling" / "config.json"
    if not stated.is_file():
        return False
    with damaged(f"'{stated}'", "fetch the encoder again"):
        return read_as(Pooling, stated, limit=10**6, more=True).pooling_mode_cls_token
