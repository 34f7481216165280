"""The layouts of `special`, as public sets and tools write them."""

from __future__ import annotations

import pytest

from tests.data.samples.record import cases, check, write
from tests.data.samples.special import SAMPLES


@pytest.mark.parametrize(("sample", "suffix"), cases(SAMPLES))
def test_a_set_comes_in_as_meant(sample, suffix, tmp_path):
    check(sample, write(sample, tmp_path / f"upload.{suffix}"))
