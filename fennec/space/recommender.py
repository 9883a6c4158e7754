"""What people hold in their hands: a transfer space that recommends, explains, saves and loads itself.

In: `TransferMatrix`, task embeddings. Out: `Ranking`, `Explanation`, a folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Self

from fennec.checkpoints.catalog import Catalog
from fennec.checkpoints.cost import TRAINED_ON
from fennec.tasks.words import Task

from .artifact import load_space, save_space, shipped_space
from .ranking import Ranking
from .shortlist import Explanation, explain, shortlist
from .transfer_space import TransferSpace

if TYPE_CHECKING:
    from fennec.tasks.proxy import Proxy


class Recommender(TransferSpace):
    """The default recommender: a `TransferSpace`, whose parameters it takes, that answers people.

    Example:
        >>> import fennec
        >>> recommender = fennec.Recommender(random_state=0).fit(fennec.load_matrix("cnn11"))
        >>> len(recommender.recommend(n=3))
        3
    """

    def recommend(
        self,
        task: Task | None = None,
        *,
        n: int | None = 10,
        where: str | None = None,
        known: Mapping[str, float] | None = None,
        measured_only: bool = False,
        portfolio: bool = False,
        siblings: bool = False,
        device: str = TRAINED_ON,
        catalog: Catalog | None = None,
    ) -> Ranking:
        """The n models expected to do best on a task.

        Args:
            task: embedding of the new task, or its description (`fennec.describe_task`); None ranks by general quality.
            n: how many models at most; None gives the three best of each of four sizes.
            where: condition on catalog columns, for example `params < 30e6`.
            known: results already measured on the task, model id -> fraction in [0, 1].
            measured_only: leave out the models without any published result.
            portfolio: n models to try together instead: the best of them is expected to be as good as can be, so models
                that fail together are not taken together; of any size, but of any subject only with `siblings`.
            siblings: list the first n as they come. Otherwise at most two checkpoints of one network are shown (one
                family, sizes within 5 %), no model where one of a fifth of its size is expected within a point, and
                none trained only for a subject (people, satellites, masks) that the nearest known tasks do not show.
            device: whose times and memory are shown, and meant in conditions such as `train_minutes < 30`: one of
                `fennec.checkpoints.cost.DEVICES`, or `here` on a machine that was calibrated.
            catalog: facts of the models; the bundled catalog when None.

        Raises:
            InputError: n is below 1, or None for a portfolio, or as for `predict`.
            NothingToRecommendError: no model satisfies the condition.
        """
        return shortlist(
            self, task, n=n, where=where, known=known, measured_only=measured_only, portfolio=portfolio,
            siblings=siblings, device=device, catalog=catalog,
        )  # fmt: skip

    def explain(self, task: Task | None, model: str) -> Explanation:
        """Where the score of one model comes from.

        Args:
            task: embedding or description of the new task, or None.
            model: id of a model of the ranking.

        Returns:
            General quality and one contribution per known image set; they add up to the score.

        Raises:
            UnknownModelError: the model has no place here.
        """
        return explain(self, task, model)

    def save(self, folder: str | Path, *, proxy: Proxy | None = None) -> None:
        """Write `config.json`, `tensors.safetensors` and `README.md` to a folder.

        Args:
            folder: made if need be.
            proxy: the proxy that the known tasks were embedded with; may be left out for the bundled one.

        Raises:
            InputError: another proxy than that.
            UnwritableError: the folder cannot be written.
        """
        save_space(self, folder, proxy=proxy)

    @classmethod
    def from_published(cls, protocol: str = "finetune") -> Self:
        """The space shipped with Fennec: all published results, fitted for one protocol.

        Args:
            protocol: one of `fennec.evidence.studies.PROTOCOLS` but `eval`.

        Raises:
            UnknownTaskError: there is none for the protocol.
            ArtifactError: it is damaged.
        """
        return load_space(shipped_space(protocol), cls)

    @classmethod
    def load(cls, folder: str | Path, *, proxy: Proxy | None = None) -> Self:
        """Read what `save` wrote; a given proxy is checked against the one it was made with.

        Raises:
            ArtifactError: missing, damaged, of a newer format, or made with another proxy.
        """
        return load_space(folder, cls, proxy=proxy)
