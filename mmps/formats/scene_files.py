"""What every data set has in common on disk: a folder, two splits, and an index to read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from .scene_index import SceneIndex


@dataclass(frozen=True)
class SceneFiles(ABC):
    """One split of a data set in its authors' own files. Options of a format are further fields.

    Attributes:
        root: Folder of the data set.
        test_mode: The test split instead of the training split.
    """

    IMAGE_FOLDER: ClassVar[str] = ''

    root: Path
    test_mode: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, 'root', Path(self.root))

    @property
    def split(self) -> str:
        """``'train'`` or ``'test'``."""
        return 'test' if self.test_mode else 'train'

    @property
    def image_root(self) -> Path:
        """Folder that the names of frames are relative to."""
        return self.root / self.IMAGE_FOLDER

    @abstractmethod
    def sources(self) -> list[Path]:
        """Every file that :meth:`read` depends on, whether it exists or not."""

    @abstractmethod
    def read(self) -> SceneIndex:
        """Read the index, without looking at pixels.

        Raises:
            FileNotFoundError: A file is missing.
            ValueError: A file is unreadable or contradicts the layout.
        """

    def prepare(self) -> None:  # noqa: B027 (most formats have nothing to do)
        """Make the images readable, where they are not files yet."""
