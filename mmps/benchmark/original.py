"""Programs of other people, run from a checkout in a process of their own.

Such programs have packages called ``models`` and ``utils``, and need torchvision, which mmps does
without: neither is imported in the process that asks. Their process imports no more of mmps than
this file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.flop_counter import FlopCounterMode

from mmps.utils.errors import UserError


class TorchvisionNetwork:
    """A network that was built on torchvision's Faster R-CNN, as most published ones are.

    Pictures are ``(h, w, 3)``, RGB uint8. With ``people``, their boxes ``(n, 4)`` and ids ``(n,)``,
    a step is one of training.

    Args:
        model: The network, with the parts ``transform``, ``backbone``, ``rpn`` and ``roi_heads``.
    """

    def __init__(self, model: nn.Module):
        self.model = model.eval()
        self._optimiser: torch.optim.Optimizer | None = None

    def keep_size(self, height: int, width: int) -> None:
        """Do not resize pictures of this size."""
        sides = sorted((height, width))
        self.model.transform.min_size, self.model.transform.max_size = (sides[0],), sides[1]

    def set_threads(self, count: int) -> None:
        """Let it compute on so many cores."""
        torch.set_num_threads(count)

    def inputs(self, picture: np.ndarray) -> list[torch.Tensor]:
        """A picture as the network takes it."""
        return [torch.from_numpy(picture).permute(2, 0, 1).float().div(255)]

    def step(self, picture: np.ndarray, *people: np.ndarray) -> None:
        """Find and embed the people in a picture, or train with them."""
        images = self.inputs(picture)
        self.model.train(bool(people))
        if not people:
            with torch.no_grad():
                self.model(images)
            return
        if self._optimiser is None:  # as SeqNet has it, but for the rate
            trained = [p for p in self.model.parameters() if p.requires_grad]
            self._optimiser = torch.optim.SGD(trained, 1e-6, momentum=0.9, weight_decay=5e-4)
        boxes, ids = map(torch.from_numpy, people)
        losses = self.model(images, [{'boxes': boxes, 'labels': ids}])
        self._optimiser.zero_grad()
        sum(losses.values()).backward()
        self._optimiser.step()

    def operations(self, picture: np.ndarray, *people: np.ndarray) -> int:
        """How many floating-point operations a step takes."""
        with FlopCounterMode(display=False) as counter:
            self.step(picture, *people)
        return counter.get_total_flops()

    def save(self, path: str) -> None:
        """Write the weights as published files hold them."""
        torch.save({'model': self.model.state_dict()}, path)

    @torch.no_grad()
    def settle(self, picture: np.ndarray) -> None:
        """Give each batch norm the statistics of this picture, so that weights nobody trained leave
        activations in bounds.
        """
        threshold, self.model.roi_heads.score_thresh = self.model.roi_heads.score_thresh, -1.0
        norms = [part for part in self.model.modules() if isinstance(part, _BatchNorm)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
            norm.train()
        self.model(self.inputs(picture))
        for norm in norms:
            norm.eval()
        self.model.roi_heads.score_thresh = threshold

    @torch.no_grad()
    def let_through(self, picture: np.ndarray, part: str, share: float) -> None:
        """Shift the bias of the linear layer ``part``, whose rows are background and person or
        person alone, so that this share of the boxes that come there are people.
        """
        layer = self.model.get_submodule(part)
        seen: list[torch.Tensor] = []
        hook = layer.register_forward_hook(lambda *given: seen.append(given[2]))
        self.model(self.inputs(picture))
        hook.remove()
        background = seen[0][:, :-1].sum(1)
        layer.bias[-1] -= (seen[0][:, -1] - background).quantile(1 - share)


def seqnet(checkout: str) -> TorchvisionNetwork:
    """SeqNet for PRW, of a checkout of github.com/serend1p1ty/SeqNet, with random weights."""
    untrained_resnet()
    from defaults import get_default_cfg
    from models.seqnet import SeqNet

    config = get_default_cfg()
    config.merge_from_file(os.path.join(checkout, 'configs/prw.yaml'))
    return TorchvisionNetwork(SeqNet(config))


def untrained_resnet() -> None:
    """Let programs build torchvision's ResNet-50 without a download."""
    import torchvision.models.resnet as resnet

    build = resnet.resnet50
    resnet.resnet50 = lambda *args, **kwargs: build(weights=None)


class Original:
    """A network in a process of its own, as a context; it is asked by method and arguments.

    Args:
        build: A function of a module; it takes the checkout, whose modules can be imported then,
            and returns the network.
        checkout: Folder of the program.
        packages: Folder of packages that it needs and this environment lacks; None: none.

    Raises:
        UserError: There is no such folder, or something that the program imports is missing.
    """

    def __init__(
        self,
        build: Callable[[str], Any],
        checkout: str | os.PathLike,
        packages: str | os.PathLike | None = None,
    ):
        for folder in (checkout, packages):
            if folder is not None and not Path(folder).is_dir():
                raise UserError(f'{folder}: there is no such folder')
        folders = [os.path.abspath(folder) for folder in (checkout, packages) if folder]
        self._process = ProcessPoolExecutor(1, get_context('spawn'))
        self._result_of(_build, build, folders)

    def ask(self, method: str, *arguments: Any) -> Any:
        """What a method of the network returns."""
        return self._result_of(_ask, method, *arguments)

    def _result_of(self, function: Callable, *arguments: Any) -> Any:
        try:
            return self._process.submit(function, *arguments).result()
        except BrokenProcessPool:
            raise UserError('the process of the original program ended') from None

    def __enter__(self) -> Original:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.shutdown()


_networks: list[Any] = []
"""The one that this process was started for."""


def _build(build: Callable[[str], Any], folders: list[str]) -> None:
    sys.path[:0] = folders
    torch.manual_seed(0)
    try:
        _networks.append(build(folders[0]))
    except (ImportError, RuntimeError) as error:  # the latter: another PyTorch's torchvision
        raise UserError(_missing(error, folders[0])) from None


def _ask(method: str, *arguments: Any) -> Any:
    return getattr(_networks[0], method)(*arguments)


def _missing(error: Exception, checkout: str) -> str:
    name = (getattr(error, 'name', None) or '').partition('.')[0]
    if 'torchvision::' in str(error):
        return f'--packages: its torchvision does not fit this PyTorch: {error}'
    if name in ('torchvision', 'yacs'):
        return (
            f'the original program needs {name}, which mmps does without: pip install --no-deps '
            f'--target FOLDER {name}, torchvision in the version for this PyTorch, and pass '
            '--packages FOLDER'
        )
    return f'{checkout}: not a checkout of this program: {error}'
