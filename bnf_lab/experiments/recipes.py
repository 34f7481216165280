"""What an experiment is: a recipe, its cells, and the claims that it puts to the test. No torch, no runs.

A recipe is a short YAML text: settings that all cells share, and arms, each a grid over settings. Its cells are every
combination of data, arm and seed.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from bnf_lab.core.config import RunConfig, override
from bnf_lab.core.errors import LabError, NotFound, shown
from bnf_lab.core.numbers import counted
from bnf_lab.core.paths import ASSETS, without_folders
from bnf_lab.experiments.measures import MEASURES
from bnf_lab.experiments.yaml_files import plain_settings, read_yaml

FOLDER = ASSETS / "recipes"
MAX_CELLS = 10_000
_KEYS = {"title", "question", "data", "seeds", "settings", "arms", "compare", "along", "claims", "notes", "prepare"}
PREPARED = "prepared:"
_CLAIM_KEYS = {"text", "where", "measure", "at_least", "at_most", "above", "margin"}


@dataclass(frozen=True)
class Claim:
    """One sentence that the numbers bear out or do not.

    Attributes:
        text: What is claimed.
        where: Settings (or `data`) that the cells must have; all others are averaged over, except `data`, which is
            judged one set at a time.
        measure: Name of the measure.
        at_least: The mean must be no less.
        at_most: The mean must be no more.
        above: Settings of other cells; the mean must be above theirs by `margin` at least.
        margin: See `above`.
    """

    text: str
    where: Mapping[str, Any]
    measure: str
    at_least: float | None = None
    at_most: float | None = None
    above: Mapping[str, Any] | None = None
    margin: float = 0.0


@dataclass(frozen=True)
class Cell:
    """One run of an experiment: its data, what is particular to its arm, and its seed.

    `prepared` is the run that must be finished before, because its adapter is this one's reference.
    """

    data: str
    arm: Mapping[str, Any]
    config: RunConfig
    prepared: Cell | None = None

    @property
    def seed(self) -> int:
        return self.config.seed

    def has(self, settings: Mapping[str, Any]) -> bool:
        """Returns whether the cell's arm (or `data`) has these settings."""
        found = {"data": self.data, **self.arm}
        return all(found.get(name) == value for name, value in settings.items())

    def setting(self, name: str) -> Any:
        """Returns a setting's value (or `data`): the arm's, else what the recipe or the lab leaves it at."""
        if name == "data":
            return self.data
        return self.arm[name] if name in self.arm else getattr(self.config, name)

    @cached_property
    def name(self) -> str:
        """A folder name: readable, and different for everything that differs."""
        values = self.config.to_dict()
        if not self.config.passes:
            del values["passes"]  # as before there were any: cells that are done keep their folders
        parts = [self.data, values, *([self.prepared.name] if self.prepared else [])]
        settings = json.dumps(parts, sort_keys=True)
        words = [
            Path(self.data.removeprefix("demo:")).stem,
            *(f"{v:g}" if isinstance(v, float) else str(without_folders(v)) for v in self.arm.values()),
            f"s{self.seed}",
        ]
        plain = "".join(c if (c.isascii() and c.isalnum()) or c in ".-" else "_" for c in "-".join(words))
        return f"{plain[:80]}-{hashlib.sha256(settings.encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class Recipe:
    """An experiment.

    Attributes:
        name: Its file's name.
        title: A few words.
        question: What it asks.
        data: Files or `demo:NAME`.
        seeds: How many, from 0 on.
        settings: `RunConfig` values of all cells.
        arms: Grids: `RunConfig` field to the values it takes.
        compare: The field whose values are compared.
        along: The field along which they are drawn.
        claims: What is put to the test.
        notes: What a reader must know, one sentence each.
        prepare: Name -> settings of a run that is made first, to be a `reference` as `prepared:NAME`.
    """

    name: str
    title: str
    question: str
    data: tuple[str, ...]
    arms: tuple[Mapping[str, tuple[Any, ...]], ...]
    compare: str
    along: str
    seeds: int = 3
    settings: Mapping[str, Any] = field(default_factory=dict)
    claims: tuple[Claim, ...] = ()
    notes: tuple[str, ...] = ()
    prepare: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def varied(self) -> list[str]:
        """Every field that an arm sets, once, in the recipe's order."""
        return list(dict.fromkeys(name for arm in self.arms for name in arm))

    def cells(self) -> list[Cell]:
        """Resolves every cell once, one seed after the other, so that an early end still covers the grid.

        This is work: call it once and hand the cells on.

        Raises:
            ConfigError: If a setting is not known or out of its range.
        """
        found: dict[str, Cell] = {}
        for seed, data, arm in itertools.product(range(self.seeds), self.data, self._arms()):
            config = RunConfig.from_dict(override(self.settings, {**arm, "seed": seed}))
            cell = Cell(data, arm, config, self._prepared(data, config))
            found.setdefault(cell.name, cell)
        return list(found.values())

    def _prepared(self, data: str, config: RunConfig) -> Cell | None:
        if not config.reference.startswith(PREPARED):
            return None
        name = config.reference.removeprefix(PREPARED)
        if name not in self.prepare:
            raise LabError(f"recipe {self.name}: the reference {shown(config.reference)} is not among its `prepare`.")
        own = {"reference": "base", **self.prepare[name], "seed": config.seed}
        settings = override(self.settings, own)
        if str(settings["reference"]).startswith(PREPARED):
            raise LabError(f"recipe {self.name}: the prepared run {shown(name)} has a prepared reference itself.")
        return Cell(data, {"prepared": name}, RunConfig.from_dict(settings))

    def _arms(self) -> Iterator[dict[str, Any]]:
        for grid in self.arms:
            for values in itertools.product(*grid.values()):
                yield dict(zip(grid, values, strict=True))


def list_recipes() -> list[str]:
    """Returns the names of the recipes that come with the lab."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_recipe(name: str) -> Recipe:
    """Loads a recipe of the lab by its name, or a person's own by its file.

    Raises:
        NotFound: If there is none.
        LabError: If the file is no recipe, with what is wrong.
    """
    is_own = name.endswith((".yaml", ".yml"))
    path = Path(name) if is_own else FOLDER / f"{name}.yaml"
    if not path.is_file() or not (is_own or name in list_recipes()):
        raise NotFound(
            f"There is no recipe {shown(name)}. There are: {', '.join(list_recipes())}. Or give your own YAML file."
        )
    where = f"recipe {path.name}"
    return _build(path.stem, read_yaml(path, where, "See assets/recipes for examples."), where)


def _build(name: str, values: Any, where: str) -> Recipe:
    if not isinstance(values, dict) or not {"data", "arms", "compare", "along"} <= values.keys() <= _KEYS:
        given = sorted(map(str, values)) if isinstance(values, dict) else shown(values, 40)
        raise LabError(
            f"{where}: it has {given}. A recipe needs data, arms, compare and along, and may have"
            f" {', '.join(sorted(_KEYS - {'data', 'arms', 'compare', 'along'}))}."
        )
    for key, kind in (("settings", dict), ("claims", list), ("notes", list)):
        if not isinstance(values.get(key) or kind(), kind):
            wanted = "names with values" if kind is dict else "a list"
            raise LabError(f"{where}: {key} is {shown(values[key], 40)}. Give {wanted}.")
    arms = tuple(_read_arm(arm, where) for arm in _as_list(values["arms"]))
    recipe = Recipe(
        name,
        str(values.get("title", name)),
        str(values.get("question", "")),
        tuple(map(str, _as_list(values["data"]))),
        arms,
        str(values["compare"]),
        str(values["along"]),
        _read_seeds(values.get("seeds", 3), where),
        plain_settings(values.get("settings") or {}),
        tuple(_read_claim(claim, where) for claim in values.get("claims") or ()),
        tuple(map(str, values.get("notes") or ())),
        _read_prepared(values.get("prepare") or {}, where),
    )
    for axis in (recipe.compare, recipe.along):
        if axis not in (*recipe.varied, "data"):
            raise LabError(f"{where}: it compares or draws along {shown(axis)}, which no arm varies.")
    n_cells = len(recipe.data) * recipe.seeds * sum(_size(arm) for arm in arms)
    if not 0 < n_cells <= MAX_CELLS:
        raise LabError(f"{where}: it has {counted(n_cells, 'cell')}; from 1 to {MAX_CELLS:,} are accepted.")
    _check_claims(recipe, where)
    return recipe


def _check_claims(recipe: Recipe, where: str) -> None:
    """Refuses claims on cells or measures that are not there, and settings that are not known or out of range."""
    cells = recipe.cells()
    for claim in recipe.claims:
        if claim.measure not in MEASURES:
            raise LabError(f"{where}: a claim is about {shown(claim.measure)}. Measures are: {', '.join(MEASURES)}.")
        for side in filter(None, (claim.where, claim.above)):
            if not any(cell.has(side) for cell in cells):
                raise LabError(f"{where}: the claim {shown(claim.text, 60)} is on {shown(dict(side))}: no cell is so.")


def _size(arm: Mapping[str, Sequence[Any]]) -> int:
    size = 1
    for values in arm.values():
        size *= len(values)
    return size


def _read_arm(arm: Any, where: str) -> dict[str, tuple[Any, ...]]:
    if not isinstance(arm, dict) or not arm:
        raise LabError(f"{where}: an arm is {shown(arm, 40)}. Give settings with one value or a list of values.")
    if "seed" in arm:
        raise LabError(f"{where}: an arm sets the seed. Give `seeds`, the number of seeds, instead.")
    return {name: tuple(_as_list(values)) for name, values in plain_settings(arm).items()}


def _read_prepared(value: Any, where: str) -> dict[str, dict[str, Any]]:
    if not isinstance(value, dict) or not all(isinstance(settings, dict) for settings in value.values()):
        raise LabError(f"{where}: prepare is {shown(value, 40)}. Give a name and below it the settings of a run.")
    return {str(name): plain_settings(settings) for name, settings in value.items()}


def _read_seeds(value: Any, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 100:
        raise LabError(f"{where}: seeds is {shown(value, 40)}. Give a whole number from 1 to 100.")
    return value


def _read_claim(claim: Any, where: str) -> Claim:
    if not isinstance(claim, dict) or not {"text", "where", "measure"} <= claim.keys() <= _CLAIM_KEYS:
        raise LabError(
            f"{where}: a claim is {shown(claim, 60)}. It needs text, where and measure, and one of at_least, at_most"
            " and above."
        )
    if sum(claim.get(bound) is not None for bound in ("at_least", "at_most", "above")) != 1:
        raise LabError(f"{where}: the claim {shown(claim['text'], 60)} needs one of at_least, at_most and above.")
    are_settings = all(isinstance(claim.get(part) or {}, dict) for part in ("where", "above"))
    if not isinstance(claim["measure"], str) or not are_settings:
        raise LabError(f"{where}: the claim {shown(claim['text'], 60)} needs a measure's name and settings as `where`.")
    try:
        for part in ("where", "above"):
            claim = {**claim, part: claim.get(part) and plain_settings(claim[part])}
        numbers = {k: float(claim[k]) for k in ("at_least", "at_most", "margin") if claim.get(k) is not None}
    except (AttributeError, TypeError, ValueError) as error:
        raise LabError(
            f"{where}: the claim {shown(claim['text'], 60)} needs settings as where and above, and numbers as at_least,"
            " at_most and margin."
        ) from error
    return Claim(**{**claim, **numbers, "where": claim["where"] or {}})


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
