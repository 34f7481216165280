"""Answers written while those before them are judged: one prompt ahead, after everybody, complete or not at all."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from dataclasses import asdict

import pytest

from bnf_lab.core.errors import LabError
from bnf_lab.core.judgements import Message, Verdict
from bnf_lab.lab.chat_records import ChatRequest, ChatUpdate, PaneUpdate
from bnf_lab.lab.lab import Lab
from bnf_lab.lab.marking import AnswerSettings, Marking

PROMPTS = ("Why?", "How?", "When?")
TWO = AnswerSettings(n=2, temperature=0.9, max_new_tokens=160, model="embedded")
N_STEPS = 3
PATIENCE_SECONDS = 60


class Engine:
    """Writes one more dot with each step that is allowed; an aside is paused before each of them."""

    def __init__(self):
        self.asked = []
        self.paused = queue.SimpleQueue()
        self.allowed = queue.SimpleQueue()

    def write_candidates(self, model, messages, n, *, stop=None, **settings):
        prompt = messages[0].content
        self.asked.append((prompt, n, model, settings["temperature"], settings["max_new_tokens"]))
        for step in range(1, N_STEPS + 1):
            if stop is not None:
                self.paused.put(step)
                if (error := self.allowed.get(timeout=PATIENCE_SECONDS)) is not None:
                    raise error
                if stop.is_set():
                    yield (f"{prompt} cut",) * n  # as far as it came
                    return
            yield tuple(f"{prompt} {place}{'.' * step}" for place in range(n))

    def reply(self, request, adapter, *, stop=None):
        yield ChatUpdate(PaneUpdate(), PaneUpdate())

    def allow(self, n_steps=1):
        for _ in range(n_steps):
            self.allowed.put(None)

    def wait_paused(self, step):
        """Waits until the writing ahead stands before a step."""
        while self.paused.get(timeout=PATIENCE_SECONDS) != step:
            pass


@pytest.fixture
def engine():
    return Engine()


@pytest.fixture
def lab(tmp_path, engine):
    lab = Lab(tmp_path)
    lab.writer._engine = lambda: engine
    lab.marking.save("me", Marking(PROMPTS))
    yield lab
    engine.allow(N_STEPS)
    lab.close()


def write(lab, owner="me", settings=TWO):
    """Has answers written as a person does at the desk."""
    prompt = lab.marking.load(owner).prompt
    desk = lab.marking.begin_writing(owner, prompt, settings)
    for texts in lab.writer.write_candidates((Message("user", prompt),), **asdict(settings)):
        desk = desk.with_answers(texts)
    lab.marking.keep_written(owner, desk)
    lab.ahead.begin(owner)


def allow_once_taken(lab, engine, n_steps):
    """Lets steps be made as soon as somebody has come for them."""

    def allow():
        while not lab.ahead._writing.is_taken:
            threading.Event().wait(0.001)
        engine.allow(n_steps)

    threading.Thread(target=allow).start()


def wait_end():
    for thread in threading.enumerate():
        if thread.name == "writing-ahead":
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()


def prompts_asked(engine):
    return [prompt for prompt, *_ in engine.asked]


def texts(desk):
    return [candidate.text for candidate in desk.candidates]


def test_the_next_answers_are_there_when_the_present_ones_are_judged(lab, engine):
    write(lab)
    engine.allow(N_STEPS)
    lab.marking.mark("me", 0, Verdict.PREFERRED)
    wait_end()
    assert engine.asked == [(prompt, 2, "embedded", 0.9, 160) for prompt in PROMPTS[:2]]  # and not one more
    assert lab.marking.load("me").candidates[0].mark == "preferred"
    coming = lab.marking.turn("me", "Why?", 1)
    assert (texts(coming), coming.is_ahead) == (["How? 0...", "How? 1..."], True)
    assert lab.marking.load("me") == coming  # also after a refresh
    assert list(lab.ahead.take("me", "How?")) == []
    lab.ahead.begin("me")
    engine.allow(N_STEPS)
    wait_end()
    assert texts(lab.marking.turn("me", "How?", 1)) == ["When? 0...", "When? 1..."]
    lab.ahead.begin("me")  # no prompt is left
    assert prompts_asked(engine) == list(PROMPTS)


def test_it_waits_for_the_first_wish_in_each_list(lab, engine):
    lab.marking.save("me", Marking(PROMPTS).with_answers(["a", "b"]))
    lab.ahead.begin("me")
    write(lab, settings=AnswerSettings(4, 0.5, 16, "embedded"))
    engine.allow(N_STEPS)
    wait_end()
    assert [(asked[0], asked[1]) for asked in engine.asked] == [("Why?", 4), ("How?", 4)]
    lab.marking.save("me", Marking(("What?", "Where?")).with_answers(["a", "b"]))  # another list
    lab.ahead.begin("me")
    wait_end()
    assert prompts_asked(engine) == ["Why?", "How?"]


@pytest.mark.parametrize("prompts", [("Why?",), ("Why?", " "), ("Why?", "Why?")])
def test_it_begins_only_where_answers_are_missing(lab, engine, prompts):
    lab.marking.save("me", Marking(prompts))
    write(lab)
    wait_end()
    assert prompts_asked(engine) == ["Why?"]


def test_answers_and_marks_are_never_written_over(lab, engine):
    lab.marking.save("me", Marking(PROMPTS, 1).with_answers(["my answer", "another"]))
    lab.marking.mark("me", 0, Verdict.PREFERRED)
    lab.marking.turn("me", "How?", -1)
    write(lab)
    wait_end()
    assert prompts_asked(engine) == ["Why?"]
    lab.marking.keep_ahead("me", "How?", ["late", "later"])
    marked = lab.marking.turn("me", "Why?", 1)
    assert [(c.text, c.mark) for c in marked.candidates] == [("my answer", "preferred"), ("another", "")]


def test_nothing_half_written_is_kept(lab, engine):
    write(lab)
    engine.allow()
    engine.wait_paused(2)
    assert texts(lab.marking.turn("me", "Why?", 1)) == []
    assert lab.ahead.is_writing("me", "How?")
    assert not lab.ahead.is_writing("you", "How?")
    assert not lab.ahead.is_writing("me", "When?")


def test_whoever_wants_answers_ends_it(lab, engine):
    write(lab)
    engine.wait_paused(1)
    others = lab.writer.write_candidates((Message("user", "What?"),), **asdict(TWO))
    next(others)
    engine.allow()
    wait_end()
    others.close()
    assert lab.marking.next_unanswered("me") == ("How?", TWO)
    write(lab)  # once more, to the prompt at hand; and then the next one again
    engine.allow(N_STEPS)
    wait_end()
    assert prompts_asked(engine) == ["Why?", "How?", "What?", "Why?", "How?"]
    assert texts(lab.marking.turn("me", "Why?", 1)) == ["How? 0...", "How? 1..."]


def test_a_chat_ends_it_and_keeps_it_from_beginning(lab, engine):
    asked = (Message("user", "Hello?"),)
    request = ChatRequest(asked, asked, "embedded", temperature=1.0, top_p=1.0, max_new_tokens=9, seed=1)
    write(lab)
    engine.wait_paused(1)
    reply = lab.writer.reply("you", request)
    next(reply)
    assert not lab.ahead.is_writing("me", "How?")
    engine.allow()
    wait_end()
    assert texts(lab.marking.turn("me", "Why?", 1)) == []
    lab.marking.turn("me", "How?", -1)
    lab.ahead.begin("me")
    assert prompts_asked(engine) == ["Why?", "How?"]
    reply.close()
    lab.ahead.begin("me")
    engine.allow(N_STEPS)
    wait_end()
    assert prompts_asked(engine) == ["Why?", "How?", "How?"]


def test_there_is_one_at_a_time_for_the_whole_lab(lab, engine):
    write(lab)
    engine.wait_paused(1)
    lab.marking.save("you", Marking(("What?", "Where?")).with_answers(["a", "b"]))
    lab.marking.begin_writing("you", "What?", TWO)
    lab.marking.keep_written("you", lab.marking.load("you").with_answers(["a", "b"]))
    lab.ahead.begin("you")
    lab.ahead.begin("me")
    engine.allow(N_STEPS)
    wait_end()
    assert prompts_asked(engine) == ["Why?", "How?"]


def test_who_comes_before_it_is_done_reads_on_where_it_stands(lab, engine):
    write(lab)
    engine.wait_paused(1)
    engine.allow()
    engine.wait_paused(2)
    lab.marking.turn("me", "Why?", 1)
    allow_once_taken(lab, engine, 2)
    read = list(lab.ahead.take("me", "How?"))
    wait_end()
    assert read == [("How? 0..", "How? 1.."), ("How? 0...", "How? 1...")]
    assert prompts_asked(engine) == ["Why?", "How?"]
    assert texts(lab.marking.load("me")) == []  # whoever reads keeps it


def test_a_writing_that_was_come_for_is_a_persons_own(lab, engine):
    write(lab)
    engine.wait_paused(1)
    allow_once_taken(lab, engine, N_STEPS)
    with contextlib.closing(lab.ahead.take("me", "How?")) as steps:
        next(steps)
        assert lab.ahead.is_writing("me", "How?")
        assert list(lab.ahead.take("me", "How?")) == []  # another page of the same person
        assert lab.writer.precedence.begin_aside() is None
        with lab.writer.precedence.person():  # waits behind it
            assert list(steps)[-1] == ("How? 0...", "How? 1...")
    assert not lab.ahead.is_writing("me", "How?")
    assert lab.writer.precedence.begin_aside() is not None


def test_who_stops_reading_ends_it(lab, engine):
    write(lab)
    engine.wait_paused(1)
    allow_once_taken(lab, engine, 1)
    with contextlib.closing(lab.ahead.take("me", "How?")) as steps:
        next(steps)
    wait_end()
    assert not lab.ahead.is_writing("me", "How?")
    assert list(lab.ahead.take("me", "How?")) == []
    assert lab.writer.precedence.begin_aside() is not None


def test_answers_that_are_complete_just_then_lie_on_the_desk(lab, engine):
    write(lab)
    engine.wait_paused(1)
    lab.marking.turn("me", "Why?", 1)
    engine.allow(N_STEPS)
    wait_end()
    assert list(lab.ahead.take("me", "How?")) == []
    desk = lab.marking.load("me")
    assert (texts(desk), desk.is_ahead) == (["How? 0...", "How? 1..."], True)


@pytest.mark.parametrize("error", [LabError("too long"), RuntimeError("broken")])
def test_what_goes_wrong_is_logged_and_done_with(lab, engine, caplog, error):
    write(lab)
    with caplog.at_level(logging.ERROR, "bnf_lab.lab.ahead"):
        engine.allowed.put(error)
        wait_end()
    assert [record.exc_info[1] for record in caplog.records] == [error]
    assert list(lab.ahead.take("me", "How?")) == []
    assert texts(lab.marking.turn("me", "Why?", 1)) == []
    write(lab)  # as usual; and so is the next one ahead
    assert texts(lab.marking.load("me")) == ["How? 0...", "How? 1..."]
    engine.allow(N_STEPS)
    wait_end()
    assert prompts_asked(engine) == ["Why?", "How?", "How?", "When?"]


def test_a_lab_that_closes_waits_for_no_answers_and_keeps_none(tmp_path, engine):
    lab = Lab(tmp_path)
    lab.writer._engine = lambda: engine
    lab.marking.save("me", Marking(PROMPTS))
    write(lab)
    engine.wait_paused(1)
    (thread,) = [thread for thread in threading.enumerate() if thread.name == "writing-ahead"]
    assert thread.daemon
    aside = lab.ahead._writing.aside
    threading.Thread(target=lambda: aside.wait(PATIENCE_SECONDS) and engine.allow()).start()  # the step under way
    lab.ahead.close()
    assert not thread.is_alive()
    assert texts(lab.marking.turn("me", "Why?", 1)) == []
    lab.close()


def test_a_desk_of_an_older_lab_is_read(lab):
    lab.drafts.save("me", "mark", {"prompts": ["Why?"], "index": 0, "candidates": []})
    desk = lab.marking.load("me")
    assert (desk.prompt, desk.asked, desk.is_ahead) == ("Why?", None, False)
    assert lab.marking.next_unanswered("me") is None
