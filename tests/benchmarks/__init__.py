"""Benchmarks that anyone can run: `python -m tests.benchmarks step --help`. README.md beside this has their notes."""

from __future__ import annotations
