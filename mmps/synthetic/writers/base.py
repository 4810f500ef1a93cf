"""What a layout has to provide."""

from pathlib import Path
from typing import Protocol

from mmps.synthetic.planning import Labels, Query, ScenePlan


class LayoutWriter(Protocol):
    """Knows where a data set's pictures lie and how its annotations are written."""

    def image(self, root: Path, scene: ScenePlan) -> Path:
        """The path of a picture."""

    def write(
        self, root: Path, scenes: list[ScenePlan], labels: list[Labels], queries: list[Query]
    ) -> None:
        """Writes all annotation files once every picture is there.

        Args:
            root: Folder of the data set.
            scenes: Every picture, the training set first.
            labels: The people of each picture.
            queries: The query people, in order.
        """
