"""Renders a planned data set to disk: in parallel, resumable, the same bytes every time."""

import json
import multiprocessing
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from mmps.synthetic.appearance import sample_appearance
from mmps.synthetic.backdrop import find_photographs
from mmps.synthetic.camera import make_cameras
from mmps.synthetic.planning import (
    Labels,
    ScenePlan,
    SyntheticConfig,
    choose_queries,
    look_of,
    plan,
    with_photographs,
)
from mmps.synthetic.scene import Scene, compose
from mmps.synthetic.writers import LAYOUTS, PARTS
from mmps.utils.files import whole_file, write_json

FORMAT_VERSION = 1
MANIFEST = 'synthetic.json'
_SCENE_STREAM = 5


def render_scene(config: SyntheticConfig, scene: ScenePlan) -> Scene:
    """Draws one planned picture; depends on nothing but its arguments."""
    rng = np.random.default_rng([config.seed, _SCENE_STREAM, scene.index])
    people = [(person_id, look_of(config, person_id)) for person_id in scene.people]
    for _ in range(scene.passers_by):
        people.append((-1, sample_appearance(rng, int(rng.integers(1 << 16)))))
    order = rng.permutation(len(people))
    size = (config.width, config.height)
    shuffled = [people[k] for k in order]
    return compose(config.seed, scene.camera, size, shuffled, rng, scene.photograph)


def make_synthetic_dataset(
    root: str | Path,
    config: SyntheticConfig | None = None,
    *,
    layout: str = 'prw',
    backdrops: str | Path | None = None,
    workers: int = 1,
    progress: bool = True,
) -> Path:
    """Renders a person search data set, or completes one that was interrupted; returns its folder.

    Args:
        root: Folder of the data set; made if missing.
        config: Size and seed.
        layout: Files to write, a key of `LAYOUTS`.
        backdrops: Folder of photographs without people to stand behind those that are drawn.
        workers: Processes that render; the result does not depend on it.
        progress: Whether to show a progress bar.

    Raises:
        FileExistsError: The folder holds something else than this data set.
        ValueError: Unknown layout or senseless number of workers.
        UserError: The folder has no photographs, or one that cannot be read.
    """
    config = config or SyntheticConfig()
    if layout not in LAYOUTS:
        raise ValueError(f'layout {layout!r} is unknown; choose from {sorted(LAYOUTS)}')
    if workers < 1:
        raise ValueError(f'workers is {workers}; give at least 1')
    root = Path(root)
    parameters = {'format_version': FORMAT_VERSION, 'layout': layout, **asdict(config)}
    scenes, files = plan(config), LAYOUTS[layout]
    if backdrops is not None:
        photographs, digest = find_photographs(Path(backdrops))
        parameters['backdrops'] = f'{len(photographs)} photographs, SHA-256 {digest}'
        scenes = with_photographs(config, scenes, photographs)
    if _open(root, parameters):
        return root
    todo = [s for s in scenes if not (_part(root, s).exists() and files.image(root, s).exists())]
    bar = tqdm(
        _rendered(root, config, layout, todo, workers),
        desc=f'render {root.name}',
        total=len(scenes),
        initial=len(scenes) - len(todo),
        unit='image',
        disable=not progress,
    )
    for _ in bar:
        pass
    labels = [Labels.load(_part(root, scene)) for scene in scenes]
    files.write(root, scenes, labels, choose_queries(config, scenes, labels))
    write_json(root / MANIFEST, dict(parameters=parameters, complete=True))
    shutil.rmtree(root / PARTS)
    return root


def _open(root: Path, wanted: dict) -> bool:
    """Claims the folder for these parameters; tells whether it is complete already."""
    path = root / MANIFEST
    if path.exists():
        try:
            found = json.loads(path.read_text())
            parameters, complete = found['parameters'], found['complete']
        except (ValueError, KeyError, TypeError) as error:
            raise FileExistsError(f'{path} is damaged ({error!r}); delete {root}') from error
        different = [
            f'{key} {parameters.get(key)!r} there, {wanted.get(key)!r} asked'
            for key in {**wanted, **parameters}
            if parameters.get(key) != wanted.get(key)
        ]
        if different:
            raise FileExistsError(
                f'{root} holds a synthetic data set with other parameters: '
                f'{"; ".join(different)}. Give another folder or delete this one'
            )
        return bool(complete)
    if root.exists() and any(root.iterdir()):
        raise FileExistsError(f'{root} is not empty and has no {MANIFEST}; give another folder')
    root.mkdir(parents=True, exist_ok=True)
    write_json(root / MANIFEST, dict(parameters=wanted, complete=False))
    return False


def _part(root: Path, scene: ScenePlan) -> Path:
    return root / PARTS / f'{scene.name}.npz'


def _rendered(
    root: Path, config: SyntheticConfig, layout: str, scenes: list[ScenePlan], workers: int
) -> Iterator[None]:
    job = partial(_render_to_disk, root, config, layout)
    if workers == 1 or len(scenes) < 2:
        yield from map(job, scenes)
        return
    # Forked workers start at once; spawned ones would import the whole package first.
    context = multiprocessing.get_context('fork' if sys.platform == 'linux' else 'spawn')
    with context.Pool(workers, cv2.setNumThreads, (0,)) as pool:
        yield from pool.imap_unordered(job, scenes, chunksize=4)


def _render_to_disk(root: Path, config: SyntheticConfig, layout: str, scene: ScenePlan) -> None:
    drawn = render_scene(config, scene)
    quality = make_cameras(config.seed)[scene.camera].quality
    bgr = cv2.cvtColor(drawn.image, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    with whole_file(LAYOUTS[layout].image(root, scene)) as temporary:
        temporary.write_bytes(encoded.tobytes())
    drawn.save(_part(root, scene))
