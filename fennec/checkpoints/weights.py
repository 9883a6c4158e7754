"""Weights of a network: downloaded or read from a file, checked, put in place, and told apart by a hash.

In: a function that downloads, or a safetensors or torch file. Out: tensors by name, a filled network, a fingerprint.
A file fits when every name has its place and every place its tensor of the same shape; the head alone may differ.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fennec.errors import ArtifactError, FennecError, OfflineError, said, shown

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    State = dict[str, Tensor]
    Heads = Callable[[torch.nn.Module], tuple[str, ...]]

# Where training scripts keep weights, the ones meant for use first: averaged before raw, teacher before student.
CONTAINERS = ("state_dict_ema", "model_ema", "ema_state_dict", "ema", "teacher", "state_dict", "model_state_dict",
              "model_state", "model", "target_encoder", "encoder", "backbone", "network", "net", "weights", "params",
              "module", "student")  # fmt: skip
AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")  # classifiers that only training looks at
WRAPPERS = ("module.", "_orig_mod.")  # of data-parallel training and of torch.compile
_LOADING = threading.RLock()


@dataclass(frozen=True, eq=False)
class WeightFile:
    """Tensors of a file.

    Attributes:
        state: by name, without the names of wrappers.
        path: of the file.
        opened: key of the container they lay in, empty where they lay open.
        others: keys of other sets of weights beside it.
        is_plain: whether the file holds nothing else and no wrapper.
    """

    state: State
    path: Path
    opened: str = ""
    others: tuple[str, ...] = ()
    is_plain: bool = True

    @property
    def note(self) -> str:
        """Which of several sets was taken; empty where there was one."""
        if not self.others:
            return ""
        return f"'{self.path}' holds several sets of weights: took '{self.opened}', left {', '.join(self.others)}"


def download(build: Callable[[], Any], spec: str, advice: str) -> Any:
    """Build a model whose weights may have to be fetched.

    Args:
        build: makes the model.
        spec: what messages call it.
        advice: what to do instead where there is no network.

    Raises:
        ArtifactError: the weights are damaged or do not fit, or there is no such model.
        OfflineError: the hub cannot be reached.
    """
    from safetensors import SafetensorError

    try:
        return build()
    except FennecError:
        raise
    except SafetensorError as error:
        raise ArtifactError(f"weights of '{spec}' are damaged: {said(error)}") from error
    except (OSError, RuntimeError) as error:  # huggingface_hub's and urllib's errors are OSErrors
        first = (said(error).splitlines() or [type(error).__name__])[0]
        if "size mismatch" in str(error) or "Missing key" in str(error):
            raise ArtifactError(f"weights of '{spec}' do not fit their configuration: {first}") from error
        raise OfflineError(
            f"cannot download '{spec}' ({first}); {advice}, or fetch the weights where there is a network"
        ) from error
    except Exception as error:  # of the library's many readers, on names that are none and files of any content
        reason = (said(error).splitlines() or [type(error).__name__])[0]
        raise ArtifactError(f"cannot load '{spec}' ({shown(reason)}); check the name, or {advice}") from error


def fetch(repository: str, files: Sequence[str]) -> None:
    """Have the first of some files that a Hugging Face repository has at hand, or raise what the hub raises.

    Libraries build a network, of gigabytes, before they look for its weights.

    Args:
        repository: `ORG/NAME`, with `@` and a revision where that is not the newest.
        files: of the same weights, the one that the library prefers first.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    name, _, revision = repository.partition("@")
    for file in files:
        try:
            hf_hub_download(name, file, revision=revision or None)
        except EntryNotFoundError as error:
            if file == files[-1] and isinstance(error, LocalEntryNotFoundError):
                raise
        else:
            return


def fingerprint(weights: Mapping[str, NDArray[np.float32]], preprocessing: dict[str, Any]) -> str:
    """Hash of weights, by name, and preprocessing; independent of the device and of what runs them."""
    digest = hashlib.sha256(json.dumps(preprocessing, sort_keys=True, default=str).encode())
    for name, values in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()[:32]


def values_of(model: torch.nn.Module) -> dict[str, NDArray[np.float32]]:
    """Weights of a torch model by name, in single precision."""
    return {name: tensor.detach().float().cpu().numpy() for name, tensor in model.state_dict().items()}


def read_weights(path: str | Path) -> WeightFile:
    """Tensors of a safetensors or torch file, without running any code in it.

    Containers of training scripts are opened: `CONTAINERS` in this order, else the only entry that holds tensors.

    Raises:
        ArtifactError: the file is missing or damaged, or holds no tensors by name; its keys are named. Tensors that
            are quantised, sparse or without values are refused.
    """
    import argparse

    import torch
    from safetensors.torch import load_file

    path = Path(path)
    try:
        if path.suffix == ".safetensors":
            content = load_file(path)
        else:
            with torch.serialization.safe_globals([argparse.Namespace]):  # training scripts keep their arguments
                content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises nearly anything
        raise ArtifactError(f"'{path}' holds no weights ({_reason(error)})") from error
    opened = ""
    others: tuple[str, ...] = ()
    inner: Any = content
    while not (state := _tensors(inner)):
        if not isinstance(inner, Mapping):
            raise ArtifactError(f"'{path}' holds no state dictionary; expected tensors by name{_keys(content)}")
        held = [key for key, value in inner.items() if _leads_to_tensors(value)]
        known = [key for key in CONTAINERS if key in held]
        if not known and len(held) != 1:
            raise ArtifactError(
                f"'{path}' holds no state dictionary that can be told from others; expected tensors by name, or one "
                f"of {', '.join(CONTAINERS[:9])}{_keys(inner)}"
            )
        key = (known or held)[0]
        others = (*others, *(str(other) for other in held if other != key))
        opened = f"{opened}.{key}" if opened else str(key)
        inner = inner[key]
    bare = _unwrapped(state)
    for key, tensor in bare.items():
        if tensor.is_quantized or tensor.layout != torch.strided or tensor.is_meta:
            kind = "quantised" if tensor.is_quantized else "without values" if tensor.is_meta else "sparse"
            raise ArtifactError(f"'{path}' holds no weights that can be used: '{key}' is {kind}; save plain tensors")
        if key.rpartition(".")[2] in ("weight", "bias") and not (tensor.is_floating_point() or tensor.is_complex()):
            kind = str(tensor.dtype).removeprefix("torch.")
            raise ArtifactError(
                f"'{path}' holds no weights that can be used: '{key}' holds whole numbers ({kind}), so it is quantised "
                "and lacks its scale; save the weights as floats"
            )
    return WeightFile(bare, path, opened, others, not opened and bare.keys() == content.keys())


def write_weights(file: WeightFile, path: Path) -> Path:
    """The tensors of a file in one that every library reads."""
    from safetensors.torch import save_file

    save_file({key: value.clone().contiguous() for key, value in file.state.items()}, path, metadata={"format": "pt"})
    return path


def _reason(error: Exception) -> str:
    """Why torch or safetensors opened no file, without their advice to run the code in it."""
    text = said(error)
    if pickled := re.search(r"GLOBAL (\S+)", text):
        return f"a pickled network or other object, '{pickled[1]}', not tensors alone; save model.state_dict()"
    if "TorchScript" in text:
        return "a TorchScript program, not tensors; save model.state_dict()"
    told = text.rpartition("WeightsUnpickler error: ")[2].strip()
    first = (told.splitlines() or [type(error).__name__])[0].partition(". ")[0]
    return first if isinstance(error, OSError) else f"damaged, or not written by torch.save or safetensors: {first}"


def _tensors(value: Any) -> State:
    """A dictionary of tensors by name; empty where it is something else."""
    import torch

    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        return {}
    if any(isinstance(item, Mapping) for item in value.values()):
        return {}
    found = {key: item for key, item in value.items() if isinstance(item, torch.Tensor)}
    return found if 2 * len(found) > len(value) else {}  # beside counters and other plain values


def _leads_to_tensors(value: Any, depth: int = 3) -> bool:
    if _tensors(value):
        return True
    return (
        depth > 0
        and isinstance(value, Mapping)
        and "param_groups" not in value  # an optimiser's memory of the weights
        and any(_leads_to_tensors(item, depth - 1) for item in value.values())
    )


def _unwrapped(state: State) -> State:
    for _ in range(2 * len(WRAPPERS)):  # in either order, and wrapped twice
        for wrapper in WRAPPERS:
            if all(key.startswith(wrapper) for key in state):
                state = {key.removeprefix(wrapper): value for key, value in state.items()}
    return state


def _keys(content: Any) -> str:
    if not isinstance(content, Mapping):
        return f"; it holds a {type(content).__name__}"
    names = [str(key) for key in content]
    return f"; its keys are {', '.join(names[:8])}{', ...' if len(names) > 8 else ''}" if names else "; it is empty"


def fitted(
    model: torch.nn.Module, state: Mapping[str, Tensor], name: str, path: str | Path, heads: Heads
) -> tuple[State, bool]:
    """Weights in the shape of a network, ready for `load_state_dict(..., strict=False)`.

    A common prefix (`backbone.`, `encoder.`, ...) is taken off where what stands behind it fits and nothing else does.
    A head that is missing or of another size becomes zeros: it is no source head.

    Args:
        model: the network.
        state: tensors by name.
        name: of the model, for messages.
        path: of the file, for messages.
        heads: names of the modules, of a network, that make up its head.

    Returns:
        Tensors by name, and whether the head came from the file as well.

    Raises:
        ArtifactError: names without a place, places without a tensor, or shapes that differ, beyond the head.
    """
    import torch

    wanted = model.state_dict()
    misfit = _misfit(wanted, state)
    if misfit:
        head = tuple(f"{part}." for part in heads(model))
        misfit = [problem for problem in misfit if not problem[0].startswith(head)]
        prefixes = _prefixes(wanted, state, head) if misfit else []
        if len(prefixes) > 1 or (prefixes and all(problem == "extra" for _, problem in misfit)):
            # what stands open fits as well where the rest is only too much
            behind = ", ".join(f"'{start}'" for start in prefixes)
            where = f"behind {behind}" if len(prefixes) > 1 else f"one in the open, one behind {behind}"
            raise ArtifactError(f"'{path}' holds several sets of weights of '{name}', {where}; keep one of them")
        if prefixes:
            start, misfit = prefixes[0], []
            state = {key.removeprefix(start): value for key, value in state.items() if key.startswith(start)}
    if misfit:
        raise ArtifactError(f"'{path}' does not hold weights of '{name}': {_describe(misfit, wanted, state)}")
    usable = {key: state[key] for key in wanted if key in state and state[key].shape == wanted[key].shape}
    lost = {key: torch.zeros_like(wanted[key]) for key in wanted if key not in usable and not _is_counter(key)}
    ready: State = OrderedDict({**usable, **lost})
    ready._metadata = getattr(wanted, "_metadata", {})  # type: ignore[attr-defined]  # versions of the layers' formats
    return ready, all(key.startswith(AUXILIARY) for key in lost)


def _is_counter(key: str) -> bool:
    """Of batch norm; no forward pass in evaluation reads it."""
    return key.endswith("num_batches_tracked")


def _misfit(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> list[tuple[str, str]]:
    """Pairs of a name and what is wrong with it: no place, lacking, or of another shape."""
    extra = [key for key in state if key not in wanted]
    problems = [(key, "extra") for key in extra] if not all(map(_is_counter, extra)) else []
    problems += [(key, "lacking") for key in wanted if key not in state and not _is_counter(key)]
    return problems + [(key, "shape") for key in wanted if key in state and wanted[key].shape != state[key].shape]


def _prefixes(wanted: Mapping[str, Tensor], state: Mapping[str, Tensor], head: tuple[str, ...]) -> list[str]:
    """Beginnings of names behind which everything that the network needs stands in its shape."""
    needed = [key for key in wanted if not _is_counter(key) and not key.startswith(head)]
    starts = {key[: len(key) - len(needed[0])] for key in state if needed and key.endswith(f".{needed[0]}")}
    return [
        start
        for start in sorted(starts)
        if all(f"{start}{key}" in state and state[f"{start}{key}"].shape == wanted[key].shape for key in needed)
        and all(key.removeprefix(start) in wanted or key.removeprefix(start).startswith(head)
                or _is_counter(key) for key in state if key.startswith(start))
    ]  # fmt: skip


def _describe(misfit: list[tuple[str, str]], wanted: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    parts = []
    for kind, text in (("extra", "{} tensors have no place"), ("lacking", "it lacks {} tensors"),
                       ("shape", "{} have another shape")):  # fmt: skip
        names = [key for key, problem in misfit if problem == kind]
        if names:
            parts.append(f"{text.format(len(names))}, first '{names[0]}'")
            if kind == "shape":
                parts[-1] += f", {tuple(state[names[0]].shape)} instead of {tuple(wanted[names[0]].shape)}"
    return "; ".join(parts)


@contextmanager
def filling(name: str, path: str | Path, heads: Heads) -> Iterator[dict[str, bool]]:
    """While this is open, a library that puts weights into a network has them checked by `fitted`.

    The libraries know what their weights need (names of other releases, an offset of classes, switches of the
    network), but some take a file that fits in part without a word, and none takes one without its head.

    Args:
        name: of the model, for messages.
        path: of the file, for messages.
        heads: names of the modules, of a network, that make up its head.

    Yields:
        A dictionary, where `head` says afterwards whether the head came from the file.
    """
    from torch.nn import Module
    from torch.nn.modules.module import _IncompatibleKeys

    found = {"head": True}
    owner = threading.get_ident()
    original = Module.load_state_dict

    def load(self: Module, state: Mapping[str, Any], *arguments: Any, **options: Any) -> Any:
        if threading.get_ident() != owner:
            return original(self, state, *arguments, **options)
        ready, found["head"] = fitted(self, state, name, path, heads)
        original(self, ready, strict=False)
        return _IncompatibleKeys([], [])

    with _LOADING:
        Module.load_state_dict = load  # type: ignore[assignment,method-assign]
        try:
            yield found
        finally:
            Module.load_state_dict = original  # type: ignore[method-assign]


@contextmanager
def refusing(name: str, path: str | Path) -> Iterator[None]:
    """What a library that works on a file before it is checked cannot work on does not fit.

    Raises:
        ArtifactError: anything failed.
    """
    try:
        yield
    except FennecError:
        raise
    except Exception as error:
        raise ArtifactError(f"'{path}' does not hold weights of '{name}': {' '.join(said(error).split())}") from error


def resized(model: torch.nn.Module, state: Mapping[str, Tensor], heads: Heads) -> str:
    """A word on tensors beyond the head that a library has brought to another size, such as those of positions."""
    wanted, head = model.state_dict(), heads(model)
    names = [key for key, value in state.items()
             if key in wanted and value.numel() != wanted[key].numel() and not key.startswith(head)]  # fmt: skip
    if not names:
        return ""
    first = names[0]
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"resized to fit: '{first}' from {tuple(state[first].shape)} to {tuple(wanted[first].shape)}{more}"
