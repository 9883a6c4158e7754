"""The code of a model is foreign: whatever it does wrong becomes one line about this model, or about one picture.

In: an `Encoder` and pictures. Out: features of those that it can take, a reason for each of the others, or
`ModelFailedError`.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fennec.checkpoints.encoders import Encoder
from fennec.errors import FennecError, ModelFailedError, said

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

Arrays = dict[str, NDArray[np.float32]]
TOLERATED = 0.1  # share of the pictures that a model may fail on before it is the model that fails


@contextmanager
def foreign(what: str) -> Iterator[None]:
    """Turn anything that foreign code raises into `ModelFailedError`; only an interrupt passes.

    Args:
        what: is done in the block, for the message.
    """
    try:
        yield
    except FennecError:
        raise
    except (Exception, SystemExit) as error:  # code that ends the process ends itself only
        raise ModelFailedError(f"{what} failed ({one_line(error)})") from error


def one_line(error: BaseException) -> str:
    """Class of an error and the first line of what it says, where it can say anything."""
    lines = said(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


def let_go(error: BaseException | None) -> None:
    """Forget the local values that an error and its causes hold: networks and batches, which fill the memory."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def transform_all(encoder: Encoder, images: Sequence[Image.Image]) -> tuple[list[Tensor], dict[int, str]]:
    """Pictures as the model takes them, and why not by position for those that its transform fails on.

    Raises:
        ModelFailedError: the transform makes no tensor.
    """
    import torch

    pixels, failed = [], {}
    for position, image in enumerate(images):
        try:
            with foreign("its transform"):
                pixels.append(encoder.transform(image))
        except ModelFailedError as error:
            let_go(error)
            failed[position] = str(error)
            continue
        if not isinstance(pixels[-1], torch.Tensor):
            raise ModelFailedError(
                f"its transform makes a {type(pixels[-1]).__name__}; expected a tensor (3, side, side)"
            )
    return pixels, failed


def stack(pixels: Sequence[Tensor]) -> Tensor:
    """One batch of all pictures, shape (n, 3, side, side).

    Raises:
        ModelFailedError: they differ in shape.
    """
    import torch

    shapes = list(dict.fromkeys(tuple(each.shape) for each in pixels))
    if len(shapes) > 1:
        raise ModelFailedError(
            f"its transform makes pictures of shape {shapes[0]} and {shapes[1]}; it must resize or crop to one shape"
        )
    return torch.stack(list(pixels))


def run_batch(encoder: Encoder, batch: Tensor) -> Arrays:
    """Features and, where there is a source head, probabilities of a batch.

    Raises:
        ModelFailedError: the network raises anything, or gives no features of these pictures.
    """
    with foreign("the forward pass"):
        features, probs = encoder(batch)
        part = {"features": features} if probs is None else {"features": features, "probs": probs}
        # A view, such as some of the columns, would be written to a file in the wrong order.
        return {name: np.ascontiguousarray(values.numpy()) for name, values in part.items()}


def not_finite(part: Arrays) -> dict[int, str]:
    """Positions of pictures with features or probabilities that are no numbers, each with this reason."""
    bad = np.zeros(len(part["features"]), dtype=bool)
    for values in part.values():
        bad |= ~np.isfinite(values).all(axis=1)
    return {int(position): "the network gives NaN or infinite values" for position in np.flatnonzero(bad)}


def check_tolerable(failed: Sequence[tuple[str, str]], n_tried: int) -> None:
    """Few pictures that fail are bad pictures; many are a bad model.

    Args:
        failed: pairs (item, reason).
        n_tried: pictures that the model was given.

    Raises:
        ModelFailedError: more than a tenth of the pictures fail, and more than one, or all of them.
    """
    if len(failed) == n_tried or len(failed) > max(1.0, TOLERATED * n_tried):
        item, reason = failed[0]
        raise ModelFailedError(f"it fails on {len(failed)} of the pictures, the first is {item}: {reason}")
