"""Recipes: what the lab brings can run, what cannot run is refused in words, and every cell has a name of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from bnf_lab.core.config import RunConfig
from bnf_lab.core.errors import ConfigError, LabError, NotFound
from bnf_lab.data.demo_sets import find_demo_set, list_demo_sets
from bnf_lab.data.importers import import_file
from bnf_lab.data.splits import build_split
from bnf_lab.experiments.measures import MEASURES
from bnf_lab.experiments.recipes import MAX_CELLS, Cell, Recipe, list_recipes, load_recipe
from bnf_lab.experiments.yaml_files import FILE_BYTES
from bnf_lab.training.preflight import data_problems

PLAIN: dict[str, Any] = {
    "data": ["demo:short_answers"],
    "seeds": 2,
    "settings": {"n_steps": 2},
    "arms": [{"method": ["bnf", "dpo"], "learning_rate": ["1e-4", 0.001]}],
    "compare": "method",
    "along": "learning_rate",
}
CLAIM: dict[str, Any] = {"text": "It works", "where": {"method": "bnf"}, "measure": "accuracy"}

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a recipe with changes; None leaves a key out."""

    def write_recipe(**changes: Any) -> Path:
        values = {k: v for k, v in (PLAIN | changes).items() if v is not None}
        path = tmp_path / "own.yaml"
        path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
        return path

    return write_recipe


def load(path: Path) -> Recipe:
    return load_recipe(str(path))


# -- the lab's own


def test_the_recipes_of_the_experiments_are_there() -> None:
    assert {"stability", "pairs", "shifts", "noise", "reference", "domains", "hybrid"} <= set(list_recipes())


@pytest.mark.parametrize("name", list_recipes())
def test_a_recipe_of_the_lab_claims_what_can_be_measured(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.title
    assert recipe.question.endswith("?")
    assert {claim.measure for claim in recipe.claims} <= MEASURES.keys()
    arms = [{"data": cell.data, **cell.arm} for cell in recipe.cells()]
    for claim in recipe.claims:
        for where in filter(None, (claim.where, claim.above)):
            found = [arm for arm in arms if all(arm.get(k) == v for k, v in where.items())]
            assert found, f"no cell is what the claim {claim.text!r} is about: {where}"


@pytest.mark.parametrize("name", list_recipes())
def test_cells_are_unique_and_begin_with_all_of_the_first_seed(name: str) -> None:
    recipe = load_recipe(name)
    cells = recipe.cells()
    assert len({cell.name for cell in cells}) == len(cells)
    assert len({(cell.data, str(cell.config.to_dict())) for cell in cells}) == len(cells)
    seeds = [cell.seed for cell in cells]
    assert seeds == sorted(seeds)
    assert set(seeds) == set(range(recipe.seeds))
    assert len(cells) % recipe.seeds == 0


@pytest.mark.parametrize("name", list_recipes())
def test_a_recipe_of_the_lab_runs_on_its_own_data(name: str) -> None:
    recipe = load_recipe(name)
    data = {f"demo:{demo.name}": find_demo_set(demo.name) for demo in list_demo_sets()}
    judgements = {source: import_file(data[source]).judgements for source in recipe.data}
    for cell in recipe.cells():
        if cell.seed == 0:
            for config in filter(None, (cell.config, cell.prepared and cell.prepared.config)):
                assert data_problems(build_split(judgements[cell.data], config), config) == ()


# -- reading


def test_a_plain_recipe_is_read_as_it_stands(write: Write) -> None:
    recipe = load(write(claims=[{**CLAIM, "at_least": "9e-1"}], notes=["Short."], title="Own"))
    assert (recipe.name, recipe.title, recipe.seeds, recipe.notes) == ("own", "Own", 2, ("Short.",))
    assert recipe.arms == ({"method": ("bnf", "dpo"), "learning_rate": (1e-4, 1e-3)},)
    assert [(c.seed, c.arm["method"], c.config.learning_rate) for c in recipe.cells()] == [
        (seed, method, rate) for seed in (0, 1) for method in ("bnf", "dpo") for rate in (1e-4, 1e-3)
    ]
    assert all(c.config.n_steps == 2 and c.prepared is None for c in recipe.cells())
    (claim,) = recipe.claims
    assert (claim.at_least, claim.at_most, claim.above, claim.margin) == (0.9, None, None, 0.0)


def test_numbers_that_yaml_takes_for_texts_become_numbers(write: Write) -> None:
    path = write(
        settings={"learning_rate": "5e-4", "n_steps": "3"},
        arms=[{"beta": ["1e-1", "2e-1"], "method": "bnf"}],
        along="beta",
        claims=[{**CLAIM, "where": {"beta": "1e-1"}, "above": {"beta": "2e-1"}, "margin": "1e-2"}],
        prepare={"first": {"learning_rate": "1e-4"}},
    )
    assert "1e-1" in path.read_text()
    recipe = load(path)
    assert type(yaml.safe_load("1e-1")) is str  # what this test is about
    cell = recipe.cells()[0]
    assert (cell.config.learning_rate, cell.config.n_steps, cell.config.beta) == (5e-4, 3, 0.1)
    assert recipe.claims[0].where == {"beta": 0.1}
    assert recipe.claims[0].above == {"beta": 0.2}
    assert recipe.claims[0].margin == 0.01
    assert recipe.prepare == {"first": {"learning_rate": 1e-4}}


def test_single_values_stand_for_lists_of_one(write: Write) -> None:
    recipe = load(write(data="demo:short_answers", arms={"method": "bnf"}, along="method", seeds=1))
    assert [(c.data, dict(c.arm)) for c in recipe.cells()] == [("demo:short_answers", {"method": "bnf"})]


def test_a_cell_that_two_arms_share_runs_once(write: Write) -> None:
    recipe = load(write(arms=[{"method": ["bnf", "dpo"]}, {"method": ["dpo", "kto"]}], along="method", seeds=1))
    assert [c.arm["method"] for c in recipe.cells()] == ["bnf", "dpo", "kto"]


def test_a_prepared_reference_is_a_run_of_the_same_data_and_seed(write: Write) -> None:
    arms = [{"method": ["bnf", "dpo"], "reference": ["base", "prepared:tuned"]}]
    recipe = load(write(arms=arms, along="reference", prepare={"tuned": {"method": "sft", "n_steps": 7}}))
    for cell in recipe.cells():
        if cell.arm["reference"] == "base":
            assert cell.prepared is None
        else:
            assert cell.prepared.config == RunConfig(method="sft", n_steps=7, seed=cell.seed)
            assert cell.prepared.data == cell.data
            assert cell.prepared.prepared is None
    prepared = [c.prepared.name for c in recipe.cells() if c.prepared]
    assert len(prepared) == 4
    assert len(set(prepared)) == 2  # one a seed, shared by both methods
    assert not set(prepared) & {c.name for c in recipe.cells()}


# -- refusing


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"armes": []}, r"it has \[.*'armes'.*\]\. A recipe needs data, arms, compare and along"),
        ({"data": None}, "A recipe needs data"),
        ({"arms": [{"learn_rate": 1, **PLAIN["arms"][0]}]}, "'learn_rate' is not a setting"),
        ({"settings": {"n_step": 3}}, "'n_step' is not a setting"),
        ({"settings": {"n_steps": 0}}, "n_steps is 0; it must be from 1"),
        ({"settings": {"n_steps": "many"}}, "n_steps is 'many'; it must be a whole number"),
        ({"settings": {"n_steps": float("inf")}}, "n_steps is inf"),
        ({"settings": ["n_steps"]}, r"settings is \['n_steps'\]\. Give names with values"),
        ({"arms": [{"method": ["bnf", "ppo"]}], "along": "method"}, "method is 'ppo'; it must be one of: bnf"),
        ({"arms": [{"method": "bnf", "learning_rate": [1e-4, 10]}]}, "learning_rate is 10; it must be from"),
        ({"arms": [{"method": "bnf", "seed": [0, 1]}]}, "an arm sets the seed. Give `seeds`"),
        ({"arms": [[]]}, r"an arm is \[\]"),
        ({"arms": ["bnf"]}, "an arm is 'bnf'"),
        ({"arms": [{"method": [], "learning_rate": [1e-3]}]}, "it has 0 cells"),
        ({"data": []}, "it has 0 cells"),
        ({"compare": "beta"}, "it compares or draws along 'beta', which no arm varies"),
        ({"along": "n_steps"}, "it compares or draws along 'n_steps', which no arm varies"),
        ({"seeds": 0}, "seeds is 0. Give a whole number from 1 to 100"),
        ({"seeds": 101}, "seeds is 101"),
        ({"seeds": True}, "seeds is True"),
        ({"seeds": "3"}, "seeds is '3'"),
        ({"claims": "It works"}, "claims is 'It works'. Give a list"),
        ({"claims": ["It works"]}, "a claim is 'It works'. It needs text, where and measure"),
        ({"claims": [{"text": "Hm"}]}, "It needs text, where and measure"),
        ({"claims": [CLAIM]}, "'It works' needs one of at_least, at_most and above"),
        ({"claims": [{**CLAIM, "at_least": 0, "at_most": 1}]}, "needs one of at_least, at_most and above"),
        ({"claims": [{**CLAIM, "at_least": 0, "above": {"beta": 1}}]}, "needs one of at_least, at_most and above"),
        ({"claims": [{**CLAIM, "at_least": "high"}]}, "'It works' needs settings as where and above, and numbers"),
        ({"claims": [{**CLAIM, "at_least": 0, "where": "bnf"}]}, "needs a measure's name and settings as `where`"),
        ({"claims": [{**CLAIM, "above": "dpo"}]}, "needs a measure's name and settings as `where`"),
        ({"claims": [{**CLAIM, "at_least": 0, "measure": 3}]}, "needs a measure's name and settings as `where`"),
        ({"claims": [{**CLAIM, "at_least": 0, "where": {"method": "kto"}}]}, "is on {'method': 'kto'}: no cell is so"),
        ({"claims": [{**CLAIM, "above": {"beta": 0.1}}]}, "is on {'beta': 0.1}: no cell is so"),
        ({"claims": [{**CLAIM, "at_least": 0, "unless": 1}]}, "a claim is"),
        ({"notes": "Short."}, "notes is 'Short.'. Give a list"),
        ({"prepare": ["tuned"]}, r"prepare is \['tuned'\]\. Give a name and below it the settings"),
        ({"prepare": {"tuned": 5}}, "Give a name and below it the settings of a run"),
        ({"settings": {"reference": "prepared:tuned"}}, "'prepared:tuned' is not among its `prepare`"),
        (
            {"settings": {"reference": "prepared:tuned"}, "prepare": {"tuned": {"n_step": 3}}},
            "'n_step' is not a setting",
        ),
        (
            {"settings": {"reference": "prepared:a"}, "prepare": {"a": {"reference": "prepared:a"}}},
            "the prepared run 'a' has a prepared reference itself",
        ),
    ],
)
def test_what_is_no_recipe_is_refused_in_words(write: Write, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(LabError, match=words) as refusal:
        load(write(**changes))
    assert isinstance(refusal.value, ConfigError) or "own" in str(refusal.value)


def test_a_grid_too_large_is_refused_before_it_is_laid_out(write: Write) -> None:
    grid = {name: [1e-3 + 1e-5 * i for i in range(300)] for name in ("learning_rate", "beta", "weight_decay")}
    path = write(arms=[{"method": "bnf", **grid}])
    with pytest.raises(LabError, match=f"it has 54,000,000 cells; from 1 to {MAX_CELLS:,} are accepted"):
        load(path)


BOMB = "\n".join(
    ["b0: &b0 [x, x, x, x, x, x, x, x, x]"] + [f"b{i}: &b{i} [{', '.join([f'*b{i - 1}'] * 9)}]" for i in range(1, 12)]
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it has None"),
        ("- 1\n- 2\n", r"it has \[1, 2\]"),
        ("stability", "it has 'stability'"),
        ("a: [1, 2\n", "cannot be read"),
        ("a: b: c\n", "cannot be read"),
        ("a: \x00\n", "cannot be read"),
        ("when: 2026-99-99\n", "cannot be read"),
        (f"seeds: {'9' * 5000}\n", "cannot be read"),
        ("a: !!python/object/apply:os.system ['true']\n", "cannot be read"),
        ("[" * 5000, "cannot be read"),
        (BOMB, "it has aliases"),
        ("data: &x demo:short_answers\ntitle: *x\n", "it has aliases"),
        (f"title: {'x' * FILE_BYTES}\n", "it is larger than 100,000 bytes"),
    ],
    ids=["empty", "list", "word", "open", "nested", "nul", "date", "digits", "object", "deep", "bomb", "alias", "size"],
)
def test_what_is_no_yaml_of_a_recipe_is_refused_in_words(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(LabError, match=words) as refusal:
        load(path)
    assert "odd.yaml" in str(refusal.value)
    assert len(str(refusal.value)) < 500


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.yml"
    path.write_bytes(b"\xff\xfe\x00data")
    with pytest.raises(LabError, match="odd.yml: it cannot be read"):
        load(path)


@pytest.mark.parametrize("name", ["nothing", "", ".", "../recipes/stability", "STABILITY.YAML", "missing.yaml"])
def test_a_name_that_is_none_lists_the_recipes(name: str) -> None:
    with pytest.raises(NotFound, match="There are: domains, hybrid, noise, pairs, reference, shifts, stability"):
        load_recipe(name)


def test_a_name_is_no_way_out_of_the_recipes_folder(write: Write) -> None:
    outside = write()
    for name in (str(outside.with_suffix("")), "../../" * 12 + str(outside.with_suffix("")).lstrip("/")):
        with pytest.raises(NotFound):
            load_recipe(name)
    assert load(outside).name == "own"


# -- names


def make_cell(data: str = "demo:short_answers", **settings: Any) -> Cell:
    arm = {"method": settings.get("method", "bnf"), "learning_rate": settings.get("learning_rate", 1e-3)}
    return Cell(data, arm, RunConfig.from_dict({"learning_rate": 1e-3, **settings}))


def test_names_say_what_a_cell_is() -> None:
    name = make_cell("/data/My answers.jsonl", seed=3).name
    assert name.startswith("My_answers-bnf-0.001-s3-")
    assert name != make_cell("demo:My answers", seed=3).name


@pytest.mark.parametrize(
    "data", ["demo:short_answers", "../../etc/passwd", "/", "..", "a b/c\\d:e*f?.jsonl", "ä" * 300, "\n", "-rf", ""]
)
def test_names_are_safe_as_folders(tmp_path: Path, data: str) -> None:
    for cell in (make_cell(data), make_cell(data, reference="run:/somewhere/else"), make_cell(data, beta=3)):
        name = cell.name
        assert all(c.isascii() and (c.isalnum() or c in "-._") for c in name)
        assert 8 < len(name) < 90
        assert name not in (".", "..")
        (tmp_path / name).mkdir()
        assert (tmp_path / name).parent == tmp_path


def test_names_differ_when_any_setting_differs() -> None:
    changed = {
        "method": "dpo",
        "model": "other",
        "learning_rate": 2e-3,
        "n_steps": 31,
        "responses_per_step": 9,
        "n_probe": 3,
        "beta": 0.2,
        "max_tokens": 99,
        "warmup_steps": 2,
        "schedule": "linear",
        "pair_fraction": 0.5,
        "label_noise": 0.1,
        "contradictions": 0.1,
        "reference": "other",
        "reference_temperature": 2.0,
        "seed": 1,
    }
    names = [make_cell().name, make_cell("demo:small_code").name, make_cell("short_answers").name]
    names += [make_cell(**{name: value}).name for name, value in changed.items()]
    assert len(set(names)) == len(changed) + 3


def test_names_differ_when_what_is_prepared_differs(write: Write) -> None:
    names = set()
    for steps in (3, 4):
        prepare = {"tuned": {"method": "sft", "n_steps": steps}}
        recipe = load(write(settings={"reference": "prepared:tuned"}, prepare=prepare))
        names |= {c.name for c in recipe.cells()}
        assert all(c.prepared.config.reference == "base" for c in recipe.cells())
    assert len(names) == 2 * 8


def test_names_do_not_depend_on_the_order_of_what_does_not_matter(write: Write) -> None:
    settings = {"n_steps": 3, "n_probe": 2, "beta": 0.3}
    arms = [{"method": ["bnf", "dpo"], "learning_rate": [1e-4]}, {"method": ["kto"], "learning_rate": [1e-3]}]
    plain = load(write(data=["demo:short_answers", "demo:small_code"], settings=settings, arms=arms))
    shuffled = replace(
        plain,
        name="other",
        title="Other",
        settings=dict(reversed(settings.items())),
        arms=plain.arms[::-1],
        data=plain.data[::-1],
        notes=("More.",),
    )
    assert {c.name for c in plain.cells()} == {c.name for c in shuffled.cells()}
    assert [c.name for c in plain.cells()] != [c.name for c in shuffled.cells()]
    more = replace(plain, seeds=5)
    assert {c.name for c in plain.cells()} < {c.name for c in more.cells()}


def test_a_recipe_may_set_passes_and_an_arm_steps(write: Write) -> None:
    arms = [{"method": ["bnf"], "n_steps": [5]}, {"method": ["dpo"]}]
    recipe = load(write(settings={"passes": 2}, arms=arms, compare="method", along="method"))
    assert {(c.config.method, c.config.n_steps, c.config.passes) for c in recipe.cells()} == {
        ("bnf", 5, 0.0),
        ("dpo", 30, 2.0),
    }
