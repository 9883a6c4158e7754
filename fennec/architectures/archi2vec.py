"""Architectures as vectors: a graph neural network over their operators.

In: `ArchitectureGraph`s. Out: one vector per architecture; near vectors are networks built alike. The network is
trained without labels: it fills in masked operators, recognises an architecture by two incomplete views of it, and
reads its size, arithmetic and depth off the vector. Then it is tuned on what architectures reached (`quality.py`), so
that a linear function of the vector says how good an unseen one may be. Every step costs time linear in the number of
operators.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fennec.errors import ArtifactError
from fennec.files import as_json, read_file, write_whole
from fennec.typed import Table, check_between, check_values, read_json, read_tensors, typed

from .graph import ATTRIBUTES, KINDS, VERSION, ArchitectureGraph

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # of torch, about how torch-geometric is written
    from torch_geometric.data import Batch, Data
    from torch_geometric.nn import SAGEConv, global_max_pool, global_mean_pool
    from torch_geometric.utils import scatter

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
LIMIT = 10**9  # bytes of the file
MASKED = len(KINDS)  # the kind of an operator that is hidden
N_FREQUENCIES = 4  # waves that tell the place along the depth
TEMPERATURE = 0.1  # of the contrastive loss
QUANTITIES = ("params", "macs", "n_nodes", "depth")


@dataclass(frozen=True)
class Settings:
    """Those of `GraphEncoder`."""

    width: int
    n_layers: int
    n_components: int

    def __post_init__(self) -> None:
        check_between(1, 4096, **asdict(self))


@dataclass(frozen=True)
class Header:
    """What the file says beside its tensors."""

    format_version: int
    graph_version: int
    settings: Settings


class DirectedLayer(nn.Module):
    """One round of messages: from what feeds an operator, to what it feeds, and from the whole network.

    Args:
        width: numbers per operator.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.forwards = SAGEConv(width, width, aggr="mean", root_weight=False)
        self.backwards = SAGEConv(width, width, aggr="mean", root_weight=False)
        self.whole = nn.Linear(width, width)
        self.own = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, h: Tensor, edges: Tensor, batch: Tensor) -> Tensor:
        """New states of the operators, shape (n_nodes, width)."""
        z = self.norm(h)
        whole = self.whole(global_mean_pool(z, batch))[batch]
        message = self.own(z) + self.forwards(z, edges) + self.backwards(z, edges.flip(0)) + whole
        return torch.as_tensor(h + self.out(functional.gelu(message)))


class GraphEncoder(nn.Module):
    """Network from operator graphs to vectors.

    Args:
        width: numbers per operator.
        n_layers: rounds of messages.
        n_components: length of an architecture's vector.
    """

    def __init__(self, width: int = 64, n_layers: int = 6, n_components: int = 64) -> None:
        super().__init__()
        self.settings = {"width": width, "n_layers": n_layers, "n_components": n_components}
        self.kind = nn.Embedding(len(KINDS) + 1, width)
        self.attributes = nn.Linear(len(ATTRIBUTES) + 2 * N_FREQUENCIES, width)
        self.layers = nn.ModuleList([DirectedLayer(width) for _ in range(n_layers)])
        self.norm = nn.LayerNorm(width)
        self.amounts = nn.Linear(width, width)
        self.readout = nn.Sequential(nn.Linear(3 * width, 2 * width), nn.GELU(), nn.Linear(2 * width, n_components))
        self.to_kind = nn.Linear(width, len(KINDS))
        self.to_attributes = nn.Linear(width, len(ATTRIBUTES))
        self.to_quantities = nn.Linear(n_components, len(QUANTITIES))
        self.to_quality = nn.Linear(n_components, 1)

    def forward(self, graphs: Data) -> tuple[Tensor, Tensor]:
        """States of the operators and vectors of the architectures.

        Args:
            graphs: a batch with `kind`, scaled `attributes`, `place` in [0, 1] along the depth and `edge_index`.

        Returns:
            Shapes (n_nodes, width) and (n_graphs, n_components).
        """
        waves = graphs.place[:, None] * torch.pi * 2.0 ** torch.arange(N_FREQUENCIES, device=graphs.place.device)
        given = torch.cat([graphs.attributes, waves.sin(), waves.cos()], dim=1)
        h = self.kind(graphs.kind) + self.attributes(given)
        for layer in self.layers:
            h = layer(h, graphs.edge_index, graphs.batch)
        h = self.norm(h)
        # sizes of parts add up: the logarithm of a sum of exponentials adds what is given as logarithms
        amounts = self.amounts(h)
        top = global_max_pool(amounts, graphs.batch)
        total = scatter((amounts - top[graphs.batch]).exp(), graphs.batch, reduce="sum").log() + top
        pooled = [global_mean_pool(h, graphs.batch), global_max_pool(h, graphs.batch), total]
        return h, self.readout(torch.cat(pooled, dim=1))


class Archi2Vec:
    """Trained encoder with the scale of its inputs.

    Args:
        encoder: the network.
        mean: of every attribute's logarithm over the operators, shape (n_attributes,).
        deviation: likewise.
    """

    def __init__(self, encoder: GraphEncoder, mean: Tensor, deviation: Tensor) -> None:
        self.encoder, self.mean, self.deviation = encoder.eval(), mean, deviation

    def encode(self, graphs: Sequence[ArchitectureGraph], *, batch_size: int = 64) -> NDArray[np.float32]:
        """Vectors of architectures, shape (n_graphs, n_components).

        Args:
            graphs: any number of them.
            batch_size: how many at a time.
        """
        vectors = []
        with torch.inference_mode():
            for start in range(0, len(graphs), batch_size):
                items = [self.prepared(graph) for graph in graphs[start : start + batch_size]]
                vectors.append(self.encoder(Batch.from_data_list(items))[1])
        return np.asarray(torch.cat(vectors).numpy()) if vectors else np.zeros((0, 0), dtype=np.float32)

    def quality(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        """Expected quality of architectures by their vectors (`quality.py`), shape (n_graphs,)."""
        with torch.inference_mode():
            read = self.encoder.to_quality(torch.as_tensor(vectors))[:, 0]
        return np.asarray(read.numpy(), dtype=np.float64)

    def prepared(self, graph: ArchitectureGraph) -> Data:
        """A graph with scaled attributes and the place of every operator along the depth."""
        data = graph.to_data()
        depth = torch.as_tensor(graph.attributes[:, ATTRIBUTES.index("depth")].astype(np.float32))
        data.attributes = (data.attributes - self.mean) / self.deviation
        data.place = depth / depth.max().clamp_min(1.0)
        return data

    @classmethod
    def fit(
        cls,
        graphs: Sequence[ArchitectureGraph],
        *,
        n_epochs: int = 60,
        batch_size: int = 32,
        learning_rate: float = 2e-3,
        random_state: int = 0,
    ) -> Self:
        """Train on graphs alone.

        Args:
            graphs: equal ones count once.
            n_epochs: passes over them.
            batch_size: graphs per step.
            learning_rate: largest, of a cosine schedule.
            random_state: seed of weights, views and order.
        """
        distinct = list({graph.hash: graph for graph in graphs}.values())
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(random_state)
            logs = torch.cat([graph.to_data().attributes for graph in distinct])
            model = cls(GraphEncoder(), logs.mean(dim=0), logs.std(dim=0).clamp_min(1e-3))
            items = [model.prepared(graph) for graph in distinct]
            for item, target in zip(items, _quantities(distinct), strict=True):
                item.quantities = target[None]
            groups = [(list(model.encoder.parameters()), learning_rate)]
            model._train(items, n_epochs, batch_size, groups, _structure_loss)
        return model

    def tune(
        self,
        graphs: Sequence[ArchitectureGraph],
        quality: NDArray[np.float64],
        *,
        n_epochs: int = 4,
        batch_size: int = 32,
        learning_rate: float = 5e-4,
        random_state: int = 0,
    ) -> Self:
        """Go on training on what architectures reached.

        Args:
            graphs: architectures with results.
            quality: of every one, shape (n_graphs,).
            n_epochs: passes over them.
            batch_size: graphs per step.
            learning_rate: largest of the encoder's, of a cosine schedule.
            random_state: seed of the order.
        """
        items = [self.prepared(graph) for graph in graphs]
        for item, target in zip(items, quality, strict=True):
            item.quality = torch.tensor([target], dtype=torch.float32)
        encoder = self.encoder
        head = list(encoder.to_quality.parameters())
        body = [parameter for name, parameter in encoder.named_parameters() if not name.startswith("to_")]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(random_state)
            self._train(
                items, n_epochs, batch_size, [(body, learning_rate), (head, 6 * learning_rate)], _quality_loss, 0.05
            )
        return self

    def _train(
        self,
        items: list[Data],
        n_epochs: int,
        batch_size: int,
        groups: list[tuple[list[nn.Parameter], float]],
        loss_of: Callable[[GraphEncoder, Data], Tensor],
        weight_decay: float = 0.01,
    ) -> None:
        encoder = self.encoder.train()
        optimizer = torch.optim.AdamW(
            [{"params": parameters, "lr": rate} for parameters, rate in groups], weight_decay=weight_decay
        )
        n_steps = n_epochs * -(-len(items) // batch_size)
        rates = [rate for _, rate in groups]
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rates, total_steps=n_steps)
        for epoch in range(n_epochs):
            total = 0.0
            order = torch.randperm(len(items)).tolist()
            for start in range(0, len(items), batch_size):
                chosen = order[start : start + batch_size]
                loss = loss_of(encoder, Batch.from_data_list([items[index] for index in chosen]))
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                nn.utils.clip_grad_norm_(encoder.parameters(), 1.0)
                optimizer.step()
                schedule.step()
                total += float(loss.detach()) * len(chosen)
            logger.info("archi2vec: epoch %d of %d, loss %.3f", epoch + 1, n_epochs, total / len(items))
        encoder.eval()

    def save(self, path: str | Path) -> None:
        """Write the weights to a safetensors file (to a temporary name, then renamed)."""
        from safetensors.torch import save

        header = {"format_version": FORMAT_VERSION, "graph_version": VERSION, "settings": self.encoder.settings}
        tensors = {f"encoder.{name}": value.contiguous() for name, value in self.encoder.state_dict().items()}
        tensors |= {"mean": self.mean, "deviation": self.deviation}
        write_whole(Path(path), save(tensors, metadata={"fennec": as_json(header, indent=None)}))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote.

        Raises:
            ArtifactError: the file is missing, damaged, newer, or made for other graphs.
        """
        try:
            arrays, texts = read_tensors(read_file(Path(path), limit=LIMIT))
            header = typed(Header, read_json(texts.get("fennec", "{}").encode()), where="its header")
            for name, array in arrays.items():
                check_values(name, array, Table(array.shape))
        except (OSError, ArtifactError) as error:
            raise ArtifactError(f"'{path}' holds no archi2vec weights ({error})") from error
        if header.format_version != FORMAT_VERSION or header.graph_version != VERSION:
            raise ArtifactError(f"'{path}' is of another version of Fennec; train it again or update Fennec")
        tensors = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
        try:
            encoder = GraphEncoder(**asdict(header.settings))
            encoder.load_state_dict(
                {name.removeprefix("encoder."): value for name, value in tensors.items() if name.startswith("encoder.")}
            )
            return cls(encoder, tensors["mean"], tensors["deviation"])
        except (KeyError, RuntimeError, TypeError) as error:
            raise ArtifactError(f"'{path}' holds no archi2vec weights ({str(error)[:200]})") from error


def _quantities(graphs: Sequence[ArchitectureGraph]) -> Tensor:
    """Standardised logarithms of `QUANTITIES`, shape (n_graphs, 4)."""
    rows = [(graph.params, 1e9 * graph.gmacs, graph.n_nodes, graph.depth) for graph in graphs]
    logs = np.log2(1.0 + np.array(rows, dtype=float))
    return torch.as_tensor((logs - logs.mean(axis=0)) / np.maximum(logs.std(axis=0), 1e-6), dtype=torch.float32)


def _quality_loss(encoder: GraphEncoder, batch: Data) -> Tensor:
    """How far the quality read off the vectors is from the true one."""
    return functional.smooth_l1_loss(encoder.to_quality(encoder(batch)[1])[:, 0], batch.quality)


def _structure_loss(encoder: GraphEncoder, batch: Data) -> Tensor:
    """How badly two incomplete views of every graph are completed, measured and told from those of other graphs."""
    vectors, losses = [], []
    for _ in range(2):
        view, hidden = _masked(batch)
        h, vector = encoder(view)
        vectors.append(vector)
        losses.append(functional.cross_entropy(encoder.to_kind(h[hidden]), batch.kind[hidden]))
        losses.append(functional.smooth_l1_loss(encoder.to_attributes(h[hidden]), batch.attributes[hidden]))
        losses.append(functional.smooth_l1_loss(encoder.to_quantities(vector), batch.quantities))
    one, two = (functional.normalize(vector, dim=1) for vector in vectors)
    similarity = one @ two.T / TEMPERATURE
    own = torch.arange(len(one), device=one.device)
    losses += [functional.cross_entropy(similarity, own) / 2, functional.cross_entropy(similarity.T, own) / 2]
    return torch.stack(losses).sum()


def _masked(batch: Data, share: float = 0.15) -> tuple[Data, Tensor]:
    """A view of a batch with a share of the operators hidden, and which."""
    hidden = torch.rand(len(batch.kind)) < share
    hidden[0] = True  # never none
    view = batch.clone()
    view.kind = torch.where(hidden, MASKED, batch.kind)
    view.attributes = batch.attributes.masked_fill(hidden[:, None], 0.0)
    return view, hidden
