"""Backbones of keras-hub in tiny configurations. keras-hub itself is installed with ``pip install --no-deps``."""

from __future__ import annotations

from typing import Any

from benchmarks.zoo.weights import seeded

#: Token ids of every text model here.
VOCABULARY = 60

_STEPS = 12


def bert() -> Any:
    return _text("BertBackbone", ("token_ids", "padding_mask", "segment_ids"), num_heads=2)


def roberta() -> Any:
    return _text("RobertaBackbone", ("token_ids", "padding_mask"), num_heads=2)


def distilbert() -> Any:
    return _text("DistilBertBackbone", ("token_ids", "padding_mask"), num_heads=2)


def gemma() -> Any:
    return _text("GemmaBackbone", ("token_ids", "padding_mask"), num_query_heads=2, num_key_value_heads=1, head_dim=8)


def _text(name: str, inputs: tuple[str, ...], **options: Any) -> Any:
    """A backbone behind inputs of a fixed number of steps, as it is deployed."""
    import keras
    import keras_hub

    if "Gemma" not in name:
        options["max_sequence_length"] = _STEPS
    backbone = getattr(keras_hub.models, name)(
        vocabulary_size=VOCABULARY, num_layers=2, hidden_dim=16, intermediate_dim=32, **options
    )
    tokens = {key: keras.Input((_STEPS,), dtype="int32", name=key) for key in inputs}
    found = backbone(tokens)
    sequence = found["sequence_output"] if isinstance(found, dict) else found
    return seeded(keras.Model(tokens, keras.layers.Dense(4, name="labels")(sequence), name=name.lower()))


def vit() -> Any:
    import keras
    import keras_hub

    backbone = keras_hub.models.ViTBackbone(
        image_shape=(32, 32, 3), patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32
    )
    image = keras.Input((32, 32, 3), name="images")
    first = backbone(image)[:, 0]  # the class token
    return seeded(keras.Model(image, keras.layers.Dense(4, name="scores")(first), name="vit"))


def whisper_encoder() -> Any:
    import keras
    import keras_hub

    backbone = keras_hub.models.WhisperBackbone(
        vocabulary_size=VOCABULARY,
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        num_mels=20,
        max_encoder_sequence_length=40,
        max_decoder_sequence_length=10,
    )
    spectrogram = keras.Input((40, 20), name="encoder_features")
    x = keras.ops.gelu(backbone.encoder_conv_layer_1(spectrogram), approximate=False)
    x = backbone.encoder_padder(x)
    x = keras.ops.gelu(backbone.encoder_conv_layer_2(x), approximate=False)
    x = backbone.encoder_position_embedding(x) + x
    for layer in backbone.encoder_transformer_layers:
        x = layer(x)
    return seeded(keras.Model(spectrogram, backbone.encoder_layer_norm(x), name="whisper_encoder"))


def hub_resnet() -> Any:
    import keras
    import keras_hub

    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 32],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
        image_shape=(32, 32, 3),
    )
    image = keras.Input((32, 32, 3), name="images")
    pooled = keras.layers.GlobalAveragePooling2D()(backbone(image))
    return seeded(keras.Model(image, keras.layers.Dense(5, activation="softmax", name="label")(pooled)))
