"""PyTorch models that see and generate. Beside each factory stand example inputs, by the names of ``forward``."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.zoo.torch_weights import seeded


class _Residual(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, after, 3, stride, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, 1, 1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.around = nn.Conv2d(before, after, 1, stride, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        return torch.relu(self.body(image) + self.around(image))


class _Classifier(nn.Module):
    """A body over a picture, then one linear layer."""

    def __init__(self, body: nn.Module, width: int, classes: int) -> None:
        super().__init__()
        self.body, self.head = body, nn.Linear(width, classes)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.body(image).mean((2, 3)))


class _UNet(nn.Module):
    """Segmentation: transposed convolutions and skip connections."""

    def __init__(self) -> None:
        super().__init__()
        self.down1, self.down2 = self._block(3, 8), self._block(8, 16)
        self.bottom = self._block(16, 24)
        self.up2, self.merge2 = nn.ConvTranspose2d(24, 16, 2, 2), self._block(32, 16)
        self.up1, self.merge1 = nn.ConvTranspose2d(16, 8, 2, 2), self._block(16, 8)
        self.mask = nn.Conv2d(8, 4, 1)

    @staticmethod
    def _block(before: int, after: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU())

    def forward(self, image: Tensor) -> Tensor:
        fine = self.down1(image)
        coarse = self.down2(nn.functional.max_pool2d(fine, 2))
        x = self.bottom(nn.functional.max_pool2d(coarse, 2))
        x = self.merge2(torch.cat([self.up2(x), coarse], 1))
        return self.mask(self.merge1(torch.cat([self.up1(x), fine], 1)))


class _Detector(nn.Module):
    """Boxes and scores of two scales, as a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 4, 1), nn.ReLU())
        self.down = nn.Sequential(nn.Conv2d(16, 16, 3, 2, 1), nn.ReLU())
        self.boxes, self.scores = nn.Conv2d(16, 4 * 3, 3, 1, 1), nn.Conv2d(16, 5 * 3, 3, 1, 1)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        fine = self.stem(image)
        levels = (fine, self.down(fine))
        boxes = [self.boxes(level).permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, 4)) for level in levels]
        scores = [self.scores(level).permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, 5)) for level in levels]
        return {"boxes": torch.cat(boxes, 1), "scores": torch.cat(scores, 1).sigmoid()}


class _Upscaler(nn.Module):
    """Super-resolution by pixel shuffle beside a bilinear resize."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.PReLU(), nn.Conv2d(16, 12, 3, padding=1))

    def forward(self, image: Tensor) -> Tensor:
        large = nn.functional.interpolate(image, scale_factor=2.0, mode="bilinear", align_corners=False)
        return large + nn.functional.pixel_shuffle(self.body(image), 2)


def cnn() -> nn.Module:
    """A classifier of digits."""
    body = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 16, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(3)
    )
    return seeded(nn.Sequential(body, nn.Flatten(), nn.Dropout(), nn.Linear(144, 10), nn.Softmax(-1)), _picture(28, 1))


def resnet() -> nn.Module:
    body = nn.Sequential(_Residual(3, 8, 1), _Residual(8, 16, 2), _Residual(16, 16, 1))
    return seeded(_Classifier(body, 16, 10), _picture(32))


def depthwise() -> nn.Module:
    """Depthwise and pointwise convolutions with squeezed gates, as in a MobileNet."""
    body = nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1, bias=False),
        nn.BatchNorm2d(16),
        nn.Hardswish(),
        nn.Conv2d(16, 16, 5, 1, 2, groups=16, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU6(),
        nn.Conv2d(16, 24, 1),
        nn.GroupNorm(4, 24),
        nn.SiLU(),
    )
    return seeded(_Classifier(body, 24, 5), _picture(32))


def unet() -> nn.Module:
    return seeded(_UNet(), _picture(32))


def detector() -> nn.Module:
    return seeded(_Detector(), _picture(64))


def upscaler() -> nn.Module:
    return seeded(_Upscaler(), _picture(16))


def generator() -> nn.Module:
    """The generator of a GAN: noise to a picture."""
    layers: list[nn.Module] = [nn.Linear(16, 256), nn.Unflatten(1, (16, 4, 4))]
    for before, after in ((16, 16), (16, 8)):
        layers += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
    layers += [nn.ConvTranspose2d(8, 3, 4, 2, 1), nn.Tanh()]
    return seeded(nn.Sequential(*layers), torch.zeros(1, 16))


def _picture(size: int, channels: int = 3) -> Tensor:
    return torch.zeros(1, channels, size, size)


def _image(size: int, channels: int = 3) -> dict[str, Any]:
    return {"image": np.zeros((1, channels, size, size), np.float32)}


cnn_example_inputs = {"input": np.zeros((1, 1, 28, 28), np.float32)}  # nn.Sequential calls it so
resnet_example_inputs = depthwise_example_inputs = unet_example_inputs = _image(32)
detector_example_inputs = _image(64)
upscaler_example_inputs = _image(16)
generator_example_inputs = {"input": np.zeros((1, 16), np.float32)}
