"""The report of a data set: what its splits hold and every problem found in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmps.formats.loading import load_scenes
from mmps.formats.scene_index import SceneFiles

from .annotations import find_annotation_problems, find_shared_identities
from .images import check_images, find_missing_files
from .problem import EXAMPLES, KINDS, Problem, Severity
from .searches import find_search_problems
from .split import Split
from .statistics import SplitStatistics, split_statistics


@dataclass(frozen=True)
class DatasetReport:
    """What a data set holds and what is wrong with it.

    Attributes:
        title: What the data set is called.
        statistics: Of each split, by its name.
        problems: In the order of their severity; those of which there is no case are left out.
    """

    title: str
    statistics: Mapping[str, SplitStatistics]
    problems: Sequence[Problem]

    @property
    def has_errors(self) -> bool:
        """Whether anything was found that stops training or evaluation or makes it meaningless."""
        return any(problem.severity is Severity.ERROR for problem in self.problems)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return dict(
            title=self.title,
            splits={name: part.to_json() for name, part in self.statistics.items()},
            problems=[problem.to_json() for problem in self.problems],
        )


def report_dataset(
    files: Mapping[str, SceneFiles],
    image_folders: Mapping[str, Path],
    *,
    title: str,
    open_images: bool = False,
    decode_images: bool = False,
) -> DatasetReport:
    """Read a data set and look for everything that can be wrong with it.

    Args:
        files: Its splits, by ``'train'`` and ``'test'`` or one of them.
        image_folders: Of each split, what the names of its frames are relative to.
        title: What to call the data set.
        open_images: Read size, orientation and end of every image file.
        decode_images: Decode every image as well; implies ``open_images``.

    Raises:
        FileNotFoundError: An annotation file is missing.
        ValueError: Annotations contradict the layout or themselves, so that there is no index.
    """
    splits = {name: Split.of(name, *load_scenes(part)) for name, part in files.items()}
    statistics, problems = {}, []
    for name, split in splits.items():
        files[name].prepare()
        problems += [
            find_missing_files(split, image_folders[name]),
            *find_annotation_problems(split),
            *find_search_problems(split),
        ]
        sizes = None
        if open_images or decode_images:
            images = check_images(split, image_folders[name], decode=decode_images)
            problems += images.problems
            sizes = images.sizes
        statistics[name] = split_statistics(split, sizes)
    if len(splits) == 2:
        problems.append(find_shared_identities(splits['train'], splits['test']))
    return DatasetReport(title, statistics, _sorted(problems))


def _sorted(problems: Iterable[Problem]) -> list[Problem]:
    """By kind, those of all galleries of a split together, and without those that do not occur."""
    merged: dict[tuple[str, str], Problem] = {}
    for new in problems:
        key = new.kind, new.split
        old = merged.get(key, Problem(*key, 0, ()))
        examples = (*old.examples, *new.examples)[:EXAMPLES]
        merged[key] = Problem(*key, old.count + new.count, examples)
    order = {kind: place for place, kind in enumerate(KINDS)}
    found = [problem for problem in merged.values() if problem.count]
    return sorted(found, key=lambda problem: order[problem.kind])


def report_table(report: DatasetReport) -> str:
    """The report as text: a column of numbers for each split, then the problems."""
    lines = [report.title, '']
    names = list(report.statistics)
    lines.append(f'{"":<24}' + ''.join(f'{name:>14}' for name in names))
    for label in next(iter(report.statistics.values())).counts:
        values = [report.statistics[name].counts[label] for name in names]
        cells = [f'{v:>14.1%}' if isinstance(v, float) else f'{v:>14,}' for v in values]
        lines.append(f'{label.replace("_", " "):<24}' + ''.join(cells))
    lines.append('')
    if not report.problems:
        lines.append('no problem found')
    for problem in report.problems:
        severity = problem.severity.name.lower()
        lines.append(
            f'{severity:<8}{problem.split:<6}{problem.count:>8,}  {problem.kind}: '
            f'{problem.consequence}'
        )
        lines += [f'{"":<24}{example}' for example in problem.examples]
        if problem.count > len(problem.examples):
            lines.append(f'{"":<24}... and {problem.count - len(problem.examples):,} more')
    return '\n'.join(lines)
