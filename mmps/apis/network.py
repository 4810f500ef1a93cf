"""The seam between searching and the networks: images in, people out."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from mmps.apis.people import People
from mmps.apis.preprocessing import model_tag, plain_steps, scene_size, test_steps
from mmps.deployment.two_files import DetectorFile, ReIDFile
from mmps.retrieval import ModelTag
from mmps.utils.errors import UserError

if TYPE_CHECKING:
    from mmdet.structures import DetDataSample
    from mmengine.config import Config

    from mmps.published import PublishedModel


Prepared = dict[str, Any]
"""The entries of one image in a batch; see :meth:`Preprocessing.prepare`."""


class Network(Protocol):
    """What finds and embeds people, by whichever runtime.

    Attributes:
        tag: Which model it is.
        precision: ``float32`` or ``bfloat16``: in what it computes.
        scene_size: Width and height to which scenes are reduced before they are looked at; None
            where the size of a person does not matter.
        ahead: How many calls in other threads at a time keep all cores busy; 0: a call does so
            alone.
    """

    tag: ModelTag
    precision: str = 'float32'
    scene_size: tuple[int, int] | None = None
    ahead: int = 0

    def prepare(self, image: np.ndarray) -> Any:
        """What a call takes in place of an image (h, w, 3) uint8 BGR, made in advance by another
        thread where that is of use; else the image.
        """
        return image

    def __call__(
        self, images: Sequence[Any], boxes: Sequence[np.ndarray] | None = None
    ) -> list[People]:
        """Run the network once.

        Args:
            images: (h, w, 3) uint8 BGR each, of any sizes; or prepared, if nobody gives boxes.
            boxes: None: find people. Else (m, 4) xyxy for each image, in its pixels: embed those
                boxes and find nobody; their scores are 1.

        Returns:
            For each image its people, with boxes in its pixels and embeddings of unit norm.
        """


def read_config(config: str | os.PathLike | Config) -> Config:
    """The config of a model that is going to be used.

    Raises:
        UserError: It cannot be read, or names no model.
    """
    from mmps.utils.config import load_config, require_entries

    if isinstance(config, (str, os.PathLike)):
        config = load_config(os.fspath(config), {})
    require_entries(config, str(config.filename), ('model', 'test_dataloader'))
    return config


def auto_device(device: str) -> str:
    """``auto`` is this process's GPU where there is one, else the CPU."""
    import torch

    if device != 'auto':
        return device
    if not torch.cuda.is_available():
        return 'cpu'
    return f'cuda:{int(os.environ.get("LOCAL_RANK", 0)) % torch.cuda.device_count()}'


class Preprocessing:
    """Turns images into what the network's own preprocessor takes, as a config's testing does.

    Raises:
        UserError: See :func:`~mmps.apis.preprocessing.test_steps`.
    """

    def __init__(self, config: Config) -> None:
        from mmcv.transforms import Compose
        from mmengine.registry import DefaultScope

        import mmps.datasets.transforms  # noqa: F401 registers them, and those of mmdet

        with DefaultScope.overwrite_default_scope(config.get('default_scope', 'mmps')):
            self._transform = Compose([*test_steps(config), dict(type='PackDetInputs')])

    def __call__(
        self, images: Sequence[np.ndarray | Prepared], boxes: Sequence[np.ndarray] | None = None
    ) -> dict[str, list]:
        """A batch as a data loader makes it.

        Args:
            images: (h, w, 3) uint8 BGR; or prepared, then without boxes.
            boxes: For each image (m, 4) xyxy in its pixels, to be embedded as queries are.

        Returns:
            ``inputs``, a (3, H, W) tensor of each image, and ``data_samples``.
        """
        per_image = [None] * len(images) if boxes is None else boxes
        packed = [
            image if isinstance(image, dict) else self.prepare(image, given)
            for image, given in zip(images, per_image, strict=True)
        ]
        return {key: [one[key] for one in packed] for key in ('inputs', 'data_samples')}

    def prepare(self, image: np.ndarray, boxes: np.ndarray | None = None) -> Prepared:
        """One image of a batch, as the network's own preprocessor takes it, e.g. in another thread
        than the network's.
        """
        import torch
        from mmengine.structures import InstanceData

        shape = image.shape[:2]
        packed = self._transform(dict(img=image, img_shape=shape, ori_shape=shape))
        sample = packed['data_samples']
        for key in ('gt_instances', 'ignored_instances'):  # nobody annotated anything
            delattr(sample, key)
        if boxes is not None:
            bboxes = torch.from_numpy(np.array(boxes, np.float32).reshape(-1, 4))
            sample.query_instances = InstanceData(
                query_ids=torch.arange(len(bboxes)), bboxes=bboxes
            )
        return packed


class TorchNetwork(Network):
    """The network of a config in PyTorch, with the weights of a checkpoint.

    On a CPU, memory that the network frees stays with the process (``keep_freed_memory``).

    Args:
        config: Path, or a config that has been read.
        checkpoint: Weights; read without running what the file may contain. None: the config names
            the weights of all parts, as that of a ``TwoStepPersonSearch`` can.
        device: As in PyTorch, or ``auto``.
        name: For galleries; None: the names of config and checkpoint.
        amp: See :class:`~mmps.apis.PersonSearcher`.

    Attributes:
        tag: Which model it is, in whichever precision.
        preprocessing: Of the config's test pipeline.
        model: The network, in evaluation mode.

    Raises:
        UserError: A file is missing or damaged, or the weights are of another model.
    """

    def __init__(
        self,
        config: str | os.PathLike | Config,
        checkpoint: str | os.PathLike | None,
        device: str = 'auto',
        name: str | None = None,
        amp: str | None = None,
    ) -> None:
        from mmengine.registry import init_default_scope

        from mmps.engine.amp import inference_precision
        from mmps.utils.memory import keep_freed_memory

        self._device = auto_device(device)
        self.precision = inference_precision(amp, self._device)
        config = read_config(config)
        init_default_scope(config.get('default_scope', 'mmps'))
        self.preprocessing = Preprocessing(config)
        self.scene_size = scene_size(config)
        self.model = build_model(config, checkpoint)
        self.tag: ModelTag = model_tag(config, self.model, checkpoint, name)
        self.model.to(self._device)
        if self._device == 'cpu':
            keep_freed_memory()

    def prepare(self, image: np.ndarray) -> np.ndarray | Prepared:
        """See :class:`Network`.

        On a CPU, threads of PyTorch that resize would compete with those that run the network:
        indexing took twice as long.
        """
        return image if self._device == 'cpu' else self.preprocessing.prepare(image)

    def __call__(
        self, images: Sequence[np.ndarray | Prepared], boxes: Sequence[np.ndarray] | None = None
    ) -> list[People]:
        """See :class:`Network`."""
        import torch

        if not images:
            return []
        batch = self.preprocessing(images, boxes)
        mixed: AbstractContextManager = nullcontext()
        if self.precision == 'bfloat16':
            mixed = torch.autocast(torch.device(self._device).type, torch.bfloat16)
        with torch.no_grad(), mixed:
            if boxes is None:
                return [_people(sample) for sample in self.model.test_step(batch)]
            batch = self.model.data_preprocessor(batch)
            samples = self.model.embed(batch['inputs'], batch['data_samples'])
        return [_people(*pair) for pair in zip(samples, boxes, strict=True)]


def needs_checkpoint(model: Mapping[str, Any]) -> bool:
    """Whether the config of a model leaves open where the weights of one of its parts are."""
    if model.get('type') != 'TwoStepPersonSearch':
        return True
    return any(
        not model[part]['type'].startswith('Exported') and not model.get(f'{part}_checkpoint')
        for part in ('detector', 'reid')
    )


def build_model(config: Config, checkpoint: str | os.PathLike | None):
    """The network of a config with the weights of a checkpoint, in evaluation mode, on the CPU.

    Raises:
        FileNotFoundError: There is no such checkpoint.
        CheckpointError: It is damaged, or of another model.
        UserError: There is none, and the model needs one.
    """
    import mmdet.models  # noqa: F401 registers what configs name

    import mmps.models  # noqa: F401
    from mmps.published.conversion import check_method  # and what authors published is read as ours
    from mmps.registry import MODELS
    from mmps.utils.checkpoint import check_state_dict, load_state_dict

    if checkpoint is None:
        if needs_checkpoint(config.model):
            raise UserError(
                f'the model of {config.filename or "the config"} needs a checkpoint'
                + _authors_file(config)
            )
        return MODELS.build(config.model).eval()
    path = str(Path(checkpoint))
    state = load_state_dict(path)
    # Which would only be replaced.
    initial = ('pretrained', 'detector_checkpoint', 'reid_checkpoint')
    model = MODELS.build({k: None if k in initial else v for k, v in config.model.items()})
    check_state_dict(model, state, path)
    check_method(config.model, state, path)
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    # What belongs to a loss may be of another training set.
    fitting = {name: value for name, value in state.items() if shapes.get(name) == value.shape}
    model.load_state_dict(fitting, strict=False)
    return model.eval()


def _authors_file(config: Config) -> str:
    """Where the authors of a published method say that its weights are, for an error."""
    from mmps.published import models_of_methods

    model = models_of_methods().get(Path(config.filename or '').stem)
    return f'; its authors have one: {model.weights}' if model and model.weights else ''


def _people(sample: DetDataSample, boxes: np.ndarray | None = None) -> People:
    """Those of a predicted sample, or those in given boxes of one that was embedded."""

    def of(part: Any, key: str) -> np.ndarray | None:
        return part.get(key).float().cpu().numpy() if key in part else None

    scene = of(sample, 'scene_embedding')
    if boxes is None:
        found = sample.pred_instances
        return People(*(of(found, key) for key in ('bboxes', 'scores', 'embeddings')), scene=scene)
    queries = sample.query_instances
    filters = of(queries, 'scene_filters')
    return People(*_given(boxes), of(queries, 'embeddings'), None, scene, filters)


def _given(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (n, 4) float32 xyxy, and their scores (n,), which are 1."""
    return np.asarray(boxes, np.float32).reshape(-1, 4), np.ones(len(boxes), np.float32)


class OnnxNetwork(Network):
    """An exported file, run by ONNX Runtime; a :class:`mmps.apis.network.Network`.

    What a gallery knows of it is the model it was exported from, so that galleries are shared with
    PyTorch; a file in int8 is a model of its own.

    Args:
        config: Path, or a config that has been read; the one the file was exported with.
        path: The file, written by ``tools/deployment/export_onnx.py``.
        options: See :class:`mmps.deployment.OnnxRuntime`.

    Raises:
        UserError: The file is damaged, or was exported with other preprocessing than the config's.
    """

    backend = 'onnxruntime'

    def __init__(
        self,
        config: str | os.PathLike | Config,
        path: str | os.PathLike,
        device: str = 'auto',
        **options: str | int,
    ) -> None:
        from mmps.deployment.exported_model import ExportedPersonSearch

        config = read_config(config)
        self.model = ExportedPersonSearch(path, self.backend, device=device, **options)
        if self.model.file.steps != plain_steps(config):
            raise UserError(
                f'model {path} was exported with other preprocessing than the test pipeline of '
                f'{config.filename}: {list(self.model.file.steps)}; export it again'
            )
        self.preprocessing = Preprocessing(config)
        self.precision = self.model.precision
        self.scene_size = scene_size(config)
        self.tag: ModelTag = self.model.file.tag

    def __call__(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray] | None = None
    ) -> list[People]:
        """See :class:`mmps.apis.network.Network`."""
        if not images:
            return []
        batch = self.preprocessing(images, boxes)
        if boxes is None:
            return [_people(sample) for sample in self.model(**batch)]
        pairs = zip(self.model.embed(**batch), boxes, strict=True)
        return [_people(*pair) for pair in pairs]


class OpenVINONetwork(OnnxNetwork):
    """The same by OpenVINO; options: see :class:`mmps.deployment.OpenVINORuntime`."""

    backend = 'openvino'


class TwoNetworks(Network):
    """A detector and a re-ID network in ONNX files or OpenVINO's IR; see :class:`Network`.

    What :class:`~mmps.models.detectors.TwoStepPersonSearch` predicts with two exported parts.

    Args:
        detector: Finds people.
        reid: Embeds each, cut out of the image.
        name: For the gallery.
        max_people: Found in an image at most, the most certain first.
        fingerprint: Of the model that both were exported from, whose galleries are shared; None: of
            the re-ID network's files, which alone decide what an embedding is.

    Attributes:
        tag: Which model it is.
    """

    def __init__(
        self,
        detector: DetectorFile,
        reid: ReIDFile,
        name: str,
        *,
        max_people: int = 100,
        fingerprint: str | None = None,
    ) -> None:
        self.detector = detector
        self.reid = reid
        self.max_people = max_people
        self.precision = reid.precision
        # One call's images are resized and cut while another's are in the networks.
        self.ahead = 2 * (detector.parallel and reid.parallel)
        self.tag = ModelTag(fingerprint or reid.digest, reid.embed_dim, name)

    @classmethod
    def of_model(
        cls, model: PublishedModel, score_thr: float = 0.0, **options: str | int | None
    ) -> TwoNetworks:
        """The networks of a published model, whose files are fetched if they are missing.

        People found with a score below ``score_thr`` are not embedded, nor those below the model's
        own threshold. Options are for both files: backend, device, threads, precision; None: as the
        model says.
        """
        config = model.resolved()
        given = {key: value for key, value in options.items() if value is not None}
        detector, reid = (
            {key: value for key, value in config[part].items() if key != 'type'} | given
            for part in ('detector', 'reid')
        )
        lowest = detector.get('score_thr', config.get('score_thr', 0.05))
        detector['score_thr'] = max(lowest, score_thr)
        kept = {key: config[key] for key in ('max_people',) if key in config}
        files = DetectorFile(**detector), ReIDFile(**reid)
        return cls(*files, model.name, fingerprint=model.fingerprint, **kept)

    def __call__(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray] | None = None
    ) -> list[People]:
        """See :class:`Network`."""
        if boxes is not None:
            found = [_given(own) for own in boxes]
        else:
            found = [
                (own[: self.max_people], scores[: self.max_people])
                for own, scores in self.detector.find(images)
            ]
        crops = [self.reid.cut(image, own) for image, (own, _) in zip(images, found, strict=True)]
        rows = self.reid.embed_crops(np.concatenate(crops)) if crops else []
        ends = np.cumsum([len(one) for one in crops])
        split = np.split(rows, ends[:-1]) if crops else []
        return [People(*people, own) for people, own in zip(found, split, strict=True)]


BACKENDS = {
    'torch': TorchNetwork,
    'onnxruntime': OnnxNetwork,
    'openvino': OpenVINONetwork,
}
"""What runs a network: each is made from config, checkpoint and device."""

FRAMES_AT_ONCE = 8
"""Of two networks in files, where nobody says otherwise: enough for all cores to have one."""


def default_backend(checkpoint: str | os.PathLike | None) -> str:
    """What runs a checkpoint, or an exported model, which is named ``.onnx``."""
    return 'onnxruntime' if os.fspath(checkpoint or '').endswith('.onnx') else 'torch'


def open_network(
    config: str | os.PathLike | Config,
    checkpoint: str | os.PathLike | None,
    device: str,
    backend: str | None,
    amp: str | None = None,
) -> tuple[Network, int]:
    """The network of a config and a checkpoint, and how many images it takes at once.

    Raises:
        UserError: See :class:`PersonSearcher`.
        ValueError: There is no such backend.
    """
    from mmps.utils.checkpoint import existing_file

    if checkpoint is not None:
        checkpoint = existing_file(checkpoint)  # before anything that takes longer
    backend = default_backend(checkpoint) if backend is None else backend
    if backend not in BACKENDS:
        raise ValueError(f'backend={backend!r}: there are {", ".join(BACKENDS)}')
    if checkpoint is None and backend != 'torch':
        raise UserError(f'backend {backend} needs an exported model in place of the checkpoint')
    config = read_config(config)
    key = 'amp' if backend == 'torch' else 'precision'
    options = {} if amp is None else {key: amp}
    network = BACKENDS[backend](config, checkpoint, device, **options)
    return network, config.test_dataloader.get('batch_size', 1)


def open_published(
    model: PublishedModel,
    device: str,
    backend: str | None,
    score_thr: float = 0.0,
    amp: str | None = None,
) -> tuple[Network, int]:
    """The network of a published model, and how many images it takes at once.

    Nobody found with a score below ``score_thr`` will be asked for.

    Raises:
        UserError: A file is missing or damaged, or the backend cannot run it.
    """
    if model.is_two_files:
        if backend == 'torch':
            raise UserError(f'{model.name} is exported: there are onnxruntime and openvino')
        options = dict(backend=backend, device=device, precision=amp)
        network = TwoNetworks.of_model(model, score_thr, **options)
        return network, FRAMES_AT_ONCE
    from mmps.published.models import published_config

    if backend not in (None, 'torch'):
        raise UserError(f'{model.name} runs in PyTorch; export it to run it by {backend}')
    config = published_config(model)
    network = TorchNetwork(config, model.checkpoint, device, model.name, amp)
    return network, config.test_dataloader.batch_size if model.checkpoint else 1
