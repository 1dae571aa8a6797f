"""Keras models that see: classification, detection, segmentation, generation, sizes and precisions."""

from __future__ import annotations

from typing import Any

from benchmarks.zoo.weights import seeded


def cnn() -> Any:
    """A classifier of digits, as in every tutorial."""
    import keras
    from keras import layers

    return seeded(
        keras.Sequential(
            [
                keras.Input((28, 28, 1), name="image"),
                layers.Conv2D(8, 3, activation="relu"),
                layers.MaxPooling2D(),
                layers.Conv2D(16, 3, activation="relu"),
                layers.MaxPooling2D(),
                layers.Flatten(),
                layers.Dropout(0.5),
                layers.Dense(10, activation="softmax", name="digit"),
            ]
        )
    )


def detector() -> Any:
    """Boxes and class scores on two scales of a feature pyramid, as a dictionary."""
    import keras
    from keras import layers

    image = keras.Input((64, 64, 3), name="image")
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(image)
    fine = layers.Conv2D(16, 3, strides=4, padding="same", activation="relu")(x)
    coarse = layers.Conv2D(16, 3, strides=2, padding="same", activation="relu")(fine)
    fine = layers.add([fine, layers.UpSampling2D(2, interpolation="nearest")(coarse)])
    boxes, scores = [], []
    for level in (fine, coarse):
        boxes.append(layers.Reshape((-1, 4))(layers.Conv2D(4 * 3, 3, padding="same")(level)))
        scores.append(layers.Reshape((-1, 5))(layers.Conv2D(5 * 3, 3, padding="same", activation="sigmoid")(level)))
    outputs = {"boxes": layers.concatenate(boxes, axis=1), "scores": layers.concatenate(scores, axis=1)}
    return seeded(keras.Model({"image": image}, outputs, name="detector"))


def unet() -> Any:
    """Segmentation: transposed convolutions and skip connections."""
    import keras
    from keras import layers

    image = keras.Input((32, 32, 3), name="image")
    skips, x = [], image
    for width in (8, 16):
        x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(width, 3, padding="same")(x)))
        skips.append(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(24, 3, padding="same", activation="relu")(x)
    for width, skip in ((16, skips[1]), (8, skips[0])):
        x = layers.concatenate([layers.Conv2DTranspose(width, 2, strides=2, padding="same")(x), skip])
        x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(width, 3, padding="same")(x)))
    return seeded(keras.Model(image, layers.Conv2D(4, 1, activation="softmax", name="mask")(x), name="unet"))


def dilated_segmentation() -> Any:
    """Segmentation with dilated convolutions, pooled context and bilinear resizing, as in DeepLab."""
    import keras
    from keras import layers

    image = keras.Input((48, 48, 3), name="image")
    x = layers.Conv2D(8, 3, strides=4, padding="same", activation="relu")(image)
    context = layers.GlobalAveragePooling2D(keepdims=True)(x)
    context = layers.UpSampling2D(12, interpolation="bilinear")(layers.Conv2D(8, 1, activation="relu")(context))
    rates = [layers.Conv2D(8, 3, padding="same", dilation_rate=rate, activation="relu")(x) for rate in (1, 2, 4)]
    x = layers.Conv2D(3, 1)(layers.concatenate([*rates, context]))
    return seeded(keras.Model(image, layers.UpSampling2D(4, interpolation="bilinear", name="mask")(x)))


def generator() -> Any:
    """The generator of a GAN: noise to a picture."""
    import keras
    from keras import layers

    noise = keras.Input((16,), name="noise")
    x = layers.Reshape((4, 4, 16))(layers.Dense(4 * 4 * 16, use_bias=False)(noise))
    for width in (16, 8):
        x = layers.Conv2DTranspose(width, 4, strides=2, padding="same", use_bias=False)(x)
        x = layers.LeakyReLU(0.2)(layers.BatchNormalization()(x))
    x = layers.Conv2DTranspose(3, 4, strides=2, padding="same", activation="tanh", name="picture")(x)
    return seeded(keras.Model(noise, x, name="generator"))


def autoencoder() -> Any:
    """Two models in one: an encoder and a decoder, each a layer of the whole."""
    import keras
    from keras import layers

    encoder = keras.Sequential(
        [
            keras.Input((16, 16, 1)),
            layers.Conv2D(8, 3, strides=2, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(6),
        ],
        name="encoder",
    )
    decoder = keras.Sequential(
        [
            keras.Input((6,)),
            layers.Dense(8 * 8 * 4, activation="relu"),
            layers.Reshape((8, 8, 4)),
            layers.Conv2DTranspose(1, 3, strides=2, padding="same", activation="sigmoid"),
        ],
        name="decoder",
    )
    image = keras.Input((16, 16, 1), name="image")
    return seeded(keras.Model(image, decoder(encoder(image)), name="autoencoder"))


def preprocessing() -> Any:
    """A picture as the camera gives it: resized, cropped and scaled inside."""
    import keras
    from keras import layers

    image = keras.Input((60, 80, 3), name="image")
    x = layers.Resizing(40, 40)(image)
    x = layers.CenterCrop(32, 32)(x)
    x = layers.Rescaling(1 / 64.0)(x)
    x = layers.Conv2D(8, 5, strides=2, activation="relu")(x)
    return seeded(keras.Model(image, layers.Dense(4, name="scores")(layers.Flatten()(x)), name="preprocessing"))


def free_size() -> Any:
    """Any height and width; strided ``same`` convolutions pad differently for odd and even sizes."""
    import keras
    from keras import layers

    image = keras.Input((None, None, 3), name="image")
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="relu")(image)
    x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
    x = layers.SeparableConv2D(12, 3, padding="same", activation="relu")(x)
    return seeded(keras.Model(image, layers.Dense(4, name="scores")(layers.GlobalAveragePooling2D()(x))))


def mixed_precision() -> Any:
    """Computes in float16 with float32 weights, scores in float32."""
    import keras
    from keras import layers

    policy = keras.DTypePolicy("mixed_float16")
    image = keras.Input((16, 16, 3), name="image")
    x = layers.Conv2D(8, 3, activation="relu", dtype=policy)(image)
    x = layers.GlobalAveragePooling2D(dtype=policy)(layers.Conv2D(16, 3, activation="relu", dtype=policy)(x))
    return seeded(keras.Model(image, layers.Dense(5, dtype="float32", name="scores")(x), name="mixed_precision"))


def volume() -> Any:
    """Three-dimensional convolution over a scan."""
    import keras
    from keras import layers

    scan = keras.Input((12, 12, 12, 1), name="scan")
    x = layers.MaxPooling3D()(layers.Conv3D(4, 3, activation="relu")(scan))
    return seeded(keras.Model(scan, layers.Dense(3, name="finding")(layers.Flatten()(x)), name="volume"))


def squeeze_excite() -> Any:
    """Channel attention, hard activations and group normalisation."""
    import keras
    from keras import layers

    image = keras.Input((24, 24, 3), name="image")
    x = layers.GroupNormalization(4)(layers.Conv2D(16, 3, padding="same")(image))
    x = layers.Activation("hard_swish")(x)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(16, 1, activation="hard_sigmoid")(layers.Conv2D(4, 1, activation="relu")(gate))
    x = layers.DepthwiseConv2D(5, strides=2, padding="same")(layers.multiply([x, gate]))
    x = layers.PReLU(shared_axes=[1, 2])(x)
    return seeded(keras.Model(image, layers.Dense(5, name="scores")(layers.GlobalMaxPooling2D()(x))))
