import torch.nn.functional as F
from torch import Tensor, nn


class AttentiveStripePool(nn.Module):
    """The weighted mean of each horizontal stripe, with weights that the features decide.

    A mask over places, softmax within each stripe: unlike a mask in [0, 1] it cannot make a whole
    person fainter, only say where in a stripe to look. It starts even, as average pooling.

    Args:
        channels: Channels of the features.
        stripes: Stripes of equal height, head to feet.
        reduction: The hidden layer has ``channels / reduction`` channels, at least 8.
    """

    def __init__(self, channels: int, stripes: int, reduction: int = 4):
        super().__init__()
        self.output_size = (stripes, 1)
        hidden = max(channels // reduction, 8)
        self.logits = nn.Sequential(
            nn.Conv2d(channels, hidden, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(hidden, 1, 3, padding=1),
        )
        nn.init.zeros_(self.logits[-1].weight)
        nn.init.zeros_(self.logits[-1].bias)

    def forward(self, x: Tensor) -> Tensor:
        """Features ``(n, channels, h, w)`` to ``(n, channels, stripes, 1)``."""
        logits = self.logits(x).float()
        # A stripe far below the others must not vanish: its mean would be 0 / 0.
        weights = (logits - logits.detach().amax((2, 3), keepdim=True)).clamp(min=-30).exp()
        # Both means are over the same places, so their number cancels.
        weighted = F.adaptive_avg_pool2d(x * weights, self.output_size)
        return (weighted / F.adaptive_avg_pool2d(weights, self.output_size)).to(x.dtype)
