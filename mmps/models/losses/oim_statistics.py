import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor


class OIMStatistics:
    """How well OIM tells people apart, over the steps since it was last asked.

    The sums stay on the device of the loss until :meth:`summarise`, so that watching costs no
    synchronisation.
    """

    def __init__(self) -> None:
        self._clear()

    def _clear(self) -> None:
        self._sums: Tensor | None = None
        self._people = self._steps = 0

    def update(self, similarities: Tensor, person_ids: Tensor) -> None:
        """Take in one step, before it changes the tables.

        Args:
            similarities: ``(n, num_ids)``, cosines of labelled people to the rows of the look-up
                table. That to a row nobody has filled yet is exactly 0 (the row is all zeros) or,
                where such rows are masked, -inf.
            person_ids: ``(n,)`` int64, 0..num_ids-1.
        """
        filled = similarities.detach().masked_fill(similarities == 0, -torch.inf)
        own = filled.gather(1, person_ids[:, None])
        other = filled.scatter(1, person_ids[:, None], -torch.inf).amax(1)
        sums = torch.stack([*_sum_and_count(own), *_sum_and_count(other)])
        self._sums = sums if self._sums is None else self._sums + sums
        self._people += len(person_ids)
        self._steps += 1

    def summarise(self, lut: Tensor, queue: Tensor) -> dict[str, float]:
        """The statistics since the last call, over all ranks; every rank must call it.

        Args:
            lut: Look-up table ``(num_ids, D)``.
            queue: ``(queue_size, D)``.

        Returns:
            ``lut_filled``, ``queue_filled``: share of the rows that somebody has filled.
            ``labelled_people``: labelled regions in a step of all ranks. ``own_similarity``,
            ``other_similarity``: mean cosine of a labelled person to the own row and to the nearest
            other row of the look-up table; absent where no such row was filled.
        """
        sums = lut.new_zeros(4) if self._sums is None else self._sums
        # Every rank counts every step.
        counts = lut.new_tensor([self._people, self._steps / get_world_size()])
        totals = torch.cat([sums, counts])
        all_reduce(totals)
        self._clear()
        own, owns, other, others, people, steps = totals.tolist()
        statistics = {
            'lut_filled': lut.any(1).float().mean().item(),
            'queue_filled': queue.any(1).float().mean().item(),
        }
        if steps:
            statistics['labelled_people'] = people / steps
        if owns:
            statistics['own_similarity'] = own / owns
        if others:
            statistics['other_similarity'] = other / others
        return statistics


def _sum_and_count(values: Tensor) -> tuple[Tensor, Tensor]:
    """Of those that are finite."""
    finite = values.isfinite()
    return values.where(finite, 0.0).sum(), finite.sum().to(values.dtype)
