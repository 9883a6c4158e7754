"""The operators of a network that compute something, and who feeds whom.

In: a module and what it takes. Out: `Builder`, filled by `torch.export` or by watching one run. Views, dropout and
scalar bookkeeping are folded into their neighbours, constants and parameters into the operators that use them.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.export.graph_signature import InputKind
from torch.utils._python_dispatch import TorchDispatchMode

OPERATORS = {
    "conv": "conv1d conv2d conv3d convolution _convolution conv_transpose2d mkldnn_convolution",
    "linear": "linear addmm",
    "matmul": "matmul mm bmm baddbmm einsum",
    "attention": "scaled_dot_product_attention _scaled_dot_product_flash_attention _scaled_dot_product_math "
    "_scaled_dot_product_efficient_attention _scaled_dot_product_flash_attention_for_cpu _native_multi_head_attention",
    "batch_norm": "batch_norm native_batch_norm _native_batch_norm_legit_no_training _batch_norm_impl_index "
    "_native_batch_norm_legit",
    "layer_norm": "layer_norm native_layer_norm",
    "group_norm": "group_norm native_group_norm",
    "rms_norm": "rms_norm _fused_rms_norm",
    "normalize": "norm linalg_vector_norm var var_mean std std_mean rsqrt instance_norm local_response_norm avg_pool3d",
    "relu": "relu hardtanh clamp clamp_min relu6 threshold",
    "leaky_relu": "leaky_relu prelu _prelu_kernel rrelu",
    "elu": "elu selu celu",
    "gelu": "gelu",
    "silu": "silu hardswish mish",
    "sigmoid": "sigmoid hardsigmoid",
    "tanh": "tanh softplus exp log",
    "softmax": "softmax _softmax log_softmax _log_softmax",
    "max_pool": "max_pool2d max_pool2d_with_indices adaptive_max_pool2d amax max maximum",
    "avg_pool": "avg_pool2d adaptive_avg_pool2d _adaptive_avg_pool2d adaptive_avg_pool1d avg_pool1d",
    "mean": "mean sum cumsum",
    "add": "add sub rsub",
    "mul": "mul div square pow addcmul reciprocal",
    "concat": "cat stack concat",
    "resize": "upsample_nearest2d upsample_bilinear2d upsample_bicubic2d interpolate grid_sampler "
    "_upsample_bilinear2d_aa _upsample_bicubic2d_aa grid_sampler_2d",
    "embedding": "embedding",
}
BOOKKEEPING = {
    "shape": "view reshape _reshape_alias _unsafe_view permute transpose t numpy_T mT adjoint flatten unflatten "
    "unsqueeze squeeze expand expand_as repeat repeat_interleave movedim swapaxes swapdims view_as reshape_as "
    "as_strided view_copy permute_copy expand_copy unsqueeze_copy squeeze_copy transpose_copy real imag "
    "view_as_real view_as_complex",
    "part": "slice select split split_with_sizes chunk unbind tensor_split narrow getitem index index_select gather "
    "take_along_dim slice_copy select_copy split_with_sizes_copy unbind_copy slice_scatter select_scatter scatter "
    "index_put masked_fill where tril triu",
    "copy": "contiguous clone to _to_copy type_as float half copy copy_ alias alias_copy detach detach_ lift_fresh "
    "lift_fresh_copy dropout dropout_ feature_dropout native_dropout",
    "place": "roll pad constant_pad_nd reflection_pad2d replication_pad2d unfold im2col col2im fold pixel_shuffle "
    "pixel_unshuffle channel_shuffle flip argsort argmax topk sort",
    "constant": "empty_like zeros_like ones_like full_like new_zeros new_empty new_ones new_full fill fill_ zero zero_ "
    "bernoulli sin cos neg abs item sym_size _assert_tensor_metadata",
}
FOLDED = {name for names in BOOKKEEPING.values() for name in names.split()}
_KIND_OF = {name: kind for kind, names in OPERATORS.items() for name in names.split()}
_ARITHMETIC = {
    "add",
    "mul",
    "tanh",
}  # with a number or with itself these are bookkeeping, unless a parameter takes part


@dataclass
class Value:
    """What is known of a tensor while tracing: where it comes from."""

    sources: tuple[int, ...] = ()  # operators
    held: tuple[str, ...] = ()  # parameters that reached it without an operator
    shape: tuple[int, ...] = ()


@dataclass
class Builder:
    """Collects operators in the order of execution."""

    sizes: dict[str, int]  # elements of every parameter
    kinds: list[str] = field(default_factory=list)
    rows: list[dict[str, int]] = field(default_factory=list)
    sources: list[tuple[int, ...]] = field(default_factory=list)
    counted: set[str] = field(default_factory=set)
    unknown: set[str] = field(default_factory=set)
    outputs: tuple[int, ...] = ()

    def picture(self, shape: tuple[int, ...]) -> Value:
        """An input of the network."""
        channels = shape[1] if len(shape) == 4 else shape[-1]
        row = {"channels_out": channels, "positions": int(np.prod(shape)) // max(channels, 1)}
        return self._append("input", row, (), shape)

    def call(self, name: str, values: Sequence[Value], numbers: Sequence[Any], shape: tuple[int, ...]) -> Value:
        """An operator on tensors; what it gives.

        Args:
            name: of the operator, without namespace or overload.
            values: its tensors, in order.
            numbers: all its arguments, tensors as None.
            shape: of its first result.
        """
        sources = tuple(dict.fromkeys(source for value in values for source in value.sources))
        held = tuple(dict.fromkeys(parameter for value in values for parameter in value.held))
        base = name.removesuffix("_") if name not in FOLDED and name not in _KIND_OF else name
        kind = _KIND_OF.get(base, "other")
        if kind == "matmul" and held:
            kind = "linear"
        if not sources or base in FOLDED:
            return Value(sources, held, shape)
        moving = [value for value in values if value.sources]
        if kind in _ARITHMETIC and len(moving) == 1 and not held:
            return Value(sources, held, shape)
        if kind == "other":
            self.unknown.add(base)
        row = self._describe(kind, values, moving, numbers, shape)
        row["params"] = sum(self.sizes[parameter] for parameter in held if parameter not in self.counted)
        self.counted.update(held)
        return self._append(kind, row, sources, shape)

    def _append(self, kind: str, row: dict[str, int], sources: tuple[int, ...], shape: tuple[int, ...]) -> Value:
        row["depth"] = 1 + max((self.rows[source]["depth"] for source in sources), default=-1)
        self.kinds.append(kind)
        self.rows.append(row)
        self.sources.append(sources)
        return Value((len(self.kinds) - 1,), (), shape)

    def _describe(
        self,
        kind: str,
        values: Sequence[Value],
        moving: Sequence[Value],
        numbers: Sequence[Any],
        shape: tuple[int, ...],
    ) -> dict[str, int]:
        """Attributes of an operator but its parameters and depth."""
        elements = int(np.prod(shape)) if shape else 1
        before = self.rows[moving[0].sources[0]]
        channels_in = channels = before["channels_out"]
        row: dict[str, int] = {}
        fixed = [value.shape for value in values if not value.sources]
        if kind == "conv" and fixed:
            weight, transposed = fixed[0], len(numbers) > 6 and numbers[6] is True
            channels_in, channels = moving[0].shape[1], shape[1]
            times = int(np.prod(moving[0].shape)) if transposed else elements
            row = {"kernel": max(weight[2:], default=1), "stride": _largest(numbers, 3),
                   "groups": _last_integer(numbers), "macs": times * int(np.prod(weight[1:]))}  # fmt: skip
        elif kind == "linear" and fixed:
            channels_in, channels = moving[0].shape[-1], shape[-1]
            row = {"macs": elements * channels_in}
        elif kind in ("matmul", "linear"):
            channels_in, channels = moving[0].shape[-1], shape[-1]
            row = {"macs": elements * channels_in, "heads": shape[-3] if len(shape) > 3 else 0}
        elif kind == "attention":
            keys = values[1].shape
            channels_in = channels = shape[-1] * (shape[1] if len(shape) > 3 else 1)
            row = {"macs": 2 * elements * keys[-2], "heads": shape[1] if len(shape) > 3 else 1}
        elif kind.endswith("_norm"):
            row = {"normalized": fixed[0][-1] if fixed and fixed[0] else channels}
        elif kind.endswith("pool") and len(shape) == 4:
            channels = shape[1]
            row = {"kernel": _largest(numbers, 1), "stride": _largest(numbers, 2)}
        elif kind == "concat":
            others = [self.rows[source] for value in moving for source in value.sources]
            if len({other["positions"] for other in others}) == 1 and len(moving) > 1:
                channels = sum(self.rows[value.sources[-1]]["channels_out"] for value in moving)
        elif shape and elements % max(channels, 1):
            channels = shape[-1]
        positions = max(elements // max(channels, 1), 1)
        return {"channels_in": channels_in, "channels_out": channels, "positions": positions} | row

    def kept(self) -> list[int]:
        """Operators that the output depends on, in order, without the head."""
        outputs = self.outputs
        if len(outputs) == 1 and self.kinds[outputs[0]] == "linear" and self.rows[outputs[0]]["positions"] == 1:
            outputs = self.sources[outputs[0]]
        needed: set[int] = set()
        stack = list(outputs)
        while stack:
            if (node := stack.pop()) not in needed:
                needed.add(node)
                stack.extend(self.sources[node])
        return sorted(needed)


def _largest(numbers: Sequence[Any], place: int) -> int:
    """A size given as one number or one per axis; 1 where it is left out."""
    value = numbers[place] if len(numbers) > place else None
    if isinstance(value, list | tuple):
        return max((int(item) for item in value), default=1)
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else 1


def _last_integer(numbers: Sequence[Any]) -> int:
    """Groups of a convolution, its last whole-number argument where it is written out."""
    last = [number for number in numbers[6:] if isinstance(number, int) and not isinstance(number, bool)]
    return last[-1] if last else 1


def exported(module: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> Builder:
    """Trace by `torch.export`."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about what it leaves out
        program = torch.export.export(module, arguments, strict=False)
    kinds = {spec.arg.name: (spec.kind, spec.target) for spec in program.graph_signature.input_specs}
    builder = Builder({name: parameter.numel() for name, parameter in module.named_parameters()})
    values: dict[Any, Value] = {}
    for node in program.graph.nodes:
        if node.op == "placeholder":
            shape = tuple(node.meta["val"].shape)
            kind, target = kinds[node.name]
            if kind is InputKind.USER_INPUT:
                values[node] = builder.picture(shape)
            else:
                values[node] = Value((), (target,) if kind is InputKind.PARAMETER else (), shape)
        elif node.op == "call_function":
            if not isinstance(node.target, torch._ops.OpOverload) and node.target is not operator.getitem:
                raise NotImplementedError(f"the exporter left '{node.target}' in the graph")
            result = node.meta.get("val")
            first = result[0] if isinstance(result, list | tuple) and result else result
            name = node.target.__name__.split(".")[0]
            tensors = [values[source] for source in _flat(node.args, torch.fx.Node) if source in values]
            tensors += [values[source] for source in _flat(node.kwargs.values(), torch.fx.Node) if source in values]
            numbers = [None if isinstance(item, torch.fx.Node) else item for item in node.args]
            values[node] = builder.call(name, tensors, numbers, tuple(getattr(first, "shape", ())))
        elif node.op == "output":
            found = [values[source] for source in _flat(node.args, torch.fx.Node)]
            builder.outputs = tuple(dict.fromkeys(source for value in found for source in value.sources))
    return builder


def watched(module: torch.nn.Module, arguments: tuple[torch.Tensor, ...]) -> Builder:
    """Trace by watching the operators of one run: for networks whose path depends on values."""
    builder = Builder({name: parameter.numel() for name, parameter in module.named_parameters()})
    values: dict[int, Value] = {}
    alive: list[Any] = []  # a tensor that is freed would lend its identity to another

    def remember(tensor: torch.Tensor, value: Value) -> None:
        alive.append(tensor)
        values[id(tensor)] = value

    for name, parameter in module.named_parameters():
        remember(parameter, Value((), (name,), tuple(parameter.shape)))
    for tensor in arguments:
        remember(tensor, builder.picture(tuple(tensor.shape)))

    class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            given = _flat((args, list((kwargs or {}).values())), torch.Tensor)
            made = _flat(result, torch.Tensor)
            if made:
                tensors = [values.get(id(tensor), Value((), (), tuple(tensor.shape))) for tensor in given]
                numbers = [None if isinstance(item, torch.Tensor) else item for item in args]
                if func._overloadpacket.__name__ == "addmm":  # the bias comes first
                    tensors = [*tensors[1:], tensors[0]]
                value = builder.call(func._overloadpacket.__name__, tensors, numbers, tuple(made[0].shape))
                for tensor in made:
                    remember(tensor, Value(value.sources, value.held, tuple(tensor.shape)))
            return result

    with torch.no_grad(), Watch():  # type: ignore[no-untyped-call]
        output = module(*arguments)
    found = [values[id(tensor)] for tensor in _flat(output, torch.Tensor) if id(tensor) in values]
    builder.outputs = tuple(dict.fromkeys(source for value in found for source in value.sources))
    return builder


def _flat(items: Any, wanted: type) -> list[Any]:
    """Everything of a type inside nested lists, tuples and dictionaries, in order."""
    if isinstance(items, wanted):
        return [items]
    if isinstance(items, dict):
        items = items.values()
    if isinstance(items, str) or not isinstance(items, Iterable):
        return []
    return [found for item in items for found in _flat(item, wanted)]
