"""A GAN with a training step of its own, saved whole; edgekit exports its generator.

    KERAS_BACKEND=torch python gan.py
    edgekit export gan.keras --custom-objects gan.py --submodel generator

It learns to draw a bright bar in an image of 8 by 8, which takes a few seconds on a CPU.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

LATENT = 6


class GAN(keras.Model):
    """A generator of images from noise, and a discriminator that tells them from real ones."""

    def __init__(self, generator: keras.Model, discriminator: keras.Model, **options: Any) -> None:
        super().__init__(**options)
        self.generator = generator
        self.discriminator = discriminator
        self.noise = keras.random.SeedGenerator(0)

    def call(self, noise: Any) -> Any:
        """Scores ``(batch, 1)`` of images made from noise ``(batch, LATENT)``."""
        return self.discriminator(self.generator(noise))

    def compile(self, generator_optimizer: Any, discriminator_optimizer: Any) -> None:
        super().compile()
        self.generator_optimizer = generator_optimizer
        self.discriminator_optimizer = discriminator_optimizer

    def train_step(self, images: Any) -> dict[str, Any]:
        """One step of each, on the torch backend."""
        images = images[0] if isinstance(images, tuple) else images
        count = len(images)
        fake = self.generator(keras.random.normal((count, LATENT), seed=self.noise))
        real_loss = self._loss(images, 1.0) + self._loss(fake, 0.0)
        self._step(real_loss, self.discriminator, self.discriminator_optimizer)
        fake = self.generator(keras.random.normal((count, LATENT), seed=self.noise))
        fake_loss = self._loss(fake, 1.0)
        self._step(fake_loss, self.generator, self.generator_optimizer)
        return {"discriminator": real_loss, "generator": fake_loss}

    def _loss(self, images: Any, truth: float) -> Any:
        scores = self.discriminator(images)
        return ops.mean(ops.binary_crossentropy(ops.full_like(scores, truth), scores, from_logits=True))

    def _step(self, loss: Any, part: keras.Model, optimizer: Any) -> None:
        import torch

        self.zero_grad()
        loss.backward()
        weights = part.trainable_weights
        with torch.no_grad():
            optimizer.apply([weight.value.grad for weight in weights], weights)

    def get_config(self) -> dict[str, Any]:
        parts = {"generator": self.generator, "discriminator": self.discriminator}
        return {
            **super().get_config(),
            **{name: keras.saving.serialize_keras_object(part) for name, part in parts.items()},
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> GAN:
        parts = {
            name: keras.saving.deserialize_keras_object(config.pop(name), custom_objects)
            for name in ("generator", "discriminator")
        }
        return cls(**parts, **config)


def build() -> GAN:
    """An untrained GAN for images ``(batch, 8, 8, 1)``."""
    generator = keras.Sequential(
        [
            keras.Input((LATENT,), name="noise"),
            layers.Dense(4 * 4 * 8),
            layers.Reshape((4, 4, 8)),
            layers.BatchNormalization(),
            layers.LeakyReLU(0.2),
            layers.Conv2DTranspose(8, 4, strides=2, padding="same", activation="relu"),
            layers.Conv2D(1, 3, padding="same", activation="sigmoid", name="image"),
        ],
        name="generator",
    )
    discriminator = keras.Sequential(
        [
            keras.Input((8, 8, 1), name="image"),
            layers.Conv2D(8, 3, strides=2, padding="same"),
            layers.LeakyReLU(0.2),
            layers.Flatten(),
            layers.Dense(1, name="score"),
        ],
        name="discriminator",
    )
    model = GAN(generator, discriminator)
    model(np.zeros((1, LATENT), "float32"))  # now it knows its weights
    return model


def train(model: GAN, epochs: int) -> None:
    """Fit to images with one bright bar."""
    random = np.random.default_rng(0)
    images = np.zeros((256, 8, 8, 1), "float32")
    images[np.arange(256), random.integers(0, 8, 256)] = 1.0
    model.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3))
    model.fit(images, batch_size=32, epochs=epochs, verbose=0)


if __name__ == "__main__":
    keras.utils.set_random_seed(0)
    gan = build()
    train(gan, epochs=4)
    gan.save("gan.keras")
