"""Small torch models as a user writes them: factories, with example inputs beside them.

Weights are random but scaled like trained ones, and normalisation has statistics, so that outputs vary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn


def mlp() -> nn.Module:
    """``forward(x)``, with two kinds of normalisation and weights drawn anew each time: no seed."""
    return _trained(
        nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.GELU(), nn.LayerNorm(16), nn.Linear(16, 3)), seed=None
    )


mlp_example_inputs = (torch.zeros(1, 6),)


def cnn() -> nn.Module:
    """A classifier: strided and depthwise convolutions, normalisation behind each, pooling."""
    return _trained(
        nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8),
            nn.BatchNorm2d(8),
            nn.Hardswish(),
            nn.Conv2d(8, 12, 1),
            nn.BatchNorm2d(12),
            nn.SiLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(12, 4),
        )
    )


def cnn_example_inputs() -> tuple[torch.Tensor, ...]:
    return (torch.zeros(1, 3, 16, 16),)


class Recurrent(nn.Module):
    """Two bidirectional LSTM layers and a GRU over ``(batch, step, feature)``."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(5, 8, num_layers=2, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(16, 6, batch_first=True)
        self.head = nn.Linear(6, 3)

    def forward(self, steps: torch.Tensor) -> torch.Tensor:
        out, _ = self.lstm(steps)
        out, last = self.gru(out)
        result: torch.Tensor = self.head(out[:, -1] + last[-1])
        return result


def lstm() -> nn.Module:
    return _trained(Recurrent())


lstm_example_inputs = {"steps": torch.zeros(1, 7, 5)}


class Encoder(nn.Module):
    """A transformer encoder over token ids."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(50, 16)
        self.positions = nn.Parameter(torch.randn(1, 12, 16))
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 5)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        hidden = self.tokens(ids) + self.positions[:, : ids.shape[1]]
        result: torch.Tensor = self.head(self.encoder(hidden).mean(dim=1))
        return result


def encoder() -> nn.Module:
    return _trained(Encoder())


encoder_example_inputs = {"ids": torch.zeros(1, 12, dtype=torch.int64)}


class UNet(nn.Module):
    """Any height and width that four divides: strided and transposed convolutions with a shortcut."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.down = nn.Sequential(nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU())
        self.up = nn.Sequential(nn.ConvTranspose2d(16, 8, 2, stride=2), nn.BatchNorm2d(8), nn.ReLU())
        self.leave = nn.Conv2d(16, 2, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        wide = self.enter(image)
        result: torch.Tensor = self.leave(torch.cat([wide, self.up(self.down(wide))], dim=1))
        return result


def unet() -> nn.Module:
    return _trained(UNet())


unet_example_inputs = {"image": torch.zeros(1, 3, 16, 16)}


class Two(nn.Module):
    """Two inputs, and two outputs in a dictionary; neither is in alphabetical order."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Linear(4, 8)
        self.right = nn.Conv1d(2, 8, 3)
        self.score = nn.Linear(8, 3)
        self.height = nn.Linear(8, 1)

    def forward(self, signal: torch.Tensor, extra: torch.Tensor) -> dict[str, torch.Tensor]:
        hidden = torch.tanh(self.left(extra)) * self.right(signal).amax(dim=-1)
        return {"score": self.score(hidden), "height": self.height(hidden)}


def two() -> nn.Module:
    return _trained(Two())


two_example_inputs = (torch.zeros(1, 2, 9), torch.zeros(1, 4))


class Box(NamedTuple):
    """What a detector might return."""

    corners: torch.Tensor
    scores: list[torch.Tensor]


class Nested(nn.Module):
    """Structures in and out, and an option that is no tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, pair: tuple[torch.Tensor, torch.Tensor], *, flip: bool = False) -> Box:
        hidden = self.linear(pair[0]) - pair[1]
        return Box(hidden, [hidden.sin(), -hidden if flip else hidden])


def nested() -> nn.Module:
    return _trained(Nested())


nested_example_inputs = {"pair": (torch.zeros(1, 4), torch.zeros(1, 4)), "flip": True}


def program() -> Any:
    """A program with a free batch, traced by the user."""
    batch = torch.export.Dim("batch")
    return torch.export.export(
        two(),
        (torch.zeros(2, 2, 9),),
        {"extra": torch.zeros(2, 4)},
        dynamic_shapes={"signal": {0: batch}, "extra": {0: batch}},
    )


MODELS: tuple[Callable[[], nn.Module], ...] = (mlp, cnn, lstm, encoder, unet, two, nested)


def _trained(module: nn.Module, seed: int | None = 7) -> nn.Module:
    """Weights on the scale of trained ones, statistics of normalisation that are not trivial."""
    generator = torch.Generator()
    generator.manual_seed(generator.seed() if seed is None else seed)
    with torch.no_grad():
        for name, tensor in (*module.named_parameters(), *module.named_buffers()):
            if not tensor.dtype.is_floating_point:
                continue
            drawn = torch.randn(tensor.shape, generator=generator)
            if name.endswith("running_var"):
                tensor.copy_(0.5 + drawn.abs())
            elif tensor.dim() > 1:
                tensor.copy_(drawn / max(1.0, tensor[0].numel() ** 0.5) * 1.4)
            else:
                norm = "norm" in name or isinstance(module.get_submodule(name.rpartition(".")[0]), nn.BatchNorm2d)
                tensor.copy_(1.0 + 0.2 * drawn if norm and name.endswith("weight") else 0.2 * drawn)
    return module
