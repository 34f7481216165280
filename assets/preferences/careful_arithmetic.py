"""Word problems by rule: a right worked solution and a nearly identical wrong one with a single slip.

This room knows its templates and a random generator; it must not know files, models or the lab. A template is words
plus a list of steps, so that a right and a wrong solution come from the same words and only the numbers part.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass

# fmt: off
NAMES = (
    "Amira", "Ben", "Chiara", "Dmitri", "Elena", "Farid", "Grace", "Hugo", "Ines", "Jonas", "Keiko", "Luca", "Maya",
    "Nora", "Omar", "Priya", "Quentin", "Rosa", "Samir", "Tessa", "Uma", "Victor", "Wanda", "Yusuf", "Zoe", "Ana",
    "Bruno", "Celia", "Darius", "Esther",
)
# fmt: on
WRONG_OPERATION = {"+": "-", "-": "+", "*": "+", "/": "-"}
# Sums slip most often. A step is missed only where two others remain, so that the solutions stay nearly identical.
SLIPS = {2: ("sum", "sum", "operation"), 3: ("sum", "sum", "operation", "missed")}
MISSUMS = (-10, -2, -1, 1, 2, 10)


@dataclass(frozen=True)
class Step:
    """One sentence of a solution; `{eq}` stands for its equation, `left` and `right` name numbers or earlier steps."""

    words: str
    left: str
    operation: str
    right: str


@dataclass(frozen=True)
class Template:
    """A kind of problem: its words, what they are about, the range of each number, and its steps s1, s2, ..."""

    question: str
    things: tuple[str, ...]
    ranges: Mapping[str, tuple[int, int]]
    steps: tuple[Step, ...]


def _template(question: str, things: str, ranges: str, *steps: str) -> Template:
    """Builds a template from compact text: things "a, b", ranges "a 2-9, b 1-5", steps "words | s1 * b"."""
    bounds = {}
    for part in ranges.split(", "):
        name, low, high = re.fullmatch(r"(\w+) (\d+)-(\d+)", part).groups()
        bounds[name] = (int(low), int(high))
    parsed = tuple(Step(words, *expression.split()) for words, expression in (step.split(" | ") for step in steps))
    return Template(question, tuple(things.split(", ")), bounds, parsed)


TEMPLATES = (
    _template(
        "{name} buys {a} boxes of {thing}. Each box holds {b} {thing}. {name} gives {c} of them to a friend. "
        "How many {thing} are left?",
        "pencils, crayons, tea bags, candles, stickers, marbles",
        "a 3-9, b 4-12, c 3-20",
        "The boxes hold {eq} {thing} in all. | a * b",
        "After the gift, {eq} {thing} are left. | s1 - c",
    ),
    _template(
        "{name} picks {a} {thing} in the morning and {b} in the afternoon. The {thing} are packed into bags of {c}. "
        "How many bags are filled?",
        "apples, pears, plums, lemons, peaches, figs",
        "a 12-60, b 12-60, c 3-9",
        "Together that is {eq} {thing}. | a + b",
        "Packing them fills {eq} bags. | s1 / c",
    ),
    _template(
        "A {thing} costs {a} dollars. {name} buys {b} of them and pays with {c} dollars. How much change comes back?",
        "notebook, mug, sandwich, puzzle, plant, scarf",
        "a 3-14, b 2-6, c 50-100",
        "The price of all of them is {eq} dollars. | a * b",
        "The change is {eq} dollars. | c - s1",
    ),
    _template(
        "{name} reads {a} pages of a {thing} each day for {b} days. The {thing} has {c} pages. "
        "How many pages are still to be read?",
        "novel, biography, travel guide, cookbook, history book",
        "a 12-35, b 3-9, c 180-420",
        "So far {name} has read {eq} pages. | a * b",
        "That leaves {eq} pages. | c - s1",
    ),
    _template(
        "{name} earns {a} dollars an hour at the {thing}. Last week {name} worked {b} hours and spent {c} dollars on "
        "bus tickets. How many dollars were left?",
        "bakery, library, garden centre, cinema, museum, market",
        "a 9-22, b 6-30, c 8-25",
        "The week's pay was {eq} dollars. | a * b",
        "After the tickets, {eq} dollars were left. | s1 - c",
    ),
    _template(
        "A farm has {a} {thing} and twice as many chickens. {b} more chickens arrive. How many animals are there now?",
        "goats, sheep, cows, ducks, pigs, donkeys",
        "a 6-45, b 3-24",
        "At first there are {eq} chickens. | a * 2",
        "With the new ones there are {eq} chickens. | s1 + b",
        "With the {thing}, that makes {eq} animals. | s2 + a",
    ),
    _template(
        "{name} bakes {a} trays of {thing} with {b} on each tray. {c} of them burn, and the rest are shared equally "
        "among {d} children. How many {thing} does each child get?",
        "cookies, muffins, biscuits, scones, buns",
        "a 3-8, b 6-12, c 2-12, d 3-9",
        "The trays hold {eq} {thing}. | a * b",
        "Without the burnt ones there are {eq} {thing}. | s1 - c",
        "Each child gets {eq} {thing}. | s2 / d",
    ),
    _template(
        "A bus leaves the {thing} with {a} passengers. At the first stop {b} get off and {c} get on. At the "
        "second stop {d} get off. How many passengers are on the bus now?",
        "station, harbour, stadium, university, airport",
        "a 25-60, b 4-18, c 3-19, d 3-15",
        "After {b} got off, the bus had {eq} passengers. | a - b",
        "After {c} got on, it had {eq} passengers. | s1 + c",
        "After the second stop it has {eq} passengers. | s2 - d",
    ),
    _template(
        "{name} saves {a} dollars a week for {b} weeks, and a grandparent adds {c} dollars. A {thing} costs "
        "{d} dollars. How many dollars will remain after buying it?",
        "bicycle helmet, guitar, tent, camera, skateboard, telescope",
        "a 8-25, b 5-12, c 10-50, d 60-160",
        "The savings come to {eq} dollars. | a * b",
        "With the gift that is {eq} dollars. | s1 + c",
        "After the purchase, {eq} dollars remain. | s2 - d",
    ),
    _template(
        "A school orders {a} tables and {b} chairs for its {thing}. Each table costs {c} dollars and each "
        "chair costs {d} dollars. What is the total price in dollars?",
        "dining hall, art room, reading room, music room",
        "a 3-12, b 10-40, c 30-80, d 8-25",
        "The tables cost {eq} dollars. | a * c",
        "The chairs cost {eq} dollars. | b * d",
        "In total that is {eq} dollars. | s1 + s2",
    ),
    _template(
        "{name} runs {a} kilometres on each of {b} days and walks {c} kilometres on the weekend to train for "
        "a {thing}. How many kilometres is that in one week?",
        "race, charity run, mountain hike, half marathon",
        "a 3-12, b 3-5, c 4-16",
        "Running adds up to {eq} kilometres. | a * b",
        "With the walk it is {eq} kilometres. | s1 + c",
    ),
    _template(
        "A tank holds {a} litres of {thing}. Every hour {b} litres are used. After {c} hours, {d} litres are "
        "filled in. How many litres are in the tank then?",
        "water, milk, rapeseed oil, rainwater, apple juice",
        "a 150-400, b 8-24, c 3-8, d 20-90",
        "In that time {eq} litres are used. | b * c",
        "That leaves {eq} litres. | a - s1",
        "After filling, the tank holds {eq} litres. | s2 + d",
    ),
    _template(
        "There are {a} {thing} in a club. {b} of them are ill today. The others form teams of {c}. "
        "How many teams are there?",
        "swimmers, dancers, rowers, runners, singers, climbers",
        "a 24-80, b 2-12, c 3-8",
        "Today {eq} {thing} can take part. | a - b",
        "They form {eq} teams. | s1 / c",
    ),
    _template(
        "{name} has {a} {thing}. {other} has {b} times as many, and loses {c} of them. How many {thing} do "
        "the two have together now?",
        "stamps, coins, trading cards, shells, postcards, badges",
        "a 9-40, b 3-6, c 4-18",
        "At first {other} has {eq} {thing}. | a * b",
        "After the loss {other} has {eq} {thing}. | s1 - c",
        "Together they have {eq} {thing}. | s2 + a",
    ),
    _template(
        "{name} plants {a} rows of {thing} with {b} plants in each row, and later {c} more plants beside the fence. "
        "How many plants are there in all?",
        "tomatoes, beans, lettuce, carrots, sunflowers, onions",
        "a 4-12, b 5-15, c 4-24",
        "The rows have {eq} plants. | a * b",
        "With the ones beside the fence there are {eq} plants. | s1 + c",
    ),
    _template(
        "A ticket for the {thing} costs {a} dollars for adults and {b} dollars for children. How many "
        "dollars does a group of {c} adults and {d} children pay?",
        "zoo, theatre, aquarium, planetarium, castle",
        "a 11-25, b 4-10, c 2-6, d 3-14",
        "The adults pay {eq} dollars. | a * c",
        "The children pay {eq} dollars. | b * d",
        "The group pays {eq} dollars. | s1 + s2",
    ),
    _template(
        "{name} and {other} share {a} {thing} equally. Then {name} eats {b} and gets {c} more from a neighbour. "
        "How many {thing} does {name} have?",
        "cherries, grapes, walnuts, dates, strawberries, almonds",
        "a 20-90, b 3-9, c 2-14",
        "Half of them is {eq} {thing}. | a / 2",
        "After eating, {name} has {eq} {thing}. | s1 - b",
        "With the new ones, {name} has {eq} {thing}. | s2 + c",
    ),
    _template(
        "A {thing} lasts {a} minutes. {name} practises it {b} times on Saturday and {c} times on Sunday. "
        "How many minutes of practice is that?",
        "song, dance, speech, piano piece, juggling act",
        "a 4-15, b 2-9, c 2-9",
        "Over both days there are {eq} rounds of practice. | b + c",
        "The practice takes {eq} minutes. | s1 * a",
    ),
    _template(
        "A shop has {a} {thing} on its shelves and {b} in the back. It sells {c} a day for {d} days. "
        "How many {thing} does it still have?",
        "lamps, umbrellas, kettles, blankets, clocks, backpacks",
        "a 25-80, b 20-90, c 4-14, d 3-7",
        "At first the shop has {eq} {thing}. | a + b",
        "It sells {eq} {thing}. | c * d",
        "It still has {eq} {thing}. | s1 - s2",
    ),
    _template(
        "{name} cuts a {a} metre {thing} into pieces of {b} metres, and then uses {c} of the pieces. "
        "How many pieces are left over?",
        "rope, ribbon, hose, wire, plank",
        "a 24-96, b 2-6, c 2-9",
        "The cut gives {eq} pieces. | a / b",
        "After use, {eq} pieces are left. | s1 - c",
    ),
)


def make_rows(n_rows: int, seed: int) -> list[dict[str, object]]:
    """Makes `n_rows` pairs in TRL's conversational preference schema, templates in turn, no two questions alike."""
    generator = random.Random(seed)  # noqa: S311 - data, not secrets
    rows: list[dict[str, object]] = []
    seen: set[str] = set()
    while len(rows) < n_rows:
        question, right, wrong = _draw(TEMPLATES[len(rows) % len(TEMPLATES)], generator)
        if question not in seen:
            seen.add(question)
            rows.append(
                {
                    "prompt": [{"role": "user", "content": question}],
                    "chosen": [{"role": "assistant", "content": right}],
                    "rejected": [{"role": "assistant", "content": wrong}],
                }
            )
    return rows


def _draw(template: Template, generator: random.Random) -> tuple[str, str, str]:
    """Draws numbers and a slip until both solutions come out in whole positive numbers and differ in the answer."""
    while True:
        name, other = generator.sample(NAMES, 2)
        words = {"name": name, "other": other, "thing": generator.choice(template.things)}
        numbers = {key: generator.randint(*bounds) for key, bounds in template.ranges.items()}
        right = _solve(template, numbers, words)
        n_steps = len(template.steps)
        slip = (generator.choice(SLIPS[n_steps]), generator.randrange(n_steps), generator.choice(MISSUMS))
        wrong = _solve(template, numbers, words, slip)
        if right and wrong and right.splitlines()[-1] != wrong.splitlines()[-1]:
            return template.question.format(**words, **numbers), right, wrong


def _solve(
    template: Template, numbers: Mapping[str, int], words: Mapping[str, str], slip: tuple[str, int, int] = ("", -1, 0)
) -> str | None:
    """Writes a solution, with one slip (kind, step, miss) if given; None if a number is not whole and above 1."""
    kind, slip_at, miss = slip
    known = {**numbers, "2": 2}
    sentences: list[str] = []
    result = 0
    for index, step in enumerate(template.steps):
        left, right, operation = known[step.left], known[step.right], step.operation
        if index == slip_at and kind == "missed":
            # A missed step leaves the number it should have changed as it was; missing the last ends on the one before.
            known[f"s{index + 1}"] = left
            continue
        if index == slip_at and kind == "operation":
            operation = WRONG_OPERATION[operation]
        result, rest = _apply(left, operation, right)
        if index == slip_at and kind == "sum":
            result += miss
        if rest or result <= 1:
            return None
        known[f"s{index + 1}"] = result
        equation = f"{left} {operation} {right} = {result}"
        sentences.append(step.words.format(eq=equation, **words, **numbers))
    return " ".join(sentences) + f"\nA: {result}"


def _apply(left: int, operation: str, right: int) -> tuple[int, int]:
    """Returns (result, rest); the rest is 0 unless a division does not come out even."""
    if operation == "/":
        return divmod(left, right)
    return {"+": left + right, "-": left - right, "*": left * right}[operation], 0
