"""The documentation: its code runs as written and prints what it says, its pages hang together, its links exist.

The gallery runs when the documentation is built; here its files are only looked at.
"""

import ast
import inspect
import re
import textwrap
from pathlib import Path

import pytest

import skae
import skae.inspection
import skae.onnx

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *DOCS.glob("guide/*.md"), *DOCS.glob("coming_from/*.md")])
EXAMPLES = sorted((ROOT / "examples").rglob("plot_*.py"))
BLOCK = re.compile(
    r"^( *)```python\n(?P<code>.*?)^\1```$(?:\n+\1```text\n(?P<output>.*?)^\1```$)?", re.MULTILINE | re.DOTALL
)
TOCTREE = re.compile(r"^```{toctree}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"-?\d+(?:\.\d+)?%?(?![\w.])")


def name(path):
    return path.relative_to(ROOT).with_suffix("").as_posix()


def blocks(page):
    found = [match.groupdict() for match in BLOCK.finditer(page.read_text(encoding="utf-8"))]
    return [{key: textwrap.dedent(text or "") for key, text in block.items()} for block in found]


def assert_alike(printed, shown):
    """Equal in words, and up to a few per cent in what is measured, where another machine may round otherwise."""
    words = [" ".join(NUMBER.sub("#", text).split()) for text in (printed, shown)]
    assert words[0] == words[1]
    for one, other in zip(NUMBER.findall(printed), NUMBER.findall(shown), strict=True):
        if "." not in other and "%" not in other:  # a count
            assert one == other
            continue
        one, other = one.rstrip("%"), other.rstrip("%")
        last_digit = 10.0 ** -len(other.partition(".")[2])
        assert float(one) == pytest.approx(float(other), rel=0.05, abs=3.1 * last_digit)


WITH_CODE = [page for page in PAGES if blocks(page)]


@pytest.mark.parametrize("page", WITH_CODE, ids=name)
def test_code_prints_what_the_page_says(page, capsys):
    names = {"__name__": "page"}
    for number, block in enumerate(blocks(page), 1):
        exec(compile(block["code"], f"{page.name}, block {number}", "exec"), names)
        assert_alike(capsys.readouterr().out, block["output"])


def test_getting_started_shows_what_its_example_prints(capsys, monkeypatch):
    page = (DOCS / "getting_started.md").read_text(encoding="utf-8")
    included = r"^```{literalinclude} (\S+)\n[^`]*^```\n\n```text\n(.*?)^```$"
    path, shown = re.search(included, page, re.MULTILINE | re.DOTALL).groups()
    monkeypatch.setattr("matplotlib.pyplot.show", lambda: None)
    exec(compile((DOCS / path).read_text(encoding="utf-8"), path, "exec"), {"__name__": "example"})
    assert_alike(capsys.readouterr().out, shown)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_code_boxes_need_no_scroll_bar(page):
    """At 1300 pixels they hold 88 characters."""
    boxes = re.findall(
        r"^ *```(?:python|text|sh)\n(.*?)^ *```$", page.read_text(encoding="utf-8"), re.M | re.DOTALL
    )
    assert [line for box in boxes for line in box.splitlines() if len(line) > 88] == []


@pytest.mark.parametrize("path", [*EXAMPLES, ROOT / "examples" / "extending_l1.py"], ids=name)
def test_code_of_examples_needs_no_scroll_bar(path):
    _, _, code = path.read_text(encoding="utf-8").partition('"""')[2].partition('"""')
    assert [line for line in code.splitlines() if len(line) > 88 and not line.startswith("#")] == []


def test_examples_of_docstrings_need_no_scroll_bar():
    """On API pages, at 1300 pixels, they have room for 100 characters."""
    public = [getattr(place, each) for place in (skae, skae.inspection, skae.onnx) for each in place.__all__]
    lines = [line for each in public for line in inspect.getdoc(each).splitlines()]
    assert [line for line in lines if line.startswith((">>>", "...")) and len(line) > 100] == []


def test_no_code_escapes():
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    fences = re.findall(r"^ *```(\S*)", text, flags=re.MULTILINE)
    openings = fences[::2]
    assert fences[1::2] == [""] * len(openings)
    assert openings.count("python") == sum(len(blocks(page)) for page in PAGES)
    assert {o for o in openings if not o.startswith("{")} <= {"python", "text", "sh"}


def test_the_comparison_can_fail():
    assert_alike("R² 0.81, 3 codes", "R² 0.80,  3 codes")
    assert_alike("11% of 0.0102", "13% of 0.0100")
    with pytest.raises(AssertionError):
        assert_alike("0.0110", "0.0100")
    for printed in ("R² 0.70, 3 codes", "R² 0.80, 4 codes", "R2 0.80, 3 codes", "", "R² -0.80, 3 codes"):
        with pytest.raises(AssertionError):
            assert_alike(printed, "R² 0.80, 3 codes")


def listed(page):
    """Pages that a page's tables of contents name."""
    entries = []
    for body in re.findall(
        r"^```{toctree}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    ):
        entries += [line for line in body.splitlines() if line and not line.startswith(":")]
    return [(page.parent / entry).resolve() for entry in entries]


def test_every_page_can_be_reached():
    found, waiting = set(), [DOCS / "index"]
    while waiting:
        page = waiting.pop()
        found.add(page)
        if page.with_suffix(".md").exists():
            waiting += [entry for entry in listed(page.with_suffix(".md")) if entry not in found]
    written = {path.with_suffix("") for path in [*PAGES, DOCS / "api" / "index.rst"]}
    assert found - {DOCS / "auto_examples" / "index"} == written


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^):#]+)\)", page.read_text(encoding="utf-8")):
            if target.endswith("auto_examples/index.rst"):
                continue
            if "auto_examples/" in target:
                target = target.replace("auto_examples/", "../examples/").replace(".rst", ".py")
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_calls_within_sentences_and_tables_name_parameters_that_exist():
    pattern = re.compile(rf"`((?:{'|'.join(skae.__all__)})\(.*?\))(?:\.\w+\(.*?\))?`")
    calls = [call for page in PAGES for call in pattern.findall(page.read_text(encoding="utf-8"))]
    assert len(calls) > 10
    for call in calls:
        tree = ast.parse(call, mode="eval").body
        parameters = getattr(skae, tree.func.id)().get_params()
        assert {keyword.arg for keyword in tree.keywords} <= set(parameters), call


def test_every_public_name_is_on_the_api_page():
    listed = re.findall(r"^   (\w+)$", (DOCS / "api" / "index.rst").read_text(), flags=re.MULTILINE)
    assert sorted(listed) == sorted([*skae.__all__, *skae.inspection.__all__, *skae.onnx.__all__])


def test_every_estimator_is_in_the_guide_and_in_the_readme():
    guide, readme = ((ROOT / path).read_text() for path in ("docs/guide/index.md", "README.md"))
    classes = {name for name in skae.__all__ if isinstance(getattr(skae, name), type)}
    for estimator in classes - {"BaseAutoencoder"}:
        assert f"{{class}}`~skae.{estimator}`" in guide
        assert f"`{estimator}`" in readme


@pytest.mark.parametrize("example", EXAMPLES, ids=name)
def test_gallery_files_have_what_the_gallery_needs(example):
    text = example.read_text(encoding="utf-8")
    title, line, *rest = ast.get_docstring(ast.parse(text)).splitlines()
    assert line == "=" * len(title)
    assert len(" ".join(rest).split()) > 10
    compile(text, example.name, "exec")
    cells = re.findall(r"^(.*)\n# %%", text, flags=re.MULTILINE)
    assert cells
    assert [before for before in cells if before.strip()] == [], "a cell without a blank before it is text"
    assert "plt" in text
    assert "Display" in text or "subplots" in text


def test_pictures_on_pages_are_drawn_by_the_gallery():
    pictures = {match for page in PAGES for match in re.findall(r"sphx_glr_(plot_\w+)_\d+\.png", page.read_text())}
    assert pictures >= {"plot_a_first_autoencoder", "plot_digits", "plot_anomalies"}
    assert pictures <= {example.stem for example in EXAMPLES}


@pytest.mark.parametrize("class_name", [name for name in skae.__all__ if isinstance(getattr(skae, name), type)])
def test_docstrings_hold_nothing_that_the_build_refuses(class_name):
    """Sphinx takes `name_` for a link unless it is quoted, and knows references of the class in the class only."""
    of_class = getattr(skae, class_name)
    unquoted = re.findall(r"shape \((?:[^`)]*\W)?\w+_[,)]", of_class.__doc__)
    assert not unquoted
    for method in (getattr(of_class, name) for name in dir(of_class) if not name.startswith("_")):
        assert not re.search(r"\[\d\]_", getattr(method, "__doc__", None) or ""), method


def test_summaries_hold_no_references():
    """They stand alone in the tables of the API page, where a reference is a key that leads nowhere."""
    public = [getattr(place, name) for place in (skae, skae.inspection, skae.onnx) for name in place.__all__]
    summaries = {each.__name__: inspect.getdoc(each).partition("\n\n")[0] for each in public}
    assert [name for name, text in summaries.items() if re.search(r"\[\w+\]_", text)] == []


def test_what_is_refused_says_so_on_its_page():
    assert skae.TabularVAESampler.__dict__["partial_fit"].__doc__.startswith("Not supported: ")
