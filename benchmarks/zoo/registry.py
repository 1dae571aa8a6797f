"""The models of the coverage benchmark: what each is, and the code that builds it. Nothing is imported to list them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class ZooModel:
    """One model.

    Attributes:
        name: unique, such as ``keras-lstm``.
        family: what is left out together when an order of routes is learned on the others.
        framework: ``keras``, ``torch`` or ``jax``.
        file: of this folder.
        factory: function in it, without arguments.
        needs: modules besides the framework.
        own_code: whether its classes are in no file, so that only code can load it.
        ids: number of different values of integer inputs.
        pixels: scale of floating-point inputs.
        sizes: lengths of free dimensions to run.
        built_on: the Keras backend that its factory needs; None for any.
    """

    name: str
    family: str
    framework: str
    file: str
    factory: str
    needs: tuple[str, ...] = ()
    own_code: bool = False
    ids: int = 30
    pixels: float = 1.0
    sizes: tuple[int, ...] = ()
    built_on: str | None = None

    @property
    def path(self) -> Path:
        """The file of the factory."""
        return FOLDER / self.file

    @property
    def reference(self) -> str:
        """How a user names it: ``path/to/file.py:factory``."""
        return f"{self.path}:{self.factory}"


def _family(framework: str, file: str, family: str, names: str, **options: object) -> list[ZooModel]:
    """Models of one file and family; each name is that of its factory."""
    prefix = {"flax_.py": "flax"}.get(file, framework)
    return [
        ZooModel(f"{prefix}-{name.replace('_', '-')}", family, framework, file, name, **options)  # type: ignore[arg-type] # the fields above
        for name in names.split()
    ]


_APPLICATIONS = "keras_applications.py"
_BYTES = {"pixels": 64.0}

MODELS: tuple[ZooModel, ...] = (
    *_family("keras", _APPLICATIONS, "convnext", "convnext", **_BYTES),
    *_family("keras", _APPLICATIONS, "densenet", "densenet"),
    *_family("keras", _APPLICATIONS, "efficientnet", "efficientnet efficientnet_v2", **_BYTES),
    *_family("keras", _APPLICATIONS, "inception", "inception inception_resnet xception"),
    *_family("keras", _APPLICATIONS, "mobilenet", "mobilenet mobilenet_v2"),
    *_family("keras", _APPLICATIONS, "mobilenet", "mobilenet_v3", **_BYTES),
    *_family("keras", _APPLICATIONS, "nasnet", "nasnet", built_on="jax"),
    *_family("keras", _APPLICATIONS, "resnet", "resnet resnet_v2"),
    *_family("keras", _APPLICATIONS, "vgg", "vgg16 vgg19"),
    *_family("keras", "keras_hub_.py", "hub text", "bert roberta distilbert gemma", needs=("keras_hub",), ids=60),
    *_family("keras", "keras_hub_.py", "hub vision", "vit hub_resnet", needs=("keras_hub",)),
    *_family("keras", "keras_hub_.py", "hub audio", "whisper_encoder", needs=("keras_hub",)),
    *_family("keras", "keras_vision.py", "classifier", "cnn squeeze_excite volume"),
    *_family("keras", "keras_vision.py", "detection", "detector"),
    *_family("keras", "keras_vision.py", "segmentation", "unet dilated_segmentation"),
    *_family("keras", "keras_vision.py", "generative", "generator autoencoder"),
    *_family("keras", "keras_vision.py", "preprocessing", "preprocessing", **_BYTES),
    *_family("keras", "keras_vision.py", "free size", "free_size", sizes=(32, 45)),
    *_family("keras", "keras_vision.py", "mixed precision", "mixed_precision"),
    *_family("keras", "keras_sequence.py", "recurrent", "lstm gru bidirectional simple_rnn conv_lstm"),
    *_family("keras", "keras_sequence.py", "text", "text_attention text_cnn"),
    *_family("keras", "keras_sequence.py", "audio", "keyword_spotting waveform"),
    *_family("keras", "keras_structured.py", "tabular", "mlp wide_and_deep classes"),
    *_family("keras", "keras_structured.py", "tabular", "tabular", ids=12),
    *_family("keras", "keras_structured.py", "shared layers", "shared_layers"),
    *_family("keras", "keras_custom.py", "own code", "custom_layer subclassed", own_code=True),
    *_family("torch", "torch_vision.py", "classifier", "cnn resnet depthwise"),
    *_family("torch", "torch_vision.py", "segmentation", "unet"),
    *_family("torch", "torch_vision.py", "detection", "detector"),
    *_family("torch", "torch_vision.py", "generative", "generator upscaler"),
    *_family("torch", "torch_sequence.py", "tabular", "mlp fusion"),
    *_family("torch", "torch_sequence.py", "recurrent", "lstm gru"),
    *_family("torch", "torch_sequence.py", "text", "transformer causal_attention"),
    *_family("torch", "torch_sequence.py", "audio", "audio"),
    *_family("jax", "jax_functions.py", "tabular", "mlp outputs"),
    *_family("jax", "jax_functions.py", "classifier", "resnet depthwise"),
    *_family("jax", "jax_functions.py", "recurrent", "recurrent"),
    *_family("jax", "jax_functions.py", "text", "transformer"),
    *_family("jax", "flax_.py", "classifier", "cnn", needs=("flax",)),
    *_family("jax", "flax_.py", "tabular", "mlp", needs=("flax",)),
    *_family("jax", "flax_.py", "text", "transformer", needs=("flax",)),
    *_family("jax", "flax_.py", "generative", "generator", needs=("flax",)),
    *_family("jax", "flax_.py", "recurrent", "lstm", needs=("flax",)),
)


def model(name: str) -> ZooModel:
    """The model of a name.

    Raises:
        KeyError: there is none.
    """
    return {each.name: each for each in MODELS}[name]
