"""The README's examples run as written, one after the other, and its claims and links hold."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def namespace():
    """What is defined once the README has been typed in."""
    names = {"__name__": "readme"}
    for number, block in enumerate(BLOCKS, 1):
        exec(compile(block, f"README.md, block {number}", "exec"), names)
    return names


def test_there_is_code_to_run(namespace):
    assert len(BLOCKS) == 4
    assert namespace["images"].shape == namespace["X"].shape
    assert namespace["search"].score(namespace["X_test"], namespace["y_test"]) > 0.85


def test_the_exported_pipeline_gives_its_labels(namespace):
    assert (namespace["labels"] == namespace["search"].predict(namespace["X_test"])).all()


def test_autoencoder_beats_pca(namespace):
    error = namespace["autoencoder"].reconstruction_error(namespace["test"]).mean()
    assert error < 0.75 * namespace["pca_error"]


def test_files_that_are_named_exist():
    paths = re.findall(r"\]\(([^):]+)\)", README) + re.findall(
        r"`((?:docs|examples|tests)/(?!_build)[^`]+|LICENSE)`", README
    )
    assert len(paths) >= 4
    assert [path for path in paths if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", ["run", "test", "docs"])
def test_commands_can_be_extracted(name):
    assert re.search(rf"^<!-- {name} -->\n```sh\n[^\n]+\n```$", README, flags=re.MULTILINE)
