"""Online instance matching, and how well it does."""

from typing import Literal

import torch
import torch.nn.functional as F
from mmdet.utils import reduce_mean
from mmengine.dist import all_gather, all_reduce, get_world_size
from torch import Tensor, nn

from mmps.registry import MODELS

OVERLAPS = (0.7, 0.9)
"""Between which the IoU of a region counts in ``momentum='iou'``: up to 1 less .1."""


@MODELS.register_module()
class OIMLoss(nn.Module):
    """Online instance matching (Xiao et al., CVPR 2017; paper, section IV-B).

    A look-up table (LUT) keeps one embedding per labelled identity, a circular queue the latest
    unlabelled people. A labelled embedding is to be more similar to its own row than to all other
    rows and the queue.

    Tables and queue pointer are buffers, so a checkpoint holds all of them. They stay float32, and
    are computed with in float32 under autocast. Under distributed training every rank applies the
    people of all ranks, in rank order, and the loss is normalised by their number: gradients and
    tables are those of one process on the concatenated batch.

    No shape depends on who is labelled, so one process waits for a GPU once in a step: for how
    often the commonest person occurs.

    Example:
        >>> oim = OIMLoss(num_ids=2, embed_dim=2, queue_size=4)
        >>> people = torch.eye(2)
        >>> oim(people, torch.tensor([1, -1])).round(decimals=3)
        tensor(1.7920)
        >>> oim.lut.tolist(), oim.queue[0].tolist(), int(oim.queue_pointer)
        ([[0.0, 0.0], [1.0, 0.0]], [0.0, 1.0], 1)

    Args:
        num_ids: Labelled identities, rows of the LUT. ``'auto'`` is replaced by the number of the
            training set before a training; otherwise it is the number of rows in the weights.
        embed_dim: Width D of the embeddings.
        queue_size: Rows of the circular queue.
        momentum: Weight of the old LUT row in its update. ``'iou'``: 1 minus the overlap of the
            region with its person, held between .1 and .3, so that badly cut regions change a row
            less (LOIM; Lee et al., OIMNet++, ECCV 2022).
        scalar: Factor on the similarities before the softmax (inverse temperature).
        mask_unfilled: Leave rows that nobody has filled yet out of the softmax, where they count as
            somebody with similarity 0.
        unfilled_similarity: Similarity of unfilled rows to everybody but their own person, who has
            1. None: 0 to everybody.
        mean_over: ``'labelled'`` or ``'people'``: by how many people the sum is divided, labelled
            ones or all.

    Raises:
        ValueError: There is no such mean.
    """

    def __init__(
        self,
        num_ids: int | Literal['auto'],
        embed_dim: int,
        queue_size: int = 2048,
        momentum: float | Literal['iou'] = 0.5,
        scalar: float = 30.0,
        mask_unfilled: bool = False,
        unfilled_similarity: float | None = None,
        mean_over: str = 'labelled',
    ):
        super().__init__()
        if mean_over not in ('labelled', 'people'):
            raise ValueError(f"OIMLoss: mean_over={mean_over!r}; there are 'labelled' and 'people'")
        self.mask_unfilled = mask_unfilled
        self.unfilled_similarity = unfilled_similarity
        self.mean_over = mean_over
        self.momentum = momentum
        self.weighs_overlaps = momentum == 'iou'
        self.scalar = scalar
        self.statistics = OIMStatistics()
        self.register_buffer('lut', torch.zeros(0 if num_ids == 'auto' else num_ids, embed_dim))
        self.register_buffer('queue', torch.zeros(queue_size, embed_dim))
        self.register_buffer('queue_pointer', torch.zeros((), dtype=torch.long))

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args) -> None:
        rows = state_dict.get(f'{prefix}lut')
        if len(self.lut) == 0 and rows is not None:
            self.lut = self.lut.new_zeros(rows.shape)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def forward(
        self, embeddings: Tensor, person_ids: Tensor, overlaps: Tensor | None = None
    ) -> Tensor:
        """The mean cross entropy of the labelled people; 0 (with a graph) when there are none.

        In training mode the tables are updated afterwards, in row order: once per forward call, so
        also for each of several accumulated batches.

        Args:
            embeddings: ``(n, D)``, unit norm.
            person_ids: ``(n,)`` int64, 0..num_ids-1, or -1 for an unlabelled person.
            overlaps: ``(n,)``, IoU of each region with its person, for ``momentum='iou'``.
        """
        with torch.autocast(embeddings.device.type, enabled=False):
            embeddings = embeddings.float()
            labelled = person_ids >= 0
            own = person_ids.clamp(min=0)
            # cat copies the tables: what backward needs survives the update below.
            table = torch.cat([self.lut, self.queue])
            logits = self.scalar * embeddings @ table.T
            if self.mask_unfilled:
                # The product with a row of zeros is zero.
                logits = self._assumed(logits, table, own, -torch.inf, 0.0)
            similar = logits.detach() / self.scalar
            if self.unfilled_similarity is not None:
                others = self.scalar * self.unfilled_similarity
                logits = self._assumed(logits, table, own, others, self.scalar)
            total = F.cross_entropy(logits, person_ids, ignore_index=-1, reduction='sum')
            counted = labelled if self.mean_over == 'labelled' else torch.ones_like(labelled)
            count = reduce_mean(counted.sum().float())
            loss = total / torch.where(count > 0, count, 1.0)
            if self.training:
                self.statistics.update(similar[:, : len(self.lut)], person_ids)
                shares = self._shares(person_ids, overlaps)
                self._update(*map(_gather_rows, (embeddings, person_ids, shares)))
        return loss

    @staticmethod
    def _assumed(
        logits: Tensor, table: Tensor, person_ids: Tensor, others: float, own: float
    ) -> Tensor:
        """Logits ``(n, rows)``, of unfilled rows those of a person's own and of others."""
        assumed = torch.full_like(logits, others).scatter_(1, person_ids[:, None], own)
        return torch.where((table == 0).all(1), assumed, logits)

    def _shares(self, person_ids: Tensor, overlaps: Tensor | None) -> Tensor:
        """Weight of the old LUT row for each person ``(n,)`` float64."""
        if self.weighs_overlaps:
            assert overlaps is not None, "momentum='iou' needs overlaps"
            return 1 - overlaps.double().clamp(*OVERLAPS)
        return torch.full_like(person_ids, self.momentum, dtype=torch.float64)

    @torch.no_grad()
    def _update(self, embeddings: Tensor, person_ids: Tensor, momentum: Tensor) -> None:
        if len(person_ids):
            self._update_lut(embeddings, person_ids, momentum)
            self._push(embeddings, person_ids < 0)

    def _update_lut(self, embeddings: Tensor, person_ids: Tensor, momentum: Tensor) -> None:
        """``lut[id] = normalise(momentum * lut[id] + (1 - momentum) * embedding)``, row after row.

        Rows of different people are independent: round r does the r-th row of every person at once.
        """
        person_ids, order = person_ids.sort(stable=True)
        embeddings, momentum = embeddings[order], momentum[order, None]
        places = torch.arange(len(order), device=order.device)
        # Unlabelled people, who come first, write what the last person writes.
        target = torch.where(person_ids < 0, person_ids[-1], person_ids)
        first = torch.searchsorted(person_ids, target)
        rounds = torch.where(person_ids < 0, -1, places - first)
        mixed = self.lut[target]
        for r in range(int(rounds.max()) + 1):
            row = (places + r).clamp(max=len(order) - 1)
            old = momentum[row]
            new = old.to(mixed) * mixed + (1 - old).to(mixed) * embeddings[row]
            # The r-th row of a person is r places behind the first.
            mixed = torch.where(rounds[row, None] == r, F.normalize(new), mixed)
        self.lut[target] = mixed[first]

    def _push(self, embeddings: Tensor, unlabelled: Tensor) -> None:
        size = len(self.queue)
        places = self.queue_pointer + unlabelled.cumsum(0) - 1
        slots = torch.where(unlabelled, places % size, size)
        # Of several in one slot the last survives.
        numbers = torch.arange(len(slots), device=slots.device)
        rows = torch.full((size + 1,), -1, device=slots.device)
        rows = rows.scatter_reduce(0, slots, numbers, 'amax')[:size]
        pushed = embeddings[rows.clamp(min=0)]
        self.queue.copy_(torch.where(rows[:, None] < 0, self.queue, pushed))
        self.queue_pointer.add_(unlabelled.sum()).remainder_(size)


class OIMStatistics:
    """How well OIM tells people apart, over the steps since it was last asked.

    The sums stay on the device until :meth:`summarise`, so that watching costs no synchronisation.

    Example:
        >>> statistics = OIMStatistics()
        >>> statistics.update(torch.tensor([[0.75, 0.25]]), torch.tensor([0]))
        >>> summary = statistics.summarise(lut=torch.eye(2), queue=torch.zeros(4, 2))
        >>> summary['own_similarity'], summary['other_similarity'], summary['queue_filled']
        (0.75, 0.25, 0.0)
    """

    def __init__(self) -> None:
        self._sums: Tensor | None = None
        self._steps = 0

    def update(self, similarities: Tensor, person_ids: Tensor) -> None:
        """Take in one step, before it changes the tables.

        Args:
            similarities: ``(n, num_ids)``, cosines of people to the rows of the look-up table; to
                a row nobody has filled yet 0 or -inf.
            person_ids: ``(n,)`` int64, 0..num_ids-1, or -1 for people who do not count.
        """
        labelled = person_ids[:, None] >= 0
        ids = person_ids[:, None].clamp(min=0)
        filled = similarities.detach().masked_fill((similarities == 0) | ~labelled, -torch.inf)
        own = filled.gather(1, ids).squeeze(1)
        found = torch.stack([own, filled.scatter(1, ids, -torch.inf).amax(1)])
        finite = found.isfinite()
        sums = torch.cat([found.where(finite, 0.0).sum(1), finite.sum(1), labelled.sum()[None]])
        self._sums = sums if self._sums is None else self._sums + sums
        self._steps += 1

    def summarise(self, lut: Tensor, queue: Tensor) -> dict[str, float]:
        """The statistics since the last call, over all ranks; every rank must call it.

        Returns:
            ``lut_filled``, ``queue_filled``: share of the rows of look-up table ``(num_ids, D)``
            and queue that somebody has filled. ``labelled_people``: labelled regions in a step of
            all ranks. ``own_similarity``, ``other_similarity``: mean cosine of a labelled person to
            the own row and to the nearest other row of the table; absent where none was filled.
        """
        sums = lut.new_zeros(5) if self._sums is None else self._sums
        # Every rank counts every step.
        totals = torch.cat([sums, lut.new_tensor([self._steps / get_world_size()])])
        all_reduce(totals)
        self._sums, self._steps = None, 0
        own, other, owns, others, people, steps = totals.tolist()
        means = {
            'labelled_people': (people, steps),
            'own_similarity': (own, owns),
            'other_similarity': (other, others),
        }
        tables = {'lut_filled': lut, 'queue_filled': queue}
        filled = {name: rows.any(1).float().mean().item() for name, rows in tables.items()}
        return filled | {name: total / count for name, (total, count) in means.items() if count}


def _gather_rows(rows: Tensor) -> Tensor:
    """The rows ``(n, ...)`` of all ranks, in rank order, without gradients; ``n`` may differ
    between ranks and may be 0. Every rank must call it.
    """
    if get_world_size() == 1:
        return rows.detach()
    sizes = all_gather(torch.tensor(len(rows), device=rows.device))
    padding = [0, 0] * (rows.dim() - 1) + [0, int(max(sizes)) - len(rows)]
    parts = all_gather(F.pad(rows.detach(), padding))
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])
