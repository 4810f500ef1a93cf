"""The network of a published program, built from a checkout and run in a process of its own.

Such programs have packages called ``models`` and ``utils``, and need torchvision, which mmps does
without: neither is imported in the process that asks.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmps.utils.errors import UserError

FIRST = 10
"""Proposals that are compared, best first."""


class TorchvisionNetwork:
    """A network that was built on torchvision's Faster R-CNN, as most published ones are.

    Args:
        model: The network, with the parts ``transform``, ``backbone``, ``rpn`` and ``roi_heads``.
        embed: The function for the embeddings of given boxes; None: the network itself.
    """

    def __init__(self, model: nn.Module, embed: Callable | None = None):
        self.model = model.eval()
        self._embed = embed or model

    def shapes(self) -> dict[str, tuple[tuple[int, ...], str]]:
        """Shape of each array in the state dict, and the first name of its memory."""
        first: dict[int, str] = {}
        return {
            name: (tuple(value.shape), first.setdefault(value.data_ptr(), name))
            for name, value in self.model.state_dict().items()
        }

    def load(self, path: str) -> None:
        """Take the weights of a file that :meth:`save` or somebody else wrote."""
        self.model.load_state_dict(torch.load(path, weights_only=True)['model'])

    def save(self, path: str) -> None:
        """Write the weights as published files hold them."""
        torch.save({'model': self.model.state_dict()}, path)

    @torch.no_grad()
    def settle(self, picture: np.ndarray) -> None:
        """Give each batch norm the statistics of this picture ``(h, w, 3)``, RGB uint8, so that
        weights nobody trained leave activations in bounds.
        """
        threshold, self.model.roi_heads.score_thresh = self.model.roi_heads.score_thresh, -1.0
        norms = [part for part in self.model.modules() if isinstance(part, _BatchNorm)]
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None
            norm.train()
        self.model([_tensor(picture)])
        for norm in norms:
            norm.eval()
        self.model.roi_heads.score_thresh = threshold

    @torch.no_grad()
    def let_through(self, picture: np.ndarray, part: str, share: float) -> None:
        """Shift the bias of the linear layer ``part``, whose rows are background and person, so
        that this share of the proposals are people.
        """
        layer = self.model.get_submodule(part)
        seen: list[torch.Tensor] = []
        hook = layer.register_forward_hook(lambda *given: seen.append(given[2]))
        self.model([_tensor(picture)])
        hook.remove()
        layer.bias[1] -= (seen[0][:, 1] - seen[0][:, 0]).quantile(1 - share)

    @torch.no_grad()
    def answer(self, picture: np.ndarray, queries: np.ndarray) -> dict[str, np.ndarray]:
        """What the network finds, in pixels of the picture ``(h, w, 3)``, RGB uint8, its embeddings
        of the boxes ``queries (q, 4)``, its map and its first proposals.
        """
        seen: dict[str, Any] = {}
        hooks = [
            getattr(self.model, part).register_forward_hook(
                lambda *given, part=part: seen.setdefault(part, given[2])
            )
            for part in ('backbone', 'rpn')
        ]
        (people,) = self.model([_tensor(picture)])
        for hook in hooks:
            hook.remove()
        rows = self._embed([_tensor(picture)], [{'boxes': torch.from_numpy(queries)}])
        found = {name: people[name] for name in ('boxes', 'scores', 'embeddings')}
        found |= {'queries': torch.cat(list(rows)), 'proposals': seen['rpn'][0][0][:FIRST]}
        found['map'] = next(iter(seen['backbone'].values()))[0]
        return {name: value.numpy() for name, value in found.items()}


def _tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1).float().div(255)


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
        context = get_context('spawn')
        self._connection, other = context.Pipe()
        self._process = context.Process(target=_serve, args=(other, build, folders), daemon=True)
        self._process.start()
        other.close()
        self._receive()

    def ask(self, method: str, *arguments: Any) -> Any:
        """What a method of the network returns."""
        self._connection.send((method, arguments))
        return self._receive()

    def close(self) -> None:
        """End the process."""
        self._connection.close()
        self._process.join(5)
        self._process.terminate()

    def __enter__(self) -> Original:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _receive(self) -> Any:
        try:
            problem, result = self._connection.recv()
        except EOFError:
            raise UserError('the process of the original program ended') from None
        if problem is not None:
            self.close()
            raise problem
        return result


def _serve(
    connection: Connection,
    build: Callable[[str], Any],
    folders: list[str],
) -> None:
    """Answer until the other end is closed."""
    sys.path[:0] = folders
    with suppress(EOFError):
        try:
            torch.manual_seed(0)
            network = build(folders[0])
        except (ImportError, RuntimeError) as error:  # the latter: another PyTorch's torchvision
            connection.send((UserError(_missing(error, folders[0])), None))
            return
        connection.send((None, None))
        while True:
            method, arguments = connection.recv()
            try:
                connection.send((None, getattr(network, method)(*arguments)))
            except Exception as error:
                connection.send((error, None))
                raise


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
