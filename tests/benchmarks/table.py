"""The table that the quality benchmarks print: our figure, the source's, and what is asked for, side by side."""

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch

ROWS: dict[str, Callable[[], Iterator["Line"]]] = {}
FORM = "{:<62} {:>22}   {:<34} {:<26} {}"


class Line(NamedTuple):
    """One line, ready to print."""

    work: str
    ours: str
    source: str = ""
    required: str = ""
    verdict: str = ""


class MissingDataError(Exception):
    """A row needs data that are not here."""


def row(function):
    """Register a generator of lines under its own name."""
    ROWS[function.__name__] = function
    return function


def judged(work, ours, source, required, holds):
    """Return a line whose verdict is the caller's."""
    return Line(work, ours, source, required, "ok" if holds else "MISSED")


def at_most(work, ours, source="", required=None, aim=None):
    """Return a line whose figure is to be at most ``required``, and better at most ``aim``."""
    limits = [f"<= {required:.4g}"] if required is not None else []
    limits += [f"(aim {aim:.4g})"] if aim is not None else []
    verdict = ""
    if aim is not None and ours <= aim:
        verdict = "ok, aim"
    elif required is not None:
        verdict = "ok" if ours <= required else "MISSED"
    return Line(work, f"{ours:.5g}", str(source), " ".join(limits), verdict)


def main(names):
    """Print the rows of these names, or all of them."""
    unknown = set(names) - set(ROWS)
    if unknown:
        sys.exit(f"No row is called {', '.join(unknown)}; there are {', '.join(ROWS)}.")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", UserWarning)  # a collapse, or dead units, may be what a row shows
    print(FORM.format("work", "ours", "source", "required", "verdict"))
    for name in names or ROWS:
        start = time.process_time()
        try:
            for line in ROWS[name]():
                print(FORM.format(*line), flush=True)
            print(f"    {name}: {time.process_time() - start:.0f} s of processor time", flush=True)
        except MissingDataError as error:
            print(f"    {name}: skipped, since it {error}")
