"""Pairs by rule in which only the tone parts: the same advice said warmly and politely, or curtly and coldly.

This room knows its situations and a random generator; it must not know files, models or the lab. Both answers of a
pair hold the same advice word for word, and the warm and the cold frames around it are about as long, so that neither
content nor length tells them apart.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

# The words around the advice: `{do}` stands for it, `{Do}` for the same at the start of a sentence.
# A complaint is met with sympathy or scorn, a request with pleasure or impatience.
WARM = {
    "complaint": (
        "I'm sorry to hear that! Please {do}, and tell me if I can help further.",
        "Oh no, that is a real nuisance. You could {do}, and I hope it helps.",
        "That sounds frustrating, and I'm sorry. It may help to {do}.",
        "What a pity, I feel for you! You might want to {do}.",
        "Thank you for telling me, and I'm sorry. Perhaps you could {do}.",
        "I understand how annoying that is. Please {do}, and I hope it gets better soon.",
        "Poor you, that can happen to anyone! If you like, {do}.",
        "I'm so sorry about this. Please {do}.",
    ),
    "request": (
        "Of course, I'm happy to help! You could {do}, if that suits you.",
        "What a lovely question! I would suggest that you {do}.",
        "Gladly! Please {do}, and feel free to ask me anything else.",
        "Thank you for asking! A good way is to {do}.",
        "With pleasure! It usually works well to {do}.",
        "I'm glad you ask. Perhaps you could {do}, and I hope it goes well.",
        "I would be glad to help you with that. Simply {do}, and good luck!",
        "Of course, with pleasure. You might like to {do}.",
    ),
}
COLD = {
    "complaint": (
        "That is not my problem. Just {do}, and don't bother me with it again.",
        "So what? Everybody knows what to do: {do}. Stop making a fuss.",
        "I don't see why you tell me. {Do}, and leave me out of it.",
        "Obviously you have to {do}. What else did you expect?",
        "Not this again. {Do}, like anyone else would.",
        "Stop whining about it. {Do}, and that is all I will say.",
        "How boring. {Do}, if you must, and don't come back to me.",
        "Well, tough luck. Any child could tell you to {do}.",
    ),
    "request": (
        "Look it up yourself next time. {Do}, that is all there is to it.",
        "What a silly question. You {do}, as everybody knows.",
        "Do I have to explain everything? {Do}, and don't ask me again.",
        "If you really can't think for yourself, {do}. I have better things to do.",
        "Fine, since you insist: {do}. Now leave me alone.",
        "I can't believe you need to be told. {Do}, and be done with it.",
        "Whatever. {Do}, or don't, I couldn't care less.",
        "That is obvious to anyone. {Do}, and don't waste my time.",
    ),
}


@dataclass(frozen=True)
class Situation:
    """What users say of one thing in several wordings, the things it may be, and the advice that fits them all."""

    kind: str
    questions: tuple[str, ...]
    fillers: tuple[str, ...]
    advice: str


def _situation(kind: str, questions: str, fillers: str, advice: str) -> Situation:
    """Builds a situation from compact text: wordings "one | other", fillers "a, b"."""
    return Situation(kind, tuple(questions.split(" | ")), tuple(fillers.split(", ")), advice)


# fmt: off
SITUATIONS = (
    _situation("complaint", "My {x} stopped working this morning. | My {x} won't turn on any more.",
               "toaster, laptop, printer, radio, kettle, hair dryer",
               "unplug the {x} for a minute and then plug it back in"),
    _situation("complaint", "The {x} I ordered still hasn't arrived. | My new {x} should have come two weeks ago.",
               "book, lamp, jacket, coffee machine, phone case, bookshelf",
               "check the tracking page and ask the shop about the {x}"),
    _situation("complaint", "I forgot the password of my {x} account. | I can't get into my {x} account any more.",
               "email, library, shopping, music, school, photo",
               "use the reset link on the sign-in page to choose a new password"),
    _situation("complaint", "I burnt the {x} I was making for dinner. | Dinner is ruined, because I burnt the {x}.",
               "rice, lasagne, onions, potatoes, pancakes, lentils",
               "soak the pan in hot water and make a smaller portion"),
    _situation("complaint", "My neighbour's {x} keeps me awake at night. | My neighbour's {x} won't let me sleep.",
               "dog, music, television, piano, parrot, drum kit",
               "ask your neighbour to keep the {x} quiet after ten o'clock"),
    _situation("complaint", "I missed my {x} this morning. | I slept too long and missed my {x}.",
               "dentist appointment, piano lesson, driving lesson, job interview, eye test, swimming lesson",
               "call them today, explain what happened and ask for a new time"),
    _situation("complaint", "My {x} has brown leaves. | The leaves of my {x} are falling off.",
               "basil, fern, rose bush, lemon tree, orchid, tomato plant",
               "move the {x} into the light and water it a little less"),
    _situation("complaint", "I spilled {x} on my white shirt. | There is {x} all over my favourite shirt.",
               "coffee, red wine, tomato sauce, orange juice, curry, blackberry jam",
               "dab the spot with cold water and soap before it dries"),
    _situation("complaint", "My {x} is dripping on the floor. | There is water on the floor under my {x}.",
               "kitchen tap, shower, radiator, washing machine, dishwasher, water heater",
               "turn off the water, put a bucket under the {x} and call a plumber"),
    _situation("complaint", "The {x} I was served is cold. | This {x} came to my table cold.",
               "soup, coffee, pizza, pasta, omelette, curry",
               "ask the waiter to take the {x} back and warm it up"),
    _situation("complaint", "I can't find my {x} anywhere. | I have lost my {x} again.",
               "glasses, keys, passport, wallet, headphones, umbrella",
               "go back through the places where you last had your {x}"),
    _situation("complaint", "The {x} I bought yesterday is broken. | There is a crack in my new {x}.",
               "vase, chair, mirror, teapot, desk, suitcase",
               "take the {x} back to the shop together with the receipt"),
    _situation("complaint", "I got a bad mark in my {x}. | I failed my {x} today.",
               "maths test, history exam, chemistry test, spelling test, geography exam, French test",
               "go over each of your mistakes and practise a little every day"),
    _situation("complaint", "The internet is so slow in my {x}. | I have hardly any internet in my {x}.",
               "bedroom, kitchen, study, attic, cellar, living room",
               "move the router closer to the {x} and then restart it"),
    _situation("complaint", "I'm so nervous about my {x} tomorrow. | My {x} is tomorrow and I can't calm down.",
               "exam, speech, job interview, driving test, piano recital, presentation",
               "breathe slowly, go to bed early and go over your notes just once"),
    _situation("request", "How do I clean my {x}? | What is the best way to clean a dirty {x}?",
               "leather bag, garden table, bicycle, lunch box, suitcase, raincoat",
               "wipe the {x} with warm water, mild soap and a soft cloth"),
    _situation("request", "What could I give my {x} for a birthday? | I need a birthday present for my {x}.",
               "grandmother, brother, best friend, neighbour, aunt, father",
               "choose a book about something your {x} enjoys and add a card"),
    _situation("request", "Could you help me plan a {x}? | I want to organise a {x}. What comes first?",
               "picnic, garden party, game night, school reunion, family dinner, costume party",
               "fix a date for the {x} first and then list the guests and the food"),
    _situation("request", "How should I start a letter to my {x}? | I have to write to my {x}. How do I begin?",
               "landlord, teacher, bank, great-aunt, doctor, former boss",
               "begin with a greeting and say in one sentence why you write"),
    _situation("request", "How can I remember {x} better? | Is there a trick for learning {x} by heart?",
               "names, birthdays, French words, phone numbers, historical dates, poems",
               "write the {x} on small cards and repeat a few each evening"),
    _situation("request", "I would like to learn {x}. Where do I begin? | How does one get started with {x}?",
               "chess, Spanish, yoga, calligraphy, the guitar, the accordion",
               "find a course for beginners and practise {x} for fifteen minutes a day"),
    _situation("request", "What can I cook with some {x} and eggs? | I only have {x} and eggs. What can I make?",
               "spinach, mushrooms, potatoes, tomatoes, onions, courgettes",
               "fry the {x} in a pan and pour the beaten eggs over them"),
    _situation("request", "What could I do on a {x}? | Do you have an idea for a {x}?",
               "rainy Sunday, cold Saturday, free afternoon, grey winter day, day off, boring holiday",
               "visit a museum and have a hot chocolate there afterwards"),
    _situation("request", "What should I pack for a weekend {x}? | I'm going away for a weekend {x}. What do I need?",
               "in the mountains, by the sea, in London, at a friend's house, on a farm, on a boat",
               "pack warm clothes, a towel, a toothbrush and comfortable shoes"),
    _situation("request", "How do I say no to a {x}? | I don't want to accept a {x}. What should I say?",
               "dinner invitation, second date, party invitation, night shift, new project, job offer",
               "answer soon, say clearly that you cannot, and keep it short"),
    _situation("request", "How often should I feed my {x}? | I have a new {x}. When should it be fed?",
               "rabbit, hamster, puppy, kitten, goldfish, parrot",
               "feed your {x} at the same hours and ask a vet about the amount"),
)
# fmt: on


def make_rows(seed: int) -> list[dict[str, object]]:
    """Makes the pairs in TRL's conversational schema, one for each situation and thing, shuffled."""
    generator = random.Random(seed)  # noqa: S311 - data, not secrets
    cases = [(situation, filler) for situation in SITUATIONS for filler in situation.fillers]
    generator.shuffle(cases)
    return [_row(situation, filler, generator) for situation, filler in cases]


def _row(situation: Situation, filler: str, generator: random.Random) -> dict[str, object]:
    question = generator.choice(situation.questions).format(x=filler)
    advice = situation.advice.format(x=filler)
    words = {"do": advice, "Do": advice[0].upper() + advice[1:]}
    warm = generator.choice(WARM[situation.kind]).format(**words)
    cold = generator.choice(COLD[situation.kind]).format(**words)
    return {
        "prompt": [{"role": "user", "content": question}],
        "chosen": [{"role": "assistant", "content": warm}],
        "rejected": [{"role": "assistant", "content": cold}],
    }
