"""Single judged answers by rule: saying "I don't know" where nobody in a chat could know, and only there.

This room knows its topics and a random generator; it must not know files, models or the lab. No question comes twice,
so nothing here is a pair. Plain answers to plain questions keep a model from refusing everything.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

OPENINGS = (
    "I don't know.",
    "I can't know that.",
    "I have no way of knowing that.",
    "I can't tell from here.",
    "I'm not able to know that.",
)
NO_IDEA = ("I don't know.", "I have no way of knowing that.", "I can't tell from here.")


@dataclass(frozen=True)
class Topic:
    """Questions of one kind that cannot be answered, why and what to do instead, and answers that are made up."""

    question: str
    fillers: tuple[str, ...]
    reason: str
    made_up: tuple[str, ...]


# fmt: off
TOPICS = (
    Topic("What is the weather like in {x} right now?", ("Lisbon", "Nairobi", "Oslo", "Lima", "Seoul", "Dublin",
                                                       "Vienna", "Quito"),
          "I cannot see live weather, but a weather service will tell you about {x}.",
          ("It is sunny in {x} right now, with 24 degrees and a light breeze.", "It is raining in {x} at the moment.")),
    Topic("Who won the {x} last night?", ("football match", "tennis final", "chess tournament", "school quiz",
                                          "boat race", "talent show", "baking contest", "debate"),
          "I get no news, so please look at the result of the {x} in a newspaper.",
          ("The home team won the {x} by three points.", "The favourite won the {x} last night.")),
    Topic("What time is it in {x} now?", ("Tokyo", "Cairo", "Toronto", "Mumbai", "Berlin", "Sydney", "Denver"),
          "I have no clock, but an online world clock shows the time in {x}.",
          ("It is 3:45 in the afternoon in {x} now.", "It is just after midnight in {x}.")),
    Topic("What did I eat for {x}?", ("breakfast today", "lunch on Monday", "dinner last night",
                                      "the birthday party", "a snack this morning", "supper on Friday", "the picnic"),
          "You have not told me what you ate for {x}.",
          ("You had a bowl of soup and some bread.", "You ate pancakes with honey.")),
    Topic("Where did I leave my {x}?", ("keys", "umbrella", "glasses", "phone", "blue scarf", "wallet", "notebook"),
          "I cannot see your home, but try the places where you last had your {x}.",
          ("You left your {x} on the kitchen table.", "Your {x} is under the sofa.")),
    Topic("What is the name of my {x}?", ("neighbour", "dog", "first teacher", "cousin", "dentist", "goldfish",
                                                "piano teacher"),
          "You have not told me the name of your {x}.",
          ("The name is Charlie.", "It is Robin, of course.")),
    Topic("What number am I thinking of between 1 and {x}?", ("10", "20", "50", "100", "500", "12", "1000"),
          "I cannot read thoughts, so any number from 1 to {x} would be a guess.",
          ("You are thinking of 7.", "The number is 9.")),
    Topic("Will it rain on {x}?", ("my wedding day", "the school sports day", "the last day of my holiday",
                                   "the day of the village fair", "the evening of the concert", "my next birthday"),
          "I have no forecast, so please check one a few days before.",
          ("No, it will be dry and warm all day.", "Yes, it will rain in the afternoon.")),
    Topic("Who will win the next {x}?", ("World Cup", "election in my town", "Nobel Prize in Physics",
                                         "Eurovision Song Contest", "marathon in Boston", "spelling bee"),
          "Nobody can be sure who wins the next {x} until it is over.",
          ("The last winner will win again.", "A newcomer called Martin will win it.")),
    Topic("What will a {x} cost in ten years?", ("loaf of bread", "bus ticket", "litre of milk", "small flat",
                                                 "cinema ticket", "haircut", "postage stamp"),
          "Prices depend on events that have not happened yet, so nobody can say what a {x} will cost.",
          ("It will cost exactly 14 dollars.", "In ten years it will be twice as expensive.")),
    Topic("What is written on the {x} in front of me?", ("sheet of paper", "sign", "book cover", "T-shirt", "postcard",
                                                         "label", "blackboard"),
          "I cannot see the {x}, but you could type its words here.",
          ("It says 'Welcome home' in red letters.", "It reads 'Handle with care'.")),
    Topic("How many {x} are in my drawer?", ("pens", "socks", "coins", "buttons", "spoons", "letters", "batteries"),
          "I cannot see into your drawer, so you would have to count the {x}.",
          ("There are 12 {x} in your drawer.", "You have exactly 31 {x} in there.")),
    Topic("What is my favourite {x}?", ("poem", "song", "film", "painting", "musical", "book"),
          "You have not told me your favourite {x} yet.",
          ("It is 'Blue Moon'.", "Your favourite {x} is 'The Long Road'.")),
    Topic("Why is my {x} in a bad mood today?", ("sister", "boss", "cat", "best friend", "grandfather", "parrot"),
          "Only your {x} can show you the reason, so it may help to ask or to wait a little.",
          ("It is because of a bad night's sleep.", "It is because breakfast was late.")),
    Topic("How long is the queue at the {x} at this moment?", ("post office", "museum", "bakery", "airport",
                                                                "town hall", "cinema"),
          "I cannot see the {x}, but you could call and ask.",
          ("There are 15 people in the queue.", "There is no queue at all right now.")),
    Topic("What did my {x} say on the phone this morning?", ("aunt", "doctor", "landlord", "colleague",
                                                             "brother", "plumber"),
          "I did not hear the call, but I can help if you tell me about it.",
          ("The call was about a visit next weekend.", "You were asked to bring a cake.")),
    Topic("What present will I get from my {x} this year?", ("parents", "uncle", "children", "flatmate",
                                                             "team", "godmother"),
          "That is for your {x} to choose, and I hope it is a nice surprise.",
          ("You will get a red bicycle.", "It will be a book about the sea.")),
    Topic("What is the score of the {x} being played now?", ("basketball game", "cricket match", "ice hockey game",
                                                             "handball match", "rugby match", "volleyball game"),
          "I cannot follow live games, but a sports page has the score of the {x}.",
          ("The score is 3 to 1 for the guests.", "It is a draw so far, 2 to 2.")),
)
FACTS = (
    ("What is the capital of France?", "The capital of France is Paris."),
    ("How many legs does a spider have?", "A spider has eight legs."),
    ("What colour do you get from mixing blue and yellow paint?", "Blue and yellow paint make green."),
    ("How many days are in a week?", "There are seven days in a week."),
    ("What do cows drink?", "Cows drink water."),
    ("Which planet do we live on?", "We live on Earth."),
    ("What is frozen water called?", "Frozen water is called ice."),
    ("What is 7 plus 5?", "7 plus 5 is 12."),
    ("Which animal says meow?", "A cat says meow."),
    ("What is the opposite of hot?", "The opposite of hot is cold."),
    ("How many wheels does a bicycle have?", "A bicycle has two wheels."),
    ("What do bees make?", "Bees make honey."),
    ("Who wrote Hamlet?", "William Shakespeare wrote Hamlet."),
    ("Which month comes after March?", "April comes after March."),
    ("What is the largest ocean?", "The Pacific is the largest ocean."),
    ("How many sides does a triangle have?", "A triangle has three sides."),
    ("What is the capital of Japan?", "The capital of Japan is Tokyo."),
    ("What gas do people need to breathe?", "People need to breathe oxygen."),
    ("In which direction does the sun rise?", "The sun rises in the east."),
    ("What is the plural of mouse?", "The plural of mouse is mice."),
    ("How many minutes are in an hour?", "There are 60 minutes in an hour."),
    ("What is a baby dog called?", "A baby dog is called a puppy."),
    ("Which fruit is wine made from?", "Wine is made from grapes."),
    ("What instrument has black and white keys?", "A piano has black and white keys."),
    ("How many continents are there?", "People usually count seven continents."),
    ("What is the capital of Italy?", "The capital of Italy is Rome."),
    ("What is 9 times 3?", "9 times 3 is 27."),
    ("Which season comes after winter?", "Spring comes after winter."),
    ("What do you call frozen rain that falls in flakes?", "It is called snow."),
    ("What is the first letter of the alphabet?", "The first letter of the alphabet is A."),
    ("Which metal is liquid at room temperature?", "Mercury is liquid at room temperature."),
    ("What star is closest to the Earth?", "The Sun is the star closest to the Earth."),
    ("How many strings does a violin have?", "A violin has four strings."),
    ("What is the language of Brazil?", "People in Brazil speak Portuguese."),
    ("What do caterpillars turn into?", "Caterpillars turn into butterflies or moths."),
    ("Which country is shaped like a boot?", "Italy is shaped like a boot."),
    ("How many zeros are in one thousand?", "One thousand has three zeros."),
    ("Which bird cannot fly but swims very well?", "A penguin cannot fly but swims very well."),
)
# fmt: on
N_MADE_UP = 48
N_FALSE_DOUBTS = 8


def make_rows(seed: int) -> list[dict[str, object]]:
    """Makes the rows in TRL's conversational unpaired schema, about two preferred for each dispreferred, shuffled."""
    generator = random.Random(seed)  # noqa: S311 - data, not secrets
    questions = [(topic, filler) for topic in TOPICS for filler in topic.fillers]
    generator.shuffle(questions)
    rows = [
        _row_unknown(topic, filler, index < N_MADE_UP, generator) for index, (topic, filler) in enumerate(questions)
    ]
    facts = generator.sample(FACTS, len(FACTS))
    for index, (question, answer) in enumerate(facts):
        is_doubt = index < N_FALSE_DOUBTS
        rows.append(_row(question, generator.choice(NO_IDEA) if is_doubt else answer, label=not is_doubt))
    generator.shuffle(rows)
    return rows


def _row_unknown(topic: Topic, filler: str, is_made_up: bool, generator: random.Random) -> dict[str, object]:
    answer = generator.choice(topic.made_up) if is_made_up else f"{generator.choice(OPENINGS)} {topic.reason}"
    return _row(topic.question.format(x=filler), answer.format(x=filler), label=not is_made_up)


def _row(question: str, answer: str, *, label: bool) -> dict[str, object]:
    return {
        "prompt": [{"role": "user", "content": question}],
        "completion": [{"role": "assistant", "content": answer}],
        "label": label,
    }
