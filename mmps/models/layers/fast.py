"""Fast forms of layers, and the one switch that turns them off.

Each form computes what plain PyTorch or mmcv computes, up to rounding, and the plain form stands
where the fast one is called. docs/fast_layers.md says what they are, what each gains, and how
``MMPS_PLAIN_LAYERS`` in the environment turns them off.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from threading import Barrier
from typing import TypeVar

import torch
import torch.nn.functional as F
from mmcv.ops import RoIAlign
from mmdet.models.backbones.resnet import Bottleneck
from mmdet.models.roi_heads.roi_extractors import BaseRoIExtractor, SingleRoIExtractor
from mmdet.models.roi_heads.shared_heads import ResLayer
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._pytree import tree_map

FORMS = (
    *('dense_block', 'folding', 'region_align', 'channels_last', 'region_conv'),
    *('parts', 'workers'),
)

Result = TypeVar('Result')


def _forms(names: str) -> frozenset[str]:
    if names in ('', '0', '1'):
        return frozenset(FORMS if names == '1' else ())
    chosen = frozenset(name.strip() for name in names.split(','))
    if chosen - set(FORMS):
        raise ValueError(
            f'MMPS_PLAIN_LAYERS={names}: 1, 0 or some of {", ".join(FORMS)} expected, separated '
            'by commas'
        )
    return chosen


_off = _forms(os.environ.get('MMPS_PLAIN_LAYERS', ''))


def is_on(form: str) -> bool:
    """Whether networks may take the fast form of this name."""
    return form not in _off


@contextmanager
def plain_layers(*forms: str) -> Iterator[None]:
    """Turn fast forms off, all of them if none is named, for networks built and run inside.

    Example:
        >>> with plain_layers():
        ...     is_on('folding')
        False
    """
    global _off
    before, _off = _off, _off | _forms(','.join(forms) or '1')
    try:
        yield
    finally:
        _off = before


# Batch norm with running statistics, folded into the convolution beside it. It happens in each
# call, on weights that are small beside the maps: nothing is prepared, kept in step or undone.

# A norm that scales a channel by less gives a constant: no activation is large enough.
_DEAD = 1e-20


def uses_running_statistics(*modules: nn.Module) -> bool:
    """Whether no batch norm in ``modules`` would look at the batch."""
    norms = (m for module in modules for m in module.modules() if isinstance(m, _BatchNorm))
    return not any(norm.training or norm.running_var is None for norm in norms)


def can_fold(x: Tensor, *modules: nn.Module) -> bool:
    """Whether ``modules`` may process ``x`` folded: in float32, with norms that use running
    statistics, and without a gradient.
    """
    if not is_on('folding') or not _in_float32(x) or not uses_running_statistics(*modules):
        return False
    if not torch.is_grad_enabled():
        return True
    return not (x.requires_grad or any(p.requires_grad for m in modules for p in m.parameters()))


def conv_norm(x: Tensor, conv: nn.Conv2d, norm: _BatchNorm) -> Tensor:
    """``norm(conv(x))``; the convolution has no bias."""
    scale, shift = _affine(norm)
    weight = conv.weight * scale.view(-1, 1, 1, 1)
    return F.conv2d(x, weight, shift, conv.stride, conv.padding)


def norm_conv_pool(
    x: Tensor, norm: _BatchNorm, relu: nn.ReLU, conv: nn.Conv2d, pool: nn.Module | None = None
) -> Tensor:
    """``pool(conv(relu(norm(x))))`` with a 1 x 1 convolution, folded where that may be."""
    if can_fold(x, norm, conv):
        weight, bias, low, high = _fold_before(*_affine(norm), conv.weight)
        x = x.permute(0, 2, 3, 1).clamp(low, high).permute(0, 3, 1, 2)
    else:
        weight, bias = conv.weight, None
        x = relu(norm(x))
    # Average pooling and a 1 x 1 convolution commute; this way it has a quarter of the positions.
    if pool is not None:
        x = pool(x)
    return F.conv2d(x, weight, bias)


def _in_float32(x: Tensor) -> bool:
    """Whether ``x`` is, and stays, in the precision for which folding is accurate."""
    return x.dtype == torch.float32 and not torch.is_autocast_enabled(x.device.type)


def _affine(norm: _BatchNorm) -> tuple[Tensor, Tensor]:
    """Scale and shift ``(channels,)`` that the norm applies."""
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return scale, norm.bias - norm.running_mean * scale


def _fold_before(scale: Tensor, shift: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
    """``conv(relu(scale * x + shift))`` of a 1 x 1 convolution ``weight (out, in, 1, 1)``: weight
    and bias ``(out,)`` of one whose input is clamped between two bounds ``(in,)``.

    ``relu(scale * x + shift)`` is ``scale * (x.clamp(min=t) - t)`` with ``t = -shift / scale``
    (``max=t`` where the scale is negative): the scale goes into the weight and the constant into
    the bias, which leaves one pass over the map where norm and ReLU would make two.
    """
    dead = scale.abs() < _DEAD
    scale = scale.masked_fill(dead, 0.0)
    threshold = -shift / scale
    bias = weight.flatten(1) @ torch.where(dead, shift.clamp(min=0), shift)
    infinity = torch.tensor(torch.inf, device=scale.device)
    return (
        weight * scale.view(1, -1, 1, 1),
        bias,
        torch.where(scale > 0, threshold, -infinity),
        torch.where(scale < 0, threshold, infinity),
    )


# Dense blocks without copies of their activations.

_PER_LAYER = 6  # scale and shift of the first norm, first weight; the same of the second
# Positions of the map that go through a 1 x 1 convolution together: their activations stay in the
# cache.
_ROWS_AT_ONCE = 1600


def can_fuse(x: Tensor, block: nn.ModuleDict) -> bool:
    """Whether :func:`dense_block` is for ``x``: float32, a CPU, and running statistics."""
    on_cpu = is_on('dense_block') and x.device.type == 'cpu' and _in_float32(x)
    return on_cpu and uses_running_statistics(block)


def dense_block(x: Tensor, block: nn.ModuleDict) -> Tensor:
    """A :class:`DenseBlock` on ``x (n, c, h, w)``, with gradients."""
    parameters: list[Tensor] = []
    for layer in block.values():
        parameters += *_affine(layer.norm1), layer.conv1.weight
        parameters += *_affine(layer.norm2), layer.conv2.weight
    return _DenseBlock.apply(x, *parameters)


class _DenseBlock(torch.autograd.Function):
    """Layers of norm-ReLU-1 x 1 conv-norm-ReLU-3 x 3 conv whose norms are fixed scales and shifts.

    One channels-last map ``(n, h, w, c)`` holds the input and what each layer adds to it, and one
    of the same shape gathers the gradients; autograd would keep and copy each layer's concatenated
    and normalised input, which grows with the square of the number of layers (Pleiss et al. 2017).
    Of each layer only the input of its 3 x 3 convolution is kept beside; the input of the 1 x 1
    is computed again from the map.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, *parameters: Tensor) -> Tensor:
        """Map ``(n, c, h, w)``, and :data:`_PER_LAYER` tensors for each layer."""
        n, channels, h, w = x.shape
        layers = _per_layer(parameters)
        block = x.new_empty(n, h, w, channels + sum(len(layer[-1]) for layer in layers))
        block[..., :channels] = x.permute(0, 2, 3, 1)
        keep = any(ctx.needs_input_grad)
        kept, middle = [], None
        for *bottleneck, weight2 in layers:
            # Fresh memory costs as much as a pass over it.
            if keep or middle is None or middle.shape[-1] != len(bottleneck[2]):
                middle = x.new_empty(n, h, w, len(bottleneck[2]))
            _bottleneck(block[..., :channels], *bottleneck, out=middle)
            if keep:
                kept.append(middle.permute(0, 3, 1, 2))
            new = F.conv2d(middle.permute(0, 3, 1, 2), weight2, padding=1)
            block[..., channels : channels + len(weight2)] = new.permute(0, 2, 3, 1)
            channels += len(weight2)
        ctx.save_for_backward(block, *kept, *parameters)
        return block.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, ...]:
        block, *saved = ctx.saved_tensors
        count = len(saved) // (_PER_LAYER + 1)
        kept, layers = saved[:count], _per_layer(saved[count:])
        # Not the caller's tensor, which may be used elsewhere: gradients are added to it.
        grads = torch.empty_like(block).copy_(grad.permute(0, 2, 3, 1))
        end = block.shape[-1]
        found: list[Tensor] = []
        for middle, layer in zip(reversed(kept), reversed(layers), strict=True):
            channels = end - len(layer[-1])
            grad_new = grads[..., channels:end].contiguous()
            seen = block[..., :channels], grads[..., :channels]
            found[:0] = _layer_backward(*seen, middle, grad_new, layer)
            end = channels
        return grads[..., :end].permute(0, 3, 1, 2), *found


def _per_layer(parameters: tuple[Tensor, ...] | list[Tensor]) -> list[tuple[Tensor, ...]]:
    return list(zip(*(parameters[i::_PER_LAYER] for i in range(_PER_LAYER)), strict=True))


def _bottleneck(
    x: Tensor,
    scale1: Tensor,
    shift1: Tensor,
    weight1: Tensor,
    scale2: Tensor,
    shift2: Tensor,
    out: Tensor,
) -> None:
    """Norm-ReLU-1 x 1 conv-norm-ReLU of a map ``(n, h, w, c)`` into ``out (n, h, w, width)``."""
    weight, bias, low, high = _fold_before(scale1, shift1, weight1)
    matrix = (weight.flatten(1) * scale2[:, None]).T
    bias = torch.addcmul(shift2, bias, scale2)
    parts = (rows.flatten(0, 2).split(_ROWS_AT_ONCE) for rows in (x, out))
    for seen, made in zip(*parts, strict=True):
        torch.addmm(bias, seen.clamp(low, high), matrix, out=made).relu_()


def _layer_backward(
    x: Tensor, grad_x: Tensor, middle: Tensor, grad_new: Tensor, layer: tuple[Tensor, ...]
) -> list[Tensor]:
    """Gradients of a layer's parameters; that of its input ``x (n, h, w, c)`` is added to
    ``grad_x``. ``middle (n, width, h, w)`` went into the 3 x 3 convolution, and ``grad_new (n, h,
    w, growth)`` is the gradient of what came out.
    """
    scale1, shift1, weight1, scale2, _, weight2 = layer
    grad_middle, grad_weight2, _ = torch.ops.aten.convolution_backward(
        grad_new.permute(0, 3, 1, 2),
        *(middle, weight2, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1),
        [True, True, False],
    )
    relu_backward = torch.ops.aten.threshold_backward
    grad_middle = relu_backward(grad_middle, middle, 0).permute(0, 2, 3, 1).flatten(0, 2)
    seen = torch.addcmul(shift1, x, scale1).relu_().flatten(0, 2)
    matrix = weight1.flatten(1)
    # Of the product of the normalised input with weight1, before scale2.
    grad_matrix = grad_middle.T @ seen
    grad_seen = relu_backward(grad_middle @ (matrix * scale2[:, None]), seen, 0).view(x.shape)
    grad_x.addcmul_(grad_seen, scale1)
    return [
        (grad_seen * x).sum((0, 1, 2)),
        grad_seen.sum((0, 1, 2)),
        (grad_matrix * scale2[:, None]).view_as(weight1),
        (grad_matrix * matrix).sum(1),
        grad_middle.sum(0),
        grad_weight2,
    ]


# Regions of a map.

# Regions that go through an identification network together, by type of device: on CPUs few
# enough for little memory, and enough that weights which no cache holds are read seldom; elsewhere
# 512, whose layers take a GPU longer than it takes to launch them.
REGIONS_AT_ONCE = {'cpu': 64}
# The same, at most, where activations are computed again in the backward pass, all at once.
_RECOMPUTED_AT_ONCE = 128
# Regions that are worth a thread of their own; with fewer for each all threads share them.
LEAST_FOR_A_WORKER = 32


def in_parts(rois: Tensor, recomputed: bool = False) -> tuple[Tensor, ...]:
    """RoIs ``(n, 5)`` in as many at a time as are fast; ``recomputed``: with activation
    checkpointing.
    """
    if not is_on('parts'):
        return (rois,)
    count = REGIONS_AT_ONCE.get(rois.device.type, 512)
    if torch.is_grad_enabled() and recomputed:
        count = min(count, _RECOMPUTED_AT_ONCE)
    return rois.split(count)


def of_parts(
    function: Callable[[Tensor], Result], rois: Tensor, recomputed: bool = False
) -> list[Result]:
    """What ``function`` makes of :func:`in_parts`, in their order.

    On a CPU, without gradients, each of PyTorch's threads takes a part alone. Threads that share
    the work of a layer all wait for the last of them at its end, and beside another busy process
    there is always one that has no core.
    """
    threads = torch.get_num_threads()
    apart = threads > 1 and len(rois) >= LEAST_FOR_A_WORKER * threads
    apart = apart and is_on('workers') and is_on('parts') and rois.device.type == 'cpu'
    if not apart or torch.is_grad_enabled() or torch.jit.is_tracing():
        return [function(some) for some in in_parts(rois, recomputed)]
    # As many parts for each thread.
    count = -(-len(in_parts(rois)) // threads) * threads
    inference = torch.is_inference_mode_enabled()
    dtype, lower = torch.get_autocast_dtype('cpu'), torch.is_autocast_enabled('cpu')

    def of_part(some: Tensor) -> Result:
        # A thread begins without what the caller has switched on.
        with torch.inference_mode(inference), torch.no_grad(), torch.autocast('cpu', dtype, lower):
            return function(some)

    return list(_workers(threads, os.getpid()).map(of_part, rois.tensor_split(count)))


@cache
def _workers(count: int, process: int) -> ThreadPoolExecutor:
    """Threads whose operations run in one thread each; a process that was forked needs its own."""

    def begin() -> None:
        torch.set_num_threads(1)
        # Only now, and once, a thread takes the number that was set last.
        torch.get_num_threads()

    workers = ThreadPoolExecutor(count, f'regions of {process}', begin)
    ready = Barrier(count)
    list(workers.map(lambda _: ready.wait(), range(count)))  # until all have begun
    torch.set_num_threads(count)
    return workers


def compile_for_graphs(network: nn.Module) -> None:
    """Compile a network of one map for inputs of few sizes; on a GPU each size is a CUDA graph,
    which is launched as one.

    For predictions a batch is filled up to a power of two, so that its number is one of few. Their
    results are copied, because the next call writes to the same memory.
    """
    compiled = torch.compile(network._call_impl, mode='reduce-overhead', dynamic=False)

    def call(x: Tensor) -> Tensor | tuple[Tensor, ...]:
        if network.training or torch.is_grad_enabled():
            return compiled(x)
        torch.compiler.cudagraph_mark_step_begin()
        count = len(x)
        spare = (1 << max(0, count - 1).bit_length()) - count
        found = compiled(F.pad(x, [0, 0] * (x.dim() - 1) + [0, spare]))
        return tree_map(lambda y: y[:count].clone(), found)

    network._compiled_call_impl = call


def memory_format(x: Tensor) -> torch.memory_format:
    """Channels-last, or contiguous, as a map ``(n, c, h, w)`` is."""
    if x.is_contiguous(memory_format=torch.channels_last):
        return torch.channels_last
    return torch.contiguous_format


def align_regions(extractor: nn.Module) -> nn.Module:
    """``extractor`` with a :class:`RegionAlign` around each RoI layer of mmdet's in it."""
    for part in list(extractor.modules()):
        if isinstance(part, BaseRoIExtractor):
            part.roi_layers = nn.ModuleList(map(RegionAlign, part.roi_layers))
    return extractor


def extract(extractor: nn.Module, x: tuple[Tensor, ...], rois: Tensor) -> Tensor:
    """Regions of the first maps, as many as the extractor takes: ``(n, c, h, w)``.

    In float32 under autocast as well: RoI layers would round boxes to 16 bits, by up to 4
    pixels in bfloat16, for which they have no kernel on CPUs besides. In the memory format of the
    maps: of any other, each layer behind would make its own copies.
    """
    maps = [feats.float() for feats in x[: extractor.num_inputs]]
    return extractor(maps, rois).to(x[0].dtype, memory_format=memory_format(x[0]))


class RegionAlign(nn.Module):
    """A RoI layer of mmcv for maps of any memory format, with a CPU form of RoIAlign that is as
    fast as the rest.

    mmcv's layers read memory as ``(b, c, h, w)`` whatever the strides say, and on CPUs gather one
    value after another. A bin of average RoIAlign is a weighted sum of map positions, and in a
    channels-last map each position is one row of memory: an embedding bag. Results and gradients
    agree to rounding. Boxes get no gradient, as in mmcv.

    Example:
        >>> layer = RoIAlign((7, 7), spatial_scale=1 / 16, sampling_ratio=2)
        >>> x, rois = torch.rand(1, 8, 12, 20), torch.tensor([[0, 32.0, 32, 96, 160]])
        >>> torch.allclose(RegionAlign(layer)(x, rois), layer(x, rois), atol=1e-5)
        True

    ``layer`` is a RoI layer of mmcv; all but average RoIAlign with a fixed number of samples, in
    float32 on a CPU, is left to it.
    """

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer
        self.output_size = layer.output_size
        self.as_rows = (
            isinstance(layer, RoIAlign) and layer.sampling_ratio > 0 and layer.pool_mode == 'avg'
        )

    def forward(self, x: Tensor, rois: Tensor) -> Tensor:
        """Map ``(b, c, h, w)`` and RoIs ``(n, 5)`` (image index, xyxy in image pixels) to regions
        ``(n, c, *output_size)``.
        """
        fast = self.as_rows and is_on('region_align')
        if not fast or x.device.type != 'cpu' or x.dtype != torch.float32:
            return self.layer(x.contiguous(), rois)
        return self.bins(x, rois)

    def bins(self, x: Tensor, rois: Tensor, step: int = 1) -> Tensor:
        """The fast form; of rows and columns of bins only each ``step``-th."""
        rows = x.permute(0, 2, 3, 1).flatten(0, 2)
        positions, weights = self._taps(rois, x.shape[-2:], step)
        bins = F.embedding_bag(positions, rows, mode='sum', per_sample_weights=weights)
        sides = [-(-side // step) for side in self.output_size]
        return bins.view(len(rois), *sides, x.shape[1]).permute(0, 3, 1, 2)

    def _taps(self, rois: Tensor, size: tuple[int, int], step: int) -> tuple[Tensor, Tensor]:
        """Rows of the map that each bin sums, ``(n * bins, taps)``, and their weights."""
        corners = rois[:, 1:] * self.layer.spatial_scale - (0.5 if self.layer.aligned else 0.0)
        sides = corners[:, 2:] - corners[:, :2]
        if not self.layer.aligned:
            sides = sides.clamp(min=1.0)
        (y, y_weight), (x, x_weight) = (
            self._axis(corners[:, i], sides[:, i], self.output_size[1 - i], size[1 - i])
            for i in (1, 0)
        )
        y, y_weight, x, x_weight = (one[:, ::step] for one in (y, y_weight, x, x_weight))
        height, width = size
        y = y + rois[:, 0].long().view(-1, 1, 1) * height
        positions = y[:, :, None, :, None] * width + x[:, None, :, None, :]
        weights = y_weight[:, :, None, :, None] * x_weight[:, None, :, None, :]
        return positions.flatten(3).flatten(0, 2), weights.flatten(3).flatten(0, 2)

    def _axis(self, start: Tensor, side: Tensor, bins: int, length: int) -> tuple[Tensor, Tensor]:
        """Cells along one axis and their weights, ``(n, bins, 2 * samples)``: each sample lies
        between two cells.
        """
        samples = self.layer.sampling_ratio
        steps = (torch.arange(bins * samples, device=start.device) + 0.5) / (bins * samples)
        places = start[:, None] + steps * side[:, None]
        # Beyond a cell's width outside the map is nothing; up to there the border goes on.
        inside = (places >= -1) & (places <= length)
        # A box that is not a number, as where a training diverges, has nothing in it either.
        places = places.nan_to_num(0.0).clamp(0, length - 1)
        lower = places.floor()
        share = places - lower
        weights = torch.stack([1 - share, share], -1) * (inside / samples).unsqueeze(-1)
        cells = torch.stack([lower, (lower + 1).clamp(max=length - 1)], -1).long()
        shape = len(start), bins, 2 * samples
        return cells.view(shape), weights.view(shape)


class RegionsOfMap:
    """A ResNet layer on regions, whose first block begins on the whole map.

    RoIAlign and a 1 x 1 convolution without bias commute, for both are weighted sums, one over
    positions and one over channels. The first block begins with two such convolutions. On the map
    they have far fewer positions than on hundreds of regions, and the one beside the block needs
    only the bins that its stride leaves: of ResNet-50's last layer a quarter of the operations.

    Example:
        >>> network = ResLayer(50, stage=1)
        >>> network.eval()
        >>> layer = dict(type='RoIAlign', output_size=14, sampling_ratio=2)
        >>> extractor = align_regions(SingleRoIExtractor(layer, 256, [16]))
        >>> x = torch.rand(1, 256, 6, 8).to(memory_format=torch.channels_last)
        >>> rois = torch.tensor([[0, 16.0, 16, 64, 80], [0, 8.0, 0, 60, 90]])
        >>> with torch.no_grad():
        ...     regions = RegionsOfMap(extractor, network, (x,))(rois)
        ...     plain = network(extractor((x,), rois))
        >>> regions.shape, torch.allclose(regions, plain, rtol=1e-3, atol=1e-4)
        (torch.Size([2, 512, 7, 7]), True)

    It takes an extractor and a network for which :meth:`serves` was true, and the first of the maps
    ``x``, ``(b, c, h, w)``.
    """

    def __init__(self, extractor: SingleRoIExtractor, network: ResLayer, x: tuple[Tensor, ...]):
        (self._layer,) = extractor.roi_layers
        self._blocks = list(_res_layer(network))
        first, shortcut = self._blocks[0], self._blocks[0].downsample[0]
        self._inner = F.conv2d(x[0], first.conv1.weight.to(x[0].dtype)).float()
        self._beside = F.conv2d(x[0], shortcut.weight.to(x[0].dtype)).float()
        self._step, self._dtype = shortcut.stride[0], x[0].dtype

    @staticmethod
    def serves(extractor: nn.Module, network: nn.Module, x: Tensor, count: int) -> bool:
        """Whether the network begins like that, no gradient is wanted, and so many regions are
        worth it on a map ``x (b, c, h, w)``.
        """
        if not (is_on('region_conv') and is_on('region_align')) or torch.is_grad_enabled():
            return False
        if type(extractor) is not SingleRoIExtractor or type(network) is not ResLayer:
            return False
        (layer, *more), block = extractor.roi_layers, _res_layer(network)[0]
        if more or not layer.as_rows or x.device.type != 'cpu':
            return False
        if type(block) is not Bottleneck or block.conv1.stride != (1, 1):
            return False
        inner, beside = block.conv1.out_channels, block.downsample[0].out_channels
        rows, columns = layer.output_size
        stride = block.downsample[0].stride[0]
        kept = -(-rows // stride) * -(-columns // stride)
        positions = x.shape[0] * x.shape[2] * x.shape[3]
        pays = count * (inner * rows * columns + beside * kept) > positions * (inner + beside)
        return pays and uses_running_statistics(network)

    def __call__(self, rois: Tensor) -> Tensor:
        """What the network makes of RoIs ``(n, 5)``: ``(n, c', h', w')``."""
        block, *others = self._blocks
        inner = self._layer.bins(self._inner, rois).to(self._dtype)
        beside = self._layer.bins(self._beside, rois, self._step).to(self._dtype)
        out = F.relu(block.norm1(inner), inplace=True)
        out = F.relu(block.norm2(block.conv2(out)), inplace=True)
        out = block.norm3(block.conv3(out)).add_(block.downsample[1](beside))
        out = F.relu(out, inplace=True)
        for other in others:
            out = other(out)
        return out


def _res_layer(network: ResLayer) -> nn.Sequential:
    return getattr(network, f'layer{network.stage + 1}')
