"""What is computed, as a hash: tensors, settings and code of a network and of what is done to its input.

In: a network, functions. Out: one digest for each part. Code is read as Python runs it and not as it stands in a file,
so a `forward` that was mended, patched or typed in is seen; a function is followed to the functions and values that it
names. Installed libraries are followed no further than the classes in use: their version stands for the rest.
"""

from __future__ import annotations

import enum
import functools
import hashlib
import importlib.metadata
import re
import sys
import sysconfig
import types
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import torch

    Attributes = dict[tuple[str, str], str]

_ALWAYS = ("torch", "numpy", "PIL")
_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...), range, slice)
_NOT_CODE = {"__dict__", "__weakref__", "__doc__", "__module__", "__annotations__", "__init__", "__new__",
             "__firstlineno__", "__static_attributes__", "__orig_bases__", "__parameters__", "__abstractmethods__",
             "_abc_impl", "__slots__", "__match_args__", "__qualname__"}  # fmt: skip
_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_DEEPEST = 80
_ADDRESS = re.compile(r"\bat 0x[0-9a-f]+|0x[0-9a-f]{6,}")


class Reader:
    """Digests of values and code, each read once.

    Args:
        known: values whose digest is given, such as the network inside a function that runs it.
    """

    def __init__(self, known: Iterable[tuple[Any, str]] = ()) -> None:
        self._seen: dict[int, str] = {}
        self._alive: list[Any] = []  # a value that is freed would lend its identity to another
        self._libraries = {name: _version(name) for name in _ALWAYS}
        self._depth = 0
        for value, digest in known:
            self._keep(value, digest)

    @property
    def libraries(self) -> str:
        """Versions of the libraries met so far."""
        return " ".join(f"{name} {version}" for name, version in sorted(self._libraries.items()))

    def read(self, value: Any) -> str:
        """Digest of a value: equal for equal tensors, settings and code, in this process and in another."""
        if isinstance(value, _PLAIN):
            return combine(type(value).__name__, repr(value))
        if id(value) in self._seen:
            return self._seen[id(value)]
        if self._depth > _DEEPEST:
            return type(value).__qualname__
        self._keep(value, "itself")  # for what leads back to it
        self._depth += 1
        try:
            digest = self._read(value)
        finally:
            self._depth -= 1
        self._keep(value, digest)
        return digest

    def _keep(self, value: Any, digest: str) -> None:
        if id(value) not in self._seen:
            self._alive.append(value)
        self._seen[id(value)] = digest

    def _read(self, value: Any) -> str:
        import torch

        if isinstance(value, torch.Tensor):
            return _tensor(value)
        if isinstance(value, np.ndarray) and value.dtype != object:
            return combine("array", str(value.dtype), str(value.shape), np.ascontiguousarray(value).tobytes())
        if isinstance(value, torch.nn.Module):
            parts = [self.read_module(part) + name for name, part in value.named_modules(remove_duplicate=False)]
            return combine("network", *parts, *(f"{key}{item}" for key, item in self.read_attributes(value).items()))
        if isinstance(value, Mapping) and not hasattr(value, "__dict__"):
            items = sorted(value.items(), key=lambda item: str(item[0]))
            return combine("mapping", *(text for key, item in items for text in (self.read(key), self.read(item))))
        if isinstance(value, list | tuple):
            return combine(type(value).__name__, *(self.read(item) for item in value))
        if isinstance(value, set | frozenset):
            return combine("set", *sorted(self.read(item) for item in value))
        return self._read_code(value)

    def _read_code(self, value: Any) -> str:
        if isinstance(value, types.CodeType):
            constants = [self.read(item) for item in value.co_consts]
            return combine("code", value.co_code, *value.co_names, *constants, str(value.co_argcount))
        if isinstance(value, types.FunctionType):
            return self._function(value)
        if isinstance(value, types.MethodType):
            return combine("method", self.read(value.__func__), self.read(value.__self__))
        if isinstance(value, functools.partial):
            return combine("partial", *(self.read(part) for part in (value.func, value.args, value.keywords)))
        if isinstance(value, staticmethod | classmethod | functools.cached_property):
            return self.read(value.func if isinstance(value, functools.cached_property) else value.__func__)
        if isinstance(value, property):
            return combine("property", self.read(value.fget))
        if isinstance(value, type):
            return self._class(value)
        if isinstance(value, types.ModuleType):
            self._is_library(value.__name__)
            return combine("module", value.__name__)
        if isinstance(value, enum.Enum):
            return combine(str(type(value)), value.name)
        return self._object(value)

    def _function(self, function: types.FunctionType) -> str:
        parts = [function.__qualname__, self.read(function.__code__)]
        parts += [self.read(function.__defaults__), self.read(function.__kwdefaults__)]
        for cell in function.__closure__ or ():
            try:
                parts.append(self.read(cell.cell_contents))
            except ValueError:  # not filled yet
                parts.append("empty")
        if self._is_library(function.__module__):
            return combine("function", *parts)
        names = sorted(_names(function.__code__))
        for name in names:
            if name not in function.__globals__:
                continue
            value = function.__globals__[name]
            parts += [name, self.read(value)]
            if isinstance(value, types.ModuleType) and not self._is_library(value.__name__):
                parts += [self.read(vars(value)[other]) for other in names if other in vars(value)]
        wrapped = getattr(function, "__wrapped__", None)
        return combine("function", *parts, self.read(wrapped))

    def _class(self, kind: type) -> str:
        import torch

        parts = [f"{kind.__module__}.{kind.__qualname__}"]
        for base in kind.__mro__:
            if base in (object, torch.nn.Module):
                break
            is_library = self._is_library(base.__module__)
            for name, value in sorted(vars(base).items()):
                is_code = isinstance(value, types.FunctionType | staticmethod | classmethod | property)
                if name not in _NOT_CODE and (is_code or not is_library):
                    parts += [name, self.read(value)]
        return combine("class", *parts)

    def _object(self, value: Any) -> str:
        kind = type(value)
        if kind.__module__.partition(".")[0] in sys.stdlib_module_names and not isinstance(value, Mapping):
            return combine(kind.__qualname__, _stable(value))
        contents = dict(getattr(value, "__dict__", {}))
        for base in kind.__mro__:
            slots = base.__dict__.get("__slots__", ())
            for slot in (slots,) if isinstance(slots, str) else slots:
                if slot not in ("__dict__", "__weakref__") and hasattr(value, slot):
                    contents[slot] = getattr(value, slot)
        if isinstance(value, Mapping):
            contents["items"] = dict(value)
        text = "" if contents else _stable(value)
        return combine("object", self.read(kind), text, *(f"{key}{self.read(item)}" for key, item in sorted(
            contents.items(), key=lambda item: str(item[0]))))  # fmt: skip

    def read_module(self, module: torch.nn.Module) -> str:
        """Digest of one module without its children: class, weights, buffers, hooks and whether it is in training."""
        import torch

        parts = [self.read(type(module)), str(module.training)]
        if isinstance(module, torch.jit.ScriptModule):
            parts.append(module._c.dump_to_str(code=True, attrs=True, params=False))
        held = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        parts += [text for name, tensor in held for text in (name, self.read(tensor))]
        parts += [self.read(list(getattr(module, hooks).values())) for hooks in _HOOKS]
        return combine("module", *parts, *(name for name, _ in module.named_children()))

    def read_attributes(self, model: torch.nn.Module) -> Attributes:
        """Digests of what the modules of a network hold beside weights, by path and name."""
        import torch

        of_torch = vars(torch.nn.Module())
        return {
            (path, name): self.read(value)
            for path, module in model.named_modules(remove_duplicate=False)
            if not isinstance(module, torch.jit.ScriptModule)  # its attributes stand with its code
            for name, value in vars(module).items()
            if name not in of_torch
        }

    def _is_library(self, module: str | None) -> bool:
        top = (module or "").partition(".")[0]
        if not _is_installed(top):
            return False
        if top not in sys.stdlib_module_names:
            self._libraries.setdefault(top, _version(top))
        return True


def combine(*parts: str | bytes) -> str:
    """One digest of several parts."""
    digest = hashlib.sha256()
    for part in parts:
        content = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
        digest.update(f"{len(content)}:".encode())
        digest.update(content)
    return digest.hexdigest()[:32]


def _tensor(tensor: torch.Tensor) -> str:
    import torch

    plain = tensor.detach()
    if plain.is_quantized or plain.layout is not torch.strided or plain.is_meta:
        return combine("tensor", _stable(plain))
    content = plain.cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    return combine("tensor", str(tensor.dtype), str(tuple(tensor.shape)), hashlib.sha256(content.data).digest())


def _names(code: types.CodeType) -> set[str]:
    """Names that a function and the functions inside it look up."""
    inner = (item for item in code.co_consts if isinstance(item, types.CodeType))
    return set(code.co_names).union(*(_names(item) for item in inner))


def _stable(value: Any) -> str:
    """A description without addresses."""
    try:
        return _ADDRESS.sub("", repr(value))
    except Exception:  # foreign code, which may raise anything
        return ""


@functools.cache
def _is_installed(top: str) -> bool:
    """Whether a package is of Python or installed, and not the user's own code."""
    if top in sys.stdlib_module_names and top != "__main__":
        return True
    file = getattr(sys.modules.get(top), "__file__", None)
    places = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}
    return file is not None and any(Path(file).resolve().is_relative_to(place) for place in places)


@functools.cache
def _version(top: str) -> str:
    stated = getattr(sys.modules.get(top), "__version__", None)
    if isinstance(stated, str):
        return stated
    try:
        return importlib.metadata.version({"PIL": "pillow"}.get(top, top))
    except importlib.metadata.PackageNotFoundError:
        return ""


def look(transform: Callable[[Any], Any]) -> str:
    """Digest of what a transform makes of three fixed pictures: wide, tall and small.

    What the code of a transform leaves open, such as tables of another library, shows in its result. One that draws
    by chance gives another digest each time, and rightly so.
    """
    parts = []
    for width, height in ((340, 260), (150, 420), (24, 20)):
        rows, columns = np.mgrid[0:height, 0:width]
        channels = np.stack([rows * 3, columns * 2, rows * columns], axis=-1) % 256
        try:
            parts.append(Reader().read(transform(Image.fromarray(channels.astype(np.uint8)))))
        except (Exception, SystemExit) as error:  # foreign code may raise anything; it will say so on the user's own
            parts.append(type(error).__name__)
    return combine(*parts)
