"""What people write for a model, read as the plain name behind it.

In: `hf-hub:timm/NAME`, `timm/NAME`, the address of a model's page, a name that timm gave up. Out: `library:name`, or
the text as it was. Which weights that is, the catalog and the libraries say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

from fennec.errors import InputError, UnknownModelError

_HUB_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
_HUB_PREFIX = re.compile(r"(hf-hub|hf_hub|hf):", re.IGNORECASE)
_TIMM_NAME = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)?")  # the organisation also keeps open_clip's, written ViT-B-16-...
_SHOWN = 6


def plain_name(text: str) -> str:
    """The name of a model without what only says where it was found.

    Args:
        text: a name of any library, a Hugging Face repository with or without `hf-hub:`, or the address of a model's
            page there or in torchvision's documentation.

    Raises:
        InputError: an address that is no model's page, or another revision than `main`.
        UnknownModelError: a Hugging Face repository without a name.

    Example:
        >>> plain_name("https://huggingface.co/timm/resnet50.a1_in1k/tree/main"), plain_name("hf-hub:timm/vit_tiny")
        ('timm:resnet50.a1_in1k', 'timm:vit_tiny')
        >>> plain_name("hf-hub:microsoft/resnet-50"), plain_name("resnet50.a1_in1k")
        ('hf:microsoft/resnet-50', 'resnet50.a1_in1k')
    """
    text = text.strip()
    host = text.partition("/")[0].lower()
    if re.match(r"https?://", text, re.IGNORECASE) or (host in _HUB_HOSTS and "/" in text):
        return _of_page(text)
    prefix = _HUB_PREFIX.match(text)
    if prefix:
        repository, _, revision = text[prefix.end() :].strip("/ ").partition("@")
        if not repository:
            raise UnknownModelError(f"'{text}' names no repository; expected {prefix[1]}:ORG/NAME")
        return _of_repository(repository, revision, text)
    if text.startswith("timm/"):
        repository, _, revision = text.rstrip("/").partition("@")
        return _of_repository(repository, revision, text)
    return text


def current_timm_name(name: str) -> str:
    """The name that timm uses today, by its own table of names it gave up; others are returned as they are.

    Args:
        name: architecture with or without a tag, without a library.

    Raises:
        UnknownModelError: timm gave the network up without another in its place.
    """
    from timm.models import _registry  # the table is listed by no public function

    table = _registry.get_deprecated_models()
    if name not in table:
        return name
    if not table[name]:
        raise UnknownModelError(f"timm no longer has '{name}', and names no other in its place")
    return str(table[name])


def as_spelt(name: str, known: Iterable[str]) -> str:
    """The known name that differs at most in case; the name as it is where there is none.

    Example:
        >>> as_spelt("vit-b-32", ["RN50", "ViT-B-32"]), as_spelt("vit", ["RN50"])
        ('ViT-B-32', 'vit')
    """
    known = tuple(known)
    return name if name in known else {other.lower(): other for other in known}.get(name.lower(), name)


def ask_back(name: str, meant: Iterable[str]) -> UnknownModelError:
    """The error for a name that means several sets of weights: some of them, and what to do."""
    models = sorted(meant)
    more = f" and {len(models) - _SHOWN} more" if len(models) > _SHOWN else ""
    return UnknownModelError(
        f"'{name}' means {len(models)} sets of weights: {', '.join(models[:_SHOWN])}{more}; give the whole id"
    )


def _of_page(text: str) -> str:
    try:
        address = urlsplit(text if "://" in text else f"https://{text}")
    except ValueError as error:
        raise InputError(f"'{text}' is no address ({error})") from error
    parts = [unquote(part) for part in address.path.split("/") if part]
    host = (address.hostname or "").lower()
    documented = re.search(r"torchvision\.models\.(\w+)\.html", address.path)
    if documented and host.endswith("pytorch.org"):
        return f"torchvision:{documented[1]}"
    if parts[:1] == ["models"]:
        parts = parts[1:]
    if host not in _HUB_HOSTS or len(parts) < 2 or parts[0] in ("datasets", "spaces", "docs", "papers", "collections"):
        raise InputError(f"'{text}' is no page of a model; expected https://huggingface.co/ORG/NAME or a model's id")
    revision = parts[3] if len(parts) > 3 and parts[2] in ("tree", "blob", "resolve", "raw", "commit") else ""
    return _of_repository("/".join(parts[:2]), revision, text)


def _of_repository(repository: str, revision: str, text: str) -> str:
    if revision not in ("", "main"):
        raise InputError(f"'{text}' names the revision '{revision}'; only 'main' can be loaded, leave the revision out")
    owner, _, name = repository.partition("/")
    return f"timm:{name}" if owner == "timm" and _TIMM_NAME.fullmatch(name) else f"hf:{repository}"
