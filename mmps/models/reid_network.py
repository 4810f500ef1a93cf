"""Networks that embed one person cut out of an image, for use behind a detector."""

from collections.abc import Sequence

import torch.nn.functional as F
from mmengine.model import BaseModel, BaseModule
from torch import Tensor, nn

from mmps.registry import MODELS


@MODELS.register_module()
class ReIDNetwork(BaseModel):
    """A backbone and a head that turns its last map into an embedding.

    Example:
        >>> import torch
        >>> network = ReIDNetwork(
        ...     backbone=dict(type='ResNet', depth=18, out_indices=(3,)),
        ...     head=dict(type='ReIDHead', in_channels=512, num_ids=483, embed_dim=256),
        ...     mean=[123.675, 116.28, 103.53],
        ...     std=[58.395, 57.12, 57.375],
        ...     bgr_to_rgb=True,
        ... )
        >>> network(torch.rand(2, 3, 64, 32)).shape
        torch.Size([2, 256])

    Args:
        backbone: Config of any backbone that mmdet or mmps knows, or of :class:`TIMMBackbone`.
        head: Config of :class:`ReIDHead`, which can be trained, or of :class:`LinearEmbedding`;
            None: the map is averaged over places.
        mean, std: Of the channels, in the network's order, on the scale 0..255.
        bgr_to_rgb: Whether the network takes RGB.
    """

    def __init__(
        self,
        backbone: dict,
        head: dict | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        bgr_to_rgb: bool = False,
        init_cfg: dict | None = None,
    ) -> None:
        preprocessor = dict(type='ImgDataPreprocessor', mean=mean, std=std, bgr_to_rgb=bgr_to_rgb)
        super().__init__(preprocessor, init_cfg)
        self.backbone = MODELS.build(backbone)
        self.head = None if head is None else MODELS.build(head)

    def extract_map(self, inputs: Tensor) -> Tensor:
        """Normalised crops ``(n, 3, h, w)`` to the backbone's last map ``(n, c, h', w')``."""
        maps = self.backbone(inputs)
        return maps[-1] if isinstance(maps, (tuple, list)) else maps

    def forward(self, inputs: Tensor, data_samples=None, mode: str = 'tensor') -> Tensor:
        """Normalised crops ``(n, 3, h, w)`` to embeddings ``(n, d)``, of any length."""
        if mode != 'tensor':
            raise ValueError(f'mode={mode!r}: ReIDNetwork only embeds; TwoStepPersonSearch trains')
        x = self.extract_map(inputs)
        return x.mean((2, 3)) if self.head is None else self.head(x)

    @property
    def num_ids(self) -> int | None:
        """Identities that it is trained with; None where it cannot be trained."""
        return getattr(self.head, 'num_ids', None)

    def loss(self, inputs: Tensor, person_ids: Tensor) -> dict[str, Tensor]:
        """``loss_reid`` of normalised crops ``(n, 3, h, w)`` with ids ``(n,)``, -1 if unlabelled;
        `TypeError` where the head has no loss.
        """
        if not hasattr(self.head, 'loss'):
            raise TypeError(
                'reid.head has no loss, so that re-ID cannot be trained; take '
                "head=dict(type='ReIDHead', in_channels=..., num_ids=...)"
            )
        return self.head.loss(self.extract_map(inputs), person_ids)


@MODELS.register_module()
class LinearEmbedding(BaseModule):
    """Average pooling, hidden layers with batch norm and ReLU, and a linear layer.

    ``hidden`` are the widths of the hidden layers. The parts have the names that OpenMMLab's
    published re-ID networks give them, so that their weights load: ``fcs.N.fc``, ``fcs.N.bn``,
    ``fc_out``.

    Example:
        >>> import torch
        >>> LinearEmbedding(8, 4, hidden=(16,))(torch.rand(2, 8, 7, 3)).shape
        torch.Size([2, 4])
    """

    def __init__(self, in_channels: int, out_channels: int, hidden: Sequence[int] = ()) -> None:
        super().__init__()
        widths = [in_channels, *hidden]
        self.fcs = nn.ModuleList(
            nn.ModuleDict(dict(fc=nn.Linear(one, other), bn=nn.BatchNorm1d(other)))
            for one, other in zip(widths, widths[1:], strict=False)
        )
        self.fc_out = nn.Linear(widths[-1], out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, in_channels, h, w)`` to ``(n, out_channels)``."""
        x = x.mean((2, 3))
        for layer in self.fcs:
            x = F.relu(layer['bn'](layer['fc'](x)))
        return self.fc_out(x)


@MODELS.register_module()
class TIMMBackbone(BaseModule):
    """Any image network of the package timm, without its classifier.

    Args:
        model_name: As timm lists it, e.g. ``resnet50`` or ``convnext_tiny``.
        pretrained: Fetch the weights that timm names.
        options: Of ``timm.create_model``.

    Raises:
        ImportError: timm is not installed.
    """

    def __init__(self, model_name: str, pretrained: bool = False, **options) -> None:
        super().__init__()
        try:
            import timm
        except ImportError as error:
            raise ImportError(
                f'TIMMBackbone needs timm ({error}): pip install timm, with the torchvision that '
                'matches your PyTorch'
            ) from error
        self.network = timm.create_model(
            model_name, pretrained=pretrained, num_classes=0, global_pool='', **options
        )

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Images ``(n, 3, h, w)`` to one map ``(n, c, h', w')``; `ValueError` where the network
        gives none, as most transformers do.
        """
        x = self.network(x)
        if x.dim() != 4:
            raise ValueError(f'the network gives {tuple(x.shape)} instead of a map (n, c, h, w)')
        return (x,)
