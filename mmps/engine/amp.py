"""Mixed precision: which machine can have which, and what switches it on."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from torch import nn

from mmps.registry import OPTIM_WRAPPERS
from mmps.utils.errors import UserError

_CPU_FLAGS = {'avx512_bf16', 'amx_bf16', 'bf16'}
"""Of x86 and Arm processors, in ``/proc/cpuinfo``."""


def set_amp(config: Config, dtype: str) -> None:
    """Switch the optimizer wrapper of a config to ``float16`` or ``bfloat16``, in place.

    Raises:
        UserError: The machine does not have it, or the config's wrapper is a special one.
    """
    wrapper = config.optim_wrapper
    kind = wrapper.get('type', 'OptimWrapper')
    if kind not in ('OptimWrapper', 'AmpOptimWrapper', 'BFloat16OptimWrapper'):
        raise UserError(f'--amp does not work with optim_wrapper.type={kind} of the config')
    gpu = torch.cuda.is_available()
    for key in ('loss_scale', 'dtype'):
        wrapper.pop(key, None)
    if dtype == 'float16':
        if not gpu:
            raise UserError(
                '--amp float16 needs a GPU and PyTorch sees none; leave --amp out, or take '
                '--amp bfloat16 on a CPU that has it'
            )
        wrapper.update(type='AmpOptimWrapper', dtype='float16', loss_scale='dynamic')
        return
    try:
        inference_precision(dtype, 'cuda' if gpu else 'cpu')
    except UserError as error:
        other = (
            ', or take --amp float16'
            if gpu
            else '. --cfg-options optim_wrapper.type=BFloat16OptimWrapper trains in it nevertheless'
        )
        raise UserError(f'{error}{other}') from error
    wrapper.type = 'BFloat16OptimWrapper'


def inference_precision(amp: str | None, device: str) -> str:
    """In what a network in PyTorch finds people: ``float32`` or ``bfloat16``.

    Args:
        amp: None: float32; ``bfloat16``; or ``auto``: bfloat16 where the device computes in it.
        device: As in PyTorch.

    Raises:
        UserError: ``bfloat16``, on a device that does not compute in it.
    """
    if amp is None:
        return 'float32'
    kind = torch.device(device).type
    if kind == 'cuda':
        has = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has = kind == 'cpu' and cpu_has_bfloat16()
    if amp == 'bfloat16' and not has:
        lacks = ' (no avx512_bf16, amx_bf16 or bf16 in /proc/cpuinfo)' if kind == 'cpu' else ''
        raise UserError(
            f'--amp bfloat16: this {"GPU" if kind == "cuda" else kind.upper()} does not compute in '
            f'it{lacks}, so that it would take longer; leave --amp out'
        )
    return 'bfloat16' if has else 'float32'


def cpu_has_bfloat16(cpuinfo: Path = Path('/proc/cpuinfo')) -> bool:
    """Whether this machine's CPU multiplies bfloat16 itself; False where that is not known."""
    if not cpuinfo.is_file():
        return False
    words = (line.split(':', 1) for line in cpuinfo.read_text().splitlines() if ':' in line)
    flags = (value.split() for key, value in words if key.strip() in ('flags', 'Features'))
    return bool(_CPU_FLAGS.intersection(next(flags, [])))


@OPTIM_WRAPPERS.register_module()
class BFloat16OptimWrapper(OptimWrapper):
    """Mixed precision in bfloat16, on GPUs and on CPUs.

    mmengine's ``AmpOptimWrapper`` refuses CPUs, and scales losses. bfloat16 has the range of
    float32, so that gradients do not vanish and nothing has to be scaled.

    Example:
        >>> model = nn.Linear(2, 1)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> wrapper = OPTIM_WRAPPERS.build(dict(type='BFloat16OptimWrapper', optimizer=optimizer))
        >>> with wrapper.optim_context(model):
        ...     model(torch.ones(1, 2)).dtype
        torch.bfloat16
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """What the forward pass of a training step runs in."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, torch.bfloat16):
            yield
