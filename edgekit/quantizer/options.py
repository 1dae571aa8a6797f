"""What the user wants of a quantization, and the recipes that follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from edgekit.errors import UsageError
from edgekit.quantizer.budget import Budget
from edgekit.quantizer.jobs import RECIPE, check_recipe
from edgekit.quantizer.presets import candidates, model_kind
from edgekit.quantizer.recipe import ModelKind, Recipe, read_recipe
from edgekit.quantizer.registry import MethodRow, method_for, needs_data
from edgekit.quantizer.trials import Subject
from edgekit.selection import Selected, select

#: Precisions whose arithmetic is in few bits, not only what is stored.
ARITHMETIC = ("int8", "int8-dynamic")

#: What is made where the user asks for nothing else.
DEFAULT_PRECISION = "int8"


@dataclass(frozen=True, slots=True)
class QuantizeOptions:
    """How to quantize.

    Attributes:
        precisions: ``int8``, ``fp16``, …
        io: ``float`` or ``int8`` inputs and outputs.
        max_drop: largest accepted loss of the metric.
        recipe: the only one to try; None searches.
        model_kind: what to choose recipes for; ``auto`` is detected.
        ignore: operators that stay float, as in ``Recipe.left_float``.
        budget: of the search and of accuracy control, per artifact.
    """

    precisions: tuple[str, ...]
    io: Literal["float", "int8"] = "float"
    max_drop: float | None = None
    recipe: Recipe | None = None
    model_kind: ModelKind = "auto"
    ignore: tuple[str, ...] = ()
    budget: Budget = field(default_factory=Budget)

    def __post_init__(self) -> None:
        kinds = get_args(ModelKind)
        if self.model_kind not in kinds:
            raise UsageError(
                "unknown-model-kind",
                f"there is no kind of model {self.model_kind!r}.",
                received=self.model_kind,
                hint=f"Choose one of: {', '.join(kinds)}.",
            )

    def applied(self, recipe: Recipe, method: MethodRow) -> Recipe:
        """A recipe with what the user asked for besides."""
        changed = replace(recipe, left_float=tuple(dict.fromkeys((*recipe.left_float, *self.ignore))))
        if self.io != "float":
            changed = replace(changed, io=self.io)
        if self.model_kind != "auto" and (self.recipe is not None or "model_kind" in method.takes):
            changed = replace(changed, model_kind=self.model_kind)
        return changed


@dataclass(frozen=True, slots=True)
class Plan:
    """One artifact to make."""

    parent: Selected
    method: MethodRow


def planned(parents: Sequence[Selected], options: QuantizeOptions) -> tuple[Plan, ...]:
    """What to make, refused before anything runs.

    Raises:
        UsageError: a target cannot have a precision, ``io`` or a setting of the recipe.
        MissingError: a package is not installed.
    """
    plans = tuple(
        Plan(parent, method_for(parent.artifact.target, precision))
        for precision in options.precisions
        for parent in parents
    )
    for plan in plans:
        check_recipe(plan.method, options.applied(options.recipe or Recipe(plan.method.precision), plan.method))
        plan.method.require()
    return plans


def recipes_for(subject: Subject, options: QuantizeOptions) -> tuple[str, tuple[Recipe, ...]]:
    """The kind of model, and the recipes to try on it, the best guess first.

    Raises:
        JobError: the artifact cannot be read.
    """
    method, given = subject.method, options.recipe
    kind = options.model_kind
    if kind == "auto" and given is not None:
        kind = given.model_kind
    if kind == "auto":
        kind = model_kind(subject.operators)
    found = (given,) if given is not None else candidates(method, kind)
    if given is None and subject.calibration is None:
        found = tuple(one for one in found if not needs_data(method, one))
    return kind, tuple(options.applied(one, method) for one in found)


def uses_data(plan: Plan, options: QuantizeOptions) -> bool:
    """Whether a plan calibrates on samples for certain: without any it is refused."""
    return needs_data(plan.method, options.recipe or Recipe(plan.method.precision))


def chooses(plan: Plan, options: QuantizeOptions) -> bool:
    """Whether a recipe is chosen among several, or may have to be changed, on samples of their own."""
    several = options.recipe is None and len(candidates(plan.method, options.model_kind)) > 1
    return several or (options.max_drop is not None and has_layers(plan.method))


def has_layers(method: MethodRow) -> bool:
    """Whether operators of its results compute on quantized values, and can be left in float one by one."""
    return "left_float" in method.takes and method.precision in ARITHMETIC


def given_recipe(given: str | Path | Recipe) -> Recipe:
    """A recipe from what a user gives: a short name, a TOML file, or an artifact of a kit that was made by one.

    Raises:
        UsageError: none of these, an artifact that no recipe made, or several artifacts.
    """
    if isinstance(given, Recipe):
        return given
    path = Path(given)
    if path.suffix == ".toml" or not path.exists():
        return read_recipe(str(given))
    made = [one for one in select(path) if RECIPE in one.artifact.settings]
    if len(made) != 1:
        held = ", ".join(one.path for one in made)
        raise UsageError(
            "several-recipes" if made else "no-recipe",
            "several artifacts fit, each with its recipe." if made else "this artifact was not made by a recipe.",
            received=held or str(given),
            hint="Give one of these files." if made else "Give a quantized artifact of a kit, a name or a .toml file.",
        )
    return Recipe.from_toml(made[0].artifact.settings[RECIPE])
