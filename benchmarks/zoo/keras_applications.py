"""One small member of every family in ``keras.applications``, with random weights and ten classes."""

from __future__ import annotations

from typing import Any

from benchmarks.zoo.weights import seeded

_CLASSES = 10


def _application(family: str, size: int, pixels: float = 1.0, **options: Any) -> Any:
    """A member of a family for square pictures.

    Args:
        family: name of its function.
        size: height and width.
        pixels: scale of the numbers it expects: a family that rescales inside wants 0 to 255.
        options: of the function.
    """
    import keras

    build = getattr(keras.applications, family)
    return seeded(build(weights=None, input_shape=(size, size, 3), classes=_CLASSES, **options), pixels)


def convnext() -> Any:
    return _application("ConvNeXtTiny", 32, pixels=64.0)


def densenet() -> Any:
    return _application("DenseNet121", 32)


def efficientnet() -> Any:
    return _application("EfficientNetB0", 64, pixels=64.0)


def efficientnet_v2() -> Any:
    return _application("EfficientNetV2B0", 64, pixels=64.0)


def inception_resnet() -> Any:
    return _application("InceptionResNetV2", 75)


def inception() -> Any:
    return _application("InceptionV3", 75)


def mobilenet() -> Any:
    return _application("MobileNet", 32, alpha=0.25)


def mobilenet_v2() -> Any:
    return _application("MobileNetV2", 64, alpha=0.35)


def mobilenet_v3() -> Any:
    return _application("MobileNetV3Small", 64, pixels=64.0, alpha=0.75)


def nasnet() -> Any:
    return _application("NASNetMobile", 32)


def resnet() -> Any:
    return _application("ResNet50", 32)


def resnet_v2() -> Any:
    return _application("ResNet50V2", 32)


def vgg16() -> Any:
    return _vgg("VGG16")


def vgg19() -> Any:
    return _vgg("VGG19")


def xception() -> Any:
    return _application("Xception", 71)


def _vgg(family: str) -> Any:
    """The convolutions with one dense layer: the original head has most of the weights and nothing new."""
    import keras

    body = getattr(keras.applications, family)(weights=None, include_top=False, input_shape=(32, 32, 3), pooling="avg")
    scores = keras.layers.Dense(_CLASSES, name="predictions")(body.output)
    return seeded(keras.Model(body.input, scores, name=family.lower()))
