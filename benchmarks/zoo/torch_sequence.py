"""PyTorch models of vectors, steps, text and sound. Beside each factory stand example inputs."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.zoo.torch_weights import seeded


class _Recurrent(nn.Module):
    """A recurrent layer and a linear one on its last step."""

    def __init__(self, cell: type[nn.Module], width: int, *, both_ways: bool) -> None:
        super().__init__()
        self.body = cell(4, width, num_layers=2, batch_first=True, bidirectional=both_ways)
        self.head = nn.Linear(width * (1 + both_ways), 3)

    def forward(self, steps: Tensor) -> Tensor:
        return self.head(self.body(steps)[0][:, -1])


class _Encoder(nn.Module):
    """Token ids through a transformer encoder to a label."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.positions = nn.Embedding(60, 16), nn.Parameter(torch.zeros(1, 12, 16))
        layer = nn.TransformerEncoderLayer(16, 2, 32, activation="gelu", batch_first=True)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 4)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.body(self.embedding(ids) + self.positions).mean(1))


class _Causal(nn.Module):
    """Attention that sees only what came before, as in a language model."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.norm = nn.Embedding(60, 16), nn.RMSNorm(16)
        self.mix, self.out = nn.Linear(16, 48, bias=False), nn.Linear(16, 60)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.embedding(ids)
        query, key, value = (part.unflatten(-1, (2, 8)).transpose(1, 2) for part in self.mix(self.norm(x)).chunk(3, -1))
        seen = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.out(x + seen.transpose(1, 2).flatten(2))


class _Fusion(nn.Module):
    """Two inputs of different rank; a score and an integer class."""

    def __init__(self) -> None:
        super().__init__()
        self.picture = nn.Sequential(nn.Conv2d(1, 4, 3, 2), nn.ReLU(), nn.Flatten())
        self.table, self.head = nn.Linear(5, 4), nn.Linear(4 * 9 + 4, 3)

    def forward(self, image: Tensor, extra: Tensor) -> dict[str, Tensor]:
        scores = self.head(torch.cat([self.picture(image), torch.tanh(self.table(extra))], 1))
        return {"scores": scores, "label": scores.argmax(-1)}


def mlp() -> nn.Module:
    layers = [nn.Linear(12, 24), nn.GELU(), nn.LayerNorm(24), nn.Linear(24, 3)]
    return seeded(nn.Sequential(*layers), torch.zeros(1, 12))


def lstm() -> nn.Module:
    return seeded(_Recurrent(nn.LSTM, 10, both_ways=False), torch.zeros(1, 12, 4))


def gru() -> nn.Module:
    return seeded(_Recurrent(nn.GRU, 8, both_ways=True), torch.zeros(1, 12, 4))


def transformer() -> nn.Module:
    return seeded(_Encoder())


def causal_attention() -> nn.Module:
    return seeded(_Causal())


def audio() -> nn.Module:
    """One-dimensional convolutions over a spectrogram."""
    layers = [
        nn.Conv1d(20, 16, 5, 2, 2),
        nn.BatchNorm1d(16),
        nn.ReLU(),
        nn.Conv1d(16, 16, 3, padding=2, dilation=2, groups=16),
        nn.Conv1d(16, 16, 1),
        nn.ELU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.Linear(16, 8),
    ]
    return seeded(nn.Sequential(*layers), torch.zeros(1, 20, 49))


def fusion() -> nn.Module:
    return seeded(_Fusion())


mlp_example_inputs = {"input": np.zeros((1, 12), np.float32)}  # nn.Sequential calls it so
lstm_example_inputs = gru_example_inputs = {"steps": np.zeros((1, 12, 4), np.float32)}
transformer_example_inputs = causal_attention_example_inputs = {"ids": np.zeros((1, 12), np.int64)}
audio_example_inputs = {"input": np.zeros((1, 20, 49), np.float32)}
fusion_example_inputs = {"image": np.zeros((1, 1, 8, 8), np.float32), "extra": np.zeros((1, 5), np.float32)}
