"""Two ranks with a share of the rows each against one process with all of them."""

import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from estimators import configured, rows
from parallel_cases import CASES, rows_of
from sklearn.base import clone
from two_ranks import results

import skae

TESTS = Path(__file__).parents[1]


def start(what, file):
    """Start two ranks on the loopback address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "GLOO_SOCKET_IFNAME": "lo"}
    path = os.pathsep.join([str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    environments = [{**os.environ, **common, "RANK": str(rank), "PYTHONPATH": path} for rank in range(2)]
    command = [sys.executable, "-W", "ignore", str(TESTS / "two_ranks.py"), what, str(file)]
    return [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for environment in environments
    ]


def run(what, file, timeout=300):
    """Return what the two ranks have found."""
    ranks = start(what, file)
    try:
        said = [rank.communicate(timeout=timeout)[0] for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [rank.returncode for rank in ranks] == [0, 0], "\n".join(said)
    return [pickle.loads(Path(f"{file}.{rank}").read_bytes()) for rank in range(2)]


@pytest.fixture(scope="module")
def fits(tmp_path_factory):
    return run("every", tmp_path_factory.mktemp("ranks") / "fits")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_two_ranks_fit_as_one_process_does(fits, name):
    estimator, parameters, data = CASES[name]
    alone = results(clone(estimator).set_params(**parameters).fit(rows_of(name), **data))
    first, second = (of_rank[name] for of_rank in fits)
    assert first.keys() == second.keys() == alone.keys()
    for key, expected in alone.items():
        np.testing.assert_array_equal(first[key], second[key], err_msg=f"{key} differs between ranks")
        scale = np.abs(expected[np.isfinite(expected)]).max(initial=1e-3)
        np.testing.assert_allclose(first[key], expected, rtol=1e-5, atol=1e-5 * scale, err_msg=key)


@pytest.fixture(scope="module")
def failures(tmp_path_factory):
    return run("failures", tmp_path_factory.mktemp("ranks") / "failures")


@pytest.mark.parametrize(
    ("attempt", "error"),
    [
        ("NaN on rank 1", "ValueError: Input X contains NaN."),
        ("late", "ArithmeticError: the fifth batch"),
        ("amid announced sums", "ArithmeticError: the sixth noise"),
    ],
)
def test_where_one_rank_fails_all_do(failures, attempt, error):
    first, second = (of_rank[attempt] for of_rank in failures)
    assert second.startswith(error)
    assert first.startswith(f"RuntimeError: Rank 1 of 2 has failed: {error}")


@pytest.mark.parametrize(
    ("attempt", "said"),
    [
        ("features", "the number of features is 5 on rank 0, but 4 on rank 1"),
        ("parameters", "alpha is 0.0 on rank 0, but 0.1 on rank 1"),
        ("diverging", "ValueError: Training diverged"),
        ("both", "ValueError: tied_weights=True needs a decoder"),
        ("partial_fit", "NotImplementedError: partial_fit looks at all rows"),
        ("classifier", "NotImplementedError: AutoencoderClassifier.fit looks at all rows"),
        ("detector", "NotImplementedError: AutoencoderOutlierDetector.fit looks at all rows"),
        ("table", "NotImplementedError: TabularVAESampler.fit looks at all rows"),
        ("imputer", "NotImplementedError: AutoencoderImputer.fit looks at all rows"),
        ("tabular", "NotImplementedError: TabularVAESampler.fit looks at all rows"),
    ],
)
def test_what_is_wrong_for_all_is_said_on_each(failures, attempt, said):
    assert all(said in of_rank[attempt] for of_rank in failures)


def test_ranks_go_on_after_failures(failures):
    """The group is in step, a failed refit leaves the old model, and a callback of one rank stops all."""
    alone = results(configured(skae.AutoencoderTransformer).fit(rows()))
    for of_rank in failures:
        np.testing.assert_allclose(of_rank["after"]["loss_curve_"], alone["loss_curve_"], rtol=1e-10)
        assert of_rank["stopped"] == 2
        assert of_rank["kept"]


def test_own_noise_differs_from_rank_to_rank(failures):
    """What it is drawn for does not: the ranks still end with one model."""
    first, second = (of_rank["own noise"] for of_rank in failures)
    drawn = [of_rank.pop("noise") for of_rank in (first, second)]
    assert len(drawn[0]) == len(drawn[1])
    assert (drawn[0] != drawn[1]).all()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name])


def test_a_rank_does_not_wait_for_one_that_was_killed(tmp_path):
    ranks = start("killed", tmp_path / "killed")
    try:
        codes = [rank.wait(timeout=300) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
            rank.stdout.close()
    assert codes == [0, -9]
    assert "has lost the others" in pickle.loads((tmp_path / "killed.0").read_bytes())


def test_no_process_group():
    with pytest.raises(RuntimeError, match=r"needs a process group.*torchrun"), skae.data_parallel():
        pass


def test_a_group_of_one_process_fits_as_no_group_does():
    store = torch.distributed.HashStore()
    model = configured(skae.DenoisingAutoencoder, batch_size=16)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        with skae.data_parallel():
            ours = results(clone(model).fit(rows()))
    finally:
        torch.distributed.destroy_process_group()
    for name, expected in results(model.fit(rows())).items():
        np.testing.assert_allclose(ours[name], expected, rtol=1e-10, atol=1e-12)
