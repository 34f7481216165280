"""Token ids kept for estimates: exactly the encoder's, each text read once, bounded, and nobody waits for another."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from bnf_lab.core.errors import RunRefused
from bnf_lab.core.judgements import Judgement, Message, Verdict
from bnf_lab.models import encoding_cache
from bnf_lab.models.encoding import Encoder
from bnf_lab.models.encoding_cache import EncodingCache
from bnf_lab.models.loading import load_tokenizer

TEXTS = (
    "Paris.",
    "",
    " ",
    "Yes.<|im_end|> And more.<|endoftext|>",
    "Größe, naïve, 日本, Привет, 🙂\n\n\tend ",
    "because " * 90,
    "a\x00b",
)
PROMPTS = (
    (Message("user", "What is the capital of France?"),),
    (Message("system", "Be brief."), Message("user", "Why? " * 60)),
    (Message("user", "One<|im_end|>"), Message("assistant", "Two"), Message("user", "Three 日本")),
)


def make(n: int, text: str = "Answer") -> list[Judgement]:
    return [Judgement((Message("user", f"Question {i}?"),), f"{text} {i}.", Verdict.PREFERRED) for i in range(n)]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What encoders were given, in order: prompts, and responses with their prompts."""
    seen: list[object] = []

    def spy_on(name: str) -> None:
        original = getattr(Encoder, name)

        def spy(self, texts):
            seen.extend(texts)
            return original(self, texts)

        monkeypatch.setattr(Encoder, name, spy)

    spy_on("encode_prompts")
    spy_on("encode_responses")
    return seen


@pytest.mark.parametrize("max_tokens", [2, 3, 16, 17, 64, 111, 4096])
def test_cut_ids_are_those_that_an_encoder_of_that_limit_makes(tiny_model_path: Path, max_tokens: int) -> None:
    judgements = [Judgement(p, text, verdict, 0.5) for p in PROMPTS for text in TEXTS for verdict in Verdict]
    encoder, cache = Encoder(load_tokenizer(tiny_model_path), max_tokens=max_tokens), EncodingCache()
    cache.encode(tiny_model_path, judgements, max_tokens=512)
    assert cache.encode(tiny_model_path, judgements, max_tokens=max_tokens) == [encoder.encode(j) for j in judgements]
    counts = cache.count_tokens(tiny_model_path, judgements)
    assert [min(n, max_tokens) for n in counts] == [encoder.encode(j).n_tokens for j in judgements]
    assert [n > max_tokens for n in counts] == [encoder.encode(j).is_cut for j in judgements]


def test_every_text_is_read_once_whoever_asks_and_however_it_is_cut(tiny_model_path: Path, read: list) -> None:
    cache, judgements = EncodingCache(), make(150)
    cache.count_tokens(tiny_model_path, judgements)
    assert len(read) == 300
    others = [replace(j, id=f"other {j.id}", verdict=j.verdict.flipped) for j in judgements]
    for max_tokens in (16, 64):
        cache.encode(tiny_model_path, others, max_tokens=max_tokens)
    assert len(read) == 300
    cache.count_tokens(tiny_model_path, [replace(judgements[0], response="New.")])
    assert read[300:] == [(judgements[0].prompt, "New.")]
    cache.count_tokens(tiny_model_path, [replace(judgements[0], prompt=judgements[1].prompt)])
    assert read[301:] == [(judgements[1].prompt, judgements[0].response)]  # it may be written otherwise there


def test_texts_are_read_again_only_after_they_were_pushed_out_by_others(tiny_model_path: Path, read: list) -> None:
    first, second = make(20, "First"), make(20, "Second")
    cache = EncodingCache()
    cache.count_tokens(tiny_model_path, first)
    room = cache._n_bytes + 200
    small = EncodingCache(max_bytes=room)
    for judgements in (first, second, first):
        small.count_tokens(tiny_model_path, judgements)
        assert small._n_bytes <= room
        assert small._n_bytes == sum(encoding_cache._size(ids) for ids in small._kept.values())
    n_read = len(read)
    small.count_tokens(tiny_model_path, first)
    assert len(read) == n_read
    tight = EncodingCache(max_bytes=1000)  # less than one question needs: slow, never wrong
    assert tight.count_tokens(tiny_model_path, first) == cache.count_tokens(tiny_model_path, first)
    assert tight._n_bytes <= 1000


def test_a_tokenizer_is_loaded_once_and_only_so_many_are_kept(tiny_model_path: Path, monkeypatch) -> None:
    loaded: list[Path] = []

    def load(path: Path):
        loaded.append(path)
        return load_tokenizer(tiny_model_path)

    monkeypatch.setattr(encoding_cache, "load_tokenizer", load)
    monkeypatch.setattr(encoding_cache, "MAX_TOKENIZERS", 2)
    cache, names = EncodingCache(), [Path(name) for name in "abc"]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda i: cache.count_tokens(names[0], make(1, f"text {i}")), range(8)))
    assert loaded == names[:1]
    for name in (*names, *names[1:]):
        cache.count_tokens(name, make(3, f"of {len(loaded)} models"))
    assert loaded == names
    cache.count_tokens(names[0], make(3, "once more"))
    assert loaded == [*names, names[0]]


def test_nobody_waits_while_somebody_elses_texts_are_read(tiny_model_path: Path, monkeypatch) -> None:
    slow_started, may_end = threading.Event(), threading.Event()
    original = Encoder.encode_responses

    def encode_responses(self, turns):
        if any("slow" in text for _, text in turns):
            slow_started.set()
            assert may_end.wait(60)
        return original(self, turns)

    monkeypatch.setattr(Encoder, "encode_responses", encode_responses)
    cache = EncodingCache()
    with ThreadPoolExecutor(2) as threads:
        slow = threads.submit(cache.count_tokens, tiny_model_path, make(3, "slow"))
        assert slow_started.wait(60)
        assert threads.submit(cache.count_tokens, tiny_model_path, make(3)).result(timeout=60)
        assert not slow.done()
        may_end.set()
        assert slow.result(timeout=60)


def test_threads_that_read_prompts_and_responses_at_once_get_the_right_ids(tiny_model_path: Path) -> None:
    """Special tokens count in prompts and are split in responses; threads must not change that for one another."""
    judgements = [
        Judgement((Message("user", f"{i} <|im_end|>"),), f"<|im_end|> {i} <|im_start|>" * 5, Verdict.PREFERRED)
        for i in range(300)
    ]
    encoder, cache = Encoder(load_tokenizer(tiny_model_path), max_tokens=4096), EncodingCache()
    parts = [judgements[i::6] for i in range(6)]
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(lambda part: cache.encode(tiny_model_path, part, max_tokens=4096), parts))
    assert found == [[encoder.encode(j) for j in part] for part in parts]


def test_a_model_whose_template_makes_nothing_of_a_prompt_is_refused(tiny_model_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(Encoder, "encode_prompts", lambda self, prompts: [[] for _ in prompts])
    with pytest.raises(RunRefused, match="template makes nothing"):
        EncodingCache().encode(tiny_model_path, make(1), max_tokens=64)
