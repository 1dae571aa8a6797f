"""How an artifact is quantized: every setting in one frozen value, with a short name and a TOML form."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from edgekit.errors import UsageError

Preset = Literal["mixed", "performance"]
Ranges = Literal["minmax", "histogram", "percentile", "average"]
BiasCorrection = Literal["off", "fast", "full"]
ModelKind = Literal["auto", "convolutional", "transformer", "recurrent", "other"]
TargetDevice = Literal["any", "cpu", "gpu", "npu"]
Algorithm = Literal["plain", "awq", "scale", "awq-scale", "gptq", "octav"]


#: In ``Recipe.left_float``: the operators that compute the model's outputs, each back to the last product.
OUTPUTS = "role:output"


@dataclass(frozen=True)
class Recipe:
    """Settings of one quantization. What a method does not have, it refuses; it never ignores it.

    Attributes:
        precision: ``int8``, ``int8-dynamic``, ``int8-weights``, ``int4-weights``, ``fp16`` or ``bf16``.
        io: ``float`` keeps inputs and outputs, ``int8`` quantizes them too.
        model_kind: decides the preset and NNCF's model type; ``auto`` is detected from the graph.
        target_device: whose arithmetic the quantizers are placed for. NNCF places the same for ``any``, ``gpu`` and
            ``npu``. ``cpu`` means any of them, those without 8-bit dot products too (VNNI, or ARM's): it keeps the
            first layer's weights in 7 bits, because such a CPU adds pairs of products in 16 bits, where they overflow.
            ``any`` does not, whatever this machine can do: the artifact is for others, and the same command makes the
            same file everywhere. TFLite takes ``npu`` for an engine without float arithmetic; the others are the same.
        preset: ``performance`` takes symmetric activations everywhere, ``mixed`` asymmetric ones where they may be
            negative and need it.
        ranges: how ranges of activations are found: the true minimum and maximum, a histogram or percentile that
            clips rare values, or the average over samples that libraries take by default.
        bias_correction: shift biases by the mean error that quantized weights cause: ``fast`` by the layer's
            statistics, ``full`` by running the model layer by layer.
        smooth_quant: strength (alpha) of moving the scale of activations into weights; None is off.
        per_channel: whether each output channel of a weight has its own scale.
        activation_channels: whether depthwise convolutions take one range per channel of their input.
        symmetric: whether weights of a weight-only precision have no zero point.
        group_size: weights that share one scale in a weight-only precision; -1 is the whole channel; None is the
            method's default.
        ratio: share of the weights that int4 takes, the most robust first; the rest is int8.
        algorithm: how weights of a weight-only precision are rounded.
        left_float: operators that stay float: a name of an operator or of a source layer, ``type:Softmax``, a
            pattern with ``*``, or ``role:output`` for those that compute the model's outputs.
        samples: most calibration samples.
        seed: of their choice.
    """

    precision: str = "int8"
    io: Literal["float", "int8"] = "float"
    model_kind: ModelKind = "auto"
    target_device: TargetDevice = "any"
    preset: Preset = "mixed"
    ranges: Ranges = "minmax"
    bias_correction: BiasCorrection = "off"
    smooth_quant: float | None = None
    per_channel: bool = True
    activation_channels: bool = False
    symmetric: bool = True
    group_size: int | None = None
    ratio: float = 1.0
    algorithm: Algorithm = "plain"
    left_float: tuple[str, ...] = ()
    samples: int = 300
    seed: int = 0

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for one in fields(self):
            choices = get_args(hints[one.name])
            value = getattr(self, one.name)
            if choices and isinstance(choices[0], str) and value not in choices:
                raise _bad(one.name, value, f"Choose one of: {', '.join(choices)}.")
        if not 0 < self.ratio <= 1:
            raise _bad("ratio", self.ratio, "It is a share above 0, at most 1.")
        if self.smooth_quant is not None and not 0 <= self.smooth_quant <= 1:
            raise _bad("smooth_quant", self.smooth_quant, "It is between 0 and 1.")
        if self.samples < 1:
            raise _bad("samples", self.samples, "At least one sample is needed.")
        if self.group_size is not None and self.group_size != -1 and self.group_size < 1:
            raise _bad("group_size", self.group_size, "It is at least 1, or -1 for the whole channel.")

    @property
    def name(self) -> str:
        """The precision and, in a fixed order, every setting that is not the default: ``int8_histogram_n64``."""
        return "_".join([self.precision, *(word for write in _WRITE if (word := write(self)))])

    @classmethod
    def parse(cls, name: str) -> Recipe:
        """The inverse of `name`.

        Raises:
            UsageError: an unknown word, or a name that only counts the operators that stay float.
        """
        precision, *words = name.strip().split("_")
        settings: dict[str, Any] = {}
        for word in words:
            settings |= _read(word, name)
        if precision not in PRECISIONS:
            raise _bad("precision", precision, f"Choose one of: {', '.join(PRECISIONS)}.")
        return cls(precision, **settings)

    def to_toml(self) -> str:
        """Every setting, one per line; a setting that is None is left out."""
        lines = [f"{key} = {_toml(value)}" for key, value in asdict(self).items() if value is not None]
        return "\n".join([f"# {self.name}", *lines, ""])

    @classmethod
    def from_toml(cls, text: str) -> Recipe:
        """A recipe from TOML; what is missing has its default.

        Raises:
            UsageError: no TOML, an unknown setting, or a value that does not fit.
        """
        try:
            settings = tomllib.loads(text)
        except tomllib.TOMLDecodeError as err:
            raise UsageError("bad-recipe", f"the recipe is no TOML: {err}.", hint="See docs/quantization.md.") from err
        known = {one.name: one for one in fields(cls)}
        hints = get_type_hints(cls)
        for key, value in settings.items():
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                raise _bad(key, value, f"Did you mean {near[0]}?" if near else f"Settings: {', '.join(known)}.")
            if not _fits(value, known[key].default, hints[key]):
                raise _bad(key, value, f"It should be like {_toml(known[key].default)}.")
        if "left_float" in settings:
            settings["left_float"] = tuple(settings["left_float"])
        return cls(**settings)


#: What a recipe may start with.
PRECISIONS = ("int8", "int8-dynamic", "int8-weights", "int4-weights", "fp16", "bf16")


def read_recipe(given: str) -> Recipe:
    """A recipe from what a user gives: a short name, or a TOML file.

    Raises:
        UsageError: neither.
    """
    path = Path(given)
    if path.suffix == ".toml" or path.is_file():
        if not path.is_file():
            raise UsageError("no-recipe", "there is no such recipe.", received=given, hint="Give a .toml file.")
        return Recipe.from_toml(path.read_text())
    return Recipe.parse(given)


def _word(attribute: str, **words: Any) -> Callable[[Recipe], str]:
    """Writes the word of a value; a value without a word is the default."""

    def write(recipe: Recipe) -> str:
        value = getattr(recipe, attribute)
        return next((word for word, meant in words.items() if meant == value), "")

    _WORDS.update({word: {attribute: value} for word, value in words.items()})
    return write


def _number(attribute: str, prefix: str, default: Any, scale: float = 1) -> Callable[[Recipe], str]:
    """Writes a number behind its prefix, as a whole number: a share is written in percent."""

    def write(recipe: Recipe) -> str:
        value = getattr(recipe, attribute)
        return "" if value == default else f"{prefix}{value * scale:g}"

    _NUMBERS[prefix] = (attribute, scale)
    return write


_WORDS: dict[str, dict[str, Any]] = {}
_NUMBERS: dict[str, tuple[str, float]] = {}

#: In the order of the name.
_WRITE: tuple[Callable[[Recipe], str], ...] = (
    _word("io", io8="int8"),
    _word("model_kind", conv="convolutional", transformer="transformer", recurrent="recurrent", other="other"),
    _word("target_device", cpu="cpu", gpu="gpu", npu="npu"),
    _word("preset", performance="performance"),
    _word("ranges", histogram="histogram", percentile="percentile", average="average"),
    _word("bias_correction", biasfast="fast", biasfull="full"),
    _number("smooth_quant", "smooth", None, 100),
    _word("per_channel", pertensor=False),
    _word("activation_channels", actchannels=True),
    _word("symmetric", asym=False),
    _number("group_size", "g", None),
    _number("ratio", "r", 1.0, 100),
    _word("algorithm", awq="awq", scale="scale", awqscale="awq-scale", gptq="gptq", octav="octav"),
    _number("samples", "n", 300),
    _number("seed", "seed", 0),
    _word("left_float", floatoutputs=(OUTPUTS,)),
    lambda recipe: f"float{len(recipe.left_float)}" if recipe.left_float not in ((), (OUTPUTS,)) else "",
)


def _read(word: str, name: str) -> dict[str, Any]:
    if word in _WORDS:
        return _WORDS[word]
    letters = word.rstrip("-0123456789.")
    number = word[len(letters) :]
    if letters == "float" and number:
        raise UsageError(
            "incomplete-recipe",
            f"the name tells that {number} operators stay float, but not which.",
            received=name,
            hint="Give the recipe as a .toml file, or the artifact that it made.",
        )
    try:
        attribute, scale = _NUMBERS[letters]
        value = float(number) / scale
    except (KeyError, ValueError) as err:
        known = [*_WORDS, *(f"{prefix}N" for prefix in _NUMBERS)]
        raise _bad("word", word, f"Words of a recipe: {', '.join(known)}.") from err
    return {attribute: value if scale != 1 else int(value)}


def _toml(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_string, value))}]"
    return "unset" if value is None else _string(value)


def _string(value: Any) -> str:
    """JSON's form, which TOML shares but for pairs of surrogates and the character DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _fits(value: Any, default: Any, hint: Any) -> bool:
    """Whether a TOML value has the type of a setting."""
    if isinstance(default, bool):
        return isinstance(value, bool)
    if isinstance(default, str):
        return isinstance(value, str)
    if isinstance(default, tuple):
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if isinstance(value, bool):
        return False
    return isinstance(value, int) or (isinstance(value, float) and float in (hint, *get_args(hint)))


def _bad(setting: str, value: Any, hint: str) -> UsageError:
    return UsageError("bad-recipe", f"the recipe's {setting} does not fit.", received=repr(value), hint=hint)
