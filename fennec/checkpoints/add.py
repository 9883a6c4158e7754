"""Add a model of the user's to the catalog: its record, and the vector of a new architecture.

In: a timm name, a Hugging Face timm id, or the path of a function that makes a network. Out: a line in
`FENNEC_HOME/added_models.json`, from where `load_catalog` and `load_known_vectors` take it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fennec.architectures.added import AddedModel, added_models, read_added
from fennec.architectures.build import build_architecture, family_of
from fennec.architectures.vectors import load_known_vectors
from fennec.errors import ArtifactError, DataError
from fennec.files import as_json, change_json
from fennec.settings import data_dir
from fennec.typed import read_json, typed

from .catalog import load_catalog
from .encoders import Encoder
from .names import current_timm_name, plain_name
from .own import make_own
from .vocabulary import images_in, in_words

if TYPE_CHECKING:
    import torch

LIBRARIES = ("timm", "torchvision", "open_clip")


def add_model(
    name: str,
    *,
    pretraining_data: str = "",
    pretraining_method: str = "",
    finetuned_on: str = "",
    license: str = "",
    input_size: int | None = None,
) -> str:
    """Add a model to the catalog; one of the same id is replaced.

    Args:
        name: `timm:ARCHITECTURE.TAG`, `hf-hub:timm/ARCHITECTURE.TAG`, the address of its page, or `module:NAME` with a
            function or class that makes a network when called without arguments.
        pretraining_data: words of `data/vocabulary.csv`, several joined by `+`, for example `imagenet-21k`.
        pretraining_method: words of the same, for example `supervised` or `mae`.
        finetuned_on: what the weights were trained on afterwards, for example `imagenet-1k`.
        license: lower-case licence id.
        input_size: side of the input in pixels, where it is not the network's own.

    Returns:
        Id of the model in the catalog.

    Raises:
        InputError: the name cannot be read, the network cannot be traced, or the vocabulary lacks a word.
        UnknownModelError: timm has no such architecture.
        DataError: the network has no parameters before its head, or a text is too long.
    """
    from fennec.architectures.archi2vec import Archi2Vec
    from fennec.architectures.graph import graph_of, load_known_graphs

    data, method = in_words(pretraining_data, "data"), in_words(pretraining_method, "method")
    model = plain_name(name)
    library, _, rest = model.partition(":")
    if library == "timm":
        rest = current_timm_name(rest)
        model = f"timm:{rest}"
    if library in LIBRARIES:
        module, size = build_architecture(model)
        architecture, _, tag = rest.partition(".")
    else:
        module, size = _own_network(model), (3, 224, 224)
        library, architecture, tag = "other", rest, ""
    own = f"{library}:{architecture}" if library in LIBRARIES else model
    side = input_size or size[-1]
    graph = graph_of(module, input_size=(size[0], side, side), name=own)
    twins = [label for label, other in load_known_graphs().items() if other.hash == graph.hash]
    entry: dict[str, Any] = {
        "library": library,
        "architecture": architecture,
        "tag": tag,
        "family": family_of(own),
        "params": graph.params,
        "gmacs": round(graph.gmacs, 4),
        "input_size": side,
        "pretraining_data": data or "unknown",
        "pretraining_images": images_in(f"{data}+{finetuned_on}"),
        "pretraining_method": method or "unknown",
        "finetuned_on": finetuned_on,
        "license": license.lower(),
        "backbone": own if own in twins or not twins else twins[0],
    }
    if not twins:
        encoder = Archi2Vec.load(data_dir() / "archi2vec.safetensors")
        vectors = encoder.encode([graph])
        entry |= {"vector": vectors[0].tolist(), "quality": float(encoder.quality(vectors)[0])}
    try:
        stored = read_json(as_json({model: entry}).encode())  # what could not be read again would end every command
        typed(dict[str, AddedModel], stored, where="the catalog", more=True)
    except ArtifactError as error:
        raise DataError(f"{error}; give a network with parameters before its head, and short texts") from error
    change_json(added_models(), lambda: {**read_added(), model: entry})
    load_catalog.cache_clear()
    load_known_vectors.cache_clear()
    return model


def _own_network(name: str) -> torch.nn.Module:
    import torch

    made = make_own(name)
    network = made.model if isinstance(made, Encoder) else made
    if not isinstance(network, torch.nn.Module):
        raise DataError(f"'{name}' makes a {type(made).__name__}; expected a torch.nn.Module or fennec.Encoder")
    return network
