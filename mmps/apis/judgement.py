"""What a calibration says of the hits of a search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mmps.evaluation.functional import calibrate_pairs
from mmps.evaluation.functional.calibration import (
    Pictures,
    halves,
    labelled_pictures,
    pairs_by_label,
)
from mmps.utils.errors import UserError

if TYPE_CHECKING:
    from mmps.evaluation.functional import (
        Calibration,
        FalseMatch,
        SearchAnnotations,
        SearchPredictions,
    )
    from mmps.retrieval import Appearance, Gallery, Hit, ModelTag, Where

STRANGERS = 0.1
"""The share of strangers that is expected among the hits above the line, at most."""

SEARCHES, TOP_K = 60, 20
"""Of each half of the people, and hits of each, by which the line is checked."""

Verdict = Literal['found', 'unclear', 'not here']


@dataclass(frozen=True)
class Judgement:
    """How likely hits are to be strangers, and where to draw the line.

    Among the first r hits of a gallery of N people, N times the share of strangers that look at
    least as similar as the r-th are expected to be strangers. The line is below the last hit for
    which this is a tenth of r at most (Benjamini and Hochberg, J. R. Stat. Soc. B 57, 1995): it
    is drawn above all hits in nine of ten searches for somebody who is not there.

    Attributes:
        matches: For each hit the chance that a stranger looks at least as similar.
        searched: Number of people who were searched.
    """

    matches: tuple[FalseMatch, ...]
    searched: int

    @classmethod
    def of(
        cls,
        calibration: Calibration | None,
        hits: Sequence[Hit | Appearance],
        gallery: Gallery,
        where: Where | None = None,
    ) -> Judgement | None:
        """Of hits in a gallery, best first, among those who pass a filter, by the gallery's
        calibration; None where nothing was calibrated.
        """
        if calibration is None:
            return None
        matches = tuple(calibration.false_match(hit.similarity) for hit in hits)
        return cls(matches, gallery.count(where))

    @property
    def expected(self) -> tuple[float, ...]:
        """For each hit how many strangers in this gallery are expected to look as similar."""
        return tuple(self.searched * match.rate for match in self.matches)

    @property
    def above(self) -> int:
        """Hits above the line; those below are probably somebody else.

        Without a hit for which it can be told, the line is below those that are beyond the
        smallest share that is known: too few strangers were counted for a gallery of this size.
        """
        return self._told or sum(match.at_most for match in self.matches)

    @property
    def verdict(self) -> Verdict:
        """``found``; ``not here``: strangers look as similar as the first hit; or ``unclear``: too
        few were counted for a gallery of this size.
        """
        if self._told:
            return 'found'
        unknown = bool(self.matches) and self.matches[0].at_least
        return 'unclear' if self.above or (unknown and self.expected[0] <= 1) else 'not here'

    @property
    def _told(self) -> int:
        # more strangers than is said may look as similar as some
        known = [match for match in self.matches if not match.at_least]
        ranks = np.arange(1, len(known) + 1)
        kept = np.flatnonzero(np.array(self.expected[: len(known)]) <= STRANGERS * ranks)
        return int(kept[-1]) + 1 if len(kept) else 0

    def chance(self, rank: int) -> str:
        """For people: ``1 in 200``, of a position in the hits."""
        return describe_chance(self.matches[rank])

    def describe(self) -> str:
        """For people, in a sentence or two."""
        people = f'{self.searched:,} people searched'
        if not self.matches:
            return f'Nobody among {people}.'
        first, strangers = self.matches[0], self.expected[0]
        as_similar = (
            f'{_strangers(strangers, first.at_most)} would look as similar as the first hit'
        )
        if self.verdict == 'unclear' and not self.above:
            return f'Cannot tell: of {people}, {as_similar} at least; mark more hits.'
        if self.verdict == 'unclear':
            return (
                f'Cannot tell: {self.above} above the line, more similar than all but a few of the '
                f'strangers counted; of {people}, up to {_strangers(strangers)} may be as well.'
            )
        if self.verdict == 'not here':
            return f'Probably not here: of {people}, {as_similar}.'
        hits = 'hit' if self.above == 1 else 'hits'
        return (
            f'{self.above} {hits} above the line, below it probably somebody else: of {people}, '
            f'{as_similar}.'
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dict(searched=self.searched, above_line=self.above, verdict=self.verdict)


def calibrate_labelled(
    annotations: SearchAnnotations,
    predictions: SearchPredictions,
    model: ModelTag | None = None,
    score_thr: float = 0.5,
) -> Calibration:
    """Count how similar different people of a labelled data set look, and the same ones.

    The length of embeddings is compared with the model's; nothing else in predictions says whose
    they are. Detections with scores below ``score_thr`` are dropped.

    Raises:
        UserError: The predictions do not fit, or there is too little to count.
    """
    length = predictions.embeddings.shape[1]
    if model is not None and length != model.embed_dim:
        raise UserError(
            f'the predictions have embeddings of {length} values, those of {model.name} have '
            f'{model.embed_dim}: they are of another model'
        )
    try:
        pairs, same = pairs_by_label(labelled_pictures(annotations, predictions, score_thr))
        return calibrate_pairs(pairs, 'labelled', same)
    except ValueError as error:
        raise UserError(f'the labelled data set: {error}') from error


def check_line(pictures: Pictures, *, halvings: int = 20) -> dict[str, float]:
    """How often the line is right, on half of the people, calibrated on the other half.

    Pictures of a half are searched for among those of it in other scenes, once with the pictures
    of the same person and once without.

    Returns:
        Shares 0..1: ``there_found``, a right hit is above the line; ``there_denied``, the answer is
        "probably not here"; ``absent_found``, anybody is above the line; ``absent_denied``;
        ``strangers_above``, the mean over searches for people who are there; ``strangers_below``,
        among all hits of these.

    Raises:
        ValueError: Half of the people are too few.
    """
    rng = np.random.default_rng(0)
    there, absent = [], []
    for _ in range(halvings):
        half, others = halves(pictures, rng)
        calibration = calibrate_pairs(pairs_by_label(half)[0], 'labels')
        for query in rng.permutation(len(others.images))[:SEARCHES]:
            right = others.person_ids == others.person_ids[query]
            elsewhere = others.images != others.images[query]
            similarities = others.embeddings @ others.embeddings[query]
            for rows, among in ((there, elsewhere), (absent, elsewhere & ~right)):
                if rows is there and not (right & elsewhere).any():
                    continue
                order = np.flatnonzero(among)[np.argsort(-similarities[among])[:TOP_K]]
                matches = tuple(map(calibration.false_match, similarities[order]))
                judged = Judgement(matches, int(among.sum()))
                hits, line = right[order], judged.above if judged.verdict == 'found' else 0
                wrong = (~hits[:line]).sum() / max(line, 1)
                below = (~hits[line:]).sum(), len(hits) - line
                denied = judged.verdict == 'not here'
                rows.append((line > 0, denied, hits[:line].any(), wrong, *below))
    one, other = np.array(there, float), np.array(absent, float)
    return dict(
        there_found=one[:, 2].mean(),
        there_denied=one[:, 1].mean(),
        absent_found=other[:, 0].mean(),
        absent_denied=other[:, 1].mean(),
        strangers_above=one[:, 3].mean(),
        strangers_below=one[:, 4].sum() / max(one[:, 5].sum(), 1),
    )


def describe_chance(match: FalseMatch) -> str:
    """For people: ``1 in 200``, ``< 1 in 16,000``, ``> 1 in 90``, ``over 1 in 2``."""
    if match.rate > 0.5:
        return 'over 1 in 2'
    sign = '< ' if match.at_most else '> ' if match.at_least else ''
    return f'{sign}1 in {_round(1 / match.rate):,}'


def _strangers(number: float, at_most: bool = False) -> str:
    """So many strangers, for people."""
    shown = f'{_round(number):,}' if number >= 10 else f'{max(number, 0.01):.1g}'
    fewer = 'fewer than ' if at_most or number < 0.01 else ''
    return f'{fewer}{shown} {"stranger" if shown == "1" else "strangers"}'


def _round(number: float) -> int:
    """To two digits."""
    return round(float(f'{number:.2g}'))
