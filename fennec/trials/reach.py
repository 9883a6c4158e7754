"""Which candidates can be had: their weights are on this machine, or the server that has them answers.

A download that cannot succeed takes its library half a minute of trying again, and a search has many candidates:
whether a server answers is asked once. In: ids, local weights. Out: the candidates that cannot be had, and why.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from collections.abc import Collection, Sequence
from pathlib import Path

PYTORCH = "https://download.pytorch.org"
PATIENCE_S = 3.0
FORMATS = (".safetensors", ".bin", ".pt", ".pth")


def hub() -> str:
    """Address of the Hugging Face Hub, or of the mirror that `HF_ENDPOINT` names."""
    from huggingface_hub import constants

    return constants.ENDPOINT


def refusal(server: str) -> str:
    """Why nothing can be had of a server, empty where it answers.

    Args:
        server: its address, `https://...`.
    """
    if server == hub() and os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0"):
        return "HF_HUB_OFFLINE is set"
    try:
        with urllib.request.urlopen(urllib.request.Request(server, method="HEAD"), timeout=PATIENCE_S):
            return ""
    except urllib.error.HTTPError:
        return ""  # it is there, whatever it says of its first page
    except OSError as error:
        return str(getattr(error, "reason", error)) or type(error).__name__


def out_of_reach(models: Sequence[str], local: Collection[str] = ()) -> dict[str, str]:
    """Models whose weights are neither here nor can be downloaded.

    Args:
        models: ids. Those of no library are the user's own and need no server.
        local: the ones that the user gave weights of.

    Returns:
        Why, by model. Servers are asked only where something is to be had of them.
    """
    servers = {"timm": hub(), "hf": hub(), "open_clip": hub(), "torchvision": PYTORCH}
    place = {model: servers.get(model.partition(":")[0], "") for model in models if model not in local}
    why = {server: refusal(server) for server in sorted({*place.values()} - {""})}
    return {
        model: f"{server} cannot be reached ({why[server]})"
        for model, server in place.items()
        if why.get(server) and not is_here(model)
    }


def is_here(model: str) -> bool:
    """Whether weights of a library's model are in the library's cache.

    Args:
        model: canonical id, `library:name`.
    """
    library, _, name = model.partition(":")
    if library == "hf":
        return _of_hub(name)
    if library == "timm":
        from timm import get_pretrained_cfg, is_model

        config = get_pretrained_cfg(name) if is_model(name.partition(".")[0]) else None
        url = "" if config is None else config.url or ""
        address = url if isinstance(url, str) else url[0]
        return config is not None and (_of_hub(config.hf_hub_id or "") or _of_address(address))
    if library == "open_clip":
        from open_clip import get_pretrained_cfg as of_clip

        named = of_clip(*name.split(".", 1)) if "." in name else {}
        file = Path("~/.cache/clip").expanduser() / str(named.get("url", "")).rpartition("/")[2]
        return _of_hub(str(named.get("hf_hub", "")).rpartition("/")[0]) or file.is_file()
    from torchvision import models

    network, _, tag = name.partition(".")
    known = models.get_model_weights(network) if network in models.list_models(models) else ()
    return any(_of_address(weights.url) for weights in known if weights.name == tag)


def _of_hub(repository: str) -> bool:
    """Whether the cache of the Hub holds weights of a repository."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    if not repository:
        return False
    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repository, repo_type="model")
    return any(path.suffix in FORMATS for path in folder.glob("snapshots/*/*"))


def _of_address(url: str) -> bool:
    """Whether torch has downloaded a file."""
    import torch

    return bool(url) and (Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]).is_file()
